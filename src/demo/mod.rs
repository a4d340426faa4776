//! What `prefill demo` shows: a synthetic site, the setting turned on, the fill as it happens, the
//! verdict of each day, and the same questions asked of the raw events and of the tables.
//!
//! It lies in a directory of its own below the data directory, and can be run again: the site is
//! the same, so that only what is new since the last time is added.

pub mod site;

use std::time::{Duration, Instant};

use clickhouse::Row;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::calendar::{TeamId, Zone};
use crate::config::{Config, DEFAULT_LISTEN, DEFAULT_WAREHOUSE, Http};
use crate::error::{Class, Error, Result};
use crate::event::Event;
use crate::ledger::NewTeam;
use crate::load::{Load, Loaded};
use crate::output::{self, Rows, note, number};
use crate::report;
use crate::request::{self, Asked};
use crate::schema::Store;
use crate::service::{Place, Prefill};
use crate::web::Web;
use site::Site;

/// How long the fill may take before the demo says that something is wrong.
const FILLED_WITHIN: Duration = Duration::from_secs(600);
/// A question is asked this often; the median counts.
const ASKED: usize = 5;

#[derive(Row, Deserialize, PartialEq, Debug)]
struct ByDay {
    day: String,
    visitors: u64,
    page_views: u64,
    sessions: u64,
    bounce_rate: f64,
}

#[derive(Row, Deserialize, PartialEq, Debug)]
struct TopPage {
    pathname: String,
    visitors: u64,
    page_views: u64,
}

/// What was shown, as JSON.
#[derive(Debug, Serialize)]
struct Shown {
    status: &'static str,
    events: Loaded,
    /// From turning the setting on to the last verified day.
    fill_seconds: f64,
    days: usize,
    days_that_differ: usize,
    questions: Vec<Question>,
}

/// A question asked of the raw events and of the tables.
#[derive(Debug, Serialize)]
struct Question {
    question: &'static str,
    raw_ms: f64,
    tables_ms: f64,
    same_answer: bool,
}

/// Runs the demo in `demo` below the data directory; whether everything was right. With `serve` it
/// goes on filling until told to stop.
///
/// # Errors
///
/// When anything fails that a real installation would fail at too.
pub async fn run(
    place: &Place,
    config: &Config,
    json: bool,
    serve: bool,
    stop: &CancellationToken,
) -> Result<bool> {
    let place = Place {
        data_dir: place.data_dir.join("demo"),
        ..place.clone()
    };
    // Whatever is configured, the demo plays with nobody's tables but its own.
    let config = Config {
        backfill_days: config.backfill_days,
        max_backfill_days: config.max_backfill_days,
        service: config.service.clone(),
        ..Config::default()
    };
    let prefill = Prefill::open(&place, config).await?;
    let site = Site::demo(Timestamp::now());
    let stage = Stage { json };
    let shown = show(&stage, &prefill, site, serve, stop).await?;
    if json {
        output::json(&shown)?;
    }
    Ok(shown.status == "completed")
}

async fn show(
    stage: &Stage,
    prefill: &Prefill,
    site: Site,
    serve: bool,
    stop: &CancellationToken,
) -> Result<Shown> {
    stage.heading("1. a site with its visitors");
    let loaded = load(prefill, &site, stop).await?;
    stage.say(format!(
        "{} events over 9 days, {} of them new, of {} teams in {} time zones",
        number(loaded.events),
        number(loaded.added),
        site.teams.len(),
        site.teams.len()
    ));
    stage.heading(
        "2. prefill serve runs; the teams turn web_analytics_pre_aggregated_tables_enabled on",
    );
    let stop_serving = stop.child_token();
    let web = if serve {
        // Whatever is configured is for the installation, which may be served at the same time.
        Web::start(prefill.data_dir(), &Http::default(), &stop_serving).await?
    } else {
        None
    };
    if let Some(web) = &web {
        web.answer_for(prefill);
        stage.say(format!("watch it at {}/", web.url()));
    }
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    let mut serving = tokio::spawn(
        prefill
            .clone()
            .serve(stop_serving.clone(), || _ = ready.send(())),
    );
    tokio::select! {
        _ = is_ready => {}
        ended = &mut serving => {
            ended.map_err(|panic| Error::new(Class::Never, "the service died").caused_by(panic))??;
        }
    }
    let begun = Instant::now();
    for team in &site.teams {
        prefill
            .ledger
            .set_enabled(TeamId(team.team_id), true)
            .await?;
    }
    let filled = watch(prefill, stop).await;
    let fill_seconds = begun.elapsed().as_secs_f64();
    if let Err(error) = filled {
        stop_serving.cancel();
        drop(serving.await);
        return Err(error);
    }
    stage.say(format!("filled and verified in {fill_seconds:.1} s"));
    stage.heading("3. the verdict: every day against the raw events");
    let (days, days_that_differ) = verdicts(stage, prefill, &site).await?;
    stage.heading("4. the questions of a dashboard, asked of the raw events and of the tables");
    let questions = questions(stage, prefill, &site).await?;
    let same = questions.iter().all(|question| question.same_answer);
    stage.heading("5. look around");
    let dir = prefill.data_dir().display();
    for command in [
        "list".to_owned(),
        "validate --team-id 2".to_owned(),
        "query \"select host, uniqMerge(persons_uniq_state) as visitors from web_pre_aggregated_stats group by host\"".to_owned(),
        "serve".to_owned(),
    ] {
        stage.say(format!("  prefill --data-dir {dir} {command}"));
    }
    match &web {
        Some(web) => stage.say(format!("the dashboard is at {}/", web.url())),
        None => stage.say(format!(
            "with serve running, the dashboard is at http://{DEFAULT_LISTEN}/"
        )),
    }
    if serve {
        stage.say(format!(
            "serving; ClickHouse's HTTP interface is at {}; Ctrl-C ends it",
            prefill
                .store(DEFAULT_WAREHOUSE)
                .await?
                .warehouse
                .endpoint()
                .url
        ));
        stop.cancelled().await;
    }
    stop_serving.cancel();
    if let Some(web) = web {
        web.end().await;
    }
    serving
        .await
        .map_err(|panic| Error::new(Class::Never, "the service died").caused_by(panic))??;
    Ok(Shown {
        status: if days_that_differ == 0 && same {
            "completed"
        } else {
            "failed"
        },
        events: loaded,
        fill_seconds,
        days,
        days_that_differ,
        questions,
    })
}

/// Where the demo is told: on standard output, unless that is for JSON.
struct Stage {
    json: bool,
}

impl Stage {
    fn say(&self, text: impl AsRef<str>) {
        if self.json {
            note(text);
        } else {
            output::line(text);
        }
    }

    fn heading(&self, text: &str) {
        self.say("");
        self.say(text);
    }

    fn show(&self, rows: &Rows) {
        rows.lines().for_each(|text| self.say(text));
    }
}

async fn load(prefill: &Prefill, site: &Site, stop: &CancellationToken) -> Result<Loaded> {
    for team in &site.teams {
        let id = TeamId(team.team_id);
        if prefill.ledger.find_team(id).await?.is_none() {
            let team = NewTeam {
                id,
                name: team.name.clone(),
                organization: "Demo".to_owned(),
                zone: Zone::get(&team.timezone)?,
                backfill_days: None,
                warehouse: None,
            };
            prefill.ledger.add_team(&team).await?;
        }
    }
    let expected: u32 = site.teams.iter().map(|team| team.events).sum();
    let bar = output::progress(
        Some(u64::from(expected)),
        "{bar:30} {pos} events  {eta} left",
    );
    let mut load = Load::begin(prefill, || {
        note("another import is under way; waiting for it")
    })
    .await?;
    let (sender, mut handfuls) = mpsc::channel::<Vec<Event>>(8);
    let making = site.clone();
    let making = tokio::task::spawn_blocking(move || {
        let mut events = making.events()?.peekable();
        while events.peek().is_some() {
            if sender
                .blocking_send(events.by_ref().take(2_000).collect())
                .is_err()
            {
                break;
            }
        }
        Ok::<(), Error>(())
    });
    while let Some(handful) = handfuls.recv().await {
        if stop.is_cancelled() {
            load.abandon().await?;
            return Err(Error::new(Class::Lost, "told to stop"));
        }
        for event in &handful {
            load.add(event).await?;
        }
        bar.inc(handful.len() as u64);
    }
    making.await.unwrap_or_else(|panic| {
        Err(Error::new(Class::Never, "the site's thread died").caused_by(panic))
    })?;
    bar.finish_and_clear();
    load.end().await
}

/// Shows the coverage of all teams as it grows.
async fn watch(prefill: &Prefill, stop: &CancellationToken) -> Result<()> {
    let deadline = Instant::now() + FILLED_WITHIN;
    let bar = output::progress(None, "{bar:30} {pos}/{len} days  {msg}");
    loop {
        let teams = report::list(&prefill.ledger, &prefill.config, Timestamp::now()).await?;
        let wanted: u64 = teams.iter().map(|team| team.coverage.wanted).sum();
        let filled: u64 = teams.iter().map(|team| team.coverage.filled).sum();
        bar.set_length(wanted);
        bar.set_position(filled);
        let each: Vec<String> = teams
            .iter()
            .map(|team| {
                format!(
                    "{} {}/{}",
                    team.team.name, team.coverage.filled, team.coverage.wanted
                )
            })
            .collect();
        bar.set_message(each.join("  "));
        if teams.iter().any(|team| team.coverage.failed > 0) {
            bar.finish_and_clear();
            return Err(Error::new(Class::Never, "some days could not be filled")
                .hint("run prefill status in the demo's data directory"));
        }
        // Every team is there once its change was noticed.
        if teams.iter().all(|team| team.state == "filled") && !teams.is_empty() && wanted > 0 {
            bar.finish_and_clear();
            return Ok(());
        }
        if stop.is_cancelled() || Instant::now() > deadline {
            bar.finish_and_clear();
            return Err(Error::new(
                Class::Lost,
                format!("stopped with {filled} of {wanted} days filled"),
            ));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn verdicts(stage: &Stage, prefill: &Prefill, site: &Site) -> Result<(usize, usize)> {
    let mut rows = Rows::new(&[
        "team",
        "time zone",
        "day",
        "#page views",
        "#sessions",
        "#persons",
        "#bounces",
        "verdict",
    ]);
    let (mut days, mut differ) = (0, 0);
    for team in &site.teams {
        let target = request::target(
            &prefill.ledger,
            &prefill.config,
            TeamId(team.team_id),
            Asked::default(),
            Timestamp::now(),
        )
        .await?;
        for day in prefill.validate(&target).await?.days {
            days += 1;
            differ += usize::from(!day.clean);
            let raw = &day.verdict.raw;
            rows.add(vec![
                team.name.clone(),
                team.timezone.clone(),
                day.day.to_string(),
                number(raw.page_views),
                number(raw.sessions),
                number(raw.persons),
                number(raw.bounces),
                if day.clean {
                    "equal".to_owned()
                } else {
                    day.verdict.describe()
                },
            ]);
        }
    }
    stage.show(&rows);
    stage.say(format!(
        "{} of {days} days equal the raw events",
        days - differ
    ));
    Ok((days, differ))
}

async fn questions(stage: &Stage, prefill: &Prefill, site: &Site) -> Result<Vec<Question>> {
    let Some(team) = site.teams.first() else {
        return Ok(Vec::new());
    };
    let target = request::target(
        &prefill.ledger,
        &prefill.config,
        TeamId(team.team_id),
        Asked::default(),
        Timestamp::now(),
    )
    .await?;
    let from_us = target
        .zone
        .bounds(target.days.from)
        .map_or(0, |bounds| bounds.from.as_microsecond());
    let asker = Asker {
        store: prefill.store(DEFAULT_WAREHOUSE).await?,
        team: target.team.id,
        timezone: target.zone.name(),
        from_us,
    };
    let (raw, raw_ms) = asker.ask::<ByDay>(include_str!("by_day_raw.sql")).await?;
    let (tables, tables_ms) = asker
        .ask::<ByDay>(include_str!("by_day_tables.sql"))
        .await?;
    let mut rows = Rows::new(&[
        "day",
        "#visitors",
        "#page views",
        "#sessions",
        "#bounce rate",
    ]);
    for day in &tables {
        rows.add(vec![
            day.day.clone(),
            number(day.visitors),
            number(day.page_views),
            number(day.sessions),
            format!("{:.1} %", day.bounce_rate),
        ]);
    }
    let by_day = Question {
        question: "visitors, page views, sessions and bounce rate by day",
        raw_ms,
        tables_ms,
        same_answer: raw == tables,
    };
    tell(stage, team.name.as_str(), &by_day, &rows);
    let (raw, raw_ms) = asker
        .ask::<TopPage>(include_str!("top_pages_raw.sql"))
        .await?;
    let (tables, tables_ms) = asker
        .ask::<TopPage>(include_str!("top_pages_tables.sql"))
        .await?;
    let mut rows = Rows::new(&["page", "#visitors", "#page views"]);
    for page in &tables {
        rows.add(vec![
            page.pathname.clone(),
            number(page.visitors),
            number(page.page_views),
        ]);
    }
    let top_pages = Question {
        question: "top pages",
        raw_ms,
        tables_ms,
        same_answer: raw == tables,
    };
    tell(stage, team.name.as_str(), &top_pages, &rows);
    Ok(vec![by_day, top_pages])
}

fn tell(stage: &Stage, team: &str, question: &Question, rows: &Rows) {
    stage.heading(&format!("{team}: {}", question.question));
    stage.show(rows);
    stage.say(format!(
        "raw events {:.1} ms, tables {:.1} ms: {:.0} times as fast, {}",
        question.raw_ms,
        question.tables_ms,
        question.raw_ms / question.tables_ms.max(0.001),
        if question.same_answer {
            "the same answer"
        } else {
            "ANOTHER ANSWER"
        }
    ));
}

struct Asker<'a> {
    store: &'a Store,
    team: TeamId,
    timezone: &'a str,
    from_us: i64,
}

impl Asker<'_> {
    /// The answer, and the median time of some tries in milliseconds.
    async fn ask<T: clickhouse::RowOwned + clickhouse::RowRead>(
        &self,
        sql: &str,
    ) -> Result<(Vec<T>, f64)> {
        let mut times = Vec::new();
        let mut answer = Vec::new();
        for _ in 0..ASKED {
            let begun = Instant::now();
            answer = self
                .store
                .warehouse
                .statement(sql, "prefill:demo")
                .param("team", self.team.0)
                .param("timezone", self.timezone)
                .param("from_us", self.from_us)
                .rows::<T>("ask a question of the dashboard")
                .await?;
            times.push(begun.elapsed().as_secs_f64() * 1_000.0);
        }
        times.sort_by(f64::total_cmp);
        Ok((answer, times.get(ASKED / 2).copied().unwrap_or_default()))
    }
}
