//! The example configuration, policy and runbooks that are shipped, inside the program: `check` and `explain` work on them from anywhere.

use std::path::{Path, PathBuf};

use crate::settings::{Layers, Problem, Settings};

/// Every shipped file below `config/`.
const FILES: [(&str, &str); 5] = [
    ("example.toml", include_str!("../../../config/example.toml")),
    ("policy.toml", include_str!("../../../config/policy.toml")),
    ("runbooks/restart.toml", include_str!("../../../config/runbooks/restart.toml")),
    ("runbooks/scale.toml", include_str!("../../../config/runbooks/scale.toml")),
    (
        "runbooks/set-image-tag.toml",
        include_str!("../../../config/runbooks/set-image-tag.toml"),
    ),
];

/// The shipped files, written out to a folder that ends with this value.
#[derive(Debug)]
pub struct Shipped {
    folder: tempfile::TempDir,
}

impl Shipped {
    /// Writes the files out.
    ///
    /// # Errors
    /// When the temporary folder cannot be written.
    pub fn unpack() -> std::io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("countersign-").tempdir()?;
        Self::unpack_to(folder.path())?;
        Ok(Self { folder })
    }

    /// Writes the files below `config/` of a folder.
    pub(crate) fn unpack_to(folder: &Path) -> std::io::Result<()> {
        for (name, text) in FILES {
            let path = folder.join("config").join(name);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(path, text)?;
        }
        Ok(())
    }

    /// The settings of the shipped example, without the environment: that belongs to another configuration.
    ///
    /// # Errors
    /// Every problem found.
    pub fn settings(&self) -> Result<Settings, Vec<Problem>> {
        let layers = Layers::of(Some(&self.config()))?;
        Settings::from_layers(&Layers {
            environment: Vec::new(),
            ..layers
        })
    }

    /// The example configuration.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("config/example.toml")
    }

    /// A message with the name of the temporary folder taken out: `config/policy.toml` is what readers know.
    pub fn shown(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.folder.path().display()), "")
    }

    /// The names of all shipped files, below `config/`.
    pub fn names() -> impl Iterator<Item = &'static Path> {
        FILES.iter().map(|(name, _)| Path::new(*name))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_of_the_config_folder_is_shipped_and_loaded() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
        let mut there = BTreeSet::new();
        for sub in ["", "runbooks"] {
            for entry in std::fs::read_dir(folder.join(sub)).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    there.insert(path.strip_prefix(&folder).unwrap().to_owned());
                }
            }
        }
        let shipped: BTreeSet<_> = Shipped::names()
            .map(Path::to_owned)
            .chain([PathBuf::from("default.toml")])
            .collect();
        assert_eq!(there, shipped);

        let shipped = Shipped::unpack().unwrap();
        let settings = shipped.settings().unwrap();
        let book = settings.book().unwrap();
        assert_eq!((settings.repositories.len(), settings.argocd.len(), book.runbooks.len()), (1, 1, 3));
        assert_eq!(
            settings.repositories[0].git.mirror,
            Path::new("/var/lib/countersign/mirrors/homelab.git")
        );
        assert!(Settings::from_layers(&Layers::default()).is_ok(), "the defaults alone are valid");
    }

    #[test]
    fn the_example_shows_every_key_of_the_defaults_with_the_same_limits() {
        let defaults: toml::Table = toml::from_str(crate::settings::DEFAULT_TOML).unwrap();
        let example: toml::Table = toml::from_str(FILES[0].1).unwrap();
        for (section, keys) in &defaults {
            for key in keys.as_table().unwrap().keys() {
                assert!(
                    example[section].get(key).is_some(),
                    "[{section}] {key} is missing in config/example.toml"
                );
            }
        }
        assert_eq!(defaults["limits"], example["limits"]);
    }

    #[test]
    fn the_cluster_gets_the_shipped_files() {
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/base/config");
        for (name, text) in FILES {
            let there = if name == "example.toml" { "config.toml" } else { name };
            assert_eq!(
                std::fs::read_to_string(base.join(there)).unwrap(),
                text,
                "copy config/{name} to deploy/base/config/{there}"
            );
        }
    }
}
