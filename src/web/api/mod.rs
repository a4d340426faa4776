//! `/api/v1`: what the command line does, as JSON with the same field names.
//!
//! Each handler says beside itself what it takes and answers; the OpenAPI document is made of that, and
//! schemathesis holds it against a running server (`tests/api_openapi.rs`).

#![allow(unused_qualifications)] // utoipa writes types of parameters with them

mod backfills;
mod document;
mod events;
mod extract;
mod reports;
mod teams;

use std::sync::Arc;

use axum::Router;

use super::Shared;

/// How many are listed, unless a request says another number.
const LIMIT: u32 = 100;
/// The most that one answer lists.
const MOST_LISTED: u32 = 1_000;

/// The routes of the API and its document.
pub fn router(shared: &Shared) -> Router<Arc<Shared>> {
    let (router, document) = document::routes().split_for_parts();
    router.merge(document::router(document, shared))
}
