//! What was asked for, and how far it is.

use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;
use uuid::Uuid;

use super::asked::{Path, Query};
use super::frame::{Frame, Here};
use super::parts::{self, act, ask, command, counted, full_moment, moment, number, text};
use super::{Asker, Page, Viewer};
use crate::calendar::Days;
use crate::error::Error;
use crate::ledger::{Progress, Run, Slice};
use crate::report::{self, DayAtAGlance, Situation, Task};
use crate::web::problem::Problem;

/// How many runs are on a page.
const ON_A_PAGE: u32 = 50;

/// Runs, with links to each.
pub fn table(tasks: &[Task], now: Timestamp) -> Markup {
    html! {
        @if tasks.is_empty() {
            p.quiet { "Nothing was asked for yet. A run begins when a team turns the setting on, or somebody asks for a backfill." }
        } @else {
            div.scrolls role="region" tabindex="0" aria-label="Runs" {
                table {
                    caption.unseen { "Runs, the newest first" }
                    thead { tr { th scope="col" { "Asked" } th scope="col" { "Team" } th scope="col" { "Status" } th scope="col" { "Filled" } th scope="col" { "Days" } th scope="col" { "Reason" } } }
                    tbody {
                        @for Task { status, task: run, progress } in tasks {
                            tr {
                                th scope="row" { a href={ "/runs/" (run.id) } { (moment(run.requested_at, now)) span.unseen { ", run " (run.id) } } }
                                td { a href={ "/teams/" (run.team_id) } { (run.team_id) } }
                                td { (parts::status(status)) }
                                td { (parts::progress(progress)) }
                                td { (range(run)) }
                                td { (text(&run.reason)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The days that it is about.
pub fn range(run: &Run) -> Markup {
    let last = run.date_end.plus(-1);
    html! {
        @if last == run.date_start { span.nowrap { (last) } }
        @else { span.nowrap { (run.date_start) " to" } " " span.nowrap { (last) } }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct From {
    /// The last run of the page before.
    after: String,
}

pub(super) async fn list(asker: Asker, Query(from): Query<From>) -> Page {
    let ledger = &asker.prefill.ledger;
    let now = ledger.now().await?;
    let after = match from.after.as_str() {
        "" => None,
        id => Some(ledger.run(run_id(id)?).await?),
    };
    let (tasks, last) = report::page_of_tasks(ledger, None, after.as_ref(), ON_A_PAGE).await?;
    let content = html! {
        h1 { "Runs" }
        p.lead { "What was asked for, by a team's setting or by somebody, the newest first." }
        section #runs data-live {
            @if tasks.is_empty() && after.is_some() { p.quiet { "There are no earlier ones." } }
            @else { (table(&tasks, now)) }
        }
        nav.pages #pages aria-label="Pages" data-live hidden[after.is_none() && last.is_none()] {
            ul {
                @if after.is_some() { li { a href="/runs" { "The newest" } } }
                @if let Some(last) = last { li { a rel="next" href={ "/runs?after=" (last) } { "Earlier runs" } } }
            }
        }
    };
    let frame = Frame {
        title: "Runs",
        here: Here::Runs,
        every: Some(5),
        events: None,
    };
    Ok(asker.page(&frame, &content))
}

#[derive(Deserialize)]
pub(super) struct Asked {
    said: Option<String>,
}

/// A run's id in a path.
pub fn run_id(id: &str) -> Result<Uuid, Problem> {
    id.parse().map_err(|_| {
        Error::missing(format!("{id:?} is no id of a run"))
            .hint("/runs lists them")
            .into()
    })
}

pub(super) async fn page(asker: Asker, Path(id): Path<String>, Query(asked): Query<Asked>) -> Page {
    let id = run_id(&id)?;
    let (prefill, ledger) = (&asker.prefill, &asker.prefill.ledger);
    let now = ledger.now().await?;
    let run = ledger.run(id).await?;
    let progress = ledger.progress(id).await?;
    let team = ledger.find_team(run.team_id).await?;
    let of_run = Days {
        from: run.date_start,
        until: run.date_end,
    };
    let glances = match &team {
        Some(team) => report::days_of(ledger, &prefill.config, &[team], of_run, now).await?,
        None => std::collections::BTreeMap::new(),
    };
    let days: Vec<DayAtAGlance> = glances
        .into_values()
        .rev()
        .filter(|day| day.slice.is_some())
        .collect();
    let statements = statements(&asker, &days).await;
    let name = team.as_ref().map_or("", |team| &team.name);
    let is_live = !progress.is_over();
    let content = html! {
        (parts::flash(asked.said.as_deref()))
        p.crumbs { a href="/runs" { "Runs" } " / " a href={ "/teams/" (run.team_id) } { "team " (run.team_id) @if !name.is_empty() { " (" (text(name)) ")" } } }
        section #run data-live {
            h1 data-say {
                "Run: " (progress.status()) ", "
                @if progress.days == 0 { (parts::NOTHING_TO_DO) } @else { (number(progress.filled)) " of " (counted(progress.days, "day")) " filled" }
            }
            p.long-progress { (parts::status(progress.status())) " " (parts::progress(&progress)) }
            dl.facts {
                dt { "Task id" } dd { code { (run.id) } }
                dt { "Days" } dd { (range(&run)) }
                dt { "Reason" } dd { (text(&run.reason)) @if run.forced { " (what is filled is filled again)" } }
                dt { "Asked" } dd { (full_moment(run.requested_at, now)) }
                @if let Some(at) = run.paused_at { dt { "Paused" } dd { (full_moment(at, now)) } }
                @if let Some(at) = run.cancelled_at { dt { "Cancelled" } dd { (full_moment(at, now)) } }
                dt { "So far" }
                dd {
                    (number(progress.sessions)) " sessions, " (number(progress.page_views)) " page views, "
                    (number(progress.stats_rows)) " + " (number(progress.bounces_rows)) " rows of " (number(progress.events)) " events"
                }
                dt { "Follow it" } dd { (command(&format!("prefill status {}", run.id))) }
            }
            @if let Some(statements) = statements { p.aside { (statements) } }
        }
        @if asker.viewer.may_change() { section #acts data-live aria-label="What you can do" { (acts(asker.viewer, &run, &progress)) } }
        section #days data-live aria-labelledby="days-title" {
            h2 #days-title { "Its days" }
            (day_table(&days, now))
        }
    };
    let frame = Frame {
        title: &format!("Run of team {}", run.team_id),
        here: Here::Runs,
        every: Some(if is_live { 1 } else { 10 }),
        events: None,
    };
    Ok(asker.page(&frame, &content))
}

fn acts(viewer: Viewer, run: &Run, progress: &Progress) -> Markup {
    let path = |act: &str| format!("/runs/{}/{act}", run.id);
    let is_stopped = run.paused_at.is_some() || run.cancelled_at.is_some();
    let has_open = !progress.is_over() || progress.running > 0;
    html! {
        div.acts {
            @if viewer.may_change() {
                @if is_stopped { (act(&path("resume"), "Resume", &[])) }
                @if progress.failed > 0 && run.cancelled_at.is_none() { (act(&path("retry"), "Try what failed again", &[])) }
                @if has_open && !is_stopped { (act(&path("pause"), "Pause", &[])) }
                @if (has_open || run.paused_at.is_some()) && run.cancelled_at.is_none() {
                    (ask(&path("cancel"), "Cancel", "Its days are not filled for it any more. What is filled stays and is kept fresh.", "Cancel this run"))
                }
            }
        }
    }
}

/// What the warehouse says of what is under way, where there is something and it says so soon.
async fn statements(asker: &Asker, days: &[DayAtAGlance]) -> Option<String> {
    let slices: Vec<Slice> = days.iter().filter_map(|day| day.slice.clone()).collect();
    let found = report::statements_soon(&asker.prefill, &slices)
        .await
        .ok()?;
    let rows: u64 = found.values().map(|progress| progress.read_rows).sum();
    (!found.is_empty()).then(|| {
        format!(
            "The statements under way have read {} rows so far.",
            number(rows)
        )
    })
}

/// Days with what became of them, the newest first.
pub fn day_table(days: &[DayAtAGlance], now: Timestamp) -> Markup {
    html! {
        @if days.is_empty() {
            p.quiet { "There is none." }
        } @else {
            div.scrolls role="region" tabindex="0" aria-label="Receipts" {
                table {
                    caption.unseen { "Days, the newest first" }
                    thead { tr {
                        th scope="col" { "Day" } th scope="col" { "State" } th.n scope="col" { "Sessions" } th.n scope="col" { "Page views" }
                        th.n scope="col" { "Persons" } th.n scope="col" { "Rows" } th scope="col" { "Filled" } th.n scope="col" { "Tries" }
                    } }
                    tbody {
                        @for day in days {
                            @if let Some(slice) = &day.slice {
                                tr {
                                    th.nowrap scope="row" { a href={ "/teams/" (slice.team_id) "/days/" (slice.day) } { (slice.day) } }
                                    td { (parts::state(day.situation)) @if let Some(error) = slice.error.as_ref().filter(|_| day.situation != Situation::Filled) { p.error-text { (text(error)) } } }
                                    @match &slice.receipt {
                                        Some(receipt) => {
                                            td.n { (number(receipt.sessions)) } td.n { (number(receipt.page_views)) } td.n { (number(receipt.persons)) }
                                            td.n { (number(receipt.stats_rows + receipt.bounces_rows)) }
                                        }
                                        None => { td.n { "-" } td.n { "-" } td.n { "-" } td.n { "-" } }
                                    }
                                    td { @match slice.filled_at { Some(at) => (moment(at, now)), None => "-" } }
                                    td.n { (slice.attempts) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
