//! What people are told of: what is wrong and since when, what was told, and the messages that wait to be
//! sent. So a restart repeats nothing, and of several processes one decides and one sends.
//!
//! A message is made in the transaction that remembers that it was: it is sent at least once, and again
//! when a process dies between the receiver's answer and the note of it, or the ledger is away for that long.
//!
//! Processes may be configured differently, for a moment or by mistake. So each says which receivers it has,
//! and whoever decides writes for all of them.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::Ledger;
use super::database::{Row, Statement, Transacting, json, sql, text};
use super::runs::uuid;
use super::slices::CHUNK;
use crate::calendar::{Day, TeamId};
use crate::error::Result;

/// Something that is wrong, or was until lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub key: String,
    /// What it is, as JSON.
    pub about: String,
    /// Since when it is seen without a break.
    pub since: Timestamp,
    /// When it was last seen to be on its way to be right.
    pub moved_at: Option<Timestamp>,
    /// Since when it is not seen any more.
    pub gone_since: Option<Timestamp>,
    /// When it was told last.
    pub told_at: Option<Timestamp>,
}

/// What is written down together.
#[derive(Clone, Debug, Default)]
pub struct Telling {
    /// What is new or has changed.
    pub known: Vec<Known>,
    /// Keys of what is over.
    pub over: Vec<String>,
    /// Messages, each with its receiver.
    pub posts: Vec<(String, String)>,
    /// What PostHog is told of which run.
    pub captured: Vec<(Uuid, Captured)>,
}

impl Telling {
    /// Whether there is nothing to write down.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
            && self.over.is_empty()
            && self.posts.is_empty()
            && self.captured.is_empty()
    }
}

/// What PostHog was told of a run; the later ones stand above the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Captured {
    Nothing = 0,
    Started = 1,
    Failed = 2,
    Completed = 3,
}

impl Captured {
    fn of(number: i64) -> Self {
        match number {
            ..=0 => Self::Nothing,
            1 => Self::Started,
            2 => Self::Failed,
            3.. => Self::Completed,
        }
    }
}

/// A run that PostHog may have to be told of.
#[derive(Clone, Debug)]
pub struct RunToCapture {
    pub id: Uuid,
    pub team_id: TeamId,
    pub date_start: Day,
    /// Exclusive.
    pub date_end: Day,
    pub reason: String,
    pub requested_at: Timestamp,
    pub captured: Captured,
    /// Days that had to be filled.
    pub days: i64,
    /// Those of them that somebody claimed.
    pub begun: i64,
    pub filled: i64,
    pub failed: i64,
    /// Neither filled nor failed.
    pub open: i64,
    /// When the last of them was filled.
    pub filled_at: Option<Timestamp>,
    /// In both tables.
    pub rows: i64,
    /// The class of the error of the newest day that failed.
    pub error_class: Option<String>,
}

/// A receiver that a process has or had, or for which messages wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    pub name: String,
    /// Which messages it is sent; nothing where no process has told of it.
    pub takes: Option<String>,
    /// How long ago a process said that it has it.
    pub away: Duration,
    /// Messages that wait.
    pub waiting: u64,
    /// Since when the oldest of them waits; zero where there is none.
    pub oldest: Duration,
}

impl Receiver {
    /// A process that is away for so long is being restarted or upgraded, and its receivers are those that
    /// it had.
    const STAYS: Duration = Duration::from_secs(600);

    /// Whether some process has it.
    pub fn is_there(&self) -> bool {
        self.away < Self::STAYS
    }
}

/// A message that is being sent.
#[derive(Clone, Debug)]
pub struct Post {
    pub id: i64,
    pub body: String,
    /// This one included.
    pub tries: i64,
    /// Since it was made.
    pub age: Duration,
}

impl Ledger {
    /// Takes or keeps the turn to do something that one of several processes does; false when somebody
    /// else has it.
    pub async fn take_turn(&self, name: &str, owner: &str, lease: Duration) -> Result<bool> {
        let turn = turn(name, owner, lease);
        Ok(self.database.execute("take a turn", &turn).await? > 0)
    }

    /// Lets somebody else have the turn at once.
    pub async fn end_turn(&self, name: &str, owner: &str) -> Result<()> {
        let statement = Statement::new(text!("delete from turns where name = $1 and owner = $2"))
            .bind(name)
            .bind(owner);
        self.database.execute("end a turn", &statement).await?;
        Ok(())
    }

    /// What is wrong, or was until lately.
    pub async fn alerts(&self) -> Result<Vec<Known>> {
        let statement = Statement::new(text!("select * from alerts order by key"));
        let rows = self.database.rows("read the alerts", &statement).await?;
        rows.iter()
            .map(|row| {
                Ok(Known {
                    key: row.get("key")?,
                    about: row.get("about")?,
                    since: instant(row, "since")?.unwrap_or_default(),
                    moved_at: instant(row, "moved_at")?,
                    gone_since: instant(row, "gone_since")?,
                    told_at: instant(row, "told_at")?,
                })
            })
            .collect()
    }

    /// Writes down what is told, as long as `owner` has the turn; `None` when he has not. How many
    /// messages were dropped because more than `most` waited, by receiver.
    pub async fn tell_of(
        &self,
        (name, owner, lease): (&str, &str, Duration),
        telling: &Telling,
        most: u32,
    ) -> Result<Option<Vec<(String, u64)>>> {
        const DOING: &str = "write down what is told";
        let mut transaction = self.database.begin(DOING).await?;
        if transaction
            .execute(DOING, &turn(name, owner, lease))
            .await?
            == 0
        {
            return Ok(None);
        }
        for chunk in telling.known.chunks(CHUNK) {
            let rows = chunk.iter().map(|known| {
                json!([
                    known.key,
                    known.about,
                    known.since.as_millisecond(),
                    known.moved_at.map(Timestamp::as_millisecond),
                    known.gone_since.map(Timestamp::as_millisecond),
                    known.told_at.map(Timestamp::as_millisecond),
                ])
            });
            let keep = Statement::new(sql!("keep_alerts")).bind(json(rows));
            transaction.execute(DOING, &keep).await?;
        }
        for chunk in telling.over.chunks(CHUNK) {
            let over = Statement::new(text!(
                "delete from alerts where key in (select value ->> 0 from {rows $1})"
            ))
            .bind(json(chunk.iter().map(|key| json!([key]))));
            transaction.execute(DOING, &over).await?;
        }
        for chunk in telling.captured.chunks(CHUNK) {
            let rows = chunk
                .iter()
                .map(|(run, captured)| json!([run.to_string(), *captured as i64]));
            let mark = Statement::new(sql!("mark_captured")).bind(json(rows));
            transaction.execute(DOING, &mark).await?;
        }
        let dropped = post(&mut transaction, &telling.posts, most).await?;
        transaction.commit(DOING).await?;
        Ok(Some(dropped))
    }

    /// Takes the oldest message of a receiver, to send it within `lease`; `None` where there is none, it
    /// is not due, or somebody is sending it. None waits longer than `most_wait`.
    pub async fn take_post(
        &self,
        receiver: &str,
        lease: Duration,
        most_wait: Duration,
    ) -> Result<Option<Post>> {
        const DOING: &str = "look for a message to send";
        // Mostly there is none, and nothing has to be written.
        let waits = Statement::new(text!(
            "select exists (select 1 from outbox where receiver = $1) as waits"
        ))
        .bind(receiver);
        if !self
            .database
            .row(DOING, &waits)
            .await?
            .get::<bool>("waits")?
        {
            return Ok(None);
        }
        let take = Statement::new(sql!("take_post"))
            .bind(receiver)
            .bind(milliseconds(lease))
            .bind(milliseconds(most_wait));
        let rows = self.database.returned(DOING, &take).await?;
        rows.first()
            .map(|row| {
                Ok(Post {
                    id: row.get("id")?,
                    body: row.get("body")?,
                    tries: row.get("tries")?,
                    age: Duration::from_millis(row.get::<i64>("age_ms")?.try_into().unwrap_or(0)),
                })
            })
            .transpose()
    }

    /// Leaves a message that could not be sent for later, unless somebody else is at it by now.
    pub async fn put_back_post(&self, post: &Post, wait: Duration) -> Result<()> {
        let statement = Statement::new(text!(
            "update outbox set taken_until = null, not_before = {now} + $2 where id = $1 and tries = $3"
        ))
        .bind(post.id)
        .bind(milliseconds(wait))
        .bind(post.tries);
        let put = self.database.execute("put a message back", &statement);
        put.await.map(drop)
    }

    /// Forgets a message that was sent, or that its receiver refuses, unless somebody else is at it by now.
    pub async fn end_post(&self, post: &Post) -> Result<()> {
        let statement = Statement::new(text!("delete from outbox where id = $1 and tries = $2"))
            .bind(post.id)
            .bind(post.tries);
        let end = self.database.execute("forget a message", &statement);
        end.await.map(drop)
    }

    /// Forgets the messages of a receiver that were made so long ago or longer; how many.
    pub async fn drop_posts(&self, receiver: &str, age: Duration) -> Result<u64> {
        let statement = Statement::new(text!(
            "delete from outbox where receiver = $1 and made_at <= {now} - $2"
        ))
        .bind(receiver)
        .bind(milliseconds(age));
        self.database.execute("drop messages", &statement).await
    }

    /// Says that a process has these receivers, each with which messages it is sent.
    pub async fn announce(&self, receivers: &[(String, &str)]) -> Result<()> {
        let rows = receivers.iter().map(|(name, takes)| json!([name, takes]));
        let announce = Statement::new(sql!("announce")).bind(json(rows));
        let done = self.database.execute("tell of the receivers", &announce);
        done.await.map(drop)
    }

    /// Every receiver that a process has or had, or for which messages wait, by name.
    pub async fn receivers(&self) -> Result<Vec<Receiver>> {
        let statement = Statement::new(sql!("receivers"));
        let rows = self.database.rows("read the receivers", &statement).await?;
        let time = |row: &Row, name| -> Result<Duration> {
            let milliseconds: Option<i64> = row.get(name)?;
            let milliseconds = milliseconds.unwrap_or(0).try_into();
            Ok(Duration::from_millis(milliseconds.unwrap_or(0)))
        };
        rows.iter()
            .map(|row| {
                Ok(Receiver {
                    name: row.get("name")?,
                    takes: row.get("takes")?,
                    away: time(row, "away_ms")?,
                    waiting: row.get::<i64>("waiting")?.try_into().unwrap_or(0),
                    oldest: time(row, "oldest_ms")?,
                })
            })
            .collect()
    }

    /// Forgets a receiver that no process has had for so long, with the messages that wait for it; how
    /// many those were.
    pub async fn forget_receiver(&self, receiver: &str, away: Duration) -> Result<u64> {
        const DOING: &str = "forget a receiver";
        let mut transaction = self.database.begin(DOING).await?;
        let forget = Statement::new(text!(
            "delete from receivers where name = $1 and seen_at <= {now} - $2"
        ))
        .bind(receiver)
        .bind(milliseconds(away));
        transaction.execute(DOING, &forget).await?;
        // Unless somebody has it again.
        let drop = Statement::new(text!(
            "delete from outbox where receiver = $1 and not exists (select 1 from receivers where name = $1)"
        ))
        .bind(receiver);
        let dropped = transaction.execute(DOING, &drop).await?;
        transaction.commit(DOING).await?;
        Ok(dropped)
    }

    /// Runs that PostHog may have to be told of, asked for at `since` or later and after the one of
    /// `after`, in the order in which they were asked for.
    pub async fn runs_to_capture(
        &self,
        since: Timestamp,
        after: Option<&RunToCapture>,
        most: u32,
    ) -> Result<Vec<RunToCapture>> {
        let (at, id) = after.map_or((i64::MIN, String::new()), |run| {
            (run.requested_at.as_millisecond(), run.id.to_string())
        });
        let statement = Statement::new(sql!("runs_to_capture"))
            .bind(since.as_millisecond())
            .bind(at)
            .bind(id)
            .bind(most);
        let rows = self.database.rows("read the runs", &statement).await?;
        rows.iter().map(run_to_capture).collect()
    }

    /// The warehouses on which a slice is being filled right now.
    pub async fn busy_warehouses(&self) -> Result<Vec<String>> {
        let statement = Statement::new(text!(
            "select distinct warehouse from slices where state = 'running'"
        ));
        let rows = self.database.rows("look what runs", &statement).await?;
        rows.iter().map(|row| row.get("warehouse")).collect()
    }
}

/// Adds messages, and drops the oldest where too many wait.
async fn post(
    transaction: &mut Transacting,
    posts: &[(String, String)],
    most: u32,
) -> Result<Vec<(String, u64)>> {
    const DOING: &str = "add messages";
    let mut dropped = Vec::new();
    for chunk in posts.chunks(CHUNK) {
        let rows = chunk.iter().map(|(receiver, body)| json!([receiver, body]));
        let add = Statement::new(sql!("post")).bind(json(rows));
        transaction.execute(DOING, &add).await?;
    }
    let mut receivers: Vec<&str> = posts
        .iter()
        .map(|(receiver, _)| receiver.as_str())
        .collect();
    receivers.sort_unstable();
    receivers.dedup();
    for receiver in receivers {
        let trim = Statement::new(sql!("trim_outbox"))
            .bind(receiver)
            .bind(most);
        let trimmed = transaction.execute(DOING, &trim).await?;
        if trimmed > 0 {
            dropped.push((receiver.to_owned(), trimmed));
        }
    }
    Ok(dropped)
}

fn turn(name: &str, owner: &str, lease: Duration) -> Statement {
    Statement::new(sql!("take_turn"))
        .bind(name)
        .bind(owner)
        .bind(milliseconds(lease))
}

fn run_to_capture(row: &Row) -> Result<RunToCapture> {
    let failed_with: Option<String> = row.get("failed_with")?;
    let class = failed_with.as_deref().and_then(|text| text.get(10..));
    Ok(RunToCapture {
        id: uuid(&row.get::<String>("id")?)?,
        team_id: TeamId(row.get("team_id")?),
        date_start: row.parsed("date_start")?,
        date_end: row.parsed("date_end")?,
        reason: row.get("reason")?,
        requested_at: instant(row, "requested_at")?.unwrap_or_default(),
        captured: Captured::of(row.get("captured")?),
        days: row.get("days")?,
        begun: row.get("begun")?,
        filled: row.get("filled")?,
        failed: row.get("failed")?,
        open: row.get("open")?,
        filled_at: instant(row, "filled_at")?,
        rows: row.get("rows_written")?,
        error_class: class
            .filter(|class| !class.is_empty())
            .map(ToOwned::to_owned),
    })
}

fn instant(row: &Row, name: &str) -> Result<Option<Timestamp>> {
    let at: Option<i64> = row.get(name)?;
    Ok(at.and_then(|at| Timestamp::from_millisecond(at).ok()))
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
