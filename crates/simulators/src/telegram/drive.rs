//! The other side of the phone: what a test or the demo page reads, taps, writes and breaks.

use std::time::Duration;

use serde_json::{Value, json};

use super::methods::member;
use super::model::{ANONYMOUS_ADMIN, Access, ButtonAction, Call, Chat, ChatKind, Fault, Message, Tap, TapOutcome, Tapper, User};
use super::state::{ChatState, State, UPDATE_LIFE};
use super::{TelegramSim, json};

/// How long a tap waits for its answer unless the test says otherwise (real time; generous for slow machines).
const TAP_DEADLINE: Duration = Duration::from_secs(30);

/// The world: chats, people, time.
impl TelegramSim {
    /// Adds a chat (or replaces it, keeping its messages).
    pub fn add_chat(&self, chat: Chat) {
        self.shared().write(|state| {
            let place = state.chats.get(&chat.id).map_or(state.chats.len(), |known| known.place);
            let known = ChatState {
                access: Access::Open,
                closed_topics: Vec::new(),
                upgraded_to: None,
                place,
                members: Default::default(),
                chat,
            };
            state.chats.insert(known.chat.id, known);
        });
    }

    /// Adds a person. Private chats are added with [`TelegramSim::add_chat`] under the person's id.
    pub fn add_user(&self, user: User) {
        self.shared().write(|state| state.users.insert(user.id, user));
    }

    /// The chats, in the order in which they were added.
    pub fn chats(&self) -> Vec<Chat> {
        let mut chats: Vec<(usize, Chat)> = self
            .shared()
            .read(|state| state.chats.values().map(|known| (known.place, known.chat.clone())).collect());
        chats.sort_by_key(|(place, _)| *place);
        chats.into_iter().map(|(_, chat)| chat).collect()
    }

    /// The people and bots, by id; the bot itself is among them.
    pub fn users(&self) -> Vec<User> {
        self.shared().read(|state| state.users.values().cloned().collect())
    }

    /// The bot's own account.
    pub fn bot(&self) -> User {
        self.shared().read(|state| state.bot.clone())
    }

    /// Sets what `getChatMember` says of a person: `creator`, `administrator`, `member`, `left` or `kicked` (default `member`), and tells the bot (`chat_member`).
    pub fn set_member(&self, chat: i64, user: i64, standing: &str) {
        self.shared().write(|state| {
            let Some(known) = state.chats.get_mut(&chat) else { return };
            let before = known
                .members
                .insert(user, standing.to_owned())
                .unwrap_or_else(|| "member".to_owned());
            membership(state, "chat_member", chat, user, &before, standing);
        });
    }

    /// Switches the bot's privacy mode (default on: in groups it hears only commands, replies to it and mentions).
    pub fn set_privacy_mode(&self, on: bool) {
        self.shared().write(|state| state.privacy_mode = on);
    }

    /// Moves the simulator's clock forward: taps expire after [`super::TAP_LIFE`], other updates after [`super::UPDATE_LIFE`], deleting ends after [`super::DELETE_LIFE`].
    pub fn advance(&self, by: Duration) {
        self.shared().write(|state| state.skip(by));
    }

    /// Unix seconds on the simulator's clock.
    pub fn now(&self) -> i64 {
        self.shared().read(State::now)
    }

    /// Upgrades a group: the old id refuses with `migrate_to_chat_id`, both chats get their service message. Old messages stay behind.
    pub fn migrate(&self, chat: i64, new_chat: i64) {
        self.shared().write(|state| {
            let Some(old) = state.chats.get_mut(&chat) else { return };
            old.upgraded_to = Some(new_chat);
            let upgraded = ChatState {
                chat: Chat {
                    id: new_chat,
                    kind: ChatKind::Supergroup,
                    ..old.chat.clone()
                },
                access: old.access,
                closed_topics: Vec::new(),
                upgraded_to: None,
                place: old.place,
                members: old.members.clone(),
            };
            state.chats.insert(new_chat, upgraded);
            let to = ("migrate_to_chat_id", new_chat, "Group upgraded to a supergroup");
            service_message(state, chat, to);
            service_message(state, new_chat, ("migrate_from_chat_id", chat, "Supergroup created from a group"));
        });
    }

    /// Blocks the bot: 403 from now on, and `my_chat_member` tells it. In a private chat "blocked by the user", elsewhere "kicked".
    pub fn block(&self, chat: i64) {
        let private = self
            .shared()
            .read(|state| state.chats.get(&chat).is_some_and(|known| known.chat.kind == ChatKind::Private));
        self.set_access(chat, if private { Access::Blocked } else { Access::Kicked });
    }

    /// Lets the bot in again.
    pub fn unblock(&self, chat: i64) {
        self.set_access(chat, Access::Open);
    }

    /// Sets what the bot may do in a chat, and tells it when its membership changed.
    pub fn set_access(&self, chat: i64, access: Access) {
        self.shared().write(|state| {
            let Some(known) = state.chats.get_mut(&chat) else { return };
            let before = std::mem::replace(&mut known.access, access);
            if let (Some(before), Some(after)) = (standing(before), standing(access))
                && before != after
            {
                let bot = state.bot.id;
                membership(state, "my_chat_member", chat, bot, before, after);
            }
        });
    }

    /// Closes a forum topic: sending there is refused with `TOPIC_CLOSED`.
    pub fn close_topic(&self, chat: i64, topic: i64) {
        self.with_chat(chat, |known| known.closed_topics.push(topic));
    }

    /// Opens it again.
    pub fn reopen_topic(&self, chat: i64, topic: i64) {
        self.with_chat(chat, |known| known.closed_topics.retain(|closed| *closed != topic));
    }

    /// Deletes a forum topic with its messages.
    pub fn delete_topic(&self, chat: i64, topic: i64) {
        self.shared().write(|state| {
            if let Some(known) = state.chats.get_mut(&chat) {
                known.chat.topics.retain(|existing| *existing != topic);
            }
            let gone: Vec<i64> = state
                .messages(chat)
                .iter()
                .filter(|message| message.thread == Some(topic))
                .map(|message| message.id)
                .collect();
            for id in gone {
                if let Some(message) = state.message_mut(chat, id) {
                    message.deleted = true;
                }
            }
        });
    }

    /// An administrator deletes a message. Bots are not told.
    pub fn delete_message(&self, chat: i64, message_id: i64) {
        self.shared().write(|state| {
            if let Some(message) = state.message_mut(chat, message_id) {
                message.deleted = true;
            }
        });
    }

    fn with_chat(&self, chat: i64, change: impl FnOnce(&mut ChatState)) {
        self.shared().write(|state| {
            if let Some(known) = state.chats.get_mut(&chat) {
                change(known);
            }
        });
    }
}

/// The bot's standing that an access means; `None` where membership is not what changed.
fn standing(access: Access) -> Option<&'static str> {
    match access {
        Access::Open => Some("member"),
        Access::Blocked | Access::Kicked => Some("kicked"),
        Access::NotMember => Some("left"),
        Access::Deactivated | Access::NeverStarted | Access::NoRights => None,
    }
}

fn membership(state: &mut State, kind: &str, chat: i64, user: i64, before: &str, after: &str) {
    let subject = json::sender(state, user);
    let from = if chat > 0 { json::sender(state, chat) } else { subject.clone() };
    let body = json!({
        "chat": json::chat_by_id(state, chat),
        "from": from,
        "date": state.now(),
        "old_chat_member": member(before, subject.clone()),
        "new_chat_member": member(after, subject),
    });
    let now = state.now_ms();
    state.updates.push(kind, body, now, UPDATE_LIFE, chat);
}

fn service_message(state: &mut State, chat: i64, (field, value, words): (&str, i64, &str)) {
    let mut message = state.blank_message(chat, Some(ANONYMOUS_ADMIN));
    message.sender_chat = Some(chat);
    message.service = Some(words.to_owned());
    let id = state.store(message);
    let Some(message) = state.message(chat, id) else { return };
    let mut body = json::message(state, message, false);
    body[field] = json!(value);
    let now = state.now_ms();
    state.updates.push("message", body, now, UPDATE_LIFE, chat);
}

/// The screen.
impl TelegramSim {
    /// The messages of a chat as they stand now, oldest first; deleted ones are included and marked.
    pub fn messages(&self, chat: i64) -> Vec<Message> {
        self.shared().read(|state| state.messages(chat).to_vec())
    }

    /// One message.
    pub fn message(&self, chat: i64, id: i64) -> Option<Message> {
        self.shared().read(|state| state.message(chat, id).cloned())
    }

    /// Every request so far, oldest first; with a name only those of that method, in any case.
    pub fn calls(&self, method: Option<&str>) -> Vec<Call> {
        self.shared().read(|state| state.calls(method).cloned().collect())
    }

    /// The commands the bot set for the default scope, as `(command, description)`.
    pub fn commands(&self) -> Vec<(String, String)> {
        let text = |command: &Value, name: &str| command[name].as_str().unwrap_or_default().to_owned();
        let pair = |command: &Value| (text(command, "command"), text(command, "description"));
        self.shared().read(|state| {
            let default = state.commands.iter().find(|(scope, _)| scope.contains("\"default\""));
            default
                .and_then(|(_, commands)| commands.as_array())
                .into_iter()
                .flatten()
                .map(pair)
                .collect()
        })
    }

    /// What was wrong, in requests or in our own answers, against the published Bot API; empty when all is well or nothing was checked.
    pub fn spec_violations(&self) -> Vec<String> {
        self.shared().read(|state| state.violations.clone())
    }

    /// Address of the webhook the bot set; empty without one.
    pub fn webhook_url(&self) -> String {
        self.shared().read(|state| state.webhook.url.clone())
    }

    /// Waits until `look` finds something in the state; `None` after `deadline` (real time). Wakes at every change.
    pub async fn wait_for<T>(&self, deadline: Duration, look: impl Fn(&State) -> Option<T>) -> Option<T> {
        self.shared().until(Some(deadline), look).await
    }

    /// A receiver whose value rises with every change: for live pages.
    pub fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.shared().revision.subscribe()
    }
}

/// The finger.
impl TelegramSim {
    /// Presses the button with this label on a message, and waits up to 30 s for the bot's answer.
    pub async fn tap(&self, user: i64, chat: i64, message_id: i64, button_text: &str) -> TapOutcome {
        self.tap_within(user, chat, message_id, button_text, TAP_DEADLINE).await
    }

    /// The same with another deadline (real time).
    pub async fn tap_within(&self, user: i64, chat: i64, message_id: i64, button_text: &str, deadline: Duration) -> TapOutcome {
        let pressed = self.shared().read(|state| press(state, chat, message_id, button_text));
        match pressed {
            Err(outcome) => outcome,
            Ok(data) => self.tap_data_within(Tap::new(user, chat, message_id, &data), deadline).await,
        }
    }

    /// Presses the button at this row and column (labels may repeat), with a deadline in real time.
    pub async fn tap_at(&self, user: i64, chat: i64, message_id: i64, place: (usize, usize), deadline: Duration) -> TapOutcome {
        let pressed = self.shared().read(|state| {
            let message = state.message(chat, message_id).filter(|message| !message.deleted);
            let button = message.and_then(|message| message.keyboard.get(place.0)?.get(place.1));
            button.map_or_else(
                || Err(TapOutcome::Missing(format!("no button at {place:?}"))),
                |button| effect(&button.action),
            )
        });
        match pressed {
            Err(outcome) => outcome,
            Ok(data) => self.tap_data_within(Tap::new(user, chat, message_id, &data), deadline).await,
        }
    }

    /// Sends a query that need not belong to any button — forged data, a foreign message, a stranger, a forwarded copy — and waits up to 30 s for the answer.
    pub async fn tap_data(&self, tap: Tap) -> TapOutcome {
        self.tap_data_within(tap, TAP_DEADLINE).await
    }

    /// The same with another deadline (real time).
    pub async fn tap_data_within(&self, tap: Tap, deadline: Duration) -> TapOutcome {
        let id = self.queue_tap(tap);
        self.tap_answer(&id, deadline).await
    }

    /// Queues a tap without waiting; returns the callback query's id.
    pub fn queue_tap(&self, tap: Tap) -> String {
        self.shared().write(|state| {
            let (Tapper::User(from) | Tapper::Stranger(from)) = tap.from;
            let body = query_body(state, &tap, from);
            state.queue_query(body, from)
        })
    }

    /// Presses a real button without waiting; `Err` when there is no such button or it sends no query.
    pub fn queue_press(&self, user: i64, chat: i64, message_id: i64, button_text: &str) -> Result<String, TapOutcome> {
        let data = self.shared().read(|state| press(state, chat, message_id, button_text))?;
        Ok(self.queue_tap(Tap::new(user, chat, message_id, &data)))
    }

    /// Waits for the answer to a queued tap.
    pub async fn tap_answer(&self, callback_id: &str, deadline: Duration) -> TapOutcome {
        let answer = self.shared().until(Some(deadline), |state| state.answer(callback_id).cloned());
        answer.await.unwrap_or(TapOutcome::Unanswered)
    }
}

/// The data a press on this button sends, or what happens without the bot.
fn press(state: &State, chat: i64, message_id: i64, button_text: &str) -> Result<String, TapOutcome> {
    let Some(message) = state.message(chat, message_id).filter(|message| !message.deleted) else {
        return Err(TapOutcome::Missing(format!("no message {message_id} in chat {chat}")));
    };
    match message.button(button_text) {
        Some(button) => effect(&button.action),
        None => Err(TapOutcome::Missing(format!(
            "no button {button_text:?}; there are: {}",
            message.keyboard_text()
        ))),
    }
}

/// The data that reaches the bot, or what the app does by itself.
fn effect(action: &ButtonAction) -> Result<String, TapOutcome> {
    match action {
        ButtonAction::Callback(data) => Ok(data.clone()),
        ButtonAction::Url(url) => Err(TapOutcome::Opened(url.clone())),
        ButtonAction::CopyText(text) => Err(TapOutcome::Copied(text.clone())),
        ButtonAction::Other(kind) => Err(TapOutcome::Missing(format!("a {kind} button does nothing here"))),
    }
}

fn query_body(state: &mut State, tap: &Tap, from: i64) -> Value {
    let mut body = json!({ "from": json::sender(state, from), "chat_instance": chat_instance(tap.chat) });
    if let Some(data) = &tap.data {
        body["data"] = json!(data);
    }
    if let Some(inline) = &tap.inline_message_id {
        body["inline_message_id"] = json!(inline);
        return body;
    }
    let copy = tap.forwarded.then(|| state.message(tap.chat, tap.message_id).cloned()).flatten();
    let shown = match copy {
        Some(mut copy) => {
            copy.forwarded = true;
            copy.from = Some(from);
            let id = state.store(copy);
            state.message(tap.chat, id)
        }
        None => state.message(tap.chat, tap.message_id),
    };
    body["message"] = match shown.filter(|message| !message.deleted && !tap.inaccessible) {
        Some(message) => json::message(state, message, true),
        None => json!({ "chat": json::chat_by_id(state, tap.chat), "message_id": tap.message_id, "date": 0 }),
    };
    body
}

/// The same text for the same chat, different for every other.
fn chat_instance(chat: i64) -> String {
    (chat.unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 1).to_string()
}

/// The keyboard.
impl TelegramSim {
    /// A person writes. Returns the message's number; the bot hears of it as far as privacy mode lets it.
    pub fn send_text(&self, user: i64, chat: i64, text: &str, reply_to: Option<i64>) -> i64 {
        self.write_message(chat, Some(user), None, text, reply_to)
    }

    /// An anonymous administrator writes: `from` is GroupAnonymousBot, `sender_chat` the group.
    pub fn send_anonymously(&self, chat: i64, text: &str, reply_to: Option<i64>) -> i64 {
        self.write_message(chat, Some(ANONYMOUS_ADMIN), Some(chat), text, reply_to)
    }

    /// A channel writes in a group, or a post appears in a channel (then `chat` and `sender_chat` are the same).
    pub fn send_as_chat(&self, chat: i64, sender_chat: i64, text: &str) -> i64 {
        let from = (chat != sender_chat).then_some(super::CHANNEL_BOT);
        self.write_message(chat, from, Some(sender_chat), text, None)
    }

    fn write_message(&self, chat: i64, from: Option<i64>, sender_chat: Option<i64>, text: &str, reply_to: Option<i64>) -> i64 {
        self.shared().write(|state| {
            let mut message = state.blank_message(chat, from);
            message.sender_chat = sender_chat;
            message.html = text.to_owned();
            message.text = text.to_owned();
            message.reply_to = reply_to;
            message.thread = reply_to.and_then(|id| state.message(chat, id)).and_then(|original| original.thread);
            let heard = heard(state, &message);
            let id = state.store(message);
            if heard {
                state.queue_message(chat, id);
            }
            id
        })
    }
}

/// Whether privacy mode lets the bot hear a message.
fn heard(state: &State, message: &Message) -> bool {
    let Some(known) = state.chats.get(&message.chat) else {
        return false;
    };
    if matches!(known.access, Access::Kicked | Access::NotMember | Access::Blocked) || known.upgraded_to.is_some() {
        return false;
    }
    let in_group = matches!(known.chat.kind, ChatKind::Group | ChatKind::Supergroup);
    if !in_group || !state.privacy_mode {
        return true;
    }
    let own_name = format!("@{}", state.bot.username.as_deref().unwrap_or_default());
    let command = message.text.strip_prefix('/').and_then(|rest| rest.split_whitespace().next());
    let for_us = command.is_some_and(|command| !command.contains('@') || command.ends_with(&own_name));
    let answered = message.reply_to.and_then(|id| state.message(message.chat, id));
    for_us || message.text.contains(&own_name) || answered.is_some_and(|original| original.from == Some(state.bot.id))
}

/// The network cable.
impl TelegramSim {
    /// The next `times` calls of `method` (any case, `*` for all) go wrong like this. Plans for one method are used up in order.
    pub fn fail_next(&self, method: &str, fault: Fault, times: usize) {
        self.shared().write(|state| state.faults.plan(method, None, fault, times));
    }

    /// The same for calls with this `chat_id` only.
    pub fn fail_next_in(&self, chat: i64, method: &str, fault: Fault, times: usize) {
        self.shared().write(|state| state.faults.plan(method, Some(chat), fault, times));
    }

    /// Allows only so many sends and edits per period (on the simulator's clock) in one chat; the rest get 429 with the time to wait, as Telegram's flood limits do.
    pub fn limit_rate(&self, chat: i64, calls: usize, per: Duration) {
        let period_ms = i64::try_from(per.as_millis()).unwrap_or(i64::MAX);
        self.shared().write(|state| state.faults.limit(chat, calls, period_ms));
    }

    /// Lets every hanging call go on.
    pub fn release(&self) {
        self.shared().write(|state| state.faults.releases += 1);
    }

    /// Forgets all planned faults and limits, and releases what hangs.
    pub fn clear_faults(&self) {
        self.shared().write(|state| state.faults.clear());
    }

    /// Delivers an earlier update once more under its old number. False when there was none.
    pub fn redeliver(&self, update_id: i64) -> bool {
        self.shared().write(|state| {
            let now = state.now_ms();
            state.updates.again(update_id, now)
        })
    }

    /// The number of the newest update.
    pub fn last_update_id(&self) -> i64 {
        self.shared().read(|state| state.updates.newest())
    }

    /// Numbers of the updates that wait for the bot.
    pub fn waiting_updates(&self) -> Vec<i64> {
        self.shared()
            .read(|state| state.updates.pending(state.now_ms()).map(|queued| queued.id).collect())
    }

    /// Keeps updates back until [`TelegramSim::release_updates`].
    pub fn hold_updates(&self) {
        self.shared().write(|state| state.updates.held = true);
    }

    /// Delivers again, in this order first; updates not named follow as they came.
    pub fn release_updates(&self, order: &[i64]) {
        self.shared().write(|state| {
            state.updates.reorder(order);
            state.updates.held = false;
        });
    }

    /// Queues an update with any body under the next number, for what no phone would send; returns the number.
    pub fn push_update(&self, body: Value) -> i64 {
        self.shared().write(|state| {
            let now = state.now_ms();
            state.updates.push_raw(body, now)
        })
    }
}
