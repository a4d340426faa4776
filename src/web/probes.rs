//! Whether the process is alive, and whether it can work: for supervisors, without a token.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::Shared;
use super::problem::Problem;
use crate::error::{Class, Error};

/// How long ledger and warehouse may take to answer a probe.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

pub fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/healthz", get(async || Json(json!({ "status": "alive" }))))
        .route("/readyz", get(is_ready))
}

async fn is_ready(State(shared): State<Arc<Shared>>) -> Result<Json<Value>, Problem> {
    if shared.stop.is_cancelled() {
        return Err(Error::new(Class::Later, "told to stop").into());
    }
    let prefill = shared.prefill()?;
    let looked = tokio::time::timeout(ANSWER_WITHIN, prefill.is_ready()).await;
    looked
        .unwrap_or_else(|_| {
            Err(Error::new(
                Class::Unreachable,
                format!(
                    "ledger and warehouse did not answer within {} s",
                    ANSWER_WITHIN.as_secs()
                ),
            )
            .hint("prefill health says which of them"))
        })
        // Whatever is wrong, it is not this request.
        .map_err(|error| Problem::unavailable(&error))?;
    Ok(Json(json!({ "status": "ready" })))
}
