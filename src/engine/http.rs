//! ClickHouse's HTTP interface: between a connection and the thread that runs its statement.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http_body_util::BodyExt as _;
use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, mpsc};

use super::body::{BodyReader, Piece};
use super::execute::{self, Core};
use super::reply::{Event, Reply};
use super::request::{Request, credentials};
use super::running::Running;
use super::status::{AUTHENTICATION_FAILED, BAD_ARGUMENTS, Failure};

/// Requests at once, each with a thread; more wait for their turn. Above the limit of statements,
/// so that a flood of them is answered and a KILL gets through.
const MAX_REQUESTS: usize = 256;
/// A thread that runs a statement parses it, which ClickHouse does recursively.
const STACK_BYTES: usize = 8 << 20;
/// Pieces of a body, or of an answer, that wait between connection and thread: a few hundred KiB.
const PIECES: usize = 4;

/// What the requests share.
pub struct Server {
    pub core: Arc<Core>,
    pub user: String,
    pub password: String,
    requests: Arc<Semaphore>,
}

impl Server {
    pub fn new(core: Arc<Core>, user: String, password: String) -> Self {
        let requests = Arc::new(Semaphore::new(MAX_REQUESTS));
        Self {
            core,
            user,
            password,
            requests,
        }
    }
}

/// The routes of the interface.
pub fn router(server: Arc<Server>) -> Router {
    Router::new().fallback(answer).with_state(server)
}

async fn answer(
    State(server): State<Arc<Server>>,
    request: axum::extract::Request,
) -> Result<Response, Infallible> {
    let (parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default();
    // Other bytes would become others, and be stored so.
    if percent_decode_str(query).decode_utf8().is_err() {
        let message = "The URL holds bytes that are no UTF-8: send them in the body";
        return Ok(refused(&Failure::new(BAD_ARGUMENTS, message)));
    }
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let reads = matches!(parts.method, Method::GET | Method::HEAD);
    let asks = pairs.iter().any(|(name, _)| name == "query");
    Ok(match parts.uri.path() {
        "/ping" | "/replicas_status" if reads => ok(),
        "/" if reads && !asks => ok(),
        "/" | "/query" => match authenticated(&server, &pairs, &parts.headers)
            .and_then(|()| Request::read(&parts.method, pairs, &parts.headers))
        {
            Ok(request) => run(&server, request, body).await,
            Err(failure) => refused(&failure),
        },
        path => {
            let text = format!("There is no handle {path}\n\nUse / or /ping for health checks.\n");
            (StatusCode::NOT_FOUND, text).into_response()
        }
    })
}

fn ok() -> Response {
    let mut response = "Ok.\n".into_response();
    let kind = HeaderValue::from_static("text/html; charset=UTF-8");
    response.headers_mut().insert("content-type", kind);
    response
}

/// An error before there is a statement.
fn refused(failure: &Failure) -> Response {
    let mut response = (failure.status(), format!("{}\n", failure.text)).into_response();
    let headers = response.headers_mut();
    headers.insert("x-clickhouse-exception-code", failure.code.into());
    // Its body is not read, so no other request can follow it on this connection.
    headers.insert("connection", HeaderValue::from_static("close"));
    response
}

/// Compares digests, so that the time it takes says nothing about the password.
fn authenticated(
    server: &Server,
    pairs: &[(String, String)],
    headers: &HeaderMap,
) -> Result<(), Failure> {
    let given = credentials(pairs, headers)?;
    if given.user == server.user
        && Sha256::digest(given.password) == Sha256::digest(&server.password)
    {
        return Ok(());
    }
    let message = format!(
        "{}: Authentication failed: password is incorrect, or there is no user with such name",
        given.user
    );
    Err(Failure::new(AUTHENTICATION_FAILED, message))
}

/// Whatever must happen when nobody waits for the answer any more.
struct Watch {
    core: Arc<Core>,
    query_id: String,
    running: Arc<Running>,
    pump: tokio::task::AbortHandle,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.pump.abort();
        if self.running.is_finished() {
            return;
        }
        let (core, running) = (Arc::clone(&self.core), Arc::clone(&self.running));
        let query_id = std::mem::take(&mut self.query_id);
        let kill = move || core.kill(&query_id, &running);
        if let Err(error) = std::thread::Builder::new()
            .name("kill".to_owned())
            .spawn(kill)
        {
            tracing::warn!(%error, "failed to kill a statement whose client left");
        }
    }
}

async fn run(server: &Arc<Server>, request: Request, body: Body) -> Response {
    let query_id = request.query_id.clone().unwrap_or_else(new_id);
    let permit = Arc::clone(&server.requests)
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    let (pieces, reader) = mpsc::channel(PIECES);
    let (events, mut answer) = mpsc::channel(PIECES);
    let running = Arc::new(Running::default());
    let watch = Watch {
        core: Arc::clone(&server.core),
        query_id: query_id.clone(),
        running: Arc::clone(&running),
        pump: tokio::spawn(pump(body, pieces)).abort_handle(),
    };
    let core = Arc::clone(&server.core);
    let work = move || {
        let _permit = permit;
        let reply = Reply::new(events, query_id.clone());
        execute::run(
            &core,
            &query_id,
            request,
            BodyReader::new(reader),
            reply,
            &running,
        );
    };
    let thread = std::thread::Builder::new()
        .name("statement".to_owned())
        .stack_size(STACK_BYTES);
    if let Err(error) = thread.spawn(work) {
        let failure = Failure::from(format!("failed to start a thread: {error}"));
        return refused(&failure);
    }
    let Some(Event::Head(status, headers)) = answer.recv().await else {
        let failure = Failure::from("the engine gave no answer".to_owned());
        return refused(&failure);
    };
    let mut response = Response::new(Body::from_stream(body_of(answer, watch)));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The body of an answer: ends with an error where the answer was broken off, so that the client
/// sees no proper end.
fn body_of(
    answer: mpsc::Receiver<Event>,
    watch: Watch,
) -> impl futures_util::Stream<Item = io::Result<Bytes>> {
    /// hyper writes what it has when the body is not ready, and drops it when the body fails.
    const FLUSH: Duration = Duration::from_millis(20);
    stream::unfold(Some((answer, watch)), |state| async {
        let (mut answer, watch) = state?;
        match answer.recv().await {
            Some(Event::Data(data)) => Some((Ok(data), Some((answer, watch)))),
            Some(Event::Head(..) | Event::End) => None,
            None => {
                tokio::time::sleep(FLUSH).await;
                Some((
                    Err(io::Error::other("the statement failed in the middle")),
                    None,
                ))
            }
        }
    })
}

/// Hands the body over, a frame at a time.
async fn pump(mut body: Body, pieces: mpsc::Sender<Piece>) {
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return };
        if let Ok(data) = frame.into_data()
            && pieces.send(Piece::Data(data)).await.is_err()
        {
            // Nobody reads on: the statement failed. The rest is read and dropped, as much as
            // comes, so that the client can read the answer.
            while let Some(Ok(_)) = body.frame().await {}
            return;
        }
    }
    let _ = pieces.send(Piece::End).await;
}

/// A random query id in the form of a UUID.
fn new_id() -> String {
    uuid::Builder::from_random_bytes(rand::random())
        .into_uuid()
        .to_string()
}
