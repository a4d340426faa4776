//! How much of a team is filled at once: less than all where all was too much for the warehouse.
//!
//! Remembered per team and warehouse, so that the next day begins with what worked; `widths_now`
//! (0004_control.sql) tries one step more once that is two weeks old.

use super::Ledger;
use super::database::{Statement, sql, text};
use super::slices::team_ids;
use crate::calendar::TeamId;
use crate::error::Result;

/// How much is filled at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Width {
    /// The most teams that are filled together.
    pub together: i64,
    /// How many pieces a day's sessions are taken in.
    pub pieces: i64,
}

impl Ledger {
    /// Remembers that no more than `width` is to be tried of these teams.
    pub async fn narrow(&self, warehouse: &str, teams: &[TeamId], width: Width) -> Result<()> {
        let statement = Statement::new(sql!("narrow"))
            .bind(warehouse)
            .bind(team_ids(teams))
            .bind(width.together)
            .bind(width.pieces);
        self.database
            .execute("remember a width", &statement)
            .await?;
        Ok(())
    }

    /// Remembers that what was tried after two weeks worked; `most` teams together are all.
    pub async fn widen(&self, warehouse: &str, team: TeamId, most: u32) -> Result<()> {
        const DOING: &str = "remember a width";
        let widen = Statement::new(sql!("widen")).bind(warehouse).bind(team.0);
        self.database.execute(DOING, &widen).await?;
        let all = Statement::new(text!(
            "delete from widths where warehouse = $1 and team_id = $2 and pieces = 1 and together >= $3"
        ))
        .bind(warehouse)
        .bind(team.0)
        .bind(most);
        self.database.execute(DOING, &all).await?;
        Ok(())
    }

    /// What is remembered of a team; `None` where all is filled at once.
    pub async fn width(&self, warehouse: &str, team: TeamId) -> Result<Option<Width>> {
        let statement = Statement::new(text!(
            "select together, pieces from widths where warehouse = $1 and team_id = $2"
        ))
        .bind(warehouse)
        .bind(team.0);
        let rows = self.database.rows("read a width", &statement).await?;
        rows.first()
            .map(|row| {
                Ok(Width {
                    together: row.get("together")?,
                    pieces: row.get("pieces")?,
                })
            })
            .transpose()
    }
}
