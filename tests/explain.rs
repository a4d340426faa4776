//! Why a day is as it is: each state told in words and facts, with the command where a person has to act.

mod support;

use std::time::Duration;

use prefill::calendar::{Day, TeamId};
use prefill::config::DEFAULT_WAREHOUSE;
use prefill::error::Class;
use prefill::ledger::{Claim, Extent, Outcome, Reason, State};
use prefill::report::{Explanation, Situation};
use prefill::worker::Step;
use support::{World, days, page_view};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const DAY: &str = "2026-05-01";
const ASK_FOR_IT: &str =
    "prefill backfill --team-id 7 --date-start 2026-05-01 --date-end 2026-05-02";
const LEASE: Duration = Duration::from_secs(30);

async fn explain(world: &World, day: &str) -> Explanation {
    let day: Day = day.parse().expect("a date");
    let told = world.prefill.explain(TeamId(7), day).await;
    told.expect("explained")
}

/// Team 7 with the setting on and two sessions on the 1st of May, which is asked for.
async fn asked_for() -> (World, TeamId, Uuid) {
    let world = World::new().await;
    let team = world.team(7, "Asia/Kolkata").await;
    world
        .insert(&[
            page_view(team, 1, "a", "2026-05-01T10:00:00Z", "/"),
            page_view(team, 2, "b", "2026-05-01T11:00:00Z", "/"),
            page_view(team, 2, "b", "2026-05-01T11:00:05Z", "/b"),
        ])
        .await;
    world.enable(team).await;
    let run = ask(&world, team, false).await;
    (world, team, run)
}

async fn ask(world: &World, team: TeamId, force: bool) -> Uuid {
    let target = world.target(team, DAY, "2026-05-02").await;
    world.prefill.backfill(&target, force).await.expect("asked")
}

async fn claim(world: &World, run: Uuid) -> Claim {
    let claimed = world
        .prefill
        .ledger
        .claim("test:1", LEASE, 50, DEFAULT_WAREHOUSE, Some(run));
    claimed.await.expect("asked").expect("a claim")
}

async fn give_back(world: &World, claim: &Claim, wait: Duration, failed: bool) {
    let outcome = Outcome {
        wait,
        error: Some("failed to fill team 7: no disk (hint: free some space)".to_owned()),
        class: Some(Class::Operator),
        failed,
        counts: true,
        waiting_for_events: false,
    };
    let given = world
        .prefill
        .ledger
        .give_back(claim, &claim.slices, &outcome);
    given.await.expect("given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_is_not_in_the_ledger_is_told_from_what_the_team_wants() {
    let world = World::new().await;
    let team = world.team(7, "Pacific/Apia").await;
    let zone = prefill::calendar::Zone::get("Pacific/Apia").expect("a zone");
    let today = Day::of(jiff::Timestamp::now(), &zone);

    let off = explain(&world, DAY).await;
    assert_eq!(off.situation, Situation::NotWanted);
    assert_eq!(off.why, "the setting is off, and nobody asked for the day");
    assert_eq!(
        off.command.as_deref(),
        Some(format!("prefill enable --team-id 7 && {ASK_FOR_IT}").as_str())
    );
    assert_eq!(
        off.from.map(|from| from.to_string()).as_deref(),
        Some("2026-04-30T11:00:00Z"),
        "13 hours before UTC"
    );

    let skipped = explain(&world, "2011-12-30").await;
    assert_eq!(skipped.situation, Situation::NotThere);
    assert_eq!(skipped.from, None);

    let ledger = &world.prefill.ledger;
    ledger.set_enabled(team, true).await.expect("enabled");
    let unplanned = explain(&world, &today.to_string()).await;
    assert_eq!(unplanned.situation, Situation::Unplanned);
    assert_eq!(unplanned.command, None, "nobody has to do anything");

    let before = explain(&world, DAY).await;
    assert_eq!(before.situation, Situation::NotWanted);
    assert_eq!(
        before.why,
        format!(
            "the team wants the days from {} on, and nobody asked for this one",
            today.plus(-7)
        )
    );
    assert_eq!(before.command.as_deref(), Some(ASK_FOR_IT));

    let future = explain(&world, &today.plus(1).to_string()).await;
    assert_eq!(future.why, "the day has not begun");
    assert_eq!(future.command, None);

    support::ledger::plain_sql(
        world.dir.path(),
        "update teams set timezone = 'Mars/Base' where id = 7",
    );
    let misconfigured = explain(&world, DAY).await;
    assert_eq!(misconfigured.situation, Situation::Misconfigured);
    assert!(
        misconfigured.next.contains("prefill team set --team-id 7"),
        "{}",
        misconfigured.next
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_told_from_the_queue_to_the_tables() {
    let (world, team, run) = asked_for().await;

    let queued = explain(&world, DAY).await;
    assert_eq!(queued.situation, Situation::Queued);
    assert_eq!(queued.why, "it is wanted, and not filled yet: request");
    assert_eq!(queued.warehouse.as_deref(), Some(DEFAULT_WAREHOUSE));
    assert_eq!(
        (queued.from, queued.until),
        (
            Some(support::at("2026-04-30T18:30:00Z")),
            Some(support::at("2026-05-01T18:30:00Z"))
        )
    );
    assert_eq!(queued.tasks.len(), 1);
    assert_eq!(queued.tasks[0].task_id, run);
    assert!(!queued.tasks[0].is_done);

    let first = claim(&world, run).await;
    let running = explain(&world, DAY).await;
    assert_eq!(running.situation, Situation::Running);
    let held = running.running.expect("somebody holds it");
    assert_eq!(held.claim, first.id.to_string());
    assert_eq!((held.owner.as_str(), held.together), ("test:1", 1));
    assert!(!held.lease_is_over && !held.is_to_stop);
    let statements = held.statements.expect("the warehouse was asked");
    assert_eq!(statements.statements, 0);

    give_back(&world, &first, Duration::from_secs(600), false).await;
    let retrying = explain(&world, DAY).await;
    assert_eq!(retrying.situation, Situation::Retrying);
    assert_eq!(retrying.why, "try 1 of 3 failed");
    assert!(retrying.next_try > Some(jiff::Timestamp::now()));
    assert_eq!(
        retrying.error.as_deref(),
        Some("failed to fill team 7: no disk (hint: free some space)")
    );
    assert_eq!(retrying.error_class.as_deref(), Some("operator"));

    // Asking again takes up what waits for its next try, and what failed.
    let run = ask(&world, team, false).await;
    give_back(&world, &claim(&world, run).await, Duration::ZERO, true).await;
    let failed = explain(&world, DAY).await;
    assert_eq!(failed.situation, Situation::Failed);
    assert_eq!(failed.why, "no retry mends the error");
    assert_eq!(failed.command.as_deref(), Some(ASK_FOR_IT));
    let words: Vec<&str> = ASK_FOR_IT.split(' ').skip(1).collect();
    assert!(world.cli(&words).status.success(), "what it says mends it");

    let filled = explain(&world, DAY).await;
    assert_eq!(filled.situation, Situation::Filled);
    assert_eq!(filled.why, "it is filled and verified");
    assert_eq!(filled.error, None);
    let receipt = filled.receipt.expect("a receipt").receipt;
    assert_eq!(
        (receipt.sessions, receipt.page_views, receipt.events),
        (2, 3, 3)
    );
    let holds = filled.in_tables.expect("the tables were asked");
    assert_eq!(
        (holds.sessions, holds.stats_page_views, holds.as_verified),
        (2, 3, true)
    );
    assert!(filled.tasks.iter().all(|task| task.is_done));

    let ledger = &world.prefill.ledger;
    let day: Day = DAY.parse().expect("a date");
    assert!(
        ledger
            .touch(team, day, Reason::LateEvents, None)
            .await
            .expect("touched")
    );
    let stale = explain(&world, DAY).await;
    assert_eq!(stale.situation, Situation::Stale);
    assert_eq!(
        stale.why,
        "it was filled, and is to be filled again: late events; readers see the rows of the last fill meanwhile"
    );
    assert_eq!(stale.command, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_day_is_told_with_the_command_that_ends_it() {
    let (world, team, run) = asked_for().await;
    let ledger = &world.prefill.ledger;

    ledger.pause(Extent::Everything).await.expect("paused");
    ledger.pause(Extent::Task(run)).await.expect("paused");
    let paused = explain(&world, DAY).await;
    assert_eq!(paused.situation, Situation::Paused);
    assert_eq!(
        paused.why,
        format!("everything is paused, and task {run} is paused")
    );
    // That of everything ends the pauses of tasks, too, and then there is none to end.
    assert_eq!(paused.command.as_deref(), Some("prefill resume --all"));
    ledger.resume(Extent::Everything).await.expect("resumed");
    assert_eq!(explain(&world, DAY).await.situation, Situation::Queued);

    ledger.cancel(Extent::Task(run)).await.expect("cancelled");
    let cancelled = explain(&world, DAY).await;
    assert_eq!(cancelled.situation, Situation::Cancelled);
    assert_eq!(cancelled.command, Some(format!("prefill resume {run}")));
    ledger.resume(Extent::Task(run)).await.expect("resumed");

    let claimed = claim(&world, run).await;
    ledger.pause(Extent::Team(team)).await.expect("paused");
    let told = explain(&world, DAY).await;
    assert_eq!(told.situation, Situation::Running);
    assert!(told.running.expect("held").is_to_stop);
    ledger
        .give_back(
            &claimed,
            &claimed.slices,
            &Outcome {
                wait: Duration::ZERO,
                error: None,
                class: None,
                failed: false,
                counts: false,
                waiting_for_events: false,
            },
        )
        .await
        .expect("given back");
    ledger.resume(Extent::Team(team)).await.expect("resumed");

    assert!(world.cli(&["disable", "--team-id", "7"]).status.success());
    let held = explain(&world, DAY).await;
    assert_eq!(held.situation, Situation::Held);
    assert_eq!(held.why, "the setting is off");
    assert_eq!(held.command.as_deref(), Some("prefill enable --team-id 7"));
    assert!(world.cli(&["enable", "--team-id", "7"]).status.success());

    assert_eq!(
        world.fill(team, DAY, "2026-05-02", false).await,
        "completed"
    );
    ledger
        .clean(team, days(DAY, "2026-05-02"))
        .await
        .expect("cleaned");
    let cleaned = explain(&world, DAY).await;
    assert_eq!(
        (cleaned.situation, cleaned.state),
        (Situation::Cleaned, Some(State::Cleaned))
    );
    assert_eq!(cleaned.command.as_deref(), Some(ASK_FOR_IT));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_without_events_waits_for_them_and_a_dead_worker_is_told() {
    let world = World::new().await;
    let team = world.team(7, "UTC").await;
    world.enable(team).await;
    let stop = CancellationToken::new();
    while world.worker().step(&stop).await.expect("stepped") != Step::Idle {}
    let today = Day::of(jiff::Timestamp::now(), &prefill::calendar::Zone::utc());
    let waiting = explain(&world, &today.to_string()).await;
    assert_eq!(waiting.situation, Situation::Waiting);
    assert_eq!(waiting.error, None, "to wait for events is no error");
    assert_eq!(waiting.command, None, "nobody has to do anything");

    let run = ask(&world, team, false).await;
    let ledger = &world.prefill.ledger;
    let short = Duration::from_millis(1);
    let claimed = ledger
        .claim("test:1", short, 50, DEFAULT_WAREHOUSE, Some(run))
        .await;
    claimed.expect("asked").expect("a claim");
    tokio::time::sleep(Duration::from_millis(20)).await;
    let dead = explain(&world, DAY).await;
    assert_eq!(dead.situation, Situation::Running);
    assert!(dead.why.contains("gives no sign of life"), "{}", dead.why);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_tells_that_somebody_changed_the_tables_and_what_mends_it() {
    let (world, team, _) = asked_for().await;
    assert_eq!(
        world.fill(team, DAY, "2026-05-02", false).await,
        "completed"
    );
    let arguments = ["explain", "--team-id", "7", "--day", DAY];
    let told = |more: &[&str]| {
        let output = world.cli(&[&arguments[..], more].concat());
        let out = String::from_utf8(output.stdout).expect("text");
        let err = String::from_utf8(output.stderr).expect("text");
        (output.status.code(), out, err)
    };
    let (code, out, err) = told(&["--verify"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(
        out.starts_with("team 7 (Team 7), 2026-05-01: filled\n"),
        "{out}"
    );
    assert!(out.contains("  raw events    equal\n"), "{out}");
    assert!(
        out.contains("  tables        hold what was verified\n"),
        "{out}"
    );

    // The tables hold what the receipt says, and the raw events are others now.
    world
        .insert(&[page_view(team, 3, "c", "2026-05-01T12:00:00Z", "/")])
        .await;
    let (code, out, err) = told(&["--verify"]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("differ: "), "{out}");
    let mends = format!("hint: run {ASK_FOR_IT} --force\n");
    assert_eq!(err, mends);
    assert_eq!(told(&[]).0, Some(0), "that was not looked at");

    world
        .query("alter table web_pre_aggregated_bounces delete where team_id = 7 settings mutations_sync = 2")
        .await;
    let (code, out, err) = told(&["--json"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(json["situation"], "filled");
    assert_eq!(json["in_tables"]["as_verified"], false);
    assert_eq!(json["in_tables"]["bounces_page_views"], 0);
    assert_eq!(json["receipt"]["page_views"], 3);
    assert_eq!(json["command"], format!("{ASK_FOR_IT} --force"));

    // What is in the way of the command comes before it, and then it mends the day.
    let ledger = &world.prefill.ledger;
    ledger.pause(Extent::Team(team)).await.expect("paused");
    ledger.pause(Extent::Everything).await.expect("paused");
    ledger.set_enabled(team, false).await.expect("off");
    let (_, out, err) = told(&[]);
    assert!(
        out.contains("  next          nothing before that ends"),
        "{out}"
    );
    // That of everything ends that of the team, too.
    let ends = "prefill enable --team-id 7 && prefill resume --all";
    assert_eq!(err, format!("hint: run {ends} && {ASK_FOR_IT} --force\n"));
    for command in err
        .trim_start_matches("hint: run prefill ")
        .trim()
        .split(" && prefill ")
    {
        let words: Vec<&str> = command.split(' ').collect();
        assert!(world.cli(&words).status.success(), "{command}");
    }
    assert_eq!(told(&["--verify"]).0, Some(0));

    let unknown = world.cli(&["explain", "--team-id", "8", "--day", DAY]);
    assert_eq!(unknown.status.code(), Some(2));
}
