//! Opening the file: pragmas on every connection, migrations, and the refusals.

use std::path::Path;

use sqlx::{SqliteConnection, SqlitePool};

use crate::StoreError;

pub(crate) struct Opened {
    pub writer: SqliteConnection,
    pub readers: SqlitePool,
}

pub(crate) async fn open(path: &Path, readers: u32) -> Result<Opened, StoreError> {
    let _ = (path, readers);
    todo!()
}
