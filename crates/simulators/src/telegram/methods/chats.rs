//! Questions about chats.

use serde_json::{Value, json};

use super::{Need, Reply, chat};
use crate::telegram::json;
use crate::telegram::model::{Access, ChatKind};
use crate::telegram::refusal::Refusal;
use crate::telegram::request::Params;
use crate::telegram::state::State;

pub(super) fn get_chat(state: &mut State, params: &Params) -> Reply {
    let known = chat(state, params, Need::Read)?;
    let mut value = json::chat(state, &known.chat);
    value["accent_color_id"] = json!(0);
    value["max_reaction_count"] = json!(11);
    value["accepted_gift_types"] = json!({
        "unlimited_gifts": false,
        "limited_gifts": false,
        "unique_gifts": false,
        "premium_subscription": false,
        "gifts_from_channels": false,
    });
    if known.chat.kind == ChatKind::Group {
        value["permissions"] = json!({ "can_send_messages": true });
    }
    Ok(value)
}

pub(super) fn get_chat_member(state: &mut State, params: &Params) -> Reply {
    let known = chat(state, params, Need::Read)?;
    let id = params.integer("user_id");
    let user = state.users.get(&id).ok_or_else(|| Refusal::bad("user not found"))?;
    let is_bot = id == state.bot.id;
    let standing = match (is_bot, known.access) {
        (true, Access::Kicked) => "kicked",
        (true, Access::NotMember) => "left",
        _ => known.members.get(&id).map_or("member", String::as_str),
    };
    Ok(member(standing, json::user(user)))
}

/// A `ChatMember` of this standing with the fields the Bot API requires for it.
pub(in crate::telegram) fn member(standing: &str, user: Value) -> Value {
    let mut value = json!({ "status": standing, "user": user });
    let flags: &[&str] = match standing {
        "creator" => &["is_anonymous"],
        "administrator" => &[
            "can_be_edited",
            "is_anonymous",
            "can_manage_chat",
            "can_delete_messages",
            "can_manage_video_chats",
            "can_restrict_members",
            "can_promote_members",
            "can_change_info",
            "can_invite_users",
            "can_post_stories",
            "can_edit_stories",
            "can_delete_stories",
        ],
        _ => &[],
    };
    for flag in flags {
        value[*flag] = json!(false);
    }
    if standing == "kicked" {
        value["until_date"] = json!(0);
    }
    value
}

pub(super) fn send_action(state: &mut State, params: &Params) -> Reply {
    chat(state, params, Need::Write)?;
    if params.text("action").is_empty() {
        return Err(Refusal::bad("wrong parameter action in request"));
    }
    Ok(json!(true))
}
