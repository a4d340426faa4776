//! Backfills: asked for, looked at, stopped; and what else is done to a range of days.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Shared;
use super::extract::{self, Body, Date, Id, Nothing, Path, Query, Whole, asked, malformed};
use crate::calendar::TeamId;
use crate::error::{Class, Error, Result};
use crate::ledger::{Extent, Run};
use crate::report::{self, Task, TaskInFull, Validated};
use crate::request::{self, Asked, Backfilled, CleanedUp, Of, Steered, Target, WouldFill};
use crate::service::Prefill;
use crate::web::problem::Problem;

/// By which header a request is known again.
const KEY: &str = "idempotency-key";
/// The longest key.
const MOST_CHARACTERS: usize = 200;

/// What to do with what was asked for.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Keep it from being filled until it is resumed; what runs stops.
    Pause,
    /// Let what was paused be filled, and take up a task that was cancelled.
    Resume,
    /// End it; what is filled stays.
    Cancel,
    /// Try at once what failed.
    Retry,
}

impl Action {
    /// Does it to the end, whoever waits.
    pub async fn take(
        self,
        shared: &Arc<Shared>,
        extent: Extent,
    ) -> Result<Json<Steered>, Problem> {
        let ledger = shared.prefill()?.ledger.clone();
        let of = Of::from(extent);
        let take = async move {
            Ok(match self {
                Self::Pause => {
                    ledger.pause(extent).await?;
                    Steered::Paused(of)
                }
                Self::Resume => {
                    ledger.resume(extent).await?;
                    let still = ledger.paused_by(extent).await?;
                    Steered::Resumed {
                        of,
                        still_paused_by: still.map(|still| still.to_string()),
                    }
                }
                Self::Cancel => Steered::Cancelled {
                    of,
                    tasks: ledger.cancel(extent).await?,
                },
                Self::Retry => Steered::Queued {
                    of,
                    days: ledger.retry(extent).await?,
                },
            })
        };
        Ok(Json(shared.to_the_end(take).await?))
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Listing {
    /// Of this team only.
    #[param(required = false, nullable = false, value_type = TeamId)]
    team_id: Option<Id>,
    /// As many at most.
    #[param(minimum = 1, maximum = 1000, default = 100, nullable = false)]
    limit: Option<u32>,
    /// Those after this task: the `next` of the answer before.
    #[param(nullable = false)]
    after: Option<Uuid>,
}

/// Tasks, the newest first.
#[derive(Serialize, ToSchema)]
pub struct TaskPage {
    tasks: Vec<Task>,
    /// What `after` lists the rest with, where there is more.
    next: Option<Uuid>,
}

/// What was asked for, by whomever, the newest first.
#[utoipa::path(get, path = "/api/v1/backfills", operation_id = "list_backfills", params(Listing),
    responses(
        (status = 200, description = "The tasks", body = TaskPage),
        (status = 404, description = "There is no task of the id in `after`", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn list(
    State(shared): State<Arc<Shared>>,
    Query(asked): Query<Listing>,
) -> Result<Json<TaskPage>, Problem> {
    let limit = extract::limit(asked.limit)?;
    let ledger = &shared.prefill()?.ledger;
    let after = match asked.after {
        Some(after) => Some(ledger.run(after).await?),
        None => None,
    };
    let team = asked.team_id.map(|Id(team)| team);
    let (tasks, next) = report::page_of_tasks(ledger, team, after.as_ref(), limit).await?;
    Ok(Json(TaskPage { tasks, next }))
}

/// A backfill to ask for. Without days and dates: the team's own number of days, else the default.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBackfill {
    #[schema(value_type = TeamId)]
    team_id: Id,
    /// Today and that many days before it.
    #[schema(required = false, value_type = i64, minimum = 1, maximum = 36500, nullable = false)]
    days: Option<Whole>,
    /// In the team's time zone.
    #[schema(inline, nullable = false)]
    date_start: Option<Date>,
    /// Exclusive; tomorrow where it is left out.
    #[schema(inline, nullable = false)]
    date_end: Option<Date>,
    /// Fill again what is filled; readers see the old rows until the new ones are verified.
    #[serde(default)]
    force: bool,
    /// Only say what would be filled: days, rows, bytes and time.
    #[serde(default)]
    dry_run: bool,
}

/// What would be done, or what was asked for before.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum NotNew {
    WouldFill(WouldFill),
    Backfilled(Backfilled),
}

/// Asks for the days that are not filled; `prefill serve` fills them.
///
/// With an `Idempotency-Key` the same request is made once: sent again, it is answered with the task
/// that it made.
#[utoipa::path(post, path = "/api/v1/backfills", operation_id = "create_backfill", request_body = NewBackfill,
    params(("Idempotency-Key" = Option<String>, Header, description = "Up to 200 visible characters by which the request is known again", pattern = "^[!-~]{1,200}$", nullable = false)),
    responses(
        (status = 200, description = "What would be done, with `dry_run`; or the task that a request of this key made before", body = NotNew),
        (status = 201, description = "Asked for", body = Backfilled, headers(("location" = String, description = "Where the task is"))),
        (status = 404, description = "There is no such team", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The team has the setting off, or the key was used for another request", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The range is empty, backwards, too long or in the future", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "As many requests that take long are being answered as may be", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn create(
    State(shared): State<Arc<Shared>>,
    Query(Nothing {}): Query<Nothing>,
    headers: HeaderMap,
    Body(new): Body<NewBackfill>,
) -> Result<Response, Problem> {
    let name = key(&headers)?.map(|key| format!("http:{key}"));
    let range = asked(new.days, new.date_start, new.date_end)?;
    let prefill = shared.prefill()?.clone();
    let target = prefill.target(new.team_id.0, range).await?;
    if new.dry_run {
        let _place = shared.heavy_place().await?;
        let estimate = prefill.estimate(&target, new.force).await?;
        let would = WouldFill::new(&target, estimate);
        return Ok(Json(NotNew::WouldFill(would)).into_response());
    }
    let ask = async move {
        let ledger = &prefill.ledger;
        let before = match &name {
            Some(name) => ledger.run_named(name).await?,
            None => None,
        };
        let made = match &before {
            Some(_) => None,
            None => {
                prefill
                    .backfill_once(&target, new.force, name.as_deref())
                    .await?
            }
        };
        let is_new = made.is_some();
        let (run, target) = match (made, name) {
            (Some(run), _) => (run, target),
            (None, name) => {
                // Somebody else may have made it meanwhile.
                let before = match before {
                    Some(before) => Some(before),
                    None => ledger.run_named(&name.unwrap_or_default()).await?,
                };
                let before = before.ok_or_else(|| {
                    Error::new(Class::Never, "a request that was made before is gone")
                })?;
                let id = before.id;
                (
                    id,
                    same(&prefill, target.team.id, range, new.force, &before).await?,
                )
            }
        };
        let progress = ledger.progress(run).await?;
        let answer = if is_new {
            Backfilled::begun(run, &target, &progress)
        } else {
            Backfilled::new(progress.status(), run, &target, &progress, None)
        };
        Ok((is_new, answer))
    };
    let (is_new, answer) = shared.to_the_end(ask).await?;
    let location = format!("/api/v1/backfills/{}", answer.task_id);
    let location = [(header::LOCATION, location)];
    Ok(if is_new {
        (StatusCode::CREATED, location, Json(answer)).into_response()
    } else {
        (location, Json(NotNew::Backfilled(answer))).into_response()
    })
}

fn key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut keys = headers.get_all(KEY).iter();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return match headers.contains_key(KEY) {
            true => Err(malformed("there are several Idempotency-Keys")),
            false => Ok(None),
        };
    };
    let fits = |key: &&str| {
        (1..=MOST_CHARACTERS).contains(&key.len())
            && key.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let key = key.to_str().ok().filter(fits);
    key.map(Some).ok_or_else(|| {
        malformed(format!(
            "the Idempotency-Key is not of 1 to {MOST_CHARACTERS} visible characters"
        ))
    })
}

/// How long it may take from the instant by which days are counted to the one at which a request is written
/// down: between the two, today may have ended.
const WRITTEN_WITHIN: SignedDuration = SignedDuration::from_mins(1);

/// The target of a request that was made before, where this is the same one: what it means by its own day
/// are the days that were asked for then. The latest days are other days tomorrow, and the same request.
async fn same(
    prefill: &Prefill,
    team: TeamId,
    range: Asked,
    force: bool,
    before: &Run,
) -> Result<Target> {
    let at = before.requested_at;
    for now in [at, at - WRITTEN_WITHIN] {
        match request::target(&prefill.ledger, &prefill.config, team, range, now).await {
            Ok(target)
                if before.team_id == target.team.id
                    && before.forced == force
                    && (before.date_start, before.date_end)
                        == (target.days.from, target.days.until) =>
            {
                return Ok(target);
            }
            Ok(_) => {}
            // It could not have been asked for then.
            Err(error) if error.class() == Class::Misuse => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::conflict(format!(
        "the Idempotency-Key was used for another request, that of task {}",
        before.id
    ))
    .hint("use a key once for one request"))
}

/// A task with its progress and its days.
#[utoipa::path(get, path = "/api/v1/backfills/{task_id}", operation_id = "get_backfill",
    params(("task_id" = Uuid, Path)),
    responses(
        (status = 200, description = "The task", body = TaskInFull),
        (status = 404, description = "There is no such task", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn one(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<Uuid>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<TaskInFull>, Problem> {
    let prefill = shared.prefill()?;
    let mut found = report::task(&prefill.ledger, id).await?;
    // The days are told, whether the warehouse can say something about them or not.
    found.statements = report::statements_soon(prefill, &found.slices)
        .await
        .unwrap_or_default();
    Ok(Json(found))
}

/// Pauses, resumes, cancels or retries a task.
#[utoipa::path(post, path = "/api/v1/backfills/{task_id}/{action}", operation_id = "steer_backfill",
    params(("task_id" = Uuid, Path), ("action" = inline(Action), Path)),
    responses(
        (status = 200, description = "What was done", body = Steered),
        (status = 404, description = "There is no such task", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "There is nothing of it to do that with", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn steer(
    State(shared): State<Arc<Shared>>,
    Path((id, action)): Path<(Uuid, Action)>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<Steered>, Problem> {
    action.take(&shared, Extent::Task(id)).await
}

/// Pauses, resumes, cancels or retries everything.
#[utoipa::path(post, path = "/api/v1/everything/{action}", operation_id = "steer_everything",
    params(("action" = inline(Action), Path)),
    responses(
        (status = 200, description = "What was done", body = Steered),
        (status = 409, description = "There is nothing to do that with", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn steer_everything(
    State(shared): State<Arc<Shared>>,
    Path(action): Path<Action>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<Steered>, Problem> {
    action.take(&shared, Extent::Everything).await
}

/// Days to compare. Without days and dates: all that the team should have.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ToValidate {
    #[schema(value_type = TeamId)]
    team_id: Id,
    /// Today and that many days before it.
    #[schema(required = false, value_type = i64, minimum = 1, maximum = 36500, nullable = false)]
    days: Option<Whole>,
    /// In the team's time zone.
    #[schema(inline, nullable = false)]
    date_start: Option<Date>,
    /// Exclusive; tomorrow where it is left out.
    #[schema(inline, nullable = false)]
    date_end: Option<Date>,
}

/// Compares both tables with the raw events, day by day; changes nothing.
#[utoipa::path(post, path = "/api/v1/validate", operation_id = "validate", request_body = ToValidate,
    responses(
        (status = 200, description = "The verdicts, also where days differ", body = Validated),
        (status = 404, description = "There is no such team", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The range is empty, backwards, too long or in the future", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "As many requests that take long are being answered as may be", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn validate(
    State(shared): State<Arc<Shared>>,
    Query(Nothing {}): Query<Nothing>,
    Body(body): Body<ToValidate>,
) -> Result<Response, Problem> {
    let range = asked(body.days, body.date_start, body.date_end)?;
    let prefill = shared.prefill()?;
    let mut target = prefill.target(body.team_id.0, range).await?;
    let _place = shared.heavy_place().await?;
    let validation = if range.days.is_none() && range.date_start.is_none() {
        let now = prefill.ledger.now().await?;
        prefill.validate_wanted(&mut target, now).await?
    } else {
        prefill.validate(&target).await?
    };
    Ok(Json(validation.told(&target)).into_response())
}

/// A range to delete: with `dry_run` or with `confirm`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ToCleanUp {
    #[schema(value_type = TeamId)]
    team_id: Id,
    /// In the team's time zone.
    #[schema(inline)]
    date_start: Date,
    /// Exclusive.
    #[schema(inline)]
    date_end: Date,
    /// Only say what would be deleted.
    #[serde(default)]
    dry_run: bool,
    /// Delete it, as the command line does with --yes.
    #[serde(default)]
    confirm: bool,
}

/// Deletes a range of a team's days from both tables, stops what fills them, and turns the setting off.
#[utoipa::path(post, path = "/api/v1/cleanup", operation_id = "cleanup", request_body = ToCleanUp,
    responses(
        (status = 200, description = "What was deleted, or would be", body = CleanedUp),
        (status = 404, description = "There is no such team", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "It is neither confirmed nor a dry run; or the range is empty, backwards, too long or in the future", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "As many requests that take long are being answered as may be", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn cleanup(
    State(shared): State<Arc<Shared>>,
    Query(Nothing {}): Query<Nothing>,
    Body(body): Body<ToCleanUp>,
) -> Result<Json<CleanedUp>, Problem> {
    let range = asked(None, Some(body.date_start), Some(body.date_end))?;
    let prefill = shared.prefill()?.clone();
    let target = prefill.target_of_cleanup(body.team_id.0, range).await?;
    if body.dry_run {
        let _place = shared.heavy_place().await?;
        let would = prefill.count_cleanup(&target).await?;
        return Ok(Json(CleanedUp::new("dry_run", &target, &would)));
    }
    if !body.confirm {
        return Err(Error::misuse(format!(
            "deleting the rows of team {}, {}, and turning its setting off is not confirmed",
            target.team.id, target.days
        ))
        .hint("send \"confirm\": true to go on, or \"dry_run\": true to see what would be deleted")
        .into());
    }
    let stop = shared.stop.clone();
    let clean = async move {
        let deleted = prefill.cleanup(&target, &stop).await?;
        Ok(CleanedUp::new("completed", &target, &deleted))
    };
    Ok(Json(shared.to_the_end(clean).await?))
}
