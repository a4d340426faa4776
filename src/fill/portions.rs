//! What of a claim is filled together, by how many events it has.

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::Row;
use jiff::Timestamp;
use serde::Deserialize;
use tracing::debug;

use super::existing;
use crate::calendar::{Bounds, TeamId};
use crate::error::Result;
use crate::ledger::{Claim, Claimed, MOST_EVENTS};
use crate::rollup::{Tables, sql};
use crate::verify::Scope;
use crate::warehouse::{Statement, Warehouse};

#[derive(Row, Deserialize)]
struct EventsOf {
    team_id: i64,
    begin_s: i64,
    events: u64,
}

/// What `explain estimate` says of a table.
#[derive(Row, Deserialize)]
#[expect(dead_code, reason = "all columns of a row are read")]
struct Estimate {
    database: String,
    table: String,
    parts: u64,
    rows: u64,
    marks: u64,
}

impl Estimate {
    /// Without a granule at either end of each part, most of which is others' rows.
    fn rows_of_its_own(&self) -> u64 {
        self.rows / self.marks.max(1) * self.marks.saturating_sub(2 * self.parts)
    }
}

/// What is filled of a claim.
#[derive(Debug)]
pub struct Portions {
    /// One after the other.
    pub now: Vec<Vec<Claimed>>,
    /// Older days of a team that are too much with the newest ones.
    pub later: Vec<Claimed>,
    /// Whether one of those days is too much with the next, by [`MOST_EVENTS`]: then it is probably not the only one.
    pub are_large: bool,
}

impl Portions {
    fn of(now: Vec<Vec<Claimed>>) -> Self {
        Self {
            now,
            later: Vec::new(),
            are_large: false,
        }
    }

    /// Of several days of a team the newest alone.
    fn newest(slices: &[Claimed]) -> Self {
        let mut later = slices.to_vec();
        later.sort_by_key(|slice| slice.bounds.from);
        let newest = later.pop().into_iter().collect();
        Self {
            now: vec![newest],
            later,
            are_large: false,
        }
    }
}

/// The statement that counts the events of a claim.
struct Counting<'a> {
    warehouse: &'a Warehouse,
    text: String,
    comment: &'a str,
    teams: Vec<i64>,
    bounds: Bounds,
    begins: Vec<i64>,
}

impl Counting<'_> {
    fn statement(&self, text: &str) -> Statement<'_> {
        self.warehouse
            .statement(text, self.comment)
            .param("teams", self.teams.clone())
            .param("from_us", self.bounds.from.as_microsecond())
            .param("until_us", self.bounds.until.as_microsecond())
            .param("begins", self.begins.clone())
    }

    /// The events of each team and day. `None` where no more than `most_events` are wanted, fewer than usual, and to
    /// count them is to read many more: the first day should not wait for that.
    async fn unless_much(&self, most_events: u64) -> Result<Option<BTreeMap<(i64, i64), u64>>> {
        if most_events < MOST_EVENTS {
            let estimates = self
                .statement(&format!("explain estimate {}", self.text))
                .rows::<Estimate>("estimate how many events a team has")
                .await?;
            // Nothing is said of tables that lie elsewhere.
            let read: u64 = estimates.iter().map(Estimate::rows_of_its_own).sum();
            if estimates.is_empty() || read > MOST_EVENTS {
                return Ok(None);
            }
        }
        let rows = self
            .statement(&self.text)
            .rows::<EventsOf>("see how many events each team has")
            .await?;
        let events = |row: EventsOf| ((row.team_id, row.begin_s), row.events);
        Ok(Some(rows.into_iter().map(events).collect()))
    }
}

/// The slices of a claim, in the portions that are filled one after the other. Of teams on a day the small ones
/// come first: a team with many events is alone, and the others do not wait for it. Of a team's days the newest
/// are together, unless the tables have rows of them, because only new rows can be written into several
/// partitions at once; the others can be claimed again.
///
/// # Errors
///
/// As the warehouse's errors are classed.
pub async fn portions(warehouse: &Warehouse, tables: &Tables, claim: &Claim) -> Result<Portions> {
    let [first, _, ..] = claim.slices.as_slice() else {
        return Ok(Portions::of(vec![claim.slices.clone()]));
    };
    let teams: BTreeSet<TeamId> = claim.slices.iter().map(|slice| slice.team_id).collect();
    let days: BTreeSet<Timestamp> = claim.slices.iter().map(|slice| slice.bounds.from).collect();
    let ends = claim.slices.iter().map(|slice| slice.bounds.until);
    let bounds = Bounds {
        from: days.first().copied().unwrap_or(first.bounds.from),
        until: ends.max().unwrap_or(first.bounds.until),
    };
    let comment = claim.comment();
    let several_days = days.len() > 1;
    let count = Counting {
        warehouse,
        text: tables.render(sql::WEIGH, &[]),
        comment: &comment,
        teams: teams.iter().map(|team| team.0).collect(),
        bounds,
        begins: days.iter().map(|day| day.as_second()).collect(),
    };
    let events = match count.unless_much(claim.most_events).await {
        Ok(Some(events)) => events,
        Ok(None) => return Ok(Portions::newest(&claim.slices)),
        // What is wrong is found again by the fill, and is then that of the one day that was tried.
        Err(error) if several_days => {
            debug!(
                error = error.chain(),
                "could not count the events of several days"
            );
            return Ok(Portions::newest(&claim.slices));
        }
        Err(error) => return Err(error),
    };
    let weight = |slice: &Claimed| {
        let day = (slice.team_id.0, slice.bounds.from.as_second());
        events.get(&day).copied().unwrap_or_default()
    };
    if !several_days {
        return Ok(Portions::of(shared(claim.slices.clone(), weight)));
    }
    let mut portions = successive(claim.slices.clone(), claim.most_events, weight).into_iter();
    let newest = portions.next().unwrap_or_default();
    let later: Vec<Claimed> = portions.flatten().collect();
    let are_large = claim.most_events == MOST_EVENTS && newest.len() == 1 && !later.is_empty();
    let scope = Scope {
        teams: &[first.team_id],
        bounds: Bounds {
            from: newest.last().map_or(bounds.from, |day| day.bounds.from),
            until: bounds.until,
        },
        as_of_us: 0,
        comment: &comment,
    };
    let has_rows = newest.len() > 1 && {
        let partition = first.partition;
        let existing = existing(warehouse, tables, &scope, partition, &[]).await?;
        existing.there == 1
    };
    let now = if has_rows {
        newest.into_iter().map(|slice| vec![slice]).collect()
    } else {
        vec![newest]
    };
    Ok(Portions {
        now,
        later,
        are_large,
    })
}

/// Slices of a day in portions of at most [`MOST_EVENTS`] by their weights, or of one.
fn shared(mut slices: Vec<Claimed>, weight: impl Fn(&Claimed) -> u64) -> Vec<Vec<Claimed>> {
    slices.sort_by_key(|slice| (weight(slice), slice.team_id));
    in_portions(slices, MOST_EVENTS, weight, |_, _| true)
}

/// Days of a team in portions of at most so many events, the newest first. None has a gap, as the claim has none: who
/// undoes a fill deletes all between its first day and its last.
fn successive(
    mut slices: Vec<Claimed>,
    most_events: u64,
    weight: impl Fn(&Claimed) -> u64,
) -> Vec<Vec<Claimed>> {
    slices.sort_by_key(|slice| std::cmp::Reverse(slice.bounds.from));
    in_portions(slices, most_events, weight, |newer, older| {
        older.bounds.until == newer.bounds.from
    })
}

/// Slices in their order, each with the one before it as long as there is room and it `may` be.
fn in_portions(
    slices: Vec<Claimed>,
    most_events: u64,
    weight: impl Fn(&Claimed) -> u64,
    may: impl Fn(&Claimed, &Claimed) -> bool,
) -> Vec<Vec<Claimed>> {
    let mut portions: Vec<Vec<Claimed>> = Vec::new();
    let mut room = 0;
    for slice in slices {
        let needed = weight(&slice);
        match portions.last_mut() {
            Some(portion)
                if needed <= room && portion.last().is_some_and(|last| may(last, &slice)) =>
            {
                room -= needed;
                portion.push(slice);
            }
            _ => {
                room = most_events.saturating_sub(needed);
                portions.push(vec![slice]);
            }
        }
    }
    portions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(team: i64) -> Claimed {
        Claimed {
            team_id: TeamId(team),
            day: "2026-05-01".parse().expect("a date"),
            timezone: "UTC".to_owned(),
            bounds: Bounds {
                from: "2026-05-01T00:00:00Z".parse().expect("an instant"),
                until: "2026-05-02T00:00:00Z".parse().expect("an instant"),
            },
            partition: 20_260_501,
            fence: 1,
            attempts: 1,
            pieces: 1,
            is_wider: false,
            cut_offs: 0,
            reason: "requested".to_owned(),
            left_bucket: None,
        }
    }

    /// The teams of the portions, those of `events` being 1, 2 and so on.
    fn portions_of(events: &[u64]) -> Vec<Vec<i64>> {
        let slices = (1..).zip(events).map(|(team, _)| slice(team)).collect();
        let weight = |slice: &Claimed| events[usize::try_from(slice.team_id.0 - 1).expect("small")];
        let teams = |portion: Vec<Claimed>| portion.iter().map(|slice| slice.team_id.0).collect();
        shared(slices, weight).into_iter().map(teams).collect()
    }

    #[test]
    fn small_teams_share_a_portion_and_come_before_a_big_one() {
        assert_eq!(portions_of(&[]), Vec::<Vec<i64>>::new());
        assert_eq!(portions_of(&[0, 0, 0]), [[1, 2, 3]]);
        assert_eq!(
            portions_of(&[MOST_EVENTS * 30, 7, 0, MOST_EVENTS - 7]),
            [vec![3, 2, 4], vec![1]]
        );
        // What is more than a portion is alone, and none is empty.
        let big = MOST_EVENTS + 1;
        assert_eq!(portions_of(&[big, big]), [[1], [2]]);
        assert_eq!(
            portions_of(&[MOST_EVENTS / 2, 1, MOST_EVENTS / 2]),
            [vec![2, 1], vec![3]]
        );
    }

    /// The portions of a team's days of May 2026, each of so many events.
    fn portions_of_days(days: &[(i64, u64)]) -> Vec<Vec<i64>> {
        let first: Timestamp = "2026-05-01T00:00:00Z".parse().expect("an instant");
        let start = |day: i64| first + jiff::SignedDuration::from_hours(24 * (day - 1));
        let slices = days.iter().map(|(day, _)| Claimed {
            bounds: Bounds {
                from: start(*day),
                until: start(day + 1),
            },
            ..slice(1)
        });
        let number =
            |slice: &Claimed| (slice.bounds.from.as_second() - first.as_second()) / 86_400 + 1;
        let weight = |slice: &Claimed| {
            let day = days.iter().find(|(day, _)| *day == number(slice));
            day.expect("a day").1
        };
        successive(slices.collect(), MOST_EVENTS, weight)
            .iter()
            .map(|portion| portion.iter().map(number).collect())
            .collect()
    }

    #[test]
    fn days_that_follow_each_other_are_together_the_newest_first_and_a_big_one_is_alone() {
        assert_eq!(portions_of_days(&[(1, 5), (3, 5), (2, 5)]), [[3, 2, 1]]);
        // Day 4 is somebody else's, or filled.
        assert_eq!(
            portions_of_days(&[(2, 5), (3, 5), (5, 5), (6, 5)]),
            [[6, 5], [3, 2]]
        );
        assert_eq!(
            portions_of_days(&[(1, 5), (2, MOST_EVENTS + 1), (3, 5), (4, MOST_EVENTS - 5)]),
            [vec![4, 3], vec![2], vec![1]]
        );
    }
}
