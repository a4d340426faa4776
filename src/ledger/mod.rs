//! The ledger: teams, slices and runs, durable. It is also the queue.
//!
//! SQLite in the data directory. Each change of a slice's state is one statement in `sql/`, named
//! for its transition; a write names the claim and the fence that it expects, and zero rows mean
//! that the claim is lost. The ledger's clock decides, never the caller's. Nothing here talks to a
//! warehouse, and no transaction outlives a call.

mod runs;
mod slices;
mod teams;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection as _, Row, SqlStr};

pub use runs::{Progress, Run};
pub use slices::{
    Claim, Claimed, Holder, Outcome, Reason, Receipt, Slice, State, Wanted, partition_of,
};
pub use teams::{NewTeam, Team, TeamChange};

use crate::error::{Class, Error, Result};

/// Released migrations never change.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "ledger", include_str!("sql/0001_ledger.sql")),
    (2, "warehouses", include_str!("sql/0002_warehouses.sql")),
];

/// How long a write waits for another process's write.
const BUSY: Duration = Duration::from_secs(10);

/// The durable record of every slice.
#[derive(Clone, Debug)]
pub struct Ledger {
    path: PathBuf,
    /// One connection: SQLite has one writer, and waiting for a connection is fairer than for a lock.
    writer: SqlitePool,
    reader: SqlitePool,
}

impl Ledger {
    /// The file of a data directory's ledger.
    pub fn file(data_dir: &Path) -> PathBuf {
        data_dir.join("prefill.db")
    }

    /// Opens the ledger of a data directory, making it and its tables where they are missing.
    ///
    /// # Errors
    ///
    /// [`Class::Operator`] when the directory cannot be written or the file is of a newer version.
    pub async fn open(data_dir: &Path) -> Result<Self> {
        let path = Self::file(data_dir);
        let options = options(&path);
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
        Ok(Self {
            path,
            writer,
            reader,
        })
    }

    /// Watches the file for changes by anyone, this process's own connections included.
    pub async fn watch(&self) -> Result<Watch> {
        let connection = options(&self.path)
            .connect()
            .await
            .map_err(|error| failed("watch the ledger", error))?;
        Ok(Watch {
            connection,
            seen: None,
        })
    }

    /// A number remembered under `name`.
    pub async fn mark(&self, name: &str) -> Result<Option<i64>> {
        let row = sqlx::query("select value from marks where name = $1")
            .bind(name)
            .fetch_optional(&self.reader)
            .await
            .map_err(|error| failed("read a mark", error))?;
        row.map(|row| column(&row, "value")).transpose()
    }

    /// Remembers a number under `name`.
    pub async fn set_mark(&self, name: &str, value: i64) -> Result<()> {
        sqlx::query("insert into marks (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value")
            .bind(name)
            .bind(value)
            .execute(&self.writer)
            .await
            .map_err(|error| failed("set a mark", error))?;
        Ok(())
    }
}

/// Tells whether anybody has committed to the ledger since the last look.
#[derive(Debug)]
pub struct Watch {
    connection: SqliteConnection,
    seen: Option<i64>,
}

impl Watch {
    /// True at the first look and whenever something was committed since the last one.
    pub async fn changed(&mut self) -> Result<bool> {
        let row = sqlx::query("pragma data_version")
            .fetch_one(&mut self.connection)
            .await
            .map_err(|error| failed("watch the ledger", error))?;
        let version: i64 = column(&row, "data_version")?;
        Ok(self.seen.replace(version) != Some(version))
    }

    /// Ends the watch.
    pub async fn close(self) -> Result<()> {
        self.connection
            .close()
            .await
            .map_err(|error| failed("end the watch of the ledger", error))
    }
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

fn options(path: &Path) -> SqliteConnectOptions {
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

/// A ledger error while `doing` something; it is mostly another process's lock or a full disk.
fn failed(doing: &str, error: sqlx::Error) -> Error {
    let full = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| matches!(code.as_ref(), "13" | "8" | "1032" | "10" | "778"));
    let class = if full { Class::Operator } else { Class::Later };
    let error = Error::new(class, format!("failed to {doing}")).caused_by(error);
    if full {
        error.hint(
            "check that the data directory is writable and has space, or pass another --data-dir",
        )
    } else {
        error
    }
}

/// A column of a row, by name.
fn column<'r, T>(row: &'r sqlx::sqlite::SqliteRow, name: &str) -> Result<T>
where
    T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    row.try_get(name).map_err(|error| {
        Error::new(
            Class::Never,
            format!("the ledger's {name} is not what it should be"),
        )
        .caused_by(error)
    })
}

/// A column of a row that is text with a meaning of its own.
fn parsed<T>(row: &sqlx::sqlite::SqliteRow, name: &str) -> Result<T>
where
    T: std::str::FromStr<Err = String>,
{
    let text: String = column(row, name)?;
    text.parse().map_err(|error: String| {
        Error::new(
            Class::Never,
            format!("the ledger's {name} is not what it should be"),
        )
        .caused_by(error)
    })
}
