//! The API of `prefill serve`: what the command line does, as JSON with the same fields.

#[path = "support/doorway.rs"]
mod doorway;
mod support;
#[path = "support/told.rs"]
mod told;
#[path = "support/web.rs"]
mod web;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use doorway::Doorway;
use prefill::calendar::{Day, TeamId, Zone};
use prefill::config::Config;
use prefill::event::Event;
use prefill::ledger::{Ledger, NewTeam, Reason};
use prefill::service::open_ledger;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use support::{World, days, page_view, program, until};
use told::Told;
use uuid::Uuid;
use web::{Answer, Served};

const QUIET: &str = "[http]\nlisten = \"127.0.0.1:0\"\n";

/// A service on a world, on any free port.
async fn serve(world: &World) -> Served {
    let config = format!("{QUIET}[service]\nbackoff_ms = 50\n");
    std::fs::write(world.dir.path().join("prefill.toml"), config).expect("written");
    Served::start(
        world.command(&["--log-format", "json", "serve"]),
        world.dir.path(),
    )
    .when_ready()
    .await
}

/// Events of today and the days before, so that the source is complete for all of them.
fn recent(team: TeamId, days: i64) -> Vec<Event> {
    let now = jiff::Timestamp::now();
    let event = |back| {
        let hours = jiff::SignedDuration::from_hours(24 * back);
        let when = now - hours - jiff::SignedDuration::from_secs(5);
        page_view(team, 1, &format!("s{back}"), &when.to_string(), "/")
    };
    (0..=days).map(event).collect()
}

/// What the command line says, as JSON.
#[track_caller]
fn cli(world: &World, arguments: &[&str]) -> Value {
    Told::from(world.cli(&[arguments, &["--json"]].concat())).json()
}

/// Without what is another instant each time.
fn timeless(mut answer: Value) -> Value {
    for name in ["timestamp", "elapsed_seconds"] {
        answer.as_object_mut().expect("an object").remove(name);
    }
    // How long fills have waited is noted in the background.
    answer["warehouses"] = Value::Null;
    answer
}

async fn is_over(served: &Served, task: &str) -> Value {
    until("the task is over", Duration::from_secs(60), || async {
        let task = served
            .get(&format!("/api/v1/backfills/{task}"))
            .await
            .done(200);
        let over = task["status"] != "queued" && task["status"] != "running";
        over.then_some(task)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn teams_are_listed_by_page_found_and_turned_on_and_told_as_the_command_line_tells_them() {
    let world = World::new().await;
    for (id, zone) in [(3, "UTC"), (7, "Asia/Kolkata"), (12, "America/New_York")] {
        let team = world.team(id, zone).await;
        world.insert(&recent(team, 9)).await;
    }
    let served = serve(&world).await;
    let on = json!({ "enabled": true });
    let answer = served.send(Method::PATCH, "/api/v1/teams/7", &on).await;
    assert_eq!(
        answer.done(200),
        json!({ "status": "completed", "changed": true, "team_id": 7, "team_name": "Team 7", "enabled": true })
    );
    let again = served.send(Method::PATCH, "/api/v1/teams/7", &on).await;
    assert_eq!(again.done(200)["changed"], false);
    until("team 7 is filled", Duration::from_secs(60), || async {
        let team = served.get("/api/v1/teams/7").await.done(200);
        (team["state"] == "filled").then_some(())
    })
    .await;
    let listed = cli(&world, &["list"]);
    let filled = served.get("/api/v1/teams?enabled=true").await.done(200);
    assert_eq!(filled["teams"], listed["teams"]);
    assert_eq!(filled["next"], Value::Null);
    assert_eq!(
        served.get("/api/v1/teams/7").await.done(200),
        listed["teams"][0]
    );

    // Page by page.
    let ids = |page: &Value| -> Vec<i64> {
        let teams = page["teams"].as_array().expect("teams").iter();
        teams
            .map(|team| team["team_id"].as_i64().expect("an id"))
            .collect()
    };
    let first = served.get("/api/v1/teams?limit=2").await.done(200);
    assert_eq!((ids(&first), &first["next"]), (vec![3, 7], &json!(7)));
    let rest = served.get("/api/v1/teams?limit=2&after=7").await.done(200);
    assert_eq!((ids(&rest), &rest["next"]), (vec![12], &Value::Null));
    for (query, expected) in [
        ("search=TEAM%201", vec![12]),
        ("search=org", vec![3, 7, 12]),
        ("search=7", vec![7]),
        ("search=nobody", vec![]),
        ("enabled=false", vec![3, 12]),
        ("state=filled", vec![7]),
        ("state=off&after=3", vec![12]),
        ("state=misconfigured", vec![]),
    ] {
        let page = served
            .get(&format!("/api/v1/teams?{query}"))
            .await
            .done(200);
        assert_eq!(ids(&page), expected, "{query}");
    }
    for (query, what) in [
        ("limits=2", "unknown field `limits`"),
        ("limit=0", "limit 0 is out of range"),
        ("limit=1001", "limit 1001 is out of range"),
        ("limit=x", "limit"),
        ("enabled=maybe", "enabled"),
        ("state=odd", "unknown variant `odd`"),
        ("after=0", "no team id"),
    ] {
        let refused = served.get(&format!("/api/v1/teams?{query}")).await;
        refused.refused(400, "malformed", what, "openapi.json");
    }
    for path in ["/api/v1/teams/8", "/api/v1/teams/8/days/2026-05-01"] {
        let unknown = served.get(path).await;
        unknown.refused(404, "not-found", "there is no team 8", "prefill team list");
    }
    let unknown = served.send(Method::PATCH, "/api/v1/teams/8", &on).await;
    unknown.refused(404, "not-found", "there is no team 8", "prefill team list");
    served
        .get("/api/v1/teams/x")
        .await
        .refused(400, "malformed", "x", "openapi.json");

    // Teams by days, each in its own time zone, and why a day is as it is.
    let days = served
        .get("/api/v1/coverage?days=3&enabled=true")
        .await
        .done(200);
    let of_team = &days["teams"][0];
    let newest = of_team["days"][0]["day"]
        .as_str()
        .expect("a day")
        .to_owned();
    assert_eq!(of_team["team_id"], 7);
    assert_eq!(of_team["days"].as_array().expect("days").len(), 4);
    assert_eq!(
        of_team["days"][3],
        json!({ "day": of_team["date_start"], "state": "filled", "waiting_for_events": false })
    );
    let off = served
        .get("/api/v1/coverage?enabled=false&limit=1")
        .await
        .done(200);
    assert_eq!((ids(&off), &off["next"]), (vec![3], &json!(3)));
    assert_eq!(off["teams"][0]["days"], json!([]));
    let refused = served.get("/api/v1/coverage?days=101").await;
    refused.refused(400, "malformed", "days 101 is out of range", "openapi.json");
    let why = served
        .get(&format!("/api/v1/teams/7/days/{newest}"))
        .await
        .done(200);
    assert_eq!(why["situation"], "filled");
    let told = cli(&world, &["explain", "--team-id", "7", "--day", &newest]);
    assert_eq!(why, told);
    let path = format!("/api/v1/teams/7/days/{newest}?verify=true");
    let verified = served.get(&path).await.done(200);
    assert_eq!(verified["verdict"]["clean"], true);

    // The reports are those of the command line.
    for (path, command) in [
        ("/api/v1/health", &["health"][..]),
        ("/api/v1/metrics?days=3", &["metrics", "--days", "3"]),
        ("/api/v1/status", &["status"]),
    ] {
        let answer = timeless(served.get(path).await.done(200));
        assert_eq!(answer, timeless(cli(&world, command)), "{path}");
    }
    let refused = served.get("/api/v1/metrics?days=31").await;
    refused.refused(
        422,
        "invalid",
        "days 31 is out of range",
        "max_backfill_days",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_is_asked_for_once_by_its_key_and_watched_to_its_end() {
    let world = World::new().await;
    let team = world.team(7, "Asia/Kolkata").await;
    world.insert(&recent(team, 9)).await;
    let served = serve(&world).await;
    let new = json!({ "team_id": 7, "days": 2 });
    served.post("/api/v1/backfills", &new).await.refused(
        409,
        "conflict",
        "team 7 (Team 7) has web_analytics_pre_aggregated_tables_enabled off",
        "run prefill enable --team-id 7",
    );
    served
        .send(
            Method::PATCH,
            "/api/v1/teams/7",
            &json!({ "enabled": true }),
        )
        .await
        .done(200);
    let first = served.get("/api/v1/backfills").await.done(200);
    until(
        "the first run is there",
        Duration::from_secs(10),
        || async {
            let runs = served.get("/api/v1/backfills").await.done(200);
            (runs["tasks"][0]["task"]["reason"] == "window").then_some(())
        },
    )
    .await;
    assert_eq!(first["next"], Value::Null);

    let ask = |key: &str, body: &Value| {
        let request = served
            .request(Method::POST, "/api/v1/backfills")
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(body.to_string());
        Answer::of(request)
    };
    let forced = json!({ "team_id": 7, "days": 2, "force": true });
    let made = ask("a", &forced).await;
    let task = made.done(201);
    let id = task["task_id"].as_str().expect("an id").to_owned();
    let path = format!("/api/v1/backfills/{id}");
    assert_eq!(made.header("location"), path);
    assert_eq!(
        (&task["status"], &task["backfill_days"]),
        (&json!("queued"), &json!(2))
    );

    // Each change is an event, and the last one says that it is over.
    let events = events(
        served
            .request(Method::GET, &format!("{path}/events"))
            .send()
            .await,
    )
    .await;
    let (last, before) = events.split_last().expect("an event");
    assert_eq!(last.0, "over");
    assert!(
        before.iter().all(|(name, _)| name == "progress"),
        "{events:?}"
    );
    assert_eq!(last.1["status"], "completed");
    assert_eq!(
        (&last.1["progress"]["filled"], &last.1["progress"]["days"]),
        (&json!(3), &json!(3))
    );
    let one = served.get(&path).await.done(200);
    assert_eq!(one["task"], last.1["task"]);
    assert_eq!(one, cli(&world, &["status", &id]));

    // Sent again, it is the same; with another body, it is refused.
    let again = ask("a", &forced).await;
    let same = again.done(200);
    assert_eq!(same["task_id"], id.as_str());
    assert_eq!(
        (&same["status"], &same["days_filled"]),
        (&json!("completed"), &json!(3))
    );
    for other in [
        json!({ "team_id": 7, "days": 3, "force": true }),
        json!({ "team_id": 7, "days": 2 }),
        json!({ "team_id": 7, "date_start": task["date_start"], "date_end": task["date_start"], "force": true }),
    ] {
        let refused = ask("a", &other).await;
        assert!(matches!(refused.status, 409 | 422), "{refused:?}");
    }
    ask("a", &new).await.refused(
        409,
        "conflict",
        &format!("that of task {id}"),
        "use a key once",
    );
    // The same days in other words are the same request; as many other days are not.
    let dates = json!({ "team_id": 7, "date_start": task["date_start"], "date_end": task["date_end"], "force": true });
    assert_eq!(ask("a", &dates).await.done(200)["task_id"], id.as_str());
    let start: Day = task["date_start"]
        .as_str()
        .expect("a day")
        .parse()
        .expect("a day");
    let (from, until) = (start.plus(-1), start.plus(2));
    let earlier = json!({ "team_id": 7, "date_start": from, "date_end": until });
    let of_earlier = ask("c", &earlier).await.done(201);
    for other in [
        json!({ "team_id": 7, "days": 2 }),
        json!({ "team_id": 7, "date_start": from }),
        json!({ "team_id": 7, "date_start": from.plus(1), "date_end": until.plus(1) }),
    ] {
        ask("c", &other).await.refused(
            409,
            "conflict",
            "the Idempotency-Key was used for another request",
            "use a key once",
        );
    }
    let again = ask("c", &earlier).await.done(200);
    assert_eq!(again["task_id"], of_earlier["task_id"]);
    is_over(&served, of_earlier["task_id"].as_str().expect("an id")).await;

    let many = futures_util::future::join_all((0..8).map(|_| ask("b", &forced))).await;
    let ids: std::collections::BTreeSet<String> = many
        .iter()
        .map(|answer| answer.json()["task_id"].to_string())
        .collect();
    assert_eq!(ids.len(), 1, "{many:?}");
    assert_eq!(many.iter().filter(|answer| answer.status == 201).count(), 1);
    is_over(&served, ids.first().expect("an id").trim_matches('"')).await;
    let long = "x".repeat(201);
    for key in ["", "a b", long.as_str()] {
        let refused = ask(key, &forced).await;
        refused.refused(400, "malformed", "Idempotency-Key", "openapi.json");
    }
    // Without a key each is another one; what is filled is left alone.
    let nothing = served.post("/api/v1/backfills", &new).await.done(201);
    assert_eq!(nothing["days_already_filled"], 3);

    // By pages, the newest first.
    let first = served
        .get("/api/v1/backfills?limit=2&team_id=7")
        .await
        .done(200);
    assert_eq!(first["tasks"][0]["task"]["task_id"], nothing["task_id"]);
    let next = first["next"].as_str().expect("more");
    let rest = served
        .get(&format!("/api/v1/backfills?after={next}"))
        .await
        .done(200);
    assert_eq!(rest["tasks"].as_array().expect("tasks").len(), 3, "{rest}");
    assert_eq!(rest["tasks"][0]["task"]["task_id"], of_earlier["task_id"]);
    assert_eq!(rest["tasks"][1]["task"]["task_id"], id.as_str());
    assert_eq!(rest["tasks"][2]["task"]["reason"], "window");
    let none = served.get("/api/v1/backfills?team_id=8").await.done(200);
    assert_eq!(none["tasks"], json!([]));

    // What it would do.
    let dry = json!({ "team_id": 7, "days": 2, "force": true, "dry_run": true });
    let would = served.post("/api/v1/backfills", &dry).await.done(200);
    let told = [
        "backfill",
        "--team-id",
        "7",
        "--days",
        "2",
        "--force",
        "--dry-run",
    ];
    assert_eq!(would, cli(&world, &told));
    assert_eq!(would["rows"], 3);

    for (body, status, kind, what, next) in [
        (
            json!({ "team_id": 8 }),
            404,
            "not-found",
            "there is no team 8",
            "prefill team list",
        ),
        (
            json!({ "team_id": 7, "days": 31 }),
            422,
            "invalid",
            "--days 31 is out of range",
            "max_backfill_days",
        ),
        (
            json!({ "team_id": 7, "days": 1, "date_start": "2026-05-01" }),
            422,
            "invalid",
            "days do not go with",
            "latest",
        ),
        (
            json!({ "team_id": 7, "date_start": "2025-01-01", "date_end": "2026-01-03" }),
            422,
            "invalid",
            "more than 366 days",
            "several",
        ),
        (
            json!({ "team_id": 7, "date_start": "2025-01-02", "date_end": "2025-01-01" }),
            422,
            "invalid",
            "2025-01-02",
            "",
        ),
        (
            json!({ "team_id": 7, "date_start": "1815-01-02" }),
            422,
            "invalid",
            "1815-01-02 is out of range",
            "events",
        ),
        (
            json!({ "team_id": 7, "date_start": "2100-01-02" }),
            422,
            "invalid",
            "in the future",
            "begun",
        ),
        (
            json!({ "team_id": 7, "date_end": "2025-01-02" }),
            422,
            "invalid",
            "needs a --date-start",
            "--days",
        ),
        (
            json!({ "team_id": 7, "date_start": "2025-01-02T00:00" }),
            400,
            "malformed",
            "is no date",
            "openapi",
        ),
        (
            json!({ "team_id": "7" }),
            400,
            "malformed",
            "team_id",
            "openapi",
        ),
        (
            json!({ "team_id": 7.5 }),
            400,
            "malformed",
            "no whole number",
            "openapi",
        ),
        (
            json!({ "team_id": 7, "day": 1 }),
            400,
            "malformed",
            "unknown field `day`",
            "openapi",
        ),
        (
            json!({}),
            400,
            "malformed",
            "missing field `team_id`",
            "openapi",
        ),
        (json!([]), 400, "malformed", "body", "openapi"),
    ] {
        let answer = served.post("/api/v1/backfills", &body).await;
        answer.refused(status, kind, what, next);
    }
    let unknown = Uuid::new_v4();
    for path in ["", "/events"] {
        served
            .get(&format!("/api/v1/backfills/{unknown}{path}"))
            .await
            .refused(404, "not-found", "there is no task", "prefill status");
    }
    served
        .get("/api/v1/backfills/x")
        .await
        .refused(400, "malformed", "x", "openapi");
}

/// The events of a stream up to its end: names and data.
async fn events(response: reqwest::Result<Response>) -> Vec<(String, Value)> {
    let response = response.expect("an answer");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = tokio::time::timeout(Duration::from_secs(60), response.text()).await;
    read_events(&text.expect("it ends").expect("text"))
}

fn read_events(text: &str) -> Vec<(String, Value)> {
    let blocks = text
        .split("\n\n")
        .filter(|block| block.starts_with("event: "));
    blocks
        .map(|block| {
            let (name, data) = block.split_once('\n').expect("two lines");
            let data = data.strip_prefix("data: ").expect("data");
            let data = serde_json::from_str(data).expect("JSON");
            (name.trim_start_matches("event: ").to_owned(), data)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_for_is_paused_resumed_cancelled_and_tried_again() {
    let world = World::new().await;
    let team = world.team(7, "UTC").await;
    world.insert(&recent(team, 9)).await;
    world.enable(team).await;
    let served = serve(&world).await;
    let steer = |of: &str, action: &str| {
        let path = format!("/api/v1/{of}/{action}");
        let request = served.request(Method::POST, &path);
        Answer::of(request)
    };
    assert_eq!(
        steer("everything", "pause").await.done(200),
        json!({ "status": "paused", "all": true })
    );
    assert_eq!(
        served.get("/api/v1/status").await.done(200)["all_paused"],
        true
    );
    let new = json!({ "team_id": 7, "date_start": "2020-01-01", "date_end": "2020-01-03" });
    let task = served.post("/api/v1/backfills", &new).await.done(201);
    assert_eq!(task["status"], "paused");
    let id = task["task_id"].as_str().expect("an id").to_owned();
    let of_task = format!("backfills/{id}");
    let one = served.get(&format!("/api/v1/{of_task}")).await.done(200);
    assert_eq!(one["status"], "paused");

    assert_eq!(
        steer(&of_task, "pause").await.done(200),
        json!({ "status": "paused", "task_id": id })
    );
    assert_eq!(
        steer("teams/7", "pause").await.done(200),
        json!({ "status": "paused", "team_id": 7 })
    );
    assert_eq!(
        steer(&of_task, "resume").await.done(200),
        json!({ "status": "resumed", "task_id": id, "still_paused_by": "--all" })
    );
    steer(&of_task, "resume").await.refused(
        409,
        "conflict",
        "is neither paused nor cancelled",
        "prefill resume --all",
    );
    assert_eq!(
        steer(&of_task, "cancel").await.done(200),
        json!({ "status": "cancelled", "task_id": id, "tasks": [id] })
    );
    steer(&of_task, "retry").await.refused(
        409,
        "conflict",
        "is cancelled",
        &format!("prefill resume {id}"),
    );
    assert_eq!(
        steer("everything", "resume").await.done(200),
        json!({ "status": "resumed", "all": true, "still_paused_by": null })
    );
    steer("teams/7", "resume").await.refused(
        409,
        "conflict",
        "nothing of team 7 is paused",
        "status",
    );
    assert_eq!(
        steer("teams/7", "retry").await.done(200),
        json!({ "status": "queued", "team_id": 7, "days": 0 })
    );
    assert_eq!(is_over(&served, &id).await["status"], "cancelled");
    steer(&of_task, "resume").await.done(200);
    // Days that have long gone by and have no events.
    let ended = is_over(&served, &id).await;
    assert_eq!(ended["status"], "completed", "{ended}");

    steer("teams/8", "pause")
        .await
        .refused(404, "not-found", "there is no team 8", "");
    let unknown = format!("backfills/{}", Uuid::new_v4());
    steer(&unknown, "cancel")
        .await
        .refused(404, "not-found", "there is no task", "");
    steer("teams/7", "stop")
        .await
        .refused(400, "malformed", "unknown variant `stop`", "");
    let wrong = served.get("/api/v1/teams/7/pause").await;
    wrong.refused(405, "method-not-allowed", "does not take GET", "Allow");
    assert_eq!(wrong.header("allow"), "POST");
}

#[tokio::test(flavor = "multi_thread")]
async fn days_are_validated_and_cleaned_up_only_when_that_is_confirmed() {
    let world = World::new().await;
    let team = world.team(7, "UTC").await;
    world.insert(&recent(team, 9)).await;
    world.enable(team).await;
    let served = serve(&world).await;
    until("team 7 is filled", Duration::from_secs(60), || async {
        let team = served.get("/api/v1/teams/7").await.done(200);
        (team["state"] == "filled").then_some(())
    })
    .await;
    let ask = json!({ "team_id": 7 });
    let verdict = served.post("/api/v1/validate", &ask).await.done(200);
    assert_eq!(verdict, cli(&world, &["validate", "--team-id", "7"]));
    assert_eq!(
        (
            &verdict["status"],
            &verdict["validation_results"]["days_checked"]
        ),
        (&json!("passed"), &json!(8))
    );
    let range = verdict["date_range"].clone();

    let mut clean = json!({ "team_id": 7, "date_start": range["start"], "date_end": range["end"] });
    served.post("/api/v1/cleanup", &clean).await.refused(
        422,
        "invalid",
        "is not confirmed",
        "\"confirm\": true",
    );
    clean["dry_run"] = json!(true);
    let would = served.post("/api/v1/cleanup", &clean).await.done(200);
    let (start, end) = (
        range["start"].as_str().expect("a day"),
        range["end"].as_str().expect("a day"),
    );
    let told = [
        "cleanup",
        "--team-id",
        "7",
        "--date-start",
        start,
        "--date-end",
        end,
        "--dry-run",
    ];
    assert_eq!(would, cli(&world, &told));
    assert_eq!(would["deleted"]["web_pre_aggregated_stats_rows"], 8);
    let there = served.get("/api/v1/teams/7").await.done(200);
    assert_eq!(
        (&there["enabled"], &there["filled"]),
        (&json!(true), &json!(8))
    );

    clean["dry_run"] = json!(false);
    clean["confirm"] = json!(true);
    let mut done = served.post("/api/v1/cleanup", &clean).await.done(200);
    assert_eq!(done["status"], "completed");
    done["status"] = json!("dry_run");
    assert_eq!(done, would);
    assert_eq!(
        served.get("/api/v1/teams/7").await.done(200)["state"],
        "off"
    );
    let left = "select count() from web_pre_aggregated_stats";
    assert_eq!(world.query(left).await, "0");
    let verdict = json!({ "team_id": 7, "date_start": start, "date_end": end });
    let verdict = served.post("/api/v1/validate", &verdict).await.done(200);
    assert_eq!(
        (
            &verdict["status"],
            &verdict["validation_results"]["days_that_differ"]
        ),
        (&json!("failed"), &json!(8))
    );
}

/// A service that needs no engine, on a ledger with team 7, whose setting is on.
async fn without_warehouse(dir: &Path, config: &str) -> (Served, Ledger) {
    let ledger = open_ledger(dir, &Config::default())
        .await
        .expect("a ledger");
    let team = NewTeam {
        id: TeamId(7),
        name: "Acme".to_owned(),
        organization: String::new(),
        zone: Zone::utc(),
        backfill_days: None,
        warehouse: None,
    };
    ledger.add_team(&team).await.expect("added");
    ledger.set_enabled(TeamId(7), true).await.expect("enabled");
    std::fs::write(dir.join("prefill.toml"), config).expect("written");
    let mut command = Command::new(program());
    command
        .arg("--data-dir")
        .arg(dir)
        .args(["--log-format", "json", "serve"]);
    let served = Served::start(command, dir);
    until("the ledger is open", Duration::from_secs(20), || async {
        (served.get("/api/v1/teams").await.status == 200).then_some(())
    })
    .await;
    (served, ledger)
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_have_a_limit_and_outlive_the_time_of_an_answer() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = "[http]\nlisten = \"127.0.0.1:0\"\nmax_streams = 1\nrequest_timeout_ms = 300\n[warehouse]\nurl = \"http://127.0.0.1:1\"\n";
    let (served, ledger) = without_warehouse(dir.path(), config).await;
    let run = ledger
        .request(
            TeamId(7),
            days("2026-05-01", "2026-05-03"),
            &Zone::utc(),
            "default",
            Reason::Request,
            None,
        )
        .await
        .expect("asked")
        .expect("made");
    let path = format!("/api/v1/backfills/{run}/events");
    let mut stream = served
        .request(Method::GET, &path)
        .send()
        .await
        .expect("an answer");
    let first = stream.chunk().await.expect("a chunk").expect("an event");
    let first = read_events(std::str::from_utf8(&first).expect("text"));
    assert_eq!(
        (first[0].0.as_str(), &first[0].1["status"]),
        ("progress", &json!("queued"))
    );
    let refused = served.get(&path).await;
    refused.refused(429, "too-many", "as many streams", "max_streams");
    // Longer than an answer may take.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let cancel = served.request(Method::POST, &format!("/api/v1/backfills/{run}/cancel"));
    Answer::of(cancel).await.done(200);
    let mut rest = String::new();
    while let Some(chunk) = stream.chunk().await.expect("a chunk") {
        rest.push_str(std::str::from_utf8(&chunk).expect("text"));
    }
    let last = read_events(&rest).pop().expect("an event");
    assert_eq!(
        (last.0.as_str(), &last.1["status"]),
        ("over", &json!("cancelled"))
    );
    // Its place is free again.
    until("a place", Duration::from_secs(5), || async {
        (served.get(&path).await.status == 200).then_some(())
    })
    .await;
}

/// The next event of a stream that goes on; `None` at its end.
async fn next_event(stream: &mut Response) -> Option<(String, Value)> {
    loop {
        let chunk = tokio::time::timeout(Duration::from_secs(20), stream.chunk()).await;
        let chunk = chunk.expect("it goes on, or ends").expect("a chunk")?;
        let text = std::str::from_utf8(&chunk).expect("text");
        if let Some(event) = read_events(text).pop() {
            return Some(event);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_watched_by_many_until_the_service_stops() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = format!("{QUIET}max_streams = 2\n[warehouse]\nurl = \"http://127.0.0.1:1\"\n");
    let (served, _) = without_warehouse(dir.path(), &config).await;
    let mut streams = Vec::new();
    for _ in 0..2 {
        let asked = served.request(Method::GET, "/api/v1/events").send().await;
        let mut stream = asked.expect("an answer");
        assert_eq!(stream.headers()["content-type"], "text/event-stream");
        let (name, standing) = next_event(&mut stream).await.expect("an event");
        assert_eq!(name, "standing");
        let told = [
            &standing["enabled_teams"],
            &standing["coverage"]["filled"],
            &standing["freshness"]["never"],
            &standing["paused_teams"],
            &standing["under_way"],
        ];
        assert_eq!(
            told,
            [&json!(1), &json!(0), &json!(1), &json!(0), &json!([])]
        );
        streams.push(stream);
    }
    served
        .get("/api/v1/events")
        .await
        .refused(429, "too-many", "as many streams", "max_streams");
    let pause = served.request(Method::POST, "/api/v1/teams/7/pause");
    Answer::of(pause).await.done(200);
    for stream in &mut streams {
        // Its days were planned meanwhile, which is news too.
        while next_event(stream).await.expect("an event").1["paused_teams"] != 1 {}
    }
    served.running.signal(rustix::process::Signal::TERM);
    for stream in &mut streams {
        while next_event(stream).await.is_some() {}
    }
}

/// A service whose warehouse is behind a door.
async fn behind_a_door(world: &World, config: &str) -> (Served, Doorway) {
    let endpoint = world.store.warehouse.endpoint();
    let door = Doorway::before(&endpoint).await;
    let config = format!(
        "{QUIET}{config}[warehouse]\nurl = \"{}\"\nuser = \"{}\"\npassword = \"{}\"\n",
        door.url, endpoint.user, endpoint.password
    );
    std::fs::write(world.dir.path().join("prefill.toml"), config).expect("written");
    let command = world.command(&["--log-format", "json", "serve"]);
    let served = Served::start(command, world.dir.path());
    (served.when_ready().await, door)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_long_is_done_a_few_at_a_time_and_ends_when_nobody_waits_for_it() {
    let world = World::new().await;
    let team = world.team(7, "UTC").await;
    world.insert(&recent(team, 2)).await;
    let (served, door) = behind_a_door(&world, "").await;
    door.keep(&["prefill:report"]);
    let ask = json!({ "team_id": 7, "days": 2 });
    let asking: Vec<_> = (0..3)
        .map(|_| {
            let request = served
                .request(Method::POST, "/api/v1/validate")
                .header("content-type", "application/json")
                .body(ask.to_string());
            tokio::spawn(request.send())
        })
        .collect();
    until("three hang", Duration::from_secs(20), || async {
        (door.hung().len() == 3).then_some(())
    })
    .await;
    let refused = served.post("/api/v1/validate", &ask).await;
    refused.refused(
        429,
        "too-many",
        "3 requests that take long are being answered already",
        "ask again",
    );
    assert_eq!(refused.header("retry-after"), "5");
    for path in ["/api/v1/health", "/api/v1/metrics", "/api/v1/coverage"] {
        let refused = served.get(path).await;
        refused.refused(429, "too-many", "take long", "ask again");
    }
    for path in [
        "/teams/7/validate?days=2",
        "/teams/7/cleanup?date_start=2026-05-01&date_end=2026-05-02",
        "/teams/7/days/2026-05-01",
    ] {
        let page = served
            .request(Method::GET, path)
            .header("accept", "text/html");
        let page = Answer::of(page).await;
        assert_eq!(
            (
                page.status,
                page.header("content-type"),
                page.header("retry-after")
            ),
            (429, "text/html; charset=utf-8", "5"),
            "{page:?}"
        );
        assert!(page.body.contains("Too many at once"), "{page:?}");
    }
    // What is quick is answered meanwhile.
    served.get("/api/v1/teams").await.done(200);
    served.get("/api/v1/status").await.done(200);

    // They go away: their statements end, and there are places again.
    assert_eq!(door.killed(), [""; 0]);
    for asked in &asking {
        asked.abort();
    }
    until("they are killed", Duration::from_secs(20), || async {
        (door.killed() == door.hung()).then_some(())
    })
    .await;
    door.keep(&[]);
    served.post("/api/v1/validate", &ask).await.done(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warehouse_that_hangs_is_told_within_seconds() {
    let world = World::new().await;
    world.team(7, "UTC").await;
    world.enable(TeamId(7)).await;
    let (served, door) = behind_a_door(&world, "").await;
    // Also the simplest question, which has no comment.
    door.keep(&["", "prefill:report"]);
    let begun = std::time::Instant::now();
    let health = served.get("/api/v1/health").await.done(200);
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(health["status"], "unhealthy");
    let warehouse = &health["warehouses"][0];
    assert_eq!(warehouse["error"], "it did not answer within 4 s");
    assert!(
        warehouse["hint"]
            .as_str()
            .expect("a hint")
            .contains("stopped"),
        "{warehouse}"
    );
    door.keep(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_time_of_an_answer_is_over_so_are_its_statements() {
    let world = World::new().await;
    let team = world.team(7, "UTC").await;
    world.insert(&recent(team, 2)).await;
    world.enable(team).await;
    let target = world.target(team, "2026-05-01", "2026-05-02").await;
    let run = world.prefill.backfill(&target, false).await.expect("asked");
    // Somebody else fills it, so that there is something to ask the warehouse about.
    let lease = Duration::from_secs(600);
    let claim = world
        .prefill
        .ledger
        .claim("elsewhere", lease, 50, "default", Some(run));
    claim.await.expect("asked").expect("a claim");
    let (served, door) = behind_a_door(&world, "request_timeout_ms = 3000\n").await;
    door.keep(&["prefill:report", "prefill:look"]);
    let ask = json!({ "team_id": 7, "days": 2 });
    served.post("/api/v1/validate", &ask).await.refused(
        503,
        "unavailable",
        "there was no answer within 3 s",
        "request_timeout_ms",
    );
    until("it is killed", Duration::from_secs(20), || async {
        (door.killed().len() == 1).then_some(())
    })
    .await;
    assert!(door.hung().contains(&door.killed()[0]));
    // Its days are told, though the warehouse does not say how far they are.
    let task = served
        .get(&format!("/api/v1/backfills/{run}"))
        .await
        .done(200);
    assert_eq!(
        (
            &task["status"],
            &task["slices"][0]["state"],
            &task["statements"]
        ),
        (&json!("running"), &json!("running"), &json!({}))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_too_slow_or_not_there_is_told() {
    // It takes connections, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("a port"));
    let dir = tempfile::tempdir().expect("a directory");
    let config = format!(
        "{QUIET}max_body_bytes = 1024\nrequest_timeout_ms = 500\n[warehouse]\nurl = \"{url}\"\n"
    );
    let (served, _) = without_warehouse(dir.path(), &config).await;
    let slow = served.get("/api/v1/health").await;
    slow.refused(
        503,
        "unavailable",
        "there was no answer within 0.5 s",
        "request_timeout_ms",
    );
    assert_eq!(slow.header("retry-after"), "5");
    let large = json!({ "team_id": 7, "date_start": "x".repeat(1024) });
    served.post("/api/v1/backfills", &large).await.refused(
        413,
        "too-large",
        "the body is too large",
        "max_body_bytes",
    );
    for (kind, body, what) in [
        ("application/json", "{\"team_id\": 7", "body"),
        ("application/json", "", "body"),
        ("text/plain", "{\"team_id\": 7}", "not said to be JSON"),
        (
            "application/x-www-form-urlencoded",
            "team_id=7",
            "not said to be JSON",
        ),
    ] {
        let request = served
            .request(Method::POST, "/api/v1/backfills")
            .header("content-type", kind)
            .body(body);
        Answer::of(request)
            .await
            .refused(400, "malformed", what, "");
    }

    let dir = tempfile::tempdir().expect("a directory");
    let config = format!("{QUIET}[warehouse]\nurl = \"http://127.0.0.1:1\"\n");
    let (served, _) = without_warehouse(dir.path(), &config).await;
    let unreachable = served
        .post("/api/v1/validate", &json!({ "team_id": 7 }))
        .await;
    unreachable.refused(503, "unreachable", "http://127.0.0.1:1", "[warehouse]");
    // Health is there to say it.
    let health = served.get("/api/v1/health").await.done(200);
    assert_eq!(health["status"], "unhealthy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_may_only_read_reads_and_validates() {
    let dir = tempfile::tempdir().expect("a directory");
    let token = "read-0123456789abcdef";
    std::fs::write(dir.path().join("tokens"), token).expect("written");
    open_ledger(dir.path(), &Config::default())
        .await
        .expect("a ledger");
    let config = format!(
        "{QUIET}read_only_token_file = {:?}\n[warehouse]\nurl = \"http://127.0.0.1:1\"\n",
        dir.path().join("tokens")
    );
    std::fs::write(dir.path().join("prefill.toml"), config).expect("written");
    let mut command = Command::new(program());
    command
        .arg("--data-dir")
        .arg(dir.path())
        .args(["--log-format", "json", "serve"]);
    let served = Served::start(command, dir.path());
    let ask = |method: Method, path: &str| {
        let request = served
            .request(method, path)
            .bearer_auth(token)
            .header("content-type", "application/json")
            .body("{\"team_id\":7}");
        Answer::of(request)
    };
    until("the ledger is open", Duration::from_secs(20), || async {
        (ask(Method::GET, "/api/v1/teams").await.status == 200).then_some(())
    })
    .await;
    ask(Method::POST, "/api/v1/validate")
        .await
        .refused(404, "not-found", "there is no team 7", "");
    for (method, path) in [
        (Method::POST, "/api/v1/backfills"),
        (Method::POST, "/api/v1/cleanup"),
        (Method::POST, "/api/v1/everything/pause"),
        (Method::PATCH, "/api/v1/teams/7"),
    ] {
        ask(method, path)
            .await
            .refused(403, "forbidden", "may only read", "token_file");
    }
    // The document says that a token is needed.
    let document = ask(Method::GET, "/api/v1/openapi.json").await.done(200);
    assert_eq!(
        document["security"],
        json!([{ "token": [] }, { "cookie": [] }])
    );
    assert_eq!(document["openapi"], "3.1.0");
}
