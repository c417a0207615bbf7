//! A piece of a message in its three shapes at once: Telegram HTML, plain words, and the length Telegram will count. Everything that
//! enters is escaped here and nowhere else, so that no caller can forget it.

use reqwest::Url;

use crate::text::{escape, units};

/// A piece of a message.
#[derive(Debug, Clone, Default)]
pub(super) struct Rich {
    html: String,
    plain: String,
    units: usize,
}

impl Rich {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Words as they are.
    pub(super) fn text(mut self, text: &str) -> Self {
        self.html.push_str(&escape(text));
        self.plain.push_str(text);
        self.units += units(text);
        self
    }

    pub(super) fn bold(self, text: &str) -> Self {
        self.tagged("<b>", "</b>", text)
    }

    pub(super) fn code(self, text: &str) -> Self {
        self.tagged("<code>", "</code>", text)
    }

    /// Foreign words, plain or bold. Whatever an app would turn into something to tap (a command, a mention, a tag) becomes code: a tap on
    /// `/cancel` would send it in the name of whoever tapped, and a mention would ring. Web addresses stay.
    pub(super) fn foreign(self, text: &str, bold: bool) -> Self {
        let mut rich = self;
        let mut calm = String::new();
        let flush = |rich: Self, calm: &mut String| {
            let words = std::mem::take(calm);
            if bold { rich.bold(&words) } else { rich.text(&words) }
        };
        for piece in text.split_inclusive(char::is_whitespace) {
            let word = piece.trim_end_matches(char::is_whitespace);
            let address = !word.contains('@') && ["http://", "https://"].iter().any(|scheme| word.starts_with(scheme));
            if address || !word.contains(['/', '@', '#', '$']) {
                calm.push_str(piece);
                continue;
            }
            rich = flush(rich, &mut calm).code(word);
            calm.push_str(&piece[word.len()..]);
        }
        flush(rich, &mut calm)
    }

    /// A link; only the words when the address is not one Telegram opens.
    pub(super) fn link(self, text: &str, url: Option<&str>) -> Self {
        match url.and_then(web_address) {
            Some(url) => self.tagged(&format!("<a href=\"{}\">", escape(&url)), "</a>", text),
            None => self.text(text),
        }
    }

    /// A block of code. `language` makes apps colour it.
    pub(super) fn pre(self, text: &str, language: Option<&str>) -> Self {
        match language {
            Some(language) => self.tagged(&format!("<pre><code class=\"language-{language}\">"), "</code></pre>", text),
            None => self.tagged("<pre>", "</pre>", text),
        }
    }

    /// A quote that shows three lines until it is tapped. May hold bold, code and links, never blocks.
    pub(super) fn quote(mut self, inside: Self) -> Self {
        self.html.push_str("<blockquote expandable>");
        self.html.push_str(&inside.html);
        self.html.push_str("</blockquote>");
        for (i, line) in inside.plain.lines().enumerate() {
            if i > 0 {
                self.plain.push('\n');
            }
            self.plain.push_str("| ");
            self.plain.push_str(line);
        }
        self.units += inside.units;
        self
    }

    /// Adds a line below, if it is not empty.
    pub(super) fn line(self, line: Self) -> Self {
        if line.is_empty() {
            return self;
        }
        let start = if self.is_empty() { self } else { self.text("\n") };
        start.join(line)
    }

    pub(super) fn join(mut self, other: Self) -> Self {
        self.html.push_str(&other.html);
        self.plain.push_str(&other.plain);
        self.units += other.units;
        self
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.units == 0
    }

    /// Length as Telegram counts it.
    pub(super) const fn units(&self) -> usize {
        self.units
    }

    /// The HTML and the plain words.
    pub(super) fn into_parts(self) -> (String, String) {
        (self.html, self.plain)
    }

    fn tagged(mut self, open: &str, close: &str, text: &str) -> Self {
        if text.is_empty() {
            return self; // Telegram drops empty entities
        }
        self.html.push_str(open);
        self.html.push_str(&escape(text));
        self.html.push_str(close);
        self.plain.push_str(text);
        self.units += units(text);
        self
    }
}

/// An address that Telegram accepts in links and buttons: http or https, and a host with a dot. One wrong address in a button makes
/// Telegram refuse the whole message.
pub(super) fn web_address(text: &str) -> Option<String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let dotted = url.host_str().is_some_and(|host| host.contains('.') && !host.ends_with('.'));
    (dotted && url.username().is_empty() && url.password().is_none()).then(|| url.to_string())
}
