//! The tables against an independent reference, in every dimension: what prefill fills from random
//! events is what DESIGN.md 4.4 says, in odd zones, on days when clocks change, in any order of
//! filling, and after everything that changes a day later.
//!
//! The events of a test follow from a seed; `PREFILL_SEED=n` tries another one.

mod reference;
mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use prefill::calendar::{Day, TeamId};
use prefill::config::{Config, DEFAULT_WAREHOUSE};
use prefill::event::Event;
use prefill::ledger::Width;
use prefill::worker::Step;
use reference::generator::Generator;
use reference::{Scope, assert_tables, differences, read, tables};
use support::{World, page_view};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The zones of F16, each with days of interest.
const ZONES: &[(&str, &str, &str)] = &[
    ("UTC", "2026-05-01", "2026-05-03"),
    ("Asia/Kolkata", "2026-05-01", "2026-05-03"),
    ("Asia/Kathmandu", "2026-05-01", "2026-05-03"),
    ("Asia/Tehran", "2026-05-01", "2026-05-03"),
    // clocks go forward, and back
    ("America/St_Johns", "2026-03-07", "2026-03-10"),
    ("America/St_Johns", "2026-10-31", "2026-11-03"),
    ("Pacific/Apia", "2026-05-01", "2026-05-03"),
    ("Pacific/Pago_Pago", "2026-05-01", "2026-05-03"),
    // has no midnight on the 24th
    ("Africa/Cairo", "2026-04-23", "2026-04-26"),
    // has two midnights on the 1st
    ("America/Havana", "2026-10-31", "2026-11-03"),
    // half an hour, back and forward
    ("Australia/Lord_Howe", "2026-04-04", "2026-04-06"),
    ("Australia/Lord_Howe", "2026-10-04", "2026-10-06"),
    // has no 30th
    ("Pacific/Apia", "2011-12-29", "2012-01-01"),
];

fn seed(usual: u64) -> u64 {
    match std::env::var("PREFILL_SEED") {
        Ok(text) => text.parse().expect("PREFILL_SEED is a number"),
        Err(_) => usual,
    }
}

/// An installation whose teams want hardly anything by themselves.
async fn world() -> World {
    World::with(Config {
        backfill_days: 1,
        ..Config::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn f16_days_of_odd_zones_and_of_changed_clocks_equal_the_reference() {
    let world = world().await;
    let seed = seed(16);
    let mut generator = Generator::new(seed);
    let mut events = Vec::new();
    let mut scopes = Vec::new();
    for (team, (zone, from, until)) in (1..).zip(ZONES) {
        events.extend(generator.events(&[team], zone, from, until, 24));
        scopes.push(Scope {
            team,
            zone,
            from,
            until,
        });
    }
    for events in events.chunks(events.len() / 2 + 1) {
        world.insert(events).await;
    }
    for scope in &scopes {
        let team = world.team(scope.team, scope.zone).await;
        world.enable(team).await;
        let what = format!("{scope:?}, seed {seed}");
        assert_eq!(
            world.fill(team, scope.from, scope.until, false).await,
            "completed",
            "{what}"
        );
        assert_eq!(
            world.differences(team, scope.from, scope.until).await,
            Vec::<String>::new(),
            "{what}"
        );
    }
    assert_tables(&world, &events, &scopes, &format!("seed {seed}")).await;

    // The comparison is of something, and notices when one row is there twice.
    let expected = tables(&events, &scopes);
    assert!(
        expected.stats.len() > 500 && expected.bounces.len() > 300,
        "{} rows",
        expected.stats.len()
    );
    assert!(
        expected.stats_days.values().all(|day| day[1] > 1),
        "sessions on each day"
    );
    world
        .query(
            "insert into web_pre_aggregated_stats select * from web_pre_aggregated_stats limit 1",
        )
        .await;
    let noticed = differences(&expected, &read(&world).await);
    assert_eq!(
        noticed.len(),
        2,
        "page views of the row and of its day: {noticed:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn f15_a_range_filled_at_once_or_day_by_day_in_either_order_or_by_force_gives_the_same_tables()
 {
    let world = world().await;
    let seed = seed(15);
    let (zone, from, until) = ("America/St_Johns", "2026-10-31", "2026-11-03");
    let first_team = Generator::new(seed).events(&[1], zone, from, until, 40);
    let mut events = Vec::new();
    for team in 1..=4_u8 {
        // The same events in the same order, under identifiers of their own.
        events.extend(first_team.iter().cloned().map(|event| Event {
            uuid: Uuid::from_u128(event.uuid.as_u128() & !0xf | u128::from(team)),
            team_id: i64::from(team),
            ..event
        }));
    }
    world.insert(&events).await;
    let oldest_first = [
        ("2026-10-31", "2026-11-01"),
        ("2026-11-01", "2026-11-02"),
        ("2026-11-02", "2026-11-03"),
    ];
    let newest_first = [oldest_first[2], oldest_first[1], oldest_first[0]];
    let mut scopes = Vec::new();
    for (team, ranges, force) in [
        (1, &[(from, until)][..], false),
        (2, &oldest_first, false),
        (3, &newest_first, false),
        (4, &[oldest_first[1], (from, until), oldest_first[0]], true),
    ] {
        let team = world.team(team, zone).await;
        world.enable(team).await;
        for (from, until) in ranges {
            assert_eq!(
                world.fill(team, from, until, force).await,
                "completed",
                "team {team}"
            );
        }
        scopes.push(Scope {
            team: team.0,
            zone,
            from,
            until,
        });
    }
    assert_tables(&world, &events, &scopes, &format!("seed {seed}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f11_filling_one_team_leaves_every_other_team_equal_and_so_does_filling_some_together() {
    let world = world().await;
    let seed = seed(11);
    let (zone, from, until) = ("Asia/Kathmandu", "2026-05-01", "2026-05-03");
    let mut generator = Generator::new(seed);
    let mut events = generator.events(&[1, 2, 3], zone, from, until, 24);
    world.insert(&events).await;
    let scopes: Vec<Scope<'_>> = (1..=3)
        .map(|team| Scope {
            team,
            zone,
            from,
            until,
        })
        .collect();
    for scope in &scopes {
        let team = world.team(scope.team, zone).await;
        world.enable(team).await;
        let target = world.target(team, from, until).await;
        world.prefill.backfill(&target, false).await.expect("asked");
    }
    // All three in the statements of one claim.
    settle(&world).await;
    assert_tables(&world, &events, &scopes, &format!("together, seed {seed}")).await;

    // One of them again, with other events.
    let more = renamed(generator.events(&[2], zone, from, until, 8));
    world.insert(&more).await;
    events.extend(more);
    assert_eq!(world.fill(TeamId(2), from, until, true).await, "completed");
    assert_tables(
        &world,
        &events,
        &scopes,
        &format!("team 2 again, seed {seed}"),
    )
    .await;

    // And without any.
    delete(&world, "team_id = 2").await;
    events.retain(|event| event.team_id != 2);
    assert_eq!(world.fill(TeamId(2), from, until, true).await, "completed");
    assert_tables(
        &world,
        &events,
        &scopes,
        &format!("team 2 without events, seed {seed}"),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f13_a_day_recomputed_to_zero_rows_clears_its_old_rows() {
    let world = world().await;
    let scopes = [Scope {
        team: 7,
        zone: "Asia/Kolkata",
        from: "2026-05-01",
        until: "2026-05-03",
    }];
    let team = world.team(7, scopes[0].zone).await;
    world.enable(team).await;
    let mut events = vec![
        page_view(team, 1, "s1", "2026-05-01T10:00:00Z", "/"),
        page_view(team, 2, "s2", "2026-05-02T10:00:00Z", "/pricing"),
    ];
    world.insert(&events).await;
    assert_eq!(
        world.fill(team, "2026-05-01", "2026-05-03", false).await,
        "completed"
    );
    assert_tables(&world, &events, &scopes, "before").await;

    delete(&world, "session_id = 's1'").await;
    events.remove(0);
    assert_eq!(
        world.fill(team, "2026-05-01", "2026-05-02", true).await,
        "completed"
    );
    assert_tables(&world, &events, &scopes, "after").await;
    assert_eq!(
        world.differences(team, "2026-05-01", "2026-05-03").await,
        Vec::<String>::new()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn f14_a_day_without_events_is_not_filled_until_the_source_is_known_to_have_it_whole() {
    let world = world().await;
    let (quiet, busy) = (world.team(1, "UTC").await, world.team(2, "UTC").await);
    world.enable(quiet).await;
    // A source that is empty knows nothing, however long ago the day was.
    assert_eq!(
        world.fill(quiet, "2026-05-01", "2026-05-02", false).await,
        "waiting"
    );

    // Yesterday's events may still come, as long as nobody has any of today.
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let [yesterday, today] =
        [today.yesterday().expect("a date"), today].map(|date| date.to_string());
    let mut events = vec![page_view(
        busy,
        1,
        "s1",
        &format!("{yesterday}T00:00:00Z"),
        "/",
    )];
    world.insert(&events).await;
    assert_eq!(
        world.fill(quiet, &yesterday, &today, false).await,
        "waiting"
    );
    assert_eq!(
        world.fill(quiet, &yesterday, &today, false).await,
        "waiting",
        "asking again changes nothing"
    );
    let slices = world.prefill.ledger.slices(quiet).await.expect("slices");
    let waits = |day: &str| slices[&day.parse::<Day>().expect("a date")].waiting_for_events;
    assert!(waits(&yesterday));
    // But May's would have come by now.
    assert_eq!(
        world.fill(quiet, "2026-05-01", "2026-05-02", false).await,
        "completed"
    );

    // Somebody has an event of today: yesterday is whole, and the team had nothing.
    let now = page_view(busy, 1, "s2", &Timestamp::now().to_string(), "/");
    world.insert(std::slice::from_ref(&now)).await;
    events.push(now);
    assert_eq!(
        world.fill(quiet, &yesterday, &today, false).await,
        "completed"
    );
    let scopes = [Scope {
        team: quiet.0,
        zone: "UTC",
        from: &yesterday,
        until: &today,
    }];
    assert_tables(&world, &events, &scopes, "nothing").await;

    // And if it had something after all, that is found.
    let late = page_view(quiet, 2, "s3", &format!("{yesterday}T12:00:00Z"), "/late");
    world.insert(std::slice::from_ref(&late)).await;
    events.push(late);
    assert_eq!(world.look_for_late_events().await, 1);
    assert_eq!(
        world.fill(quiet, &yesterday, &today, false).await,
        "completed"
    );
    assert_tables(&world, &events, &scopes, "one late event").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f19_f32_late_events_change_their_day_and_only_that_one_and_nothing_else_is_filled_again() {
    let world = world().await;
    let seed = seed(19);
    let (zone, from, until) = ("Asia/Tehran", "2026-05-01", "2026-05-05");
    let mut events = Generator::new(seed).events(&[1], zone, from, until, 16);
    let team = world.team(1, zone).await;
    world.insert(&events).await;
    world.enable(team).await;
    let scopes = [Scope {
        team: 1,
        zone,
        from,
        until,
    }];
    assert_eq!(world.fill(team, from, until, false).await, "completed");
    for look in 1..=3 {
        assert_eq!(world.look_for_late_events().await, 0, "look {look}");
    }
    let before = filled_at(&world, team).await;
    assert_eq!(world.fill(team, from, until, false).await, "completed");
    assert_eq!(
        filled_at(&world, team).await,
        before,
        "nothing changed, nothing is filled again"
    );

    // A new session, one without a page view, one that belongs nowhere, and one of a day that nobody asked for.
    let mut silent = page_view(team, 3, "late-silent", "2026-05-01T12:00:00Z", "/");
    silent.event = "$autocapture".to_owned();
    let late = [
        page_view(team, 3, "late", "2026-05-02T12:00:00Z", "/late"),
        silent,
        page_view(team, 3, "", "2026-05-03T12:00:00Z", "/nowhere"),
        page_view(team, 3, "outside", "2026-04-20T12:00:00Z", "/outside"),
    ];
    world.insert(&late).await;
    events.extend(late);
    assert_eq!(world.look_for_late_events().await, 1);
    assert_eq!(world.look_for_late_events().await, 0, "it is known now");
    assert_eq!(world.fill(team, from, until, false).await, "completed");
    assert_eq!(
        changed_days(&before, &filled_at(&world, team).await),
        ["2026-05-02"]
    );
    assert_tables(&world, &events, &scopes, &format!("late, seed {seed}")).await;
    assert_eq!(world.look_for_late_events().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn f21_events_that_land_while_their_day_is_filled_are_counted_once() {
    let world = world().await;
    let seed = seed(21);
    let (zone, from, until) = ("America/St_Johns", "2026-10-31", "2026-11-02");
    let all = Generator::new(seed).events(&[1], zone, from, until, 32);
    let team = world.team(1, zone).await;
    world.enable(team).await;
    // In no order, so that sessions grow at both ends, and move from day to day.
    let quarters: Vec<&[Event]> = all.chunks(all.len() / 4 + 1).collect();
    world.insert(quarters[0]).await;
    for (quarter, force) in quarters[1..].iter().zip([false, true, false]) {
        let (status, _) = tokio::join!(world.fill(team, from, until, force), world.insert(quarter));
        assert_eq!(status, "completed");
    }
    assert_eq!(world.fill(team, from, until, false).await, "completed");
    assert_tables(
        &world,
        &all,
        &[Scope {
            team: 1,
            zone,
            from,
            until,
        }],
        &format!("seed {seed}"),
    )
    .await;
    assert_eq!(world.look_for_late_events().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn f19_a_late_event_that_moves_the_start_of_a_session_changes_the_day_that_it_left_too() {
    let world = world().await;
    let (zone, from, until) = ("UTC", "2026-05-01", "2026-05-04");
    let team = world.team(1, zone).await;
    let mut events = vec![
        page_view(team, 1, "moves", "2026-05-02T00:05:00Z", "/second"),
        page_view(team, 1, "moves later", "2026-05-03T00:05:00Z", "/second"),
        page_view(team, 2, "stays", "2026-05-01T12:00:00Z", "/"),
        page_view(team, 2, "stays too", "2026-05-03T12:00:00Z", "/"),
    ];
    world.insert(&events).await;
    world.enable(team).await;
    let scopes = [Scope {
        team: 1,
        zone,
        from,
        until,
    }];
    assert_eq!(world.fill(team, from, until, false).await, "completed");
    // While the first events are still looked at again, and when they are not any more.
    for (session, when, changed) in [
        (
            "moves",
            "2026-05-01T23:59:00Z",
            ["2026-05-01", "2026-05-02"],
        ),
        (
            "moves later",
            "2026-05-02T23:59:00Z",
            ["2026-05-02", "2026-05-03"],
        ),
    ] {
        assert_eq!(world.look_for_late_events().await, 0, "{session}");
        if session == "moves later" {
            let_the_overlap_pass(&world).await;
        }
        let before = filled_at(&world, team).await;
        let late = page_view(team, 1, session, when, "/first");
        world.insert(std::slice::from_ref(&late)).await;
        events.push(late);
        assert_eq!(world.look_for_late_events().await, 2, "{session}");
        assert_eq!(world.fill(team, from, until, false).await, "completed");
        assert_tables(&world, &events, &scopes, session).await;
        assert_eq!(
            changed_days(&before, &filled_at(&world, team).await),
            changed,
            "{session}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f19_late_events_are_found_in_minutes_that_a_zone_repeated_around_midnight() {
    let world = world().await;
    // One minute into the 7th the clocks went back by an hour, to the 6th.
    let (zone, from, until) = ("America/St_Johns", "2010-11-06", "2010-11-09");
    let team = world.team(1, zone).await;
    let mut events = vec![
        page_view(team, 1, "a", "2010-11-06T12:00:00Z", "/"),
        page_view(team, 1, "b", "2010-11-07T02:29:59Z", "/the-6th"),
        page_view(team, 1, "c", "2010-11-07T02:30:00Z", "/the-7th"),
        page_view(team, 1, "d", "2010-11-08T12:00:00Z", "/"),
    ];
    world.insert(&events).await;
    world.enable(team).await;
    let scopes = [Scope {
        team: 1,
        zone,
        from,
        until,
    }];
    assert_eq!(world.fill(team, from, until, false).await, "completed");
    assert_tables(&world, &events, &scopes, "at first").await;
    let_the_overlap_pass(&world).await;
    let late = page_view(team, 1, "late", "2010-11-07T02:45:00Z", "/repeated");
    world.insert(std::slice::from_ref(&late)).await;
    events.push(late);
    assert_eq!(world.look_for_late_events().await, 1);
    assert_eq!(world.fill(team, from, until, false).await, "completed");
    assert_tables(&world, &events, &scopes, "late").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f19_events_that_came_while_the_setting_was_off_are_found_when_it_is_on_again() {
    let world = world().await;
    let (zone, from, until) = ("UTC", "2026-05-01", "2026-05-02");
    let (team, other) = (world.team(1, zone).await, world.team(2, zone).await);
    let mut events = vec![
        page_view(team, 1, "a", "2026-05-01T12:00:00Z", "/"),
        page_view(other, 1, "b", "2026-05-01T12:00:00Z", "/"),
    ];
    world.insert(&events).await;
    for team in [team, other] {
        world.enable(team).await;
        assert_eq!(world.fill(team, from, until, false).await, "completed");
    }
    world
        .prefill
        .ledger
        .set_enabled(team, false)
        .await
        .expect("turned off");
    world.prefill.reconcile(team).await.expect("reconciled");
    let late = page_view(team, 1, "late", "2026-05-01T13:00:00Z", "/late");
    world.insert(std::slice::from_ref(&late)).await;
    events.push(late);
    world.look_for_late_events().await;
    let_the_overlap_pass(&world).await;

    world.enable(team).await;
    assert_eq!(world.fill(team, from, until, false).await, "completed");
    let scopes = [1, 2].map(|team| Scope {
        team,
        zone,
        from,
        until,
    });
    assert_tables(&world, &events, &scopes, "on again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_that_moves_to_another_zone_has_the_days_of_that_zone_and_none_of_the_old_one() {
    let world = world().await;
    let seed = seed(3);
    let (from, until) = ("2026-05-01", "2026-05-04");
    // Eastward, westward, there and back, by a whole day, and twice before anything is filled again.
    let moves: &[&[&[&str]]] = &[
        &[&["UTC"], &["Asia/Kathmandu"]],
        &[&["Asia/Kolkata"], &["America/St_Johns"], &["Asia/Kolkata"]],
        &[&["Pacific/Apia"], &["Pacific/Pago_Pago"], &["Pacific/Apia"]],
        &[&["UTC"], &["Asia/Tokyo", "America/Los_Angeles"]],
        &[&["America/Los_Angeles"], &["Asia/Tokyo", "UTC"]],
    ];
    let mut generator = Generator::new(seed);
    let mut events = Vec::new();
    let mut scopes: Vec<Scope<'_>> = Vec::new();
    for (team, zones) in (1..).zip(moves) {
        events.extend(generator.events(&[team], "UTC", from, until, 8));
        world.team(team, zones[0][0]).await;
        scopes.push(Scope {
            team,
            zone: zones[0][0],
            from,
            until,
        });
    }
    world.insert(&events).await;
    for scope in &scopes {
        world.enable(TeamId(scope.team)).await;
        assert_eq!(
            world.fill(TeamId(scope.team), from, until, false).await,
            "completed"
        );
    }
    assert_tables(&world, &events, &scopes, &format!("at first, seed {seed}")).await;
    for index in 0..moves.len() {
        for zones in &moves[index][1..] {
            let team = TeamId(scopes[index].team);
            for zone in *zones {
                world.move_to(team, zone).await;
                scopes[index].zone = zone;
            }
            assert_eq!(
                world.fill(team, from, until, false).await,
                "completed",
                "{team} {zones:?}"
            );
            assert_tables(
                &world,
                &events,
                &scopes,
                &format!("team {team} in {zones:?}, seed {seed}"),
            )
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_whose_rows_are_in_another_zone_s_partition_and_the_days_beside_it_are_not_filled_at_once()
 {
    let world = world().await;
    let (from, until) = ("2026-05-01", "2026-05-05");
    let team = world.team(1, "UTC").await;
    let hours = (1..5).map(|day| {
        page_view(
            team,
            1,
            &format!("s{day}"),
            &format!("2026-05-0{day}T12:00:00Z"),
            "/",
        )
    });
    world.insert(&hours.collect::<Vec<_>>()).await;
    world.enable(team).await;
    assert_eq!(world.fill(team, from, until, false).await, "completed");
    world.move_to(team, "Asia/Kathmandu").await;
    let target = world.target(team, from, until).await;
    let run = world.prefill.backfill(&target, false).await.expect("asked");
    let claim = async || {
        let claim = world
            .prefill
            .ledger
            .claim(
                "test",
                Duration::from_secs(60),
                50,
                DEFAULT_WAREHOUSE,
                Some(run),
            )
            .await;
        claim
            .expect("asked")
            .map(|claim| claim.slices[0].day.to_string())
    };
    assert_eq!(claim().await.as_deref(), Some("2026-05-04"));
    assert_eq!(
        claim().await.as_deref(),
        Some("2026-05-01"),
        "the next one that is far enough"
    );
    assert_eq!(claim().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn f11_a_team_that_moves_takes_nothing_from_a_team_that_is_filled_with_it() {
    let world = world().await;
    // Midnight of the 1st in Apia is midnight of the 30th in Pago Pago, 24 hours behind.
    let (old, new) = ("Pacific/Apia", "Pacific/Pago_Pago");
    let (moving, settled) = (world.team(1, old).await, world.team(2, new).await);
    let mut events = vec![
        page_view(moving, 1, "a", "2026-05-02T00:00:00Z", "/"),
        page_view(settled, 1, "b", "2026-04-30T20:00:00Z", "/the-30th"),
        page_view(settled, 1, "c", "2026-05-01T20:00:00Z", "/the-1st"),
    ];
    world.insert(&events).await;
    world.enable(moving).await;
    world.enable(settled).await;
    assert_eq!(
        world.fill(moving, "2026-05-01", "2026-05-02", false).await,
        "completed"
    );
    assert_eq!(
        world.fill(settled, "2026-04-30", "2026-05-02", false).await,
        "completed"
    );
    let mut scopes = [
        Scope {
            team: 1,
            zone: old,
            from: "2026-05-01",
            until: "2026-05-02",
        },
        Scope {
            team: 2,
            zone: new,
            from: "2026-04-30",
            until: "2026-05-02",
        },
    ];
    assert_tables(&world, &events, &scopes, "before").await;

    world.move_to(moving, new).await;
    scopes[0].zone = new;
    let late = page_view(settled, 1, "late", "2026-05-01T21:00:00Z", "/the-1st");
    world.insert(std::slice::from_ref(&late)).await;
    events.push(late);
    world.look_for_late_events().await;
    settle(&world).await;
    assert_tables(&world, &events, &scopes, "after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f29_a_day_that_is_taken_in_pieces_equals_the_reference() {
    let world = world().await;
    let seed = seed(29);
    let (zone, from, until) = ("UTC", "2026-05-01", "2026-05-03");
    let events = Generator::new(seed).events(&[1], zone, from, until, 32);
    let team = world.team(1, zone).await;
    world.insert(&events).await;
    world.enable(team).await;
    let target = world.target(team, from, until).await;
    world.prefill.backfill(&target, false).await.expect("asked");
    let width = Width {
        together: 1,
        pieces: 7,
    };
    let ledger = &world.prefill.ledger;
    let narrowed = ledger.narrow(DEFAULT_WAREHOUSE, &[team], width).await;
    narrowed.expect("remembered");
    settle(&world).await;
    assert_tables(
        &world,
        &events,
        &[Scope {
            team: 1,
            zone,
            from,
            until,
        }],
        &format!("seed {seed}"),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_many_thousand_persons_and_sessions_is_as_unique_as_its_raw_events() {
    let world = world().await;
    let team = world.team(1, "UTC").await;
    world.enable(team).await;
    // Above some 65 thousand `uniq` estimates: equal states give equal estimates, others do not.
    world
        .query(
            "insert into events (uuid, event, team_id, distinct_id, person_id, session_id, timestamp, pathname)
             select generateUUIDv4(), '$pageview', 1, toString(number),
                 reinterpretAsUUID(sipHash128('person', number % 120000)), concat('s', toString(number % 120000)),
                 toDateTime64('2026-05-01 00:00:00', 6, 'UTC') + number % 86400, concat('/', toString(number % 3))
             from numbers(240000)",
        )
        .await;
    for force in [false, true] {
        assert_eq!(
            world.fill(team, "2026-05-01", "2026-05-02", force).await,
            "completed",
            "force = {force}"
        );
        assert_eq!(
            world.differences(team, "2026-05-01", "2026-05-02").await,
            Vec::<String>::new()
        );
    }
    let raw = world
        .query("select uniq(person_id), uniq(session_id), count() from events")
        .await;
    for table in [prefill::rollup::STATS, prefill::rollup::BOUNCES] {
        let merged = "uniqMerge(persons_uniq_state), uniqMerge(sessions_uniq_state), sumMerge(pageviews_count_state)";
        assert_eq!(
            world.query(&format!("select {merged} from {table}")).await,
            raw,
            "{table}"
        );
    }
}

/// Works until nothing is open.
async fn settle(world: &World) {
    let (worker, stop) = (world.worker(), CancellationToken::new());
    while worker.step(&stop).await.expect("a step") != Step::Idle {}
}

/// Some minutes later: a look goes back by two, and what came until now is before that.
async fn let_the_overlap_pass(world: &World) {
    let later = Timestamp::now() + Duration::from_secs(120);
    world
        .prefill
        .ledger
        .set_mark("scanned_us:default", later.as_microsecond())
        .await
        .expect("set");
}

/// Deletes raw events, as a product does when a person asks for it.
async fn delete(world: &World, which: &str) {
    world
        .query(&format!(
            "alter table events delete where {which} settings mutations_sync = 2"
        ))
        .await;
}

/// The same sessions under other names, so that they are sessions of their own.
fn renamed(events: Vec<Event>) -> Vec<Event> {
    let rename = |event: Event| match event.session_id.as_str() {
        "" => event,
        id => Event {
            session_id: format!("more {id}"),
            ..event
        },
    };
    events.into_iter().map(rename).collect()
}

async fn filled_at(world: &World, team: TeamId) -> BTreeMap<Day, Option<Timestamp>> {
    let slices = world.prefill.ledger.slices(team).await.expect("slices");
    slices
        .into_iter()
        .map(|(day, slice)| (day, slice.filled_at))
        .collect()
}

fn changed_days(
    before: &BTreeMap<Day, Option<Timestamp>>,
    after: &BTreeMap<Day, Option<Timestamp>>,
) -> Vec<String> {
    let changed = after.iter().filter(|(day, at)| before.get(day) != Some(at));
    changed.map(|(day, _)| day.to_string()).collect()
}
