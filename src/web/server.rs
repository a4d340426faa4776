//! Connections: how many at once, how long a request may take, and their end.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Shared;
use super::problem::Problem;
use crate::error::{Class, Error};

/// How long answers under way may take once the service is told to stop.
pub const DRAIN: Duration = Duration::from_secs(3);
/// How long a connection may take for the head of a request, and be idle between two.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// How long no connection is taken after an error that may last, such as too many open files.
const REST: Duration = Duration::from_secs(1);

/// Answers until told to stop, and lets what is being answered end.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    most_connections: u32,
    stop: CancellationToken,
) {
    let places = usize::try_from(most_connections).unwrap_or(Semaphore::MAX_PERMITS);
    let places = Arc::new(Semaphore::new(places));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN);
    let connections = GracefulShutdown::new();
    let next = async || {
        let place = Arc::clone(&places).acquire_owned().await;
        let place = place.expect("nobody closes it");
        let accepted = listener.accept().await;
        accepted.map(|(connection, _)| (connection, place))
    };
    loop {
        let accepted = tokio::select! {
            accepted = next() => accepted,
            () = stop.cancelled() => break,
        };
        let (connection, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ConnectionAborted
                        | ErrorKind::ConnectionReset
                        | ErrorKind::ConnectionRefused
                ) =>
            {
                continue;
            }
            Err(error) => {
                warn!(
                    error = error.to_string(),
                    "could not take a connection; trying again"
                );
                tokio::select! {
                    () = tokio::time::sleep(REST) => {}
                    () = stop.cancelled() => {}
                }
                continue;
            }
        };
        // An event of a stream is a small write of its own.
        drop(connection.set_nodelay(true));
        let service = TowerToHyperService::new(router.clone());
        let answered = http.serve_connection(TokioIo::new(connection), service);
        let answered = connections.watch(answered);
        tokio::spawn(async move {
            // One that breaks off is no matter for anybody else.
            drop(answered.await);
            drop(place);
        });
    }
    drop(listener);
    drop(tokio::time::timeout(DRAIN, connections.shutdown()).await);
}

/// What to do where what was only read takes too long.
const LATE_READ: &str = "prefill health says which warehouse does not answer; ask for less, or raise request_timeout_ms under [http], which is how long an answer may take";
/// As [`LATE_READ`], of what may change something, which goes on.
const LATE_CHANGE: &str = "if something was to be changed, that goes on: look before you ask again; request_timeout_ms under [http] is how long an answer may take";

/// Breaks off what takes too long. A stream's time ends with its first line.
pub async fn in_time(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let most = shared.config.request_timeout();
    let hint = match request.method().is_safe() {
        true => LATE_READ,
        false => LATE_CHANGE,
    };
    let answer = tokio::select! {
        answer = tokio::time::timeout(most, next.run(request)) => answer.ok(),
        () = async {
            shared.stop.cancelled().await;
            tokio::time::sleep(DRAIN / 2).await;
        } => {
            return Problem::from(Error::new(Class::Later, "told to stop")).into_response();
        }
    };
    answer.unwrap_or_else(|| {
        let error = Error::new(
            Class::Later,
            format!("there was no answer within {} s", most.as_secs_f64()),
        )
        .hint(hint);
        Problem::from(error).into_response()
    })
}
