//! Makes the ledger want what the teams want: reads both, plans, writes the difference.
//!
//! Reconciles one team when a signal names it and all on a timer. Each pass recomputes the
//! difference from scratch, so a lost, doubled or late signal is harmless.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tracing::{info, warn};

use crate::calendar::{Day, TeamId};
use crate::config::Config;
use crate::error::Result;
use crate::ledger::{Ledger, Reason, Slice, State, Team, Wanted};
use crate::plan::{Actual, Change, Desire, plan};

/// What a team wants that turned the setting on at `enabled_at`, or why that cannot be told.
///
/// # Errors
///
/// When the teams table holds a zone that does not exist or a number of days above the limit.
pub fn desire(team: &Team, config: &Config, enabled_at: Timestamp) -> Result<Desire> {
    let days = match team.backfill_days {
        Some(days) => config.days(days, "backfill_days").map_err(|error| {
            error.while_doing(format!("team {} has no valid number of days", team.id))
        })?,
        None => i64::from(config.backfill_days),
    };
    Ok(Desire {
        team: team.id,
        zone: team.zone()?,
        warehouse: config
            .warehouse_of(team.id, team.warehouse.as_deref())?
            .to_owned(),
        enabled_at,
        days,
    })
}

/// Looks at all teams.
///
/// # Errors
///
/// When the ledger cannot be read or written; what is wrong with one team is logged and skipped.
pub async fn all(ledger: &Ledger, config: &Config, now: Timestamp) -> Result<()> {
    for team in ledger.teams().await? {
        one(ledger, config, &team, now).await?;
    }
    Ok(())
}

/// Looks at some teams; those that are gone want nothing.
///
/// # Errors
///
/// As [`all`].
pub async fn some(
    ledger: &Ledger,
    config: &Config,
    teams: &[TeamId],
    now: Timestamp,
) -> Result<()> {
    for id in teams {
        match ledger.find_team(*id).await? {
            Some(team) => one(ledger, config, &team, now).await?,
            None => drop(ledger.keep(*id, true).await?),
        }
    }
    Ok(())
}

async fn one(ledger: &Ledger, config: &Config, team: &Team, now: Timestamp) -> Result<()> {
    if !team.enabled {
        let held = ledger.keep(team.id, true).await?;
        if held > 0 {
            info!(
                team_id = team.id.0,
                slices = held,
                "the setting is off: holding the team's slices"
            );
        }
        return Ok(());
    }
    let enabled_at = ledger.enabled_at(team).await?;
    let desire = match desire(team, config, enabled_at) {
        Ok(desire) => desire,
        Err(error) => {
            warn!(
                team_id = team.id.0,
                error = error.chain(),
                "skipping the team"
            );
            return Ok(());
        }
    };
    ledger.keep(team.id, false).await?;
    // One run for each turn of the setting, however often the turn is noticed.
    let once = format!("enabled:{}:{}", team.id, desire.enabled_at.as_millisecond());
    let window = desire.window(now);
    if ledger.wants_once(&once).await?
        && let Some(run) = ledger
            .request(
                team.id,
                window,
                &desire.zone,
                &desire.warehouse,
                Reason::Window,
                Some(&once),
            )
            .await?
    {
        info!(
            team_id = team.id.0,
            task_id = %run,
            date_start = %window.from,
            date_end = %window.until,
            "the setting is on: filling the team's days"
        );
    }
    let slices = ledger.slices(team.id).await?;
    let changes = plan(
        std::slice::from_ref(&desire),
        &actual(team.id, &slices),
        now,
    );
    apply(ledger, &desire, &changes).await
}

fn actual(team: TeamId, slices: &BTreeMap<Day, Slice>) -> BTreeMap<(TeamId, Day), Actual> {
    slices
        .iter()
        .map(|(day, slice)| {
            let actual = Actual {
                state: slice.state,
                zone: slice.timezone.clone(),
                warehouse: slice.warehouse.clone(),
                has_data: slice.has_data() && slice.state != State::Cleaned,
                of_window: slice.reason == Reason::Window.text(),
            };
            ((team, *day), actual)
        })
        .collect()
}

async fn apply(ledger: &Ledger, desire: &Desire, changes: &[Change]) -> Result<()> {
    let mut wanted = Vec::new();
    let mut released = Vec::new();
    for change in changes {
        let (team, day, reason) = match *change {
            Change::Want(team, day) => (team, day, None),
            Change::Again(team, day, reason) => (team, day, Some(reason)),
            Change::Release(team, day) => {
                released.push((team, day));
                continue;
            }
        };
        wanted.push(Wanted {
            team,
            day,
            zone: &desire.zone,
            warehouse: &desire.warehouse,
            reason: reason.unwrap_or(Reason::Window),
            again: reason.is_some(),
            revive: false,
        });
    }
    ledger.apply(&wanted, &released).await
}
