//! What people and monitors are told: coverage, verdicts, health, metrics. Reads only.
//!
//! Reports are honest: coverage is filled slices over wanted slices, a gap is a day that has raw
//! events and no right rows, and both are checked against the tables, not only the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use serde::Serialize;

use crate::calendar::{Bounds, Day, Days, TeamId, Zone};
use crate::config::{self, Config};
use crate::error::{Class, Error, Result};
use crate::ledger::{Extent, Ledger, NotedUse, Slice, State, Tally, Team, Verified};
use crate::plan::Desire;
use crate::reconcile;
use crate::request::Target;
use crate::schema::Store;
use crate::service::Prefill;
use crate::verify::{self, Difference, Raw, Scope, Sums, Verdict};

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

    /// Of a team's slices, and of days that it wants and that nobody has planned yet.
    fn of(tally: Option<&Tally>, unplanned: usize) -> Self {
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        let unplanned = unplanned as u64;
        let Some(tally) = tally else {
            return Self {
                wanted: unplanned,
                ..Self::default()
            };
        };
        Self {
            wanted: count(tally.slices - tally.cleaned) + unplanned,
            filled: count(tally.with_data),
            stale: count(tally.stale),
            failed: count(tally.failed),
            running: count(tally.running),
            waiting: count(tally.waiting),
        }
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

/// The days of a range that have no slice, though the zone has them: mostly none, because days are
/// planned as soon as they are wanted. `gaps` are those between the team's slices.
fn unplanned<'a>(
    range: Days,
    tally: Option<&Tally>,
    gaps: &'a [Days],
    zone: &'a Zone,
) -> impl Iterator<Item = Day> + 'a {
    let (before, after) = match tally {
        Some(tally) => (
            Days {
                until: range.until.min(tally.days.from),
                ..range
            },
            Days {
                from: range.from.max(tally.days.until),
                ..range
            },
        ),
        None => (
            range,
            Days {
                from: range.until,
                ..range
            },
        ),
    };
    let within = gaps.iter().map(move |gap| Days {
        from: range.from.max(gap.from),
        until: range.until.min(gap.until),
    });
    [before, after]
        .into_iter()
        .chain(within)
        .flat_map(Days::newest_first)
        .filter(|day| zone.bounds(*day).is_some())
}

/// Where slices are missing between those of some teams.
async fn gaps_of<'a>(
    ledger: &Ledger,
    tallies: impl Iterator<Item = (&'a TeamId, &'a Tally)>,
) -> Result<BTreeMap<TeamId, Vec<Days>>> {
    let broken = tallies.filter(|(_, tally)| !tally.is_unbroken());
    let broken: Vec<TeamId> = broken.map(|(team, _)| *team).collect();
    ledger.gaps(&broken).await
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

/// The teams that have the setting on, with their coverage.
///
/// # Errors
///
/// When the ledger fails.
pub async fn list(ledger: &Ledger, config: &Config, now: Timestamp) -> Result<Vec<TeamCoverage>> {
    let pauses = Pauses::of(&ledger.pauses().await?);
    let teams = enabled_teams(ledger).await?;
    let tallies = ledger.tallies().await?;
    let counted = tallies.iter().map(|(team, (tally, _))| (team, tally));
    let gaps = gaps_of(ledger, counted).await?;
    let mut list = Vec::with_capacity(teams.len());
    for team in teams {
        let (tally, verified) = tallies.get(&team.id).copied().unzip();
        let mut coverage = Coverage::default();
        let mut problem = None;
        match reconcile::desire(&team, config, team.enabled_at.unwrap_or(now)) {
            Ok(desire) => {
                let gaps = gaps.get(&team.id).map_or(&[][..], Vec::as_slice);
                let unplanned = unplanned(desire.window(now), tally.as_ref(), gaps, &desire.zone);
                coverage = Coverage::of(tally.as_ref(), unplanned.count());
            }
            Err(error) => problem = Some(error.chain()),
        }
        let is_broken = problem.is_some();
        let state = match problem {
            Some(problem) => problem,
            None if coverage.failed > 0 => "failed".to_owned(),
            None if coverage.filled == coverage.wanted && coverage.stale == 0 => {
                "filled".to_owned()
            }
            None if pauses.of_team(team.id).is_some() => "paused".to_owned(),
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
        list.push(TeamCoverage {
            newest_day: verified.and_then(|verified| verified.newest),
            oldest_day: verified.and_then(|verified| verified.oldest),
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
    /// None where too many teams have lost days for each to be told apart.
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
    /// Days that are not filled and of which nobody asked whether they have raw events, because there
    /// were too many; not 0 only where [`verify::MOST_DAYS`] others were looked at.
    pub days_not_looked_at: u64,
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
    /// Its teams that have the setting on, as many of them.
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

/// The most filled days that are compared one by one with what the tables hold, of the teams whose sums
/// differ: so many are read and compared within a second. Of the other teams the days are not named.
const MOST_COMPARED: u32 = 50_000;

/// What is wrong with one team.
#[derive(Debug, Default)]
struct Trouble {
    /// Days that have sessions and no rows, by the error with which they failed.
    failed: BTreeMap<Day, String>,
    /// Days that are filled, and the tables do not hold what was verified.
    lost: BTreeSet<Day>,
    /// There are such days, and nobody has told which.
    lost_untold: bool,
    /// Days that have sessions and that nobody has filled yet.
    unfilled: BTreeSet<Day>,
    /// What is wrong with the team itself, and the next step.
    misconfigured: Option<(String, Option<String>)>,
}

impl Trouble {
    fn issue(&self) -> String {
        if let Some((issue, _)) = &self.misconfigured {
            return issue.clone();
        }
        let mut issues = Vec::new();
        if let Some((day, error)) = self.failed.last_key_value() {
            issues.push(format!(
                "{} failed, the newest {day}: {error}",
                days_are(self.failed.len())
            ));
        }
        if !self.lost.is_empty() {
            issues.push(format!(
                "{} filled and the tables do not hold what was verified any more",
                days_are(self.lost.len())
            ));
        }
        if self.lost_untold {
            issues.push(
                "some days are filled and the tables do not hold what was verified any more"
                    .to_owned(),
            );
        }
        if !self.unfilled.is_empty() {
            issues.push(format!(
                "{} not filled yet and have raw events",
                days_are(self.unfilled.len())
            ));
        }
        issues.join("; ")
    }

    fn days(&self) -> BTreeSet<Day> {
        let failed = self.failed.keys().copied();
        let others = self.lost.iter().chain(&self.unfilled).copied();
        failed.chain(others).collect()
    }
}

/// A team that has the setting on, with what its slices and the tables say of it.
struct Looked<'a> {
    team: &'a Team,
    /// What it wants and which warehouse has it.
    desire: Desire,
    tally: Option<Tally>,
    verified: Verified,
    sums: Sums,
}

/// Teams by their warehouse.
type OfWarehouse<'a> = BTreeMap<&'a str, Vec<TeamId>>;

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
    /// Asks a number of questions that does not grow with the teams, and looks closer only where the
    /// sums over a team's days are not what was verified.
    ///
    /// # Errors
    ///
    /// When the ledger or the warehouse fails.
    pub async fn health(&self, now: Timestamp) -> Result<Health> {
        let teams = enabled_teams(&self.ledger).await?;
        let of_warehouse = self.of_warehouse(&teams);
        let (pauses, tallies, (sums, warehouses)) = tokio::join!(
            self.ledger.pauses(),
            self.ledger.tallies(),
            self.ask_all(&of_warehouse, async |store, teams| {
                verify::sums(&store.warehouse, &store.tables, teams).await
            })
        );
        let (pauses, tallies) = (Pauses::of(&pauses?), tallies?);
        let mut sums: BTreeMap<TeamId, Sums> = sums.into_iter().flatten().collect();
        // Of a team whose warehouse does not answer nobody can tell more than that.
        let down = warehouses
            .iter()
            .filter(|warehouse| warehouse.error.is_some());
        let unknown: BTreeSet<TeamId> = down
            .filter_map(|warehouse| of_warehouse.get(warehouse.name.as_str()))
            .flatten()
            .copied()
            .collect();
        let mut troubles: BTreeMap<TeamId, Trouble> = BTreeMap::new();
        let mut with_data = BTreeSet::new();
        let mut looked = BTreeMap::new();
        for team in teams.iter().filter(|team| !unknown.contains(&team.id)) {
            let sums = sums.remove(&team.id).unwrap_or_default();
            if sums.stats_rows > 0 && sums.bounces_rows > 0 {
                with_data.insert(team.id);
            }
            match reconcile::desire(team, &self.config, team.enabled_at.unwrap_or(now)) {
                Ok(desire) => {
                    let (tally, verified) = tallies.get(&team.id).copied().unzip();
                    let of_team = Looked {
                        team,
                        desire,
                        tally,
                        verified: verified.unwrap_or_default(),
                        sums,
                    };
                    looked.insert(team.id, of_team);
                }
                Err(error) => {
                    let hint = error
                        .next_step()
                        .map(|hint| format!("team {}: {hint}", team.id));
                    let trouble = troubles.entry(team.id).or_default();
                    trouble.misconfigured = Some((error.chain(), hint));
                }
            }
        }
        self.find_lost(&looked, &mut troubles).await?;
        let days_not_looked_at = self.find_unfilled(&looked, &mut troubles, now).await?;
        let mut health = Health {
            status: "healthy",
            timestamp: now,
            enabled_teams: teams.len(),
            teams_with_data: with_data.len(),
            teams_missing_data: Vec::new(),
            data_gaps_detected: Vec::new(),
            days_not_looked_at,
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
        if days_not_looked_at > 0 {
            health.recommendations.push(format!(
                "{days_not_looked_at} more days are not filled, and nobody looked whether they have raw events: keep prefill serve running, and look again"
            ));
        }
        for team in teams {
            let Some(trouble) = troubles.remove(&team.id) else {
                continue;
            };
            let has_data = with_data.contains(&team.id);
            let (issue, days) = (trouble.issue(), trouble.days());
            let recommended = recommended(
                team.id,
                has_data,
                trouble.misconfigured.and_then(|(_, hint)| hint),
                pauses.of_team(team.id),
                days.first().zip(days.last()),
            );
            health.recommendations.push(recommended);
            if has_data {
                health.data_gaps_detected.push(Gap {
                    team_id: team.id,
                    team_name: team.name,
                    days: days.into_iter().collect(),
                    issue,
                });
            } else {
                health.teams_missing_data.push(MissingData {
                    team_id: team.id,
                    team_name: team.name,
                    organization: team.organization,
                    enabled_date: team.enabled_at,
                    issue,
                });
            }
        }
        if !health.recommendations.is_empty() {
            health.status = "unhealthy";
        }
        Ok(health)
    }

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
    /// each of them is.
    async fn ask_all<T>(
        &self,
        of_warehouse: &OfWarehouse<'_>,
        ask: impl AsyncFn(&Store, &[TeamId]) -> Result<T>,
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
                ask(store, teams).await
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

    /// Days that are filled and whose rows are not those that were verified: looked for only in teams
    /// whose sums differ.
    async fn find_lost(
        &self,
        looked: &BTreeMap<TeamId, Looked<'_>>,
        troubles: &mut BTreeMap<TeamId, Trouble>,
    ) -> Result<()> {
        let differ = looked
            .values()
            .filter(|team| !team.sums.are_of(&team.verified));
        let differ: Vec<TeamId> = differ.map(|team| team.team.id).collect();
        let days = self.ledger.verified(&differ, MOST_COMPARED).await?;
        let mut told: BTreeSet<TeamId> = days.iter().map(|day| day.team_id).collect();
        if days.len() == MOST_COMPARED as usize {
            // The last one may have more days than were read.
            let last = told.pop_last();
            let rest = differ
                .iter()
                .filter(|team| last.is_some_and(|last| **team >= last));
            for team in rest {
                // While days are filled for the first time their rows are on the way.
                if looked[team]
                    .tally
                    .is_some_and(|tally| tally.running == 0 && tally.with_data > 0)
                {
                    troubles.entry(*team).or_default().lost_untold = true;
                }
            }
        }
        let mut of_warehouse: OfWarehouse<'_> = BTreeMap::new();
        for team in &told {
            let name = looked[team].desire.warehouse.as_str();
            of_warehouse.entry(name).or_default().push(*team);
        }
        let asked = of_warehouse.iter().map(|(name, teams)| async move {
            let store = self.store(name).await?;
            verify::totals(&store.warehouse, &store.tables, teams).await
        });
        let mut totals = BTreeMap::new();
        for of_one in join_all(asked).await {
            totals.extend(of_one?);
        }
        for day in days.iter().filter(|day| told.contains(&day.team_id)) {
            let holds = totals.get(&(day.team_id, day.bucket_s));
            if !holds
                .copied()
                .unwrap_or_default()
                .hold(day.page_views, day.sessions)
            {
                let trouble = troubles.entry(day.team_id).or_default();
                trouble.lost.insert(day.day);
            }
        }
        Ok(())
    }

    /// Days that are wanted, that the tables do not hold, and that have raw events. How many of them
    /// were not looked at, because there were too many.
    async fn find_unfilled(
        &self,
        looked: &BTreeMap<TeamId, Looked<'_>>,
        troubles: &mut BTreeMap<TeamId, Trouble>,
        now: Timestamp,
    ) -> Result<u64> {
        let most = u32::try_from(verify::MOST_DAYS).unwrap_or(u32::MAX);
        let planned = self.ledger.without_data(most).await?;
        let counted = looked
            .iter()
            .filter_map(|(team, looked)| Some((team, looked.tally.as_ref()?)));
        let gaps = gaps_of(&self.ledger, counted).await?;
        let mut unfilled = Vec::new();
        for slice in planned {
            if looked.contains_key(&slice.team_id) {
                let failed = (slice.state == State::Failed).then_some(slice.error);
                unfilled.push((slice.team_id, slice.day, slice.bounds, failed));
            }
        }
        let mut all = 0;
        for (id, team) in looked {
            if let Some(tally) = &team.tally {
                let without_data = tally.slices - tally.cleaned - tally.with_data;
                all += usize::try_from(without_data).unwrap_or(0);
            }
            let gaps = gaps.get(id).map_or(&[][..], Vec::as_slice);
            let zone = &team.desire.zone;
            for day in unplanned(team.desire.window(now), team.tally.as_ref(), gaps, zone) {
                all += 1;
                if let Some(bounds) = zone.bounds(day) {
                    unfilled.push((*id, day, bounds, None));
                }
            }
        }
        let mut left_out = 0;
        // What could be read without a limit was read at another moment than the tallies were.
        if unfilled.len() >= verify::MOST_DAYS {
            unfilled.truncate(verify::MOST_DAYS);
            left_out = all.saturating_sub(unfilled.len()) as u64;
        }
        let mut of_warehouse: BTreeMap<&str, Vec<(TeamId, Bounds)>> = BTreeMap::new();
        for (team, _, bounds, _) in &unfilled {
            let name = looked[team].desire.warehouse.as_str();
            of_warehouse.entry(name).or_default().push((*team, *bounds));
        }
        let asked = of_warehouse.iter().map(|(name, days)| async move {
            let store = self.store(name).await?;
            verify::with_sessions(&store.warehouse, &store.tables, days).await
        });
        let mut with_sessions = BTreeSet::new();
        for of_one in join_all(asked).await {
            with_sessions.extend(of_one?);
        }
        for (team, day, bounds, failed) in unfilled {
            if !with_sessions.contains(&(team, bounds.from)) {
                continue;
            }
            let trouble = troubles.entry(team).or_default();
            match failed {
                Some(error) => drop(trouble.failed.insert(day, error.unwrap_or_default())),
                None => drop(trouble.unfilled.insert(day)),
            }
        }
        Ok(left_out)
    }

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
            self.ask_all(&of_warehouse, async |store, teams| {
                verify::rows_within(&store.warehouse, &store.tables, teams, from_s, until_s).await
            })
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

/// The next step for a team that something is wrong with.
fn recommended(
    team: TeamId,
    has_data: bool,
    hint: Option<String>,
    pause: Option<Extent>,
    days: Option<(&Day, &Day)>,
) -> String {
    let (what, else_run) = if has_data {
        ("gaps", "run")
    } else {
        ("no data", "keep prefill serve running, or run")
    };
    match (hint, pause, days) {
        (Some(hint), ..) => hint,
        (None, Some(pause), _) => format!(
            "team {team} has {what}, and {} is paused: run prefill resume {pause}",
            pause.name()
        ),
        (None, None, Some((first, last))) => format!(
            "team {team} has {what}: {else_run} prefill backfill --team-id {team} --date-start {first} --date-end {} --force",
            last.plus(1)
        ),
        (None, None, None) => {
            format!("team {team} has {what}: {else_run} prefill backfill --team-id {team}")
        }
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
