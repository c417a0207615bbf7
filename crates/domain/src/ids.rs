//! Names of things: proposals, commits, blobs, people, agents. Parsed once at the edge, never wrong inside.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A moment in UTC. The domain never reads a clock: every `now` is an argument.
pub type Timestamp = chrono::DateTime<chrono::Utc>;

/// Why a textual identifier was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {given:?} is not valid: expected {expected}")]
pub struct InvalidId {
    /// What was being parsed, such as `proposal id`.
    pub what: &'static str,
    /// The text that was given, cut to 80 characters.
    pub given: String,
    /// The shape that would have been accepted.
    pub expected: &'static str,
}

fn invalid(what: &'static str, given: &str, expected: &'static str) -> InvalidId {
    InvalidId {
        what,
        given: given.chars().take(80).collect(),
        expected,
    }
}

/// A proposal's name: `prp_` and a UUIDv7 in 32 hexadecimal digits. Sorts by creation time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProposalId(Uuid);

impl ProposalId {
    /// Wraps a UUIDv7 that the caller made: the domain has no randomness of its own.
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The UUID behind the name.
    pub const fn uuid(self) -> Uuid {
        self.0
    }

    /// The last six digits in upper case: what people say to each other ("7K2M01" on a card). Not unique; never used to look up.
    pub fn short(self) -> String {
        let text = self.0.simple().to_string();
        text[text.len() - 6..].to_uppercase()
    }
}

impl fmt::Display for ProposalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "prp_{}", self.0.simple())
    }
}

impl fmt::Debug for ProposalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ProposalId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let error = || invalid("proposal id", text, "prp_ and 32 lower-case hexadecimal digits");
        let digits = text.strip_prefix("prp_").ok_or_else(error)?;
        if digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(error());
        }
        Uuid::try_parse(digits).map(Self).map_err(|_| error())
    }
}

macro_rules! text_serde {
    ($t:ty) => {
        impl Serialize for $t {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $t {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
text_serde!(ProposalId);

/// A git object id of the SHA-1 format: 20 bytes, written as 40 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId([u8; 20]);

/// A commit's object id.
pub type CommitId = ObjectId;
/// A blob's object id.
pub type BlobId = ObjectId;

impl ObjectId {
    /// From raw bytes.
    pub const fn from_bytes(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// The raw 20 bytes.
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    /// The first seven digits, as git shows them.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])[..7].to_owned()
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ObjectId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let mut bytes = [0u8; 20];
        let lower = !text.bytes().any(|b| b.is_ascii_uppercase());
        if !lower || hex::decode_to_slice(text, &mut bytes).is_err() {
            return Err(invalid("object id", text, "40 lower-case hexadecimal digits"));
        }
        Ok(Self(bytes))
    }
}
text_serde!(ObjectId);

/// A SHA-256 value: 32 bytes, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256Hash(pub [u8; 32]);

impl Sha256Hash {
    /// The hash of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The first twelve digits: what a card shows.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..6])
    }
}

impl fmt::Display for Sha256Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256Hash {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let mut bytes = [0u8; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| invalid("SHA-256", text, "64 hexadecimal digits"))?;
        Ok(Self(bytes))
    }
}
text_serde!(Sha256Hash);

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let good = !text.is_empty()
                    && text.len() <= 64
                    && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
                    && text.as_bytes()[0].is_ascii_alphanumeric();
                if good { Ok(Self(text.to_owned())) } else {
                    Err(invalid($what, text, "1 to 64 of A-Z a-z 0-9 . _ -, starting with a letter or digit"))
                }
            }
        }
        text_serde!($name);
    };
}

name_type!(
    /// An agent's name, as given by `countersign agent add`.
    AgentName,
    "agent name"
);
name_type!(
    /// A configured repository's name: what agents say instead of a URL.
    RepositoryName,
    "repository name"
);
name_type!(
    /// A runbook's name.
    RunbookName,
    "runbook name"
);
name_type!(
    /// A kind of target inside a repository, such as `production`: trust that was earned in one does not hold in another.
    TargetClass,
    "target class"
);
name_type!(
    /// A group of people in the policy.
    GroupName,
    "group name"
);

/// A Telegram user's numeric id. Usernames change hands; ids do not. Never leaves the service towards agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(pub i64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_and_refuse_other_shapes() {
        let id = ProposalId::new(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_00ab));
        assert_eq!(id.to_string(), "prp_019000000000700080000000000000ab");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.short(), "0000AB");
        for bad in [
            "",
            "prp_",
            "chg_019000000000700080000000000000ab",
            "prp_019000000000700080000000000000AB",
            "prp_01900000-0000-7000-8000-0000000000ab",
        ] {
            assert!(bad.parse::<ProposalId>().is_err(), "{bad}");
        }
        for bad in [
            "",
            "abc",
            "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709",
            "da39a3ee5e6b4b0d3255bfef95601890afd8070",
        ] {
            assert!(bad.parse::<ObjectId>().is_err(), "{bad}");
        }
        for bad in ["", "-a", "a b", "a/b", "ä"] {
            assert!(bad.parse::<AgentName>().is_err(), "{bad}");
        }
    }
}
