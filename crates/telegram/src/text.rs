//! Text that comes from outside, made harmless and fitted: control, bidirectional and zero-width characters become visible, piles of
//! combining marks are written out, HTML is escaped, and everything is cut at borders of what people see as one character.
//! Telegram counts UTF-16 units after parsing, so lengths here are UTF-16 units of the unescaped text.

use unicode_segmentation::UnicodeSegmentation as _;

/// Longest message, in UTF-16 units after parsing.
pub(crate) const TEXT_UNITS_MAX: usize = 4096;
/// Longest caption of a document, in UTF-16 units.
pub(crate) const CAPTION_UNITS_MAX: usize = 1024;
/// Most code points one visible character may have; further ones are written out: a pile of combining marks draws over other lines.
const CLUSTER_MAX: usize = 8;

/// UTF-16 units.
pub(crate) fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// For Telegram HTML, in text and in attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

/// Makes what cannot be seen visible as `<U+202E>`. Line feeds and tabs stay.
pub(crate) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut previous = None;
    for cluster in text.graphemes(true) {
        for (i, c) in cluster.chars().enumerate() {
            let before = previous.replace(c);
            match c {
                '\n' | '\t' => out.push(c),
                c if domain::styles_emoji(before, c) => out.push(c),
                c if i >= CLUSTER_MAX || is_unseen(c) => out.push_str(&format!("<U+{:04X}>", u32::from(c))),
                c => out.push(c),
            }
        }
    }
    out
}

/// One line of foreign text: visible, and every run of white space is one space.
pub(crate) fn one_line(text: &str) -> String {
    visible(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Whether a character draws nothing, or changes how its neighbours are drawn.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || domain::is_deceptive(c)
        || domain::is_selector(c)
        // unassigned and private characters
        || matches!(c, '\u{E0000}'..='\u{E0FFF}' | '\u{F0000}'..='\u{10FFFF}' | '\u{E000}'..='\u{F8FF}')
}

/// At most `max` units; what is cut off is replaced by `…`. Never splits a visible character.
pub(crate) fn cut_units(text: &str, max: usize) -> String {
    if units(text) <= max {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut left = max.saturating_sub(1);
    for cluster in text.graphemes(true) {
        let size = units(cluster);
        if size > left {
            break;
        }
        left -= size;
        out.push_str(cluster);
    }
    if max > 0 {
        out.push('…');
    }
    out
}

/// Like [`cut_units`], but says how much is missing: `… (+1,240 characters)`.
pub(crate) fn cut_telling(text: &str, max: usize) -> String {
    let total = text.graphemes(true).count();
    if units(text) <= max {
        return text.to_owned();
    }
    let kept = cut_units(text, max.saturating_sub(24));
    let left = total.saturating_sub(kept.graphemes(true).count().saturating_sub(1));
    format!("{kept} (+{} characters)", thousands(left))
}

/// `1,240`
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unseen_characters_become_visible() {
        for (given, seen) in [
            ("safe", "safe"),
            ("a\u{202e}b", "a<U+202E>b"),
            ("x\u{200b}y", "x<U+200B>y"),
            ("\u{1b}[31m", "<U+001B>[31m"),
            ("crlf\r\n", "crlf<U+000D>\n"),
            ("naïve — 東京 🚀", "naïve — 東京 🚀"),
            ("5\u{fe0f} x\u{e0100}\u{2800}", "5<U+FE0F> x<U+E0100><U+2800>"),
            ("❤\u{fe0f}", "❤\u{fe0f}"),
        ] {
            assert_eq!(visible(given), seen);
        }
        assert_eq!(one_line(" two\nlines\t of\u{2028}text "), "two lines of text");
        let pile = format!("a{}b", "\u{301}".repeat(9));
        assert_eq!(visible(&pile), format!("a{}<U+0301><U+0301>b", "\u{301}".repeat(7)));
    }

    #[test]
    fn cuts_fall_between_visible_characters() {
        assert_eq!(cut_units("héllo", 5), "héllo");
        assert_eq!(cut_units("🚀🚀🚀", 5), "🚀🚀…");
        assert_eq!(cut_units("e\u{301}e\u{301}e\u{301}", 4), "e\u{301}…");
        assert_eq!(cut_units("abc", 0), "");
        assert_eq!(
            cut_telling(&"x".repeat(2000), 100).len(),
            "x".len() * 75 + "… (+1,925 characters)".len()
        );
        assert_eq!(thousands(1_234_567), "1,234,567");
    }
}
