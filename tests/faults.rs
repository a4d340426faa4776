//! The fault suite: a warehouse and a ledger that on command refuse, do the work and then report
//! failure, hang, are slow, or are gone; a model of what tables and ledger must be. For every call, and
//! for random sequences: run, break, restart, settle, compare by value.
//!
//! `PREFILL_FAULTS` is the number of broken runs (default some hundreds; the long mode is 10,000 and
//! more), `PREFILL_FAULTS_SEED` the seed of the random ones, which is printed. What runs at the same
//! time is not in the seed: the same draws may meet another order of calls.

mod support;

#[path = "faults/ledger.rs"]
mod ledger;
#[path = "faults/model.rs"]
mod model;
#[path = "faults/rig.rs"]
mod rig;
#[path = "faults/sequence.rs"]
mod sequence;
#[path = "faults/warehouse.rs"]
mod warehouse;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use prefill::calendar::{Day, TeamId, Zone};
use prefill::config::DEFAULT_WAREHOUSE;
use prefill::ledger::{Extent, Reason, State, TeamChange};
use prefill::service::Prefill;
use prefill::worker::Step;
use rig::Rig;
use sequence::Sequence;
use support::page_view;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// From this many on, each call of each fault is broken, and not a sample of them.
const LONG: usize = 1_000;
/// So many broken runs are asked for where nobody says how many.
const USUAL: usize = 300;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name}={text}: it is a number")))
}

/// How many broken runs are asked for.
fn asked() -> usize {
    usize::try_from(number("PREFILL_FAULTS").unwrap_or(USUAL as u64)).expect("a number of runs")
}

/// How many of them are random: in the long mode, all that the calls one by one leave over.
fn random_runs() -> usize {
    if asked() >= LONG {
        asked() - LONG / 2
    } else {
        asked().div_ceil(10)
    }
}

/// So many installations are broken at the same time: most of a broken run is waiting for what does not
/// answer.
fn lanes() -> u64 {
    if asked() >= LONG { 6 } else { 1 }
}

/// Where nobody asks for many runs it is always the same, so that what fails is the change's.
fn seed() -> u64 {
    if number("PREFILL_FAULTS").is_none() {
        return number("PREFILL_FAULTS_SEED").unwrap_or(1);
    }
    number("PREFILL_FAULTS_SEED").unwrap_or_else(|| {
        let now = jiff::Timestamp::now().as_microsecond();
        u64::try_from(now).unwrap_or(1) % 1_000_000
    })
}

/// Of each so many calls one is broken: `usual` by default.
fn stride(usual: usize) -> usize {
    if asked() >= LONG {
        return 1;
    }
    (usual * USUAL / asked().max(1)).max(1)
}

/// The seeds of two lanes do not meet.
const SEEDS_OF_A_LANE: u64 = 100_000;

/// Two tests at a time, which half of the time wait for what does not answer; more would make the machine busy,
/// and what is to be broken is the call that is meant, and not what a busy machine is slow at.
static CALM: Semaphore = Semaphore::const_new(2);

async fn calm() -> SemaphorePermit<'static> {
    CALM.acquire().await.expect("it is never closed")
}

/// Two teams with days of sessions, filled and right.
struct Filled {
    rig: Rig,
    right: String,
}

impl Filled {
    async fn new() -> Self {
        let rig = Rig::new().await;
        let world = &rig.world;
        let (mine, other) = (
            world.team(7, "America/St_Johns").await,
            world.team(8, "UTC").await,
        );
        world
            .insert(&[
                page_view(mine, 1, "a", "2026-05-01T12:00:00Z", "/"),
                page_view(mine, 1, "a", "2026-05-01T12:00:07Z", "/pricing"),
                page_view(mine, 2, "b", "2026-05-01T13:00:00Z", "/"),
                page_view(other, 3, "c", "2026-05-01T13:00:00Z", "/other"),
                page_view(other, 3, "d", "2026-05-02T13:00:00Z", "/other"),
            ])
            .await;
        for team in [mine, other] {
            world.enable(team).await;
            world.fill(team, "2026-05-01", "2026-05-02", false).await;
        }
        rig.hour_passes().await;
        let right = world.tables().await;
        assert!(
            right.contains("/pricing") && right.contains("/other"),
            "{right}"
        );
        Self { rig, right }
    }

    /// Wants team 7's day again; without its rows it is filled directly.
    async fn ask(&self, from_nothing: bool) -> Uuid {
        let world = &self.rig.world;
        if from_nothing {
            for table in [prefill::rollup::STATS, prefill::rollup::BOUNCES] {
                let text = format!(
                    "alter table {table} delete where team_id = 7 settings mutations_sync = 2"
                );
                world.query(&text).await;
            }
        }
        self.rig.clock.forget_pieces().await;
        let target = world.target(TeamId(7), "2026-05-01", "2026-05-02").await;
        let ledger = &world.prefill.ledger;
        let run = ledger.request(
            target.team.id,
            target.days,
            &target.zone,
            DEFAULT_WAREHOUSE,
            Reason::Forced,
            None,
        );
        run.await.expect("asked").expect("a run")
    }

    /// Finishes a run while it is broken, then as those who come after it; whether the process died.
    async fn finish(&self, prefill: &Prefill, run: Uuid, told: &str) -> bool {
        let stop = self.rig.process.begin();
        let finish = prefill.finish(run, &stop);
        // Waits of the installation's own are nothing that a test has to sit out.
        let skip = async {
            loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                self.rig.clock.end_waits().await;
            }
        };
        let ended = self
            .rig
            .until_death(Duration::from_secs(60), async {
                tokio::select! {
                    ended = finish => ended,
                    () = skip => unreachable!("it skips without an end"),
                }
            })
            .await;
        self.rig.calm().await;
        let settled = self.rig.settle().await;
        settled.unwrap_or_else(|why| panic!("{told}: {why}"));
        ended.is_none()
    }

    async fn check(&self, run: Uuid, told: &str) {
        let world = &self.rig.world;
        assert_eq!(world.tables().await, self.right, "{told}");
        let progress = world.prefill.ledger.progress(run).await.expect("progress");
        assert_eq!(progress.status(), "completed", "{told}");
        assert_eq!(self.rig.scratch().await, "", "{told}");
    }
}

fn tell(test: &str, runs: usize, begun: Instant, injected: &BTreeMap<String, u64>) {
    println!(
        "{test}: {runs} broken runs in {:.0} s, nothing lost or doubled\n  {injected:?}",
        begun.elapsed().as_secs_f64()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn f5_f6_f7_f8_f9_f37_a_fill_whose_nth_call_to_the_warehouse_is_broken_ends_as_an_undisturbed_one()
 {
    let _calm = calm().await;
    let begun = Instant::now();
    let filled = Filled::new().await;
    let rig = &filled.rig;
    let mut prefill = rig.open().await;
    let stride = stride(7);
    let mut runs = 0;
    for (index, fault) in (0..).zip(warehouse::FAULTS) {
        for from_nothing in [true, false] {
            // Another sample for each fault.
            let mut nth = 1 + (index * 3 + usize::from(from_nothing)) % stride;
            loop {
                let told = format!("{fault:?} at call {nth}, from nothing: {from_nothing}");
                let run = filled.ask(from_nothing).await;
                let before: u64 = rig.process.injected().values().sum();
                rig.warehouse.arm([(nth, fault)]);
                if filled.finish(&prefill, run, &told).await {
                    prefill = rig.open().await;
                }
                filled.check(run, &told).await;
                if rig.process.injected().values().sum::<u64>() == before {
                    assert!(nth > 10, "{told}: there are no more calls");
                    println!("{told}: there are no more; {runs} broken runs");
                    break;
                }
                runs += 1;
                nth += stride;
            }
        }
    }
    tell(
        "every call to the warehouse",
        runs,
        begun,
        &rig.process.injected(),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn f5_f6_f8_f37_a_fill_whose_nth_call_to_the_ledger_is_broken_ends_as_an_undisturbed_one() {
    let _calm = calm().await;
    let begun = Instant::now();
    if !support::ledger::is_postgres() {
        busy_file().await;
        return;
    }
    let filled = Filled::new().await;
    let rig = &filled.rig;
    let ledger = rig.ledger.as_ref().expect("a ledger in Postgres");
    let mut prefill = rig.open().await;
    let stride = stride(12);
    let mut runs = 0;
    for (index, fault) in (0..).zip(ledger::FAULTS) {
        for from_nothing in [true, false] {
            let mut nth = 1 + (index * 3 + usize::from(from_nothing)) % stride;
            loop {
                let told = format!("{fault:?} at call {nth}, from nothing: {from_nothing}");
                let run = filled.ask(from_nothing).await;
                let before: u64 = rig.process.injected().values().sum();
                ledger.arm([(nth, fault)]);
                if filled.finish(&prefill, run, &told).await {
                    prefill = rig.open().await;
                }
                filled.check(run, &told).await;
                if rig.process.injected().values().sum::<u64>() == before {
                    assert!(nth > 10, "{told}: there are no more calls");
                    println!("{told}: there are no more; {runs} broken runs");
                    break;
                }
                runs += 1;
                nth += stride;
            }
        }
    }
    tell(
        "every call to the ledger",
        runs,
        begun,
        &rig.process.injected(),
    );
}

/// A ledger in a file has no calls on a wire to break: somebody else writes to it while the nth call to
/// the warehouse is under way.
async fn busy_file() {
    let begun = Instant::now();
    let filled = Filled::new().await;
    let rig = &filled.rig;
    let prefill = rig.open().await;
    let stride = stride(4);
    for from_nothing in [true, false] {
        for nth in (1..=25).step_by(stride) {
            let told = format!("busy at call {nth}, from nothing: {from_nothing}");
            let run = filled.ask(from_nothing).await;
            rig.warehouse.arm([(nth, warehouse::Fault::LedgerIsBusy)]);
            let died = filled.finish(&prefill, run, &told).await;
            assert!(!died, "{told}");
            filled.check(run, &told).await;
        }
    }
    let runs = rig.process.injected().values().sum::<u64>();
    assert!(runs > 0);
    let runs = usize::try_from(runs).expect("few");
    tell("a busy file", runs, begun, &rig.process.injected());
}

#[tokio::test(flavor = "multi_thread")]
async fn f7_f37_an_engine_killed_at_the_nth_call_is_started_again_and_the_fill_ends_as_an_undisturbed_one()
 {
    let _calm = calm().await;
    let begun = Instant::now();
    let filled = Filled::new().await;
    let (rig, world) = (&filled.rig, &filled.rig.world);
    let card = world.dir.path().join("engine.json");
    let mut runs = 0;
    for from_nothing in [true, false] {
        for nth in (1..=25).step_by(stride(24)) {
            let told = format!("killed at call {nth}, from nothing: {from_nothing}");
            let run = filled.ask(from_nothing).await;
            // Whoever attaches goes where the engine's card says.
            let text = std::fs::read_to_string(&card).expect("the card");
            let engine: serde_json::Value = serde_json::from_str(&text).expect("a card");
            let url = engine["url"].as_str().expect("an address");
            let pid = engine["pid"].as_u64().expect("a process");
            rig.warehouse.moved_to(url);
            rig.warehouse.kills(u32::try_from(pid).expect("a process"));
            let proxied = text.replace(url, &rig.warehouse.url);
            std::fs::write(&card, &proxied).expect("written");
            let prefill = world.again().await;
            let store = prefill.store(DEFAULT_WAREHOUSE).await.expect("a warehouse");
            assert_eq!(store.warehouse.endpoint().url, rig.warehouse.url);
            rig.warehouse.arm([(nth, warehouse::Fault::EngineKilled)]);
            filled.finish(&prefill, run, &told).await;
            filled.check(run, &told).await;
            if std::fs::read_to_string(&card).expect("the card") == proxied {
                std::fs::write(&card, &text).expect("written");
            } else {
                runs += 1;
            }
        }
    }
    assert!(runs > 0);
    tell("the engine killed", runs, begun, &rig.process.injected());
}

#[tokio::test(flavor = "multi_thread")]
async fn f35_f36_what_failed_is_tried_again_for_the_dates_that_were_asked_for_and_what_succeeded_is_left_alone()
 {
    let _calm = calm().await;
    let filled = Filled::new().await;
    let (rig, world) = (&filled.rig, &filled.rig.world);
    let prefill = rig.open().await;
    let team = TeamId(8);
    let filled_at = async || {
        let slices = world.prefill.ledger.slices(team).await.expect("slices");
        let of = |(day, slice): (_, prefill::ledger::Slice)| {
            (format!("{day}"), (slice.state, slice.filled_at))
        };
        slices.into_iter().map(of).collect::<BTreeMap<_, _>>()
    };
    let before = filled_at().await;
    let target = world.target(team, "2026-05-01", "2026-05-03").await;
    let run = world.prefill.backfill(&target, false).await.expect("asked");
    // As often as it is tried.
    rig.warehouse.refuse(Some("prefill_scratch_"));
    let stop = rig.process.begin();
    prefill.finish(run, &stop).await.expect("finished");
    rig.warehouse.refuse(None);
    rig.calm().await;
    let progress = prefill.ledger.progress(run).await.expect("progress");
    let failed = filled_at().await;
    assert_eq!(failed["2026-05-02"].0, State::Failed);
    assert_eq!(failed["2026-05-01"], before["2026-05-01"]);
    assert_eq!((progress.status(), progress.days), ("failed", 1));
    assert_eq!(
        world.fill(team, "2026-05-01", "2026-05-03", false).await,
        "completed"
    );
    let after = filled_at().await;
    assert_eq!(after["2026-05-02"].0, State::Filled);
    assert_eq!(after["2026-05-01"], before["2026-05-01"]);
    let days: Vec<&String> = after
        .keys()
        .filter(|day| day.as_str() < "2026-06")
        .collect();
    assert_eq!(days, ["2026-05-01", "2026-05-02"]);
    assert!(
        world
            .differences(team, "2026-05-01", "2026-05-03")
            .await
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_in_the_midst_of_which_the_warehouse_is_gone_each_time_is_made_smaller() {
    let _calm = calm().await;
    let filled = Filled::new().await;
    let (rig, world) = (&filled.rig, &filled.rig.world);
    let prefill = rig.open().await;
    let team = TeamId(8);
    let run = world.target(team, "2026-05-02", "2026-05-03").await;
    let run = world.prefill.backfill(&run, false).await.expect("asked");
    // More than a quarter of the day's sessions at once end it.
    let ends_it = |body: &str| {
        body.contains("insert into")
            && body.contains("_0_sessions`\n(")
            && !body.contains("name=\"param_pieces\"\r\n\r\n4\r\n")
    };
    rig.warehouse.lose(Some(ends_it));
    let store = prefill.store(DEFAULT_WAREHOUSE).await.expect("a warehouse");
    let worker = prefill.worker(store, Some(run));
    let stop = rig.process.begin();
    let mut tries = 0;
    while worker.step(&stop).await.expect("a step") == Step::Failed {
        tries += 1;
        assert!(tries <= 3, "it is tried in more than four pieces");
        let slices = prefill.ledger.slices(team).await.expect("slices");
        let day: Day = "2026-05-02".parse().expect("a day");
        let of_day = (slices[&day].state, slices[&day].attempts);
        assert_eq!(of_day, (State::Wanted, 0), "{slices:?}");
        rig.clock.end_waits().await;
    }
    rig.warehouse.lose(None);
    // As it is, again as it is, halved, and in quarters.
    assert_eq!(tries, 3);
    let progress = prefill.ledger.progress(run).await.expect("progress");
    assert_eq!(progress.status(), "completed");
    let width = prefill.ledger.width(DEFAULT_WAREHOUSE, team).await;
    assert_eq!(width.expect("read").map(|width| width.pieces), Some(4));
    rig.calm().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f14_a_day_whose_source_lags_is_not_filled_however_its_look_is_broken() {
    let _calm = calm().await;
    let filled = Filled::new().await;
    let (rig, world) = (&filled.rig, &filled.rig.world);
    let mut prefill = rig.open().await;
    let mut broken = 0;
    for (nth, fault) in (1..).zip(warehouse::FAULTS) {
        // The setting's turn wants today and yesterday, of which nothing has come.
        world
            .prefill
            .ledger
            .set_enabled(TeamId(8), false)
            .await
            .expect("off");
        world.prefill.reconcile(TeamId(8)).await.expect("held");
        world.enable(TeamId(8)).await;
        rig.warehouse.arm([(1 + nth % 7, fault)]);
        let store = prefill.store(DEFAULT_WAREHOUSE).await.expect("a warehouse");
        let worker = prefill.worker(store, None);
        let stop = rig.process.begin();
        let died = rig
            .until_death(Duration::from_secs(20), worker.step(&stop))
            .await
            .is_none();
        rig.calm().await;
        broken += 1;
        rig.settle().await.expect("settled");
        let slices = world
            .prefill
            .ledger
            .slices(TeamId(8))
            .await
            .expect("slices");
        let open: Vec<_> = slices
            .values()
            .filter(|slice| slice.state != State::Filled)
            .collect();
        assert!(open.len() >= 2, "{fault:?}: {open:?}");
        assert!(
            open.iter().all(|slice| slice.waiting_for_events),
            "{fault:?}: {open:?}"
        );
        assert_eq!(world.tables().await, filled.right, "{fault:?}");
        if died {
            prefill = rig.open().await;
        }
    }
    println!(
        "a source that lags: {broken} broken runs\n  {:?}",
        rig.process.injected()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn f5_f6_f7_f8_f9_f13_f18_f19_f21_f37_f38_random_operations_under_random_faults() {
    let _calm = calm().await;
    let (seed, runs) = (seed(), random_runs());
    println!("PREFILL_FAULTS_SEED={seed}");
    let begun = Instant::now();
    let broken = Arc::new(AtomicUsize::new(0));
    let mut lanes = JoinSet::new();
    for lane in 0..self::lanes() {
        let broken = broken.clone();
        lanes.spawn(async move {
            let mut sequence = Sequence::new().await;
            sequence
                .go(seed + lane * SEEDS_OF_A_LANE, runs, &broken)
                .await;
            sequence
        });
    }
    while let Some(sequence) = lanes.join_next().await {
        let sequence = sequence.expect("nothing lost or doubled");
        println!(
            "{}\n  {:?}\n  {:?}",
            sequence.tally,
            sequence.injected(),
            sequence.tally.operations
        );
    }
    let broken = broken.load(Ordering::SeqCst);
    println!(
        "random, seed {seed}: {broken} broken runs in {:.0} s, nothing lost or doubled",
        begun.elapsed().as_secs_f64()
    );
    assert!(broken >= runs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cleanup_deletes_the_rows_that_a_team_has_in_a_zone_that_it_has_left() {
    let _calm = calm().await;
    let filled = Filled::new().await;
    let world = &filled.rig.world;
    let team = world.team(9, "Asia/Kathmandu").await;
    let at = "2026-05-01T12:00:00Z";
    world.insert(&[page_view(team, 1, "e", at, "/east")]).await;
    for is_off in [true, false] {
        let ledger = &world.prefill.ledger;
        let mut change = TeamChange {
            name: None,
            organization: None,
            zone: Some(Zone::get("Asia/Kathmandu").expect("a zone")),
            backfill_days: None,
            warehouse: None,
        };
        ledger.set_team(team, &change).await.expect("moved");
        world.enable(team).await;
        assert_eq!(
            world.fill(team, "2026-05-01", "2026-05-02", true).await,
            "completed"
        );
        assert!(world.tables().await.contains("/east"));
        if is_off {
            ledger.set_enabled(team, false).await.expect("off");
        }
        change.zone = Some(Zone::get("UTC").expect("a zone"));
        ledger.set_team(team, &change).await.expect("moved");
        world.prefill.reconcile(team).await.expect("planned");
        let target = world.target(team, "2026-05-01", "2026-05-02").await;
        let stop = CancellationToken::new();
        world
            .prefill
            .cleanup(&target, &stop)
            .await
            .expect("cleaned");
        assert_eq!(
            world.tables().await,
            filled.right,
            "off before it moved: {is_off}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f38_what_a_dead_worker_had_written_is_gone_once_nobody_fills_its_day_and_comes_back_with_it()
 {
    let _calm = calm().await;
    let filled = Filled::new().await;
    let (rig, world) = (&filled.rig, &filled.rig.world);
    let (ledger, team) = (&world.prefill.ledger, TeamId(7));
    let of_team = "select (select count() from web_pre_aggregated_stats where team_id = 7) + (select count() from web_pre_aggregated_bounces where team_id = 7)";
    let mut written = BTreeMap::new();
    for nth in 1.. {
        for table in [prefill::rollup::STATS, prefill::rollup::BOUNCES] {
            let delete =
                format!("alter table {table} delete where team_id = 7 settings mutations_sync = 2");
            world.query(&delete).await;
        }
        for table in ["run_slices", "runs", "slices"] {
            let delete = format!("delete from {table} where team_id = 7");
            rig.clock.sql(&delete).await;
        }
        let others = world.tables().await;
        let prefill = rig.open().await;
        let target = world.target(team, "2026-05-01", "2026-05-02").await;
        let (zone, reason) = (target.zone.clone(), Reason::Request);
        let run = ledger.request(team, target.days, &zone, DEFAULT_WAREHOUSE, reason, None);
        let run = run.await.expect("asked").expect("a run");
        rig.warehouse
            .arm([(nth, warehouse::Fault::WorkerDiesAfter)]);
        let stop = rig.process.begin();
        let ended = rig
            .until_death(Duration::from_secs(60), prefill.finish(run, &stop))
            .await;
        rig.calm().await;
        if ended.is_some() {
            break;
        }
        let how = ["off", "cancelled", "paused", "moved"][nth % 4];
        let is_half = world.query(of_team).await != "0";
        *written.entry(how).or_insert(0) += usize::from(is_half);
        let paused = Extent::Team(team);
        match how {
            "cancelled" => drop(ledger.cancel(Extent::Task(run)).await.expect("cancelled")),
            "paused" => ledger.pause(paused).await.expect("paused"),
            _ => {
                ledger.set_enabled(team, false).await.expect("off");
                world.prefill.reconcile(team).await.expect("held");
            }
        }
        rig.clock.end_leases().await;
        let worker = world.worker();
        let steps = async || {
            let stop = CancellationToken::new();
            while worker.step(&stop).await.expect("a step") != Step::Idle {}
        };
        if how == "moved" {
            // Before anybody looks.
            world.move_to(team, "Asia/Kolkata").await;
            world.enable(team).await;
            rig.settle().await.expect("settled");
            let days =
                "select uniqExact(period_bucket) from web_pre_aggregated_bounces where team_id = 7";
            let at = world.query(days).await;
            assert!(["0", "1"].contains(&at.as_str()), "call {nth}: {at}");
            world.move_to(team, "America/St_Johns").await;
        } else {
            steps().await;
            assert_eq!(world.tables().await, others, "call {nth}, {how}");
            match how {
                "cancelled" => ledger.resume(Extent::Task(run)).await.expect("resumed"),
                "paused" => ledger.resume(paused).await.expect("resumed"),
                _ => world.enable(team).await,
            }
        }
        rig.settle().await.expect("settled");
        assert_eq!(world.tables().await, filled.right, "call {nth}, {how}");
    }
    assert!(written.values().all(|half| *half > 0), "{written:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cleanup_that_dies_half_way_leaves_no_day_that_seems_to_be_filled_and_is_told() {
    let _calm = calm().await;
    let filled = Filled::new().await;
    let (rig, world) = (&filled.rig, &filled.rig.world);
    let ledger = &world.prefill.ledger;
    let day: Day = "2026-05-01".parse().expect("a day");
    let (mut half, mut deaths) = (0, 0);
    for nth in 1.. {
        let prefill = rig.open().await;
        let target = world.target(TeamId(7), "2026-05-01", "2026-05-02").await;
        rig.warehouse
            .arm([(nth, warehouse::Fault::WorkerDiesAfter)]);
        let stop = rig.process.begin();
        let ended = rig
            .until_death(Duration::from_secs(60), prefill.cleanup(&target, &stop))
            .await;
        rig.calm().await;
        let slice = ledger.slices(TeamId(7)).await.expect("slices")[&day].clone();
        if let Some(cleaned) = ended {
            cleaned.expect("cleaned");
            assert_eq!(slice.state, State::Cleaned);
            assert_ne!(slice.reason, Reason::Cleanup.text(), "it has ended");
            break;
        }
        deaths += 1;
        let health = async || world.prefill.health(jiff::Timestamp::now()).await;
        let told = async || health().await.expect("health").cleanups_not_ended;
        if slice.state == State::Filled {
            assert_eq!(world.tables().await, filled.right, "call {nth}");
        } else {
            half += 1;
            let of_slice = (slice.state, slice.reason.as_str());
            assert_eq!(of_slice, (State::Stale, Reason::Cleanup.text()));
            // Until its lease is over nobody knows but that it goes on.
            let explain = async || world.prefill.explain(TeamId(7), day).await;
            let explained = explain().await.expect("explained");
            assert_eq!(explained.why, "its rows are being deleted");
            assert!(told().await.is_empty());
            rig.clock.end_holds().await;
            let explained = explain().await.expect("explained");
            assert!(explained.why.contains("did not end"), "{}", explained.why);
            let again = "prefill cleanup --team-id 7 --date-start 2026-05-01 --date-end 2026-05-02";
            assert_eq!(explained.command.as_deref(), Some(again));
            let told = told().await;
            let [told] = told.as_slice() else {
                panic!("one cleanup did not end: {told:?}");
            };
            assert_eq!(
                (told.team_id, told.date_start, told.days),
                (TeamId(7), day, 1)
            );
            assert!(
                told.recommendation.contains(again),
                "{}",
                told.recommendation
            );
        }
        // Who turns the setting on again has all of the day.
        world.enable(TeamId(7)).await;
        rig.settle().await.expect("settled");
        assert_eq!(world.tables().await, filled.right, "call {nth}");
        assert!(told().await.is_empty());
        let slices = ledger.slices(TeamId(7)).await.expect("slices");
        assert_ne!(slices[&day].reason, Reason::Cleanup.text(), "call {nth}");
    }
    assert!(half >= 2 && deaths > half, "{half} of {deaths}");
}
