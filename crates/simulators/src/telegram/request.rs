//! The parameters of a call, from whichever of the four encodings the Bot API takes.
//!
//! Like the real server this keeps every argument as text: a JSON body's objects and numbers become their JSON text.

use std::collections::BTreeMap;
use std::convert::Infallible;

use axum::body::Bytes;
use futures_util::stream;
use serde_json::{Value, json};

/// A file part of a multipart body.
#[derive(Clone, Debug)]
pub(super) struct Upload {
    pub(super) file_name: String,
    pub(super) mime: String,
    pub(super) bytes: Vec<u8>,
}

/// Arguments and files of one call.
#[derive(Clone, Debug, Default)]
pub(super) struct Params {
    arguments: BTreeMap<String, String>,
    files: BTreeMap<String, Upload>,
    /// As sent, for the log and the check against the specification.
    pub(super) raw: BTreeMap<String, Value>,
    /// The body was JSON, so that types can be checked strictly.
    pub(super) typed: bool,
}

impl Params {
    /// Reads query string and body; the error is the server's description of a malformed body.
    pub(super) async fn read(query: Option<&str>, content_type: &str, body: Bytes) -> Result<Self, String> {
        let mut params = Self::default();
        params.form(query.unwrap_or_default().as_bytes());
        let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if body.is_empty() {
            return Ok(params);
        }
        match media.as_str() {
            "application/json" => params.json(&body)?,
            "multipart/form-data" => params.multipart(content_type, body).await?,
            "application/x-www-form-urlencoded" => params.form(&body),
            _ => {}
        }
        Ok(params)
    }

    fn form(&mut self, body: &[u8]) {
        for (name, value) in url::form_urlencoded::parse(body) {
            self.set(&name, json!(value));
        }
    }

    fn json(&mut self, body: &[u8]) -> Result<(), String> {
        self.typed = true;
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => {
                for (name, value) in fields {
                    self.set(&name, value);
                }
                Ok(())
            }
            Ok(_) => Err("Bad Request: JSON object expected".to_owned()),
            Err(_) => Err("Bad Request: can't parse JSON object".to_owned()),
        }
    }

    async fn multipart(&mut self, content_type: &str, body: Bytes) -> Result<(), String> {
        let malformed = |error: multer::Error| format!("Bad Request: can't parse multipart/form-data: {error}");
        let boundary = multer::parse_boundary(content_type).map_err(malformed)?;
        let mut parts = multer::Multipart::new(stream::iter([Ok::<_, Infallible>(body)]), boundary);
        while let Some(part) = parts.next_field().await.map_err(malformed)? {
            let name = part.name().unwrap_or_default().to_owned();
            let mime = part
                .content_type()
                .map_or_else(|| "application/octet-stream".to_owned(), ToString::to_string);
            match part.file_name().map(str::to_owned) {
                Some(file_name) => {
                    let bytes = part.bytes().await.map_err(malformed)?.to_vec();
                    self.raw
                        .insert(name.clone(), json!({ "file_name": file_name, "bytes": bytes.len() }));
                    self.files.insert(name, Upload { file_name, mime, bytes });
                }
                None => {
                    let value = part.text().await.map_err(malformed)?;
                    self.set(&name, json!(value));
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: Value) {
        let text = match &value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        self.raw.insert(name.to_owned(), value);
        self.arguments.insert(name.to_owned(), text);
    }

    /// An argument's text; empty when absent, which the server does not tell apart.
    pub(super) fn text(&self, name: &str) -> &str {
        self.arguments.get(name).map_or("", String::as_str)
    }

    /// An argument as whole number; 0 when absent or no number.
    pub(super) fn integer(&self, name: &str) -> i64 {
        self.text(name).trim().parse().unwrap_or(0)
    }

    /// `true`, `yes` or `1`, in any case.
    pub(super) fn flag(&self, name: &str) -> bool {
        ["true", "yes", "1"].iter().any(|word| self.text(name).eq_ignore_ascii_case(word))
    }

    /// An argument that is a JSON document; `None` when absent, an error when it is no JSON.
    pub(super) fn document(&self, name: &str) -> Result<Option<Value>, serde_json::Error> {
        match self.text(name) {
            "" => Ok(None),
            text => serde_json::from_str(text).map(Some),
        }
    }

    /// The file of an argument: a part of that name, or the part its `attach://name` points to.
    pub(super) fn file(&self, name: &str) -> Option<&Upload> {
        let attached = self.text(name).strip_prefix("attach://");
        self.files.get(attached.unwrap_or(name))
    }
}
