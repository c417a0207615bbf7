//! Single values and how they are written so that every YAML reader, of version 1.1 or 1.2, gets exactly them back.

use std::fmt::Write as _;

use domain::is_deceptive;

use super::tree::Style;

/// A single value with its type.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction or beyond `i64`. Infinities and NaN are refused when written.
    Float(f64),
    /// A string: it stays a string whatever it looks like.
    Text(String),
}

/// A JSON value that is no single value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} cannot be written as a single value; give a string, a number, true, false or null")]
pub struct NotScalar(&'static str);

impl TryFrom<&serde_json::Value> for Scalar {
    type Error = NotScalar;

    /// JSON knows one kind of number: a number without a fraction becomes an integer (`3.0` is `3`).
    fn try_from(value: &serde_json::Value) -> Result<Self, NotScalar> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match value {
            serde_json::Value::Null => Ok(Self::Null),
            serde_json::Value::Bool(value) => Ok(Self::Bool(*value)),
            serde_json::Value::String(text) => Ok(Self::Text(text.clone())),
            serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => Ok(Self::Integer(whole)),
                (None, Some(float)) if float.fract() == 0.0 && float.abs() < EXACT => Ok(Self::Integer(float as i64)),
                (None, Some(float)) => Ok(Self::Float(float)),
                (None, None) => Err(NotScalar("a number of this size")),
            },
            serde_json::Value::Array(_) => Err(NotScalar("a list")),
            serde_json::Value::Object(_) => Err(NotScalar("an object")),
        }
    }
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Scalar {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

/// A value as it will stand in the file.
pub(super) struct Written {
    /// The characters to splice in; always one line.
    pub yaml: String,
    /// What a parser reads from them.
    pub text: String,
    /// Whether they are plain (unquoted).
    pub plain: bool,
}

/// Writes a value; `wish` is the style of the value that stood there, kept for strings where that is safe.
pub(super) fn write(value: &Scalar, wish: Style) -> Result<Written, &'static str> {
    let plain = |text: String| Written {
        yaml: text.clone(),
        text,
        plain: true,
    };
    match value {
        Scalar::Null => Ok(plain("null".to_owned())),
        Scalar::Bool(value) => Ok(plain(value.to_string())),
        Scalar::Integer(value) => Ok(plain(value.to_string())),
        Scalar::Float(value) => float(*value).map(plain).ok_or("infinity and NaN cannot be written"),
        Scalar::Text(text) => Ok(write_text(text, wish)),
    }
}

/// Writes a string or a key.
pub(super) fn write_text(text: &str, wish: Style) -> Written {
    let (yaml, is_plain) = match wish {
        Style::Plain | Style::Block if is_safe_plain(text) => (text.to_owned(), true),
        Style::Single if is_safe_single(text) => (format!("'{}'", text.replace('\'', "''")), false),
        Style::Plain | Style::Block | Style::Single | Style::Double => (double_quoted(text), false),
    };
    Written {
        yaml,
        text: text.to_owned(),
        plain: is_plain,
    }
}

/// YAML 1.1 wants a dot in the mantissa and a sign in the exponent; 1.2 accepts both.
fn float(value: f64) -> Option<String> {
    if !value.is_finite() {
        return None;
    }
    let text = format!("{value:?}");
    let Some((mantissa, exponent)) = text.split_once('e') else {
        return Some(text);
    };
    let dot = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with('-') { "" } else { "+" };
    Some(format!("{mantissa}{dot}e{sign}{exponent}"))
}

/// Whether a string can stand unquoted and still be read as that string by every reader. Says no when in doubt.
pub(super) fn is_safe_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some((first, last)) = bytes.first().zip(bytes.last()) else {
        return false;
    };
    if !(first.is_ascii_alphanumeric() || matches!(first, b'_' | b'/' | b'.')) || matches!(last, b' ' | b':') {
        return false;
    }
    let safe = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'/' | b'-' | b'+' | b':' | b'@' | b' ');
    let words = text
        .split(' ')
        .all(|word| word.starts_with(|c: char| !matches!(c, '-' | '+' | '@' | ':')));
    bytes.iter().all(safe) && words && !text.contains(": ") && !text.starts_with("...") && !reads_as_other_type(text)
}

/// Words, numbers, times and the like that some reader turns into something else than a string.
fn reads_as_other_type(text: &str) -> bool {
    const WORDS: [&str; 14] = [
        "null", "true", "false", "yes", "no", "on", "off", "y", "n", ".inf", ".nan", "inf", "nan", "infinity",
    ];
    let lower = text.to_ascii_lowercase();
    if WORDS.contains(&lower.as_str()) {
        return true;
    }
    let numeric_start = text.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let number_like = |b: u8| b.is_ascii_hexdigit() || matches!(b, b'x' | b'o' | b'_' | b':' | b'.' | b'+' | b'-' | b't' | b'z' | b' ');
    // 1.27.3 and 192.0.2.7 are strings everywhere.
    let version = text.bytes().all(|b| b.is_ascii_digit() || b == b'.') && text.matches('.').count() >= 2;
    numeric_start && lower.bytes().all(number_like) && !version
}

fn is_safe_single(text: &str) -> bool {
    text.chars().all(|c| !needs_escape(c))
}

/// The common part of YAML's and JSON's escapes, so that a JSON file stays one (but for odd characters above U+FFFF).
fn double_quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Writing to a String cannot fail.
            c if needs_escape(c) && u32::from(c) > 0xFFFF => drop(write!(out, "\\U{:08X}", u32::from(c))),
            c if needs_escape(c) => drop(write!(out, "\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Control characters, line separators, byte order marks and what makes text look different from what it is.
fn needs_escape(c: char) -> bool {
    c.is_control() || is_deceptive(c) || matches!(c, '\u{2028}' | '\u{2029}' | '\u{FFFE}' | '\u{FFFF}')
}

/// The value of a scalar node as YAML 1.2 reads it.
pub(super) fn read(node: &super::tree::Node) -> Option<Scalar> {
    let super::tree::Kind::Scalar { text, style } = &node.kind else {
        return None;
    };
    if *style != Style::Plain || node.tag.is_some() {
        return Some(Scalar::Text(text.clone()));
    }
    Some(match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "true" | "True" | "TRUE" => Scalar::Bool(true),
        "false" | "False" | "FALSE" => Scalar::Bool(false),
        other => number(other).unwrap_or_else(|| Scalar::Text(other.to_owned())),
    })
}

fn number(text: &str) -> Option<Scalar> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    text.parse().map(Scalar::Integer).or_else(|_| text.parse().map(Scalar::Float)).ok()
}
