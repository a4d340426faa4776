//! Makes the ledger want what the teams want: reads both, plans, writes the difference.
//!
//! Reconciles one team when a signal names it and all on a timer. Each pass recomputes the
//! difference from scratch, so a lost, doubled or late signal is harmless.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{TryStreamExt as _, stream};
use jiff::Timestamp;
use tracing::{info, warn};
use uuid::Uuid;

use crate::calendar::TeamId;
use crate::config::Config;
use crate::error::Result;
use crate::ledger::{Ledger, Planned, Reason, Request, Team, Wanted};
use crate::plan::{Actual, Change, Desire, plan};
use crate::telemetry;

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

/// The most teams that are looked at together: each step is one statement for all of them.
const TOGETHER: usize = 1_000;
/// So many of these are under way at once: a database writes one while another is made.
const AT_ONCE: usize = 2;

/// Looks at all teams.
///
/// # Errors
///
/// When the ledger cannot be read or written; what is wrong with one team is logged and skipped.
pub async fn all(ledger: &Ledger, config: &Config, now: Timestamp) -> Result<()> {
    ledger.fold_tallies().await?;
    let teams = ledger.settled_teams(None).await?;
    stream::iter(teams.chunks(TOGETHER).map(Ok))
        .try_for_each_concurrent(AT_ONCE, |teams| together(ledger, config, teams, now))
        .await
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
    let some = async |ids: &[TeamId]| {
        let teams = ledger.settled_teams(Some(ids)).await?;
        let there: BTreeSet<TeamId> = teams.iter().map(|team| team.id).collect();
        let gone: Vec<TeamId> = ids
            .iter()
            .filter(|id| !there.contains(id))
            .copied()
            .collect();
        ledger.keep_all(&gone, true).await?;
        together(ledger, config, &teams, now).await
    };
    stream::iter(teams.chunks(TOGETHER).map(Ok))
        .try_for_each_concurrent(AT_ONCE, some)
        .await
}

async fn together(ledger: &Ledger, config: &Config, teams: &[Team], now: Timestamp) -> Result<()> {
    let reconciled = reconciled(ledger, config, teams, now);
    telemetry::LEDGER_SECONDS
        .timed(["reconcile"], reconciled)
        .await
}

async fn reconciled(
    ledger: &Ledger,
    config: &Config,
    teams: &[Team],
    now: Timestamp,
) -> Result<()> {
    let off: Vec<TeamId> = teams
        .iter()
        .filter(|team| !team.enabled)
        .map(|team| team.id)
        .collect();
    for (team, slices) in ledger.keep_all(&off, true).await? {
        info!(
            team_id = team.0,
            slices, "the setting is off: holding the team's slices"
        );
    }
    let mut desires = Vec::with_capacity(teams.len());
    for team in teams.iter().filter(|team| team.enabled) {
        match desire(team, config, team.enabled_at.unwrap_or(now)) {
            Ok(desire) => desires.push(desire),
            Err(error) => warn!(
                team_id = team.id.0,
                error = error.chain(),
                "skipping the team"
            ),
        }
    }
    if desires.is_empty() {
        return Ok(());
    }
    let on: Vec<TeamId> = desires.iter().map(|desire| desire.team).collect();
    let mut planned = ledger.planned(&on).await?;
    let held: BTreeSet<TeamId> = planned
        .iter()
        .filter(|(_, slice)| slice.held)
        .map(|((team, _), _)| *team)
        .collect();
    let held: Vec<TeamId> = held.into_iter().collect();
    ledger.keep_all(&held, false).await?;
    let requested = request(ledger, &desires, now).await?;
    // A request wants the whole window: where there was nothing before, nothing is left to plan.
    let there: BTreeSet<TeamId> = planned.keys().map(|(team, _)| *team).collect();
    desires.retain(|desire| there.contains(&desire.team) || !requested.contains(&desire.team));
    let changed: Vec<TeamId> = requested.intersection(&there).copied().collect();
    if !changed.is_empty() {
        planned.extend(ledger.planned(&changed).await?);
    }
    let actual = planned
        .into_iter()
        .map(|(slice, planned)| (slice, actual(planned)))
        .collect();
    apply(ledger, &desires, &plan(&desires, &actual, now)).await
}

/// Makes one run for each turn of a setting, however often the turn is noticed; for which teams.
async fn request(ledger: &Ledger, desires: &[Desire], now: Timestamp) -> Result<BTreeSet<TeamId>> {
    let name = |desire: &Desire| {
        let at = desire.enabled_at.as_millisecond();
        format!("enabled:{}:{at}", desire.team)
    };
    let names: Vec<String> = desires.iter().map(name).collect();
    let new = ledger.new_names(&names).await?;
    let requests: Vec<Request<'_>> = desires
        .iter()
        .zip(names)
        .filter(|(_, name)| new.contains(name))
        .map(|(desire, name)| Request {
            team: desire.team,
            days: desire.window(now),
            zone: &desire.zone,
            warehouse: &desire.warehouse,
            once: Some(name),
        })
        .collect();
    let runs: BTreeMap<TeamId, Uuid> = ledger
        .request_all(&requests, Reason::Window)
        .await?
        .into_iter()
        .collect();
    tell_latency(ledger, desires, &runs).await;
    for request in &requests {
        if let Some(run) = runs.get(&request.team) {
            info!(
                team_id = request.team.0,
                task_id = %run,
                date_start = %request.days.from,
                date_end = %request.days.until,
                "the setting is on: filling the team's days"
            );
        }
    }
    Ok(runs.into_keys().collect())
}

/// Keeps how long it took from the turns of settings to their runs, by the clock that the turns were
/// written down by.
async fn tell_latency(ledger: &Ledger, desires: &[Desire], runs: &BTreeMap<TeamId, Uuid>) {
    if runs.is_empty() {
        return;
    }
    // It is made all the same where nobody can say how long that took.
    let Ok(now) = ledger.now().await else {
        return;
    };
    let made = desires
        .iter()
        .filter(|desire| runs.contains_key(&desire.team));
    for desire in made {
        let latency = now.duration_since(desire.enabled_at);
        telemetry::TRIGGER_LATENCY.observe([], Duration::try_from(latency).unwrap_or_default());
    }
}

fn actual(planned: Planned) -> Actual {
    Actual {
        state: planned.state,
        zone: planned.timezone,
        warehouse: planned.warehouse,
        has_data: planned.has_data,
        has_rows: planned.has_rows,
        of_window: planned.reason == Reason::Window.text(),
    }
}

async fn apply(ledger: &Ledger, desires: &[Desire], changes: &[Change]) -> Result<()> {
    let desires: BTreeMap<TeamId, &Desire> =
        desires.iter().map(|desire| (desire.team, desire)).collect();
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
        // A plan has changes of the teams that it was made for, and of no others.
        let Some(desire) = desires.get(&team) else {
            continue;
        };
        wanted.push(Wanted {
            team,
            day,
            zone: &desire.zone,
            warehouse: &desire.warehouse,
            reason: reason.unwrap_or(Reason::Window),
            again: reason.is_some(),
        });
    }
    ledger.apply(&wanted, &released).await
}
