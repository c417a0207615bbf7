//! Telegram: client, cards, callback codec, typed inbound updates and the delivery queue. Knows no use case and no table.
//!
//! - [`Card`] and [`render()`]: display facts in, one message with buttons out. Pure.
//! - [`encode`] and [`decode`]: what a button carries.
//! - [`Inbound`], [`poll()`] and [`Webhook`]: updates in; the offset or the webhook's answer advances only after the handler returned Ok.
//! - [`Queue`]: messages out, one lane per chat.
//! - [`Client`] and [`SendError`]: the wire, with errors told apart by what to do next.

mod calls;
mod card;
mod client;
mod codec;
mod error;
mod ids;
mod inbound;
mod lane;
mod pace;
mod poll;
mod probe;
mod render;
mod text;
mod webhook;

mod queue;

pub use calls::{Bot, CommandScope};
pub use card::{
    ApplicationLine, Binary, Button, Card, CardKind, CheckLine, CheckMark, CodeStep, CommitLine, ConfirmStep, Decided, Document, Explained,
    FileLine, OrderPost, Press, Progress, Rendered, Requirement, Style, Superseded,
};
pub use client::{Client, ClientError, ClientOptions, Standing, Trouble};
pub use codec::{Action, DATA_BYTES_MAX, InvalidData, Nonce, decode, encode};
pub use error::SendError;
pub use ids::{ChatId, MessageId, ThreadId};
pub use inbound::{ALLOWED_UPDATES, Command, Inbound, MASKS, Membership, Sender, Tap, Text};
pub use poll::{PollOptions, poll};
pub use probe::{Probe, probe};
pub use queue::{Limits, Queue, SentMessage};
pub use render::{
    DIGEST_RUNS_MAX, Notice, PictureError, RenderOptions, Square, alarm, digest, fate, full_diff, list, message, notice, offer, order,
    picture, render,
};
pub use webhook::Webhook;
