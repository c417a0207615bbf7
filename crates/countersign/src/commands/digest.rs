//! `countersign digest FILE.json`: recomputes a digest from its parts, so that nobody has to trust the service's word for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use clap::Args;
use domain::{BlobId, ChangeSet, FileChange, FileMode, FileVersion, NewFile, RepoPath, RepositoryName};
use serde::Deserialize;

use crate::cli::Failure;
use crate::out::say;

/// Arguments of `digest`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// {"repository", "branch", "changes": [{"path", "old": {"mode", "blob"} or null, "new": {"mode", and "content", "content_base64" or "file"} or null}]}
    #[arg(value_name = "FILE.json")]
    file: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    repository: RepositoryName,
    branch: String,
    changes: Vec<Change>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    path: RepoPath,
    old: Option<Old>,
    new: Option<New>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Old {
    mode: Mode,
    blob: BlobId,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    mode: Mode,
    content: Option<String>,
    content_base64: Option<String>,
    /// Read from beside the JSON file.
    file: Option<PathBuf>,
}

/// git's own spelling.
#[derive(Debug, Clone, Copy, Deserialize)]
enum Mode {
    #[serde(rename = "100644")]
    Regular,
    #[serde(rename = "100755")]
    Executable,
}

impl From<Mode> for FileMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Regular => Self::Regular,
            Mode::Executable => Self::Executable,
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let shown = arguments.file.display();
    let remedy = "`countersign digest --help` shows the shape";
    let usage = |what: String| Failure::Usage(format!("{shown}: {what}"), remedy.to_owned());
    let text = std::fs::read_to_string(&arguments.file).map_err(|error| usage(format!("cannot be read: {error}")))?;
    let folder = arguments.file.parent().unwrap_or_else(|| Path::new(""));
    say!("{}", digest(&text, folder).map_err(usage)?);
    Ok(())
}

fn digest(text: &str, folder: &Path) -> Result<domain::Sha256Hash, String> {
    let input: Input = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut files = BTreeMap::new();
    for Change { path, old, new } in input.changes {
        if old.is_none() && new.is_none() {
            return Err(format!("{path} has neither an old nor a new side"));
        }
        let new = new.map(|new| content(&path, new, folder)).transpose()?;
        let old = old.map(|old| FileVersion {
            mode: old.mode.into(),
            blob: old.blob,
        });
        if files.insert(path.clone(), FileChange { old, new }).is_some() {
            return Err(format!("{path} stands there twice"));
        }
    }
    if files.is_empty() {
        return Err("there are no changes".to_owned());
    }
    Ok(ChangeSet::new(files).digest(&input.repository, &input.branch))
}

fn content(path: &RepoPath, new: New, folder: &Path) -> Result<NewFile, String> {
    let bytes = match (new.content, new.content_base64, new.file) {
        (Some(text), None, None) => text.into_bytes(),
        (None, Some(text), None) => base64::engine::general_purpose::STANDARD
            .decode(text)
            .map_err(|error| format!("content_base64 of {path}: {error}"))?,
        (None, None, Some(file)) => {
            let file = folder.join(file);
            std::fs::read(&file).map_err(|error| format!("file of {path}: {} cannot be read: {error}", file.display()))?
        }
        _ => return Err(format!("{path} needs exactly one of content, content_base64 and file")),
    };
    Ok(NewFile {
        mode: new.mode.into(),
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vector that the documentation carries. Its value was computed apart from this program, from the definition alone.
    const VECTOR: &str = r#"{
        "repository": "homelab", "branch": "main",
        "changes": [
            {"path": "kubernetes/applications/demo/deployment.yaml",
             "old": {"mode": "100644", "blob": "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0"}, "new": {"mode": "100644", "content": "replicas: 3\n"}},
            {"path": "bin/run", "old": null, "new": {"mode": "100755", "content_base64": "IyEvYmluL3NoCg=="}},
            {"path": "old.txt", "old": {"mode": "100644", "blob": "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"}, "new": null}
        ]}"#;

    #[test]
    fn the_documented_vector() {
        assert_eq!(
            digest(VECTOR, Path::new("")).map(|hash| hash.to_string()).as_deref(),
            Ok("eb783ed4e1245eb16e69e120154e3fc0b4ec8a50642eee50751143110de62590")
        );
    }

    #[test]
    fn input_that_names_no_change_is_refused_with_its_reason() {
        for (changes, reason) in [
            ("[]", "there are no changes"),
            (
                r#"[{"path": "a", "old": null, "new": null}]"#,
                "a has neither an old nor a new side",
            ),
            (
                r#"[{"path": "a", "old": null, "new": {"mode": "100644"}}]"#,
                "a needs exactly one of content, content_base64 and file",
            ),
            (r#"[{"path": "../a", "old": null, "new": null}]"#, "it has a . or .. part"),
            (
                r#"[{"path": "a", "old": null, "new": {"mode": "120000", "content": ""}}]"#,
                "unknown variant `120000`",
            ),
        ] {
            let text = format!(r#"{{"repository": "homelab", "branch": "main", "changes": {changes}}}"#);
            let error = digest(&text, Path::new("")).expect_err(changes);
            assert!(error.contains(reason), "{error}");
        }
    }
}
