//! Several days of a small team filled at once: what the tables hold is what each day by itself gives.
//!
//! The events of a test follow from a seed; `PREFILL_SEED=n` tries another one.

mod reference;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use prefill::calendar::{Day, TeamId};
use prefill::config::{Config, DEFAULT_WAREHOUSE};
use prefill::event::Event;
use prefill::ledger::{Claim, Reason, Receipt, State, Width};
use reference::generator::{Generator, without_long};
use reference::{Scope, assert_tables};
use support::{World, at, page_view};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const LEASE: Duration = Duration::from_secs(60);

fn seed(usual: u64) -> u64 {
    match std::env::var("PREFILL_SEED") {
        Ok(text) => text.parse().expect("PREFILL_SEED is a number"),
        Err(_) => usual,
    }
}

/// A team with the setting on, whose days of this week nobody has planned.
async fn team(world: &World, id: i64, zone: &str) -> TeamId {
    let team = world.team(id, zone).await;
    let on = world.prefill.ledger.set_enabled(team, true).await;
    on.expect("on");
    team
}

/// Asks for days, and leaves them to be claimed.
async fn want(world: &World, team: TeamId, from: &str, until: &str) -> Option<Uuid> {
    let target = world.target(team, from, until).await;
    let (ledger, reason) = (&world.prefill.ledger, Reason::Request);
    let run = ledger.request(
        team,
        target.days,
        &target.zone,
        DEFAULT_WAREHOUSE,
        reason,
        None,
    );
    run.await.expect("asked")
}

/// What was recorded of each day, but for when.
async fn receipts(world: &World, team: TeamId) -> BTreeMap<Day, Receipt> {
    let slices = world.prefill.ledger.slices(team).await.expect("slices");
    slices
        .into_iter()
        .filter_map(|(day, slice)| {
            let receipt = Receipt {
                as_of_us: 0,
                elapsed_ms: 0,
                ..slice.receipt?
            };
            Some((day, receipt))
        })
        .collect()
}

/// A page view, and a session, on each of the first days of a month.
fn a_view_each_day(team: TeamId, month: &str, days: u32) -> Vec<Event> {
    let view = |day| {
        let when = format!("2026-{month}-{day:02}T15:00:00Z");
        page_view(team, 1, &format!("s{day}"), &when, "/")
    };
    (1..=days).map(view).collect()
}

/// A world with one worker, so that who takes what is known.
async fn one_worker() -> World {
    with_batch(Config::default().service.batch).await
}

/// A world that fills a day at a time.
async fn by_day() -> World {
    with_batch(1).await
}

async fn with_batch(batch: u32) -> World {
    let mut config = Config::default();
    config.service.workers = 1;
    config.service.batch = batch;
    World::with(config).await
}

const RANGES: [Scope<'_>; 4] = [
    Scope {
        team: 1,
        zone: "Asia/Kathmandu",
        from: "2026-05-01",
        until: "2026-05-08",
    },
    // clocks go forward, and back
    Scope {
        team: 2,
        zone: "Europe/London",
        from: "2026-03-27",
        until: "2026-04-01",
    },
    Scope {
        team: 3,
        zone: "America/St_Johns",
        from: "2026-10-30",
        until: "2026-11-04",
    },
    Scope {
        team: 4,
        zone: "Pacific/Kiritimati",
        from: "2026-05-01",
        until: "2026-05-05",
    },
];

fn events_of_ranges(seed: u64) -> Vec<Event> {
    let mut generator = Generator::new(seed);
    let made = |scope: &Scope<'_>| {
        generator.events(&[scope.team], scope.zone, scope.from, scope.until, 40)
    };
    RANGES.iter().flat_map(made).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn days_of_a_small_team_are_filled_at_once_and_equal_what_each_by_itself_gives() {
    let seed = seed(7);
    let (one, other) = (one_worker().await, by_day().await);
    let events = events_of_ranges(seed);
    let short = without_long(&events);
    assert!(short.len() > events.len() / 2, "some are left");
    for world in [&one, &other] {
        world.insert(&short).await;
        for scope in &RANGES {
            let team = team(world, scope.team, scope.zone).await;
            let status = world.fill(team, scope.from, scope.until, false).await;
            assert_eq!(status, "completed", "seed {seed}");
        }
    }
    assert_tables(&one, &short, &RANGES, &format!("seed {seed}")).await;
    assert_eq!(one.tables().await, other.tables().await, "seed {seed}");
    for scope in &RANGES {
        let team = TeamId(scope.team);
        let recorded = receipts(&one, team).await;
        assert_eq!(recorded, receipts(&other, team).await, "seed {seed}");
        let days = recorded.len();
        let filled = one.filled_together(team).await;
        let sizes: Vec<usize> = filled.iter().map(Vec::len).collect();
        assert_eq!(sizes, [days], "team {team}: {filled:?}");
        assert_eq!(other.filled_together(team).await.len(), days);
        let differences = one.differences(team, scope.from, scope.until).await;
        assert_eq!(differences, Vec::<String>::new(), "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_sessions_as_long_as_a_day_the_days_are_filled_one_by_one() {
    let seed = seed(8);
    let (one, other) = (one_worker().await, by_day().await);
    let mut events = events_of_ranges(seed);
    // An id that is used forever begins anew after each day without it.
    for scope in &RANGES {
        for day in [
            "05-01", "05-02", "05-04", "03-28", "03-30", "11-01", "11-03",
        ] {
            let when = format!("2026-{day}T12:00:00Z");
            let team = TeamId(scope.team);
            events.push(page_view(team, 9, "undefined", &when, "/forever"));
        }
    }
    for world in [&one, &other] {
        world.insert(&events).await;
        for scope in &RANGES {
            let team = team(world, scope.team, scope.zone).await;
            let status = world.fill(team, scope.from, scope.until, false).await;
            assert_eq!(status, "completed", "seed {seed}");
            let filled = world.filled_together(team).await;
            assert!(filled.iter().all(|days| days.len() == 1), "{filled:?}");
        }
    }
    assert_eq!(one.tables().await, other.tables().await, "seed {seed}");
    for scope in &RANGES {
        let team = TeamId(scope.team);
        let recorded = receipts(&one, team).await;
        assert_eq!(recorded, receipts(&other, team).await, "seed {seed}");
    }
}

/// Sessions whose first event is before all of the days, or whose last is after them.
#[tokio::test(flavor = "multi_thread")]
async fn what_only_reaches_into_the_days_is_no_session_of_theirs() {
    let mut events = Vec::new();
    let mut seen = |session: &str, when: &[&str]| {
        for when in when {
            events.push(page_view(
                TeamId(7),
                1,
                session,
                when,
                &format!("/{session}"),
            ));
        }
    };
    seen("before", &["2026-04-30T23:00:00Z", "2026-05-01T00:30:00Z"]);
    // Of it the days see nothing before, so it begins with them.
    seen(
        "long-before",
        &["2026-04-29T00:00:00Z", "2026-05-01T12:00:00Z"],
    );
    seen("after", &["2026-05-04T23:59:59Z", "2026-05-05T20:00:00Z"]);
    seen("inside", &["2026-05-01T23:59:59Z", "2026-05-02T23:59:58Z"]);
    seen("next", &["2026-05-05T00:00:00Z"]);
    for (world, fills) in [(one_worker().await, 1), (by_day().await, 4)] {
        let team = team(&world, 7, "UTC").await;
        world.insert(&events).await;
        let status = world.fill(team, "2026-05-01", "2026-05-05", false).await;
        assert_eq!(status, "completed");
        let filled = world.filled_together(team).await;
        assert_eq!(filled.len(), fills, "{filled:?}");
        let sessions = world
            .query(
                "select toDate(period_bucket), sumMerge(total_session_count_state), sumMerge(pageviews_count_state) \
                 from web_pre_aggregated_bounces group by all order by all",
            )
            .await;
        assert_eq!(sessions, "2026-05-01\t2\t3\n2026-05-04\t1\t2");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_is_filled_keeps_those_around_it_apart_and_one_without_events_does_not() {
    let world = one_worker().await;
    let team = team(&world, 7, "America/New_York").await;
    let events: Vec<Event> = [1, 2, 3, 4, 6, 7]
        .iter()
        .map(|day| {
            let when = format!("2026-05-0{day}T15:00:00Z");
            page_view(team, 1, &format!("s{day}"), &when, "/")
        })
        .collect();
    world.insert(&events).await;
    for (from, until) in [("2026-05-03", "2026-05-04"), ("2026-05-01", "2026-05-08")] {
        assert_eq!(world.fill(team, from, until, false).await, "completed");
    }
    let filled = world.filled_together(team).await;
    let of = |days: &[i32]| -> Vec<String> {
        days.iter().map(|day| format!("2026-05-0{day}")).collect()
    };
    assert_eq!(filled, [of(&[7, 6, 5, 4]), of(&[3]), of(&[2, 1])]);
    let views = world
        .query(
            "select toDate(period_bucket, 'America/New_York'), sumMerge(pageviews_count_state) \
             from web_pre_aggregated_stats group by all order by all",
        )
        .await;
    let expected: Vec<String> = [1, 2, 3, 4, 6, 7]
        .iter()
        .map(|day| format!("2026-05-0{day}\t1"))
        .collect();
    assert_eq!(views, expected.join("\n"));
    // Asked for again, each takes the place of what is there.
    let once = world.tables().await;
    let again = world.fill(team, "2026-05-01", "2026-05-08", true).await;
    assert_eq!(again, "completed");
    assert_eq!(world.tables().await, once);
}

/// Somebody wrote rows for days that nobody filled.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_there_are_replaced_day_by_day() {
    let world = one_worker().await;
    let team = team(&world, 7, "UTC").await;
    world.insert(&a_view_each_day(team, "05", 5)).await;
    let (from, until) = ("2026-05-01", "2026-05-06");
    assert_eq!(world.fill(team, from, until, false).await, "completed");
    let once = world.tables().await;
    // The ledger forgets, the tables do not.
    let days = world.target(team, from, until).await.days;
    let ledger = &world.prefill.ledger;
    assert_eq!(ledger.clean(team, days).await.expect("cleaned"), 5);
    assert_eq!(world.fill(team, from, until, true).await, "completed");
    assert_eq!(world.tables().await, once);
    let filled = world.filled_together(team).await;
    assert_eq!(filled.len(), 5, "{filled:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn days_that_are_too_much_at_once_are_filled_one_by_one_from_then_on() {
    let mut config = Config::default();
    config.service.workers = 1;
    let warehouse = config.warehouses.get_mut(DEFAULT_WAREHOUSE).expect("one");
    warehouse.max_memory_usage = 110_000_000;
    let world = World::with(config).await;
    let team = team(&world, 7, "UTC").await;
    for day in 1..=14 {
        world
            .query(&format!(
                "insert into events (uuid, event, team_id, person_id, session_id, timestamp, pathname) \
                 select generateUUIDv4(), '$pageview', 7, reinterpretAsUUID(sipHash128(number % 100000)), concat('{day}-', toString(number % 10000)), \
                 toDateTime64('2026-05-{day:02} 01:00:00', 6, 'UTC') + number % 10000 / 10 + intDiv(number, 10000) * 7, concat('/', toString(number % 50000)) \
                 from numbers(40000) settings max_memory_usage = 4000000000"
            ))
            .await;
    }
    let status = world.fill(team, "2026-05-01", "2026-05-15", false).await;
    assert_eq!(status, "completed");
    let filled = world.filled_together(team).await;
    assert!(filled.iter().all(|days| days.len() == 1), "{filled:?}");
    // It was seen, and is nothing that the team is narrower for with others.
    let width = world.prefill.ledger.width(DEFAULT_WAREHOUSE, team).await;
    assert_eq!(width.expect("read"), None);
    let differences = world.differences(team, "2026-05-01", "2026-05-15").await;
    assert_eq!(differences, Vec::<String>::new());
}

/// Of events without a session nothing is written, so what was filled says nothing of them.
#[tokio::test(flavor = "multi_thread")]
async fn days_that_are_many_events_are_put_off_and_one_that_is_alone_keeps_the_others_so() {
    let world = one_worker().await;
    for (id, month, events) in [(7, "05", [400_000; 4]), (8, "06", [10, 10, 10, 1_000_001])] {
        let team = team(&world, id, "UTC").await;
        world.insert(&a_view_each_day(team, month, 5)).await;
        for (day, events) in (1..).zip(events) {
            world
                .query(&format!(
                    "insert into events (uuid, event, team_id, timestamp) \
                     select generateUUIDv4(), 'job done', {id}, toDateTime64('2026-{month}-0{day} 01:00:00', 6, 'UTC') + number / 100 \
                     from numbers({events})"
                ))
                .await;
        }
        let (from, until) = (format!("2026-{month}-01"), format!("2026-{month}-06"));
        assert_eq!(world.fill(team, &from, &until, false).await, "completed");
        let filled = world.filled_together(team).await;
        let sizes: Vec<usize> = filled.iter().map(Vec::len).collect();
        let expected: &[usize] = if id == 7 { &[1, 2, 2] } else { &[1; 5] };
        assert_eq!(sizes, expected, "{filled:?}");
        let differences = world.differences(team, &from, &until).await;
        assert_eq!(differences, Vec::<String>::new());
    }
}

/// Whoever is told to stop leaves no half of the days, and who ends without a word leaves what the next one sees.
#[tokio::test(flavor = "multi_thread")]
async fn a_fill_that_is_broken_off_at_any_moment_leaves_the_rows_of_one() {
    let mut config = Config::default();
    config.service.workers = 1;
    config.service.lease_ms = 1_000;
    let world = World::with(config).await;
    let team = team(&world, 7, "UTC").await;
    let views: Vec<Event> = (1..=9)
        .flat_map(|day| {
            (0..20).map(move |minute| {
                let when = format!("2026-05-0{day}T10:{minute:02}:00Z");
                page_view(
                    TeamId(7),
                    minute,
                    &format!("{day}-{}", minute / 2),
                    &when,
                    "/",
                )
            })
        })
        .collect();
    world.insert(&views).await;
    let (from, last, until) = ("2026-05-01", "2026-05-09", "2026-05-10");
    let fill = async || world.fill(team, from, until, false).await;
    assert_eq!(fill().await, "completed");
    let once = world.tables().await;
    let days = world.target(team, from, last).await.days;
    let filled = async || -> BTreeSet<String> {
        let slices = world.prefill.ledger.slices(team).await.expect("slices");
        let filled = slices
            .into_iter()
            .filter(|(_, slice)| slice.state == State::Filled);
        filled.map(|(day, _)| day.to_string()).collect()
    };
    for after in [20, 60, 120] {
        for is_told in [true, false] {
            for table in ["stats", "bounces"] {
                world
                    .query(&format!(
                        "alter table web_pre_aggregated_{table} delete where period_bucket < '{last} 00:00:00' \
                         settings mutations_sync = 2"
                    ))
                    .await;
            }
            let cleaned = world.prefill.ledger.clean(team, days).await;
            assert_eq!(cleaned.expect("cleaned"), 8);
            let target = world.target(team, from, last).await;
            world.prefill.backfill(&target, true).await.expect("asked");
            let (worker, stop) = (world.worker(), CancellationToken::new());
            let told = stop.clone();
            let step = tokio::spawn(async move { worker.step(&told).await });
            tokio::time::sleep(Duration::from_millis(after)).await;
            if is_told {
                stop.cancel();
                step.await.expect("it ended").expect("stepped");
                let with_rows = world
                    .query("select distinct toString(toDate(period_bucket)) from web_pre_aggregated_stats union distinct select distinct toString(toDate(period_bucket)) from web_pre_aggregated_bounces")
                    .await;
                let filled = filled().await;
                assert!(
                    with_rows.lines().all(|day| filled.contains(day)),
                    "{after} ms: {with_rows:?} of {filled:?}"
                );
            } else {
                step.abort();
            }
            assert_eq!(fill().await, "completed");
            assert_eq!(world.tables().await, once, "{after} ms, told {is_told}");
        }
    }
}

/// The days under a claim, the newest first.
fn days_of(claim: &Claim) -> Vec<String> {
    let days: BTreeSet<Day> = claim.slices.iter().map(|slice| slice.day).collect();
    days.iter().rev().map(Day::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_days_that_may_be_filled_come_along() {
    let world = World::new().await;
    let ledger = &world.prefill.ledger;
    let other = team(&world, 8, "UTC").await;
    let team = team(&world, 7, "UTC").await;
    let claim = async |run| {
        let claim = ledger.claim("test", LEASE, 1_000, DEFAULT_WAREHOUSE, run);
        claim.await.expect("asked").expect("a claim")
    };
    let give_back = async |claim: &Claim| {
        let id = claim.id.to_string();
        ledger.expire(&id, true).await.expect("given back");
    };
    want(&world, team, "2026-05-01", "2026-05-14").await;
    let today = claim(None).await;
    assert_eq!(days_of(&today), ["2026-05-13"], "nothing is known yet");
    let known = async |claim: &Claim, events: i64, as_of: &str| {
        let receipt = Receipt {
            events,
            as_of_us: at(as_of).as_microsecond(),
            ..Receipt::default()
        };
        let filled = [(claim.slices[0].clone(), receipt)];
        let recorded = ledger.record(claim, &filled).await.expect("recorded");
        assert_eq!(recorded.len(), 1);
    };
    known(&today, 10, "2026-05-13T01:00:00Z").await;
    let first = claim(None).await;
    assert_eq!(
        days_of(&first),
        ["2026-05-12"],
        "of today's hour nothing follows for whole days"
    );
    known(&first, 300_000, "2026-05-13T01:00:00Z").await;
    // A million events at once, by the largest day that is known.
    let three = claim(None).await;
    assert_eq!(days_of(&three), ["2026-05-11", "2026-05-10", "2026-05-09"]);
    // Beside it somebody else takes what is free; its days are all held.
    let beside = claim(None).await;
    assert_eq!(days_of(&beside), ["2026-05-08", "2026-05-07", "2026-05-06"]);
    give_back(&three).await;
    give_back(&beside).await;
    let slices = ledger.slices(team).await.expect("slices");
    let open = slices
        .values()
        .filter(|slice| slice.state == State::Wanted && slice.attempts == 0)
        .count();
    assert_eq!(open, 11, "as they were");

    // A day that another team shares goes with that team, and is not one of several.
    want(&world, other, "2026-05-11", "2026-05-12").await;
    let shared = claim(None).await;
    assert_eq!(days_of(&shared), ["2026-05-11"]);
    assert_eq!(shared.slices.len(), 2);

    // Not the partitions of a cleanup, and not a day that is paused or cancelled.
    assert!(
        ledger
            .hold(DEFAULT_WAREHOUSE, 20_260_509, "cleanup", LEASE)
            .await
            .expect("held")
    );
    let run = want(&world, team, "2026-05-01", "2026-05-09").await;
    let run = run.expect("a run");
    let of_run = claim(Some(run)).await;
    assert_eq!(
        days_of(&of_run),
        ["2026-05-08", "2026-05-07", "2026-05-06"],
        "of the run alone"
    );
    give_back(&of_run).await;
    let around = claim(None).await;
    assert_eq!(
        days_of(&around),
        ["2026-05-10"],
        "the 9th is held, so those before it are apart"
    );
    give_back(&around).await;
    ledger.let_go("cleanup").await.expect("let go");

    // Not where more was too much.
    let width = Width {
        together: 1,
        pieces: 1,
    };
    let narrowed = ledger.narrow(DEFAULT_WAREHOUSE, &[team], width).await;
    narrowed.expect("remembered");
    let alone = claim(None).await;
    assert_eq!(days_of(&alone), ["2026-05-10"]);
}

/// Their events are counted before they are filled, and the newest is seen soon.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_team_of_which_no_day_is_known_all_are_claimed_where_they_are_few() {
    let world = one_worker().await;
    let ledger = &world.prefill.ledger;
    let few = team(&world, 7, "UTC").await;
    want(&world, few, "2026-05-01", "2026-05-11").await;
    let claim = ledger.claim("test", LEASE, 1_000, DEFAULT_WAREHOUSE, None);
    let ten = claim.await.expect("asked").expect("a claim");
    assert_eq!((days_of(&ten).len(), ten.most_events), (10, 100_000));
    let expired = ledger.expire(&ten.id.to_string(), true).await;
    assert_eq!(expired.expect("given back"), 10);

    for (day, events) in [(1, 40_000), (8, 30_000), (9, 60_000), (10, 40_000)] {
        world
            .query(&format!(
                "insert into events (uuid, event, team_id, person_id, session_id, timestamp, pathname) \
                 select generateUUIDv4(), '$pageview', 7, generateUUIDv4(), concat('{day}-', toString(intDiv(number, 100))), \
                 toDateTime64('2026-05-{day:02} 01:00:00', 6, 'UTC') + number % 100, '/' \
                 from numbers({events})"
            ))
            .await;
    }
    let status = world.fill(few, "2026-05-01", "2026-05-11", false).await;
    assert_eq!(status, "completed");
    let filled = world.filled_together(few).await;
    let sizes: Vec<usize> = filled.iter().map(Vec::len).collect();
    // Once one is known, it is a million events.
    assert_eq!(sizes, [2, 8], "{filled:?}");
    let differences = world.differences(few, "2026-05-01", "2026-05-11").await;
    assert_eq!(differences, Vec::<String>::new());

    // Where one day is much, they are not counted before the newest is filled.
    let much = team(&world, 8, "UTC").await;
    world.insert(&a_view_each_day(much, "06", 10)).await;
    world
        .query(
            "insert into events (uuid, event, team_id, timestamp) \
             select generateUUIDv4(), 'job done', 8, toDateTime64('2026-06-01 01:00:00', 6, 'UTC') + number / 100 \
             from numbers(1100000)",
        )
        .await;
    let status = world.fill(much, "2026-06-01", "2026-06-11", false).await;
    assert_eq!(status, "completed");
    let filled = world.filled_together(much).await;
    let sizes: Vec<usize> = filled.iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, 8, 1], "{filled:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_workers_that_race_for_the_days_of_a_team_each_day_has_one() {
    let world = World::new().await;
    let teams = [
        team(&world, 7, "UTC").await,
        team(&world, 8, "Asia/Tokyo").await,
    ];
    let mut events = Vec::new();
    for team in teams {
        for day in 1..=20 {
            let when = format!("2026-05-{day:02}T10:00:00Z");
            events.push(page_view(team, 1, &format!("s{day}"), &when, "/"));
        }
    }
    world.insert(&events).await;
    for team in teams {
        let status = world.fill(team, "2026-05-20", "2026-05-21", false).await;
        assert_eq!(status, "completed");
    }
    let others = [
        world.again().await,
        world.again().await,
        world.again().await,
    ];
    for team in teams {
        want(&world, team, "2026-05-01", "2026-05-20").await;
    }
    // Each takes and holds, until nothing is open.
    let take = async |prefill: &prefill::service::Prefill| {
        let mut held = Vec::new();
        for _ in 0..60 {
            let claim = prefill
                .ledger
                .claim(
                    "test",
                    LEASE,
                    1 + held.len() as u32 * 3,
                    DEFAULT_WAREHOUSE,
                    None,
                )
                .await
                .expect("asked");
            held.extend(claim);
        }
        held
    };
    let [a, b, c] = &others;
    let (a, b, c) = tokio::join!(take(a), take(b), take(c));
    let mut seen = BTreeSet::new();
    let mut partitions = BTreeMap::new();
    for claim in [a, b, c].into_iter().flatten() {
        for slice in &claim.slices {
            assert!(
                seen.insert((slice.team_id, slice.day)),
                "{} {} twice",
                slice.team_id,
                slice.day
            );
            let holder = *partitions.entry(slice.partition).or_insert(claim.id);
            assert_eq!(holder, claim.id, "a partition has one writer");
        }
    }
    assert!(seen.len() >= 19, "{seen:?}");
}
