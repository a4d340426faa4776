//! What pages show of many slices at once: the days of some teams, what is under way, what failed alike,
//! what was filled lately. Reads only, a number of questions that does not grow with the teams.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::Ledger;
use super::database::{Row, Statement, sql, text};
use super::runs::{Run, run};
use super::slices::{Slice, slice, team_ids};
use crate::calendar::{Day, Days, TeamId};
use crate::error::Result;

/// A slice with what keeps it from being claimed.
#[derive(Clone, Debug)]
pub struct Glance {
    pub slice: Slice,
    /// Its team had the setting off when somebody last looked.
    pub held: bool,
    /// Somebody paused it, its team or everything.
    pub is_paused: bool,
    /// Only cancelled runs asked for it.
    pub is_cancelled: bool,
}

/// A claim that is being filled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct UnderWay {
    pub claim: String,
    /// Host and process of the worker first.
    pub owner: String,
    pub warehouse: String,
    /// The newest of its days.
    pub day: Day,
    /// How many teams' days it has.
    pub slices: i64,
    /// Of how many teams; of several days there is one.
    pub teams: i64,
    /// One of these teams.
    pub team_id: TeamId,
    pub since: Option<Timestamp>,
    /// The worker gave no sign of life in time.
    pub lease_is_over: bool,
    /// The worker was told to stop.
    pub is_to_stop: bool,
}

/// Slices that failed with the same error.
#[derive(Clone, Debug, Serialize)]
pub struct FailedAlike {
    pub error: String,
    pub slices: i64,
    pub teams: i64,
    /// One of these teams.
    pub team_id: TeamId,
    /// The oldest and the newest of the days.
    pub first: Day,
    pub last: Day,
    pub tried_at: Option<Timestamp>,
}

/// What waits to be claimed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Queue {
    pub slices: i64,
    /// Since when the oldest of them is wanted, or stale.
    pub oldest: Option<Timestamp>,
    /// How many of them wait for a pause to end.
    pub paused: i64,
}

/// What was filled within an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FilledHour {
    /// Whole hours since the instant that was asked about.
    pub hour: i64,
    pub slices: i64,
    pub events: i64,
    pub sessions: i64,
    pub page_views: i64,
    /// In both tables.
    pub rows: i64,
}

impl Ledger {
    /// The slices of some teams within a range of days, by team and day.
    pub async fn glances(&self, teams: &[TeamId], days: Days) -> Result<Vec<Glance>> {
        let statement = Statement::new(sql!("glances"))
            .bind(team_ids(teams))
            .bind(days.from.to_string())
            .bind(days.until.to_string());
        let rows = self
            .database
            .rows("read the slices of some teams", &statement)
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Glance {
                    slice: slice(row)?,
                    held: row.get("held")?,
                    is_paused: row.get("is_paused")?,
                    is_cancelled: row.get("is_cancelled")?,
                })
            })
            .collect()
    }

    /// Of the teams, or some of them, that have days which only cancelled runs asked for: how many of them do not wait
    /// for events.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn cancelled_days(&self, teams: Option<&[TeamId]>) -> Result<BTreeMap<TeamId, i64>> {
        let statement = Statement::new(sql!("cancelled_days")).bind(teams.map(team_ids));
        let rows = self
            .database
            .rows("look for what was cancelled", &statement)
            .await?;
        rows.iter()
            .map(|row| Ok((TeamId(row.get("team_id")?), row.get("days")?)))
            .collect()
    }

    /// The claims under way, the oldest first.
    pub async fn claims_under_way(&self, most: u32) -> Result<Vec<UnderWay>> {
        let statement = Statement::new(sql!("claims_under_way")).bind(most);
        let rows = self
            .database
            .rows("read what is under way", &statement)
            .await?;
        rows.iter()
            .map(|row| {
                Ok(UnderWay {
                    claim: row.get("claim")?,
                    owner: row.get::<Option<String>>("owner")?.unwrap_or_default(),
                    warehouse: row.get("warehouse")?,
                    day: row.parsed("day")?,
                    slices: row.get("slices")?,
                    teams: row.get("teams")?,
                    team_id: TeamId(row.get("team_id")?),
                    since: instant(row, "claimed_at")?,
                    lease_is_over: row.get("lease_is_over")?,
                    is_to_stop: row.get("is_to_stop")?,
                })
            })
            .collect()
    }

    /// The slices that failed, by their errors, those that were tried last first.
    pub async fn failed_alike(&self, most: u32) -> Result<Vec<FailedAlike>> {
        let statement = Statement::new(sql!("failed_alike")).bind(most);
        let rows = self.database.rows("read what failed", &statement).await?;
        rows.iter()
            .map(|row| {
                Ok(FailedAlike {
                    error: row.get("error")?,
                    slices: row.get("slices")?,
                    teams: row.get("teams")?,
                    team_id: TeamId(row.get("team_id")?),
                    first: row.parsed("first")?,
                    last: row.parsed("last")?,
                    tried_at: instant(row, "tried_at")?,
                })
            })
            .collect()
    }

    /// How much waits to be claimed, of teams that have the setting on.
    pub async fn queue(&self) -> Result<Queue> {
        let statement = Statement::new(sql!("queue"));
        let row = self.database.row("read the queue", &statement).await?;
        Ok(Queue {
            slices: row.get("slices")?,
            oldest: instant(&row, "oldest")?,
            paused: row.get("paused")?,
        })
    }

    /// What was filled since an instant, by hours; an hour in which nothing was is left out.
    pub async fn filled_by_hour(&self, since: Timestamp) -> Result<Vec<FilledHour>> {
        let statement = Statement::new(sql!("filled_by_hour")).bind(since.as_millisecond());
        let rows = self
            .database
            .rows("read what was filled lately", &statement)
            .await?;
        rows.iter()
            .map(|row| {
                Ok(FilledHour {
                    hour: row.get("hour")?,
                    slices: row.get("slices")?,
                    events: row.get("events")?,
                    sessions: row.get("sessions")?,
                    page_views: row.get("page_views")?,
                    rows: row.get("rows_written")?,
                })
            })
            .collect()
    }

    /// The latest runs of a team, the newest first.
    pub async fn runs_of_team(&self, team: TeamId, most: u32) -> Result<Vec<Run>> {
        let statement = Statement::new(text!(
            "select * from runs where team_id = $1 order by requested_at desc, id limit $2"
        ))
        .bind(team.0)
        .bind(most);
        let rows = self
            .database
            .rows("list the runs of a team", &statement)
            .await?;
        rows.iter().map(run).collect()
    }
}

fn instant(row: &Row, name: &str) -> Result<Option<Timestamp>> {
    let at: Option<i64> = row.get(name)?;
    Ok(at.and_then(|at| Timestamp::from_millisecond(at).ok()))
}
