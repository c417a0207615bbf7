//! Manifests whose kind says where their secrets stand: Secrets, what refers to them, ConfigMaps, generators.

use super::super::tree::Node;
use super::references::is_reference;
use super::words::{is_secret, likeness};
use super::{Walk, quoted};

/// Kinds that say where a secret is, and hold none. Their `template` may hold literals all the same.
const REFERENCES: &[&str] = &[
    "SealedSecret",
    "ExternalSecret",
    "ClusterExternalSecret",
    "SecretStore",
    "ClusterSecretStore",
    "PushSecret",
    "InfisicalSecret",
    "InfisicalStaticSecret",
    "InfisicalDynamicSecret",
    "InfisicalPushSecret",
    "InfisicalAuth",
    "InfisicalConnection",
    "SecretProviderClass",
    "VaultStaticSecret",
    "VaultDynamicSecret",
];

impl<'w> Walk<'w, '_> {
    pub(super) fn manifest(&mut self, document: &'w Node, kind: &str) {
        if let Some(of) = kind.strip_suffix("List")
            && (of.is_empty() || self.tree.get(document, "items").is_some())
        {
            for item in self.tree.get(document, "items").map(Node::items).unwrap_or_default() {
                self.item(item, of);
            }
            return;
        }
        if REFERENCES.contains(&kind) {
            self.sink.expect_random(document.line + self.shift, document.end_line + self.shift);
            return self.templates_of(document, 0);
        }
        let outer = self.rule;
        match kind {
            "Secret" => self.secret(document),
            "ConfigMap" => self.config_map(document),
            "Kustomization" | "Component" => self.generators(document),
            // Schemas name fields, and fields named `password` hold their type.
            "CustomResourceDefinition" => {}
            _ => self.walk(document, ""),
        }
        self.rule = outer;
    }

    /// `template` parts of references: what stands there literally reaches the Secret literally.
    pub(super) fn templates_of(&mut self, node: &'w Node, depth: usize) {
        if !self.may(node) {
            return;
        }
        for (key, value) in self.tree.resolve(node).entries() {
            if key.text() == Some("template") {
                self.walk(value, "");
            } else if depth < 4 {
                self.templates_of(value, depth + 1);
            }
        }
    }

    pub(super) fn secret(&mut self, document: &'w Node) {
        for part in ["data", "stringData"] {
            let Some(data) = self.tree.get(document, part).filter(|data| self.may(data)) else {
                continue;
            };
            for (key, value) in data.entries() {
                self.literal(part, key.text().unwrap_or("a key"), value);
            }
        }
        if let Some(metadata) = self.tree.get(document, "metadata") {
            self.walk(metadata, "metadata");
        }
    }

    /// One entry of a Secret's data or stringData.
    pub(super) fn literal(&mut self, part: &str, name: &str, value: &'w Node) {
        let value = self.tree.resolve(value);
        if value.is_null() || value.text().is_some_and(|text| is_reference(text, self.place(name))) {
            return;
        }
        let message = format!("{} holds {} literally in {part}", self.owner.words(), quoted(name));
        self.found("structure.secret", value, message, Some(name));
    }

    pub(super) fn config_map(&mut self, document: &'w Node) {
        self.rule = "structure.configmap";
        let data = self.tree.get(document, "data").filter(|data| self.may(data));
        for (key, value) in data.map(Node::entries).unwrap_or_default() {
            self.entry(key, value);
        }
    }

    pub(super) fn generators(&mut self, document: &'w Node) {
        for (key, value) in document.entries() {
            let secret = key.text() == Some("secretGenerator");
            if !secret && key.text() != Some("configMapGenerator") {
                self.entry(key, value);
                continue;
            }
            for generator in self.tree.resolve(value).items() {
                let literals = self.tree.get(generator, "literals").filter(|literals| self.may(literals));
                for literal in literals.map(Node::items).unwrap_or_default() {
                    let literal = self.tree.resolve(literal);
                    let Some((name, value)) = literal.text().and_then(|text| text.split_once('=')) else {
                        continue;
                    };
                    let refused = if secret {
                        !is_reference(value, self.place(name))
                    } else {
                        likeness(name).is_some_and(|like| is_secret(like, value, true, self.place(name)))
                    };
                    if refused {
                        self.sink.hide(value);
                        self.found(
                            "structure.generator",
                            literal,
                            format!("a generator holds {} literally", quoted(name)),
                            Some(name),
                        );
                    }
                }
            }
        }
    }
}
