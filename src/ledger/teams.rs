//! The teams: who is there, and who has the setting on. Prefill's own table, or another one
//! (`other_teams.rs`); which of them, shows nowhere else.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::Ledger;
use super::database::{Row, Statement, json, text};
use super::slices::team_ids;
use crate::calendar::{TeamId, Zone};
use crate::error::{Error, Result};

/// A tenant, as the teams table has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
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

/// "Look again at these teams."
#[derive(Clone, Debug)]
pub struct Signals {
    ids: Vec<i64>,
    pub teams: Vec<TeamId>,
}

/// The most signals that are read at once.
const SIGNALS: i64 = 50_000;

impl Ledger {
    /// # Errors
    ///
    /// [`crate::error::Class::Misuse`] when there is a team of this id already, or the teams are not
    /// prefill's own.
    pub async fn add_team(&self, team: &NewTeam) -> Result<()> {
        self.must_be_own()?;
        let statement = Statement::new(text!(
            "insert into teams (id, name, organization, timezone, backfill_days, warehouse) values ($1, $2, $3, $4, $5, $6) on conflict (id) do nothing"
        ))
        .bind(team.id.0)
        .bind(&team.name)
        .bind(&team.organization)
        .bind(team.zone.name())
        .bind(team.backfill_days)
        .bind(&team.warehouse);
        if self.database.execute("add a team", &statement).await? == 0 {
            return Err(
                Error::conflict(format!("team {} is there already", team.id)).hint(format!(
                    "run prefill team set --team-id {} to change it",
                    team.id
                )),
            );
        }
        Ok(())
    }

    /// Changes a team.
    ///
    /// # Errors
    ///
    /// [`crate::error::Class::Misuse`] when there is no such team, or the teams are not prefill's own.
    pub async fn set_team(&self, id: TeamId, change: &TeamChange) -> Result<Team> {
        self.must_be_own()?;
        let statement = Statement::new(text!(
            "update teams set name = coalesce($2, name), organization = coalesce($3, organization), timezone = coalesce($4, timezone), backfill_days = coalesce($5, backfill_days), warehouse = coalesce($6, warehouse) where id = $1"
        ))
        .bind(id.0)
        .bind(&change.name)
        .bind(&change.organization)
        .bind(change.zone.as_ref().map(Zone::name))
        .bind(change.backfill_days)
        .bind(&change.warehouse);
        self.database.execute("change a team", &statement).await?;
        self.team(id).await
    }

    fn must_be_own(&self) -> Result<()> {
        match self.other_teams() {
            None => Ok(()),
            Some(table) => Err(Error::conflict(format!(
                "the teams are the rows of {table}, and prefill changes nothing of them but the setting"
            ))
            .hint(format!("add or change the team where {table} is kept; prefill notices"))),
        }
    }

    /// Turns the setting on or off; true when that changed it.
    pub async fn set_enabled(&self, id: TeamId, enabled: bool) -> Result<bool> {
        const DOING: &str = "change the setting";
        let statement = match &self.other_teams {
            Some(teams) => teams.set_enabled(),
            None => Statement::new(text!(
                "update teams set web_analytics_pre_aggregated_tables_enabled = $2 where id = $1 and web_analytics_pre_aggregated_tables_enabled <> $2"
            )),
        };
        let statement = statement.bind(id.0).bind(i64::from(enabled));
        if self.other_teams.is_some() {
            let changed = self.database.execute_for_others(DOING, &statement).await?;
            return Ok(changed > 0);
        }
        let changed = self.database.execute(DOING, &statement).await?;
        Ok(changed > 0)
    }

    /// # Errors
    ///
    /// [`crate::error::Class::Misuse`] when there is no such team.
    pub async fn team(&self, id: TeamId) -> Result<Team> {
        self.find_team(id).await?.ok_or_else(|| {
            let error = Error::missing(format!("there is no team {id}"));
            match self.other_teams() {
                None => error.hint(format!(
                    "run prefill team list to see the teams, or prefill team add --team-id {id} --name NAME"
                )),
                Some(table) => error.hint(format!("run prefill team list to see the teams of {table}")),
            }
        })
    }

    /// The team, or `None`.
    pub async fn find_team(&self, id: TeamId) -> Result<Option<Team>> {
        Ok(self.some_teams(&[id]).await?.pop())
    }

    /// All teams, by id.
    pub async fn teams(&self) -> Result<Vec<Team>> {
        let statement = match &self.other_teams {
            Some(teams) => teams.all(),
            None => Statement::new(text!("select * from teams order by id")),
        };
        let teams = self.database.rows("list the teams", &statement).await?;
        teams.iter().map(team).collect()
    }

    /// Those of these teams that are there, by id.
    pub(super) async fn some_teams(&self, ids: &[TeamId]) -> Result<Vec<Team>> {
        let statement = match &self.other_teams {
            Some(teams) => teams.some(),
            None => Statement::new(text!(
                "select * from teams where id in (select cast(value as bigint) from {rows $1}) order by id"
            )),
        };
        let statement = statement.bind(team_ids(ids));
        let teams = self.database.rows("read teams", &statement).await?;
        teams.iter().map(team).collect()
    }

    /// As [`Ledger::teams`], or those of some ids, each with the instant of its setting's last turn:
    /// now, where it is on and nobody wrote that down.
    pub async fn settled_teams(&self, ids: Option<&[TeamId]>) -> Result<Vec<Team>> {
        const DOING: &str = "write down when settings were turned on";
        if let Some(teams) = &self.other_teams {
            teams.settle(self, ids).await?;
        }
        let mut teams = match ids {
            Some(ids) => self.some_teams(ids).await?,
            None => self.teams().await?,
        };
        if let (Some(other), Some(ids)) = (&self.other_teams, ids)
            && teams.len() < ids.len()
        {
            other.forget(self, ids).await?;
        }
        let unsettled: Vec<TeamId> = teams
            .iter()
            .filter(|team| team.enabled && team.enabled_at.is_none())
            .map(|team| team.id)
            .collect();
        if self.other_teams.is_some() || unsettled.is_empty() {
            return Ok(teams);
        }
        let statement = Statement::new(text!(
            "update teams set enabled_at = coalesce(enabled_at, {now}) where id in (select cast(value as bigint) from {rows $1}) returning id, enabled_at"
        ))
        .bind(team_ids(&unsettled));
        for row in self.database.returned(DOING, &statement).await? {
            let (id, at) = (TeamId(row.get("id")?), row.get("enabled_at")?);
            if let Some(team) = teams.iter_mut().find(|team| team.id == id) {
                team.enabled_at = Timestamp::from_millisecond(at).ok();
            }
        }
        Ok(teams)
    }

    /// The signals that wait, the oldest first, a limited number of them.
    ///
    /// A signal is forgotten only after its team was looked at ([`Ledger::forget_signals`]), so
    /// that a crash in between costs a second look and no change.
    pub async fn signals(&self) -> Result<Option<Signals>> {
        let statement = Statement::new(text!(
            "select id, team_id from signals order by id limit $1"
        ))
        .bind(SIGNALS);
        let rows = self.database.rows("read the signals", &statement).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let mut ids = Vec::with_capacity(rows.len());
        let mut teams = BTreeSet::new();
        for row in &rows {
            ids.push(row.get("id")?);
            teams.insert(TeamId(row.get("team_id")?));
        }
        Ok(Some(Signals {
            ids,
            teams: teams.into_iter().collect(),
        }))
    }

    /// Forgets the signals that were read, and none that came since: on Postgres one with a smaller
    /// number may be committed later.
    pub async fn forget_signals(&self, signals: &Signals) -> Result<()> {
        let statement = Statement::new(text!(
            "delete from signals where id in (select cast(value as bigint) from {rows $1})"
        ))
        .bind(json(signals.ids.iter().map(|id| json!(id))));
        self.database
            .execute("forget the signals", &statement)
            .await?;
        Ok(())
    }
}

fn team(row: &Row) -> Result<Team> {
    let enabled_at: Option<i64> = row.get("enabled_at")?;
    Ok(Team {
        id: TeamId(row.get("id")?),
        name: row.get("name")?,
        organization: row.get("organization")?,
        timezone: row.get("timezone")?,
        enabled: row.get("web_analytics_pre_aggregated_tables_enabled")?,
        backfill_days: row.get("backfill_days")?,
        warehouse: row.get("warehouse")?,
        enabled_at: enabled_at.and_then(|at| Timestamp::from_millisecond(at).ok()),
    })
}
