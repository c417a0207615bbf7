//! A YAML file as a tree of nodes that know where they stand in the text. Aliases stay aliases: nothing is ever expanded.

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use super::Limits;
use super::error::{EditError, EditErrorKind, Result};

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Single,
    Double,
    Block,
}

/// One node. Offsets are bytes of the text; `start` is where its anchor or tag begins, if it has one.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub start: usize,
    pub end: usize,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 0.
    pub column: usize,
    /// 0 for none; ids are unique in a file.
    pub anchor: usize,
    pub tag: Option<String>,
    /// Inside a flow collection, or one itself.
    pub in_flow: bool,
    pub kind: Kind,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Scalar { text: String, style: Style },
    Alias(usize),
    Sequence { items: Vec<Node>, bracketed: bool },
    Mapping { entries: Vec<(Node, Node)>, bracketed: bool },
}

impl Node {
    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// `key:` with nothing behind it.
    pub fn is_absent(&self) -> bool {
        self.anchor == 0 && self.tag.is_none() && matches!(&self.kind, Kind::Scalar { text, style: Style::Plain } if text.is_empty())
    }

    /// An explicit or absent null.
    pub fn is_null(&self) -> bool {
        let null = matches!(&self.kind, Kind::Scalar { text, style: Style::Plain } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"));
        self.anchor == 0 && self.tag.is_none() && null
    }

    /// What the node is, in words for messages.
    pub fn noun(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar { .. } => "a single value",
            Kind::Alias(_) => "an alias",
            Kind::Sequence { .. } => "a list",
            Kind::Mapping { .. } => "a mapping",
        }
    }

    /// The n-th value below: an entry's value or a list item.
    pub fn child(&self, index: usize) -> Option<&Self> {
        match &self.kind {
            Kind::Mapping { entries, .. } => entries.get(index).map(|(_, value)| value),
            Kind::Sequence { items, .. } => items.get(index),
            Kind::Scalar { .. } | Kind::Alias(_) => None,
        }
    }

    /// The same, to change a copy of the tree.
    pub fn child_mut(&mut self, index: usize) -> Option<&mut Self> {
        match &mut self.kind {
            Kind::Mapping { entries, .. } => entries.get_mut(index).map(|(_, value)| value),
            Kind::Sequence { items, .. } => items.get_mut(index),
            Kind::Scalar { .. } | Kind::Alias(_) => None,
        }
    }

    /// The value of a key that is written exactly once.
    pub fn value_of(&self, name: &str) -> Option<&Self> {
        let Kind::Mapping { entries, .. } = &self.kind else { return None };
        let mut found = entries.iter().filter(|(key, _)| key.text() == Some(name));
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }

    /// Calls `visit` for this node and everything below.
    pub fn walk<'n>(&'n self, visit: &mut impl FnMut(&'n Self)) {
        visit(self);
        match &self.kind {
            Kind::Mapping { entries, .. } => entries.iter().for_each(|(key, value)| {
                key.walk(visit);
                value.walk(visit);
            }),
            Kind::Sequence { items, .. } => items.iter().for_each(|item| item.walk(visit)),
            Kind::Scalar { .. } | Kind::Alias(_) => {}
        }
    }

    /// A scalar that exists only in an expected tree.
    pub fn expected_scalar(text: String, plain: bool) -> Self {
        let style = if plain { Style::Plain } else { Style::Double };
        Self::expected(Kind::Scalar { text, style })
    }

    /// A node that exists only in an expected tree.
    pub const fn expected(kind: Kind) -> Self {
        Self {
            start: 0,
            end: 0,
            line: 0,
            column: 0,
            anchor: 0,
            tag: None,
            in_flow: false,
            kind,
        }
    }
}

/// Marks that a value of compact JSON brings along: two quotes for itself, two for its key, a colon and a comma, shared by key and value.
pub(crate) const MARKS_PER_VALUE: usize = 4;

/// How many letters of a text can begin or end something. The parser reads an outermost `[…]` or `{…}` to its end before it hands out the
/// first value of it, so that a limit on values would be asked when all the work is done.
pub(crate) fn marks(text: &str) -> usize {
    let is_mark = |byte: &u8| {
        matches!(
            byte,
            b',' | b'[' | b']' | b'{' | b'}' | b':' | b'&' | b'*' | b'!' | b'?' | b'"' | b'\''
        )
    };
    text.bytes().filter(|byte| is_mark(byte)).count()
}

/// Parses a text into its documents' root nodes.
pub(crate) fn parse(text: &str, limits: &Limits) -> Result<Vec<Node>> {
    if text.len() > limits.bytes {
        let message = format!("the file has {} bytes, more than the limit of {}", text.len(), limits.bytes);
        return Err(EditError::new(EditErrorKind::TooLarge, message, "split it, or change it by hand"));
    }
    if marks(text) > limits.nodes.saturating_mul(MARKS_PER_VALUE) {
        let message = format!("the file has more than {} values", limits.nodes);
        return Err(EditError::new(EditErrorKind::TooLarge, message, "split it, or change it by hand"));
    }
    if let Some(line) = lone_carriage_return(text) {
        let message = "a carriage return stands alone, which some YAML readers take for a line end and others do not";
        return Err(EditError::new(EditErrorKind::Syntax, message, "save the file with LF or CRLF line ends").at(line));
    }
    let offsets = ByteOffsets::new(text);
    let mut builder = Builder {
        text,
        offsets,
        limits,
        nodes: 0,
        flow_depth: 0,
        open: Vec::new(),
        documents: Vec::new(),
    };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| syntax(&error))?;
        builder.take(event, span)?;
    }
    Ok(builder.documents)
}

fn syntax(error: &ScanError) -> EditError {
    EditError::new(
        EditErrorKind::Syntax,
        format!("the file is not valid YAML: {}", error.info()),
        "correct the file first",
    )
    .at(error.marker().line())
}

fn lone_carriage_return(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let at = (0..bytes.len()).find(|&i| bytes[i] == b'\r' && bytes.get(i + 1) != Some(&b'\n'))?;
    Some(text[..at].matches('\n').count() + 1)
}

/// The parser counts characters, the text is sliced by bytes: one entry per 64 characters keeps the table small.
struct ByteOffsets<'t> {
    text: &'t str,
    ascii: bool,
    every: Vec<usize>,
}

const STRIDE: usize = 64;

impl<'t> ByteOffsets<'t> {
    fn new(text: &'t str) -> Self {
        let ascii = text.is_ascii();
        let every = if ascii {
            Vec::new()
        } else {
            text.char_indices().step_by(STRIDE).map(|(at, _)| at).collect()
        };
        Self { text, ascii, every }
    }

    fn byte(&self, character: usize) -> usize {
        if self.ascii {
            return character.min(self.text.len());
        }
        let from = self.every.get(character / STRIDE).copied().unwrap_or(self.text.len());
        let rest = &self.text[from..];
        rest.char_indices()
            .nth(character % STRIDE)
            .map_or(self.text.len(), |(at, _)| from + at)
    }
}

struct Builder<'t, 'l> {
    text: &'t str,
    offsets: ByteOffsets<'t>,
    limits: &'l Limits,
    nodes: usize,
    flow_depth: usize,
    open: Vec<Open>,
    documents: Vec<Node>,
}

struct Open {
    node: Node,
    /// The key that waits for its value.
    key: Option<Node>,
}

impl Builder<'_, '_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<()> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted => Style::Single,
                    ScalarStyle::DoubleQuoted => Style::Double,
                    ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
                };
                let kind = Kind::Scalar {
                    text: text.into_owned(),
                    style,
                };
                let node = self.node(span, anchor, tag.map(|tag| tag.to_string()), kind)?;
                self.close(node)
            }
            Event::Alias(anchor) => {
                let node = self.node(span, 0, None, Kind::Alias(anchor))?;
                self.close(node)
            }
            Event::SequenceStart(anchor, tag) => self.open(span, anchor, tag.map(|tag| tag.to_string()), false),
            Event::MappingStart(anchor, tag) => self.open(span, anchor, tag.map(|tag| tag.to_string()), true),
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => Ok(()),
        }
    }

    fn node(&mut self, span: Span, anchor: usize, tag: Option<String>, kind: Kind) -> Result<Node> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            let message = format!("the file has more than {} values", self.limits.nodes);
            return Err(EditError::new(EditErrorKind::TooLarge, message, "split it, or change it by hand").at(span.start.line()));
        }
        let start = self.offsets.byte(span.start.index());
        let end = self.offsets.byte(span.end.index()).max(start);
        // The parser counts blanks and even a comment behind a closing quote as part of the value.
        let end = match &kind {
            Kind::Scalar { style: Style::Block, .. } => end,
            Kind::Scalar { style: Style::Double, .. } => {
                quoted_end(self.text, start, end, '"').ok_or_else(|| confused(span.start.line()))?
            }
            Kind::Scalar { style: Style::Single, .. } => {
                quoted_end(self.text, start, end, '\'').ok_or_else(|| confused(span.start.line()))?
            }
            _ => start + self.text[start..end].trim_end().len(),
        };
        Ok(Node {
            start,
            end,
            line: span.start.line(),
            column: span.start.col(),
            anchor,
            tag,
            in_flow: self.flow_depth > 0,
            kind,
        })
    }

    fn open(&mut self, span: Span, anchor: usize, tag: Option<String>, mapping: bool) -> Result<()> {
        if self.open.len() >= self.limits.depth {
            let message = format!("the file is nested deeper than {} levels", self.limits.depth);
            return Err(EditError::new(EditErrorKind::TooLarge, message, "flatten it, or change it by hand").at(span.start.line()));
        }
        let (start, end) = (self.offsets.byte(span.start.index()), self.offsets.byte(span.end.index()));
        let bracketed = self.text[start..end.max(start)].trim_end().ends_with(['{', '[']);
        self.flow_depth += usize::from(bracketed);
        let kind = if mapping {
            Kind::Mapping {
                entries: Vec::new(),
                bracketed,
            }
        } else {
            Kind::Sequence {
                items: Vec::new(),
                bracketed,
            }
        };
        let node = self.node(span, anchor, tag, kind)?;
        self.open.push(Open { node, key: None });
        Ok(())
    }

    fn end(&mut self, span: Span) -> Result<()> {
        let Some(Open { mut node, .. }) = self.open.pop() else {
            return Err(confused(span.start.line()));
        };
        let (Kind::Mapping { bracketed, .. } | Kind::Sequence { bracketed, .. }) = node.kind else {
            return Err(confused(span.start.line()));
        };
        if bracketed {
            self.flow_depth -= 1;
            node.end = self.offsets.byte(span.start.index()) + 1;
            if !matches!(self.text.as_bytes().get(node.end - 1), Some(b'}' | b']')) {
                return Err(confused(span.start.line()));
            }
        }
        self.close(node)
    }

    fn close(&mut self, node: Node) -> Result<()> {
        let Some(Open { node: parent, key }) = self.open.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        match (&mut parent.kind, key.take()) {
            (Kind::Mapping { entries, .. }, Some(key)) => entries.push((key, node)),
            (Kind::Mapping { .. }, None) => *key = Some(node),
            (Kind::Sequence { items, .. }, _) => items.push(node),
            (Kind::Scalar { .. } | Kind::Alias(_), _) => return Err(confused(node.line)),
        }
        Ok(())
    }
}

/// Just behind the closing quote of the quoted value in `start..end`; anchors and tags before it hold no quotes.
fn quoted_end(text: &str, start: usize, end: usize, quote: char) -> Option<usize> {
    let open = start + text[start..end].find(quote)? + 1;
    let mut rest = text[open..end].char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        if c == '\\' && quote == '"' {
            rest.next();
        } else if c == quote {
            if quote == '\'' && rest.next_if(|&(_, next)| next == quote).is_some() {
                continue;
            }
            return Some(open + at + 1);
        }
    }
    None
}

fn confused(line: usize) -> EditError {
    EditError::new(
        EditErrorKind::Syntax,
        "the file's structure could not be read",
        "correct the file first",
    )
    .at(line)
}

/// Whether two files hold the same data: same documents, keys in the same order, same texts, same kind of quoting (plain or not: that is
/// what decides whether `3` is a number), same tags, and aliases that point to the same places.
pub(super) fn same_data(left: &[Node], right: &[Node]) -> bool {
    let mut anchors = Anchors::default();
    left.len() == right.len() && left.iter().zip(right).all(|(a, b)| same(a, b, &mut anchors))
}

/// Anchors are numbered by the order in which they appear, so the number itself says nothing once one was removed.
#[derive(Default)]
struct Anchors(std::collections::HashMap<usize, usize>);

fn same(a: &Node, b: &Node, anchors: &mut Anchors) -> bool {
    if a.tag != b.tag || (a.anchor == 0) != (b.anchor == 0) {
        return false;
    }
    if a.anchor != 0 {
        anchors.0.insert(a.anchor, b.anchor);
    }
    match (&a.kind, &b.kind) {
        (Kind::Scalar { text: x, style: p }, Kind::Scalar { text: y, style: q }) => x == y && (*p == Style::Plain) == (*q == Style::Plain),
        (Kind::Alias(x), Kind::Alias(y)) => anchors.0.get(x) == Some(y),
        (Kind::Sequence { items: x, .. }, Kind::Sequence { items: y, .. }) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y, anchors))
        }
        (Kind::Mapping { entries: x, .. }, Kind::Mapping { entries: y, .. }) => {
            x.len() == y.len() && x.iter().zip(y).all(|((k, v), (l, w))| same(k, l, anchors) && same(v, w, anchors))
        }
        _ => false,
    }
}
