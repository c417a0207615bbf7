//! The old and the new side of one place. What a reader of a kind explains, it takes out; what is left is explained by path.

use std::collections::{BTreeMap, BTreeSet};

use super::value::Value;

/// Both sides of one place; a side that is not there is [`Value::Absent`].
#[derive(Debug, Clone, Default)]
pub(super) struct Pair {
    pub old: Value,
    pub new: Value,
}

impl Pair {
    pub const fn new(old: Value, new: Value) -> Self {
        Self { old, new }
    }

    pub fn changed(&self) -> bool {
        self.old != self.new
    }

    /// Takes the values at dotted keys out of both sides.
    pub fn take(&mut self, path: &str) -> Self {
        Self {
            old: take(&mut self.old, path),
            new: take(&mut self.new, path),
        }
    }

    /// Takes one key, which may hold dots.
    pub fn take_key(&mut self, key: &str) -> Self {
        Self {
            old: self.old.take(key),
            new: self.new.take(key),
        }
    }

    /// Puts what is left of a place back, to be explained by path.
    pub fn put_back(&mut self, path: &str, rest: Self) {
        put(&mut self.old, path, rest.old);
        put(&mut self.new, path, rest.new);
    }

    /// The keys of both sides with their values, in order.
    pub fn entries(self) -> Vec<(String, Self)> {
        let (mut old, mut new) = (map(self.old), map(self.new));
        let keys: BTreeSet<String> = old.keys().chain(new.keys()).cloned().collect();
        keys.into_iter()
            .map(|key| {
                let pair = Self::new(old.remove(&key).unwrap_or_default(), new.remove(&key).unwrap_or_default());
                (key, pair)
            })
            .collect()
    }

    /// The items of two lists, paired by the text of a field; items without it are paired by their place.
    pub fn keyed(self, field: &str) -> Vec<(String, Self)> {
        let (old, new) = (index(self.old, field), index(self.new, field));
        Self::new(Value::Map(old), Value::Map(new)).entries()
    }

    /// The items of two lists, paired by what names them: `name`, or else another common key, or else their place.
    pub fn keyed_by_any(self) -> Vec<(String, Self)> {
        const FIELDS: [&str; 5] = ["name", "key", "id", "host", "mountPath"];
        let names_all = |field: &str| {
            [&self.old, &self.new]
                .iter()
                .all(|side| side.items().iter().all(|item| item.text_at(field).is_some()))
        };
        let field = FIELDS.into_iter().find(|field| names_all(field)).unwrap_or_default();
        self.keyed(field)
    }

    /// Texts that only the new side's list has, and texts that only the old side's has.
    pub fn list_changes(&self) -> (Vec<String>, Vec<String>) {
        let (old, new) = (self.old.texts(), self.new.texts());
        let (have, got): (BTreeSet<&str>, BTreeSet<&str>) = (old.iter().copied().collect(), new.iter().copied().collect());
        let added = new
            .iter()
            .filter(|text| !have.contains(**text))
            .map(|text| (*text).to_owned())
            .collect();
        let removed = old
            .iter()
            .filter(|text| !got.contains(**text))
            .map(|text| (*text).to_owned())
            .collect();
        (added, removed)
    }
}

fn take(value: &mut Value, path: &str) -> Value {
    match path.split_once('.') {
        None => value.take(path),
        Some((key, rest)) => {
            let mut inner = match value {
                Value::Map(entries) => match entries.get_mut(key) {
                    Some(inner) => std::mem::take(inner),
                    None => return Value::Absent,
                },
                _ => return Value::Absent,
            };
            let there = !inner.is_absent();
            let taken = take(&mut inner, rest);
            if inner.is_absent() && there {
                drop(value.take(key));
            } else if let Value::Map(entries) = value {
                entries.insert(key.to_owned(), inner);
            }
            taken
        }
    }
}

fn put(value: &mut Value, path: &str, rest: Value) {
    if rest.is_absent() {
        return;
    }
    if value.is_absent() {
        *value = Value::Map(BTreeMap::new());
    }
    let Value::Map(entries) = value else { return };
    match path.split_once('.') {
        None => drop(entries.insert(path.to_owned(), rest)),
        Some((key, below)) => put(entries.entry(key.to_owned()).or_default(), below, rest),
    }
}

fn map(value: Value) -> BTreeMap<String, Value> {
    match value {
        Value::Map(entries) => entries,
        _ => BTreeMap::new(),
    }
}

fn index(value: Value, field: &str) -> BTreeMap<String, Value> {
    let Value::List(items) = value else { return BTreeMap::new() };
    let mut indexed = BTreeMap::new();
    for (nth, item) in items.into_iter().enumerate() {
        let mut key = item
            .text_at(field)
            .or_else(|| item.text())
            .map_or_else(|| format!("{nth}"), str::to_owned);
        // A name that is used twice must not hide its second bearer.
        if indexed.contains_key(&key) {
            key = format!("{key}#{nth}");
        }
        indexed.insert(key, item);
    }
    indexed
}
