//! Telegram's own numbers as types of their own, so that a chat is never taken for a message.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A chat: positive for private chats (equal to the person's id), negative for groups, supergroups and channels.
    ChatId
);
number!(
    /// A message inside one chat. Unique only together with its chat.
    MessageId
);
number!(
    /// A topic of a forum. Never 1: the General topic is addressed by leaving the topic out.
    ThreadId
);

impl ChatId {
    /// Whether it is the private chat with one person.
    pub const fn is_private(self) -> bool {
        self.0 > 0
    }
}
