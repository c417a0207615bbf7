//! Webhook mode: checking and reading what Telegram pushes. The route itself lives with the other routes; it answers 200 only after the
//! handler returned Ok, because that answer is the acknowledgement.

use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use crate::Inbound;

/// What a webhook route needs. The secret is fixed by the configuration: every replica accepts what any replica registered.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// The shared secret: 1 to 256 of `A-Z a-z 0-9 _ -`.
    secret: SecretString,
    /// The bot's username without `@`.
    bot_name: String,
}

impl Webhook {
    /// The header that carries the secret.
    pub const HEADER: &'static str = "x-telegram-bot-api-secret-token";

    /// Takes the secret and the bot's username (from [`crate::Client::get_me`]). None when the secret has a shape Telegram would refuse.
    pub fn new(secret: SecretString, bot_name: impl Into<String>) -> Option<Self> {
        let text = secret.expose_secret();
        let good = (1..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        good.then(|| Self {
            secret,
            bot_name: bot_name.into(),
        })
    }

    /// Whether the header holds our secret. Takes the same time whatever the difference.
    pub fn verify(&self, header: Option<&[u8]>) -> bool {
        header.is_some_and(|given| self.secret.expose_secret().as_bytes().ct_eq(given).into())
    }

    /// Reads the body: one update. What cannot be read is [`Inbound::Ignored`]: answer 200, or Telegram sends it again and again.
    pub fn parse(&self, body: &[u8]) -> Inbound {
        match serde_json::from_slice(body) {
            Ok(update) => Inbound::parse(&update, &self.bot_name),
            Err(error) => {
                // Whoever sent it has the secret. Only where it broke is told: the rest may be anything.
                let (line, column) = (error.line(), error.column());
                tracing::warn!(line, column, "an update to the webhook is not JSON; it is dropped");
                Inbound::Ignored {
                    update_id: 0,
                    why: "not JSON",
                }
            }
        }
    }

    /// The secret, for [`crate::Client::set_webhook`].
    pub fn secret(&self) -> &SecretString {
        &self.secret
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_secret_passes() {
        let hook = Webhook::new("s3cret_-A".to_owned().into(), "bot").expect("a good secret");
        assert!(hook.verify(Some(b"s3cret_-A")));
        for bad in [None, Some(&b""[..]), Some(b"s3cret_-"), Some(b"s3cret_-B"), Some(b"s3cret_-AA")] {
            assert!(!hook.verify(bad));
        }
        assert!(Webhook::new(String::new().into(), "bot").is_none());
        assert!(Webhook::new("ü".to_owned().into(), "bot").is_none());
        assert_eq!(
            hook.parse(b"{"),
            Inbound::Ignored {
                update_id: 0,
                why: "not JSON"
            }
        );
        assert!(!format!("{hook:?}").contains("s3cret"));
    }
}
