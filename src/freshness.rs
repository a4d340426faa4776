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

use clickhouse::Row;
use jiff::Timestamp;
use serde::Deserialize;
use tracing::{info, warn};

use crate::calendar::{Bounds, Day, TeamId, Zone};
use crate::config::SourceKind;
use crate::error::{Class, Result};
use crate::ledger::{Ledger, Reason, Slice, State, Tally, Team, UNKNOWN_DEFINITION, Verified};
use crate::rollup::sql;
use crate::schema::Store;
use crate::verify::{self, Scope};
use crate::warehouse::name::with_names;

/// Up to where the source was looked at, in microseconds since 1970; followed by the warehouse.
const MARK: &str = "scanned_us";
/// The mark of a warehouse, see [`Ledger::mark`].
pub fn mark_of(warehouse: &str) -> String {
    format!("{MARK}:{warehouse}")
}

/// How much of what was looked at is looked at again, in microseconds.
const OVERLAP_US: i64 = 120_000_000;
/// How long a session lasts at most.
const SESSION_US: i64 = 86_400_000_000;
/// When the days were compared one by one last, in microseconds since 1970; followed by the warehouse.
const COMPARED: &str = "compared_us";
/// By which rollups they were to be filled then; followed by the warehouse.
const DEFINITION: &str = "definition";
/// How often they are, in microseconds.
const COMPARE_EVERY_US: i64 = 3_600_000_000;
/// Of so many teams at once the days are held that are compared one by one.
const TEAMS_AT_ONCE: usize = 500;
/// What came in so many microseconds is not looked at in less.
const LEAST_WIDTH_US: i64 = 1_000_000;
/// So many days that are made otherwise now are marked in one look, which has other things to look for.
const MOST_REDEFINED: usize = 5_000;
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
    if !ledger.has_slices(&store.name).await? {
        return Ok(0);
    }
    let tallies = ledger.tallies().await?;
    let mut teams = ledger.teams().await?;
    // Of teams that have the setting off, too: the mark moves on, and they may turn it on again.
    teams.retain(|team| tallies.contains_key(&team.id));
    let mark = mark_of(&store.name);
    let since = ledger.mark(&mark).await?;
    let look = Look::begin(ledger, store, &teams, tallies, since).await?;
    let mut touched = look.for_late_events(&mark).await?;
    let compared = format!("{COMPARED}:{}", store.name);
    let last = ledger.mark(&compared).await?;
    let is_due = last.is_none_or(|last| look.now - last >= COMPARE_EVERY_US || look.now < last);
    let (changed, are_all) = look.for_changed_rows(is_due).await?;
    touched += changed;
    // Where there are more, the next look goes on.
    if is_due && are_all {
        ledger.set_mark(&compared, look.now).await?;
    }
    Ok(touched)
}

/// Has the next look compare the days one by one where the rollups are made otherwise than those of the process that
/// began last. Not with each look: processes that are configured differently would take turns.
///
/// # Errors
///
/// When the ledger fails.
pub async fn begin(ledger: &Ledger, store: &Store) -> Result<()> {
    let (mark, definition) = (definition_of(&store.name), store.tables.definition);
    let last = ledger.mark(&mark).await?;
    if last.is_none() {
        ledger.take_for(&store.name, definition).await?;
    }
    if last != Some(definition) {
        ledger
            .set_mark(&format!("{COMPARED}:{}", store.name), 0)
            .await?;
        ledger.set_mark(&mark, definition).await?;
    }
    Ok(())
}

fn definition_of(warehouse: &str) -> String {
    format!("{DEFINITION}:{warehouse}")
}

/// As [`look`], at the days of one team.
///
/// # Errors
///
/// As [`look`].
pub async fn look_at(ledger: &Ledger, store: &Store, team: &Team) -> Result<usize> {
    let tallies = ledger.tallies_of(Some(&[team.id])).await?;
    if tallies.is_empty() {
        return Ok(0);
    }
    // Nobody looks at all teams where no service runs.
    let of_all = mark_of(&store.name);
    let own = format!("{of_all}:{}", team.id);
    let since = ledger.mark(&of_all).await?.max(ledger.mark(&own).await?);
    let teams = std::slice::from_ref(team);
    let look = Look::begin(ledger, store, teams, tallies, since).await?;
    Ok(look.for_late_events(&own).await? + look.for_changed_rows(true).await?.0)
}

/// A look at days of some teams.
struct Look<'a> {
    ledger: &'a Ledger,
    store: &'a Store,
    zones: BTreeMap<TeamId, Zone>,
    tallies: BTreeMap<TeamId, (Tally, Verified)>,
    /// By the warehouse's clock, in microseconds since 1970.
    now: i64,
    /// From when on events are new.
    since: i64,
}

impl<'a> Look<'a> {
    async fn begin(
        ledger: &'a Ledger,
        store: &'a Store,
        teams: &[Team],
        tallies: BTreeMap<TeamId, (Tally, Verified)>,
        mark: Option<i64>,
    ) -> Result<Self> {
        let zones: BTreeMap<TeamId, Zone> = teams
            .iter()
            .filter_map(|team| Some((team.id, team.zone().ok()?)))
            .collect();
        let (mut now, mut since) = (0, 0);
        if !zones.is_empty() {
            store.look_again().await?;
            now = store
                .warehouse
                .statement(
                    "select toUnixTimestamp64Micro(now64(6, 'UTC')) as value",
                    COMMENT,
                )
                .row::<Now>("read the warehouse's clock")
                .await?
                .value;
            // Without a mark, from the earliest fill: what came before it is in it.
            let mark = match mark {
                Some(mark) => Some(mark),
                None => ledger.first_fill(&store.name).await?,
            };
            since = mark.map_or(0, |mark| mark - OVERLAP_US);
        }
        Ok(Self {
            ledger,
            store,
            zones,
            tallies,
            now,
            since,
        })
    }

    fn teams(&self) -> Vec<i64> {
        self.zones.keys().map(|team| team.0).collect()
    }

    /// Touches the days that new events reached, and moves the mark; how many. Where all that is new is too much for
    /// a statement, it looks at what came in shorter times.
    async fn for_late_events(&self, mark: &str) -> Result<usize> {
        if self.zones.is_empty() {
            return Ok(0);
        }
        let mut suspects = self.of_other_persons().await?;
        let (mut from, mut width) = (self.since, None);
        let (mut touched, mut all_known) = (BTreeSet::new(), true);
        loop {
            let before = width
                .map(|width| from + width)
                .filter(|before| *before < self.now);
            match self.reached(from, before).await {
                Ok(reached) => suspects.extend(reached),
                Err(error) if error.class() == Class::Narrower => {
                    let half = width.unwrap_or(self.now - from) / 2;
                    if half < LEAST_WIDTH_US {
                        return Err(error);
                    }
                    width = Some(half);
                    continue;
                }
                Err(error) => return Err(error),
            }
            all_known &= self
                .touch(&std::mem::take(&mut suspects), &mut touched)
                .await?;
            // Never in the future nor back, and only once everything before it was dealt with.
            if all_known {
                let reached = before.map_or(self.now, |before| before.max(self.since + OVERLAP_US));
                self.ledger.set_mark(mark, reached).await?;
            }
            let Some(before) = before else { break };
            from = before;
            width = width.map(|width| width * 2);
        }
        let touched = touched.len();
        tell_more(touched, |days| {
            info!(
                days,
                "the events of {days} more days have changed since they were filled: filling them again"
            );
        });
        Ok(touched)
    }

    /// The days that may have got events that came within `[from, before)`, or since `from`.
    async fn reached(&self, from: i64, before: Option<i64>) -> Result<BTreeSet<(TeamId, Day)>> {
        let Store {
            warehouse, tables, ..
        } = self.store;
        warehouse.turn().await;
        let is_new = match before {
            None => sql::IS_NEW,
            Some(_) => sql::IS_NEW_UNTIL,
        };
        let text = with_names(
            &tables.render(sql::LATE_DAYS, &[]),
            &[("is_new", &tables.render(is_new, &[]))],
        );
        let statement = warehouse
            .statement(&text, COMMENT)
            .param("since_us", from)
            .param("teams", self.teams());
        let statement = match before {
            None => statement,
            Some(before) => statement.param("before_us", before),
        };
        let sessions: Vec<Touched> = statement.rows("look for late events").await?;
        let mut suspects = BTreeSet::new();
        for session in sessions {
            let team = TeamId(session.team_id);
            let first = Timestamp::from_microsecond(session.first_us);
            let last = Timestamp::from_microsecond(session.last_us);
            if let (Some(zone), Ok(first), Ok(last)) = (self.zones.get(&team), first, last) {
                // The day on which it starts, and those on which it may have started before an earlier
                // event came. Two, or three around a change of clocks; not more of an id used forever.
                let (first, last) = (Day::of(first, zone), Day::of(last, zone));
                let days = (0..=2).map(|later| first.plus(later));
                suspects.extend(days.take_while(|day| *day <= last).map(|day| (team, day)));
            }
        }
        Ok(suspects)
    }

    /// Marks those of the suspects whose events really are others than when they were filled; whether that could
    /// be told of all. What was `touched` before is filled as of later than this look.
    async fn touch(
        &self,
        suspects: &BTreeSet<(TeamId, Day)>,
        touched: &mut BTreeSet<(TeamId, Day)>,
    ) -> Result<bool> {
        let Store {
            warehouse, tables, ..
        } = self.store;
        let mut all_known = true;
        let mut slices = BTreeMap::new();
        let mut of_team = None;
        for (team, day) in suspects.difference(&touched.clone()) {
            if of_team != Some(team) {
                of_team = Some(team);
                slices = self.slices(*team).await?;
            }
            let Some(slice) = slices.get(day) else {
                continue;
            };
            // Of what somebody asked for again and may cancel, its events have to be known, too.
            let is_forced = slice.state == State::Stale && slice.reason == Reason::Forced.text();
            let changed = match (&slice.receipt, slice.state) {
                (Some(receipt), state) if state == State::Filled || is_forced => {
                    let scope = Scope {
                        teams: &[*team],
                        bounds: Bounds {
                            from: slice.bucket,
                            until: slice.until,
                        },
                        // It may have been filled since this look began.
                        as_of_us: self.now.max(receipt.as_of_us),
                        comment: COMMENT,
                    };
                    warehouse.turn().await;
                    let raw = verify::raw(warehouse, tables, &scope).await?;
                    let raw = raw.get(team).copied().unwrap_or_default();
                    raw.checksum != receipt.checksum
                        || i64::try_from(raw.events) != Ok(receipt.events)
                }
                // It may or may not have seen them: told apart once it is filled.
                (_, State::Running) => {
                    all_known = false;
                    false
                }
                _ => slice.waiting_for_events,
            };
            let late = Reason::LateEvents;
            if changed && self.ledger.touch(*team, *day, late, None).await? {
                touched.insert((*team, *day));
                if touched.len() <= MOST_NAMED {
                    info!(team_id = team.0, %day, "the events of team {team}, {day} have changed since it was filled: filling it again");
                }
            }
        }
        Ok(all_known)
    }

    /// The slices of a team that are of this warehouse.
    async fn slices(&self, team: TeamId) -> Result<BTreeMap<Day, Slice>> {
        let mut slices = self.ledger.slices(team).await?;
        slices.retain(|_, slice| slice.warehouse == self.store.name);
        Ok(slices)
    }

    /// The filled days that an event may be of whose person is another since the mark.
    async fn of_other_persons(&self) -> Result<BTreeSet<(TeamId, Day)>> {
        let reach = |of_day: fn(&Verified) -> Option<Day>| {
            let bounds = move |(team, zone): (&TeamId, &Zone)| {
                zone.bounds(of_day(&self.tallies.get(team)?.1)?)
            };
            self.zones.iter().filter_map(bounds)
        };
        let from = reach(|filled| filled.oldest).map(|day| day.from).min();
        let until = reach(|filled| filled.newest).map(|day| day.until).max();
        let (SourceKind::PostHog, Some(from), Some(until)) =
            (self.store.tables.source.kind, from, until)
        else {
            return Ok(BTreeSet::new());
        };
        let hours: Vec<Touched> = self
            .store
            .warehouse
            .statement(&self.store.tables.render(sql::LATE_PERSONS, &[]), COMMENT)
            .param("since_us", self.since)
            .param("from_us", from.as_microsecond())
            .param("until_us", until.as_microsecond() + SESSION_US)
            .param("teams", self.teams())
            .rows("look for events of other persons")
            .await?;
        let mut days = BTreeSet::new();
        for hour in hours {
            let team = TeamId(hour.team_id);
            // The session of an event has begun at most 24 hours before it.
            let first = Timestamp::from_microsecond(hour.first_us - SESSION_US);
            let last = Timestamp::from_microsecond(hour.last_us);
            if let (Some(zone), Ok(first), Ok(last)) = (self.zones.get(&team), first, last) {
                let (first, last) = (Day::of(first, zone), Day::of(last, zone));
                let all = (0..).map(|later| first.plus(later));
                days.extend(all.take_while(|day| *day <= last).map(|day| (team, day)));
            }
        }
        Ok(days)
    }

    /// Marks the days whose rows are not those that were verified (deleted, doubled, written by others), or that were
    /// filled when the rollups were made otherwise; how many, and whether these are all. Days are compared one by one
    /// `each`, or only of teams of whose days together the tables hold something else: one day in eleven years weighs
    /// nothing there.
    async fn for_changed_rows(&self, each: bool) -> Result<(usize, bool)> {
        let Store {
            warehouse, tables, ..
        } = self.store;
        let teams: Vec<TeamId> = self.zones.keys().copied().collect();
        let differ = if each {
            teams
        } else {
            let sums = verify::sums(warehouse, tables, &teams).await?;
            let differ = teams.into_iter().filter(|team| {
                let verified = self.tallies.get(team).map(|(_, verified)| *verified);
                let sums = sums.get(team).copied().unwrap_or_default();
                !sums.are_of(&verified.unwrap_or_default())
            });
            differ.collect()
        };
        let (mut touched, mut made_again, mut redefined, mut left) = (0, 0, 0, 0);
        let mut all_known = true;
        // Of processes that are configured differently the one that began last says what is to be there.
        let last = self.ledger.mark(&definition_of(&self.store.name)).await?;
        let judges = last.is_none_or(|last| last == tables.definition);
        for some in differ.chunks(TEAMS_AT_ONCE) {
            let mut slices = Vec::new();
            for team in some {
                // None of a team of another warehouse.
                slices.extend(self.slices(*team).await?.into_values());
            }
            let of_some: BTreeSet<TeamId> = slices.iter().map(|slice| slice.team_id).collect();
            if of_some.is_empty() {
                continue;
            }
            let of_some: Vec<TeamId> = of_some.into_iter().collect();
            // After the slices: what is filled meanwhile is told by its receipt.
            let totals = verify::totals(warehouse, tables, &of_some, verify::ALL_BUCKETS).await?;
            let (mut changed, mut otherwise) = (Vec::new(), Vec::new());
            for slice in slices {
                let Some(receipt) = slice.receipt.filter(|_| slice.state == State::Filled) else {
                    continue;
                };
                let holds = totals.get(&(slice.team_id, slice.bucket.as_second()));
                if !holds.copied().unwrap_or_default().are_of(&receipt) {
                    changed.push(slice);
                } else if judges
                    && ![UNKNOWN_DEFINITION, tables.definition].contains(&receipt.definition)
                {
                    otherwise.push(slice);
                }
            }
            let room = MOST_REDEFINED - redefined;
            all_known &= otherwise.len() <= room;
            otherwise.truncate(room);
            redefined += otherwise.len();
            made_again += self.redefine(&otherwise).await?;
            let bare = self.without_raw_events(&changed).await?;
            for slice in changed {
                let (team, day) = (slice.team_id, slice.day);
                if bare.contains(&(team, day)) {
                    left += 1;
                    if each && left <= MOST_NAMED {
                        warn!(team_id = team.0, %day, "the tables do not hold what was verified of team {team}, {day}, and there are no raw events to fill it again from: it is left as it is");
                    }
                    continue;
                }
                // One that was filled again since its receipt was read is right as it is.
                if self
                    .ledger
                    .touch(team, day, Reason::RowsChanged, slice.filled_at)
                    .await?
                {
                    touched += 1;
                    if touched <= MOST_NAMED {
                        warn!(team_id = team.0, %day, "the tables do not hold what was verified of team {team}, {day}: filling it again");
                    }
                }
            }
        }
        tell_more(touched, |days| {
            warn!(
                days,
                "the tables do not hold what was verified of {days} more days: filling them again"
            );
        });
        if made_again > 0 {
            info!(
                days = made_again,
                "the tables are made otherwise than when {made_again} days were filled: filling them again"
            );
        }
        Ok((touched + made_again, all_known))
    }

    /// Marks days that are made otherwise by now; how many. Of those without raw events what there is stays as it is.
    async fn redefine(&self, slices: &[Slice]) -> Result<usize> {
        let bare = self.without_raw_events(slices).await?;
        let definition = self.store.tables.definition;
        self.ledger.take_as(&bare, definition).await?;
        let mut touched = 0;
        for slice in slices {
            let (team, day) = (slice.team_id, slice.day);
            if !bare.contains(&(team, day)) {
                let reason = Reason::Redefined;
                let is_new = self.ledger.touch(team, day, reason, slice.filled_at);
                touched += usize::from(is_new.await?);
            }
        }
        Ok(touched)
    }

    /// Which days had sessions when they were filled and have no raw events any more: to fill one again would only
    /// delete what is left of it.
    async fn without_raw_events(&self, slices: &[Slice]) -> Result<BTreeSet<(TeamId, Day)>> {
        let Store {
            warehouse, tables, ..
        } = self.store;
        let had_sessions = |slice: &&Slice| {
            let receipt = slice.receipt.as_ref();
            receipt.is_some_and(|receipt| receipt.sessions > 0)
        };
        let slices: Vec<&Slice> = slices.iter().filter(had_sessions).collect();
        let mut bare = BTreeSet::new();
        for some in slices.chunks(verify::MOST_DAYS) {
            let day = |slice: &&Slice| {
                let (from, until) = (slice.bucket, slice.until);
                (slice.team_id, Bounds { from, until })
            };
            let days: Vec<(TeamId, Bounds)> = some.iter().map(day).collect();
            warehouse.turn().await;
            match verify::with_sessions(warehouse, tables, &days).await {
                Ok(with) => bare.extend(
                    some.iter()
                        .filter(|slice| !with.contains(&(slice.team_id, slice.bucket)))
                        .map(|slice| (slice.team_id, slice.day)),
                ),
                // Nobody can tell; most days have their events.
                Err(error) if error.class() == Class::Narrower => {}
                Err(error) => return Err(error),
            }
        }
        Ok(bare)
    }
}

/// Tells how many days there are beyond those that were named.
fn tell_more(touched: usize, tell: impl FnOnce(usize)) {
    if let Some(more @ 1..) = touched.checked_sub(MOST_NAMED) {
        tell(more);
    }
}
