//! The ledger in a file of the data directory.

use std::path::Path;
use std::time::Duration;

use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::database::Database;
use crate::error::{Class, Error, Result};

/// Released migrations never change.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "ledger", include_str!("sql/0001_ledger.sql")),
    (2, "warehouses", include_str!("sql/0002_warehouses.sql")),
    (3, "queue", include_str!("sql/0003_queue.sql")),
];

/// How long a write waits for another process's write.
const BUSY: Duration = Duration::from_secs(10);

/// Opens the file, making it and its tables where they are missing.
pub(super) async fn open(data_dir: &Path, path: &Path) -> Result<Database> {
    let options = options(path);
    let failed = |error: sqlx::Error| {
        Error::operator(format!("failed to open the ledger {}", path.display()))
            .caused_by(error)
            .hint("check that the data directory is writable and has space, or pass another --data-dir")
    };
    // Neither the migrations nor the change to WAL wait for each other, and two shells may begin
    // at once.
    let turn = take_turn(data_dir).await?;
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(options.clone())
        .await
        .map_err(failed)?;
    migrator().run(&writer).await.map_err(|error| {
        let hint = if matches!(
            error,
            sqlx::migrate::MigrateError::VersionMissing(_)
                | sqlx::migrate::MigrateError::VersionMismatch(_)
        ) {
            "it was written by another version of prefill: use that one, or another --data-dir"
        } else {
            "check that the data directory is writable and has space, or pass another --data-dir"
        };
        Error::operator(format!("failed to prepare the ledger {}", path.display()))
            .caused_by(error)
            .hint(hint)
    })?;
    drop(turn);
    let reader = SqlitePoolOptions::new()
        .max_connections(4)
        .connect_with(options)
        .await
        .map_err(failed)?;
    Ok(Database::Sqlite {
        path: path.to_path_buf(),
        writer,
        reader,
    })
}

/// Waits until no other process migrates this directory's ledger; the turn ends with the file.
async fn take_turn(data_dir: &Path) -> Result<std::fs::File> {
    let path = data_dir.join("migrate.lock");
    let doing = format!("failed to lock {}", path.display());
    let locked = tokio::task::spawn_blocking(move || {
        let file = std::fs::File::create(path)?;
        file.lock()?;
        Ok::<_, std::io::Error>(file)
    });
    match locked.await {
        Ok(Ok(file)) => Ok(file),
        Ok(Err(error)) => Err(Error::operator(doing).caused_by(error).hint(
            "check that the data directory is writable and has space, or pass another --data-dir",
        )),
        Err(panic) => Err(Error::new(Class::Never, doing).caused_by(panic)),
    }
}

pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    use sqlx::ConnectOptions as _;
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // A claim that a power cut forgets is made again; a fill is found by looking at the tables.
        .synchronous(SqliteSynchronous::Normal)
        .foreign_keys(true)
        .busy_timeout(BUSY)
        .disable_statement_logging()
}

fn migrator() -> Migrator {
    let migrations = MIGRATIONS.iter().map(|(version, name, sql)| {
        Migration::new(
            *version,
            (*name).into(),
            MigrationType::Simple,
            SqlStr::from_static(sql),
            false,
        )
    });
    Migrator::with_migrations(migrations.collect())
}
