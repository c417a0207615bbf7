//! The two meanings of `?fields=`: a fixed set of names on the list, a generic JSON filter on the stream.

use serde_json::{Map, Value, json};

/// The only fields that the list can be narrowed to; other names are dropped without a word.
const LIST_FIELDS: [&str; 24] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.annotations",
    "metadata.labels",
    "metadata.creationTimestamp",
    "metadata.deletionTimestamp",
    "spec",
    "spec.destination",
    "spec.project",
    "spec.source",
    "spec.sources",
    "spec.sourceHydrator",
    "spec.syncPolicy",
    "operation.sync",
    "status.sourceHydrator",
    "status.summary",
    "status.health",
    "status.resources",
    "status.sync.status",
    "status.sync.revision",
    "status.operationState.phase",
    "status.operationState.startedAt",
    "status.operationState.finishedAt",
    "status.operationState.operation.sync",
];

/// A list of names, to keep or (with a leading `-`) to leave out.
#[derive(Clone, Debug)]
pub(crate) struct Fields {
    names: Vec<String>,
    exclude: bool,
}

impl Fields {
    /// `None` when nothing was asked for.
    pub(crate) fn parse(text: &str) -> Option<Fields> {
        let (exclude, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let names: Vec<String> = text
            .split(',')
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect();
        (!names.is_empty()).then_some(Fields { names, exclude })
    }

    /// One item of the list.
    pub(crate) fn list_item(&self, application: &Value) -> Value {
        let mut item = json!({});
        for field in LIST_FIELDS {
            let named = self.names.iter().any(|name| name.strip_prefix("items.") == Some(field));
            if named == self.exclude {
                continue;
            }
            let pointer = match field {
                // The real server answers this name with the result of the sync.
                "status.operationState.operation.sync" => "/status/operationState/syncResult".to_owned(),
                field => format!("/{}", field.replace('.', "/")),
            };
            if let Some(value) = application.pointer(&pointer) {
                put(&mut item, field, value.clone());
            }
        }
        item
    }

    /// Any JSON: a kept name keeps its whole subtree; elements of an array carry the array's own path.
    pub(crate) fn filter(&self, value: &Value) -> Value {
        self.filtered(value, "").unwrap_or_else(|| json!({}))
    }

    fn filtered(&self, value: &Value, path: &str) -> Option<Value> {
        let below = |name: &str, parent: &str| parent.is_empty() || name.strip_prefix(parent).is_some_and(|rest| rest.starts_with('.'));
        let named = !path.is_empty() && self.names.iter().any(|name| name == path);
        match (named, self.exclude) {
            (true, exclude) => return (!exclude).then(|| value.clone()),
            (false, false) if !self.names.iter().any(|name| below(name, path)) => return None,
            (false, _) => {}
        }
        match value {
            Value::Object(fields) => {
                let kept = fields.iter().filter_map(|(key, value)| {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    Some((key.clone(), self.filtered(value, &path)?))
                });
                Some(Value::Object(kept.collect::<Map<_, _>>()))
            }
            Value::Array(items) => Some(items.iter().filter_map(|item| self.filtered(item, path)).collect()),
            other => self.exclude.then(|| other.clone()),
        }
    }
}

fn put(item: &mut Value, path: &str, value: Value) {
    let mut place = item;
    let mut parts = path.split('.').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            place[part] = value;
            return;
        }
        if !place[part].is_object() {
            place[part] = json!({});
        }
        place = &mut place[part];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn application() -> Value {
        json!({
            "metadata": {"name": "web", "uid": "u"}, "spec": {"project": "default"},
            "status": {
                "sync": {"status": "Synced", "revision": "abc"}, "reconciledAt": "t", "resources": [{"kind": "A", "name": "x"}],
                "operationState": {"phase": "Succeeded", "syncResult": {"revision": "abc"}},
            },
        })
    }

    #[test]
    fn the_list_knows_a_fixed_set_of_names() {
        for (fields, expected) in [
            (
                "items.metadata.name,items.metadata.uid,items.status.reconciledAt",
                json!({"metadata": {"name": "web"}}),
            ),
            ("items.status.sync.status", json!({"status": {"sync": {"status": "Synced"}}})),
            (
                "items.status.operationState.operation.sync,items.status.operationState",
                json!({"status": {"operationState": {"operation": {"sync": {"revision": "abc"}}}}}),
            ),
            ("metadata.name", json!({})),
        ] {
            assert_eq!(Fields::parse(fields).unwrap().list_item(&application()), expected, "{fields}");
        }
    }

    #[test]
    fn the_stream_filters_any_path() {
        let event = json!({"result": {"type": "ADDED", "application": application()}});
        for (fields, expected) in [
            ("result.type", json!({"result": {"type": "ADDED"}})),
            (
                "result.application.status.sync",
                json!({"result": {"application": {"status": {"sync": {"status": "Synced", "revision": "abc"}}}}}),
            ),
            (
                "result.application.status.resources.kind",
                json!({"result": {"application": {"status": {"resources": [{"kind": "A"}]}}}}),
            ),
            ("-result.application", json!({"result": {"type": "ADDED"}})),
        ] {
            assert_eq!(Fields::parse(fields).unwrap().filter(&event), expected, "{fields}");
        }
        assert!(Fields::parse("").is_none());
    }
}
