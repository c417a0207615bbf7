//! Paths that may be proposed. libgit2 alone lets symlinks, control characters and `git~1` through, so these rules stand in front
//! of it: at intake, and again on the tree that was built.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use unicode_normalization::is_nfc;

use crate::{is_blank, is_deceptive, is_selector, quoted};

/// Longest path in bytes.
pub const PATH_BYTES_MAX: usize = 1024;
/// Longest single name in bytes: what common file systems hold.
pub const PART_BYTES_MAX: usize = 255;
/// Deepest nesting.
pub const DEPTH_MAX: usize = 32;

/// A repository path that passed every rule: relative, UTF-8 in NFC, no look-alike tricks, nothing git or a file system treats specially.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoPath(String);

/// Why a path was refused: which one, and the rule that it broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("path {} is refused: {rule}", quoted(.path))]
pub struct PathRefusal {
    /// The path as given, cut to 200 characters. Messages show hidden characters as code points.
    pub path: String,
    /// The rule in words.
    pub rule: &'static str,
}

impl RepoPath {
    /// The path as text, `/` between the parts.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names along the path.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The directory part, or nothing for a file in the root.
    pub fn parent(&self) -> Option<&str> {
        self.0.rsplit_once('/').map(|(dir, _)| dir)
    }

    /// The last name.
    pub fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, name)| name)
    }
}

impl FromStr for RepoPath {
    type Err = PathRefusal;
    fn from_str(text: &str) -> Result<Self, PathRefusal> {
        match broken_rule(text) {
            None => Ok(Self(text.to_owned())),
            Some(rule) => Err(PathRefusal {
                path: text.chars().take(200).collect(),
                rule,
            }),
        }
    }
}

fn broken_rule(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("it is empty");
    }
    if path.len() > PATH_BYTES_MAX {
        return Some("it is longer than 1,024 bytes");
    }
    if path.starts_with('/') || path.ends_with('/') {
        return Some("it must be relative, without a leading or trailing slash");
    }
    if path.chars().any(char::is_control) {
        return Some("it contains a control character");
    }
    if path.chars().any(|c| is_deceptive(c) || is_selector(c)) {
        return Some("it contains a bidirectional, zero-width or otherwise hidden character");
    }
    if path.chars().any(is_blank) {
        return Some("it contains a blank that is not the plain space");
    }
    if path.contains(['\\', ':', '*', '?', '"', '<', '>', '|']) {
        return Some("it contains one of \\ : * ? \" < > |");
    }
    if !is_nfc(path) {
        return Some("it is not in Unicode normal form C");
    }
    if path.split('/').count() > DEPTH_MAX {
        return Some("it is nested deeper than 32 directories");
    }
    path.split('/').find_map(broken_part_rule)
}

fn broken_part_rule(part: &str) -> Option<&'static str> {
    if part.is_empty() {
        return Some("it has an empty part");
    }
    if part == "." || part == ".." {
        return Some("it has a . or .. part");
    }
    if part.len() > PART_BYTES_MAX {
        return Some("a part is longer than 255 bytes");
    }
    if part.ends_with(' ') || part.ends_with('.') || part.starts_with(' ') {
        return Some("a part starts with a space, or ends with a space or a dot");
    }
    if part.starts_with('-') {
        return Some("a part starts with a dash");
    }
    let lower = part.to_lowercase();
    if lower == ".git" || tilde(&lower, "git") || tilde(&lower, "gitmod") || tilde(&lower, "gi7eba") {
        return Some("a part is a name that git uses for itself");
    }
    if matches!(lower.as_str(), ".gitmodules" | ".gitattributes" | ".mailmap") {
        return Some("it would change how git reads the repository");
    }
    let stem = lower.split('.').next().unwrap_or(&lower).trim_end();
    let port = |name: &str| {
        let number = stem.strip_prefix(name).unwrap_or_default();
        let mut digits = number.chars();
        matches!((digits.next(), digits.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
    };
    let device = matches!(stem, "con" | "prn" | "aux" | "nul" | "conin$" | "conout$") || port("com") || port("lpt");
    device.then_some("a part is a device name on Windows")
}

/// `git~1` and the like: short names by which some file systems open `.git`.
fn tilde(part: &str, stem: &str) -> bool {
    part.strip_prefix(stem)
        .and_then(|rest| rest.strip_prefix('~'))
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
impl Serialize for RepoPath {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}
impl<'de> Deserialize<'de> for RepoPath {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
