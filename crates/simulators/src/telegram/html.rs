//! Telegram's HTML, parsed as the server parses it: the same tags, the same refusals word for word, the same silent losses.
//!
//! After TDLib's `parse_html` and `fix_entities`. Lengths and offsets are in UTF-16 units, as everywhere in the Bot API.

/// One formatted stretch of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// What formatting.
    pub kind: EntityKind,
    /// Start, in UTF-16 units.
    pub offset: usize,
    /// Length, in UTF-16 units, above 0.
    pub length: usize,
}

/// The formatting a bot can send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntityKind {
    /// `<b>`, `<strong>`
    Bold,
    /// `<i>`, `<em>`
    Italic,
    /// `<u>`, `<ins>`
    Underline,
    /// `<s>`, `<strike>`, `<del>`
    Strikethrough,
    /// `<tg-spoiler>`
    Spoiler,
    /// `<code>`
    Code,
    /// `<pre>`, with the language of an inner `<code class="language-…">`.
    Pre(Option<String>),
    /// `<a href>`
    TextLink(String),
    /// `<a href="tg://user?id=…">`
    TextMention(i64),
    /// `<tg-emoji>`
    CustomEmoji(String),
    /// `<blockquote>`
    Blockquote,
    /// `<blockquote expandable>`
    ExpandableBlockquote,
}

impl EntityKind {
    /// The `type` the Bot API gives it.
    pub fn as_str(&self) -> &'static str {
        match self {
            EntityKind::Bold => "bold",
            EntityKind::Italic => "italic",
            EntityKind::Underline => "underline",
            EntityKind::Strikethrough => "strikethrough",
            EntityKind::Spoiler => "spoiler",
            EntityKind::Code => "code",
            EntityKind::Pre(_) => "pre",
            EntityKind::TextLink(_) => "text_link",
            EntityKind::TextMention(_) => "text_mention",
            EntityKind::CustomEmoji(_) => "custom_emoji",
            EntityKind::Blockquote => "blockquote",
            EntityKind::ExpandableBlockquote => "expandable_blockquote",
        }
    }

    fn is_quote(&self) -> bool {
        matches!(self, EntityKind::Blockquote | EntityKind::ExpandableBlockquote)
    }

    fn is_code(&self) -> bool {
        matches!(self, EntityKind::Code | EntityKind::Pre(_))
    }

    /// Kinds that may not share a character with one another.
    fn is_continuous(&self) -> bool {
        self.is_code() || matches!(self, EntityKind::TextLink(_) | EntityKind::TextMention(_))
    }

    /// TDLib's order among entities that begin and end together; lower stays outside.
    fn priority(&self) -> u8 {
        match self {
            EntityKind::Blockquote | EntityKind::ExpandableBlockquote => 0,
            EntityKind::Pre(Some(_)) => 10,
            EntityKind::Pre(None) => 11,
            EntityKind::Code => 20,
            EntityKind::TextLink(_) | EntityKind::TextMention(_) => 49,
            EntityKind::Bold => 90,
            EntityKind::Italic => 91,
            EntityKind::Underline => 92,
            EntityKind::Strikethrough => 93,
            EntityKind::Spoiler => 94,
            EntityKind::CustomEmoji(_) => 99,
        }
    }
}

/// A text with its formatting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Formatted {
    /// The text without mark-up.
    pub text: String,
    /// Its formatting, outer before inner.
    pub entities: Vec<Entity>,
    /// Formatting that was thrown away without an error.
    pub lost: Vec<String>,
}

/// Length of a text as Telegram counts it.
pub fn utf16_len(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

const TAGS: [&str; 16] = [
    "a",
    "b",
    "strong",
    "i",
    "em",
    "s",
    "strike",
    "del",
    "u",
    "ins",
    "tg-spoiler",
    "tg-emoji",
    "span",
    "pre",
    "code",
    "blockquote",
];

struct Open {
    tag: String,
    argument: String,
    /// Where it began, in UTF-16 units and in bytes of the result.
    offset: usize,
    begin: usize,
}

/// Parses mark-up; the error is the server's text after "can't parse entities: ".
pub fn parse(source: &str) -> Result<Formatted, String> {
    let mut parser = Parser {
        source: source.as_bytes(),
        position: 0,
        text: String::new(),
        units: 0,
    };
    let mut open: Vec<Open> = Vec::new();
    let mut entities: Vec<(Entity, String)> = Vec::new();
    while let Some(byte) = parser.peek() {
        if byte == b'<' {
            let begin = parser.position;
            if parser.source.get(begin + 1) == Some(&b'/') {
                let tag = parser.end_tag(begin, open.last())?;
                let Some(element) = open.pop() else {
                    return Err(format!("Unexpected end tag at byte offset {begin}"));
                };
                if !tag.is_empty() && tag != element.tag {
                    return Err(format!(
                        "Unmatched end tag at byte offset {begin}, expected \"</{}>\", found \"</{tag}>\"",
                        element.tag
                    ));
                }
                close(&parser, element, &mut entities)?;
            } else {
                let (tag, argument) = parser.start_tag(begin)?;
                open.push(Open {
                    tag,
                    argument,
                    offset: parser.units,
                    begin: parser.text.len(),
                });
            }
        } else {
            parser.character(source);
        }
    }
    if let Some(element) = open.last() {
        return Err(format!("Can't find end tag corresponding to start tag {}", element.tag));
    }
    let entities = entities.into_iter().map(|(entity, _)| entity).collect();
    Ok(fix(Formatted {
        text: parser.text,
        entities,
        lost: Vec::new(),
    }))
}

/// A text without mark-up, as sent without `parse_mode`.
pub fn plain(text: &str) -> Formatted {
    trim(Formatted {
        text: text.to_owned(),
        ..Formatted::default()
    })
}

struct Parser<'a> {
    source: &'a [u8],
    position: usize,
    text: String,
    units: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.source.get(self.position).copied()
    }

    fn push(&mut self, character: char) {
        self.text.push(character);
        self.units += character.len_utf16();
    }

    /// Takes one character or character reference.
    fn character(&mut self, source: &str) {
        if let Some((character, end)) = reference(self.source, self.position) {
            self.position = end;
            self.push(character);
            return;
        }
        if let Some(character) = source.get(self.position..).and_then(|rest| rest.chars().next()) {
            self.position += character.len_utf8();
            self.push(character);
        } else {
            self.position += 1;
        }
    }

    fn skip_spaces(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.position += 1;
        }
    }

    fn until(&mut self, stop: impl Fn(u8) -> bool) -> String {
        let begin = self.position;
        while self.peek().is_some_and(|byte| !stop(byte)) {
            self.position += 1;
        }
        String::from_utf8_lossy(&self.source[begin..self.position]).into_owned()
    }

    fn start_tag(&mut self, begin: usize) -> Result<(String, String), String> {
        self.position += 1;
        let tag = self.until(|byte| byte.is_ascii_whitespace() || byte == b'>').to_lowercase();
        if self.peek().is_none() {
            return Err(format!("Unclosed start tag at byte offset {begin}"));
        }
        if !TAGS.contains(&tag.as_str()) {
            return Err(format!("Unsupported start tag \"{tag}\" at byte offset {begin}"));
        }
        let mut argument = String::new();
        loop {
            self.skip_spaces();
            match self.peek() {
                None => return Err(format!("Unclosed start tag at byte offset {begin}")),
                Some(b'>') => break,
                Some(_) => {}
            }
            let name = self.until(|byte| byte.is_ascii_whitespace() || byte == b'=' || byte == b'>');
            if name.is_empty() {
                return Err(format!("Empty attribute name in the tag \"{tag}\" at byte offset {begin}"));
            }
            let value = self.attribute_value(&tag, &name, begin)?;
            match (tag.as_str(), name.as_str()) {
                ("a", "href") | ("tg-emoji", "emoji-id") => argument = value,
                ("code", "class") if value.starts_with("language-") => argument = value["language-".len()..].to_owned(),
                ("span", "class") if value.starts_with("tg-") => argument = value["tg-".len()..].to_owned(),
                ("blockquote", "expandable") => argument = "1".to_owned(),
                _ => {}
            }
        }
        self.position += 1;
        if tag == "span" && argument != "spoiler" {
            return Err(format!("Tag \"span\" must have class \"tg-spoiler\" at byte offset {begin}"));
        }
        Ok((tag, argument))
    }

    fn attribute_value(&mut self, tag: &str, name: &str, begin: usize) -> Result<String, String> {
        self.skip_spaces();
        if self.peek() != Some(b'=') {
            if tag == "blockquote" && name == "expandable" {
                return Ok(String::new());
            }
            return Err(format!(
                "Expected equal sign in declaration of an attribute of the tag \"{tag}\" at byte offset {begin}"
            ));
        }
        self.position += 1;
        self.skip_spaces();
        match self.peek() {
            None => Err(format!("Unclosed start tag \"{tag}\" at byte offset {begin}")),
            Some(quote @ (b'"' | b'\'')) => {
                self.position += 1;
                let mut value = Vec::new();
                while let Some(byte) = self.peek() {
                    if byte == quote {
                        self.position += 1;
                        return Ok(String::from_utf8_lossy(&value).into_owned());
                    }
                    if let Some((character, end)) = reference(self.source, self.position) {
                        value.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                        self.position = end;
                    } else {
                        value.push(byte);
                        self.position += 1;
                    }
                }
                Err(format!("Unclosed start tag at byte offset {begin}"))
            }
            Some(_) => {
                let token = self.position;
                let value = self
                    .until(|byte| !(byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-'))
                    .to_lowercase();
                match self.peek() {
                    Some(byte) if byte.is_ascii_whitespace() || byte == b'>' => Ok(value),
                    _ => Err(format!("Unexpected end of name token at byte offset {token}")),
                }
            }
        }
    }

    fn end_tag(&mut self, begin: usize, innermost: Option<&Open>) -> Result<String, String> {
        if innermost.is_none() {
            return Err(format!("Unexpected end tag at byte offset {begin}"));
        }
        self.position += 2;
        let tag = self.until(|byte| byte.is_ascii_whitespace() || byte == b'>').to_lowercase();
        self.skip_spaces();
        if self.peek() != Some(b'>') {
            return Err(format!("Unclosed end tag at byte offset {begin}"));
        }
        self.position += 1;
        Ok(tag)
    }
}

/// A character reference at this position and where it ends: the four named ones and numbers, the semicolon optional.
fn reference(source: &[u8], at: usize) -> Option<(char, usize)> {
    if source.get(at) != Some(&b'&') {
        return None;
    }
    let mut end = at + 1;
    let taken = |from: usize, wanted: fn(&u8) -> bool| source[from..].iter().take_while(|byte| wanted(byte)).count();
    let character = if source.get(end) == Some(&b'#') {
        let hexadecimal = source.get(end + 1) == Some(&b'x');
        let (digits, radix) = if hexadecimal { (end + 2, 16) } else { (end + 1, 10) };
        let wanted: fn(&u8) -> bool = if hexadecimal { u8::is_ascii_hexdigit } else { u8::is_ascii_digit };
        end = digits + taken(digits, wanted);
        let number = u32::from_str_radix(std::str::from_utf8(&source[digits..end]).ok()?, radix).ok()?;
        char::from_u32(number).filter(|character| *character != '\0')?
    } else {
        end += taken(end, u8::is_ascii_alphabetic);
        match &source[at + 1..end] {
            b"lt" => '<',
            b"gt" => '>',
            b"amp" => '&',
            b"quot" => '"',
            _ => return None,
        }
    };
    Some((character, if source.get(end) == Some(&b';') { end + 1 } else { end }))
}

/// Turns a closed element into an entity; the text beside each is the language that a `<code>` carried.
fn close(parser: &Parser<'_>, element: Open, entities: &mut Vec<(Entity, String)>) -> Result<(), String> {
    let (offset, length) = (element.offset, parser.units - element.offset);
    if length == 0 {
        return Ok(());
    }
    let kind = match element.tag.as_str() {
        "b" | "strong" => EntityKind::Bold,
        "i" | "em" => EntityKind::Italic,
        "u" | "ins" => EntityKind::Underline,
        "s" | "strike" | "del" => EntityKind::Strikethrough,
        "tg-spoiler" | "span" => EntityKind::Spoiler,
        "tg-emoji" => match element.argument.parse::<i64>() {
            Ok(id) if id != 0 => EntityKind::CustomEmoji(element.argument.clone()),
            _ => return Err("Invalid custom emoji identifier specified".to_owned()),
        },
        "a" => {
            let shown = &parser.text[element.begin..];
            match link(if element.argument.is_empty() { shown } else { &element.argument }) {
                Some(kind) => kind,
                None => return Ok(()),
            }
        }
        "pre" => match entities.last_mut() {
            Some((last, language))
                if last.kind == EntityKind::Code && !language.is_empty() && last.offset == offset && last.length == length =>
            {
                last.kind = EntityKind::Pre(Some(std::mem::take(language)));
                return Ok(());
            }
            _ => EntityKind::Pre(None),
        },
        "code" => {
            if let Some((last, _)) = entities.last_mut()
                && last.kind == EntityKind::Pre(None)
                && (last.offset, last.length) == (offset, length)
                && !element.argument.is_empty()
            {
                last.kind = EntityKind::Pre(Some(element.argument));
                return Ok(());
            }
            EntityKind::Code
        }
        _ if element.argument == "1" => EntityKind::ExpandableBlockquote,
        _ => EntityKind::Blockquote,
    };
    let language = if kind == EntityKind::Code {
        element.argument
    } else {
        String::new()
    };
    entities.push((Entity { kind, offset, length }, language));
    Ok(())
}

/// What a link target becomes: a mention, a link, or nothing (the text stays, the link is dropped).
fn link(target: &str) -> Option<EntityKind> {
    if let Some(id) = target.strip_prefix("tg://user?id=").and_then(|id| id.parse().ok()) {
        return Some(EntityKind::TextMention(id));
    }
    let with_scheme = if target.contains("://") {
        target.to_owned()
    } else {
        format!("http://{target}")
    };
    let address = url::Url::parse(&with_scheme).ok()?;
    match address.scheme() {
        "tg" | "ton" => {}
        "http" | "https" if address.host_str().is_some_and(|host| host.contains('.')) => {}
        _ => return None,
    }
    Some(EntityKind::TextLink(address.to_string()))
}

/// Sorts, throws away what may not nest, and trims, as the server does without a word.
fn fix(mut formatted: Formatted) -> Formatted {
    let mut entities = std::mem::take(&mut formatted.entities);
    entities.sort_by(|a, b| {
        a.offset
            .cmp(&b.offset)
            .then(b.length.cmp(&a.length))
            .then(a.kind.priority().cmp(&b.kind.priority()))
    });
    let mut kept: Vec<Entity> = Vec::new();
    let end = |entity: &Entity| entity.offset + entity.length;
    for class in [EntityKind::is_quote as fn(&EntityKind) -> bool, EntityKind::is_continuous] {
        let mut free_from = 0;
        for entity in entities.iter().filter(|entity| class(&entity.kind)) {
            let crosses_quote = kept.iter().any(|quote| {
                let (from, to) = (quote.offset, end(quote));
                quote.kind.is_quote() && from < end(entity) && entity.offset < to && (entity.offset < from || to < end(entity))
            });
            if entity.offset < free_from || crosses_quote {
                formatted
                    .lost
                    .push(format!("{} at {} meets another one", entity.kind.as_str(), entity.offset));
            } else {
                free_from = end(entity);
                kept.push(entity.clone());
            }
        }
    }
    let code: Vec<(usize, usize)> = kept
        .iter()
        .filter(|entity| entity.kind.is_code())
        .map(|entity| (entity.offset, end(entity)))
        .collect();
    for entity in entities
        .iter()
        .filter(|entity| !entity.kind.is_continuous() && !entity.kind.is_quote())
    {
        let mut from = entity.offset;
        for (code_from, code_to) in code
            .iter()
            .filter(|(code_from, code_to)| *code_from < end(entity) && entity.offset < *code_to)
        {
            formatted
                .lost
                .push(format!("{} at {} meets code", entity.kind.as_str(), entity.offset));
            if from < *code_from {
                kept.push(Entity {
                    kind: entity.kind.clone(),
                    offset: from,
                    length: code_from - from,
                });
            }
            from = from.max(*code_to);
        }
        if from < end(entity) {
            kept.push(Entity {
                kind: entity.kind.clone(),
                offset: from,
                length: end(entity) - from,
            });
        }
    }
    kept.sort_by(|a, b| {
        a.offset
            .cmp(&b.offset)
            .then(b.length.cmp(&a.length))
            .then(a.kind.priority().cmp(&b.kind.priority()))
    });
    formatted.entities = kept;
    trim(formatted)
}

/// Cuts white space at the end, and at the beginning unless formatting starts there.
fn trim(mut formatted: Formatted) -> Formatted {
    let end = utf16_len(formatted.text.trim_end());
    formatted.text.truncate(formatted.text.trim_end().len());
    let front = if formatted.entities.iter().any(|entity| entity.offset == 0) {
        0
    } else {
        let bytes = formatted.text.len() - formatted.text.trim_start().len();
        let cut: String = formatted.text.drain(..bytes).collect();
        utf16_len(&cut)
    };
    formatted.entities.retain_mut(|entity| {
        let to = (entity.offset + entity.length).min(end);
        let from = entity.offset.max(front);
        entity.offset = from.saturating_sub(front);
        entity.length = to.saturating_sub(from);
        entity.length > 0
    });
    formatted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(source: &str) -> String {
        match parse(source) {
            Err(error) => format!("! {error}"),
            Ok(formatted) => {
                let entities: Vec<String> = formatted
                    .entities
                    .iter()
                    .map(|entity| format!("{}@{}+{}", entity.kind.as_str(), entity.offset, entity.length))
                    .collect();
                format!("{} [{}] lost {}", formatted.text, entities.join(" "), formatted.lost.len())
            }
        }
    }

    #[test]
    fn accepts_and_refuses_like_the_server() {
        for (source, wanted) in [
            ("a <b>bold</b> &lt;x&gt; &amp;amp;", "a bold <x> &amp; [bold@2+4] lost 0"),
            ("😀<i>x</i>", "😀x [italic@2+1] lost 0"),
            (
                "<blockquote expandable>q <b>b</b></blockquote>",
                "q b [expandable_blockquote@0+3 bold@2+1] lost 0",
            ),
            ("<pre><code class=\"language-diff\">+a\n-b</code></pre>", "+a\n-b [pre@0+5] lost 0"),
            ("<b>x <code>y</code></b>", "x y [bold@0+2 code@2+1] lost 1"),
            ("<code>x <b>y</b></code>", "x y [code@0+3] lost 1"),
            ("<blockquote>a<blockquote>b</blockquote></blockquote>", "ab [blockquote@0+2] lost 1"),
            ("<pre>a<blockquote>b</blockquote></pre>", "ab [blockquote@1+1] lost 1"),
            ("<blockquote><pre>a</pre></blockquote>", "a [blockquote@0+1 pre@0+1] lost 0"),
            ("<a href=\"https://example.org/\">x</a>", "x [text_link@0+1] lost 0"),
            ("<a href='javascript:alert(1)'>x</a>", "x [] lost 0"),
            ("x <y", "! Unclosed start tag at byte offset 2"),
            ("1 < 2 > 0", "! Unsupported start tag \"\" at byte offset 2"),
            ("<script>x</script>", "! Unsupported start tag \"script\" at byte offset 0"),
            (
                "<b>x</i>",
                "! Unmatched end tag at byte offset 4, expected \"</b>\", found \"</i>\"",
            ),
            ("<b>x", "! Can't find end tag corresponding to start tag b"),
            ("x</b>", "! Unexpected end tag at byte offset 1"),
            ("<span>x</span>", "! Tag \"span\" must have class \"tg-spoiler\" at byte offset 0"),
            ("  x \n", "x [] lost 0"),
        ] {
            assert_eq!(shape(source), wanted, "{source}");
        }
    }

    #[test]
    fn keeps_the_language_of_a_code_block() {
        let formatted = parse("<pre><code class=\"language-diff\">+a</code></pre>").expect("valid mark-up");
        assert_eq!(formatted.entities[0].kind, EntityKind::Pre(Some("diff".to_owned())));
    }
}
