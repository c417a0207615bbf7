//! The Telegram simulator as teloxide meets it: every answer parses, and the errors are the ones a client branches on.

use simulators::telegram::{Access, Chat, ChatKind, Fault, Tap, TelegramOptions, TelegramSim, User};
use teloxide::payloads::{EditMessageTextSetters, GetUpdatesSetters, SendDocumentSetters, SendMessageSetters};
use teloxide::prelude::{Bot, Request, Requester};
use teloxide::types::{
    BotCommand, ChatId, InlineKeyboardButton, InlineKeyboardMarkup, InputFile, MessageId, ParseMode, ReplyParameters, ThreadId, UpdateKind,
    UserId,
};
use teloxide::{ApiError, RequestError};

const FORUM: i64 = -1_001_000_000_002;
const GROUP: i64 = -77;
const CHANNEL: i64 = -1_001_000_000_003;
const ALICE: i64 = 501;

async fn start() -> (TelegramSim, Bot) {
    let options = TelegramOptions::default();
    let sim = TelegramSim::start(options.clone()).await.expect("a free port");
    for (id, kind, topics) in [
        (FORUM, ChatKind::Supergroup, vec![7]),
        (GROUP, ChatKind::Group, vec![]),
        (CHANNEL, ChatKind::Channel, vec![]),
        (ALICE, ChatKind::Private, vec![]),
    ] {
        sim.add_chat(Chat {
            id,
            kind,
            title: "Ops".to_owned(),
            topics,
        });
    }
    sim.add_user(User {
        id: ALICE,
        name: "alice".to_owned(),
        username: Some("alice".to_owned()),
        is_bot: false,
    });
    let bot = Bot::new(options.token).set_api_url(sim.url().parse().expect("an address"));
    (sim, bot)
}

fn keyboard() -> InlineKeyboardMarkup {
    InlineKeyboardMarkup::new([[InlineKeyboardButton::callback("Approve", "v1:a:x")]])
}

#[tokio::test]
async fn every_answer_parses() {
    let (sim, bot) = start().await;
    assert_eq!(bot.get_me().await.expect("me").user.username.as_deref(), Some("countersign_bot"));
    bot.set_my_commands([BotCommand::new("pending", "What waits")])
        .await
        .expect("commands");
    assert_eq!(sim.commands(), [("pending".to_owned(), "What waits".to_owned())]);
    for chat in [FORUM, GROUP, CHANNEL, ALICE] {
        assert_eq!(bot.get_chat(ChatId(chat)).await.expect("a chat").id, ChatId(chat));
        let sent = bot
            .send_message(ChatId(chat), "<b>card</b>")
            .parse_mode(ParseMode::Html)
            .reply_markup(keyboard())
            .await
            .expect("sent");
        let edited = bot
            .edit_message_text(ChatId(chat), sent.id, "<i>done</i>")
            .parse_mode(ParseMode::Html)
            .await
            .expect("edited");
        assert_eq!((edited.id, edited.text()), (sent.id, Some("done")));
        let file = InputFile::memory("+a\n").file_name("prp.diff");
        let document = bot
            .send_document(ChatId(chat), file)
            .caption("diff")
            .reply_parameters(ReplyParameters::new(sent.id))
            .await;
        assert_eq!(
            document
                .expect("a document")
                .document()
                .and_then(|document| document.file_name.clone())
                .as_deref(),
            Some("prp.diff")
        );
        bot.edit_message_reply_markup(ChatId(chat), sent.id)
            .reply_markup_with(keyboard())
            .await
            .expect("a keyboard");
        bot.pin_chat_message(ChatId(chat), sent.id).await.expect("pinned");
        bot.delete_message(ChatId(chat), sent.id).await.expect("deleted");
    }
    let topic = bot
        .send_message(ChatId(FORUM), "x")
        .message_thread_id(ThreadId(MessageId(7)))
        .await
        .expect("sent to the topic");
    assert_eq!(topic.thread_id, Some(ThreadId(MessageId(7))));
    for standing in ["creator", "administrator", "member", "left", "kicked"] {
        sim.set_member(FORUM, ALICE, standing);
        bot.get_chat_member(ChatId(FORUM), UserId(501)).await.expect("a member");
    }
    bot.get_webhook_info().await.expect("webhook info");
    assert_eq!(sim.spec_violations(), Vec::<String>::new());
}

/// `edit_message_reply_markup(..).reply_markup(..)` without importing one more trait at every use.
trait WithMarkup {
    fn reply_markup_with(self, markup: InlineKeyboardMarkup) -> Self;
}

impl WithMarkup for <Bot as Requester>::EditMessageReplyMarkup {
    fn reply_markup_with(self, markup: InlineKeyboardMarkup) -> Self {
        teloxide::payloads::EditMessageReplyMarkupSetters::reply_markup(self, markup)
    }
}

#[tokio::test]
async fn every_update_parses() {
    let (sim, bot) = start().await;
    let card = bot
        .send_message(ChatId(GROUP), "card")
        .reply_markup(keyboard())
        .await
        .expect("sent")
        .id
        .0;
    sim.queue_tap(Tap::new(ALICE, GROUP, card.into(), "v1:a:x"));
    sim.queue_tap(Tap {
        inaccessible: true,
        ..Tap::new(ALICE, GROUP, card.into(), "v1:a:x")
    });
    sim.queue_tap(Tap {
        inline_message_id: Some("AAA".to_owned()),
        ..Tap::new(ALICE, GROUP, card.into(), "v1:a:x")
    });
    sim.queue_tap(Tap {
        forwarded: true,
        ..Tap::new(ALICE, GROUP, card.into(), "v1:a:x")
    });
    sim.send_text(ALICE, GROUP, "/pending", Some(card.into()));
    sim.send_anonymously(FORUM, "/pending", None);
    sim.send_as_chat(FORUM, CHANNEL, "/pending");
    sim.send_as_chat(CHANNEL, CHANNEL, "post");
    sim.block(ALICE);
    sim.set_access(FORUM, Access::NotMember);
    sim.migrate(GROUP, -1_001_000_000_009);
    let updates = bot.get_updates().offset(0).send().await.expect("updates");
    let unread: Vec<_> = updates
        .iter()
        .filter(|update| matches!(update.kind, UpdateKind::Error(_)))
        .collect();
    assert!(unread.is_empty(), "{unread:?}");
    let taps = updates
        .iter()
        .filter(|update| matches!(update.kind, UpdateKind::CallbackQuery(_)))
        .count();
    let memberships = updates
        .iter()
        .filter(|update| matches!(update.kind, UpdateKind::MyChatMember(_)))
        .count();
    assert_eq!((updates.len(), taps, memberships), (12, 4, 2));
    assert_eq!(sim.spec_violations(), Vec::<String>::new());
}

#[tokio::test]
async fn errors_are_the_ones_clients_branch_on() {
    let (sim, bot) = start().await;
    let send = |chat: i64| bot.send_message(ChatId(chat), "x");
    let sent = send(FORUM).await.expect("sent").id;
    let api = |result: Result<_, RequestError>| match result {
        Err(RequestError::Api(error)) => error,
        other => panic!("no API error: {other:?}"),
    };
    assert_eq!(
        api(bot.edit_message_text(ChatId(FORUM), sent, "x").await),
        ApiError::MessageNotModified
    );
    assert_eq!(
        api(bot.edit_message_text(ChatId(FORUM), MessageId(99), "x").await),
        ApiError::MessageToEditNotFound
    );
    assert_eq!(
        api(bot.edit_message_text(ChatId(FORUM), sent, "x".repeat(4097)).await),
        ApiError::EditedMessageIsTooLong
    );
    assert_eq!(
        api(bot.send_message(ChatId(FORUM), "x".repeat(4097)).await),
        ApiError::MessageIsTooLong
    );
    assert!(matches!(
        api(bot.send_message(ChatId(FORUM), "<x>").parse_mode(ParseMode::Html).await),
        ApiError::CantParseEntities(_)
    ));
    assert_eq!(api(send(-5).await), ApiError::ChatNotFound);
    sim.block(ALICE);
    assert_eq!(api(send(ALICE).await), ApiError::BotBlocked);
    sim.fail_next("sendMessage", Fault::TooManyRequests { retry_after: 9 }, 1);
    assert!(matches!(send(FORUM).await, Err(RequestError::RetryAfter(wait)) if wait.seconds() == 9));
    sim.migrate(GROUP, -1_001_000_000_009);
    assert!(matches!(
        send(GROUP).await,
        Err(RequestError::MigrateToChatId(ChatId(-1_001_000_000_009)))
    ));
    sim.fail_next("sendMessage", Fault::Garbage, 1);
    assert!(matches!(send(FORUM).await, Err(RequestError::InvalidJson { .. })));
    sim.fail_next("sendMessage", Fault::LoseAnswer, 1);
    assert!(matches!(send(FORUM).await, Err(RequestError::Network(_))));
}
