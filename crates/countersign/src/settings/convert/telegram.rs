//! `[telegram]`, and the chats that repositories name.

use chrono::NaiveTime;
use engine::{Destination, When};

use super::super::layers::DEFAULT;
use super::super::raw::{RawDestination, RawMode, RawTelegram, RawWebhook};
use super::super::{TelegramSettings, WebhookSettings};
use super::Checker;

/// Longest undo hold: people look at the card, and a longer one would be a second time-out to understand.
const HOLD_SECONDS_MAX: u32 = 30;
/// The route that Telegram's updates come in by.
const WEBHOOK_ROUTE: &str = "/telegram/webhook";
/// The ports that Telegram's servers call.
const WEBHOOK_PORTS: [u16; 4] = [443, 80, 88, 8443];

impl Checker<'_> {
    pub(super) fn telegram(&mut self, raw: RawTelegram) -> Option<TelegramSettings> {
        // The defaults alone do not mean that Telegram is wanted.
        if self.merged.layer("telegram") == DEFAULT {
            return None;
        }
        let token = self.needed("telegram.token", raw.token, raw.token_file);
        let api_url = self.url("telegram.api_url", &raw.api_url);
        let time_zone = raw.time_zone.parse();
        if time_zone.is_err() {
            let message = format!("{:?} is not a time zone", raw.time_zone);
            self.problem("telegram.time_zone", message, "write a name such as \"UTC\" or \"Europe/Vienna\"");
        }
        if raw.hold_seconds > HOLD_SECONDS_MAX {
            let message = format!("{} s is more than {HOLD_SECONDS_MAX} s", raw.hold_seconds);
            self.problem("telegram.hold_seconds", message, format!("write 0 (no hold) to {HOLD_SECONDS_MAX}"));
        }
        let webhook = match (raw.mode, raw.webhook) {
            (RawMode::Poll, None) => None,
            (RawMode::Poll, Some(_)) => {
                self.problem(
                    "telegram.webhook",
                    "it is configured, but telegram.mode is \"poll\"",
                    "write mode = \"webhook\", or take it out",
                );
                None
            }
            (RawMode::Webhook, None) => {
                self.problem(
                    "telegram.webhook",
                    "it is missing, but telegram.mode is \"webhook\"",
                    "add url and secret_file under [telegram.webhook]",
                );
                None
            }
            (RawMode::Webhook, Some(webhook)) => {
                let official = api_url.as_ref().is_some_and(|url| url.host_str() == Some("api.telegram.org"));
                self.webhook(webhook, official)
            }
        };
        Some(TelegramSettings {
            token: token?,
            api_url: api_url?,
            webhook,
            time_zone: time_zone.ok()?,
            hold_seconds: raw.hold_seconds,
        })
    }

    fn webhook(&mut self, raw: RawWebhook, official: bool) -> Option<WebhookSettings> {
        let secret = self.needed("telegram.webhook.secret", raw.secret, raw.secret_file);
        let url = self.url("telegram.webhook.url", &raw.url)?;
        if !url.path().ends_with(WEBHOOK_ROUTE) {
            let message = format!("its path does not end in {WEBHOOK_ROUTE}, the route that takes updates");
            self.problem(
                "telegram.webhook.url",
                message,
                format!("write for example https://countersign.example.com{WEBHOOK_ROUTE}"),
            );
        }
        // What Telegram's own servers call; a server of one's own may call anything. https://core.telegram.org/bots/api#setwebhook
        let port = url.port_or_known_default().unwrap_or_default();
        if official && (url.scheme() != "https" || !WEBHOOK_PORTS.contains(&port)) {
            self.problem(
                "telegram.webhook.url",
                "Telegram calls https addresses on port 443, 80, 88 or 8443 only",
                "let the ingress take it on one of these",
            );
        }
        Some(WebhookSettings { url, secret: secret? })
    }

    pub(super) fn destinations(&mut self, at: &str, raw: &[RawDestination]) -> Vec<Destination> {
        let mut destinations = Vec::new();
        for (index, place) in raw.iter().enumerate() {
            if place.chat == 0 {
                self.problem(
                    &format!("{at}[{index}].chat"),
                    "0 is no chat",
                    "write the chat's numeric id; /whoami in the chat tells it",
                );
            }
            match place.topic {
                Some(1) => self.problem(
                    &format!("{at}[{index}].topic"),
                    "1 is the General topic, which Telegram addresses by no topic at all",
                    "take the key out",
                ),
                Some(topic) if topic <= 0 => self.problem(
                    &format!("{at}[{index}].topic"),
                    format!("{topic} is no topic"),
                    "write the topic's positive id, or take the key out",
                ),
                _ => {}
            }
            destinations.push(Destination {
                chat: telegram::ChatId(place.chat),
                thread: place.topic.map(telegram::ThreadId),
                when: When {
                    digest: place
                        .digest
                        .as_deref()
                        .and_then(|text| self.time(&format!("{at}[{index}].digest"), text)),
                    quiet: place
                        .quiet
                        .as_deref()
                        .and_then(|text| self.quiet(&format!("{at}[{index}].quiet"), text)),
                },
            });
        }
        destinations
    }

    fn time(&mut self, key: &str, text: &str) -> Option<NaiveTime> {
        let time = NaiveTime::parse_from_str(text, "%H:%M").ok();
        if time.is_none() {
            self.problem(
                key,
                format!("{text:?} is no time of day"),
                "write for example \"18:00\", in telegram.timezone",
            );
        }
        time
    }

    fn quiet(&mut self, key: &str, text: &str) -> Option<(NaiveTime, NaiveTime)> {
        let times = text.split_once('-').and_then(|(from, to)| {
            let read = |text: &str| NaiveTime::parse_from_str(text.trim(), "%H:%M").ok();
            Some((read(from)?, read(to)?))
        });
        if times.is_none() {
            self.problem(
                key,
                format!("{text:?} are no quiet hours"),
                "write for example \"22:00-07:00\", in telegram.timezone",
            );
        }
        times
    }
}
