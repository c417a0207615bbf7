//! Text that is not what it looks like: hidden characters, letters of another script ([`super::alike`]), and text pushed out of sight.

use domain::RepoPath;

use crate::RemarkKind;
use crate::facts::inspect_file;

use super::alike::{imitated, imitated_part, mixed};
use super::lines::Added;
use super::sink::Sink;

/// Blanks behind which text is out of sight: more than any card or terminal is wide. A tab counts as eight, and as four where it indents.
const HIDDEN_BEHIND: usize = 80;
const TAB: usize = 8;
const INDENTING_TAB: usize = 4;

/// What the facts about a file say, as findings. The policy makes binary and hidden content manual whatever is configured here.
pub(super) fn facts(path: &RepoPath, bytes: &[u8], sink: &mut Sink<'_>) {
    for remark in inspect_file(path, bytes) {
        let (rule, hint) = match remark.kind {
            RemarkKind::Binary => (
                "text.binary",
                "a person compares it by its SHA-256; keep artefacts out of the repository",
            ),
            RemarkKind::Deceptive => ("text.deceptive", "write it without these characters"),
            RemarkKind::Control => ("text.control", "remove them; lines end with a line feed"),
            RemarkKind::Blank => ("text.blank", "write plain spaces"),
            RemarkKind::LongLine => ("text.long-line", "break it into lines that a card can show"),
        };
        match remark.line {
            Some(line) => sink.put_unless_standing(rule, (line, line), remark.message, hint),
            None => sink.put(rule, None, remark.message, hint),
        }
    }
}

/// Looks at the path and at every added line.
pub(super) fn inspect(path: &RepoPath, text: Option<&str>, added: &Added, sink: &mut Sink<'_>) {
    if let Some(which) = mixed(path.as_str()) {
        sink.put(
            "text.mixed-script",
            None,
            format!("the path mixes scripts that look alike: {which}"),
            "write it in one script",
        );
    }
    if let Some(which) = path.parts().find_map(imitated_part) {
        sink.put(
            "text.look-alike",
            None,
            format!("a part of the path reads as Latin and is not: {which}"),
            "write it in Latin letters",
        );
    }
    let mut lines = text.unwrap_or_default().split('\n').peekable();
    let (mut at, mut this) = (0, "");
    while let Some(line) = lines.next() {
        let around = [std::mem::replace(&mut this, line), lines.peek().copied().unwrap_or_default()];
        at += 1;
        if line.len() > HIDDEN_BEHIND / TAB && added.any(at, at) && !sink.is_full("text.hidden-tail") && has_hidden_tail(line) {
            sink.put(
                "text.hidden-tail",
                Some(at),
                format!("text behind {HIDDEN_BEHIND} or more blanks on one line"),
                "remove the blanks",
            );
        }
        if line.is_ascii() || !added.any(at, at) {
            continue;
        }
        if !sink.is_full("text.mixed-script")
            && let Some(which) = mixed(line)
        {
            sink.put(
                "text.mixed-script",
                Some(at),
                format!("a word mixes scripts that look alike: {which}"),
                "write it in one script",
            );
        }
        if !sink.is_full("text.look-alike")
            && let Some(which) = imitated(line, around)
        {
            sink.put(
                "text.look-alike",
                Some(at),
                format!("a word reads as Latin and is not: {which}"),
                "write it in Latin letters; among other words of its language it passes",
            );
        }
    }
}

fn has_hidden_tail(line: &str) -> bool {
    let (mut blanks, mut indents) = (0, true);
    for c in line.trim_end().chars() {
        if c.is_whitespace() || is_blank(c) {
            blanks += match c {
                '\t' if indents => INDENTING_TAB,
                '\t' => TAB,
                _ => 1,
            };
        } else if blanks >= HIDDEN_BEHIND {
            return true;
        } else {
            (blanks, indents) = (0, false);
        }
    }
    false
}

/// Letters without ink that Unicode does not call blanks.
const fn is_blank(c: char) -> bool {
    matches!(c, '\u{2800}' | '\u{3164}' | '\u{FFA0}')
}
