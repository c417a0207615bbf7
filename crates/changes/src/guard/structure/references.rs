//! Values that only say where a secret is. What merely begins like one is a literal: the form must be whole, and stand where it means something.

use super::super::tree::{Node, Tree};
use super::words::names_a_file;

/// Places of files in containers. A path is a reference only under a key that names a file.
const FILES: &[&str] = &["/run/secrets/", "/var/run/secrets/", "/etc/", "/secrets/", "/mnt/"];
/// Addresses of secret stores.
const STORES: &[&str] = &[
    "secretref:",
    "secretRef:",
    "secret://",
    "op://",
    "infisical://",
    "awssm://",
    "gcpsm://",
    "env:",
];

/// Where a value stands, as far as it decides whether a reference is one.
#[derive(Clone, Copy)]
pub(in crate::guard) struct Place<'k> {
    pub key: &'k str,
    /// In a document that SOPS has encrypted.
    pub sops: bool,
}

/// Whether a document has the block that SOPS leaves in what it has encrypted.
pub(super) fn has_sops(tree: &Tree, document: &Node) -> bool {
    tree.get(document, "sops").is_some_and(|block| !block.entries().is_empty())
}

/// The same for what is read by lines: `sops:`, `[sops]`, `sops_mac=…`.
pub(super) fn has_sops_lines(text: &str) -> bool {
    text.contains("sops")
        && text
            .lines()
            .any(|line| line.starts_with("sops_") || matches!(line.trim_end(), "sops:" | "[sops]"))
}

/// A value that names where the secret is, or is empty: never the secret itself.
pub(in crate::guard) fn is_reference(value: &str, place: Place<'_>) -> bool {
    let value = value.trim();
    if value.is_empty() || value.chars().all(|c| matches!(c, '*' | 'x' | 'X' | '.' | '-')) {
        return true;
    }
    if value.contains("{{") {
        return is_template(value);
    }
    let http = value.starts_with("http://") || value.starts_with("https://");
    is_variable(value)
        || is_placeholder(value)
        || (place.sops && is_sops(value))
        || is_vault(value)
        || value.strip_prefix("ref+").is_some_and(|rest| rest.contains("://"))
        || value.strip_prefix("file:").is_some_and(|rest| rest.starts_with(['/', '.', '~']))
        || STORES.iter().any(|store| value.starts_with(store))
        || (FILES.iter().any(|folder| value.starts_with(folder)) && names_a_file(place.key))
        || (http && !value.contains('@'))
}

/// `$(NAME)`, `$NAME`, and `${NAME}` without a literal behind it as its default.
fn is_variable(value: &str) -> bool {
    let mut value = value;
    while let Some(inside) = value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
        match inside.split_once(":-") {
            Some((_, default)) if !default.is_empty() => value = default,
            Some(_) | None => return true,
        }
    }
    let name = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    (value.starts_with("$(") && value.ends_with(')')) || value.strip_prefix('$').is_some_and(name)
}

/// Argo CD Vault plugin: `<path:some/path#key>`, with a version or a modifier behind it; and placeholders, `<key>`.
fn is_placeholder(value: &str) -> bool {
    let Some(inside) = value.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) else {
        return false;
    };
    match inside.strip_prefix("path:") {
        Some(place) => place
            .split_once('#')
            .is_some_and(|(path, key)| (is_path(path) || path.starts_with("arn:aws")) && !key.trim().is_empty()),
        None => !inside.contains(char::is_whitespace),
    }
}

/// `ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]`.
fn is_sops(value: &str) -> bool {
    let fields = value.strip_prefix("ENC[AES256_GCM,").and_then(|rest| rest.strip_suffix(']'));
    fields.is_some_and(|fields| {
        let named = |field: &str, name: &str| field.strip_prefix(name).is_some_and(|rest| !rest.is_empty());
        let fields: Vec<&str> = fields.splitn(5, ',').collect();
        fields.len() == 4
            && ["data:", "iv:", "tag:", "type:"]
                .iter()
                .zip(&fields)
                .all(|(name, field)| named(field, name))
    })
}

/// `vault:some/path#key`, and the `vault://some/path` of other tools.
fn is_vault(value: &str) -> bool {
    let Some(place) = value.trim_start_matches('>').strip_prefix("vault:") else {
        return false;
    };
    match (place.strip_prefix("//"), place.split_once('#')) {
        (_, Some((path, key))) => is_path(path.trim_start_matches('/')) && !key.is_empty(),
        (Some(path), None) => is_path(path),
        (None, None) => false,
    }
}

fn is_path(path: &str) -> bool {
    path.contains('/') && !path.starts_with('/') && !path.ends_with('/') && !path.contains(char::is_whitespace)
}

/// A template whose value comes from elsewhere: hardly anything around the actions, and no literal as their default.
fn is_template(value: &str) -> bool {
    let mut rest = value;
    let mut outside = 0;
    while let Some(start) = rest.find("{{") {
        outside += rest[..start].chars().filter(|c| c.is_alphanumeric()).count();
        let Some(length) = rest[start..].find("}}") else {
            rest = &rest[start + 2..];
            break;
        };
        if writes_a_literal(&rest[start + 2..start + length]) {
            return false;
        }
        rest = &rest[start + length + 2..];
    }
    outside += rest.chars().filter(|c| c.is_alphanumeric()).count();
    outside < 8
}

/// Whether what an action writes may be a literal that stands in it: it begins with one, or has one to fall back on.
pub(in crate::guard) fn writes_a_literal(action: &str) -> bool {
    let action = action.trim_start_matches('{').trim_start_matches('-').trim();
    let literal = |text: &str| text.starts_with(['"', '\'', '`']) && !text.starts_with("\"\"") && !text.starts_with("''");
    let falls_back = |word: &str| {
        let behind = action.split(word).nth(1);
        behind.is_some_and(|behind| behind.split('|').next().unwrap_or_default().split_whitespace().any(literal))
    };
    literal(action) || ["default ", "default(", "coalesce ", "ternary "].into_iter().any(falls_back)
}
