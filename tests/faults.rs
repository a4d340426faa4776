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

use sequence::Sequence;

/// From this many on, each call of each fault is broken, and not a sample of them.
const LONG: usize = 1_000;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name}={text}: it is a number")))
}

/// How many broken runs are asked for.
fn asked() -> usize {
    usize::try_from(number("PREFILL_FAULTS").unwrap_or(300)).expect("a number of runs")
}

fn seed() -> u64 {
    number("PREFILL_FAULTS_SEED").unwrap_or_else(|| {
        let now = jiff::Timestamp::now().as_microsecond();
        u64::try_from(now).unwrap_or(1) % 1_000_000
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn f5_f6_f7_f8_f9_f13_f18_f19_f21_f37_f38_random_operations_under_random_faults() {
    let (seed, runs) = (seed(), asked().div_ceil(2));
    println!("PREFILL_FAULTS_SEED={seed}");
    let begun = std::time::Instant::now();
    let mut sequence = Sequence::new().await;
    sequence.go(seed, runs).await;
    let tally = &sequence.tally;
    println!(
        "random, seed {seed}: {} runs, {} of them broken, {} restarts, {} rounds to settle, {} buckets compared in {:.0} s; \
         {} answers of readers while broken, all old or new ({} old where they differ); nothing lost or doubled",
        tally.runs,
        tally.broken,
        tally.restarts,
        tally.rounds,
        tally.checked,
        begun.elapsed().as_secs_f64(),
        tally.answers.load(std::sync::atomic::Ordering::Relaxed),
        tally.of_old.load(std::sync::atomic::Ordering::Relaxed),
    );
    println!("  {:?}\n  {:?}", sequence.injected(), tally.operations);
    assert!(tally.broken >= runs);
}
