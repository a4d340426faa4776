//! Numbers over a period, and how much of each warehouse's time fills take.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::coverage::{Coverage, gaps_of, unplanned};
use super::enabled_teams;
use crate::calendar::{Day, Days, TeamId, Zone};
use crate::config::{self, Config};
use crate::error::{Class, Error, Result};
use crate::ledger::{Ledger, NotedUse};
use crate::plan::Desire;
use crate::reconcile;
use crate::service::Prefill;
use crate::verify;

/// Within this time somebody who fills tells again how busy a warehouse is.
const NOTED_JUST_NOW: Duration = Duration::from_secs(10);

/// How much of a warehouse's time fills may take and take.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WarehouseUse {
    pub name: String,
    /// The share of the time that statements of fills may be under way while others use the warehouse,
    /// above 0 and up to 1.
    pub budget: f64,
    /// Whether others use it, as was seen within the last seconds; nothing where nobody looked, because
    /// no fill is under way or the budget is 1.
    pub busy: Option<bool>,
    /// The share of the last minute in which statements of fills were under way, from 0 to 1; nothing
    /// where the budget is 1.
    pub used_last_minute: Option<f64>,
    /// How long fills have waited for others since the ledger was made, in seconds.
    pub waited_seconds: f64,
    /// How long fills have waited for memory since the ledger was made, in seconds: nothing where
    /// `max_memory_usage_total` is not set.
    pub waited_for_memory_seconds: f64,
}

/// How much of each warehouse's time fills may take and take.
///
/// # Errors
///
/// When the ledger fails.
pub async fn uses(ledger: &Ledger, config: &Config) -> Result<Vec<WarehouseUse>> {
    let noted = ledger.noted_uses().await?;
    let of = |(name, warehouse): (&String, &config::Warehouse)| {
        let governs = warehouse.budget < 1.0;
        let noted = noted.get(name);
        let busy = noted.filter(|noted| governs && noted.ago < NOTED_JUST_NOW);
        let used = noted.map_or(Duration::ZERO, NotedUse::used_of_last_minute);
        WarehouseUse {
            name: name.clone(),
            budget: warehouse.budget,
            busy: busy.map(|noted| noted.is_busy),
            used_last_minute: governs.then(|| share_of_minute(used)),
            waited_seconds: noted.map_or(0.0, |noted| noted.waited.as_secs_f64()),
            waited_for_memory_seconds: noted
                .map_or(0.0, |noted| noted.waited_for_memory.as_secs_f64()),
        }
    };
    Ok(config.warehouses.iter().map(of).collect())
}

/// In thousandths.
fn share_of_minute(used: Duration) -> f64 {
    (used.as_secs_f64() / 60.0 * 1_000.0).round() / 1_000.0
}

/// Numbers over a period.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Metrics {
    pub timestamp: Timestamp,
    pub period_days: i64,
    pub metrics: MetricValues,
    /// Each warehouse that is configured.
    pub warehouses: Vec<WarehouseUse>,
}

/// See [`Metrics`].
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct MetricValues {
    pub total_teams_enabled: usize,
    pub active_teams_with_data: usize,
    /// Teams of which nobody can tell what they want: a zone that does not exist, too many days.
    pub teams_misconfigured: usize,
    /// Warehouses that do not answer or whose tables do not fit; rows on them are not counted.
    pub warehouses_down: usize,
    pub total_stats_rows: i64,
    pub total_bounces_rows: i64,
    /// Filled slices over wanted slices, from 0 to 100.
    pub data_coverage_percentage: f64,
    pub slices_wanted: u64,
    pub slices_filled: u64,
    pub slices_stale: u64,
    pub slices_failed: u64,
    pub slices_running: u64,
    pub slices_waiting_for_events: u64,
}

impl Prefill {
    /// Numbers over today and the days before it, by as many questions whatever the number of teams.
    ///
    /// # Errors
    ///
    /// When the ledger or the warehouse fails.
    pub async fn metrics(&self, period_days: i64, now: Timestamp) -> Result<Metrics> {
        let teams = enabled_teams(&self.ledger).await?;
        let mut values = MetricValues {
            total_teams_enabled: teams.len(),
            ..MetricValues::default()
        };
        let mut all = Coverage::default();
        let mut periods: BTreeMap<TeamId, (Desire, Days)> = BTreeMap::new();
        for team in &teams {
            // What is wrong with such a team is for `health` to say; nothing of it is covered.
            let Ok(desire) = reconcile::desire(team, &self.config, team.enabled_at.unwrap_or(now))
            else {
                values.teams_misconfigured += 1;
                all.wanted += u64::try_from(period_days + 1).unwrap_or(0);
                continue;
            };
            let today = Day::of(now, &desire.zone);
            let period = Days::new(today.plus(-period_days), today.plus(1))?;
            periods.insert(team.id, (desire, period));
        }
        let ranges: Vec<(TeamId, Days)> = periods
            .iter()
            .map(|(team, (_, period))| (*team, *period))
            .collect();
        let instants: BTreeMap<TeamId, (i64, i64)> = periods
            .iter()
            .map(|(team, (desire, period))| (*team, instants(*period, &desire.zone)))
            .collect();
        // Of all zones, so that one question does for all teams.
        let from_s = instants.values().map(|(from, _)| *from).min().unwrap_or(0);
        let until_s = instants.values().map(|(_, until)| *until).max();
        let until_s = until_s.unwrap_or(from_s);
        let of_warehouse = self.of_warehouse(&teams);
        let (tallies, (rows, warehouses)) = tokio::join!(
            self.ledger.tallies_within(&ranges),
            self.ask_all(
                &of_warehouse,
                (from_s, until_s),
                async |store, teams, (from_s, until_s)| {
                    verify::rows_within(&store.warehouse, &store.tables, teams, from_s, until_s)
                        .await
                }
            )
        );
        let tallies = tallies?;
        // Numbers of nothing are no answer.
        if let Some(down) = warehouses.first()
            && let Some(error) = &down.error
            && warehouses.iter().all(|warehouse| warehouse.error.is_some())
        {
            let failed = Error::new(
                Class::Unreachable,
                format!("no warehouse can be asked: {}: {error}", down.name),
            );
            return Err(match &down.hint {
                Some(hint) => failed.hint(hint),
                None => failed,
            });
        }
        values.warehouses_down = warehouses
            .iter()
            .filter(|warehouse| warehouse.error.is_some())
            .count();
        let mut with_data = BTreeSet::new();
        for bucket in rows.into_iter().flatten() {
            let of_period = instants
                .get(&bucket.team())
                .is_some_and(|(from, until)| (*from..*until).contains(&bucket.bucket_s));
            if of_period {
                values.total_stats_rows += bucket.stats_rows;
                values.total_bounces_rows += bucket.bounces_rows;
                if bucket.stats_rows > 0 {
                    with_data.insert(bucket.team());
                }
            }
        }
        values.active_teams_with_data = with_data.len();
        let gaps = gaps_of(&self.ledger, tallies.iter()).await?;
        for (team, (desire, period)) in &periods {
            let tally = tallies.get(team);
            let wanted = Days {
                from: desire.window(now).from.max(period.from),
                ..*period
            };
            let gaps = gaps.get(team).map_or(&[][..], Vec::as_slice);
            let unplanned = unplanned(wanted, tally, gaps, &desire.zone);
            all.add(&Coverage::of(tally, unplanned.count()));
        }
        values.data_coverage_percentage = all.percentage();
        values.slices_wanted = all.wanted;
        values.slices_filled = all.filled;
        values.slices_stale = all.stale;
        values.slices_failed = all.failed;
        values.slices_running = all.running;
        values.slices_waiting_for_events = all.waiting;
        Ok(Metrics {
            timestamp: now,
            period_days,
            metrics: values,
            warehouses: uses(&self.ledger, &self.config).await?,
        })
    }
}

/// When a range of days begins and ends, in seconds since 1970.
fn instants(days: Days, zone: &Zone) -> (i64, i64) {
    let begins = |day| zone.bounds(day).map(|bounds| bounds.from.as_second());
    // A day that the zone skipped begins with the next one.
    let from = begins(days.from).or_else(|| begins(days.from.plus(1)));
    let until = begins(days.until).or_else(|| begins(days.until.plus(1)));
    (from.unwrap_or(0), until.unwrap_or(0))
}
