//! What a button does: asks the ledger, and leads back to where one sees what came of it.

use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::asked::{Form, Path};
use super::runs::run_id;
use super::{Asker, team_id};
use crate::error::{Error, Result};
use crate::ledger::Extent;
use crate::web::problem::Problem;

/// Where to go afterwards, and what to set.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Fields {
    to: String,
    on: String,
}

impl Fields {
    /// Where the button was, if not on the page of what it was about.
    fn to_or(&self, page: String) -> String {
        match self.to.as_str() {
            "overview" => "/".to_owned(),
            _ => page,
        }
    }
}

/// Does what the last part of a path names, to the end; the word for what was done.
async fn act(asker: &Asker, act: String, extent: Extent) -> Result<&'static str> {
    let ledger = asker.prefill.ledger.clone();
    let done = async move {
        match act.as_str() {
            "pause" => ledger.pause(extent).await.map(|()| "paused"),
            "resume" => ledger.resume(extent).await.map(|()| "resumed"),
            "cancel" => ledger.cancel(extent).await.map(|_| "cancelled"),
            "retry" => ledger.retry(extent).await.map(|_| "retried"),
            _ => Err(Error::missing(format!("nothing is called {act:?} here"))
                .hint("go back and use one of the buttons")),
        }
    };
    asker.shared.to_the_end(done).await
}

fn back(path: &str, said: &str) -> Response {
    Redirect::to(&format!("{path}?said={said}")).into_response()
}

pub(super) async fn of_team(
    asker: Asker,
    Path((team, what)): Path<(String, String)>,
    Form(fields): Form<Fields>,
) -> Result<Response, Problem> {
    let team = team_id(&team)?;
    let said = act(&asker, what, Extent::Team(team)).await?;
    Ok(back(&fields.to_or(format!("/teams/{team}")), said))
}

pub(super) async fn of_run(
    asker: Asker,
    Path((run, what)): Path<(String, String)>,
    Form(fields): Form<Fields>,
) -> Result<Response, Problem> {
    let run = run_id(&run)?;
    let said = act(&asker, what, Extent::Task(run)).await?;
    Ok(back(&fields.to_or(format!("/runs/{run}")), said))
}

pub(super) async fn of_everything(
    asker: Asker,
    Path(what): Path<String>,
) -> Result<Response, Problem> {
    if what == "cancel" {
        return Err(Error::missing("everything is not cancelled at once here")
            .hint("run prefill cancel --all")
            .into());
    }
    let said = act(&asker, what, Extent::Everything).await?;
    Ok(back("/", said))
}

pub(super) async fn setting(
    asker: Asker,
    Path(team): Path<String>,
    Form(fields): Form<Fields>,
) -> Result<Response, Problem> {
    let team = team_id(&team)?;
    let ledger = &asker.prefill.ledger;
    if let Some(table) = ledger.other_teams() {
        return Err(
            Error::conflict(format!("the setting of team {team} is kept in {table}"))
                .hint(format!(
                    "change it where {table} is kept, or run prefill enable or prefill disable"
                ))
                .into(),
        );
    }
    let team = ledger.team(team).await?.id;
    let on = !fields.on.is_empty();
    let prefill = asker.prefill.clone();
    let set = async move {
        prefill.ledger.set_enabled(team, on).await?;
        prefill.reconcile(team).await
    };
    asker.shared.to_the_end(set).await?;
    Ok(back(
        &format!("/teams/{team}"),
        if on { "on" } else { "off" },
    ))
}
