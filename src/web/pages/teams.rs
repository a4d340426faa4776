//! Teams by days: how it stands with each, a sign and a colour a day. Counts come from the tallies of all
//! teams; slices are read only for those on the page.

use maud::{Markup, html};
use serde::Deserialize;

use super::asked::Query;
use super::frame::{Frame, Here};
use super::parts::{self, counted, number, text};
use super::{Asker, Page};
use crate::calendar::{Day, Days, Zone};
use crate::error::Error;
use crate::ledger::Team;
use crate::report::{self, Selection, TeamCoverage};
use crate::web::problem::Problem;

/// Teams on a page.
const ON_A_PAGE: usize = 50;
/// How many days are shown, and may be asked for.
const DAYS: i64 = 30;
const CHOICES: [i64; 4] = [7, 14, 30, 90];

/// What teams can be filtered by: a word, its name, and what it lets through.
type Filter = (&'static str, &'static str, fn(&TeamCoverage) -> bool);
/// Whether a day is cancelled is asked of the runs: coverage does not tell.
const CANCELLED: &str = "cancelled";
const FILTERS: [Filter; 12] = [
    ("failed", "with failed days", |team| {
        team.coverage.failed > 0
    }),
    ("running", "with days running", |team| {
        team.coverage.running > 0
    }),
    ("queued", "queued", |team| team.state == "queued"),
    ("stale", "with stale days", |team| team.coverage.stale > 0),
    ("waiting", "with days waiting for events", |team| {
        team.coverage.waiting > 0
    }),
    ("paused", "paused", |team| team.is_paused),
    // Of a team that is off or paused, that is what is shown of its days.
    (CANCELLED, "with cancelled days", |team| {
        team.team.enabled && !team.is_paused
    }),
    ("cleaned", "with cleaned days", |team| team.cleaned > 0),
    ("misconfigured", "misconfigured", |team| {
        team.is_misconfigured
    }),
    ("filled", "wholly filled", |team| team.state == "filled"),
    ("on", "with the setting on", |team| team.team.enabled),
    ("off", "with the setting off", |team| !team.team.enabled),
];

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    /// The API calls it `search`.
    #[serde(alias = "search")]
    q: String,
    state: String,
    /// The day after the newest one that is shown.
    until: String,
    days: String,
    page: String,
}

/// [`Asked`], as far as it makes sense.
struct View {
    find: String,
    filter: Option<Filter>,
    until: Option<Day>,
    days: i64,
    page: usize,
}

impl View {
    fn of(asked: &Asked) -> Result<Self, Problem> {
        let until = asked.until.trim();
        let until = (!until.is_empty())
            .then(|| until.parse::<Day>())
            .transpose();
        let filter = match asked.state.as_str() {
            "" => None,
            state => Some(filter(state)?),
        };
        let days = asked
            .days
            .parse()
            .ok()
            .filter(|days| CHOICES.contains(days));
        Ok(Self {
            find: asked.q.trim().to_owned(),
            filter,
            until: until.map_err(Error::misuse)?,
            days: days.unwrap_or(DAYS),
            page: asked.page.parse().unwrap_or(1).max(1),
        })
    }

    /// The number of the page, and of all pages, where so many teams are found.
    fn page(&self, found: usize) -> (usize, usize) {
        let pages = found.div_ceil(ON_A_PAGE).max(1);
        (self.page.min(pages), pages)
    }

    /// The address of this view with another page or other days.
    fn url(&self, page: usize, until: Option<Day>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        if !self.find.is_empty() {
            query.append_pair("q", &self.find);
        }
        if let Some((word, ..)) = self.filter {
            query.append_pair("state", word);
        }
        if self.days != DAYS {
            query.append_pair("days", &self.days.to_string());
        }
        if let Some(until) = until {
            query.append_pair("until", &until.to_string());
        }
        if page > 1 {
            query.append_pair("page", &page.to_string());
        }
        let query = query.finish();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("/teams{mark}{query}")
    }
}

fn filter(state: &str) -> Result<Filter, Problem> {
    let known = FILTERS.into_iter().find(|(word, ..)| *word == state);
    known.ok_or_else(|| {
        let words = FILTERS.map(|(word, ..)| word).join(", ");
        Error::misuse(format!("{state:?} is no state of teams"))
            .hint(format!("ask for one of {words}"))
            .into()
    })
}

fn on_page<T>(all: Vec<T>, page: usize) -> Vec<T> {
    let before = (page - 1) * ON_A_PAGE;
    all.into_iter().skip(before).take(ON_A_PAGE).collect()
}

pub(super) async fn page(asker: Asker, Query(asked): Query<Asked>) -> Page {
    let view = View::of(&asked)?;
    let (ledger, config) = (&asker.prefill.ledger, &asker.prefill.config);
    let now = ledger.now().await?;
    let mut teams = ledger.teams().await?;
    let total = teams.len();
    let selection = Selection {
        search: Some(view.find.clone()),
        ..Selection::default()
    };
    teams.retain(|team| selection.has(team));
    if view.filter.is_some_and(|(word, ..)| word == CANCELLED) {
        let cancelled = ledger.cancelled_days(None).await?;
        teams.retain(|team| cancelled.contains_key(&team.id));
    }
    // How it stands with teams is asked of no more of them than are needed.
    let (page, pages, found, of_page) = match view.filter {
        None => {
            let found = teams.len();
            let (page, pages) = view.page(found);
            let of_page = on_page(teams, page);
            let of_page = report::list_some(ledger, config, of_page, now).await?;
            (page, pages, found, of_page)
        }
        Some((_, _, lets_through)) => {
            let mut all = report::list_some(ledger, config, teams, now).await?;
            all.retain(lets_through);
            let found = all.len();
            let (page, pages) = view.page(found);
            (page, pages, found, on_page(all, page))
        }
    };
    // The newest day that any of them has.
    let zones = of_page.iter().filter_map(|team| team.team.zone().ok());
    let today = zones
        .chain([Zone::utc()])
        .map(|zone| Day::of(now, &zone))
        .max();
    let tomorrow = today.map_or(Day::MAX, |today| today.plus(1));
    let until = view.until.unwrap_or(tomorrow).min(tomorrow);
    let days = Days {
        from: until.plus(-view.days),
        until,
    };
    let teams: Vec<&Team> = of_page.iter().map(|team| &team.team).collect();
    let glances = report::days_of(ledger, config, &teams, days, now).await?;
    let newest_first: Vec<Day> = days.newest_first().collect();
    let earlier = Some(days.from);
    let later = Some(until.plus(view.days)).filter(|later| *later < tomorrow);
    let content = html! {
        h1 { "Teams" }
        (filters(&view))
        p #found role="status" data-live {
            @if found == total { (counted(total, "team")) } @else { (number(found)) " of " (counted(total, "team")) }
            @if pages > 1 { ", page " (number(page)) " of " (number(pages)) }
            "; " (days.from) " to " (days.until.plus(-1)) ", the newest day first."
        }
        @if of_page.is_empty() {
            p.quiet { "No team is like that. " a href="/teams" { "Show all teams" } }
        } @else {
            div.heat.scrolls role="region" tabindex="0" aria-labelledby="heat-caption" {
                table #heat data-live data-grid {
                    caption #heat-caption.unseen { "Teams by days, the newest day first; each cell says how it stands with the day and leads to why" }
                    thead {
                        tr {
                            th.team scope="col" { "Team" }
                            th.n scope="col" { "Coverage" }
                            @for (index, day) in newest_first.iter().enumerate() { (heading(*day, index.checked_sub(1).map(|before| newest_first[before]))) }
                        }
                    }
                    tbody {
                        @for team in &of_page {
                            tr {
                                th.team scope="row" {
                                    a href={ "/teams/" (team.team.id) } { span.id { (team.team.id) } " " (text(&team.team.name)) }
                                }
                                td.n.coverage {
                                    @if team.is_misconfigured { (parts::status("misconfigured")) }
                                    @else if !team.team.enabled { (parts::status("off")) }
                                    @else { (parts::percent(team.coverage_percentage)) }
                                }
                                @for day in &newest_first {
                                    @if let Some(glance) = glances.get(&(team.team.id, *day)) {
                                        @let (class, sign) = parts::sign(glance.situation);
                                        td.{ "d s-" (class) } {
                                            a href={ "/teams/" (team.team.id) "/days/" (day) } title={ (day) ": " (glance.situation) } {
                                                span aria-hidden="true" { (sign) } span.unseen { (glance.situation) }
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
        nav.pages aria-label="Pages" {
            ul {
                @if page > 1 {
                    li { a href=(view.url(1, view.until)) { "First" } }
                    li { a rel="prev" href=(view.url(page - 1, view.until)) { "Previous teams" } }
                }
                @if page < pages {
                    li { a rel="next" href=(view.url(page + 1, view.until)) { "Next teams" } }
                    li { a href=(view.url(pages, view.until)) { "Last" } }
                }
                li { a href=(view.url(page, earlier)) { "Earlier days" } }
                @if view.until.is_some_and(|until| until < tomorrow) {
                    li { a href=(view.url(page, later)) { "Later days" } }
                }
            }
        }
        (legend())
    };
    let frame = Frame {
        title: "Teams",
        here: Here::Teams,
        every: Some(5),
        events: None,
    };
    Ok(asker.page(&frame, &content))
}

fn filters(view: &View) -> Markup {
    html! {
        form.filters action="/teams" method="get" {
            div {
                label for="q" { "Name, organization or id" }
                input #q type="search" name="q" value=(view.find) autocomplete="off";
            }
            div {
                label for="state" { "Show" }
                select #state name="state" {
                    option value="" { "all teams" }
                    @for (word, name, _) in FILTERS {
                        option value=(word) selected[view.filter.is_some_and(|(chosen, ..)| chosen == word)] { (name) }
                    }
                }
            }
            div {
                label for="days" { "Days" }
                select #days name="days" {
                    @for days in CHOICES { option value=(days) selected[days == view.days] { (days) } }
                }
            }
            @if let Some(until) = view.until { input type="hidden" name="until" value=(until); }
            button type="submit" { "Show" }
        }
    }
}

/// The heading of a day: only its number is seen, and its month where another day of it does not stand
/// before.
fn heading(day: Day, before: Option<Day>) -> Markup {
    let text = day.to_string();
    let (month, number) = text.rsplit_once('-').unwrap_or(("", &text));
    let begins = before.is_none_or(|before| !before.to_string().starts_with(month));
    html! {
        th.day scope="col" {
            @if begins { span.month aria-hidden="true" { (month_name(month)) } }
            span.unseen { (month) "-" } (number)
        }
    }
}

fn month_name(month: &str) -> &'static str {
    const NAMES: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let number = month
        .rsplit('-')
        .next()
        .and_then(|number| number.parse::<usize>().ok());
    number
        .and_then(|number| NAMES.get(number.checked_sub(1)?))
        .copied()
        .unwrap_or("")
}

/// What the signs mean.
pub fn legend() -> Markup {
    html! {
        section.legend aria-labelledby="legend-title" {
            h2 #legend-title { "What the signs mean" }
            ul {
                @for (situation, meaning) in parts::LEGEND {
                    @let (class, sign) = parts::sign(situation);
                    li { span.cell.{ "s-" (class) } aria-hidden="true" { (sign) } span { strong { (situation) } ": " (meaning) } }
                }
            }
        }
    }
}
