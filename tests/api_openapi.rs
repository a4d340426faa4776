//! The OpenAPI document against the server that it describes: schemathesis makes requests of it, right ones
//! and wrong ones, and holds each answer against it.

mod support;
#[path = "support/told.rs"]
mod told;
#[path = "support/web.rs"]
mod web;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use prefill::calendar::TeamId;
use reqwest::Method;
use serde_json::Value;
use support::{World, page_view, until};
use web::{Answer, Served};

const TOKEN: &str = "full-0123456789abcdef";

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_what_the_server_does() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var_os("PREFILL_TEST_PYTHON")
        .map_or_else(|| root.join(".venv/bin/python"), PathBuf::from);
    assert!(
        python.exists(),
        "there is no {}: run make test-python, or set PREFILL_TEST_PYTHON",
        python.display()
    );
    let world = World::new().await;
    for id in [7, 8] {
        let team = world.team(id, "Asia/Kolkata").await;
        let now = jiff::Timestamp::now();
        let events: Vec<_> = (0..10)
            .map(|back| {
                let when = now - jiff::SignedDuration::from_hours(24 * back);
                page_view(team, 1, &format!("s{back}"), &when.to_string(), "/")
            })
            .collect();
        world.insert(&events).await;
        world.enable(team).await;
    }
    // Nothing that is there when the requests are made is what they are about.
    let range = world.target(TeamId(8), "2026-05-01", "2026-05-03").await;
    let run = world.prefill.backfill(&range, false).await.expect("asked");
    let dir = world.dir.path();
    let config = "[http]\nlisten = \"127.0.0.1:0\"\n";
    std::fs::write(dir.join("prefill.toml"), config).expect("written");
    let mut command = world.command(&["--log-format", "json", "serve"]);
    // Else nobody would see that it is not asked for where it should be.
    command.env("PREFILL_HTTP_TOKEN", TOKEN);
    let served = Served::start(command, dir).when_ready().await;
    let get = |path: String| {
        let request = served.request(Method::GET, &path).bearer_auth(TOKEN);
        async move { Answer::of(request).await.done(200) }
    };
    until("all is filled", Duration::from_secs(60), || async {
        let teams: Value = get("/api/v1/teams?state=filled".to_owned()).await;
        (teams["teams"].as_array().map(Vec::len) == Some(2)).then_some(())
    })
    .await;

    // Valid requests that only say so in words are refused with 422: a range in the future, no confirmation.
    let config = format!(
        "[parameters]\nteam_id = 7\ntask_id = \"{run}\"\n\n[checks.positive_data_acceptance]\nexpected-statuses = [\"2xx\", 401, 403, 404, 409, 422]\n"
    );
    std::fs::write(dir.join("schemathesis.toml"), config).expect("written");
    let output = Command::new(python)
        .args(["-m", "schemathesis.cli", "--no-color", "--config-file"])
        .arg(dir.join("schemathesis.toml"))
        .args(["run", &format!("{}/api/v1/openapi.json", served.url)])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        .args(["--checks", "all", "--seed", "1", "--max-examples", "10"])
        .args(["--request-timeout", "30", "--warnings", "off"])
        // It goes on until the service stops: tests/api.rs watches it.
        .args(["--exclude-path", "/api/v1/events"])
        .current_dir(dir)
        .output()
        .expect("python runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    assert!(said.contains("17 selected / 18 total"), "{said}");
    let document: Value = get("/api/v1/openapi.json".to_owned()).await;
    let watch = &document["paths"]["/api/v1/events"]["get"]["responses"];
    assert!(
        watch["200"]["content"]["text/event-stream"].is_object(),
        "{watch}"
    );
    assert_eq!(document["openapi"], "3.1.0");
    // What may be left out has to be so for a client that is made of the document, too.
    for (path, name) in [
        ("teams", "after"),
        ("coverage", "after"),
        ("backfills", "after"),
        ("backfills", "team_id"),
    ] {
        let all = &document["paths"][format!("/api/v1/{path}")]["get"]["parameters"];
        let mut all = all.as_array().expect("parameters").iter();
        let parameter = all.find(|parameter| parameter["name"] == name);
        assert_eq!(
            parameter.expect("described")["required"],
            false,
            "{path} {name}"
        );
    }
    for schema in ["NewBackfill", "ToValidate"] {
        let required = &document["components"]["schemas"][schema]["required"];
        assert_eq!(*required, serde_json::json!(["team_id"]), "{schema}");
    }

    // What it was asked to do, it did not do to death.
    served.get("/healthz").await.done(200);
    let log = served.running.said().join("\n");
    assert!(!log.contains("an answer died"), "{log}");
    assert!(!log.contains(TOKEN), "{log}");
}
