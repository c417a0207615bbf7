//! Codes of a person's own generator (TOTP, RFC 6238, as authenticator apps take it: SHA-1, six digits, thirty seconds): what makes an
//! approval that a stolen chat account alone cannot give. Each code counts once, and guessing is stopped soon.

use std::fmt;

use hmac::{Hmac, Mac as _};
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::{PersonRef, Timestamp, UserId};

/// Seconds for which a code is valid.
pub const STEP_SECONDS: u64 = 30;
/// Digits of a code.
pub const DIGITS: u32 = 6;
/// Wrong codes within [`WRONG_SECONDS`] that lock a generator: six digits and three valid steps are one guess in 333,333.
pub const WRONG_MAX: u32 = 5;
/// Wrong codes count for so long.
pub const WRONG_SECONDS: i64 = 600;
/// How long a generator is locked: at five guesses in that time, a code would be hit once in years.
pub const LOCKED_SECONDS: i64 = 1800;
/// Steps around the present one that count: a phone's clock may be a little off, and typing takes time.
const STEPS_AROUND: u64 = 1;
/// Steps before those whose code is told to be over, instead of wrong.
const STEPS_OVER: u64 = 10;
/// Fewest characters of the key: 128 bits in hexadecimal.
const KEY_MIN: usize = 32;

/// The service's own half of every seed. Kept outside of the database, so that whoever reads that can make no codes.
#[derive(Clone)]
pub struct CodeKey(Vec<u8>);

/// A key that is too short to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is shorter than {KEY_MIN} characters: make one with `openssl rand -hex 32`")]
pub struct ShortKey;

impl CodeKey {
    /// A key as it stands in its file.
    ///
    /// # Errors
    /// When it is too short.
    pub fn new(text: &str) -> Result<Self, ShortKey> {
        let text = text.trim();
        if text.len() < KEY_MIN {
            return Err(ShortKey);
        }
        Ok(Self(text.as_bytes().to_vec()))
    }

    fn derive(&self, what: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        // HMAC takes a key of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            return [0; 32];
        };
        mac.update(what);
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for CodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeKey")
    }
}

/// The secret that a person's app holds.
pub struct Seed([u8; 20]);

impl Seed {
    /// Its bytes, for the one moment in which it is handed over.
    pub const fn bytes(&self) -> &[u8; 20] {
        &self.0
    }

    fn code(&self, step: u64) -> String {
        format!("{:06}", hotp(&self.0, step, DIGITS))
    }

    /// The code that counts at a time: what the person's app shows.
    pub fn code_at(&self, now: Timestamp) -> String {
        self.code(step_at(now))
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed")
    }
}

/// A person's generator as the service keeps it: nothing in it is secret without the [`CodeKey`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generator {
    /// Whose.
    pub person: PersonRef,
    /// The database's half of the seed, random.
    pub salt: [u8; 20],
    /// Tells whether the key is still the one that the seed was made with.
    pub key_check: [u8; 8],
    /// Since when.
    pub enrolled_at: Timestamp,
    /// The step of the newest code that was taken: neither it nor an older one is taken again.
    pub last_step: u64,
    /// When that was.
    pub last_used_at: Option<Timestamp>,
    /// Wrong codes since [`Self::wrong_since`].
    pub wrong: u32,
    /// When the first of these was given.
    pub wrong_since: Option<Timestamp>,
    /// No code is looked at before.
    pub locked_until: Option<Timestamp>,
}

/// What a typed code is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typed {
    /// The present one, seen for the first time. It is used up now.
    Right,
    /// Not one of this person's, or not six digits; so many more may be tried.
    Wrong {
        /// Tries left.
        left: u32,
    },
    /// One of some minutes ago.
    Over {
        /// Tries left.
        left: u32,
    },
    /// It, or a later one, was used already.
    Repeated,
    /// Too many wrong ones: nothing is looked at.
    Locked {
        /// Until when.
        until: Timestamp,
    },
    /// The service's key is another one than at the enrolment: no code can be right.
    OtherKey,
}

impl Generator {
    /// A new generator. `salt` is random.
    pub fn new(person: PersonRef, key: &CodeKey, salt: [u8; 20], now: Timestamp) -> Self {
        Self {
            key_check: key_check(key, &salt),
            person,
            salt,
            enrolled_at: now,
            last_step: 0,
            last_used_at: None,
            wrong: 0,
            wrong_since: None,
            locked_until: None,
        }
    }

    /// The seed that the person's app holds.
    pub fn seed(&self, key: &CodeKey) -> Seed {
        seed(key, self.person.id, &self.salt)
    }

    /// Until when it is locked, if it is.
    pub fn locked(&self, now: Timestamp) -> Option<Timestamp> {
        self.locked_until.filter(|until| *until > now)
    }

    /// Looks at a code that this person typed. Whatever it is, the answer's first part must be stored: it is what stops guessing and repeating.
    #[must_use]
    pub fn judge(&self, key: &CodeKey, typed: &str, now: Timestamp) -> (Self, Typed) {
        if let Some(until) = self.locked(now) {
            return (self.clone(), Typed::Locked { until });
        }
        if key_check(key, &self.salt).ct_eq(&self.key_check).unwrap_u8() == 0 {
            return (self.clone(), Typed::OtherKey);
        }
        let (seed, present) = (self.seed(key), step_at(now));
        let is = |step: &u64| seed.code(*step).as_bytes().ct_eq(typed.as_bytes()).unwrap_u8() == 1;
        let steps = present.saturating_sub(STEPS_AROUND)..=present.saturating_add(STEPS_AROUND);
        // The newest first: two steps may have the same code by chance.
        match steps.rev().find(is) {
            Some(step) if step <= self.last_step => (self.clone(), Typed::Repeated),
            Some(step) => (self.used(step, now), Typed::Right),
            None => {
                let (next, locked) = self.missed(now);
                let left = WRONG_MAX.saturating_sub(next.wrong);
                let earlier = present.saturating_sub(STEPS_OVER)..present.saturating_sub(STEPS_AROUND);
                let typed = match locked {
                    Some(until) => Typed::Locked { until },
                    None if earlier.rev().any(|step| is(&step)) => Typed::Over { left },
                    None => Typed::Wrong { left },
                };
                (next, typed)
            }
        }
    }

    fn used(&self, step: u64, now: Timestamp) -> Self {
        Self {
            last_step: step,
            last_used_at: Some(now),
            wrong: 0,
            wrong_since: None,
            locked_until: None,
            ..self.clone()
        }
    }

    fn missed(&self, now: Timestamp) -> (Self, Option<Timestamp>) {
        let mut next = self.clone();
        let recent = self
            .wrong_since
            .filter(|since| (now - *since).num_seconds() < WRONG_SECONDS && self.locked_until.is_none());
        next.wrong_since = Some(recent.unwrap_or(now));
        next.wrong = recent.map_or(1, |_| self.wrong.saturating_add(1));
        next.locked_until = (next.wrong >= WRONG_MAX).then(|| now + chrono::Duration::seconds(LOCKED_SECONDS));
        let locked = next.locked_until;
        (next, locked)
    }
}

fn seed(key: &CodeKey, person: UserId, salt: &[u8; 20]) -> Seed {
    let derived = key.derive(b"countersign-totp-seed-v1\0", &[&person.0.to_be_bytes(), salt]);
    let mut bytes = [0; 20];
    bytes.copy_from_slice(&derived[..20]);
    Seed(bytes)
}

fn key_check(key: &CodeKey, salt: &[u8; 20]) -> [u8; 8] {
    let derived = key.derive(b"countersign-totp-check-v1\0", &[salt]);
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&derived[..8]);
    bytes
}

fn step_at(now: Timestamp) -> u64 {
    u64::try_from(now.timestamp()).unwrap_or(0) / STEP_SECONDS
}

/// RFC 4226: the code of a counter.
fn hotp(seed: &[u8], counter: u64, digits: u32) -> u32 {
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(seed) else {
        return 0;
    };
    mac.update(&counter.to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let at = usize::from(hash[19] & 0xf);
    let four = [hash[at], hash[at + 1], hash[at + 2], hash[at + 3]];
    (u32::from_be_bytes(four) & 0x7fff_ffff) % 10_u32.pow(digits)
}

#[cfg(test)]
mod tests;
