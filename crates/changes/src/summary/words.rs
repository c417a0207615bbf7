//! How foreign text is shown: cleaned, shortened, and quoted where it could be taken for our own words. Values that could be secrets are
//! never shown.

use domain::{is_deceptive, is_selector};

use super::value::Value;

/// Characters of one foreign word (a name, a value) in a line.
const WORD_CHARS: usize = 60;

/// What stands in place of a value that could be a secret.
pub(super) const HIDDEN: &str = "(not shown)";

/// `text` on one line, without control and deceptive characters, cut to `max` characters.
pub(super) fn clean(text: &str, max: usize) -> String {
    let mut shown = String::new();
    let mut left = max;
    let mut blank = true;
    // Twice as many as needed are looked at, so that a long run of odd characters costs nothing.
    for c in text.chars().take(max.saturating_mul(2)) {
        let c = if c.is_whitespace() || c.is_control() { ' ' } else { c };
        if is_deceptive(c) || is_selector(c) || (c == ' ' && blank) {
            continue;
        }
        if left == 0 {
            shown.truncate(shown.trim_end().len());
            shown.push('…');
            return shown;
        }
        blank = c == ' ';
        left -= 1;
        shown.push(c);
    }
    shown.truncate(shown.trim_end().len());
    if text.len() > max.saturating_mul(8) && text.chars().nth(max.saturating_mul(2)).is_some() {
        shown.push('…');
    }
    shown
}

/// A foreign name or value as one word: as it is when it is made of ordinary characters, else in quotes that it cannot close.
pub(super) fn word(text: &str) -> String {
    let cleaned = clean(text, WORD_CHARS);
    let ordinary =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@' | '*' | '+' | '=' | '$' | '%' | '…');
    if !cleaned.is_empty() && cleaned.chars().all(ordinary) {
        return cleaned;
    }
    format!("\"{}\"", cleaned.replace('"', "'"))
}

/// Several foreign words: the first few, and how many more. What looks like a secret is hidden.
pub(super) fn list<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> String {
    const SHOWN: usize = 4;
    let all: Vec<S> = words.into_iter().collect();
    let mut shown = all.iter().take(SHOWN).map(|w| literal(w.as_ref())).collect::<Vec<_>>().join(", ");
    if all.len() > SHOWN {
        shown.push_str(&format!(" and {} more", all.len() - SHOWN));
    }
    shown
}

/// `one thing`, `3 things`.
pub(super) fn count(number: usize, one: &str) -> String {
    if number == 1 {
        format!("1 {one}")
    } else {
        format!("{number} {one}s")
    }
}

/// A value under a key, in words; hidden where key or value look like a secret.
pub(super) fn value(key: &str, value: &Value) -> String {
    match value {
        // A switch is no secret, whatever it is called: automountServiceAccountToken.
        Value::Scalar { text, typed: true } if value.is_true() || value.is_false() => word(text),
        _ if names_secret(key) => HIDDEN.to_owned(),
        Value::Absent => "none".to_owned(),
        Value::Scalar { text, .. } => literal(text),
        Value::List(items) => count(items.len(), "item"),
        Value::Map(entries) => count(entries.len(), "key"),
    }
}

/// A literal in words; hidden where it looks like a secret by itself.
pub(super) fn literal(text: &str) -> String {
    if looks_secret(text) { HIDDEN.to_owned() } else { word(text) }
}

/// Whether a key, a variable or a path of keys names something whose value is not for a card.
pub(super) fn names_secret(name: &str) -> bool {
    const PARTS: [&str; 20] = [
        "password",
        "passwd",
        "passphrase",
        "secret",
        "token",
        "apikey",
        "accesskey",
        "privatekey",
        "credential",
        "bearer",
        "cookie",
        "connectionstring",
        "authorization",
        "webhookurl",
        "kubeconfig",
        "talosconfig",
        "encryptionkey",
        "signingkey",
        "certificatedata",
        "clientkey",
    ];
    const WORDS: [&str; 14] = [
        "pass", "pw", "pwd", "auth", "key", "keys", "pin", "salt", "dsn", "jwt", "otp", "totp", "hmac", "seed",
    ];
    let joined: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    PARTS.iter().any(|part| joined.contains(part)) || split(name).any(|w| WORDS.contains(&w.to_ascii_lowercase().as_str()))
}

/// The words of `DB_PASS`, `db-pass`, `db.pass` and `dbPass`.
fn split(name: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut lower = false;
    for c in name.chars() {
        if !c.is_ascii_alphanumeric() {
            words.push(String::new());
            lower = false;
            continue;
        }
        if c.is_ascii_uppercase() && lower {
            words.push(String::new());
        }
        lower = !c.is_ascii_uppercase();
        if let Some(last) = words.last_mut() {
            last.push(c);
        }
    }
    words.into_iter().filter(|word| !word.is_empty())
}

/// Whether a value looks like a secret whatever its key: a known prefix, a URL with a password, `password=…` inside, or a long opaque word.
pub(super) fn looks_secret(text: &str) -> bool {
    // A value is shown in its first characters only; what stands far behind cannot get onto a card.
    let head: &str = &text[..floor_boundary(text, 1024)];
    has_known_form(head) || has_userinfo(head) || assigns_secret(head) || head.split(is_break).any(is_opaque)
}

/// `ghp_…`, `AKIA…`, a private key: at the beginning of a word, with enough behind it.
fn has_known_form(text: &str) -> bool {
    const PREFIXES: [&str; 13] = [
        "ghp_",
        "gho_",
        "ghs_",
        "github_pat_",
        "glpat-",
        "sk-",
        "xox",
        "AKIA",
        "ASIA",
        "AIza",
        "eyJ",
        "hvs.",
        "AGE-SECRET-KEY-",
    ];
    const BEHIND_MIN: usize = 8;
    let is_one = |at: usize, prefix: &str| {
        let starts = !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric());
        let rest = &text[at + prefix.len()..];
        starts
            && rest
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
                .count()
                >= BEHIND_MIN
    };
    text.contains("-----BEGIN")
        || PREFIXES
            .iter()
            .any(|prefix| text.match_indices(prefix).any(|(at, _)| is_one(at, prefix)))
}

fn floor_boundary(text: &str, at: usize) -> usize {
    if at >= text.len() {
        return text.len();
    }
    (0..=at).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}

const fn is_break(c: char) -> bool {
    matches!(c, ' ' | '\n' | '\t' | ',' | ';' | '"' | '\'' | '=' | ':' | '@' | '/' | '.' | '-')
}

/// `scheme://user:password@host`.
fn has_userinfo(text: &str) -> bool {
    text.split("://").skip(1).any(|rest| {
        let authority = rest.split(['/', ' ', '?', '#']).next().unwrap_or_default();
        authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
    })
}

/// `--password=x`, `TOKEN: x`, `"apiKey": "x"`.
fn assigns_secret(text: &str) -> bool {
    text.match_indices(['=', ':']).any(|(at, _)| {
        let before = text[..at].trim_end_matches(['"', '\'', ' ']);
        let name = before
            .rsplit(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-'))
            .next()
            .unwrap_or_default();
        names_secret(name)
    })
}

/// A long word of mixed letters and digits, such as a random key or base64.
fn is_opaque(word: &str) -> bool {
    const OPAQUE_CHARS_MIN: usize = 24;
    let kinds = [
        word.bytes().any(|b| b.is_ascii_digit()),
        word.bytes().any(|b| b.is_ascii_lowercase()),
        word.bytes().any(|b| b.is_ascii_uppercase()),
    ];
    word.len() >= OPAQUE_CHARS_MIN && kinds.iter().filter(|kind| **kind).count() >= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_pose_as_ours() {
        assert_eq!(word("web-1"), "web-1");
        assert_eq!(word("a b"), "\"a b\"");
        assert_eq!(word("x\" approved \"y"), "\"x' approved 'y\"");
        assert_eq!(word("a\u{202e}b\nc\u{1b}[31m"), "\"ab c [31m\"");
        assert_eq!(word(""), "\"\"");
        assert_eq!(word(&"x".repeat(100)), format!("{}…", "x".repeat(60)));
        assert_eq!(clean(&"\u{200b}".repeat(5_000), 10), "…");
    }

    #[test]
    fn what_names_a_secret() {
        for name in [
            "DB_PASSWORD",
            "dbPass",
            "api-key",
            "API_TOKEN",
            "tls.key",
            "clientSecret",
            "AUTH",
            "a.secrets.b",
            "PGPASSWORD",
        ] {
            assert!(names_secret(name), "{name}");
        }
        for name in ["LOG_LEVEL", "replicaCount", "keyboard", "author", "passive", "image.tag", "monkey"] {
            assert!(!names_secret(name), "{name}");
        }
    }

    #[test]
    fn what_looks_like_a_secret() {
        for text in [
            "postgres://app:hunter2@db:5432/x",
            "--password=hunter2",
            "xx ghp_abcdefgh",
            "eyJhbGciOiJIUzI1",
            "a8F3k9Lq2Zx7Vb4Nm1Rt6Yp0Ws5",
        ] {
            assert!(looks_secret(text), "{text}");
        }
        for text in [
            "info",
            "https://example.com/a?b=c",
            "1.27.3-alpine",
            "http://db:5432",
            "RollingUpdate",
            "disk-size-large-enough",
            "shop-web.apps.example.com",
        ] {
            assert!(!looks_secret(text), "{text}");
        }
    }
}
