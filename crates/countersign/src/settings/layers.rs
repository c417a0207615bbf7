//! The three layers (defaults, file, environment) laid over each other by the `config` crate, remembering which layer each value is from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use config::{Config, ConfigError, Environment, File, FileFormat, Map, Source, Value, ValueKind};

use super::Problem;
use super::raw::RawSettings;
use super::strict::{Fault, Strict};

/// Where a value came from, as errors name it.
pub(super) const ENVIRONMENT: &str = "environment";
/// The embedded defaults, as errors name them.
pub(super) const DEFAULT: &str = "default";
/// What every variable begins with; `__` also parts section and key.
const PREFIX: &str = "COUNTERSIGN__";
/// Lists of tables, whose entries the environment addresses by their `name`.
const NAMED_LISTS: [&str; 2] = ["repositories", "argocd"];

/// What the settings are read from.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// The configuration file: its path as errors show it, its folder (relative paths start there), and its text.
    pub file: Option<ConfigFile>,
    /// Environment variables; only those that begin with `COUNTERSIGN__` count.
    pub environment: Vec<(OsString, OsString)>,
}

/// A configuration file that was read.
#[derive(Clone)]
pub struct ConfigFile {
    /// As errors name it.
    pub shown: String,
    /// Where relative paths start.
    pub folder: PathBuf,
    /// Its text. May hold secrets.
    pub text: String,
}

impl std::fmt::Debug for ConfigFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ConfigFile({})", self.shown)
    }
}

impl Layers {
    /// The file at `path`, if any, and the process's environment.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn of(path: Option<&Path>) -> Result<Self, Vec<Problem>> {
        let file = path.map(ConfigFile::read).transpose().map_err(|problem| vec![problem])?;
        Ok(Self {
            file,
            environment: std::env::vars_os().collect(),
        })
    }
}

impl ConfigFile {
    fn read(path: &Path) -> Result<Self, Problem> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            Problem::new(
                "--config",
                "command line",
                format!("{shown} cannot be read: {error}"),
                "check the path and its permissions",
            )
        })?;
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let folder = absolute.parent().map(Path::to_owned).unwrap_or_default();
        Ok(Self { shown, folder, text })
    }

    fn layer(&self) -> String {
        format!("file {}", self.shown)
    }
}

/// The values of all layers as one tree.
pub(super) struct Merged {
    root: Value,
    defaults: Value,
}

/// What could be read of a tree.
pub(super) struct Read {
    /// The settings, with defaults in the place of what cannot be read; none when something is left that cannot be done without.
    pub raw: Option<RawSettings>,
    /// What cannot be read.
    pub problems: Vec<Problem>,
}

impl Merged {
    /// Lays the layers over each other.
    pub(super) fn new(layers: &Layers) -> Result<Self, Vec<Problem>> {
        let mut sources = vec![toml_layer(super::DEFAULT_TOML, DEFAULT, "the embedded defaults")?];
        if let Some(file) = &layers.file {
            sources.push(toml_layer(&file.text, &file.layer(), &file.shown)?);
        }
        let below = merge(sources.clone())?;
        sources.push(environment_layer(&layers.environment, &below)?);
        Ok(Self {
            root: merge(sources)?,
            defaults: merge(vec![toml_layer(super::DEFAULT_TOML, DEFAULT, "the embedded defaults")?])?,
        })
    }

    /// The tree as typed settings, not yet checked for sense. Reading stops at the first fault, so that what is at fault is put aside and the
    /// rest is read again: one run tells them all.
    pub(super) fn read(&self) -> Read {
        let mut root = self.root.clone();
        let mut problems: Vec<Problem> = Vec::new();
        loop {
            let (path, fault) = match serde_path_to_error::deserialize(Strict(root.clone())) {
                Ok(raw) => return Read { raw: Some(raw), problems },
                Err(error) => (error.path().to_string(), error.into_inner()),
            };
            let missing = matches!(fault, Fault::Missing { .. });
            let problem = self.explain(if path == "." { "" } else { &path }, fault);
            let key = problem.key.clone();
            // What was put aside is missing now: no further problem.
            if !problems.iter().any(|told| told.key == key) {
                problems.push(problem);
            }
            let aside = match missing {
                true => key.rsplit_once('.').map_or("", |(table, _)| table),
                false => &key,
            };
            if !put_aside(&mut root, aside, find(&self.defaults, aside)) {
                return Read { raw: None, problems };
            }
        }
    }

    /// The layer a key's value came from; for a key that is nowhere, the layer of the table that it is missing in.
    pub(super) fn layer(&self, key: &str) -> String {
        let mut here = &self.root;
        let mut known = None;
        for part in parts(key) {
            match inner(here, part) {
                Some(inner) => here = inner,
                None => break,
            }
            known = uppermost(here).or(known);
        }
        known.unwrap_or_else(|| uppermost(&self.root).unwrap_or_else(|| DEFAULT.to_owned()))
    }

    fn explain(&self, path: &str, fault: Fault) -> Problem {
        let under = |key: &str| match path {
            "" => key.to_owned(),
            path if path.ends_with(key) && (path.len() == key.len() || path.as_bytes()[path.len() - key.len() - 1] == b'.') => {
                path.to_owned()
            }
            path => format!("{path}.{key}"),
        };
        match fault {
            Fault::Unknown { key, known } => {
                let key = under(&key);
                let remedy = match known {
                    [] => "take it out".to_owned(),
                    known => format!("use one of {}; or take it out", known.join(", ")),
                };
                Problem::new(&key, self.layer(&key), "there is no such key", remedy)
            }
            Fault::Missing { key } => {
                let key = under(key);
                Problem::new(
                    &key,
                    self.layer(&key),
                    "it is missing",
                    "add it; config/example.toml shows every key",
                )
            }
            Fault::Kind { found, expected } => Problem::new(
                path,
                self.layer(path),
                format!("{found} stands where {expected} is expected"),
                "correct the value",
            ),
            Fault::Refused(why) => Problem::new(path, self.layer(path), why, "correct the value"),
        }
    }
}

/// The steps of a key such as `repositories[0].url`.
fn parts(key: &str) -> impl Iterator<Item = &str> {
    key.split(['.', '[']).map(|part| part.trim_end_matches(']'))
}

fn inner<'a>(here: &'a Value, part: &str) -> Option<&'a Value> {
    match &here.kind {
        ValueKind::Table(table) => table.get(part),
        ValueKind::Array(list) => part.parse::<usize>().ok().and_then(|index| list.get(index)),
        _ => None,
    }
}

fn find<'a>(root: &'a Value, key: &str) -> Option<&'a Value> {
    parts(key).try_fold(root, inner)
}

/// Puts a default in the place of a key of a table, or takes the key out. False when that is no key of a table.
fn put_aside(root: &mut Value, key: &str, default: Option<&Value>) -> bool {
    let mut steps: Vec<&str> = parts(key).collect();
    let Some(last) = steps.pop() else { return false };
    let mut here = root;
    for part in steps {
        let inner = match &mut here.kind {
            ValueKind::Table(table) => table.get_mut(part),
            ValueKind::Array(list) => part.parse::<usize>().ok().and_then(|index| list.get_mut(index)),
            _ => None,
        };
        match inner {
            Some(inner) => here = inner,
            None => return false,
        }
    }
    let ValueKind::Table(table) = &mut here.kind else { return false };
    match default {
        Some(default) => table.insert(last.to_owned(), default.clone()),
        None => table.remove(last),
    }
    .is_some()
}

/// The layer that has the last word in a tree: environment over file over default.
fn uppermost(value: &Value) -> Option<String> {
    let rank = |layer: &String| match layer.as_str() {
        DEFAULT => 0,
        ENVIRONMENT => 2,
        _ => 1,
    };
    match &value.kind {
        ValueKind::Table(table) => table.values().filter_map(uppermost).max_by_key(rank),
        ValueKind::Array(list) => list.iter().filter_map(uppermost).max_by_key(rank),
        _ => value.origin().map(str::to_owned),
    }
}

#[derive(Debug, Clone)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }
    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

fn merge(sources: Vec<Layer>) -> Result<Value, Vec<Problem>> {
    let builder = sources
        .into_iter()
        .fold(Config::builder(), |builder, layer| builder.add_source(layer));
    let merged = builder
        .build()
        .map_err(|error| vec![Problem::new("", "all layers", error.to_string(), "report this: it is a bug")])?;
    Ok(merged.cache)
}

/// A TOML text as a layer. Its errors name the line but never quote it: it may hold a secret.
fn toml_layer(text: &str, layer: &str, shown: &str) -> Result<Layer, Vec<Problem>> {
    if let Err(error) = toml::from_str::<toml::Table>(text) {
        let upto = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text.as_bytes()[..upto].iter().filter(|byte| **byte == b'\n').count() + 1;
        let why = error.message().lines().next().unwrap_or_default().to_owned();
        return Err(vec![Problem::new(
            format!("{shown}:{line}"),
            layer,
            format!("it is not TOML: {why}"),
            "correct this line",
        )]);
    }
    let collected = File::from_str(text, FileFormat::Toml).collect();
    // Cannot happen after the check above; said without the error's text all the same, which would quote the file.
    let table = collected.map_err(|_| vec![Problem::new(shown, layer, "it cannot be read as TOML", "correct the file")])?;
    Ok(Layer(table.into_iter().map(|(key, value)| (key, tagged(value, layer))).collect()))
}

fn tagged(value: Value, layer: &str) -> Value {
    let kind = match value.kind {
        ValueKind::Table(table) => ValueKind::Table(table.into_iter().map(|(key, value)| (key, tagged(value, layer))).collect()),
        ValueKind::Array(list) => ValueKind::Array(list.into_iter().map(|value| tagged(value, layer)).collect()),
        plain => plain,
    };
    Value::new(Some(&layer.to_owned()), kind)
}

/// `COUNTERSIGN__TELEGRAM__TOKEN` is `telegram.token`; `COUNTERSIGN__REPOSITORIES__HOMELAB__CREDENTIALS__TOKEN` is the entry named
/// `homelab` (or the entry's number, from 0).
fn environment_layer(variables: &[(OsString, OsString)], below: &Value) -> Result<Layer, Vec<Problem>> {
    let mut ours = Map::new();
    let mut problems = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.to_ascii_uppercase().starts_with(PREFIX)) else {
            continue;
        };
        match value.to_str() {
            Some(value) => drop(ours.insert(name.to_owned(), value.to_owned())),
            None => problems.push(Problem::new(name, ENVIRONMENT, "its value is not UTF-8", "correct the variable")),
        }
    }
    let environment = Environment::with_prefix("COUNTERSIGN")
        .prefix_separator("__")
        .separator("__")
        .source(Some(ours));
    let collected = environment
        .collect()
        .map_err(|_| vec![Problem::new(PREFIX, ENVIRONMENT, "cannot be read", "correct the variables")])?;
    // Sorted, so that the same variables always lead to the same first error.
    let collected: BTreeMap<String, Value> = collected.into_iter().collect();
    let mut layer = Map::new();
    for (key, value) in collected {
        match addressed(&key, below) {
            Ok(key) => drop(layer.insert(key, tagged(value, ENVIRONMENT))),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(Layer(layer)) } else { Err(problems) }
}

fn addressed(key: &str, below: &Value) -> Result<String, Problem> {
    let mut parts = key.splitn(3, '.');
    let (Some(list), Some(entry), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return Ok(key.to_owned());
    };
    if !NAMED_LISTS.contains(&list) {
        return Ok(key.to_owned());
    }
    let names = names(below, list);
    let by_number = entry.parse::<usize>().ok().filter(|index| *index < names.len());
    match names.iter().position(|name| plain(name) == plain(entry)).or(by_number) {
        Some(index) => Ok(format!("{list}[{index}].{rest}")),
        None => Err(Problem::new(
            format!("{PREFIX}{}", key.replace('.', "__").to_uppercase()),
            ENVIRONMENT,
            format!("no entry of [[{list}]] has the name {entry:?}"),
            match names.as_slice() {
                [] => format!("add [[{list}]] with that name to the configuration file"),
                names => format!("use one of {}", names.join(", ")),
            },
        )),
    }
}

fn names(root: &Value, list: &str) -> Vec<String> {
    let ValueKind::Table(table) = &root.kind else { return Vec::new() };
    let Some(ValueKind::Array(entries)) = table.get(list).map(|value| &value.kind) else {
        return Vec::new();
    };
    let name = |entry: &Value| match &entry.kind {
        ValueKind::Table(table) => table.get("name").map(ToString::to_string).unwrap_or_default(),
        _ => String::new(),
    };
    entries.iter().map(name).collect()
}

/// Names as variables can spell them.
fn plain(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .collect()
}
