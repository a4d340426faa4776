//! What an operator wants to see at three in the morning: what somebody has to do first, then how far
//! everything is.
//!
//! What the ledger says is of this second, and one answer for all who look at the same time. What takes
//! longer is looked at beside that, see [`super::looks`], and told with its age.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::Extension;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use serde::Deserialize;

use super::asked::Query;
use super::frame::{Frame, Here};
use super::headline::{Headline, headline};
use super::looks::{Beside, DAY, Known, Look, Seen, Sight};
use super::parts::{self, act, command, counted, hint, moment, number, text};
use super::{Asker, Page, Viewer, runs};
use crate::calendar::TeamId;
use crate::ledger::{Extent, FailedAlike, FilledHour};
use crate::report::{self, Health, Overview};

/// How many of the same kind are listed.
const MOST: usize = 10;

#[derive(Deserialize)]
pub(super) struct Asked {
    said: Option<String>,
}

pub(super) async fn page(
    asker: Asker,
    Extension(beside): Extension<Arc<Beside>>,
    Query(asked): Query<Asked>,
) -> Page {
    let (overview, known) = tokio::join!(asker.shared.overview(), beside.ask(&asker.prefill));
    let overview = overview?;
    let look = known.look.as_deref();
    let viewer = asker.viewer;
    let attention = attention(viewer, &overview, &known);
    let content = html! {
        (parts::flash(asked.said.as_deref()))
        section #verdict data-live { (verdict(&overview, &known, attention.len())) }
        section #attention aria-labelledby="attention-title" data-live hidden[attention.is_empty()] {
            @if !attention.is_empty() {
                h2 #attention-title { "What needs somebody" }
                ol.attention { @for item in &attention { li { (item) } } }
            }
        }
        @if overview.teams == 0 { (first_steps()) }
        section #numbers aria-label="Numbers" data-live { (numbers(&overview)) }
        div.columns {
            div {
                section #running aria-labelledby="running-title" data-live { (running(&overview)) }
                section #filled aria-labelledby="filled-title" data-live { (filled(look)) }
                section #warehouses aria-labelledby="warehouses-title" data-live { (warehouses(&overview, &known)) }
            }
            div {
                section #runs aria-labelledby="runs-title" data-live {
                    h2 #runs-title { "Latest runs" }
                    (runs::table(&overview.tasks, overview.now))
                    @if !overview.tasks.is_empty() { p.more { a href="/runs" { "All runs" } } }
                }
                section #pauses aria-labelledby="pauses-title" data-live { (pauses(viewer, &overview)) }
            }
        }
    };
    let frame = Frame {
        title: "Overview",
        here: Here::Overview,
        every: Some(if overview.under_way.is_empty() { 5 } else { 2 }),
        events: Some("/api/v1/events"),
    };
    Ok(asker.page(&frame, &content))
}

/// The whole in a sentence.
fn verdict(overview: &Overview, known: &Known, problems: usize) -> Markup {
    let Headline {
        class,
        sign,
        title,
        more,
    } = headline(overview, known, problems);
    html! {
        div.verdict.(class) {
            span.big-sign aria-hidden="true" { (sign) }
            div {
                h1 data-say { (title) }
                p { (more) }
                p.aside {
                    "Ledger read " (moment(overview.now, overview.now)) "; "
                    @match (&known.look, known.sight) {
                        (Some(look), _) => { "tables checked " (moment(look.at, overview.now)) }
                        (None, Sight::Lost(_)) => "the tables could not be checked yet",
                        (None, _) => "tables are being checked",
                    }
                    "."
                }
            }
        }
    }
}

/// What somebody has to do, the most urgent first.
fn attention(viewer: Viewer, overview: &Overview, known: &Known) -> Vec<Markup> {
    let mut items = Vec::new();
    let health = known.health();
    if let Some(Err(error)) = known.look.as_ref().map(|look| &look.what.health) {
        items.push(item(
            "The health of the tables cannot be told",
            &html! {
                p.error-text { (text(&error.chain())) }
            },
            &html! { @if let Some(next) = error.next_step() { (hint(next)) } },
        ));
    }
    for name in known.silent() {
        // Of one that could not be used before more is told below.
        let of_warehouse = known.of_warehouse(name);
        if of_warehouse.is_none_or(|health| health.error.is_none()) {
            let title = format!("Warehouse {name} does not answer");
            let what = html! { p { "It gave no sign of life just now. What is shown of the tables was seen before." } };
            let next = html! { "Look whether it runs, and at the network before it: " (command("prefill health")) };
            items.push(item(&title, &what, &next));
        }
    }
    let warehouses = health.map_or(&[][..], |health| &health.warehouses);
    for warehouse in warehouses {
        if let Some(error) = &warehouse.error {
            let title = format!("Warehouse {} cannot be used", warehouse.name);
            let what = html! {
                p.error-text { (text(error)) }
                p { (counted(warehouse.enabled_teams, "team")) " with the setting on " (if warehouse.enabled_teams == 1 { "is" } else { "are" }) " on it." }
            };
            let next = html! { @if let Some(next) = &warehouse.hint { (hint(next)) } };
            items.push(item(&title, &what, &next));
        }
    }
    for failed in &overview.failures {
        items.push(failure(viewer, failed));
    }
    let of_misconfigured = overview.misconfigured.len();
    if of_misconfigured > 0 {
        let title = format!(
            "Of {} nobody can tell what is wanted",
            counted(of_misconfigured, "team")
        );
        let recommended = |id: TeamId| {
            let known = health.into_iter().flat_map(|health| {
                let missing = health.teams_missing_data.iter();
                let gaps = health.data_gaps_detected.iter();
                missing
                    .map(|team| (team.team_id, &team.mending.recommendation))
                    .chain(gaps.map(|gap| (gap.team_id, &gap.mending.recommendation)))
            });
            known
                .filter(|(team, _)| *team == id)
                .map(|(_, next)| next)
                .next()
        };
        let what = html! {
            ul {
                @for team in overview.misconfigured.iter().take(MOST) {
                    li {
                        (team_link(team.team.id, &team.team.name)) ": " span.error-text { (text(&team.state)) }
                        @if let Some(next) = recommended(team.team.id) { div.next { (hint(next)) } }
                    }
                }
            }
            @if of_misconfigured > MOST { p { a href="/teams?state=misconfigured" { "All " (number(of_misconfigured)) " of them" } } }
        };
        items.push(item(&title, &what, &html! {}));
    }
    if let Some(health) = health {
        items.extend(missing(viewer, overview, health));
    }
    for claim in overview
        .under_way
        .iter()
        .filter(|claim| claim.lease_is_over)
    {
        let title = format!(
            "A worker gives no sign of life: {}",
            report::process(&claim.owner)
        );
        let what = html! { p { "It held " (counted(claim.slices, "day")) " of warehouse " (text(&claim.warehouse)) "." } };
        items.push(item(&title, &what, &html! { "Another worker takes over by itself. If none does, look at the processes of prefill serve." }));
    }
    items
}

fn item(title: &str, what: &Markup, next: &Markup) -> Markup {
    html! {
        article.item {
            h3 { (text(title)) }
            (what)
            div.next { (next) }
        }
    }
}

fn team_link(id: TeamId, name: &str) -> Markup {
    html! { a href={ "/teams/" (id) } { "team " (id) @if !name.is_empty() { " (" (text(name)) ")" } } }
}

fn failure(viewer: Viewer, failed: &FailedAlike) -> Markup {
    let days = counted(failed.slices, "day");
    let title = match failed.teams {
        1 => format!("{days} of team {} failed", failed.team_id),
        teams => format!("{days} of {} failed", counted(teams, "team")),
    };
    let what = html! {
        p.error-text { (text(&failed.error)) }
        p {
            @if failed.first == failed.last { (failed.first) } @else { (failed.first) " to " (failed.last) }
            ". "
            @if failed.teams == 1 {
                a href={ "/teams/" (failed.team_id) } { "Team " (failed.team_id) }
                ", " a href={ "/teams/" (failed.team_id) "/days/" (failed.last) } { "why " (failed.last) " failed" } "."
            } @else {
                a href="/teams?state=failed" { "The teams" }
                ", " a href={ "/teams/" (failed.team_id) "/days/" (failed.last) } { "one of the days" } "."
            }
        }
    };
    let one = failed.teams == 1;
    let extent = if one {
        Extent::Team(failed.team_id)
    } else {
        Extent::Everything
    };
    let next = html! {
        "Mend the cause, then try again: " (command(&format!("prefill retry {extent}")))
        @if viewer.may_change() {
            @if one {
                (act(&format!("/teams/{}/retry", failed.team_id), "Try again", &[("to", "overview")]))
            } @else {
                (act("/all/retry", "Try all again", &[]))
            }
        }
    };
    item(&title, &what, &next)
}

/// Teams that health found wanting.
fn missing(viewer: Viewer, overview: &Overview, health: &Health) -> Vec<Markup> {
    let mut items = Vec::new();
    // Of those it was told already; what is being filled needs nobody.
    let misconfigured: BTreeSet<TeamId> = overview
        .misconfigured
        .iter()
        .map(|team| team.team.id)
        .collect();
    let missing_data: Vec<_> = health
        .teams_missing_data
        .iter()
        .filter(|team| !misconfigured.contains(&team.team_id) && !team.mending.being_filled)
        .collect();
    let gaps_detected: Vec<_> = health
        .data_gaps_detected
        .iter()
        .filter(|gap| !misconfigured.contains(&gap.team_id) && !gap.mending.being_filled)
        .collect();
    let missing = missing_data.len();
    if missing > 0 {
        let what = html! {
            ul {
                @for team in missing_data.iter().take(MOST) {
                    li {
                        (team_link(team.team_id, &team.team_name)) ": " (text(&team.issue))
                        div.next { (hint(&team.mending.recommendation)) }
                    }
                }
            }
            (rest(missing))
        };
        let have = if missing == 1 { "has" } else { "have" };
        items.push(item(
            &format!("{} {have} no data", counted(missing, "team")),
            &what,
            &html! {},
        ));
    }
    let gaps = gaps_detected.len();
    if gaps > 0 {
        let what = html! {
            ul {
                @for gap in gaps_detected.iter().take(MOST) {
                    li {
                        (team_link(gap.team_id, &gap.team_name)) ": " (text(&gap.issue))
                        @if let (Some(first), Some(last)) = (gap.days.first(), gap.days.last()) {
                            " (" (first) @if first != last { " to " (last) } ")"
                        }
                        div.next {
                            (hint(&gap.mending.recommendation))
                            // What is paused is not filled for asking: what lets it go on is further up.
                            @if let (Some(first), Some(last), true, false) = (gap.days.first(), gap.days.last(), viewer.may_change(), gap.mending.paused) {
                                (act(&format!("/teams/{}/backfill", gap.team_id), "Fill again", &[
                                    ("date_start", &first.to_string()),
                                    ("date_end", &last.plus(1).to_string()),
                                    ("force", "1"),
                                ]))
                            }
                        }
                    }
                }
            }
            (rest(gaps))
        };
        let have = if gaps == 1 { "has" } else { "have" };
        items.push(item(
            &format!("{} {have} gaps", counted(gaps, "team")),
            &what,
            &html! {},
        ));
    }
    let not_told = &health.alerts_not_sent;
    if !not_told.is_empty() {
        let what = html! {
            ul {
                @for receiver in not_told.iter().take(MOST) { li { (hint(&receiver.recommendation())) } }
            }
            (rest(not_told.len()))
        };
        let get = if not_told.len() == 1 { "does" } else { "do" };
        let receivers = counted(not_told.len(), "receiver");
        let title = format!("{receivers} of alerts {get} not get the messages");
        items.push(item(&title, &what, &html! {}));
    }
    let cleanups = &health.cleanups_not_ended;
    if !cleanups.is_empty() {
        let what = html! {
            p { "Readers see what they have left." }
            ul {
                @for half in cleanups.iter().take(MOST) {
                    li {
                        (team_link(half.team_id, "")) ": " (counted(half.days, "day")) " from " (half.date_start) " on"
                        div.next {
                            (hint(&half.recommendation))
                            @if viewer.may_change() {
                                " " a href={ "/teams/" (half.team_id) "/cleanup?date_start=" (half.date_start) "&date_end=" (half.date_end) } { "Delete the rest" }
                            }
                        }
                    }
                }
            }
            (rest(cleanups.len()))
        };
        let title = format!("{} did not end", counted(cleanups.len(), "cleanup"));
        items.push(item(&title, &what, &html! {}));
    }
    if health.days_not_looked_at > 0 {
        let what = html! { p { "Nobody looked whether they have raw events, because there are too many." } };
        items.push(item(
            &format!(
                "{} more are not filled",
                counted(health.days_not_looked_at, "day")
            ),
            &what,
            &html! { "Keep " (command("prefill serve")) " running, and look again." },
        ));
    }
    items
}

fn rest(count: usize) -> Markup {
    html! {
        @if count > MOST { p { "And " (number(count - MOST)) " more: " (command("prefill health")) } }
    }
}

/// What to do in an empty installation.
fn first_steps() -> Markup {
    html! {
        section.steps aria-labelledby="steps-title" {
            h2 #steps-title { "First steps" }
            ol {
                li { "Add a team, with its time zone: " (command("prefill team add --team-id 1 --name \"My site\" --timezone Europe/Berlin")) }
                li { "Bring in its events: " (command("prefill import access-log access.log --team-id 1")) ", or point " code { "[warehouse]" } " at a ClickHouse that has them." }
                li { "Turn the setting on: " (command("prefill enable --team-id 1")) ". This service notices, and fills its last days." }
            }
            p { "Or look at an installation with a synthetic site: " (command("prefill --data-dir demo demo --serve")) }
        }
    }
}

fn numbers(overview: &Overview) -> Markup {
    let coverage = &overview.coverage;
    let fresh = &overview.freshness;
    html! {
        dl.tiles {
            div {
                dt { "Coverage" }
                dd.big { (parts::percent(coverage.percentage())) }
                dd { (number(coverage.filled)) " of " (counted(coverage.wanted, "day")) " filled" }
            }
            div {
                dt { "Teams" }
                dd.big { (number(overview.filled_teams)) " of " (number(overview.enabled_teams)) }
                dd { a href="/teams?state=filled" { "wholly filled" } ", "
                    @if overview.failed_teams > 0 { a href="/teams?state=failed" { (number(overview.failed_teams)) " with failed days" } }
                    @else { "none with failed days" }
                }
            }
            div {
                dt { "Freshness" }
                dd.big { (number(fresh.today)) " of " (number(overview.enabled_teams)) }
                dd { "have today, " (number(fresh.yesterday)) " yesterday, " (number(fresh.older)) " older, " (number(fresh.never)) " nothing" }
                dd { (counted(coverage.stale, "day")) " stale" }
            }
            div {
                dt { "Queue" }
                dd.big { (number(overview.queue.slices)) }
                dd {
                    @match overview.queue.oldest {
                        Some(oldest) => { "days wait, the oldest since " (moment(oldest, overview.now)) }
                        None => "days wait",
                    }
                }
                @if overview.queue.paused > 0 { dd { (number(overview.queue.paused)) " of them wait for a pause to end" } }
                @if coverage.waiting > 0 { dd { (number(coverage.waiting)) " have no events yet" } }
            }
            div {
                dt { "Running" }
                dd.big { (number(coverage.running)) }
                dd { "days in " (counted(overview.under_way.len(), "claim")) }
            }
        }
    }
}

fn running(overview: &Overview) -> Markup {
    html! {
        h2 #running-title { "Running now" }
        @if overview.under_way.is_empty() {
            p.quiet { "Nothing is being filled at this moment." }
        } @else {
            div.scrolls role="region" tabindex="0" aria-label="Claims" {
                table {
                    caption.unseen { "Claims that are being filled" }
                    thead { tr { th scope="col" { "Day" } th scope="col" { "Teams" } th scope="col" { "Warehouse" } th scope="col" { "Since" } th scope="col" { "Worker" } } }
                    tbody {
                        @for claim in &overview.under_way {
                            tr {
                                th scope="row" { a href={ "/teams/" (claim.team_id) "/days/" (claim.day) } { (claim.day) } }
                                td { @if claim.slices == 1 { "team " (claim.team_id) } @else if claim.teams == 1 { "team " (claim.team_id) ", " (number(claim.slices)) " days" } @else { (number(claim.slices)) ", team " (claim.team_id) " among them" } }
                                td { (text(&claim.warehouse)) }
                                td { @if let Some(since) = claim.since { (moment(since, overview.now)) } }
                                td.owner {
                                    (text(&report::process(&claim.owner)))
                                    @if claim.lease_is_over { " " strong { "gives no sign of life" } }
                                    @if claim.is_to_stop { " (told to stop)" }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn filled(look: Option<&Seen<Look>>) -> Markup {
    html! {
        h2 #filled-title { "Filled in the last 24 hours" }
        @match look.map(|look| (look.at, &look.what.filled)) {
            None => p.quiet { "It is being counted." },
            Some((_, Err(error))) => (parts::trouble("It could not be counted.", error)),
            Some((at, Ok(hours))) => {
                @let sum = |of: fn(&FilledHour) -> i64| hours.iter().map(of).sum::<i64>();
                p.sums {
                    strong { (counted(sum(|hour| hour.slices), "day")) } ": "
                    (number(sum(|hour| hour.events))) " events, "
                    (number(sum(|hour| hour.sessions))) " sessions, "
                    (number(sum(|hour| hour.page_views))) " page views, "
                    (number(sum(|hour| hour.rows))) " rows written"
                }
                @if !hours.is_empty() {
                    (parts::bars(&by_hour(at, hours)))
                    details {
                        summary { "By hour" }
                        table {
                            caption.unseen { "Days filled in each of the last 24 hours" }
                            thead { tr { th scope="col" { "From" } th.n scope="col" { "Days" } th.n scope="col" { "Events" } th.n scope="col" { "Page views" } } }
                            tbody {
                                @for hour in hours.iter().rev() {
                                    tr {
                                        th scope="row" { (hour_name(at, hour.hour)) }
                                        td.n { (number(hour.slices)) } td.n { (number(hour.events)) } td.n { (number(hour.page_views)) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn by_hour(at: Timestamp, hours: &[FilledHour]) -> Vec<(String, Option<f64>)> {
    (0..24)
        .map(|index| {
            let of_hour = hours.iter().find(|hour| hour.hour == index);
            let name = format!(
                "{}: {}",
                hour_name(at, index),
                counted(of_hour.map_or(0, |hour| hour.slices), "day")
            );
            (name, of_hour.map(|hour| hour.slices as f64))
        })
        .collect()
}

fn hour_name(at: Timestamp, hour: i64) -> String {
    let from = at - DAY + SignedDuration::from_hours(hour);
    from.strftime("%m-%d %H:%M UTC").to_string()
}

fn warehouses(overview: &Overview, known: &Known) -> Markup {
    html! {
        h2 #warehouses-title { "Warehouses" }
        div.scrolls role="region" tabindex="0" aria-label="Use of the warehouses" {
            table {
                caption.unseen { "Warehouses, and how much of their time fills may take and take" }
                thead { tr {
                    th scope="col" { "Name" } th scope="col" { "State" } th.n scope="col" { "Teams" } th.n scope="col" { "Budget" }
                    th.n scope="col" { "Used" } th scope="col" { "Busy" } th.n scope="col" { "Waited" }
                    th.n scope="col" { "For memory" }
                } }
                tbody {
                    @for taken in &overview.warehouses {
                        @let health = known.of_warehouse(&taken.name);
                        tr {
                            th scope="row" { (text(&taken.name)) }
                            td {
                                @match (known.answers.get(&taken.name), health.map(|health| health.error.is_none())) {
                                    (Some(false), _) => span.state.s-failed { span.sign aria-hidden="true" { "✕" } " does not answer" },
                                    (_, Some(false)) => span.state.s-failed { span.sign aria-hidden="true" { "✕" } " down" },
                                    (Some(true), _) => span.state.s-filled { span.sign aria-hidden="true" { "✓" } " up" },
                                    (None, _) => "being looked at",
                                }
                            }
                            td.n { @if let Some(health) = health { (number(health.enabled_teams)) } @else { "-" } }
                            td.n { (parts::percent(taken.budget * 100.0)) }
                            td.n { @match taken.used_last_minute { Some(used) => (parts::percent(used * 100.0)), None => "-" } }
                            td { @match taken.busy { Some(true) => "yes", Some(false) => "no", None => "-" } }
                            td.n { (format!("{:.0} s", taken.waited_seconds)) }
                            td.n { (format!("{:.0} s", taken.waited_for_memory_seconds)) }
                        }
                    }
                }
            }
        }
    }
}

fn pauses(viewer: Viewer, overview: &Overview) -> Markup {
    html! {
        h2 #pauses-title { "Pauses" }
        @if overview.everything_is_paused {
            p { strong { "Everything is paused." } " Nothing is filled before " (command("prefill resume --all")) }
            @if viewer.may_change() { (act("/all/resume", "Resume everything", &[])) }
        } @else if overview.paused_teams == 0 && overview.paused_runs == 0 {
            p.quiet { "No team is paused, and no run." }
        }
        @if overview.paused_teams > 0 {
            ul.plain {
                @for team in &overview.paused {
                    li {
                        (team_link(*team, "")) " is paused: " (command(&format!("prefill resume {}", Extent::Team(*team)))) " "
                        @if viewer.may_change() { (act(&format!("/teams/{team}/resume"), "Resume", &[("to", "overview")])) }
                    }
                }
            }
            @if overview.paused_teams > overview.paused.len() {
                p { a href="/teams?state=paused" { "All " (number(overview.paused_teams)) " of them" } }
            }
        }
        @if overview.paused_runs > 0 {
            ul.plain {
                @for run in &overview.paused_alone {
                    li {
                        a href={ "/runs/" (run.id) } { "A run" } " of " (team_link(run.team_id, "")) ", " (runs::range(run)) ", is paused: "
                        (command(&format!("prefill resume {}", Extent::Task(run.id)))) " "
                        @if viewer.may_change() { (act(&format!("/runs/{}/resume", run.id), "Resume", &[("to", "overview")])) }
                    }
                }
            }
            @if overview.paused_runs > overview.paused_alone.len() {
                p { "And " (number(overview.paused_runs - overview.paused_alone.len())) " more: " a href="/runs" { "all runs" } }
            }
        }
        @if viewer.may_change() && !overview.everything_is_paused {
            (parts::ask("/all/pause", "Pause everything", "Nothing more is filled, of any team, until somebody resumes. What is filled stays, and gets old.", "Pause everything"))
        }
    }
}
