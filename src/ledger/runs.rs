//! Runs: what a person or a signal asked for, with progress that is derived from the slices.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::slices::{Reason, Wanted};
use super::{Ledger, column, failed, parsed};
use crate::calendar::{Day, Days, TeamId, Zone};
use crate::error::{Class, Error, Result};

/// What was asked for.
#[derive(Clone, Debug, Serialize)]
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
}

/// How far a run is. A slice is counted once, under the first that holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Days that had to be filled.
    pub days: i64,
    pub filled: i64,
    pub failed: i64,
    pub running: i64,
    /// Days without events, of a source that is not known to be complete.
    pub waiting: i64,
    /// Days that were cleaned since, or whose team turned the setting off.
    pub cancelled: i64,
    pub stats_rows: i64,
    pub bounces_rows: i64,
    pub events: i64,
    pub sessions: i64,
    pub page_views: i64,
}

impl Progress {
    /// Whether nothing more comes of the run by itself right now.
    pub fn is_over(&self) -> bool {
        self.filled + self.failed + self.waiting + self.cancelled >= self.days && self.running == 0
    }

    /// `completed`, `failed`, `cancelled`, `waiting` (for events), `running`, or `queued` while
    /// nobody works on it.
    pub fn status(&self) -> &'static str {
        if self.running > 0 {
            "running"
        } else if !self.is_over() {
            "queued"
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

impl Ledger {
    /// Asks for the days of a range that are not filled; with `force`, for all of them again.
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
        let id = Uuid::new_v4();
        let force = reason == Reason::Forced;
        let mut transaction = self
            .writer
            .begin()
            .await
            .map_err(|error| failed("request a fill", error))?;
        let made = sqlx::query("insert into runs (id, team_id, date_start, date_end, reason, forced, requested_at, once) values ($1, $2, $3, $4, $5, $6, cast(unixepoch('subsec') * 1000 as integer), $7) on conflict (once) do nothing")
            .bind(id.to_string())
            .bind(team.0)
            .bind(days.from.to_string())
            .bind(days.until.to_string())
            .bind(reason.text())
            .bind(force)
            .bind(once)
            .execute(&mut *transaction)
            .await
            .map_err(|error| failed("request a fill", error))?;
        if made.rows_affected() == 0 {
            return Ok(None);
        }
        for day in days.newest_first() {
            // Filled days are left out unless they are forced; the fence tells the fill that this run
            // brings from one that was there.
            let wanted = Wanted {
                team,
                day,
                zone,
                warehouse,
                reason,
                again: force,
                revive: true,
            };
            if !Self::want(&mut *transaction, &wanted).await? {
                continue;
            }
            sqlx::query("insert into run_slices (run_id, team_id, day, after_fence) select $1, team_id, day, case when state = 'running' and not $4 then fence - 1 else fence end from slices where team_id = $2 and day = $3 and ($4 or state <> 'filled')")
                .bind(id.to_string())
                .bind(team.0)
                .bind(day.to_string())
                .bind(force)
                .execute(&mut *transaction)
                .await
                .map_err(|error| failed("request a fill", error))?;
        }
        transaction
            .commit()
            .await
            .map_err(|error| failed("request a fill", error))?;
        Ok(Some(id))
    }

    /// Whether the request named `once` was not made yet.
    pub async fn wants_once(&self, once: &str) -> Result<bool> {
        let row = sqlx::query("select not exists (select 1 from runs where once = $1) as new")
            .bind(once)
            .fetch_one(&self.reader)
            .await
            .map_err(|error| failed("read the runs", error))?;
        column(&row, "new")
    }

    /// How far a run is.
    pub async fn progress(&self, run: Uuid) -> Result<Progress> {
        let row = sqlx::query(include_str!("sql/run_progress.sql"))
            .bind(run.to_string())
            .fetch_one(&self.reader)
            .await
            .map_err(|error| failed("read a run", error))?;
        Ok(Progress {
            days: column(&row, "days")?,
            filled: column(&row, "filled")?,
            failed: column(&row, "failed")?,
            running: column(&row, "running")?,
            waiting: column(&row, "waiting")?,
            cancelled: column(&row, "cancelled")?,
            stats_rows: column(&row, "stats_rows")?,
            bounces_rows: column(&row, "bounces_rows")?,
            events: column(&row, "events")?,
            sessions: column(&row, "sessions")?,
            page_views: column(&row, "page_views")?,
        })
    }

    /// The days of a run that failed, each with its error.
    pub async fn failures(&self, run: Uuid) -> Result<Vec<(Day, String)>> {
        let rows = sqlx::query("select s.day, coalesce(s.error, '') as error from run_slices w join slices s on s.team_id = w.team_id and s.day = w.day where w.run_id = $1 and s.state = 'failed' order by s.day desc")
            .bind(run.to_string())
            .fetch_all(&self.reader)
            .await
            .map_err(|error| failed("read a run's failures", error))?;
        rows.iter()
            .map(|row| Ok((parsed(row, "day")?, column(row, "error")?)))
            .collect()
    }

    /// # Errors
    ///
    /// [`Class::Misuse`] when there is no such run.
    pub async fn run(&self, id: Uuid) -> Result<Run> {
        let row = sqlx::query("select * from runs where id = $1")
            .bind(id.to_string())
            .fetch_optional(&self.reader)
            .await
            .map_err(|error| failed("read a run", error))?;
        let row = row.ok_or_else(|| {
            Error::misuse(format!("there is no task {id}"))
                .hint("run prefill status to see the latest ones")
        })?;
        run(&row)
    }

    /// The latest runs, the newest first.
    pub async fn latest_runs(&self, most: u32) -> Result<Vec<Run>> {
        let rows = sqlx::query("select * from runs order by requested_at desc, id limit $1")
            .bind(most)
            .fetch_all(&self.reader)
            .await
            .map_err(|error| failed("list the runs", error))?;
        rows.iter().map(run).collect()
    }
}

fn run(row: &SqliteRow) -> Result<Run> {
    let id: String = column(row, "id")?;
    Ok(Run {
        id: id.parse().map_err(|error: uuid::Error| {
            Error::new(Class::Never, "the ledger's id of a run is no UUID").caused_by(error)
        })?,
        team_id: TeamId(column(row, "team_id")?),
        date_start: parsed(row, "date_start")?,
        date_end: parsed(row, "date_end")?,
        reason: column(row, "reason")?,
        forced: column(row, "forced")?,
        requested_at: Timestamp::from_millisecond(column(row, "requested_at")?).unwrap_or_default(),
    })
}
