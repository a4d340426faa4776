//! Deletions of rows, which ClickHouse does in the background: each is waited for, or taken back.

use std::fmt::Display;
use std::time::Duration;

use clickhouse::Row;
use futures_util::future::try_join_all;
use serde::Deserialize;
use tracing::warn;

use super::{Number, unsigned};
use crate::calendar::{Bounds, TeamId};
use crate::error::{Class, Error, Result};
use crate::rollup::sql;
use crate::warehouse::name::{Name, with_names};
use crate::warehouse::{Statement, Warehouse, codes};

/// So many partitions have rows deleted at the same time.
const AT_ONCE: usize = 8;

/// How often a deletion under way is looked at; two looks without a step decide.
const LOOK_AT_DELETIONS: Duration = Duration::from_secs(2);

/// What a table's deletions wait for.
#[derive(Row, Deserialize)]
struct Mutations {
    parts: i64,
    reason: String,
    is_full: u8,
}

/// Deletes the rows of teams whose bucket is within `bounds`, which may span many days.
///
/// # Errors
///
/// As the warehouse's errors are classed.
pub async fn delete_rows(
    warehouse: &Warehouse,
    table: &Name,
    teams: &[TeamId],
    bounds: Bounds,
    comment: &str,
) -> Result<()> {
    let names: [(&str, &(dyn Display + Sync)); 1] = [("table", table)];
    let partitions: Vec<Number> = warehouse
        .statement(&with_names(sql::PARTITIONS, &names), comment)
        .param("teams", unsigned(teams))
        .param("from_s", bounds.from.as_second())
        .param("until_s", bounds.until.as_second())
        .rows("look for the rows to delete")
        .await?;
    // Each for itself: a deletion that names no partition is written down in all of them. At the same time: each
    // waits much longer for its turn in the background than it takes.
    let texts: Vec<String> = partitions
        .iter()
        .map(|partition| {
            let names: [(&str, &(dyn Display + Sync)); 2] =
                [("table", table), ("partition", &partition.value)];
            with_names(sql::DELETE_WITHIN, &names)
        })
        .collect();
    for texts in texts.chunks(AT_ONCE) {
        let mut deletions = Vec::new();
        for text in texts {
            let statement = warehouse
                .statement(text, comment)
                .param("teams", unsigned(teams))
                .param("from_s", bounds.from.as_second())
                .param("until_s", bounds.until.as_second());
            deletions.push(delete(warehouse, table, statement, "delete rows"));
        }
        try_join_all(deletions).await?;
    }
    Ok(())
}

/// Runs a deletion to its end. ClickHouse does it in the background and tries again without an end and
/// without a word, so somebody has to look whether it can be done at all.
pub(super) async fn delete(
    warehouse: &Warehouse,
    table: &Name,
    statement: Statement<'_>,
    doing: &str,
) -> Result<()> {
    tokio::select! {
        deleted = statement.run(doing) => deleted,
        stuck = gets_stuck(warehouse, table, doing) => {
            let (database, name) = table.parts();
            warehouse
                .statement(sql::KILL_MUTATIONS, "prefill:kill")
                .param("database", database)
                .param("table", name)
                .run("take back a deletion that cannot be done")
                .await?;
            Err(stuck)
        }
    }
}

/// Ends when a table's deletion cannot be done, with the reason.
async fn gets_stuck(warehouse: &Warehouse, table: &Name, doing: &str) -> Error {
    let (database, name) = table.parts();
    let mut before: Option<Mutations> = None;
    loop {
        tokio::time::sleep(LOOK_AT_DELETIONS).await;
        let looked = warehouse
            .statement(sql::MUTATIONS, "prefill:look")
            .param("database", database)
            .param("table", name)
            .rows::<Mutations>("look at a deletion")
            .await;
        let now = match looked {
            Ok(rows) => rows.into_iter().next(),
            // What cannot be looked at may still be done.
            Err(error) => {
                warn!(error = error.chain(), "cannot see how far a deletion is");
                None
            }
        };
        if let (Some(before), Some(now)) = (&before, &now)
            && now.parts > 0
            && now.parts == before.parts
        {
            let failed = format!("failed to {doing}");
            if now.is_full == 1 && before.is_full == 1 {
                return Error::operator(failed)
                    .caused_by("the warehouse has not enough space on its disk")
                    .hint("free some space on the warehouse's disks");
            }
            if !now.reason.is_empty() && !before.reason.is_empty() {
                let class = codes::code_in(&now.reason).map_or(Class::Later, codes::class);
                return Error::new(class, failed).caused_by(now.reason.clone());
            }
        }
        before = now;
    }
}
