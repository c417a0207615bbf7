//! What a button carries: `v1:<verb>:<nonce>`, at most 64 bytes. The nonce is opaque; everything it stands for lives in the database.
//! Whatever comes back is untrusted: anybody with a modified app can send any bytes as the data of a tap.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Longest callback data Telegram accepts, in bytes.
pub const DATA_BYTES_MAX: usize = 64;

/// What a person can do with a card. The same set names the buttons a caller allows and the verbs that come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Approve the digest the card shows.
    Approve,
    /// Reject it: final.
    Reject,
    /// Send the whole diff as a document.
    FullDiff,
    /// Stop an approved change before its push.
    Cancel,
    /// Let an approved change pass a freeze.
    SendAnyway,
    /// Push again after the remote refused.
    Retry,
    /// Propose the inverse change.
    Revert,
    /// Take `standard` away from the runbook.
    Demote,
    /// Ask Argo CD to sync the application with this index in [`crate::Card::applications`].
    Sync(u8),
    /// The second step: yes.
    Confirm,
    /// The second step: no, show the card again.
    Back,
    /// The reject reason with this index in [`crate::Card::chips`].
    Chip(u8),
    /// Put a prepared manual change, or an alarm, aside.
    Dismiss,
    /// Copies the commit id. Works inside the app: nothing comes back.
    CopySha,
    /// Copies the commands of a manual change. Works inside the app: nothing comes back.
    CopyCommands,
    /// Send the diff of the run with this index in a digest.
    DiffOf(u8),
    /// As [`Action::Revert`], for the run with this index in a digest.
    RevertOf(u8),
    /// As [`Action::Demote`], for the run with this index in a digest.
    DemoteOf(u8),
    /// One person's wish that a stop ends.
    Resume,
    /// One person's wish that somebody gets their rights back.
    Unlock,
}

/// 16 random bytes that the database binds to (proposal, revision, digest, chat, send attempt).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce([u8; 16]);

/// Why a tap's data, or a nonce, was refused. The given bytes are not repeated: they come from a stranger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this button's data is not one of ours: {0}")]
pub struct InvalidData(pub &'static str);

impl Nonce {
    /// From 16 bytes out of the operating system's random source.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}
impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Nonce {
    type Err = InvalidData;
    fn from_str(text: &str) -> Result<Self, InvalidData> {
        let wrong = InvalidData("its nonce is not 22 characters of base64url");
        if text.len() != 22 {
            return Err(wrong);
        }
        let mut bytes = [0; 16];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(16) => Ok(Self(bytes)),
            _ => Err(wrong),
        }
    }
}

/// The data of one button.
pub fn encode(action: Action, nonce: &Nonce) -> String {
    match action {
        Action::Sync(index) => format!("v1:sync{index}:{nonce}"),
        Action::Chip(index) => format!("v1:chip{index}:{nonce}"),
        Action::DiffOf(index) => format!("v1:diff{index}:{nonce}"),
        Action::RevertOf(index) => format!("v1:revert{index}:{nonce}"),
        Action::DemoteOf(index) => format!("v1:demote{index}:{nonce}"),
        other => format!("v1:{}:{nonce}", verb(other)),
    }
}

/// Reads a tap's data. Anything but exactly what [`encode`] writes is refused.
pub fn decode(data: &str) -> Result<(Action, Nonce), InvalidData> {
    if data.len() > DATA_BYTES_MAX {
        return Err(InvalidData("it is longer than 64 bytes"));
    }
    let rest = data.strip_prefix("v1:").ok_or(InvalidData("it does not start with v1:"))?;
    let (verb, nonce) = rest.split_once(':').ok_or(InvalidData("it has no nonce"))?;
    let action = action(verb).ok_or(InvalidData("its verb is unknown"))?;
    Ok((action, nonce.parse()?))
}

const PLAIN: [Action; 15] = [
    Action::Approve,
    Action::Reject,
    Action::FullDiff,
    Action::Cancel,
    Action::SendAnyway,
    Action::Retry,
    Action::Revert,
    Action::Demote,
    Action::Confirm,
    Action::Back,
    Action::Dismiss,
    Action::CopySha,
    Action::CopyCommands,
    Action::Resume,
    Action::Unlock,
];

const fn verb(action: Action) -> &'static str {
    match action {
        Action::Approve => "approve",
        Action::Reject => "reject",
        Action::FullDiff | Action::DiffOf(_) => "diff",
        Action::Cancel => "cancel",
        Action::SendAnyway => "anyway",
        Action::Retry => "retry",
        Action::Revert | Action::RevertOf(_) => "revert",
        Action::Demote | Action::DemoteOf(_) => "demote",
        Action::Sync(_) => "sync",
        Action::Confirm => "confirm",
        Action::Back => "back",
        Action::Chip(_) => "chip",
        Action::Dismiss => "dismiss",
        Action::CopySha => "sha",
        Action::CopyCommands => "commands",
        Action::Resume => "resume",
        Action::Unlock => "unlock",
    }
}

fn action(word: &str) -> Option<Action> {
    let numbered = |prefix: &str| {
        let digits = word.strip_prefix(prefix)?;
        // One spelling per number: `sync07` is not ours.
        digits.parse::<u8>().ok().filter(|n| n.to_string() == digits)
    };
    if let Some(found) = PLAIN.into_iter().find(|a| verb(*a) == word) {
        return Some(found);
    }
    numbered("sync")
        .map(Action::Sync)
        .or_else(|| numbered("chip").map(Action::Chip))
        .or_else(|| numbered("diff").map(Action::DiffOf))
        .or_else(|| numbered("revert").map(Action::RevertOf))
        .or_else(|| numbered("demote").map(Action::DemoteOf))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_comes_back_and_fits() {
        let nonce = Nonce::from_bytes([0xfb; 16]);
        let counted = [
            Action::Sync(0),
            Action::Sync(255),
            Action::Chip(7),
            Action::DiffOf(0),
            Action::RevertOf(9),
            Action::DemoteOf(255),
        ];
        for action in PLAIN.into_iter().chain(counted) {
            let data = encode(action, &nonce);
            assert!(data.len() <= DATA_BYTES_MAX, "{data}");
            assert_eq!(decode(&data), Ok((action, nonce)), "{data}");
        }
        assert_eq!(
            encode(Action::Approve, &Nonce::from_bytes([0; 16])),
            "v1:approve:AAAAAAAAAAAAAAAAAAAAAA"
        );
    }

    #[test]
    fn forged_data_is_refused() {
        let good = "AAAAAAAAAAAAAAAAAAAAAA";
        for bad in [
            String::new(),
            "approve".into(),
            format!("v2:approve:{good}"),
            format!("v1:approve:{good}A"),
            "v1:approve:".into(),
            format!("v1:APPROVE:{good}"),
            format!("v1:sync:{good}"),
            format!("v1:sync07:{good}"),
            format!("v1:sync256:{good}"),
            format!("v1:sync+1:{good}"),
            format!("v1:approve:{good}\n"),
            "v1:approve:AAAAAAAAAAAAAAAAAAAAAB".into(), // trailing bits set: not what we wrote
            "v1:approve:AAAAAAAAAAAAAAAAAAAA==".into(),
            "x".repeat(65),
        ] {
            assert!(decode(&bad).is_err(), "{bad}");
        }
    }
}
