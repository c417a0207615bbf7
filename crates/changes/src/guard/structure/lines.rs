//! Files that are read line by line: templates before they are rendered, Terraform, and `KEY=value` files.

use super::super::sink::Sink;
use super::super::template::steering;
use super::hint::Owner;
use super::quoted;
use super::references::{Place, has_sops_lines, is_reference};
use super::words::{is_secret, likeness};

/// Longest line that is looked at here; the secret patterns look at all of it.
const LINE_MAX: usize = 4_096;

/// Bytes of a collection in flow style that is looked at here.
const FLOW_MAX: usize = 16 << 10;

/// Work per byte and per line.
const BYTE: usize = 5;
const LINE: usize = 250;

/// Lines `KEY=value`, `key = "value"`, `key: value`.
pub(in crate::guard) fn assignments(text: &str, shift: usize, rule: &str, owner: &Owner, sink: &mut Sink<'_>) {
    if !spend(text, sink) {
        return;
    }
    let sops = has_sops_lines(text);
    for (nth, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.len() > LINE_MAX || line.starts_with(['#', ';']) || line.starts_with("//") {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some(at) = line.find(['=', ':']) else { continue };
        let key = line[..at].trim().trim_matches(['"', '\'']);
        let value = literal(line[at + 1..].trim_start_matches(['=', ':', '>']));
        found(Place { key, sops }, value, nth + 1 + shift, rule, owner, sink);
    }
}

/// Whether a text is worth reading as a file: a manifest, JSON, or a line that gives a secret-like key a value. Prose is none of it.
pub(super) fn may_assign(text: &str, sink: &Sink<'_>) -> bool {
    let key = |line: &str| {
        let line = line.trim().trim_start_matches("- ").trim_start_matches("export ");
        let key = line.split(['=', ':']).next().filter(|key| key.len() < line.len());
        let key = key.map(|key| key.trim().trim_matches(['"', '\'']));
        key.is_some_and(|key| key == "apiVersion" || (is_plain(key) && likeness(key).is_some()))
    };
    spend(text, sink) && (text.trim_start().starts_with(['{', '[']) || text.lines().any(key))
}

/// Whether a text begins as a manifest or a configuration does, and no document that shows one.
pub(super) fn begins_as_yaml(text: &str) -> bool {
    let known = [
        "apiVersion",
        "kind",
        "metadata",
        "clusters",
        "users",
        "context",
        "contexts",
        "machine",
        "cluster",
    ];
    let first = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#') && *line != "---");
    let begins = first.is_some_and(|line| {
        let key = line.split_once(':').map(|(key, _)| key.trim().trim_matches('"'));
        line.starts_with('{') || key.is_some_and(|key| known.contains(&key))
    });
    begins && !text.contains("\n```")
}

/// A template or a file that is no YAML: keys with literals, and what stands below data and stringData of a Secret.
pub(in crate::guard) fn template(text: &str, owner: &Owner, sink: &mut Sink<'_>) {
    if !spend(text, sink) {
        return;
    }
    let mut first = 1;
    for document in text.split("\n---") {
        let secret = document
            .lines()
            .any(|line| matches!(line.trim_end(), "kind: Secret" | "kind: \"Secret\"" | "kind: 'Secret'"));
        template_document(document, first, secret, owner, sink);
        first += document.matches('\n').count() + 1;
    }
}

fn template_document(text: &str, first: usize, secret: bool, owner: &Owner, sink: &mut Sink<'_>) {
    let owner = Owner {
        kind: if secret { "Secret".to_owned() } else { owner.kind.clone() },
        ..owner.clone()
    };
    let sops = has_sops_lines(text);
    let mut data: Option<usize> = None;
    let mut block: Option<(usize, String)> = None;
    let mut name = String::new();
    let (mut begins, mut looked_at) = (0, 0);
    for (nth, line) in text.split_inclusive('\n').enumerate() {
        let at = first + nth;
        let ends = begins + line.trim_end().len();
        begins += line.len();
        if ends <= looked_at {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let mut body = line.trim();
        if body.len() > LINE_MAX {
            continue;
        }
        // What steers is no entry: the `:=` of a range would pass for one.
        while let Some((action, behind)) = steering(body) {
            if let Some((key, value)) = assigned(action) {
                found(Place { key, sops }, value, at, "structure.values", &owner, sink);
            }
            body = behind.trim_start();
        }
        if body.is_empty() || body.starts_with('#') {
            continue;
        }
        if let Some((outer, key)) = &block {
            if indent > *outer {
                if !is_reference(body, Place { key, sops }) {
                    secret_line(key, at, body, &owner, sink);
                }
                continue;
            }
            block = None;
        }
        if data.is_some_and(|outer| indent <= outer && !body.starts_with("{{")) {
            data = None;
        }
        let item = body.strip_prefix("- ").unwrap_or(body).trim_start();
        if let Some(flow) = opens_flow(item).and_then(|()| collection(&text[ends - item.len()..], sink)) {
            looked_at = ends - item.len() + flow.len();
            super::fragment(flow, at - 1, &owner, sink);
            continue;
        }
        let Some((key, value)) = item.split_once(':') else { continue };
        let key = key.trim().trim_matches(['"', '\'']);
        let value = value.trim();
        if let Some(flow) = opens_flow(value).and_then(|()| collection(&text[ends - value.len()..], sink)) {
            looked_at = ends - value.len() + flow.len();
            let kind = if secret { "apiVersion: v1, kind: Secret, " } else { "" };
            // A Secret's entry that is a collection is a literal as any other.
            let key = if data.is_some() { "stringData" } else { key };
            let key = if is_plain(key) { key } else { "value" };
            super::fragment(&format!("{{{kind}{key}: {flow}}}"), at - 1, &owner, sink);
            continue;
        }
        if secret && matches!(key, "data" | "stringData") && value.is_empty() {
            data = Some(indent);
        } else if data.is_some() {
            if value.starts_with(['|', '>']) {
                block = Some((indent, key.to_owned()));
            } else if !is_reference(literal(value), Place { key, sops }) {
                secret_line(key, at, literal(value), &owner, sink);
            }
        } else if key == "name" {
            literal(value).clone_into(&mut name);
        } else if key == "value" && likeness(&name).is_some() {
            found(Place { key: &name, sops }, literal(value), at, "structure.env", &owner, sink);
        } else if !value.starts_with(['|', '>', '&', '*', '!', '{', '[']) || value.starts_with("{{") {
            found(Place { key, sops }, literal(value), at, "structure.values", &owner, sink);
        }
    }
}

/// The variable that an action gives a literal to: `{{ $password := "…" }}`, `{% set password = "…" %}`.
fn assigned(action: &str) -> Option<(&str, &str)> {
    let body = action.trim_start_matches(['{', '%', '-']).trim_start();
    let (name, value) = body.strip_prefix("set ").unwrap_or(body).split_once('=')?;
    let name = name.trim_end_matches(':').trim().trim_start_matches('$');
    let value = value.trim_start();
    (is_plain(name) && value.starts_with(['"', '\'', '`'])).then(|| (name, literal(value)))
}

/// Whether a value begins as a mapping or list in flow style, and not as an action.
fn opens_flow(value: &str) -> Option<()> {
    let flow = value.starts_with(['{', '[']) && !value.starts_with("{{") && !value.starts_with("{%");
    flow.then_some(())
}

/// The collection in flow style with which a text begins, to its closing bracket.
fn collection<'t>(text: &'t str, sink: &Sink<'_>) -> Option<&'t str> {
    let text = &text[..text.floor_char_boundary(FLOW_MAX)];
    let (mut open, mut quote) = (0_usize, None);
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (Some(end), byte) if byte == end => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'{' | b'[') => open += 1,
            (None, b'}' | b']') => open = open.saturating_sub(1),
            _ => {}
        }
        if open == 0 {
            return sink.work.spend_on(super::MISSED, at * BYTE).then(|| &text[..=at]);
        }
    }
    sink.work.spend_on(super::MISSED, text.len() * BYTE);
    None
}

fn secret_line(key: &str, line: usize, value: &str, owner: &Owner, sink: &mut Sink<'_>) {
    if sink.is_full("structure.secret") {
        return;
    }
    sink.hide(value);
    let message = format!("a Secret holds {} literally", quoted(key));
    sink.put_unless_standing(
        "structure.secret",
        (line, line),
        message,
        owner.infisical(Some(key).filter(|key| is_plain(key))),
    );
}

/// Terraform: literals under secret-like names, whatever block they stand in; a provider block says so.
pub(in crate::guard) fn terraform(text: &str, sink: &mut Sink<'_>) {
    if !spend(text, sink) {
        return;
    }
    let mut blocks: Vec<String> = Vec::new();
    for (nth, line) in text.lines().enumerate() {
        let body = line.trim();
        if body.len() > LINE_MAX || body.starts_with(['#']) || body.starts_with("//") {
            continue;
        }
        if let Some((key, value)) = body.split_once('=').filter(|(_, value)| !value.starts_with('=')) {
            let key = key.trim().trim_matches('"');
            // The default of a variable is a value of that variable.
            let variable = blocks
                .last()
                .and_then(|block| block.strip_prefix("variable "))
                .filter(|_| key == "default");
            let key = variable.map_or(key, |name| name.trim_matches(['"', ' ']));
            let value = value.trim();
            if value.starts_with('"') && !value.starts_with("\"${") {
                let like = likeness(key);
                let value = literal(value);
                if like.is_some_and(|like| is_secret(like, value, false, Place { key, sops: false }))
                    && !sink.is_full("structure.terraform")
                {
                    sink.hide(value);
                    let place = blocks.last().map_or_else(String::new, |block| format!(" in {block}"));
                    let message = format!("a literal under {}{place}", quoted(key));
                    let hint = "read it from the environment (TF_VAR_…), a data source of the secret store, or an ephemeral resource; what was sent must be replaced";
                    sink.put_unless_standing("structure.terraform", (nth + 1, nth + 1), message, hint);
                }
            }
        }
        let opens = body.matches('{').count();
        let closes = body.matches('}').count();
        if opens > closes && blocks.len() < 64 {
            let head: String = body
                .trim_end_matches('{')
                .trim()
                .chars()
                .filter(|c| !c.is_control())
                .take(80)
                .collect();
            let known = ["provider ", "variable ", "resource ", "data ", "module ", "backend "]
                .iter()
                .any(|word| head.starts_with(word));
            blocks.push(if known { head } else { "a block".to_owned() });
        } else if closes > opens {
            blocks.truncate(blocks.len().saturating_sub(closes - opens));
        }
    }
}

/// Whether the lines of a text may be looked at.
fn spend(text: &str, sink: &Sink<'_>) -> bool {
    let lines = text.bytes().filter(|byte| *byte == b'\n').count();
    sink.work.spend_on(super::MISSED, text.len() * BYTE + lines * LINE)
}

fn found(place: Place<'_>, value: &str, line: usize, rule: &str, owner: &Owner, sink: &mut Sink<'_>) {
    let key = place.key;
    let name = key.rsplit([' ', '.']).next().unwrap_or(key);
    if sink.is_full(rule) || !is_plain(name) || !likeness(key).is_some_and(|like| is_secret(like, value, true, place)) {
        return;
    }
    sink.hide(value);
    let message = format!("{} holds a literal under {}", owner.words(), quoted(key));
    sink.put_unless_standing(rule, (line, line), message, owner.infisical(Some(name)));
}

fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.len() <= 100 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// A value without quotes and without a comment behind it.
fn literal(value: &str) -> &str {
    let value = value.trim().trim_end_matches(',');
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote) {
            return inner.split(quote).next().unwrap_or(inner);
        }
    }
    if value.starts_with("{{") {
        return value;
    }
    value.split(" #").next().unwrap_or(value).trim_end()
}
