//! How everything stands, for those who watch: what is not filled, by team and state, and the runs that
//! wait for it. A few questions, whatever the number of teams; they read what is not filled, and not
//! what is.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::Ledger;
use super::database::{Statement, sql, text};
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
    /// What is not filled and not cleaned, of all teams; `off` are those that have the setting off, as far
    /// as they may have slices that are open otherwise. Of a pause of a team or of everything it says nothing.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn unfinished(&self, off: &[TeamId]) -> Result<Vec<Unfinished>> {
        const DOING: &str = "look at what is not filled";
        let stopped = Statement::new(text!(
            "select team_id from runs where paused_at is not null union select team_id from runs where cancelled_at is not null"
        ));
        let rows = self.database.rows(DOING, &stopped).await?;
        let stopped: Vec<TeamId> = rows
            .iter()
            .map(|row| row.get("team_id").map(TeamId))
            .collect::<Result<_>>()?;
        let stopped = team_ids(&stopped);
        let others = Statement::new(sql!("unfinished"))
            .bind(team_ids(off))
            .bind(&stopped);
        let of_stopped = Statement::new(sql!("unfinished_stopped")).bind(&stopped);
        let mut rows = self.database.rows(DOING, &others).await?;
        rows.extend(self.database.rows(DOING, &of_stopped).await?);
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
