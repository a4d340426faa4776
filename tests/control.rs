//! What people stop and set going again, and what is done less at a time because all was too much.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use prefill::calendar::TeamId;
use prefill::config::{Config, DEFAULT_WAREHOUSE};
use prefill::error::Class;
use prefill::ledger::{Claim, Extent, Outcome, State, Width};
use prefill::worker::Step;
use support::{World, page_view, until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const FROM: &str = "2026-05-01";
const UNTIL: &str = "2026-05-05";

/// Team 7 with the setting on, a page view on each of four days, and nothing of them filled.
async fn four_days(config: Config) -> (World, TeamId) {
    let world = World::with(config).await;
    let team = world.team(7, "UTC").await;
    let views: Vec<_> = (1..=4)
        .map(|day| {
            page_view(
                team,
                1,
                &format!("s{day}"),
                &format!("2026-05-0{day}T10:00:00Z"),
                "/",
            )
        })
        .collect();
    world.insert(&views).await;
    world.enable(team).await;
    work(&world).await;
    (world, team)
}

/// Days are claimed one by one.
fn one_by_one() -> Config {
    let mut config = Config::default();
    config.service.batch = 1;
    config
}

/// Works until nothing can be claimed.
async fn work(world: &World) {
    let (worker, stop) = (world.worker(), CancellationToken::new());
    while worker.step(&stop).await.expect("stepped") != Step::Idle {}
}

async fn ask(world: &World, team: TeamId, from: &str, until: &str, force: bool) -> Uuid {
    let target = world.target(team, from, until).await;
    world.prefill.backfill(&target, force).await.expect("asked")
}

async fn status(world: &World, run: Uuid) -> &'static str {
    let progress = world.prefill.ledger.progress(run).await;
    progress.expect("progress").status()
}

/// How many days wait to be claimed, and how many of these for a pause to end.
async fn queued(world: &World) -> (i64, i64) {
    let queue = world.prefill.ledger.queue().await.expect("read");
    (queue.slices, queue.paused)
}

/// The states of the four days, with the fences of their fills.
async fn days(world: &World, team: TeamId) -> BTreeMap<String, State> {
    let slices = world.prefill.ledger.slices(team).await.expect("slices");
    slices
        .into_values()
        .map(|slice| (slice.day.to_string(), slice.state))
        .filter(|(day, _)| day.as_str() >= FROM && day.as_str() < UNTIL)
        .collect()
}

async fn views(world: &World) -> String {
    world
        .query(&format!("select toDate(period_bucket) as day, sumMerge(pageviews_count_state) from web_pre_aggregated_stats where period_bucket >= '{FROM} 00:00:00' and period_bucket < '{UNTIL} 00:00:00' group by day order by day"))
        .await
        .replace('\n', ", ")
        .replace('\t', " ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_of_a_team_of_everything_or_of_a_task_keeps_its_days_and_nobody_elses() {
    let (world, team) = four_days(Config::default()).await;
    let other = world.team(8, "UTC").await;
    world
        .insert(&[page_view(other, 2, "o", "2026-05-03T10:00:00Z", "/")])
        .await;
    world.enable(other).await;
    let ledger = &world.prefill.ledger;

    ledger.pause(Extent::Team(team)).await.expect("paused");
    // Planned after the pause, and kept all the same.
    let mine = ask(&world, team, FROM, "2026-05-03", false).await;
    let others = ask(&world, other, "2026-05-03", "2026-05-04", false).await;
    let (mut open, mut kept) = (0, 0);
    for of in [team, other] {
        let slices = ledger.slices(of).await.expect("slices").into_values();
        let slices = slices.filter(|slice| matches!(slice.state, State::Wanted | State::Stale));
        let slices = slices.count() as i64;
        open += slices;
        kept += if of == team { slices } else { 0 };
    }
    assert!(2 <= kept && kept < open, "{kept} of {open}");
    assert_eq!(queued(&world).await, (open, kept));
    work(&world).await;
    assert_eq!(status(&world, mine).await, "paused");
    assert_eq!(status(&world, others).await, "completed");
    assert_eq!(views(&world).await, "2026-05-03 1");
    let next = ledger.next_open(DEFAULT_WAREHOUSE).await.expect("read");
    assert!(
        next.is_none_or(|wait| wait > Duration::from_secs(1)),
        "nobody looks at it again and again: {next:?}"
    );
    ledger.resume(Extent::Team(team)).await.expect("resumed");
    work(&world).await;
    assert_eq!(status(&world, mine).await, "completed");

    ledger.pause(Extent::Everything).await.expect("paused");
    let late = ask(&world, team, "2026-05-03", UNTIL, false).await;
    work(&world).await;
    assert_eq!(status(&world, late).await, "paused");
    let (slices, paused) = queued(&world).await;
    assert!(slices == paused && paused >= 2, "{paused} of {slices}");
    let refused = ledger
        .resume(Extent::Task(late))
        .await
        .expect_err("not its own");
    assert_eq!(refused.class(), Class::Misuse);
    assert_eq!(
        refused.next_step(),
        Some("everything is paused: run prefill resume --all")
    );
    ledger.resume(Extent::Everything).await.expect("resumed");
    ledger.pause(Extent::Task(late)).await.expect("paused");
    let first = ask(&world, team, FROM, "2026-05-02", true).await;
    work(&world).await;
    assert_eq!(status(&world, late).await, "paused");
    assert_eq!(
        status(&world, first).await,
        "completed",
        "a day of another task"
    );
    let health = world.prefill.health(jiff::Timestamp::now()).await;
    let health = health.expect("looked");
    let gap = &health.data_gaps_detected[0];
    assert_eq!((gap.team_id, gap.mending.paused), (team, true));
    assert_eq!(
        gap.mending.recommendation,
        format!("team 7 has gaps, and task {late} is paused: run prefill resume {late}")
    );
    let (_, paused) = queued(&world).await;
    assert_eq!(paused, 2, "the days of that task");
    let paused = ledger.paused_runs(1).await.expect("read");
    assert_eq!((paused.0[0].id, paused.1), (late, 1));
    ledger.resume(Extent::Task(late)).await.expect("resumed");
    work(&world).await;
    assert_eq!(status(&world, late).await, "completed");
    assert_eq!(
        views(&world).await,
        "2026-05-01 1, 2026-05-02 1, 2026-05-03 2, 2026-05-04 1"
    );
    let over = ledger
        .pause(Extent::Task(late))
        .await
        .expect_err("it is over");
    assert_eq!(over.class(), Class::Misuse);
}

#[tokio::test(flavor = "multi_thread")]
async fn f34_what_is_cancelled_is_wanted_by_nobody_until_it_is_resumed_and_strands_nothing() {
    let (world, team) = four_days(one_by_one()).await;
    let ledger = &world.prefill.ledger;
    let run = ask(&world, team, FROM, UNTIL, false).await;
    let worker = world.worker();
    let stop = CancellationToken::new();
    assert_eq!(worker.step(&stop).await.expect("stepped"), Step::Filled);
    let gaps = async || {
        let health = world.prefill.health(jiff::Timestamp::now()).await;
        let health = health.expect("health");
        assert_eq!(health.teams_missing_data.len(), 0);
        let gaps = health.data_gaps_detected;
        gaps.into_iter().map(|gap| gap.days.len()).sum::<usize>()
    };
    assert_eq!(gaps().await, 3);
    assert_eq!(
        ledger.cancel(Extent::Task(run)).await.expect("cancelled"),
        [run]
    );
    assert_eq!(gaps().await, 0, "what nobody wants is no trouble");
    let state = async || {
        let (prefill, now) = (&world.prefill, jiff::Timestamp::now());
        let team = prefill::report::team(&prefill.ledger, &prefill.config, now, team).await;
        team.expect("the team").state
    };
    assert_eq!(state().await, "cancelled");
    // Neither a look at the team nor its timer brings the days back.
    world.prefill.reconcile(team).await.expect("reconciled");
    work(&world).await;
    assert_eq!(status(&world, run).await, "cancelled");
    assert_eq!(
        views(&world).await,
        "2026-05-04 1",
        "the newest was filled before"
    );
    assert!(
        ledger.cancel(Extent::Task(run)).await.is_err(),
        "nothing is left to cancel"
    );

    // What was filled is kept fresh all the same.
    world
        .insert(&[page_view(team, 1, "late", "2026-05-04T12:00:00Z", "/")])
        .await;
    world.look_for_late_events().await;
    work(&world).await;
    assert_eq!(views(&world).await, "2026-05-04 2");

    // Asked for by another task, a day of it is filled; the others with the task itself.
    let one = ask(&world, team, "2026-05-02", "2026-05-03", false).await;
    work(&world).await;
    assert_eq!(status(&world, one).await, "completed");
    assert_eq!(views(&world).await, "2026-05-02 1, 2026-05-04 2");
    assert_eq!(status(&world, run).await, "cancelled");
    ledger.resume(Extent::Task(run)).await.expect("resumed");
    assert_eq!(gaps().await, 2, "it is wanted again");
    assert_eq!(state().await, "queued");
    work(&world).await;
    assert_eq!(status(&world, run).await, "completed");
    assert_eq!(
        views(&world).await,
        "2026-05-01 1, 2026-05-02 1, 2026-05-03 1, 2026-05-04 2"
    );
    assert_eq!(
        world.differences(team, FROM, UNTIL).await,
        Vec::<String>::new()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn f34_a_forced_refill_that_is_cancelled_leaves_filled_what_was_right_and_stale_what_was_not()
{
    let (world, team) = four_days(Config::default()).await;
    let ledger = &world.prefill.ledger;
    let run = ask(&world, team, FROM, UNTIL, false).await;
    work(&world).await;
    assert_eq!(status(&world, run).await, "completed");
    // One is late before it is asked for again, one after that.
    let late = |day: u32| {
        let session = format!("late{day}");
        page_view(team, 1, &session, &format!("2026-05-0{day}T12:00:00Z"), "/")
    };
    world.insert(&[late(1)]).await;
    assert_eq!(world.look_for_late_events().await, 1);
    let forced = ask(&world, team, FROM, UNTIL, true).await;
    world.insert(&[late(2)]).await;
    world.look_for_late_events().await;
    assert_eq!(
        ledger.cancel(Extent::Team(team)).await.expect("cancelled"),
        [forced]
    );
    let states: Vec<State> = days(&world, team).await.into_values().collect();
    assert_eq!(
        states,
        [State::Stale, State::Stale, State::Filled, State::Filled]
    );
    work(&world).await;
    assert_eq!(status(&world, forced).await, "cancelled");
    assert_eq!(
        views(&world).await,
        "2026-05-01 2, 2026-05-02 2, 2026-05-03 1, 2026-05-04 1"
    );
    let fences = async || {
        let slices = ledger.slices(team).await.expect("slices");
        slices
            .into_values()
            .map(|slice| (slice.day, slice.filled_at))
            .collect::<Vec<_>>()
    };
    let before = fences().await;
    ledger.resume(Extent::Task(forced)).await.expect("resumed");
    work(&world).await;
    assert_eq!(status(&world, forced).await, "completed");
    let again = fences()
        .await
        .iter()
        .zip(&before)
        .filter(|(now, then)| now != then)
        .count();
    assert_eq!(again, 2, "the two that the task had not refilled yet");
}

#[tokio::test(flavor = "multi_thread")]
async fn f34_a_fill_that_runs_stops_when_it_is_cancelled_or_paused_and_leaves_no_half() {
    let (world, team) = four_days(Config::default()).await;
    world
        .query(
            "insert into events (uuid, event, team_id, person_id, session_id, timestamp, pathname) \
             select generateUUIDv4(), '$pageview', 7, reinterpretAsUUID(sipHash128(number % 300000)), toString(number % 400000), \
             toDateTime64('2026-05-04 01:00:00', 6, 'UTC') + number % 400000 / 10 + intDiv(number, 400000) * 7, concat('/', toString(number % 5000)) \
             from numbers(1200000)",
        )
        .await;
    for pausing in [true, false] {
        let run = ask(&world, team, "2026-05-04", UNTIL, false).await;
        let (worker, stop) = (world.worker(), CancellationToken::new());
        let step = tokio::spawn(async move { worker.step(&stop).await });
        until("it runs", Duration::from_secs(30), || async {
            (days(&world, team).await.get("2026-05-04") == Some(&State::Running)).then_some(())
        })
        .await;
        let task = run.to_string();
        let told = world.cli(&[if pausing { "pause" } else { "cancel" }, &task]);
        assert!(
            told.status.success(),
            "{}",
            String::from_utf8_lossy(&told.stderr)
        );
        let step = tokio::time::timeout(Duration::from_secs(10), step).await;
        assert_eq!(
            step.expect("soon").expect("no panic").expect("stepped"),
            Step::Failed
        );
        assert_eq!(views(&world).await, "");
        let slices = world.prefill.ledger.slices(team).await.expect("slices");
        let stopped = slices
            .into_values()
            .find(|slice| slice.day.to_string() == "2026-05-04");
        assert_eq!(stopped.expect("it").error, None, "nothing went wrong");
        assert_eq!(
            status(&world, run).await,
            if pausing { "paused" } else { "cancelled" }
        );
        let slices = world.prefill.ledger.slices(team).await.expect("slices");
        assert!(
            slices.values().all(|slice| slice.attempts == 0),
            "no try was spent"
        );
        let resumed = world.cli(&["resume", &task]);
        assert!(resumed.status.success());
        if pausing {
            world
                .prefill
                .ledger
                .cancel(Extent::Task(run))
                .await
                .expect("cancelled");
        }
    }
    work(&world).await;
    assert_eq!(views(&world).await, "2026-05-04 1200001");
}

#[tokio::test(flavor = "multi_thread")]
async fn f34_who_shares_a_fill_with_a_team_that_is_paused_is_filled_next_and_has_no_error() {
    let (world, team) = four_days(Config::default()).await;
    let paused = world.team(8, "UTC").await;
    world.enable(paused).await;
    work(&world).await;
    // Together they are a portion.
    world
        .query(
            "insert into events (uuid, event, team_id, person_id, session_id, timestamp, pathname) \
             select generateUUIDv4(), '$pageview', if(number % 3 = 0, 8, 7), reinterpretAsUUID(sipHash128(number % 100000)), toString(number % 300000), \
             toDateTime64('2026-05-04 01:00:00', 6, 'UTC') + number % 300000 / 10 + intDiv(number, 300000) * 7, concat('/', toString(number)) \
             from numbers(900000)",
        )
        .await;
    let mut runs = Vec::new();
    for team in [team, paused] {
        runs.push(ask(&world, team, "2026-05-04", UNTIL, false).await);
    }
    let (worker, stop) = (world.worker(), CancellationToken::new());
    let step = tokio::spawn(async move { worker.step(&stop).await });
    until("both are filled", Duration::from_secs(30), || async {
        for team in [team, paused] {
            if days(&world, team).await.get("2026-05-04") != Some(&State::Running) {
                return None;
            }
        }
        Some(())
    })
    .await;
    let ledger = &world.prefill.ledger;
    ledger.pause(Extent::Team(paused)).await.expect("paused");
    let step = tokio::time::timeout(Duration::from_secs(10), step).await;
    assert_eq!(
        step.expect("soon").expect("no panic").expect("stepped"),
        Step::Failed
    );
    assert_eq!(views(&world).await, "", "no half");
    for team in [team, paused] {
        let mut slices = ledger.slices(team).await.expect("slices").into_values();
        let stopped = slices.find(|slice| slice.day.to_string() == "2026-05-04");
        assert_eq!(stopped.expect("it").error, None, "team {team}");
    }
    until("its wait is over", Duration::from_secs(30), || async {
        work(&world).await;
        (status(&world, runs[0]).await == "completed").then_some(())
    })
    .await;
    assert_eq!(views(&world).await, "2026-05-04 600001");
    assert_eq!(status(&world, runs[1]).await, "paused");
    ledger.resume(Extent::Team(paused)).await.expect("resumed");
    work(&world).await;
    assert_eq!(status(&world, runs[1]).await, "completed");
    assert_eq!(views(&world).await, "2026-05-04 900001");
}

/// Claims all that can be claimed at once.
async fn claims(world: &World) -> Vec<Claim> {
    let mut claims = Vec::new();
    let lease = Duration::from_secs(60);
    while let Some(claim) = world
        .prefill
        .ledger
        .claim(
            "test",
            lease,
            world.prefill.config.service.batch,
            DEFAULT_WAREHOUSE,
            None,
        )
        .await
        .expect("asked")
    {
        claims.push(claim);
    }
    claims
}

async fn give_back(world: &World, claim: &Claim, failed: bool) {
    let outcome = Outcome {
        wait: Duration::from_secs(3_600),
        error: Some("broken on purpose".to_owned()),
        class: None,
        failed,
        counts: true,
        waiting_for_events: false,
    };
    let ledger = &world.prefill.ledger;
    let given = ledger.give_back(claim, &claim.slices, &outcome).await;
    given.expect("given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn f35_f36_a_retry_does_what_failed_of_the_days_that_were_asked_for_and_nothing_else() {
    let (world, team) = four_days(one_by_one()).await;
    let ledger = &world.prefill.ledger;
    let run = ask(&world, team, FROM, UNTIL, false).await;
    let held = claims(&world).await;
    assert_eq!(held.len(), 4);
    // One fails for good, one waits for its next try, two are given up and filled.
    for (claim, failed) in held.iter().zip([Some(true), Some(false), None, None]) {
        match failed {
            Some(failed) => give_back(&world, claim, failed).await,
            None => {
                assert_eq!(
                    ledger
                        .expire(&claim.id.to_string(), true)
                        .await
                        .expect("expired"),
                    1
                );
            }
        }
    }
    work(&world).await;
    assert_eq!(
        status(&world, run).await,
        "queued",
        "one waits for its next try"
    );
    assert_eq!(views(&world).await, "2026-05-01 1, 2026-05-02 1");
    let before = ledger.run(run).await.expect("the run");
    let filled_at = async |day: &str| {
        let slices = ledger.slices(team).await.expect("slices");
        slices
            .into_values()
            .find(|slice| slice.day.to_string() == day)
            .map(|slice| slice.filled_at)
    };
    let first = filled_at("2026-05-01").await;

    let told = world.cli(&["retry", &run.to_string(), "--json"]);
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).expect("JSON");
    assert_eq!(told["days"], 2, "{told}");
    work(&world).await;
    assert_eq!(status(&world, run).await, "completed");
    let after = ledger.run(run).await.expect("the run");
    assert_eq!(
        (after.date_start, after.date_end),
        (before.date_start, before.date_end)
    );
    assert_eq!(
        filled_at("2026-05-01").await,
        first,
        "what succeeded is left alone"
    );
    for extent in [Extent::Task(run), Extent::Team(team), Extent::Everything] {
        assert_eq!(ledger.retry(extent).await.expect("asked"), 0, "{extent:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_say_what_they_did_and_refuse_what_is_not_there() {
    let (world, team) = four_days(Config::default()).await;
    let told = |arguments: &[&str]| {
        let output = world.cli(arguments);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let (code, out, err) = told(&["pause", "--team-id", "7"]);
    assert_eq!((code, out.as_str()), (Some(0), "paused: team 7\n"), "{err}");
    assert!(err.contains("prefill resume --team-id 7"), "{err}");
    let run = ask(&world, team, FROM, UNTIL, false).await;
    let (_, _, err) = told(&["status"]);
    assert!(err.contains("team 7 is paused"), "{err}");
    let (_, out, _) = told(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(status["paused_teams"], serde_json::json!([7]));
    assert_eq!(status["tasks"][0]["status"], "paused");
    let (code, out, _) = told(&["health", "--json"]);
    assert_eq!(code, Some(1), "its days are missing");
    assert!(
        out.contains("team 7 is paused: run prefill resume --team-id 7"),
        "{out}"
    );
    let mut queued = vec!["backfill", "--async", "--json", "--team-id", "7"];
    queued.extend(["--date-start", FROM, "--date-end", UNTIL]);
    let (_, out, err) = told(&queued);
    assert!(out.contains("\"status\": \"paused\""), "{out}");
    assert!(err.contains("hint: it is paused, or its team is"), "{err}");
    // A backfill that is asked for meanwhile does not wait for ever.
    let (code, out, err) = told(&[
        "backfill",
        "--team-id",
        "7",
        "--date-start",
        FROM,
        "--date-end",
        UNTIL,
    ]);
    assert_eq!(code, Some(1), "{out} {err}");
    assert!(out.starts_with("paused: team 7 (Team 7)"), "{out}");
    let (code, out, err) = told(&["cancel", "--team-id", "7"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(
        out.starts_with("cancelled: 3 tasks\n") && out.contains(&run.to_string()),
        "{out}"
    );
    let (code, _, err) = told(&["retry", &run.to_string()]);
    assert_eq!(code, Some(2));
    assert!(err.contains(&format!("prefill resume {run}")), "{err}");
    let (code, out, err) = told(&["resume", &run.to_string()]);
    assert_eq!(code, Some(0), "{err}");
    assert!(
        out.contains("resumed") && err.contains("but team 7 is paused"),
        "{out} {err}"
    );
    assert_eq!(told(&["resume", "--all"]).0, Some(0));
    work(&world).await;
    assert_eq!(views(&world).await.split(", ").count(), 4);
    for wrong in [
        &["pause"][..],
        &["pause", "nonsense"],
        &["pause", "--all", "--team-id", "7"],
        &["cancel", "6f1c1a2e-0000-4000-8000-000000000009"],
        &["cancel", "--team-id", "9"],
        &["resume", "--all"],
        &["retry", "--team-id", "-1"],
    ] {
        let (code, _, err) = told(wrong);
        assert_eq!(code, Some(2), "{wrong:?}: {err}");
    }
    assert_eq!(
        told(&["cancel", "--all"]).0,
        Some(0),
        "nothing to do is no error"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn f29_what_is_too_much_is_never_tried_again_at_the_same_width_and_the_width_is_remembered() {
    let mut config = Config::default();
    config.service.batch = 8;
    let world = World::with(config).await;
    let teams: Vec<TeamId> = {
        let mut teams = Vec::new();
        for id in 1..=8 {
            teams.push(world.team(id, "UTC").await);
        }
        teams
    };
    let ledger = &world.prefill.ledger;
    let wanted = async |day: u32| {
        for team in &teams {
            let target = world
                .target(
                    *team,
                    &format!("2026-05-0{day}"),
                    &format!("2026-05-0{}", day + 1),
                )
                .await;
            ledger
                .request(
                    *team,
                    target.days,
                    &target.zone,
                    DEFAULT_WAREHOUSE,
                    prefill::ledger::Reason::Request,
                    None,
                )
                .await
                .expect("asked");
        }
    };
    let sizes = async || {
        let mut claims = Vec::new();
        let claim = ledger
            .claim("test", Duration::from_secs(60), 8, DEFAULT_WAREHOUSE, None)
            .await;
        if let Some(claim) = claim.expect("asked") {
            claims.push((
                claim.slices.len(),
                claim.slices[0].pieces,
                claim.slices[0].is_wider,
            ));
            ledger
                .expire(&claim.id.to_string(), true)
                .await
                .expect("given back");
        }
        claims
    };
    wanted(1).await;
    assert_eq!(sizes().await, [(8, 1, false)]);
    let width = |together, pieces| Width { together, pieces };
    ledger
        .narrow(DEFAULT_WAREHOUSE, &teams, width(4, 1))
        .await
        .expect("remembered");
    assert_eq!(sizes().await, [(4, 1, false)]);
    // A team that is narrower than the others is not filled with them.
    ledger
        .narrow(DEFAULT_WAREHOUSE, &teams[..1], width(1, 2))
        .await
        .expect("remembered");
    assert_eq!(sizes().await, [(1, 2, false)]);
    // Wider by nobody's word but two weeks.
    ledger
        .narrow(DEFAULT_WAREHOUSE, &teams[..1], width(1, 1))
        .await
        .expect("remembered");
    assert_eq!(
        ledger
            .width(DEFAULT_WAREHOUSE, teams[0])
            .await
            .expect("read"),
        Some(width(1, 2))
    );
    support::ledger::plain_sql(
        world.dir.path(),
        "update widths set since = since - 13 * 86400000",
    );
    assert_eq!(sizes().await, [(1, 2, false)]);
    support::ledger::plain_sql(
        world.dir.path(),
        "update widths set since = since - 86400001",
    );
    assert_eq!(sizes().await, [(1, 1, true)]);
    ledger
        .widen(DEFAULT_WAREHOUSE, teams[0], 8)
        .await
        .expect("remembered");
    assert_eq!(
        ledger
            .width(DEFAULT_WAREHOUSE, teams[0])
            .await
            .expect("read"),
        Some(width(1, 1))
    );
    assert_eq!(sizes().await, [(1, 1, false)], "for another two weeks");
    ledger
        .widen(DEFAULT_WAREHOUSE, teams[1], 8)
        .await
        .expect("remembered");
    assert_eq!(
        ledger
            .width(DEFAULT_WAREHOUSE, teams[1])
            .await
            .expect("read"),
        None,
        "all is all"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn f29_a_team_that_is_too_much_does_not_take_those_with_it_that_share_its_claim() {
    let mut config = Config::default();
    let warehouse = config.warehouses.get_mut(DEFAULT_WAREHOUSE).expect("one");
    warehouse
        .settings
        .insert("max_rows_to_group_by".to_owned(), 10_000.into());
    let world = World::with(config).await;
    world
        .query(
            "insert into events (uuid, event, team_id, session_id, timestamp) \
             select generateUUIDv4(), '$pageview', if(number < 10, 8 + number % 2, 7), toString(number % 50000), \
             toDateTime64('2026-05-01 12:00:00', 6, 'UTC') from numbers(1100000) \
             settings max_rows_to_group_by = 0",
        )
        .await;
    for id in [7, 8, 9] {
        let team = world.team(id, "UTC").await;
        world.enable(team).await;
        let target = world.target(team, "2026-05-01", "2026-05-02").await;
        let reason = prefill::ledger::Reason::Request;
        let ledger = &world.prefill.ledger;
        let asked = ledger.request(
            team,
            target.days,
            &target.zone,
            DEFAULT_WAREHOUSE,
            reason,
            None,
        );
        asked.await.expect("asked");
    }
    // The days of this week come first, which have no events.
    let (worker, stop) = (world.worker(), CancellationToken::new());
    while days(&world, TeamId(8)).await["2026-05-01"] != State::Filled {
        let step = worker.step(&stop).await.expect("stepped");
        assert_ne!(step, Step::Idle, "the small team was not filled");
    }
    let mut states = Vec::new();
    for id in [7, 8, 9] {
        states.push(days(&world, TeamId(id)).await["2026-05-01"]);
    }
    assert_eq!(states, [State::Wanted, State::Filled, State::Filled]);
    let width = world.prefill.ledger.width(DEFAULT_WAREHOUSE, TeamId(7));
    assert_eq!(
        width.await.expect("read").map(|width| width.pieces),
        Some(2)
    );
    for id in [8, 9] {
        let width = world.prefill.ledger.width(DEFAULT_WAREHOUSE, TeamId(id));
        assert_eq!(
            width.await.expect("read"),
            None,
            "team {id} was not too much"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f29_a_day_for_which_memory_is_short_is_filled_in_pieces_and_the_next_one_begins_so() {
    let mut config = Config::default();
    let warehouse = config.warehouses.get_mut(DEFAULT_WAREHOUSE).expect("one");
    warehouse.max_memory_usage = 110_000_000;
    let (world, team) = four_days(config).await;
    for day in [3, 4] {
        world
            .query(&format!(
                "insert into events (uuid, event, team_id, person_id, session_id, timestamp, pathname) \
                 select generateUUIDv4(), '$pageview', 7, reinterpretAsUUID(sipHash128(number % 100000)), concat('{day}-', toString(number % 130000)), \
                 toDateTime64('2026-05-0{day} 01:00:00', 6, 'UTC') + number % 130000 / 10 + intDiv(number, 130000) * 7, concat('/', toString(number % 50000)) \
                 from numbers(400000) settings max_memory_usage = 4000000000"
            ))
            .await;
    }
    let run = ask(&world, team, "2026-05-04", UNTIL, false).await;
    work(&world).await;
    let failures = world.prefill.ledger.failures(run).await.expect("read");
    assert_eq!(status(&world, run).await, "completed", "{failures:?}");
    let width = world.prefill.ledger.width(DEFAULT_WAREHOUSE, team).await;
    let width = width.expect("read").expect("memory was short");
    assert!(width.pieces > 1, "{width:?}");
    println!("filled in {} pieces", width.pieces);
    let next = ask(&world, team, "2026-05-03", "2026-05-04", false).await;
    let held = claims(&world).await;
    assert_eq!(
        held[0].slices[0].pieces, width.pieces,
        "what worked is tried first"
    );
    for claim in &held {
        let id = claim.id.to_string();
        let ledger = &world.prefill.ledger;
        ledger.expire(&id, true).await.expect("given back");
    }
    work(&world).await;
    assert_eq!(status(&world, next).await, "completed");
    assert_eq!(views(&world).await, "2026-05-03 400001, 2026-05-04 400001");
}

#[tokio::test(flavor = "multi_thread")]
async fn f29_of_an_id_that_is_used_forever_memory_need_not_hold_the_page_views_of_each_day() {
    let mut config = Config::default();
    let warehouse = config.warehouses.get_mut(DEFAULT_WAREHOUSE).expect("one");
    warehouse.max_memory_usage = 110_000_000;
    let (world, team) = four_days(config).await;
    for (day, views) in [(2, 10), (3, 300_000)] {
        world
            .query(&format!(
                "insert into events (uuid, event, team_id, person_id, session_id, timestamp, pathname) \
                 select generateUUIDv4(), '$pageview', 7, generateUUIDv4(), 'undefined', \
                 toDateTime64('2026-05-0{day} 12:00:00', 6, 'UTC') + number / 10, concat('/', toString(number), repeat('x', 300)) \
                 from numbers({views}) settings max_memory_usage = 4000000000"
            ))
            .await;
    }
    let run = ask(&world, team, "2026-05-03", "2026-05-04", false).await;
    work(&world).await;
    let failures = world.prefill.ledger.failures(run).await.expect("read");
    assert_eq!(status(&world, run).await, "completed", "{failures:?}");
    let width = world.prefill.ledger.width(DEFAULT_WAREHOUSE, team).await;
    let width = width.expect("read").expect("memory was short");
    assert!((2..=8).contains(&width.pieces), "{width:?}");
    assert_eq!(
        views(&world).await,
        "2026-05-03 1",
        "it began the day before"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn f29_what_is_too_much_at_the_least_width_fails_at_once_and_says_which_limit_to_raise() {
    let (mut world, team) = four_days(Config::default()).await;
    world
        .query(
            "insert into events (uuid, event, team_id, session_id, timestamp) \
             select generateUUIDv4(), '$pageview', 7, toString(number), toDateTime64('2026-05-03 12:00:00', 6, 'UTC') \
             from numbers(2000)",
        )
        .await;
    let width = Width {
        together: 1,
        pieces: 128,
    };
    let ledger = world.prefill.ledger.clone();
    let narrowed = ledger.narrow(DEFAULT_WAREHOUSE, &[team], width).await;
    narrowed.expect("remembered");
    let run = ask(&world, team, "2026-05-03", "2026-05-04", false).await;
    // Whatever has more than one session is too much, and each piece has some.
    let warehouse = &mut world.prefill.config.warehouses;
    let warehouse = warehouse.get_mut(DEFAULT_WAREHOUSE).expect("one");
    warehouse
        .settings
        .insert("max_rows_to_group_by".to_owned(), 1.into());
    let poor = world.again().await;
    let store = poor.store(DEFAULT_WAREHOUSE).await.expect("a store");
    let (stop, mut tries) = (CancellationToken::new(), 0);
    while status(&world, run).await == "queued" {
        let step = poor.worker(store, Some(run)).step(&stop).await;
        assert_eq!(step.expect("stepped"), Step::Failed);
        tries += 1;
    }
    assert_eq!(
        (status(&world, run).await, tries),
        ("failed", 2),
        "in 128 pieces, and in 256"
    );
    let failures = ledger.failures(run).await.expect("read");
    let error = &failures[0].1;
    assert!(error.contains("TOO_MANY_ROWS"), "{error}");
    let hint = "(hint: raise the limit that it names, in the profile of the warehouse's user or under [warehouse.settings], then run prefill retry)";
    assert!(error.ends_with(hint), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn f9_a_worker_whose_ledger_does_not_answer_stops_its_statements_before_its_lease_is_over() {
    let mut config = Config::default();
    config.service.lease_ms = 6_000;
    // Long at reading, where a statement can be stopped at any moment.
    let warehouse = config.warehouses.get_mut(DEFAULT_WAREHOUSE).expect("one");
    warehouse.max_threads = 1;
    let (world, team) = four_days(config).await;
    world
        .query(
            "insert into events (uuid, event, team_id, person_id, session_id, timestamp, pathname) \
             select generateUUIDv4(), '$pageview', 7, reinterpretAsUUID(sipHash128(number % 9000)), toString(number % 20000), \
             toDateTime64('2026-05-04 01:00:00', 6, 'UTC') + number % 20000 + intDiv(number, 20000), concat('/', toString(number % 5000)) \
             from numbers(10000000)",
        )
        .await;
    ask(&world, team, "2026-05-04", UNTIL, false).await;
    let (worker, stop) = (world.worker(), CancellationToken::new());
    let step = tokio::spawn(async move { worker.step(&stop).await });
    let ours = "select count() from system.processes where startsWith(Settings['log_comment'], 'prefill:') and query ilike '%insert%select%' and query not ilike '%system.processes%'";
    until("it writes", Duration::from_secs(30), || async {
        (world.query(ours).await != "0").then_some(())
    })
    .await;
    let lock = support::ledger::Locked::new(world.dir.path());
    let locked = std::time::Instant::now();
    until(
        "its statements are stopped",
        Duration::from_secs(6),
        || async { (world.query(ours).await == "0").then_some(()) },
    )
    .await;
    println!(
        "stopped {:?} after the ledger went silent, of a lease of 6 s",
        locked.elapsed()
    );
    drop(lock);
    assert!(!matches!(step.await.expect("no panic"), Ok(Step::Filled)));
    assert_eq!(
        world.fill(team, "2026-05-04", UNTIL, false).await,
        "completed"
    );
    assert_eq!(views(&world).await, "2026-05-04 10000001");
}
