//! Templates read as the YAML that stands around their actions: control lines are blanked, and an action that writes something becomes one
//! word, so that what stands in a template is looked at as strictly as what stands in a manifest.
//!
//! Lines keep their numbers, and the tree holds each action as it is written: `{{ .Values.password }}` under a key is a reference there as
//! anywhere.

use std::borrow::Cow;

use domain::RepoPath;

use super::structure;
use super::tree::{self, Tree, Unreadable};
use super::work::Work;

/// Around the number of an action. Private use, so that no honest text holds it; a text that does is not read this way.
const MARK: char = '\u{e000}';
/// Words that steer and write nothing themselves, of Go's templates and of Jinja.
const CONTROL: &[&str] = &[
    "if", "else", "end", "range", "with", "define", "block", "break", "continue", "elif", "endif", "for", "endfor", "set", "endset",
];
/// Work per byte and per action, and what is not looked at without it.
const BYTE: usize = 6;
const ACTION: usize = 200;
const MISSED: &str = "what its templates say";

/// A text that only becomes YAML: actions of Go templates or Jinja outside quotes, or a file of a chart's `templates`. What stands in comments
/// makes none.
pub(super) fn is_template(path: &RepoPath, text: &str) -> bool {
    let named = [".tpl", ".gotmpl", ".tmpl", ".j2", ".jinja", ".jinja2"];
    if named.iter().any(|end| path.file_name().ends_with(end)) {
        return true;
    }
    if !has_actions(text) {
        return false;
    }
    let opens = |text: &str| text.starts_with("{{") || text.starts_with("{%");
    let bare = |line: &str| {
        let line = line.trim_start().trim_start_matches("- ");
        opens(line) || line.split_once(": ").is_some_and(|(_, value)| opens(value.trim_start()))
    };
    let mut spoken = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    match path.parts().any(|part| part == "templates") {
        true => spoken.any(has_actions),
        false => spoken.any(bare),
    }
}

/// Whether anything in it looks like an action.
pub(super) fn has_actions(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// Reads a text as YAML; a template without its actions.
pub(super) fn read(text: &str, neutral: Option<&Neutral<'_>>, work: &Work) -> Result<Tree, Unreadable> {
    neutral.map_or_else(|| tree::parse(text, work), |neutral| neutral.parse(work))
}

/// A template without its actions.
pub(super) struct Neutral<'t> {
    text: String,
    /// What its words stand for.
    actions: Vec<&'t str>,
    /// Lines, from 1 and in order, on which there is an action.
    lines: Vec<usize>,
}

/// Where an action stands, and whether it only steers.
struct Action {
    start: usize,
    end: usize,
    control: bool,
}

impl<'t> Neutral<'t> {
    /// `None` where the text cannot be taken apart, as with an action without an end.
    pub fn of(template: &'t str, work: &Work) -> Option<Self> {
        if template.contains(MARK) || !work.spend_on(MISSED, template.len() * BYTE) {
            return None;
        }
        let mut neutral = Self {
            text: String::with_capacity(template.len()),
            actions: Vec::new(),
            lines: Vec::new(),
        };
        let (mut at, mut line) = (0, 1);
        while at < template.len() {
            let (end, actions) = line_of(template, at)?;
            if !work.spend_on(MISSED, actions.len() * ACTION) {
                return None;
            }
            neutral.take(template, at..end, &actions, line);
            line += newlines(&template[at..end]);
            at = end;
        }
        Some(neutral)
    }

    /// Reads it as YAML. The words stand for their actions again.
    pub fn parse(&self, work: &Work) -> Result<Tree, Unreadable> {
        tree::parse_with(&self.text, work, |text| self.restore(text))
    }

    /// Whether an action stands on one of these lines.
    pub fn acts_within(&self, first: usize, last: usize) -> bool {
        let at = self.lines.partition_point(|line| *line < first);
        self.lines.get(at).is_some_and(|line| *line <= last)
    }

    /// Takes one line, which an action may make several of the file's.
    fn take(&mut self, template: &'t str, span: std::ops::Range<usize>, actions: &[Action], line: usize) {
        let mut at = span.start;
        let outside = actions
            .iter()
            .map(|action| (action.start, action.end))
            .chain([(span.end, span.end)]);
        let alone = outside
            .scan(span.start, |from, (start, end)| {
                let before = &template[*from..start];
                *from = end;
                Some(before)
            })
            .all(|text| text.trim().is_empty());
        for action in actions {
            self.text.push_str(&template[at..action.start]);
            let written = &template[action.start..action.end];
            let first = line + newlines(&template[span.start..action.start]);
            self.lines.extend(first..=first + newlines(written));
            // What stands alone on its line is whole lines of YAML, unless a literal stands in it.
            if !action.control && (!alone || structure::writes_a_literal(written)) {
                self.text.push(MARK);
                self.text.push_str(&self.actions.len().to_string());
                self.text.push(MARK);
                self.actions.push(written);
            }
            self.text.extend(std::iter::repeat_n('\n', newlines(written)));
            at = action.end;
        }
        self.text.push_str(&template[at..span.end]);
    }

    fn restore<'s>(&self, text: Cow<'s, str>) -> Cow<'s, str> {
        if !text.contains(MARK) {
            return text;
        }
        let parts = text.split(MARK).enumerate();
        Cow::Owned(
            parts
                .map(
                    |(nth, part)| match part.parse::<usize>().ok().and_then(|number| self.actions.get(number)) {
                        Some(action) if nth % 2 == 1 => *action,
                        _ => part,
                    },
                )
                .collect(),
        )
    }
}

/// The end of the line that begins at a place, and the actions in it. An action may go on over several of the file's lines; comments have none.
fn line_of(text: &str, start: usize) -> Option<(usize, Vec<Action>)> {
    let end_from = |at: usize| text[at..].find('\n').map_or(text.len(), |length| at + length + 1);
    let mut actions = Vec::new();
    let mut at = start;
    loop {
        let end = end_from(at);
        if text[start..end].trim_start().starts_with('#') {
            return Some((end, actions));
        }
        let Some((open, close)) = opening(&text[at..end]) else {
            return Some((end, actions));
        };
        let action = action(text, at + open, close)?;
        at = action.end;
        actions.push(action);
    }
}

/// The first action's place in a line, and what closes it.
fn opening(line: &str) -> Option<(usize, &'static str)> {
    let places = line.match_indices('{').map(|(at, _)| at);
    let opens = [("{{", "}}"), ("{%", "%}"), ("{#", "#}")];
    places
        .filter_map(|at| {
            let (_, close) = opens.iter().find(|(open, _)| line[at..].starts_with(open))?;
            // `{#` is YAML, too: a comment of Jinja ends on its line.
            (*close != "#}" || line[at..].contains(close)).then_some((at, *close))
        })
        .next()
}

/// The action with which a line begins, if it only steers, and what stands behind it.
pub(super) fn steering(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start();
    let (0, close) = opening(line)? else { return None };
    let action = action(line, 0, close).filter(|action| action.control)?;
    Some(line.split_at(action.end))
}

/// The action that begins at a place. Quotes in it may hold what would close it.
fn action(text: &str, start: usize, close: &str) -> Option<Action> {
    let inside = start + 2;
    let body = text[inside..].trim_start_matches('-').trim_start();
    let comment = body.starts_with("/*") || close == "#}";
    let end = if body.starts_with("/*") {
        let from = inside + text[inside..].find("*/")? + 2;
        from + text[from..].find(close)?
    } else {
        closing(text, inside, close)?
    } + close.len();
    let word: &str = body.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    let assigns = body.starts_with('$')
        && body[..body.len().min(end - inside)].split("}}").next().is_some_and(|body| {
            let name_end = body[1..]
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .map_or(body.len(), |at| at + 1);
            let rest = body[name_end..].trim_start();
            rest.starts_with(":=") || rest.starts_with("= ")
        });
    Some(Action {
        start,
        end,
        control: comment || close == "%}" || assigns || CONTROL.contains(&word),
    })
}

fn closing(text: &str, from: usize, close: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut quote = None;
    let mut at = from;
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(b'"' | b'\''), b'\\') => at += 1,
            (Some(open), byte) if byte == open => quote = None,
            (None, byte @ (b'"' | b'\'' | b'`')) => quote = Some(byte),
            (None, _) if bytes[at..].starts_with(close.as_bytes()) => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn neutral(text: &str) -> String {
        let neutral = Neutral::of(text, &Work::alone()).expect("can be taken apart");
        assert_eq!(newlines(&neutral.text), newlines(text), "lines keep their numbers");
        neutral.text.replace(MARK, "%")
    }

    #[test]
    fn actions_are_blanked_or_become_words() {
        for (text, expected) in [
            ("a: {{ .Values.a }}\n", "a: %0%\n"),
            ("{{- if .Values.a }}\na: 1\n{{- end }}\n", "\na: 1\n\n"),
            ("a: \"{{ .a | default \"}}\" }}-{{ .b }}\"\n", "a: \"%0%-%1%\"\n"),
            ("a:\n  {{- include \"labels\" . | nindent 2 }}\n", "a:\n  \n"),
            ("{{ $x := .a }}\nb: {{ $x }}\n", "\nb: %0%\n"),
            ("{{- /* a\n}} b */ -}}\nc: 1", "\n\nc: 1"),
            ("a: {{ include \"b\" (dict\n \"c\" 1) }}\nd: 2\n", "a: %0%\n\nd: 2\n"),
            ("# {{ .a\nb: 1\n", "# {{ .a\nb: 1\n"),
            ("{% if a %}\nb: {c: {{ d }}}\n{% endif %}\n", "\nb: {c: %0%}\n\n"),
            ("a: {#b\n}\n", "a: {#b\n}\n"),
            ("a:\n  {{ .b | default \"a literal\" }}\n", "a:\n  %0%\n"),
        ] {
            assert_eq!(neutral(text), expected, "{text}");
        }
        assert!(Neutral::of("a: {{ b\n", &Work::alone()).is_none(), "an action without an end");
        assert!(Neutral::of("a: \u{e000}\n", &Work::alone()).is_none(), "somebody uses the mark");
    }

    #[test]
    fn the_tree_holds_the_actions_as_they_are_written() {
        let text = "{{- range .Values.all }}\nname: {{ .name | quote }}-db\nkind: Role\n{{- end }}\n---\nkind: Namespace\n";
        let neutral = Neutral::of(text, &Work::alone()).expect("can be taken apart");
        let Ok(tree) = neutral.parse(&Work::alone()) else {
            panic!("is YAML");
        };
        assert_eq!(tree.text_at(&tree.documents[0], &["name"]), Some("{{ .name | quote }}-db"));
        assert!(neutral.acts_within(2, 3), "the first document");
        assert!(!neutral.acts_within(6, 6), "the second");
    }
}
