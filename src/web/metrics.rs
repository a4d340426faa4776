//! What Prometheus scrapes: an answer at any time, also while the ledger cannot be opened.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;

use super::{Shared, traffic};
use crate::scrape::{self, Scraper};
use crate::telemetry::Sheet;

pub fn router() -> Router<Arc<Shared>> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let sheet = Sheet::default();
    traffic::write(&shared, &sheet);
    let text = match shared.prefill() {
        Ok(prefill) => {
            let scraper = shared.scraper.get_or_init(|| Scraper::new(prefill.clone()));
            scraper.text_with(sheet).await
        }
        Err(_) => scrape::without_ledger(&sheet),
    };
    ([(CONTENT_TYPE, scrape::CONTENT_TYPE)], text)
}
