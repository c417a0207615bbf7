//! `Idempotency-Key`: a creating call may be sent again after a lost answer without happening twice.
//!
//! The finished answer is stored by the use case, in the transaction of the proposal itself. Only "this key is being worked on" lives
//! here, in memory: a crash leaves no key stuck.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{HeaderMap, Method};
use domain::{AgentName, Sha256Hash};
use serde_json::Value;

use engine::Problem;

/// The header.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Marks an answer that was not made by this call.
pub const IDEMPOTENT_REPLAYED: &str = "idempotent-replayed";
/// Marks an answer about a proposal that was there before this call, and that the call left as it was.
pub const EXISTING: &str = "countersign-existing";
/// Longest key in characters.
pub const KEY_CHARS_MAX: usize = 255;

/// The key of a creating call: a quoted structured string, or the same text bare.
///
/// # Errors
/// 400 when it is missing, given twice, or not 1 to 255 printable ASCII characters.
pub fn key(headers: &HeaderMap) -> Result<String, Problem> {
    const HINT: &str = "send a new random value, such as a UUID, with each new request, and the same value when you repeat one";
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let invalid = |detail: &'static str| Problem::new(400, "idempotency_key_invalid", detail, HINT);
    let Some(value) = values.next() else {
        return Err(Problem::new(
            400,
            "idempotency_key_required",
            "this call needs an Idempotency-Key header",
            HINT,
        ));
    };
    if values.next().is_some() {
        return Err(invalid("there is more than one Idempotency-Key header"));
    }
    let text = value
        .to_str()
        .map_err(|_| invalid("the Idempotency-Key is not printable ASCII"))?
        .trim();
    let key = match text.strip_prefix('"') {
        Some(rest) => unquote(rest).ok_or_else(|| invalid("the quotes of the Idempotency-Key do not match"))?,
        None if text.bytes().all(|b| b.is_ascii_graphic() && b != b'"') => text.to_owned(),
        None => return Err(invalid("an Idempotency-Key with spaces or quotes must be a quoted string")),
    };
    match key.len() {
        1..=KEY_CHARS_MAX => Ok(key),
        0 => Err(invalid("the Idempotency-Key is empty")),
        _ => Err(invalid("the Idempotency-Key is longer than 255 characters")),
    }
}

/// The rest of a structured string (RFC 8941, section 3.3.3) after its first quote.
fn unquote(rest: &str) -> Option<String> {
    let mut key = String::new();
    let mut letters = rest.chars();
    loop {
        match letters.next()? {
            '"' => return letters.next().is_none().then_some(key),
            '\\' => key.push(letters.next().filter(|c| matches!(c, '"' | '\\'))?),
            c => key.push(c),
        }
    }
}

/// Names a request: SHA-256 over method, path and the body with its object keys in order, so that another spelling of the same
/// JSON is the same request.
pub fn fingerprint(method: &Method, path: &str, body: &Value) -> Sha256Hash {
    let mut text = format!("{method}\n{path}\n");
    write_canonical(body, &mut text);
    Sha256Hash::of(text.as_bytes())
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|a, b| a.0.cmp(b.0));
            out.push('{');
            for (key, value) in entries {
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write_canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        leaf => out.push_str(&leaf.to_string()),
    }
}

/// The keys that are being worked on.
#[derive(Debug, Clone, Default)]
pub struct InFlight(Arc<Mutex<HashSet<(AgentName, String)>>>);

impl InFlight {
    /// Claims a key until the pass is dropped.
    ///
    /// # Errors
    /// 409 while another request with this agent's key is under way.
    pub fn enter(&self, agent: &AgentName, key: &str) -> Result<Pass, Problem> {
        let entry = (agent.clone(), key.to_owned());
        // A set of strings is valid whatever happened to the thread that held it.
        let entered = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(entry.clone());
        if entered {
            return Ok(Pass { set: self.clone(), entry });
        }
        let detail = "a request with this Idempotency-Key is still under way";
        Err(Problem::new(
            409,
            "idempotency_key_in_flight",
            detail,
            "send the same request with the same key again in a moment",
        )
        .retry(1))
    }
}

/// The right to work on a key; dropping it gives the key back.
#[derive(Debug)]
pub struct Pass {
    set: InFlight,
    entry: (AgentName, String),
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.set.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_quoted_or_bare_and_bounded() {
        let long = "k".repeat(255);
        let too_long = "k".repeat(256);
        for (value, expected) in [
            ("abc", Ok("abc")),
            ("\"abc\"", Ok("abc")),
            ("\"a b, c\"", Ok("a b, c")),
            (r#""a\"b\\c""#, Ok("a\"b\\c")),
            (" abc ", Ok("abc")),
            (&long, Ok(&*long)),
            (&too_long, Err("idempotency_key_invalid")),
            ("", Err("idempotency_key_invalid")),
            ("\"\"", Err("idempotency_key_invalid")),
            ("\"abc", Err("idempotency_key_invalid")),
            ("abc\"", Err("idempotency_key_invalid")),
            ("\"a\"b\"", Err("idempotency_key_invalid")),
            (r#""a\n""#, Err("idempotency_key_invalid")),
            ("a b", Err("idempotency_key_invalid")),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(IDEMPOTENCY_KEY, value.parse().unwrap());
            assert_eq!(
                key(&headers).map_err(|p| (p.status, p.code)),
                expected.map(str::to_owned).map_err(|code| (400, code)),
                "{value}"
            );
        }
        let mut headers = HeaderMap::new();
        assert_eq!(key(&headers).unwrap_err().code, "idempotency_key_required");
        headers.append(IDEMPOTENCY_KEY, "a".parse().unwrap());
        headers.append(IDEMPOTENCY_KEY, "a".parse().unwrap());
        assert_eq!(key(&headers).unwrap_err().code, "idempotency_key_invalid");
        headers.insert(IDEMPOTENCY_KEY, axum::http::HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(key(&headers).unwrap_err().code, "idempotency_key_invalid");
    }

    #[test]
    fn a_fingerprint_is_of_method_path_and_meaning() {
        let of = |method: Method, path: &str, body: &str| fingerprint(&method, path, &serde_json::from_str(body).unwrap());
        let one = of(Method::POST, "/v1/proposals", r#"{"a":1,"b":[{"c":null,"d":"x"}]}"#);
        assert_eq!(
            one,
            of(Method::POST, "/v1/proposals", r#"{ "b": [{"d":"\u0078","c":null}], "a": 1 }"#)
        );
        for (path, body) in [
            ("/v1/observations", r#"{"a":1,"b":[{"c":null,"d":"x"}]}"#),
            ("/v1/proposals", r#"{"a":2,"b":[{"c":null,"d":"x"}]}"#),
            ("/v1/proposals", r#"{"a":1,"b":[{"c":null},{"d":"x"}]}"#),
        ] {
            assert_ne!(one, of(Method::POST, path, body));
        }
    }

    #[test]
    fn one_key_is_worked_on_once_at_a_time_per_agent() {
        let set = InFlight::default();
        let (alice, bob): (AgentName, AgentName) = ("alice-bot".parse().unwrap(), "bob-bot".parse().unwrap());
        let pass = set.enter(&alice, "k").unwrap();
        let refused = set.enter(&alice, "k").unwrap_err();
        assert_eq!(
            (refused.status, refused.code, refused.retry_after),
            (409, "idempotency_key_in_flight", Some(1))
        );
        assert!(set.enter(&bob, "k").is_ok() && set.enter(&alice, "k2").is_ok());
        drop(pass);
        assert!(set.enter(&alice, "k").is_ok());
    }
}
