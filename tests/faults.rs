//! Every call to the warehouse broken once: not made, or made and reported as failed. Whatever the
//! call was, the next tries leave the tables as an undisturbed fill does.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use prefill::config::{Config, DEFAULT_WAREHOUSE};
use prefill::service::Prefill;
use support::{World, page_view};
use tokio_util::sync::CancellationToken;

/// What happens to the call whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// It never reaches the warehouse.
    Refused,
    /// It is done, and the answer says that nobody knows (code 319, F8).
    DoneButReportedFailed,
}

/// Stands between prefill and the engine.
#[derive(Clone)]
struct Between {
    engine: String,
    http: reqwest::Client,
    calls: Arc<AtomicUsize>,
    /// The call to break, counted from 1; 0 breaks none.
    broken: Arc<AtomicUsize>,
    fault: Arc<std::sync::Mutex<Fault>>,
}

async fn forward(State(between): State<Between>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, usize::MAX)
        .await
        .expect("a body");
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let is_ping = path.starts_with("/ping") || parts.method == "GET";
    let call = if is_ping {
        0
    } else {
        between.calls.fetch_add(1, Ordering::SeqCst) + 1
    };
    let broken = call != 0 && call == between.broken.load(Ordering::SeqCst);
    let fault = *between.fault.lock().expect("a fault");
    if broken && fault == Fault::Refused {
        return (StatusCode::BAD_GATEWAY, "the proxy refused").into_response();
    }
    let answer = between
        .http
        .request(parts.method, format!("{}{path}", between.engine))
        .headers(parts.headers)
        .body(body)
        .send()
        .await
        .expect("the engine answers");
    if broken {
        drop(answer.bytes().await);
        return (
            StatusCode::INTERNAL_SERVER_ERROR,
            "Code: 319. DB::Exception: Unknown status, client must retry. (UNKNOWN_STATUS_OF_INSERT)",
        )
            .into_response();
    }
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        // The body is sent on whole.
        if name != "transfer-encoding" && name != "connection" {
            response = response.header(name, value);
        }
    }
    response
        .body(axum::body::Body::from(
            answer.bytes().await.expect("an answer"),
        ))
        .expect("a response")
}

/// An installation whose calls go through the proxy.
async fn disturbed(world: &World) -> (Prefill, Between) {
    let between = Between {
        engine: world.store.warehouse.endpoint().url,
        http: reqwest::Client::new(),
        calls: Arc::default(),
        broken: Arc::default(),
        fault: Arc::new(std::sync::Mutex::new(Fault::Refused)),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let app = axum::Router::new()
        .fallback(forward)
        .with_state(between.clone());
    tokio::spawn(async move { axum::serve(listener, app).await.expect("served") });
    // Whoever attaches goes where the engine's card says.
    let card = world.dir.path().join("engine.json");
    let text = std::fs::read_to_string(&card).expect("the card");
    std::fs::write(&card, text.replace(&between.engine, &url)).expect("written");
    let prefill = world.again().await;
    let store = prefill.store(DEFAULT_WAREHOUSE).await.expect("a warehouse");
    assert_eq!(store.warehouse.endpoint().url, url);
    (prefill, between)
}

#[tokio::test(flavor = "multi_thread")]
async fn f6_f7_f8_a_fill_whose_nth_call_is_broken_ends_as_an_undisturbed_one() {
    let mut config = Config::default();
    config.service.backoff_ms = 1;
    config.service.workers = 1;
    let world = World::with(config).await;
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
    let right = world.tables().await;
    assert!(
        right.contains("/pricing") && right.contains("/other"),
        "{right}"
    );
    let (prefill, between) = disturbed(&world).await;
    let target = world.target(mine, "2026-05-01", "2026-05-02").await;
    let stop = CancellationToken::new();
    for from_nothing in [true, false] {
        for fault in [Fault::Refused, Fault::DoneButReportedFailed] {
            *between.fault.lock().expect("a fault") = fault;
            let mut nth = 1;
            loop {
                if from_nothing {
                    // As after a loss of rows: the direct way.
                    for table in [prefill::rollup::STATS, prefill::rollup::BOUNCES] {
                        world
                            .query(&format!("alter table {table} delete where team_id = 7 settings mutations_sync = 2"))
                            .await;
                    }
                }
                between.calls.store(0, Ordering::SeqCst);
                between.broken.store(0, Ordering::SeqCst);
                let run = match prefill.backfill(&target, true).await {
                    Ok(run) => run,
                    Err(error) => panic!("asking is not disturbed: {}", error.chain()),
                };
                between.calls.store(0, Ordering::SeqCst);
                between.broken.store(nth, Ordering::SeqCst);
                prefill.finish(run, &stop).await.expect("finished");
                let calls = between.calls.load(Ordering::SeqCst);
                let told =
                    format!("{fault:?} at call {nth} of {calls}, from nothing: {from_nothing}");
                assert_eq!(world.tables().await, right, "{told}");
                let progress = prefill.ledger.progress(run).await.expect("progress");
                assert_eq!(progress.status(), "completed", "{told}");
                let left = world
                    .query(
                        "select name from system.tables where startsWith(name, 'prefill_scratch_')",
                    )
                    .await;
                assert_eq!(left, "", "{told}");
                if nth >= calls {
                    assert!(nth > 10, "only {nth} calls were broken");
                    println!("{fault:?}: {nth} calls broken, from nothing: {from_nothing}");
                    break;
                }
                nth += 1;
            }
        }
    }
}
