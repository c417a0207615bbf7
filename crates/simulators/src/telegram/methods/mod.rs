//! The methods a bot of this kind uses; everything else is refused as an unknown method is.

mod chats;
mod messages;
mod settings;

use serde_json::Value;

use super::model::{Access, ChatKind};
use super::refusal::Refusal;
use super::request::Params;
use super::state::{ChatState, State};

pub(super) use chats::member;
pub(super) use settings::update_allowed;

pub(super) type Reply = Result<Value, Refusal>;

/// Carries out one method.
type Run = fn(&mut State, &Params) -> Reply;

/// The methods answered here, in the Bot API's spelling. `getUpdates` waits and is answered by the server itself.
const METHODS: [(&str, Run); 18] = [
    ("getMe", settings::get_me),
    ("setMyCommands", settings::set_my_commands),
    ("getMyCommands", settings::get_my_commands),
    ("deleteMyCommands", settings::delete_my_commands),
    ("setWebhook", settings::set_webhook),
    ("deleteWebhook", settings::delete_webhook),
    ("getWebhookInfo", settings::get_webhook_info),
    ("sendMessage", messages::send_message),
    ("sendDocument", messages::send_document),
    ("sendPhoto", messages::send_photo),
    ("editMessageText", messages::edit_text),
    ("editMessageCaption", messages::edit_caption),
    ("editMessageReplyMarkup", messages::edit_markup),
    ("deleteMessage", messages::delete_message),
    ("answerCallbackQuery", messages::answer_query),
    ("setMessageReaction", messages::set_reaction),
    ("getChat", chats::get_chat),
    ("getChatMember", chats::get_chat_member),
];

/// The method that also exists but is handled elsewhere.
pub(super) const GET_UPDATES: &str = "getUpdates";

/// The Bot API's spelling of a method name in any case, if it is supported.
pub(super) fn canonical(name: &str) -> Option<&'static str> {
    let pinned = ["pinChatMessage", "unpinChatMessage", "sendChatAction", GET_UPDATES];
    METHODS
        .iter()
        .map(|(known, _)| *known)
        .chain(pinned)
        .find(|known| known.eq_ignore_ascii_case(name))
}

/// Carries a call out.
pub(super) fn execute(state: &mut State, method: &str, params: &Params) -> Reply {
    match method {
        "pinChatMessage" => messages::pin(state, params, true),
        "unpinChatMessage" => messages::pin(state, params, false),
        "sendChatAction" => chats::send_action(state, params),
        _ => match METHODS.iter().find(|(known, _)| *known == method) {
            Some((_, run)) => run(state, params),
            None => Err(Refusal::new(404, "Not Found: method not found")),
        },
    }
}

/// How much a call needs of a chat.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    Read,
    Edit,
    Write,
}

/// The chat of `chat_id` if the bot may do this there, else the server's refusal.
fn chat<'a>(state: &'a State, params: &Params, need: Need) -> Result<&'a ChatState, Refusal> {
    let id = params.text("chat_id");
    if id.is_empty() {
        return Err(Refusal::bad("chat_id is empty"));
    }
    let known = state.chat(id.parse().unwrap_or(0))?;
    if known.upgraded_to.is_some_and(|_| need == Need::Edit) {
        return Err(Refusal::bad("message can't be edited"));
    }
    if let (Some(to), Need::Write) = (known.upgraded_to, need) {
        return Err(Refusal::migrated(to));
    }
    let place = match known.chat.kind {
        ChatKind::Private => "private chat",
        ChatKind::Group => "group chat",
        ChatKind::Supergroup => "supergroup chat",
        ChatKind::Channel => "channel chat",
    };
    // In a basic group the bot may still read after it was removed; elsewhere it may not even do that.
    let concerned = need >= Need::Edit || known.chat.kind != ChatKind::Group;
    match known.access {
        Access::Kicked if concerned => Err(Refusal::forbidden(&format!("bot was kicked from the {place}"))),
        Access::NotMember if concerned => Err(Refusal::forbidden(&format!("bot is not a member of the {place}"))),
        Access::Deactivated if need >= Need::Edit => Err(Refusal::forbidden("user is deactivated")),
        Access::Blocked if need == Need::Write => Err(Refusal::forbidden("bot was blocked by the user")),
        Access::NeverStarted if need == Need::Write => Err(Refusal::forbidden("bot can't initiate conversation with a user")),
        Access::NoRights if need == Need::Write => Err(Refusal::bad("not enough rights to send text messages to the chat")),
        _ => Ok(known),
    }
}

/// The message a call names with `chat_id` and `message_id`; `what` is the server's word for it.
fn message_id(state: &State, params: &Params, need: Need, what: &str) -> Result<(i64, i64), Refusal> {
    let chat = chat(state, params, need)?.chat.id;
    let id = params.integer("message_id");
    match state.message(chat, id) {
        Some(message) if !message.deleted => Ok((chat, id)),
        _ => Err(Refusal::bad(format!("{what} not found"))),
    }
}
