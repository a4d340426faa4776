//! Finds the days that events reached after they were filled, and marks them stale.
//!
//! Asks the source which sessions got events since the last look (with an overlap, because rows
//! become visible after the instant that they carry), turns the days that they touch into slices, and
//! compares the raw events of each such day with the receipt of its fill. Only a day that really
//! differs is filled again, so looking twice costs a question and no work. This keeps today fresh,
//! fills a day again once its sessions have ended, and repairs days that late events touched.
//! Where PostHog says whose an event is by now, the days of events that became somebody else's are
//! looked at in the same way; a person that was changed in the events themselves goes unnoticed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clickhouse::Row;
use jiff::Timestamp;
use serde::Deserialize;
use tracing::{info, warn};

use crate::calendar::{Bounds, Day, TeamId, Zone};
use crate::config::SourceKind;
use crate::error::Result;
use crate::ledger::{Ledger, Reason, Slice, State};
use crate::rollup::sql;
use crate::schema::Store;
use crate::verify::{self, Scope};

/// Up to where the source was looked at, in microseconds since 1970; followed by the warehouse.
const MARK: &str = "scanned_us";
/// The mark of a warehouse, see [`Ledger::mark`].
pub fn mark_of(warehouse: &str) -> String {
    format!("{MARK}:{warehouse}")
}

/// How much of what was looked at is looked at again.
const OVERLAP: Duration = Duration::from_secs(120);
/// How long a session lasts at most.
const SESSION_US: i64 = 86_400_000_000;
/// So many days are named in the log, of those that are found at once.
const MOST_NAMED: usize = 10;
const COMMENT: &str = "prefill:freshness";

#[derive(Row, Deserialize)]
struct Now {
    value: i64,
}

#[derive(Row, Deserialize)]
struct Touched {
    team_id: i64,
    first_us: i64,
    last_us: i64,
}

/// Looks at one warehouse once, its columns first; how many days have become stale, or need not wait for events
/// any more.
///
/// # Errors
///
/// When the ledger or the warehouse fails: then the next look covers the same time again.
pub async fn look(ledger: &Ledger, store: &Store) -> Result<usize> {
    let Store {
        name,
        warehouse,
        tables,
    } = store;
    let mark = mark_of(name);
    let mut zones = BTreeMap::new();
    let mut slices = BTreeMap::new();
    for team in ledger.teams().await? {
        // Of teams that have the setting off, too: the mark moves on, and they may turn it on again.
        let mut of_team = ledger.slices(team.id).await?;
        of_team.retain(|_, slice| slice.warehouse == *name);
        if let Ok(zone) = team.zone()
            && !of_team.is_empty()
        {
            slices.insert(team.id, of_team);
            zones.insert(team.id, zone);
        }
    }
    if zones.is_empty() {
        return Ok(0);
    }
    store.look_again().await?;
    let now = warehouse
        .statement(
            "select toUnixTimestamp64Micro(now64(6, 'UTC')) as value",
            COMMENT,
        )
        .rows::<Now>("read the warehouse's clock")
        .await?
        .first()
        .map_or(0, |now| now.value);
    // Without a mark, from the earliest fill: what came before it is in it.
    let since = match ledger.mark(&mark).await? {
        Some(mark) => mark - i64::try_from(OVERLAP.as_micros()).unwrap_or(0),
        None => slices
            .values()
            .flat_map(BTreeMap::values)
            .filter_map(|slice| slice.receipt.as_ref().map(|receipt| receipt.as_of_us))
            .min()
            .unwrap_or(0),
    };
    warehouse.turn().await;
    let sessions: Vec<Touched> = warehouse
        .statement(&tables.render(sql::LATE_DAYS, &[]), COMMENT)
        .param("since_us", since)
        .param("teams", zones.keys().map(|team| team.0).collect::<Vec<_>>())
        .rows("look for late events")
        .await?;
    let mut suspects: BTreeSet<(TeamId, Day)> = BTreeSet::new();
    for session in sessions {
        let team = TeamId(session.team_id);
        let first = Timestamp::from_microsecond(session.first_us);
        let last = Timestamp::from_microsecond(session.last_us);
        if let (Some(zone), Ok(first), Ok(last)) = (zones.get(&team), first, last) {
            // The day on which it starts, and those on which it may have started before an earlier
            // event came. Two, or three around a change of clocks; not more of an id used forever.
            let (first, last) = (Day::of(first, zone), Day::of(last, zone));
            let days = (0..=2).map(|later| first.plus(later));
            suspects.extend(days.take_while(|day| *day <= last).map(|day| (team, day)));
        }
    }
    suspects.extend(of_other_persons(store, &slices, &zones, since).await?);
    let mut touched = 0;
    let mut undecided = false;
    for (team, day) in suspects {
        let Some(slice) = slices.get(&team).and_then(|slices| slices.get(&day)) else {
            continue;
        };
        // Of what somebody asked for again and may cancel, its events have to be known, too.
        let is_forced = slice.state == State::Stale && slice.reason == Reason::Forced.text();
        let changed = match (&slice.receipt, slice.state) {
            (Some(receipt), state) if state == State::Filled || is_forced => {
                let scope = Scope {
                    teams: &[team],
                    bounds: Bounds {
                        from: slice.bucket,
                        until: slice.until,
                    },
                    as_of_us: now,
                    comment: COMMENT,
                };
                warehouse.turn().await;
                let raw = verify::raw(warehouse, tables, &scope).await?;
                let raw = raw.get(&team).copied().unwrap_or_default();
                raw.checksum != receipt.checksum || i64::try_from(raw.events) != Ok(receipt.events)
            }
            // It may or may not have seen them: told apart once it is filled.
            (_, State::Running) => {
                undecided = true;
                false
            }
            _ => slice.waiting_for_events,
        };
        if changed && ledger.touch(team, day, Reason::LateEvents, None).await? {
            touched += 1;
            if touched <= MOST_NAMED {
                info!(team_id = team.0, %day, "the events of team {team}, {day} have changed since it was filled: filling it again");
            }
        }
    }
    if let Some(more @ 1..) = touched.checked_sub(MOST_NAMED) {
        info!(
            days = more,
            "the events of {more} more days have changed since they were filled: filling them again"
        );
    }
    touched += repair(ledger, store, &slices).await?;
    // Never in the future, and only once everything before it was dealt with.
    if !undecided {
        ledger.set_mark(&mark, now).await?;
    }
    Ok(touched)
}

/// The filled days that an event may be of whose person is another since the mark.
async fn of_other_persons(
    store: &Store,
    slices: &BTreeMap<TeamId, BTreeMap<Day, Slice>>,
    zones: &BTreeMap<TeamId, Zone>,
    since: i64,
) -> Result<BTreeSet<(TeamId, Day)>> {
    let filled = || {
        let all = slices.values().flat_map(BTreeMap::values);
        all.filter(|slice| slice.receipt.is_some())
    };
    let from = filled().map(|slice| slice.bucket).min();
    let until = filled().map(|slice| slice.until).max();
    let (SourceKind::PostHog, Some(from), Some(until)) = (store.tables.source.kind, from, until)
    else {
        return Ok(BTreeSet::new());
    };
    let hours: Vec<Touched> = store
        .warehouse
        .statement(&store.tables.render(sql::LATE_PERSONS, &[]), COMMENT)
        .param("since_us", since)
        .param("from_us", from.as_microsecond())
        .param("until_us", until.as_microsecond() + SESSION_US)
        .param("teams", zones.keys().map(|team| team.0).collect::<Vec<_>>())
        .rows("look for events of other persons")
        .await?;
    let mut days = BTreeSet::new();
    for hour in hours {
        let team = TeamId(hour.team_id);
        // The session of an event has begun at most 24 hours before it.
        let first = Timestamp::from_microsecond(hour.first_us - SESSION_US);
        let last = Timestamp::from_microsecond(hour.last_us);
        if let (Some(zone), Ok(first), Ok(last)) = (zones.get(&team), first, last) {
            let (first, last) = (Day::of(first, zone), Day::of(last, zone));
            let all = (0..).map(|later| first.plus(later));
            days.extend(all.take_while(|day| *day <= last).map(|day| (team, day)));
        }
    }
    Ok(days)
}

/// Marks the days whose rows are not those that were verified: deleted, doubled, written by others.
async fn repair(
    ledger: &Ledger,
    store: &Store,
    slices: &BTreeMap<TeamId, BTreeMap<Day, Slice>>,
) -> Result<usize> {
    let teams: Vec<TeamId> = slices.keys().copied().collect();
    let totals =
        verify::totals(&store.warehouse, &store.tables, &teams, verify::ALL_BUCKETS).await?;
    let mut touched = 0;
    for slice in slices
        .values()
        .flat_map(BTreeMap::values)
        .collect::<Vec<_>>()
    {
        let (team, day) = (slice.team_id, slice.day);
        let holds = totals.get(&(team, slice.bucket.as_second()));
        let (State::Filled, Some(receipt)) = (slice.state, &slice.receipt) else {
            continue;
        };
        // One that was filled again since its receipt was read is right as it is.
        if !holds.copied().unwrap_or_default().are_of(receipt)
            && ledger
                .touch(team, day, Reason::RowsChanged, slice.filled_at)
                .await?
        {
            touched += 1;
            if touched <= MOST_NAMED {
                warn!(team_id = team.0, %day, "the tables do not hold what was verified of team {team}, {day}: filling it again");
            }
        }
    }
    if let Some(more @ 1..) = touched.checked_sub(MOST_NAMED) {
        warn!(
            days = more,
            "the tables do not hold what was verified of {more} more days: filling them again"
        );
    }
    Ok(touched)
}
