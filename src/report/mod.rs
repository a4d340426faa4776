//! What people and monitors are told: coverage, verdicts, health, metrics, and why a day
//! is as it is. Reads only.
//!
//! Reports are honest: coverage is filled slices over wanted slices, a gap is a day that has raw
//! events and no right rows, and both are checked against the tables, not only the ledger.

mod coverage;
mod explain;
mod glance;
mod health;
mod metrics;
mod numbers;
mod overview;
mod tasks;
mod validation;

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use serde::Serialize;
use utoipa::ToSchema;

use crate::calendar::TeamId;
use crate::error::Result;
use crate::ledger::{Extent, Ledger, Team};
use crate::schema::Store;
use crate::service::Prefill;

pub use coverage::{
    Coverage, DayState, Selection, StateOfTeam, TeamCoverage, TeamDays, days, list, list_all,
    list_some, select, team,
};
pub(crate) use coverage::{gaps_of, unplanned};
pub use explain::{Explanation, FilledDay, InTables, Running, Situation, Stop, TaskOfDay, process};
pub use glance::{DayAtAGlance, days_of};
pub use health::{Gap, HalfCleaned, Health, Mending, MissingData, NotTold};
pub use metrics::{MetricValues, Metrics, WarehouseUse, uses};
pub use numbers::DayNumbers;
pub use overview::{Freshness, Overview, Standing, overview};
pub use tasks::{Task, TaskInFull, Tasks, page_of_tasks, statements, statements_soon, task, tasks};
pub use validation::{DayVerdict, Validated, Validation};

/// Whether a warehouse can be used.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WarehouseHealth {
    pub name: String,
    /// Where it answers; nothing for one that could not be reached.
    pub url: Option<String>,
    /// Its teams that have the setting on, as many of them.
    pub enabled_teams: usize,
    /// Why it cannot be used.
    pub error: Option<String>,
    pub hint: Option<String>,
}

/// What is paused, asked of many teams.
struct Pauses {
    everything: bool,
    teams: BTreeSet<TeamId>,
}

impl Pauses {
    fn of(pauses: &[Extent]) -> Self {
        Self {
            everything: pauses.contains(&Extent::Everything),
            teams: pauses
                .iter()
                .filter_map(|pause| match pause {
                    Extent::Team(team) => Some(*team),
                    Extent::Task(_) | Extent::Everything => None,
                })
                .collect(),
        }
    }

    /// The pause that keeps a team.
    fn of_team(&self, team: TeamId) -> Option<Extent> {
        if self.everything {
            return Some(Extent::Everything);
        }
        self.teams.contains(&team).then_some(Extent::Team(team))
    }
}

async fn enabled_teams(ledger: &Ledger) -> Result<Vec<Team>> {
    let mut teams = ledger.teams().await?;
    teams.retain(|team| team.enabled);
    Ok(teams)
}

/// Teams by their warehouse.
type OfWarehouse<'a> = BTreeMap<&'a str, Vec<TeamId>>;

impl Prefill {
    /// The teams of each warehouse that is configured. Of a team that names one that is not there,
    /// [`reconcile::desire`] tells.
    fn of_warehouse(&self, teams: &[Team]) -> OfWarehouse<'_> {
        let names = self.config.warehouses.keys();
        let mut of_warehouse: OfWarehouse<'_> =
            names.map(|name| (name.as_str(), Vec::new())).collect();
        for team in teams {
            if let Ok(name) = self.config.warehouse_of(team.id, team.warehouse.as_deref())
                && let Some(teams) = of_warehouse.get_mut(name)
            {
                teams.push(team.id);
            }
        }
        of_warehouse
    }

    /// Asks each warehouse about its teams: what it says, by warehouse where there is an answer, and how
    /// each of them is. What the question needs besides comes with it: a closure that borrows it would not
    /// be known to be `Send`.
    async fn ask_all<T, With: Copy>(
        &self,
        of_warehouse: &OfWarehouse<'_>,
        with: With,
        ask: impl AsyncFn(&Store, &[TeamId], With) -> Result<T>,
    ) -> (Vec<T>, Vec<WarehouseHealth>) {
        let ask = &ask;
        let looked = join_all(of_warehouse.iter().map(|(name, teams)| async move {
            let mut health = WarehouseHealth {
                name: (*name).to_owned(),
                url: None,
                enabled_teams: teams.len(),
                error: None,
                hint: None,
            };
            let looked = async {
                let store = self.store(name).await?;
                health.url = Some(store.warehouse.endpoint().url);
                store.warehouse.does_not_hang().await?;
                ask(store, teams, with).await
            };
            let answer = match looked.await {
                Ok(answer) => Some(answer),
                Err(error) => {
                    health.error = Some(error.chain());
                    health.hint = error.next_step().map(ToOwned::to_owned);
                    None
                }
            };
            (answer, health)
        }))
        .await;
        let (answers, warehouses): (Vec<_>, Vec<_>) = looked.into_iter().unzip();
        (answers.into_iter().flatten().collect(), warehouses)
    }
}
