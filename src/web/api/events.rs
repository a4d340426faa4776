//! What happens as it happens: server-sent events, in a limited number of streams. However many tell of the
//! same thing, it is looked at once at a time.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, stream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Shared;
use super::extract::{Nothing, Path, Query};
use crate::report::{Standing, Task};
use crate::web::feeds::Seen;
use crate::web::problem::Problem;

/// How often a task is looked at while somebody watches it.
const LOOK_AT_TASK_EVERY: Duration = Duration::from_millis(500);
/// As [`LOOK_AT_TASK_EVERY`], of everything.
const LOOK_AT_ALL_EVERY: Duration = Duration::from_secs(1);
/// How often a stream without news shows that it lives.
const ALIVE_EVERY: Duration = Duration::from_secs(10);

/// An event of the stream of a task.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the document's, of what is written as text")]
pub struct TaskEvent {
    event: Name,
    /// A task as in the list of tasks, as JSON.
    #[schema(content_media_type = "application/json")]
    data: String,
}

/// What an event is called.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "the document's, of what is written as text")]
enum Name {
    /// Something changed.
    Progress,
    /// Nothing more comes of the task by itself; the last one.
    Over,
}

/// An event of the stream of everything.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the document's, of what is written as text")]
pub struct StandingEvent {
    event: StandingName,
    /// A `Standing`, as JSON.
    #[schema(content_media_type = "application/json")]
    data: String,
}

/// What an event is called.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "the document's, of what is written as text")]
enum StandingName {
    /// Something changed.
    Standing,
}

/// What a stream keeps between two events.
struct Watching<T> {
    seen: Seen<T>,
    is_over: bool,
    stop: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl<T> Watching<T> {
    /// What is seen next; `None` when the service stops, or nobody looks any more.
    async fn next(&mut self) -> Option<Arc<T>> {
        loop {
            tokio::select! {
                changed = self.seen.changed() => changed.ok()?,
                () = self.stop.cancelled() => return None,
            }
            if let Some(seen) = self.seen.borrow_and_update().clone() {
                return Some(seen);
            }
        }
    }
}

/// A place among the streams.
fn place(shared: &Shared) -> Result<OwnedSemaphorePermit, Problem> {
    let place = Arc::clone(&shared.streams).try_acquire_owned();
    place.map_err(|_| {
        Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "there are as many streams as there may be",
        )
        .hint(
            "max_streams under [http] is the limit; ask for the same without a stream now and then",
        )
    })
}

/// The events of what is seen, until `tell` says that one is the last.
fn told<T: Send + Sync + 'static>(
    shared: &Shared,
    place: OwnedSemaphorePermit,
    seen: Seen<T>,
    tell: fn(&T) -> (Result<Event, axum::Error>, bool),
) -> Sse<impl Stream<Item = Result<Event, Infallible>> + use<T>> {
    let watching = Watching {
        seen,
        is_over: false,
        stop: shared.stop.clone(),
        _place: place,
    };
    let events = stream::unfold(watching, move |mut watching| async move {
        if watching.is_over {
            return None;
        }
        let seen = watching.next().await?;
        let (event, is_over) = tell(&seen);
        watching.is_over = is_over;
        Some((Ok(event.ok()?), watching))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE_EVERY))
}

/// How everything stands, as it changes: an event `standing` at once and for each change, looked for once a
/// second. The stream goes on until the service stops; ask for it again then.
#[utoipa::path(get, path = "/api/v1/events", operation_id = "watch",
    responses(
        (status = 200, description = "The events", body = StandingEvent, content_type = "text/event-stream"),
        (status = 429, description = "There are as many streams as there may be", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn of_everything(
    State(shared): State<Arc<Shared>>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    shared.prefill()?;
    let place = place(&shared)?;
    let looking = Arc::clone(&shared);
    let seen = shared.standing.watch((), LOOK_AT_ALL_EVERY, move || {
        let shared = Arc::clone(&looking);
        // A ledger that is away for a moment is no news.
        async move { Some(Standing::from(&*shared.overview().await.ok()?)) }
    });
    Ok(told(&shared, place, seen, |standing| {
        let event = Event::default().event("standing").json_data(standing);
        (event, false)
    }))
}

/// The progress of a task as it happens: an event `progress` for each change, and one `over` when nothing
/// more comes of it by itself; then the stream ends. The data is as in the list of tasks.
#[utoipa::path(get, path = "/api/v1/backfills/{task_id}/events", operation_id = "watch_backfill",
    params(("task_id" = Uuid, Path)),
    responses(
        (status = 200, description = "The events", body = TaskEvent, content_type = "text/event-stream"),
        (status = 404, description = "There is no such task", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "There are as many streams as there may be", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn of_backfill(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<Uuid>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let ledger = shared.prefill()?.ledger.clone();
    ledger.run(id).await?;
    let place = place(&shared)?;
    let seen = shared.tasks.watch(id, LOOK_AT_TASK_EVERY, move || {
        let ledger = ledger.clone();
        async move { Task::of(&ledger, ledger.run(id).await.ok()?).await.ok() }
    });
    Ok(told(&shared, place, seen, |task| {
        let is_over = task.progress.is_over();
        let name = if is_over { "over" } else { "progress" };
        (Event::default().event(name).json_data(task), is_over)
    }))
}
