//! A team: its setting, its days, its numbers from the tables, its runs, and what can be asked for it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;

use super::asked::{Path, Query};
use super::frame::{Frame, Here};
use super::parts::{self, act, ask, command, full_moment, hint, number, text};
use super::{Asker, Page, runs, team_id};
use crate::calendar::{Day, Days, Zone};
use crate::error::{Error, Result};
use crate::ledger::Team;
use crate::plan::Desire;
use crate::reconcile;
use crate::report::{self, DayAtAGlance, DayNumbers, Task};

/// How many days are shown at once.
const DAYS: i64 = 30;
const RUNS: u32 = 10;

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    said: Option<String>,
    until: String,
}

pub(super) async fn page(asker: Asker, Path(id): Path<String>, Query(asked): Query<Asked>) -> Page {
    let (prefill, ledger) = (&asker.prefill, &asker.prefill.ledger);
    let team = ledger.team(team_id(&id)?).await?;
    let now = ledger.now().await?;
    let desire = reconcile::desire(&team, &prefill.config, team.enabled_at.unwrap_or(now));
    let zone = desire
        .as_ref()
        .map_or_else(|_| Zone::utc(), |desire| desire.zone.clone());
    let tomorrow = Day::of(now, &zone).plus(1);
    let until = match asked.until.trim() {
        "" => tomorrow,
        text => super::day(text)?.min(tomorrow),
    };
    let range = Days {
        from: until.plus(-DAYS),
        until,
    };
    let numbers = async {
        match &desire {
            Ok(desire) => Some(prefill.numbers(&team, &desire.zone, range).await),
            Err(_) => None,
        }
    };
    let of_team = [&team];
    let (glances, latest, pauses, numbers) = tokio::join!(
        report::days_of(ledger, &prefill.config, &of_team, range, now),
        ledger.runs_of_team(team.id, RUNS),
        ledger.pauses_of(team.id),
        numbers
    );
    let glances: Vec<(Day, DayAtAGlance)> = glances?
        .into_iter()
        .rev()
        .map(|((_, day), glance)| (day, glance))
        .collect();
    let mut tasks = Vec::new();
    for run in latest? {
        tasks.push(Task::of(ledger, run).await?);
    }
    let pauses = pauses?;
    let failed = glances
        .iter()
        .any(|(_, glance)| glance.situation == report::Situation::Failed);
    let known: Vec<DayAtAGlance> = glances
        .iter()
        .filter(|(_, glance)| glance.slice.is_some())
        .map(|(_, glance)| glance.clone())
        .collect();
    let content = html! {
        (parts::flash(asked.said.as_deref()))
        p.crumbs { a href="/teams" { "Teams" } " / " (team.id) }
        h1 { (text(&team.name)) " " span.id { "team " (team.id) } }
        section #facts data-live aria-label="About the team" {
            (facts(&asker, &team, &desire, now))
            @for (pause, since) in &pauses {
                div.note.warn {
                    p { strong { (pause.name()) " is paused" } " since " (full_moment(*since, now)) ": " (command(&format!("prefill resume {pause}"))) }
                }
            }
            @if let Err(error) = &desire { (parts::trouble("Nobody can tell what the team wants.", error)) }
        }
        @if asker.viewer.may_change() { (acts(&team, &asker, !pauses.is_empty(), failed)) }
        section #days-strip data-live aria-labelledby="strip-title" {
            h2 #strip-title { "Days" }
            ol.strip {
                @for (day, glance) in &glances {
                    @let (class, sign) = parts::sign(glance.situation);
                    li { a.cell.{ "s-" (class) } href={ "/teams/" (team.id) "/days/" (day) } title={ (day) ": " (glance.situation) } {
                        span aria-hidden="true" { (sign) } span.unseen { (day) ": " (glance.situation) }
                    } }
                }
            }
            p.aside { (range.from) " to " (range.until.plus(-1)) ", the newest day first. "
                a href={ "/teams/" (team.id) "?until=" (range.from) } { "Earlier days" }
                @if until < tomorrow { " · " a href={ "/teams/" (team.id) "?until=" (until.plus(DAYS).min(tomorrow)) } { "Later days" } }
            }
        }
        section #numbers data-live aria-labelledby="numbers-title" {
            h2 #numbers-title { "Numbers by day, from the tables" }
            (numbers_section(range, numbers.as_ref()))
        }
        section #slices data-live aria-labelledby="slices-title" {
            h2 #slices-title { "What was filled" }
            p.aside { "A day is filled when its rows were compared with the raw events and are equal. These are the receipts." }
            (runs::day_table(&known, now))
        }
        section #runs data-live aria-labelledby="runs-title" {
            h2 #runs-title { "Latest runs" }
            (runs::table(&tasks, now))
        }
        @if asker.viewer.may_change() { (forms(&team)) } @else { (looks(&team)) }
    };
    let title = format!("Team {}", team.id);
    let frame = Frame {
        title: &title,
        here: Here::Teams,
        every: Some(5),
        events: None,
    };
    Ok(asker.page(&frame, &content))
}

fn facts(asker: &Asker, team: &Team, desire: &Result<Desire>, now: Timestamp) -> Markup {
    html! {
        dl.facts {
            @if !team.organization.is_empty() { dt { "Organization" } dd { (text(&team.organization)) } }
            dt { "Setting" }
            dd {
                @if team.enabled { "on" } @else { "off: nothing is filled by itself" }
                @if let Some(at) = team.enabled_at.filter(|_| team.enabled) { ", since " (full_moment(at, now)) }
            }
            dt { "Time zone" }
            dd {
                (text(&team.timezone))
                @if let Ok(desire) = desire { ", where it is " (Day::of(now, &desire.zone)) }
            }
            @if let Ok(desire) = desire {
                dt { "Wants" }
                dd {
                    @if team.enabled { (desire.window(now).from) " to today: " (desire.days) " days before the setting was turned on, and every day since" }
                    @else { "nothing while the setting is off; then " (desire.days) " days before today, and every day since" }
                }
                dt { "Warehouse" } dd { (text(&desire.warehouse)) }
            }
            @if let Some(table) = asker.prefill.ledger.other_teams() { dt { "Kept in" } dd { (text(table)) } }
        }
    }
}

fn acts(team: &Team, asker: &Asker, is_paused: bool, failed: bool) -> Markup {
    let path = |act: &str| format!("/teams/{}/{act}", team.id);
    html! {
        section #acts aria-label="What you can do" {
            div.acts data-live #team-acts {
                @match (asker.prefill.ledger.other_teams(), team.enabled) {
                    (Some(table), _) => p.aside { "The setting is changed where " (text(table)) " is kept." },
                    (None, false) => (act(&path("setting"), "Turn the setting on", &[("on", "1")])),
                    (None, true) => (ask(&path("setting"), "Turn the setting off", "What is filled stays, and is not kept fresh any more.", "Turn it off")),
                }
                @if failed { (act(&path("retry"), "Try what failed again", &[])) }
                @if is_paused { (act(&path("resume"), "Resume", &[])) }
                @else { (act(&path("pause"), "Pause", &[])) }
            }
        }
    }
}

/// The forms that ask for something of some days.
fn forms(team: &Team) -> Markup {
    html! {
        section.forms aria-label="Ask for days" {
            form.card action={ "/teams/" (team.id) "/backfill" } method="post" {
                h2 { "Backfill" }
                p.aside { "Fills the days that are not filled. Readers see old rows until the new ones are verified." }
                @if !team.enabled { p.note.warn { "The setting is off: turn it on first." } }
                (range_fields("backfill", true))
                p.check { input #backfill-force type="checkbox" name="force" value="1"; " " label for="backfill-force" { "Fill again what is filled" } }
                div.buttons {
                    button type="submit" { "Backfill" }
                    button.quiet type="submit" formmethod="get" { "What would it do?" }
                }
            }
            (validate_form(team))
            form.card action={ "/teams/" (team.id) "/cleanup" } method="get" {
                h2 { "Clean up" }
                p.aside { "Deletes the rows of days from both tables and turns the setting off. First it shows what it would delete." }
                (range_fields("cleanup", false))
                div.buttons { button.quiet type="submit" { "What would it delete?" } }
            }
        }
    }
}

/// What somebody who may only read can ask for.
fn looks(team: &Team) -> Markup {
    html! { section.forms aria-label="Ask about days" { (validate_form(team)) } }
}

fn validate_form(team: &Team) -> Markup {
    html! {
        form.card action={ "/teams/" (team.id) "/validate" } method="get" {
            h2 { "Validate" }
            p.aside { "Compares the tables with the raw events, day by day. With nothing given: every day that is filled or wanted." }
            (range_fields("validate", true))
            div.buttons { button type="submit" { "Validate" } }
        }
    }
}

fn range_fields(form: &str, with_days: bool) -> Markup {
    html! {
        @if with_days {
            div {
                label for={ (form) "-days" } { "Today and so many days before" }
                input id={ (form) "-days" } type="number" name="days" min="0" inputmode="numeric" placeholder="7";
            }
            p.or { "or" }
        }
        div.range {
            div {
                label for={ (form) "-start" } { "From" }
                input id={ (form) "-start" } type="date" name="date_start" required[!with_days];
            }
            div {
                label for={ (form) "-end" } { "Until (not included)" }
                input id={ (form) "-end" } type="date" name="date_end" required[!with_days];
            }
        }
    }
}

fn numbers_section(
    days: Days,
    numbers: Option<&Result<BTreeMap<Day, DayNumbers>, Error>>,
) -> Markup {
    let numbers = match numbers {
        None => return html! { p.quiet { "Nobody can tell where they are." } },
        Some(Err(error)) => {
            return html! {
                div.note.bad {
                    p { strong { "The warehouse could not be asked." } " Everything else on this page comes from the ledger." }
                    p.error-text { (text(&error.chain())) }
                    @if let Some(next) = error.next_step() { p { (hint(next)) } }
                }
            };
        }
        Some(Ok(numbers)) if numbers.is_empty() => {
            return html! { p.quiet { "The tables hold no rows of these days." } };
        }
        Some(Ok(numbers)) => numbers,
    };
    let mut oldest_first: Vec<Day> = days.newest_first().collect();
    oldest_first.reverse();
    let chart = |name: &str,
                 shown: &dyn Fn(&DayNumbers) -> String,
                 of: &dyn Fn(&DayNumbers) -> Option<f64>| {
        let values: Vec<(String, Option<f64>)> = oldest_first
            .iter()
            .map(|day| match numbers.get(day) {
                Some(of_day) => (format!("{day}: {}", shown(of_day)), of(of_day)),
                None => (format!("{day}: no rows"), None),
            })
            .collect();
        let latest = numbers.iter().next_back();
        html! {
            figure.chart {
                figcaption {
                    (name)
                    @if let Some((day, latest)) = latest { strong { (shown(latest)) } span.aside { (day) } }
                }
                (parts::bars(&values))
            }
        }
    };
    let rate = |of_day: &DayNumbers| of_day.bounce_rate().map_or("-".to_owned(), parts::percent);
    html! {
        div.charts {
            (chart("Visitors", &|day| number(day.visitors), &|day| Some(day.visitors as f64)))
            (chart("Page views", &|day| number(day.page_views), &|day| Some(day.page_views as f64)))
            (chart("Sessions", &|day| number(day.sessions), &|day| Some(day.sessions as f64)))
            (chart("Bounce rate", &rate, &DayNumbers::bounce_rate))
        }
        details {
            summary { "The same as a table" }
            div.scrolls role="region" tabindex="0" aria-label="Numbers by day" {
                table {
                    caption.unseen { "Numbers by day, the newest first" }
                    thead { tr { th scope="col" { "Day" } th.n scope="col" { "Visitors" } th.n scope="col" { "Page views" } th.n scope="col" { "Sessions" } th.n scope="col" { "Bounce rate" } } }
                    tbody {
                        @for (day, of_day) in numbers.iter().rev() {
                            tr {
                                th scope="row" { (day) }
                                td.n { (number(of_day.visitors)) } td.n { (number(of_day.page_views)) } td.n { (number(of_day.sessions)) }
                                td.n { (rate(of_day)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
