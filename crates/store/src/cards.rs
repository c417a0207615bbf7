//! Cards on Telegram and their send attempts.

use domain::{ProposalId, Timestamp};
use sqlx::SqliteConnection;

use crate::model::{Card, CardState, NewCard};
use crate::{StoreError, Tx};

impl Tx {
    /// Stores a card in state `sending`, before it is sent; answers it with its id.
    pub async fn put_card(&mut self, card: &NewCard) -> Result<Card, StoreError> {
        let _ = card;
        todo!()
    }
    /// Telegram confirmed the card (or a tap revealed it): it is `shown` unless it is superseded or gone already. A message id that is known already is kept when `None` is not given.
    pub async fn confirm_card(&mut self, card_id: i64, message: i64, document: Option<i64>) -> Result<(), StoreError> {
        let _ = (card_id, message, document);
        todo!()
    }
    /// Sets where a card is.
    pub async fn set_card_state(&mut self, card_id: i64, state: CardState) -> Result<(), StoreError> {
        let _ = (card_id, state);
        todo!()
    }
    /// Notes which version of the proposal the card shows now.
    pub async fn set_shown(&mut self, card_id: i64, version: u64) -> Result<(), StoreError> {
        let _ = (card_id, version);
        todo!()
    }
    /// Marks the `sending` and `shown` cards of all other revisions as superseded; answers how many.
    pub async fn supersede_cards(&mut self, proposal: ProposalId, except: u32) -> Result<u64, StoreError> {
        let _ = (proposal, except);
        todo!()
    }
    /// A group became a supergroup: its cards live under the new chat id.
    pub async fn migrate_chat(&mut self, from: i64, to: i64) -> Result<(), StoreError> {
        let _ = (from, to);
        todo!()
    }
}

pub(crate) async fn card_count_since(connection: &mut SqliteConnection, chat: i64, since: Timestamp) -> Result<u64, StoreError> {
    let _ = (connection, chat, since);
    todo!()
}
pub(crate) async fn cards(connection: &mut SqliteConnection, proposal: ProposalId) -> Result<Vec<Card>, StoreError> {
    let _ = (connection, proposal);
    todo!()
}
pub(crate) async fn card_by_nonce(connection: &mut SqliteConnection, nonce: &str) -> Result<Option<Card>, StoreError> {
    let _ = (connection, nonce);
    todo!()
}
pub(crate) async fn cards_by_message(connection: &mut SqliteConnection, chat: i64, message: i64) -> Result<Option<Card>, StoreError> {
    let _ = (connection, chat, message);
    todo!()
}
pub(crate) async fn open_cards(connection: &mut SqliteConnection) -> Result<Vec<Card>, StoreError> {
    let _ = connection;
    todo!()
}
