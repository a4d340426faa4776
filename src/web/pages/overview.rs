//! What an operator wants to see at three in the morning: what somebody has to do first, then how far
//! everything is.
//!
//! What the ledger says is of this second, and one answer for all who look at the same time. What takes
//! longer, because warehouses are asked or many slices are read, is looked at beside that, at most so often,
//! and told with its age.

use std::collections::BTreeSet;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::extract::Extension;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use serde::Deserialize;
use tokio::sync::watch;

use super::asked::Query;
use super::frame::{Frame, Here};
use super::parts::{self, act, command, counted, hint, moment, number, text};
use super::{Asker, Page, Viewer};
use crate::calendar::TeamId;
use crate::error::Result;
use crate::ledger::{Extent, FailedAlike, FilledHour};
use crate::report::{self, Health, Overview, WarehouseHealth};
use crate::service::Prefill;
use crate::web::Shared;
use crate::web::problem::Problem;

/// How long a page waits for the slower look, before it shows the one before.
const WAIT: Duration = Duration::from_millis(400);
/// A look is repeated no sooner than this, and than so many times what it took.
const LEAST_AGE: Duration = Duration::from_secs(10);
const REST: u32 = 20;
/// And no later: a warehouse that hung may be back.
const MOST_AGE: Duration = Duration::from_secs(60);
/// How many of the same kind are listed.
const MOST: usize = 10;
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// The slower look at an installation.
struct Look {
    at: Timestamp,
    took: Duration,
    done: Instant,
    health: Result<Arc<Health>, Problem>,
    /// Since a day before `at`.
    filled: Result<Vec<FilledHour>>,
}

/// The last look, and whether another one is under way.
pub struct Looks {
    last: watch::Sender<Option<Arc<Look>>>,
    under_way: AtomicBool,
}

impl Default for Looks {
    fn default() -> Self {
        Self {
            last: watch::Sender::new(None),
            under_way: AtomicBool::new(false),
        }
    }
}

impl Looks {
    /// The last look; a newer one is begun where that is old, and waited for, for a moment.
    async fn look(self: Arc<Self>, shared: &Arc<Shared>, prefill: &Prefill) -> Option<Arc<Look>> {
        let mut looked = self.last.subscribe();
        let last = looked.borrow_and_update().clone();
        if last
            .as_ref()
            .is_some_and(|look| look.done.elapsed() < age_of(look.took))
        {
            return last;
        }
        if !self.under_way.swap(true, Ordering::SeqCst) {
            let (looks, shared) = (Arc::clone(&self), Arc::clone(shared));
            let prefill = prefill.clone();
            tokio::spawn(async move {
                // Also when the look panics.
                let _over = Over(&looks.under_way);
                let begun = Instant::now();
                let at = Timestamp::now();
                let (health, filled) = tokio::join!(
                    shared.health_by(ready(Ok(()))),
                    prefill.ledger.filled_by_hour(at - DAY)
                );
                let look = Look {
                    at,
                    took: begun.elapsed(),
                    done: Instant::now(),
                    health,
                    filled,
                };
                looks.last.send_replace(Some(Arc::new(look)));
            });
        }
        // Whether it comes in time or not: the last one is shown.
        drop(tokio::time::timeout(WAIT, looked.changed()).await);
        looked.borrow().clone()
    }
}

/// How old a look that took so long may become.
fn age_of(took: Duration) -> Duration {
    took.saturating_mul(REST).clamp(LEAST_AGE, MOST_AGE)
}

/// Says that a look is not under way any more.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

#[derive(Deserialize)]
pub(super) struct Asked {
    said: Option<String>,
}

pub(super) async fn page(
    asker: Asker,
    Extension(looks): Extension<Arc<Looks>>,
    Query(asked): Query<Asked>,
) -> Page {
    let (overview, look) = tokio::join!(
        asker.shared.overview(),
        looks.look(&asker.shared, &asker.prefill)
    );
    let overview = overview?;
    let look = look.as_deref();
    let viewer = asker.viewer;
    let attention = attention(viewer, &overview, look);
    let content = html! {
        (parts::flash(asked.said.as_deref()))
        section #verdict data-live { (verdict(&overview, look, attention.len())) }
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
                section #warehouses aria-labelledby="warehouses-title" data-live { (warehouses(&overview, look)) }
            }
            div {
                section #runs aria-labelledby="runs-title" data-live {
                    h2 #runs-title { "Latest runs" }
                    (super::runs::table(&overview.tasks, overview.now))
                    @if !overview.tasks.is_empty() { p.more { a href="/runs" { "All latest runs" } } }
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
fn verdict(overview: &Overview, look: Option<&Look>, problems: usize) -> Markup {
    let coverage = &overview.coverage;
    let days = || {
        format!(
            "{} of {} filled, {:.1} %",
            number(coverage.filled),
            counted(coverage.wanted, "day"),
            coverage.percentage()
        )
    };
    let open = coverage.filled < coverage.wanted || coverage.stale > 0;
    let is_filling = open && (coverage.running > 0 || overview.queue.slices > 0);
    let (class, sign, title, more) = if problems > 0 {
        let need = if problems == 1 {
            "1 thing needs"
        } else {
            &format!("{} things need", number(problems))
        };
        ("bad", "✕", format!("{need} somebody"), days())
    } else if overview.enabled_teams == 0 {
        let more = match overview.teams {
            0 => "There is no team yet.".to_owned(),
            _ => "Turn the setting on for a team on its page, or run prefill enable --team-id N."
                .to_owned(),
        };
        ("calm", "□", "No team has the setting on".to_owned(), more)
    } else if overview.everything_is_paused {
        ("warn", "‖", "Everything is paused".to_owned(), days())
    } else if coverage.filled < coverage.wanted
        && coverage.filled + coverage.waiting >= coverage.wanted
    {
        let more = format!("{}; the others have no events yet", days());
        ("good", "✓", "All is well".to_owned(), more)
    } else if coverage.filled < coverage.wanted
        && coverage.running == 0
        && overview.paused_teams > 0
    {
        let teams = match overview.paused_teams {
            1 => "1 team is paused".to_owned(),
            teams => format!("{} are paused", counted(teams, "team")),
        };
        ("warn", "‖", teams, days())
    } else if is_filling && coverage.filled < coverage.wanted {
        ("calm", "►", "Filling".to_owned(), days())
    } else if coverage.filled < coverage.wanted {
        ("warn", "…", "Not everything is filled".to_owned(), days())
    } else {
        let teams = counted(overview.enabled_teams, "team");
        let more = format!(
            "Every wanted day of {teams} is filled and verified: {}{}.",
            counted(coverage.wanted, "day"),
            match coverage.stale {
                0 => String::new(),
                stale => format!(", {} of them to be filled again", number(stale)),
            }
        );
        ("good", "✓", "All is well".to_owned(), more)
    };
    html! {
        div.verdict.(class) {
            span.big-sign aria-hidden="true" { (sign) }
            div {
                h1 data-say { (title) }
                p { (more) }
                p.aside {
                    "Ledger read " (moment(overview.now, overview.now)) "; "
                    @match look {
                        Some(look) => { "tables checked " (moment(look.at, overview.now)) }
                        None => "tables are being checked",
                    }
                    "."
                }
            }
        }
    }
}

/// What somebody has to do, the most urgent first.
fn attention(viewer: Viewer, overview: &Overview, look: Option<&Look>) -> Vec<Markup> {
    let mut items = Vec::new();
    let health = look.and_then(|look| look.health.as_deref().ok());
    if let Some(Err(error)) = look.map(|look| &look.health) {
        items.push(item(
            "The health of the tables cannot be told",
            &html! {
                p.error-text { (text(&error.detail)) }
            },
            &html! { @if let Some(next) = &error.hint { (hint(next)) } },
        ));
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
                            @if let (Some(first), Some(last), true) = (gap.days.first(), gap.days.last(), viewer.may_change()) {
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
                                td { @if claim.slices == 1 { "team " (claim.team_id) } @else { (number(claim.slices)) ", team " (claim.team_id) " among them" } }
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

fn filled(look: Option<&Look>) -> Markup {
    html! {
        h2 #filled-title { "Filled in the last 24 hours" }
        @match look.map(|look| (look.at, &look.filled)) {
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

fn warehouses(overview: &Overview, look: Option<&Look>) -> Markup {
    let health = look.and_then(|look| look.health.as_deref().ok());
    let of = |name: &str| -> Option<&WarehouseHealth> {
        health?.warehouses.iter().find(|health| health.name == name)
    };
    html! {
        h2 #warehouses-title { "Warehouses" }
        div.scrolls role="region" tabindex="0" aria-label="Use of the warehouses" {
            table {
                caption.unseen { "Warehouses, and how much of their time fills may take and take" }
                thead { tr {
                    th scope="col" { "Name" } th scope="col" { "State" } th.n scope="col" { "Teams" } th.n scope="col" { "Budget" }
                    th.n scope="col" { "Used" } th scope="col" { "Busy" } th.n scope="col" { "Waited" }
                } }
                tbody {
                    @for taken in &overview.warehouses {
                        @let health = of(&taken.name);
                        tr {
                            th scope="row" { (text(&taken.name)) }
                            td {
                                @match health.map(|health| &health.error) {
                                    None => "not looked at yet",
                                    Some(None) => span.state.s-filled { span.sign aria-hidden="true" { "✓" } " up" },
                                    Some(Some(_)) => span.state.s-failed { span.sign aria-hidden="true" { "✕" } " down" },
                                }
                            }
                            td.n { @if let Some(health) = health { (number(health.enabled_teams)) } @else { "-" } }
                            td.n { (parts::percent(taken.budget * 100.0)) }
                            td.n { @match taken.used_last_minute { Some(used) => (parts::percent(used * 100.0)), None => "-" } }
                            td { @match taken.busy { Some(true) => "yes", Some(false) => "no", None => "-" } }
                            td.n { (format!("{:.0} s", taken.waited_seconds)) }
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
        } @else if overview.paused_teams == 0 {
            p.quiet { "No team is paused." }
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
        @if viewer.may_change() && !overview.everything_is_paused {
            (parts::ask("/all/pause", "Pause everything", "Nothing more is filled, of any team, until somebody resumes. What is filled stays, and gets old.", "Pause everything"))
        }
    }
}
