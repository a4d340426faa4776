//! How it stands with the days of many teams: for each what [`Prefill::explain`] calls it, and no more.
//!
//! [`Prefill::explain`]: crate::service::Prefill::explain

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::explain::Situation;
use crate::calendar::{Day, Days, TeamId};
use crate::config::Config;
use crate::error::Result;
use crate::ledger::{Glance, Ledger, Slice, State, Team};
use crate::reconcile;

/// A day of a team.
#[derive(Clone, Debug)]
pub struct DayAtAGlance {
    pub situation: Situation,
    /// What the ledger has of it.
    pub slice: Option<Slice>,
}

/// Every day of a range, of each of these teams.
///
/// # Errors
///
/// When the ledger fails.
pub async fn days_of(
    ledger: &Ledger,
    config: &Config,
    teams: &[&Team],
    days: Days,
    now: Timestamp,
) -> Result<BTreeMap<(TeamId, Day), DayAtAGlance>> {
    let ids: Vec<TeamId> = teams.iter().map(|team| team.id).collect();
    let glances = ledger.glances(&ids, days).await?;
    let mut glances: BTreeMap<(TeamId, Day), Glance> = glances
        .into_iter()
        .map(|glance| ((glance.slice.team_id, glance.slice.day), glance))
        .collect();
    let mut all = BTreeMap::new();
    for team in teams {
        let desire = reconcile::desire(team, config, team.enabled_at.unwrap_or(now)).ok();
        for day in days.newest_first() {
            let glance = glances.remove(&(team.id, day));
            let situation = match &glance {
                Some(glance) => of_slice(glance, team, config, now),
                None => {
                    let Some(desire) = &desire else {
                        let unknown = DayAtAGlance {
                            situation: Situation::Misconfigured,
                            slice: None,
                        };
                        all.insert((team.id, day), unknown);
                        continue;
                    };
                    if desire.zone.bounds(day).is_none() {
                        Situation::NotThere
                    } else if team.enabled && desire.window(now).contains(day) {
                        Situation::Unplanned
                    } else {
                        Situation::NotWanted
                    }
                }
            };
            let slice = glance.map(|glance| glance.slice);
            all.insert((team.id, day), DayAtAGlance { situation, slice });
        }
    }
    Ok(all)
}

fn of_slice(glance: &Glance, team: &Team, config: &Config, now: Timestamp) -> Situation {
    let slice = &glance.slice;
    match slice.state {
        State::Running => Situation::Running,
        State::Filled => Situation::Filled,
        State::Failed => Situation::Failed,
        State::Cleaned => Situation::Cleaned,
        State::Wanted | State::Stale if !team.enabled || glance.held => Situation::Held,
        State::Wanted | State::Stale if glance.is_paused => Situation::Paused,
        State::Wanted | State::Stale if !config.warehouses.contains_key(&slice.warehouse) => {
            Situation::Misconfigured
        }
        State::Wanted | State::Stale if glance.is_cancelled => Situation::Cancelled,
        State::Wanted | State::Stale if slice.waiting_for_events => Situation::Waiting,
        State::Wanted | State::Stale if slice.error.is_some() && slice.not_before > now => {
            Situation::Retrying
        }
        State::Wanted => Situation::Queued,
        State::Stale => Situation::Stale,
    }
}
