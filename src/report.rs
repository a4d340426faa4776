//! What people and monitors are told: coverage, verdicts, health, metrics. Reads only.
//!
//! Reports are honest: coverage is filled slices over wanted slices, a gap is a day that has raw
//! events and no right rows, and both are checked against the tables, not only the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use serde::Serialize;

use crate::calendar::{Bounds, Day, Days, TeamId};
use crate::config::{self, Config};
use crate::error::{Class, Error, Result};
use crate::ledger::{Ledger, NotedUse, Slice, State, Team};
use crate::reconcile;
use crate::request::Target;
use crate::service::Prefill;
use crate::verify::{self, Difference, Raw, Scope, Totals, Verdict};

const COMMENT: &str = "prefill:report";
/// Within this time somebody who fills tells again how busy a warehouse is.
const NOTED_JUST_NOW: Duration = Duration::from_secs(10);

/// Filled slices over wanted slices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Coverage {
    pub wanted: u64,
    pub filled: u64,
    pub stale: u64,
    pub failed: u64,
    pub running: u64,
    /// Days without events, of a source that is not known to be complete.
    pub waiting: u64,
}

impl Coverage {
    /// From 0 to 100; 100 when nothing is wanted.
    pub fn percentage(&self) -> f64 {
        if self.wanted == 0 {
            return 100.0;
        }
        // One decimal, downwards: 99.9 is not done.
        (self.filled as f64 * 1_000.0 / self.wanted as f64).floor() / 10.0
    }

    fn count(&mut self, slice: Option<&Slice>) {
        self.wanted += 1;
        let Some(slice) = slice else { return };
        self.filled += u64::from(slice.has_data());
        self.stale += u64::from(slice.state == State::Stale);
        self.failed += u64::from(slice.state == State::Failed);
        self.running += u64::from(slice.state == State::Running);
        self.waiting += u64::from(slice.waiting_for_events);
    }

    fn add(&mut self, other: &Self) {
        self.wanted += other.wanted;
        self.filled += other.filled;
        self.stale += other.stale;
        self.failed += other.failed;
        self.running += other.running;
        self.waiting += other.waiting;
    }
}

/// A team that has the setting on, and how far it is.
#[derive(Clone, Debug, Serialize)]
pub struct TeamCoverage {
    #[serde(flatten)]
    pub team: Team,
    #[serde(flatten)]
    pub coverage: Coverage,
    pub coverage_percentage: f64,
    /// `filled`, `refreshing`, `filling`, `queued` (nobody fills it right now), `waiting` (for events),
    /// `paused`, `failed`, or what is wrong with the team.
    pub state: String,
    pub newest_day: Option<Day>,
    pub oldest_day: Option<Day>,
}

/// A team's wanted days: its window, and what was asked for beyond it.
fn wanted_days(
    team: &Team,
    slices: &BTreeMap<Day, Slice>,
    config: &Config,
    now: Timestamp,
) -> Result<BTreeSet<Day>> {
    let desire = reconcile::desire(team, config, team.enabled_at.unwrap_or(now))?;
    let window = desire.window(now);
    Ok(window
        .newest_first()
        .filter(|day| desire.zone.bounds(*day).is_some())
        .chain(slices.keys().copied())
        .filter(|day| {
            slices
                .get(day)
                .is_none_or(|slice| slice.state != State::Cleaned)
        })
        .collect())
}

/// The teams that have the setting on, with their coverage.
///
/// # Errors
///
/// When the ledger fails.
pub async fn list(ledger: &Ledger, config: &Config, now: Timestamp) -> Result<Vec<TeamCoverage>> {
    let mut list = Vec::new();
    let pauses = ledger.pauses().await?;
    for team in ledger
        .teams()
        .await?
        .into_iter()
        .filter(|team| team.enabled)
    {
        let slices = ledger.slices(team.id).await?;
        let mut coverage = Coverage::default();
        let mut problem = None;
        match wanted_days(&team, &slices, config, now) {
            Ok(days) => days.iter().for_each(|day| coverage.count(slices.get(day))),
            Err(error) => problem = Some(error.chain()),
        }
        let is_broken = problem.is_some();
        let state = match problem {
            Some(problem) => problem,
            None if coverage.failed > 0 => "failed".to_owned(),
            None if coverage.filled == coverage.wanted && coverage.stale == 0 => {
                "filled".to_owned()
            }
            None if pauses.iter().any(|pause| pause.covers(team.id)) => "paused".to_owned(),
            None if coverage.filled + coverage.waiting >= coverage.wanted
                && coverage.running == 0
                && coverage.stale == 0 =>
            {
                "waiting".to_owned()
            }
            None if coverage.filled == coverage.wanted => "refreshing".to_owned(),
            None if coverage.running > 0 => "filling".to_owned(),
            None => "queued".to_owned(),
        };
        let filled = || {
            slices
                .values()
                .filter(|slice| slice.has_data())
                .map(|slice| slice.day)
        };
        list.push(TeamCoverage {
            newest_day: filled().max(),
            oldest_day: filled().min(),
            // Nobody can tell what such a team wants, so nothing of it is covered.
            coverage_percentage: if is_broken {
                0.0
            } else {
                coverage.percentage()
            },
            state,
            coverage,
            team,
        });
    }
    Ok(list)
}

/// The verdict of one day.
#[derive(Clone, Debug, Serialize)]
pub struct DayVerdict {
    pub day: Day,
    pub state: Option<State>,
    pub clean: bool,
    #[serde(flatten)]
    pub verdict: Verdict,
    pub differences: Vec<Difference>,
}

/// The verdicts of a range, day by day.
#[derive(Clone, Debug)]
pub struct Validation {
    pub days: Vec<DayVerdict>,
}

impl Validation {
    /// Whether every day is right.
    pub fn is_clean(&self) -> bool {
        self.days.iter().all(|day| day.clean)
    }

    /// The JSON that callers rely on.
    pub fn json(&self, target: &Target) -> serde_json::Value {
        let sum =
            |of: fn(&Verdict) -> i64| self.days.iter().map(|day| of(&day.verdict)).sum::<i64>();
        let raw = |of: fn(&Raw) -> u64| {
            self.days
                .iter()
                .map(|day| of(&day.verdict.raw))
                .sum::<u64>()
        };
        serde_json::json!({
            "status": if self.is_clean() { "passed" } else { "failed" },
            "team_id": target.team.id,
            "team_name": target.team.name,
            "timezone": target.zone.name(),
            "date_range": { "start": target.days.from, "end": target.days.until },
            "validation_results": {
                "web_pre_aggregated_stats_rows": sum(|verdict| verdict.stats.rows),
                "web_pre_aggregated_bounces_rows": sum(|verdict| verdict.bounces.rows),
                "raw_page_views": raw(|raw| raw.page_views),
                "raw_sessions": raw(|raw| raw.sessions),
                "days_checked": self.days.len(),
                "days_that_differ": self.days.iter().filter(|day| !day.clean).count(),
                "days": self.days,
            },
        })
    }
}

/// A team whose days are missing.
#[derive(Clone, Debug, Serialize)]
pub struct MissingData {
    pub team_id: TeamId,
    pub team_name: String,
    pub organization: String,
    pub enabled_date: Option<Timestamp>,
    pub issue: String,
}

/// A team that has data, and days that should have some and have not.
#[derive(Clone, Debug, Serialize)]
pub struct Gap {
    pub team_id: TeamId,
    pub team_name: String,
    pub days: Vec<Day>,
    pub issue: String,
}

/// The health of all teams.
#[derive(Clone, Debug, Serialize)]
pub struct Health {
    /// `healthy` or `unhealthy`.
    pub status: &'static str,
    pub timestamp: Timestamp,
    pub enabled_teams: usize,
    pub teams_with_data: usize,
    pub teams_missing_data: Vec<MissingData>,
    pub data_gaps_detected: Vec<Gap>,
    pub recommendations: Vec<String>,
    /// Each warehouse that is configured.
    pub warehouses: Vec<WarehouseHealth>,
}

/// Whether a warehouse can be used.
#[derive(Clone, Debug, Serialize)]
pub struct WarehouseHealth {
    pub name: String,
    /// Where it answers; nothing for one that could not be reached.
    pub url: Option<String>,
    /// Its teams that have the setting on.
    #[serde(skip)]
    pub teams: Vec<TeamId>,
    pub enabled_teams: usize,
    /// Why it cannot be used.
    pub error: Option<String>,
    pub hint: Option<String>,
}

/// How much of a warehouse's time fills may take and take.
#[derive(Clone, Debug, Serialize)]
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
        }
    };
    Ok(config.warehouses.iter().map(of).collect())
}

/// In thousandths.
fn share_of_minute(used: Duration) -> f64 {
    (used.as_secs_f64() / 60.0 * 1_000.0).round() / 1_000.0
}

/// Numbers over a period.
#[derive(Clone, Debug, Serialize)]
pub struct Metrics {
    pub timestamp: Timestamp,
    pub period_days: i64,
    pub metrics: MetricValues,
    /// Each warehouse that is configured.
    pub warehouses: Vec<WarehouseUse>,
}

/// See [`Metrics`].
#[derive(Clone, Debug, Default, Serialize)]
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

/// What is wrong with one team.
struct Trouble {
    /// Days that have sessions and no right rows.
    days: BTreeSet<Day>,
    issue: String,
    /// The next step, where it is another than to fill the days.
    hint: Option<String>,
}

impl Prefill {
    /// Compares each day of a target with the raw events as they are now.
    ///
    /// # Errors
    ///
    /// When the ledger or the warehouse fails.
    pub async fn validate(&self, target: &Target) -> Result<Validation> {
        let slices = self.ledger.slices(target.team.id).await?;
        self.validate_days(target, &slices, target.days.newest_first())
            .await
    }

    /// As [`Prefill::validate`], for the days that a team should have: those that are filled, and
    /// those that it wants. The target's range becomes that of the days.
    ///
    /// # Errors
    ///
    /// As [`Prefill::validate`].
    pub async fn validate_wanted(&self, target: &mut Target, now: Timestamp) -> Result<Validation> {
        let slices = self.ledger.slices(target.team.id).await?;
        let filled = slices
            .values()
            .filter(|slice| slice.has_data())
            .map(|slice| slice.day);
        let mut days: BTreeSet<Day> = filled.collect();
        if target.team.enabled {
            days.extend(wanted_days(&target.team, &slices, &self.config, now)?);
        }
        if let (Some(first), Some(last)) = (days.first(), days.last()) {
            target.days = Days::new(*first, last.plus(1))?;
        }
        self.validate_days(target, &slices, days.into_iter().rev())
            .await
    }

    async fn validate_days(
        &self,
        target: &Target,
        slices: &BTreeMap<Day, Slice>,
        asked: impl Iterator<Item = Day>,
    ) -> Result<Validation> {
        let store = self.store_of(&target.team).await?;
        let mut days = Vec::new();
        for day in asked {
            let Some(bounds) = target.zone.bounds(day) else {
                continue;
            };
            let scope = Scope {
                teams: &[target.team.id],
                bounds,
                as_of_us: i64::MAX / 2,
                comment: COMMENT,
            };
            let verdict = verify::verdicts(
                &store.warehouse,
                &store.tables,
                &scope,
                &store.tables.stats,
                &store.tables.bounces,
            )
            .await?
            .remove(&target.team.id)
            .unwrap_or_default();
            days.push(DayVerdict {
                day,
                state: slices.get(&day).map(|slice| slice.state),
                clean: verdict.is_clean(),
                differences: verdict.differences(),
                verdict,
            });
        }
        Ok(Validation { days })
    }

    /// Checks every team that has the setting on: ledger, tables, and raw events where they differ.
    ///
    /// # Errors
    ///
    /// When the ledger or the warehouse fails.
    pub async fn health(&self, now: Timestamp) -> Result<Health> {
        let teams: Vec<Team> = self
            .ledger
            .teams()
            .await?
            .into_iter()
            .filter(|team| team.enabled)
            .collect();
        let (totals, warehouses) = self.totals(&teams).await?;
        let pauses = self.ledger.pauses().await?;
        let mut health = Health {
            status: "healthy",
            timestamp: now,
            enabled_teams: teams.len(),
            teams_with_data: 0,
            teams_missing_data: Vec::new(),
            data_gaps_detected: Vec::new(),
            recommendations: Vec::new(),
            warehouses,
        };
        for warehouse in &health.warehouses {
            if let Some(error) = &warehouse.error {
                health.recommendations.push(match &warehouse.hint {
                    Some(hint) => format!("warehouse {}: {error} ({hint})", warehouse.name),
                    None => format!("warehouse {}: {error}", warehouse.name),
                });
            }
        }
        for team in teams {
            // Of a team whose warehouse does not answer nobody can tell more than that.
            if health
                .warehouses
                .iter()
                .any(|warehouse| warehouse.error.is_some() && warehouse.teams.contains(&team.id))
            {
                continue;
            }
            let has_data = totals
                .range((team.id, i64::MIN)..=(team.id, i64::MAX))
                .any(|(_, totals)| totals.stats_rows > 0 && totals.bounces_rows > 0);
            health.teams_with_data += usize::from(has_data);
            let Some(trouble) = self.trouble(&team, &totals, now).await? else {
                continue;
            };
            let (what, else_run) = if has_data {
                ("gaps", "run")
            } else {
                ("no data", "keep prefill serve running, or run")
            };
            let pause = pauses.iter().find(|pause| pause.covers(team.id));
            let days = (trouble.days.first(), trouble.days.last());
            health.recommendations.push(match (trouble.hint, pause, days) {
                (Some(hint), ..) => hint,
                (None, Some(pause), _) => format!(
                    "team {} has {what}, and {} is paused: run prefill resume {pause}",
                    team.id,
                    pause.name()
                ),
                (None, None, (Some(first), Some(last))) => format!(
                    "team {} has {what}: {else_run} prefill backfill --team-id {} --date-start {first} --date-end {} --force",
                    team.id,
                    team.id,
                    last.plus(1)
                ),
                (None, None, _) => format!("team {} has {what}: {else_run} prefill backfill --team-id {}", team.id, team.id),
            });
            if has_data {
                health.data_gaps_detected.push(Gap {
                    team_id: team.id,
                    team_name: team.name,
                    days: trouble.days.into_iter().collect(),
                    issue: trouble.issue,
                });
            } else {
                health.teams_missing_data.push(MissingData {
                    team_id: team.id,
                    team_name: team.name,
                    organization: team.organization,
                    enabled_date: team.enabled_at,
                    issue: trouble.issue,
                });
            }
        }
        if !health.recommendations.is_empty() {
            health.status = "unhealthy";
        }
        Ok(health)
    }

    /// What the rollups hold, by team and bucket, and how each warehouse is.
    async fn totals(
        &self,
        teams: &[Team],
    ) -> Result<(BTreeMap<(TeamId, i64), Totals>, Vec<WarehouseHealth>)> {
        let mut of_warehouse: BTreeMap<&str, Vec<TeamId>> = BTreeMap::new();
        for name in self.config.warehouses.keys() {
            of_warehouse.insert(name, Vec::new());
        }
        for team in teams {
            // Of one that names a warehouse that is not there, `trouble` tells.
            let named = team.warehouse.as_deref();
            if let Ok(name) = self.config.warehouse_of(team.id, named) {
                of_warehouse.entry(name).or_default().push(team.id);
            }
        }
        let looked = join_all(of_warehouse.into_iter().map(|(name, teams)| async move {
            let mut health = WarehouseHealth {
                name: name.to_owned(),
                url: None,
                enabled_teams: teams.len(),
                error: None,
                hint: None,
                teams,
            };
            let looked = async {
                let store = self.store(name).await?;
                health.url = Some(store.warehouse.endpoint().url);
                verify::totals(&store.warehouse, &store.tables, &health.teams).await
            };
            let totals = looked.await.unwrap_or_else(|error| {
                health.error = Some(error.chain());
                health.hint = error.next_step().map(ToOwned::to_owned);
                BTreeMap::new()
            });
            (totals, health)
        }))
        .await;
        let mut totals = BTreeMap::new();
        let mut warehouses = Vec::new();
        for (of_one, health) in looked {
            totals.extend(of_one);
            warehouses.push(health);
        }
        Ok((totals, warehouses))
    }

    async fn trouble(
        &self,
        team: &Team,
        totals: &BTreeMap<(TeamId, i64), Totals>,
        now: Timestamp,
    ) -> Result<Option<Trouble>> {
        let slices = self.ledger.slices(team.id).await?;
        let days = match wanted_days(team, &slices, &self.config, now) {
            Ok(days) => days,
            Err(error) => {
                let hint = error
                    .next_step()
                    .map(|hint| format!("team {}: {hint}", team.id));
                return Ok(Some(Trouble {
                    days: BTreeSet::new(),
                    issue: error.chain(),
                    hint,
                }));
            }
        };
        let zone = team.zone()?;
        let mut lost = BTreeSet::new();
        let mut failed = BTreeMap::new();
        let mut unfilled = BTreeSet::new();
        for day in days {
            let slice = slices.get(&day);
            let bounds = match slice {
                Some(slice) => Some(Bounds {
                    from: slice.bucket,
                    until: slice.until,
                }),
                None => zone.bounds(day),
            };
            let Some(bounds) = bounds else { continue };
            let key = (team.id, bounds.from.as_second());
            match slice {
                Some(slice) if slice.has_data() => {
                    let holds = totals.get(&key).copied().unwrap_or_default();
                    // While it is being refilled its rows may be on their way.
                    if slice.state == State::Filled
                        && slice
                            .receipt
                            .as_ref()
                            .is_some_and(|receipt| !holds.are_of(receipt))
                    {
                        lost.insert(day);
                    }
                }
                slice => {
                    let scope = Scope {
                        teams: &[team.id],
                        bounds,
                        as_of_us: i64::MAX / 2,
                        comment: COMMENT,
                    };
                    let store = self.store_of(team).await?;
                    let raw = verify::raw(&store.warehouse, &store.tables, &scope).await?;
                    if raw.get(&team.id).is_some_and(|raw| raw.sessions > 0) {
                        match slice.filter(|slice| slice.state == State::Failed) {
                            Some(slice) => {
                                drop(failed.insert(day, slice.error.clone().unwrap_or_default()))
                            }
                            None => drop(unfilled.insert(day)),
                        }
                    }
                }
            }
        }
        let mut issues = Vec::new();
        if let Some((day, error)) = failed.last_key_value() {
            issues.push(format!(
                "{} failed, the newest {day}: {error}",
                days_are(failed.len())
            ));
        }
        if !lost.is_empty() {
            issues.push(format!(
                "{} filled and the tables do not hold what was verified any more",
                days_are(lost.len())
            ));
        }
        if !unfilled.is_empty() {
            issues.push(format!(
                "{} not filled yet and have raw events",
                days_are(unfilled.len())
            ));
        }
        if issues.is_empty() {
            return Ok(None);
        }
        let days = failed.into_keys().chain(lost).chain(unfilled).collect();
        Ok(Some(Trouble {
            days,
            issue: issues.join("; "),
            hint: None,
        }))
    }

    /// Numbers over today and the days before it.
    ///
    /// # Errors
    ///
    /// When the ledger or the warehouse fails.
    pub async fn metrics(&self, period_days: i64, now: Timestamp) -> Result<Metrics> {
        let teams: Vec<Team> = self
            .ledger
            .teams()
            .await?
            .into_iter()
            .filter(|team| team.enabled)
            .collect();
        let (totals, warehouses) = self.totals(&teams).await?;
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
        let mut values = MetricValues {
            total_teams_enabled: teams.len(),
            warehouses_down: warehouses
                .iter()
                .filter(|warehouse| warehouse.error.is_some())
                .count(),
            ..MetricValues::default()
        };
        let mut all = Coverage::default();
        for team in &teams {
            let slices = self.ledger.slices(team.id).await?;
            // What is wrong with such a team is for `health` to say; nothing of it is covered.
            let (Ok(zone), Ok(wanted)) =
                (team.zone(), wanted_days(team, &slices, &self.config, now))
            else {
                values.teams_misconfigured += 1;
                all.wanted += u64::try_from(period_days + 1).unwrap_or(0);
                continue;
            };
            let today = Day::of(now, &zone);
            let period = Days::new(today.plus(-period_days), today.plus(1))?;
            let mut coverage = Coverage::default();
            let mut has_data = false;
            for day in wanted.into_iter().filter(|day| period.contains(*day)) {
                let slice = slices.get(&day);
                coverage.count(slice);
                if let Some(slice) = slice {
                    let key = (team.id, slice.bucket.as_second());
                    let holds = totals.get(&key).copied().unwrap_or_default();
                    values.total_stats_rows += holds.stats_rows;
                    values.total_bounces_rows += holds.bounces_rows;
                    has_data |= holds.stats_rows > 0;
                }
            }
            values.active_teams_with_data += usize::from(has_data);
            all.add(&coverage);
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

fn days_are(count: usize) -> String {
    if count == 1 {
        "1 day is".to_owned()
    } else {
        format!("{count} days are")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f40_coverage_is_at_most_100_and_nothing_wanted_is_covered() {
        assert!((Coverage::default().percentage() - 100.0).abs() < f64::EPSILON);
        let most = Coverage {
            wanted: 1_000,
            filled: 999,
            ..Coverage::default()
        };
        assert!((most.percentage() - 99.9).abs() < f64::EPSILON);
        let nearly = Coverage {
            wanted: 100_000,
            filled: 99_999,
            ..Coverage::default()
        };
        assert!(nearly.percentage() < 100.0, "{}", nearly.percentage());
    }
}
