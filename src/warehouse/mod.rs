//! A ClickHouse that holds events and rollups, reached by the official client over HTTP.
//!
//! Every statement carries its limits, a `log_comment` by which it can be found and killed, and
//! `wait_end_of_query`, because without it a failing INSERT may already have answered 200. Errors
//! are classed here, by ClickHouse's codes. Knows nothing of slices.

pub mod codes;
pub mod name;

use std::path::Path;
use std::time::Duration;

use clickhouse::query::Query;
use clickhouse::{Client, Row, RowOwned, RowRead};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::config::Config;
use crate::engine::{Endpoint, Engine};
use crate::error::{Class, Error, Result};

/// What a statement is given beyond its own time limit before the connection is given up.
const GRACE: Duration = Duration::from_secs(15);
/// How long statements that were told to stop may take to be gone.
const GONE: Duration = Duration::from_secs(30);

/// A warehouse that this process can use.
#[derive(Clone)]
pub struct Warehouse {
    engine: Engine,
    config: crate::config::Warehouse,
    /// One pool of connections; addresses change with the engine, the pool does not mind.
    http: Client,
}

/// What a process list of ours is asked for.
#[derive(Row, Deserialize)]
struct Count {
    count: u64,
}

impl std::fmt::Debug for Warehouse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Warehouse")
            .field("endpoint", &self.endpoint())
            .finish_non_exhaustive()
    }
}

impl Warehouse {
    /// The embedded engine of a data directory, found or started. `program` is the prefill binary,
    /// where that is not the running one.
    pub async fn open(data_dir: &Path, program: Option<&Path>, config: &Config) -> Result<Self> {
        let engine = Engine::attach(data_dir, program).await?;
        Ok(Self {
            engine,
            config: config.warehouse.clone(),
            http: Client::default(),
        })
    }

    /// Where the warehouse answers right now.
    pub fn endpoint(&self) -> Endpoint {
        self.engine.endpoint()
    }

    /// The process that serves it.
    pub fn pid(&self) -> u32 {
        self.engine.pid()
    }

    /// The plain client, for typed inserts.
    pub fn client(&self) -> Client {
        let Endpoint {
            url,
            user,
            password,
        } = self.engine.endpoint();
        self.http
            .clone()
            .with_url(url)
            .with_user(user)
            .with_password(password)
            .with_database(&self.config.database)
    }

    /// A statement under the configured limits, found by `comment` in `system.processes`.
    pub fn statement(&self, text: &str, comment: &str) -> Statement<'_> {
        self.statement_in(&self.config.database, text, comment)
    }

    /// As [`Warehouse::statement`], in another database.
    pub fn statement_in(&self, database: &str, text: &str, comment: &str) -> Statement<'_> {
        let limits = &self.config;
        let client = self
            .client()
            .with_database(database)
            .with_setting("log_comment", comment)
            .with_setting("wait_end_of_query", "1")
            .with_setting("max_threads", limits.max_threads.to_string())
            .with_setting("max_memory_usage", limits.max_memory_usage.to_string())
            .with_setting("max_execution_time", limits.max_execution_time.to_string())
            // Grouping and sorting go to disk at half of the memory, and fail only beyond that.
            .with_setting(
                "max_bytes_before_external_group_by",
                (limits.max_memory_usage / 2).to_string(),
            )
            .with_setting(
                "max_bytes_before_external_sort",
                (limits.max_memory_usage / 2).to_string(),
            );
        Statement {
            warehouse: self,
            query: client.query_raw(text),
        }
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(self.config.max_execution_time) + GRACE
    }

    /// Kills every statement of `comment` and waits until none is left.
    ///
    /// # Errors
    ///
    /// When one is still there after [`GONE`]: then nothing may be started in its place.
    pub async fn kill(&self, comment: &str) -> Result<()> {
        let deadline = tokio::time::Instant::now() + GONE;
        loop {
            let running = self
                .statement(
                    "select count() as count from system.processes where Settings['log_comment'] = {comment:String}",
                    "prefill:look",
                )
                .param("comment", comment)
                .rows::<Count>("look for statements to kill")
                .await?;
            if running.first().is_none_or(|count| count.count == 0) {
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
    pub async fn revive(&self) -> Result<()> {
        self.engine.revive().await.map(drop)
    }

    /// Classes what the client reports.
    fn classed(error: clickhouse::error::Error, doing: &str) -> Error {
        let text = error.to_string();
        let class = match (&error, codes::code_in(&text)) {
            (_, Some(code)) => codes::class(code),
            (clickhouse::error::Error::Network(_) | clickhouse::error::Error::TimedOut, None) => {
                Class::Unreachable
            }
            (
                clickhouse::error::Error::BadResponse(_) | clickhouse::error::Error::Other(_),
                None,
            ) => Class::Later,
            _ => Class::Never,
        };
        let doing = format!("failed to {doing}");
        match class {
            Class::Operator => Error::operator(doing)
                .caused_by(error)
                .hint("run prefill migrate, which says what is missing; check the database's space and permissions"),
            class => Error::new(class, doing).caused_by(error),
        }
    }
}

/// A statement that is about to run.
#[must_use]
pub struct Statement<'w> {
    warehouse: &'w Warehouse,
    query: Query,
}

impl Statement<'_> {
    /// Binds `{name:Type}`.
    pub fn param(mut self, name: &str, value: impl Serialize) -> Self {
        self.query = self.query.param(name, value);
        self
    }

    /// Sets a setting of ClickHouse for this statement.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.query = self.query.with_setting(name, value);
        self
    }

    /// Runs it to the end.
    ///
    /// # Errors
    ///
    /// Classed by ClickHouse's code; [`Class::Unreachable`] when there was no answer, and then the
    /// engine has been started again where it was dead.
    pub async fn run(self, doing: &str) -> Result<()> {
        let (warehouse, query) = (self.warehouse, self.query);
        warehouse.answered(query.execute(), doing).await
    }

    /// Runs it and reads all rows of its answer.
    ///
    /// # Errors
    ///
    /// As [`Statement::run`].
    pub async fn rows<T: RowOwned + RowRead>(self, doing: &str) -> Result<Vec<T>> {
        let (warehouse, query) = (self.warehouse, self.query);
        warehouse.answered(query.fetch_all::<T>(), doing).await
    }

    /// Runs it and reads its answer as `format` has it.
    ///
    /// # Errors
    ///
    /// As [`Statement::run`].
    pub async fn bytes(self, format: &str, doing: &str) -> Result<Vec<u8>> {
        let (warehouse, query) = (self.warehouse, self.query);
        let fetch = async { query.fetch_bytes(format)?.collect().await };
        warehouse
            .answered(fetch, doing)
            .await
            .map(|bytes| bytes.to_vec())
    }
}

impl Warehouse {
    async fn answered<T>(
        &self,
        answer: impl Future<Output = clickhouse::error::Result<T>>,
        doing: &str,
    ) -> Result<T> {
        let error = match timeout(self.limit(), answer).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => Self::classed(error, doing),
            Err(_) => Error::new(
                Class::Unreachable,
                format!(
                    "failed to {doing}: no answer within {} s",
                    self.limit().as_secs()
                ),
            ),
        };
        if error.class() == Class::Unreachable {
            // The statement may have been done or not; whoever asked looks at the tables. What can
            // be mended here is that nobody answers.
            self.revive()
                .await
                .map_err(|dead| dead.while_doing(error.chain()))?;
        }
        Err(error)
    }
}
