//! What was asked for, how far it is, and what is paused.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::enabled_teams;
use super::metrics::{WarehouseUse, uses};
use crate::calendar::{Day, TeamId};
use crate::config::Config;
use crate::error::{Class, Error, Result};
use crate::ledger::{DayCounts, Extent, Ledger, Progress, Run, Slice};
use crate::service::Prefill;
use crate::warehouse;

/// A task, and how far it is.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Task {
    /// `completed`, `failed`, `cancelled`, `paused`, `waiting` (for events), `running`, or `queued`
    /// while nobody works on it.
    pub status: &'static str,
    pub task: Run,
    pub progress: Progress,
}

impl Task {
    /// How far a run is.
    ///
    /// # Errors
    ///
    /// When the ledger fails.
    pub async fn of(ledger: &Ledger, run: Run) -> Result<Self> {
        let progress = ledger.progress(run.id).await?;
        Ok(Self {
            status: progress.status(),
            task: run,
            progress,
        })
    }
}

/// A task with its days.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TaskInFull {
    #[serde(flatten)]
    pub task: Task,
    /// The newest first.
    pub slices: Vec<Slice>,
    /// What the warehouse says of the fills under way, by day.
    pub statements: BTreeMap<Day, warehouse::Progress>,
}

/// What was asked for lately, and what is paused.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Tasks {
    /// The newest first.
    pub tasks: Vec<Task>,
    /// Whether nothing at all is filled before somebody resumes everything.
    pub all_paused: bool,
    pub paused_teams: Vec<TeamId>,
    /// Of all teams that have the setting on, also those that no task asked for.
    pub days: DayCounts,
    pub warehouses: Vec<WarehouseUse>,
}

/// A task with its days, of which nobody has asked the warehouse yet, see [`statements`].
///
/// # Errors
///
/// [`crate::error::Class::Misuse`] when there is no such task; when the ledger fails.
pub async fn task(ledger: &Ledger, id: Uuid) -> Result<TaskInFull> {
    let run = ledger.run(id).await?;
    let slices = ledger.slices(run.team_id).await?.into_values().rev();
    let of_run = slices.filter(|slice| run.date_start <= slice.day && slice.day < run.date_end);
    Ok(TaskInFull {
        slices: of_run.collect(),
        task: Task::of(ledger, run).await?,
        statements: BTreeMap::new(),
    })
}

/// Some tasks, the newest first: of a team or of all, at most so many, those after the run that is given. With
/// the last of them where there are more.
///
/// # Errors
///
/// When the ledger fails.
pub async fn page_of_tasks(
    ledger: &Ledger,
    team: Option<TeamId>,
    after: Option<&Run>,
    most: u32,
) -> Result<(Vec<Task>, Option<Uuid>)> {
    let mut runs = ledger.runs(team, after, most.saturating_add(1)).await?;
    let more = runs.len() > most as usize;
    runs.truncate(most as usize);
    let last = runs.last().map(|run| run.id).filter(|_| more);
    let mut tasks = Vec::with_capacity(runs.len());
    for run in runs {
        tasks.push(Task::of(ledger, run).await?);
    }
    Ok((tasks, last))
}

/// The latest tasks, as many of them.
///
/// # Errors
///
/// When the ledger fails.
pub async fn tasks(ledger: &Ledger, config: &Config, most: u32) -> Result<Tasks> {
    let pauses = ledger.pauses().await?;
    let (tasks, _) = page_of_tasks(ledger, None, None, most).await?;
    let teams = enabled_teams(ledger).await?;
    let teams: Vec<TeamId> = teams.iter().map(|team| team.id).collect();
    Ok(Tasks {
        tasks,
        all_paused: pauses.contains(&Extent::Everything),
        paused_teams: pauses
            .iter()
            .filter_map(|pause| match pause {
                Extent::Team(team) => Some(*team),
                Extent::Task(_) | Extent::Everything => None,
            })
            .collect(),
        days: ledger.day_counts(&teams).await?,
        warehouses: uses(ledger, config).await?,
    })
}

/// How long a warehouse has to say how far statements are, where somebody waits for the rest.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// As [`statements`], where the warehouse says it soon.
///
/// # Errors
///
/// As [`statements`]; [`Class::Unreachable`] where there is no answer within a second.
pub async fn statements_soon(
    prefill: &Prefill,
    slices: &[Slice],
) -> Result<BTreeMap<Day, warehouse::Progress>> {
    let asked = tokio::time::timeout(ANSWERS_WITHIN, statements(prefill, slices)).await;
    asked.unwrap_or_else(|_| {
        let seconds = ANSWERS_WITHIN.as_secs();
        let late = format!("the warehouse did not say within {seconds} s how far statements are");
        Err(Error::new(Class::Unreachable, late))
    })
}

/// What the warehouse says of the fills under way of a team, by day.
///
/// # Errors
///
/// When the ledger or the warehouse fails.
pub async fn statements(
    prefill: &Prefill,
    slices: &[Slice],
) -> Result<BTreeMap<Day, warehouse::Progress>> {
    let mut found = BTreeMap::new();
    let running = || slices.iter().filter(|slice| slice.comment.is_some());
    let Some(first) = running().next() else {
        return Ok(found);
    };
    let team = prefill.ledger.team(first.team_id).await?;
    let store = prefill.store_of(&team).await?;
    for slice in running() {
        let comment = slice.comment.as_deref().unwrap_or_default();
        let progress = store.warehouse.progress(comment).await?;
        if progress.statements > 0 {
            found.insert(slice.day, progress);
        }
    }
    Ok(found)
}
