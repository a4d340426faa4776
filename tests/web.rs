//! The web server of `prefill serve`: where it is, who may ask, and that it is in nobody's way.

mod support;
#[path = "support/told.rs"]
mod told;
#[path = "support/web.rs"]
mod web;

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use prefill::web::Card;
use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;
use support::{World, until};
use told::{Running, Told};
use web::{Answer, Served};

/// `serve` on a data directory of its own with this configuration; it needs no warehouse to answer.
fn serve(dir: &Path, config: &str) -> Command {
    std::fs::write(dir.join("prefill.toml"), config).expect("written");
    let mut command = Command::new(support::program());
    command
        .arg("--data-dir")
        .arg(dir)
        .args(["--log-format", "json", "serve"])
        .env_remove("PREFILL_HTTP_TOKEN")
        .env_remove("PREFILL_HTTP_READ_ONLY_TOKEN");
    command
}

/// A service whose warehouse cannot be reached.
const NO_WAREHOUSE: &str = "[warehouse]\nurl = \"http://127.0.0.1:1\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_service_says_where_it_is_and_whether_it_can_work_and_goes_in_good_order() {
    let world = World::new().await;
    let usual = "http://127.0.0.1:8377";
    // Somebody else may have it, and give it up meanwhile.
    let served = loop {
        let taken = TcpListener::bind("127.0.0.1:8377");
        let served = Served::start(
            world.command(&["--log-format", "json", "serve"]),
            world.dir.path(),
        );
        if served.url != usual {
            break served;
        }
        assert!(taken.is_err(), "the address of two");
    };
    let line = served.running.says("http listening");
    assert!(
        line.contains(&format!("\"url\":\"{}\"", served.url)),
        "{line}"
    );
    let warned = served.running.says("failed to listen on 127.0.0.1:8377");
    assert!(
        warned.contains("WARN") && warned.contains("[http]"),
        "{warned}"
    );
    let alive = served.get("/healthz").await;
    assert_eq!(alive.done(200), json!({ "status": "alive" }));
    assert_eq!(alive.header("cache-control"), "no-store");
    let ready = served.get("/readyz").await;
    assert_eq!(ready.done(200), json!({ "status": "ready" }));

    served.running.signal(Signal::TERM);
    let Served { running, .. } = served;
    let told = running.end();
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(Card::read(world.dir.path()).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_a_ledger_or_a_warehouse_is_alive_and_not_ready() {
    let dir = tempfile::tempdir().expect("a directory");
    let served = Served::start(serve(dir.path(), NO_WAREHOUSE), dir.path());
    until("it knows", Duration::from_secs(20), || async {
        let answer = served.get("/readyz").await;
        answer.body.contains("no warehouse").then_some(())
    })
    .await;
    served.get("/readyz").await.refused(
        503,
        "unavailable",
        "no warehouse could be opened yet",
        "prefill health",
    );
    assert_eq!(served.get("/healthz").await.status, 200);

    let dir = tempfile::tempdir().expect("a directory");
    let no_ledger = "[ledger]\nurl = \"postgres://u@127.0.0.1:1/db\"\nconnect_timeout_ms = 300\n";
    let served = Served::start(serve(dir.path(), no_ledger), dir.path());
    let answer = served.get("/readyz").await;
    answer.refused(
        503,
        "unreachable",
        "the ledger could not be opened yet",
        "log",
    );
    assert_eq!(answer.header("retry-after"), "5");
    assert_eq!(served.get("/healthz").await.status, 200);
}

#[test]
fn an_address_that_is_taken_or_open_to_others_is_refused_and_off_is_off() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("a port").port();
    let dir = tempfile::tempdir().expect("a directory");
    let told = |http: &str| {
        let mut command = serve(dir.path(), &format!("{NO_WAREHOUSE}[http]\n{http}\n"));
        Told::from(command.output().expect("it ran"))
    };
    told(&format!("listen = \"127.0.0.1:{port}\"")).refused(
        1,
        &format!("failed to listen on 127.0.0.1:{port}"),
        "[http]",
    );
    for listen in ["0.0.0.0:0", "[::]:0"] {
        told(&format!("listen = {listen:?}")).refused(2, "there is no token", "PREFILL_HTTP_TOKEN");
    }
    told("listen = \"8377\"").refused(2, "http.listen = \"8377\" is no address", "HOST:PORT");
    told("hosts = [\"https://prefill.example\"]").refused(2, "which is no name", "without http://");
    told("max_streams = 512").refused(2, "http.max_streams = 512", "README");
    told("token_file = \"/nowhere/at/all\"").refused(2, "/nowhere/at/all", "can read");
    for (tokens, what) in [
        ("\n# none\n", "has no token"),
        ("hunter2\n", "line 1 of"),
        ("\nhunter2 hunter2 hunter2\n", "line 2 of"),
    ] {
        let file = dir.path().join("tokens");
        std::fs::write(&file, tokens).expect("written");
        let refused = told(&format!("token_file = {file:?}"));
        assert!(!refused.err.contains("hunter2"), "{refused:?}");
        refused.refused(2, what, "openssl rand -hex 32");
    }
    assert!(Card::read(dir.path()).is_none());

    let off = serve(
        dir.path(),
        &format!("{NO_WAREHOUSE}[http]\nlisten = \"off\"\n"),
    );
    let running = Running::start(off);
    running.says("serving: teams");
    assert!(
        !running
            .said()
            .iter()
            .any(|line| line.contains("http listening"))
    );
    assert!(Card::read(dir.path()).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_tokens_each_may_do_what_it_is_for_and_none_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let (one, two, reads) = (
        "full-0123456789abcdef",
        "full-fedcba9876543210",
        "read-0123456789abcdef",
    );
    let file = dir.path().join("tokens");
    std::fs::write(&file, format!("# of the operator\n{one}\n\n{two}\n")).expect("written");
    // With a token it may be open to others.
    let config = format!("{NO_WAREHOUSE}[http]\nlisten = \"0.0.0.0:0\"\ntoken_file = {file:?}\n");
    let mut command = serve(dir.path(), &config);
    command.env("PREFILL_HTTP_READ_ONLY_TOKEN", reads);
    let served = Served::start(command, dir.path());
    let ask = |method: Method, path: &str, name: &'static str, value: String| {
        Answer::of(served.request(method, path).header(name, value))
    };
    let bearer = |token: &str| format!("Bearer {token}");

    for path in ["/", "/api/v1/teams", "/metrics"] {
        let missing = served.get(path).await;
        missing.refused(401, "unauthorized", "no token", "Authorization: Bearer");
        assert!(missing.header("www-authenticate").starts_with("Bearer"));
    }
    let page = served
        .request(Method::GET, "/")
        .header("accept", "text/html,*/*");
    let no_redirects = reqwest::redirect::Policy::none();
    let client = reqwest::Client::builder().redirect(no_redirects).build();
    let page = client
        .expect("a client")
        .execute(page.build().expect("a request"));
    let page = page.await.expect("an answer");
    assert_eq!(page.status(), 303);
    assert_eq!(page.headers()["location"], "/login");
    for wrong in [
        bearer("full-0123456789abcdeX"),
        bearer("full-0123456789abcde"),
    ] {
        ask(Method::GET, "/nothing", "authorization", wrong)
            .await
            .refused(401, "unauthorized", "not one of those known", "[http]");
    }
    for token in [one, two, reads] {
        for (name, value) in [
            ("authorization", bearer(token)),
            ("authorization", format!("bearer  {token}")),
            ("cookie", format!("a=b; prefill_token={token}")),
        ] {
            let answer = ask(Method::GET, "/nothing", name, value).await;
            answer.refused(404, "not-found", "/nothing", "openapi.json");
        }
    }
    // A header that is wrong is not mended by a cookie.
    let both = served
        .request(Method::GET, "/nothing")
        .header("authorization", bearer("full-0123456789abcdeX"))
        .header("cookie", format!("prefill_token={one}"));
    assert_eq!(Answer::of(both).await.status, 401);
    // One for a proxy in front is none for us.
    let of_proxy = served
        .request(Method::GET, "/nothing")
        .header("authorization", "Basic dXNlcjpwYXNz")
        .header("cookie", format!("prefill_token={one}"));
    assert_eq!(Answer::of(of_proxy).await.status, 404);
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        ask(method, "/nothing", "authorization", bearer(reads))
            .await
            .refused(403, "forbidden", "may only read", "token_file");
    }
    let changing = ask(Method::POST, "/nothing", "authorization", bearer(two)).await;
    changing.refused(404, "not-found", "/nothing", "");
    // Probes and the way in need none.
    assert_eq!(served.get("/healthz").await.status, 200);
    assert_eq!(served.get("/readyz").await.status, 503);
    assert_ne!(served.get("/login").await.status, 401);

    let log = served.running.said().join("\n");
    for token in [one, two, reads] {
        assert!(!log.contains(token), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_loopback_pages_of_others_get_nothing_and_change_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = format!("{NO_WAREHOUSE}[http]\nhosts = [\"prefill.example\"]\n");
    let served = Served::start(serve(dir.path(), &config), dir.path());
    let with = |method: Method, headers: &[(&'static str, &str)]| {
        let mut request = served.request(method, "/nothing");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request)
    };
    for host in [
        "localhost",
        "LOCALHOST:8377",
        "127.0.0.1:1",
        "127.1.2.3",
        "[::1]:8377",
        "prefill.example",
        "Prefill.Example.:443",
    ] {
        let known = with(Method::GET, &[("host", host)]).await;
        known.refused(404, "not-found", "/nothing", "");
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "prefill.example.evil",
    ] {
        let unknown = with(Method::GET, &[("host", host)]).await;
        unknown.refused(
            403,
            "forbidden",
            "is not asked for as",
            "hosts under [http]",
        );
    }
    assert_eq!(with(Method::GET, &[("host", "a b")]).await.status, 400);

    let origin = served.url.clone();
    for headers in [
        &[][..],
        &[("origin", origin.as_str())],
        &[("sec-fetch-site", "same-origin"), ("origin", &origin)],
        &[("sec-fetch-site", "none")],
        // Behind a proxy that asks by another name.
        &[("origin", "https://prefill.example")],
    ] {
        let own = with(Method::POST, headers).await;
        own.refused(404, "not-found", "/nothing", "");
    }
    for headers in [
        &[("origin", "http://evil.example")][..],
        &[("origin", "http://127.0.0.1:1")],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("origin", &origin)],
    ] {
        let foreign = with(Method::POST, headers).await;
        foreign.refused(403, "forbidden", "another origin", "dashboard");
        // The browser does not show it to the page, and a page can make it ask for much.
        let read = with(Method::GET, headers).await;
        let is_foreign = headers.contains(&("sec-fetch-site", "cross-site"));
        assert_eq!(read.status, if is_foreign { 403 } else { 404 });
        let followed = [headers, &[("sec-fetch-dest", "document")]].concat();
        assert_eq!(with(Method::GET, &followed).await.status, 404);
        assert!(
            !read
                .headers
                .keys()
                .any(|name| name.as_str().starts_with("access-control"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_what_a_browser_should_keep_to_and_a_wrong_way_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let served = Served::start(serve(dir.path(), NO_WAREHOUSE), dir.path());
    let unknown = served.get("/nothing").await;
    for answer in [&unknown, &served.get("/healthz").await] {
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'self'"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    unknown.refused(
        404,
        "not-found",
        "there is nothing at /nothing",
        "openapi.json",
    );
    let wrong = served.post("/healthz", &json!({})).await;
    wrong.refused(
        405,
        "method-not-allowed",
        "/healthz does not take POST",
        "Allow",
    );
    assert_eq!(wrong.header("allow"), "GET,HEAD");
}
