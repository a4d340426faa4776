//! What is filled, what is right, what was asked for.

use jiff::Timestamp;
use serde_json::json;

use crate::cli::arguments::{Metrics, Status, Validate};

use super::{ledger, open_as_it_is, task_id};
use crate::calendar::Day;
use crate::cli::{Ended, Surroundings};
use crate::error::Result;
use crate::ledger::{DayCounts, Extent, Ledger, State};
use crate::output::{self, Rows, counted, line, note, number};
use crate::report::{self, DayVerdict, Task, WarehouseUse};
use crate::request::{self, Asked, Target};

/// How many teams are named of which something is wrong.
const MOST_TEAMS: usize = 20;
/// So much of what is wrong with each.
const MOST_CHARACTERS: usize = 300;

pub(super) async fn list(to: Surroundings) -> Result<Ended> {
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
        let day = |day: Option<Day>| day.map_or("-".to_owned(), |day| day.to_string());
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

pub(super) async fn validate(to: Surroundings, asked: Validate) -> Result<Ended> {
    let ledger = ledger(&to).await?;
    let now = ledger.now().await?;
    let range = Asked {
        days: asked.days,
        date_start: asked.date_start,
        date_end: asked.date_end,
    };
    let all = asked.days.is_none() && asked.date_start.is_none() && asked.date_end.is_none();
    let mut target = request::target(&ledger, &to.config, asked.team_id, range, now).await?;
    let prefill = open_as_it_is(&to).await?;
    let waiting = output::progress(
        None,
        "{spinner} comparing days with their raw events, for {elapsed} so far",
    );
    let validated = if all {
        prefill.validate_wanted(&mut target, now).await
    } else {
        prefill.validate(&target).await
    };
    waiting.finish_and_clear();
    let validation = validated?;
    if to.json {
        output::json(&validation.told(&target))?;
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
            note(mend(&target, &validation.days));
        }
    }
    Ok(if validation.is_clean() {
        Ended::Well
    } else {
        Ended::Badly
    })
}

/// The command that mends the days that differ.
fn mend(target: &Target, days: &[DayVerdict]) -> String {
    let differ = || days.iter().filter(|day| !day.clean);
    let (first, last) = (
        differ().map(|day| day.day).min(),
        differ().map(|day| day.day).max(),
    );
    let (Some(first), Some(last)) = (first, last) else {
        return String::new();
    };
    let team = target.team.id;
    // What the ledger takes for filled is left alone otherwise.
    let force = if differ().any(|day| day.state == Some(State::Filled)) {
        " --force"
    } else {
        ""
    };
    let enable = if target.team.enabled {
        String::new()
    } else {
        format!("prefill enable --team-id {team}, and ")
    };
    format!(
        "hint: run {enable}prefill backfill --team-id {team} --date-start {first} --date-end {}{force}",
        last.plus(1)
    )
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

pub(super) async fn status(to: Surroundings, asked: Status) -> Result<Ended> {
    let task = asked.task.as_deref().map(task_id).transpose()?;
    let ledger = ledger(&to).await?;
    let Some(id) = task else {
        return status_of_all(&to, &ledger).await;
    };
    let mut found = report::task(&ledger, id).await?;
    if found.slices.iter().any(|slice| slice.comment.is_some()) {
        let asked = async { report::statements(&open_as_it_is(&to).await?, &found.slices).await };
        match asked.await {
            Ok(statements) => found.statements = statements,
            Err(error) => note(format!(
                "the warehouse cannot say how far the days under way are: {}",
                error.chain()
            )),
        }
    }
    if to.json {
        output::json(&found)?;
        return Ok(Ended::Well);
    }
    let Task {
        status,
        task: run,
        progress,
    } = found.task;
    line(format!(
        "{}: team {}, {}..{} ({}), {} of {} filled",
        status,
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
    for slice in found.slices {
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
    for (day, now) in found.statements {
        line(format!(
            "{day}: read {} rows so far, for {:.1} s, with {} of memory",
            number(now.read_rows),
            now.elapsed_seconds,
            indicatif::HumanBytes(u64::try_from(now.memory_bytes).unwrap_or(0)),
        ));
    }
    Ok(Ended::Well)
}

async fn status_of_all(to: &Surroundings, ledger: &Ledger) -> Result<Ended> {
    let all = report::tasks(ledger, &to.config, 20).await?;
    if to.json {
        output::json(&all)?;
        return Ok(Ended::Well);
    }
    let everything = all.all_paused.then_some(Extent::Everything);
    let teams = all.paused_teams.into_iter().map(Extent::Team);
    let pauses = everything.into_iter().chain(teams);
    for pause in pauses {
        note(format!(
            "{} is paused: nothing of it is filled before prefill resume {pause}",
            pause.name()
        ));
    }
    if all.tasks.is_empty() {
        note("nothing was asked for yet; run prefill enable or prefill backfill");
        print_days(&all.days);
        print_uses(&all.warehouses);
        return Ok(Ended::Well);
    }
    let mut rows = Rows::new(&[
        "task", "#team", "from", "until", "reason", "status", "#filled", "#failed",
    ]);
    for Task {
        status,
        task: run,
        progress,
    } in all.tasks
    {
        rows.add(vec![
            run.id.to_string(),
            run.team_id.to_string(),
            run.date_start.to_string(),
            run.date_end.to_string(),
            run.reason,
            status.to_owned(),
            format!("{}/{}", progress.filled, progress.days),
            progress.failed.to_string(),
        ]);
    }
    rows.print();
    line("");
    print_days(&all.days);
    print_uses(&all.warehouses);
    Ok(Ended::Well)
}

/// How it stands with all days, also those that no task asked for.
fn print_days(days: &DayCounts) {
    if days.all == 0 {
        return;
    }
    let told = [
        (days.running, "being filled"),
        (days.stale, "to be filled again"),
        (days.waiting, "waiting for events"),
        (days.failed, "failed"),
    ];
    let told = told.into_iter().filter(|(count, _)| *count > 0);
    let told: Vec<String> = std::iter::once(format!(
        "{} of {} filled",
        number(days.with_data),
        counted(days.all, "day")
    ))
    .chain(told.map(|(count, what)| format!("{} {what}", number(count))))
    .collect();
    line(told.join(", "));
    if days.failed > 0 {
        note("hint: prefill health names the days that failed, and prefill retry --all tries them");
    }
    line("");
}

/// How much of the warehouses' time fills may take and take.
fn print_uses(uses: &[WarehouseUse]) {
    let mut rows = Rows::new(&[
        "warehouse",
        "#budget",
        "#used",
        "busy",
        "#waited",
        "#for memory",
    ]);
    for taken in uses {
        rows.add(vec![
            taken.name.clone(),
            percent(taken.budget),
            taken.used_last_minute.map_or("-".to_owned(), percent),
            match taken.busy {
                Some(true) => "yes",
                Some(false) => "no",
                None => "-",
            }
            .to_owned(),
            format!("{:.0} s", taken.waited_seconds),
            format!("{:.0} s", taken.waited_for_memory_seconds),
        ]);
    }
    rows.print();
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

pub(super) async fn health(to: Surroundings) -> Result<Ended> {
    let health = open_as_it_is(&to).await?.health(Timestamp::now()).await?;
    if to.json {
        output::json(&health)?;
    } else {
        line(format!(
            "{}: {} with the setting on, {} of them with data",
            health.status,
            counted(health.enabled_teams, "team"),
            health.teams_with_data
        ));
        for missing in health.teams_missing_data.iter().take(MOST_TEAMS) {
            line(format!(
                "team {} ({}) has no data: {}",
                missing.team_id,
                missing.team_name,
                brief(&missing.issue)
            ));
        }
        tell_more_teams(health.teams_missing_data.len(), "no data");
        for gap in health.data_gaps_detected.iter().take(MOST_TEAMS) {
            let days: Vec<String> = gap.days.iter().map(ToString::to_string).collect();
            let days = if days.is_empty() {
                String::new()
            } else {
                format!(" [{}]", days.join(", "))
            };
            line(format!(
                "team {} ({}) has gaps: {}{days}",
                gap.team_id,
                gap.team_name,
                brief(&gap.issue)
            ));
        }
        tell_more_teams(health.data_gaps_detected.len(), "gaps");
        for half in health.cleanups_not_ended.iter().take(MOST_TEAMS) {
            line(format!(
                "team {} keeps what a cleanup of {} from {} on has left: it did not end",
                half.team_id,
                counted(half.days, "day"),
                half.date_start
            ));
        }
        tell_more_teams(health.cleanups_not_ended.len(), "days half deleted");
        for recommendation in health.recommendations.iter().take(MOST_TEAMS) {
            note(format!("hint: {recommendation}"));
        }
        if health.recommendations.len() > MOST_TEAMS {
            note(
                "hint: many at once have a cause in common: mend that, then run prefill retry --all, which tries all days that failed",
            );
        }
    }
    Ok(if health.status == "healthy" {
        Ended::Well
    } else {
        Ended::Badly
    })
}

/// Says how many teams there are beyond those that were named.
fn tell_more_teams(teams: usize, what: &str) {
    if let Some(more @ 1..) = teams.checked_sub(MOST_TEAMS) {
        line(format!(
            "{} more have {what}: prefill health --json names them all",
            counted(more, "team")
        ));
    }
}

/// The beginning of a text, which may hold a whole statement.
fn brief(text: &str) -> String {
    match text.char_indices().nth(MOST_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

pub(super) async fn metrics(to: Surroundings, asked: Metrics) -> Result<Ended> {
    let days = to.config.days(asked.days, "--days")?;
    let metrics = open_as_it_is(&to)
        .await?
        .metrics(days, Timestamp::now())
        .await?;
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
            "warehouses that cannot be asked",
            number(values.warehouses_down),
        ),
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
    line("");
    print_uses(&metrics.warehouses);
    Ok(Ended::Well)
}
