//! Stopping what was asked for, and setting it going again.

use serde_json::json;

use crate::cli::arguments::Which;

use super::{ledger, task_id};
use crate::cli::{Ended, Surroundings};
use crate::error::Result;
use crate::ledger::{Extent, Ledger};
use crate::output::{self, counted, line, note};

fn extent(which: &Which) -> Result<Extent> {
    Ok(match (which.task.as_deref(), which.team_id) {
        (Some(task), _) => Extent::Task(task_id(task)?),
        (None, Some(team)) => Extent::Team(team),
        (None, None) => Extent::Everything,
    })
}

fn named(extent: Extent) -> String {
    match extent {
        Extent::Task(run) => format!("task {run}"),
        Extent::Team(team) => format!("team {team}"),
        Extent::Everything => "everything".to_owned(),
    }
}

/// The words of the command line that mean it.
pub(super) fn words(extent: Extent) -> String {
    match extent {
        Extent::Task(run) => run.to_string(),
        Extent::Team(team) => format!("--team-id {team}"),
        Extent::Everything => "--all".to_owned(),
    }
}

/// What was done, with the extent in the fields that other commands use for it.
fn told(to: &Surroundings, extent: Extent, status: &str, more: serde_json::Value) -> Result<()> {
    let mut answer = json!({ "status": status });
    match extent {
        Extent::Task(run) => answer["task_id"] = json!(run),
        Extent::Team(team) => answer["team_id"] = json!(team),
        Extent::Everything => answer["all"] = json!(true),
    }
    if let (Some(answer), serde_json::Value::Object(more)) = (answer.as_object_mut(), more) {
        answer.extend(more);
    }
    if to.json {
        output::json(&answer)?;
    }
    Ok(())
}

pub(super) async fn pause(to: Surroundings, which: Which) -> Result<Ended> {
    let extent = extent(&which)?;
    ledger(&to).await?.pause(extent).await?;
    told(&to, extent, "paused", json!({}))?;
    if !to.json {
        line(format!("paused: {}", named(extent)));
    }
    note(format!(
        "what is filled stays; run prefill resume {} to go on",
        words(extent)
    ));
    Ok(Ended::Well)
}

pub(super) async fn resume(to: Surroundings, which: Which) -> Result<Ended> {
    let extent = extent(&which)?;
    let ledger = ledger(&to).await?;
    ledger.resume(extent).await?;
    let still = still_paused(&ledger, extent).await?;
    told(
        &to,
        extent,
        "resumed",
        json!({ "still_paused_by": still.map(words) }),
    )?;
    if !to.json {
        line(format!("resumed: {}", named(extent)));
    }
    if let Some(still) = still {
        note(format!(
            "but {} is paused: run prefill resume {}",
            named(still),
            words(still)
        ));
    }
    Ok(Ended::Well)
}

/// The pause that still keeps what was resumed.
async fn still_paused(ledger: &Ledger, extent: Extent) -> Result<Option<Extent>> {
    let team = match extent {
        Extent::Task(run) => ledger.run(run).await?.team_id,
        Extent::Team(team) => team,
        Extent::Everything => return Ok(None),
    };
    let pauses = ledger.pauses().await?;
    Ok(pauses
        .into_iter()
        .find(|pause| matches!(pause, Extent::Everything) || *pause == Extent::Team(team)))
}

pub(super) async fn cancel(to: Surroundings, which: Which) -> Result<Ended> {
    let extent = extent(&which)?;
    let runs = ledger(&to).await?.cancel(extent).await?;
    told(&to, extent, "cancelled", json!({ "tasks": runs }))?;
    if !to.json {
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
    told(&to, extent, "queued", json!({ "days": days }))?;
    if !to.json {
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
