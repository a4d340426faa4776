//! What people and monitors ask about everything.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Shared;
use super::extract::{Nothing, Query};
use crate::report::{self, Health, Metrics, Tasks};
use crate::web::problem::Problem;

/// As many tasks as `prefill status` shows.
const LATEST: u32 = 20;
/// As many days as `prefill metrics` counts.
const USUAL_DAYS: i64 = 7;

/// What was asked for lately, what is paused, and what fills take of each warehouse.
#[utoipa::path(get, path = "/api/v1/status", operation_id = "status",
    responses((status = 200, description = "How it stands", body = Tasks)))]
pub async fn status(
    State(shared): State<Arc<Shared>>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<Tasks>, Problem> {
    let prefill = shared.prefill()?;
    Ok(Json(
        report::tasks(&prefill.ledger, &prefill.config, LATEST).await?,
    ))
}

/// Every team that has the setting on, checked: ledger, tables, and raw events where they differ.
#[utoipa::path(get, path = "/api/v1/health", operation_id = "health",
    responses(
        (status = 200, description = "What is wrong, if anything", body = Health),
        (status = 429, description = "As many requests that take long are being answered as may be", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn health(
    State(shared): State<Arc<Shared>>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<Health>, Problem> {
    let health = shared.health().await?;
    Ok(Json(Health::clone(&health)))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Period {
    /// Today and that many days before it; max_backfill_days of the configuration at most.
    #[param(minimum = 1, maximum = 36500, default = 7, nullable = false)]
    days: Option<i64>,
}

/// Numbers over the last days.
#[utoipa::path(get, path = "/api/v1/metrics", operation_id = "metrics", params(Period),
    responses(
        (status = 200, description = "The numbers", body = Metrics),
        (status = 422, description = "That is more days than max_backfill_days", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "As many requests that take long are being answered as may be", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn metrics(
    State(shared): State<Arc<Shared>>,
    Query(asked): Query<Period>,
) -> Result<Json<Metrics>, Problem> {
    let prefill = shared.prefill()?;
    let days = asked.days.unwrap_or(USUAL_DAYS);
    let days = prefill.config.days(days, "days")?;
    let _place = shared.heavy_place().await?;
    let now = prefill.ledger.now().await?;
    Ok(Json(prefill.metrics(days, now).await?))
}
