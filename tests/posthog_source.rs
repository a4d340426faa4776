//! PostHog's tables as the source: the rollups are the same, row by row and state by state, as those
//! that the same traffic gives as events of the contract, and both are what the reference says.
//!
//! The events of a test follow from a seed; `PREFILL_SEED=n` tries another one.

mod reference;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clickhouse::Row;
use jiff::Timestamp;
use prefill::calendar::TeamId;
use prefill::config::{Config, DEFAULT_WAREHOUSE, Source, SourceKind};
use prefill::error::Class;
use prefill::event::Event;
use prefill::ledger::Width;
use prefill::load::Load;
use prefill::rollup::{BOUNCES, STATS};
use prefill::service::{Place, Prefill};
use prefill::worker::Step;
use reference::generator::{Generator, without_long};
use reference::{Scope, assert_tables};
use serde::Serialize;
use serde_json::{Map, Value, json};
use support::{World, page_view, program};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

fn seed(usual: u64) -> u64 {
    match std::env::var("PREFILL_SEED") {
        Ok(text) => text.parse().expect("PREFILL_SEED is a number"),
        Err(_) => usual,
    }
}

fn config(change: impl FnOnce(&mut Source)) -> Config {
    let mut config = Config {
        backfill_days: 1,
        ..Config::default()
    };
    config.service.backoff_ms = 50;
    let warehouse = config.warehouses.get_mut(DEFAULT_WAREHOUSE);
    change(&mut warehouse.expect("the warehouse").source);
    config
}

fn place(dir: &TempDir) -> Place {
    Place {
        data_dir: dir.path().to_path_buf(),
        program: Some(program()),
    }
}

/// An installation on tables like PostHog's.
async fn posthog(change: impl FnOnce(&mut Source)) -> World {
    let config = config(|source| {
        source.kind = SourceKind::PostHog;
        change(source);
    });
    World::with_source(config).await
}

/// The same installation, its tables looked at again, as they are configured now.
async fn reopened(world: World, change: impl FnOnce(&mut Source)) -> World {
    let mut config = world.prefill.config.clone();
    let warehouse = config.warehouses.get_mut(DEFAULT_WAREHOUSE);
    change(&mut warehouse.expect("the warehouse").source);
    let prefill = Prefill::open(&place(&world.dir), config)
        .await
        .expect("opened");
    let store = prefill.store(DEFAULT_WAREHOUSE).await.expect("it fits");
    World {
        store: store.clone(),
        prefill,
        dir: world.dir,
    }
}

/// An event as PostHog's ingestion writes it.
#[derive(Row, Serialize)]
struct Ingested {
    #[serde(with = "clickhouse::serde::uuid")]
    uuid: Uuid,
    event: String,
    properties: String,
    timestamp: i64,
    team_id: i64,
    distinct_id: String,
    #[serde(with = "clickhouse::serde::uuid")]
    person_id: Uuid,
}

/// The same event with its properties in JSON; what is empty is so in one of several ways.
fn ingested(event: &Event) -> Ingested {
    let mut properties = Map::new();
    let variety = event.uuid.as_u128() as u64;
    for (place, (name, value)) in (0_u64..).zip([
        ("$session_id", &event.session_id),
        ("$host", &event.host),
        ("$pathname", &event.pathname),
        ("$current_url", &event.current_url),
        ("$device_type", &event.device_type),
        ("$browser", &event.browser),
        ("$os", &event.os),
        ("$referring_domain", &event.referring_domain),
        ("utm_source", &event.utm_source),
        ("utm_medium", &event.utm_medium),
        ("utm_campaign", &event.utm_campaign),
        ("utm_term", &event.utm_term),
        ("utm_content", &event.utm_content),
        ("gclid", &event.gclid),
        ("gad_source", &event.gad_source),
        ("fbclid", &event.fbclid),
        ("$geoip_country_code", &event.country_code),
        ("$geoip_city_name", &event.city_name),
        ("$geoip_subdivision_1_code", &event.region_code),
        ("$geoip_subdivision_1_name", &event.region_name),
    ]) {
        let value = match (value.is_empty(), (variety >> place) % 3) {
            (true, 0) => continue,
            (true, 1) => Value::Null,
            _ => json!(value),
        };
        properties.insert(name.to_owned(), value);
    }
    for (place, (name, value)) in (20..).zip([
        ("$viewport_width", event.viewport_width),
        ("$viewport_height", event.viewport_height),
    ]) {
        let value = match (value, (variety >> place) % 3) {
            (0, 0) => continue,
            (0, 1) => json!("none"),
            (_, 0) => json!(value.to_string()),
            _ => json!(value),
        };
        properties.insert(name.to_owned(), value);
    }
    properties.insert("$lib".to_owned(), json!("web"));
    Ingested {
        uuid: event.uuid,
        event: event.event.clone(),
        properties: Value::Object(properties).to_string(),
        timestamp: event.timestamp,
        team_id: event.team_id,
        distinct_id: event.distinct_id.clone(),
        person_id: event.person_id,
    }
}

async fn ingest(world: &World, events: &[Event]) {
    let client = world.store.warehouse.client();
    let mut insert = client
        .insert::<Ingested>("events")
        .await
        .expect("an insert");
    for event in events {
        insert.write(&ingested(event)).await.expect("written");
    }
    insert.end().await.expect("ingested");
}

/// What PostHog says of a sender's id.
struct Override {
    team: TeamId,
    distinct_id: String,
    person: Uuid,
    deleted: bool,
    version: i64,
}

async fn say_whose(world: &World, overrides: &[Override]) {
    let rows: Vec<String> = overrides
        .iter()
        .map(|row| {
            format!(
                "({}, '{}', '{}', {}, {})",
                row.team.0,
                row.distinct_id,
                row.person,
                u8::from(row.deleted),
                row.version
            )
        })
        .collect();
    world
        .query(&format!(
            "insert into person_distinct_id_overrides (team_id, distinct_id, person_id, is_deleted, version) values {}",
            rows.join(", ")
        ))
        .await;
}

/// A version-7 UUID of an instant.
fn made_at(timestamp_us: i64, random: u64) -> Uuid {
    let milliseconds = (timestamp_us.div_euclid(1_000)) as u128;
    let mixed = u128::from(random.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    Uuid::from_u128(milliseconds << 80 | 7 << 76 | (mixed & 0xfff) << 64 | 2 << 62 | mixed >> 2)
}

/// What a browser could have sent: session ids are version-7 UUIDs of the session's start, but for
/// some; a path is one; senders have ids.
fn as_of_browsers(mut events: Vec<Event>) -> Vec<Event> {
    let mut starts: BTreeMap<(i64, String), i64> = BTreeMap::new();
    for event in &events {
        let start = starts
            .entry((event.team_id, event.session_id.clone()))
            .or_insert(event.timestamp);
        *start = event.timestamp.min(*start);
    }
    let keys: Vec<&(i64, String)> = starts.keys().collect();
    for event in &mut events {
        if !event.pathname.is_empty() {
            let path = event.pathname.replace('?', "%3F");
            event.pathname = format!("/{}", path.trim_start_matches('/'));
        }
        event.current_url = format!("https://{}{}", event.host, event.pathname);
        // Senders have two ids each, of which the second is of an app.
        let person = event.person_id.simple().to_string();
        event.distinct_id = format!("{}-{}", &person[..8], event.uuid.as_u128() % 2);
        if event.session_id.is_empty() {
            continue;
        }
        let key = (event.team_id, event.session_id.clone());
        let number = keys.binary_search(&&key).expect("seen") as u64;
        let start = starts[&key];
        event.session_id = match number % 12 {
            0 => event.session_id.clone(),
            1 => Uuid::new_v5(&Uuid::NAMESPACE_OID, event.session_id.as_bytes()).to_string(),
            // a clock that is wrong by days
            2 => made_at(start - 5 * 86_400_000_000, number).to_string(),
            3 => made_at(start, number).to_string().to_uppercase(),
            _ => made_at(start, number).to_string(),
        };
    }
    events
}

/// Both rollups with every state: sums byte by byte, uniques as the set that they hold.
async fn states(world: &World) -> String {
    let mut text = String::new();
    for (table, sums) in [
        (STATS, &["pageviews_count_state"][..]),
        (
            BOUNCES,
            &[
                "pageviews_count_state",
                "bounces_count_state",
                "total_session_duration_state",
                "total_session_count_state",
            ],
        ),
    ] {
        // A `uniq` state of few is a byte, a count of one byte, and four bytes for each, in no order.
        let uniques = ["persons_uniq_state", "sessions_uniq_state"].map(|state| {
            format!(
                "(substring(hex(uniqMergeState({state})) as {state}_hex, 1, 4), \
                 arraySort(arrayMap(place -> substring({state}_hex, place, 8), range(5, length({state}_hex), 8))))"
            )
        });
        let summed: Vec<String> = sums
            .iter()
            .map(|state| format!("hex(sumMergeState({state}))"))
            .collect();
        let rows = world
            .query(&format!(
                "select * except (persons_uniq_state, sessions_uniq_state, {}), {}, {} from {table} group by all order by all",
                sums.join(", "),
                uniques.join(", "),
                summed.join(", ")
            ))
            .await;
        assert!(!rows.is_empty(), "{table} has rows");
        text += &rows;
        text += "\n--\n";
    }
    text
}

#[track_caller]
fn assert_same(left: &str, right: &str, what: &str) {
    let (of_left, of_right): (BTreeSet<&str>, BTreeSet<&str>) =
        (left.lines().collect(), right.lines().collect());
    let only = |these: &BTreeSet<&str>, those: &BTreeSet<&str>| {
        let rows: Vec<String> = these.difference(those).map(ToString::to_string).collect();
        format!("{}\n{}", rows.len(), rows[..rows.len().min(4)].join("\n"))
    };
    assert!(
        left == right,
        "{what}\nonly from the contract: {}\nonly from PostHog: {}",
        only(&of_left, &of_right),
        only(&of_right, &of_left)
    );
}

/// Works until nothing is open.
async fn settle(world: &World) {
    let (worker, stop) = (world.worker(), CancellationToken::new());
    while worker.step(&stop).await.expect("a step") != Step::Idle {}
}

const ZONES: &[(&str, &str, &str)] = &[
    ("UTC", "2026-05-01", "2026-05-03"),
    ("Asia/Kolkata", "2026-05-01", "2026-05-03"),
    // clocks go forward, and back
    ("America/St_Johns", "2026-03-07", "2026-03-10"),
    ("America/St_Johns", "2026-10-31", "2026-11-03"),
];

#[tokio::test(flavor = "multi_thread")]
async fn posthogs_tables_give_the_same_rollups_as_the_contract_row_by_row_and_state_by_state() {
    let seed = seed(42);
    let mut generator = Generator::new(seed);
    let (contract, posthog) = (World::with(config(|_| {})).await, posthog(|_| {}).await);
    let (mut sent, mut scopes) = (Vec::new(), Vec::new());
    for (team, (zone, from, until)) in (1..).zip(ZONES) {
        sent.extend(generator.events(&[team], zone, from, until, 40));
        scopes.push(Scope {
            team,
            zone,
            from,
            until,
        });
    }
    let sent = as_of_browsers(sent);
    // Some ids are another person's by now: most of them, of one team not at all, some no more.
    let (mut overrides, mut whose) = (Vec::new(), BTreeMap::new());
    let ids: BTreeSet<(i64, &str)> = sent
        .iter()
        .map(|event| (event.team_id, event.distinct_id.as_str()))
        .collect();
    for (number, (team, id)) in (0_u128..).zip(&ids) {
        let person = |number: u128| Uuid::new_v5(&Uuid::NAMESPACE_OID, &number.to_be_bytes());
        let mut say = |version, person, deleted| {
            overrides.push(Override {
                team: TeamId(*team),
                distinct_id: (*id).to_owned(),
                person,
                deleted,
                version,
            });
        };
        match number % 5 {
            0 => {}
            1 => {
                say(1, person(number % 3), false);
                whose.insert((*team, *id), person(number % 3));
            }
            // the latest version is not the one that came last
            2 => {
                say(7, person(number % 4), false);
                say(3, person(99), false);
                whose.insert((*team, *id), person(number % 4));
            }
            3 => {
                say(1, person(98), false);
                say(2, person(98), true);
            }
            _ => {
                say(1, person(97), true);
                say(2, person(5), false);
                whose.insert((*team, *id), person(5));
            }
        }
    }
    let meant: Vec<Event> = sent
        .iter()
        .cloned()
        .map(
            |event| match whose.get(&(event.team_id, &*event.distinct_id)) {
                Some(person) => Event {
                    person_id: *person,
                    ..event
                },
                None => event,
            },
        )
        .collect();
    assert!(
        meant.iter().zip(&sent).filter(|(a, b)| a != b).count() > sent.len() / 3,
        "many events are somebody else's by now"
    );
    for part in sent.chunks(sent.len() / 3 + 1) {
        ingest(&posthog, part).await;
    }
    for part in overrides.chunks(overrides.len() / 2 + 1) {
        say_whose(&posthog, part).await;
    }
    contract.insert(&meant).await;

    // Filled at once, or day by day, the newest first; then again, aside; then in pieces.
    for (world, day_by_day) in [(&contract, false), (&posthog, true)] {
        for scope in &scopes {
            let team = world.team(scope.team, scope.zone).await;
            world.enable(team).await;
            let mut ranges = vec![(scope.from.to_owned(), scope.until.to_owned())];
            if day_by_day {
                let days = reference::local_days(scope.zone, scope.from, scope.until);
                ranges = days
                    .iter()
                    .rev()
                    .map(|day| {
                        let next = day.date.tomorrow().expect("a date");
                        (day.date.to_string(), next.to_string())
                    })
                    .collect();
            }
            for (from, until) in ranges {
                assert_eq!(world.fill(team, &from, &until, false).await, "completed");
            }
        }
    }
    let (expected, direct) = (states(&contract).await, states(&posthog).await);
    assert_same(&expected, &direct, &format!("filled, seed {seed}"));
    assert_tables(&posthog, &meant, &scopes, &format!("seed {seed}")).await;
    for scope in &scopes {
        let team = TeamId(scope.team);
        assert_eq!(
            posthog.differences(team, scope.from, scope.until).await,
            Vec::<String>::new()
        );
        assert_eq!(
            posthog.fill(team, scope.from, scope.until, true).await,
            "completed"
        );
    }
    let staged = states(&posthog).await;
    assert_same(&expected, &staged, &format!("filled aside, seed {seed}"));
    assert_eq!(posthog.look_for_late_events().await, 0);

    for scope in &scopes {
        let target = posthog
            .target(TeamId(scope.team), scope.from, scope.until)
            .await;
        posthog
            .prefill
            .backfill(&target, true)
            .await
            .expect("asked");
    }
    let width = Width {
        together: 1,
        pieces: 5,
    };
    let teams: Vec<TeamId> = scopes.iter().map(|scope| TeamId(scope.team)).collect();
    let ledger = &posthog.prefill.ledger;
    let narrowed = ledger.narrow(DEFAULT_WAREHOUSE, &teams, width).await;
    narrowed.expect("remembered");
    settle(&posthog).await;
    let in_pieces = states(&posthog).await;
    assert_same(&expected, &in_pieces, &format!("in pieces, seed {seed}"));
}

/// As `several_days` has it of the contract's events.
#[tokio::test(flavor = "multi_thread")]
async fn days_that_are_filled_at_once_equal_those_that_are_filled_by_themselves() {
    let seed = seed(45);
    let (zone, from, until) = ("America/St_Johns", "2026-10-29", "2026-11-04");
    let sent = Generator::new(seed).events(&[1], zone, from, until, 40);
    let mut sent = as_of_browsers(without_long(&sent));
    // Of one session raw_sessions knows nothing.
    "no-uuid".clone_into(&mut sent[0].session_id);
    let ids: BTreeSet<&str> = sent.iter().map(|event| &*event.distinct_id).collect();
    let overrides: Vec<Override> = ids
        .iter()
        .step_by(3)
        .map(|id| Override {
            team: TeamId(1),
            distinct_id: (*id).to_owned(),
            person: Uuid::from_u128(5),
            deleted: false,
            version: 1,
        })
        .collect();
    let mut tables = Vec::new();
    for (batch, fills) in [(1_000, 1), (1, 6)] {
        let mut config = config(|source| source.kind = SourceKind::PostHog);
        (config.service.batch, config.service.workers) = (batch, 1);
        let world = World::with_source(config).await;
        ingest(&world, &sent).await;
        say_whose(&world, &overrides).await;
        let team = world.team(1, zone).await;
        world.enable(team).await;
        assert_eq!(world.fill(team, from, until, false).await, "completed");
        let filled = world.filled_together(team).await;
        assert_eq!(filled.len(), fills, "{filled:?}");
        let differences = world.differences(team, from, until).await;
        assert_eq!(differences, Vec::<String>::new(), "seed {seed}");
        tables.push(states(&world).await);
    }
    assert_same(&tables[0], &tables[1], &format!("seed {seed}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_property_without_a_column_is_read_from_the_json_whatever_is_missing() {
    let seed = seed(43);
    let (zone, from, until) = ("Asia/Kolkata", "2026-05-01", "2026-05-03");
    let sent = as_of_browsers(Generator::new(seed).events(&[1], zone, from, until, 40));
    let contract = World::with(config(|_| {})).await;
    contract.insert(&sent).await;
    let team = contract.team(1, zone).await;
    contract.enable(team).await;
    assert_eq!(contract.fill(team, from, until, false).await, "completed");
    let expected = states(&contract).await;

    let world = posthog(|_| {}).await;
    world
        .query("alter table events add column system String materialized JSONExtractString(properties, '$os')")
        .await;
    let world = reopened(world, |source| {
        source.columns.insert("os".to_owned(), "system".to_owned());
    })
    .await;
    ingest(&world, &sent).await;
    let team = world.team(1, zone).await;
    world.enable(team).await;
    for without in [
        // as they are, but one that the configuration names
        "select 1",
        "alter table events drop column `mat_$host`, drop column `mat_$viewport_width`, \
         drop column `mat_$geoip_city_name`",
        // made of the property under another name, and one that PostHog is about to drop
        "alter table events rename column `mat_$pathname` to mat_pathname_x1, \
         comment column `mat_$browser` 'column_materializer::$browser::disabled'",
        "alter table events drop index minmax_inserted_at, drop column inserted_at",
        "alter table events drop column `mat_$geoip_country_code`, drop column `mat_$geoip_subdivision_1_code`, \
         drop column `mat_$device_type`, drop column `mat_$viewport_height`, drop column mat_pathname_x1",
    ] {
        // After it was asked for: the first statement that fails tells.
        let target = world.target(team, from, until).await;
        let run = world.prefill.backfill(&target, true).await.expect("asked");
        world.query(without).await;
        let stop = CancellationToken::new();
        let finished = world.prefill.finish(run, &stop).await;
        finished.expect("finished");
        let progress = world.prefill.ledger.progress(run).await;
        assert_eq!(progress.expect("progress").status(), "completed");
        let found = states(&world).await;
        assert_same(&expected, &found, &format!("{without}, seed {seed}"));
    }
    world.query("alter table events drop column system").await;
    let target = world.target(team, from, until).await;
    let ask = async || world.prefill.backfill(&target, true).await.map(drop);
    let (first, second) = (ask().await, ask().await);
    let again = world.again().await;
    for refused in [
        first.expect_err("a misfit"),
        second.expect_err("a misfit"),
        again.store(DEFAULT_WAREHOUSE).await.expect_err("a misfit"),
    ] {
        assert!(
            refused
                .chain()
                .contains("`default`.`events` has no column system"),
            "{}",
            refused.chain()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_raw_sessions_does_not_have_keep_their_attributes() {
    let seed = seed(44);
    let (zone, from, until) = ("America/St_Johns", "2026-10-31", "2026-11-03");
    let sent = as_of_browsers(Generator::new(seed).events(&[1], zone, from, until, 60));
    let world = posthog(|_| {}).await;
    ingest(&world, &sent).await;
    let team = world.team(1, zone).await;
    world.enable(team).await;
    assert_eq!(world.fill(team, from, until, false).await, "completed");
    let before = states(&world).await;
    for missing in ["session_id_v7 % 3 = 0", "true"] {
        world
            .query(&format!(
                "alter table raw_sessions delete where {missing} settings mutations_sync = 2"
            ))
            .await;
        assert_eq!(world.fill(team, from, until, true).await, "completed");
        assert_same(
            &before,
            &states(&world).await,
            &format!("without {missing}, seed {seed}"),
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_session_that_raw_sessions_has_in_part_all_events_are_read() {
    let world = posthog(|_| {}).await;
    let team = world.team(7, "UTC").await;
    world.enable(team).await;
    let mut events = views_of(
        team,
        1,
        "a",
        &[
            "2026-05-01T10:00:00Z",
            "2026-05-01T10:01:00Z",
            "2026-05-01T10:02:00Z",
        ],
    );
    let session = events[0].session_id.clone();
    for (place, event) in (0..).zip(&mut events) {
        event.session_id.clone_from(&session);
        event.pathname = format!("/{place}");
        event.current_url = format!("https://acme.test/{place}");
        event.utm_source = format!("utm{place}");
    }
    ingest(&world, &events).await;
    world
        .query("create table all_sessions as raw_sessions")
        .await;
    world
        .query("insert into all_sessions select * from raw_sessions")
        .await;
    let found =
        "select distinct entry_pathname, end_pathname, utm_source from web_pre_aggregated_bounces";
    let whole = "/0\t/2\tutm0";
    assert_eq!(
        world.fill(team, "2026-05-01", "2026-05-02", false).await,
        "completed"
    );
    assert_eq!(world.query(found).await, whole);
    // The states of some of the events: those of the others are on their way.
    for some in [
        "timestamp < '2026-05-01 10:01:30'",
        "pathname = '/2'",
        "pathname = '/1'",
    ] {
        let some = some.replace("pathname", "JSONExtractString(properties, '$pathname')");
        world.query("truncate table raw_sessions").await;
        let view = include_str!("../src/rollup/sql/posthog/create_raw_sessions_view.sql");
        let select = &view[view.find("select").expect("a query")..];
        let states = select
            .replace("{events}", "events")
            .replace("where ", &format!("where {some} and "));
        world
            .query(&format!("insert into raw_sessions {states}"))
            .await;
        assert_eq!(
            world.fill(team, "2026-05-01", "2026-05-02", true).await,
            "completed"
        );
        assert_eq!(world.query(found).await, whole, "{some}");
    }
    // Of states that say nothing of when they begin and end nobody knows.
    world.query("truncate table raw_sessions").await;
    world
        .query("insert into raw_sessions select * replace (toDateTime64(0, 6, 'UTC') as min_timestamp, toDateTime64(0, 6, 'UTC') as max_timestamp) from all_sessions")
        .await;
    world
        .query("alter table raw_sessions drop column min_timestamp")
        .await;
    assert_eq!(
        world.fill(team, "2026-05-01", "2026-05-02", true).await,
        "completed"
    );
    assert_eq!(world.query(found).await, whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_id_is_written_with_escapes_goes_on_after_midnight() {
    let world = posthog(|_| {}).await;
    let team = world.team(7, "UTC").await;
    world.enable(team).await;
    let (quoted, plain) = ("of \"quotes\" and \\", "null");
    // In JSON an id may be written in several ways.
    let of = |session, when| page_view(team, 1, session, when, "/");
    let before = ["of course", quoted, plain].map(|id| of(id, "2026-05-01T23:50:00Z"));
    let after = of("of late", "2026-05-02T00:10:00Z");
    ingest(&world, &before).await;
    ingest(&world, &[after]).await;
    world
        .query(
            "insert into events (uuid, event, properties, timestamp, team_id, distinct_id, person_id) \
             select generateUUIDv4(), event, replaceAll(properties, 'of ', '\\\\u006ff '), \
             timestamp + toIntervalMinute(if(timestamp < '2026-05-02', 20, -20)), \
             team_id, distinct_id, person_id from events",
        )
        .await;
    let written =
        "select uniqExact(`$session_id`), countIf(position(`$session_id`, '\\\\') > 0) from events";
    assert_eq!(world.query(written).await, "4\t2", "as JSON, in one way");
    let found = "select toDate(period_bucket), sumMerge(total_session_count_state), sumMerge(pageviews_count_state) \
                 from web_pre_aggregated_bounces where team_id = 7 group by 1 order by 1";
    // Both days together, and each by itself.
    for (days, forced) in [
        (&[("2026-05-01", "2026-05-03")][..], false),
        (
            &[("2026-05-02", "2026-05-03"), ("2026-05-01", "2026-05-02")],
            true,
        ),
    ] {
        for (from, until) in days {
            let filled = world.fill(team, from, until, forced).await;
            assert_eq!(filled, "completed");
        }
        // The word null is no id where JSON lies without its quotes.
        assert_eq!(world.query(found).await, "2026-05-01\t3\t6");
    }
}

/// Page views of one session each, that raw_sessions has.
fn views_of(team: TeamId, person: u128, id: &str, whens: &[&str]) -> Vec<Event> {
    let view = |when: &&str| {
        let session = made_at(support::at(when).as_microsecond(), person as u64).to_string();
        Event {
            distinct_id: id.to_owned(),
            ..page_view(team, person, &session, when, "/")
        }
    };
    whens.iter().map(view).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_attributes_of_a_session_are_those_of_its_states_and_the_counts_those_of_its_events() {
    let world = posthog(|_| {}).await;
    let team = world.team(7, "Asia/Kolkata").await;
    world.enable(team).await;
    let mut events = views_of(
        team,
        1,
        "a",
        &["2026-05-01T18:29:58Z", "2026-05-01T18:31:00Z"],
    );
    events[1].session_id = events[0].session_id.clone();
    events[0].current_url = "https://acme.test/entry?q=1#top".to_owned();
    events[1].current_url = "https://acme.test/end#bottom".to_owned();
    events[0].gad_source = "1".to_owned();
    events[0].gclid = "x".to_owned();
    events[1].fbclid = "y".to_owned();
    events[0].region_name = "Maharashtra".to_owned();
    ingest(&world, &events).await;
    assert_eq!(
        world.fill(team, "2026-05-01", "2026-05-02", false).await,
        "completed"
    );
    let asked = "entry_pathname, end_pathname, region_name, has_gclid, has_gad_source_paid_search, has_fbclid, \
                 sumMerge(pageviews_count_state)";
    for table in [STATS, BOUNCES] {
        let found = world
            .query(&format!("select {asked} from {table} group by all"))
            .await;
        assert_eq!(
            found, "/entry\t/end\tMaharashtra\ttrue\ttrue\tfalse\t2",
            "both page views on the day on which the session began"
        );
    }
    let bounces = "sumMerge(total_session_duration_state), sumMerge(bounces_count_state), uniqMerge(sessions_uniq_state)";
    assert_eq!(
        world
            .query(&format!("select {bounces} from {BOUNCES}"))
            .await,
        "62\t0\t1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn f22_a_merge_and_a_deletion_of_persons_reach_the_days_of_their_events_and_no_others() {
    let world = posthog(|_| {}).await;
    let team = world.team(7, "UTC").await;
    world.enable(team).await;
    let mut events = views_of(
        team,
        1,
        "phone",
        &["2026-05-01T10:00:00Z", "2026-05-02T23:59:00Z"],
    );
    events.extend(views_of(
        team,
        2,
        "laptop",
        &["2026-05-01T11:00:00Z", "2026-05-02T11:00:00Z"],
    ));
    events.extend(views_of(
        team,
        3,
        "other",
        &["2026-05-01T12:00:00Z", "2026-05-03T12:00:00Z"],
    ));
    // A session of the 2nd goes on after midnight.
    let mut after = views_of(team, 1, "phone", &["2026-05-03T00:01:00Z"]);
    after[0].session_id = events[1].session_id.clone();
    events.extend(after);
    ingest(&world, &events).await;
    let (from, until) = ("2026-05-01", "2026-05-04");
    assert_eq!(world.fill(team, from, until, false).await, "completed");
    let persons = async || {
        world
            .query(&format!(
                "select toDate(period_bucket) as day, uniqMerge(persons_uniq_state) from {STATS} group by day order by day"
            ))
            .await
    };
    assert_eq!(
        persons().await,
        "2026-05-01\t3\n2026-05-02\t2\n2026-05-03\t1"
    );
    assert_eq!(world.look_for_late_events().await, 0);

    let whose = |id: &str, person, version, deleted| Override {
        team,
        distinct_id: id.to_owned(),
        person: Uuid::from_u128(person),
        deleted,
        version,
    };
    say_whose(&world, &[whose("phone", 2, 1, false)]).await;
    assert_eq!(
        world.look_for_late_events().await,
        2,
        "both days of the phone"
    );
    assert_eq!(world.look_for_late_events().await, 0, "which is known now");
    settle(&world).await;
    assert_eq!(
        persons().await,
        "2026-05-01\t2\n2026-05-02\t1\n2026-05-03\t1"
    );
    assert_eq!(
        world.differences(team, from, until).await,
        Vec::<String>::new()
    );

    // What changes nothing, and what is nobody's here.
    say_whose(
        &world,
        &[
            whose("phone", 2, 2, false),
            whose("nobody", 2, 1, false),
            whose("laptop", 2, 1, false),
        ],
    )
    .await;
    assert_eq!(world.look_for_late_events().await, 0);

    // The person is no more, and with it what was said of its id.
    say_whose(&world, &[whose("phone", 2, 102, true)]).await;
    assert_eq!(world.look_for_late_events().await, 2);
    settle(&world).await;
    assert_eq!(
        persons().await,
        "2026-05-01\t3\n2026-05-02\t2\n2026-05-03\t1"
    );
    // Once everything was looked at, nothing is asked of what has not changed since.
    let later = Timestamp::now() + Duration::from_secs(125);
    let mark = world
        .prefill
        .ledger
        .set_mark("scanned_us:default", later.as_microsecond());
    mark.await.expect("set");
    assert_eq!(world.look_for_late_events().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn f22_an_event_that_becomes_another_persons_changes_the_checksum_of_its_day() {
    let world = World::with(config(|_| {})).await;
    let team = world.team(7, "UTC").await;
    world.enable(team).await;
    let day = ("2026-05-01", "2026-05-02");
    world
        .insert(&[page_view(team, 1, "s1", "2026-05-01T10:00:00Z", "/")])
        .await;
    assert_eq!(world.fill(team, day.0, day.1, false).await, "completed");
    world
        .query(&format!(
            "alter table events update person_id = '{}' where true settings mutations_sync = 2",
            Uuid::from_u128(2)
        ))
        .await;
    assert_eq!(
        world.differences(team, day.0, day.1).await,
        Vec::<String>::new(),
        "as many persons as before"
    );
    assert_eq!(world.look_for_late_events().await, 1, "but not the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn late_events_of_posthog_are_found_by_when_the_warehouse_had_them() {
    let world = posthog(|_| {}).await;
    let team = world.team(7, "UTC").await;
    world.enable(team).await;
    let (from, until) = ("2026-05-01", "2026-05-03");
    ingest(
        &world,
        &views_of(
            team,
            1,
            "a",
            &["2026-05-01T10:00:00Z", "2026-05-02T10:00:00Z"],
        ),
    )
    .await;
    assert_eq!(world.fill(team, from, until, false).await, "completed");
    assert_eq!(world.look_for_late_events().await, 0);
    // One row tells by inserted_at, the other, as old ones do, by Kafka's time alone.
    for (view, inserted_at) in [
        (
            views_of(team, 2, "b", &["2026-05-01T11:00:00Z"]),
            "now64(6)",
        ),
        (views_of(team, 3, "c", &["2026-05-02T11:00:00Z"]), "null"),
    ] {
        let row = ingested(&view[0]);
        world
            .query(&format!(
                "insert into events (uuid, event, properties, timestamp, team_id, distinct_id, person_id, inserted_at) \
                 select '{}', '{}', '{}', fromUnixTimestamp64Micro({}, 'UTC'), {}, '{}', '{}', {inserted_at}",
                row.uuid,
                row.event,
                row.properties,
                row.timestamp,
                row.team_id,
                row.distinct_id,
                row.person_id
            ))
            .await;
        assert_eq!(world.look_for_late_events().await, 1, "{inserted_at}");
        settle(&world).await;
        assert_eq!(
            world.differences(team, from, until).await,
            Vec::<String>::new()
        );
    }
    let views = format!("select sumMerge(pageviews_count_state) from {STATS}");
    assert_eq!(world.query(&views).await, "4");
}

#[tokio::test(flavor = "multi_thread")]
async fn f11_columns_of_the_target_that_prefill_does_not_know_keep_their_values_and_defaults() {
    for world in [World::with(config(|_| {})).await, posthog(|_| {}).await] {
        let (ours, other) = (world.team(7, "UTC").await, world.team(8, "UTC").await);
        let both: Vec<Event> = [ours, other]
            .iter()
            .flat_map(|team| views_of(*team, 1, "a", &["2026-05-01T10:00:00Z"]))
            .collect();
        if world.store.tables.source.kind == SourceKind::PostHog {
            ingest(&world, &both).await;
        } else {
            world.insert(&both).await;
        }
        for table in [STATS, BOUNCES] {
            for column in [
                "mat_metadata_backend String default 'd'",
                "mat_metadata_loggedIn Bool",
            ] {
                world
                    .query(&format!("alter table {table} add column {column}"))
                    .await;
            }
        }
        let values = async |table: &str| {
            world
                .query(&format!(
                    "select team_id, mat_metadata_backend, mat_metadata_loggedIn, sumMerge(pageviews_count_state) \
                     from {table} group by all order by all"
                ))
                .await
        };
        let (from, until) = ("2026-05-01", "2026-05-02");
        for team in [other, ours] {
            world.enable(team).await;
            assert_eq!(world.fill(team, from, until, false).await, "completed");
        }
        for table in [STATS, BOUNCES] {
            assert_eq!(values(table).await, "7\td\tfalse\t1\n8\td\tfalse\t1");
            // Somebody fills them for the other team.
            world
                .query(&format!(
                    "alter table {table} update mat_metadata_backend = 'mine', mat_metadata_loggedIn = true \
                     where team_id = 8 settings mutations_sync = 2"
                ))
                .await;
        }
        assert_eq!(world.fill(ours, from, until, true).await, "completed");
        for table in [STATS, BOUNCES] {
            assert_eq!(values(table).await, "7\td\tfalse\t1\n8\tmine\ttrue\t1");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn posthogs_tables_are_never_made_unasked_and_nothing_is_imported_into_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let settings = "source = \"posthog\"\n[warehouse]\ndatabase = \"analytics\"\n";
    std::fs::write(dir.path().join("prefill.toml"), settings).expect("written");
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(program())
            .arg("--data-dir")
            .arg(dir.path())
            .args(arguments)
            .env_remove("WEB_ANALYTICS_BACKFILL_DAYS")
            .output()
            .expect("the program ran");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (code, _, said) = run(&["migrate"]);
    assert_eq!(code, Some(1));
    for name in [
        "`analytics`.`events`",
        "`analytics`.`raw_sessions`",
        "`analytics`.`person_distinct_id_overrides`",
        "prefill migrate --with-source",
    ] {
        assert!(said.contains(name), "{said}");
    }
    let (code, made, said) = run(&["migrate", "--with-source"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(made.contains("analytics.raw_sessions: created"), "{made}");
    let (code, made, said) = run(&["migrate"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        made.contains("analytics.raw_sessions: there, and fits"),
        "{made}"
    );

    std::fs::write(
        dir.path().join("events.jsonl"),
        r#"{"uuid":"01890a5d-ac96-774b-bcce-b302099a8057","event":"$pageview","team_id":7,"distinct_id":"a","timestamp":"2026-05-01T10:00:00Z","properties":{}}"#,
    )
    .expect("written");
    let file = dir.path().join("events.jsonl").display().to_string();
    let (code, _, said) = run(&["import", "jsonl", &file]);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("PostHog") && said.contains("hint: "),
        "{said}"
    );

    // One of the tables is somebody else's, and does not fit.
    let (code, _, said) = run(&[
        "query",
        "alter table raw_sessions drop column initial_fbclid",
    ]);
    assert_eq!(code, Some(0), "{said}");
    let (code, _, said) = run(&["migrate"]);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("`analytics`.`raw_sessions` has no column initial_fbclid"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_into_posthogs_tables_is_refused_before_anything_is_written() {
    let world = posthog(|_| {}).await;
    let mut load = Load::begin(&world.prefill, || ()).await.expect("begun");
    let event = page_view(TeamId(7), 1, "s", "2026-05-01T10:00:00Z", "/");
    let refused = load.add(&event).await.expect_err("refused");
    assert_eq!(refused.class(), Class::Misuse);
    assert!(refused.to_string().contains("team 7"), "{refused}");
    assert!(refused.next_step().is_some());
    assert_eq!(world.query("select count() from events").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn persons_that_change_while_their_day_is_filled_fail_no_fill() {
    let world = posthog(|_| {}).await;
    let world = {
        let mut config = world.prefill.config.clone();
        // A fill that differs from its check is not tried again.
        config.service.attempts = 1;
        let prefill = Prefill::open(&place(&world.dir), config).await;
        World {
            prefill: prefill.expect("opened"),
            ..world
        }
    };
    let team = world.team(7, "UTC").await;
    world.enable(team).await;
    let (from, until) = ("2026-05-01", "2026-05-02");
    let views: Vec<Event> = (0..200)
        .flat_map(|person| {
            views_of(
                team,
                person,
                &format!("id{person}"),
                &["2026-05-01T10:00:00Z"],
            )
        })
        .collect();
    ingest(&world, &views).await;
    let stop = CancellationToken::new();
    let merging = async {
        let mut version = 0;
        while !stop.is_cancelled() {
            version += 1;
            let merged = Override {
                team,
                distinct_id: format!("id{}", version % 200),
                person: Uuid::from_u128(version as u128 % 7),
                deleted: version % 11 == 0,
                version,
            };
            say_whose(&world, &[merged]).await;
        }
        version
    };
    let filling = async {
        for force in [false, true, true, true] {
            assert_eq!(world.fill(team, from, until, force).await, "completed");
        }
        stop.cancel();
    };
    let (merged, ()) = tokio::join!(merging, filling);
    assert!(merged > 20, "{merged} merges");
    // What was said meanwhile is found afterwards, once.
    assert_eq!(world.look_for_late_events().await, 1);
    settle(&world).await;
    assert_eq!(world.look_for_late_events().await, 0);
    assert_eq!(
        world.differences(team, from, until).await,
        Vec::<String>::new()
    );
    let left = "select count() from system.tables where name like 'prefill_scratch%'";
    assert_eq!(world.query(left).await, "0");
}

/// A Distributed table of one shard, which is this engine: more than one it cannot be.
#[tokio::test(flavor = "multi_thread")]
async fn posthogs_tables_may_be_distributed() {
    let world = posthog(|_| {}).await;
    for (table, of) in [
        ("all_events", "events"),
        ("all_sessions", "raw_sessions"),
        ("all_overrides", "person_distinct_id_overrides"),
    ] {
        let database = world.query("select currentDatabase()").await;
        let made = format!("create table {table} as remote('127.0.0.1', '{database}', '{of}')");
        world.query(&made).await;
    }
    let world = reopened(world, |source| {
        source.table = "all_events".to_owned();
        source.raw_sessions = "all_sessions".to_owned();
        source.person_distinct_id_overrides = "all_overrides".to_owned();
    })
    .await;
    let team = world.team(7, "UTC").await;
    world.enable(team).await;
    let at = ["2026-05-01T10:00:00Z", "2026-05-01T10:01:00Z"];
    let views: Vec<Event> = (0..20)
        .flat_map(|person| views_of(team, person, &format!("id{person}"), &at))
        .collect();
    ingest(&world, &views).await;
    // Of half of them the states are not there, and their properties are read.
    world
        .query("alter table raw_sessions delete where session_id_v7 % 2 = 0 settings mutations_sync = 1")
        .await;
    // The third is the fifth by now.
    let merged = Override {
        team,
        distinct_id: "id3".to_owned(),
        person: Uuid::from_u128(5),
        deleted: false,
        version: 1,
    };
    say_whose(&world, &[merged]).await;
    let (from, until) = ("2026-05-01", "2026-05-02");
    assert_eq!(world.fill(team, from, until, false).await, "completed");
    assert_eq!(
        world.differences(team, from, until).await,
        Vec::<String>::new()
    );
    let persons = "select uniqMerge(persons_uniq_state), sumMerge(pageviews_count_state) \
                   from web_pre_aggregated_stats";
    assert_eq!(world.query(persons).await, "19\t40");
}

#[tokio::test(flavor = "multi_thread")]
async fn posthogs_tables_may_lie_in_another_database_under_other_names() {
    let world = posthog(|source| {
        source.table = "product.clicks".to_owned();
        source.raw_sessions = "product.visits".to_owned();
        source.person_distinct_id_overrides = "people.merged".to_owned();
    })
    .await;
    let team = world.team(7, "UTC").await;
    world.enable(team).await;
    let session = made_at(support::at("2026-05-01T10:00:00Z").as_microsecond(), 1);
    let properties =
        json!({ "$session_id": session, "$current_url": "https://acme.test/in", "$pathname": "/" });
    world
        .query(&format!(
            "insert into product.clicks (uuid, event, properties, timestamp, team_id, distinct_id, person_id) \
             select generateUUIDv4(), '$pageview', '{properties}', toDateTime64('2026-05-01 10:00:00', 6, 'UTC'), \
                 7, concat('id', toString(number)), generateUUIDv4() from numbers(1)"
        ))
        .await;
    let person = Uuid::from_u128(5);
    world
        .query(&format!(
            "insert into people.merged (team_id, distinct_id, person_id, is_deleted, version) \
             values (7, 'id0', '{person}', 0, 1)"
        ))
        .await;
    assert_eq!(
        world.fill(team, "2026-05-01", "2026-05-02", false).await,
        "completed"
    );
    let found = format!(
        "select entry_pathname, hex(uniqMergeState(persons_uniq_state)) = hex((select uniqState(toUUID('{person}')))) \
         from {STATS} group by entry_pathname"
    );
    assert_eq!(world.query(&found).await, "/in\t1");
}
