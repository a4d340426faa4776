//! Requests, counted and timed, whatever becomes of them. Nothing that a client makes up becomes a label:
//! a path counts as the pattern of its route, and one that has none, or a method that is none of the
//! route's, as such.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;

use super::Shared;
use crate::telemetry::{self, Sheet};

/// What is under way.
#[derive(Default)]
pub struct Traffic {
    in_flight: AtomicU64,
}

/// A request under way; over when it is dropped, as it is where the client goes away.
struct UnderWay<'a>(&'a Traffic);

impl Traffic {
    fn begin(&self) -> UnderWay<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        UnderWay(self)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is under way right now.
pub fn write(shared: &Shared, sheet: &Sheet) {
    let in_flight = shared.traffic.in_flight.load(Ordering::Relaxed);
    sheet.set(&telemetry::HTTP_IN_FLIGHT, [], in_flight as f64);
    let places = usize::try_from(shared.config.max_streams).unwrap_or(usize::MAX);
    let open = places.saturating_sub(shared.streams.available_permits());
    sheet.set(&telemetry::HTTP_STREAMS, [], open as f64);
}

/// Counts a request once its answer begins: what is streamed then is no part of it.
pub async fn count(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let under_way = shared.traffic.begin();
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let response = next.run(request).await;
    drop(under_way);
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let method = match (&method, response.status()) {
        (_, StatusCode::METHOD_NOT_ALLOWED) => "other",
        (&Method::GET, _) => "GET",
        (&Method::HEAD, _) => "HEAD",
        (&Method::POST, _) => "POST",
        (&Method::PUT, _) => "PUT",
        (&Method::PATCH, _) => "PATCH",
        (&Method::DELETE, _) => "DELETE",
        _ => "other",
    };
    let status = match response.status().as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    };
    telemetry::HTTP_REQUESTS.add([route, method, status], 1);
    telemetry::HTTP_SECONDS.observe([route, method], begun.elapsed());
    response
}
