//! A warehouse that fails on command: it stands between prefill and the engine, counts the statements
//! that carry a comment of prefill's, and breaks those whose turn it is.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::ledger::Clock;

/// What happens to the call whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It never reaches the warehouse, and a proxy says so.
    Refused,
    /// It never reaches the warehouse: the connection is gone.
    ConnectionRefused,
    /// It is done, and the answer says that nobody knows (code 319, F8).
    DoneButReportedFailed,
    /// It is done, and the connection is gone before the answer.
    DoneButAnswerLost,
    /// Not done, and no answer, and no sign of life until the client gives up.
    HungUndone,
    /// Done, and otherwise the same.
    HungDone,
    /// It takes a while.
    Slow,
    /// Somebody kills it while it runs.
    Killed,
    /// It asks for too much memory (code 241).
    OutOfMemory,
    /// The worker's process is gone before the call is sent.
    WorkerDiesBefore,
    /// The worker's process is gone when the call was sent; the warehouse does what it says.
    WorkerDiesAfter,
    /// `prefill serve` is told to stop.
    ToldToStop,
    /// Somebody else writes to the ledger's file for a moment.
    LedgerIsBusy,
    /// The lease is over while the call is under way, and somebody takes the worker for dead.
    TakenForDead,
    /// The engine's process is killed before the call reaches it.
    EngineKilled,
}

/// What a statement may meet, one fault after the other.
pub const FAULTS: [Fault; 12] = [
    Fault::Refused,
    Fault::ConnectionRefused,
    Fault::DoneButReportedFailed,
    Fault::DoneButAnswerLost,
    Fault::HungUndone,
    Fault::HungDone,
    Fault::Slow,
    Fault::Killed,
    Fault::OutOfMemory,
    Fault::WorkerDiesBefore,
    Fault::WorkerDiesAfter,
    Fault::TakenForDead,
];

/// Tells calls by their body.
pub type Which = fn(&str) -> bool;

/// What faults do to the process under test, and how many there were.
#[derive(Clone, Default)]
pub struct Process {
    died: Arc<Notify>,
    stop: Arc<Mutex<CancellationToken>>,
    injected: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl Process {
    pub fn count(&self, fault: impl Into<String>) {
        let mut injected = self.injected.lock().expect("no test died here");
        *injected.entry(fault.into()).or_default() += 1;
    }

    /// All faults so far, by kind.
    pub fn injected(&self) -> BTreeMap<String, u64> {
        self.injected.lock().expect("no test died here").clone()
    }

    pub fn die(&self) {
        self.died.notify_one();
    }

    /// Ends when the process is to be gone.
    pub async fn died(&self) {
        self.died.notified().await;
    }

    /// The token of a process that begins now.
    pub fn begin(&self) -> CancellationToken {
        let token = CancellationToken::new();
        *self.stop.lock().expect("no test died here") = token.clone();
        token
    }

    /// What a process that is gone was still to be told, nobody is told.
    pub async fn forget(&self) {
        let old = tokio::time::timeout(Duration::ZERO, self.died.notified()).await;
        drop(old);
    }
}

#[derive(Clone)]
pub struct FaultyWarehouse {
    pub url: String,
    pub process: Process,
    http: reqwest::Client,
    upstream: Arc<Mutex<String>>,
    password: String,
    user: String,
    armed: Arc<Mutex<BTreeMap<usize, Fault>>>,
    refused: Arc<Mutex<Option<&'static str>>>,
    lost: Arc<Mutex<Option<Which>>>,
    calls: Arc<AtomicUsize>,
    under_way: Arc<AtomicUsize>,
    hung: Arc<AtomicUsize>,
    clock: Clock,
    engine: Arc<Mutex<Option<u32>>>,
}

/// Counts what has begun and is not over.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(counter: &Arc<AtomicUsize>) -> Self {
        counter.fetch_add(1, Ordering::SeqCst);
        Self(counter.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Call {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl FaultyWarehouse {
    /// Before the warehouse at `endpoint`.
    pub async fn before(
        endpoint: &prefill::engine::Endpoint,
        process: Process,
        clock: Clock,
    ) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let faulty = Self {
            url: format!("http://{}", listener.local_addr().expect("an address")),
            process,
            http: reqwest::Client::builder()
                .no_proxy()
                .build()
                .expect("a client"),
            upstream: Arc::new(Mutex::new(endpoint.url.clone())),
            user: endpoint.user.clone(),
            password: endpoint.password.clone(),
            armed: Arc::default(),
            refused: Arc::default(),
            lost: Arc::default(),
            calls: Arc::default(),
            under_way: Arc::default(),
            hung: Arc::default(),
            clock,
            engine: Arc::default(),
        };
        let app = axum::Router::new()
            .fallback(answer)
            .with_state(faulty.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.expect("served") });
        faulty
    }

    /// Breaks these calls, counted from 1 on from now.
    pub fn arm(&self, faults: impl IntoIterator<Item = (usize, Fault)>) {
        let mut armed = self.armed.lock().expect("no test died here");
        *armed = faults.into_iter().collect();
        self.calls.store(0, Ordering::SeqCst);
    }

    /// Reports every statement as failed that holds this text, until told otherwise.
    pub fn refuse(&self, text: Option<&'static str>) {
        *self.refused.lock().expect("no test died here") = text;
    }

    /// Gives no answer to a call of which this says so, by its body, until told otherwise.
    pub fn lose(&self, which: Option<Which>) {
        *self.lost.lock().expect("no test died here") = which;
    }

    /// Breaks nothing more; how many calls there were.
    pub fn disarm(&self) -> usize {
        let calls = self.calls.load(Ordering::SeqCst);
        self.arm([]);
        calls
    }

    /// The engine that [`Fault::EngineKilled`] kills.
    pub fn kills(&self, engine: u32) {
        *self.engine.lock().expect("no test died here") = Some(engine);
    }

    /// The engine is at another address now.
    pub fn moved_to(&self, url: &str) {
        url.clone_into(&mut self.upstream.lock().expect("no test died here"));
    }

    /// Waits until no statement is under way any more, whoever sent it.
    pub async fn quiet(&self) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while self.under_way.load(Ordering::SeqCst) > 0 {
            assert!(
                tokio::time::Instant::now() < deadline,
                "a statement of a process that is gone does not end"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn forward(&self, call: Call) -> Response {
        let _under_way = Counted::new(&self.under_way);
        let upstream = self.upstream.lock().expect("no test died here").clone();
        let sent = self
            .http
            .request(call.method, format!("{upstream}{}", call.path))
            .headers(call.headers)
            .body(call.body)
            .send()
            .await;
        let Ok(answer) = sent else {
            return gone();
        };
        let mut response = Response::builder().status(answer.status());
        for (name, value) in answer.headers() {
            // The body is sent on whole.
            if name != "transfer-encoding" && name != "connection" {
                response = response.header(name, value);
            }
        }
        match answer.bytes().await {
            Ok(bytes) => response.body(Body::from(bytes)).expect("a response"),
            Err(_) => gone(),
        }
    }

    /// Done to its end, whether or not somebody waits for it.
    async fn done(&self, call: Call) -> Response {
        let faulty = self.clone();
        let task = tokio::spawn(async move { faulty.forward(call).await });
        task.await.unwrap_or_else(|_| gone())
    }

    /// Kills the statements of a comment again and again, until dropped.
    async fn kill(&self, comment: &str) {
        loop {
            let upstream = self.upstream.lock().expect("no test died here").clone();
            let asked = self
                .http
                .post(upstream)
                .header("X-ClickHouse-User", &self.user)
                .header("X-ClickHouse-Key", &self.password)
                .body(format!(
                    "kill query where Settings['log_comment'] = '{comment}' async"
                ))
                .send();
            drop(asked.await);
        }
    }

    async fn broken(&self, fault: Fault, comment: &str, call: Call) -> Response {
        match fault {
            Fault::Refused => (StatusCode::BAD_GATEWAY, "the proxy refused").into_response(),
            Fault::ConnectionRefused => gone(),
            Fault::DoneButReportedFailed => {
                self.done(call).await;
                exception(
                    319,
                    "Unknown status, client must retry. (UNKNOWN_STATUS_OF_INSERT)",
                )
            }
            Fault::DoneButAnswerLost => {
                self.done(call).await;
                gone()
            }
            Fault::HungUndone | Fault::HungDone => {
                let _hung = Counted::new(&self.hung);
                if fault == Fault::HungDone {
                    self.done(call).await;
                }
                std::future::pending().await
            }
            Fault::Slow => {
                tokio::time::sleep(Duration::from_millis(150)).await;
                self.done(call).await
            }
            Fault::Killed => tokio::select! {
                response = self.done(call) => response,
                () = self.kill(comment) => gone(),
            },
            Fault::OutOfMemory => exception(241, "memory limit exceeded (MEMORY_LIMIT_EXCEEDED)"),
            Fault::WorkerDiesBefore => {
                self.process.die();
                std::future::pending().await
            }
            Fault::WorkerDiesAfter => {
                let faulty = self.clone();
                // Counted from now on: whoever comes after the dead waits for it.
                let under_way = Counted::new(&self.under_way);
                tokio::spawn(async move {
                    faulty.forward(call).await;
                    drop(under_way);
                });
                self.process.die();
                std::future::pending().await
            }
            Fault::ToldToStop => {
                let stop = self.process.stop.lock().expect("no test died here").clone();
                stop.cancel();
                self.done(call).await
            }
            Fault::LedgerIsBusy => {
                self.clock.keep_busy(Duration::from_millis(120));
                self.done(call).await
            }
            Fault::TakenForDead => {
                self.clock.end_leases().await;
                tokio::time::sleep(Duration::from_millis(20)).await;
                self.done(call).await
            }
            Fault::EngineKilled => {
                let engine = *self.engine.lock().expect("no test died here");
                let engine = engine.expect("an engine to kill");
                let pid = i32::try_from(engine).expect("a number of a process");
                let pid = rustix::process::Pid::from_raw(pid).expect("a process");
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
                gone()
            }
        }
    }
}

/// The connection ends where an answer should be.
fn gone() -> Response {
    let nothing = futures_util::stream::once(async {
        Err::<Bytes, _>(std::io::Error::other("the connection is gone"))
    });
    Response::new(Body::from_stream(nothing))
}

fn exception(code: u32, text: &str) -> Response {
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        format!("Code: {code}. DB::Exception: {text}"),
    )
        .into_response()
}

/// The comment by which a statement is found on the warehouse; none of a ping or an insert of rows.
fn comment(path: &str) -> Option<String> {
    let query = path.split_once('?')?.1;
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "log_comment")
        .map(|(_, value)| value.into_owned())
}

async fn answer(State(faulty): State<FaultyWarehouse>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
        return gone();
    };
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let call = Call {
        method: parts.method,
        path: path.to_owned(),
        headers: parts.headers,
        body,
    };
    let Some(comment) = comment(&call.path) else {
        // Whatever asks for a sign of life gets none from a warehouse that hangs.
        return match faulty.hung.load(Ordering::SeqCst) {
            0 => faulty.done(call).await,
            _ => gone(),
        };
    };
    let refused = *faulty.refused.lock().expect("no test died here");
    if refused.is_some_and(|text| String::from_utf8_lossy(&call.body).contains(text)) {
        faulty
            .process
            .count("warehouse: Refused, whenever it was asked");
        return exception(210, "the network is down (NETWORK_ERROR)");
    }
    let lost = *faulty.lost.lock().expect("no test died here");
    if lost.is_some_and(|lost| lost(&String::from_utf8_lossy(&call.body))) {
        faulty
            .process
            .count("warehouse: ConnectionRefused, whenever it was asked");
        return gone();
    }
    let nth = faulty.calls.fetch_add(1, Ordering::SeqCst) + 1;
    let fault = faulty.armed.lock().expect("no test died here").remove(&nth);
    match fault {
        None => faulty.done(call).await,
        Some(fault) => {
            faulty.process.count(format!("warehouse: {fault:?}"));
            let answer = faulty.broken(fault, &comment, call).await;
            if fault == Fault::Killed && answer.status() != StatusCode::OK {
                faulty.process.count("warehouse: Killed, in its middle");
            }
            answer
        }
    }
}
