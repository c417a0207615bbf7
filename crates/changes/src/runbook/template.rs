//! Texts with `{parameter}` in them. `{{` and `}}` are literal braces.

use serde_json::Value;

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Parameter(String),
}

impl Template {
    /// Reads a template; the error says what is wrong with the braces.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(behind) = rest.strip_prefix(brace) {
                literal.push_str(brace);
                rest = behind;
                continue;
            }
            let name = match rest.find('}') {
                Some(end) if brace == "{" => &rest[..end],
                _ => return Err(format!("a single {brace} stands without its counterpart")),
            };
            if !is_name(name) {
                return Err(format!("{{{name}}} is no parameter name (letters, digits, _ and -)"));
            }
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::Parameter(name.to_owned()));
            rest = &rest[name.len() + 1..];
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self(parts))
    }

    /// Its parts in their order.
    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    /// The parameters it uses.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Parameter(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The parameter, when the template is nothing else.
    pub fn whole(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Part::Parameter(name)] => Some(name),
            _ => None,
        }
    }

    /// The text with parameters put in; `Err` names the first parameter that is absent or no string, number or boolean.
    pub fn text(&self, parameters: &Value) -> Result<String, String> {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Parameter(name) => out.push_str(&as_text(parameters.get(name)).ok_or_else(|| name.clone())?),
            }
        }
        Ok(out)
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// A parameter as it stands inside a text.
pub(super) fn as_text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parameters_are_put_in_and_braces_can_be_written() {
        let given = json!({"app": "web", "n": 3, "on": true, "list": []});
        for (template, expected) in [
            ("", Ok("")),
            ("plain", Ok("plain")),
            ("{app}", Ok("web")),
            ("{app}-{n}/{on}", Ok("web-3/true")),
            ("{{app}} {app}", Ok("{app} web")),
            ("{missing}", Err("missing")),
            ("{list}", Err("list")),
        ] {
            let rendered = Template::parse(template).expect(template).text(&given);
            assert_eq!(rendered, expected.map(str::to_owned).map_err(str::to_owned), "{template}");
        }
        for broken in ["{", "}", "{a", "a}", "{}", "{a b}", "{a.b}", "{{a}"] {
            assert!(Template::parse(broken).is_err(), "{broken}");
        }
    }
}
