//! Text that came from outside, made fit to be shown: no control characters, no secrets, not too long.

use secrecy::{ExposeSecret as _, SecretString};

/// Longest text of a remote or a hook that is kept, in characters.
const TEXT_MAX: usize = 2000;

/// Cleans what a remote, a hook or a `git` child wrote: escape sequences and control characters go, carriage returns end lines
/// (progress meters), deceptive characters are replaced, secrets are blotted out, and the text is cut at its end.
pub(crate) fn text(raw: &[u8], secrets: &[SecretString]) -> String {
    let mut text = String::from_utf8_lossy(raw).into_owned();
    for secret in secrets
        .iter()
        .map(|secret| secret.expose_secret())
        .filter(|secret| secret.len() >= 3)
    {
        text = text.replace(secret, "***");
    }
    let mut clean = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_escape(&mut chars),
            '\n' | '\r' => clean.push('\n'),
            '\t' => clean.push(' '),
            c if c.is_control() => {}
            c if domain::is_deceptive(c) => clean.push('\u{fffd}'),
            c => clean.push(c),
        }
    }
    let lines: Vec<&str> = clean.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let joined = lines.join("\n");
    if joined.chars().count() <= TEXT_MAX {
        return joined;
    }
    joined.chars().take(TEXT_MAX).chain(['…']).collect()
}

/// Skips a CSI sequence (`ESC [ … letter`) or the one character after ESC.
fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    if chars.next_if_eq(&'[').is_none() {
        chars.next();
        return;
    }
    while chars.next_if(|c| !matches!(c, '\u{40}'..='\u{7e}')).is_some() {}
    chars.next();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_becomes_plain() {
        for (raw, plain) in [
            ("\u{1b}[31mred\u{1b}[0m\n\n  indented\r\n", "red\n  indented"),
            ("Counting: 1%\rCounting: 100%\r", "Counting: 1%\nCounting: 100%"),
            ("a\u{7}b\u{0}c", "abc"),
            ("a\u{202e}b", "a\u{fffd}b"),
            ("token canary-1 refused", "token *** refused"),
        ] {
            assert_eq!(text(raw.as_bytes(), &["canary-1".into()]), plain);
        }
        assert_eq!(text("x".repeat(5000).as_bytes(), &[]).chars().count(), TEXT_MAX + 1);
        assert_eq!(text(b"\xff", &[]), "\u{fffd}");
    }
}
