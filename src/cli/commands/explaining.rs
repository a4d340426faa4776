//! Why a day is as it is.

use jiff::Timestamp;

use crate::cli::arguments::Explain;

use super::open_as_it_is;
use crate::cli::{Ended, Surroundings};
use crate::error::Result;
use crate::output::{self, counted, line, note, number};
use crate::report::{Explanation, Running};

pub(super) async fn explain(to: Surroundings, asked: Explain) -> Result<Ended> {
    let prefill = open_as_it_is(&to).await?;
    let told = match asked.verify {
        true => prefill.explain_verified(asked.team_id, asked.day).await?,
        false => prefill.explain(asked.team_id, asked.day).await?,
    };
    if to.json {
        output::json(&told)?;
    } else {
        print(&told);
    }
    let differs = told.verdict.as_ref().is_some_and(|verdict| !verdict.clean);
    Ok(if differs { Ended::Badly } else { Ended::Well })
}

fn print(told: &Explanation) {
    line(format!(
        "team {} ({}), {}: {}",
        told.team_id, told.team_name, told.day, told.situation
    ));
    fact("why", &told.why);
    if let Some(error) = &told.error {
        let class = told.error_class.as_deref();
        let class = class.map_or(String::new(), |class| format!(" [{class}]"));
        fact("error", format!("{error}{class}"));
    }
    fact("next", &told.next);
    if let Some((from, until)) = told.from.zip(told.until) {
        fact(
            "bounds",
            format!(
                "{from} until {until}, {} h in {}",
                until.duration_since(from).as_hours(),
                told.timezone
            ),
        );
    }
    if let Some(warehouse) = &told.warehouse {
        fact("warehouse", warehouse);
    }
    if let (Some(state), Some(reason)) = (told.state, &told.reason) {
        fact("state", format!("{state} ({reason})"));
    }
    if let Some(since) = told.wanted_since {
        fact("wanted since", since.to_string());
    }
    if let Some(at) = told.claimed_at {
        fact("last claimed", at.to_string());
    }
    if told.tries > 0 {
        fact("tries", format!("{} of {}", told.tries, told.most_tries));
    }
    if let Some(next) = told.next_try {
        fact("next try", next.to_string());
    }
    if let Some(running) = &told.running {
        print_running(running);
    }
    if let Some(filled) = &told.receipt {
        let receipt = &filled.receipt;
        let as_of = filled.as_of.map(|at| at.to_string());
        fact(
            "filled",
            format!(
                "{}, with the events that were there at {}",
                filled.filled_at,
                as_of.as_deref().unwrap_or("an unknown time")
            ),
        );
        fact(
            "receipt",
            format!(
                "{}, {}, {} + {} rows of {}, in {} ms",
                counted(receipt.sessions, "session"),
                counted(receipt.page_views, "page view"),
                number(receipt.stats_rows),
                number(receipt.bounces_rows),
                counted(receipt.events, "event"),
                number(receipt.elapsed_ms)
            ),
        );
    }
    if let Some(holds) = &told.in_tables {
        fact(
            "tables",
            match holds.as_verified {
                true => "hold what was verified".to_owned(),
                false => format!(
                    "hold {}, {} in stats, {} in bounces",
                    counted(holds.sessions, "session"),
                    counted(holds.stats_page_views, "page view"),
                    number(holds.bounces_page_views)
                ),
            },
        );
    }
    if let Some(verdict) = &told.verdict {
        fact(
            "raw events",
            match verdict.clean {
                true => "equal".to_owned(),
                false => format!("differ: {}", verdict.verdict.describe()),
            },
        );
    }
    if let Some(error) = &told.warehouse_error {
        fact("not asked", format!("the warehouse: {error}"));
    }
    for stop in &told.stops {
        let since = since(stop.since);
        fact("kept by", format!("{}{since}: {}", stop.what, stop.command));
    }
    for task in &told.tasks {
        let is = match (task.is_done, task.cancelled_at, task.paused_at) {
            (true, ..) => "filled for it",
            (_, Some(_), _) => "cancelled",
            (_, _, Some(_)) => "paused",
            _ => "waits for it",
        };
        fact("task", format!("{} ({}, {is})", task.task_id, task.reason));
    }
    if let Some(command) = &told.command {
        note(format!("hint: run {command}"));
    }
}

fn print_running(running: &Running) {
    fact("claim", &running.claim);
    fact("worker", &running.owner);
    if let Some(until) = running.lease_until {
        let over = if running.lease_is_over {
            ", is over"
        } else {
            ""
        };
        fact("lease until", format!("{until}{over}"));
    }
    if running.together > 1 {
        let together = usize::try_from(running.together).unwrap_or(usize::MAX);
        fact(
            "together",
            format!("with {}", counted(together - 1, "other day")),
        );
    }
    if let Some(now) = &running.statements {
        fact(
            "statements",
            match now.statements {
                0 => "none under way at this moment".to_owned(),
                _ => format!(
                    "read {} rows so far, for {:.1} s, with {} of memory",
                    number(now.read_rows),
                    now.elapsed_seconds,
                    indicatif::HumanBytes(u64::try_from(now.memory_bytes).unwrap_or(0)),
                ),
            },
        );
    }
}

fn since(at: Option<Timestamp>) -> String {
    at.map_or(String::new(), |at| format!(" since {at}"))
}

fn fact(name: &str, text: impl AsRef<str>) {
    line(format!("  {name:<13} {}", text.as_ref()));
}
