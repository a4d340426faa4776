//! Coverage: how many of the days that a team wants are filled, and what a team's state is called.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::{Pauses, enabled_teams};
use crate::calendar::{Day, Days, TeamId, Zone};
use crate::config::Config;
use crate::error::Result;
use crate::ledger::{Ledger, Tally, Team};
use crate::reconcile;

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
