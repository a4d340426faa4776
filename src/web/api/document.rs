//! The OpenAPI document, made of what stands beside each handler.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use utoipa::OpenApi;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{self, Ref, RefOr};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Shared, backfills, events, reports, teams};
use crate::report::Standing;
use crate::web::guard::COOKIE;
use crate::web::problem::Problem;

/// Of a problem.
const PROBLEM_JSON: &str = "application/problem+json";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "prefill",
        description = "Keeps the pre-aggregated web analytics tables of ClickHouse filled. The fields are those of the command line with --json; fields are only added."
    ),
    components(schemas(Problem, Standing))
)]
struct Document;

/// All routes that the document has.
pub fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(teams::list))
        .routes(routes!(teams::one, teams::change))
        .routes(routes!(teams::steer))
        .routes(routes!(teams::explain))
        .routes(routes!(teams::coverage))
        .routes(routes!(events::of_everything))
        .routes(routes!(backfills::list, backfills::create))
        .routes(routes!(backfills::one))
        .routes(routes!(events::of_backfill))
        .routes(routes!(backfills::steer))
        .routes(routes!(backfills::steer_everything))
        .routes(routes!(backfills::validate))
        .routes(routes!(backfills::cleanup))
        .routes(routes!(reports::status))
        .routes(routes!(reports::health))
        .routes(routes!(reports::metrics))
}

/// Where the document is.
pub fn router(mut document: openapi::OpenApi, shared: &Shared) -> Router<Arc<Shared>> {
    complete(&mut document, shared.guard.has_tokens());
    let text: axum::body::Bytes = serde_json::to_vec(&document)
        .expect("a document has only texts for keys")
        .into();
    let answer = get(async || ([(header::CONTENT_TYPE, "application/json")], text));
    Router::new().route("/api/v1/openapi.json", answer)
}

/// Adds what holds for every operation.
fn complete(document: &mut openapi::OpenApi, has_tokens: bool) {
    for item in document.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.post, &mut item.patch]
            .into_iter()
            .flatten()
        {
            add_refusals(operation, has_tokens);
        }
    }
    if !has_tokens {
        return;
    }
    let components = document.components.get_or_insert_default();
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let cookie = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(COOKIE)));
    for (name, scheme) in [("token", bearer), ("cookie", cookie)] {
        components.add_security_scheme(name, scheme);
    }
    let one_of = ["token", "cookie"].map(|name| SecurityRequirement::new(name, [""; 0]));
    document.security = Some(one_of.to_vec());
}

fn add_refusals(operation: &mut Operation, has_tokens: bool) {
    let refusals = [
        ("400", "It does not fit this document"),
        ("401", "There is no token, or one that is not known"),
        (
            "403",
            "It may not be done with this token, by this name or from this page",
        ),
        ("413", "The body is too large"),
        (
            "500",
            "Somebody has to change something first, or it is a bug",
        ),
        (
            "503",
            "Ledger or warehouse cannot be reached, or it took too long: try again",
        ),
    ];
    for (status, description) in refusals {
        let can_be = match status {
            "401" => has_tokens,
            "413" => operation.request_body.is_some(),
            _ => true,
        };
        if can_be {
            operation
                .responses
                .responses
                .insert(status.to_owned(), RefOr::T(problem(description)));
        }
    }
}

fn problem(description: &str) -> Response {
    let schema = Ref::from_schema_name("Problem");
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new()
        .description(description)
        .content(PROBLEM_JSON, content)
        .build()
}
