//! Deletions of rows, which ClickHouse does in the background: each is waited for, or taken back.

use std::time::Duration;

use clickhouse::Row;
use serde::Deserialize;
use tracing::warn;

use super::{Number, unsigned};
use crate::calendar::{Bounds, TeamId};
use crate::error::{Class, Error, Result};
use crate::rollup::sql;
use crate::warehouse::name::{Name, with_names};
use crate::warehouse::{Statement, Warehouse, codes};

/// So many partitions have rows deleted by one statement: each makes every part of the table anew.
const TOGETHER: usize = 100;

/// How often rows are looked for and deleted until none are there. Of deletions of a table that begin at the same
/// instant ClickHouse may leave one out and say that it is done (ARCHITECTURE.md), and another worker's or
/// somebody else's may begin at any.
const TRIES: usize = 5;

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
/// As the warehouse's errors are classed, and [`Class::Later`] when there are rows after every try.
pub async fn delete_rows(
    warehouse: &Warehouse,
    table: &Name,
    teams: &[TeamId],
    bounds: Bounds,
    comment: &str,
) -> Result<()> {
    for tries in 0.. {
        let partitions = partitions(warehouse, table, teams, bounds, comment).await?;
        if partitions.is_empty() {
            break;
        }
        if tries == TRIES {
            return Err(still_there(table));
        }
        // Each is named: a deletion that names none is written down in all of them.
        for together in partitions.chunks(TOGETHER) {
            let text = in_each(table, together, |partition| {
                with_names(sql::DELETE_WITHIN, &[("partition", &partition)])
            });
            let statement = warehouse
                .statement(&text, comment)
                .param("teams", unsigned(teams))
                .param("from_s", bounds.from.as_second())
                .param("until_s", bounds.until.as_second());
            delete(warehouse, table, statement, comment, "delete rows").await?;
        }
    }
    Ok(())
}

/// One statement that deletes rows in each of some partitions.
pub(super) fn in_each(
    table: &Name,
    partitions: &[Number],
    delete: impl Fn(i64) -> String,
) -> String {
    let of_each = partitions.iter().map(|partition| delete(partition.value));
    let of_each: Vec<String> = of_each.collect();
    with_names(
        "alter table {table} {of_each} settings mutations_sync = 2",
        &[("table", table), ("of_each", &of_each.join(", "))],
    )
}

async fn partitions(
    warehouse: &Warehouse,
    table: &Name,
    teams: &[TeamId],
    bounds: Bounds,
    comment: &str,
) -> Result<Vec<Number>> {
    warehouse
        .statement(&with_names(sql::PARTITIONS, &[("table", table)]), comment)
        .param("teams", unsigned(teams))
        .param("from_s", bounds.from.as_second())
        .param("until_s", bounds.until.as_second())
        .rows("look for the rows to delete")
        .await
}

pub(super) fn still_there(table: &Name) -> Error {
    Error::new(
        Class::Later,
        format!("rows of {table} that are deleted are there again"),
    )
    .hint("see in system.mutations and system.processes what else writes to that table")
}

/// Runs a deletion to its end. ClickHouse does it in the background and tries again without an end and
/// without a word, so somebody has to look whether it can be done at all. Its text has `{mark:String}`, by which
/// it alone is taken back.
pub(super) async fn delete(
    warehouse: &Warehouse,
    table: &Name,
    statement: Statement<'_>,
    mark: &str,
    doing: &str,
) -> Result<()> {
    tokio::select! {
        deleted = statement.param("mark", mark).run(doing) => deleted,
        stuck = gets_stuck(warehouse, table, mark, doing) => {
            let (database, name) = table.parts();
            warehouse
                .statement(sql::KILL_MUTATIONS, "prefill:kill")
                .param("database", database)
                .param("table", name)
                .param("mark", mark)
                .run("take back a deletion that cannot be done")
                .await?;
            Err(stuck)
        }
    }
}

/// Ends when a table's deletion cannot be done, with the reason.
async fn gets_stuck(warehouse: &Warehouse, table: &Name, mark: &str, doing: &str) -> Error {
    let (database, name) = table.parts();
    let mut before: Option<Mutations> = None;
    loop {
        tokio::time::sleep(LOOK_AT_DELETIONS).await;
        let looked = warehouse
            .statement(sql::MUTATIONS, "prefill:look")
            .param("database", database)
            .param("table", name)
            .param("mark", mark)
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
