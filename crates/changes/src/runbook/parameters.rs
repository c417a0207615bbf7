//! The parameters of a runbook: a JSON Schema (2020-12), compiled once, without network and with patterns that take linear time.

use std::fmt;
use std::sync::Arc;

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::{Map, Value, json};

use super::schema::{self, Refusal};
use super::{RenderError, RenderErrorKind};

/// A compiled schema.
#[derive(Clone)]
pub(super) struct Parameters {
    schema: Value,
    validator: Arc<Validator>,
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parameters({})", self.schema)
    }
}

/// Most of a validator's complaints that are repeated to the caller.
const COMPLAINTS_MAX: usize = 5;

impl Parameters {
    /// Compiles a schema. Parameters that it does not name are refused unless it decides about `additionalProperties` itself.
    pub fn compile(schema: Value) -> Result<Self, Refusal> {
        const REMEDY: &str = "correct the JSON Schema (2020-12) of the parameters";
        let Value::Object(mut schema) = schema else {
            return Err(Refusal::new("", "the schema is no table", REMEDY));
        };
        match schema.get("type") {
            None => drop(schema.insert("type".to_owned(), json!("object"))),
            Some(Value::String(kind)) if kind == "object" => {}
            Some(other) => {
                let message = format!("the schema's type is {other}, and parameters are an object");
                return Err(Refusal::new("/type", message, REMEDY));
            }
        }
        let decides = ["additionalProperties", "unevaluatedProperties"]
            .iter()
            .any(|key| schema.contains_key(*key));
        if !decides {
            schema.insert("additionalProperties".to_owned(), json!(false));
        }
        let schema = Value::Object(schema);
        schema::size(&schema)?;
        if let Err(error) = jsonschema::draft202012::meta::validate(&schema) {
            let pointer = error.instance_path().to_string();
            let message = format!("the schema is not valid at {}: {error}", place(&pointer));
            return Err(Refusal::new(&pointer, message, REMEDY));
        }
        schema::bounds(&schema)?;
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(PatternOptions::regex())
            .should_validate_formats(true)
            .offline()
            .build(&schema)
            .map_err(|error| Refusal::new("", format!("the schema cannot be used: {error}"), REMEDY))?;
        let compiled = Self {
            schema,
            validator: Arc::new(validator),
        };
        compiled.can_be_met()?;
        Ok(compiled)
    }

    /// Refuses what no call could fit: a required parameter that the schema itself forbids, a default that it does not allow.
    fn can_be_met(&self) -> Result<(), Refusal> {
        let closed = self.schema.get("additionalProperties") == Some(&Value::Bool(false)) && self.schema.get("patternProperties").is_none();
        let required = self.schema.get("required").and_then(Value::as_array);
        let unknown = required
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .find(|name| closed && !self.declares(name));
        if let Some(name) = unknown {
            let message = format!("{name:?} is required and not among the properties, so that no call fits");
            return Err(Refusal::new("/required", message, "declare the parameter, or correct its name"));
        }
        let mut defaults = json!({});
        self.fill_in(&mut defaults);
        for error in self.validator.iter_errors(&defaults) {
            let pointer = error.instance_path().to_string();
            let Some(name) = pointer.split('/').nth(1) else { continue };
            let message = format!("the default of {name} does not fit: {}", shortened(&error.to_string()));
            let place = format!("/properties/{name}/default");
            return Err(Refusal::new(&place, message, "write a default that the property allows, or none"));
        }
        Ok(())
    }

    /// Puts the schema's defaults where nothing is given.
    fn fill_in(&self, given: &mut Value) {
        if let (Value::Object(given), Some(properties)) = (given, self.properties()) {
            for (name, property) in properties {
                if let (false, Some(default)) = (given.contains_key(name), property.get("default")) {
                    given.insert(name.clone(), default.clone());
                }
            }
        }
    }

    /// The schema as enforced.
    pub const fn schema(&self) -> &Value {
        &self.schema
    }

    /// Whether the schema names a parameter.
    pub fn declares(&self, name: &str) -> bool {
        self.properties().is_some_and(|properties| properties.contains_key(name))
    }

    fn properties(&self) -> Option<&Map<String, Value>> {
        self.schema.get("properties").and_then(Value::as_object)
    }

    /// Parameters with the schema's defaults filled in, checked.
    pub fn check(&self, given: &Value) -> Result<Value, RenderError> {
        let mut given = given.clone();
        self.fill_in(&mut given);
        let complaints: Vec<(String, String)> = self
            .validator
            .iter_errors(&given)
            .take(COMPLAINTS_MAX)
            .map(|error| (error.instance_path().to_string(), shortened(&error.to_string())))
            .collect();
        let Some((pointer, _)) = complaints.first() else { return Ok(given) };
        let all: Vec<String> = complaints.iter().map(|(at, what)| format!("{}: {what}", place(at))).collect();
        Err(RenderError {
            pointer: pointer.clone(),
            message: format!("the parameters do not fit the runbook's schema: {}", all.join("; ")),
            hint: "the schema is in GET /v1/runbooks".to_owned(),
            kind: RenderErrorKind::Parameters,
        })
    }
}

fn place(pointer: &str) -> &str {
    if pointer.is_empty() { "the parameters" } else { pointer }
}

/// A complaint repeats the value that it is about, which may be long.
fn shortened(text: &str) -> String {
    const CHARS: usize = 300;
    let flat = text.replace(|c: char| c.is_control() || domain::is_deceptive(c), " ");
    match flat.char_indices().nth(CHARS) {
        Some((at, _)) => format!("{}…", &flat[..at]),
        None => flat,
    }
}
