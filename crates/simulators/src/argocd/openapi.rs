//! Checks what goes over the wire against a published API description (Swagger 2.0 or OpenAPI 3.0).
//!
//! The descriptions are data of other projects and not part of this one: the environment variable
//! `COUNTERSIGN_API_SPECS` names the folder that holds them. Without it the check is skipped, with a word in the log.
//! The GitHub simulator uses the same check.

use std::{
    collections::HashMap,
    fs,
    path::PathBuf,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use jsonschema::{Draft, Validator};
use serde_json::{Map, Value, json};

use crate::published;

/// Violations kept; the first ones tell the story, a broken loop must not fill the memory.
const VIOLATIONS: usize = 100;

/// What counts as a violation beyond what a schema says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// A field that the schema does not name, anywhere: for descriptions that mark nothing as required.
    UnknownFields,
    /// Only an unknown field at the top of a request.
    AsDescribed,
}

/// What one simulator found against a description.
pub(crate) struct ApiSpec {
    description: Arc<Description>,
    violations: Mutex<Vec<String>>,
}

/// A description, with the validators made of it so far. One per file and process: making them is slow.
struct Description {
    document: Value,
    strictness: Strictness,
    validators: Mutex<HashMap<String, Made>>,
}

/// A validator, or why there is none.
type Made = Result<Arc<Validator>, String>;

/// The descriptions loaded so far, by path.
static LOADED: LazyLock<Mutex<HashMap<PathBuf, Arc<Description>>>> = LazyLock::new(Mutex::default);

impl ApiSpec {
    /// Loads `file` from the folder that the environment names; `None`, and a word, where it cannot.
    pub(crate) fn from_environment(file: &str, strictness: Strictness) -> Option<ApiSpec> {
        let path = published::descriptions()?.join(file);
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(description) = loaded.get(&path) {
            return Some(ApiSpec::of(Arc::clone(description)));
        }
        let document = fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str(&text).ok());
        let Some(document) = document else {
            eprintln!("simulators: {} is missing or not JSON; this API is not checked", path.display());
            return None;
        };
        let description = Arc::new(Description::new(document, strictness));
        loaded.insert(path, Arc::clone(&description));
        Some(ApiSpec::of(description))
    }

    fn of(description: Arc<Description>) -> ApiSpec {
        ApiSpec {
            description,
            violations: Mutex::default(),
        }
    }

    /// Everything found so far, oldest first.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.violations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn check_request(&self, method: &str, path: &str, query: &[(String, String)], body: Option<&Value>) {
        let Some((template, operation)) = self.description.operation(method, path) else {
            return self.note(format!("{method} {path}: no such call in the description"));
        };
        let parameters: Vec<Value> = operation["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|one| self.description.followed(one))
            .collect();
        for (name, _) in query {
            let known = parameters.iter().any(|one| one["in"] == "query" && one["name"] == json!(name));
            // Argo CD's description leaves `fields` out although the server knows it.
            if !known && name != "fields" {
                self.note(format!("{method} {template}: unknown query parameter {name}"));
            }
        }
        let body_parameter = parameters.iter().find(|one| one["in"] == "body").map(|one| one["schema"].clone());
        let modern = operation.pointer("/requestBody/content/application~1json/schema").cloned();
        match (body, body_parameter.or(modern)) {
            (Some(body), Some(schema)) => {
                self.check(&format!("{method} {template} request"), &schema, body);
                self.check_top_fields(&format!("{method} {template} request"), &schema, body);
            }
            (Some(_), None) => self.note(format!("{method} {template}: a body where none is described")),
            (None, _) => {}
        }
    }

    pub(crate) fn check_answer(&self, method: &str, path: &str, status: u16, body: &Value) {
        let Some((template, operation)) = self.description.operation(method, path) else {
            return;
        };
        let responses = &operation["responses"];
        let described = [status.to_string(), "default".to_owned()]
            .into_iter()
            .find_map(|key| responses.get(&key));
        let Some(response) = described.map(|response| self.description.followed(response)) else {
            // Errors that every call may answer are described once for all, outside of the calls.
            if !matches!(status, 401 | 403 | 404 | 429 | 500..=599) {
                self.note(format!("{method} {template}: status {status} is not described"));
            }
            return;
        };
        let schema = response
            .get("schema")
            .or_else(|| response.pointer("/content/application~1json/schema"));
        if let Some(schema) = schema {
            self.check(&format!("{method} {template} answer {status}"), schema, body);
        }
    }

    fn check(&self, what: &str, schema: &Value, value: &Value) {
        match self.description.validator(schema) {
            Err(error) => self.note(format!("{what}: the schema cannot be used: {error}")),
            Ok(validator) => {
                for error in validator.iter_errors(value).take(5) {
                    self.note(format!("{what}: {error} at {}", error.instance_path()));
                }
            }
        }
    }

    fn check_top_fields(&self, what: &str, schema: &Value, body: &Value) {
        let schema = self.description.followed(schema);
        let (Some(body), Some(known)) = (body.as_object(), schema["properties"].as_object()) else {
            return;
        };
        if self.description.strictness == Strictness::AsDescribed {
            for name in body.keys().filter(|name| !known.contains_key(*name)) {
                self.note(format!("{what}: unknown field {name}"));
            }
        }
    }

    fn note(&self, violation: String) {
        let mut violations = self.violations.lock().unwrap_or_else(PoisonError::into_inner);
        if violations.len() < VIOLATIONS && !violations.contains(&violation) {
            violations.push(violation);
        }
    }
}

impl Description {
    fn new(mut document: Value, strictness: Strictness) -> Description {
        if strictness == Strictness::UnknownFields {
            flatten(&mut document);
        }
        translate(&mut document, strictness);
        Description {
            document,
            strictness,
            validators: Mutex::default(),
        }
    }

    fn validator(&self, schema: &Value) -> Result<Arc<Validator>, String> {
        let key = schema.to_string();
        let mut validators = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        let made = validators.entry(key).or_insert_with(|| {
            let mut root = json!({"allOf": [schema]});
            for part in ["definitions", "components"] {
                if let Some(value) = self.document.get(part) {
                    root[part] = value.clone();
                }
            }
            let built = jsonschema::options().with_draft(Draft::Draft4).build(&root);
            built.map(Arc::new).map_err(|error| error.to_string())
        });
        made.clone()
    }

    /// The call that a path belongs to: of all templates that fit, the one with the most literal segments.
    fn operation(&self, method: &str, path: &str) -> Option<(&str, &Value)> {
        let fitting = self.document["paths"]
            .as_object()?
            .iter()
            .filter(|(template, item)| fits(template, path) && item.get(method.to_lowercase()).is_some());
        let (template, item) = fitting.min_by_key(|(template, _)| template.matches('{').count())?;
        Some((template, item.get(method.to_lowercase())?))
    }

    fn followed(&self, value: &Value) -> Value {
        let target = value["$ref"]
            .as_str()
            .and_then(|reference| self.document.pointer(reference.trim_start_matches('#')));
        target.unwrap_or(value).clone()
    }
}

fn fits(template: &str, path: &str) -> bool {
    let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    // A last variable may hold slashes: a ref, a file's path, an object of a right.
    let long_tail = template
        .last()
        .is_some_and(|last| ["{subresource}", "{ref}", "{path}"].contains(last) && path.len() > template.len());
    (template.len() == path.len() || long_tail)
        && template
            .iter()
            .zip(&path)
            .all(|(part, given)| part.starts_with('{') || part == given)
}

/// Copies the fields of embedded structs (`allOf`) into the definitions that embed them, so that the remaining ones can be
/// told to be unknown.
fn flatten(document: &mut Value) {
    let Some(definitions) = document.get_mut("definitions").and_then(Value::as_object_mut) else {
        return;
    };
    let originals = definitions.clone();
    for definition in definitions.values_mut().filter_map(Value::as_object_mut) {
        let Some(Value::Array(parts)) = definition.remove("allOf") else {
            continue;
        };
        let names = parts.iter().filter_map(|part| part["$ref"].as_str()?.rsplit('/').next());
        let embedded: Vec<_> = names.filter_map(|name| originals.get(name)?["properties"].as_object()).collect();
        if let Some(properties) = definition.entry("properties").or_insert_with(|| json!({})).as_object_mut() {
            for (key, value) in embedded.into_iter().flatten() {
                properties.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
    }
}

/// Makes plain JSON Schema of the dialects: `nullable` becomes a type, formats that only programs care about go.
fn translate(value: &mut Value, strictness: Strictness) {
    match value {
        Value::Object(object) => {
            object.remove("example");
            object.remove("examples");
            if object.get("format").is_some_and(Value::is_string) {
                object.remove("format");
            }
            for child in object.values_mut() {
                translate(child, strictness);
            }
            if strictness == Strictness::UnknownFields
                && object.get("properties").is_some_and(Value::is_object)
                && object.get("type").is_some_and(Value::is_string)
                && !object.contains_key("additionalProperties")
            {
                object.insert("additionalProperties".into(), json!(false));
            }
            if object.remove("nullable") == Some(json!(true)) {
                let plain = Value::Object(std::mem::take(object));
                *object = Map::from_iter([("anyOf".to_owned(), json!([plain, {"type": "null"}]))]);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| translate(item, strictness)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_the_description_is_noted() {
        let document = json!({
            "paths": {"/pulls/{n}": {"get": {
                "parameters": [{"in": "query", "name": "page"}],
                "responses": {"200": {"schema": {"$ref": "#/definitions/Pull"}}},
            }}},
            "definitions": {"Pull": {"type": "object", "required": ["number"], "properties": {
                "number": {"type": "integer"}, "body": {"type": "string", "nullable": true},
            }}},
        });
        let query = |name: &str| vec![(name.to_owned(), String::new())];
        let cases: [(&str, u16, Value, usize); 6] = [
            ("page", 200, json!({"number": 1, "body": null}), 0),
            ("page", 200, json!({"number": "1"}), 1),
            ("page", 200, json!({}), 1),
            ("page", 200, json!({"number": 1, "bdy": ""}), 1),
            ("pages", 200, json!({"number": 1}), 1),
            ("page", 202, json!({"number": 1}), 1),
        ];
        for (parameter, status, body, expected) in cases {
            let spec = ApiSpec::of(Arc::new(Description::new(document.clone(), Strictness::UnknownFields)));
            spec.check_request("GET", "/pulls/7", &query(parameter), None);
            spec.check_answer("GET", "/pulls/7", status, &body);
            assert_eq!(spec.violations().len(), expected, "{body} {:?}", spec.violations());
        }
    }
}
