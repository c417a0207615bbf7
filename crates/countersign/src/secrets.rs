//! Secrets: a value, or a file that is read again when it changes. No `Debug` shows one, no error repeats one.

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};

/// A secret by value or by file, with the key that configures it.
#[derive(Clone)]
pub struct Secret {
    key: String,
    source: Source,
}

#[derive(Clone)]
enum Source {
    Value(SecretString),
    File(PathBuf),
}

/// A secret file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    key: String,
    path: PathBuf,
    why: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: the file {} {}; check the path, its permissions and its content",
            self.key,
            self.path.display(),
            self.why
        )
    }
}

impl std::error::Error for Unreadable {}

impl Secret {
    /// A secret given by value.
    pub fn value(key: impl Into<String>, secret: SecretString) -> Self {
        Self {
            key: key.into(),
            source: Source::Value(secret),
        }
    }

    /// A secret in a file.
    pub fn file(key: impl Into<String>, path: PathBuf) -> Self {
        Self {
            key: key.into(),
            source: Source::File(path),
        }
    }

    /// The configured key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The file, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match &self.source {
            Source::Value(_) => None,
            Source::File(path) => Some(path),
        }
    }

    /// The secret now: the first line of the file, without spaces around it.
    ///
    /// # Errors
    /// When the file cannot be read or is empty.
    pub fn read(&self) -> Result<SecretString, Unreadable> {
        let path = match &self.source {
            Source::Value(secret) => return Ok(SecretString::from(secret.expose_secret().trim())),
            Source::File(path) => path,
        };
        let unreadable = |why: String| Unreadable {
            key: self.key.clone(),
            path: path.clone(),
            why,
        };
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(format!("cannot be read: {error}")))?;
        match text.lines().next().unwrap_or_default().trim() {
            "" => Err(unreadable("is empty".to_owned())),
            line => Ok(SecretString::from(line)),
        }
    }

    /// As the git worker takes it; it reads files by itself.
    pub(crate) fn for_git(&self) -> gitworker::SecretSource {
        match &self.source {
            Source::Value(secret) => gitworker::SecretSource::Value(secret.clone()),
            Source::File(path) => gitworker::SecretSource::file(path.clone()),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Value(_) => write!(f, "Secret({})", self.key),
            Source::File(path) => write!(f, "Secret({} = {})", self.key, path.display()),
        }
    }
}
