//! The dashboard at `/`: pages made here, on the server, that work without a script and without another
//! host. A script only asks for the same page again and puts in what changed.
//!
//! Only how things are shown is here. What is shown comes from reports and the ledger, what is asked goes
//! where the command line's goes, and what goes wrong is a [`Problem`], which [`as_pages`] makes a page of
//! for browsers. Everything that comes from outside is escaped by `maud`.

mod acts;
mod asked;
mod assets;
mod cleanup;
mod day;
mod fills;
mod frame;
mod headline;
pub mod login;
mod looks;
mod overview;
mod parts;
mod runs;
mod team;
mod teams;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;

use super::guard::{Access, LOGIN};
use super::problem::Problem;
use super::{Shared, must_be_few_days};
use crate::calendar::{Day, TeamId};
use crate::error::Error;
use crate::request::Asked;
use crate::service::Prefill;
use frame::{Frame, Here};
use looks::Beside;

pub use assets::PATH as ASSETS;

/// A page.
type Page = Result<Html<String>, Problem>;

pub fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/", get(overview::page))
        .route("/teams", get(teams::page))
        .route("/teams/{team}", get(team::page))
        .route("/teams/{team}/days/{day}", get(day::page))
        .route(
            "/teams/{team}/backfill",
            get(fills::estimate).post(fills::backfill),
        )
        .route("/teams/{team}/validate", get(fills::validate))
        .route(
            "/teams/{team}/cleanup",
            get(cleanup::ask).post(cleanup::delete),
        )
        .route("/teams/{team}/setting", post(acts::setting))
        .route("/teams/{team}/{act}", post(acts::of_team))
        .route("/runs", get(runs::list))
        .route("/runs/{run}", get(runs::page))
        .route("/runs/{run}/{act}", post(acts::of_run))
        .route("/all/{act}", post(acts::of_everything))
        .route(LOGIN, get(login::ask).post(login::take))
        .route("/assets/{name}", get(assets::asset))
        .layer(Extension(Arc::new(Beside::default())))
}

/// Who asks for a page, of what installation.
struct Asker {
    prefill: Prefill,
    shared: Arc<Shared>,
    viewer: Viewer,
}

/// What somebody may do.
#[derive(Clone, Copy)]
struct Viewer {
    access: Access,
    /// With a token, so that there is something to log out of.
    has_token: bool,
}

impl Viewer {
    fn may_change(self) -> bool {
        self.access == Access::Full
    }
}

impl FromRequestParts<Arc<Shared>> for Asker {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        shared: &Arc<Shared>,
    ) -> Result<Self, Self::Rejection> {
        let access = parts.extensions.get::<Access>().copied();
        Ok(Self {
            prefill: shared.prefill()?.clone(),
            viewer: Viewer {
                access: access.unwrap_or(Access::ReadOnly),
                has_token: shared.guard.has_tokens(),
            },
            shared: Arc::clone(shared),
        })
    }
}

impl Asker {
    fn page(&self, frame: &Frame<'_>, content: &maud::Markup) -> Html<String> {
        Html(frame::document(Some(self.viewer), frame, content).into_string())
    }
}

/// A team's number in a path.
fn team_id(text: &str) -> Result<TeamId, Problem> {
    text.parse()
        .map_err(|error: String| Error::missing(error).hint("/teams lists the teams").into())
}

fn day(text: &str) -> Result<Day, Problem> {
    text.parse()
        .map_err(|error: String| Error::missing(error).into())
}

/// Days that somebody asks for in a form; what is left empty is not asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Range {
    days: String,
    date_start: String,
    date_end: String,
    /// Fill again what is filled.
    force: String,
}

impl Range {
    fn asked(&self) -> Result<Asked, Problem> {
        let invalid = |what: String, hint: &str| Problem::from(Error::misuse(what).hint(hint));
        let date = |text: &str| {
            let text = text.trim();
            (!text.is_empty())
                .then(|| text.parse::<Day>())
                .transpose()
                .map_err(|error| invalid(error, "go back and correct the date"))
        };
        let days = self.days.trim();
        let asked = Asked {
            days: (!days.is_empty())
                .then(|| days.parse())
                .transpose()
                .map_err(|_| {
                    invalid(
                        format!("{days:?} is no number of days"),
                        "go back and give a whole number",
                    )
                })?,
            date_start: date(&self.date_start)?,
            date_end: date(&self.date_end)?,
        };
        if asked.days.is_some() && (asked.date_start.is_some() || asked.date_end.is_some()) {
            return Err(invalid(
                "a number of days and a range were given".to_owned(),
                "go back and give one of them",
            ));
        }
        must_be_few_days(&asked)?;
        Ok(asked)
    }

    fn is_empty(&self) -> bool {
        [&self.days, &self.date_start, &self.date_end]
            .iter()
            .all(|text| text.trim().is_empty())
    }

    fn force(&self) -> bool {
        !self.force.is_empty()
    }
}

/// The problem of an answer, as it was written.
#[derive(Deserialize)]
struct Told {
    title: String,
    detail: String,
    hint: Option<String>,
}

/// A problem is longer only by a bug.
const LONGEST_PROBLEM: usize = 1 << 20;

/// Makes a page of a problem, where a browser asked for a page.
pub async fn as_pages(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let of_page = wants_page(request.headers()) && !path.starts_with("/api/");
    let is_read = request.method() == Method::GET;
    let response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE);
    if !of_page || kind.is_none_or(|kind| kind != "application/problem+json") {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let told = Limited::new(body, LONGEST_PROBLEM).collect().await;
    let told = told.ok().map(http_body_util::Collected::to_bytes);
    let told = told.and_then(|body| serde_json::from_slice::<Told>(&body).ok());
    let told = told.unwrap_or_else(|| Told {
        title: "It failed".to_owned(),
        detail: "what went wrong could not be told".to_owned(),
        hint: None,
    });
    let page = of_problem(parts.status, &told, is_read);
    for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH] {
        parts.headers.remove(name);
    }
    let mut page = Html(page.into_string()).into_response();
    page.headers_mut().extend(parts.headers);
    *page.status_mut() = parts.status;
    page
}

fn of_problem(status: StatusCode, told: &Told, is_read: bool) -> maud::Markup {
    // What is for programs is no next step for people.
    let hint = told.hint.as_deref().filter(|hint| !hint.contains("/api/"));
    let frame = Frame {
        title: &told.title,
        here: Here::Elsewhere,
        // It may be over soon; what was to be changed is not asked for again by itself.
        every: (is_read && status == StatusCode::SERVICE_UNAVAILABLE).then_some(5),
        events: None,
    };
    let content = maud::html! {
        section #problem .problem data-live {
            p.status-code { "Error " (status.as_u16()) }
            h1 { (told.title) }
            p.error-text { (parts::text(&told.detail)) }
            @if let Some(hint) = hint {
                p { strong { "What to do: " } (parts::text(hint)) }
            }
            p { a.button href="/" { "To the overview" } }
        }
    };
    frame::document(None, &frame, &content)
}

fn wants_page(headers: &HeaderMap) -> bool {
    let accepts = headers.get(header::ACCEPT);
    accepts
        .and_then(|accepts| accepts.to_str().ok())
        .is_some_and(|accepts| accepts.contains("text/html"))
}
