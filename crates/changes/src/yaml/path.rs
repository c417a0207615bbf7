//! Paths to a value inside a document, such as `spec.template.spec.containers[name=web].image`.

use std::fmt;
use std::str::FromStr;

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Into the value of a key: `replicas`, or `["kubectl.kubernetes.io/restartedAt"]` where the key has dots.
    Key(String),
    /// Into a list item by position, counted from 0: `[0]`.
    Index(usize),
    /// Into the one list item whose key has this value: `[name=web]`.
    Item {
        /// The key that is compared.
        key: String,
        /// The value it must have, as text.
        value: String,
    },
}

/// A path of at least one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(Vec<Step>);

/// Why a path could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "path {path:?} is not valid at character {at}: {problem}; write it like spec.containers[name=web].image or metadata.annotations[\"example.com/key\"]"
)]
pub struct PathError {
    /// The path as given.
    pub path: String,
    /// Where it stops making sense, in characters from 1.
    pub at: usize,
    /// What is wrong there.
    pub problem: &'static str,
}

/// More steps than any manifest has levels.
const STEPS_MAX: usize = 50;

impl Path {
    /// From steps; `None` without any.
    pub fn new(steps: Vec<Step>) -> Option<Self> {
        (!steps.is_empty()).then_some(Self(steps))
    }

    /// The steps from the document's root.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// This path with every text in it (keys and compared values) replaced; the structure stays.
    ///
    /// # Errors
    /// The first error of `replace`.
    pub fn map_texts<E>(&self, mut replace: impl FnMut(&str) -> Result<String, E>) -> Result<Self, E> {
        let step = |step: &Step| {
            Ok(match step {
                Step::Key(key) => Step::Key(replace(key)?),
                Step::Index(index) => Step::Index(*index),
                Step::Item { key, value } => Step::Item {
                    key: replace(key)?,
                    value: replace(value)?,
                },
            })
        };
        self.0.iter().map(step).collect::<Result<_, E>>().map(Self)
    }
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let mut reader = Reader { text, at: 0 };
        let steps = reader.steps().map_err(|problem| PathError {
            path: text.to_owned(),
            at: text[..reader.at].chars().count() + 1,
            problem,
        })?;
        Ok(Self(steps))
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn eat(&mut self, c: char) -> bool {
        let there = self.rest().starts_with(c);
        self.at += if there { c.len_utf8() } else { 0 };
        there
    }

    fn steps(&mut self) -> Result<Vec<Step>, &'static str> {
        let mut steps = Vec::new();
        if !self.rest().starts_with('[') {
            steps.push(Step::Key(self.bare(&['.', '[', ']', '"', '\''])?));
        }
        while !self.rest().is_empty() {
            if steps.len() == STEPS_MAX {
                return Err("it has more than 50 steps");
            }
            if self.eat('.') {
                steps.push(Step::Key(self.bare(&['.', '[', ']', '"', '\''])?));
            } else if self.eat('[') {
                steps.push(self.bracket()?);
            } else {
                return Err("expected a dot or an opening bracket");
            }
        }
        Ok(steps)
    }

    /// After `[`: a quoted key, a position, or `key=value`.
    fn bracket(&mut self) -> Result<Step, &'static str> {
        let step = if self.rest().starts_with('"') {
            Step::Key(self.quoted()?)
        } else {
            let word = self.bare(&['=', ']', '[', '"'])?;
            if self.eat('=') {
                let value = if self.rest().starts_with('"') {
                    self.quoted()?
                } else {
                    self.bare(&[']', '[', '"'])?
                };
                Step::Item { key: word, value }
            } else {
                Step::Index(
                    word.parse()
                        .map_err(|_| "expected a position, key=value, or a key in double quotes")?,
                )
            }
        };
        if self.eat(']') {
            Ok(step)
        } else {
            Err("expected a closing bracket")
        }
    }

    fn bare(&mut self, stop: &[char]) -> Result<String, &'static str> {
        let end = self.rest().find(stop).unwrap_or(self.rest().len());
        let word = self.rest()[..end].to_owned();
        if word.is_empty() {
            return Err("a name is missing");
        }
        self.at += end;
        Ok(word)
    }

    /// A string as JSON writes it.
    fn quoted(&mut self) -> Result<String, &'static str> {
        let mut strings = serde_json::Deserializer::from_str(self.rest()).into_iter::<String>();
        match strings.next() {
            Some(Ok(text)) => {
                let used = strings.byte_offset();
                self.at += used;
                Ok(text)
            }
            _ => Err("the text in double quotes is not closed or has a wrong escape"),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(nth, step)| show(f, nth == 0, step))
    }
}

fn show(f: &mut fmt::Formatter<'_>, first: bool, step: &Step) -> fmt::Result {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    match step {
        Step::Key(key) if key.is_empty() || key.contains(['.', '[', ']', '"', '\'']) => write!(f, "[{}]", quoted(key)),
        Step::Key(key) if first => f.write_str(key),
        Step::Key(key) => write!(f, ".{key}"),
        Step::Index(index) => write!(f, "[{index}]"),
        Step::Item { key, value } if value.is_empty() || value.contains(['[', ']', '"']) => write!(f, "[{key}={}]", quoted(value)),
        Step::Item { key, value } => write!(f, "[{key}={value}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_and_show() {
        for text in [
            "spec.replicas",
            "spec.template.spec.containers[name=web].image",
            "spec.args[0]",
            r#"metadata.annotations["kubectl.kubernetes.io/restartedAt"]"#,
            r#"["a.b"].c"#,
            r#"[name="x]y"].v"#,
        ] {
            assert_eq!(text.parse::<Path>().map(|path| path.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn broken_paths_say_where() {
        for (text, at) in [
            ("", 1),
            ("a..b", 3),
            ("a.", 3),
            ("a[", 3),
            ("a[x]", 4),
            ("a[0", 4),
            ("a]b", 2),
            ("é[\"x", 3),
            ("a[k=]", 5),
        ] {
            assert_eq!(text.parse::<Path>().map_err(|error| error.at), Err(at), "{text}");
        }
        assert!("a.".repeat(60).parse::<Path>().is_err());
    }
}
