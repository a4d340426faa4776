//! What the tables have to hold, computed the naive way: DESIGN.md 4.4 to the letter, event by
//! event, in plain Rust. Shares nothing with prefill but the shape of an event; the zone's rules
//! are asked of jiff minute by minute. Slow, and meant to be obvious.
//!
//! Decided beyond the design: of two events of a session at the same instant the one with the
//! smaller uuid, as a big-endian number, is first; a duration is rounded down to whole seconds; a
//! click id that is not empty is one; a paid search is `gad_source = 1`.

#![allow(dead_code)] // each test uses its part

pub mod generator;

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::Row;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use prefill::event::Event;
use serde::Deserialize;
use uuid::Uuid;

use crate::support::World;

/// The columns by which both tables are grouped.
const BOUNCES_DIMENSIONS: &[&str] = &[
    "period_bucket",
    "team_id",
    "host",
    "device_type",
    "entry_pathname",
    "end_pathname",
    "browser",
    "os",
    "viewport_width",
    "viewport_height",
    "referring_domain",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "country_code",
    "city_name",
    "region_code",
    "region_name",
    "has_gclid",
    "has_gad_source_paid_search",
    "has_fbclid",
];

/// Stats has one more.
fn stats_dimensions() -> Vec<&'static str> {
    BOUNCES_DIMENSIONS
        .iter()
        .copied()
        .chain(["pathname"])
        .collect()
}

const STATS_MEASURES: &[&str] = &["persons", "sessions", "page views"];
const BOUNCES_MEASURES: &[&str] = &[
    "persons",
    "sessions",
    "page views",
    "bounces",
    "duration",
    "session count",
];

/// Dimensions, as text, to measures.
pub type Table = BTreeMap<Vec<String>, Vec<i64>>;

/// Everything that readers can ask of both tables.
#[derive(Debug, Default, PartialEq)]
pub struct Tables {
    pub stats: Table,
    pub bounces: Table,
    /// By bucket and team alone.
    pub stats_days: Table,
    pub bounces_days: Table,
}

/// The days `[from, until)` of a team that are filled.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    pub team: i64,
    pub zone: &'a str,
    pub from: &'a str,
    pub until: &'a str,
}

/// A local day that exists, and its instants `[from_s, until_s)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalDay {
    pub date: Date,
    pub from_s: i64,
    pub until_s: i64,
}

/// A date as people write it.
pub fn date(text: &str) -> Date {
    text.parse().expect("a date")
}

/// The first instant at which the zone's calendar shows `date` or a later one.
///
/// That is local midnight, its first occurrence where it comes twice, and the jump where it does
/// not exist. No zone has changed within a minute since 1972.
fn beginning_of(date: Date, zone: &TimeZone) -> i64 {
    let noon = TimeZone::UTC
        .to_timestamp(date.at(12, 0, 0, 0))
        .expect("an instant")
        .as_second();
    // No zone is 24 hours from UTC, so the day before is on everywhere.
    (noon - 36 * 3600..)
        .step_by(60)
        .find(|second| {
            let instant = Timestamp::from_second(*second).expect("an instant");
            zone.to_datetime(instant).date() >= date
        })
        .expect("time goes on")
}

/// The local days of `[from, until)`, the oldest first, without those that the zone skipped.
pub fn local_days(zone: &str, from: &str, until: &str) -> Vec<LocalDay> {
    let zone = TimeZone::get(zone).expect("a zone");
    let mut days = Vec::new();
    let mut day = date(from);
    while day < date(until) {
        let next = day.checked_add(1.day()).expect("a date");
        let (from_s, until_s) = (beginning_of(day, &zone), beginning_of(next, &zone));
        if from_s < until_s {
            days.push(LocalDay {
                date: day,
                from_s,
                until_s,
            });
        }
        day = next;
    }
    days
}

fn is_page_view(event: &Event) -> bool {
    event.event == "$pageview" || event.event == "$screen"
}

/// What a table gathers under one tuple of dimensions.
#[derive(Default)]
struct Gathered {
    persons: BTreeSet<Uuid>,
    sessions: BTreeSet<String>,
    page_views: i64,
    bounces: i64,
    duration: i64,
    session_count: i64,
}

impl Gathered {
    fn stats(&self) -> Vec<i64> {
        vec![
            self.persons.len() as i64,
            self.sessions.len() as i64,
            self.page_views,
        ]
    }

    fn bounces(&self) -> Vec<i64> {
        let mut measures = self.stats();
        measures.extend([self.bounces, self.duration, self.session_count]);
        measures
    }
}

type Gathering = BTreeMap<Vec<String>, Gathered>;

/// What the tables have to hold once the scopes are filled from these events.
pub fn tables(events: &[Event], scopes: &[Scope<'_>]) -> Tables {
    let (mut stats, mut bounces) = (Gathering::new(), Gathering::new());
    for scope in scopes {
        let mut sessions: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
        for event in events {
            if event.team_id == scope.team && !event.session_id.is_empty() {
                sessions.entry(&event.session_id).or_default().push(event);
            }
        }
        let days = local_days(scope.zone, scope.from, scope.until);
        for (id, mut session) in sessions {
            session.sort_by_key(|event| (event.timestamp, event.uuid.as_u128()));
            let begins = session[0].timestamp;
            let day = days
                .iter()
                .find(|day| day.from_s * 1_000_000 <= begins && begins < day.until_s * 1_000_000);
            if let Some(day) = day {
                add_session(&mut stats, &mut bounces, day, scope.team, id, &session);
            }
        }
    }
    let by_day = |rows: &Gathering| -> Gathering {
        let mut days = Gathering::new();
        for (key, row) in rows {
            let day = days.entry(key[..2].to_vec()).or_default();
            day.persons.extend(&row.persons);
            day.sessions.extend(row.sessions.iter().cloned());
            day.page_views += row.page_views;
            day.bounces += row.bounces;
            day.duration += row.duration;
            day.session_count += row.session_count;
        }
        days
    };
    let measured = |rows: &Gathering, measures: fn(&Gathered) -> Vec<i64>| -> Table {
        rows.iter()
            .map(|(key, row)| (key.clone(), measures(row)))
            .collect()
    };
    Tables {
        stats_days: measured(&by_day(&stats), Gathered::stats),
        bounces_days: measured(&by_day(&bounces), Gathered::bounces),
        stats: measured(&stats, Gathered::stats),
        bounces: measured(&bounces, Gathered::bounces),
    }
}

/// Adds a session, its events in order, to both tables.
fn add_session(
    stats: &mut Gathering,
    bounces: &mut Gathering,
    day: &LocalDay,
    team: i64,
    id: &str,
    session: &[&Event],
) {
    let page_views: Vec<&Event> = session
        .iter()
        .copied()
        .filter(|event| is_page_view(event))
        .collect();
    let (Some(first_view), Some(last_view)) = (page_views.first(), page_views.last()) else {
        return;
    };
    let (first, last) = (session[0], session[session.len() - 1]);
    let person = last_view.person_id;
    let duration = (last.timestamp - first.timestamp).div_euclid(1_000_000);
    let signs_of_life = page_views.len()
        + session
            .iter()
            .filter(|event| event.event == "$autocapture")
            .count();
    let is_bounce = signs_of_life == 1 && duration < 10;
    // `page` has host, device, browser, system and viewport; `place` has the rest of the place.
    let dimensions = |page: &Event, place: &Event| {
        vec![
            day.from_s.to_string(),
            team.to_string(),
            page.host.clone(),
            page.device_type.clone(),
            first.pathname.clone(),
            last.pathname.clone(),
            page.browser.clone(),
            page.os.clone(),
            page.viewport_width.to_string(),
            page.viewport_height.to_string(),
            first.referring_domain.clone(),
            first.utm_source.clone(),
            first.utm_medium.clone(),
            first.utm_campaign.clone(),
            first.utm_term.clone(),
            first.utm_content.clone(),
            place.country_code.clone(),
            place.city_name.clone(),
            place.region_code.clone(),
            first.region_name.clone(),
            (!first.gclid.is_empty()).to_string(),
            (first.gad_source == "1").to_string(),
            (!first.fbclid.is_empty()).to_string(),
        ]
    };
    for view in &page_views {
        let mut key = dimensions(view, view);
        key.push(view.pathname.clone());
        let row = stats.entry(key).or_default();
        row.persons.insert(person);
        row.sessions.insert(id.to_owned());
        row.page_views += 1;
    }
    let row = bounces.entry(dimensions(first_view, first)).or_default();
    row.persons.insert(person);
    row.sessions.insert(id.to_owned());
    row.page_views += page_views.len() as i64;
    row.bounces += i64::from(is_bounce);
    row.duration += duration;
    row.session_count += 1;
}

#[derive(Row, Deserialize)]
struct Read {
    key: Vec<String>,
    measures: Vec<i64>,
}

/// Both tables, as readers see them.
pub async fn read(world: &World) -> Tables {
    let persons_to_views = "toInt64(uniqMerge(persons_uniq_state)), toInt64(uniqMerge(sessions_uniq_state)), \
                            toInt64(sumMerge(pageviews_count_state))";
    let to_count = format!(
        "{persons_to_views}, toInt64(sumMerge(bounces_count_state)), \
         toInt64(sumMerge(total_session_duration_state)), toInt64(sumMerge(total_session_count_state))"
    );
    let (stats, bounces) = (prefill::rollup::STATS, prefill::rollup::BOUNCES);
    Tables {
        stats: read_table(world, stats, &stats_dimensions(), persons_to_views).await,
        bounces: read_table(world, bounces, BOUNCES_DIMENSIONS, &to_count).await,
        stats_days: read_table(world, stats, &BOUNCES_DIMENSIONS[..2], persons_to_views).await,
        bounces_days: read_table(world, bounces, &BOUNCES_DIMENSIONS[..2], &to_count).await,
    }
}

async fn read_table(world: &World, table: &str, dimensions: &[&str], measures: &str) -> Table {
    let key: Vec<String> = dimensions
        .iter()
        .map(|name| match *name {
            "period_bucket" => "toString(toUnixTimestamp(period_bucket))".to_owned(),
            name => format!("toString({name})"),
        })
        .collect();
    let sql = format!(
        "select [{}] as key, [{measures}] as measures from {table} group by key",
        key.join(", ")
    );
    let rows: Vec<Read> = world
        .store
        .warehouse
        .statement(&sql, "test")
        .rows("read a table")
        .await
        .expect("an answer");
    rows.into_iter()
        .map(|row| (row.key, row.measures))
        .collect()
}

/// What differs between the reference and the tables, a line each; empty where nothing does.
pub fn differences(expected: &Tables, found: &Tables) -> Vec<String> {
    let stats_dimensions = stats_dimensions();
    let days = &BOUNCES_DIMENSIONS[..2];
    let mut lines = Vec::new();
    for (table, names, measures, expected, found) in [
        (
            "stats by day",
            days,
            STATS_MEASURES,
            &expected.stats_days,
            &found.stats_days,
        ),
        (
            "bounces by day",
            days,
            BOUNCES_MEASURES,
            &expected.bounces_days,
            &found.bounces_days,
        ),
        (
            "stats",
            stats_dimensions.as_slice(),
            STATS_MEASURES,
            &expected.stats,
            &found.stats,
        ),
        (
            "bounces",
            BOUNCES_DIMENSIONS,
            BOUNCES_MEASURES,
            &expected.bounces,
            &found.bounces,
        ),
    ] {
        let keys: BTreeSet<&Vec<String>> = expected.keys().chain(found.keys()).collect();
        for key in keys {
            let (should, is) = (expected.get(key), found.get(key));
            if should != is {
                let key: Vec<String> = names
                    .iter()
                    .zip(key)
                    .map(|(name, value)| format!("{name}={value:?}"))
                    .collect();
                lines.push(format!(
                    "{table} [{}]: {} should be {should:?}, is {is:?}",
                    key.join(" "),
                    measures.join(", ")
                ));
            }
        }
    }
    lines
}

/// Holds the tables against the reference, in every dimension; `what` says of what, and its seed.
pub async fn assert_tables(world: &World, events: &[Event], scopes: &[Scope<'_>], what: &str) {
    let expected = tables(events, scopes);
    let lines = differences(&expected, &read(world).await);
    assert!(
        lines.is_empty(),
        "{what}: {} differences, the first of them:\n{}",
        lines.len(),
        lines[..lines.len().min(12)].join("\n")
    );
}
