//! The two databases that a ledger can be in, behind one set of calls.
//!
//! A statement is one text for both wherever it can be. What they have no common words for is
//! written in braces: `{now}` is the database's clock in milliseconds since 1970, `{rows $1}` are the
//! elements of a JSON array (a parameter, or a column), as `value`, `{skip_locked}` leaves out the rows of
//! `s` that another transaction of Postgres has locked, and locks the others. Two files stand side by side where
//! that is not enough. Which database it is shows nowhere above `src/ledger`.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgDatabaseError, PgPool, PgRow};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqlitePool, SqliteRow};
use sqlx::{AssertSqlSafe, Postgres, Row as _, Sqlite, Transaction, TypeInfo as _, ValueRef as _};
use tracing::trace;

use crate::error::{Class, Error, Result};
use crate::telemetry;

/// The text of a statement in `sql/`, read once.
macro_rules! sql {
    ($name:literal) => {
        $crate::ledger::database::text!(include_str!(concat!("sql/", $name, ".sql")))
    };
}
pub(super) use sql;

/// The text of a statement that is short enough to stand where it is used.
macro_rules! text {
    ($text:expr) => {{
        static TEXT: std::sync::LazyLock<$crate::ledger::database::Text> =
            std::sync::LazyLock::new(|| $crate::ledger::database::Text::of($text));
        &*TEXT
    }};
}
pub(super) use text;

/// A statement's text, as each of the databases takes it.
#[derive(Clone, Debug)]
pub(super) struct Text {
    sqlite: Arc<str>,
    postgres: Arc<str>,
}

impl Text {
    pub(super) fn of(text: &str) -> Self {
        Self {
            sqlite: rendered(
                text,
                "cast(unixepoch('subsec') * 1000 as integer)",
                |array| format!("json_each({array}) as each"),
                "",
            ),
            postgres: rendered(
                text,
                "cast(extract(epoch from clock_timestamp()) * 1000 as bigint)",
                |array| format!("jsonb_array_elements(cast({array} as jsonb)) as each (value)"),
                "for update of s skip locked",
            ),
        }
    }
}

fn rendered(text: &str, now: &str, rows: impl Fn(&str) -> String, skip_locked: &str) -> Arc<str> {
    let mut rendered = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{rows ") {
        let (array, after) = after
            .split_once('}')
            .expect("the braces of a statement's text are closed");
        rendered.push_str(before);
        rendered.push_str(&rows(array));
        rest = after;
    }
    rendered.push_str(rest);
    rendered
        .replace("{now}", now)
        .replace("{skip_locked}", skip_locked)
        .into()
}

/// A parameter.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Integer(Option<i64>),
    Text(Option<String>),
    Flag(bool),
}

macro_rules! value_from {
    ($($type:ty => |$value:ident| $made:expr;)*) => {
        $(impl From<$type> for Value {
            fn from($value: $type) -> Self {
                $made
            }
        })*
    };
}

value_from! {
    i64 => |value| Self::Integer(Some(value));
    u32 => |value| Self::Integer(Some(i64::from(value)));
    Option<i64> => |value| Self::Integer(value);
    &str => |value| Self::Text(Some(value.to_owned()));
    String => |value| Self::Text(Some(value));
    &String => |value| Self::Text(Some(value.clone()));
    Option<&str> => |value| Self::Text(value.map(ToOwned::to_owned));
    Option<String> => |value| Self::Text(value);
    &Option<String> => |value| Self::Text(value.clone());
    bool => |value| Self::Flag(value);
}

/// A statement with its parameters.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    text: Cow<'static, Text>,
    values: Vec<Value>,
}

impl Statement {
    pub(super) fn new(text: &'static Text) -> Self {
        Self {
            text: Cow::Borrowed(text),
            values: Vec::new(),
        }
    }

    /// A text that was made of checked names.
    pub(super) fn made(text: &str) -> Self {
        Self {
            text: Cow::Owned(Text::of(text)),
            values: Vec::new(),
        }
    }

    pub(super) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    fn sqlite(&self) -> Query<'_, Sqlite, SqliteArguments> {
        let mut query = sqlx::query(AssertSqlSafe(self.text.sqlite.clone()));
        for value in &self.values {
            query = match value {
                Value::Integer(value) => query.bind(*value),
                Value::Text(value) => query.bind(value.clone()),
                Value::Flag(value) => query.bind(*value),
            };
        }
        query
    }

    /// A pooler gives each transaction another connection, so nothing is prepared under a name.
    fn postgres(&self, pooled: bool) -> Query<'_, Postgres, PgArguments> {
        let mut query = sqlx::query(AssertSqlSafe(self.text.postgres.clone())).persistent(!pooled);
        for value in &self.values {
            query = match value {
                Value::Integer(value) => query.bind(*value),
                Value::Text(value) => query.bind(value.clone()),
                Value::Flag(value) => query.bind(*value),
            };
        }
        query
    }
}

/// An open database.
#[derive(Clone)]
pub(super) enum Database {
    Sqlite {
        path: PathBuf,
        /// Tells the file that was opened from one that is there instead.
        inode: (u64, u64),
        /// One connection: SQLite has one writer, and waiting for a connection is fairer than for a lock.
        writer: SqlitePool,
        reader: SqlitePool,
    },
    Postgres {
        pool: PgPool,
        /// Where prefill's own tables are.
        schema: Arc<str>,
        /// Behind a pooler that may give every transaction another connection.
        pooled: bool,
        /// Host and database, for people.
        place: Arc<str>,
    },
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place())
    }
}

/// How often a statement that lost to another transaction is tried again.
const TRIES: u32 = 8;

impl Database {
    /// Where it is, for people.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Sqlite { path, .. } => path.display().to_string(),
            Self::Postgres { place, schema, .. } => format!("{place}, schema {schema}"),
        }
    }

    /// Begins a transaction that writes.
    pub(super) async fn begin(&self, doing: &str) -> Result<Transacting> {
        match self {
            Self::Sqlite { writer, .. } => {
                let begun = writer.begin().await;
                begun
                    .map(Transacting::Sqlite)
                    .map_err(|error| failed_in_file(doing, error))
            }
            Self::Postgres {
                pool,
                schema,
                pooled,
                ..
            } => {
                let begun = if *pooled {
                    pool.begin_with(begin_in(schema)).await
                } else {
                    pool.begin().await
                };
                begun
                    .map(|transaction| Transacting::Postgres {
                        transaction,
                        pooled: *pooled,
                    })
                    .map_err(|error| failed(doing, error))
            }
        }
    }

    /// Writes; how many rows it touched. A statement that is repeated has to do no harm: where the
    /// connection breaks nobody knows whether it was done.
    pub(super) async fn execute(&self, doing: &str, statement: &Statement) -> Result<u64> {
        let mut tries = Tries::default();
        loop {
            match self.try_execute(doing, statement).await {
                Err(error) if tries.again_after_loss(&error).await => {}
                done => return done,
            }
        }
    }

    async fn try_execute(&self, doing: &str, statement: &Statement) -> Result<u64> {
        trace!(doing, "asking the ledger");
        match self {
            Self::Sqlite { writer, .. } => statement
                .sqlite()
                .execute(writer)
                .await
                .map(|done| done.rows_affected())
                .map_err(|error| failed_in_file(doing, error)),
            Self::Postgres {
                pool,
                pooled: false,
                ..
            } => statement
                .postgres(false)
                .execute(pool)
                .await
                .map(|done| done.rows_affected())
                .map_err(|error| failed(doing, error)),
            Self::Postgres { .. } => {
                let mut transaction = self.begin(doing).await?;
                let done = transaction.execute(doing, statement).await?;
                transaction.commit(doing).await?;
                Ok(done)
            }
        }
    }

    /// Reads.
    pub(super) async fn rows(&self, doing: &str, statement: &Statement) -> Result<Vec<Row>> {
        let mut tries = Tries::default();
        let read = async {
            loop {
                match self.try_rows(doing, statement, false).await {
                    Err(error) if tries.again_after_loss(&error).await => {}
                    done => return done,
                }
            }
        };
        telemetry::LEDGER_SECONDS.timed(["read"], read).await
    }

    /// Writes, and returns what the statement returns. As [`Database::execute`].
    pub(super) async fn returned(&self, doing: &str, statement: &Statement) -> Result<Vec<Row>> {
        let mut tries = Tries::default();
        loop {
            match self.try_rows(doing, statement, true).await {
                Err(error) if tries.again_after_loss(&error).await => {}
                done => return done,
            }
        }
    }

    async fn try_rows(&self, doing: &str, statement: &Statement, writes: bool) -> Result<Vec<Row>> {
        trace!(doing, "asking the ledger");
        match self {
            Self::Sqlite { writer, reader, .. } => {
                let pool = if writes { writer } else { reader };
                let rows = statement.sqlite().fetch_all(pool).await;
                rows.map(|rows| rows.into_iter().map(Row::Sqlite).collect())
                    .map_err(|error| failed_in_file(doing, error))
            }
            Self::Postgres {
                pool,
                pooled: false,
                ..
            } => {
                let connection = pool.acquire().await.map_err(|error| failed(doing, error))?;
                let looks = connection.server_version_num() >= Some(LOOKS_WHO_IS_THERE);
                let answering = Answering {
                    connection: Some(connection),
                    is_left_if_dropped: !writes && looks,
                };
                let rows = answering.rows(statement.postgres(false)).await;
                rows.map(|rows| rows.into_iter().map(Row::Postgres).collect())
                    .map_err(|error| failed(doing, error))
            }
            Self::Postgres { .. } => {
                let mut transaction = self.begin(doing).await?;
                let rows = transaction.rows(doing, statement).await?;
                transaction.commit(doing).await?;
                Ok(rows)
            }
        }
    }

    /// Changes somebody else's table: what its own triggers do is done as if somebody else changed it,
    /// and finds the names where it usually does.
    pub(super) async fn execute_for_others(
        &self,
        doing: &str,
        statement: &Statement,
    ) -> Result<u64> {
        let mut transaction = self.begin(doing).await?;
        transaction
            .script(
                doing,
                "set local search_path to \"$user\", public".to_owned(),
            )
            .await?;
        let done = transaction.execute(doing, statement).await?;
        transaction.commit(doing).await?;
        Ok(done)
    }

    /// The one row that a statement reads.
    pub(super) async fn row(&self, doing: &str, statement: &Statement) -> Result<Row> {
        only(doing, self.rows(doing, statement).await?)
    }
}

/// The first version of Postgres that looks, while a statement runs, whether its client is still there. Of one
/// before it every statement goes to its end, and its connection is one of those that may be.
const LOOKS_WHO_IS_THERE: u32 = 140_000;

/// A connection of Postgres, without a pooler, while a statement of it is under way. Where nobody waits for what is read any
/// more, it is closed, and the server ends the statement (see [`super::postgres::LEFT_MS`]); kept, it would be
/// of use to nobody before the answer comes.
struct Answering {
    connection: Option<PoolConnection<Postgres>>,
    is_left_if_dropped: bool,
}

impl Answering {
    async fn rows(mut self, query: Query<'_, Postgres, PgArguments>) -> sqlx::Result<Vec<PgRow>> {
        let connection = self.connection.as_mut().expect("it is there until the end");
        let rows = query.fetch_all(&mut **connection).await;
        self.is_left_if_dropped = false;
        rows
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if let (true, Some(connection)) = (self.is_left_if_dropped, self.connection.take()) {
            drop(connection.detach());
        }
    }
}

/// The one row of a statement that has exactly one.
fn only(doing: &str, rows: Vec<Row>) -> Result<Row> {
    rows.into_iter()
        .next()
        .ok_or_else(|| failed(doing, sqlx::Error::RowNotFound))
}

/// The beginning of a transaction that sees prefill's tables, whatever connection it is given.
fn begin_in(schema: &str) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!(
        "begin isolation level {}; set local search_path to \"{schema}\", pg_temp; \
         set local idle_in_transaction_session_timeout = {}",
        super::postgres::ISOLATION,
        super::postgres::FROZEN_MS
    ))
}

/// A transaction under way; dropped, it is rolled back.
pub(super) enum Transacting {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres {
        transaction: Transaction<'static, Postgres>,
        pooled: bool,
    },
}

impl Transacting {
    pub(super) async fn execute(&mut self, doing: &str, statement: &Statement) -> Result<u64> {
        match self {
            Self::Sqlite(transaction) => statement
                .sqlite()
                .execute(&mut **transaction)
                .await
                .map(|done| done.rows_affected())
                .map_err(|error| failed_in_file(doing, error)),
            Self::Postgres {
                transaction,
                pooled,
            } => statement
                .postgres(*pooled)
                .execute(&mut **transaction)
                .await
                .map(|done| done.rows_affected())
                .map_err(|error| failed(doing, error)),
        }
    }

    pub(super) async fn rows(&mut self, doing: &str, statement: &Statement) -> Result<Vec<Row>> {
        match self {
            Self::Sqlite(transaction) => statement
                .sqlite()
                .fetch_all(&mut **transaction)
                .await
                .map(|rows| rows.into_iter().map(Row::Sqlite).collect())
                .map_err(|error| failed_in_file(doing, error)),
            Self::Postgres {
                transaction,
                pooled,
            } => statement
                .postgres(*pooled)
                .fetch_all(&mut **transaction)
                .await
                .map(|rows| rows.into_iter().map(Row::Postgres).collect())
                .map_err(|error| failed(doing, error)),
        }
    }

    /// On Postgres, waits until no other transaction holds the lock of this name, and holds it until
    /// the end. SQLite has one transaction that writes at a time.
    pub(super) async fn lock(&mut self, doing: &str, name: &str) -> Result<()> {
        self.lock_all(doing, &[name.to_owned()]).await
    }

    /// As [`Transacting::lock`], of several names, in their order.
    pub(super) async fn lock_all(&mut self, doing: &str, names: &[String]) -> Result<()> {
        let text = text!(
            "select pg_advisory_xact_lock(hashtextextended('prefill:' || name, 0)) from (select value ->> 0 as name from {rows $1} order by value -> 1) as names"
        );
        if matches!(self, Self::Postgres { .. }) && !names.is_empty() {
            let names = json(
                (0..)
                    .zip(names)
                    .map(|(n, name)| serde_json::json!([name, n])),
            );
            self.execute(doing, &Statement::new(text).bind(names))
                .await?;
        }
        Ok(())
    }

    /// On Postgres, tells whoever listens to look again, once this is committed.
    pub(super) async fn notify(&mut self, doing: &str, channel: &str) -> Result<()> {
        if matches!(self, Self::Postgres { .. }) {
            let statement = Statement::new(text!("select pg_notify($1, '')")).bind(channel);
            self.execute(doing, &statement).await?;
        }
        Ok(())
    }

    /// Statements without parameters, as many as the text has.
    pub(super) async fn script(&mut self, doing: &str, script: String) -> Result<()> {
        let script = sqlx::raw_sql(AssertSqlSafe(script));
        match self {
            Self::Sqlite(transaction) => script
                .execute(&mut **transaction)
                .await
                .map(drop)
                .map_err(|error| failed_in_file(doing, error)),
            Self::Postgres { transaction, .. } => script
                .execute(&mut **transaction)
                .await
                .map(drop)
                .map_err(|error| failed(doing, error)),
        }
    }

    pub(super) async fn commit(self, doing: &str) -> Result<()> {
        match self {
            Self::Sqlite(transaction) => transaction
                .commit()
                .await
                .map_err(|error| failed_in_file(doing, error)),
            Self::Postgres { transaction, .. } => transaction
                .commit()
                .await
                .map_err(|error| failed(doing, error)),
        }
    }
}

/// Decides whether something is tried again.
#[derive(Debug, Default)]
pub(super) struct Tries(u32);

impl Tries {
    /// After a deadlock or a conflict, which leave nothing behind: yes, a few times, after a pause.
    pub(super) async fn again(&mut self, error: &Error) -> bool {
        self.again_if(cause(error).is_some_and(lost_to_another))
            .await
    }

    /// Also after the connection broke: for what may be done twice.
    async fn again_after_loss(&mut self, error: &Error) -> bool {
        let again = |cause| lost_to_another(cause) || connection_broke(cause);
        self.again_if(cause(error).is_some_and(again)).await
    }

    async fn again_if(&mut self, again: bool) -> bool {
        self.0 += 1;
        if !again || self.0 >= TRIES {
            return false;
        }
        let most = 5_u64 << self.0.min(6);
        tokio::time::sleep(Duration::from_millis(rand::random_range(1..=most))).await;
        true
    }
}

fn cause(error: &Error) -> Option<&sqlx::Error> {
    let said: &Said = std::error::Error::source(error)?.downcast_ref()?;
    Some(&said.0)
}

/// What the library reports, without the line of Postgres' own source that it ends the message with.
#[derive(Debug)]
pub(super) struct Said(pub(super) sqlx::Error);

/// Whether an error came from the ledger, and not from a warehouse.
pub fn is_of_ledger(error: &Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.is::<Said>() {
            return true;
        }
        cause = error.source();
    }
    false
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = self.0.as_database_error();
        match said.and_then(|said| said.try_downcast_ref::<PgDatabaseError>()) {
            Some(said) => write!(f, "error returned from database: {}", said.message()),
            None => self.0.fmt(f),
        }
    }
}

impl std::error::Error for Said {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.0 {
            sqlx::Error::Database(_) => None,
            ref other => other.source(),
        }
    }
}

/// The code of a database's error.
pub(super) fn code(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
}

/// Postgres' serialization_failure and deadlock_detected.
fn lost_to_another(error: &sqlx::Error) -> bool {
    matches!(code(error).as_deref(), Some("40001" | "40P01"))
}

/// The connection is gone: broken on the way, or ended by a server that stops.
fn connection_broke(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        // admin_shutdown, crash_shutdown, cannot_connect_now; PgBouncer's word for each is 08P01
        _ => matches!(
            code(error).as_deref(),
            Some("57P01" | "57P02" | "57P03" | "08006" | "08P01")
        ),
    }
}

/// An error of the ledger's file while `doing` something; it is mostly another process's lock or a full disk.
pub(super) fn failed_in_file(doing: &str, error: sqlx::Error) -> Error {
    // The lowest byte of an extended code is the code: <https://sqlite.org/rescode.html>.
    let code = code(&error).and_then(|code| code.parse::<u32>().ok());
    let (class, hint) = match code.map(|code| code & 0xff) {
        // full, cannot be opened, read-only, input or output
        Some(13 | 14 | 8 | 10) => (Class::Operator, Some(WRITABLE)),
        // corrupt, and no database at all
        Some(11 | 26) => (Class::Operator, Some(DAMAGED)),
        // busy, and locked
        Some(5 | 6) => (Class::Later, Some(LOCKED)),
        _ => (Class::Later, None),
    };
    let error = Error::new(class, format!("failed to {doing}")).caused_by(Said(error));
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// An error of Postgres while `doing` something, classed by its code:
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
pub(super) fn failed(doing: &str, error: sqlx::Error) -> Error {
    let (class, hint) = match (&error, code(&error).as_deref()) {
        // undefined table, column, schema or function
        (_, Some("42P01" | "42703" | "3F000" | "42883")) => {
            (Class::Operator, Some("run prefill migrate"))
        }
        (_, Some("42501")) => (
            Class::Operator,
            Some("grant what it names to the user of [ledger] url, or name another user there"),
        ),
        (_, Some("28P01" | "28000" | "3D000")) => (
            Class::Operator,
            Some("correct user, password or database of [ledger] url (or PREFILL_LEDGER_URL)"),
        ),
        (_, Some("53100" | "53200")) => (
            Class::Operator,
            Some("the database has no space or memory left: see to the server of the ledger"),
        ),
        // of rustls, a certificate that is not trusted is data that is not valid
        (sqlx::Error::Tls(_), _) => (Class::Operator, Some(CERTIFICATE)),
        (sqlx::Error::Io(error), _) if error.kind() == std::io::ErrorKind::InvalidData => {
            (Class::Operator, Some(CERTIFICATE))
        }
        (sqlx::Error::PoolTimedOut, _) => (Class::Unreachable, Some(REACH)),
        _ if connection_broke(&error) => (Class::Unreachable, Some(REACH)),
        _ => (Class::Later, None),
    };
    let error = Error::new(class, format!("failed to {doing}")).caused_by(Said(error));
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

pub(super) const WRITABLE: &str =
    "check that the data directory is writable and has space, or pass another --data-dir";
const DAMAGED: &str = "stop prefill serve, and put a copy of prefill.db back, or move it and its -wal and -shm away: then the teams have to be added again, and their days are filled again in place";
const LOCKED: &str = "another program keeps prefill.db locked (a backup, a shell of SQLite?): end it, or try again when it is done";
const CERTIFICATE: &str = "check sslmode, sslrootcert and the host name in [ledger] url";
const REACH: &str = "check that the database of [ledger] url (or PREFILL_LEDGER_URL) runs and can be reached from here";

/// A row that was read.
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    /// A column, by name.
    pub(super) fn get<T: Cell>(&self, name: &str) -> Result<T> {
        T::read(self, name)
    }

    /// Text with a meaning of its own.
    pub(super) fn parsed<T>(&self, name: &str) -> Result<T>
    where
        T: std::str::FromStr<Err = String>,
    {
        self.get::<String>(name)?
            .parse()
            .map_err(|error: String| misread(name, error))
    }
}

/// What a column may be read as.
pub(super) trait Cell: Sized {
    fn read(row: &Row, name: &str) -> Result<Self>;
}

impl Cell for Option<i64> {
    fn read(row: &Row, name: &str) -> Result<Self> {
        match row {
            Row::Sqlite(row) => row.try_get(name),
            Row::Postgres(row) => postgres_integer(row, name),
        }
        .map_err(|error| misread(name, error))
    }
}

impl Cell for Option<String> {
    fn read(row: &Row, name: &str) -> Result<Self> {
        match row {
            Row::Sqlite(row) => row.try_get(name),
            Row::Postgres(row) => row.try_get(name),
        }
        .map_err(|error| misread(name, error))
    }
}

impl Cell for i64 {
    fn read(row: &Row, name: &str) -> Result<Self> {
        Option::<Self>::read(row, name)?.ok_or_else(|| misread(name, "it is null"))
    }
}

impl Cell for String {
    fn read(row: &Row, name: &str) -> Result<Self> {
        Option::<Self>::read(row, name)?.ok_or_else(|| misread(name, "it is null"))
    }
}

impl Cell for bool {
    fn read(row: &Row, name: &str) -> Result<Self> {
        Ok(i64::read(row, name)? != 0)
    }
}

/// Postgres has whole numbers of several widths, and flags.
fn postgres_integer(row: &PgRow, name: &str) -> sqlx::Result<Option<i64>> {
    let value = row.try_get_raw(name)?;
    if value.is_null() {
        return Ok(None);
    }
    match value.type_info().name() {
        "INT2" => row.try_get(name).map(|value: i16| Some(i64::from(value))),
        "INT4" => row.try_get(name).map(|value: i32| Some(i64::from(value))),
        "BOOL" => row.try_get(name).map(|value: bool| Some(i64::from(value))),
        _ => row.try_get(name).map(Some),
    }
}

fn misread(name: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(
        Class::Never,
        format!("the ledger's {name} is not what it should be"),
    )
    .caused_by(error)
}

/// Numbers, texts and nulls as the JSON array that `{rows $1}` takes.
pub(super) fn json(rows: impl Iterator<Item = serde_json::Value>) -> String {
    serde_json::Value::Array(rows.collect()).to_string()
}
