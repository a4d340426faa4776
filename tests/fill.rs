//! Filling, once and again: what readers see is what the raw events say.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use prefill::calendar::{Day, TeamId, Zone};
use prefill::config::{Config, DEFAULT_WAREHOUSE};
use prefill::event::Event;
use prefill::freshness;
use prefill::ledger::TeamChange;
use prefill::rollup::sql;
use prefill::schema::Store;
use prefill::worker::Step;
use support::{World, page_view};
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread")]
async fn f5_any_backfill_run_again_gives_equal_tables() {
    let world = World::new().await;
    let team = world.team(7, "Asia/Kolkata").await;
    world.enable(team).await;
    world
        .insert(&[
            page_view(team, 1, "s1", "2026-05-01T10:00:00Z", "/"),
            page_view(team, 1, "s1", "2026-05-01T10:00:30Z", "/pricing"),
            page_view(team, 2, "s2", "2026-05-02T09:00:00Z", "/"),
        ])
        .await;
    assert_eq!(
        world.fill(team, "2026-05-01", "2026-05-03", false).await,
        "completed"
    );
    let once = world.tables().await;
    assert!(once.contains("/pricing"), "{once}");
    for force in [false, true, true] {
        assert_eq!(
            world.fill(team, "2026-05-01", "2026-05-03", force).await,
            "completed"
        );
        assert_eq!(world.tables().await, once, "force = {force}");
    }
    assert_eq!(
        world.differences(team, "2026-05-01", "2026-05-03").await,
        Vec::<String>::new()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_without_sessions_in_the_zone_that_a_team_has_moved_to_leaves_no_rows_of_the_old_zone()
 {
    let world = World::new().await;
    let (team, other) = (
        world.team(7, "Asia/Kathmandu").await,
        world.team(8, "UTC").await,
    );
    world.enable(team).await;
    world.enable(other).await;
    // In Kathmandu it is the 5th already, and in St John's still the 4th.
    world
        .insert(&[
            page_view(team, 1, "s1", "2026-05-04T20:00:00Z", "/"),
            page_view(other, 2, "s2", "2026-05-02T12:00:00Z", "/other"),
            page_view(other, 2, "s3", "2026-05-09T12:00:00Z", "/other"),
        ])
        .await;
    let (from, until) = ("2026-05-05", "2026-05-06");
    for (team, from, until) in [(team, from, until), (other, "2026-05-02", "2026-05-10")] {
        assert_eq!(world.fill(team, from, until, false).await, "completed");
    }
    let change = TeamChange {
        name: None,
        organization: None,
        zone: Some(Zone::get("America/St_Johns").expect("a zone")),
        backfill_days: None,
        warehouse: None,
    };
    let ledger = &world.prefill.ledger;
    ledger.set_team(team, &change).await.expect("moved");
    assert_eq!(world.fill(team, from, until, false).await, "completed");
    let buckets = "select toString(period_bucket) from web_pre_aggregated_stats where team_id = 7 \
                   union all select toString(period_bucket) from web_pre_aggregated_bounces where team_id = 7";
    assert_eq!(world.query(buckets).await, "");
    assert_eq!(
        world.fill(team, "2026-05-04", until, false).await,
        "completed"
    );
    assert_eq!(
        world.query(buckets).await,
        "2026-05-04 02:30:00\n2026-05-04 02:30:00"
    );
    let none = Vec::<String>::new();
    assert_eq!(
        world.differences(team, "2026-05-03", "2026-05-07").await,
        none
    );
    assert_eq!(
        world.differences(other, "2026-05-02", "2026-05-10").await,
        none
    );
    let deletions = "select count() from system.mutations where startsWith(table, 'web_pre')";
    assert_eq!(
        world.query(deletions).await,
        "0",
        "a deletion makes every part of the table anew"
    );

    // A day that could not be filled in its new zone is told, whether it has sessions there or not.
    let failed = "update slices set state = 'failed', error = 'it cannot be', left_bucket_s = bucket_s - 3600 \
                  where team_id = 7 and day = '2026-05-05'";
    support::ledger::plain_sql(world.dir.path(), failed);
    let health = world.prefill.health(jiff::Timestamp::now()).await;
    let gaps = health.expect("health").data_gaps_detected;
    let gap = gaps.iter().find(|gap| gap.team_id == team).expect("told");
    assert_eq!(gap.days, [from.parse::<Day>().expect("a day")]);
    assert!(gap.issue.contains("it cannot be"), "{}", gap.issue);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_somebody_else_has_is_not_replaced_for_rows_of_an_old_zone_in_it() {
    let world = World::new().await;
    let (team, other) = (
        world.team(7, "Asia/Kathmandu").await,
        world.team(8, "UTC").await,
    );
    world
        .insert(&[
            page_view(team, 1, "s1", "2026-05-05T10:00:00Z", "/"),
            page_view(other, 2, "s2", "2026-05-04T12:00:00Z", "/other"),
        ])
        .await;
    for (team, from, until) in [
        (team, "2026-05-05", "2026-05-06"),
        (other, "2026-05-04", "2026-05-05"),
    ] {
        world.enable(team).await;
        assert_eq!(world.fill(team, from, until, false).await, "completed");
    }
    let ledger = &world.prefill.ledger;
    // The day begins in this partition in Kathmandu, and in St John's in the next.
    let hold = async |owner| {
        let lease = Duration::from_secs(60);
        let held = ledger.hold(DEFAULT_WAREHOUSE, 20_260_504, owner, lease);
        held.await.expect("asked")
    };
    let deletions = "select count() from system.mutations where startsWith(table, 'web_pre')";
    let none = Vec::<String>::new();
    for (zone, is_held, expected) in [
        ("America/St_Johns", true, "2"),
        ("Asia/Kathmandu", false, "2"),
        ("America/St_Johns", false, "2"),
    ] {
        if is_held {
            assert!(hold("a cleanup").await);
        }
        let change = TeamChange {
            name: None,
            organization: None,
            zone: Some(Zone::get(zone).expect("a zone")),
            backfill_days: None,
            warehouse: None,
        };
        ledger.set_team(team, &change).await.expect("moved");
        let (from, until) = ("2026-05-05", "2026-05-06");
        assert_eq!(world.fill(team, from, until, false).await, "completed");
        assert_eq!(world.query(deletions).await, expected, "{zone}, {is_held}");
        assert_eq!(
            world.differences(team, "2026-05-03", "2026-05-07").await,
            none
        );
        assert_eq!(
            world.differences(other, "2026-05-04", "2026-05-05").await,
            none
        );
        if is_held {
            ledger.let_go("a cleanup").await.expect("let go");
        }
    }
    assert!(hold("who comes next").await, "the fill has let go of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn rollups_may_lie_in_a_database_of_their_own_and_are_made_with_it() {
    let mut config = Config::default();
    let warehouse = config.warehouses.get_mut(DEFAULT_WAREHOUSE);
    let warehouse = warehouse.expect("the warehouse");
    warehouse.database = "rollups".to_owned();
    warehouse.source.table = "default.events".to_owned();
    let world = World::with(config).await;
    let team = world.team(7, "UTC").await;
    world.enable(team).await;
    world
        .insert(&[page_view(team, 1, "s1", "2026-05-01T12:00:00Z", "/")])
        .await;
    let (from, until) = ("2026-05-01", "2026-05-02");
    assert_eq!(world.fill(team, from, until, false).await, "completed");
    let none = Vec::<String>::new();
    assert_eq!(world.differences(team, from, until).await, none);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_day_that_has_no_raw_events_any_more_is_kept() {
    let world = World::new().await;
    let team = world.team(7, "UTC").await;
    world.enable(team).await;
    let (from, until) = ("2026-05-01", "2026-05-04");
    world
        .insert(&[
            page_view(team, 1, "s1", "2026-05-01T12:00:00Z", "/"),
            page_view(team, 2, "s2", "2026-05-02T12:00:00Z", "/"),
            page_view(team, 3, "s3", "2026-05-03T12:00:00Z", "/"),
        ])
        .await;
    assert_eq!(world.fill(team, from, until, false).await, "completed");
    world
        .query(
            "alter table events delete where timestamp < '2026-05-02' settings mutations_sync = 2",
        )
        .await;
    world.query("truncate table web_pre_aggregated_stats").await;
    assert_eq!(world.look_for_late_events().await, 2);
    assert_eq!(world.fill(team, from, until, false).await, "completed");
    let days =
        |table: &str| format!("select distinct toDate(period_bucket) from {table} order by 1");
    let stats = world.query(&days("web_pre_aggregated_stats")).await;
    assert_eq!(stats, "2026-05-02\n2026-05-03");
    let bounces = world.query(&days("web_pre_aggregated_bounces")).await;
    assert_eq!(bounces, "2026-05-01\n2026-05-02\n2026-05-03");
    assert_eq!(world.look_for_late_events().await, 0);
    // Somebody who asks for it gets what the raw events say.
    assert_eq!(world.fill(team, from, until, true).await, "completed");
    let bounces = world.query(&days("web_pre_aggregated_bounces")).await;
    assert_eq!(bounces, "2026-05-02\n2026-05-03");
}

#[tokio::test(flavor = "multi_thread")]
async fn f17_hourly_buckets_that_another_job_left_give_way_to_those_of_the_day() {
    let world = World::new().await;
    // The local day has hours in two partitions.
    let (team, other) = (
        world.team(7, "Asia/Kolkata").await,
        world.team(8, "UTC").await,
    );
    for team in [team, other] {
        world.enable(team).await;
        let hours = (0..24).map(|hour| {
            let when = format!("2026-05-01T{hour:02}:10:00Z");
            page_view(team, 1, &format!("s{hour}"), &when, "/")
        });
        world.insert(&hours.collect::<Vec<_>>()).await;
    }
    let (from, until) = ("2026-05-01", "2026-05-03");
    assert_eq!(world.fill(team, from, until, false).await, "completed");
    assert_eq!(world.fill(other, from, until, false).await, "completed");
    let right = world.tables().await;
    for table in [prefill::rollup::STATS, prefill::rollup::BOUNCES] {
        for hour in 0..48 {
            world
                .query(&format!(
                    "insert into {table} select * replace (period_bucket + interval {hour} hour as period_bucket) \
                     from (select * from {table} where team_id = 7 and period_bucket = '2026-04-30 18:30:00' limit 1)"
                ))
                .await;
        }
    }
    let buckets = "select uniqExact(period_bucket) from web_pre_aggregated_stats where team_id = 7";
    assert_eq!(world.query(buckets).await, "48");
    assert_eq!(world.look_for_late_events().await, 2);
    assert_eq!(world.fill(team, from, until, false).await, "completed");
    assert_eq!(world.query(buckets).await, "2");
    assert_eq!(world.tables().await, right);
}

#[tokio::test(flavor = "multi_thread")]
async fn f20_f23_ten_thousand_late_events_cost_the_days_that_they_are_of_and_no_mark_is_ahead_of_time()
 {
    let world = World::new().await;
    let team = world.team(7, "UTC").await;
    world.enable(team).await;
    let view = |day: usize, of: usize| {
        let when = format!(
            "2026-05-{:02}T{:02}:{:02}:{:02}Z",
            day,
            of / 3600,
            of / 60 % 60,
            of % 60
        );
        page_view(team, of as u128, &format!("{day}-{of}"), &when, "/")
    };
    let first: Vec<Event> = (1..=20).map(|day| view(day, 0)).collect();
    world.insert(&first).await;
    let (from, until) = ("2026-05-01", "2026-05-21");
    assert_eq!(world.fill(team, from, until, false).await, "completed");
    // By a clock that is a day ahead.
    world
        .query("alter table events modify column inserted_at DateTime64(6, 'UTC') default now64(6) + interval 1 day")
        .await;
    world.insert(&[view(4, 1)]).await;
    assert_eq!(world.look_for_late_events().await, 0, "it is not there yet");
    let mark = freshness::mark_of(&world.store.name);
    let mark = world.prefill.ledger.mark(&mark).await.expect("read");
    let now = jiff::Timestamp::now().as_microsecond();
    assert!(mark.is_some_and(|mark| mark <= now), "{mark:?} {now}");
    for as_before in [
        "alter table events modify column inserted_at DateTime64(6, 'UTC') default now64(6)",
        "alter table events delete where inserted_at > now64(6) settings mutations_sync = 2",
    ] {
        world.query(as_before).await;
    }
    let fills = async || {
        let slices = world.prefill.ledger.slices(team).await.expect("slices");
        let at = slices
            .into_values()
            .map(|slice| (slice.day.to_string(), slice.filled_at));
        at.collect::<BTreeSet<_>>()
    };
    let before = fills().await;
    let late: Vec<Event> = (2..10_002)
        .map(|of| view([3, 11, 17][of % 3], of * 8))
        .collect();
    assert_eq!(world.insert(&late).await, 10_000);
    assert_eq!(world.look_for_late_events().await, 3);
    assert_eq!(world.fill(team, from, until, false).await, "completed");
    let after = fills().await;
    let again: Vec<&str> = after
        .difference(&before)
        .map(|(day, _)| day.as_str())
        .collect();
    assert_eq!(again, ["2026-05-03", "2026-05-11", "2026-05-17"]);
    let no_difference = Vec::<String>::new();
    assert_eq!(world.differences(team, from, until).await, no_difference);
}

#[tokio::test(flavor = "multi_thread")]
async fn f25_where_a_column_is_another_one_each_day_is_filled_again_and_is_never_of_both() {
    let mut config = Config::default();
    for warehouse in config.warehouses.values_mut() {
        warehouse.budget = 1.0;
    }
    let world = World::with(config).await;
    let team = world.team(7, "UTC").await;
    world.enable(team).await;
    let (from, until) = ("2026-05-01", "2026-05-05");
    let views = (1..=4).flat_map(|day| {
        (0..50).map(move |person| {
            let when = format!("2026-05-0{day}T12:00:{person:02}Z");
            page_view(team, person, &format!("{day}-{person}"), &when, "/")
        })
    });
    world.insert(&views.collect::<Vec<_>>()).await;
    world
        .query("alter table events add column domain String default 'new'")
        .await;
    assert_eq!(world.fill(team, from, until, false).await, "completed");
    let raw_are_gone =
        "alter table events delete where timestamp < '2026-05-02' settings mutations_sync = 2";
    world.query(raw_are_gone).await;
    let look = async |world: &World| {
        let (ledger, store) = (&world.prefill.ledger, &world.store);
        freshness::begin(ledger, store).await.expect("begun");
        freshness::look(ledger, store).await.expect("looked")
    };
    assert_eq!(look(&world).await, 0);
    let mut config = world.prefill.config.clone();
    for warehouse in config.warehouses.values_mut() {
        let columns = &mut warehouse.source.columns;
        columns.insert("host".to_owned(), "domain".to_owned());
    }
    let world = world.reopened(config).await;
    // All but the one that cannot be.
    assert_eq!(look(&world).await, 3);
    assert_eq!(look(&world).await, 0, "they are known");
    let stop = CancellationToken::new();
    let fills = async {
        let worker = world.worker();
        while worker.step(&stop).await.expect("a step") != Step::Idle {}
        stop.cancel();
    };
    let hosts = format!(
        "select arrayStringConcat(arraySort(groupArray(hosts)), ' ') from          (select arrayStringConcat(arraySort(groupUniqArray(host)), '+') as hosts from {} group by period_bucket)",
        prefill::rollup::STATS
    );
    let reads = async {
        let mut read = BTreeSet::new();
        while !stop.is_cancelled() {
            read.insert(world.query(&hosts).await);
        }
        read
    };
    let ((), mut read) = tokio::join!(fills, reads);
    read.insert(world.query(&hosts).await);
    let read: Vec<&str> = read.iter().map(String::as_str).collect();
    let of_days = |new: usize| {
        ["acme.test"; 4][new..]
            .iter()
            .chain(&["new"; 3][..new])
            .copied()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let all = of_days(3);
    assert_eq!(read.last(), Some(&all.as_str()));
    let steps: Vec<String> = (0..=3).map(of_days).collect();
    assert!(
        read.iter()
            .all(|read| steps.iter().any(|step| step == read)),
        "{read:?}"
    );
    assert_eq!(look(&world).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn f13_a_day_that_loses_its_last_session_loses_its_rows() {
    let world = World::new().await;
    let team = world.team(7, "UTC").await;
    world.enable(team).await;
    let (from, until) = ("2026-05-01", "2026-05-03");
    let found = "select toDate(period_bucket), sumMerge(total_session_count_state), sumMerge(pageviews_count_state) \
                 from web_pre_aggregated_bounces group by 1 order by 1";
    world
        .insert(&[page_view(team, 1, "s1", "2026-05-02T00:10:00Z", "/")])
        .await;
    world.fill(team, from, until, false).await;
    assert_eq!(world.query(found).await, "2026-05-02\t1\t1");
    // A late event moves its start to the day before, and no event of the team is later than it.
    world
        .insert(&[page_view(team, 1, "s1", "2026-05-01T23:55:00Z", "/")])
        .await;
    assert_eq!(world.fill(team, from, until, false).await, "completed");
    assert_eq!(world.query(found).await, "2026-05-01\t1\t2");
    let no_difference = Vec::<String>::new();
    assert_eq!(world.differences(team, from, until).await, no_difference);
    // Its events are deleted, and the source may still bring some for the day that has no rows.
    let delete = "alter table events delete where true settings mutations_sync = 2";
    world.query(delete).await;
    assert_eq!(world.fill(team, from, until, true).await, "waiting");
    assert_eq!(world.query(found).await, "");
    let stats = format!("select count() from {}", prefill::rollup::STATS);
    assert_eq!(world.query(&stats).await, "0");
    assert_eq!(world.differences(team, from, until).await, no_difference);
    // So is one of which the rows are gone already, as whoever dies before it is recorded leaves it.
    world
        .insert(&[page_view(team, 1, "s3", "2026-05-02T10:00:00Z", "/")])
        .await;
    assert_eq!(world.fill(team, from, until, false).await, "completed");
    for table in ["events", prefill::rollup::STATS, prefill::rollup::BOUNCES] {
        let delete = format!("alter table {table} delete where true settings mutations_sync = 2");
        world.query(&delete).await;
    }
    assert_eq!(
        world.fill(team, "2026-05-02", until, false).await,
        "completed"
    );
    let health = world.prefill.health(jiff::Timestamp::now()).await;
    assert_eq!(health.expect("looked").data_gaps_detected.len(), 0);
    // And it is filled as any other when they come back.
    world
        .insert(&[page_view(team, 1, "s2", "2026-05-02T10:00:00Z", "/")])
        .await;
    assert_eq!(world.fill(team, from, until, false).await, "completed");
    assert_eq!(world.query(found).await, "2026-05-02\t1\t1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_whose_rows_somebody_changed_is_told_until_it_is_filled_again() {
    let world = World::new().await;
    let team = world.team(7, "UTC").await;
    world.enable(team).await;
    world
        .insert(&[
            page_view(team, 1, "s1", "2026-05-01T10:00:00Z", "/"),
            page_view(team, 2, "s2", "2026-05-02T10:00:00Z", "/"),
        ])
        .await;
    let (from, until) = ("2026-05-01", "2026-05-03");
    assert_eq!(world.fill(team, from, until, false).await, "completed");
    let issues = async || {
        let health = world.prefill.health(jiff::Timestamp::now()).await;
        let health = health.expect("looked");
        let gaps = health.data_gaps_detected.iter();
        gaps.map(|gap| gap.issue.clone()).collect::<Vec<_>>()
    };
    let lost = "1 day is filled and the tables do not hold what was verified any more";
    let delete = "delete from web_pre_aggregated_stats where toDate(period_bucket) = '2026-05-01'";
    world.query(delete).await;
    assert_eq!(issues().await, [lost]);
    // Noticed, and nobody fills it again.
    assert_eq!(world.look_for_late_events().await, 1);
    assert_eq!(issues().await, [lost]);
    let day = "2026-05-01".parse().expect("a date");
    let told = world.prefill.explain(team, day).await;
    let why = told.expect("explained").why;
    assert!(why.contains("other rows than were verified"), "{why}");
    assert_eq!(world.fill(team, from, until, false).await, "completed");
    assert_eq!(issues().await, Vec::<String>::new());
}

/// The table of raw events, made again with instants of a type and in an order.
async fn made_again(world: &World, kind: &str, order: &str) {
    let create = include_str!("../src/event/create_events.sql").replace("{table}", "events");
    let (columns, own) = create
        .split_once("engine = MergeTree\n")
        .expect("an engine");
    let columns = columns.replace(
        "timestamp DateTime64(6, 'UTC')",
        &format!("timestamp {kind}"),
    );
    let order = if order == "as made" { own } else { order };
    world.query("drop table events sync").await;
    world
        .query(&format!("{columns} engine = MergeTree {order}"))
        .await;
}

/// What is said of dates, so that the key is used, must not hide an event: neither those of other zones nor those
/// beside an instant whose date ClickHouse takes for another.
#[tokio::test(flavor = "multi_thread")]
async fn raw_events_of_whatever_type_and_order_are_all_read() {
    let world = World::new().await;
    let team = world.team(7, "UTC").await;
    world.enable(team).await;
    // Of each day a session that ends at noon, and one that goes on after midnight.
    let mut events = Vec::new();
    for day in 1..=3 {
        for (session, when) in [
            ("noon", format!("2026-05-0{day}T00:10:00Z")),
            ("noon", format!("2026-05-0{day}T11:59:59Z")),
            ("night", format!("2026-05-0{day}T23:59:59Z")),
            ("night", format!("2026-05-0{}T00:05:00Z", day + 1)),
        ] {
            events.push(page_view(
                team,
                day,
                &format!("{session} {day}"),
                &when,
                "/",
            ));
        }
    }
    let mut once = None;
    let unparted = "order by (team_id, toDate(timestamp), session_id, timestamp)";
    for (kind, order) in [
        ("DateTime64(6, 'UTC')", "as made"),
        ("DateTime64(6, 'UTC')", unparted),
        ("DateTime64(6, 'UTC')", "order by (team_id, timestamp)"),
        ("DateTime64(6, 'Pacific/Kiritimati')", "as made"),
        ("DateTime64(3, 'Pacific/Pago_Pago')", "as made"),
        (
            "DateTime64(9, 'America/New_York')",
            "order by (team_id, toDate(timestamp))",
        ),
        ("DateTime('UTC')", "as made"),
        ("DateTime", unparted),
    ] {
        let case = format!("{kind} {order}");
        made_again(&world, kind, order).await;
        world.insert(&events).await;
        // Of clocks that go wrong, by which each granule has both.
        let far = if kind.starts_with("DateTime64") {
            ["1960-01-01", "2200-01-01"]
        } else {
            ["1970-01-01", "2106-02-06"]
        };
        for day in far {
            world
                .query(&format!(
                    "insert into events (uuid, event, team_id, session_id, timestamp) \
                     select generateUUIDv4(), '$pageview', 7, 'far', toDateTime64('{day} 12:00:00', 6, 'UTC')"
                ))
                .await;
        }
        world.query("optimize table events final").await;
        world.look_for_late_events().await;
        for day in 1..=3 {
            let (from, until) = (format!("2026-05-0{day}"), format!("2026-05-0{}", day + 1));
            let filled = world.fill(team, &from, &until, true).await;
            assert_eq!(filled, "completed", "{case}");
        }
        let tables = world.tables().await;
        let once = once.get_or_insert_with(|| tables.clone());
        assert_eq!(*once, tables, "{case}");
        let found = "select sumMerge(total_session_count_state), sumMerge(pageviews_count_state) from web_pre_aggregated_bounces";
        assert_eq!(world.query(found).await, "6\t12", "{case}");
        // And late ones are found.
        world
            .insert(&[page_view(team, 9, "late", "2026-05-03T10:00:00Z", "/")])
            .await;
        assert_eq!(world.look_for_late_events().await, 1, "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_reads_the_days_around_its_own_and_not_all_of_a_team() {
    let world = World::new().await;
    world
        .query(
            "insert into events (uuid, event, team_id, distinct_id, person_id, session_id, timestamp)
            select generateUUIDv4(), '$pageview', 7, '', generateUUIDv4(), toString(number), \
            toDateTime64('2026-05-01 00:00:00', 6, 'UTC') + number * 4 from numbers(21600 * 20)",
        )
        .await;
    world.query("optimize table events final").await;
    let (tables, begin) = (&world.store.tables, 20_574 + 10);
    for (statement, most) in [(sql::RAW, 4), (sql::WEIGH, 2), (sql::COUNT_EVENTS, 2)] {
        let text = format!("explain indexes = 1 {}", tables.render(statement, &[]));
        let told = world
            .store
            .warehouse
            .statement(&text, "test")
            .param("teams", vec![7])
            .param("team", 7)
            .param("from_us", begin * 86_400_000_000_i64)
            .param("until_us", (begin + 1) * 86_400_000_000_i64)
            .param("as_of_us", i64::MAX / 2)
            .param("begins", vec![begin * 86_400])
            .bytes("TSV", "ask")
            .await
            .expect("told");
        let told = String::from_utf8(told).expect("text");
        let (_, key) = told.split_once("PrimaryKey").expect("the key is looked at");
        let (_, read) = key.split_once("Granules: ").expect("granules");
        let (read, rest) = read.split_once('/').expect("of how many");
        let all = rest.split_whitespace().next().expect("a number");
        let (read, all): (u64, u64) = (
            read.parse().expect("how many"),
            all.parse().expect("of how many"),
        );
        assert!(
            all > 40 && read * 20 <= all * most,
            "{read} of {all}: {told}"
        );
    }
}

/// ClickHouse may leave out one of several deletions that begin at the same instant, and say that it is done.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_deleted_are_gone_whoever_else_deletes_from_the_table() {
    let world = World::new().await;
    let (warehouse, stats) = (&world.store.warehouse, &world.store.tables.stats);
    let first: Day = "2026-05-01".parse().expect("a day");
    let bounds = |number| Zone::utc().bounds(first.plus(number)).expect("a day");
    for _ in 0..6 {
        world
            .query(
                "insert into web_pre_aggregated_stats (team_id, period_bucket)
                select 7, toDateTime('2026-05-01 00:00:00', 'UTC') + number * 86400 from numbers(25)",
            )
            .await;
        let deleted = (0..24).map(|number| {
            prefill::fill::delete_rows(warehouse, stats, &[TeamId(7)], bounds(number), "test")
        });
        futures_util::future::try_join_all(deleted)
            .await
            .expect("deleted");
        let left = world
            .query("select groupArray(toDate(period_bucket)) from web_pre_aggregated_stats")
            .await;
        assert_eq!(left, "['2026-05-25']");
        world.query("truncate table web_pre_aggregated_stats").await;
    }
}

/// How a column is read was decided by its type when the warehouse was opened, and is decided again.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_becomes_nullable_is_never_read_as_another() {
    let world = World::new().await;
    let team = world.team(7, "UTC").await;
    world.enable(team).await;
    world
        .insert(&[page_view(team, 1, "s1", "2026-05-01T10:00:00Z", "/")])
        .await;
    let target = world.target(team, "2026-05-01", "2026-05-02").await;
    let run = world.prefill.backfill(&target, false).await.expect("asked");
    world
        .query("alter table events modify column city_name Nullable(String)")
        .await;
    world
        .query(
            "alter table events update city_name = null, region_code = 'R' where true \
             settings mutations_sync = 1",
        )
        .await;
    let stop = CancellationToken::new();
    let finished = world.prefill.finish(run, &stop).await;
    finished.expect("finished");
    let progress = world.prefill.ledger.progress(run).await.expect("progress");
    assert_eq!(progress.status(), "completed");
    assert_eq!(
        world
            .query("select pathname, city_name, region_code from web_pre_aggregated_stats")
            .await,
        "/\t\tR"
    );
}

/// The page views of the stats rollup, a row a team and a day; what is counted by value is in it too.
const STATS_ANSWER: &str = "\
    select toDate(period_bucket), team_id, sum(views), count(), max(views), \
        uniqMerge(persons), uniqMerge(sessions) \
    from (select period_bucket, team_id, pathname, sumMerge(pageviews_count_state) as views, \
        uniqMergeState(persons_uniq_state) as persons, uniqMergeState(sessions_uniq_state) as sessions \
        from web_pre_aggregated_stats group by all) \
    group by all order by all";

const BOUNCES_ANSWER: &str = "\
    select toDate(period_bucket), team_id, sumMerge(pageviews_count_state), \
        sumMerge(total_session_count_state), sumMerge(bounces_count_state), \
        sumMerge(total_session_duration_state), uniqMerge(persons_uniq_state) \
    from web_pre_aggregated_bounces group by all order by all";

/// What the source holds of team 7 on each of its days.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    /// 200 sessions of two page views.
    WithoutLate,
    /// A third page view in 50 of them, and 20 sessions of one.
    WithLate,
    Nothing,
}

impl Source {
    /// Each turns into each once, then it begins again.
    const ROUND: [Self; 6] = [
        Self::WithLate,
        Self::WithoutLate,
        Self::Nothing,
        Self::WithLate,
        Self::Nothing,
        Self::WithoutLate,
    ];

    /// What a reader of a day is told of both tables, counted by hand.
    fn answers(self) -> [&'static str; 2] {
        match self {
            Self::WithoutLate => ["400\t201\t200\t200\t200", "400\t200\t0\t4000\t200"],
            Self::WithLate => ["470\t202\t200\t220\t220", "470\t220\t20\t5950\t220"],
            Self::Nothing => ["", ""],
        }
    }

    /// Which of the saved events are there.
    fn which(self) -> &'static str {
        match self {
            Self::WithoutLate => "pathname != '/late'",
            Self::WithLate => "true",
            Self::Nothing => "false",
        }
    }
}

/// How often a reader was told what.
#[derive(Debug, Default)]
struct Answers {
    old: u64,
    new: u64,
    neither: Vec<String>,
    of_the_other_team: u64,
}

/// Reads at full speed until told to stop. `done` is 2n after the nth refill, and odd during one: what
/// may be answered lies between what was refilled when the question was asked and when it was answered.
async fn read(reader: Store, done: Arc<AtomicUsize>, stop: CancellationToken) -> Answers {
    let state = |refill: usize| match refill {
        0 => Source::WithoutLate,
        refill => Source::ROUND[(refill - 1) % Source::ROUND.len()],
    };
    let mut answers = Answers::default();
    while !stop.is_cancelled() {
        for (table, question) in [STATS_ANSWER, BOUNCES_ANSWER].into_iter().enumerate() {
            let oldest = done.load(Ordering::SeqCst) / 2;
            let answer = reader
                .warehouse
                .statement(question, "test:reader")
                .bytes("TSV", "read")
                .await
                .expect("an answer");
            let newest = done.load(Ordering::SeqCst).div_ceil(2);
            let answer = String::from_utf8(answer).expect("text");
            let of = |day: &str, team: i64| {
                let row = format!("{day}\t{team}\t");
                let mut rows = answer.lines().filter_map(|line| line.strip_prefix(&row));
                let first = rows.next().unwrap_or_default().to_owned();
                assert_eq!(rows.next(), None, "{answer}");
                first
            };
            for day in ["2026-05-01", "2026-05-02"] {
                let told = of(day, 7);
                let is = |refill: usize| state(refill).answers()[table] == told;
                if is(newest) {
                    answers.new += 1;
                } else if (oldest..newest).any(is) {
                    answers.old += 1;
                } else {
                    answers.neither.push(format!(
                        "{day}, refills {oldest} to {newest}, table {table}: {told:?}"
                    ));
                }
            }
            let others = [("2026-05-01", 8), ("2026-05-03", 8)].map(|(day, team)| of(day, team));
            if others == [OTHERS[table]; 2] {
                answers.of_the_other_team += 2;
            } else {
                answers.neither.push(format!(
                    "the other team, refills {oldest} to {newest}, table {table}: {others:?}"
                ));
            }
        }
    }
    answers
}

/// What a reader is told of a day of the other team, at all times.
const OTHERS: [&str; 2] = ["200\t200\t1\t200\t200", "200\t200\t200\t0\t200"];

/// How many days are refilled while they are read; a thousand is the long mode.
fn refills() -> usize {
    match std::env::var("PREFILL_REFILLS") {
        Ok(text) => text.parse().expect("PREFILL_REFILLS is a number"),
        Err(_) => 24,
    }
}

/// Two readers, one day that another team has rows of and one that it has none of, from each state of
/// the source to each other: also to no rows (F13) and back, and the other team's are as they were (F11).
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn f7_f11_f13_readers_of_days_that_are_refilled_see_the_old_rows_or_the_new_and_nothing_else()
{
    // The readers are to meet as many refills as there can be.
    let mut config = Config::default();
    for warehouse in config.warehouses.values_mut() {
        warehouse.budget = 1.0;
    }
    let world = World::with(config).await;
    let (team, other) = (world.team(7, "UTC").await, world.team(8, "UTC").await);
    world.insert(&traffic(team, other)).await;
    world
        .query("create table saved as events engine = MergeTree order by uuid")
        .await;
    world
        .query("insert into saved select * from events where team_id = 7")
        .await;
    let becomes = async |state: Source| {
        world
            .query("alter table events delete where team_id = 7 settings mutations_sync = 2")
            .await;
        let which = state.which();
        world
            .query(&format!(
                "insert into events select * from saved where {which}"
            ))
            .await;
    };
    becomes(Source::WithoutLate).await;
    for (team, from, until) in [
        (other, "2026-05-01", "2026-05-04"),
        (team, "2026-05-01", "2026-05-03"),
    ] {
        world.enable(team).await;
        assert_eq!(world.fill(team, from, until, false).await, "completed");
    }
    let stop = CancellationToken::new();
    let done = Arc::new(AtomicUsize::new(0));
    let mut readers = Vec::new();
    for _ in 0..2 {
        let reader = world.again().await;
        let reader = reader.store(DEFAULT_WAREHOUSE).await.expect("a warehouse");
        readers.push(tokio::spawn(read(
            reader.clone(),
            done.clone(),
            stop.clone(),
        )));
    }
    let begun = Instant::now();
    let steps = refills().div_ceil(2).max(Source::ROUND.len());
    for step in 0..steps {
        becomes(Source::ROUND[step % Source::ROUND.len()]).await;
        done.fetch_add(1, Ordering::SeqCst);
        let refilled = world.fill(team, "2026-05-01", "2026-05-03", true).await;
        assert_eq!(refilled, "completed");
        done.fetch_add(1, Ordering::SeqCst);
    }
    let seconds = begun.elapsed().as_secs_f64();
    stop.cancel();
    let mut all = Answers::default();
    for reader in readers {
        let answers = reader.await.expect("the reader ended");
        all.old += answers.old;
        all.new += answers.new;
        all.neither.extend(answers.neither);
        all.of_the_other_team += answers.of_the_other_team;
    }
    println!(
        "{} refills in {seconds:.1} s: {} answers old, {} new, {} of the other team, {} neither",
        steps * 2,
        all.old,
        all.new,
        all.of_the_other_team,
        all.neither.len()
    );
    assert_eq!(all.neither, Vec::<String>::new());
    // Readers that saw too little would have found nothing.
    let least = u64::try_from(steps).expect("a number");
    assert!(all.old > least && all.new > least, "{all:?}");
}

/// Two days of team 7 and two of team 8, of which one is the same.
fn traffic(team: TeamId, other: TeamId) -> Vec<Event> {
    let mut events = Vec::new();
    let mut add = |team: TeamId, person: u32, day: &str, second: u32, path: &str| {
        let (session, minute) = (format!("{day}-{person}"), person % 60);
        let when = format!("{day}T10:{minute:02}:{second:02}Z");
        events.push(page_view(team, person.into(), &session, &when, path));
    };
    for day in ["2026-05-01", "2026-05-02"] {
        for person in 1..=200 {
            add(team, person, day, 0, "/");
            add(team, person, day, 20, &format!("/{person}"));
            if person <= 50 {
                add(team, person, day, 59, "/late");
            }
        }
        for person in 201..=220 {
            add(team, person, day, 0, "/late");
        }
    }
    for day in ["2026-05-01", "2026-05-03"] {
        for person in 1..=200 {
            add(other, person, day, 0, &format!("/{person}"));
        }
    }
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn many_page_views_are_written_into_one_rollup_after_the_other() {
    let mut config = Config::default();
    let warehouse = config.warehouses.get_mut(DEFAULT_WAREHOUSE).expect("one");
    // Who looks here is somebody else, for whom fills would wait.
    warehouse.budget = 1.0;
    let world = World::with(config).await;
    let team = world.team(7, "UTC").await;
    world.enable(team).await;
    world
        .query(
            "insert into events (uuid, event, team_id, person_id, session_id, timestamp, pathname) \
             select generateUUIDv4(), '$pageview', 7, reinterpretAsUUID(sipHash128(number % 400000)), toString(number % 700000), \
             toDateTime64('2026-05-01 01:00:00', 6, 'UTC') + number % 80000, toString(number) from numbers(2000001)",
        )
        .await;
    let (most, stop) = (AtomicUsize::new(0), CancellationToken::new());
    let look = async {
        while !stop.is_cancelled() {
            let writing = "select count() from system.processes where query ilike '%insert into%web_pre_aggregated_%' and query not like '%system.processes%'";
            let writing = world
                .query(&format!("{writing} and is_initial_query"))
                .await;
            most.fetch_max(writing.parse().expect("a number"), Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let fill = async {
        let filled = world.fill(team, "2026-05-01", "2026-05-02", false).await;
        stop.cancel();
        filled
    };
    let ((), filled) = tokio::join!(look, fill);
    assert_eq!(filled, "completed");
    assert_eq!(most.load(Ordering::SeqCst), 1, "at the same time");
}
