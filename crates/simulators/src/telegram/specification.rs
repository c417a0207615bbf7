//! Checks every request and answer against the published Bot API description, where a copy of it is at hand.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use serde::Deserialize;
use serde_json::Value;

use super::request::Params;
use crate::published;

/// Name of the file in that folder.
const FILE: &str = "telegram-bot-api-10.1.min.json";
/// Parameters that older clients still send and the server still takes.
const LEGACY: [&str; 4] = [
    "disable_web_page_preview",
    "reply_to_message_id",
    "allow_sending_without_reply",
    "thumb",
];

/// The description, reduced to what is checked.
#[derive(Debug, Deserialize)]
pub(super) struct Specification {
    methods: HashMap<String, Method>,
    types: HashMap<String, Type>,
}

#[derive(Debug, Deserialize)]
struct Method {
    #[serde(default)]
    fields: Vec<Field>,
    #[serde(default)]
    returns: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Type {
    #[serde(default)]
    fields: Vec<Field>,
    #[serde(default)]
    subtypes: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Field {
    name: String,
    types: Vec<String>,
    required: bool,
}

impl Specification {
    /// The description from the folder the environment names; says once when the check is skipped.
    pub(super) fn from_environment() -> Option<Arc<Self>> {
        static LOADED: LazyLock<Option<Arc<Specification>>> = LazyLock::new(|| {
            let path = published::descriptions()?.join(FILE);
            let text = std::fs::read_to_string(&path)
                .map_err(|error| {
                    eprintln!(
                        "Telegram simulator: {} is not readable ({error}); the check against the published Bot API is skipped.",
                        path.display()
                    )
                })
                .ok()?;
            let parsed = serde_json::from_str(&text);
            parsed
                .map_err(|error| {
                    eprintln!(
                        "Telegram simulator: {} is no Bot API description ({error}); the check is skipped.",
                        path.display()
                    )
                })
                .ok()
                .map(Arc::new)
        });
        LOADED.clone()
    }

    /// What is wrong with a request.
    pub(super) fn request(&self, method: &str, params: &Params) -> Vec<String> {
        let Some(known) = self.methods.get(method) else {
            return vec![format!("{method}: no such method")];
        };
        let mut wrong = Vec::new();
        for field in &known.fields {
            match params.raw.get(&field.name) {
                None if field.required => wrong.push(format!("{method}: {} is missing", field.name)),
                None => {}
                Some(value) if params.typed => self.check(value, &field.types, &format!("{method}.{}", field.name), &mut wrong),
                Some(Value::String(text)) => self.check_text(text, &field.types, &format!("{method}.{}", field.name), &mut wrong),
                Some(_) => {}
            }
        }
        for name in params.raw.keys() {
            let attached = params.raw.values().any(|value| value.as_str() == Some(&format!("attach://{name}")));
            if !attached && !LEGACY.contains(&name.as_str()) && !known.fields.iter().any(|field| field.name == *name) {
                wrong.push(format!("{method}: unknown parameter {name}"));
            }
        }
        wrong
    }

    /// What is wrong with our own answer.
    pub(super) fn answer(&self, method: &str, result: &Value) -> Vec<String> {
        let mut wrong = Vec::new();
        if let Some(known) = self.methods.get(method) {
            self.check(result, &known.returns, &format!("answer of {method}"), &mut wrong);
        }
        wrong
    }

    /// What is wrong with an update of ours.
    pub(super) fn update(&self, update: &Value) -> Vec<String> {
        let mut wrong = Vec::new();
        self.check(update, &["Update".to_owned()], "Update", &mut wrong);
        wrong
    }

    /// A value sent as text (form or multipart): numbers and objects must parse.
    fn check_text(&self, text: &str, types: &[String], place: &str, wrong: &mut Vec<String>) {
        if types.iter().any(|kind| kind == "String" || kind == "InputFile") {
            return;
        }
        match serde_json::from_str::<Value>(text) {
            Ok(value) => self.check(&value, types, place, wrong),
            Err(_) => wrong.push(format!("{place}: {text:?} is no {}", types.join(" or "))),
        }
    }

    fn check(&self, value: &Value, types: &[String], place: &str, wrong: &mut Vec<String>) {
        let mut nearest: Option<Vec<String>> = None;
        for kind in types {
            let found = self.against(value, kind, place);
            if found.is_empty() {
                return;
            }
            if nearest.as_ref().is_none_or(|nearest| found.len() < nearest.len()) {
                nearest = Some(found);
            }
        }
        wrong.extend(nearest.unwrap_or_default());
    }

    fn against(&self, value: &Value, kind: &str, place: &str) -> Vec<String> {
        let fits = |fits: bool| if fits { Vec::new() } else { vec![format!("{place}: is no {kind}")] };
        if let Some(element) = kind.strip_prefix("Array of ") {
            let Some(list) = value.as_array() else { return fits(false) };
            let mut wrong = Vec::new();
            for (index, item) in list.iter().enumerate() {
                self.check(item, &[element.to_owned()], &format!("{place}[{index}]"), &mut wrong);
            }
            return wrong;
        }
        match kind {
            "Integer" => fits(value.is_i64() || value.is_u64()),
            "Float" => fits(value.is_number()),
            "Boolean" => fits(value.is_boolean()),
            "True" => fits(value == &Value::Bool(true)),
            "String" => fits(value.is_string()),
            "InputFile" => fits(value.is_string() || value.is_object()),
            _ => match self.types.get(kind) {
                None => Vec::new(),
                Some(known) if !known.subtypes.is_empty() => {
                    let mut wrong = Vec::new();
                    self.check(value, &known.subtypes, place, &mut wrong);
                    wrong
                }
                Some(known) => self.object(value, known, kind, place),
            },
        }
    }

    fn object(&self, value: &Value, known: &Type, kind: &str, place: &str) -> Vec<String> {
        let Some(fields) = value.as_object() else {
            return vec![format!("{place}: is no {kind}")];
        };
        let mut wrong = Vec::new();
        for field in &known.fields {
            match fields.get(&field.name) {
                None if field.required => wrong.push(format!("{place}: {kind}.{} is missing", field.name)),
                None => {}
                Some(value) => self.check(value, &field.types, &format!("{place}.{}", field.name), &mut wrong),
            }
        }
        for name in fields.keys() {
            if !known.fields.iter().any(|field| field.name == *name) {
                wrong.push(format!("{place}: {kind} has no {name}"));
            }
        }
        wrong
    }
}
