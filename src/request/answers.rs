//! What is answered to a request, as JSON: by the command line and by the API alike.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Cleanup, Estimate, EstimatedSlice, Target};
use crate::calendar::{Day, TeamId};
use crate::config::Config;
use crate::error::Result;
use crate::ledger::{Extent, Ledger, Progress};
use crate::reconcile;

/// A backfill that was asked for.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Backfilled {
    /// That of the task; `queued` or `paused` for one that is left to `prefill serve`, `interrupted` for one whose
    /// command was stopped.
    pub status: &'static str,
    pub task_id: Uuid,
    pub team_id: TeamId,
    pub team_name: String,
    pub timezone: String,
    pub date_start: Day,
    /// Exclusive.
    pub date_end: Day,
    pub backfill_days: i64,
    pub days_filled: i64,
    pub days_failed: i64,
    pub days_waiting: i64,
    pub days_paused: i64,
    pub days_cancelled: i64,
    pub days_already_filled: i64,
    pub web_pre_aggregated_stats_rows: i64,
    pub web_pre_aggregated_bounces_rows: i64,
    pub sessions: i64,
    pub page_views: i64,
    /// Nothing for one that is left to `prefill serve`.
    pub elapsed_seconds: Option<f64>,
}

impl Backfilled {
    /// What was asked of a target just now: it is queued, or what keeps it from being filled is paused.
    pub fn begun(run: Uuid, target: &Target, progress: &Progress) -> Self {
        let status = match progress.status() {
            "paused" => "paused",
            _ => "queued",
        };
        Self::new(status, run, target, progress, None)
    }

    /// What was asked of a target, and how far it is.
    pub fn new(
        status: &'static str,
        run: Uuid,
        target: &Target,
        progress: &Progress,
        elapsed: Option<Duration>,
    ) -> Self {
        Self {
            status,
            task_id: run,
            team_id: target.team.id,
            team_name: target.team.name.clone(),
            timezone: target.zone.name().to_owned(),
            date_start: target.days.from,
            date_end: target.days.until,
            backfill_days: target.backfill_days,
            days_filled: progress.filled,
            days_failed: progress.failed,
            days_waiting: progress.waiting,
            days_paused: progress.paused,
            days_cancelled: progress.cancelled,
            days_already_filled: target.days_of_zone - progress.days,
            web_pre_aggregated_stats_rows: progress.stats_rows,
            web_pre_aggregated_bounces_rows: progress.bounces_rows,
            sessions: progress.sessions,
            page_views: progress.page_views,
            elapsed_seconds: elapsed.map(|elapsed| elapsed.as_secs_f64()),
        }
    }
}

/// What a backfill would do.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WouldFill {
    /// `dry_run`.
    pub status: &'static str,
    pub team_id: TeamId,
    pub team_name: String,
    pub timezone: String,
    pub date_start: Day,
    /// Exclusive.
    pub date_end: Day,
    pub backfill_days: i64,
    /// The days that would be filled, the newest first.
    pub slices: Vec<EstimatedSlice>,
    /// Raw events of these days.
    pub rows: u64,
    /// Their size in the warehouse, uncompressed.
    pub bytes: u64,
    /// Nothing where nothing was filled before.
    pub estimated_seconds: Option<f64>,
}

impl WouldFill {
    /// What was estimated of a target.
    pub fn new(target: &Target, estimate: Estimate) -> Self {
        Self {
            status: "dry_run",
            team_id: target.team.id,
            team_name: target.team.name.clone(),
            timezone: target.zone.name().to_owned(),
            date_start: target.days.from,
            date_end: target.days.until,
            backfill_days: target.backfill_days,
            slices: estimate.slices,
            rows: estimate.rows,
            bytes: estimate.bytes,
            estimated_seconds: estimate.seconds,
        }
    }
}

/// What a cleanup deleted, or would delete.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CleanedUp {
    /// `completed`, or `dry_run`.
    pub status: &'static str,
    pub team_id: TeamId,
    pub team_name: String,
    pub date_start: Day,
    /// Exclusive.
    pub date_end: Day,
    pub deleted: DeletedRows,
}

/// How many rows are gone, or would be.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct DeletedRows {
    pub web_pre_aggregated_stats_rows: u64,
    pub web_pre_aggregated_bounces_rows: u64,
}

impl CleanedUp {
    /// What was counted of a target.
    pub fn new(status: &'static str, target: &Target, rows: &Cleanup) -> Self {
        Self {
            status,
            team_id: target.team.id,
            team_name: target.team.name.clone(),
            date_start: target.days.from,
            date_end: target.days.until,
            deleted: DeletedRows {
                web_pre_aggregated_stats_rows: rows.stats_rows,
                web_pre_aggregated_bounces_rows: rows.bounces_rows,
            },
        }
    }
}

/// A team's setting, after it was asked for.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SettingNow {
    /// `completed`.
    pub status: &'static str,
    /// Whether it was otherwise before.
    pub changed: bool,
    pub team_id: TeamId,
    pub team_name: String,
    pub enabled: bool,
}

/// Turns a team's setting on or off, and makes the ledger want what the team wants then.
///
/// # Errors
///
/// [`crate::error::Class::Misuse`] when there is no such team; when the ledger fails.
pub async fn set_enabled(
    ledger: &Ledger,
    config: &Config,
    team: TeamId,
    enabled: bool,
) -> Result<SettingNow> {
    let team = ledger.team(team).await?;
    let changed = ledger.set_enabled(team.id, enabled).await?;
    reconcile::some(ledger, config, &[team.id], ledger.now().await?).await?;
    let team = ledger.team(team.id).await?;
    Ok(SettingNow {
        status: "completed",
        changed,
        team_id: team.id,
        team_name: team.name,
        enabled: team.enabled,
    })
}

/// What was stopped, or set going again.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Steered {
    /// Nothing of it is filled before it is resumed.
    Paused(Of),
    Resumed {
        #[serde(flatten)]
        of: Of,
        /// The pause of its team or of everything that is left, as the command line names it.
        still_paused_by: Option<String>,
    },
    Cancelled {
        #[serde(flatten)]
        of: Of,
        /// The tasks that had something left to do.
        tasks: Vec<Uuid>,
    },
    /// What failed is tried again.
    Queued {
        #[serde(flatten)]
        of: Of,
        /// Days to try again.
        days: u64,
    },
}

/// What was meant, in the field that other answers have it in.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub struct Of {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub task_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub team_id: Option<TeamId>,
    /// Everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub all: Option<bool>,
}

impl From<Extent> for Of {
    fn from(extent: Extent) -> Self {
        let nothing = Self::default();
        match extent {
            Extent::Task(run) => Self {
                task_id: Some(run),
                ..nothing
            },
            Extent::Team(team) => Self {
                team_id: Some(team),
                ..nothing
            },
            Extent::Everything => Self {
                all: Some(true),
                ..nothing
            },
        }
    }
}
