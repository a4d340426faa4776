//! Asking for days of a team: to be filled, what that would do, and whether they are right.

use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};

use super::asked::{Form, Path, Query};
use super::frame::{Frame, Here};
use super::parts::{self, command, counted, number, text};
use super::{Asker, Page, Range, team_id};
use crate::report::{DayVerdict, Validation};
use crate::request::{Asked, Target};
use crate::web::problem::Problem;

pub(super) async fn backfill(
    asker: Asker,
    Path(team): Path<String>,
    Form(range): Form<Range>,
) -> Result<Response, Problem> {
    let target = asker
        .prefill
        .target(team_id(&team)?, range.asked()?)
        .await?;
    let (prefill, force) = (asker.prefill.clone(), range.force());
    let asked = async move { prefill.backfill(&target, force).await };
    let run = asker.shared.to_the_end(asked).await?;
    Ok(Redirect::to(&format!("/runs/{run}")).into_response())
}

/// The fields of a form that asks for the same again.
fn same(range: &Range) -> Markup {
    html! {
        @for (name, value) in [("days", &range.days), ("date_start", &range.date_start), ("date_end", &range.date_end), ("force", &range.force)] {
            @if !value.is_empty() { input type="hidden" name=(name) value=(value); }
        }
    }
}

fn of_team(target: &Target) -> Markup {
    html! {
        p.crumbs { a href="/teams" { "Teams" } " / " a href={ "/teams/" (target.team.id) } { "team " (target.team.id) " (" (text(&target.team.name)) ")" } }
    }
}

pub(super) async fn estimate(
    asker: Asker,
    Path(team): Path<String>,
    Query(range): Query<Range>,
) -> Page {
    let target = asker
        .prefill
        .target(team_id(&team)?, range.asked()?)
        .await?;
    let _place = asker.shared.heavy_place().await?;
    let estimate = asker.prefill.estimate(&target, range.force()).await?;
    let days = estimate.slices.len();
    let content = html! {
        (of_team(&target))
        h1 { "What a backfill would do" }
        @if days == 0 {
            p.lead { "Nothing: all of " (target.days) " is filled. With " em { "fill again what is filled" } " it would be filled once more." }
        } @else {
            p.lead {
                "It would fill " strong { (counted(days, "day")) } " of " (target.days) ": "
                (number(estimate.rows)) " raw events, " (indicatif::HumanBytes(estimate.bytes)) " uncompressed"
                @match estimate.seconds {
                    Some(seconds) => { ", in about " (parts::length(seconds)) },
                    None => ", and nothing was filled yet that would tell how long it takes",
                }
                "."
            }
            @if asker.viewer.may_change() {
                form.act action={ "/teams/" (target.team.id) "/backfill" } method="post" {
                    (same(&range))
                    button type="submit" { "Fill " (counted(days, "day")) }
                }
            }
            div.scrolls role="region" tabindex="0" aria-label="Days" {
                table {
                    caption.unseen { "The days that would be filled, the newest first" }
                    thead { tr { th scope="col" { "Day" } th scope="col" { "State" } th.n scope="col" { "Raw events" } } }
                    tbody {
                        @for slice in &estimate.slices {
                            tr { th scope="row" { (slice.day) } td { @match slice.state { Some(state) => (state), None => "-" } } td.n { (number(slice.rows)) } }
                        }
                    }
                }
            }
        }
        p { a href={ "/teams/" (target.team.id) } { "Back to the team" } }
    };
    let frame = Frame {
        title: "What a backfill would do",
        here: Here::Teams,
        every: None,
        events: None,
    };
    Ok(asker.page(&frame, &content))
}

pub(super) async fn validate(
    asker: Asker,
    Path(team): Path<String>,
    Query(range): Query<Range>,
) -> Page {
    let prefill = &asker.prefill;
    let asked: Asked = range.asked()?;
    let mut target = prefill.target(team_id(&team)?, asked).await?;
    let _place = asker.shared.heavy_place().await?;
    let validation = if range.is_empty() {
        let now = prefill.ledger.now().await?;
        prefill.validate_wanted(&mut target, now).await?
    } else {
        prefill.validate(&target).await?
    };
    let wrong: Vec<&DayVerdict> = validation.days.iter().filter(|day| !day.clean).collect();
    let checked = validation.days.len();
    let content = html! {
        (of_team(&target))
        h1 {
            @if checked == 0 { "There is no day to compare" }
            @else if wrong.is_empty() { @if checked == 1 { "The day equals the raw events" } @else { "All " (number(checked)) " days equal the raw events" } }
            @else { (number(wrong.len())) " of " (counted(checked, "day")) @if wrong.len() == 1 { " differs" } @else { " differ" } " from the raw events" }
        }
        p.aside { "Team " (target.team.id) ", " (target.days) "." }
        @if let (Some(first), Some(last)) = (wrong.iter().map(|day| day.day).min(), wrong.iter().map(|day| day.day).max()) {
            div.note.bad {
                p { "prefill serve fills a day again when events came since it was filled. To fill them again now: "
                    (command(&format!("prefill backfill --team-id {} --date-start {first} --date-end {} --force", target.team.id, last.plus(1)))) }
                @if asker.viewer.may_change() && target.team.enabled {
                    (parts::act(&format!("/teams/{}/backfill", target.team.id), "Fill them again", &[
                        ("date_start", &first.to_string()), ("date_end", &last.plus(1).to_string()), ("force", "1"),
                    ]))
                }
            }
        }
        (verdicts(&validation, &target))
        p { a href={ "/teams/" (target.team.id) } { "Back to the team" } }
    };
    let frame = Frame {
        title: "Validation",
        here: Here::Teams,
        every: None,
        events: None,
    };
    Ok(asker.page(&frame, &content))
}

fn verdicts(validation: &Validation, target: &Target) -> Markup {
    html! {
        @if !validation.days.is_empty() {
            div.scrolls role="region" tabindex="0" aria-label="Verdicts" {
                table {
                    caption.unseen { "The verdict of each day; the numbers are those of the raw events" }
                    thead { tr {
                        th scope="col" { "Day" } th scope="col" { "Verdict" } th.n scope="col" { "Page views" } th.n scope="col" { "Sessions" }
                        th.n scope="col" { "Persons" } th.n scope="col" { "Bounces" } th.n scope="col" { "Seconds" } th scope="col" { "State" }
                    } }
                    tbody {
                        @for day in &validation.days {
                            @let raw = &day.verdict.raw;
                            tr {
                                th.nowrap scope="row" { a href={ "/teams/" (target.team.id) "/days/" (day.day) } { (day.day) } }
                                td {
                                    @if day.clean { span.state.s-filled { span.sign aria-hidden="true" { "✓" } " equal" } }
                                    @else { span.state.s-failed { span.sign aria-hidden="true" { "✕" } " differs" } p.error-text { (day.verdict.describe()) } }
                                }
                                td.n { (number(raw.page_views)) } td.n { (number(raw.sessions)) } td.n { (number(raw.persons)) }
                                td.n { (number(raw.bounces)) } td.n { (number(raw.duration_seconds)) }
                                td { @match day.state { Some(state) => (state), None => "-" } }
                            }
                        }
                    }
                }
            }
        }
    }
}
