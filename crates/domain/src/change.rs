//! Change sets and the digest that names exactly what was shown.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{BlobId, RepoPath, RepositoryName, Sha256Hash};

/// The only two modes a proposed file may have. Symlinks, submodules and directories are never proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileMode {
    /// `100644`
    Regular,
    /// `100755`
    Executable,
}

impl FileMode {
    /// git's number for the mode.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Regular => 0o100_644,
            Self::Executable => 0o100_755,
        }
    }

    /// From git's number; `None` for anything that may not be proposed.
    pub const fn from_bits(bits: u32) -> Option<Self> {
        match bits {
            0o100_644 => Some(Self::Regular),
            0o100_755 => Some(Self::Executable),
            _ => None,
        }
    }
}

/// A file as it stands in a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileVersion {
    /// Its mode.
    pub mode: FileMode,
    /// Its content's object id.
    pub blob: BlobId,
}

/// A file as it shall be.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewFile {
    /// Its mode.
    pub mode: FileMode,
    /// Its full content.
    #[serde(with = "stored_bytes")]
    pub bytes: Vec<u8>,
}

impl fmt::Debug for NewFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewFile({:?}, {} bytes)", self.mode, self.bytes.len())
    }
}

/// One path of a change set: what stands there in the base, and what shall stand there. Never both `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// The file in the base commit; `None` when the change adds it.
    pub old: Option<FileVersion>,
    /// The proposed file; `None` when the change deletes it.
    pub new: Option<NewFile>,
}

impl FileChange {
    /// `added`, `modified` or `deleted`.
    pub const fn kind(&self) -> ChangeKind {
        match (&self.old, &self.new) {
            (None, _) => ChangeKind::Added,
            (Some(_), Some(_)) => ChangeKind::Modified,
            (Some(_), None) => ChangeKind::Deleted,
        }
    }
}

/// What happens to one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// The path did not exist.
    Added,
    /// The path exists and gets another content or mode.
    Modified,
    /// The path is removed.
    Deleted,
}

/// A whole change against one base: resolved to full contents, ordered by path bytes, committed whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChangeSet(BTreeMap<RepoPath, FileChange>);

impl ChangeSet {
    /// Takes the resolved files. Entries that change nothing (same mode and same bytes) are the caller's to drop.
    pub const fn new(files: BTreeMap<RepoPath, FileChange>) -> Self {
        Self(files)
    }

    /// The files in byte order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&RepoPath, &FileChange)> {
        self.0.iter()
    }

    /// The touched paths in byte order.
    pub fn paths(&self) -> impl Iterator<Item = &RepoPath> {
        self.0.keys()
    }

    /// One path's change.
    pub fn get(&self, path: &RepoPath) -> Option<&FileChange> {
        self.0.get(path)
    }

    /// How many paths are touched.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is touched.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The digest of this change in a repository and branch.
    ///
    /// SHA-256 over `countersign-digest-v1\0`, repository name, branch, count, then per path in byte order: path, old mode, new mode,
    /// old blob id, SHA-256 of the new bytes. Strings are length-prefixed (u32 big endian); modes and the count are u32 big endian;
    /// an absent side is mode 0 and an empty string. The base commit is not part of it: an approval outlives a branch that moved elsewhere.
    ///
    /// Test vector: repository `homelab`, branch `main`; `apps/gone.yaml` (`gone\n`) deleted, `apps/run.sh` (`#!/bin/sh\n`) added as
    /// executable, `apps/web.yaml` changed from `replicas: 2\n` to `replicas: 3\n`. The digest is
    /// `86d677861f82f66afa5cacb453ecc54c81abedf308729ddd36f1fb374964e00b`; the 247 hashed bytes are
    ///
    /// ```text
    /// 636f756e7465727369676e2d6469676573742d763100  "countersign-digest-v1\0"
    /// 00000007 686f6d656c6162                        "homelab"
    /// 00000004 6d61696e                              "main"
    /// 00000003                                       three paths
    /// 0000000e 617070732f676f6e652e79616d6c          "apps/gone.yaml"
    /// 000081a4 00000000                              100644, absent
    /// 00000014 286c5f5776916d7d7d5849988ca9d83e722cf9c2
    /// 00000000
    /// 0000000b 617070732f72756e2e7368                "apps/run.sh"
    /// 00000000 000081ed                              absent, 100755
    /// 00000000
    /// 00000020 a8076d3d28d21e02012b20eaf7dbf75409a6277134439025f282e368e3305abf
    /// 0000000d 617070732f7765622e79616d6c            "apps/web.yaml"
    /// 000081a4 000081a4                              100644, 100644
    /// 00000014 eb5c26739ea8767a00de3d6e1932c340ce323472
    /// 00000020 9cf3a5f89adc05f90e87b284d40f8e39e1b763d9f9df307327e6f127ed492175
    /// ```
    pub fn digest(&self, repository: &RepositoryName, branch: &str) -> Sha256Hash {
        let mut hash = Sha256::new();
        hash.update(b"countersign-digest-v1\0");
        put(&mut hash, repository.as_str().as_bytes());
        put(&mut hash, branch.as_bytes());
        hash.update(u32::try_from(self.0.len()).unwrap_or(u32::MAX).to_be_bytes());
        for (path, change) in &self.0 {
            put(&mut hash, path.as_str().as_bytes());
            hash.update(change.old.map_or(0, |old| old.mode.bits()).to_be_bytes());
            hash.update(change.new.as_ref().map_or(0, |new| new.mode.bits()).to_be_bytes());
            put(&mut hash, change.old.as_ref().map_or(&[][..], |old| old.blob.as_bytes()));
            match &change.new {
                Some(new) => put(&mut hash, &Sha256::digest(&new.bytes)),
                None => put(&mut hash, &[]),
            }
        }
        Sha256Hash(hash.finalize().into())
    }
}

fn put(hash: &mut Sha256, bytes: &[u8]) {
    hash.update(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    hash.update(bytes);
}

/// Whether bytes are shown as text: valid UTF-8 without NUL.
pub fn is_text(bytes: &[u8]) -> bool {
    !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok()
}

mod stored_bytes {
    //! Contents in stored JSON: text as text (readable in the database), other bytes as hexadecimal behind a marker key.
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Stored {
        Text(String),
        Hex { hex: String },
    }

    pub fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) => s.serialize_str(text),
            Err(_) => Stored::Hex { hex: hex::encode(bytes) }.serialize(s),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        match Stored::deserialize(d)? {
            Stored::Text(text) => Ok(text.into_bytes()),
            Stored::Hex { hex } => hex::decode(hex).map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests;
