//! Opening the file: the same promises on every connection, migrations, and the refusals.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqliteConnection, SqlitePool};

use crate::{StoreError, sql};

/// Every migration, embedded.
pub(crate) static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// Older ones can damage a file that two connections write and checkpoint at once (fixed in 3.51.3).
const SQLITE_MIN: (u32, u32, u32) = (3, 51, 3);
/// "CSGN", set by the first migration.
const APPLICATION_ID: i64 = 1_129_531_214;
/// How long to wait for another process's write: a command's transaction takes milliseconds, a slow disk seconds.
const BUSY: Duration = Duration::from_secs(15);
/// Up to this size a file is read whole for damage at every start; beyond it the start must not depend on history, so the check runs beside the service.
const CHECKED_BYTES: i64 = 16 << 20;
/// The write-ahead log is cut back to this size after a checkpoint, in bytes.
const WAL_BYTES: &str = "67108864";
/// More than the number of different statements, so that each is prepared once per connection.
const STATEMENTS: usize = 256;

pub(crate) struct Opened {
    pub writer: SqliteConnection,
    pub readers: SqlitePool,
    /// Whether the file was read whole for damage.
    pub checked: bool,
}

pub(crate) async fn open(path: &Path, readers: u32) -> Result<Opened, StoreError> {
    create(path)?;
    let mut writer = connect(path).await?;
    refuse_strangers(path, &mut writer).await?;
    let checked = check_small(&mut writer).await?;
    MIGRATIONS.run(&mut writer).await.map_err(|error| StoreError::Open {
        path: path.to_owned(),
        why: format!("its schema cannot be brought up to date: {error}; restore the backup from before the upgrade"),
    })?;
    let readers = SqlitePoolOptions::new()
        .max_connections(readers)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_connect(|connection, _| Box::pin(async move { keeps_promises(connection).await.map_err(sqlx::Error::Protocol) }))
        .connect_with(options(path).read_only(true))
        .await
        .map_err(sql::failed)?;
    Ok(Opened { writer, readers, checked })
}

/// A connection that may write, with every promise checked.
pub(crate) async fn connect(path: &Path) -> Result<SqliteConnection, StoreError> {
    let mut connection = options(path)
        .journal_mode(SqliteJournalMode::Wal)
        .connect()
        .await
        .map_err(|error| at_open(path, sql::failed(error)))?;
    keeps_promises(&mut connection).await.map_err(|why| StoreError::Open {
        path: path.to_owned(),
        why,
    })?;
    Ok(connection)
}

/// A read-only connection outside of the pool, for a file that need not be in use: a backup.
pub(crate) async fn reader(path: &Path) -> Result<SqliteConnection, StoreError> {
    options(path).read_only(true).connect().await.map_err(sql::failed)
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY)
        .pragma("trusted_schema", "OFF")
        .pragma("journal_size_limit", WAL_BYTES)
        .statement_cache_capacity(STATEMENTS)
        .disable_statement_logging()
}

/// Asks the connection itself: an acknowledged commit must survive a power cut, on every connection, whatever the defaults of a build are.
async fn keeps_promises(connection: &mut SqliteConnection) -> Result<(), String> {
    type Answers = (String, i64, i64, i64, String);
    let (version, synchronous, foreign_keys, trusted_schema, journal): Answers = sqlx::query_as(
        "select sqlite_version(), (select synchronous from pragma_synchronous), (select foreign_keys from pragma_foreign_keys),
                (select trusted_schema from pragma_trusted_schema), (select journal_mode from pragma_journal_mode)",
    )
    .fetch_one(connection)
    .await
    .map_err(|error| error.to_string())?;
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    let mut number = || numbers.next().unwrap_or(0);
    if (number(), number(), number()) < SQLITE_MIN {
        let (major, minor, patch) = SQLITE_MIN;
        return Err(format!(
            "SQLite {version} may damage it: build with {major}.{minor}.{patch} or newer"
        ));
    }
    if synchronous != 2 || foreign_keys != 1 || trusted_schema != 0 || journal != "wal" {
        return Err(format!(
            "a connection does not keep its promises (synchronous={synchronous}, foreign_keys={foreign_keys}, \
             trusted_schema={trusted_schema}, journal_mode={journal}); is the file system able to hold a write-ahead log?"
        ));
    }
    Ok(())
}

/// The file holds the agents' words and the hashes of their tokens: for its owner only. SQLite gives the same mode to its side files.
fn create(path: &Path) -> Result<(), StoreError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path).and_then(|file| durable(&file, path)) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StoreError::Open {
            path: path.to_owned(),
            why: format!("{error}; its directory must exist and be writable for the service"),
        }),
    }
}

/// A file that was just made keeps its name through a power cut only once its directory is on disk.
pub(crate) fn durable(file: &std::fs::File, path: &Path) -> std::io::Result<()> {
    file.sync_all()?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    std::fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn at_open(path: &Path, error: StoreError) -> StoreError {
    match error {
        StoreError::Database { why } => StoreError::Open {
            path: path.to_owned(),
            why,
        },
        other => other,
    }
}

async fn refuse_strangers(path: &Path, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let (application, tables, migrated): (i64, i64, i64) = sqlx::query_as(
        "select (select application_id from pragma_application_id),
                (select count(*) from sqlite_schema where name not like '\\_sqlx\\_%' escape '\\' and name not like 'sqlite\\_%' escape '\\'),
                (select count(*) from sqlite_schema where name = '_sqlx_migrations')",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(sql::failed)?;
    if tables > 0 && application != APPLICATION_ID {
        return Err(StoreError::Open {
            path: path.to_owned(),
            why: "it is the database of another program; name another file".to_owned(),
        });
    }
    if migrated == 0 {
        return Ok(());
    }
    let found: Option<i64> = sqlx::query_scalar("select max(version) from _sqlx_migrations")
        .fetch_one(connection)
        .await
        .map_err(sql::failed)?;
    let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    match found {
        Some(found) if found > known => Err(StoreError::Newer {
            path: path.to_owned(),
            found,
            known,
        }),
        _ => Ok(()),
    }
}

async fn check_small(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    let bytes: i64 = sqlx::query_scalar("select (select page_count from pragma_page_count) * (select page_size from pragma_page_size)")
        .fetch_one(&mut *connection)
        .await
        .map_err(sql::failed)?;
    if bytes > CHECKED_BYTES {
        return Ok(false);
    }
    whole(connection).await?;
    Ok(true)
}

/// Reads the whole file for damage.
pub(crate) async fn whole(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let found: String = sqlx::query_scalar("pragma quick_check(1)")
        .fetch_one(connection)
        .await
        .map_err(sql::failed)?;
    if found == "ok" {
        Ok(())
    } else {
        Err(StoreError::Corrupt { why: found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_connection_keeps_its_promises_and_readers_only_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut opened = open(&dir.path().join("store.db"), 3).await.expect("opens");
        let mut readers = Vec::new();
        for _ in 0..3 {
            readers.push(opened.readers.acquire().await.expect("a reader"));
        }
        let mut all: Vec<&mut SqliteConnection> = readers.iter_mut().map(|reader| &mut **reader).collect();
        all.push(&mut opened.writer);
        for connection in all {
            keeps_promises(connection).await.expect("keeps its promises");
            let synchronous: i64 = sqlx::query_scalar("pragma synchronous")
                .fetch_one(connection)
                .await
                .expect("answers");
            assert_eq!(synchronous, 2);
        }
        for reader in &mut readers {
            let refused = sqlx::query("delete from meta").execute(&mut **reader).await.expect_err("read-only");
            assert!(refused.to_string().contains("readonly"), "{refused}");
        }
    }

    /// The check above must be able to fail.
    #[tokio::test]
    async fn a_connection_that_would_lose_commits_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("store.db");
        create(&path).expect("creates");
        for pragma in [
            "pragma synchronous = normal",
            "pragma foreign_keys = off",
            "pragma trusted_schema = on",
        ] {
            let mut connection = connect(&path).await.expect("connects");
            sqlx::raw_sql(pragma).execute(&mut connection).await.expect(pragma);
            let why = keeps_promises(&mut connection).await.expect_err(pragma);
            assert!(why.contains("does not keep its promises"), "{why}");
        }
    }
}
