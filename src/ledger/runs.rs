//! Runs: what a person or a signal asked for, with progress that is derived from the slices.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Ledger;
use super::database::{Row, Statement, Tries, json, sql, text};
use super::slices::{Reason, Wanted};
use crate::calendar::{Day, Days, TeamId, Zone};
use crate::error::{Class, Error, Result};

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Run {
    #[serde(rename = "task_id")]
    pub id: Uuid,
    pub team_id: TeamId,
    pub date_start: Day,
    /// Exclusive.
    pub date_end: Day,
    pub reason: String,
    pub forced: bool,
    pub requested_at: Timestamp,
    /// Since when it is paused.
    pub paused_at: Option<Timestamp>,
    /// Since when it is cancelled.
    pub cancelled_at: Option<Timestamp>,
}

/// How far a run is. A slice is counted once, under the first that holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Progress {
    /// Days that had to be filled.
    pub days: i64,
    pub filled: i64,
    pub failed: i64,
    pub running: i64,
    /// Days without events, of a source that is not known to be complete.
    pub waiting: i64,
    /// Days that were cleaned since, whose team turned the setting off, or that are not filled of a
    /// run that was cancelled.
    pub cancelled: i64,
    /// Days that are not filled before somebody resumes the run, its team or everything.
    pub paused: i64,
    pub stats_rows: i64,
    pub bounces_rows: i64,
    pub events: i64,
    pub sessions: i64,
    pub page_views: i64,
}

impl Progress {
    /// Whether nothing more comes of the run by itself right now.
    pub fn is_over(&self) -> bool {
        self.filled + self.failed + self.waiting + self.cancelled + self.paused >= self.days
            && self.running == 0
    }

    /// `completed`, `failed`, `cancelled`, `paused`, `waiting` (for events), `running`, or `queued`
    /// while nobody works on it.
    pub fn status(&self) -> &'static str {
        if self.running > 0 {
            "running"
        } else if !self.is_over() {
            "queued"
        } else if self.paused > 0 {
            "paused"
        } else if self.failed > 0 {
            "failed"
        } else if self.cancelled > 0 {
            "cancelled"
        } else if self.waiting > 0 {
            "waiting"
        } else {
            "completed"
        }
    }
}

/// Days of a team that somebody asks for.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub team: TeamId,
    pub days: Days,
    pub zone: &'a Zone,
    pub warehouse: &'a str,
    /// The same request is made only the first time that it has this name.
    pub once: Option<String>,
}

impl Ledger {
    /// Asks for the days of a range that are not filled; with [`Reason::Forced`], for all of them again.
    ///
    /// With `once`, the same request is made only the first time: `None` when it was made before.
    pub async fn request(
        &self,
        team: TeamId,
        days: Days,
        zone: &Zone,
        warehouse: &str,
        reason: Reason,
        once: Option<&str>,
    ) -> Result<Option<Uuid>> {
        let request = Request {
            team,
            days,
            zone,
            warehouse,
            once: once.map(ToOwned::to_owned),
        };
        let made = self.request_all(&[request], reason).await?;
        Ok(made.first().map(|(_, run)| *run))
    }

    /// As [`Ledger::request`], for several teams, each of them once: the runs of the requests that were
    /// not made before.
    pub async fn request_all(
        &self,
        requests: &[Request<'_>],
        reason: Reason,
    ) -> Result<Vec<(TeamId, Uuid)>> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let mut tries = Tries::default();
        loop {
            match self.try_request(requests, reason).await {
                Err(error) if tries.again(&error).await => {}
                done => return done,
            }
        }
    }

    async fn try_request(
        &self,
        requests: &[Request<'_>],
        reason: Reason,
    ) -> Result<Vec<(TeamId, Uuid)>> {
        const DOING: &str = "request a fill";
        let force = reason == Reason::Forced;
        let mut transaction = self.database.begin(DOING).await?;
        let teams = requests.iter().map(|request| request.team);
        self.lock_teams(&mut transaction, teams).await?;
        let asked: Vec<(Uuid, &Request<'_>)> = requests
            .iter()
            .map(|request| (Uuid::new_v4(), request))
            .collect();
        let rows = asked.iter().map(|(id, request)| {
            json!([
                id.to_string(),
                request.team.0,
                request.days.from.to_string(),
                request.days.until.to_string(),
                reason.text(),
                i64::from(force),
                request.once,
            ])
        });
        let statement = Statement::new(sql!("request")).bind(json(rows));
        let mut made = BTreeSet::new();
        for row in transaction.rows(DOING, &statement).await? {
            made.insert(uuid(&row.get::<String>("id")?)?);
        }
        if made.is_empty() {
            return Ok(Vec::new());
        }
        let mut wanted = Vec::new();
        let mut belonging = Vec::new();
        for (id, request) in asked.iter().filter(|(id, _)| made.contains(id)) {
            wanted.extend(request.days.newest_first().map(|day| Wanted {
                team: request.team,
                day,
                zone: request.zone,
                warehouse: request.warehouse,
                reason,
                again: force,
            }));
            belonging.push(json!([
                id.to_string(),
                request.team.0,
                request.days.from.to_string(),
                request.days.until.to_string(),
            ]));
        }
        Self::want(&mut transaction, &wanted, force, true).await?;
        let statement = Statement::new(sql!("belong"))
            .bind(json(belonging.into_iter()))
            .bind(force);
        transaction.execute(DOING, &statement).await?;
        self.tell(&mut transaction).await?;
        transaction.commit(DOING).await?;
        Ok(asked
            .into_iter()
            .filter(|(id, _)| made.contains(id))
            .map(|(id, request)| (request.team, id))
            .collect())
    }

    /// Those of these names by which nothing was asked for yet.
    pub async fn new_names(&self, names: &[String]) -> Result<BTreeSet<String>> {
        let mut new: BTreeSet<String> = names.iter().cloned().collect();
        let statement = Statement::new(text!(
            "select once from runs where once in (select value ->> 0 from {rows $1})"
        ))
        .bind(json(names.iter().map(|name| json!([name]))));
        for row in self.database.rows("read the runs", &statement).await? {
            new.remove(&row.get::<String>("once")?);
        }
        Ok(new)
    }

    /// How far a run is.
    pub async fn progress(&self, run: Uuid) -> Result<Progress> {
        let statement = Statement::new(sql!("run_progress")).bind(run.to_string());
        let row = self.database.row("read a run", &statement).await?;
        Ok(Progress {
            days: row.get("days")?,
            filled: row.get("filled")?,
            failed: row.get("failed")?,
            running: row.get("running")?,
            waiting: row.get("waiting")?,
            cancelled: row.get("cancelled")?,
            paused: row.get("paused")?,
            stats_rows: row.get("stats_rows")?,
            bounces_rows: row.get("bounces_rows")?,
            events: row.get("events")?,
            sessions: row.get("sessions")?,
            page_views: row.get("page_views")?,
        })
    }

    /// The days of a run that failed, each with its error.
    pub async fn failures(&self, run: Uuid) -> Result<Vec<(Day, String)>> {
        let statement = Statement::new(sql!("run_failures")).bind(run.to_string());
        let rows = self
            .database
            .rows("read a run's failures", &statement)
            .await?;
        rows.iter()
            .map(|row| Ok((row.parsed("day")?, row.get("error")?)))
            .collect()
    }

    /// # Errors
    ///
    /// [`Class::Misuse`] when there is no such run.
    pub async fn run(&self, id: Uuid) -> Result<Run> {
        let statement =
            Statement::new(text!("select * from runs where id = $1")).bind(id.to_string());
        let rows = self.database.rows("read a run", &statement).await?;
        let row = rows.first().ok_or_else(|| {
            Error::missing(format!("there is no task {id}"))
                .hint("run prefill status to see the latest ones")
        })?;
        run(row)
    }

    /// The run that was asked for by a name, see [`Ledger::request`].
    pub async fn run_named(&self, name: &str) -> Result<Option<Run>> {
        let statement = Statement::new(text!("select * from runs where once = $1")).bind(name);
        let rows = self.database.rows("read a run", &statement).await?;
        rows.first().map(run).transpose()
    }

    /// Runs of a team or of all, the newest first: those that come after another one, or the latest.
    pub async fn runs(
        &self,
        team: Option<TeamId>,
        after: Option<&Run>,
        most: u32,
    ) -> Result<Vec<Run>> {
        let statement = Statement::new(text!(
            "select * from runs where ($1 is null or team_id = $1) and ($2 is null or requested_at < $2 or (requested_at = $2 and id > $3)) order by requested_at desc, id limit $4"
        ))
        .bind(team.map(|team| team.0))
        .bind(after.map(|run| run.requested_at.as_millisecond()))
        .bind(after.map(|run| run.id.to_string()))
        .bind(most);
        let rows = self.database.rows("list the runs", &statement).await?;
        rows.iter().map(run).collect()
    }
}

pub(super) fn run(row: &Row) -> Result<Run> {
    let instant = |name| {
        let at: Option<i64> = row.get(name)?;
        Ok::<_, Error>(at.and_then(|at| Timestamp::from_millisecond(at).ok()))
    };
    Ok(Run {
        id: uuid(&row.get::<String>("id")?)?,
        team_id: TeamId(row.get("team_id")?),
        date_start: row.parsed("date_start")?,
        date_end: row.parsed("date_end")?,
        reason: row.get("reason")?,
        forced: row.get("forced")?,
        requested_at: instant("requested_at")?.unwrap_or_default(),
        paused_at: instant("paused_at")?,
        cancelled_at: instant("cancelled_at")?,
    })
}

pub(super) fn uuid(text: &str) -> Result<Uuid> {
    text.parse().map_err(|error: uuid::Error| {
        Error::new(Class::Never, "the ledger's id of a run is no UUID").caused_by(error)
    })
}
