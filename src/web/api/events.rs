//! Progress as it happens: server-sent events, in a limited number of streams.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, stream};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Shared;
use super::extract::{Nothing, Path, Query};
use crate::error::Result;
use crate::ledger::Ledger;
use crate::report::Task;
use crate::web::problem::Problem;

/// How often a task is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often a stream without news shows that it lives.
const ALIVE_EVERY: Duration = Duration::from_secs(10);

/// An event of a stream.
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

/// What a stream keeps between two events.
struct Watching {
    ledger: Ledger,
    id: Uuid,
    told: Option<Task>,
    is_over: bool,
    stop: CancellationToken,
}

impl Watching {
    /// The next event; `None` when there is none any more.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.is_over || self.stop.is_cancelled() {
                return None;
            }
            // A ledger that is away for a moment is no news.
            if let Ok(Some(event)) = self.look().await {
                return Some(event);
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    async fn look(&mut self) -> Result<Option<Event>> {
        let run = self.ledger.run(self.id).await?;
        let task = Task::of(&self.ledger, run).await?;
        if self.told.as_ref() == Some(&task) {
            return Ok(None);
        }
        self.is_over = task.progress.is_over();
        let name = if self.is_over { "over" } else { "progress" };
        let event = Event::default().event(name).json_data(&task);
        self.told = Some(task);
        Ok(event.ok())
    }
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
    let place = Arc::clone(&shared.streams).try_acquire_owned();
    let place = place.map_err(|_| {
        Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "there are as many streams as there may be",
        )
        .hint("max_streams under [http] is the limit; ask for the task itself now and then")
    })?;
    let watching = Watching {
        ledger,
        id,
        told: None,
        is_over: false,
        stop: shared.stop.clone(),
    };
    let events = stream::unfold((watching, place), async |(mut watching, place)| {
        let event = watching.next().await?;
        Some((Ok(event), (watching, place)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE_EVERY)))
}
