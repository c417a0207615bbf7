//! Kubernetes manifests against the JSON schemas of one version, and custom resources against the schemas that an operator hands in.

use std::collections::{HashMap, HashSet};
use std::io::Read as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::{Map, Value, json};

use super::Problem;
use super::manifests::Manifest;
use super::tree;
use super::work::Work;

/// The version whose schemas are part of the program.
pub const BUNDLED_VERSION: &str = "1.37";
const BUNDLED: &[u8] = include_bytes!("../../data/kubernetes-1.37.json.zlib");
/// Inflated size of a definitions file; the bundled one has 0.4 MB, with descriptions 2 MB.
const DEFINITIONS_MAX: u64 = 32 << 20;
/// Errors of one manifest that are reported.
const ERRORS_MAX: usize = 10;
/// Size of a compiled `pattern` of a custom resource.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// One thing that the API would not accept.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct SchemaError {
    /// JSON pointer.
    pub pointer: String,
    /// Without the value.
    pub message: String,
    /// A field is missing, which a patch may leave out.
    pub missing: bool,
}

/// What validation said about one manifest.
pub(super) enum Verdict {
    Fits,
    Unknown,
    Errors(Vec<SchemaError>),
}

/// Schemas, read and compiled when first needed.
pub(super) struct Schemas {
    version: String,
    source: Option<Value>,
    definitions: OnceLock<Definitions>,
    custom: HashMap<(String, String), Value>,
    validators: Mutex<HashMap<(String, String), Arc<Validator>>>,
}

struct Definitions {
    /// `$defs` or `definitions`, as the file has it.
    root: String,
    by_name: Map<String, Value>,
    by_kind: HashMap<(String, String), String>,
}

impl Schemas {
    /// With another definitions file (its version's name and JSON text) instead of the bundled one, and the texts of custom resource
    /// definitions by file name: manifests of kind CustomResourceDefinition, or plain JSON schemas named `GROUP/KIND_VERSION.json`.
    pub fn new(definitions: Option<(&str, &str)>, custom: &[(String, String)]) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let source = definitions.and_then(|(name, text)| match serde_json::from_str::<Value>(text) {
            Ok(value)
                if value
                    .get("$defs")
                    .or_else(|| value.get("definitions"))
                    .is_some_and(Value::is_object) =>
            {
                Some(value)
            }
            Ok(_) => {
                problems.push(problem(
                    name,
                    1,
                    "no `$defs` or `definitions` in it",
                    "use a _definitions.json of one Kubernetes version",
                ));
                None
            }
            Err(error) => {
                problems.push(problem(
                    name,
                    error.line(),
                    "it is no JSON",
                    "use a _definitions.json of one Kubernetes version",
                ));
                None
            }
        });
        let mut kinds = HashMap::new();
        for (name, text) in custom {
            if let Err(found) = custom_schemas(name, text, &mut kinds) {
                problems.push(found);
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            version: definitions.map_or(BUNDLED_VERSION, |(name, _)| name).to_owned(),
            source,
            definitions: OnceLock::new(),
            custom: kinds,
            validators: Mutex::new(HashMap::new()),
        })
    }

    /// For the card.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Validates one manifest.
    pub fn validate(&self, manifest: &Manifest<'_>) -> Verdict {
        let key = (manifest.api_version.clone(), manifest.kind.clone());
        let Some(validator) = self.validator(key) else {
            return Verdict::Unknown;
        };
        // SOPS takes its own part away when it decrypts.
        let mut instance = std::borrow::Cow::Borrowed(&manifest.json);
        if manifest.json.pointer("/sops/mac").is_some() {
            instance.to_mut().as_object_mut().map(|fields| fields.remove("sops"));
        }
        let filled_later = |error: &jsonschema::ValidationError<'_>| {
            error
                .instance()
                .as_str()
                .is_some_and(|text| text.contains("{{") || text.contains("${") || text.starts_with("ENC["))
        };
        let errors: Vec<SchemaError> = validator
            .iter_errors(&instance)
            .filter(|error| !filled_later(error))
            .take(ERRORS_MAX)
            .map(|error| SchemaError {
                pointer: pointer_of(&error),
                missing: matches!(error.kind(), ValidationErrorKind::Required { .. }),
                message: in_words(&error),
            })
            .collect();
        if errors.is_empty() {
            Verdict::Fits
        } else {
            Verdict::Errors(errors)
        }
    }

    fn validator(&self, key: (String, String)) -> Option<Arc<Validator>> {
        if let Some(known) = self.validators.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Some(known.clone());
        }
        // Built outside the lock: two threads may build the same one, and nobody waits for another kind.
        let schema = self.schema(&key)?;
        let patterns = PatternOptions::regex()
            .size_limit(PATTERN_BYTES_MAX)
            .dfa_size_limit(PATTERN_BYTES_MAX);
        let options = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(patterns)
            .should_validate_formats(false)
            .offline();
        let built = Arc::new(options.build(&schema).ok()?);
        // Kinds without a schema are not kept: whoever proposes invents them, and memory has an end.
        let mut validators = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        validators.insert(key, built.clone());
        Some(built)
    }

    fn schema(&self, key: &(String, String)) -> Option<Value> {
        if let Some(custom) = self.custom.get(&(key.0.to_lowercase(), key.1.to_lowercase())) {
            return Some(custom.clone());
        }
        let definitions = self.definitions.get_or_init(|| Definitions::read(self.source.as_ref()));
        let name = definitions.by_kind.get(key)?;
        Some(definitions.schema_of(name))
    }
}

impl Definitions {
    fn read(source: Option<&Value>) -> Self {
        let value = source.cloned().or_else(bundled).unwrap_or_default();
        let root = if value.get("$defs").is_some() { "$defs" } else { "definitions" };
        let by_name = value.get(root).and_then(Value::as_object).cloned().unwrap_or_default();
        let mut by_kind = HashMap::new();
        for (name, definition) in &by_name {
            let kinds = definition.get("x-kubernetes-group-version-kind").and_then(Value::as_array);
            // Options of requests claim to be of every group; only what can stand in a manifest names exactly one.
            let [only] = kinds.map(Vec::as_slice).unwrap_or_default() else {
                continue;
            };
            let text = |key: &str| only.get(key).and_then(Value::as_str).unwrap_or_default();
            let api_version = match text("group") {
                "" => text("version").to_owned(),
                group => format!("{group}/{}", text("version")),
            };
            by_kind.insert((api_version, text("kind").to_owned()), name.clone());
        }
        Self {
            root: root.to_owned(),
            by_name,
            by_kind,
        }
    }

    /// A definition with those it refers to, and no others: compiling all of them for each kind would take seconds.
    fn schema_of(&self, name: &str) -> Value {
        let mut wanted: Vec<String> = vec![name.to_owned()];
        let mut defs = Map::new();
        while let Some(name) = wanted.pop() {
            if let Some(definition) = self.by_name.get(&name).filter(|_| !defs.contains_key(&name)) {
                let mut references = HashSet::new();
                collect_references(definition, &mut references);
                wanted.extend(references);
                defs.insert(name, definition.clone());
            }
        }
        json!({ "$ref": format!("#/{}/{name}", self.root), &self.root: defs })
    }
}

fn bundled() -> Option<Value> {
    let mut text = String::new();
    flate2::read::ZlibDecoder::new(BUNDLED)
        .take(DEFINITIONS_MAX)
        .read_to_string(&mut text)
        .ok()?;
    serde_json::from_str(&text).ok()
}

fn collect_references(schema: &Value, into: &mut HashSet<String>) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                into.extend(reference.rsplit('/').next().map(str::to_owned));
            }
            map.values().for_each(|value| collect_references(value, into));
        }
        Value::Array(items) => items.iter().for_each(|value| collect_references(value, into)),
        _ => {}
    }
}

/// Where it is wrong; for a field that must not be there, that field.
fn pointer_of(error: &jsonschema::ValidationError<'_>) -> String {
    let place = error.instance_path().to_string();
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let first = unexpected.first().map_or("", String::as_str).replace('~', "~0").replace('/', "~1");
            format!("{place}/{first}")
        }
        _ => place,
    }
}

fn in_words(error: &jsonschema::ValidationError<'_>) -> String {
    let place = error.instance_path().to_string();
    let place = if place.is_empty() {
        "the manifest".to_owned()
    } else {
        place.chars().take(200).collect()
    };
    let words: String = error.masked().to_string().chars().take(300).collect();
    format!("{place}: {words}")
}

fn problem(file: &str, line: usize, message: &str, remedy: &str) -> Problem {
    Problem {
        file: file.to_owned(),
        line,
        message: message.to_owned(),
        remedy: remedy.to_owned(),
    }
}

fn custom_schemas(name: &str, text: &str, into: &mut HashMap<(String, String), Value>) -> Result<(), Problem> {
    let tree = tree::parse(text, &Work::alone()).map_err(|why| match why {
        tree::Unreadable::Syntax { line, .. } => problem(
            name,
            line,
            "it is neither YAML nor JSON",
            "correct it, or take it out of the directory",
        ),
        tree::Unreadable::Budget { line, why } => problem(name, line, why, "split it"),
    })?;
    let mut any = false;
    for document in tree.documents.iter().filter(|document| !document.is_null()) {
        let mut left = tree::EXPANDED_MAX;
        let Some(value) = tree.to_json(document, &mut left) else {
            return Err(problem(
                name,
                document.line,
                "its aliases expand to too much",
                "write the values out",
            ));
        };
        let schemas = if value.get("kind").and_then(Value::as_str) == Some("CustomResourceDefinition") {
            defined(name, document.line, &value)?
        } else {
            named(name, &value).into_iter().collect()
        };
        any |= !schemas.is_empty();
        for (key, schema, within) in schemas {
            if let Err(error) = jsonschema::meta::validate(&schema) {
                let place = error.instance_path().to_string();
                let message = format!("its schema is none at {:?}", if place.is_empty() { "/" } else { &place });
                let line = tree.line_at(document, &format!("{within}{place}"));
                return Err(problem(
                    name,
                    line,
                    &message,
                    "correct it: type, enum, required and the like as JSON Schema has them",
                ));
            }
            into.insert(key, schema);
        }
    }
    if any {
        return Ok(());
    }
    let remedy = "hand in manifests of kind CustomResourceDefinition, or schemas named GROUP/KIND_VERSION.json";
    Err(problem(name, 1, "no schema in it", remedy))
}

/// API version and kind, in small letters; what is theirs; and where that stands in the document.
type Custom = ((String, String), Value, String);

/// The schemas of a CustomResourceDefinition, one for each of its versions.
fn defined(name: &str, line: usize, value: &Value) -> Result<Vec<Custom>, Problem> {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_lowercase();
    let (group, kind) = (text("/spec/group"), text("/spec/names/kind"));
    let versions = value.pointer("/spec/versions").and_then(Value::as_array);
    let schemas: Vec<Custom> = versions
        .into_iter()
        .flatten()
        .enumerate()
        .filter_map(|(nth, version)| {
            let schema = version.pointer("/schema/openAPIV3Schema")?;
            let api = format!("{group}/{}", version.get("name")?.as_str()?.to_lowercase());
            let within = format!("/spec/versions/{nth}/schema/openAPIV3Schema");
            Some(((api, kind.clone()), strict(schema, true), within))
        })
        .collect();
    if group.is_empty() || kind.is_empty() || schemas.is_empty() {
        let message = "this CustomResourceDefinition has no spec.group, no spec.names.kind, or no version with a schema.openAPIV3Schema";
        let remedy = "hand in the whole definition, as `kubectl get crd NAME -o yaml` prints it";
        return Err(problem(name, line, message, remedy));
    }
    Ok(schemas)
}

/// A plain JSON schema, whose file's name says of what it is.
fn named(name: &str, value: &Value) -> Option<Custom> {
    value.get("properties")?;
    let (folder, stem) = name.strip_suffix(".json")?.rsplit_once('/')?;
    let (kind, version) = stem.rsplit_once('_')?;
    let group = folder.rsplit('/').next()?;
    let api = format!("{group}/{version}").to_lowercase();
    Some(((api, kind.to_lowercase()), strict(value, true), String::new()))
}

/// OpenAPI's dialect as JSON Schema; objects with named fields take no others, as the API server prunes them silently.
fn strict(schema: &Value, root: bool) -> Value {
    let Value::Object(map) = schema else { return schema.clone() };
    let truth = |key: &str| map.get(key).and_then(Value::as_bool).unwrap_or(false);
    let mut out = Map::new();
    for (key, value) in map {
        let value = match key.as_str() {
            "properties" | "patternProperties" => {
                let all = value
                    .as_object()
                    .map(|fields| fields.iter().map(|(name, field)| (name.clone(), strict(field, false))).collect());
                Value::Object(all.unwrap_or_default())
            }
            "items" | "additionalProperties" => strict(value, false),
            // Within these only conditions stand, and fields of the other branches must not be refused.
            "allOf" | "anyOf" | "oneOf" | "not" | "type" | "enum" | "required" | "pattern" | "minimum" | "maximum" | "exclusiveMinimum"
            | "exclusiveMaximum" | "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties"
            | "uniqueItems" | "multipleOf" => value.clone(),
            _ => continue,
        };
        out.insert(key.clone(), value);
    }
    // In OpenAPI 3.0 these two are booleans beside the bound.
    for exclusive in ["exclusiveMinimum", "exclusiveMaximum"] {
        if out.get(exclusive).is_some_and(Value::is_boolean) {
            out.remove(exclusive);
        }
    }
    if truth("x-kubernetes-int-or-string") {
        out.remove("type");
        out.remove("anyOf");
        out.remove("pattern");
        out.insert("type".to_owned(), json!(["integer", "string"]));
    }
    if (truth("x-kubernetes-embedded-resource") || root)
        && let Some(Value::Object(fields)) = out.get_mut("properties")
    {
        for name in ["apiVersion", "kind"] {
            fields.entry(name).or_insert(json!({"type": "string"}));
        }
        fields.insert("metadata".to_owned(), json!({"type": "object"}));
    }
    let open = truth("x-kubernetes-preserve-unknown-fields") || out.contains_key("additionalProperties");
    if out.contains_key("properties") && !open {
        out.insert("additionalProperties".to_owned(), json!(false));
    }
    Value::Object(out)
}
