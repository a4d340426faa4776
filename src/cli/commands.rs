//! What each command does, in the order of the help. The work is in the modules above; here it is
//! put together and told.

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::arguments::{
    Backfill, Cleanup, Command, Demo, Engine, Import, ImportAccessLog, ImportJsonl, Metrics, Query,
    Status, Team, TeamAdd, TeamSet, Validate,
};

use super::{Ended, Surroundings};
use crate::calendar::{TeamId, Zone};
use crate::demo;
use crate::engine;
use crate::error::{Class, Error, Result};
use crate::event::Event;
use crate::import::{self, AccessLogOptions, ImportReport, JsonLines};
use crate::ledger::{Ledger, NewTeam, Progress, Slice, TeamChange};
use crate::load::{Load, Loaded};
use crate::output::{self, Rows, counted, line, note, number};
use crate::reconcile;
use crate::report::{self, DayVerdict};
use crate::request::{self, Asked, Target};
use crate::service::{Prefill, open_ledger};

pub(super) async fn run(to: Surroundings, command: Command) -> Result<Ended> {
    match command {
        Command::Serve => serve(to).await,
        Command::List => list(to).await,
        Command::Team(Team::Add(team)) => team_add(to, team).await,
        Command::Team(Team::Set(team)) => team_set(to, team).await,
        Command::Team(Team::List) => team_list(to).await,
        Command::Enable(team) => enable(to, team.team_id, true).await,
        Command::Disable(team) => enable(to, team.team_id, false).await,
        Command::Backfill(asked) => backfill(to, asked).await,
        Command::Validate(asked) => until_told(&to.stop.clone(), validate(to, asked)).await,
        Command::Cleanup(asked) => cleanup(to, asked).await,
        Command::Status(asked) => status(to, asked).await,
        Command::Health => until_told(&to.stop.clone(), health(to)).await,
        Command::Metrics(asked) => until_told(&to.stop.clone(), metrics(to, asked)).await,
        Command::Import(Import::AccessLog(asked)) => import_access_log(to, asked).await,
        Command::Import(Import::Jsonl(asked)) => import_jsonl(to, asked).await,
        Command::Query(asked) => query(to, asked).await,
        Command::Migrate => migrate(to).await,
        Command::Demo(asked) => demo_site(to, asked).await,
        Command::Engine(asked) => engine_process(to, asked).await,
    }
}

/// Ends what only reads at the first Ctrl-C; what writes sees to it that it stops in good order.
async fn until_told<T>(
    stop: &CancellationToken,
    reading: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        read = reading => read,
        () = stop.cancelled() => Err(told_to_stop("nothing was changed: run the same command again")),
    }
}

fn told_to_stop(hint: &str) -> Error {
    Error::new(Class::Lost, "told to stop").hint(hint)
}

async fn open(to: &Surroundings) -> Result<Prefill> {
    Prefill::open(&to.place, to.config.clone()).await
}

async fn ledger(to: &Surroundings) -> Result<Ledger> {
    open_ledger(&to.place.data_dir).await
}

async fn serve(to: Surroundings) -> Result<Ended> {
    let prefill = open(&to).await?;
    prefill.serve(to.stop.clone(), || ()).await?;
    Ok(Ended::Well)
}

async fn list(to: Surroundings) -> Result<Ended> {
    let list = report::list(&ledger(&to).await?, &to.config, Timestamp::now()).await?;
    if to.json {
        output::json(&json!({ "teams": list }))?;
        return Ok(Ended::Well);
    }
    if list.is_empty() {
        note("no team has the setting on; run prefill enable --team-id N");
        return Ok(Ended::Well);
    }
    let mut rows = Rows::new(&[
        "#team",
        "name",
        "organization",
        "time zone",
        "#coverage",
        "#days",
        "oldest",
        "newest",
        "state",
    ]);
    for team in list {
        let day =
            |day: Option<crate::calendar::Day>| day.map_or("-".to_owned(), |day| day.to_string());
        rows.add(vec![
            team.team.id.to_string(),
            team.team.name,
            team.team.organization,
            team.team.timezone,
            format!("{:.1} %", team.coverage_percentage),
            format!("{}/{}", team.coverage.filled, team.coverage.wanted),
            day(team.oldest_day),
            day(team.newest_day),
            team.state,
        ]);
    }
    rows.print();
    Ok(Ended::Well)
}

fn own_days(to: &Surroundings, days: Option<i64>) -> Result<Option<i64>> {
    days.map(|days| to.config.days(days, "--backfill-days"))
        .transpose()
}

async fn team_add(to: Surroundings, team: TeamAdd) -> Result<Ended> {
    let team = NewTeam {
        id: team.team_id,
        name: team.name,
        organization: team.organization,
        zone: Zone::get(&team.timezone)?,
        backfill_days: own_days(&to, team.backfill_days)?,
    };
    let ledger = ledger(&to).await?;
    ledger.add_team(&team).await?;
    if to.json {
        output::json(&ledger.team(team.id).await?)?;
    } else {
        line(format!(
            "added team {} ({}), time zone {}",
            team.id, team.name, team.zone
        ));
        note(format!(
            "hint: prefill enable --team-id {} turns its tables on",
            team.id
        ));
    }
    Ok(Ended::Well)
}

async fn team_set(to: Surroundings, team: TeamSet) -> Result<Ended> {
    let ledger = ledger(&to).await?;
    let before = ledger.team(team.team_id).await?;
    let change = TeamChange {
        name: team.name,
        organization: team.organization,
        zone: team.timezone.as_deref().map(Zone::get).transpose()?,
        backfill_days: own_days(&to, team.backfill_days)?,
    };
    let after = ledger.set_team(before.id, &change).await?;
    reconcile::some(&ledger, &to.config, &[after.id], Timestamp::now()).await?;
    if to.json {
        output::json(&after)?;
    } else {
        line(format!(
            "team {} is now {}, time zone {}",
            after.id, after.name, after.timezone
        ));
        if after.timezone != before.timezone && after.enabled {
            note(
                "its days are other days now and are filled again by prefill serve or prefill backfill",
            );
        }
    }
    Ok(Ended::Well)
}

async fn team_list(to: Surroundings) -> Result<Ended> {
    let teams = ledger(&to).await?.teams().await?;
    if to.json {
        output::json(&json!({ "teams": teams }))?;
        return Ok(Ended::Well);
    }
    if teams.is_empty() {
        note("there are no teams; run prefill team add --team-id N --name NAME");
        return Ok(Ended::Well);
    }
    let mut rows = Rows::new(&[
        "#team",
        "name",
        "organization",
        "time zone",
        "setting",
        "#own days",
    ]);
    for team in teams {
        rows.add(vec![
            team.id.to_string(),
            team.name,
            team.organization,
            team.timezone,
            if team.enabled { "on" } else { "off" }.to_owned(),
            team.backfill_days
                .map_or("-".to_owned(), |days| days.to_string()),
        ]);
    }
    rows.print();
    Ok(Ended::Well)
}

async fn enable(to: Surroundings, team: TeamId, on: bool) -> Result<Ended> {
    let ledger = ledger(&to).await?;
    let team = ledger.team(team).await?;
    let changed = ledger.set_enabled(team.id, on).await?;
    reconcile::some(&ledger, &to.config, &[team.id], Timestamp::now()).await?;
    let team = ledger.team(team.id).await?;
    if to.json {
        output::json(
            &json!({ "status": "completed", "changed": changed, "team_id": team.id, "team_name": team.name, "enabled": team.enabled }),
        )?;
        return Ok(Ended::Well);
    }
    let already = if changed { "" } else { " already" };
    line(format!(
        "team {} ({}) has the setting {}{already}",
        team.id,
        team.name,
        if on { "on" } else { "off" }
    ));
    if on && changed {
        note(
            "a running prefill serve fills its days within seconds; prefill backfill fills them now",
        );
    }
    Ok(Ended::Well)
}

async fn backfill(to: Surroundings, asked: Backfill) -> Result<Ended> {
    // What is wrong with the request is said before an engine is started for it.
    let target = request::target(
        &ledger(&to).await?,
        &to.config,
        asked.team_id,
        asked.asked(),
        Timestamp::now(),
    )
    .await?;
    request::must_be_enabled(&target.team)?;
    let prefill = open(&to).await?;
    if asked.dry_run {
        return until_told(&to.stop, dry_run(&to, &prefill, &target, asked.force)).await;
    }
    let run = prefill.backfill(&target, asked.force).await?;
    let answer = |status: &str, progress: &Progress, elapsed: Option<Duration>| {
        json!({
            "status": status,
            "task_id": run,
            "team_id": target.team.id,
            "team_name": target.team.name,
            "timezone": target.zone.name(),
            "date_start": target.days.from,
            "date_end": target.days.until,
            "backfill_days": target.backfill_days,
            "days_filled": progress.filled,
            "days_failed": progress.failed,
            "days_waiting": progress.waiting,
            "days_already_filled": target.days.count() - progress.days,
            "web_pre_aggregated_stats_rows": progress.stats_rows,
            "web_pre_aggregated_bounces_rows": progress.bounces_rows,
            "sessions": progress.sessions,
            "page_views": progress.page_views,
            "elapsed_seconds": elapsed.map(|elapsed| elapsed.as_secs_f64()),
        })
    };
    if asked.background {
        let progress = prefill.ledger.progress(run).await?;
        if to.json {
            output::json(&answer("queued", &progress, None))?;
        } else {
            line(run.to_string());
        }
        note(format!(
            "{} to fill by prefill serve; prefill status {run} shows how far it is",
            counted(progress.days, "day")
        ));
        return Ok(Ended::Well);
    }
    let begun = Instant::now();
    watch(&to, &prefill, run).await?;
    let progress = prefill.ledger.progress(run).await?;
    let status = if to.stop.is_cancelled() && !progress.is_over() {
        "interrupted"
    } else {
        progress.status()
    };
    if to.json {
        output::json(&answer(status, &progress, Some(begun.elapsed())))?;
    } else {
        line(told(&target, &progress, status, begun.elapsed()));
    }
    for (day, error) in prefill.ledger.failures(run).await? {
        note(format!("{day} failed: {error}"));
    }
    match status {
        "interrupted" => note("hint: run the same command again to go on; what is filled stays"),
        "failed" => note(
            "hint: mend the cause and run the same command again: only what failed is done again",
        ),
        "waiting" => note(
            "hint: these days have no events, and the source may still bring some; prefill serve fills them when they come",
        ),
        _ => {}
    }
    Ok(if matches!(status, "completed" | "waiting") {
        Ended::Well
    } else {
        Ended::Badly
    })
}

fn told(target: &Target, progress: &Progress, status: &str, elapsed: Duration) -> String {
    let there = target.days.count() - progress.days;
    let mut text = format!(
        "{status}: team {} ({}), {}: ",
        target.team.id, target.team.name, target.days
    );
    if progress.days == 0 {
        text += &match there {
            1 => "the day is filled already".to_owned(),
            _ => format!("all {there} days are filled already"),
        };
        return text;
    }
    text += &format!(
        "{} of {} filled",
        progress.filled,
        counted(progress.days, "day")
    );
    if progress.filled > 0 {
        text += &format!(
            ", {}, {}, verified",
            counted(progress.sessions, "session"),
            counted(progress.page_views, "page view")
        );
    }
    text += &format!(", in {:.1} s", elapsed.as_secs_f64());
    for (count, what) in [
        (there, "filled already"),
        (progress.waiting, "waiting for events"),
        (progress.failed, "failed"),
        (progress.cancelled, "cancelled"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    text
}

/// Works on a run, with a bar of the days done, their rows, the rate and the time left.
async fn watch(to: &Surroundings, prefill: &Prefill, run: Uuid) -> Result<()> {
    let days = |progress: &Progress| u64::try_from(progress.days).unwrap_or(0);
    let first = prefill.ledger.progress(run).await?;
    let bar = output::progress(Some(days(&first)), "{bar:30} {pos}/{len} days  {msg}");
    let begun = Instant::now();
    let look = async {
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let progress = prefill.ledger.progress(run).await?;
            let rows = progress.stats_rows + progress.bounces_rows;
            let rate = progress.events as f64 / begun.elapsed().as_secs_f64().max(0.001);
            bar.set_position(
                u64::try_from(progress.filled + progress.failed + progress.waiting).unwrap_or(0),
            );
            // Before the first day nobody can tell.
            let left = if bar.position() == 0 {
                String::new()
            } else {
                format!("  {} left", indicatif::HumanDuration(bar.eta()))
            };
            bar.set_message(format!(
                "{} rows  {} events/s{left}",
                number(rows),
                number(rate as i64)
            ));
        }
    };
    let ended = tokio::select! {
        ended = prefill.finish(run, &to.stop) => ended,
        failed = look => failed,
    };
    bar.finish_and_clear();
    ended
}

async fn dry_run(
    to: &Surroundings,
    prefill: &Prefill,
    target: &Target,
    force: bool,
) -> Result<Ended> {
    let estimate = prefill.estimate(target, force).await?;
    if to.json {
        output::json(&json!({
            "status": "dry_run",
            "team_id": target.team.id,
            "team_name": target.team.name,
            "timezone": target.zone.name(),
            "date_start": target.days.from,
            "date_end": target.days.until,
            "backfill_days": target.backfill_days,
            "slices": estimate.slices,
            "rows": estimate.rows,
            "bytes": estimate.bytes,
            "estimated_seconds": estimate.seconds,
        }))?;
        return Ok(Ended::Well);
    }
    let mut rows = Rows::new(&["day", "state now", "#events"]);
    for slice in &estimate.slices {
        rows.add(vec![
            slice.day.to_string(),
            slice
                .state
                .map_or("-".to_owned(), |state| state.to_string()),
            number(slice.rows),
        ]);
    }
    if !estimate.slices.is_empty() {
        rows.print();
    }
    let time = estimate
        .seconds
        .map_or("unknown, nothing was filled before".to_owned(), |seconds| {
            format!("about {seconds:.1} s")
        });
    line(format!(
        "would fill {} of {} of team {}: {}, {} of raw data, time {time}",
        estimate.slices.len(),
        counted(target.days.count(), "day"),
        target.team.id,
        counted(estimate.rows, "event"),
        indicatif::HumanBytes(estimate.bytes),
    ));
    Ok(Ended::Well)
}

async fn validate(to: Surroundings, asked: Validate) -> Result<Ended> {
    let now = Timestamp::now();
    let range = Asked {
        days: asked.days,
        date_start: asked.date_start,
        date_end: asked.date_end,
    };
    let all = asked.days.is_none() && asked.date_start.is_none() && asked.date_end.is_none();
    let mut target =
        request::target(&ledger(&to).await?, &to.config, asked.team_id, range, now).await?;
    let prefill = open(&to).await?;
    if all && let Some(days) = prefill.wanted_range(&target, now).await? {
        target.days = days;
    }
    let validation = prefill.validate(&target).await?;
    if to.json {
        output::json(&validation.json(&target))?;
    } else {
        print_verdicts(&validation.days);
        let wrong = validation.days.iter().filter(|day| !day.clean).count();
        if wrong == 0 {
            let checked = validation.days.len();
            let all = if checked == 1 {
                "the day equals".to_owned()
            } else {
                format!("all {checked} days equal")
            };
            line(format!(
                "team {}, {}: {all} the raw events",
                target.team.id, target.days
            ));
        } else {
            let differ = if wrong == 1 { "differs" } else { "differ" };
            line(format!(
                "team {}, {}: {wrong} of {} {differ} from the raw events",
                target.team.id,
                target.days,
                counted(validation.days.len(), "day")
            ));
            note(format!(
                "hint: prefill backfill --team-id {} --date-start {} --date-end {} fills what is missing or changed, with --force also the rest",
                target.team.id, target.days.from, target.days.until
            ));
        }
    }
    Ok(if validation.is_clean() {
        Ended::Well
    } else {
        Ended::Badly
    })
}

fn print_verdicts(days: &[DayVerdict]) {
    let mut rows = Rows::new(&[
        "day",
        "state",
        "#page views",
        "#sessions",
        "#persons",
        "#bounces",
        "#seconds",
        "verdict",
    ]);
    for day in days {
        let raw = &day.verdict.raw;
        rows.add(vec![
            day.day.to_string(),
            day.state.map_or("-".to_owned(), |state| state.to_string()),
            number(raw.page_views),
            number(raw.sessions),
            number(raw.persons),
            number(raw.bounces),
            number(raw.duration_seconds),
            if day.clean {
                "equal".to_owned()
            } else {
                format!("differs: {}", day.verdict.describe())
            },
        ]);
    }
    if !days.is_empty() {
        rows.print();
    }
}

async fn cleanup(to: Surroundings, asked: Cleanup) -> Result<Ended> {
    let range = Asked {
        days: None,
        date_start: Some(asked.date_start),
        date_end: Some(asked.date_end),
    };
    let target = request::target(
        &ledger(&to).await?,
        &to.config,
        asked.team_id,
        range,
        Timestamp::now(),
    )
    .await?;
    let prefill = open(&to).await?;
    let would = prefill.count_cleanup(&target).await?;
    let answer = |status: &str, rows: &request::Cleanup| {
        json!({
            "status": status,
            "team_id": target.team.id,
            "team_name": target.team.name,
            "date_start": target.days.from,
            "date_end": target.days.until,
            "deleted": {
                "web_pre_aggregated_stats_rows": rows.stats_rows,
                "web_pre_aggregated_bounces_rows": rows.bounces_rows,
            },
        })
    };
    let what = format!(
        "{} + {} rows of team {} ({}), {}",
        number(would.stats_rows),
        number(would.bounces_rows),
        target.team.id,
        target.team.name,
        target.days
    );
    if asked.dry_run {
        if to.json {
            output::json(&answer("dry_run", &would))?;
        } else {
            line(format!("would delete {what} and turn the setting off"));
        }
        return Ok(Ended::Well);
    }
    if !asked.yes
        && !until_told(
            &to.stop,
            output::confirm(format!("delete {what} and turn the setting off?")),
        )
        .await?
    {
        note("nothing was deleted");
        return Ok(Ended::Badly);
    }
    let deleted = prefill.cleanup(&target).await?;
    if to.json {
        output::json(&answer("completed", &deleted))?;
    } else {
        line(format!(
            "deleted {} + {} rows of team {}, {}; the setting is off",
            number(deleted.stats_rows),
            number(deleted.bounces_rows),
            target.team.id,
            target.days
        ));
    }
    Ok(Ended::Well)
}

async fn status(to: Surroundings, asked: Status) -> Result<Ended> {
    let ledger = ledger(&to).await?;
    let Some(id) = asked.task else {
        return status_of_all(&to, &ledger).await;
    };
    let run = ledger.run(id).await?;
    let progress = ledger.progress(id).await?;
    let slices: Vec<Slice> = ledger
        .slices(run.team_id)
        .await?
        .into_values()
        .rev()
        .filter(|slice| run.date_start <= slice.day && slice.day < run.date_end)
        .collect();
    if to.json {
        output::json(
            &json!({ "status": progress.status(), "task": run, "progress": progress, "slices": slices }),
        )?;
        return Ok(Ended::Well);
    }
    line(format!(
        "{}: team {}, {}..{} ({}), {} of {} filled",
        progress.status(),
        run.team_id,
        run.date_start,
        run.date_end,
        run.reason,
        progress.filled,
        counted(progress.days, "day")
    ));
    let mut rows = Rows::new(&[
        "day",
        "state",
        "#tries",
        "#sessions",
        "#page views",
        "#ms",
        "error",
    ]);
    for slice in slices {
        let receipt = |of: fn(&crate::ledger::Receipt) -> i64| {
            slice
                .receipt
                .as_ref()
                .map_or("-".to_owned(), |receipt| number(of(receipt)))
        };
        rows.add(vec![
            slice.day.to_string(),
            if slice.waiting_for_events {
                "waiting".to_owned()
            } else {
                slice.state.to_string()
            },
            // What is filled has no tries behind it any more.
            if slice.attempts == 0 {
                "-".to_owned()
            } else {
                slice.attempts.to_string()
            },
            receipt(|receipt| receipt.sessions),
            receipt(|receipt| receipt.page_views),
            receipt(|receipt| receipt.elapsed_ms),
            slice.error.clone().unwrap_or_default(),
        ]);
    }
    rows.print();
    Ok(Ended::Well)
}

async fn status_of_all(to: &Surroundings, ledger: &Ledger) -> Result<Ended> {
    let mut tasks = Vec::new();
    for run in ledger.latest_runs(20).await? {
        let progress = ledger.progress(run.id).await?;
        tasks.push((run, progress));
    }
    if to.json {
        let tasks: Vec<_> = tasks
            .iter()
            .map(|(run, progress)| json!({ "status": progress.status(), "task": run, "progress": progress }))
            .collect();
        output::json(&json!({ "tasks": tasks }))?;
        return Ok(Ended::Well);
    }
    if tasks.is_empty() {
        note("nothing was asked for yet; run prefill enable or prefill backfill");
        return Ok(Ended::Well);
    }
    let mut rows = Rows::new(&[
        "task", "#team", "from", "until", "reason", "status", "#filled", "#failed",
    ]);
    for (run, progress) in tasks {
        rows.add(vec![
            run.id.to_string(),
            run.team_id.to_string(),
            run.date_start.to_string(),
            run.date_end.to_string(),
            run.reason,
            progress.status().to_owned(),
            format!("{}/{}", progress.filled, progress.days),
            progress.failed.to_string(),
        ]);
    }
    rows.print();
    Ok(Ended::Well)
}

async fn health(to: Surroundings) -> Result<Ended> {
    let health = open(&to).await?.health(Timestamp::now()).await?;
    if to.json {
        output::json(&health)?;
    } else {
        line(format!(
            "{}: {} with the setting on, {} of them with data",
            health.status,
            counted(health.enabled_teams, "team"),
            health.teams_with_data
        ));
        for missing in &health.teams_missing_data {
            line(format!(
                "team {} ({}) has no data: {}",
                missing.team_id, missing.team_name, missing.issue
            ));
        }
        for gap in &health.data_gaps_detected {
            let days: Vec<String> = gap.days.iter().map(ToString::to_string).collect();
            line(format!(
                "team {} ({}) has gaps: {} [{}]",
                gap.team_id,
                gap.team_name,
                gap.issue,
                days.join(", ")
            ));
        }
        for recommendation in &health.recommendations {
            note(format!("hint: {recommendation}"));
        }
    }
    Ok(if health.status == "healthy" {
        Ended::Well
    } else {
        Ended::Badly
    })
}

async fn metrics(to: Surroundings, asked: Metrics) -> Result<Ended> {
    let days = to.config.days(asked.days, "--days")?;
    let metrics = open(&to).await?.metrics(days, Timestamp::now()).await?;
    if to.json {
        output::json(&metrics)?;
        return Ok(Ended::Well);
    }
    let values = &metrics.metrics;
    let mut rows = Rows::new(&["metric", "#value"]);
    for (name, value) in [
        ("period, days before today", days.to_string()),
        ("teams enabled", number(values.total_teams_enabled)),
        ("of them with data", number(values.active_teams_with_data)),
        (
            "rows in web_pre_aggregated_stats",
            number(values.total_stats_rows),
        ),
        (
            "rows in web_pre_aggregated_bounces",
            number(values.total_bounces_rows),
        ),
        (
            "coverage",
            format!("{:.1} %", values.data_coverage_percentage),
        ),
        ("days wanted", number(values.slices_wanted)),
        ("days filled", number(values.slices_filled)),
        ("of them stale", number(values.slices_stale)),
        ("days running", number(values.slices_running)),
        ("days failed", number(values.slices_failed)),
        (
            "days waiting for events",
            number(values.slices_waiting_for_events),
        ),
    ] {
        rows.add(vec![name.to_owned(), value]);
    }
    rows.print();
    Ok(Ended::Well)
}

/// What a reading thread hands over: events in handfuls, because a channel costs more than an event.
type Handful = Vec<Event>;
const HANDFUL: usize = 2_000;

async fn import_access_log(to: Surroundings, asked: ImportAccessLog) -> Result<Ended> {
    let options = AccessLogOptions {
        team_id: asked.team_id.0,
        host: asked.host,
        include_bots: asked.include_bots,
    };
    ledger(&to).await?.team(asked.team_id).await?;
    import_with(&to, &asked.file, move |input, progress, send| {
        let log = import::read_access_log(input, &options, progress)?;
        let mut events = log.events().peekable();
        while events.peek().is_some() {
            send(events.by_ref().take(HANDFUL).collect())?;
        }
        Ok(log.report().clone())
    })
    .await
}

async fn import_jsonl(to: Surroundings, asked: ImportJsonl) -> Result<Ended> {
    if let Some(team) = asked.team_id {
        ledger(&to).await?.team(team).await?;
    }
    let team = asked.team_id.map(|team| team.0);
    import_with(&to, &asked.file, move |input, progress, send| {
        let mut lines = JsonLines::new(input, team)?;
        loop {
            let handful = lines.by_ref().take(HANDFUL).collect::<Result<Handful>>()?;
            progress(lines.read_bytes());
            if handful.is_empty() {
                return Ok(lines.report().clone());
            }
            send(handful)?;
        }
    })
    .await
}

async fn import_with(
    to: &Surroundings,
    file: &Path,
    read: impl FnOnce(
        import::Input,
        &mut dyn FnMut(u64),
        &mut dyn FnMut(Handful) -> Result<()>,
    ) -> Result<ImportReport>
    + Send
    + 'static,
) -> Result<Ended> {
    let input = import::open(file)?;
    let name = input.name.clone();
    let bar = output::progress(
        input.size_bytes,
        if input.size_bytes.is_some() {
            "{bar:30} {bytes}/{total_bytes}  {msg}  {eta} left"
        } else {
            "{spinner} {bytes} read  {msg}"
        },
    );
    let begun = Instant::now();
    let prefill = open(to).await?;
    let mut load = Load::begin(&prefill, &to.place.data_dir, || {
        note("another import is under way; waiting for it")
    })
    .await?;
    let (sender, mut handfuls) = mpsc::channel::<Handful>(8);
    let reading_bar = bar.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let begun = Instant::now();
        let mut waited = Duration::ZERO;
        let mut send = |handful| {
            let before = Instant::now();
            let sent = sender.blocking_send(handful);
            waited += before.elapsed();
            sent.map_err(|_| Error::new(Class::Lost, "the import was given up"))
        };
        let report = read(
            input,
            &mut |bytes| reading_bar.set_position(bytes),
            &mut send,
        )?;
        Ok((report, begun.elapsed().saturating_sub(waited)))
    });
    let mut sent = 0_u64;
    let loading = async {
        while let Some(handful) = handfuls.recv().await {
            for event in &handful {
                load.add(event).await?;
            }
            sent += handful.len() as u64;
            bar.set_message(format!("{} events sent", number(sent)));
        }
        Ok::<(), Error>(())
    };
    let loaded = tokio::select! {
        loaded = loading => loaded,
        () = to.stop.cancelled() => Err(told_to_stop("run the same import again: nothing is added twice")),
    };
    drop(handfuls);
    let read = match loaded {
        Ok(()) => reading.await.unwrap_or_else(|panic| {
            Err(Error::new(Class::Never, "the reading thread died").caused_by(panic))
        }),
        Err(error) => Err(error),
    };
    bar.finish_and_clear();
    let (report, parsing) = match read {
        Ok(read) => read,
        Err(error) => {
            load.abandon().await?;
            return Err(match error.next_step().map(ToOwned::to_owned) {
                Some(hint) => error
                    .while_doing(format!("failed to import {name}"))
                    .hint(hint),
                None => error.while_doing(format!("failed to import {name}")),
            });
        }
    };
    let loaded = load.end().await?;
    tell_import(to, &name, &report, loaded, parsing, begun.elapsed())
}

fn tell_import(
    to: &Surroundings,
    name: &str,
    report: &ImportReport,
    loaded: Loaded,
    parsing: Duration,
    elapsed: Duration,
) -> Result<Ended> {
    if to.json {
        output::json(&json!({
            "status": "completed",
            "file": name,
            "events": loaded.events,
            "events_added": loaded.added,
            "events_known": loaded.known,
            "elapsed_seconds": elapsed.as_secs_f64(),
            "parsing_seconds": parsing.as_secs_f64(),
            "report": report,
        }))?;
        return Ok(Ended::Well);
    }
    line(format!(
        "imported {name}: {} lines, {} events added, {} known already, {} sessions, {} persons, in {:.1} s ({:.1} s of it parsing)",
        number(report.lines),
        number(loaded.added),
        number(loaded.known),
        number(report.sessions),
        number(report.persons),
        elapsed.as_secs_f64(),
        parsing.as_secs_f64()
    ));
    let left_out: Vec<String> = [
        (report.not_get, "not GET"),
        (report.bad_status, "of another status than 200 to 399"),
        (report.assets, "assets"),
        (report.robots, "of robots (--include-bots keeps them)"),
        (report.duplicates, "twice in the file"),
        (report.blank, "blank"),
    ]
    .iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{} {what}", number(*count)))
    .collect();
    if !left_out.is_empty() {
        line(format!("left out: {}", left_out.join(", ")));
    }
    if report.without_session > 0 {
        note(format!(
            "{} events belong to no session and are in no rollup",
            number(report.without_session)
        ));
    }
    for (field, count) in &report.ignored_fields {
        note(format!(
            "the field {field} of {} lines is not one of the contract and was ignored",
            number(*count)
        ));
    }
    if report.unreadable > 0 {
        note(format!(
            "{} lines could not be read, the first of them:\n{}",
            number(report.unreadable),
            report.unreadable_lines()
        ));
    }
    if report.lines == 0 {
        note("the file is empty");
    }
    Ok(Ended::Well)
}

async fn query(to: Surroundings, asked: Query) -> Result<Ended> {
    if asked.sql.trim().is_empty() {
        return Err(
            Error::misuse("the statement is empty").hint("try prefill query \"show tables\"")
        );
    }
    if let Some(team) = asked.team_id {
        ledger(&to).await?.team(team).await?;
    }
    let prefill = open(&to).await?;
    let format = match (&asked.format, to.json) {
        (Some(format), _) => format.as_str(),
        (None, true) => "JSON",
        (None, false) => "PrettyCompactMonoBlock",
    };
    let mut statement = prefill.warehouse.statement(&asked.sql, "prefill:query");
    if let Some(team) = asked.team_id {
        statement = statement.param("team_id", team.0);
    }
    let answer = tokio::select! {
        answer = statement.bytes(format, "run the statement") => answer.map_err(of_the_statement)?,
        () = to.stop.cancelled() => return Err(told_to_stop("a statement that writes may have written a part")),
    };
    use std::io::Write;
    // A reader that has gone away (`| head`) is not an error.
    drop(std::io::stdout().lock().write_all(&answer));
    Ok(Ended::Well)
}

/// What the warehouse said of somebody's own statement, without its list of every word it knows.
fn of_the_statement(error: Error) -> Error {
    if error.class() == Class::Unreachable {
        return error;
    }
    let said = error.chain();
    let said = said.split(" Expected one of:").next().unwrap_or_default();
    Error::new(error.class(), said).hint(if said.contains("UNKNOWN_FORMAT") {
        "--format takes ClickHouse's names, such as TSV, CSVWithNames, JSONEachRow or Vertical"
    } else {
        "correct the statement; prefill query 'show tables' lists the tables"
    })
}

async fn migrate(to: Surroundings) -> Result<Ended> {
    let tables = crate::rollup::Tables::new(&to.config)?;
    let ledger = ledger(&to).await?;
    let warehouse = crate::warehouse::Warehouse::open(
        &to.place.data_dir,
        to.place.program.as_deref(),
        &to.config,
    )
    .await?;
    let prepared = crate::schema::prepare(&warehouse, &tables, &to.config).await?;
    drop(ledger);
    if to.json {
        output::json(
            &json!({ "status": "completed", "data_dir": to.place.data_dir, "tables": prepared }),
        )?;
        return Ok(Ended::Well);
    }
    line(format!(
        "{}: the ledger is ready",
        Ledger::file(&to.place.data_dir).display()
    ));
    for table in prepared {
        line(format!(
            "{}: {}",
            table.table,
            if table.created {
                "created"
            } else {
                "there, and fits"
            }
        ));
    }
    Ok(Ended::Well)
}

async fn demo_site(to: Surroundings, asked: Demo) -> Result<Ended> {
    let well = demo::run(&to.place, &to.config, to.json, asked.serve, &to.stop).await?;
    Ok(if well { Ended::Well } else { Ended::Badly })
}

async fn engine_process(to: Surroundings, asked: Engine) -> Result<Ended> {
    if asked.fetch {
        let path = tokio::task::spawn_blocking(engine::fetch)
            .await
            .unwrap_or_else(|panic| {
                Err(Error::new(Class::Never, "the fetching thread died").caused_by(panic))
            })?;
        if to.json {
            output::json(&json!({ "status": "completed", "library": path }))?;
        } else {
            line(path.display().to_string());
        }
        return Ok(Ended::Well);
    }
    let options = engine::ServeOptions {
        data_dir: to.place.data_dir.clone(),
        port: asked.port,
        user: None,
        password: None,
        until_unused: asked.until_unused,
    };
    engine::serve(options, to.stop.clone()).await?;
    Ok(Ended::Well)
}
