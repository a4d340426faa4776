//! What fills take of each warehouse's time, where other processes can read it: those who ask for the
//! status are not those who fill.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Ledger;
use super::database::{Statement, sql, text};
use crate::error::Result;
use crate::governor::{MINUTE, Use};

/// What was noted of a warehouse last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotedUse {
    /// How long ago.
    pub ago: Duration,
    /// Whether others used the warehouse then.
    pub is_busy: bool,
    /// How long statements of fills were under way in the minute before.
    pub used: Duration,
    /// How long fills have waited for others since the ledger was made.
    pub waited: Duration,
    /// How long they have waited for memory since then.
    pub waited_for_memory: Duration,
}

impl NotedUse {
    /// What of the use may be of the minute before now: nothing was under way since it was noted, or it
    /// would have been noted again.
    pub fn used_of_last_minute(&self) -> Duration {
        self.used.min(MINUTE.saturating_sub(self.ago))
    }
}

impl Ledger {
    /// Notes what fills take of a warehouse.
    pub async fn note_use(&self, warehouse: &str, taken: &Use) -> Result<()> {
        let statement = Statement::new(sql!("note_use"))
            .bind(warehouse)
            .bind(taken.is_busy)
            .bind(milliseconds(taken.used))
            .bind(milliseconds(taken.waited))
            .bind(milliseconds(taken.waited_for_memory));
        self.database
            .execute("note what fills take of a warehouse", &statement)
            .await?;
        Ok(())
    }

    /// What was noted last, by warehouse.
    pub async fn noted_uses(&self) -> Result<BTreeMap<String, NotedUse>> {
        let statement = Statement::new(text!(
            "select warehouse, {now} - noted_at as ago_ms, busy, used_ms, waited_ms, waited_for_memory_ms from governors"
        ));
        let rows = self
            .database
            .rows("read what fills take of the warehouses", &statement)
            .await?;
        rows.iter()
            .map(|row| {
                let duration = |name| row.get(name).map(duration);
                Ok((
                    row.get("warehouse")?,
                    NotedUse {
                        ago: duration("ago_ms")?,
                        is_busy: row.get("busy")?,
                        used: duration("used_ms")?,
                        waited: duration("waited_ms")?,
                        waited_for_memory: duration("waited_for_memory_ms")?,
                    },
                ))
            })
            .collect()
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn duration(milliseconds: i64) -> Duration {
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
}
