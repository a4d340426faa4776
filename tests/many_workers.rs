//! Several `prefill serve` on one ledger in Postgres and one warehouse: whoever dies or sleeps, every
//! slice is filled once, and what the tables hold equals the raw events.

#[path = "support/serving.rs"]
mod serving;
mod support;

use std::time::{Duration, Instant};

use prefill::calendar::TeamId;
use prefill::config::{Config, DEFAULT_WAREHOUSE};
use prefill::ledger::State;
use rustix::process::Signal;
use serving::Serving;
use support::ledger::psql;
use support::{World, page_view, until};

const FROM: &str = "2026-05-01";
const UNTIL: &str = "2026-05-05";
const VIEWS_OF_A_DAY: u32 = 60_000;

/// A world on Postgres whose team 7 has four days of events, each of which takes a moment to fill.
async fn four_days(lease_ms: u64) -> (World, TeamId) {
    let mut config = Config::default();
    config.service.lease_ms = lease_ms;
    let world = World::on_postgres(config).await;
    std::fs::write(
        world.dir.path().join("prefill.toml"),
        format!("backfill_days = 1\n[service]\nlease_ms = {lease_ms}\nbackoff_ms = 50\n"),
    )
    .expect("written");
    let team = world.team(7, "UTC").await;
    for day in 1..=4 {
        world
            .query(&format!(
                "insert into events (uuid, event, team_id, person_id, session_id, timestamp, pathname) \
                 select generateUUIDv4(), '$pageview', 7, reinterpretAsUUID(sipHash128(number % 9000)), concat('{day}-', toString(number % 20000)), \
                 toDateTime64('2026-05-0{day} 01:00:00', 6, 'UTC') + number % 20000 / 10 + intDiv(number, 20000) * 7, concat('/', toString(number % 500)) \
                 from numbers({VIEWS_OF_A_DAY})"
            ))
            .await;
    }
    world
        .insert(&[page_view(team, 1, "last", "2026-06-01T00:00:00Z", "/")])
        .await;
    world.enable(team).await;
    (world, team)
}

fn ledger(world: &World) -> String {
    support::ledger::url(world.dir.path()).expect("on Postgres")
}

/// The process that fills a slice of the four days right now.
fn at_work(world: &World) -> Option<u32> {
    let owner = psql(
        &ledger(world),
        &format!(
            "select owner from prefill.slices where state = 'running' and day >= '{FROM}' and day < '{UNTIL}' limit 1"
        ),
    );
    owner.split(':').nth(1)?.parse().ok()
}

/// Every day filled, once: not a view more or less than there are events.
async fn filled_once(world: &World, team: TeamId, limit: Duration) {
    until("every day is filled", limit, || async {
        let slices = world.prefill.ledger.slices(team).await.expect("slices");
        let asked = slices.values().filter(|slice| {
            let day = slice.day.to_string();
            day.as_str() >= FROM && day.as_str() < UNTIL
        });
        let filled = asked.filter(|slice| slice.state == State::Filled);
        (filled.count() == 4).then_some(())
    })
    .await;
    assert_eq!(
        world
            .query(&format!("select sumMerge(pageviews_count_state) from web_pre_aggregated_stats where period_bucket < '{UNTIL} 00:00:00'"))
            .await,
        (4 * VIEWS_OF_A_DAY).to_string()
    );
    assert_eq!(
        world.differences(team, FROM, UNTIL).await,
        Vec::<String>::new()
    );
}

/// Asks for all four days once more.
async fn ask_again(world: &World, team: TeamId) {
    let target = world.target(team, FROM, UNTIL).await;
    world.prefill.backfill(&target, true).await.expect("asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_workers_one_is_killed_in_the_middle_of_a_fill_again_and_again_and_every_slice_is_filled_once()
 {
    let kills: usize = std::env::var("PREFILL_KILLS")
        .map_or(5, |text| text.parse().expect("PREFILL_KILLS is a number"));
    let (world, team) = four_days(10_000).await;
    let mut serving = Vec::new();
    for number in 0..3 {
        serving.push(Serving::start(&world, &format!("serve-{number}")).await);
    }
    let mut longest = Duration::ZERO;
    for round in 0..kills {
        ask_again(&world, team).await;
        let process = until("a fill is under way", Duration::from_secs(30), || async {
            at_work(&world)
        })
        .await;
        // At some point of it.
        tokio::time::sleep(Duration::from_millis(rand::random_range(0..150))).await;
        let killed = serving
            .iter()
            .position(|serving| serving.process() == process);
        let killed = killed.expect("one of the three is at work");
        serving.swap_remove(killed).kill();
        let begun = Instant::now();
        filled_once(&world, team, Duration::from_secs(30)).await;
        longest = longest.max(begun.elapsed());
        serving.push(Serving::start(&world, &format!("serve-again-{round}")).await);
    }
    let left = world
        .query("select count() from system.tables where startsWith(name, 'prefill_scratch_')")
        .await;
    assert_eq!(left, "0");
    println!("{kills} workers killed; all filled and verified again within {longest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_on_another_machine_held_when_it_died_is_another_s_within_15_seconds() {
    let (world, team) = four_days(10_000).await;
    ask_again(&world, team).await;
    let lease = world.prefill.config.service.lease();
    let claim = world
        .prefill
        .ledger
        .claim("elsewhere:1", lease, 50, DEFAULT_WAREHOUSE, None)
        .await
        .expect("asked")
        .expect("a claim");
    let died = Instant::now();
    let _serving = Serving::start(&world, "serve").await;
    let held = &claim.slices[0];
    let fence = format!(
        "select fence from prefill.slices where team_id = 7 and day = '{}'",
        held.day
    );
    until("another has it", Duration::from_secs(15), || async {
        let fence: i64 = psql(&ledger(&world), &fence).parse().expect("a number");
        (fence > held.fence).then_some(())
    })
    .await;
    println!("another had it {:?} after the death", died.elapsed());
    filled_once(&world, team, Duration::from_secs(60)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f9_a_worker_that_sleeps_past_its_lease_has_no_effect_when_it_wakes() {
    let (world, team) = four_days(1_000).await;
    let one = Serving::start(&world, "one").await;
    for _ in 0..2 {
        ask_again(&world, team).await;
        until("a fill is under way", Duration::from_secs(30), || async {
            at_work(&world)
        })
        .await;
        one.signal(Signal::STOP);
        let two = Serving::start(&world, "two").await;
        filled_once(&world, team, Duration::from_secs(30)).await;
        let fences = "select string_agg(day || ':' || filled_fence || ':' || fence, ' ' order by day) from prefill.slices where state = 'filled' and day < '2026-05-05'";
        let before = psql(&ledger(&world), fences);
        one.signal(Signal::CONT);
        // It notices that it has lost what it had, and does not come back to it.
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(psql(&ledger(&world), fences), before);
        filled_once(&world, team, Duration::from_secs(1)).await;
        two.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_noticed_by_all_and_planned_once_and_its_days_are_shared() {
    let (world, team) = four_days(10_000).await;
    let one = Serving::start(&world, "one").await;
    let two = Serving::start(&world, "two").await;
    for id in 100..130 {
        world.team(id, "UTC").await;
    }
    psql(
        &ledger(&world),
        "update prefill.teams set web_analytics_pre_aggregated_tables_enabled = 1 where id >= 100",
    );
    until("all are planned", Duration::from_secs(20), || async {
        let runs = world
            .prefill
            .ledger
            .runs(None, None, 1_000)
            .await
            .expect("runs");
        (runs.iter().filter(|run| run.team_id.0 >= 100).count() >= 30).then_some(())
    })
    .await;
    ask_again(&world, team).await;
    filled_once(&world, team, Duration::from_secs(30)).await;
    let runs = world
        .prefill
        .ledger
        .runs(None, None, 1_000)
        .await
        .expect("runs");
    assert_eq!(runs.iter().filter(|run| run.team_id.0 >= 100).count(), 30);
    for serving in [&one, &two] {
        let log = serving.log();
        assert!(!log.contains("\"level\":\"ERROR\""), "{log}");
    }
}
