//! Shell scripts and Dockerfiles: what they set variables to, read word by word. What the shell fills in is no literal.

use super::super::sink::Sink;
use super::hint::Owner;
use super::quoted;
use super::references::Place;
use super::words::{Likeness, is_secret, likeness};

/// Longest line that is looked at here; the secret patterns look at all of it.
const LINE_MAX: usize = 4_096;

/// Work per byte, line and assignment.
const BYTE: usize = 10;
const LINE: usize = 100;
const ASSIGNMENT: usize = 500;

/// Words behind which an assignment may still stand.
const BEFORE: &[&str] = &[
    "export", "declare", "typeset", "local", "readonly", "env", "sudo", "then", "do", "else", "if", "elif", "while", "until", "!", "{",
    "time", "exec", "command", "nohup", "RUN",
];
/// Options whose value is an assignment.
const OPTIONS: &[&str] = &["-e", "--env", "--build-arg", "--from-literal"];

/// Whether a file is a shell script, by its name or its first line.
pub(in crate::guard) fn is_shell(name: &str, text: &str) -> bool {
    let named = [".sh", ".bash", ".zsh", ".ksh", ".envrc"].iter().any(|end| name.ends_with(end))
        || [".bashrc", ".zshrc", ".bash_profile", ".profile"].contains(&name);
    let shell = |word: &str| matches!(word, "sh" | "bash" | "zsh" | "dash" | "ksh" | "ash");
    let first = text.lines().next().and_then(|line| line.strip_prefix("#!"));
    named || first.is_some_and(|line| line.split(['/', ' ']).any(shell))
}

/// Whether a file is one that images are built from.
pub(in crate::guard) fn is_dockerfile(name: &str) -> bool {
    let named = |one: &str| name == one || name.strip_prefix(one).is_some_and(|rest| rest.starts_with('.'));
    named("dockerfile") || named("containerfile") || name.ends_with(".dockerfile")
}

/// `export DB_PASSWORD=…`, `DB_PASSWORD=… command`, `docker run -e DB_PASSWORD=…`.
pub(in crate::guard) fn shell(text: &str, owner: &Owner, sink: &mut Sink<'_>) {
    each_line(text, owner, sink, |place, line, script| script.command(place, line));
}

/// The same, and `ENV` and `ARG`.
pub(in crate::guard) fn dockerfile(text: &str, owner: &Owner, sink: &mut Sink<'_>) {
    let mut sets = false;
    each_line(text, owner, sink, |place, line, script| {
        let (first, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let begins = !script.continued && ["ENV", "ARG"].iter().any(|word| first.eq_ignore_ascii_case(word));
        if !script.continued {
            sets = begins;
        }
        match (sets, rest.trim_start().split_once(char::is_whitespace)) {
            (false, _) => script.command(place, line),
            // `ENV NAME the rest`, as it was written once.
            (true, Some((name, value))) if begins && !name.contains('=') => script.judge(place, name, value.trim()),
            (true, _) => script.assignments(place, if begins { rest } else { line }),
        }
    });
}

fn each_line(text: &str, owner: &Owner, sink: &mut Sink<'_>, mut read: impl FnMut(usize, &str, &mut Script<'_, '_>)) {
    let lines = text.bytes().filter(|byte| *byte == b'\n').count();
    if !sink.work.spend_on(super::MISSED, text.len() * BYTE + lines * LINE) {
        return;
    }
    let mut script = Script {
        owner,
        sink,
        continued: false,
        open: true,
        option: false,
    };
    for (nth, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.len() > LINE_MAX || line.starts_with('#') {
            continue;
        }
        let body = line.strip_suffix('\\').unwrap_or(line);
        if !script.continued {
            (script.open, script.option) = (true, false);
        }
        read(nth + 1, body, &mut script);
        script.continued = body.len() < line.len();
    }
}

struct Script<'a, 's> {
    owner: &'a Owner,
    sink: &'a mut Sink<'s>,
    /// The line before goes on in this one.
    continued: bool,
    /// An assignment may stand here.
    open: bool,
    /// The word before wants an assignment.
    option: bool,
}

impl Script<'_, '_> {
    fn command(&mut self, line: usize, text: &str) {
        for word in words(text) {
            let Some(word) = word else {
                (self.open, self.option) = (true, false);
                continue;
            };
            let in_option = OPTIONS.iter().find_map(|option| word.strip_prefix(option)?.strip_prefix('='));
            let plain = Some(word).filter(|_| self.open || self.option);
            self.option = OPTIONS.contains(&word);
            match in_option.or(plain).and_then(assignment) {
                Some((name, value)) => self.judge(line, name, value),
                None => self.open = self.open && (BEFORE.contains(&word) || word.starts_with('-')),
            }
        }
    }

    fn assignments(&mut self, line: usize, text: &str) {
        for (name, value) in words(text).flatten().filter_map(assignment) {
            self.judge(line, name, value);
        }
    }

    fn judge(&mut self, line: usize, name: &str, value: &str) {
        if self.sink.is_full("structure.env") || !self.sink.work.spend_on(super::MISSED, ASSIGNMENT) {
            return;
        }
        let Some((like, value)) = likeness(name).zip(literal(value)) else {
            return;
        };
        if !is_secret(like, &value, true, Place { key: name, sops: false }) || is_about_else(name, like, &value) {
            return;
        }
        self.sink.hide(&value);
        let message = format!("{} sets {} to a literal", self.owner.words(), quoted(name));
        self.sink
            .put_unless_standing("structure.env", (line, line), message, self.owner.infisical(Some(name)));
    }
}

/// What scripts count in `PASS`, and directories in `…PWD`.
fn is_about_else(name: &str, like: Likeness, value: &str) -> bool {
    let name = name.to_ascii_lowercase();
    like == Likeness::Password
        && ((name == "pass" && value.bytes().all(|b| b.is_ascii_digit())) || (name.ends_with("pwd") && value.starts_with(['/', '.', '~'])))
}

/// `NAME=value`; the value as it is written.
fn assignment(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let name = name.strip_suffix('+').unwrap_or(name);
    let letter = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    (name.len() <= 100 && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.bytes().all(letter))
        .then_some((name, value))
}

/// What a value says without its quotes; `None` when the shell fills in a part of it. A default counts as the value.
fn literal(raw: &str) -> Option<String> {
    let raw = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(raw);
    if let Some(inside) = raw.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
        let behind = inside.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let behind = behind.strip_prefix(':').unwrap_or(behind);
        return literal(behind.strip_prefix(['-', '='])?);
    }
    let (mut out, mut single) = (String::new(), false);
    let mut letters = raw.chars().peekable();
    while let Some(c) = letters.next() {
        match c {
            '\'' => single = !single,
            '"' if !single => {}
            '\\' if !single => out.extend(letters.next()),
            '`' if !single => return None,
            '$' if !single
                && letters
                    .peek()
                    .is_some_and(|next| next.is_ascii_alphanumeric() || "_{(@*#?!".contains(*next)) =>
            {
                return None;
            }
            _ => out.push(c),
        }
    }
    Some(out)
}

/// The words of a line as they are written, and `None` where a command ends. A comment ends the line.
fn words(line: &str) -> impl Iterator<Item = Option<&str>> {
    let mut rest = line;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        if rest.is_empty() || rest.starts_with('#') {
            return None;
        }
        let end = word_end(rest);
        if end == 0 {
            // One of the marks that end a word, all of them ASCII.
            rest = &rest[1..];
            return Some(None);
        }
        let (word, behind) = rest.split_at(end);
        rest = behind;
        Some(Some(word))
    })
}

/// Where the first word ends: at a blank or a mark outside of quotes and of what the shell fills in.
fn word_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut closing: Vec<u8> = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let inside = closing.last().copied();
        match (byte, inside) {
            (_, Some(b'\'')) if byte != b'\'' => {}
            (b'\\', _) => at += 1,
            (_, Some(end)) if byte == end => drop(closing.pop()),
            (b'$', _) if bytes.get(at + 1) == Some(&b'(') => {
                closing.push(b')');
                at += 1;
            }
            (b'$', _) if bytes.get(at + 1) == Some(&b'{') => {
                closing.push(b'}');
                at += 1;
            }
            (b'\'', None | Some(b')')) => closing.push(b'\''),
            (b'"' | b'`', _) => closing.push(byte),
            (b'(', Some(b')')) => closing.push(b')'),
            (b' ' | b'\t' | b';' | b'&' | b'|' | b'(' | b')' | b'<' | b'>', None) => return at,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_shell() {
        let all = |line| words(line).map(|word| word.unwrap_or("/").to_owned()).collect::<Vec<_>>();
        assert_eq!(all("a=1 b='x y' c # d"), ["a=1", "b='x y'", "c"]);
        assert_eq!(
            all("a=\"$(b \"c d\" | e)\"; f&&g"),
            ["a=\"$(b \"c d\" | e)\"", "/", "f", "/", "/", "g"]
        );
        assert_eq!(all("a=${b:-c d} e\\ f (g)"), ["a=${b:-c d}", "e\\ f", "/", "g", "/"]);
        assert_eq!(all("é=\"ü\\"), ["é=\"ü\\"]);
    }

    #[test]
    fn what_the_shell_fills_in_is_no_literal() {
        for filled in [
            "$a",
            "\"$a\"",
            "${a}",
            "x$a",
            "$(a b)",
            "`a`",
            "$1",
            "${a:?no}",
            "${a:-$b}",
            "\"${a:-${b}}\"",
            "${a%%b}",
        ] {
            assert_eq!(literal(filled), None, "{filled}");
        }
        for (raw, said) in [
            ("a", "a"),
            ("'a b'", "a b"),
            ("\"a\"'b'c", "abc"),
            ("${a:-b}", "b"),
            ("\"${a-b}\"", "b"),
            ("${a:-}", ""),
            ("a\\ b", "a b"),
        ] {
            assert_eq!(literal(raw).as_deref(), Some(said), "{raw}");
        }
    }
}
