//! Everything that somebody wants to see first, from the ledger alone: it is told as quickly whether a
//! warehouse answers or not, and by a number of questions that does not grow with the teams.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::coverage::{Coverage, TeamCoverage, list_all};
use super::metrics::{WarehouseUse, uses};
use super::tasks::{Task, page_of_tasks};
use crate::calendar::{Day, TeamId};
use crate::config::Config;
use crate::error::Result;
use crate::ledger::{Extent, FailedAlike, Ledger, Queue, Run, UnderWay};

/// The most of what is listed; the rest is counted.
const MOST: usize = 10;

/// How an installation stands.
#[derive(Clone, Debug)]
pub struct Overview {
    pub now: Timestamp,
    pub teams: usize,
    pub enabled_teams: usize,
    /// Of the teams that have the setting on: those whose days are all filled.
    pub filled_teams: usize,
    pub failed_teams: usize,
    /// The days of all teams that have the setting on.
    pub coverage: Coverage,
    pub freshness: Freshness,
    pub queue: Queue,
    /// The oldest claims.
    pub under_way: Vec<UnderWay>,
    /// The latest errors.
    pub failures: Vec<FailedAlike>,
    /// Teams of which nobody can tell what they want.
    pub misconfigured: Vec<TeamCoverage>,
    pub everything_is_paused: bool,
    /// The first of the paused teams.
    pub paused: Vec<TeamId>,
    pub paused_teams: usize,
    /// The first of the runs that somebody paused by themselves.
    pub paused_alone: Vec<Run>,
    pub paused_runs: usize,
    pub warehouses: Vec<WarehouseUse>,
    /// The latest tasks.
    pub tasks: Vec<Task>,
}

/// What changes of an [`Overview`] while fills go on, for those who watch.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Standing {
    pub teams: usize,
    pub enabled_teams: usize,
    /// Of the teams that have the setting on: those whose days are all filled.
    pub filled_teams: usize,
    pub failed_teams: usize,
    /// Teams of which nobody can tell what they want.
    pub misconfigured_teams: usize,
    pub paused_teams: usize,
    /// Whether nothing at all is filled before somebody resumes everything.
    pub all_paused: bool,
    /// The days of all teams that have the setting on, by how it stands with them.
    pub coverage: Coverage,
    /// From 0 to 100.
    pub coverage_percentage: f64,
    pub freshness: Freshness,
    pub queue: Queue,
    /// What is being filled now: the oldest claims, ten at most.
    pub under_way: Vec<UnderWay>,
}

impl From<&Overview> for Standing {
    fn from(overview: &Overview) -> Self {
        Self {
            teams: overview.teams,
            enabled_teams: overview.enabled_teams,
            filled_teams: overview.filled_teams,
            failed_teams: overview.failed_teams,
            misconfigured_teams: overview.misconfigured.len(),
            paused_teams: overview.paused_teams,
            all_paused: overview.everything_is_paused,
            coverage: overview.coverage,
            coverage_percentage: overview.coverage.percentage(),
            freshness: overview.freshness,
            queue: overview.queue,
            under_way: overview.under_way.clone(),
        }
    }
}

/// The newest filled day of each team that has the setting on, by how many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Freshness {
    /// Their own today.
    pub today: usize,
    pub yesterday: usize,
    pub older: usize,
    /// Teams without a filled day.
    pub never: usize,
}

/// See [`Overview`].
///
/// # Errors
///
/// When the ledger fails.
pub async fn overview(ledger: &Ledger, config: &Config, now: Timestamp) -> Result<Overview> {
    let (teams, pauses, paused_runs, queue, under_way, failures, warehouses, (tasks, _)) = tokio::try_join!(
        list_all(ledger, config, now),
        ledger.pauses(),
        ledger.paused_runs(MOST as u32),
        ledger.queue(),
        ledger.claims_under_way(MOST as u32),
        ledger.failed_alike(MOST as u32),
        uses(ledger, config),
        page_of_tasks(ledger, None, None, MOST as u32),
    )?;
    let paused: Vec<TeamId> = pauses
        .iter()
        .filter_map(|pause| match pause {
            Extent::Team(team) => Some(*team),
            Extent::Task(_) | Extent::Everything => None,
        })
        .collect();
    let mut overview = Overview {
        now,
        teams: teams.len(),
        enabled_teams: 0,
        filled_teams: 0,
        failed_teams: 0,
        coverage: Coverage::default(),
        freshness: Freshness::default(),
        queue,
        under_way,
        failures,
        misconfigured: Vec::new(),
        everything_is_paused: pauses.contains(&Extent::Everything),
        paused_teams: paused.len(),
        paused: paused.into_iter().take(MOST).collect(),
        paused_runs: paused_runs.1,
        paused_alone: paused_runs.0,
        warehouses,
        tasks,
    };
    for team in teams.into_iter().filter(|team| team.team.enabled) {
        overview.enabled_teams += 1;
        overview.filled_teams += usize::from(team.state == "filled");
        overview.failed_teams += usize::from(team.coverage.failed > 0);
        overview.coverage.add(&team.coverage);
        overview.freshness.add(&team, now);
        if team.is_misconfigured {
            overview.misconfigured.push(team);
        }
    }
    Ok(overview)
}

impl Freshness {
    fn add(&mut self, team: &TeamCoverage, now: Timestamp) {
        let (Some(newest), Ok(zone)) = (team.newest_day, team.team.zone()) else {
            self.never += 1;
            return;
        };
        let today = Day::of(now, &zone);
        if newest >= today {
            self.today += 1;
        } else if newest.plus(1) == today {
            self.yesterday += 1;
        } else {
            self.older += 1;
        }
    }
}
