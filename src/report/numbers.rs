//! The numbers that a dashboard shows of a team, day by day, from the tables themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use crate::calendar::{Day, Days, Zone};
use crate::error::{Class, Error, Result};
use crate::ledger::Team;
use crate::rollup::sql;
use crate::service::Prefill;

/// How long the tables have to say something; numbers_by_day.sql has the same limit.
const WITHIN: Duration = Duration::from_secs(3);

/// What the tables say of a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DayNumbers {
    pub visitors: u64,
    pub page_views: i64,
    pub sessions: i64,
    pub bounces: i64,
}

impl DayNumbers {
    /// The share of the sessions that bounced, from 0 to 100; nothing where there were none.
    pub fn bounce_rate(&self) -> Option<f64> {
        (self.sessions > 0).then(|| self.bounces as f64 * 100.0 / self.sessions as f64)
    }
}

#[derive(Row, Deserialize)]
struct OfDay {
    begin_s: i64,
    visitors: u64,
    page_views: i64,
    sessions: i64,
    bounces: i64,
}

impl Prefill {
    /// The numbers of a team's days, of those that the tables have; within a few seconds.
    ///
    /// # Errors
    ///
    /// When the warehouse fails, or does not answer in time.
    pub async fn numbers(
        &self,
        team: &Team,
        zone: &Zone,
        days: Days,
    ) -> Result<BTreeMap<Day, DayNumbers>> {
        let mut begins: BTreeMap<i64, Day> = BTreeMap::new();
        let mut until_s = 0;
        for day in days.newest_first() {
            if let Some(bounds) = zone.bounds(day) {
                begins.insert(bounds.from.as_second(), day);
                until_s = until_s.max(bounds.until.as_second());
            }
        }
        let Some((from_s, _)) = begins.first_key_value() else {
            return Ok(BTreeMap::new());
        };
        let asked = async {
            let store = self.store_of(team).await?;
            store
                .warehouse
                .statement(
                    &store.tables.render(sql::NUMBERS_BY_DAY, &[]),
                    "prefill:numbers",
                )
                .param("team", team.id.0)
                .param("from_s", *from_s)
                .param("until_s", until_s)
                .param("begins", begins.keys().copied().collect::<Vec<_>>())
                .rows::<OfDay>("read the numbers of a team")
                .await
        };
        let rows = tokio::time::timeout(WITHIN, asked).await;
        let rows = rows.unwrap_or_else(|_| {
            Err(Error::new(
                Class::Unreachable,
                format!("the warehouse did not answer within {} s", WITHIN.as_secs()),
            ))
        })?;
        let mut numbers = BTreeMap::new();
        for row in rows {
            if let Some(day) = begins.get(&row.begin_s) {
                let of_day = DayNumbers {
                    visitors: row.visitors,
                    page_views: row.page_views,
                    sessions: row.sessions,
                    bounces: row.bounces,
                };
                numbers.insert(*day, of_day);
            }
        }
        Ok(numbers)
    }
}
