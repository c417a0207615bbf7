//! What a parameters' schema may ask of the service. Validation follows references wherever they lead, so a schema of a few lines can loop,
//! or double its work with every step; such a schema is refused when the runbook is read, before anything is validated with it.

use std::collections::BTreeMap;

use serde_json::Value;

/// Largest schema in bytes, written as JSON.
pub(super) const BYTES_MAX: usize = 64 << 10;
/// Most schemas within one another, counting those that references lead to. Parameters are single values and lists of them.
pub(super) const DEPTH_MAX: usize = 32;
/// Most schemas that one value can be compared with, every reference followed anew.
pub(super) const STEPS_MAX: usize = 10_000;

/// Keywords with one schema.
const ONE: [&str; 11] = [
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "items",
    "unevaluatedItems",
    "contains",
    "contentSchema",
    "not",
    "if",
    "then",
    "else",
];
/// Keywords with a list of schemas.
const LIST: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords with schemas under names.
const NAMED: [&str; 4] = ["properties", "patternProperties", "dependentSchemas", "dependencies"];
/// Where schemas stand that only references use.
const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];
/// Other ways to name a schema: with them, what a reference means is no longer seen from the reference.
const NAMING: [&str; 6] = [
    "$id",
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$recursiveAnchor",
    "$recursiveRef",
];

/// Why a schema cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// JSON pointer to the place within the schema; empty for the schema itself.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: &'static str,
}

impl Refusal {
    pub fn new(pointer: &str, message: impl Into<String>, remedy: &'static str) -> Self {
        Self {
            pointer: pointer.to_owned(),
            message: message.into(),
            remedy,
        }
    }
}

/// Refuses a schema that is larger than a person reads.
pub(super) fn size(schema: &Value) -> Result<(), Refusal> {
    let bytes = schema.to_string().len();
    if bytes <= BYTES_MAX {
        return Ok(());
    }
    let message = format!("the schema has {bytes} bytes as JSON, and {BYTES_MAX} are the most");
    Err(Refusal::new("", message, "write fewer or shorter properties, patterns and enums"))
}

/// Refuses loops, remote references, schemas nested too deeply and those that multiply their work.
pub(super) fn bounds(schema: &Value) -> Result<(), Refusal> {
    let mut walk = Walk {
        root: schema,
        open: Vec::new(),
        seen: BTreeMap::new(),
    };
    walk.visit("", schema).map(drop)
}

/// What a schema costs, all that it refers to included.
#[derive(Clone, Copy)]
struct Cost {
    depth: usize,
    steps: usize,
}

struct Walk<'a> {
    root: &'a Value,
    /// The schemas on the way to the present one.
    open: Vec<String>,
    seen: BTreeMap<String, Cost>,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, pointer: &str, schema: &'a Value) -> Result<Cost, Refusal> {
        if self.open.iter().any(|open| open == pointer) {
            // Lists and objects within themselves end with the value, and yet each step may double the work; no runbook can use such a value.
            let back = self.open.last().map_or("", String::as_str);
            let message = format!("the schema refers back to itself: {} leads to {}", named(back), named(pointer));
            return Err(Refusal::new(back, message, "take the reference out of the circle"));
        }
        let known = self.seen.get(pointer).copied();
        if self.open.len() + known.map_or(1, |cost| cost.depth) > DEPTH_MAX {
            let message = format!("the schema is nested more than {DEPTH_MAX} deep, references followed");
            return Err(Refusal::new(
                pointer,
                message,
                "write parameters that are single values, or lists of them",
            ));
        }
        if let Some(cost) = known {
            return Ok(cost);
        }
        self.open.push(pointer.to_owned());
        let cost = self.inside(pointer, schema)?;
        self.open.pop();
        self.seen.insert(pointer.to_owned(), cost);
        Ok(cost)
    }

    fn inside(&mut self, pointer: &str, schema: &'a Value) -> Result<Cost, Refusal> {
        let mut cost = Cost { depth: 1, steps: 1 };
        let Value::Object(keywords) = schema else { return Ok(cost) };
        for (keyword, value) in keywords {
            let keyword = keyword.as_str();
            if NAMING.contains(&keyword) {
                let message = format!("{keyword} is not known in a runbook's schema");
                return Err(Refusal::new(
                    pointer,
                    message,
                    "name schemas under $defs, and refer to them with \"#/$defs/NAME\"",
                ));
            }
            let mut children: Vec<(String, &'a Value)> = Vec::new();
            let here = format!("{pointer}/{}", escaped(keyword));
            match value {
                Value::String(target) if keyword == "$ref" => children.push(self.target(pointer, target)?),
                Value::Array(list) if LIST.contains(&keyword) => {
                    children.extend(list.iter().enumerate().map(|(at, child)| (format!("{here}/{at}"), child)));
                }
                Value::Object(named) if NAMED.contains(&keyword) || DEFINITIONS.contains(&keyword) => {
                    children.extend(named.iter().map(|(name, child)| (format!("{here}/{}", escaped(name)), child)));
                }
                child if ONE.contains(&keyword) => children.push((here, child)),
                _ => {}
            }
            for (at, child) in children {
                let theirs = self.visit(&at, child)?;
                cost.depth = cost.depth.max(theirs.depth + 1);
                if !DEFINITIONS.contains(&keyword) {
                    cost.steps = cost.steps.saturating_add(theirs.steps);
                }
            }
        }
        if cost.steps > STEPS_MAX {
            let message = format!("the schema compares a value with more than {STEPS_MAX} schemas, references followed");
            return Err(Refusal::new(pointer, message, "refer to fewer schemas that refer to others"));
        }
        Ok(cost)
    }

    /// The schema that a reference names, which is within the same one.
    fn target(&self, from: &str, target: &str) -> Result<(String, &'a Value), Refusal> {
        const REMEDY: &str = "write \"#/$defs/NAME\" for a schema under $defs of the same parameters";
        let Some(pointer) = target
            .strip_prefix('#')
            .filter(|pointer| pointer.is_empty() || pointer.starts_with('/'))
        else {
            let message = format!("$ref {target:?} names a schema elsewhere, and nothing is fetched");
            return Err(Refusal::new(from, message, REMEDY));
        };
        match self.root.pointer(pointer).filter(|_| !pointer.contains('%')) {
            Some(schema) => Ok((pointer.to_owned(), schema)),
            None => Err(Refusal::new(from, format!("$ref {target:?} names nothing in the schema"), REMEDY)),
        }
    }
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn named(pointer: &str) -> &str {
    if pointer.is_empty() { "the whole schema" } else { pointer }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use crate::runbook::Runbook;

    const HEAD: &str = "name = \"a\"\ndescription = \"d\"\ntitle = \"t\"\nallowed_paths = [\"a/*\"]\n[parameters]\n";
    const TAIL: &str = "\n[[edits]]\nfile = \"a/b\"\ndelete = true\n";

    /// Reads a runbook and validates parameters with it, on a small stack and with a deadline; what was said.
    fn read(schema: &str) -> String {
        let (text, (say, said)) = (format!("{HEAD}{schema}{TAIL}"), mpsc::channel());
        let work = move || {
            let said = match Runbook::parse(&text, "a.toml") {
                Ok(runbook) => format!("{:?}", runbook.complete(&serde_json::json!({"x": 1})).is_ok()),
                Err(problems) => problems.iter().map(|problem| format!("{problem}\n")).collect(),
            };
            drop(say.send(said));
        };
        std::thread::Builder::new().stack_size(1 << 20).spawn(work).expect("a thread");
        said.recv_timeout(Duration::from_secs(60)).expect("an answer in time")
    }

    fn refused(schema: &str, line: usize, what: &str) {
        let said = read(schema);
        assert!(said.starts_with(&format!("a.toml:{line}:")) && said.contains(what), "{said}");
    }

    #[test]
    fn loops_are_refused_with_their_line() {
        refused(
            "\"$ref\" = \"#\"",
            5,
            "refers back to itself: the whole schema leads to the whole schema",
        );
        let circle = "properties.x = { \"$ref\" = \"#/$defs/a\" }\n\"$defs\".a = { \"$ref\" = \"#/$defs/b\" }\n\"$defs\".b = { allOf = [{ \"$ref\" = \"#/$defs/a\" }] }";
        refused(circle, 8, "leads to /$defs/a; take the reference out of the circle");
        // Each level of the value would be looked at twice as often as the one around it.
        let tree =
            "\"$defs\".a = { allOf = [{ properties.x = { \"$ref\" = \"#/$defs/a\" } }, { properties.x = { \"$ref\" = \"#/$defs/a\" } }] }";
        refused(tree, 6, "refers back to itself");
    }

    #[test]
    fn work_that_doubles_with_every_definition_is_refused() {
        let twice = |at: usize| format!("allOf = [{{ \"$ref\" = \"#/$defs/a{at}\" }}, {{ \"$ref\" = \"#/$defs/a{at}\" }}]");
        let many: String = (0..14).map(|at| format!("\"$defs\".a{at} = {{ {} }}\n", twice(at + 1))).collect();
        let said = read(&format!(
            "properties.x = {{ \"$ref\" = \"#/$defs/a0\" }}\n{many}\"$defs\".a14 = {{ type = \"integer\" }}"
        ));
        assert!(said.contains("compares a value with more than 10000 schemas"), "{said}");
        let few = format!("properties.x = {{ {} }}\n\"$defs\".a1 = {{ type = \"integer\" }}", twice(1));
        assert_eq!(read(&few), "true");
    }

    #[test]
    fn what_is_deep_large_or_elsewhere_is_refused() {
        let chain = |length: usize| {
            let steps: String = (0..length)
                .map(|at| format!("\"$defs\".a{at} = {{ \"$ref\" = \"#/$defs/a{}\" }}\n", at + 1))
                .collect();
            format!("properties.x = {{ \"$ref\" = \"#/$defs/a0\" }}\n{steps}\"$defs\".a{length} = {{}}")
        };
        assert_eq!(read(&chain(20)), "true");
        assert!(read(&chain(500)).contains("nested more than 32 deep"));
        refused(
            &format!("properties.x{} = {{}}", ".items".repeat(32)),
            6,
            "nested more than 32 deep",
        );
        assert!(read(&format!("properties.x{} = {{}}", ".items".repeat(10_000))).contains("recursion limit"));
        refused(
            "properties.x = { \"$ref\" = \"https://192.0.2.1/schema\" }",
            6,
            "nothing is fetched; write \"#/$defs/NAME\"",
        );
        refused("properties.x = { \"$ref\" = \"#/$defs/a\" }", 6, "names nothing in the schema");
        refused("properties.x = { \"$dynamicRef\" = \"#a\" }", 6, "$dynamicRef is not known");
        refused(
            &format!("properties.x = {{ const = \"{}\" }}", "a".repeat(70_000)),
            5,
            "65536 are the most",
        );
    }

    #[test]
    fn what_no_call_could_fit_is_refused() {
        refused(
            "required = [\"y\"]\nproperties.x = {}",
            6,
            "\"y\" is required and not among the properties",
        );
        refused(
            "properties.x = {}\nproperties.y = { type = \"integer\", maximum = 20, default = 50 }",
            7,
            "the default of y does not fit: 50 is greater than the maximum of 20",
        );
        assert_eq!(
            read("required = [\"x\"]\nproperties.x = {}\nproperties.y = { maximum = 20, default = 20 }"),
            "true"
        );
        assert_eq!(read("required = [\"x\"]\npatternProperties.\"^x\" = {}"), "true");
        assert_eq!(read("required = [\"x\"]\nadditionalProperties = { type = \"integer\" }"), "true");
    }

    #[test]
    fn names_of_parameters_are_no_keywords() {
        assert_eq!(
            read("properties.x = {}\nproperties.\"$ref\" = { type = \"string\" }\nproperties.not = { default = { \"$ref\" = \"#\" } }"),
            "true"
        );
    }
}
