//! Tells when somebody has changed the ledger.
//!
//! SQLite is asked for its `data_version`, which grows with every commit of others. Postgres tells by
//! NOTIFY, where LISTEN works: it is tried out, because a pooler that hands connections out by the
//! transaction takes the LISTEN and delivers nothing. Then the ledger is looked at on a period. A
//! notification carries nothing, and after a connection that was lost everything is looked at again.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgPool};
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

use super::database::{Database, Statement, failed, failed_in_file, text};
use super::{Ledger, sqlite};
use crate::error::Result;

/// How often SQLite is asked whether anybody committed: a question of microseconds.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// How long a notification to oneself may take.
const ECHO: Duration = Duration::from_secs(2);
/// How long LISTEN is not tried again where it did not work.
const DEAF: Duration = Duration::from_secs(600);
/// As good as for ever, and no instant that a clock does not have.
const FOREVER: Duration = Duration::from_secs(86_400 * 365 * 30);
/// How often a connection on which nothing comes is tried out: one that broke silently looks the same.
const TRY_EVERY: Duration = Duration::from_secs(30);

/// Tells whether anybody has changed the ledger since the last look.
#[derive(Debug)]
pub struct Watch(Way);

#[derive(Debug)]
enum Way {
    Sqlite {
        connection: SqliteConnection,
        seen: Option<i64>,
    },
    Postgres(Box<Listening>),
}

struct Listening {
    /// The first wait is over.
    looked: bool,
    ledger: Ledger,
    /// Of the one connection that listens.
    pool: PgPool,
    listener: Option<PgListener>,
    /// LISTEN was found not to work here; until when that is believed.
    deaf: Option<Instant>,
    heard: Instant,
    polled: Instant,
}

impl std::fmt::Debug for Listening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Listening(deaf: {})", self.deaf.is_some())
    }
}

impl Ledger {
    /// Watches the ledger for changes by anyone, this process included. Where they come by NOTIFY, that
    /// is begun by the first wait.
    pub async fn watch(&self) -> Result<Watch> {
        if let (Some(access), Database::Postgres { .. }) = (&self.access, &self.database) {
            if !access.listens {
                say_deaf(self.poll);
            }
            return Ok(Watch(Way::Postgres(Box::new(Listening {
                looked: false,
                ledger: self.clone(),
                pool: access.pool(1),
                listener: None,
                deaf: (!access.listens).then(|| Instant::now() + FOREVER),
                heard: Instant::now(),
                polled: Instant::now(),
            }))));
        }
        let Database::Sqlite { path, .. } = &self.database else {
            unreachable!("a ledger without access to Postgres is in a file")
        };
        self.must_be_in_place()?;
        let connection = sqlite::options(path)
            .connect()
            .await
            .map_err(|error| failed_in_file("watch the ledger", error))?;
        Ok(Watch(Way::Sqlite {
            connection,
            seen: None,
        }))
    }
}

impl Watch {
    /// Waits until something may have changed since the last look, at most so long; whether it may.
    /// True at the first look.
    ///
    /// # Errors
    ///
    /// When the ledger does not answer. The next wait begins anew.
    pub async fn wait(&mut self, most: Duration) -> Result<bool> {
        let until = Instant::now() + most;
        match &mut self.0 {
            Way::Sqlite { connection, seen } => loop {
                let row = sqlx::query("pragma data_version")
                    .fetch_one(&mut *connection)
                    .await
                    .map_err(|error| failed_in_file("watch the ledger", error))?;
                let version: i64 = row
                    .try_get("data_version")
                    .map_err(|error| failed_in_file("watch the ledger", error))?;
                if seen.replace(version) != Some(version) {
                    return Ok(true);
                }
                let now = Instant::now();
                if now >= until {
                    return Ok(false);
                }
                tokio::time::sleep(ASK_EVERY.min(until - now)).await;
            },
            Way::Postgres(listening) => listening.wait(until).await,
        }
    }

    /// Ends the watch.
    pub async fn close(self) -> Result<()> {
        match self.0 {
            Way::Sqlite { connection, .. } => connection
                .close()
                .await
                .map_err(|error| failed_in_file("end the watch of the ledger", error)),
            Way::Postgres(mut listening) => {
                drop(listening.listener.take());
                listening.pool.close().await;
                Ok(())
            }
        }
    }
}

fn say_deaf(poll: Duration) {
    let every_ms = u64::try_from(poll.as_millis()).unwrap_or(u64::MAX);
    warn!(
        every_ms,
        "LISTEN does not work here (a pooler in transaction mode?): asking the ledger every {every_ms} ms instead"
    );
}

impl Listening {
    async fn wait(&mut self, until: Instant) -> Result<bool> {
        if !std::mem::replace(&mut self.looked, true) && self.deaf.is_some() {
            return Ok(true);
        }
        let deaf = self.deaf.is_some_and(|until| Instant::now() < until);
        if self.listener.is_none() && !deaf {
            self.listen().await?;
            return Ok(true);
        }
        loop {
            let Some(listener) = &mut self.listener else {
                let next = self.polled + self.ledger.poll;
                tokio::time::sleep_until(next.min(until)).await;
                let due = next <= until;
                if due {
                    self.polled = Instant::now();
                }
                return Ok(due);
            };
            let silent = self.heard + TRY_EVERY;
            match tokio::time::timeout_at(until.min(silent), listener.try_recv()).await {
                Ok(Ok(Some(notification))) => {
                    self.heard = Instant::now();
                    if notification.payload().is_empty() {
                        return Ok(true);
                    }
                }
                // The connection was lost and is there again, or is not: nobody knows what was missed.
                Ok(Ok(None)) => {
                    self.listener = None;
                    self.listen().await?;
                    return Ok(true);
                }
                Ok(Err(error)) => {
                    self.listener = None;
                    return Err(failed("listen to the ledger", error));
                }
                Err(_) if silent <= until => {
                    if !self.hears_itself().await? {
                        self.listener = None;
                        self.listen().await?;
                    }
                    return Ok(true);
                }
                Err(_) => return Ok(false),
            }
        }
    }

    /// Begins to listen, and finds out whether that works.
    async fn listen(&mut self) -> Result<()> {
        let channel = self.ledger.channel();
        let connect = async {
            let mut listener = PgListener::connect_with(&self.pool).await?;
            listener.eager_reconnect(false);
            listener.listen(&channel).await?;
            Ok(listener)
        };
        let listener = connect
            .await
            .map_err(|error| failed("listen to the ledger", error))?;
        self.listener = Some(listener);
        if self.hears_itself().await? {
            self.deaf = None;
            return Ok(());
        }
        self.listener = None;
        if self.deaf.replace(Instant::now() + DEAF).is_none() {
            say_deaf(self.ledger.poll);
        }
        Ok(())
    }

    /// Sends a notification by another connection, and waits for it.
    async fn hears_itself(&mut self) -> Result<bool> {
        let Some(listener) = &mut self.listener else {
            return Ok(false);
        };
        let echo = Uuid::new_v4().to_string();
        let statement = Statement::new(text!("select pg_notify($1, $2)"))
            .bind(self.ledger.channel())
            .bind(&echo);
        self.ledger
            .database
            .returned("try LISTEN out", &statement)
            .await?;
        let heard = async {
            loop {
                match listener.try_recv().await? {
                    Some(notification) if notification.payload() == echo => return Ok(()),
                    Some(_) => {}
                    None => return Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe).into()),
                }
            }
        };
        let heard = match tokio::time::timeout(ECHO, heard).await {
            Ok(heard) => heard.map(|()| true),
            Err(_) => Ok(false),
        };
        self.heard = Instant::now();
        heard.map_err(|error| {
            self.listener = None;
            failed("listen to the ledger", error)
        })
    }
}
