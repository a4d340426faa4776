//! The standalone teams table: who is there, and who has the setting on.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::Row as _;

use super::{Ledger, column, failed};
use crate::calendar::{TeamId, Zone};
use crate::error::{Error, Result};

/// A tenant, as the teams table has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Team {
    #[serde(rename = "team_id")]
    pub id: TeamId,
    #[serde(rename = "team_name")]
    pub name: String,
    pub organization: String,
    /// As it stands in the table: plain SQL may have put anything there.
    pub timezone: String,
    /// `web_analytics_pre_aggregated_tables_enabled`.
    pub enabled: bool,
    /// The team's own number of days.
    pub backfill_days: Option<i64>,
    /// The name of the team's warehouse, where the table says one.
    pub warehouse: Option<String>,
    /// When the setting was last turned on.
    #[serde(rename = "enabled_date")]
    pub enabled_at: Option<Timestamp>,
}

impl Team {
    /// # Errors
    ///
    /// When the table holds a zone that does not exist.
    pub fn zone(&self) -> Result<Zone> {
        Zone::get(&self.timezone).map_err(|error| {
            error
                .while_doing(format!("team {} has no valid time zone", self.id))
                .hint(format!(
                    "run prefill team set --team-id {} --timezone with an IANA name",
                    self.id
                ))
        })
    }
}

/// A team to add.
#[derive(Clone, Debug)]
pub struct NewTeam {
    pub id: TeamId,
    pub name: String,
    pub organization: String,
    pub zone: Zone,
    pub backfill_days: Option<i64>,
    pub warehouse: Option<String>,
}

/// What to change of a team; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct TeamChange {
    pub name: Option<String>,
    pub organization: Option<String>,
    pub zone: Option<Zone>,
    pub backfill_days: Option<i64>,
    pub warehouse: Option<String>,
}

impl Ledger {
    /// # Errors
    ///
    /// [`crate::error::Class::Misuse`] when there is a team of this id already.
    pub async fn add_team(&self, team: &NewTeam) -> Result<()> {
        let added = sqlx::query("insert into teams (id, name, organization, timezone, backfill_days, warehouse) values ($1, $2, $3, $4, $5, $6) on conflict (id) do nothing")
            .bind(team.id.0)
            .bind(&team.name)
            .bind(&team.organization)
            .bind(team.zone.name())
            .bind(team.backfill_days)
            .bind(&team.warehouse)
            .execute(&self.writer)
            .await
            .map_err(|error| failed("add a team", error))?;
        if added.rows_affected() == 0 {
            return Err(
                Error::misuse(format!("team {} is there already", team.id)).hint(format!(
                    "run prefill team set --team-id {} to change it",
                    team.id
                )),
            );
        }
        Ok(())
    }

    /// Changes a team.
    pub async fn set_team(&self, id: TeamId, change: &TeamChange) -> Result<Team> {
        sqlx::query("update teams set name = coalesce($2, name), organization = coalesce($3, organization), timezone = coalesce($4, timezone), backfill_days = coalesce($5, backfill_days), warehouse = coalesce($6, warehouse) where id = $1")
            .bind(id.0)
            .bind(&change.name)
            .bind(&change.organization)
            .bind(change.zone.as_ref().map(Zone::name))
            .bind(change.backfill_days)
            .bind(&change.warehouse)
            .execute(&self.writer)
            .await
            .map_err(|error| failed("change a team", error))?;
        self.team(id).await
    }

    /// Turns the setting on or off; true when that changed it.
    pub async fn set_enabled(&self, id: TeamId, enabled: bool) -> Result<bool> {
        let changed = sqlx::query("update teams set web_analytics_pre_aggregated_tables_enabled = $2 where id = $1 and web_analytics_pre_aggregated_tables_enabled <> $2")
            .bind(id.0)
            .bind(enabled)
            .execute(&self.writer)
            .await
            .map_err(|error| failed("change the setting", error))?;
        Ok(changed.rows_affected() > 0)
    }

    /// When a team's setting was turned on: now, where nobody wrote it down.
    pub async fn enabled_at(&self, team: &Team) -> Result<Timestamp> {
        if let Some(at) = team.enabled_at {
            return Ok(at);
        }
        let row = sqlx::query("update teams set enabled_at = coalesce(enabled_at, cast(unixepoch('subsec') * 1000 as integer)) where id = $1 returning enabled_at")
            .bind(team.id.0)
            .fetch_one(&self.writer)
            .await
            .map_err(|error| failed("write down when the setting was turned on", error))?;
        Ok(Timestamp::from_millisecond(column(&row, "enabled_at")?).unwrap_or_default())
    }

    /// # Errors
    ///
    /// [`crate::error::Class::Misuse`] when there is no such team.
    pub async fn team(&self, id: TeamId) -> Result<Team> {
        self.find_team(id).await?.ok_or_else(|| {
            Error::misuse(format!("there is no team {id}")).hint(format!(
                "run prefill team list to see the teams, or prefill team add --team-id {id} --name NAME"
            ))
        })
    }

    /// The team, or `None`.
    pub async fn find_team(&self, id: TeamId) -> Result<Option<Team>> {
        let teams = sqlx::query("select * from teams where id = $1")
            .bind(id.0)
            .fetch_all(&self.reader)
            .await
            .map_err(|error| failed("read a team", error))?;
        teams.iter().map(team).next().transpose()
    }

    /// All teams, by id.
    pub async fn teams(&self) -> Result<Vec<Team>> {
        let teams = sqlx::query("select * from teams order by id")
            .fetch_all(&self.reader)
            .await
            .map_err(|error| failed("list the teams", error))?;
        teams.iter().map(team).collect()
    }

    /// The highest signal that waits, and the teams that the signals up to it name.
    ///
    /// A signal is forgotten only after its team was looked at ([`Ledger::forget_signals`]), so
    /// that a crash in between costs a second look and no change.
    pub async fn signals(&self) -> Result<Option<(i64, Vec<TeamId>)>> {
        let rows = sqlx::query("select team_id, max(id) as last from signals group by team_id")
            .fetch_all(&self.reader)
            .await
            .map_err(|error| failed("read the signals", error))?;
        let mut last = None;
        let mut teams = Vec::with_capacity(rows.len());
        for row in &rows {
            last = last.max(Some(column::<i64>(row, "last")?));
            teams.push(TeamId(column(row, "team_id")?));
        }
        Ok(last.map(|last| (last, teams)))
    }

    /// Forgets the signals up to `last`.
    pub async fn forget_signals(&self, last: i64) -> Result<()> {
        sqlx::query("delete from signals where id <= $1")
            .bind(last)
            .execute(&self.writer)
            .await
            .map_err(|error| failed("forget the signals", error))?;
        Ok(())
    }
}

fn team(row: &sqlx::sqlite::SqliteRow) -> Result<Team> {
    let enabled_at: Option<i64> = column(row, "enabled_at")?;
    Ok(Team {
        id: TeamId(column(row, "id")?),
        name: column(row, "name")?,
        organization: column(row, "organization")?,
        timezone: column(row, "timezone")?,
        enabled: row
            .try_get("web_analytics_pre_aggregated_tables_enabled")
            .map_err(|error| failed("read a team", error))?,
        backfill_days: column(row, "backfill_days")?,
        warehouse: column(row, "warehouse")?,
        enabled_at: enabled_at.and_then(|at| Timestamp::from_millisecond(at).ok()),
    })
}
