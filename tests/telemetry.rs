//! Metrics: what Prometheus is told is what happened and how things stand.

#[path = "support/scraped.rs"]
mod scraped;
mod support;
#[path = "support/told.rs"]
mod told;
#[path = "support/web.rs"]
mod web;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use prefill::alert;
use prefill::calendar::{Day, TeamId, Zone};
use prefill::config::Warehouse;
use prefill::event::Event;
use prefill::ledger::Extent;
use prefill::scrape::Scraper;
use prefill::service::{Place, Prefill};
use prefill::telemetry::{self, CATALOGUE, Kind};
use prefill::web::Web;
use prefill::worker::Step;
use scraped::{Scraped, file, named_in, piped, promtool, root};
use support::{World, page_view, until};
use tokio_util::sync::CancellationToken;
use web::Served;

const HERE: [(&str, &str); 1] = [("warehouse", "default")];

async fn scrape(world: &World) -> Scraped {
    Scraped::read(&Scraper::new(world.prefill.clone()).text().await)
}

/// One page view a day, today and the days before.
fn recent(team: TeamId, days: i64) -> Vec<Event> {
    let now = jiff::Timestamp::now();
    (0..=days)
        .map(|back| {
            let when = now
                - jiff::SignedDuration::from_hours(24 * back)
                - jiff::SignedDuration::from_secs(5);
            page_view(team, 1, &format!("s{back}"), &when.to_string(), "/")
        })
        .collect()
}

async fn work(world: &World) {
    let stop = CancellationToken::new();
    while world.worker().step(&stop).await.expect("a step") != Step::Idle {}
}

/// Counters are of the process, so everything that fills is in this one story.
#[tokio::test(flavor = "multi_thread")]
async fn what_prometheus_is_told_follows_a_team_from_the_setting_to_a_failure() {
    telemetry::install();
    telemetry::begin("default");
    let world = World::new().await;
    let (team, other) = (world.team(1, "UTC").await, world.team(2, "UTC").await);
    world.insert(&recent(team, 8)).await;
    world.insert(&recent(other, 8)).await;

    let before = scrape(&world).await;
    assert_eq!(
        before.value(
            "prefill_build_info",
            &[("version", env!("CARGO_PKG_VERSION"))]
        ),
        1.0
    );
    assert_eq!(before.value("prefill_teams_enabled", &[]), 0.0);
    assert_eq!(
        before.value("prefill_coverage_ratio", &HERE),
        1.0,
        "nothing is wanted"
    );
    assert_eq!(before.value("prefill_warehouse_up", &HERE), 1.0);
    assert_eq!(before.value("prefill_ledger_up", &[]), 1.0);
    assert_eq!(
        before.get("prefill_freshness_lag_seconds", &HERE),
        None,
        "nobody has looked"
    );
    assert_eq!(
        before.value("prefill_claims_total", &HERE),
        0.0,
        "there before it happens"
    );

    world.enable(team).await;
    let wanted = scrape(&world).await;
    assert_eq!(wanted.value("prefill_teams_enabled", &[]), 1.0);
    assert_eq!(wanted.slices(), [("wanted", 8.0)].into());
    assert_eq!(wanted.value("prefill_coverage_ratio", &HERE), 0.0);
    assert_eq!(wanted.value("prefill_runs", &[("status", "queued")]), 1.0);
    assert!(wanted.value("prefill_queue_age_seconds", &HERE) < 60.0);
    // The seventh day before today ended six days before today began.
    let gap = wanted.value("prefill_oldest_gap_seconds", &HERE) / 86_400.0;
    assert!((6.0..7.0).contains(&gap), "{gap} days");
    assert_eq!(
        wanted.value("prefill_trigger_latency_seconds_count", &[]),
        1.0
    );
    assert!(wanted.value("prefill_trigger_latency_seconds_sum", &[]) < 30.0);

    let everything = Extent::Everything;
    world
        .prefill
        .ledger
        .pause(everything)
        .await
        .expect("paused");
    let paused = scrape(&world).await;
    assert_eq!(paused.slices(), [("paused", 8.0)].into());
    assert_eq!(
        paused.value("prefill_pauses", &[("extent", "everything")]),
        1.0
    );
    assert_eq!(paused.value("prefill_runs", &[("status", "paused")]), 1.0);
    assert_eq!(
        paused.value("prefill_queue_age_seconds", &HERE),
        0.0,
        "nothing can be claimed"
    );
    world
        .prefill
        .ledger
        .resume(everything)
        .await
        .expect("resumed");

    work(&world).await;
    world.look_for_late_events().await;
    let filled = scrape(&world).await;
    assert_eq!(filled.slices(), [("filled", 8.0)].into());
    assert_eq!(filled.value("prefill_coverage_ratio", &HERE), 1.0);
    assert_eq!(filled.value("prefill_oldest_gap_seconds", &HERE), 0.0);
    assert_eq!(filled.value("prefill_runs", &[("status", "queued")]), 0.0);
    assert_eq!(filled.value("prefill_fills_total", &outcome("filled")), 8.0);
    // All days of a small team together.
    assert_eq!(filled.value("prefill_claims_total", &HERE), 1.0);
    assert_eq!(filled.value("prefill_claims_lost_total", &HERE), 0.0);
    assert_eq!(filled.value("prefill_fill_events_total", &HERE), 8.0);
    for rollup in ["stats", "bounces"] {
        let labels = [("rollup", rollup), ("warehouse", "default")];
        assert_eq!(filled.value("prefill_fill_rows_total", &labels), 8.0);
    }
    // Each event is read several times, and has some 30 columns.
    assert!(filled.value("prefill_fill_read_bytes_total", &HERE) > 8.0 * 100.0);
    assert_eq!(filled.value("prefill_fill_seconds_count", &HERE), 1.0);
    assert!(filled.value("prefill_fill_seconds_sum", &HERE) > 0.0);
    assert!(filled.value("prefill_freshness_lag_seconds", &HERE) < 60.0);
    for call in telemetry::CALLS {
        if call != "give_back" {
            let calls = filled.value("prefill_ledger_seconds_count", &[("call", call)]);
            assert!(calls > 0.0, "{call}");
        }
    }

    // A day is asked for again, and somebody takes the events away.
    let today = Day::of(jiff::Timestamp::now(), &Zone::utc());
    let (from, until) = (today.to_string(), today.plus(1).to_string());
    let target = world.target(team, &from, &until).await;
    world.prefill.backfill(&target, true).await.expect("asked");
    world.query("rename table events to events_elsewhere").await;
    work(&world).await;
    let failed = scrape(&world).await;
    assert_eq!(failed.slices(), [("failed", 1.0), ("filled", 7.0)].into());
    assert_eq!(
        failed.value("prefill_coverage_ratio", &HERE),
        1.0,
        "the old rows are still there"
    );
    assert_eq!(failed.value("prefill_runs", &[("status", "failed")]), 1.0);
    assert_eq!(failed.value("prefill_fills_total", &outcome("failed")), 1.0);
    let unknown_table = [
        ("class", "operator"),
        ("code", "60"),
        ("warehouse", "default"),
    ];
    assert_eq!(failed.value("prefill_failures_total", &unknown_table), 1.0);

    // A claim whose worker is gone, by its own word for it, is given to others.
    world.query("rename table events_elsewhere to events").await;
    support::ledger::plain_sql(
        world.dir.path(),
        "update slices set state = 'running', claim = 'gone', owner = 'nobody', fence = fence + 1, \
         lease_until = 1 where state = 'failed'",
    );
    world.worker().expire().await.expect("expired");
    let expired = scrape(&world).await;
    assert_eq!(expired.value("prefill_claims_expired_total", &HERE), 1.0);
    assert_eq!(expired.slices(), [("stale", 1.0), ("filled", 7.0)].into());

    // The table takes no rows for a moment, by an error that nobody tells apart.
    let stats = prefill::rollup::STATS;
    world
        .query(&format!(
            "alter table {stats} add constraint closed check team_id = 0"
        ))
        .await;
    let stop = CancellationToken::new();
    let step = world.worker().step(&stop).await.expect("a step");
    assert_eq!(step, Step::Failed);
    let retried = scrape(&world).await;
    let unknown = [
        ("class", "later"),
        ("code", "other"),
        ("warehouse", "default"),
    ];
    assert_eq!(retried.value("prefill_retries_total", &unknown), 1.0);
    assert_eq!(retried.value("prefill_fills_total", &outcome("retry")), 1.0);

    world
        .prefill
        .ledger
        .set_enabled(team, false)
        .await
        .expect("off");
    world.prefill.reconcile(team).await.expect("reconciled");
    let held = scrape(&world).await;
    assert_eq!(held.slices(), [("held", 1.0), ("filled", 7.0)].into());
    assert_eq!(held.value("prefill_teams_enabled", &[]), 0.0);

    // Requests and messages are counted by what answers and what tells.
    let mut config = world.prefill.config.clone();
    config.http.listen = Some("127.0.0.1:0".to_owned());
    config.alerts.slack_webhook_url = Some("http://127.0.0.1:9/".to_owned().into());
    let place = Place {
        data_dir: world.dir.path().to_path_buf(),
        program: Some(support::program()),
    };
    let prefill = Prefill::open(&place, config).await.expect("opened");
    let alerting = alert::start(&prefill, &stop).expect("begun");
    let web = Web::start(&place.data_dir, &prefill.config.http, &stop).await;
    let web = web.expect("bound").expect("it is not off");
    web.answer_for(&prefill);
    let asked = || async {
        let answer = reqwest::get(format!("{}/metrics", web.url())).await;
        let text = answer.expect("an answer").text().await.expect("a text");
        Scraped::read(&text)
    };
    let known = support::until("the receiver is known", Duration::from_secs(30), || async {
        let scraped = asked().await;
        let waiting = scraped.get("prefill_alert_messages_waiting", &[("receiver", "slack")]);
        let requests = scraped.get("prefill_http_requests_in_flight", &[]);
        (waiting == Some(0.0) && requests == Some(1.0)).then_some(())
    });
    known.await;
    let all = asked().await;
    alerting.end().await;
    web.end().await;
    let known: BTreeSet<&str> = CATALOGUE.iter().map(|entry| entry.name).collect();
    assert_eq!(
        all.names(),
        known,
        "every metric of the catalogue is recorded by somebody"
    );
}

fn outcome(outcome: &str) -> [(&str, &str); 2] {
    [("outcome", outcome), ("warehouse", "default")]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_has_an_answer_when_a_warehouse_and_when_the_ledger_is_down() {
    let world = World::new().await;
    let mut config = world.prefill.config.clone();
    let away = Warehouse {
        // Nobody listens at the port of "discard".
        url: Some("http://127.0.0.1:9".to_owned()),
        ..Warehouse::default()
    };
    config.warehouses.insert("away".to_owned(), away);
    let place = Place {
        data_dir: world.dir.path().to_path_buf(),
        program: Some(support::program()),
    };
    let prefill = Prefill::open(&place, config)
        .await
        .expect("an installation");
    prefill.store("default").await.expect("a warehouse");
    let begun = std::time::Instant::now();
    let scraped = Scraped::read(&Scraper::new(prefill.clone()).text().await);
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(
        scraped.value("prefill_warehouse_up", &[("warehouse", "away")]),
        0.0
    );
    assert_eq!(scraped.value("prefill_warehouse_up", &HERE), 1.0);
    assert_eq!(
        scraped.value("prefill_coverage_ratio", &[("warehouse", "away")]),
        1.0
    );

    support::ledger::plain_sql(
        world.dir.path(),
        "alter table tallies rename to tallies_elsewhere",
    );
    let scraped = Scraped::read(&Scraper::new(prefill.clone()).text().await);
    assert_eq!(scraped.value("prefill_ledger_up", &[]), 0.0);
    assert_eq!(scraped.value("prefill_warehouse_up", &HERE), 1.0);
    assert_eq!(
        scraped.get("prefill_teams_enabled", &[]),
        None,
        "no number is better than a wrong one"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_scraped_over_http_while_it_fills() {
    let world = World::new().await;
    let team = world.team(1, "UTC").await;
    world.insert(&recent(team, 8)).await;
    let served = Served::start(
        world.command(&["--log-format", "json", "serve"]),
        world.dir.path(),
    );
    served.running.says("serving: teams");
    world
        .prefill
        .ledger
        .set_enabled(team, true)
        .await
        .expect("enabled");
    let scraped = until("it is filled", Duration::from_secs(60), || async {
        let answer = served
            .request(reqwest::Method::GET, "/metrics")
            .send()
            .await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), 200);
        let kind = answer.headers()["content-type"].to_str().expect("text");
        assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
        let text = answer.text().await.expect("a text");
        let scraped = Scraped::read(&text);
        let filled = scraped.get("prefill_slices", &[("state", "filled"), HERE[0]]);
        // They are counted once they are recorded.
        let counted = scraped.get("prefill_fills_total", &outcome("filled"));
        (filled == Some(8.0) && counted == Some(8.0)).then_some(scraped)
    })
    .await;
    assert_eq!(scraped.value("prefill_fills_total", &outcome("lost")), 0.0);
    assert_eq!(
        scraped.value("prefill_trigger_latency_seconds_count", &[]),
        1.0
    );
    assert_eq!(scraped.value("prefill_warehouse_up", &HERE), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_whose_ledger_cannot_be_opened_says_so_and_a_token_is_asked_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = "[ledger]\nurl = \"postgres://nobody@127.0.0.1:1/none\"\n";
    std::fs::write(dir.path().join("prefill.toml"), config).expect("written");
    let mut command = Command::new(support::program());
    command
        .arg("--data-dir")
        .arg(dir.path())
        .arg("serve")
        .env_remove("PREFILL_LEDGER_URL")
        .env("PREFILL_HTTP_READ_ONLY_TOKEN", "only-for-what-reads-it");
    let served = Served::start(command, dir.path());
    assert_eq!(served.get("/metrics").await.status, 401);
    let asked = served.request(reqwest::Method::GET, "/metrics");
    let answer = asked.bearer_auth("only-for-what-reads-it").send().await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), 200);
    let scraped = Scraped::read(&answer.text().await.expect("a text"));
    assert_eq!(scraped.value("prefill_ledger_up", &[]), 0.0);
    // The first one was refused, and this one is not answered yet.
    let refused = [("method", "GET"), ("route", "/metrics"), ("status", "4xx")];
    assert_eq!(scraped.value("prefill_http_requests_total", &refused), 1.0);
    assert_eq!(
        scraped.names(),
        [
            "prefill_build_info",
            "prefill_http_request_seconds",
            "prefill_http_requests_in_flight",
            "prefill_http_requests_total",
            "prefill_http_streams",
            "prefill_ledger_up",
        ]
        .into()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_route_and_nothing_that_a_client_makes_up_is_a_label() {
    let world = World::new().await;
    world.team(1, "UTC").await;
    let served = Served::start(
        world.command(&["--log-format", "json", "serve"]),
        world.dir.path(),
    );
    let served = served.when_ready().await;
    for (path, status) in [
        ("/api/v1/teams/1", 200),
        ("/api/v1/teams/2", 404),
        ("/api/v1/teams/3?hunter2=1", 400),
        ("/nowhere/hunter2", 404),
        ("/hunter2", 404),
    ] {
        assert_eq!(served.get(path).await.status, status, "{path}");
    }
    for method in ["BREW", "DELETE"] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let answer = served.request(method, "/api/v1/health").send().await;
        assert_eq!(answer.expect("an answer").status(), 405);
    }
    let stream = served.request(reqwest::Method::GET, "/api/v1/events");
    let stream = stream.send().await.expect("an answer");
    assert_eq!(stream.status(), 200);
    let scrape = || async {
        let text = served.get("/metrics").await.body;
        assert!(
            !text.contains("hunter2") && !text.contains("BREW"),
            "{text}"
        );
        Scraped::read(&text)
    };
    let scraped = scrape().await;
    let requests = |route: &str, method: &str, status: &str| {
        let labels = [("route", route), ("method", method), ("status", status)];
        scraped.get("prefill_http_requests_total", &labels)
    };
    let of_team = "/api/v1/teams/{team_id}";
    assert_eq!(requests(of_team, "GET", "2xx"), Some(1.0));
    assert_eq!(requests(of_team, "GET", "4xx"), Some(2.0));
    assert_eq!(requests("none", "GET", "4xx"), Some(2.0));
    assert_eq!(requests("/api/v1/health", "other", "4xx"), Some(2.0));
    let of_events = "/api/v1/events";
    assert_eq!(requests(of_events, "GET", "2xx"), Some(1.0));
    let labels = [("route", of_team), ("method", "GET")];
    let count = scraped.value("prefill_http_request_seconds_count", &labels);
    assert_eq!(count, 3.0);
    let took = scraped.value("prefill_http_request_seconds_sum", &labels);
    assert!(took > 0.0 && took < 30.0, "{took}");
    // The scrape, and not the stream, which has begun.
    assert_eq!(scraped.value("prefill_http_requests_in_flight", &[]), 1.0);
    assert_eq!(scraped.value("prefill_http_streams", &[]), 1.0);
    drop(stream);
    until("the stream is over", Duration::from_secs(30), || async {
        let open = scrape().await.value("prefill_http_streams", &[]);
        (open == 0.0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_counted_by_receiver_and_those_that_wait_are_told_with_their_age() {
    let world = World::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port");
    let takes = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let router = axum::Router::new().fallback(async || "ok");
        axum::serve(listener, router).await
    });
    // Nobody listens at the port of "discard".
    std::fs::write(
        world.dir.path().join("prefill.toml"),
        format!(
            "[alerts]\nevery_ms = 100\nfor_ms = 0\n\
             [alerts.slack.takes]\nwebhook_url = \"http://{takes}/\"\n\
             [alerts.slack.away]\nwebhook_url = \"http://127.0.0.1:9/\"\n"
        ),
    )
    .expect("written");
    let served = Served::start(
        world.command(&["--log-format", "json", "serve"]),
        world.dir.path(),
    );
    let served = served.when_ready().await;
    let scraped_when = async |what: &str, is_so: &dyn Fn(&Scraped) -> bool| {
        until(what, Duration::from_secs(30), || async {
            let scraped = Scraped::read(&served.get("/metrics").await.body);
            is_so(&scraped).then_some(scraped)
        })
        .await
    };
    let waiting = |scraped: &Scraped, name: &str| {
        let of_name = [("receiver", name)];
        scraped.get("prefill_alert_messages_waiting", &of_name)
    };
    let silent = scraped_when("the receivers are known", &|scraped| {
        waiting(scraped, "slack.away").is_some()
    })
    .await;
    for name in ["slack.away", "slack.takes"] {
        let oldest = silent.get(
            "prefill_alert_oldest_message_seconds",
            &[("receiver", name)],
        );
        assert_eq!((waiting(&silent, name), oldest), (Some(0.0), Some(0.0)));
        for outcome in telemetry::MESSAGE_OUTCOMES {
            let labels = [("receiver", name), ("outcome", outcome)];
            assert_eq!(silent.value("prefill_alert_messages_total", &labels), 0.0);
        }
    }
    world.team(7, "UTC").await;
    support::ledger::plain_sql(
        world.dir.path(),
        "update teams set timezone = 'Mars/Base', web_analytics_pre_aggregated_tables_enabled = 1",
    );
    let told = scraped_when("one takes it and one does not", &|scraped| {
        let of = |name, outcome| {
            let labels = [("receiver", name), ("outcome", outcome)];
            scraped.value("prefill_alert_messages_total", &labels)
        };
        of("slack.takes", "sent") == 1.0
            && of("slack.away", "failed") >= 1.0
            && waiting(scraped, "slack.takes") == Some(0.0)
            // counted with the next look at the ledger
            && waiting(scraped, "slack.away") == Some(1.0)
    })
    .await;
    let oldest = told.value(
        "prefill_alert_oldest_message_seconds",
        &[("receiver", "slack.away")],
    );
    assert!(oldest > 0.0 && oldest < 60.0, "{oldest}");
}

/// The catalogue, as docs/metrics.md has it.
fn table() -> String {
    let mut table = String::new();
    for (title, kind) in [
        ("How things stand", Kind::Gauge),
        ("What happened", Kind::Counter),
        ("How long it took", Kind::Histogram),
    ] {
        writeln!(
            table,
            "\n## {title}\n\n| {} | unit | labels | |\n|---|---|---|---|",
            kind.text()
        )
        .expect("written");
        for entry in CATALOGUE.iter().filter(|entry| entry.kind == kind) {
            let labels: Vec<String> = entry
                .labels
                .iter()
                .map(|label| format!("`{label}`"))
                .collect();
            writeln!(
                table,
                "| `{}` | {} | {} | {} |",
                entry.name,
                entry.unit.text(),
                labels.join(", "),
                entry.help
            )
            .expect("written");
        }
    }
    table
}

#[test]
fn the_document_of_the_metrics_has_the_catalogue() {
    let document = file("docs/metrics.md");
    let (_, rest) = document.split_once("<!-- begin").expect("a begin");
    let (_, rest) = rest.split_once("-->\n").expect("its end");
    let (told, _) = rest.split_once("\n<!-- end -->").expect("an end");
    let table = table();
    assert_eq!(
        told,
        table.trim_end(),
        "docs/metrics.md should have:\n{table}"
    );
}

#[test]
fn f41_documents_rules_and_dashboard_name_only_what_is_in_the_catalogue() {
    let known: BTreeSet<&str> = CATALOGUE.iter().map(|entry| entry.name).collect();
    for path in [
        "docs/metrics.md",
        "docs/operating.md",
        "deploy/prometheus/alerts.yml",
        "deploy/prometheus/alerts_test.yml",
        "deploy/grafana/prefill.json",
    ] {
        let named = named_in(&file(path));
        let unknown: Vec<&String> = named
            .iter()
            .filter(|name| !known.contains(name.as_str()))
            .collect();
        assert!(unknown.is_empty(), "{path}: {unknown:?}");
        assert!(!named.is_empty(), "{path}");
    }
    let shown = named_in(&file("deploy/grafana/prefill.json"));
    let hidden: Vec<_> = known
        .iter()
        .filter(|name| !shown.contains(**name))
        .collect();
    assert!(hidden.is_empty(), "the dashboard does not show {hidden:?}");
}

/// The commands of prefill that a text names; each is one that there is.
fn commands_in(text: &str) -> BTreeSet<String> {
    let help = Command::new(support::program()).arg("--help").output();
    let help = String::from_utf8(help.expect("help").stdout).expect("text");
    let commands = help.lines().filter_map(|line| line.strip_prefix("  "));
    let commands: BTreeSet<&str> = commands
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.split("prefill ")
        .skip(1)
        .filter_map(|rest| {
            rest.split(|character: char| !character.is_ascii_lowercase())
                .next()
        })
        .filter(|word| commands.contains(word))
        .map(ToOwned::to_owned)
        .collect()
}

/// The alerts, each with its lines.
fn alerts() -> Vec<(String, String)> {
    let rules = file("deploy/prometheus/alerts.yml");
    let alerts = rules.split("- alert: ").skip(1);
    alerts
        .map(|alert| {
            let (name, rule) = alert.split_once('\n').expect("lines");
            (name.to_owned(), rule.to_owned())
        })
        .collect()
}

#[test]
fn each_alert_says_what_to_run_is_explained_and_is_shown_to_fire_and_not_to_fire() {
    let (operating, tests) = (
        file("docs/operating.md"),
        file("deploy/prometheus/alerts_test.yml"),
    );
    let alerts = alerts();
    assert!(alerts.len() > 10, "{alerts:?}");
    for (name, rule) in &alerts {
        for part in ["expr:", "for:", "severity:", "summary:", "description:"] {
            assert!(rule.contains(part), "{name} has no {part}");
        }
        let (_, description) = rule.split_once("description:").expect("it is there");
        assert!(
            !commands_in(description).is_empty(),
            "{name}: {description}"
        );
        let anchor = format!("runbook: docs/operating.md#{}", name.to_lowercase());
        assert!(rule.contains(&anchor), "{name}: {anchor}");
        assert!(
            operating.contains(&format!("\n### {name}\n\n*")),
            "{name} is not explained"
        );
        assert!(
            tests.contains(&format!("{{ alertname: {name}, eval_time:")),
            "nobody shows when {name} is silent"
        );
        assert!(
            tests.contains(&format!("- alertname: {name}\n")),
            "nobody shows when {name} fires"
        );
    }
    // Whatever stands in the type of a command is one.
    for command in operating.split("`prefill ").skip(1) {
        let first = command.split(['`', ' ']).next().expect("a word");
        assert!(
            commands_in(&format!("prefill {first}")).contains(first),
            "prefill {first}"
        );
    }
    let explained = operating.matches("\n### ").count();
    assert_eq!(explained, alerts.len(), "what is explained is an alert");
}

#[test]
fn promtool_takes_the_configuration_the_rules_and_what_the_dashboard_asks() {
    if promtool().is_none() {
        return;
    }
    let prometheus = root().join("deploy/prometheus");
    let run = |arguments: &[&str]| {
        let mut promtool = promtool().expect("it was there just now");
        let said = piped(promtool.args(arguments).current_dir(&prometheus), "");
        said.unwrap_or_else(|error| panic!("{error}"))
    };
    // Without a look for the file of the token.
    run(&["check", "config", "--syntax-only", "prometheus.yml"]);
    let checked = run(&["check", "rules", "alerts.yml"]);
    assert!(
        checked.contains(&format!("{} rules found", alerts().len())),
        "{checked}"
    );
    run(&["test", "rules", "alerts_test.yml"]);

    let dashboard: serde_json::Value =
        serde_json::from_str(&file("deploy/grafana/prefill.json")).expect("JSON");
    let mut rules = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let asked = target["expr"].as_str().expect("a question");
            let asked = asked
                .replace("$__rate_interval", "1m")
                .replace("$warehouse", ".*");
            rules.push(
                serde_json::json!({ "record": format!("of_panel:{}", rules.len()), "expr": asked }),
            );
        }
    }
    assert!(rules.len() > 30, "{}", rules.len());
    // JSON is YAML.
    let rules = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("dashboard.yml");
    std::fs::write(&path, rules.to_string()).expect("written");
    run(&["check", "rules", path.to_str().expect("text")]);
}
