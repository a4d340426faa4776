//! Health: what is wrong with which team and which warehouse, and the command that mends it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::coverage::{gaps_of, unplanned};
use super::{OfWarehouse, Pauses, WarehouseHealth, enabled_teams};
use crate::calendar::{Bounds, Day, Days, TeamId};
use crate::error::Result;
use crate::ledger::{Extent, State, Tally, Team, Verified};
use crate::plan::Desire;
use crate::reconcile;
use crate::service::Prefill;
use crate::verify::{self, Sums};

/// A team whose days are missing.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MissingData {
    pub team_id: TeamId,
    pub team_name: String,
    pub organization: String,
    pub enabled_date: Option<Timestamp>,
    pub issue: String,
    #[serde(flatten)]
    pub mending: Mending,
}

/// What mends a team, and whether that is under way.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Mending {
    /// The team's warehouse; nothing where the team names one that is not configured.
    pub warehouse: Option<String>,
    /// With the command.
    pub recommendation: String,
    /// Nothing is wrong but that days are not filled yet, nobody paused them, and days are being filled
    /// on the warehouse right now.
    pub being_filled: bool,
    /// Nothing is wrong but that days are not filled yet, and somebody paused the team, everything, or the task that would fill them.
    pub paused: bool,
}

/// A team that has data, and days that should have some and have not.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Gap {
    pub team_id: TeamId,
    pub team_name: String,
    /// None where too many teams have lost days for each to be told apart.
    pub days: Vec<Day>,
    pub issue: String,
    #[serde(flatten)]
    pub mending: Mending,
}

/// Messages of `[alerts]` that wait and should not.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct NotTold {
    /// By its name.
    pub receiver: String,
    /// Messages that wait.
    pub waiting: u64,
    /// For how long the oldest of them has waited.
    pub oldest_seconds: u64,
    /// Whether some process has this receiver under `[alerts]`; without one they are dropped after a day.
    pub configured: bool,
}

/// Days of which a cleanup that did not end has deleted some rows, or all.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HalfCleaned {
    pub team_id: TeamId,
    pub date_start: Day,
    /// The day after the last.
    pub date_end: Day,
    pub days: i64,
    /// With the command.
    pub recommendation: String,
}

/// The health of all teams.
#[derive(Clone, Debug, Serialize, ToSchema)]
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
    /// Receivers of alerts that do not get their messages.
    pub alerts_not_sent: Vec<NotTold>,
    /// Cleanups that somebody has to run again.
    pub cleanups_not_ended: Vec<HalfCleaned>,
}

/// A message that has waited for so long is told to wait; its receiver was tried half a dozen times.
const NOT_TOLD_FOR: Duration = Duration::from_secs(900);

/// The most filled days that are compared one by one with what the tables hold, of the teams whose sums
/// differ: so many are read and compared within a second. Of the other teams the days are not named.
const MOST_COMPARED: u32 = 50_000;

/// What is wrong with one team.
#[derive(Debug, Default)]
struct Trouble {
    /// Days that have sessions and no rows, or the rows of before, by the error with which they failed.
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
                "{} not filled yet and {} raw events",
                days_are(self.unfilled.len()),
                if self.unfilled.len() == 1 {
                    "has"
                } else {
                    "have"
                }
            ));
        }
        issues.join("; ")
    }

    /// Whether nothing is wrong but that nobody has filled it yet.
    fn is_only_unfilled(&self) -> bool {
        self.failed.is_empty()
            && self.lost.is_empty()
            && !self.lost_untold
            && self.misconfigured.is_none()
    }

    fn days(&self) -> BTreeSet<Day> {
        let failed = self.failed.keys().copied();
        let others = self.lost.iter().chain(&self.unfilled).copied();
        failed.chain(others).collect()
    }

    fn ranges(&self) -> Vec<Range> {
        let mut ranges: Vec<Range> = Vec::new();
        for day in self.days() {
            let force = !self.unfilled.contains(&day);
            match ranges.last_mut() {
                Some(range) if range.last.plus(1) == day => {
                    range.last = day;
                    range.force |= force;
                }
                _ => ranges.push(Range {
                    first: day,
                    last: day,
                    force,
                }),
            }
        }
        ranges
    }
}

/// So many commands are told for a team.
const MOST_COMMANDS: usize = 3;

/// A team that has the setting on, with what its slices and the tables say of it.
struct Looked<'a> {
    team: &'a Team,
    /// What it wants and which warehouse has it.
    desire: Desire,
    tally: Option<Tally>,
    verified: Verified,
    sums: Sums,
}

impl Prefill {
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
            self.ask_all(&of_warehouse, (), async |store, teams, ()| {
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
        let unfilled = troubles
            .iter()
            .filter(|(_, trouble)| !trouble.unfilled.is_empty());
        let unfilled: Vec<TeamId> = unfilled.map(|(team, _)| *team).collect();
        let paused_days = self.ledger.paused_days(&unfilled).await?;
        let busy = self.ledger.busy_warehouses().await?;
        let alerts_not_sent = self.find_not_told().await?;
        let cleanups_not_ended = self.ledger.half_cleaned().await?;
        let cleanups_not_ended = cleanups_not_ended.into_iter().map(HalfCleaned::of);
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
            alerts_not_sent,
            cleanups_not_ended: cleanups_not_ended.collect(),
        };
        for warehouse in &health.warehouses {
            if let Some(error) = &warehouse.error {
                health.recommendations.push(match &warehouse.hint {
                    Some(hint) => format!("warehouse {}: {error} ({hint})", warehouse.name),
                    None => format!("warehouse {}: {error}", warehouse.name),
                });
            }
        }
        for not_told in &health.alerts_not_sent {
            health.recommendations.push(not_told.recommendation());
        }
        for half in &health.cleanups_not_ended {
            health.recommendations.push(half.recommendation.clone());
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
            let (issue, days, ranges) = (trouble.issue(), trouble.days(), trouble.ranges());
            let of_tasks = trouble.unfilled.iter();
            let of_tasks = of_tasks.map(|day| paused_days.get(&(team.id, *day)));
            // Where one day is kept by no task there is more to do than to let one go on.
            let of_task = of_tasks.collect::<Option<Vec<_>>>();
            let of_task = of_task.and_then(|tasks| tasks.last().map(|task| Extent::Task(**task)));
            let pause = pauses.of_team(team.id).or(of_task);
            let named = self.config.warehouse_of(team.id, team.warehouse.as_deref());
            let warehouse = named.ok().map(ToOwned::to_owned);
            let is_busy = warehouse.as_ref().is_some_and(|name| busy.contains(name));
            let only_unfilled = trouble.is_only_unfilled();
            let being_filled = is_busy && pause.is_none() && only_unfilled;
            let recommended = recommended(
                team.id,
                has_data,
                trouble.misconfigured.and_then(|(_, hint)| hint),
                pause,
                &ranges,
            );
            health.recommendations.push(recommended.clone());
            let mending = Mending {
                warehouse,
                recommendation: recommended,
                being_filled,
                paused: pause.is_some() && only_unfilled,
            };
            if has_data {
                health.data_gaps_detected.push(Gap {
                    team_id: team.id,
                    team_name: team.name,
                    days: days.into_iter().collect(),
                    issue,
                    mending,
                });
            } else {
                health.teams_missing_data.push(MissingData {
                    team_id: team.id,
                    team_name: team.name,
                    organization: team.organization,
                    enabled_date: team.enabled_at,
                    issue,
                    mending,
                });
            }
        }
        if !health.recommendations.is_empty() {
            health.status = "unhealthy";
        }
        Ok(health)
    }

    /// Receivers of alerts for which messages wait too long, or that no process has any more.
    async fn find_not_told(&self) -> Result<Vec<NotTold>> {
        let receivers = self.ledger.receivers().await?.into_iter();
        let late = receivers.filter(|receiver| {
            receiver.waiting > 0 && (receiver.oldest >= NOT_TOLD_FOR || !receiver.is_there())
        });
        Ok(late
            .map(|receiver| NotTold {
                configured: receiver.is_there(),
                waiting: receiver.waiting,
                oldest_seconds: receiver.oldest.as_secs(),
                receiver: receiver.name,
            })
            .collect())
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
            verify::totals(&store.warehouse, &store.tables, teams, verify::ALL_BUCKETS).await
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

    /// Days that are wanted, that the tables do not hold, and that have raw events, and days whose refill
    /// failed. How many of the former were not looked at, because there were too many.
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
            if !looked.contains_key(&slice.team_id) {
                continue;
            }
            if slice.has_data {
                let trouble = troubles.entry(slice.team_id).or_default();
                let error = slice.error.unwrap_or_default();
                trouble.failed.insert(slice.day, error);
            } else {
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
}

impl HalfCleaned {
    fn of((team_id, days): (TeamId, Days)) -> Self {
        let (date_start, date_end) = (days.from, days.until);
        Self {
            team_id,
            date_start,
            date_end,
            days: days.count(),
            recommendation: format!(
                "a cleanup of team {team_id} did not end: run prefill cleanup --team-id {team_id} --date-start {date_start} --date-end {date_end} again"
            ),
        }
    }
}

impl NotTold {
    /// How many messages wait, and the next step.
    pub fn recommendation(&self) -> String {
        let wait = match self.waiting {
            1 => "1 message waits".to_owned(),
            many => format!("{many} messages wait"),
        };
        let told = format!(
            "{wait} for {} of [alerts], the oldest for {} min",
            self.receiver,
            self.oldest_seconds / 60
        );
        match self.configured {
            true => format!("{told}: run prefill alerts test"),
            false => format!(
                "{told}, and no prefill serve that runs has it: start one that has, or let them be dropped after a day"
            ),
        }
    }
}

/// The next step for a team that something is wrong with.
fn recommended(
    team: TeamId,
    has_data: bool,
    hint: Option<String>,
    pause: Option<Extent>,
    ranges: &[Range],
) -> String {
    let (what, else_run) = if has_data {
        ("gaps", "run")
    } else {
        ("no data", "keep prefill serve running, or run")
    };
    match (hint, pause) {
        (Some(hint), _) => hint,
        (None, Some(pause)) => format!(
            "team {team} has {what}, and {} is paused: run prefill resume {pause}",
            pause.name()
        ),
        (None, None) if ranges.is_empty() => {
            format!("team {team} has {what}: {else_run} prefill backfill --team-id {team}")
        }
        (None, None) => {
            // The days between are nobody's trouble: one command for all would fill them, too.
            let newest = ranges.iter().rev().take(MOST_COMMANDS);
            let commands: Vec<String> = newest.map(|range| range.backfill(team)).collect();
            let rest = match ranges.len() - commands.len() {
                0 => String::new(),
                rest => format!("; then prefill health names {rest} more"),
            };
            format!(
                "team {team} has {what}: {else_run} {}{rest}",
                commands.join("; then ")
            )
        }
    }
}

/// Days that follow each other, with the command that mends them.
struct Range {
    first: Day,
    last: Day,
    /// Whether the tables hold something of one of them.
    force: bool,
}

impl Range {
    fn backfill(&self, team: TeamId) -> String {
        let force = if self.force { " --force" } else { "" };
        format!(
            "prefill backfill --team-id {team} --date-start {} --date-end {}{force}",
            self.first,
            self.last.plus(1)
        )
    }
}

fn days_are(count: usize) -> String {
    if count == 1 {
        "1 day is".to_owned()
    } else {
        format!("{count} days are")
    }
}
