//! Cards on Telegram and their send attempts.

use domain::{ProposalId, Timestamp};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow as _, Row as _};

use crate::model::{Card, CardKind, CardState, NewCard};
use crate::{StoreError, Tx, sql};

impl Tx {
    /// Stores a card in state `sending`, before it is sent; answers it with its id.
    pub async fn put_card(&mut self, card: &NewCard) -> Result<Card, StoreError> {
        let stored = sqlx::query(
            "insert into cards (proposal, revision, digest, chat, thread, nonce, attempt, kind, state, shown_version, sent_at)
             values (?, ?, ?, ?, ?, ?, ?, ?, 'sending', ?, ?) returning *",
        )
        .bind(card.proposal.to_string())
        .bind(card.revision)
        .bind(card.digest.to_string())
        .bind(card.chat)
        .bind(card.thread)
        .bind(&card.nonce)
        .bind(card.attempt)
        .bind(card.kind.as_str())
        .bind(sql::big(card.shown_version))
        .bind(sql::micros(card.sent_at))
        .fetch_one(self.connection()?)
        .await
        .map_err(sql::failed);
        self.wrote = true;
        decode(&self.noted(stored)?)
    }

    /// Telegram confirmed the card, or a tap revealed it: it is `shown`, unless it is superseded or gone by now. A document that is known
    /// already is kept when none is given.
    pub async fn confirm_card(&mut self, card_id: i64, message: i64, document: Option<i64>) -> Result<(), StoreError> {
        self.execute(
            sqlx::query(
                "update cards set message = ?, document = ifnull(?, document), state = iif(state = 'sending', 'shown', state) where id = ?",
            )
            .bind(message)
            .bind(document)
            .bind(card_id),
        )
        .await?;
        Ok(())
    }

    /// Sets where a card is.
    pub async fn set_card_state(&mut self, card_id: i64, state: CardState) -> Result<(), StoreError> {
        self.execute(
            sqlx::query("update cards set state = ? where id = ?")
                .bind(state.as_str())
                .bind(card_id),
        )
        .await?;
        Ok(())
    }

    /// Notes which version of the proposal the card shows now; never goes back.
    pub async fn set_shown(&mut self, card_id: i64, version: u64) -> Result<(), StoreError> {
        self.execute(
            sqlx::query("update cards set shown_version = max(shown_version, ?) where id = ?")
                .bind(sql::big(version))
                .bind(card_id),
        )
        .await?;
        Ok(())
    }

    /// Notes since when the card has its present form.
    pub async fn set_shown_at(&mut self, card_id: i64, at: Timestamp) -> Result<(), StoreError> {
        self.execute(
            sqlx::query("update cards set shown_at = ? where id = ?")
                .bind(sql::micros(at))
                .bind(card_id),
        )
        .await?;
        Ok(())
    }

    /// Marks the `sending` and `shown` cards of all other revisions as superseded; answers how many.
    pub async fn supersede_cards(&mut self, proposal: ProposalId, except: u32) -> Result<u64, StoreError> {
        self.execute(
            sqlx::query("update cards set state = 'superseded' where proposal = ? and revision <> ? and state in ('sending', 'shown')")
                .bind(proposal.to_string())
                .bind(except),
        )
        .await
    }

    /// A group became a supergroup: its cards live under the new chat id.
    pub async fn migrate_chat(&mut self, from: i64, to: i64) -> Result<(), StoreError> {
        self.execute(sqlx::query("update cards set chat = ? where chat = ?").bind(to).bind(from))
            .await?;
        Ok(())
    }
}

pub(crate) const COUNT_SINCE: &str = "select count(*) from cards where chat = ? and sent_at >= ?";

pub(crate) async fn card_count_since(connection: &mut SqliteConnection, chat: i64, since: Timestamp) -> Result<u64, StoreError> {
    let found = sqlx::query_scalar(COUNT_SINCE)
        .bind(chat)
        .bind(sql::micros(since))
        .fetch_one(connection)
        .await;
    found.map(sql::count).map_err(sql::failed)
}

pub(crate) const BY_PROPOSAL: &str = "select * from cards where proposal = ? order by id";

pub(crate) async fn cards(connection: &mut SqliteConnection, proposal: ProposalId) -> Result<Vec<Card>, StoreError> {
    let rows = sqlx::query(BY_PROPOSAL).bind(proposal.to_string()).fetch_all(connection).await;
    rows.map_err(sql::failed)?.iter().map(decode).collect()
}

pub(crate) const BY_NONCE: &str = "select * from cards where nonce = ?";

pub(crate) async fn card_by_nonce(connection: &mut SqliteConnection, nonce: &str) -> Result<Option<Card>, StoreError> {
    let row = sqlx::query(BY_NONCE).bind(nonce).fetch_optional(connection).await;
    row.map_err(sql::failed)?.as_ref().map(decode).transpose()
}

// Message ids start anew when a group becomes a supergroup, so one pair may name two cards: the newest is the one on the screen.
pub(crate) const BY_MESSAGE: &str = "select * from cards where chat = ? and message = ? order by id desc limit 1";

pub(crate) async fn cards_by_message(connection: &mut SqliteConnection, chat: i64, message: i64) -> Result<Option<Card>, StoreError> {
    let row = sqlx::query(BY_MESSAGE).bind(chat).bind(message).fetch_optional(connection).await;
    row.map_err(sql::failed)?.as_ref().map(decode).transpose()
}

// `cross join` keeps the order of the loops: from the few open proposals to their cards, never over all cards.
pub(crate) const OPEN: &str =
    "select cards.* from proposals indexed by proposals_open_newest cross join cards on cards.proposal = proposals.id
 where proposals.outcome is null and cards.state in ('sending', 'shown') order by cards.id";

pub(crate) async fn open_cards(connection: &mut SqliteConnection) -> Result<Vec<Card>, StoreError> {
    let rows = sqlx::query(OPEN).fetch_all(connection).await;
    rows.map_err(sql::failed)?.iter().map(decode).collect()
}

/// The columns as they come.
#[derive(sqlx::FromRow)]
struct Columns {
    id: i64,
    proposal: String,
    revision: i64,
    digest: String,
    chat: i64,
    thread: Option<i64>,
    message: Option<i64>,
    document: Option<i64>,
    nonce: String,
    attempt: i64,
    kind: String,
    state: String,
    shown_version: i64,
    sent_at: i64,
    shown_at: Option<i64>,
}

fn decode(row: &SqliteRow) -> Result<Card, StoreError> {
    let place = row.try_get::<i64, _>("id").unwrap_or_default().to_string();
    let columns = Columns::from_row(row).map_err(sql::failed)?;
    Ok(Card {
        id: columns.id,
        proposal: sql::id(&columns.proposal)?,
        revision: sql::small("card revision", columns.revision)?,
        digest: sql::hash(&columns.digest)?,
        chat: columns.chat,
        thread: columns.thread,
        message: columns.message,
        document: columns.document,
        nonce: columns.nonce,
        attempt: sql::small("card attempt", columns.attempt)?,
        kind: CardKind::parse(&columns.kind).ok_or_else(|| sql::undecodable("kind of card", &place, &columns.kind))?,
        state: CardState::parse(&columns.state).ok_or_else(|| sql::undecodable("state of card", &place, &columns.state))?,
        shown_version: sql::count(columns.shown_version),
        sent_at: sql::time(columns.sent_at)?,
        shown_at: columns.shown_at.map(sql::time).transpose()?,
    })
}
