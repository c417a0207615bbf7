//! Which keys name a secret, and which values below them are one.

use super::references::{Place, is_reference};

/// Words that make a key secret-like wherever they stand in it, unless its last word says that it is about something else.
const SECRET_WORDS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "secret",
    "secrets",
    "token",
    "credential",
    "credentials",
    "apikey",
    "dsn",
];
/// Ends of words that are written without a gap, such as `dbpassword`.
const SECRET_ENDS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "apikey",
    "privatekey",
    "secretkey",
    "clientsecret",
    "accesstoken",
    "authtoken",
    "bottoken",
];
/// `… key` is a secret behind these.
const KEY_OWNERS: &[&str] = &[
    "api",
    "private",
    "access",
    "encryption",
    "signing",
    "master",
    "auth",
    "hmac",
    "session",
    "cookie",
    "shared",
    "storage",
    "secretbox",
    "unseal",
];
/// A last word that says: not the secret, but something about it.
const ABOUT: &[&str] = &[
    "name",
    "names",
    "namespace",
    "ref",
    "refs",
    "reference",
    "file",
    "files",
    "filename",
    "path",
    "paths",
    "dir",
    "directory",
    "url",
    "uri",
    "endpoint",
    "host",
    "port",
    "enabled",
    "enable",
    "disabled",
    "required",
    "ttl",
    "expiry",
    "expiration",
    "expires",
    "seconds",
    "minutes",
    "hours",
    "days",
    "duration",
    "interval",
    "timeout",
    "period",
    "length",
    "size",
    "min",
    "max",
    "limit",
    "count",
    "type",
    "kind",
    "issuer",
    "audience",
    "audiences",
    "algorithm",
    "alg",
    "method",
    "policy",
    "provider",
    "version",
    "id",
    "ids",
    "mount",
    "volume",
    "prefix",
    "suffix",
    "header",
    "field",
    "fields",
    "format",
    "rotation",
    "validity",
    "lifetime",
    "age",
    "mode",
    "store",
    "backend",
    "manager",
    "engine",
    "class",
    "service",
    "account",
    "server",
    "reader",
    "role",
    "user",
    "username",
    "claim",
    "scope",
    "scopes",
    "strategy",
    "template",
    "label",
    "labels",
    "annotation",
    "annotations",
    "selector",
    "key",
    "keys",
    "projection",
    "request",
    "requests",
    "review",
    "reviewer",
    "controller",
    "operator",
    "driver",
    "source",
    "sources",
    "target",
    "email",
    "env",
    "var",
    "cmd",
    "command",
];
/// Last words of keys whose value may be a file: a private key is mostly one, and so are the credentials of clouds.
const FILES: &[&str] = &[
    "files",
    "filename",
    "paths",
    "dir",
    "directory",
    "location",
    "keys",
    "credential",
    "credentials",
    "certificate",
];
/// `… secret` with one of these in front means the secret itself even when the value looks like a resource's name.
const SECRET_OWNERS: &[&str] = &[
    "client",
    "shared",
    "jwt",
    "app",
    "application",
    "webhook",
    "cookie",
    "session",
    "signing",
    "hmac",
    "oauth",
    "oauth2",
    "oidc",
    "api",
    "access",
    "master",
    "encryption",
    "consumer",
    "bot",
];

/// How a key's value is judged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::guard) enum Likeness {
    /// Any literal is a secret, numbers too.
    Password,
    /// Any literal text is a secret.
    Secret,
    /// The value may as well be the name of a Secret, or of a key in it.
    Name,
}

/// What a key says about its value; `None` when it is no secret. Looks at the part behind the last `/`.
pub(in crate::guard) fn likeness(key: &str) -> Option<Likeness> {
    let key = key.rsplit('/').next().unwrap_or(key);
    let mut words = split(key);
    while words.len() > 1 && words.last().is_some_and(|word| word.bytes().all(|b| b.is_ascii_digit())) {
        words.pop();
    }
    let last = words.last()?.as_str();
    let before = words.len().checked_sub(2).map_or("", |nth| words[nth].as_str());
    if words.windows(2).any(|two| two == ["secret", "key"]) && last == "key" {
        let loud = !key.bytes().any(|b| b.is_ascii_lowercase());
        return Some(if loud { Likeness::Secret } else { Likeness::Name });
    }
    if (last == "key" && KEY_OWNERS.contains(&before)) || words.windows(3).any(|three| three == ["secret", "key", "base"]) {
        return Some(Likeness::Secret);
    }
    if matches!(last, "pass" | "password" | "passwd" | "passphrase" | "passcode" | "pwd") || last.ends_with("password") {
        return Some(Likeness::Password);
    }
    if matches!(last, "secret" | "secrets") {
        let loud = !key.bytes().any(|b| b.is_ascii_lowercase());
        return Some(if loud || SECRET_OWNERS.contains(&before) {
            Likeness::Secret
        } else {
            Likeness::Name
        });
    }
    if SECRET_ENDS.iter().any(|end| last.ends_with(end)) {
        return Some(Likeness::Secret);
    }
    let named = words.iter().any(|word| SECRET_WORDS.contains(&word.as_str()));
    (named && !ABOUT.contains(&last)).then_some(Likeness::Secret)
}

/// Whether a key names a file, so that a path is its value and no secret.
pub(super) fn names_a_file(key: &str) -> bool {
    let words = split(key.rsplit('/').next().unwrap_or(key));
    let last = words.last().map_or("", String::as_str);
    FILES.contains(&last) || ["file", "path", "key"].iter().any(|end| last.ends_with(end))
}

/// `dbPassword`, `DB_PASSWORD`, `db-password` and `db.password` are all `db`, `password`.
fn split(key: &str) -> Vec<String> {
    let letters: Vec<char> = key.chars().take(200).collect();
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    for (at, c) in letters.iter().enumerate() {
        let previous = at.checked_sub(1).map(|at| letters[at]);
        let next_lower = letters.get(at + 1).is_some_and(|next| next.is_lowercase());
        let starts =
            c.is_uppercase() && previous.is_some_and(|p| p.is_lowercase() || p.is_ascii_digit() || (p.is_uppercase() && next_lower));
        if (starts || !c.is_alphanumeric()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Whether a value under a secret-like key is the secret itself.
pub(in crate::guard) fn is_secret(likeness: Likeness, value: &str, plain: bool, place: Place<'_>) -> bool {
    let value = value.trim();
    if is_reference(value, place) {
        return false;
    }
    let word = plain
        && matches!(
            value.to_ascii_lowercase().as_str(),
            "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "~"
        );
    let number = plain && value.parse::<f64>().is_ok();
    match likeness {
        Likeness::Password => !word,
        Likeness::Secret => !word && !number,
        Likeness::Name => !word && !number && !is_name(value),
    }
}

/// Looks like the name of a Kubernetes object or of a key in one: lower-case words, few digits.
fn is_name(value: &str) -> bool {
    let part = |part: &str| {
        let digits = part.bytes().filter(u8::is_ascii_digit).count();
        !part.is_empty() && part.len() <= 20 && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) && digits <= 2
    };
    let upper = value.len() <= 40 && value.contains('_') && value.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    upper || (value.len() <= 80 && value.split(['-', '.', '_', '/']).all(part))
}
