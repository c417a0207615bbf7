//! The way a secret reaches a workload here: it lives in Infisical, and git holds only where.

use super::super::tree::{Node, Tree};

/// Whose secret it is, as far as the document says.
#[derive(Clone, Default)]
pub(in crate::guard) struct Owner {
    pub kind: String,
    pub name: String,
    pub namespace: String,
}

impl Owner {
    /// From a manifest's kind and metadata. Templates and odd names say nothing.
    pub fn of(tree: &Tree, document: &Node, kind: &str) -> Self {
        let text = |keys: &[&str]| {
            let text = tree.text_at(document, keys).unwrap_or_default();
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
            if text.len() <= 63 && text.chars().all(plain) {
                text.to_owned()
            } else {
                String::new()
            }
        };
        let kind = if kind.len() <= 63 && kind.chars().all(|c| c.is_ascii_alphanumeric()) {
            kind.to_owned()
        } else {
            String::new()
        };
        Self {
            kind,
            name: text(&["metadata", "name"]),
            namespace: text(&["metadata", "namespace"]),
        }
    }

    /// From the path alone: the directory of the file is taken for the application.
    pub fn of_path(path: &str) -> Self {
        let skip = [
            "templates",
            "base",
            "overlays",
            "manifests",
            "values",
            "prod",
            "production",
            "staging",
            "dev",
            "patches",
        ];
        let plain = |part: &&str| {
            !skip.contains(part) && !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        };
        let directories = path.rsplit_once('/').map_or("", |(directories, _)| directories);
        let name = directories.rsplit('/').find(plain).unwrap_or_default().to_owned();
        Self {
            kind: String::new(),
            name,
            namespace: String::new(),
        }
    }

    /// `Secret "web" in namespace "web"`, or what is known of it.
    pub fn words(&self) -> String {
        match (self.kind.as_str(), self.name.as_str()) {
            ("", _) => "this file".to_owned(),
            (kind, "") => kind.to_owned(),
            (kind, name) if self.namespace.is_empty() => format!("{kind} {name}"),
            (kind, name) => format!("{kind} {name} in namespace {}", self.namespace),
        }
    }

    /// What to do instead, with names that fit.
    pub fn infisical(&self, key: Option<&str>) -> String {
        let name = if self.name.is_empty() { "APP" } else { &self.name };
        let namespace = if self.namespace.is_empty() {
            "the application's namespace".to_owned()
        } else {
            format!("namespace {}", self.namespace)
        };
        let secret = if self.kind == "Secret" {
            name.to_owned()
        } else {
            format!("{name}-secrets")
        };
        let entry = key.map_or_else(String::new, |key| format!(" as {key}"));
        let refer = match (self.kind.as_str(), key) {
            ("Secret", _) => String::new(),
            (_, Some(key)) => {
                format!(" and refer to it with valueFrom.secretKeyRef {{name: {secret}, key: {key}}} or the chart's existingSecret")
            }
            (_, None) => " and refer to that Secret by name".to_owned(),
        };
        format!(
            "put the value into Infisical at secretPath /{name}{entry}; in git create an InfisicalStaticSecret (secrets.infisical.com/v1beta1) {name} in \
             {namespace} with sources[].secretPath /{name} and targets[].name {secret}{refer}; a real value that was sent here is no secret any more: replace it"
        )
    }
}
