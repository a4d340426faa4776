//! Everything that the ledger knows of one slice: who holds it, what keeps it, which runs want it. For
//! people who ask about it; nothing decides by this.

use jiff::Timestamp;

use super::Ledger;
use super::control::{EVERY_TEAM, Extent};
use super::database::{Row, Statement, sql, text};
use super::runs::{Run, run};
use super::slices::{Slice, slice};
use crate::calendar::{Day, TeamId};
use crate::error::Result;

/// A slice with what else the ledger has of it.
#[derive(Clone, Debug)]
pub struct Detail {
    pub slice: Slice,
    /// Kept from being claimed, because its team had the setting off.
    pub held: bool,
    /// Asked for again while it ran.
    pub again: bool,
    /// Since when it is wanted, or stale.
    pub wanted_at: Option<Timestamp>,
    /// When it was claimed last.
    pub claimed_at: Option<Timestamp>,
    /// Of a slice that runs.
    pub holding: Option<Holding>,
    /// Only cancelled runs asked for it, and the tables have never held it.
    pub is_cancelled: bool,
    /// Another slice of its partition runs, and a partition has one writer at a time.
    pub partition_is_busy: bool,
    /// Somebody deletes rows of its partition.
    pub partition_is_cleared: bool,
}

/// Who holds a slice that runs.
#[derive(Clone, Debug)]
pub struct Holding {
    pub claim: String,
    /// The name of the worker.
    pub owner: String,
    pub lease_until: Option<Timestamp>,
    pub lease_is_over: bool,
    /// The worker was told to stop.
    pub is_to_stop: bool,
    /// How many slices the claim has, this one included.
    pub slices: i64,
}

/// A run that a slice belongs to.
#[derive(Clone, Debug)]
pub struct RunOfSlice {
    pub run: Run,
    /// Whether the slice was filled for it.
    pub is_done: bool,
}

impl Ledger {
    /// All about a slice; `None` when there is none.
    pub async fn detail(&self, team: TeamId, day: Day) -> Result<Option<Detail>> {
        let statement = Statement::new(sql!("detail"))
            .bind(team.0)
            .bind(day.to_string());
        let rows = self.database.rows("read a slice", &statement).await?;
        rows.first().map(detail).transpose()
    }

    /// The latest runs that a slice belongs to, the newest first.
    pub async fn runs_of_slice(
        &self,
        team: TeamId,
        day: Day,
        most: u32,
    ) -> Result<Vec<RunOfSlice>> {
        let statement = Statement::new(sql!("runs_of_slice"))
            .bind(team.0)
            .bind(day.to_string())
            .bind(most);
        let rows = self.database.rows("read a day's runs", &statement).await?;
        rows.iter()
            .map(|row| {
                Ok(RunOfSlice {
                    run: run(row)?,
                    is_done: row.get("is_done")?,
                })
            })
            .collect()
    }

    /// What keeps all of a team, each with the time since when, [`Extent::Everything`] first.
    pub async fn pauses_of(&self, team: TeamId) -> Result<Vec<(Extent, Timestamp)>> {
        let statement = Statement::new(text!(
            "select team_id, paused_at from pauses where team_id = $1 or team_id = $2 order by team_id"
        ))
        .bind(EVERY_TEAM)
        .bind(team.0);
        let rows = self.database.rows("read the pauses", &statement).await?;
        rows.iter()
            .map(|row| {
                let extent = match row.get("team_id")? {
                    EVERY_TEAM => Extent::Everything,
                    team => Extent::Team(TeamId(team)),
                };
                Ok((extent, instant(row, "paused_at")?.unwrap_or_default()))
            })
            .collect()
    }
}

fn instant(row: &Row, name: &str) -> Result<Option<Timestamp>> {
    let at: Option<i64> = row.get(name)?;
    Ok(at.and_then(|at| Timestamp::from_millisecond(at).ok()))
}

fn detail(row: &Row) -> Result<Detail> {
    let holding = match row.get::<Option<String>>("claim")? {
        None => None,
        Some(claim) => Some(Holding {
            claim,
            owner: row.get::<Option<String>>("owner")?.unwrap_or_default(),
            lease_until: instant(row, "lease_until")?,
            lease_is_over: row.get("lease_is_over")?,
            is_to_stop: row.get("cancel")?,
            slices: row.get("of_claim")?,
        }),
    };
    Ok(Detail {
        slice: slice(row)?,
        held: row.get("held")?,
        again: row.get("again")?,
        wanted_at: instant(row, "wanted_at")?,
        claimed_at: instant(row, "claimed_at")?,
        holding,
        is_cancelled: row.get("is_cancelled")?,
        partition_is_busy: row.get("partition_is_busy")?,
        partition_is_cleared: row.get("partition_is_cleared")?,
    })
}
