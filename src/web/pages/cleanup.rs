//! Deleting the rows of some days: first what that would be, then a button.

use axum::response::{IntoResponse, Redirect, Response};
use maud::html;

use super::asked::{Form, Path, Query};
use super::frame::{Frame, Here};
use super::parts::{command, counted, number, text};
use super::{Asker, Page, Range, team_id};
use crate::error::Error;
use crate::request::Target;
use crate::web::problem::Problem;

/// What is to be deleted is named by its first day and the day after the last, and by nothing else.
async fn target(asker: &Asker, team: &str, range: &Range) -> Result<Target, Problem> {
    let team = team_id(team)?;
    let asked = range.asked()?;
    if asked.date_start.is_none() || asked.date_end.is_none() {
        return Err(Error::misuse("a cleanup needs both days of its range")
            .hint("go back and give the first day and the day after the last")
            .into());
    }
    Ok(asker.prefill.target_of_cleanup(team, asked).await?)
}

pub(super) async fn ask(
    asker: Asker,
    Path(team): Path<String>,
    Query(range): Query<Range>,
) -> Page {
    let target = target(&asker, &team, &range).await?;
    let _place = asker.shared.heavy_place().await?;
    let would = asker.prefill.count_cleanup(&target).await?;
    let (team, days) = (&target.team, target.days);
    let content = html! {
        p.crumbs { a href="/teams" { "Teams" } " / " a href={ "/teams/" (team.id) } { "team " (team.id) " (" (text(&team.name)) ")" } }
        h1 { "Delete the rows of " (counted(days.count(), "day")) "?" }
        p.lead { "Team " (team.id) " (" (text(&team.name)) "), " (days.from) " to " (days.until.plus(-1)) ":" }
        ul {
            li { strong { (number(would.stats_rows)) } " rows of " code { "web_pre_aggregated_stats" } }
            li { strong { (number(would.bounces_rows)) } " rows of " code { "web_pre_aggregated_bounces" } }
            li { (counted(would.slices, "day")) " that prefill knows" }
        }
        p { "The team's setting is turned off, and fills of these days that are under way are stopped. Raw events stay, so the days can be filled again." }
        p.aside { "The same at the command line: " (command(&format!("prefill cleanup --team-id {} --date-start {} --date-end {}", team.id, days.from, days.until))) }
        div.acts {
            @if asker.viewer.may_change() {
                form.act action={ "/teams/" (team.id) "/cleanup" } method="post" {
                    input type="hidden" name="date_start" value=(days.from);
                    input type="hidden" name="date_end" value=(days.until);
                    button.danger type="submit" { "Delete these rows" }
                }
            }
            a.button.quiet href={ "/teams/" (team.id) } { "Keep them" }
        }
    };
    let frame = Frame {
        title: "Clean up",
        here: Here::Teams,
        every: None,
        events: None,
    };
    Ok(asker.page(&frame, &content))
}

pub(super) async fn delete(
    asker: Asker,
    Path(team): Path<String>,
    Form(range): Form<Range>,
) -> Result<Response, Problem> {
    let target = target(&asker, &team, &range).await?;
    let team = target.team.id;
    let (prefill, stop) = (asker.prefill.clone(), asker.shared.stop.clone());
    let cleanup = async move { prefill.cleanup(&target, &stop).await };
    asker.shared.to_the_end(cleanup).await?;
    Ok(Redirect::to(&format!("/teams/{team}?said=cleaned")).into_response())
}
