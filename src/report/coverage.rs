//! Coverage: how many of the days that a team wants are filled, and what a team's state is called.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Pauses, enabled_teams};
use crate::calendar::{Day, Days, TeamId, Zone};
use crate::config::Config;
use crate::error::Result;
use crate::ledger::{Ledger, State, Tally, Team, Verified};
use crate::reconcile;

/// Filled slices over wanted slices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
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
    pub(crate) fn of(tally: Option<&Tally>, unplanned: usize) -> Self {
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

    pub(crate) fn add(&mut self, other: &Self) {
        self.wanted += other.wanted;
        self.filled += other.filled;
        self.stale += other.stale;
        self.failed += other.failed;
        self.running += other.running;
        self.waiting += other.waiting;
    }
}

/// A team, and how far it is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TeamCoverage {
    #[serde(flatten)]
    pub team: Team,
    #[serde(flatten)]
    pub coverage: Coverage,
    pub coverage_percentage: f64,
    /// `filled`, `refreshing`, `filling`, `queued` (nobody fills it right now), `cancelled` (nobody will), `waiting`
    /// (for events), `paused`, `failed`, `off`, or what is wrong with the team.
    pub state: String,
    /// Nobody can tell what the team wants; `state` says why.
    #[serde(skip)]
    pub is_misconfigured: bool,
    /// It is paused, or everything is.
    #[serde(skip)]
    pub is_paused: bool,
    /// How many days have no rows because somebody cleaned them up.
    #[serde(skip)]
    pub cleaned: i64,
    pub newest_day: Option<Day>,
    pub oldest_day: Option<Day>,
}

/// The days of a range that have no slice, though the zone has them: mostly none, because days are
/// planned as soon as they are wanted. `gaps` are those between the team's slices.
pub(crate) fn unplanned<'a>(
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
pub(crate) async fn gaps_of<'a>(
    ledger: &Ledger,
    tallies: impl Iterator<Item = (&'a TeamId, &'a Tally)>,
) -> Result<BTreeMap<TeamId, Vec<Days>>> {
    let broken = tallies.filter(|(_, tally)| !tally.is_unbroken());
    let broken: Vec<TeamId> = broken.map(|(team, _)| *team).collect();
    ledger.gaps(&broken).await
}

/// What a team's state may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StateOfTeam {
    Filled,
    Refreshing,
    Filling,
    Queued,
    /// Nothing is to be filled but what was asked for by tasks that were cancelled.
    Cancelled,
    Waiting,
    Paused,
    Failed,
    /// The state says what is wrong with the team.
    Misconfigured,
    /// The setting is off.
    Off,
}

impl StateOfTeam {
    fn name(self) -> &'static str {
        match self {
            Self::Filled => "filled",
            Self::Refreshing => "refreshing",
            Self::Filling => "filling",
            Self::Queued => "queued",
            Self::Cancelled => "cancelled",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Failed => "failed",
            Self::Misconfigured => "misconfigured",
            Self::Off => "off",
        }
    }
}

/// What is known of all teams, to say how far one of them is.
struct Known<'a> {
    config: &'a Config,
    now: Timestamp,
    pauses: Pauses,
    tallies: BTreeMap<TeamId, (Tally, Verified)>,
    gaps: BTreeMap<TeamId, Vec<Days>>,
    /// See [`Ledger::cancelled_days`].
    cancelled: BTreeMap<TeamId, i64>,
}

impl<'a> Known<'a> {
    async fn read(ledger: &Ledger, config: &'a Config, now: Timestamp) -> Result<Self> {
        Self::read_of(ledger, config, now, None).await
    }

    /// What is known of some teams, or of all.
    async fn read_of(
        ledger: &Ledger,
        config: &'a Config,
        now: Timestamp,
        teams: Option<&[TeamId]>,
    ) -> Result<Self> {
        let pauses = Pauses::of(&ledger.pauses().await?);
        let tallies = ledger.tallies_of(teams).await?;
        let counted = tallies.iter().map(|(team, (tally, _))| (team, tally));
        let gaps = gaps_of(ledger, counted).await?;
        Ok(Self {
            config,
            now,
            pauses,
            tallies,
            gaps,
            cancelled: ledger.cancelled_days(teams).await?,
        })
    }

    fn coverage(&self, team: &Team, tally: Option<&Tally>) -> Result<Coverage> {
        if !team.enabled {
            return Ok(Coverage::of(tally, 0));
        }
        let desire = reconcile::desire(team, self.config, team.enabled_at.unwrap_or(self.now))?;
        let gaps = self.gaps.get(&team.id).map_or(&[][..], Vec::as_slice);
        let unplanned = unplanned(desire.window(self.now), tally, gaps, &desire.zone);
        Ok(Coverage::of(tally, unplanned.count()))
    }

    fn state(&self, team: &Team, coverage: &Coverage) -> StateOfTeam {
        if !team.enabled {
            StateOfTeam::Off
        } else if coverage.failed > 0 {
            StateOfTeam::Failed
        } else if coverage.filled == coverage.wanted && coverage.stale == 0 {
            StateOfTeam::Filled
        } else if self.pauses.of_team(team.id).is_some() {
            StateOfTeam::Paused
        } else if coverage.filled + coverage.waiting >= coverage.wanted
            && coverage.running == 0
            && coverage.stale == 0
        {
            StateOfTeam::Waiting
        } else if coverage.filled == coverage.wanted {
            StateOfTeam::Refreshing
        } else if coverage.running > 0 {
            StateOfTeam::Filling
        } else if self.cancelled.get(&team.id).is_some_and(|days| {
            coverage.filled + coverage.waiting + days.unsigned_abs() >= coverage.wanted
        }) {
            StateOfTeam::Cancelled
        } else {
            StateOfTeam::Queued
        }
    }

    /// How far a team is, and what its state is called.
    fn of(&self, team: Team) -> (TeamCoverage, StateOfTeam) {
        let (tally, verified) = self.tallies.get(&team.id).copied().unzip();
        let (coverage, name, state) = match self.coverage(&team, tally.as_ref()) {
            Ok(coverage) => {
                let state = self.state(&team, &coverage);
                (Some(coverage), state, state.name().to_owned())
            }
            Err(error) => (None, StateOfTeam::Misconfigured, error.chain()),
        };
        let covered = TeamCoverage {
            newest_day: verified.and_then(|verified| verified.newest),
            oldest_day: verified.and_then(|verified| verified.oldest),
            // Nobody can tell what such a team wants, so nothing of it is covered.
            coverage_percentage: coverage.map_or(0.0, |coverage| coverage.percentage()),
            state,
            is_misconfigured: name == StateOfTeam::Misconfigured,
            is_paused: self.pauses.of_team(team.id).is_some(),
            cleaned: tally.map_or(0, |tally| tally.cleaned),
            coverage: coverage.unwrap_or_default(),
            team,
        };
        (covered, name)
    }
}

/// The teams that have the setting on, with their coverage.
///
/// # Errors
///
/// When the ledger fails.
pub async fn list(ledger: &Ledger, config: &Config, now: Timestamp) -> Result<Vec<TeamCoverage>> {
    let known = Known::read(ledger, config, now).await?;
    let teams = enabled_teams(ledger).await?;
    Ok(teams.into_iter().map(|team| known.of(team).0).collect())
}

/// As [`list`], with the teams that have the setting off: those want nothing, and may have data.
///
/// # Errors
///
/// When the ledger fails.
pub async fn list_all(
    ledger: &Ledger,
    config: &Config,
    now: Timestamp,
) -> Result<Vec<TeamCoverage>> {
    let known = Known::read(ledger, config, now).await?;
    let teams = ledger.teams().await?;
    Ok(teams.into_iter().map(|team| known.of(team).0).collect())
}

/// As [`list_all`], of some teams, asking for no others.
///
/// # Errors
///
/// When the ledger fails.
pub async fn list_some(
    ledger: &Ledger,
    config: &Config,
    teams: Vec<Team>,
    now: Timestamp,
) -> Result<Vec<TeamCoverage>> {
    let ids: Vec<TeamId> = teams.iter().map(|team| team.id).collect();
    let known = Known::read_of(ledger, config, now, Some(&ids)).await?;
    Ok(teams.into_iter().map(|team| known.of(team).0).collect())
}

/// A team, whether it has the setting on or not.
///
/// # Errors
///
/// [`crate::error::Class::Misuse`] when there is no such team; when the ledger fails.
pub async fn team(
    ledger: &Ledger,
    config: &Config,
    now: Timestamp,
    id: TeamId,
) -> Result<TeamCoverage> {
    let team = ledger.team(id).await?;
    let known = Known::read_of(ledger, config, now, Some(&[id])).await?;
    Ok(known.of(team).0)
}

/// Some of the teams.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Part of the name or the organization in whatever case, or the id.
    pub search: Option<String>,
    /// Whether the setting is on.
    pub enabled: Option<bool>,
    pub state: Option<StateOfTeam>,
    /// Those after this one.
    pub after: Option<TeamId>,
    /// As many at most.
    pub limit: usize,
}

impl Selection {
    /// Whether a team is among them, as far as that is known of the team alone.
    pub fn has(&self, team: &Team) -> bool {
        let search = self.search.as_deref().map(str::to_lowercase);
        let found = search.is_none_or(|search| {
            team.name.to_lowercase().contains(&search)
                || team.organization.to_lowercase().contains(&search)
                || team.id.to_string() == search.trim()
        });
        found
            && self.enabled.is_none_or(|enabled| enabled == team.enabled)
            && self.after.is_none_or(|after| team.id > after)
    }
}

/// The selected teams by id, and the last of them where there are more.
///
/// # Errors
///
/// When the ledger fails.
pub async fn select(
    ledger: &Ledger,
    config: &Config,
    now: Timestamp,
    selection: &Selection,
) -> Result<(Vec<TeamCoverage>, Option<TeamId>)> {
    let mut teams = ledger.teams().await?;
    teams.retain(|team| selection.has(team));
    // Only who asks for a state has to know that of all.
    if selection.state.is_none() {
        teams.truncate(selection.limit.saturating_add(1));
    }
    let ids: Vec<TeamId> = teams.iter().map(|team| team.id).collect();
    let of = selection.state.is_none().then_some(ids.as_slice());
    let known = Known::read_of(ledger, config, now, of).await?;
    let mut selected = teams
        .into_iter()
        .map(|team| known.of(team))
        .filter(|(_, state)| selection.state.is_none_or(|wanted| wanted == *state))
        .map(|(team, _)| team);
    let page: Vec<TeamCoverage> = selected.by_ref().take(selection.limit).collect();
    let more = selected.next().is_some();
    let last = page.last().map(|team| team.team.id);
    Ok((page, last.filter(|_| more)))
}

/// How it stands with each day of a team.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TeamDays {
    pub team_id: TeamId,
    pub team_name: String,
    pub enabled: bool,
    pub date_start: Day,
    /// Exclusive: tomorrow in the team's time zone.
    pub date_end: Day,
    /// The newest first, without those that the ledger does not know.
    pub days: Vec<DayState>,
}

/// How it stands with a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DayState {
    pub day: Day,
    pub state: State,
    /// No events yet, and the source is not known to be complete.
    pub waiting_for_events: bool,
}

/// The days of teams: today and so many days before it, each in its own time zone; of a team whose zone
/// does not exist, in UTC.
///
/// # Errors
///
/// When the ledger fails.
pub async fn days(
    ledger: &Ledger,
    teams: Vec<Team>,
    days: i64,
    now: Timestamp,
) -> Result<Vec<TeamDays>> {
    let mut listed = Vec::with_capacity(teams.len());
    let mut ranges = Vec::with_capacity(teams.len());
    for team in teams {
        let zone = team.zone().or_else(|_| Zone::get("UTC"))?;
        let today = Day::of(now, &zone);
        let range = Days::new(today.plus(-days), today.plus(1))?;
        ranges.push((team.id, range));
        listed.push(TeamDays {
            team_id: team.id,
            team_name: team.name,
            enabled: team.enabled,
            date_start: range.from,
            date_end: range.until,
            days: Vec::new(),
        });
    }
    let mut states = ledger.states_within(&ranges).await?;
    for team in &mut listed {
        let of_team = states.remove(&team.team_id).unwrap_or_default();
        let of_team = of_team.into_iter().rev();
        team.days = of_team
            .map(|(day, state, waiting_for_events)| DayState {
                day,
                state,
                waiting_for_events,
            })
            .collect();
    }
    Ok(listed)
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
