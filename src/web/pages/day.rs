//! Why a day of a team is as it is, as `prefill explain` has it.

use maud::{Markup, html};

use super::asked::Path;
use super::frame::{Frame, Here};
use super::parts::{self, act, command, counted, full_moment, number, text};
use super::{Asker, Page, team_id};
use crate::report::{Explanation, FilledDay, Running, Situation};

pub(super) async fn page(asker: Asker, Path((team, day)): Path<(String, String)>) -> Page {
    let (team, day) = (team_id(&team)?, super::day(&day)?);
    let now = asker.prefill.ledger.now().await?;
    let _place = asker.shared.heavy_place().await?;
    let told = asker.prefill.explain(team, day).await?;
    let may_fill = asker.viewer.may_change()
        && !matches!(
            told.situation,
            Situation::NotThere | Situation::Misconfigured
        );
    let content = html! {
        p.crumbs { a href="/teams" { "Teams" } " / " a href={ "/teams/" (team) } { "team " (team) " (" (text(&told.team_name)) ")" } }
        section #day data-live {
            h1 data-say { (day) ": " (told.situation) }
            p.long-progress { (parts::state(told.situation)) }
            dl.facts.why {
                dt { "Why" } dd { (text(&told.why)) }
                @if let Some(error) = &told.error { dt { "Error" } dd.error-text { (text(error)) } }
                dt { "Next" } dd { (text(&told.next)) }
                @if let Some(run) = &told.command { dt { "Run" } dd { (command(run)) } }
            }
            @for stop in &told.stops {
                div.note.warn { p { strong { (text(&stop.what)) } @if let Some(since) = stop.since { " since " (full_moment(since, now)) } ": " (command(&stop.command)) } }
            }
            (facts(&told, now))
        }
        @if may_fill { section #acts.acts data-live aria-label="What you can do" { (acts(&told)) } }
        section #tasks data-live aria-labelledby="tasks-title" {
            h2 #tasks-title { "Runs that it belongs to" }
            (tasks(&told, now))
        }
        nav.pages aria-label="Days" {
            ul {
                li { a rel="prev" href={ "/teams/" (team) "/days/" (day.plus(-1)) } { "The day before" } }
                li { a rel="next" href={ "/teams/" (team) "/days/" (day.plus(1)) } { "The day after" } }
            }
        }
    };
    let title = format!("{day} of team {team}");
    let frame = Frame {
        title: &title,
        here: Here::Teams,
        every: Some(if told.situation == Situation::Running {
            1
        } else {
            5
        }),
        events: None,
    };
    Ok(asker.page(&frame, &content))
}

fn acts(told: &Explanation) -> Markup {
    let (team, day) = (told.team_id, told.day);
    let (from, until) = (day.to_string(), day.plus(1).to_string());
    let backfill = format!("/teams/{team}/backfill");
    let range = [("date_start", from.as_str()), ("date_end", until.as_str())];
    html! {
        @match told.situation {
            Situation::Filled | Situation::Stale => {
                (act(&backfill, "Fill it again", &[range[0], range[1], ("force", "1")]))
                form.act action={ "/teams/" (team) "/validate" } method="get" {
                    @for (name, value) in range { input type="hidden" name=(name) value=(value); }
                    button.quiet type="submit" { "Validate it" }
                }
            }
            Situation::Failed | Situation::Retrying | Situation::Cleaned | Situation::NotWanted | Situation::Cancelled => {
                (act(&backfill, "Ask for it", &range))
            }
            _ => {}
        }
    }
}

fn facts(told: &Explanation, now: jiff::Timestamp) -> Markup {
    html! {
        dl.facts {
            @if let Some((from, until)) = told.from.zip(told.until) {
                dt { "Bounds" }
                dd { (from) " until " (until) ", " (until.duration_since(from).as_hours()) " h in " (text(&told.timezone)) }
            }
            @if let Some(warehouse) = &told.warehouse { dt { "Warehouse" } dd { (text(warehouse)) } }
            @if let (Some(state), Some(reason)) = (told.state, &told.reason) { dt { "State" } dd { (state) " (" (text(reason)) ")" } }
            @if let Some(at) = told.wanted_since { dt { "Wanted since" } dd { (full_moment(at, now)) } }
            @if let Some(at) = told.claimed_at { dt { "Last claimed" } dd { (full_moment(at, now)) } }
            @if told.tries > 0 { dt { "Tries" } dd { (told.tries) " of " (told.most_tries) } }
            @if let Some(at) = told.next_try { dt { "Next try" } dd { (full_moment(at, now)) } }
            @if let Some(running) = &told.running { (running_facts(running, now)) }
            @if let Some(filled) = &told.receipt { (receipt(filled, now)) }
            @if let Some(holds) = &told.in_tables {
                dt { "Tables" }
                dd {
                    @if holds.as_verified { "hold what was verified" }
                    @else {
                        "hold " (number(holds.sessions)) " sessions, " (number(holds.stats_page_views)) " page views in stats, "
                        (number(holds.bounces_page_views)) " in bounces"
                    }
                }
            }
            @if let Some(error) = &told.warehouse_error { dt { "Not asked" } dd { "the warehouse: " span.error-text { (text(error)) } } }
        }
    }
}

fn running_facts(running: &Running, now: jiff::Timestamp) -> Markup {
    html! {
        dt { "Claim" } dd { code { (running.claim) } }
        dt { "Worker" } dd.owner { (text(&running.owner)) }
        @if let Some(until) = running.lease_until {
            dt { "Lease until" } dd { (full_moment(until, now)) @if running.lease_is_over { ", is over" } }
        }
        @if running.together > 1 { dt { "Together" } dd { "with " (counted(running.together - 1, "other day")) } }
        @if let Some(now) = &running.statements {
            dt { "Statements" }
            dd {
                @if now.statements == 0 { "none under way at this moment" }
                @else {
                    "read " (number(now.read_rows)) " rows so far, for " (parts::length(now.elapsed_seconds)) ", with "
                    (indicatif::HumanBytes(u64::try_from(now.memory_bytes).unwrap_or(0))) " of memory"
                }
            }
        }
    }
}

fn receipt(filled: &FilledDay, now: jiff::Timestamp) -> Markup {
    let receipt = &filled.receipt;
    html! {
        dt { "Filled" }
        dd {
            (full_moment(filled.filled_at, now))
            @if let Some(as_of) = filled.as_of { ", with the events that were there at " (full_moment(as_of, now)) }
        }
        dt { "Receipt" }
        dd {
            (number(receipt.sessions)) " sessions, " (number(receipt.page_views)) " page views, " (number(receipt.persons)) " persons, "
            (number(receipt.stats_rows)) " + " (number(receipt.bounces_rows)) " rows of " (number(receipt.events)) " events, in "
            (number(receipt.elapsed_ms)) " ms"
        }
    }
}

fn tasks(told: &Explanation, now: jiff::Timestamp) -> Markup {
    html! {
        @if told.tasks.is_empty() { p.quiet { "None: it is wanted because of the team's setting alone, or not at all." } }
        ul.plain {
            @for task in &told.tasks {
                li {
                    a href={ "/runs/" (task.task_id) } { code { (task.task_id) } } " (" (text(&task.reason)) ", asked " (full_moment(task.requested_at, now)) "): "
                    @match (task.is_done, task.cancelled_at, task.paused_at) {
                        (true, ..) => "filled for it",
                        (_, Some(_), _) => "cancelled",
                        (_, _, Some(_)) => "paused",
                        _ => "waits for it",
                    }
                }
            }
        }
    }
}
