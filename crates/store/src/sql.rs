//! Small shared pieces of every query: error mapping and the conversions between columns and domain types.

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
