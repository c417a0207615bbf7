//! Strict JSON: what a hostile or careless sender could make two readers understand differently is refused.
//!
//! serde_json alone keeps the last of two equal keys and has no bound on the number of values; both matter here. It does refuse
//! trailing bytes, lone surrogates, numbers out of range and nesting deeper than 128.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use engine::Problem;

/// Reads one JSON document.
///
/// # Errors
/// 400 for anything that is not JSON in UTF-8 without a byte order mark or repeated keys; 413 for more than `values_max` values.
pub fn parse(bytes: &[u8], values_max: usize) -> Result<Value, Problem> {
    let malformed = |detail: String| Problem::new(400, "malformed_json", detail, "send one JSON document in UTF-8");
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        return Err(malformed("the body starts with a byte order mark".to_owned()));
    }
    let text =
        std::str::from_utf8(bytes).map_err(|error| malformed(format!("the body is not UTF-8 after byte {}", error.valid_up_to())))?;
    let fault = Cell::new(None);
    let left = Cell::new(values_max);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed = Strict {
        left: &left,
        fault: &fault,
    }
    .deserialize(&mut deserializer)
    .and_then(|value| deserializer.end().map(|()| value));
    parsed.map_err(|error| match fault.get() {
        Some(Fault::TooMany) => Problem::new(
            413,
            "too_many_values",
            format!("the body holds more than {values_max} JSON values"),
            "split the change into smaller proposals",
        ),
        Some(Fault::Repeated) => Problem::new(400, "duplicate_key", error.to_string(), "give every object key once"),
        // What the parser itself says of the syntax repeats no text; what serde says of a value may.
        None if error.is_syntax() || error.is_eof() => malformed(error.to_string()).recordable(),
        None => malformed(error.to_string()),
    })
}

/// Makes a typed value of a document, which must be an object.
///
/// # Errors
/// 422 with a JSON pointer to the field that is unknown, missing or of the wrong shape.
pub fn typed<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    let invalid = |detail: String, pointer| {
        Problem::new(422, "invalid_request", detail, "compare the body with its schema in /openapi.json").at(pointer)
    };
    if !value.is_object() {
        return Err(invalid("the body is not a JSON object".to_owned(), String::new()));
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let mut pointer = pointer(error.path().iter());
        let message = error.into_inner().to_string();
        if let Some(field) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
            pointer.push_str(&format!("/{field}"));
        }
        invalid(worded(&message), pointer)
    })
}

/// serde's complaint in JSON's words: it names our types and Rust's numbers, and repeats a wrong value however long it is.
fn worded(message: &str) -> String {
    const CHARS: usize = 300;
    let (found, expected) = match message.split_once(", expected ") {
        Some((found, expected)) => (found, Some(expected)),
        None => (message, None),
    };
    let found = [
        ("invalid type: map", "invalid type: object"),
        ("invalid type: sequence", "invalid type: array"),
        ("invalid type: unit value", "invalid type: null"),
        ("invalid type: floating point", "invalid type: number"),
        ("unknown variant", "unknown word"),
    ]
    .into_iter()
    .find_map(|(rust, json)| found.strip_prefix(rust).map(|rest| format!("{json}{rest}")))
    .unwrap_or_else(|| found.to_owned());
    let short = match found.char_indices().nth(CHARS) {
        Some((at, _)) => format!("{}…", &found[..at]),
        None => found,
    };
    let Some(expected) = expected else { return short };
    let expected = match expected {
        "a map" => "an object",
        "a sequence" => "an array",
        "string or map" => "a string",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" => "a whole number, not negative",
        other if other.starts_with("struct ") => "an object",
        other => other,
    };
    format!("{short}, expected {expected}")
}

/// A JSON pointer (RFC 6901); empty for the whole document.
fn pointer<'a>(segments: impl Iterator<Item = &'a Segment>) -> String {
    let mut pointer = String::new();
    for segment in segments {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

#[derive(Clone, Copy)]
enum Fault {
    TooMany,
    Repeated,
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    left: &'a Cell<usize>,
    fault: &'a Cell<Option<Fault>>,
}

impl Strict<'_> {
    /// The custom message is what serde carries out; the cell is what [`parse`] branches on.
    fn fail<E: serde::de::Error>(self, fault: Fault, message: String) -> E {
        self.fault.set(Some(fault));
        E::custom(message)
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.left.get().checked_sub(1) {
            Some(left) => self.left.set(left),
            None => return Err(self.fail(Fault::TooMany, "too many values".to_owned())),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("number out of range"))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if map.contains_key(&key) {
                let shown: String = key.chars().take(80).collect();
                return Err(self.fail(Fault::Repeated, format!("the key {shown:?} is given twice")));
            }
            let value = access.next_value_seed(self)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(bytes: &[u8]) -> String {
        match parse(bytes, 1_000) {
            Ok(value) => value.to_string(),
            Err(problem) => format!("{} {}: {}", problem.status, problem.code, problem.detail),
        }
    }

    #[test]
    fn ordinary_json_is_read_as_it_is() {
        for text in [
            "null",
            "true",
            "0",
            "-1",
            "1.5",
            "18446744073709551615",
            "\"a\\n😀\"",
            r#"{"a":[{"b":[]},{}]}"#,
        ] {
            assert_eq!(parse(text.as_bytes(), 1_000).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        }
    }

    #[test]
    fn hostile_json_is_refused_with_the_place() {
        let deep = "[".repeat(100_000);
        let wide = format!("[{}0]", "0,".repeat(2_000));
        let cases: &[(&[u8], &str)] = &[
            (b"", "400 malformed_json: EOF while parsing a value at line 1 column 0"),
            (b"{", "400 malformed_json: EOF while parsing an object at line 1 column 1"),
            (b"{} {}", "400 malformed_json: trailing characters at line 1 column 4"),
            (b"{}\0", "400 malformed_json: trailing characters at line 1 column 3"),
            (b"\xEF\xBB\xBF{}", "400 malformed_json: the body starts with a byte order mark"),
            (b"{\"a\":\"\xFF\"}", "400 malformed_json: the body is not UTF-8 after byte 6"),
            (
                b"\"\\ud800\"",
                "400 malformed_json: unexpected end of hex escape at line 1 column 8",
            ),
            (
                b"\"\\udc00x\"",
                "400 malformed_json: lone leading surrogate in hex escape at line 1 column 7",
            ),
            (b"1e999999", "400 malformed_json: number out of range at line 1 column 8"),
            (b"NaN", "400 malformed_json: expected value at line 1 column 1"),
            (b"{\"a\":1,}", "400 malformed_json: trailing comma at line 1 column 8"),
            (
                b"\"\x01\"",
                "400 malformed_json: control character (\\u0000-\\u001F) found while parsing a string at line 1 column 2",
            ),
            (
                br#"{"a":1,"\u0061":2}"#,
                "400 duplicate_key: the key \"a\" is given twice at line 1 column 15",
            ),
            (
                br#"{"p":{"x":[{"k":1,"k":1}]}}"#,
                "400 duplicate_key: the key \"k\" is given twice at line 1 column 21",
            ),
            (deep.as_bytes(), "400 malformed_json: recursion limit exceeded at line 1 column 128"),
            (wide.as_bytes(), "413 too_many_values: the body holds more than 1000 JSON values"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(
                &answer(bytes),
                expected,
                "{}",
                String::from_utf8_lossy(&bytes[..bytes.len().min(40)])
            );
        }
    }
}
