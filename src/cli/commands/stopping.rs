//! Stopping what was asked for, and setting it going again.

use crate::cli::arguments::Which;

use super::{ledger, task_id};
use crate::cli::{Ended, Surroundings};
use crate::error::Result;
use crate::ledger::Extent;
use crate::output::{self, counted, line, note};
use crate::request::Steered;

fn extent(which: &Which) -> Result<Extent> {
    Ok(match (which.task.as_deref(), which.team_id) {
        (Some(task), _) => Extent::Task(task_id(task)?),
        (None, Some(team)) => Extent::Team(team),
        (None, None) => Extent::Everything,
    })
}

pub(super) async fn pause(to: Surroundings, which: Which) -> Result<Ended> {
    let extent = extent(&which)?;
    ledger(&to).await?.pause(extent).await?;
    if to.json {
        output::json(&Steered::Paused(extent.into()))?;
    } else {
        line(format!("paused: {}", extent.name()));
    }
    note(format!(
        "what is filled stays; run prefill resume {extent} to go on"
    ));
    Ok(Ended::Well)
}

pub(super) async fn resume(to: Surroundings, which: Which) -> Result<Ended> {
    let extent = extent(&which)?;
    let ledger = ledger(&to).await?;
    ledger.resume(extent).await?;
    let still = ledger.paused_by(extent).await?;
    if to.json {
        output::json(&Steered::Resumed {
            of: extent.into(),
            still_paused_by: still.map(|still| still.to_string()),
        })?;
    } else {
        line(format!("resumed: {}", extent.name()));
    }
    if let Some(still) = still {
        note(format!(
            "but {} is paused: run prefill resume {still}",
            still.name()
        ));
    }
    Ok(Ended::Well)
}

pub(super) async fn cancel(to: Surroundings, which: Which) -> Result<Ended> {
    let extent = extent(&which)?;
    let runs = ledger(&to).await?.cancel(extent).await?;
    if to.json {
        output::json(&Steered::Cancelled {
            of: extent.into(),
            tasks: runs.clone(),
        })?;
    } else {
        line(format!("cancelled: {}", counted(runs.len(), "task")));
        for run in &runs {
            line(format!("  {run}"));
        }
    }
    if !runs.is_empty() {
        note("what is filled stays and is kept fresh; prefill resume TASK takes one up again");
    }
    Ok(Ended::Well)
}

pub(super) async fn retry(to: Surroundings, which: Which) -> Result<Ended> {
    let extent = extent(&which)?;
    let days = ledger(&to).await?.retry(extent).await?;
    if to.json {
        output::json(&Steered::Queued {
            of: extent.into(),
            days,
        })?;
    } else {
        line(match days {
            0 => "nothing has failed".to_owned(),
            _ => format!("{} to try again", counted(days, "day")),
        });
    }
    if days > 0 {
        note("prefill serve does it; prefill status shows how far it is");
    }
    Ok(Ended::Well)
}
