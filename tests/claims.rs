//! Claims, fences and what is left behind: whoever works, however it ends, a slice is filled once.

mod support;

use std::time::Duration;

use prefill::calendar::{Day, Days, TeamId, Zone};
use prefill::config::{Config, DEFAULT_WAREHOUSE, Source};
use prefill::error::{Class, Result};
use prefill::ledger::{Reason, Receipt, State};
use prefill::service::{Place, Prefill};
use prefill::worker::Step;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;
use support::{World, page_view, program, until};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const LEASE: Duration = Duration::from_secs(10);

/// A world with a team whose 1st of May has one session, asked for and not filled.
async fn one_slice_asked_for() -> (World, TeamId) {
    let world = World::new().await;
    let team = world.team(7, "UTC").await;
    world
        .insert(&[page_view(team, 1, "s", "2026-05-01T10:00:00Z", "/")])
        .await;
    world.enable(team).await;
    // Only the day of the request: the window's are another story.
    world.prefill.ledger.keep(team, true).await.expect("held");
    let target = world.target(team, "2026-05-01", "2026-05-02").await;
    let zone = target.zone.clone();
    world
        .prefill
        .ledger
        .request(
            team,
            target.days,
            &zone,
            DEFAULT_WAREHOUSE,
            Reason::Request,
            None,
        )
        .await
        .expect("asked");
    (world, team)
}

async fn views(world: &World) -> String {
    world
        .query("select sumMerge(pageviews_count_state) from web_pre_aggregated_stats")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn f10_of_two_workers_that_race_for_a_slice_one_has_it() {
    let (world, _) = one_slice_asked_for().await;
    let other = world.again().await;
    let (one, two) = tokio::join!(
        world
            .prefill
            .ledger
            .claim("one", LEASE, 50, DEFAULT_WAREHOUSE, None),
        other
            .ledger
            .claim("two", LEASE, 50, DEFAULT_WAREHOUSE, None),
    );
    let claims = [one.expect("asked"), two.expect("asked")];
    assert_eq!(claims.iter().flatten().count(), 1, "{claims:?}");
}

/// Portions are recorded one by one; what a later one has written is undone as long as the claim is held.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_of_which_a_part_is_recorded_is_held_until_its_lease_is_over() {
    let world = World::new().await;
    let ledger = &world.prefill.ledger;
    for id in [7, 8] {
        let team = world.team(id, "UTC").await;
        ledger.set_enabled(team, true).await.expect("on");
        let target = world.target(team, "2026-05-01", "2026-05-02").await;
        let reason = Reason::Request;
        let (days, zone) = (target.days, target.zone.clone());
        let asked = ledger.request(team, days, &zone, DEFAULT_WAREHOUSE, reason, None);
        asked.await.expect("asked");
    }
    let claim = ledger
        .claim("one", LEASE, 50, DEFAULT_WAREHOUSE, None)
        .await;
    let claim = claim.expect("asked").expect("a claim");
    assert_eq!(claim.slices.len(), 2);
    let held = async |lease| ledger.hold_on(&claim, lease).await.expect("asked");
    assert!(held(LEASE).await);
    let filled = [(claim.slices[0].clone(), Receipt::default())];
    ledger.record(&claim, &filled).await.expect("recorded");
    assert!(held(Duration::from_millis(1)).await, "the other is held");
    until("its lease is over", Duration::from_secs(5), || async {
        let holders = ledger.holders(DEFAULT_WAREHOUSE).await.expect("holders");
        holders[0].lease_is_over.then_some(())
    })
    .await;
    assert!(!held(LEASE).await, "not taken back");
}

#[tokio::test(flavor = "multi_thread")]
async fn f9_a_worker_taken_for_dead_has_no_effect_once_its_lease_is_over() {
    let (world, team) = one_slice_asked_for().await;
    let ledger = &world.prefill.ledger;
    let slow = ledger
        .claim(
            "slow",
            Duration::from_millis(1),
            50,
            DEFAULT_WAREHOUSE,
            None,
        )
        .await
        .expect("asked")
        .expect("a claim");
    until("the lease is over", Duration::from_secs(5), || async {
        let holders = ledger.holders(DEFAULT_WAREHOUSE).await.expect("holders");
        holders
            .iter()
            .any(|holder| holder.lease_is_over)
            .then_some(())
    })
    .await;
    // Until its statements are known to be gone, nobody else has the slice.
    assert!(
        ledger
            .claim("quick", LEASE, 50, DEFAULT_WAREHOUSE, None)
            .await
            .expect("asked")
            .is_none()
    );
    let step = world.worker().step(&CancellationToken::new()).await;
    assert_eq!(step.expect("a step"), Step::Filled);
    let lost = ledger.renew(&slow, LEASE).await.expect_err("lost");
    assert_eq!(lost.class(), Class::Lost);
    let receipt = Receipt {
        sessions: 999,
        ..Receipt::default()
    };
    let late = [(slow.slices[0].clone(), receipt)];
    assert!(ledger.record(&slow, &late).await.expect("asked").is_empty());
    let slices = ledger.slices(team).await.expect("slices");
    let slice = slices.values().next().expect("the slice");
    assert_eq!(
        slice.receipt.as_ref().map(|receipt| receipt.sessions),
        Some(1)
    );
    assert_eq!(views(&world).await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_has_one_writer_and_a_hold_keeps_it_free() {
    let (world, _) = one_slice_asked_for().await;
    let other = world.team(8, "Asia/Kolkata").await;
    world.enable(other).await;
    // The 2nd of May begins in Kolkata on the 1st, UTC: the same partition, other bounds.
    let target = world.target(other, "2026-05-02", "2026-05-03").await;
    let ledger = &world.prefill.ledger;
    ledger.keep(other, true).await.expect("held");
    ledger
        .request(
            other,
            target.days,
            &target.zone,
            DEFAULT_WAREHOUSE,
            Reason::Request,
            None,
        )
        .await
        .expect("asked");
    let first = ledger
        .claim("one", LEASE, 50, DEFAULT_WAREHOUSE, None)
        .await
        .expect("asked")
        .expect("a claim");
    assert_eq!(first.slices.len(), 1);
    assert_eq!(first.slices[0].partition, 20_260_501);
    assert!(
        ledger
            .claim("two", LEASE, 50, DEFAULT_WAREHOUSE, None)
            .await
            .expect("asked")
            .is_none()
    );
    let fills = |claim: &prefill::ledger::Claim| claim.slices[0].team_id;
    let had = fills(&first);
    let right = [(first.slices[0].clone(), Receipt::default())];
    assert_eq!(
        ledger.record(&first, &right).await.expect("recorded").len(),
        1
    );
    assert!(
        ledger
            .hold(DEFAULT_WAREHOUSE, 20_260_501, "cleaner", LEASE)
            .await
            .expect("held")
    );
    assert!(
        !ledger
            .hold(DEFAULT_WAREHOUSE, 20_260_501, "another", LEASE)
            .await
            .expect("asked"),
        "held by another"
    );
    assert!(
        ledger
            .claim("two", LEASE, 50, DEFAULT_WAREHOUSE, None)
            .await
            .expect("asked")
            .is_none()
    );
    ledger.let_go("cleaner").await.expect("let go");
    let second = ledger
        .claim("two", LEASE, 50, DEFAULT_WAREHOUSE, None)
        .await
        .expect("asked")
        .expect("a claim");
    assert_ne!(fills(&second), had);
}

#[tokio::test(flavor = "multi_thread")]
async fn f12_tables_that_a_crash_left_are_swept_and_touch_nothing() {
    let (world, team) = one_slice_asked_for().await;
    let left = "prefill_scratch_0123456789abcdef0123456789abcdef_stats";
    world
        .query(&format!("create table {left} as web_pre_aggregated_stats"))
        .await;
    world
        .query(&format!(
            "insert into {left} (period_bucket, team_id, pageviews_count_state) \
             select toDateTime('2026-05-03 00:00:00', 'UTC'), 7, sumState(toUInt64(5))"
        ))
        .await;
    world.prefill.ledger.keep(team, false).await.expect("let");
    assert_eq!(
        world.fill(team, "2026-05-01", "2026-05-02", true).await,
        "completed"
    );
    assert_eq!(views(&world).await, "1");
    assert_eq!(
        world
            .query("select count() from system.tables where startsWith(name, 'prefill_')")
            .await,
        "0"
    );
}

/// Makes a day of so many events that filling it takes some seconds.
async fn large_day(world: &World, team: TeamId) {
    world
        .query(&format!(
            "insert into events (uuid, event, team_id, person_id, session_id, timestamp, pathname) \
             select generateUUIDv4(), '$pageview', {team}, reinterpretAsUUID(sipHash128(number % 300000)), toString(number % 400000), \
             toDateTime64('2026-05-01 01:00:00', 6, 'UTC') + number % 400000 / 10 + intDiv(number, 400000) * 7, concat('/', toString(number % 5000)) \
             from numbers(1200000)"
        ))
        .await;
}

/// Fills the 1st of May, as another process would.
async fn filling(world: &World, team: TeamId) -> (Uuid, JoinHandle<Result<()>>) {
    let target = world.target(team, "2026-05-01", "2026-05-02").await;
    let run = world.prefill.backfill(&target, false).await.expect("asked");
    let other = world.again().await;
    let finish = async move { other.finish(run, &CancellationToken::new()).await };
    (run, tokio::spawn(finish))
}

#[tokio::test(flavor = "multi_thread")]
async fn f38_a_team_disabled_during_a_fill_gets_nothing_published_and_goes_on_when_it_is_on_again()
{
    let world = World::new().await;
    let team = world.team(7, "UTC").await;
    large_day(&world, team).await;
    world.enable(team).await;
    let (run, finish) = filling(&world, team).await;
    until("the fill runs", Duration::from_secs(30), || async {
        let slices = world.prefill.ledger.slices(team).await.expect("slices");
        slices
            .values()
            .any(|slice| slice.state == State::Running && slice.day.to_string() == "2026-05-01")
            .then_some(())
    })
    .await;
    assert!(world.cli(&["disable", "--team-id", "7"]).status.success());
    finish.await.expect("no panic").expect("finished");
    let progress = world.prefill.ledger.progress(run).await.expect("progress");
    assert_eq!(progress.status(), "cancelled");
    assert_eq!(views(&world).await, "0");
    world.enable(team).await;
    assert_eq!(
        world.fill(team, "2026-05-01", "2026-05-02", false).await,
        "completed"
    );
    assert_eq!(views(&world).await, "1200000");
    assert_eq!(
        world.differences(team, "2026-05-01", "2026-05-02").await,
        Vec::<String>::new()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn f38_a_day_cleaned_during_its_fill_stays_clean() {
    let world = World::new().await;
    let team = world.team(7, "UTC").await;
    large_day(&world, team).await;
    world.enable(team).await;
    let (_, finish) = filling(&world, team).await;
    until("rows are written", Duration::from_secs(60), || async {
        let slices = world.prefill.ledger.slices(team).await.expect("slices");
        let running = slices.values().any(|slice| slice.state == State::Running);
        (running && views(&world).await != "0").then_some(())
    })
    .await;
    let cleaned = world.cli(&[
        "cleanup",
        "--team-id",
        "7",
        "--date-start",
        "2026-05-01",
        "--date-end",
        "2026-05-02",
        "--yes",
    ]);
    assert!(
        cleaned.status.success(),
        "{}",
        String::from_utf8_lossy(&cleaned.stderr)
    );
    finish.await.expect("no panic").expect("finished");
    assert_eq!(views(&world).await, "0");
    let slices = world.prefill.ledger.slices(team).await.expect("slices");
    let day = slices
        .values()
        .find(|slice| slice.day.to_string() == "2026-05-01")
        .expect("the day");
    assert_eq!(day.state, State::Cleaned);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cleanups_left_is_told_range_by_range_and_a_day_that_is_wanted_again_is_not_cleaned() {
    let world = World::new().await;
    let team = world.team(7, "UTC").await;
    for (session, day) in [("a", "01"), ("b", "02"), ("c", "03"), ("d", "04")] {
        let at = format!("2026-05-{day}T10:00:00Z");
        world.insert(&[page_view(team, 1, session, &at, "/")]).await;
    }
    world.enable(team).await;
    world.fill(team, "2026-05-01", "2026-05-05", false).await;
    let ledger = &world.prefill.ledger;
    let days = |from: &str, until: &str| {
        let day = |text: &str| text.parse().expect("a day");
        Days::new(day(from), day(until)).expect("days")
    };
    ledger.set_enabled(team, false).await.expect("off");
    world.prefill.reconcile(team).await.expect("held");
    for (from, until) in [("2026-05-01", "2026-05-03"), ("2026-05-04", "2026-05-05")] {
        ledger
            .begin_cleaning(team, days(from, until))
            .await
            .expect("begun");
    }
    let told = async || ledger.half_cleaned().await.expect("read");
    assert_eq!(
        told().await,
        [
            (team, days("2026-05-01", "2026-05-03")),
            (team, days("2026-05-04", "2026-05-05"))
        ],
        "nobody asked for the day between"
    );
    // A refill that failed fills nothing.
    support::ledger::plain_sql(
        world.dir.path(),
        "update slices set state = 'failed' where day = '2026-05-04'",
    );
    assert_eq!(told().await.len(), 2);
    ledger.set_enabled(team, true).await.expect("on");
    world.prefill.reconcile(team).await.expect("let go");
    ledger
        .clean(team, days("2026-05-01", "2026-05-02"))
        .await
        .expect("cleaned");
    // Nor is one of which nothing was filled yet.
    let slices = ledger.slices(team).await.expect("slices");
    let (newest, slice) = slices.last_key_value().expect("today");
    assert_eq!(slice.state, State::Wanted);
    let today = Days::new(*newest, newest.plus(1)).expect("days");
    ledger.clean(team, today).await.expect("cleaned");
    for day in ["2026-05-01".parse().expect("a day"), *newest] {
        let slice = ledger.slices(team).await.expect("slices").remove(&day);
        let slice = slice.expect("a slice");
        assert_eq!(
            (slice.state, slice.has_data()),
            (State::Wanted, false),
            "{slice:?}"
        );
    }
    ledger.set_enabled(team, false).await.expect("off");
    world.prefill.reconcile(team).await.expect("held");
    support::ledger::plain_sql(world.dir.path(), "delete from teams where id = 7");
    assert_eq!(
        told().await,
        [],
        "of a team that is gone nobody has to do anything"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn f28_a_table_that_does_not_fit_is_refused_by_name_and_fits_when_it_is_mapped() {
    let world = World::new().await;
    let team = world.team(7, "UTC").await;
    world
        .insert(&[page_view(team, 1, "s", "2026-05-01T10:00:00Z", "/")])
        .await;
    world.query("rename table events to clicks").await;
    world
        .query("alter table clicks rename column host to hostname")
        .await;
    let place = Place {
        data_dir: world.dir.path().to_path_buf(),
        program: Some(program()),
    };
    let mut config = world.prefill.config.clone();
    let source = |config: &mut Config, change: fn(&mut Source)| {
        let warehouse = config.warehouses.get_mut(DEFAULT_WAREHOUSE);
        change(&mut warehouse.expect("the warehouse").source);
    };
    source(&mut config, |source| source.table = "clicks".to_owned());
    let misfit = Prefill::open(&place, config.clone()).await.expect("opened");
    let refused = misfit.store(DEFAULT_WAREHOUSE).await.expect_err("misfit");
    assert!(
        refused
            .chain()
            .contains("`default`.`clicks` has no column host"),
        "{}",
        refused.chain()
    );
    assert_eq!(refused.class(), Class::Operator);
    source(&mut config, |source| {
        source
            .columns
            .insert("host".to_owned(), "hostname".to_owned());
    });
    let mapped = world.reopened(config).await;
    mapped.enable(team).await;
    assert_eq!(
        mapped.fill(team, "2026-05-01", "2026-05-02", false).await,
        "completed"
    );
    assert!(mapped.tables().await.contains("acme.test"));
    let again = [
        page_view(team, 1, "s", "2026-05-01T10:00:00Z", "/"),
        page_view(team, 1, "s", "2026-05-01T10:00:01Z", "/b"),
    ];
    assert_eq!(
        mapped.insert(&again).await,
        1,
        "imports go into the mapped columns too"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn f40_days_of_the_zone_that_a_team_has_left_are_neither_covered_nor_healthy() {
    let world = World::new().await;
    let team = world.team(7, "UTC").await;
    world.enable(team).await;
    world
        .insert(&[page_view(team, 1, "s", "2026-05-01T10:00:00Z", "/")])
        .await;
    world.fill(team, "2026-05-01", "2026-05-02", false).await;
    let prefill = &world.prefill;
    let covered = async || {
        let now = jiff::Timestamp::now();
        let list = prefill::report::list(&prefill.ledger, &prefill.config, now).await;
        let gaps = prefill
            .health(now)
            .await
            .expect("health")
            .data_gaps_detected;
        (
            list.expect("a list")[0].coverage.filled,
            gaps.iter().flat_map(|gap| gap.days.clone()).count(),
        )
    };
    assert_eq!(covered().await, (1, 0));
    world.move_to(team, "Asia/Kolkata").await;
    assert_eq!(covered().await, (0, 1));
    world.fill(team, "2026-05-01", "2026-05-02", false).await;
    assert_eq!(covered().await, (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn f30_f33_what_waits_for_long_has_its_share_beside_a_today_that_is_always_open_again() {
    let world = World::new().await;
    let (team, busy) = (world.team(7, "UTC").await, world.team(8, "UTC").await);
    let old = (1..=6).map(|day| {
        let when = format!("2026-05-0{day}T10:00:00Z");
        page_view(team, 1, &format!("s{day}"), &when, "/")
    });
    world.insert(&old.collect::<Vec<_>>()).await;
    let now = jiff::Timestamp::now();
    let come = [page_view(busy, 1, "today", &now.to_string(), "/")];
    world.insert(&come).await;
    let today = Day::of(now, &Zone::get("UTC").expect("a zone"));
    world.enable(team).await;
    let filled = world.fill(team, "2026-05-01", "2026-05-07", false).await;
    assert_eq!(filled, "completed");
    world.enable(busy).await;
    let stop = CancellationToken::new();
    let worker = world.worker();
    while worker.step(&stop).await.expect("a step") != Step::Idle {}
    let ledger = &world.prefill.ledger;
    let late = async |team, day| {
        let touched = ledger.touch(team, day, Reason::LateEvents, None).await;
        touched.expect("touched")
    };
    let first: Day = "2026-05-01".parse().expect("a day");
    let backlog: Vec<Day> = (0..6).map(|later| first.plus(later)).collect();
    for day in &backlog {
        assert!(late(team, *day).await);
    }
    support::ledger::plain_sql(
        world.dir.path(),
        "update slices set wanted_at = 1 where state = 'stale'",
    );
    let (mut fresh, mut done) = (0, Vec::new());
    for _ in 0..24 {
        late(busy, today).await;
        let open = async || {
            let slices = ledger.slices(team).await.expect("slices");
            let stale = slices.values().filter(|slice| slice.state == State::Stale);
            stale.map(|slice| slice.day).collect::<Vec<_>>()
        };
        let before = open().await;
        assert_eq!(worker.step(&stop).await.expect("a step"), Step::Filled);
        let after = open().await;
        let step: Vec<Day> = before
            .into_iter()
            .filter(|day| !after.contains(day))
            .collect();
        fresh += usize::from(step.is_empty());
        done.extend(step);
    }
    assert_eq!(fresh, 18, "of four claims today has three");
    // Of those that have waited equally long the newest first.
    assert_eq!(done, backlog.into_iter().rev().collect::<Vec<_>>());
}

/// Two teams where a day begins first, with today filled.
async fn today_where_it_begins_first() -> (World, [TeamId; 2], Day) {
    let world = World::new().await;
    let teams = [
        world.team(1, "Pacific/Kiritimati").await,
        world.team(2, "Pacific/Kiritimati").await,
    ];
    let zone = Zone::get("Pacific/Kiritimati").expect("a zone");
    let now = jiff::Timestamp::now().to_string();
    for team in teams {
        world.insert(&[page_view(team, 1, "s", &now, "/")]).await;
        world.enable(team).await;
    }
    let stop = CancellationToken::new();
    let worker = world.worker();
    while worker.step(&stop).await.expect("a step") != Step::Idle {}
    (world, teams, Day::of(jiff::Timestamp::now(), &zone))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_has_not_begun_where_a_team_has_moved_to_is_no_day_of_it_and_leaves_no_rows() {
    let (world, [team, other], ahead) = today_where_it_begins_first().await;
    let rows = async || {
        let bounces =
            "select team_id, count() from web_pre_aggregated_bounces group by 1 order by 1";
        world.query(bounces).await
    };
    assert_eq!(rows().await, "1\t1\n2\t1");
    // A day and an hour behind: it is another date there at any time.
    world.move_to(team, "Pacific/Pago_Pago").await;
    let stop = CancellationToken::new();
    let worker = world.worker();
    while worker.step(&stop).await.expect("a step") != Step::Idle {}
    world.prefill.reconcile(team).await.expect("reconciled");
    let ledger = &world.prefill.ledger;
    let slices = ledger.slices(team).await.expect("slices");
    assert!(!slices.contains_key(&ahead), "{:?}", slices.keys());
    let now = jiff::Timestamp::now();
    let list = prefill::report::list(ledger, &world.prefill.config, now).await;
    let list = list.expect("a list");
    let states = list.iter().map(|team| team.state.as_str());
    assert_eq!(states.collect::<Vec<_>>(), ["filled", "filled"]);
    // The page view is of yesterday or today there.
    assert_eq!(rows().await, "1\t1\n2\t1");
    let of_zone = "select toDate(toTimeZone(max(period_bucket), 'Pacific/Pago_Pago')) < toDate({ahead:String}) from web_pre_aggregated_bounces where team_id = 1";
    let of_zone = of_zone.replace("{ahead:String}", &format!("'{ahead}'"));
    assert_eq!(world.query(&of_zone).await, "1");
    assert!(
        ledger
            .slices(other)
            .await
            .expect("slices")
            .contains_key(&ahead)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cleanup_left_of_a_day_that_has_not_begun_in_the_team_s_new_zone_can_be_cleaned() {
    let (world, [team, other], ahead) = today_where_it_begins_first().await;
    let ledger = &world.prefill.ledger;
    ledger.set_enabled(team, false).await.expect("off");
    world.prefill.reconcile(team).await.expect("held");
    let days = Days::new(ahead, ahead.plus(1)).expect("days");
    ledger.begin_cleaning(team, days).await.expect("begun");
    world.move_to(team, "Pacific/Pago_Pago").await;
    let health = world.cli(&["health", "--json"]);
    let told = String::from_utf8(health.stdout).expect("text");
    let until = ahead.plus(1);
    let range = format!("--team-id 1 --date-start {ahead} --date-end {until}");
    assert!(told.contains(&format!("prefill cleanup {range}")), "{told}");
    let cleanup = async |arguments: &str| {
        let words: Vec<&str> = ["cleanup", "--yes"]
            .into_iter()
            .chain(arguments.split(' '))
            .collect();
        world.cli(&words)
    };
    assert!(cleanup(&range).await.status.success());
    let rows = "select distinct team_id from web_pre_aggregated_bounces";
    assert_eq!(world.query(rows).await, other.to_string());
    let further = format!(
        "--team-id 1 --date-start {ahead} --date-end {}",
        until.plus(1)
    );
    let refused = String::from_utf8(cleanup(&further).await.stderr).expect("text");
    assert!(refused.contains("is in the future"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_whose_lease_ends_while_the_ledger_is_busy_leaves_no_table_behind() {
    // A file has one writer at a time.
    if support::ledger::is_postgres() {
        return;
    }
    let mut config = Config::default();
    config.service.lease_ms = 1_000;
    let world = World::with(config).await;
    let team = world.team(7, "UTC").await;
    for day in 1..=7 {
        let at = format!("2026-05-0{day}T10:00:00Z");
        world.insert(&[page_view(team, 1, "s", &at, "/")]).await;
    }
    world.enable(team).await;
    let (from, until) = ("2026-05-01", "2026-05-08");
    assert_eq!(world.fill(team, from, until, false).await, "completed");
    let left = "select count() from system.tables where startsWith(name, 'prefill_scratch_')";
    let busy = async {
        support::until("a fill under way", Duration::from_secs(60), async || {
            (world.query(left).await != "0").then_some(())
        })
        .await;
        let file = world.dir.path().join("prefill.db");
        let options = SqliteConnectOptions::new().filename(file);
        let mut ledger = options.connect().await.expect("a connection");
        let begin = sqlx::query("begin immediate").execute(&mut ledger);
        begin.await.expect("begun");
        // Twice the lease.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let end = sqlx::query("rollback").execute(&mut ledger);
        end.await.expect("ended");
    };
    let (status, ()) = tokio::join!(world.fill(team, from, until, true), busy);
    assert_eq!(status, "completed");
    assert_eq!(world.query(left).await, "0");
}
