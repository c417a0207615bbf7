//! Characters that a reader does not see, or that make a line look like another one. One judge for paths, contents and cards.

/// What is odd about a character of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hidden {
    /// It hides, reorders or imitates: bidirectional, zero-width, blank or tag characters, and selectors that stand behind no emoji.
    Deceptive,
    /// A control character, or a carriage return that ends no line: terminals and readers disagree about what they show.
    Control,
    /// A blank that is not the plain space, such as U+00A0: it looks like one, and programs do not take it for one.
    Blank,
}

/// The odd characters of a text, in order, each with its byte offset. Line feeds, tabs, carriage returns before a line feed and the
/// selector of an emoji ([`styles_emoji`]) are ordinary.
pub fn hidden(text: &str) -> impl Iterator<Item = (usize, char, Hidden)> {
    let mut previous = None;
    let mut rest = text.char_indices().peekable();
    std::iter::from_fn(move || {
        loop {
            let (at, c) = rest.next()?;
            let found = judge(previous, c, rest.peek().map(|&(_, next)| next));
            previous = Some(c);
            if let Some(kind) = found {
                return Some((at, c, kind));
            }
        }
    })
}

fn judge(previous: Option<char>, c: char, next: Option<char>) -> Option<Hidden> {
    match c {
        ' '..='~' | '\n' | '\t' => None,
        '\r' if next == Some('\n') => None,
        c if c.is_control() => Some(Hidden::Control),
        c if is_blank(c) => Some(Hidden::Blank),
        c if is_deceptive(c) || (is_selector(c) && !styles_emoji(previous, c)) => Some(Hidden::Deceptive),
        _ => None,
    }
}

/// Bidirectional, zero-width and otherwise invisible characters, and line ends that are none: they make a path or a line look like
/// something else, or hide text in it. Selectors depend on where they stand: see [`is_selector`] and [`styles_emoji`].
pub fn is_deceptive(c: char) -> bool {
    matches!(
        c,
        '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{00AD}' | '\u{180E}'
        | '\u{034F}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}' | '\u{2028}'..='\u{2029}' | '\u{2800}' | '\u{3164}' | '\u{FFA0}'
        | '\u{FFF0}'..='\u{FFFB}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E00FF}'
        | '\u{E01F0}'..='\u{E0FFF}'
    )
}

/// Blanks other than the plain space (Unicode's space separators). Ordinary in some languages' texts, so they hide nothing by themselves.
pub fn is_blank(c: char) -> bool {
    matches!(
        c,
        '\u{A0}' | '\u{1680}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}'
    )
}

/// A text with everything that a reader would not see as `<U+202E>`. Its lines stay lines, and blanks of other languages what they are.
pub fn revealed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for (at, c, _) in hidden(text).filter(|(_, _, kind)| *kind != Hidden::Blank) {
        out.push_str(&text[from..at]);
        out.push_str(&format!("<U+{:04X}>", u32::from(c)));
        from = at + c.len_utf8();
    }
    out.push_str(&text[from..]);
    out
}

/// A text in quotation marks for a message: everything that a reader would not see, or would take for a space, as `<U+00A0>`.
pub fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        if c.is_control() || is_deceptive(c) || is_selector(c) || is_blank(c) {
            out.push_str(&format!("<U+{:04X}>", u32::from(c)));
        } else {
            out.extend(c.escape_debug());
        }
    }
    out.push('"');
    out
}

/// Variation selectors: they draw nothing, choose a form of the character before them, and can carry hidden bytes anywhere else.
pub fn is_selector(c: char) -> bool {
    matches!(c, '\u{180B}'..='\u{180D}' | '\u{180F}' | '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}')
}

/// Whether `c` is the one selector that is ordinary where it stands: text or emoji style, directly behind an emoji. Digits, `#` and `*`
/// have an emoji form too, yet a selector there hides in a value, so they do not count.
pub fn styles_emoji(previous: Option<char>, c: char) -> bool {
    matches!(c, '\u{FE0E}' | '\u{FE0F}')
        && matches!(
            previous,
            Some(
                '\u{A9}'
                | '\u{AE}'
                | '\u{203C}'
                | '\u{2049}'
                | '\u{2122}'
                | '\u{2139}'
                | '\u{2194}'..='\u{21AA}'
                | '\u{231A}'..='\u{23FF}'
                | '\u{24C2}'
                | '\u{25AA}'..='\u{27BF}'
                | '\u{2934}'..='\u{2935}'
                | '\u{2B05}'..='\u{2B55}'
                | '\u{3030}'
                | '\u{303D}'
                | '\u{3297}'
                | '\u{3299}'
                | '\u{1F000}'..='\u{1FAFF}',
            )
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_odd_character_has_its_kind() {
        use Hidden::{Blank, Control, Deceptive};
        for (text, expected) in [
            ("replicas: 5\r\n\tünï 東京 🚀 e\u{301}\n", vec![]),
            ("a\u{202e}b\u{200b}", vec![Deceptive, Deceptive]),
            ("5\u{fe0f}", vec![Deceptive]),
            ("x\u{fe00}\u{e0100}\u{e01ef}", vec![Deceptive; 3]),
            ("\u{fe0f}", vec![Deceptive]),
            ("❤\u{fe0f} 🚀\u{fe0e}", vec![]),
            ("❤\u{fe0f}\u{fe0f}", vec![Deceptive]),
            ("❤\u{fe01}", vec![Deceptive]),
            ("\u{2800}\u{115f}\u{1160}\u{3164}\u{ffa0}", vec![Deceptive; 5]),
            ("\u{e0000}\u{e0001}\u{e0041}\u{e007f}\u{e0fff}", vec![Deceptive; 5]),
            ("\u{1b}[31m\u{85}\u{0}\u{7f}", vec![Control; 4]),
            ("a\rb", vec![Control]),
            ("a\r", vec![Control]),
            ("a\r\r\n", vec![Control]),
            ("a\u{2028}b", vec![Deceptive]),
            ("a\u{a0}\u{1680}\u{2003}\u{202f}\u{205f}\u{3000}b", vec![Blank; 6]),
        ] {
            assert_eq!(hidden(text).map(|(_, _, kind)| kind).collect::<Vec<_>>(), expected, "{text:?}");
        }
        assert_eq!(
            quoted("a b\u{2800}\u{a0}\u{1680}\u{202e}\u{fe0f}\n\"東\u{e0041}"),
            "\"a b<U+2800><U+00A0><U+1680><U+202E><U+FE0F><U+000A>\\\"東<U+E0041>\""
        );
        assert_eq!(revealed("a\n\u{202e}b\u{a0}c\u{200b}"), "a\n<U+202E>b\u{a0}c<U+200B>");
        assert_eq!(hidden("ab\u{200b}").next(), Some((2, '\u{200b}', Deceptive)));
    }
}
