//! Small shared pieces of every query: error mapping and the conversions between columns and domain types.

use domain::{ProposalId, Sha256Hash, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::StoreError;
use crate::error::Duplicate;

/// The library's error in our words.
pub(crate) fn failed(error: sqlx::Error) -> StoreError {
    let why = error.to_string();
    let Some(database) = error.as_database_error() else {
        return match error {
            sqlx::Error::PoolClosed => StoreError::Closed,
            _ => StoreError::Database { why },
        };
    };
    if database.is_unique_violation() {
        return StoreError::Duplicate(duplicate(database.message()));
    }
    // The low byte of SQLite's extended result code is the primary code.
    let code = database
        .code()
        .and_then(|code| code.parse::<i32>().ok())
        .map_or(0, |code| code & 0xff);
    match code {
        5 | 6 => StoreError::Busy { why },
        11 | 26 => StoreError::Corrupt { why },
        13 => StoreError::DiskFull { why },
        19 => StoreError::Constraint { why },
        _ => StoreError::Database { why },
    }
}

fn duplicate(message: &str) -> Duplicate {
    [
        ("proposals.commit_id", Duplicate::Observed),
        ("proposals.id", Duplicate::Proposal),
        ("answers.", Duplicate::IdempotencyKey),
        ("agents.name", Duplicate::Agent),
    ]
    .into_iter()
    .find(|(column, _)| message.contains(column))
    .map_or(Duplicate::Other, |(_, what)| what)
}

/// A moment as a column: microseconds since 1970. What is finer is cut off here; documents keep it.
pub(crate) const fn micros(at: Timestamp) -> i64 {
    at.timestamp_micros()
}

/// A moment from a column.
pub(crate) fn time(micros: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_timestamp_micros(micros).ok_or_else(|| undecodable("time", &micros.to_string(), "out of range"))
}

/// A proposal's id from a column.
pub(crate) fn id(text: &str) -> Result<ProposalId, StoreError> {
    text.parse().map_err(|error| undecodable("proposal id", text, error))
}

/// A hash from a column.
pub(crate) fn hash(text: &str) -> Result<Sha256Hash, StoreError> {
    text.parse().map_err(|error| undecodable("hash", text, error))
}

/// A JSON column as a value.
pub(crate) fn decode<T: DeserializeOwned>(what: &'static str, id: &str, json: &str) -> Result<T, StoreError> {
    serde_json::from_str(json).map_err(|error| undecodable(what, id, error))
}

/// A value as a JSON column.
pub(crate) fn encode<T: Serialize>(what: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| undecodable(what, "to be stored", error))
}

/// A column that this program cannot read.
pub(crate) fn undecodable(what: &'static str, id: &str, why: impl ToString) -> StoreError {
    StoreError::Undecodable {
        what,
        id: id.to_owned(),
        why: why.to_string(),
    }
}

/// A count from a column; SQLite counts are never negative.
pub(crate) fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// A small unsigned number from a column.
pub(crate) fn small<T: TryFrom<i64>>(what: &'static str, value: i64) -> Result<T, StoreError> {
    T::try_from(value).map_err(|_| undecodable(what, &value.to_string(), "out of range"))
}

/// A counter as a column. Counters rise by one, so the limit of the column is out of reach.
pub(crate) fn big(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
