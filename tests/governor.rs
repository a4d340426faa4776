//! The governor: beside others a fill takes its share of the warehouse and no more, and without them all.

mod support;

use std::time::Duration;

use prefill::calendar::TeamId;
use prefill::config::{Config, DEFAULT_WAREHOUSE};
use prefill::ledger::State;
use prefill::warehouse::Warehouse;
use serde_json::Value;
use support::World;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Brings the events of many visitors, a day's worth of them each day from 2026-05-01 on.
async fn bring_events(world: &World, team: TeamId, days: u32, a_day: u32) {
    let events = days * a_day;
    world
        .query(&format!(
            "insert into events (uuid, event, team_id, distinct_id, person_id, session_id, timestamp, inserted_at, host, pathname) \
             select generateUUIDv4(), '$pageview', {team}, toString(person), reinterpretAsUUID(toUInt128(person)), \
                 toString(intDiv(number, 5)), toDateTime64('2026-05-01 00:00:00', 6, 'UTC') + interval intDiv(number * 86400, {a_day}) second, \
                 now(), 'acme.test', concat('/', toString(number % 997)) \
             from (select number, intDiv(number, 5) % 40000 as person from numbers({events}))"
        ))
        .await;
}

/// What `prefill status` of another process says of the warehouse.
fn told(world: &World) -> Value {
    let answer = world.cli(&["status", "--json"]);
    let answer: Value = serde_json::from_slice(&answer.stdout).expect("JSON");
    answer["warehouses"][0].clone()
}

fn seconds(told: &Value) -> f64 {
    told["used_last_minute"].as_f64().expect("a share") * 60.0
}

/// A dashboard that is looked at all the time.
fn dashboard(world: &World, stop: &CancellationToken) -> JoinHandle<u32> {
    let (warehouse, stop) = (world.store.warehouse.clone(), stop.clone());
    tokio::spawn(async move {
        let mut answers = 0;
        while !stop.is_cancelled() {
            warehouse
                .statement(
                    "select pathname, uniq(person_id) from events group by pathname order by 2 desc limit 10",
                    "a dashboard",
                )
                .bytes("TSV", "ask")
                .await
                .expect("an answer");
            answers += 1;
        }
        answers
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_takes_its_share_beside_a_dashboard_and_waits_for_nobody_without_one() {
    const MEASURED: Duration = Duration::from_secs(9);
    let mut config = Config::default();
    // Day by day it takes longer than is measured here.
    config.service.batch = 1;
    let world = World::with(config).await;
    let team = world.team(7, "UTC").await;
    bring_events(&world, team, 22, 40_000).await;
    let turned_on = world.prefill.ledger.set_enabled(team, true).await;
    turned_on.expect("enabled");

    assert_eq!(told(&world)["budget"], 0.1);
    assert_eq!(told(&world)["busy"], Value::Null, "nobody has looked yet");
    let status = world.fill(team, "2026-05-01", "2026-05-03", false).await;
    assert_eq!(status, "completed");
    let alone = told(&world);
    assert_eq!(alone["waited_seconds"], 0.0, "{alone}");
    assert_eq!(alone["busy"], false, "{alone}");

    let (gone, stop) = (CancellationToken::new(), CancellationToken::new());
    let dashboard = dashboard(&world, &gone);
    let target = world.target(team, "2026-05-03", "2026-05-23").await;
    let run = world.prefill.backfill(&target, false).await.expect("asked");
    let (prefill, told_to_stop) = (world.prefill.clone(), stop.clone());
    let begun = Instant::now();
    let filling = tokio::spawn(async move { prefill.finish(run, &told_to_stop).await });
    tokio::time::sleep(MEASURED).await;
    let beside = told(&world);
    let measured = begun.elapsed().as_secs_f64();
    assert_eq!(beside["busy"], true, "{beside}");
    let waited = beside["waited_seconds"].as_f64().expect("seconds");
    assert!(
        waited > measured * 0.4,
        "{waited} of {measured} s: {beside}"
    );
    // A burst, what is gained meanwhile, and the end of a statement that had begun: on a machine that
    // is busy itself that takes its time. Without a governor it is all of the time.
    let used = seconds(&beside) - seconds(&alone);
    assert!(used < measured * 0.75, "{used} of {measured} s: {beside}");

    // Who waits is stopped at once, and has lost nothing.
    let asked = Instant::now();
    stop.cancel();
    filling.await.expect("it ended").expect("stopped");
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
    gone.cancel();
    assert!(dashboard.await.expect("it ended") > 10);
    let slices = world.prefill.ledger.slices(team).await.expect("slices");
    assert!(slices.values().all(|slice| slice.state != State::Running));
    assert!(slices.values().all(|slice| slice.error.is_none()));

    let metrics = world.cli(&["metrics", "--json"]);
    let metrics: Value = serde_json::from_slice(&metrics.stdout).expect("JSON");
    assert_eq!(metrics["warehouses"][0]["name"], "default", "{metrics}");
    assert!(metrics["warehouses"][0]["waited_seconds"].as_f64() >= Some(waited));
    let people = world.cli(&["status"]).stdout;
    let people = String::from_utf8(people).expect("text");
    let line = people.lines().last().expect("a line");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[..3], ["default", "10.0", "%"], "{people}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_budget_of_1_a_fill_waits_for_nobody() {
    let world = World::new().await;
    std::fs::write(
        world.dir.path().join("prefill.toml"),
        "[warehouse]\nbudget = 1\n",
    )
    .expect("written");
    let team = world.team(7, "UTC").await;
    bring_events(&world, team, 8, 20_000).await;
    let gone = CancellationToken::new();
    let dashboard = dashboard(&world, &gone);
    let days = ["--date-start", "2026-05-01", "--date-end", "2026-05-09"];
    let mut arguments = vec!["backfill", "--team-id", "7", "--json"];
    arguments.extend(days);
    world
        .prefill
        .ledger
        .set_enabled(team, true)
        .await
        .expect("enabled");
    let filled = tokio::task::block_in_place(|| world.cli(&arguments));
    assert!(filled.status.success(), "{filled:?}");
    gone.cancel();
    dashboard.await.expect("it ended");
    let told = told(&world);
    assert_eq!(
        (&told["budget"], &told["waited_seconds"]),
        (&1.0.into(), &0.0.into())
    );
    assert_eq!(
        (&told["busy"], &told["used_last_minute"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn large_statements_wait_until_there_is_memory_for_them_and_others_do_not() {
    let mut config = Config::default();
    let warehouse = config.warehouses.get_mut(DEFAULT_WAREHOUSE).expect("one");
    warehouse.max_memory_usage_total = Some(2 * warehouse.max_memory_usage - 1);
    let world = World::with(config).await;
    let sleeps = |warehouse: &Warehouse| {
        let warehouse = warehouse.in_background();
        async move {
            let statement = warehouse.statement("select sleep(1)", "prefill:test");
            statement.large().run("sleep").await.expect("slept");
        }
    };
    let warehouse = &world.store.warehouse;
    let begun = Instant::now();
    let small = async {
        let ask = warehouse.statement("select 1", "prefill:test");
        ask.run("ask").await.expect("an answer");
        begun.elapsed()
    };
    let ((), (), answered) = tokio::join!(sleeps(warehouse), sleeps(warehouse), small);
    assert!(begun.elapsed() >= Duration::from_secs(2), "one by one");
    assert!(answered < Duration::from_secs(1), "{answered:?}");
    assert_eq!(told(&world)["waited_for_memory_seconds"], 0.0, "not told");

    let team = world.team(7, "UTC").await;
    bring_events(&world, team, 3, 1_000).await;
    let turned_on = world.prefill.ledger.set_enabled(team, true).await;
    turned_on.expect("enabled");
    let status = world.fill(team, "2026-05-01", "2026-05-03", false).await;
    assert_eq!(status, "completed");
    let told = told(&world);
    let waited = told["waited_for_memory_seconds"].as_f64();
    assert!(waited >= Some(0.9), "{told}");
    assert_eq!(told["waited_seconds"], 0.0, "{told}");
}
