//! Reading a merged tree of configuration values strictly: only what came from the environment, where everything is text, is parsed into
//! numbers, booleans and lists. The errors say what was found in kind, never in content, because it may be a secret in the wrong place.

use std::fmt;

use config::{Value, ValueKind};
use serde::de::{self, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::layers::ENVIRONMENT;

/// Why a value cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// There is no such key.
    Unknown { key: String, known: &'static [&'static str] },
    /// A key that must be given is not.
    Missing { key: &'static str },
    /// Another kind of value is wanted.
    Kind { found: &'static str, expected: String },
    /// The value's own parser refused it.
    Refused(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { key, .. } => write!(f, "unknown key {key:?}"),
            Self::Missing { key } => write!(f, "{key} is missing"),
            Self::Kind { found, expected } => write!(f, "{found} stands where {expected} is expected"),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Refused(message.to_string())
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::Unknown {
            key: field.to_owned(),
            known: expected,
        }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing { key: field }
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::Kind {
            found: kind(found),
            expected: words(&expected.to_string()),
        }
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::Kind {
            found: "a value out of range",
            expected: words(&expected.to_string()),
        }
    }
}

fn kind(found: de::Unexpected<'_>) -> &'static str {
    match found {
        de::Unexpected::Bool(_) => "a boolean",
        de::Unexpected::Unsigned(_) | de::Unexpected::Signed(_) => "a whole number",
        de::Unexpected::Float(_) => "a number with a fraction",
        de::Unexpected::Char(_) | de::Unexpected::Str(_) | de::Unexpected::Bytes(_) => "a text",
        de::Unexpected::Seq => "a list",
        de::Unexpected::Map => "a table",
        _ => "another kind of value",
    }
}

/// Rust's type names in the words of a configuration file.
fn words(expected: &str) -> String {
    match expected {
        "a boolean" => "true or false".to_owned(),
        "a string" | "string" | "path string" => "a text".to_owned(),
        "a sequence" => "a list".to_owned(),
        number if number.len() <= 5 && (number.starts_with('u') || number.starts_with('i')) => "a whole number".to_owned(),
        table if table.starts_with("struct ") => "a table".to_owned(),
        other => other.to_owned(),
    }
}

/// A value of the merged tree.
pub(super) struct Strict(pub Value);

impl Strict {
    /// The text of a value that the environment gave.
    fn text(&self) -> Option<&str> {
        match &self.0.kind {
            ValueKind::String(text) if self.0.origin() == Some(ENVIRONMENT) => Some(text),
            _ => None,
        }
    }
}

fn whole_number(text: &str) -> Result<u64, Fault> {
    text.trim().parse().map_err(|_| Fault::Kind {
        found: "a text",
        expected: "a whole number".to_owned(),
    })
}

macro_rules! numbers {
    ($($method:ident)*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            match self.text() {
                Some(text) => match text.trim().parse::<i64>() {
                    Ok(number) if number < 0 => visitor.visit_i64(number),
                    _ => visitor.visit_u64(whole_number(text)?),
                },
                None => self.deserialize_any(visitor),
            }
        }
    )* };
}

impl<'de> de::Deserializer<'de> for Strict {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0.kind {
            ValueKind::Nil => visitor.visit_unit(),
            ValueKind::Boolean(value) => visitor.visit_bool(value),
            ValueKind::I64(value) => visitor.visit_i64(value),
            ValueKind::U64(value) => visitor.visit_u64(value),
            ValueKind::I128(value) => visitor.visit_i128(value),
            ValueKind::U128(value) => visitor.visit_u128(value),
            ValueKind::Float(value) => visitor.visit_f64(value),
            ValueKind::String(value) => visitor.visit_string(value),
            ValueKind::Array(values) => visitor.visit_seq(Items(values.into_iter())),
            ValueKind::Table(table) => visitor.visit_map(Entries {
                entries: table.into_iter(),
                value: None,
            }),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.text().map(|text| text.trim().parse::<bool>()) {
            None => self.deserialize_any(visitor),
            Some(Ok(value)) => visitor.visit_bool(value),
            Some(Err(_)) => Err(Fault::Kind {
                found: "a text",
                expected: "true or false".to_owned(),
            }),
        }
    }

    numbers! { deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.text() {
            Some(text) => {
                let origin = ENVIRONMENT.to_owned();
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                let parts: Vec<_> = parts
                    .map(|part| Value::new(Some(&origin), ValueKind::String(part.to_owned())))
                    .collect();
                visitor.visit_seq(Items(parts.into_iter()))
            }
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0.kind {
            ValueKind::Nil => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.0.kind {
            ValueKind::String(word) if variants.contains(&word.as_str()) => visitor.visit_enum(Word(word)),
            ValueKind::String(_) => Err(Fault::Kind {
                found: "another word",
                expected: format!("one of {}", variants.join(", ")),
            }),
            _ => Err(Fault::Kind {
                found: "another kind of value",
                expected: format!("one of {}", variants.join(", ")),
            }),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple tuple_struct map struct identifier ignored_any
    }
}

struct Items(std::vec::IntoIter<Value>);

impl<'de> SeqAccess<'de> for Items {
    type Error = Fault;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        self.0.next().map(|value| seed.deserialize(Strict(value))).transpose()
    }
}

struct Entries<I> {
    entries: I,
    value: Option<Value>,
}

impl<'de, I: Iterator<Item = (String, Value)>> MapAccess<'de> for Entries<I> {
    type Error = Fault;
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(key.into_deserializer()).map(Some)
    }
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        match self.value.take() {
            Some(value) => seed.deserialize(Strict(value)),
            None => Err(Fault::Refused("a value was asked for before its key".to_owned())),
        }
    }
}

struct Word(String);

impl<'de> EnumAccess<'de> for Word {
    type Error = Fault;
    type Variant = Self;
    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let variant = seed.deserialize(self.0.as_str().into_deserializer())?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Word {
    type Error = Fault;
    fn unit_variant(self) -> Result<(), Fault> {
        Ok(())
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Fault> {
        Err(Fault::Refused("a plain word is expected".to_owned()))
    }
    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Fault> {
        Err(Fault::Refused("a plain word is expected".to_owned()))
    }
    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Fault> {
        Err(Fault::Refused("a plain word is expected".to_owned()))
    }
}
