//! The parameters that a runbook has been tried with. A run outside of them asks a human, whatever the runbook's tier: three replicas that
//! went well say nothing about twenty.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::{Number, Value};

use super::{Source, Trial, TrialResult, TrustConstants, trial::Weight};
use crate::Timestamp;

/// What was tried, per parameter.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ranges {
    tried: BTreeMap<String, Tried>,
    /// Whether any run was tried at all.
    any: bool,
}

/// What was tried of one parameter.
#[derive(Debug, Clone, Default, PartialEq)]
struct Tried {
    /// Smallest and largest number.
    numbers: Option<(Number, Number)>,
    /// Other values, where only those tried are within.
    values: Vec<Value>,
    /// Whether any string will do: free text has no order, so there is no range to be outside of.
    free: bool,
    /// Whether some run left it out.
    absent: bool,
}

impl Ranges {
    /// What the successful, closed trials were tried with, within the record's age. `schema` says which strings are a closed list.
    pub fn of(trials: &[Trial], schema: &Value, now: Timestamp, constants: &TrustConstants) -> Self {
        let counts = |trial: &&Trial| {
            trial.result_at(now) == TrialResult::Succeeded
                && Source::weight(&trial.source, constants) == Weight::Full
                && trial.started_at >= now - constants.window_age
        };
        let runs: Vec<&Value> = trials.iter().filter(counts).map(|trial| &trial.parameters).collect();
        let names = runs.iter().filter_map(|run| run.as_object()).flat_map(|run| run.keys());
        let mut ranges = Self {
            tried: names.map(|name| (name.clone(), Tried::default())).collect(),
            any: !runs.is_empty(),
        };
        for (name, tried) in &mut ranges.tried {
            tried.free = is_free(schema, name);
            for run in &runs {
                match run.get(name) {
                    Some(value) => tried.add(value),
                    None => tried.absent = true,
                }
            }
        }
        ranges
    }

    /// Why a run is outside of what was tried, in words without the value of any text; `None` when it is within.
    pub fn outside(&self, parameters: &Value) -> Option<String> {
        if !self.any {
            return Some("no successful run to compare its parameters with".to_owned());
        }
        let nothing = serde_json::Map::new();
        let given = parameters.as_object().unwrap_or(&nothing);
        for (name, tried) in &self.tried {
            match given.get(name) {
                Some(value) => {
                    if let Some(why) = tried.outside(name, value) {
                        return Some(why);
                    }
                }
                None if !tried.absent => return Some(format!("{name} is left out, which was never tried")),
                None => {}
            }
        }
        let new = given.keys().find(|name| !self.tried.contains_key(*name));
        new.map(|name| format!("{name} is given, which was never tried"))
    }
}

impl Tried {
    fn add(&mut self, value: &Value) {
        match value {
            Value::Number(number) => {
                let (low, high) = self.numbers.take().unwrap_or_else(|| (number.clone(), number.clone()));
                let low = if compare(number, &low).is_lt() { number.clone() } else { low };
                let high = if compare(number, &high).is_gt() { number.clone() } else { high };
                self.numbers = Some((low, high));
            }
            Value::String(_) if self.free => {}
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                if !self.values.contains(value) {
                    self.values.push(value.clone());
                }
            }
        }
    }

    fn outside(&self, name: &str, value: &Value) -> Option<String> {
        match (value, &self.numbers) {
            (Value::Number(number), Some((low, high))) => {
                let within = !compare(number, low).is_lt() && !compare(number, high).is_gt();
                (!within).then(|| format!("{name} = {number} is outside of what was tried ({low} to {high})"))
            }
            (Value::Number(number), None) => Some(format!("{name} = {number}: no number was tried")),
            (Value::String(_), _) if self.free => None,
            (Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_), _) => {
                (!self.values.contains(value)).then(|| format!("this value of {name} was never tried"))
            }
        }
    }
}

/// Whether a string parameter is free text (such as a version or a time) rather than one of a closed list.
fn is_free(schema: &Value, name: &str) -> bool {
    let property = schema.get("properties").and_then(|properties| properties.get(name));
    property.is_some_and(|property| property.get("enum").is_none() && property.get("const").is_none())
}

/// Whole numbers exactly, others as floats.
fn compare(a: &Number, b: &Number) -> Ordering {
    let whole = |number: &Number| number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
    }
}
