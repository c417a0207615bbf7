//! Text that is not what it looks like: hidden characters, letters of another script in a word, and text pushed out of sight.

use domain::RepoPath;

use crate::RemarkKind;
use crate::facts::inspect_file;

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
    if let Some(which) = path.parts().find_map(imitated) {
        sink.put(
            "text.look-alike",
            None,
            format!("a part of the path reads as Latin and is not: {which}"),
            "write it in Latin letters",
        );
    }
    for (nth, line) in text.unwrap_or_default().split('\n').enumerate() {
        let at = nth + 1;
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
            && let Some(which) = line.split(ENDS_OF_VALUES).find_map(imitated)
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

/// Where a value or a key may end on a line: what stands beyond is no company for a word.
const ENDS_OF_VALUES: &[char] = &['#', ':', '=', ',', ';', '"', '\'', '`', '/', '@', '{', '}', '[', ']', '(', ')'];

/// A word of nothing but letters that look Latin, where no letter beside it says that it is of a language written so.
fn imitated(text: &str) -> Option<String> {
    let mut foreign = text.chars().filter(|c| !c.is_ascii() && c.is_alphabetic()).peekable();
    foreign.peek()?;
    if foreign.any(|c| !is_twin(c)) {
        return None;
    }
    let mut words = text.split(|c: char| !c.is_alphanumeric());
    let word = words.find(|word| word.chars().count() > 1 && word.chars().all(|c| !c.is_ascii_alphabetic()) && !word.is_ascii())?;
    Some(points(word.chars().filter(|c| !c.is_ascii())))
}

/// Letters that cannot be told from ASCII letters. In Cyrillic these are fewer than those that merely look like one, so that short Russian
/// words are read as what they are.
fn is_twin(c: char) -> bool {
    let alike = "\u{405}\u{406}\u{408}\u{410}\u{412}\u{415}\u{41A}\u{41C}\u{41D}\u{41E}\u{420}\u{421}\u{422}\u{423}\u{425}\u{430}\u{435}\u{43E}\u{440}\u{441}\u{443}\u{445}\u{455}\u{456}\u{458}\u{475}\u{4BB}\u{4CF}\u{4C0}\u{501}\u{51B}\u{51C}\u{51D}";
    let cyrillic = ('\u{400}'..='\u{52F}').contains(&c);
    if cyrillic { alike.contains(c) } else { looks_latin(c) }
}

/// The look-alikes in words that hold ASCII letters too, as code points.
fn mixed(text: &str) -> Option<String> {
    if text.is_ascii() {
        return None;
    }
    text.split(|c: char| !c.is_alphanumeric()).find_map(|word| {
        let latin = word.chars().any(|c| c.is_ascii_alphabetic());
        let mut alike = word.chars().filter(|c| looks_latin(*c)).peekable();
        (latin && alike.peek().is_some()).then(|| points(alike))
    })
}

/// The first letters by their numbers.
fn points(letters: impl Iterator<Item = char>) -> String {
    let points: Vec<String> = letters.take(5).map(|c| format!("U+{:04X}", u32::from(c))).collect();
    points.join(", ")
}

/// Letters that look like ASCII letters in common fonts: Cyrillic, Greek, Armenian, Cherokee, full width and mathematical ones.
fn looks_latin(c: char) -> bool {
    let cyrillic = "\u{405}\u{406}\u{408}\u{410}\u{412}\u{415}\u{417}\u{41A}\u{41C}\u{41D}\u{41E}\u{420}\u{421}\u{422}\u{423}\u{425}\u{430}\u{435}\u{43A}\u{43C}\u{43D}\u{43E}\u{43F}\u{440}\u{441}\u{442}\u{443}\u{445}\u{455}\u{456}\u{458}\u{475}\u{4AE}\u{4AF}\u{4BB}\u{4CF}\u{4C0}\u{501}\u{50D}\u{51B}\u{51C}\u{51D}";
    let greek = "\u{391}\u{392}\u{395}\u{396}\u{397}\u{399}\u{39A}\u{39C}\u{39D}\u{39F}\u{3A1}\u{3A4}\u{3A5}\u{3A7}\u{3B1}\u{3B3}\u{3B9}\u{3BA}\u{3BD}\u{3BF}\u{3C1}\u{3C3}\u{3C5}\u{3C7}\u{3C9}\u{3F2}\u{3F3}\u{37F}";
    let armenian = "\u{54F}\u{555}\u{570}\u{578}\u{57D}\u{581}\u{585}\u{566}\u{561}";
    matches!(c, '\u{13A0}'..='\u{13F4}' | '\u{FF21}'..='\u{FF3A}' | '\u{FF41}'..='\u{FF5A}' | '\u{1D400}'..='\u{1D7CB}' | '\u{0251}' | '\u{0261}' | '\u{0131}')
        || cyrillic.contains(c)
        || greek.contains(c)
        || armenian.contains(c)
}
