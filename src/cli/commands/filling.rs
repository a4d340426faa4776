//! Filling and deleting a range of days.

use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::cli::arguments::{Backfill, Cleanup};

use super::{ledger, open, open_as_it_is, until_told};
use crate::cli::{Ended, Surroundings};
use crate::error::Result;
use crate::ledger::Progress;
use crate::output::{self, Rows, counted, line, note, number};
use crate::request::{self, Asked, Backfilled, CleanedUp, Target, WouldFill};
use crate::service::Prefill;

pub(super) async fn backfill(to: Surroundings, asked: Backfill) -> Result<Ended> {
    // What is wrong with the request is said before an engine is started for it.
    let ledger = ledger(&to).await?;
    let now = ledger.now().await?;
    let target = request::target(&ledger, &to.config, asked.team_id, asked.asked(), now).await?;
    request::must_be_enabled(&target.team)?;
    if asked.dry_run {
        let prefill = open_as_it_is(&to).await?;
        return until_told(&to.stop, dry_run(&to, &prefill, &target, asked.force)).await;
    }
    let prefill = open(&to).await?;
    let run = prefill.backfill(&target, asked.force).await?;
    let is_paused = || {
        note(format!(
            "hint: it is paused, or its team is: prefill status tells; then prefill resume {run}, --team-id {} or --all",
            target.team.id
        ));
    };
    if asked.background {
        let progress = prefill.ledger.progress(run).await?;
        let begun = Backfilled::begun(run, &target, &progress);
        let status = begun.status;
        if to.json {
            output::json(&begun)?;
        } else {
            line(run.to_string());
        }
        note(format!(
            "{} to fill by prefill serve; prefill status {run} shows how far it is",
            counted(progress.days, "day")
        ));
        if status == "paused" {
            is_paused();
        }
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
        let elapsed = Some(begun.elapsed());
        output::json(&Backfilled::new(status, run, &target, &progress, elapsed))?;
    } else {
        line(told(&target, &progress, status, begun.elapsed()));
    }
    for (day, error) in prefill.ledger.failures(run).await? {
        note(format!("{day} failed: {error}"));
    }
    match status {
        "paused" => is_paused(),
        "cancelled" => note(format!("hint: run prefill resume {run} to go on")),
        "interrupted" => {
            // With --force it would fill again what it has just filled.
            let again = if asked.force {
                "run it again without --force"
            } else {
                "run the same command again"
            };
            note(format!(
                "hint: {again} to go on; what is filled stays, and prefill serve goes on, too: prefill cancel {run} gives the rest up"
            ));
        }
        "failed" => note(
            "hint: mend the cause and run the same command again, or prefill retry: only what failed is done again",
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
    let there = target.days_of_zone - progress.days;
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
        (progress.paused, "paused"),
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
        output::json(&WouldFill::new(target, estimate))?;
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
        number(estimate.slices.len()),
        counted(target.days_of_zone, "day"),
        target.team.id,
        counted(estimate.rows, "event"),
        indicatif::HumanBytes(estimate.bytes),
    ));
    Ok(Ended::Well)
}

pub(super) async fn cleanup(to: Surroundings, asked: Cleanup) -> Result<Ended> {
    let range = Asked {
        days: None,
        date_start: Some(asked.date_start),
        date_end: Some(asked.date_end),
    };
    let ledger = ledger(&to).await?;
    let now = ledger.now().await?;
    let target = request::target_of_cleanup(&ledger, &to.config, asked.team_id, range, now).await?;
    let prefill = open_as_it_is(&to).await?;
    let would = prefill.count_cleanup(&target).await?;
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
            output::json(&CleanedUp::new("dry_run", &target, &would))?;
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
    let deleted = prefill.cleanup(&target, &to.stop).await?;
    if to.json {
        output::json(&CleanedUp::new("completed", &target, &deleted))?;
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
