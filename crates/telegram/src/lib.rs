//! Telegram: client, cards, callback codec, typed inbound updates and the delivery queue. Knows no use case and no table.
