//! Teams and their setting.

use serde_json::json;

use crate::cli::arguments::{TeamAdd, TeamSet};

use super::ledger;
use crate::calendar::{TeamId, Zone};
use crate::cli::{Ended, Surroundings};
use crate::error::{Error, Result};
use crate::ledger::{NewTeam, TeamChange};
use crate::output::{self, Rows, line, note};
use crate::reconcile;
use crate::request;

fn own_days(to: &Surroundings, days: Option<i64>) -> Result<Option<i64>> {
    days.map(|days| to.config.days(days, "--backfill-days"))
        .transpose()
}

/// Names are shown on terminals and in lines of a log.
fn printable(name: String, option: &str) -> Result<String> {
    if name.contains(char::is_control) {
        return Err(
            Error::misuse(format!("{option} {name:?} has a control character in it"))
                .hint("leave out line breaks, tabs and what colours a terminal"),
        );
    }
    Ok(name)
}

pub(super) async fn team_add(to: Surroundings, team: TeamAdd) -> Result<Ended> {
    to.config
        .warehouse_of(team.team_id, team.warehouse.as_deref())?;
    let team = NewTeam {
        id: team.team_id,
        name: printable(team.name, "--name")?,
        organization: printable(team.organization, "--organization")?,
        zone: Zone::get(&team.timezone)?,
        backfill_days: own_days(&to, team.backfill_days)?,
        warehouse: team.warehouse,
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

pub(super) async fn team_set(to: Surroundings, team: TeamSet) -> Result<Ended> {
    to.config
        .warehouse_of(team.team_id, team.warehouse.as_deref())?;
    let ledger = ledger(&to).await?;
    let before = ledger.team(team.team_id).await?;
    let change = TeamChange {
        name: team
            .name
            .map(|name| printable(name, "--name"))
            .transpose()?,
        organization: team
            .organization
            .map(|name| printable(name, "--organization"))
            .transpose()?,
        zone: team.timezone.as_deref().map(Zone::get).transpose()?,
        backfill_days: own_days(&to, team.backfill_days)?,
        warehouse: team.warehouse,
    };
    let after = ledger.set_team(before.id, &change).await?;
    reconcile::some(&ledger, &to.config, &[after.id], ledger.now().await?).await?;
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

pub(super) async fn team_list(to: Surroundings) -> Result<Ended> {
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

pub(super) async fn enable(to: Surroundings, team: TeamId, on: bool) -> Result<Ended> {
    let ledger = ledger(&to).await?;
    let now = request::set_enabled(&ledger, &to.config, team, on).await?;
    if to.json {
        output::json(&now)?;
        return Ok(Ended::Well);
    }
    let already = if now.changed { "" } else { " already" };
    line(format!(
        "team {} ({}) has the setting {}{already}",
        now.team_id,
        now.team_name,
        if on { "on" } else { "off" }
    ));
    if on && now.changed {
        note(
            "a running prefill serve fills its days within seconds; prefill backfill fills them now",
        );
    }
    Ok(Ended::Well)
}
