//! The bot itself: who it is, its commands, its webhook.

use serde_json::{Value, json};

use super::Reply;
use crate::telegram::json;
use crate::telegram::refusal::Refusal;
use crate::telegram::request::Params;
use crate::telegram::state::State;
use crate::telegram::updates::Webhook;

pub(super) fn get_me(state: &mut State, _: &Params) -> Reply {
    let mut value = json::user(&state.bot);
    for (flag, set) in [
        ("can_join_groups", true),
        ("can_read_all_group_messages", !state.privacy_mode),
        ("supports_inline_queries", false),
        ("can_connect_to_business", false),
        ("has_main_web_app", false),
    ] {
        value[flag] = json!(set);
    }
    Ok(value)
}

fn scope(params: &Params) -> String {
    let scope = params.text("scope");
    format!(
        "{}{}",
        if scope.is_empty() { "{\"type\":\"default\"}" } else { scope },
        params.text("language_code")
    )
}

pub(super) fn set_my_commands(state: &mut State, params: &Params) -> Reply {
    let commands = match params.document("commands") {
        Ok(Some(Value::Array(commands))) => commands,
        Ok(None) => Vec::new(),
        Ok(Some(_)) => return Err(Refusal::bad("expected an Array of BotCommand")),
        Err(_) => return Err(Refusal::bad("can't parse commands JSON object")),
    };
    if commands.len() > 100 {
        return Err(Refusal::bad("BOT_COMMANDS_TOO_MUCH"));
    }
    for command in &commands {
        let field = |name: &str| command.get(name).and_then(Value::as_str).unwrap_or_default();
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if field("command").is_empty() || field("command").len() > 32 || !field("command").chars().all(letters) {
            return Err(Refusal::bad("BOT_COMMAND_INVALID"));
        }
        if field("description").is_empty() || field("description").chars().count() > 256 {
            return Err(Refusal::bad("BOT_COMMAND_DESCRIPTION_INVALID"));
        }
    }
    state.commands.insert(scope(params), Value::Array(commands));
    Ok(json!(true))
}

pub(super) fn get_my_commands(state: &mut State, params: &Params) -> Reply {
    Ok(state.commands.get(&scope(params)).cloned().unwrap_or_else(|| json!([])))
}

pub(super) fn delete_my_commands(state: &mut State, params: &Params) -> Reply {
    state.commands.remove(&scope(params));
    Ok(json!(true))
}

pub(super) fn set_webhook(state: &mut State, params: &Params) -> Reply {
    let address = params.text("url");
    if address.is_empty() {
        return delete_webhook(state, params);
    }
    let parsed = url::Url::parse(address).map_err(|_| Refusal::bad("invalid webhook URL specified"))?;
    check_address(&parsed)?;
    let secret = params.text("secret_token");
    if secret.len() > 256 {
        return Err(Refusal::bad("secret token is too long"));
    }
    if !secret
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    {
        return Err(Refusal::bad("secret token contains unallowed characters"));
    }
    update_allowed(state, params);
    if params.flag("drop_pending_updates") {
        state.updates.clear();
    }
    let connections = usize::try_from(params.integer("max_connections")).unwrap_or(0);
    state.webhook = Webhook {
        url: address.to_owned(),
        secret: (!secret.is_empty()).then(|| secret.to_owned()),
        max_connections: if connections == 0 { 40 } else { connections.min(100) },
        generation: state.webhook.generation + 1,
        last_error: None,
    };
    state.updates.ended_by_webhook = true;
    state.updates.poll = None;
    Ok(json!(true))
}

/// The public server wants TLS on four ports. For addresses of this machine the rules of a local Bot API server hold: plain HTTP, any port.
fn check_address(address: &url::Url) -> Result<(), Refusal> {
    let local = match address.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if local {
        return Ok(());
    }
    if address.scheme() != "https" {
        return Err(Refusal::bad("bad webhook: An HTTPS URL must be provided for webhook"));
    }
    if ![443, 80, 88, 8443].contains(&address.port_or_known_default().unwrap_or(0)) {
        return Err(Refusal::bad("bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443"));
    }
    Ok(())
}

pub(super) fn delete_webhook(state: &mut State, params: &Params) -> Reply {
    if params.flag("drop_pending_updates") {
        state.updates.clear();
    }
    state.webhook = Webhook {
        generation: state.webhook.generation + 1,
        ..Webhook::default()
    };
    Ok(json!(true))
}

pub(super) fn get_webhook_info(state: &mut State, _: &Params) -> Reply {
    let webhook = &state.webhook;
    let mut value = json!({
        "url": webhook.url,
        "has_custom_certificate": false,
        "pending_update_count": state.pending_updates(),
    });
    if !webhook.url.is_empty() {
        value["max_connections"] = json!(webhook.max_connections);
    }
    if let Some((date, message)) = &webhook.last_error {
        value["last_error_date"] = json!(date);
        value["last_error_message"] = json!(message);
    }
    if !state.updates.allowed.is_empty() {
        value["allowed_updates"] = json!(state.updates.allowed);
    }
    Ok(value)
}

/// `allowed_updates` stays as it was when absent; an empty list means the default kinds.
pub(in crate::telegram) fn update_allowed(state: &mut State, params: &Params) {
    if let Ok(Some(Value::Array(kinds))) = params.document("allowed_updates") {
        state.updates.allowed = kinds.iter().filter_map(|kind| kind.as_str().map(str::to_owned)).collect();
    }
}
