//! The tables against an independent reference, in every dimension: what prefill fills from random
//! events is what DESIGN.md 4.4 says, in odd zones, on days when clocks change, in any order of
//! filling, and after everything that changes a day later.
//!
//! The events of a test follow from a seed; `PREFILL_SEED=n` tries another one.

mod reference;
mod support;

use prefill::config::Config;
use reference::generator::Generator;
use reference::{Scope, assert_tables};
use support::World;

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
    World::with(Config { backfill_days: 1, ..Config::default() }).await
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
        scopes.push(Scope { team, zone, from, until });
    }
    for events in events.chunks(events.len() / 2 + 1) {
        world.insert(events).await;
    }
    for scope in &scopes {
        let team = world.team(scope.team, scope.zone).await;
        world.enable(team).await;
        let what = format!("{scope:?}, seed {seed}");
        assert_eq!(world.fill(team, scope.from, scope.until, false).await, "completed", "{what}");
        assert_eq!(world.differences(team, scope.from, scope.until).await, Vec::<String>::new(), "{what}");
    }
    assert_tables(&world, &events, &scopes, &format!("seed {seed}")).await;
}
