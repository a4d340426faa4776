//! The dashboard of `prefill serve`, over real HTTP and without a script: what its pages say, that its
//! forms do what they say, and that nothing from outside is taken for markup. A real browser is
//! `tests/browser.py`.

mod support;
#[path = "support/told.rs"]
mod told;
#[path = "support/web.rs"]
mod web;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use prefill::calendar::{Day, Days, TeamId, Zone};
use prefill::config::Config;
use prefill::event::Event;
use prefill::ledger::{Extent, Reason, Run, State};
use prefill::report::{self, Situation};
use reqwest::redirect::Policy;
use reqwest::{Client, Method};
use rustix::process::{Pid, Signal, kill_process};
use support::{World, page_view, until};
use web::{Answer, Served};

/// A name that is markup, an attribute and a statement at once.
const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;{{7*7}}";

/// A service on a world, asked as a browser without a script asks.
struct Site {
    served: Served,
}

impl Site {
    fn start(world: &World) -> Self {
        let command = world.command(&["--log-format", "json", "serve"]);
        Self::ready(Served::start(command, world.dir.path()))
    }

    /// Once it has opened its ledger.
    fn ready(served: Served) -> Self {
        served.running.says("http listening");
        Self::of(served)
    }

    fn of(mut served: Served) -> Self {
        let client = Client::builder().redirect(Policy::none()).build();
        served.client = client.expect("a client");
        Self { served }
    }

    async fn ask(&self, path: &str) -> Answer {
        let request = self.served.request(Method::GET, path);
        Answer::of(request.header("accept", "text/html")).await
    }

    /// A page that is there.
    #[track_caller]
    fn page(&self, path: &str) -> impl Future<Output = String> {
        let asked = self.ask(path);
        async move {
            let answer = asked.await;
            assert_eq!(answer.status, 200, "{answer:?}");
            is_a_page(&answer);
            answer.body
        }
    }

    /// Looks at a page until it says something.
    async fn until_says(&self, path: &str, what: &str) -> String {
        until(what, Duration::from_secs(60), || async {
            let body = self.page(path).await;
            body.contains(what).then_some(body)
        })
        .await
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        let request = self
            .served
            .request(Method::POST, path)
            .header("accept", "text/html")
            .header("origin", &self.served.url)
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.finish());
        Answer::of(request).await
    }

    /// What a form leads to.
    async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> String {
        let answer = self.post(path, fields).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        answer.header("location").to_owned()
    }
}

/// It is a whole page of ours, that needs no other host, no inline script and no inline style.
#[track_caller]
fn is_a_page(answer: &Answer) {
    let body = &answer.body;
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert!(
        answer
            .header("content-security-policy")
            .starts_with("default-src 'self';")
    );
    for part in [
        "<!DOCTYPE html>",
        "<html lang=\"en\">",
        "<main id=\"main\"",
        "<h1",
        "aria-label=\"Main\"",
        "class=\"skip\"",
    ] {
        assert!(body.contains(part), "{part:?} is not in {body}");
    }
    assert_eq!(body.matches("<h1").count(), 1, "{body}");
    // Tables tell what they are of, and their cells which way they are read.
    let tables = body.matches("<table").count();
    assert_eq!(tables, body.matches("<caption").count(), "{body}");
    assert_eq!(
        body.matches("<th").count() - body.matches("<thead").count(),
        body.matches("scope=\"").count(),
        "{body}"
    );
    for wrong in [
        " style=",
        "<style",
        "javascript:",
        " onclick=",
        "=\"http",
        "=\"//",
    ] {
        assert!(!body.contains(wrong), "{wrong:?} is in {body}");
    }
    assert_eq!(body.matches("<script").count(), 1, "{body}");
    assert!(
        body.contains("<script src=\"/assets/prefill.js?v="),
        "{body}"
    );
}

fn is_refused(answer: &Answer, status: u16, what: &str, next: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    is_a_page(answer);
    assert!(answer.body.contains(what), "{what:?}: {answer:?}");
    assert!(answer.body.contains(next), "{next:?}: {answer:?}");
}

fn today() -> Day {
    Day::of(Timestamp::now(), &Zone::utc())
}

/// Two sessions, of two people, on each of the last days.
fn visits(team: TeamId, days: i64) -> Vec<Event> {
    let now = Timestamp::now();
    let mut events = Vec::new();
    for back in 0..=days {
        let when = now - SignedDuration::from_hours(24 * back) - SignedDuration::from_secs(5);
        for person in [1, 2] {
            let session = format!("of {person}, {back}");
            events.push(page_view(team, person, &session, &when.to_string(), "/"));
        }
    }
    events
}

async fn filled(world: &World, team: TeamId, days: usize) {
    until("every day is filled", Duration::from_secs(60), || async {
        let slices = world.prefill.ledger.slices(team).await.expect("slices");
        let filled = slices.values().filter(|slice| slice.state == State::Filled);
        (filled.count() == days).then_some(())
    })
    .await;
}

/// How many commands a page shows, each of which the program has.
fn commands_that_are_there(page: &str) -> usize {
    let commands = page.split("<code class=\"command\">prefill ").skip(1);
    let told = commands.map(|command| {
        let words = command.split(['<', ' ']);
        // What is neither an option nor a file.
        let words: Vec<&str> = words
            .skip_while(|word| *word == "--data-dir" || *word == "demo")
            .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
            .take_while(|word| !word.starts_with('-'))
            .collect();
        let help = Command::new(support::program())
            .args(&words)
            .arg("--help")
            .output()
            .expect("it runs");
        assert!(help.status.success(), "prefill {words:?}: {help:?}");
    });
    told.count()
}

async fn latest_run(world: &World) -> Run {
    let runs = world
        .prefill
        .ledger
        .runs(None, None, 1)
        .await
        .expect("runs");
    runs.into_iter().next().expect("a run")
}

#[tokio::test(flavor = "multi_thread")]
async fn from_nothing_to_all_is_well_by_the_pages_alone() {
    let world = World::new().await;
    let site = Site::start(&world);
    let empty = site.page("/").await;
    for part in [
        "First steps",
        "prefill team add --team-id 1",
        "prefill import",
        "prefill enable",
    ] {
        assert!(empty.contains(part), "{part}: {empty}");
    }
    assert_eq!(commands_that_are_there(&empty), 4);
    assert!(site.page("/teams").await.contains("No team is like that"));
    assert!(
        site.page("/runs")
            .await
            .contains("Nothing was asked for yet")
    );

    let team = world.team(1, "UTC").await;
    world.insert(&visits(team, 9)).await;
    let off = site.page("/teams/1").await;
    assert!(off.contains("off: nothing is filled by itself"), "{off}");
    // A day that is asked for while the setting is off is refused as the command line does.
    let refused = site.post("/teams/1/backfill", &[("days", "1")]).await;
    is_refused(
        &refused,
        409,
        "web_analytics_pre_aggregated_tables_enabled off",
        "prefill enable --team-id 1",
    );

    let to = site.submit("/teams/1/setting", &[("on", "1")]).await;
    assert_eq!(to, "/teams/1?said=on");
    let on = site.page(&to).await;
    assert!(on.contains("role=\"status\">The setting is on"), "{on}");
    filled(&world, team, 8).await;
    let well = site.until_says("/", "All is well").await;
    assert!(
        well.contains("Every wanted day of 1 team is filled and verified: 8 days."),
        "{well}"
    );
    let well = site.until_says("/", "<strong>8 days</strong>").await;
    assert!(
        well.contains("100.0 %") && well.contains("</span> up</span>"),
        "{well}"
    );
    assert!(!well.contains("What needs somebody"), "{well}");

    // The numbers are those of the tables, and each has its row.
    let page = site.page("/teams/1").await;
    let row = format!(
        "<th scope=\"row\">{}</th><td class=\"n\">2</td><td class=\"n\">2</td><td class=\"n\">2</td><td class=\"n\">100.0 %</td>",
        today().plus(-1)
    );
    assert!(page.contains(&row), "{row}: {page}");
    assert_eq!(page.matches("<svg").count(), 4, "{page}");
    let day = site
        .page(&format!("/teams/1/days/{}", today().plus(-1)))
        .await;
    for part in [
        "it is filled and verified",
        "hold what was verified",
        "2 sessions, 2 page views",
        "Fill it again",
    ] {
        assert!(day.contains(part), "{part}: {day}");
    }
    let to = site.submit("/teams/1/setting", &[]).await;
    assert_eq!(to, "/teams/1?said=off");
    assert!(
        !world
            .prefill
            .ledger
            .team(team)
            .await
            .expect("there")
            .enabled
    );
    assert!(site.page("/").await.contains("No team has the setting on"));
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_do_what_they_say_and_what_deletes_asks_first() {
    let world = World::new().await;
    let team = world.team(7, "UTC").await;
    world.insert(&visits(team, 12)).await;
    let site = Site::start(&world);
    world.enable(team).await;
    filled(&world, team, 8).await;
    let (first, last) = (today().plus(-11), today().plus(-9));
    let range = [
        ("date_start", first.to_string()),
        ("date_end", last.to_string()),
    ];
    let range: Vec<(&str, &str)> = range
        .iter()
        .map(|(name, day)| (*name, day.as_str()))
        .collect();

    let query = format!("date_start={first}&date_end={last}");
    let estimate = site.page(&format!("/teams/7/backfill?{query}")).await;
    assert!(
        estimate.contains("<strong>2 days</strong>") && estimate.contains("4 raw events"),
        "{estimate}"
    );
    let nothing = site.page("/teams/7/backfill?days=3").await;
    assert!(nothing.contains("Nothing: all of"), "{nothing}");
    let to = site.submit("/teams/7/backfill", &[("days", "3")]).await;
    let none = "Run: completed, nothing to do";
    let page = site.page(&to).await;
    assert!(page.contains(none) && !page.contains("0 of 0"), "{page}");

    let to = site.submit("/teams/7/backfill", &range).await;
    let run = latest_run(&world).await;
    assert_eq!(to, format!("/runs/{}", run.id));
    assert_eq!(
        (run.date_start, run.date_end, run.forced),
        (first, last, false)
    );
    let done = site
        .until_says(&to, "Run: completed, 2 of 2 days filled")
        .await;
    assert!(done.contains("4 sessions, 4 page views"), "{done}");
    assert!(!done.contains("Cancel this run"), "{done}");
    assert!(site.page("/runs").await.contains(&run.id.to_string()));

    // Both forms of a range, none, and nonsense.
    for (fields, what) in [
        (
            &[("days", "1"), ("date_start", "2026-01-01")][..],
            "a number of days and a range",
        ),
        (&[("days", "many")], "no number of days"),
        (&[("days", "4000")], "4000"),
        (&[("date_start", "yesterday")], "no date"),
        (
            &[("date_start", "2026-02-02"), ("date_end", "2026-02-01")],
            "ends before it starts",
        ),
    ] {
        is_refused(
            &site.post("/teams/7/backfill", fields).await,
            422,
            what,
            "What to do",
        );
    }

    let verdicts = site.page(&format!("/teams/7/validate?{query}")).await;
    assert!(
        verdicts.contains("All 2 days equal the raw events"),
        "{verdicts}"
    );
    world
        .query(&format!("alter table web_pre_aggregated_stats delete where team_id = 7 and toDate(period_bucket) = '{first}' settings mutations_sync = 1"))
        .await;
    let verdicts = site.page(&format!("/teams/7/validate?{query}")).await;
    for part in [
        "1 of 2 days differs from the raw events",
        "stats page views 2 in the raw events and 0 in the table",
        "Fill them again",
    ] {
        assert!(verdicts.contains(part), "{part}: {verdicts}");
    }
    let force = [range[0], range[1], ("force", "1")];
    let to = site.submit("/teams/7/backfill", &force).await;
    site.until_says(&to, "Run: completed, 2 of 2").await;
    assert!(latest_run(&world).await.forced);
    assert!(
        site.page("/teams/7/validate")
            .await
            .contains("All 10 days equal the raw events")
    );

    let count = |more: String| {
        let world = &world;
        async move {
            let sql =
                format!("select count() from web_pre_aggregated_stats where team_id = 7{more}");
            world.query(&sql).await.parse::<i64>().expect("a number")
        }
    };
    let before = count(String::new()).await;
    let within = count(format!(
        " and toDate(period_bucket) >= '{first}' and toDate(period_bucket) < '{last}'"
    ))
    .await;
    assert!(0 < within && within < before, "{within} of {before}");
    let would = site.page(&format!("/teams/7/cleanup?{query}")).await;
    let rows = format!("<strong>{within}</strong> rows of <code>web_pre_aggregated_stats");
    assert!(
        would.contains("Delete the rows of 2 days?") && would.contains(&rows),
        "{would}"
    );
    // Looking deletes nothing, and neither does a form without a range.
    is_refused(
        &site.post("/teams/7/cleanup", &[]).await,
        422,
        "needs both days",
        "What to do",
    );
    let form = site.page("/teams/7").await;
    let both = ["start", "end"].map(|field| {
        format!("id=\"cleanup-{field}\" type=\"date\" name=\"date_{field}\" required>")
    });
    assert!(both.iter().all(|field| form.contains(field)), "{form}");
    assert_eq!(count(String::new()).await, before);
    let to = site.submit("/teams/7/cleanup", &range).await;
    assert_eq!(to, "/teams/7?said=cleaned");
    assert_eq!(count(String::new()).await, before - within);
    let page = site.page(&to).await;
    assert!(
        page.contains("The rows of the range are deleted") && page.contains("cleaned"),
        "{page}"
    );
    assert!(
        !world
            .prefill
            .ledger
            .team(team)
            .await
            .expect("there")
            .enabled
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paused_failed_or_running_is_told_and_set_going_again_by_a_button() {
    let world = World::new().await;
    let ledger = &world.prefill.ledger;
    let team = world.team(3, "UTC").await;
    let site = Site::start(&world);
    assert_eq!(site.submit("/all/pause", &[]).await, "/?said=paused");
    world.enable(team).await;
    let paused = site.page("/").await;
    for part in [
        "Everything is paused",
        "prefill resume --all",
        "Resume everything",
    ] {
        assert!(paused.contains(part), "{part}: {paused}");
    }
    let run = latest_run(&world).await;
    let page = site.page(&format!("/runs/{}", run.id)).await;
    assert!(page.contains("Run: paused, 0 of 8 days filled"), "{page}");
    let day = format!("/teams/3/days/{}", today());
    let why = site.page(&day).await;
    assert!(
        why.contains("everything is paused") && why.contains("prefill resume --all"),
        "{why}"
    );
    is_refused(
        &site.post("/all/cancel", &[]).await,
        404,
        "not cancelled at once",
        "prefill cancel --all",
    );
    is_refused(
        &site.post("/teams/3/dance", &[]).await,
        404,
        "dance",
        "go back",
    );

    assert_eq!(
        site.submit("/teams/3/pause", &[]).await,
        "/teams/3?said=paused"
    );
    assert_eq!(site.submit("/all/resume", &[]).await, "/?said=resumed");
    assert!(ledger.pauses().await.expect("pauses").is_empty());
    assert_eq!(
        site.submit("/teams/3/pause", &[("to", "overview")]).await,
        "/?said=paused"
    );
    assert!(site.page("/").await.contains("prefill resume --team-id 3"));
    assert_eq!(ledger.pauses().await.expect("pauses"), [Extent::Team(team)]);
    assert!(site.page("/teams?state=paused").await.contains("1 team;"));

    // What is not there to be stopped any more is told as the command line tells it.
    let of_run = format!("/runs/{}", run.id);
    assert_eq!(
        site.submit(&format!("{of_run}/cancel"), &[]).await,
        format!("{of_run}?said=cancelled")
    );
    // A worker that had begun in between gives its day back first.
    let page = site.until_says(&of_run, "Run: cancelled").await;
    assert!(page.contains("Resume"), "{page}");
    is_refused(
        &site.post(&format!("{of_run}/retry"), &[]).await,
        409,
        "is cancelled",
        "prefill resume",
    );
    assert_eq!(
        site.submit(&format!("{of_run}/resume"), &[]).await,
        format!("{of_run}?said=resumed")
    );

    // Two days that failed with the same error are one thing for somebody to do.
    let (day, until) = (today().plus(-2), today());
    support::ledger::plain_sql(
        world.dir.path(),
        &format!(
            "update slices set state = 'failed', attempts = 3, error = 'Code: 60. <b>no</b> such table' where team_id = 3 and day >= '{day}' and day < '{until}'"
        ),
    );
    let bad = site.page("/").await;
    for part in [
        "1 thing needs somebody",
        "2 days of team 3 failed",
        "Code: 60. &lt;b&gt;no&lt;/b&gt; such table",
        "prefill retry --team-id 3",
        "Try again",
    ] {
        assert!(bad.contains(part), "{part}: {bad}");
    }
    assert!(
        site.page("/teams?state=failed")
            .await
            .contains("class=\"d s-failed\"")
    );
    let why = site.page(&format!("/teams/3/days/{day}")).await;
    assert!(
        why.contains("all 3 tries failed") && why.contains("Ask for it"),
        "{why}"
    );
    assert_eq!(
        site.submit("/teams/3/retry", &[("to", "overview")]).await,
        "/?said=retried"
    );
    let slices = ledger.slices(team).await.expect("slices");
    assert!(
        slices.values().all(|slice| slice.state != State::Failed),
        "{slices:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_paused_by_itself_is_told_on_the_overview_and_resumed_there() {
    let world = World::new().await;
    let team = world.team(3, "UTC").await;
    world.enable(team).await;
    // Before anybody works on it.
    let run = latest_run(&world).await.id;
    let paused = world.prefill.ledger.pause(Extent::Task(run)).await;
    paused.expect("paused");
    let site = Site::start(&world);
    let page = site.page("/").await;
    for part in [
        "1 run is paused",
        "8 of them wait for a pause to end",
        &format!("prefill resume {run}"),
        &format!("action=\"/runs/{run}/resume\""),
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("No team is paused"), "{page}");
    let resume = format!("/runs/{run}/resume");
    let to = site.submit(&resume, &[("to", "overview")]).await;
    assert_eq!(to, "/?said=resumed");
    let page = site.page(&to).await;
    assert!(page.contains("No team is paused, and no run."), "{page}");
    assert!(!page.contains("wait for a pause to end"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cleanup_has_left_and_messages_that_wait_are_told_on_the_overview() {
    let world = World::new().await;
    let team = world.team(1, "UTC").await;
    world.insert(&visits(team, 9)).await;
    let site = Site::start(&world);
    world.enable(team).await;
    filled(&world, team, 8).await;
    site.until_says("/", "All is well").await;
    let ledger = &world.prefill.ledger;
    let days = ledger.slices(team).await.expect("slices");
    let first = days.keys().next().expect("a day");
    ledger.set_enabled(team, false).await.expect("off");
    world.prefill.reconcile(team).await.expect("held");
    let days = Days::new(*first, first.plus(2)).expect("two days");
    ledger.begin_cleaning(team, days).await.expect("begun");
    support::ledger::plain_sql(
        world.dir.path(),
        "insert into outbox (receiver, body, made_at) values ('slack.old', '{}', 0)",
    );
    let page = site.until_says("/", "1 cleanup did not end").await;
    for part in [
        "2 things need somebody",
        "1 receiver of alerts does not get the messages",
        "slack.old",
        &format!(
            "/teams/1/cleanup?date_start={first}&amp;date_end={}",
            first.plus(2)
        ),
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

/// The embedded engine of an installation, stopped until this is dropped.
struct Stopped(Pid);

impl Stopped {
    fn engine(world: &World) -> Self {
        let card = std::fs::read(world.dir.path().join("engine.json")).expect("a card");
        let card: serde_json::Value = serde_json::from_slice(&card).expect("a card");
        let pid = i32::try_from(card["pid"].as_i64().expect("a process")).expect("a pid");
        let pid = Pid::from_raw(pid).expect("a pid");
        kill_process(pid, Signal::STOP).expect("it runs");
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_called_well_while_a_warehouse_hangs() {
    let world = World::new().await;
    let team = world.team(1, "UTC").await;
    world.insert(&visits(team, 9)).await;
    let site = Site::start(&world);
    world.enable(team).await;
    filled(&world, team, 8).await;
    let well = site.until_says("/", "All is well").await;
    assert!(well.contains("</span> up</span>"), "{well}");
    let stopped = Stopped::engine(&world);
    let since = Instant::now();
    let hangs = site
        .until_says("/", "Warehouse default does not answer")
        .await;
    assert!(since.elapsed() < Duration::from_secs(15), "{since:?}");
    assert!(hangs.contains("</span> does not answer</span>"), "{hangs}");
    assert!(!hangs.contains("All is well"), "{hangs}");
    drop(stopped);
    until("it answers again", Duration::from_secs(30), || async {
        let page = site.page("/").await;
        page.contains("</span> up</span>").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_from_outside_is_text_on_every_page() {
    let world = World::new().await;
    let team = world.team(5, "UTC").await;
    let escaped = HOSTILE.replace('\'', "''");
    support::ledger::plain_sql(
        world.dir.path(),
        &format!("update teams set name = '{escaped}', organization = '{escaped}' where id = 5"),
    );
    world.insert(&visits(team, 9)).await;
    let site = Site::start(&world);
    world.enable(team).await;
    filled(&world, team, 8).await;
    let (day, run) = (today().plus(-1), latest_run(&world).await.id);
    support::ledger::plain_sql(
        world.dir.path(),
        &format!(
            "update slices set state = 'failed', error = '{escaped}', reason = '{escaped}' where day = '{day}'; update runs set reason = '{escaped}'"
        ),
    );
    let hostile: String = url::form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect();
    let named = [
        "/".to_owned(),
        "/teams".to_owned(),
        "/teams/5".to_owned(),
        format!("/teams/5/days/{day}"),
        format!("/runs/{run}"),
        "/teams/5/validate?days=1".to_owned(),
        "/teams/5/backfill?days=1&force=1".to_owned(),
        format!("/teams/5/cleanup?date_start={day}&date_end={}", day.plus(1)),
        format!("/teams?q={hostile}"),
        "/runs".to_owned(),
    ];
    for path in &named {
        let body = site.page(path).await;
        assert!(
            body.contains("&lt;script&gt;alert(1)&lt;/script&gt;"),
            "{path}: {body}"
        );
        assert!(
            !body.contains("<img src=x") && !body.contains("\"'><"),
            "{path}: {body}"
        );
    }
    for path in [
        format!("/teams?days={hostile}&page={hostile}&said={hostile}"),
        format!("/?said={hostile}"),
    ] {
        assert!(!site.page(&path).await.contains("alert(2)\""), "{path}");
    }
    let state = site.ask(&format!("/teams?state={hostile}")).await;
    is_refused(&state, 422, "is no state of teams", "ask for one of failed");
    assert!(!state.body.contains("<img src=x"), "{state:?}");
    for path in [
        format!("/teams/{hostile}"),
        format!("/teams/5/days/{hostile}"),
        format!("/runs/{hostile}"),
        format!("/{hostile}"),
    ] {
        let answer = site.ask(&path).await;
        is_refused(&answer, 404, "Error 404", "To the overview");
        assert!(!answer.body.contains("<img src=x"), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_heatmap_says_of_each_day_what_explain_says_and_finds_teams() {
    let world = World::new().await;
    let ledger = &world.prefill.ledger;
    // 120 teams: three pages.
    for id in 1..=120 {
        world.team(id, "UTC").await;
    }
    let teams = [1, 2, 3, 4, 5, 6].map(TeamId);
    for team in teams {
        world.enable(team).await;
    }
    let day = |back: i64| today().plus(-back);
    let states = [
        (1, 1, "state = 'filled', filled_at = 1"),
        (1, 2, "state = 'stale', filled_at = 1"),
        (1, 3, "state = 'failed', error = 'no'"),
        (1, 4, "state = 'cleaned'"),
        (1, 5, "waiting = 1"),
        (
            1,
            6,
            "error = 'later', attempts = 1, not_before = 4000000000000",
        ),
        (1, 7, "warehouse = 'elsewhere'"),
        (
            1,
            0,
            "state = 'running', claim = 'c', owner = 'host:1:a:b', lease_until = 4000000000000, claimed_at = 1",
        ),
    ];
    let states: Vec<String> = states
        .iter()
        .map(|(team, back, set)| {
            format!(
                "update slices set {set} where team_id = {team} and day = '{}';",
                day(*back)
            )
        })
        .collect();
    support::ledger::plain_sql(world.dir.path(), &states.concat());
    ledger.pause(Extent::Team(TeamId(2))).await.expect("paused");
    let run = ledger
        .runs_of_team(TeamId(3), 1)
        .await
        .expect("runs")
        .first()
        .map(|run| run.id);
    ledger
        .cancel(Extent::Task(run.expect("a run")))
        .await
        .expect("cancelled");
    ledger.set_enabled(TeamId(4), false).await.expect("off");
    support::ledger::plain_sql(
        world.dir.path(),
        "update teams set timezone = 'Mars/Olympus' where id = 5; delete from slices where team_id = 6",
    );

    let now = ledger.now().await.expect("now");
    let all = ledger.teams().await.expect("teams");
    let of_page: Vec<_> = all.iter().take(7).collect();
    let range = Days {
        from: day(9),
        until: day(-2),
    };
    let config: &Config = &world.prefill.config;
    let glances = report::days_of(ledger, config, &of_page, range, now)
        .await
        .expect("read");
    let mut seen = Vec::new();
    for ((team, day), glance) in &glances {
        let told = world.prefill.explain(*team, *day).await.expect("told");
        assert_eq!(glance.situation, told.situation, "team {team}, {day}");
        seen.push(glance.situation);
    }
    for situation in [
        Situation::Filled,
        Situation::Stale,
        Situation::Running,
        Situation::Queued,
        Situation::Retrying,
        Situation::Failed,
        Situation::Waiting,
        Situation::Paused,
        Situation::Held,
        Situation::Cancelled,
        Situation::Cleaned,
        Situation::Unplanned,
        Situation::NotWanted,
        Situation::Misconfigured,
    ] {
        assert!(
            seen.contains(&situation),
            "{situation} is missing in {seen:?}"
        );
    }

    // The page, without a worker that would change it: its warehouse is not there.
    let config = "[warehouse]\nurl = \"http://127.0.0.1:1\"\n";
    std::fs::write(world.dir.path().join("prefill.toml"), config).expect("written");
    ledger.pause(Extent::Everything).await.expect("paused");
    let site = Site::start(&world);
    let page = site.page("/teams").await;
    assert!(page.contains("120 teams, page 1 of 3"), "{page}");
    for (class, word) in [
        ("failed", "failed"),
        ("stale", "paused"),
        ("filled", "filled"),
        ("cleaned", "cleaned"),
        ("held", "held"),
        ("misconfigured", "misconfigured"),
        ("notwanted", "not wanted"),
    ] {
        let class = if word == "paused" { "paused" } else { class };
        let cell = format!("class=\"d s-{class}\"");
        let named = format!("<span class=\"unseen\">{word}</span>");
        assert!(
            page.contains(&cell) && page.contains(&named),
            "{cell}, {named}: {page}"
        );
    }
    assert!(
        page.contains("rel=\"next\" href=\"/teams?page=2\""),
        "{page}"
    );
    let last = site.page("/teams?page=3").await;
    assert!(
        last.contains("Team 120")
            && last.contains("rel=\"prev\"")
            && !last.contains("rel=\"next\""),
        "{last}"
    );
    assert!(site.page("/teams?page=99").await.contains("page 3 of 3"));
    let found = site.page("/teams?q=team+11").await;
    assert!(
        found.contains("11 of 120 teams") && found.contains("Team 119"),
        "{found}"
    );
    assert!(site.page("/teams?q=120").await.contains("1 of 120 teams"));
    let as_in_the_api = site.page("/teams?search=team+11").await;
    assert!(
        as_in_the_api.contains("11 of 120 teams") && as_in_the_api.contains("value=\"team 11\""),
        "{as_in_the_api}"
    );
    for (state, count) in [
        ("failed", "1 of 120"),
        ("stale", "1 of 120"),
        ("misconfigured", "1 of 120"),
        ("on", "5 of 120"),
        ("off", "115 of 120"),
        ("waiting", "1 of 120"),
    ] {
        let page = site.page(&format!("/teams?state={state}")).await;
        assert!(page.contains(&format!("{count} teams")), "{state}: {page}");
    }
    let cleaned = site.page("/teams?state=cleaned").await;
    assert!(
        cleaned.contains("1 of 120 teams") && cleaned.contains("class=\"d s-cleaned\""),
        "{cleaned}"
    );
    // What is paused is shown as that, cancelled or not.
    let cancelled = site.page("/teams?state=cancelled").await;
    assert!(cancelled.contains("0 of 120 teams"), "{cancelled}");
    let earlier = site.page(&format!("/teams?until={}", day(20))).await;
    assert!(earlier.contains("Later days"), "{earlier}");
    // What the ledger has is told while the warehouse is away, and that it is.
    let away = site.page("/teams/1").await;
    assert!(
        away.contains("The warehouse could not be asked") && away.contains("s-failed"),
        "{away}"
    );
    let overview = site.until_says("/", "cannot be used").await;
    assert!(
        overview.contains("Warehouse default cannot be used") && overview.contains("Mars/Olympus"),
        "{overview}"
    );
    let refused = site.ask("/teams/1/validate?days=1").await;
    is_refused(&refused, 503, "failed", "What to do");
    ledger.resume(Extent::Everything).await.expect("resumed");
    let cancelled = site.page("/teams?state=cancelled").await;
    assert!(
        cancelled.contains("1 of 120 teams")
            && cancelled.contains("Team 3")
            && cancelled.contains("class=\"d s-cancelled\""),
        "{cancelled}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn all_runs_are_found_page_by_page_in_the_order_of_the_api() {
    let world = World::new().await;
    let (team, utc) = (world.team(1, "UTC").await, Zone::utc());
    for back in 0..120 {
        let day = today().plus(-back);
        let days = Days::new(day, day.plus(1)).expect("a day");
        let asked =
            world
                .prefill
                .ledger
                .request(team, days, &utc, "default", Reason::Request, None);
        asked.await.expect("asked").expect("made");
    }
    let site = Site::start(&world);
    let all = site
        .served
        .get("/api/v1/backfills?limit=1000")
        .await
        .done(200);
    let all: Vec<String> = all["tasks"]
        .as_array()
        .expect("tasks")
        .iter()
        .map(|task| task["task"]["task_id"].as_str().expect("an id").to_owned())
        .collect();
    assert_eq!(all.len(), 120);
    let (mut listed, mut sizes, mut path) = (Vec::new(), Vec::new(), "/runs".to_owned());
    loop {
        let page = site.page(&path).await;
        let ids: Vec<String> = page
            .split("href=\"/runs/")
            .skip(1)
            .filter_map(|part| Some(part.split_once('"')?.0.to_owned()))
            .collect();
        sizes.push(ids.len());
        listed.extend(ids);
        // On a phone what comes last is beyond the edge.
        let heads = ["Asked", "Team", "Status", "Filled", "Days", "Reason"];
        let heads = heads.map(|head| format!("<th scope=\"col\">{head}</th>"));
        assert!(page.contains(&heads.concat()), "{page}");
        let next = page.split_once("rel=\"next\" href=\"");
        let Some((_, next)) = next else {
            assert!(page.contains("<a href=\"/runs\">The newest</a>"), "{page}");
            break;
        };
        next.split_once('"')
            .expect("an address")
            .0
            .clone_into(&mut path);
    }
    assert_eq!((listed, sizes), (all, vec![50, 50, 20]));
    is_refused(
        &site.ask("/runs?after=x").await,
        404,
        "is no id of a run",
        "/runs",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_tokens_one_logs_in_and_who_may_only_read_sees_no_buttons() {
    let world = World::new().await;
    let team = world.team(1, "UTC").await;
    world.enable(team).await;
    let (full, reads) = ("full-0123456789abcdef", "read-0123456789abcdef");
    let mut command = world.command(&["--log-format", "json", "serve"]);
    command
        .env("PREFILL_HTTP_TOKEN", full)
        .env("PREFILL_HTTP_READ_ONLY_TOKEN", reads);
    let site = Site::ready(Served::start(command, world.dir.path()));
    let away = site.ask("/teams/1").await;
    assert_eq!(
        (away.status, away.header("location")),
        (303, "/login?to=%2Fteams%2F1")
    );
    assert_eq!(site.ask("/").await.header("location"), "/login");
    // After the login one is where one wanted to be, with what was asked for there, and nowhere else.
    let page = format!("/teams/1?until={}", today().plus(-30));
    let away = site.ask(&page).await;
    let form = site.page(away.header("location")).await;
    let kept = format!("<input type=\"hidden\" name=\"to\" value=\"{page}\">");
    assert!(form.contains(&kept), "{kept}: {form}");
    let to = site
        .submit("/login", &[("token", full), ("to", &page)])
        .await;
    assert_eq!(to, page);
    let wrong = site
        .post("/login", &[("token", "wrong"), ("to", &page)])
        .await;
    assert!(wrong.body.contains(&kept), "{wrong:?}");
    for elsewhere in [
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "https://evil.example/teams",
        "evil.example",
    ] {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let query = query.append_pair("to", elsewhere).finish();
        let form = site.page(&format!("/login?{query}")).await;
        assert!(!form.contains("evil"), "{form}");
        let to = site
            .submit("/login", &[("token", full), ("to", elsewhere)])
            .await;
        assert_eq!(to, "/", "{elsewhere:?}");
    }
    let form = site.page("/login").await;
    assert!(form.contains("<label for=\"token\">"), "{form}");
    for variable in ["PREFILL_HTTP_TOKEN", "PREFILL_HTTP_READ_ONLY_TOKEN"] {
        let named = format!("<code>{variable}</code>");
        assert!(form.contains(&named), "{named}: {form}");
    }
    let style = form
        .split("href=\"")
        .find(|part| part.starts_with("/assets/prefill.css"))
        .expect("a style");
    let style = style.split('"').next().expect("an address");
    let sheet = site.ask(style).await;
    assert_eq!(
        (sheet.status, sheet.header("content-type")),
        (200, "text/css; charset=utf-8")
    );
    assert_eq!(
        sheet.header("cache-control"),
        "public, max-age=31536000, immutable"
    );
    let again = site
        .served
        .request(Method::GET, style)
        .header("if-none-match", sheet.header("etag"));
    assert_eq!(Answer::of(again).await.status, 304);
    assert_eq!(
        site.ask("/assets/prefill.css")
            .await
            .header("cache-control"),
        "no-cache"
    );

    is_refused(
        &site
            .post("/login", &[("token", "full-0123456789abcdeX")])
            .await,
        401,
        "not one of those known",
        "Token",
    );
    let with = |token: &str, method: Method, path: &str| {
        let request = site
            .served
            .request(method, path)
            .header("accept", "text/html");
        Answer::of(request.header("cookie", format!("prefill_token={token}")))
    };
    for (token, may_change) in [(full, true), (reads, false)] {
        let entered = site.post("/login", &[("token", token)]).await;
        assert_eq!((entered.status, entered.header("location")), (303, "/"));
        let cookie = format!("prefill_token={token}; Path=/; HttpOnly; SameSite=Strict");
        assert_eq!(entered.header("set-cookie"), cookie);
        let run = latest_run(&world).await.id;
        for path in [
            "/".to_owned(),
            "/teams/1".to_owned(),
            format!("/teams/1/days/{}", today().plus(-30)),
            format!("/runs/{run}"),
        ] {
            let page = with(token, Method::GET, &path).await;
            assert_eq!(page.status, 200, "{page:?}");
            is_a_page(&page);
            // The way out is all that it may send.
            let forms = page.body.matches("method=\"post\"").count();
            let out = page.body.matches("action=\"/login\"").count();
            assert_eq!(out, 1, "{page:?}");
            if !may_change {
                assert_eq!(forms, 1, "{path}: {page:?}");
                assert!(page.body.contains("read only"), "{page:?}");
            } else if !path.starts_with("/runs") {
                assert!(forms > 1, "{path}: {page:?}");
            }
        }
    }
    let refused = with(reads, Method::POST, "/teams/1/pause").await;
    is_refused(&refused, 403, "the token may only read", "token_file");
    assert!(
        world
            .prefill
            .ledger
            .pauses()
            .await
            .expect("pauses")
            .is_empty()
    );
    let left = site.post("/login", &[("leave", "1")]).await;
    assert_eq!((left.status, left.header("location")), (303, "/login"));
    assert!(
        left.header("set-cookie").contains("prefill_token=; ")
            && left.header("set-cookie").contains("Max-Age=0")
    );
    // A page of another origin changes nothing, whatever cookie the browser sends.
    let foreign = site
        .served
        .request(Method::POST, "/teams/1/pause")
        .header("accept", "text/html")
        .header("origin", "http://evil.example");
    let foreign = foreign.header("cookie", format!("prefill_token={full}"));
    is_refused(
        &Answer::of(foreign).await,
        403,
        "another origin",
        "dashboard",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_a_page_for_browsers_and_a_problem_for_programs() {
    let world = World::new().await;
    world.team(1, "UTC").await;
    let site = Site::start(&world);
    for (path, what) in [
        ("/nothing", "there is nothing at /nothing"),
        ("/teams/99", "there is no team 99"),
        ("/teams/x", "is no team id"),
        ("/teams/1/days/2026-13-01", "is no date"),
        (
            "/runs/00000000-0000-0000-0000-000000000000",
            "there is no task",
        ),
        ("/runs/x", "is no id of a run"),
        ("/assets/x.js", "there is nothing at /assets/x.js"),
    ] {
        is_refused(&site.ask(path).await, 404, what, "To the overview");
    }
    is_refused(
        &site.post("/runs", &[]).await,
        405,
        "/runs does not take POST",
        "Error 405",
    );
    // What is no path, query or form of ours is told in the same way.
    for (path, what) in [
        ("/teams?page=1&page=2", "duplicate field `page`"),
        ("/runs?after=a&after=b", "duplicate field `after`"),
        ("/teams/%FF", "UTF-8"),
        ("/runs/%FF", "UTF-8"),
        ("/teams/1/validate?days=1&days=2", "duplicate field `days`"),
    ] {
        is_refused(&site.ask(path).await, 400, what, "go back");
    }
    let large = "1".repeat(70_000);
    let form = [("days", large.as_str())];
    is_refused(
        &site.post("/teams/1/backfill", &form).await,
        413,
        "the form is too large",
        "max_body_bytes",
    );
    let twice = [("days", "1"), ("days", "2")];
    is_refused(
        &site.post("/teams/1/backfill", &twice).await,
        400,
        "duplicate field `days`",
        "go back",
    );
    let other = site
        .served
        .request(Method::POST, "/teams/1/backfill")
        .header("accept", "text/html")
        .header("origin", &site.served.url)
        .header("content-type", "text/plain")
        .body("days=1");
    is_refused(&Answer::of(other).await, 400, "Content-Type", "go back");
    let program = site.served.get("/teams?page=1&page=2").await;
    program.refused(400, "malformed", "duplicate field", "go back");
    site.served.get("/teams/99").await.refused(
        404,
        "not-found",
        "there is no team 99",
        "prefill team",
    );

    let dir = tempfile::tempdir().expect("a directory");
    let no_ledger = "[ledger]\nurl = \"postgres://u@127.0.0.1:1/db\"\nconnect_timeout_ms = 300\n";
    std::fs::write(dir.path().join("prefill.toml"), no_ledger).expect("written");
    let mut command = Command::new(support::program());
    command.arg("--data-dir").arg(dir.path()).arg("serve");
    let site = Site::of(Served::start(command, dir.path()));
    let starting = site.ask("/").await;
    is_refused(
        &starting,
        503,
        "the ledger could not be opened yet",
        "the log of prefill serve says why",
    );
    assert!(starting.body.contains("data-every=\"5\""), "{starting:?}");
    // What was to be changed is not asked for again by the page itself.
    let pressed = site.post("/all/pause", &[]).await;
    is_refused(
        &pressed,
        503,
        "the ledger could not be opened yet",
        "the log of prefill serve says why",
    );
    assert!(!pressed.body.contains("data-every=\"5\""), "{pressed:?}");
}

/// Real Chromium: `tests/browser.py` says what it does there.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_real_browser() {
    let world = World::new().await;
    let team = world.team(1, "UTC").await;
    world.insert(&visits(team, 12)).await;
    for id in 2..=60 {
        world.team(id, "Asia/Kolkata").await;
    }
    let site = Site::start(&world);
    world.enable(team).await;
    filled(&world, team, 8).await;
    world.enable(TeamId(2)).await;
    let failed = today().plus(-20);
    world
        .insert(&[page_view(
            TeamId(2),
            1,
            "s",
            &format!("{failed}T12:00:00Z"),
            "/",
        )])
        .await;
    let run = world
        .prefill
        .backfill(
            &world
                .target(TeamId(2), &failed.to_string(), &failed.plus(1).to_string())
                .await,
            false,
        )
        .await;
    run.expect("asked");
    until("it is filled", Duration::from_secs(30), || async {
        let slices = world
            .prefill
            .ledger
            .slices(TeamId(2))
            .await
            .expect("slices");
        (slices[&failed].state == State::Filled).then_some(())
    })
    .await;
    support::ledger::plain_sql(
        world.dir.path(),
        &format!(
            "update slices set state = 'failed', attempts = 3, error = 'Code: 241. memory limit exceeded' where team_id = 2 and day = '{failed}'"
        ),
    );
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var_os("PREFILL_TEST_PYTHON")
        .map_or_else(|| root.join(".venv/bin/python"), PathBuf::from);
    assert!(
        python.exists(),
        "there is no {}: run make test-python, or set PREFILL_TEST_PYTHON",
        python.display()
    );
    let mut browser = Command::new(python);
    browser
        .arg(root.join("tests/browser.py"))
        .arg(&site.served.url)
        .arg(failed.to_string());
    let output = tokio::task::spawn_blocking(move || browser.output()).await;
    let output = output.expect("no panic").expect("python runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("all well"),
        "{said}\n{errors}"
    );
}
