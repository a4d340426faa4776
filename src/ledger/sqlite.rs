//! The ledger in a file of the data directory.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use sqlx::SqlStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use tracing::{debug, warn};

use super::database::{Database, WRITABLE, failed_in_file};
use crate::error::{Class, Context as _, Error, Result};

/// Released migrations never change.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "ledger", include_str!("sql/0001_ledger.sql")),
    (2, "warehouses", include_str!("sql/0002_warehouses.sql")),
    (3, "queue", include_str!("sql/0003_queue.sql")),
    (4, "control", include_str!("sql/0004_control.sql")),
    (5, "tallies", include_str!("sql/0005_tallies.sql")),
    (6, "governor", include_str!("sql/0006_governor.sql")),
    (7, "alerts", include_str!("sql/0007_alerts.sql")),
    (8, "receivers", include_str!("sql/0008_receivers.sql")),
    (9, "pages", include_str!("sql/0009_pages.sql")),
    (10, "memory", include_str!("sql/0010_memory.sql")),
    (11, "cleanups", include_str!("sql/0011_cleanups.sql")),
    (12, "shares", include_str!("sql/0012_shares.sql")),
];

/// What is in the file of [`take_turn`] once a ledger was made.
const MADE: &[u8] = b"made\n";

/// How long a write waits for another process's write.
const BUSY: Duration = Duration::from_secs(10);

/// Opens the file, making it and its tables where they are missing.
pub(super) async fn open(data_dir: &Path, path: &Path) -> Result<Database> {
    let options = options(path);
    let opening = format!("open the ledger {}", path.display());
    let failed = |error: sqlx::Error| failed_in_file(&opening, error);
    // Neither the migrations nor the change to WAL wait for each other, and two shells may begin
    // at once.
    let turn = take_turn(data_dir).await?;
    let was_made = turn.metadata().is_ok_and(|turn| turn.len() > 0);
    let is_gone = was_made && std::fs::metadata(path).map_or(true, |file| file.len() == 0);
    let writer = connect(options.clone(), 1).await.map_err(failed)?;
    migrator().run(&writer).await.map_err(|error| {
        let preparing = format!("prepare the ledger {}", path.display());
        let hint = match error {
            MigrateError::Execute(error) => return failed_in_file(&preparing, error),
            MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_) => {
                "it was written by another version of prefill: use that one, or another --data-dir"
            }
            _ => WRITABLE,
        };
        Error::operator(format!("failed to {preparing}"))
            .caused_by(error)
            .hint(hint)
    })?;
    if is_gone {
        warn!(
            ledger = %path.display(),
            "the ledger {} was gone, and with it the teams and what was known of their days: a new one was made; put a copy of the old one back while no prefill runs, once prefill.db-wal and prefill.db-shm are deleted, or turn the settings on again",
            path.display()
        );
    }
    if !was_made && let Err(error) = (&turn).write_all(MADE) {
        debug!(%error, "nobody will be told if this ledger is gone");
    }
    drop(turn);
    let reader = connect(options, 4).await.map_err(failed)?;
    let looked = std::fs::metadata(path).classed(Class::Operator, || {
        format!("failed to look at the ledger {}", path.display())
    })?;
    Ok(Database::Sqlite {
        path: path.to_path_buf(),
        inode: inode(&looked),
        writer,
        reader,
    })
}

/// Connections that are opened at once and kept. One that is opened after the file was replaced
/// truncates the `-shm` that the others have mapped, and reading it is a bus error from then on.
async fn connect(options: SqliteConnectOptions, connections: u32) -> sqlx::Result<SqlitePool> {
    SqlitePoolOptions::new()
        .min_connections(connections)
        .max_connections(connections)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options)
        .await
}

fn inode(metadata: &std::fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// See [`super::Ledger::must_be_in_place`].
pub(super) fn must_be_in_place(path: &Path, opened: (u64, u64)) -> Result<()> {
    match std::fs::metadata(path) {
        Ok(there) if inode(&there) == opened => return Ok(()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        // What cannot be looked at may be there all the same.
        Err(_) => return Ok(()),
    }
    Err(Error::operator(format!(
        "the ledger {} was deleted, moved or replaced while it was open",
        path.display()
    ))
    .hint("start prefill serve again when the ledger that it is to work on is in its place"))
}

/// Waits until no other process migrates this directory's ledger; the turn ends with the file.
async fn take_turn(data_dir: &Path) -> Result<std::fs::File> {
    let path = data_dir.join("migrate.lock");
    let doing = format!("failed to lock {}", path.display());
    let locked = tokio::task::spawn_blocking(move || {
        let file = std::fs::File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        file.lock()?;
        Ok::<_, std::io::Error>(file)
    });
    match locked.await {
        Ok(Ok(file)) => Ok(file),
        Ok(Err(error)) => Err(Error::operator(doing).caused_by(error).hint(WRITABLE)),
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

#[cfg(test)]
pub(super) mod tests {
    use sqlx::Row as _;

    use super::*;

    /// A ledger as version 1 left it: a team, a filled slice, one under way, a run and a mark.
    pub(in crate::ledger) const ROWS: &str = "
        insert into teams (id, name, timezone, web_analytics_pre_aggregated_tables_enabled)
        values (7, 'Acme', 'Asia/Kolkata', 1), (8, 'Off', 'UTC', 0);
        insert into slices (team_id, day, timezone, bucket_s, until_s, partition, state, reason, wanted_at,
            fence, filled_fence, filled_at, as_of_us, stats_rows, bounces_rows, events, sessions, page_views, persons,
            bounces, duration_seconds, checksum, elapsed_ms, claim, owner, lease_until)
        values (7, '2026-05-01', 'Asia/Kolkata', 1777573800, 1777660200, 20260430, 'filled', 'window', 1,
                3, 3, 5, 9, 1, 1, 1, 42, 1, 1, 1, 1, 1, 1, null, null, null),
            (7, '2026-05-02', 'Asia/Kolkata', 1777660200, 1777746600, 20260501, 'running', 'window', 1,
                1, 0, null, null, null, null, null, null, null, null, null, null, null, null, 'a claim', 'one', 2);
        insert into runs (id, team_id, date_start, date_end, reason, requested_at)
        values ('6f1c1a2e-0000-4000-8000-000000000001', 7, '2026-05-01', '2026-05-03', 'window', 1);
        insert into run_slices (run_id, team_id, day, after_fence)
        values ('6f1c1a2e-0000-4000-8000-000000000001', 7, '2026-05-01', 2);";

    #[tokio::test]
    async fn rows_that_version_1_wrote_are_as_they_were_in_the_newest() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("prefill.db");
        let old = SqlitePool::connect_with(options(&path))
            .await
            .expect("opened");
        let mut first = migrator();
        first.migrations.to_mut().truncate(1);
        first.run(&old).await.expect("version 1");
        let rows = sqlx::raw_sql(ROWS).execute(&old);
        rows.await.expect("written");
        let mark = sqlx::raw_sql("insert into marks (name, value) values ('scanned_us', 11)");
        mark.execute(&old).await.expect("written");
        old.close().await;
        drop(open(dir.path(), &path).await.expect("opened"));

        let config = crate::config::Config::default();
        let ledger = crate::ledger::Ledger::open(dir.path(), &config).await;
        let ledger = ledger.expect("opened");
        let mark = ledger.mark("scanned_us:default").await.expect("read");
        assert_eq!(mark, Some(11));
        as_they_were(&ledger).await;
        let new = SqlitePool::connect_with(options(&path))
            .await
            .expect("opened");
        let change = sqlx::raw_sql("update teams set warehouse = 'eu' where id = 8");
        change.execute(&new).await.expect("changed");
        let signals = sqlx::query("select team_id from signals order by id desc limit 1");
        let last: i64 = signals
            .fetch_one(&new)
            .await
            .expect("a signal")
            .get("team_id");
        assert_eq!(last, 8);
    }

    #[tokio::test]
    async fn no_connection_is_opened_to_a_file_that_took_the_place_of_the_first() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("prefill.db");
        let database = open(dir.path(), &path).await.expect("opened");
        let copy = dir.path().join("copy.db");
        std::fs::copy(&path, &copy).expect("copied");
        std::fs::rename(&copy, &path).expect("replaced");
        let Database::Sqlite { reader, inode, .. } = &database else {
            panic!("a file");
        };
        let mut connections = Vec::new();
        for _ in 0..4 {
            connections.push(reader.acquire().await.expect("one of four"));
        }
        let replaced = super::inode(&std::fs::metadata(&path).expect("the copy"));
        let open = std::fs::read_dir("/proc/self/fd").expect("Linux");
        let open = open.filter_map(|file| std::fs::metadata(file.ok()?.path()).ok());
        let opened: Vec<_> = open.map(|file| super::inode(&file)).collect();
        assert!(opened.contains(inode) && !opened.contains(&replaced));
        must_be_in_place(&path, *inode).expect_err("replaced");
    }

    /// What [`ROWS`] are when they are read.
    pub(in crate::ledger) async fn as_they_were(ledger: &crate::ledger::Ledger) {
        use crate::calendar::TeamId;
        use crate::ledger::State;
        let team = ledger.team(TeamId(7)).await.expect("the team");
        assert_eq!((team.name.as_str(), team.enabled), ("Acme", true));
        assert!(team.enabled_at.is_some());
        assert_eq!(team.warehouse, None);
        let slices = ledger.slices(TeamId(7)).await.expect("slices");
        let states: Vec<State> = slices.values().map(|slice| slice.state).collect();
        assert_eq!(states, [State::Filled, State::Running]);
        let receipt = slices.values().find_map(|slice| slice.receipt.as_ref());
        assert_eq!(receipt.map(|receipt| receipt.sessions), Some(42));
        let (tally, verified) = ledger.tallies().await.expect("tallies")[&TeamId(7)];
        let counted = (tally.slices, tally.with_data, tally.running);
        assert_eq!((counted, tally.is_unbroken()), ((2, 1, 1), true));
        let weight = 1_777_573_800 / 900 % 4093;
        let weighed = (verified.page_views_weighed, verified.sessions_weighed);
        assert_eq!(weighed, (weight, 42 * weight));
        let run = ledger.runs(None, None, 1).await.expect("runs").remove(0).id;
        let progress = ledger.progress(run).await.expect("progress");
        assert_eq!(progress.status(), "completed");
        assert_eq!(ledger.expire("a claim", false).await.expect("expired"), 1);
        let claim = ledger.claim("two", BUSY, 50, "default", None).await;
        let claim = claim.expect("asked").expect("a claim");
        assert_eq!(claim.slices[0].fence, 2);
    }
}
