//! `POST /api/webhook`: a git host's push event, which makes the affected applications refresh.

use std::sync::Arc;

use axum::{
    body::Bytes,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;

use super::{
    model::{ApplicationSpec, GENERATE_PATHS, SourceSpec},
    world::World,
};

/// Answers as soon as the event is understood; the refreshes follow by themselves.
pub(crate) fn receive(world: &Arc<World>, headers: &HeaderMap, body: &Bytes) -> Response {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let signature = match (text("x-gogs-event"), text("x-github-event")) {
        ("push", _) => text("x-gogs-signature"),
        ("", "push") => text("x-hub-signature-256").strip_prefix("sha256=").unwrap_or_default(),
        ("", "ping") => return StatusCode::OK.into_response(),
        _ => return (StatusCode::BAD_REQUEST, "Unknown webhook event\n").into_response(),
    };
    let trusted = world
        .options
        .webhook_secret
        .as_ref()
        .is_none_or(|secret| signed(secret, signature, body));
    if !trusted {
        return (StatusCode::BAD_REQUEST, "Webhook processing failed\n").into_response();
    }
    let Ok(event) = serde_json::from_slice::<Value>(body) else {
        return (StatusCode::BAD_REQUEST, "Webhook processing failed\n").into_response();
    };
    let push = Push::of(&event);
    for name in world.names() {
        let affected = world.read(&name, |app| push.affects(&app.spec)).unwrap_or(false);
        if affected {
            world.update(&name, |app| app.request_refresh("normal"));
        }
    }
    StatusCode::OK.into_response()
}

fn signed(secret: &str, signature: &str, body: &Bytes) -> bool {
    let Ok(signature) = hex::decode(signature) else { return false };
    // HMAC takes keys of every length, so the error cannot happen; refusing is the safe answer to it all the same.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return false;
    };
    mac.update(body);
    mac.verify_slice(&signature).is_ok()
}

struct Push {
    repository: String,
    branch: String,
    on_default: bool,
    files: Vec<String>,
}

impl Push {
    fn of(event: &Value) -> Push {
        let branch = event["ref"]
            .as_str()
            .unwrap_or_default()
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        let commits = event["commits"].as_array().cloned().unwrap_or_default();
        let files = commits.iter().flat_map(|commit| {
            let lists = ["added", "modified", "removed"].map(|list| commit[list].as_array().cloned().unwrap_or_default());
            lists.into_iter().flatten().filter_map(|file| file.as_str().map(str::to_owned))
        });
        Push {
            repository: address(event["repository"]["html_url"].as_str().unwrap_or_default()),
            on_default: event["repository"]["default_branch"].as_str() == Some(branch.as_str()),
            files: files.collect(),
            branch,
        }
    }

    fn affects(&self, spec: &ApplicationSpec) -> bool {
        spec.sources
            .iter()
            .any(|source| address(&source.repo_url) == self.repository && self.moves(source) && self.touches(spec, source))
    }

    fn moves(&self, source: &SourceSpec) -> bool {
        match source.target_revision.as_str() {
            "" | "HEAD" => self.on_default,
            target => target.rsplit('/').next() == Some(self.branch.as_str()),
        }
    }

    /// Without the annotation, or without a list of files, everything on the branch counts as touched.
    fn touches(&self, spec: &ApplicationSpec, source: &SourceSpec) -> bool {
        let Some(paths) = spec.annotations.get(GENERATE_PATHS).filter(|_| !self.files.is_empty()) else {
            return true;
        };
        paths.split(';').map(str::trim).filter(|path| !path.is_empty()).any(|path| {
            let whole = match path.strip_prefix('/') {
                Some(absolute) => absolute.to_owned(),
                None => normal(&format!("{}/{path}", source.path)),
            };
            let below = |file: &String| whole.is_empty() || *file == whole || file.starts_with(&format!("{whole}/"));
            self.files.iter().any(below)
        })
    }
}

/// Host and path of a repository, the same for https, ssh and scp forms.
fn address(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let (authority, slashed) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, path) = match authority.split_once(':') {
        // A port, or the first part of an scp-like path.
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, slashed.to_owned()),
        Some((host, first)) => (host, format!("{first}/{slashed}")),
        None => (authority, slashed.to_owned()),
    };
    format!("{host}/{}", path.trim_end_matches('/').trim_end_matches(".git")).to_lowercase()
}

fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
