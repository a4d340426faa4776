//! What people stop and set going again: a run, a team, or everything.
//!
//! Pausing keeps slices from being claimed until somebody resumes; what runs stops, and is undone.
//! Cancelling ends runs: their days are not wanted any more, unless another run or the upkeep of what
//! is filled wants them. Both are facts about runs and teams, from which the views of 0004_control.sql
//! derive which slices they keep, so a slice that is planned later is kept as well.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::json;
use uuid::Uuid;

use super::Ledger;
use super::database::{Statement, json, sql, text};
use super::runs::{Run, run, uuid};
use super::slices::team_ids;
use crate::calendar::{Day, TeamId};
use crate::error::{Error, Result};

/// What is meant by somebody who stops something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    Task(Uuid),
    Team(TeamId),
    Everything,
}

/// As the command line has it: `prefill resume {extent}`.
impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task(run) => write!(f, "{run}"),
            Self::Team(team) => write!(f, "--team-id {team}"),
            Self::Everything => f.write_str("--all"),
        }
    }
}

impl Extent {
    /// What it is, for people.
    pub fn name(self) -> String {
        match self {
            Self::Task(run) => format!("task {run}"),
            Self::Team(team) => format!("team {team}"),
            Self::Everything => "everything".to_owned(),
        }
    }

    /// Whether a pause of it keeps all of a team.
    pub fn covers(self, team: TeamId) -> bool {
        match self {
            Self::Task(_) => false,
            Self::Team(paused) => paused == team,
            Self::Everything => true,
        }
    }

    fn run(self) -> Option<String> {
        match self {
            Self::Task(run) => Some(run.to_string()),
            Self::Team(_) | Self::Everything => None,
        }
    }

    fn team(self) -> Option<i64> {
        match self {
            Self::Team(team) => Some(team.0),
            Self::Task(_) | Self::Everything => None,
        }
    }
}

/// Of [`Extent::Everything`], in the table of pauses.
pub(super) const EVERY_TEAM: i64 = 0;

impl Ledger {
    /// Keeps what is not filled yet from being filled, and stops what runs.
    ///
    /// # Errors
    ///
    /// [`crate::error::Class::Misuse`] when there is no such run or team, or nothing of the run is left to do.
    pub async fn pause(&self, extent: Extent) -> Result<()> {
        const DOING: &str = "pause";
        self.must_exist(extent).await?;
        let mut transaction = self.database.begin(DOING).await?;
        let statement = match extent {
            Extent::Task(run) => Statement::new(sql!("pause_runs")).bind(run.to_string()),
            Extent::Team(_) | Extent::Everything => Statement::new(text!(
                "insert into pauses (team_id, paused_at) values ($1, {now}) on conflict (team_id) do update set paused_at = pauses.paused_at"
            ))
            .bind(extent.team().unwrap_or(EVERY_TEAM)),
        };
        if transaction.execute(DOING, &statement).await? == 0 {
            return Err(self.nothing_left(extent).await);
        }
        let stop = Statement::new(sql!("stop_paused"));
        transaction.execute(DOING, &stop).await?;
        transaction.commit(DOING).await?;
        self.wait_for_claims(DOING).await?;
        self.database.execute(DOING, &stop).await?;
        Ok(())
    }

    /// Lets what was paused be filled; of a run, also what was cancelled. Of a team all that was paused,
    /// and of everything every pause there is.
    ///
    /// # Errors
    ///
    /// [`crate::error::Class::Misuse`] when there is no such run or team, or it is not stopped.
    pub async fn resume(&self, extent: Extent) -> Result<()> {
        const DOING: &str = "resume";
        self.must_exist(extent).await?;
        let mut transaction = self.database.begin(DOING).await?;
        let resumed = match extent {
            Extent::Task(run) => {
                let of_run = Statement::new(text!(
                    "update runs set paused_at = null, cancelled_at = null where id = $1 and (paused_at is not null or cancelled_at is not null) returning forced"
                ))
                .bind(run.to_string());
                let rows = transaction.rows(DOING, &of_run).await?;
                let forced = rows.first().map(|row| row.get::<bool>("forced"));
                if forced.transpose()? == Some(true) {
                    let again = Statement::new(sql!("resume_slices")).bind(run.to_string());
                    transaction.execute(DOING, &again).await?;
                }
                rows.len()
            }
            Extent::Team(_) | Extent::Everything => {
                let pauses = Statement::new(text!(
                    "delete from pauses where $1 is null or team_id = $1 returning team_id"
                ));
                let runs = Statement::new(text!(
                    "update runs set paused_at = null where paused_at is not null and ($1 is null or team_id = $1) returning id"
                ));
                transaction
                    .rows(DOING, &pauses.bind(extent.team()))
                    .await?
                    .len()
                    + transaction
                        .rows(DOING, &runs.bind(extent.team()))
                        .await?
                        .len()
            }
        };
        if resumed == 0 {
            return Err(self.not_stopped(extent).await);
        }
        self.tell(&mut transaction).await?;
        transaction.commit(DOING).await
    }

    /// Ends the runs that have something left to do; which.
    ///
    /// # Errors
    ///
    /// [`crate::error::Class::Misuse`] when there is no such run or team, or nothing of the run is left to do.
    pub async fn cancel(&self, extent: Extent) -> Result<Vec<Uuid>> {
        const DOING: &str = "cancel";
        self.must_exist(extent).await?;
        let mut transaction = self.database.begin(DOING).await?;
        let statement = Statement::new(sql!("cancel_runs"))
            .bind(extent.run())
            .bind(extent.team());
        let rows = transaction.rows(DOING, &statement).await?;
        let runs = rows
            .iter()
            .map(|row| uuid(&row.get::<String>("id")?))
            .collect::<Result<Vec<_>>>()?;
        if runs.is_empty() && matches!(extent, Extent::Task(_)) {
            return Err(self.nothing_left(extent).await);
        }
        let slices = Statement::new(sql!("cancel_slices"))
            .bind(json(runs.iter().map(|run| json!([run.to_string()]))));
        transaction.execute(DOING, &slices).await?;
        transaction.commit(DOING).await?;
        self.wait_for_claims(DOING).await?;
        self.database.execute(DOING, &slices).await?;
        Ok(runs)
    }

    /// Tries what failed once more, now; how many days.
    ///
    /// # Errors
    ///
    /// [`crate::error::Class::Misuse`] when there is no such run or team, or the run is cancelled.
    pub async fn retry(&self, extent: Extent) -> Result<u64> {
        const DOING: &str = "retry";
        self.must_exist(extent).await?;
        if let Extent::Task(run) = extent
            && self.run(run).await?.cancelled_at.is_some()
        {
            return Err(Error::conflict(format!("task {run} is cancelled"))
                .hint(format!("run prefill resume {run}")));
        }
        let mut transaction = self.database.begin(DOING).await?;
        let statement = Statement::new(sql!("retry"))
            .bind(extent.run())
            .bind(extent.team());
        let retried = transaction.execute(DOING, &statement).await?;
        self.tell(&mut transaction).await?;
        transaction.commit(DOING).await?;
        Ok(retried)
    }

    /// The teams that are paused, [`Extent::Everything`] first.
    pub async fn pauses(&self) -> Result<Vec<Extent>> {
        let statement = Statement::new(text!("select team_id from pauses order by team_id"));
        let rows = self.database.rows("read the pauses", &statement).await?;
        rows.iter()
            .map(|row| {
                Ok(match row.get("team_id")? {
                    EVERY_TEAM => Extent::Everything,
                    team => Extent::Team(TeamId(team)),
                })
            })
            .collect()
    }

    /// The runs that somebody paused by themselves, those that were paused last first, at most so many; and how
    /// many there are.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn paused_runs(&self, most: u32) -> Result<(Vec<Run>, usize)> {
        let statement = Statement::new(text!(
            "select runs.*, count(*) over () as all_of_them from runs where paused_at is not null order by paused_at desc, id limit $1"
        ))
        .bind(most);
        let rows = self
            .database
            .rows("list the paused runs", &statement)
            .await?;
        let count: i64 = rows.first().map_or(Ok(0), |row| row.get("all_of_them"))?;
        let runs = rows.iter().map(run).collect::<Result<_>>()?;
        Ok((runs, usize::try_from(count).unwrap_or(0)))
    }

    /// The open days of some teams that a paused task keeps, each with such a task.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn paused_days(&self, teams: &[TeamId]) -> Result<BTreeMap<(TeamId, Day), Uuid>> {
        let statement = Statement::new(sql!("paused_days")).bind(team_ids(teams));
        let rows = self
            .database
            .rows("look for days of paused tasks", &statement)
            .await?;
        rows.iter()
            .map(|row| {
                let key = (TeamId(row.get("team_id")?), row.parsed("day")?);
                Ok((key, uuid(&row.get::<String>("run")?)?))
            })
            .collect()
    }

    /// Waits until every claim that was being made while something was stopped, and has not seen that, is
    /// there to be told. On SQLite nothing happens at the same time.
    async fn wait_for_claims(&self, doing: &str) -> Result<()> {
        let warehouses = Statement::new(text!("select distinct warehouse from slices order by 1"));
        let warehouses = self.database.rows(doing, &warehouses).await?;
        let locks = warehouses
            .iter()
            .map(|row| Ok(self.claim_lock(&row.get::<String>("warehouse")?)))
            .collect::<Result<Vec<_>>>()?;
        let mut transaction = self.database.begin(doing).await?;
        transaction.lock_all(doing, &locks).await?;
        // A claim waits for these locks with a slice of its own locked: they are given up before any
        // slice is touched.
        transaction.commit(doing).await
    }

    async fn must_exist(&self, extent: Extent) -> Result<()> {
        match extent {
            Extent::Task(run) => self.run(run).await.map(drop),
            Extent::Team(team) => self.team(team).await.map(drop),
            Extent::Everything => Ok(()),
        }
    }

    async fn nothing_left(&self, extent: Extent) -> Error {
        let Extent::Task(run) = extent else {
            return Error::conflict("nothing is left to do");
        };
        match self.progress(run).await {
            Ok(progress) => Error::conflict(format!(
                "task {run} is {}: there is nothing left of it to stop",
                progress.status()
            ))
            .hint(format!("run prefill status {run} to see its days")),
            Err(error) => error,
        }
    }

    async fn not_stopped(&self, extent: Extent) -> Error {
        match extent {
            Extent::Task(run) => {
                let error = Error::conflict(format!("task {run} is neither paused nor cancelled"));
                error.hint(match self.paused_by(extent).await {
                    Ok(Some(pause)) => {
                        format!("{} is paused: run prefill resume {pause}", pause.name())
                    }
                    _ => format!("run prefill status {run} to see its days"),
                })
            }
            Extent::Team(_) | Extent::Everything => {
                let what = match extent {
                    Extent::Team(team) => format!("nothing of team {team} is paused"),
                    _ => "nothing is paused".to_owned(),
                };
                Error::conflict(what).hint("prefill status shows what is paused; prefill resume TASK takes up a task that was cancelled")
            }
        }
    }

    /// The pause of its team, or of everything, that keeps a run or a team.
    pub async fn paused_by(&self, extent: Extent) -> Result<Option<Extent>> {
        let team = match extent {
            Extent::Task(run) => self.run(run).await?.team_id,
            Extent::Team(team) => team,
            Extent::Everything => return Ok(None),
        };
        let pauses = self.pauses().await?;
        Ok(pauses.into_iter().find(|pause| pause.covers(team)))
    }
}
