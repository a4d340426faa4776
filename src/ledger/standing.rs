//! How everything stands, for those who watch: what is not filled, by team and state, and the runs that
//! wait for it. A question each, whatever the number of teams; they read what is not filled, and not
//! what is.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::Ledger;
use super::database::{Statement, sql};
use super::slices::team_ids;
use crate::calendar::TeamId;
use crate::error::Result;

/// Slices of a team that are equally far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    pub team_id: TeamId,
    /// One of [`crate::telemetry::STATES`], but for `filled` and `cleaned`.
    pub far: String,
    pub slices: i64,
    /// For how long the first of them could have been claimed; nothing where none can.
    pub due: Option<Duration>,
    /// When the first day ended of those that the tables do not hold.
    pub gap: Option<Timestamp>,
}

impl Ledger {
    /// What is not filled and not cleaned, of all teams; `on` are those that have the setting on.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn unfinished(&self, on: &[TeamId]) -> Result<Vec<Unfinished>> {
        let statement = Statement::new(sql!("standing")).bind(team_ids(on));
        let rows = self
            .database
            .rows("look at what is not filled", &statement)
            .await?;
        rows.iter()
            .map(|row| {
                let due: Option<i64> = row.get("due_ms")?;
                let gap: Option<i64> = row.get("gap_s")?;
                Ok(Unfinished {
                    team_id: TeamId(row.get("team_id")?),
                    far: row.get("far")?,
                    slices: row.get("slices")?,
                    due: due.map(|due| Duration::from_millis(u64::try_from(due).unwrap_or(0))),
                    gap: gap.and_then(|gap| Timestamp::from_second(gap).ok()),
                })
            })
            .collect()
    }

    /// How many runs are neither completed nor cancelled, by [`super::Progress::status`].
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn open_runs(&self) -> Result<BTreeMap<String, i64>> {
        let statement = Statement::new(sql!("open_runs"));
        let rows = self.database.rows("count the runs", &statement).await?;
        rows.iter()
            .map(|row| Ok((row.get("status")?, row.get("runs")?)))
            .collect()
    }
}
