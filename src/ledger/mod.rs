//! The ledger: teams, slices and runs, durable. It is also the queue.
//!
//! SQLite in the data directory, or Postgres where the configuration names one; then any number of
//! processes work on it, from any number of machines. Each change of a slice's state is one statement
//! in `sql/`, named for its transition; a write names the claim and the fence that it expects, and zero
//! rows mean that the claim is lost. The ledger's clock decides, never the caller's. Nothing here talks
//! to a warehouse, and no transaction outlives a call.

mod alerts;
mod claims;
mod control;
mod database;
mod detail;
mod glances;
mod governors;
mod other_teams;
mod postgres;
mod privileges;
mod runs;
mod slices;
mod sqlite;
mod standing;
mod tallies;
mod teams;
mod trigger;
mod watch;
mod widths;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use jiff::Timestamp;

pub use alerts::{Captured, Known, Post, Receiver, RunToCapture, Telling};
pub use claims::{Abandoned, Claim, Claimed, Holder, MOST_EVENTS, NotKept, Outcome};
pub use control::Extent;
pub use detail::{Detail, Holding, RunOfSlice};
pub use glances::{FailedAlike, FilledHour, Glance, Queue, UnderWay};
pub use governors::NotedUse;
pub use runs::{Progress, Request, Run};
pub use slices::{
    Planned, Reason, Receipt, Slice, State, UNKNOWN_DEFINITION, Wanted, partition_of,
};
pub use standing::Unfinished;
pub use tallies::{DayCounts, Tally, Verified, VerifiedDay, WithoutData};
pub use teams::{NewTeam, Signals, Team, TeamChange};
pub use trigger::Notice;
pub use watch::Watch;
pub use widths::Width;

use crate::config::{self, Config};
use crate::error::{Class, Error, Result};
use claims::ByDay;
pub use database::is_of_ledger;
use database::{Database, Statement, Transacting, text};
use other_teams::OtherTeams;
use postgres::{Access, Version};

/// The durable record of every slice.
#[derive(Clone, Debug)]
pub struct Ledger {
    database: Database,
    /// How to connect once more, on Postgres.
    access: Option<Arc<Access>>,
    /// The table of the teams, where it is not prefill's own.
    other_teams: Option<Arc<OtherTeams>>,
    /// Where LISTEN does not work, the ledger is asked as often as this.
    poll: std::time::Duration,
    /// The teams whose days this process fills one by one.
    by_day: ByDay,
    /// The claims that this process asked for.
    asked: Arc<AtomicU64>,
    /// When this process began to delete what nobody recorded, by warehouse.
    undone: Arc<Mutex<BTreeMap<String, Instant>>>,
}

impl Ledger {
    /// The file of a data directory's ledger, where it is in one.
    pub fn file(data_dir: &Path) -> PathBuf {
        data_dir.join("prefill.db")
    }

    /// Opens the ledger of an installation, making it and its tables where there are none. A file is
    /// brought to this version; a schema of Postgres, which others may be working with, is not.
    ///
    /// # Errors
    ///
    /// [`crate::error::Class::Operator`] when the data directory cannot be written, the tables are of
    /// another version, or the teams table is not as it is configured;
    /// [`crate::error::Class::Unreachable`] when the database does not answer.
    pub async fn open(data_dir: &Path, config: &Config) -> Result<Self> {
        let ledger = Self::connect(data_dir, config).await?;
        if let Some(access) = &ledger.access {
            match postgres::version(&ledger.database).await? {
                Version::Newest => {}
                Version::None => {
                    postgres::migrate(&ledger.database, &access.schema, i64::MAX).await?;
                }
                Version::Older(version) => {
                    return Err(Error::operator(format!(
                        "the ledger at {} is of version {version}, and this prefill needs {}",
                        ledger.place(),
                        postgres::MIGRATIONS.len()
                    ))
                    .hint("stop the processes of the older prefill, then run prefill migrate"));
                }
            }
        }
        ledger.with_teams(config).await
    }

    /// As [`Ledger::open`], bringing the tables to this version; and what that took.
    ///
    /// # Errors
    ///
    /// As [`Ledger::check`]; then nothing was changed on Postgres.
    pub async fn migrate(data_dir: &Path, config: &Config) -> Result<(Self, Vec<String>)> {
        let (ledger, missing) = Self::check(data_dir, config).await?;
        if let Some(access) = &ledger.access {
            postgres::migrate(&ledger.database, &access.schema, i64::MAX).await?;
        }
        Ok((ledger, missing))
    }

    /// Looks whether the address of a ledger, where one is configured, can be one; nobody is asked.
    ///
    /// # Errors
    ///
    /// [`crate::error::Class::Misuse`] when it cannot, or its file cannot be read.
    pub fn check_address(config: &config::Ledger) -> Result<()> {
        match config.url()? {
            Some(url) => postgres::check_address(url.reveal()),
            None => Ok(()),
        }
    }

    /// Opens the ledger and says what [`Ledger::migrate`] would do to it. Changes nothing on Postgres.
    ///
    /// # Errors
    ///
    /// As [`Ledger::open`]; and [`crate::error::Class::Operator`] naming the privileges that the user
    /// does not have.
    pub async fn check(data_dir: &Path, config: &Config) -> Result<(Self, Vec<String>)> {
        let ledger = Self::connect(data_dir, config).await?;
        let missing = ledger.missing().await?;
        let ledger = ledger.with_teams(config).await?;
        ledger.check_privileges(!missing.is_empty()).await?;
        Ok((ledger, missing))
    }

    async fn connect(data_dir: &Path, config: &Config) -> Result<Self> {
        let poll = config.ledger.poll();
        let Some(url) = config.ledger.url()? else {
            let path = Self::file(data_dir);
            return Ok(Self {
                database: sqlite::open(data_dir, &path).await?,
                access: None,
                other_teams: None,
                poll,
                by_day: ByDay::default(),
                asked: Arc::default(),
                undone: Arc::default(),
            });
        };
        let access = Access::find(url.reveal(), &config.ledger).await?;
        Ok(Self {
            database: access.database(),
            access: Some(Arc::new(access)),
            other_teams: None,
            poll,
            by_day: ByDay::default(),
            asked: Arc::default(),
            undone: Arc::default(),
        })
    }

    async fn with_teams(mut self, config: &Config) -> Result<Self> {
        if let Some(teams) = &config.teams {
            let teams = OtherTeams::find(&self, teams).await?;
            self.other_teams = Some(Arc::new(teams));
        }
        Ok(self)
    }

    /// What the newest version has and the tables have not.
    async fn missing(&self) -> Result<Vec<String>> {
        let Some(access) = &self.access else {
            return Ok(Vec::new());
        };
        let from = match postgres::version(&self.database).await? {
            Version::None => 0,
            Version::Older(version) => version,
            Version::Newest => return Ok(Vec::new()),
        };
        Ok(postgres::MIGRATIONS
            .iter()
            .filter(|(version, ..)| *version > from)
            .map(|(version, name, _)| {
                format!(
                    "make version {version} ({name}) of the tables in the schema {}",
                    access.schema
                )
            })
            .collect())
    }

    /// Where the ledger is, for people: never with a password.
    pub fn place(&self) -> String {
        self.database.place()
    }

    /// Whether any number of `prefill serve` may work on it.
    pub fn is_shared(&self) -> bool {
        self.access.is_some()
    }

    /// Whether the teams are the rows of a table that is not prefill's; its name.
    pub fn other_teams(&self) -> Option<&str> {
        self.other_teams.as_deref().map(OtherTeams::table)
    }

    fn schema(&self) -> &str {
        self.access.as_deref().map_or("", |access| &access.schema)
    }

    /// The channel of [`Watch`].
    fn channel(&self) -> String {
        format!("prefill_{}", self.schema())
    }

    /// Whether transactions that write wait for each other as a matter of course: on SQLite.
    fn transacts_alone(&self) -> bool {
        self.access.is_none()
    }

    /// Fails where the file that was opened is not at its place any more: what others do there is not seen.
    ///
    /// # Errors
    ///
    /// [`crate::error::Class::Operator`].
    pub fn must_be_in_place(&self) -> Result<()> {
        match &self.database {
            Database::Sqlite { path, inode, .. } => sqlite::must_be_in_place(path, *inode),
            Database::Postgres { .. } => Ok(()),
        }
    }

    /// Tells the watches to look again, once the transaction is committed. SQLite's see the commit.
    async fn tell(&self, transaction: &mut Transacting) -> Result<()> {
        transaction
            .notify("tell of a change", &self.channel())
            .await
    }

    /// What time it is by the ledger's clock, which all machines share.
    pub async fn now(&self) -> Result<Timestamp> {
        let row = self
            .database
            .row(
                "read the clock",
                &Statement::new(text!("select {now} as now")),
            )
            .await?;
        Timestamp::from_millisecond(row.get("now")?).map_err(|error| {
            Error::new(Class::Never, "the ledger's clock is out of range").caused_by(error)
        })
    }

    /// A number remembered under `name`.
    pub async fn mark(&self, name: &str) -> Result<Option<i64>> {
        let statement = Statement::new(text!("select value from marks where name = $1")).bind(name);
        let rows = self.database.rows("read a mark", &statement).await?;
        rows.first().map(|row| row.get("value")).transpose()
    }

    /// Remembers a number under `name`.
    pub async fn set_mark(&self, name: &str, value: i64) -> Result<()> {
        self.set_mark_in(name, value, false).await
    }

    /// As [`Ledger::set_mark`], for a number that those who watch have to know soon.
    pub async fn tell_mark(&self, name: &str, value: i64) -> Result<()> {
        self.set_mark_in(name, value, true).await
    }

    async fn set_mark_in(&self, name: &str, value: i64, tell: bool) -> Result<()> {
        const DOING: &str = "set a mark";
        let statement = Statement::new(text!(
            "insert into marks (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value"
        ))
        .bind(name)
        .bind(value);
        if !tell {
            self.database.execute(DOING, &statement).await?;
            return Ok(());
        }
        let mut transaction = self.database.begin(DOING).await?;
        transaction.execute(DOING, &statement).await?;
        self.tell(&mut transaction).await?;
        transaction.commit(DOING).await
    }
}
