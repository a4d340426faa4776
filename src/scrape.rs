//! What Prometheus is told: what this process has counted, and how everything stands at the moment.
//!
//! A scrape always has an answer within a few seconds, because it is asked for just when something is
//! wrong: a warehouse that does not answer is `prefill_warehouse_up` 0, and a ledger that does not is
//! `prefill_ledger_up` 0, with what it would say left out. The ledger is asked a number of questions that
//! does not grow with the teams, and none about days that are filled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tracing::debug;

use crate::calendar::{Days, TeamId};
use crate::error::Result;
use crate::freshness;
use crate::ledger::{Extent, Ledger, Receiver, Tally, Team};
use crate::plan::Desire;
use crate::reconcile;
use crate::report::{self, Coverage};
use crate::service::Prefill;
use crate::telemetry::{self, RUN_STATUSES, STATES, Sheet};

/// The type of what [`Scraper::text`] says.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// How long a scrape waits for a warehouse.
const WAREHOUSE_WITHIN: Duration = Duration::from_secs(2);
/// How long a scrape waits for the ledger; Prometheus gives up after 10 s unless it is told otherwise.
const LEDGER_WITHIN: Duration = Duration::from_secs(8);
/// What took long to read is told again for so many times as long. With 10,000 teams it takes a fraction
/// of a second, but for seconds while hundreds of thousands of slices are open.
const TOLD_AGAIN: u32 = 4;

/// Answers scrapes.
#[derive(Clone)]
pub struct Scraper {
    prefill: Prefill,
    /// One reads for all.
    last: Arc<Mutex<Option<Last>>>,
}

/// What can be told while the ledger cannot be opened, on a sheet that has something on it.
pub fn without_ledger(sheet: &Sheet) -> String {
    sheet.set(&telemetry::BUILD_INFO, [env!("CARGO_PKG_VERSION")], 1.0);
    sheet.set(&telemetry::LEDGER_UP, [], 0.0);
    sheet.with_recorded()
}

/// What was read last.
struct Last {
    at: Instant,
    took: Duration,
    standing: Arc<Standing>,
}

impl Scraper {
    pub fn new(prefill: Prefill) -> Self {
        Self {
            prefill,
            last: Arc::default(),
        }
    }

    /// Everything that is measured, in Prometheus' text format. What this process has counted is in it
    /// where [`telemetry::install`] was called.
    pub async fn text(&self) -> String {
        self.text_with(Sheet::default()).await
    }

    /// As [`Scraper::text`], on a sheet that has something on it.
    pub async fn text_with(&self, sheet: Sheet) -> String {
        sheet.set(&telemetry::BUILD_INFO, [env!("CARGO_PKG_VERSION")], 1.0);
        for (name, warehouse) in &self.prefill.config.warehouses {
            sheet.set(&telemetry::GOVERNOR_BUDGET, [name], warehouse.budget);
        }
        let clock = timeout(LEDGER_WITHIN, self.prefill.ledger.now());
        let (standing, clock, ()) = tokio::join!(
            timeout(LEDGER_WITHIN, self.standing()),
            clock,
            look_at_warehouses(&self.prefill, &sheet)
        );
        // One that takes its time is not one that is down.
        let is_up = match &standing {
            Ok(standing) => standing.is_some(),
            Err(_) => matches!(clock, Ok(Ok(_))),
        };
        sheet.set(&telemetry::LEDGER_UP, [], f64::from(u8::from(is_up)));
        if let Ok(Some(standing)) = standing {
            standing.write(&sheet);
        }
        sheet.with_recorded()
    }

    /// What the ledger says, read now or just before; nothing where it cannot be read.
    async fn standing(&self) -> Option<Arc<Standing>> {
        let Self { prefill, last } = self.clone();
        // For itself: what takes longer than a scrape waits is there for the next one.
        let read = tokio::spawn(async move {
            let mut last = last.lock().await;
            if let Some(last) = &*last
                && last.at.elapsed() < last.took * TOLD_AGAIN
            {
                return Some(last.standing.clone());
            }
            let begun = Instant::now();
            *last = match Standing::read(&prefill).await {
                Ok(standing) => Some(Last {
                    at: Instant::now(),
                    took: begun.elapsed(),
                    standing: Arc::new(standing),
                }),
                Err(error) => {
                    debug!(
                        error = error.chain(),
                        "could not read how everything stands"
                    );
                    None
                }
            };
            last.as_ref().map(|last| last.standing.clone())
        });
        read.await.unwrap_or(None)
    }
}

async fn look_at_warehouses(prefill: &Prefill, sheet: &Sheet) {
    // Opening one makes tables, and may take its time: that is for those who fill.
    let answers = prefill.answers(WAREHOUSE_WITHIN).await;
    for name in prefill.config.warehouses.keys() {
        let is_up = answers.get(name) == Some(&true);
        sheet.set(&telemetry::WAREHOUSE_UP, [name], f64::from(u8::from(is_up)));
        if let Some(store) = prefill.opened(name) {
            let waiting = store.warehouse.waiting();
            sheet.set(&telemetry::GOVERNOR_WAITING, [name], waiting as f64);
            let waiting = store.warehouse.waiting_for_memory();
            sheet.set(&telemetry::MEMORY_WAITING, [name], waiting as f64);
        }
    }
}

/// How the slices of a warehouse stand.
#[derive(Debug, Default)]
struct OfWarehouse {
    states: BTreeMap<String, i64>,
    coverage: Coverage,
    queue_age: Duration,
    oldest_gap: Option<Timestamp>,
    freshness_lag: Option<Duration>,
}

impl OfWarehouse {
    fn add(&mut self, state: &str, slices: i64) {
        *self.states.entry(state.to_owned()).or_default() += slices;
    }

    fn has_gap(&mut self, ended: Timestamp) {
        let oldest = self.oldest_gap.map_or(ended, |oldest| oldest.min(ended));
        self.oldest_gap = Some(oldest);
    }
}

/// What the ledger says.
struct Standing {
    now: Timestamp,
    teams_enabled: usize,
    teams_misconfigured: usize,
    of_warehouse: BTreeMap<String, OfWarehouse>,
    runs: BTreeMap<String, i64>,
    pauses: Vec<Extent>,
    uses: Vec<report::WarehouseUse>,
    receivers: Vec<Receiver>,
}

impl Standing {
    async fn read(prefill: &Prefill) -> Result<Self> {
        let Prefill { ledger, config, .. } = prefill;
        let now = ledger.now().await?;
        let teams = ledger.teams().await?;
        let of_warehouse = config.warehouses.keys();
        let mut standing = Self {
            now,
            teams_enabled: 0,
            teams_misconfigured: 0,
            of_warehouse: of_warehouse
                .map(|name| (name.clone(), OfWarehouse::default()))
                .collect(),
            runs: ledger.open_runs().await?,
            pauses: ledger.pauses().await?,
            uses: report::uses(ledger, config).await?,
            receivers: ledger.receivers().await?,
        };
        let mut desires = BTreeMap::new();
        let mut names: BTreeMap<TeamId, &str> = BTreeMap::new();
        for team in &teams {
            if let Ok(name) = config.warehouse_of(team.id, team.warehouse.as_deref()) {
                names.insert(team.id, name);
            }
            if team.enabled {
                standing.teams_enabled += 1;
                match reconcile::desire(team, config, team.enabled_at.unwrap_or(now)) {
                    Ok(desire) => drop(desires.insert(team.id, desire)),
                    Err(_) => standing.teams_misconfigured += 1,
                }
            }
        }
        standing
            .read_slices(ledger, &teams, &desires, &names)
            .await?;
        for (name, of_one) in &mut standing.of_warehouse {
            // Where there is no slice nobody looks.
            if of_one.states.values().sum::<i64>() > 0
                && let Some(mark) = ledger.mark(&freshness::mark_of(name)).await?
                && let Ok(looked) = Timestamp::from_microsecond(mark)
            {
                let lag = Duration::try_from(now.duration_since(looked));
                of_one.freshness_lag = Some(lag.unwrap_or_default());
            }
        }
        Ok(standing)
    }

    async fn read_slices(
        &mut self,
        ledger: &Ledger,
        teams: &[Team],
        desires: &BTreeMap<TeamId, Desire>,
        names: &BTreeMap<TeamId, &str>,
    ) -> Result<()> {
        let tallies = ledger.tallies().await?;
        let on: BTreeSet<TeamId> = teams
            .iter()
            .filter(|team| team.enabled)
            .map(|team| team.id)
            .collect();
        // Where all days are filled, none is held.
        let off = tallies.iter().filter(|(team, (tally, _))| {
            let is_open = tally.slices - tally.cleaned > tally.with_data || tally.stale > 0;
            is_open && !on.contains(team)
        });
        let off: Vec<TeamId> = off.map(|(team, _)| *team).collect();
        let unfinished = ledger.unfinished(&off).await?;
        let counted = tallies.iter().map(|(team, (tally, _))| (team, tally));
        let gaps = report::gaps_of(ledger, counted).await?;
        let mut left: BTreeMap<TeamId, i64> = BTreeMap::new();
        for (team, (tally, _)) in &tallies {
            left.insert(*team, tally.slices - tally.cleaned);
            if let Some(of_one) = self.of(*team, names) {
                of_one.add("cleaned", tally.cleaned);
            }
        }
        for slices in unfinished {
            if let Some(left) = left.get_mut(&slices.team_id) {
                *left -= slices.slices;
            }
            let is_paused = self.pauses.iter().any(|pause| pause.covers(slices.team_id));
            let Some(of_one) = self.of(slices.team_id, names) else {
                continue;
            };
            let far = match slices.far.as_str() {
                "wanted" | "stale" | "waiting" if is_paused => "paused",
                far => far,
            };
            of_one.add(far, slices.slices);
            if !matches!(far, "paused" | "cancelled") {
                of_one.queue_age = of_one.queue_age.max(slices.due.unwrap_or_default());
            }
            if let Some(gap) = slices.gap
                && !matches!(far, "held" | "cancelled")
            {
                of_one.has_gap(gap);
            }
        }
        for (team, left) in left {
            // Read a moment after the tallies: never less than nothing.
            if let Some(of_one) = self.of(team, names) {
                of_one.add("filled", left.max(0));
            }
        }
        let now = self.now;
        for (team, desire) in desires {
            let tally: Option<&Tally> = tallies.get(team).map(|(tally, _)| tally);
            let of_team = gaps
                .get(team)
                .map_or(&[][..], |gaps: &Vec<Days>| gaps.as_slice());
            let unplanned: Vec<_> =
                report::unplanned(desire.window(now), tally, of_team, &desire.zone).collect();
            let Some(of_one) = self.of_warehouse.get_mut(&desire.warehouse) else {
                continue;
            };
            of_one.coverage.add(&Coverage::of(tally, unplanned.len()));
            for bounds in unplanned.iter().filter_map(|day| desire.zone.bounds(*day)) {
                of_one.has_gap(bounds.until);
            }
        }
        Ok(())
    }

    fn of(&mut self, team: TeamId, names: &BTreeMap<TeamId, &str>) -> Option<&mut OfWarehouse> {
        self.of_warehouse.get_mut(*names.get(&team)?)
    }

    fn write(&self, sheet: &Sheet) {
        sheet.set(&telemetry::TEAMS_ENABLED, [], self.teams_enabled as f64);
        sheet.set(
            &telemetry::TEAMS_MISCONFIGURED,
            [],
            self.teams_misconfigured as f64,
        );
        for (name, of_one) in &self.of_warehouse {
            for state in STATES {
                let slices = of_one.states.get(state).copied().unwrap_or(0);
                sheet.set(&telemetry::SLICES, [name, state], slices as f64);
            }
            let coverage = &of_one.coverage;
            let ratio = match coverage.wanted {
                0 => 1.0,
                wanted => coverage.filled as f64 / wanted as f64,
            };
            sheet.set(&telemetry::COVERAGE, [name], ratio);
            sheet.set(
                &telemetry::QUEUE_AGE,
                [name],
                of_one.queue_age.as_secs_f64(),
            );
            let gap = of_one
                .oldest_gap
                .map(|ended| self.now.duration_since(ended).as_secs_f64());
            sheet.set(&telemetry::OLDEST_GAP, [name], gap.unwrap_or(0.0).max(0.0));
            if let Some(lag) = of_one.freshness_lag {
                sheet.set(&telemetry::FRESHNESS_LAG, [name], lag.as_secs_f64());
            }
        }
        for status in RUN_STATUSES {
            let runs = self.runs.get(status).copied().unwrap_or(0);
            sheet.set(&telemetry::RUNS, [status], runs as f64);
        }
        let everything = self.pauses.contains(&Extent::Everything);
        let teams = self.pauses.len() - usize::from(everything);
        sheet.set(
            &telemetry::PAUSES,
            ["everything"],
            f64::from(u8::from(everything)),
        );
        sheet.set(&telemetry::PAUSES, ["team"], teams as f64);
        for taken in &self.uses {
            let name = [taken.name.as_str()];
            if let Some(used) = taken.used_last_minute {
                sheet.set(&telemetry::GOVERNOR_USED, name, used);
            }
            if let Some(busy) = taken.busy {
                sheet.set(&telemetry::GOVERNOR_BUSY, name, f64::from(u8::from(busy)));
            }
            for (counter, seconds) in [
                (&telemetry::GOVERNOR_WAITED, taken.waited_seconds),
                (&telemetry::MEMORY_WAITED, taken.waited_for_memory_seconds),
            ] {
                let waited = Duration::try_from_secs_f64(seconds).unwrap_or_default();
                sheet.total(counter, name, waited.as_secs());
            }
        }
        for receiver in &self.receivers {
            let name = [receiver.name.as_str()];
            sheet.set(&telemetry::ALERTS_WAITING, name, receiver.waiting as f64);
            let oldest = receiver.oldest.as_secs_f64();
            sheet.set(&telemetry::ALERTS_OLDEST, name, oldest);
        }
    }
}
