//! The ledger in a schema of its own of a Postgres database.
//!
//! Nothing relies on the state of a session unless the connection is known to be one's own: behind a
//! pooler that hands connections out by the transaction (PgBouncer's `pool_mode = transaction`) each
//! statement brings what it needs. Whether there is one is found out by a startup option, which
//! poolers refuse or drop.

use std::fmt;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};
use tracing::debug;
use url::Url;

use super::database::{Database, Statement, Tries, code, failed, text};
use crate::config;
use crate::error::{Error, Result};

/// Released migrations never change.
pub(super) const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "ledger", include_str!("sql/postgres/0001_ledger.sql")),
    (
        2,
        "other teams",
        include_str!("sql/postgres/0002_other_teams.sql"),
    ),
    (3, "control", include_str!("sql/postgres/0003_control.sql")),
    (4, "tallies", include_str!("sql/postgres/0004_tallies.sql")),
    (
        5,
        "governor",
        include_str!("sql/postgres/0005_governor.sql"),
    ),
    (6, "alerts", include_str!("sql/postgres/0006_alerts.sql")),
    (
        7,
        "receivers",
        include_str!("sql/postgres/0007_receivers.sql"),
    ),
    (8, "pages", include_str!("sql/postgres/0008_pages.sql")),
    (9, "memory", include_str!("sql/postgres/0009_memory.sql")),
    (
        10,
        "cleanups",
        include_str!("sql/postgres/0010_cleanups.sql"),
    ),
    (11, "shares", include_str!("sql/postgres/0011_shares.sql")),
];

/// An idle connection is asked whether it lives before it is used, when nobody used it for so long.
const IDLE: Duration = Duration::from_secs(1);

/// What a statement sees, whatever the database's default is: who waited for a lock has to see what the
/// one before it wrote.
pub(super) const ISOLATION: &str = "read committed";

/// How long a transaction may wait for a process that does not go on with it, in milliseconds. One that is
/// frozen in the middle of a claim has its locks, and nobody else claims before the server ends that.
pub(super) const FROZEN_MS: u32 = 5_000;

/// How often the server looks, while a statement runs, whether its client is still there, in milliseconds.
pub(super) const LEFT_MS: u32 = 1_000;

/// Everything that it takes to connect.
#[derive(Clone)]
pub(super) struct Access {
    options: PgConnectOptions,
    pub(super) schema: Arc<str>,
    place: Arc<str>,
    pooled: bool,
    /// Whether LISTEN is worth a try. Behind a pooler it is worse than of no use: the server's
    /// connection goes on listening, and whoever gets it next is told what he did not ask for.
    pub(super) listens: bool,
    most: u32,
    timeout: Duration,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pooled: {})", self.place, self.pooled)
    }
}

impl Access {
    /// Connects once, to find out whether that is possible, and how.
    pub(super) async fn find(url: &str, config: &config::Ledger) -> Result<Self> {
        let (mut options, place) = options(url)?;
        let doing = format!("reach the ledger at {place}");
        let mut pooled = config.pooler == Some(true);
        let deadline = tokio::time::Instant::now() + config.connect_timeout();
        if !pooled {
            // Understood by the server only: a pooler refuses it, or drops it.
            let own = options.clone().options([
                ("search_path", format!("\"{}\",pg_temp", config.schema)),
                ("default_transaction_isolation", ISOLATION.to_owned()),
                ("prefill.own", "1".to_owned()),
                ("idle_in_transaction_session_timeout", FROZEN_MS.to_string()),
            ]);
            match connect(&own, deadline).await {
                Ok(answer) if answer.as_deref() == Some("1") => options = own,
                Ok(_) => pooled = true,
                Err(error) if refuses_options(&error) => pooled = true,
                Err(error) => return Err(failed(&doing, error)),
            }
        }
        if pooled {
            options = options.extra_float_digits(None);
            connect(&options, deadline)
                .await
                .map_err(|error| failed(&doing, error))?;
            debug!("the ledger is behind a pooler: nothing is prepared");
        }
        Ok(Self {
            options,
            schema: config.schema.as_str().into(),
            place: place.into(),
            pooled,
            listens: !pooled || config.pooler == Some(false),
            most: config.max_connections,
            timeout: config.connect_timeout(),
        })
    }

    /// Connections, made when they are needed.
    pub(super) fn pool(&self, most: u32) -> PgPool {
        let is_own = !self.pooled;
        PgPoolOptions::new()
            .max_connections(most)
            .acquire_timeout(self.timeout)
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if is_own {
                        let look = format!("set client_connection_check_interval = {LEFT_MS}");
                        // A server on Windows cannot look, and says so: there a statement goes to its end.
                        drop(connection.execute(AssertSqlSafe(look)).await);
                    }
                    Ok(())
                })
            })
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(self.options.clone())
    }

    pub(super) fn database(&self) -> Database {
        Database::Postgres {
            pool: self.pool(self.most),
            schema: self.schema.clone(),
            pooled: self.pooled,
            place: self.place.clone(),
        }
    }
}

/// See [`super::Ledger::check_address`].
pub(super) fn check_address(url: &str) -> Result<()> {
    options(url).map(drop)
}

/// Options of a connection, and where it goes, for people.
fn options(url: &str) -> Result<(PgConnectOptions, String)> {
    let not_valid = || {
        Error::misuse("the url of the ledger is not valid").hint(
            "it looks like postgres://user:password@host:5432/database?sslmode=verify-full, with what is special in the password percent-encoded",
        )
    };
    // What the libraries say of a wrong address may hold a part of it, so it is not repeated.
    let parsed = Url::parse(url).map_err(|_| not_valid())?;
    if !matches!(parsed.scheme(), "postgres" | "postgresql") {
        return Err(not_valid());
    }
    // A slash in the password ends the host, and the rest would be shown as the database's name.
    if parsed.path().contains('@') || parsed.fragment().is_some() {
        return Err(not_valid());
    }
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| not_valid())?
        .application_name("prefill")
        .disable_statement_logging();
    let host = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    let database = options
        .get_database()
        .unwrap_or_else(|| options.get_username());
    let place = format!("postgres {host}/{database}");
    Ok((options, place))
}

/// What the server says of the option that only a server knows. A server that starts is waited for.
async fn connect(
    options: &PgConnectOptions,
    deadline: tokio::time::Instant,
) -> sqlx::Result<Option<String>> {
    loop {
        let asked = async {
            let mut connection = options.connect().await?;
            let row = sqlx::raw_sql("select current_setting('prefill.own', true) as own");
            let own = row.fetch_one(&mut connection).await?.try_get("own")?;
            connection.close().await?;
            Ok(own)
        };
        let answer = tokio::time::timeout_at(deadline, asked)
            .await
            .unwrap_or(Err(sqlx::Error::PoolTimedOut));
        let starting = matches!(&answer, Err(error) if code(error).as_deref() == Some("57P03"));
        if !starting || tokio::time::Instant::now() >= deadline {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Whether it is the options of the connection that were refused: protocol_violation is PgBouncer's
/// word, feature_not_supported that of others.
fn refuses_options(error: &sqlx::Error) -> bool {
    matches!(code(error).as_deref(), Some("08P01" | "0A000"))
}

/// What a database's tables are, compared with what this version needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// There are no tables.
    None,
    /// Of an older version, which this is.
    Older(i64),
    Newest,
}

/// Reads the version of the tables.
pub(super) async fn version(database: &Database) -> Result<Version> {
    const DOING: &str = "read the version of the ledger";
    let there = database
        .row(
            DOING,
            &Statement::new(text!(
                "select case when to_regclass('migrations') is null then 0 else 1 end as there"
            )),
        )
        .await?;
    if !there.get::<bool>("there")? {
        return Ok(Version::None);
    }
    let applied = database
        .rows(
            DOING,
            &Statement::new(text!(
                "select version, digest from migrations order by version"
            )),
        )
        .await?;
    let mut newest = 0;
    for row in &applied {
        newest = row.get::<i64>("version")?;
        let known = MIGRATIONS.iter().find(|(version, ..)| *version == newest);
        if known
            .is_none_or(|(.., sql)| Ok(digest(sql)) != row.get::<String>("digest").map_err(drop))
        {
            return Err(Error::operator(format!(
                "the ledger at {} is of another version of prefill",
                database.place()
            ))
            .hint("use that version, or another schema in [ledger]"));
        }
    }
    Ok(match newest {
        0 => Version::None,
        newest if newest < MIGRATIONS.len() as i64 => Version::Older(newest),
        _ => Version::Newest,
    })
}

pub(super) fn digest(sql: &str) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(sql.as_bytes());
    digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Brings the tables to the version `until`, making the schema where it is missing. Who comes second
/// waits for the first, and finds nothing to do.
pub(super) async fn migrate(database: &Database, schema: &str, until: i64) -> Result<()> {
    let mut tries = Tries::default();
    loop {
        match try_migrate(database, schema, until).await {
            Err(error) if tries.again(&error).await => {}
            done => return done,
        }
    }
}

async fn try_migrate(database: &Database, schema: &str, until: i64) -> Result<()> {
    const DOING: &str = "prepare the ledger";
    let mut transaction = database.begin(DOING).await?;
    transaction
        .lock(DOING, &format!("{schema}:migrate"))
        .await?;
    // Not by to_regnamespace: a connection may still have its answer of before the wait.
    let there = Statement::new(text!(
        "select 1 as there from pg_namespace where nspname = $1"
    ));
    let there = transaction.rows(DOING, &there.bind(schema)).await?;
    if there.is_empty() {
        transaction
            .script(DOING, format!("create schema \"{schema}\""))
            .await?;
    }
    let applied = Statement::new(text!(
        "select 1 as there from pg_class where relnamespace = (select oid from pg_namespace where nspname = $1) and relname = 'migrations'"
    ));
    let applied = transaction.rows(DOING, &applied.bind(schema)).await?;
    let applied = if applied.is_empty() {
        let table = "create table migrations (version bigint primary key, name text not null, digest text not null, applied_at timestamptz not null default now())";
        transaction.script(DOING, table.to_owned()).await?;
        0
    } else {
        let newest = Statement::new(text!(
            "select coalesce(max(version), 0) as newest from migrations"
        ));
        let rows = transaction.rows(DOING, &newest).await?;
        rows.first().map_or(Ok(0), |row| row.get::<i64>("newest"))?
    };
    for (version, name, sql) in MIGRATIONS {
        if *version <= applied || *version > until {
            continue;
        }
        transaction.script(DOING, (*sql).to_owned()).await?;
        let record = Statement::new(text!(
            "insert into migrations (version, name, digest) values ($1, $2, $3)"
        ));
        let record = record.bind(*version).bind(*name).bind(digest(sql));
        transaction.execute(DOING, &record).await?;
    }
    transaction.commit(DOING).await
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::config::Config;
    use crate::ledger::Ledger;
    use crate::ledger::sqlite::tests::{ROWS, as_they_were};

    use super::*;

    #[tokio::test]
    async fn rows_that_version_1_wrote_are_as_they_were_in_the_newest() {
        let url = std::env::var("PREFILL_TEST_POSTGRES")
            .expect("no Postgres: run the tests by `make test`, or by tests/with_postgres");
        let mut config = Config::default();
        config.ledger.url = Some(url.clone().into());
        config.ledger.schema = format!("version_1_{}", std::process::id());
        let access = Access::find(&url, &config.ledger).await.expect("reached");
        let database = access.database();
        migrate(&database, &access.schema, 1)
            .await
            .expect("version 1");
        assert_eq!(version(&database).await.expect("read"), Version::Older(1));
        let mut transaction = database.begin("write rows").await.expect("begun");
        transaction
            .script("write rows", ROWS.to_owned())
            .await
            .expect("written");
        transaction.commit("write rows").await.expect("committed");

        let dir = tempfile::tempdir().expect("a directory");
        let refused = Ledger::open(dir.path(), &config).await.expect_err("older");
        assert_eq!(
            refused.next_step(),
            Some("stop the processes of the older prefill, then run prefill migrate")
        );
        let (ledger, done) = Ledger::migrate(dir.path(), &config)
            .await
            .expect("migrated");
        assert_eq!(done.len(), MIGRATIONS.len() - 1);
        as_they_were(&ledger).await;
        let signals = ledger
            .signals()
            .await
            .expect("read")
            .expect("by the trigger");
        ledger.forget_signals(&signals).await.expect("forgotten");
        let mut transaction = ledger.database.begin("tidy").await.expect("begun");
        transaction
            .script("tidy", format!("drop schema {} cascade", access.schema))
            .await
            .expect("dropped");
        transaction.commit("tidy").await.expect("committed");
    }

    #[tokio::test]
    async fn a_process_that_is_frozen_in_a_transaction_keeps_its_locks_for_seconds_only() {
        let url = std::env::var("PREFILL_TEST_POSTGRES")
            .expect("no Postgres: run the tests by `make test`, or by tests/with_postgres");
        for pooler in [None, Some(true)] {
            let mut config = Config::default().ledger;
            config.pooler = pooler;
            let access = Access::find(&url, &config).await.expect("reached");
            let database = access.database();
            let lock = format!("select pg_advisory_xact_lock({})", std::process::id());
            let mut frozen = database.begin("freeze").await.expect("begun");
            frozen.script("freeze", lock.clone()).await.expect("locked");
            let mut other = database.begin("go on").await.expect("begun");
            let waiting = other.script("go on", lock);
            tokio::time::timeout(Duration::from_secs(30), waiting)
                .await
                .expect("the lock is free")
                .expect("locked");
            assert!(frozen.commit("freeze").await.is_err());
        }
    }

    proptest! {
        #[test]
        fn no_address_shows_its_password(
            password in "[A-Za-z0-9/@:?#%&=+ -]{0,6}[A-Za-z0-9]{12}",
            user in "[a-z]{1,4}|[0-9]{1,4}",
            rest in prop::sample::select(vec!["h/db", "h:5432/db?sslmode=require", "/db?host=/tmp", "h", "[::1]:1/db"]),
        ) {
            let url = format!("postgres://{user}:{password}@{rest}");
            let hidden = &password[password.len() - 12..];
            let told = match options(&url) {
                Ok((_, place)) => place,
                Err(error) => format!("{} {error:?}", error.chain()),
            };
            prop_assert!(!told.contains(hidden), "{url} is told as {told}");
        }
    }
}
