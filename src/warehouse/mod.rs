//! A ClickHouse that holds events and rollups, reached by the official client over HTTP: a server, or
//! the embedded engine.
//!
//! Every statement carries its limits, a `log_comment` by which it can be found and killed, and
//! `wait_end_of_query`, because without it a failing INSERT may already have answered 200. Errors
//! are classed here, by ClickHouse's codes. Knows nothing of slices.

pub mod codes;
mod connect;
pub mod name;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clickhouse::query::Query;
use clickhouse::{Client, QuerySummary, Row, RowOwned, RowRead};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::trace;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::config;
use crate::engine::{Endpoint, Engine};
use crate::error::{Class, Error, Result};
use crate::governor::{Governor, Seen, Use};

/// What a statement is given beyond its own time limit before the connection is given up.
const GRACE: Duration = Duration::from_secs(15);
/// How long statements that were told to stop may take to be gone.
const GONE: Duration = Duration::from_secs(30);
/// A server answers the simplest question in a millisecond; a busy one, far away, takes longer.
const PING: Duration = Duration::from_secs(5);
/// Whoever wants to know soon waits so long, which is less than [`PING`].
const HANGS_AFTER: Duration = Duration::from_secs(4);
/// So many questions in a row go unanswered before a warehouse is given up.
const UNANSWERED: u32 = 3;
/// The comment of what is asked about statements themselves, which is over before it could be killed.
const LOOK: &str = "prefill:look";
/// The settings that let threads of others go first, the newer name before the older. They are without
/// effect where the server may not set priorities (it has not CAP_SYS_NICE).
const NICENESS: [&str; 2] = ["os_threads_nice_value_query", "os_thread_priority"];
/// Beside threads of others on all cores that is a tenth of the time, by the weights of Linux (110 to
/// 1024, `sched_prio_to_weight`). At 19 it would be a seventieth: on a server that is never idle a
/// statement would not end in its time, and others wait for the locks that it holds.
const NICE: &str = "10";

/// Where an installation is, and what serves its embedded engine.
#[derive(Clone, Debug)]
pub struct Place {
    pub data_dir: PathBuf,
    /// The prefill binary, where that is not the running program.
    pub program: Option<PathBuf>,
}

/// A warehouse that this process can use.
#[derive(Clone)]
pub struct Warehouse {
    access: Access,
    config: config::Warehouse,
    /// One pool of connections; addresses change with the engine, the pool does not mind.
    http: Client,
    /// One for all clones.
    governor: Arc<Governor>,
    /// What the warehouse calls the priority of a statement's threads, where it can be set.
    niceness: Option<&'static str>,
    /// Statements are a fill's: others come first.
    in_background: bool,
    /// What statements have read since that was taken, in bytes: of this warehouse and its clones, up to
    /// the next [`Warehouse::in_background`].
    read_bytes: Arc<AtomicU64>,
}

#[derive(Clone)]
enum Access {
    Embedded(Engine),
    Server(Endpoint),
}

/// How far the statements of one comment are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Row, Serialize, Deserialize, ToSchema)]
#[schema(as = Statements)]
pub struct Progress {
    /// Statements under way.
    pub statements: u64,
    pub read_rows: u64,
    pub read_bytes: u64,
    pub written_rows: u64,
    /// Bytes of memory that they hold.
    pub memory_bytes: i64,
    /// Of the one that takes longest, in seconds.
    pub elapsed_seconds: f64,
}

/// What a process list of ours is asked for.
#[derive(Row, Deserialize)]
struct Count {
    count: u64,
}

#[derive(Row, Deserialize)]
struct Users {
    others: u32,
    ours: u32,
}

#[derive(Row, Deserialize)]
struct SettingName {
    name: String,
}

impl std::fmt::Debug for Warehouse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Warehouse")
            .field("endpoint", &self.endpoint())
            .finish_non_exhaustive()
    }
}

impl Warehouse {
    /// The server that is configured, or the embedded engine of an installation, found or started.
    ///
    /// # Errors
    ///
    /// When the engine cannot be started, or a certificate cannot be read. A server is not asked yet.
    pub async fn open(place: &Place, config: &config::Warehouse) -> Result<Self> {
        let http = connect::client(config)?;
        let access = match &config.url {
            Some(url) => Access::Server(Endpoint {
                url: url.trim_end_matches('/').to_owned(),
                user: config.user.clone(),
                password: config
                    .password
                    .as_ref()
                    .map(|password| password.reveal().to_owned())
                    .unwrap_or_default(),
            }),
            None => {
                Access::Embedded(Engine::attach(&place.data_dir, place.program.as_deref()).await?)
            }
        };
        Ok(Self {
            access,
            config: config.clone(),
            http,
            governor: Arc::new(Governor::new(
                config.budget,
                config
                    .max_memory_usage_total
                    .map(|total| total / config.max_memory_usage),
            )),
            niceness: None,
            in_background: false,
            read_bytes: Arc::default(),
        })
    }

    /// Asks how statements can be told to let others go first, where nothing is configured for that.
    ///
    /// # Errors
    ///
    /// As [`Statement::run`].
    pub async fn find_niceness(&mut self) -> Result<()> {
        let settings = &self.config.settings;
        if NICENESS.iter().any(|name| settings.contains_key(*name)) {
            return Ok(());
        }
        let known: Vec<SettingName> = self
            .statement_in(
                "system",
                "select name from system.settings where name in {names:Array(String)} and readonly = 0",
                LOOK,
            )
            .param("names", NICENESS.to_vec())
            .rows("ask for a setting of statements")
            .await?;
        self.niceness = NICENESS
            .into_iter()
            .find(|name| known.iter().any(|known| known.name == *name));
        Ok(())
    }

    /// The same warehouse for the statements of fills: they let others go first, and are counted
    /// against the budget. What they read is counted from here on, and apart from what others do.
    #[must_use]
    pub fn in_background(&self) -> Self {
        Self {
            in_background: true,
            read_bytes: Arc::default(),
            ..self.clone()
        }
    }

    /// Waits until a statement that takes some time may begin, by the budget: at once where others do
    /// not use the warehouse, or this is not in the background.
    pub async fn turn(&self) {
        if self.in_background {
            self.governor.turn(|| self.seen()).await;
        }
    }

    /// Looks who uses the warehouse, unless that was done just now.
    pub async fn look(&self) {
        if self.governor.governs() {
            self.governor.look(|| self.seen()).await;
        }
    }

    /// What fills took of it, see [`Governor::tell`].
    pub fn tell_use(&self, last: bool) -> Option<Use> {
        self.governor.tell(last)
    }

    /// The statements under way, without those that ask for a sign of life, or that only set something up
    /// or kill, as the embedded engine does beside them. What somebody runs by `prefill query` is not prefill's own.
    async fn seen(&self) -> Result<Seen> {
        let look = Self {
            in_background: false,
            ..self.clone()
        };
        let users = look
            .statement_in(
                "system",
                "with Settings['log_comment'] as comment, (startsWith(comment, 'prefill:') and comment != 'prefill:query') as is_ours select toUInt32(countIf(not is_ours and not match(query, '(?i)^\\s*(select\\s+1\\s*$|set\\s|use\\s|kill\\s)'))) as others, toUInt32(countIf(is_ours and comment != 'prefill:look')) as ours from system.processes where user != ''",
                LOOK,
            )
            .row::<Users>("look who uses the warehouse");
        // A warehouse that hangs is found out by the statement that comes next.
        let users = timeout(PING, users).await.unwrap_or_else(|_| {
            let late = format!("nobody said within {} s who uses it", PING.as_secs());
            Err(Error::new(Class::Unreachable, late))
        })?;
        Ok(Seen {
            others: users.others,
            ours: users.ours,
        })
    }

    /// How many statements of this process wait for their turn right now.
    pub fn waiting(&self) -> usize {
        self.governor.waiting()
    }

    /// How many statements of this process wait for memory right now.
    pub fn waiting_for_memory(&self) -> usize {
        self.governor.waiting_for_memory()
    }

    /// How many bytes statements have read since this was asked last, as the warehouse counts them; of
    /// those that failed nothing is known.
    pub fn take_read_bytes(&self) -> u64 {
        self.read_bytes.swap(0, Ordering::Relaxed)
    }

    /// Where the warehouse answers right now.
    pub fn endpoint(&self) -> Endpoint {
        match &self.access {
            Access::Embedded(engine) => engine.endpoint(),
            Access::Server(endpoint) => endpoint.clone(),
        }
    }

    /// Whether it is the embedded engine, and nobody else's.
    pub fn is_embedded(&self) -> bool {
        matches!(self.access, Access::Embedded(_))
    }

    /// The plain client, for typed inserts.
    pub fn client(&self) -> Client {
        let Endpoint {
            url,
            user,
            password,
        } = self.endpoint();
        let client = self
            .http
            .clone()
            .with_url(url)
            .with_user(user)
            .with_password(password)
            .with_database(&self.config.database)
            // What was answered is there; a profile of the server may say otherwise.
            .with_setting("async_insert", "0")
            // The same rows again after a deletion are wanted, and a replicated table would drop them;
            // that nothing is written twice is seen to by looking at the tables.
            .with_setting("insert_deduplicate", "0")
            // A log of years has more months than are taken at once otherwise.
            .with_setting("max_partitions_per_insert_block", "0")
            // Where tables are Distributed: what is asked of them within a statement is asked once, of all
            // shards, and not of each shard by itself.
            .with_setting("distributed_product_mode", "global");
        self.config
            .settings
            .iter()
            .fold(client, |client, (name, value)| {
                let value = match value {
                    toml::Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                client.with_setting(name, value)
            })
    }

    /// A statement under the configured limits, found by `comment` in `system.processes`.
    pub fn statement<'w>(&'w self, text: &str, comment: &str) -> Statement<'w> {
        self.statement_in(&self.config.database, text, comment)
    }

    /// As [`Warehouse::statement`], in another database.
    pub fn statement_in<'w>(
        &'w self,
        database: &'w str,
        text: &str,
        comment: &str,
    ) -> Statement<'w> {
        let to_disk = self.config.to_disk();
        Statement {
            warehouse: self,
            database,
            text: text.to_owned(),
            comment: comment.to_owned(),
            params: Vec::new(),
            repeatable: false,
            is_large: false,
            settings: Vec::new(),
        }
        .setting("max_bytes_before_external_group_by", to_disk)
        .setting("max_bytes_before_external_sort", to_disk)
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(self.config.max_execution_time) + GRACE
    }

    /// How far the statements of `comment` are, by `system.processes`.
    ///
    /// # Errors
    ///
    /// As [`Statement::run`].
    pub async fn progress(&self, comment: &str) -> Result<Progress> {
        self
            .statement(
                "select count() as statements, sum(read_rows) as read_rows, sum(read_bytes) as read_bytes, sum(written_rows) as written_rows, toInt64(sum(memory_usage)) as memory_bytes, max(elapsed) as elapsed_seconds from system.processes where Settings['log_comment'] = {comment:String}",
                LOOK,
            )
            .param("comment", comment)
            .row("look at statements under way")
            .await
    }

    /// Kills every statement of `comment` and waits until none is left.
    ///
    /// # Errors
    ///
    /// When one is still there after half a minute: then nothing may be started in its place.
    pub async fn kill(&self, comment: &str) -> Result<()> {
        let deadline = tokio::time::Instant::now() + GONE;
        loop {
            let running = self
                .statement(
                    "select count() as count from system.processes where Settings['log_comment'] = {comment:String}",
                    LOOK,
                )
                .param("comment", comment)
                .row::<Count>("look for statements to kill")
                .await?;
            if running.count == 0 {
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                return Err(Error::new(
                    Class::Later,
                    format!(
                        "statements of {comment} did not stop within {} s",
                        GONE.as_secs()
                    ),
                ));
            }
            self.statement(
                "kill query where Settings['log_comment'] = {comment:String} async",
                "prefill:kill",
            )
            .param("comment", comment)
            .run("kill statements")
            .await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Asks whether the warehouse answers, starting the embedded engine again where it died.
    ///
    /// # Errors
    ///
    /// When it does not answer, or the engine cannot be started.
    pub async fn revive(&self) -> Result<()> {
        match &self.access {
            Access::Embedded(engine) => engine.revive().await.map(drop),
            Access::Server(endpoint) => self.ping().await.map_err(|why| {
                Error::new(
                    Class::Unreachable,
                    format!("the ClickHouse server {} does not answer", endpoint.url),
                )
                .caused_by(why)
                .hint("check that it runs, and url, user and certificates under [warehouse]")
            }),
        }
    }

    /// Whether there is an answer in that time; nothing is started again where there is none.
    pub async fn answers(&self, within: Duration) -> bool {
        matches!(timeout(within, self.ping()).await, Ok(Ok(())))
    }

    /// Fails where the simplest question is not answered. The embedded engine is started for it.
    ///
    /// # Errors
    ///
    /// As [`Statement::run`].
    pub async fn must_answer(&self) -> Result<()> {
        self.does_not_hang().await?;
        self.statement("select 1", LOOK)
            .run("reach the warehouse")
            .await
    }

    /// Fails where nothing at all comes back for seconds, not even a refusal: the warehouse hangs, or the way to
    /// it does. One that refuses is another matter, and may be started again by whoever asks.
    ///
    /// # Errors
    ///
    /// [`Class::Unreachable`].
    pub async fn does_not_hang(&self) -> Result<()> {
        let answered = timeout(HANGS_AFTER, self.ping()).await;
        answered.map(drop).map_err(|_| {
            let seconds = HANGS_AFTER.as_secs();
            Error::new(
                Class::Unreachable,
                format!("it did not answer within {seconds} s"),
            )
            .hint("look whether it is stopped or overloaded, and at the network before it")
        })
    }

    /// Whether there is an answer of ClickHouse's to the simplest question, be it an error.
    async fn ping(&self) -> Result<(), String> {
        let asked = self.client().query("select 1").execute();
        match timeout(PING, asked).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                let text = told(&error);
                if codes::code_in(&text).is_some() {
                    Ok(())
                } else {
                    Err(text)
                }
            }
            Err(_) => Err(format!("no answer within {} s", PING.as_secs())),
        }
    }

    /// Ends when the warehouse has given no sign of life for so long that an answer which was waited
    /// for will not come: a statement that works for minutes is not that.
    async fn falls_silent(&self) {
        let mut unanswered = 0;
        while unanswered < UNANSWERED {
            tokio::time::sleep(Duration::from_millis(
                self.config.silence_ms / u64::from(UNANSWERED),
            ))
            .await;
            unanswered = match self.ping().await {
                Ok(()) => 0,
                Err(_) => unanswered + 1,
            };
        }
    }

    /// Classes what the client reports.
    fn classed(&self, error: clickhouse::error::Error, doing: &str) -> Error {
        use clickhouse::error::Error as Reported;
        let doing = format!("failed to {doing}");
        if let Some(code) = codes::code_in(&error.to_string()) {
            let class = codes::class(code);
            let error = Error::new(class, doing).caused_by(error);
            return match codes::hint(code) {
                Some(hint) => error.hint(hint),
                None => error,
            };
        }
        match error {
            // An answer that is not ClickHouse's (a proxy's, half of one) says nothing about the
            // statement: it may have been done or not.
            Reported::Network(_)
            | Reported::TimedOut
            | Reported::BadResponse(_)
            | Reported::Decompression(_)
            | Reported::NotEnoughData
            | Reported::Other(_) => Error::new(Class::Unreachable, doing).caused_by(told(&error)),
            error => Error::new(Class::Never, doing).caused_by(error),
        }
    }
}

/// An error of the client with its causes: the reason of a failed connection is in the last one.
fn told(error: &clickhouse::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// Binds a value to a statement, whenever it is made.
type Bind<'w> = Box<dyn Fn(Query) -> Query + Send + Sync + 'w>;

/// A question of somebody's, while it is not answered: dropped, because whoever asked has gone away or has
/// no time left, it is killed. A server goes on with a question whose connection is gone; the embedded engine
/// does not. What fills ask is their own to kill, before anything is given back.
struct Asking {
    warehouse: Warehouse,
    id: String,
    is_over: bool,
}

impl Asking {
    fn of(statement: &Statement<'_>) -> Option<Self> {
        let warehouse = statement.warehouse;
        let is_somebodys = statement.repeatable
            && !warehouse.is_embedded()
            && !warehouse.in_background
            && statement.comment != LOOK;
        is_somebodys.then(|| Self {
            warehouse: warehouse.clone(),
            id: Uuid::new_v4().to_string(),
            is_over: false,
        })
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let (false, Ok(runtime)) = (self.is_over, Handle::try_current()) else {
            return;
        };
        let (warehouse, id) = (self.warehouse.clone(), std::mem::take(&mut self.id));
        runtime.spawn(async move {
            let kill = warehouse
                .statement(
                    "kill query where query_id = {id:String} async",
                    "prefill:kill",
                )
                .param("id", &id)
                .run("kill a question that nobody waits for");
            // Where that cannot be done either, its own time limit ends it.
            drop(timeout(PING, kill).await);
        });
    }
}

/// A statement that is about to run.
#[must_use]
pub struct Statement<'w> {
    warehouse: &'w Warehouse,
    database: &'w str,
    text: String,
    comment: String,
    params: Vec<Bind<'w>>,
    repeatable: bool,
    is_large: bool,
    /// Of ClickHouse's, where the configuration does not name them.
    settings: Vec<(&'static str, String)>,
}

impl<'w> Statement<'w> {
    /// Binds `{name:Type}`.
    pub fn param(mut self, name: &'w str, value: impl Serialize + Send + Sync + 'w) -> Self {
        self.params
            .push(Box::new(move |query| query.param(name, &value)));
        self
    }

    /// Done twice it does no harm: where nobody answered, it is sent again to the engine that was
    /// started in the dead one's place.
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// It takes memory with the number of events: in the background it begins once all of these
    /// together stay within `max_memory_usage_total`. Whoever waits for an answer does not wait for that.
    pub fn large(mut self) -> Self {
        self.is_large = true;
        self
    }

    /// Sets one of ClickHouse's settings, unless `[warehouse.settings]` does.
    pub fn setting(mut self, name: &'static str, value: u64) -> Self {
        self.settings.push((name, value.to_string()));
        self
    }

    /// The statement for the warehouse's address of this moment.
    fn query(&self) -> Query {
        let limits = &self.warehouse.config;
        let client = self
            .warehouse
            .client()
            .with_database(self.database)
            .with_setting("log_comment", &self.comment)
            .with_setting("wait_end_of_query", "1")
            .with_setting("max_threads", limits.max_threads.to_string())
            .with_setting("max_memory_usage", limits.max_memory_usage.to_string())
            .with_setting("max_execution_time", limits.max_execution_time.to_string());
        let client = self
            .settings
            .iter()
            .filter(|(name, _)| !limits.settings.contains_key(*name))
            .fold(client, |client, (name, value)| {
                client.with_setting(*name, value)
            });
        let niceness = self
            .warehouse
            .niceness
            .filter(|_| self.warehouse.in_background);
        let client = match niceness {
            Some(name) => client.with_setting(name, NICE),
            None => client,
        };
        self.params
            .iter()
            .fold(client.query_raw(&self.text), |query, bind| bind(query))
    }

    /// Runs it to the end.
    ///
    /// # Errors
    ///
    /// Classed by ClickHouse's code; [`Class::Unreachable`] when there was no answer, and then the
    /// engine has been started again where it was dead.
    pub async fn run(self, doing: &str) -> Result<()> {
        let run = |query: Query| async move {
            // Tells what it read, which `execute` does not. The format is that of an answer, and there is none.
            let mut cursor = query.fetch_bytes("TabSeparated")?;
            while cursor.next().await?.is_some() {}
            Ok(((), cursor.summary().and_then(QuerySummary::read_bytes)))
        };
        self.answered(run, doing).await
    }

    /// Runs it and reads all rows of its answer; a question is repeatable.
    ///
    /// # Errors
    ///
    /// As [`Statement::run`].
    pub async fn rows<T: RowOwned + RowRead>(self, doing: &str) -> Result<Vec<T>> {
        let fetch = |query: Query| async move {
            let mut rows = Vec::new();
            let mut cursor = query.fetch::<T>()?;
            while let Some(row) = cursor.next().await? {
                rows.push(row);
            }
            Ok((rows, cursor.summary().and_then(QuerySummary::read_bytes)))
        };
        self.repeatable().answered(fetch, doing).await
    }

    /// Runs it and reads the one row of its answer, of a question that always has one.
    ///
    /// # Errors
    ///
    /// As [`Statement::run`], and [`Class::Later`] when there is none: nothing follows from that.
    pub async fn row<T: RowOwned + RowRead>(self, doing: &str) -> Result<T> {
        let rows = self.rows(doing).await?;
        rows.into_iter().next().ok_or_else(|| {
            let failed = format!("failed to {doing}");
            Error::new(Class::Later, failed).caused_by("the answer of the warehouse was empty")
        })
    }

    /// Runs it and reads its answer as `format` has it.
    ///
    /// # Errors
    ///
    /// As [`Statement::run`].
    pub async fn bytes(self, format: &str, doing: &str) -> Result<Vec<u8>> {
        let fetch = |query: Query| async move {
            let mut cursor = query.fetch_bytes(format)?;
            let bytes = cursor.collect().await?;
            Ok((bytes, cursor.summary().and_then(QuerySummary::read_bytes)))
        };
        self.answered(fetch, doing)
            .await
            .map(|bytes| bytes.to_vec())
    }

    /// `send` gives the answer, and how many bytes were read for it where that is known.
    async fn answered<T, F>(self, send: impl Fn(Query) -> F, doing: &str) -> Result<T>
    where
        F: Future<Output = clickhouse::error::Result<(T, Option<u64>)>>,
    {
        let limit = self.warehouse.limit();
        let mut tries = if self.repeatable { 2 } else { 1 };
        let governor = &self.warehouse.governor;
        let _room = match self.is_large && self.warehouse.in_background {
            true => governor.room().await,
            false => None,
        };
        let _under_way = self.warehouse.in_background.then(|| governor.begin());
        loop {
            trace!(doing, comment = self.comment, "asking the warehouse");
            let mut asking = Asking::of(&self);
            let query = match &asking {
                Some(asking) => self.query().with_setting("query_id", &asking.id),
                None => self.query(),
            };
            let answer = tokio::select! {
                answer = timeout(limit, send(query)) => Some(answer),
                () = self.warehouse.falls_silent() => None,
            };
            if let Some(asking) = &mut asking {
                // Of one whose connection broke, or that a proxy answered for, nobody knows.
                asking.is_over = match &answer {
                    Some(Ok(Ok(_))) => true,
                    Some(Ok(Err(error))) => codes::code_in(&error.to_string()).is_some(),
                    Some(Err(_)) | None => false,
                };
            }
            drop(asking);
            let error = match answer {
                Some(Ok(Ok((answer, read_bytes)))) => {
                    let read = &self.warehouse.read_bytes;
                    read.fetch_add(read_bytes.unwrap_or(0), Ordering::Relaxed);
                    return Ok(answer);
                }
                Some(Ok(Err(error))) => self.warehouse.classed(error, doing),
                Some(Err(_)) => Error::new(
                    Class::Unreachable,
                    format!("failed to {doing}: no answer within {} s", limit.as_secs()),
                ),
                None => Error::new(
                    Class::Unreachable,
                    format!("failed to {doing}: the warehouse gives no sign of life"),
                ),
            };
            if error.class() != Class::Unreachable {
                return Err(error);
            }
            // The statement may have been done or not; whoever asked looks at the tables. What can
            // be mended here is that nobody answers.
            self.warehouse
                .revive()
                .await
                .map_err(|dead| dead.while_doing(error.chain()))?;
            tries -= 1;
            if tries == 0 {
                return Err(error);
            }
        }
    }
}
