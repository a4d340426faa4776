//! Partitions of the rollups that are changed in a copy, which then takes their place in one step: readers see the old
//! rows or the new, and no other part of the table is touched.

use std::sync::atomic::Ordering;

use clickhouse::Row;
use serde::Deserialize;

use super::deletion::{in_each, still_there};
use super::hold::Hold;
use super::{Batch, Fill, Number, RESTARTS, Scratch};
use crate::error::Result;
use crate::rollup::sql;
use crate::warehouse::name::{Name, with_names};

#[derive(Row, Deserialize, PartialEq, Eq)]
struct Version {
    first_block: i64,
    last_block: i64,
    mutation: i64,
}

/// A partition of a rollup, and the copy that is to take its place.
pub(super) struct Copied<'a> {
    table: &'a Name,
    copy: &'a Name,
    partition: i64,
    /// The partition's, when it was copied.
    version: Version,
}

impl Fill<'_> {
    /// Both rollups, each with where its partitions are copied to.
    pub(super) fn with_copies<'a>(&'a self, scratch: &'a Scratch) -> [(&'a Name, &'a Name); 2] {
        [
            (&self.tables.stats, &scratch.stats),
            (&self.tables.bounces, &scratch.bounces),
        ]
    }

    /// Copies a partition of a rollup, without the rows of the batch.
    pub(super) async fn copy_without_rows<'a>(
        &self,
        batch: &Batch,
        scratch: &Scratch,
        table: &'a Name,
        copy: &'a Name,
        partition: i64,
    ) -> Result<Copied<'a>> {
        let version = self.version(batch, table, partition).await?;
        let create = || self.create_copy(batch);
        let create = scratch.create_copy.get_or_try_init(create).await?;
        scratch.has_copies.store(true, Ordering::SeqCst);
        for statement in [
            "drop table if exists {copy} sync",
            create,
            "alter table {copy} attach partition {partition} from {table}",
        ] {
            let text = with_names(
                statement,
                &[("copy", copy), ("table", table), ("partition", &partition)],
            );
            self.warehouse
                .statement(&text, &batch.comment)
                .run("copy the partition")
                .await?;
        }
        self.delete(sql::DELETE_ROWS, batch, copy).await?;
        Ok(Copied {
            table,
            copy,
            partition,
            version,
        })
    }

    /// Whether nobody has written to a partition since it was copied.
    pub(super) async fn is_as_copied(&self, batch: &Batch, copied: &Copied<'_>) -> Result<bool> {
        let version = self.version(batch, copied.table, copied.partition).await?;
        Ok(version == copied.version)
    }

    /// Puts a copy in the place of its partition.
    pub(super) async fn publish(&self, batch: &Batch, copied: &Copied<'_>) -> Result<()> {
        self.alive().await?;
        // ClickHouse refuses to put a partition without a row in the place of another.
        let count = with_names(
            "select toInt64(count()) as value from {copy}",
            &[("copy", copied.copy)],
        );
        let rows = self
            .warehouse
            .statement(&count, &batch.comment)
            .row::<Number>("count the new partition's rows")
            .await?;
        let publish = if rows.value > 0 {
            "alter table {table} replace partition {partition} from {copy}"
        } else {
            "alter table {table} drop partition {partition}"
        };
        let text = with_names(
            publish,
            &[
                ("copy", copied.copy),
                ("table", copied.table),
                ("partition", &copied.partition),
            ],
        );
        self.warehouse
            .statement(&text, &batch.comment)
            .run("put the new partition in the old one's place")
            .await
    }

    /// How a table is made like another. The other may have columns of somebody else's, outside of
    /// its key: newer ClickHouse made those with `alter table`, and refuses a new table with them
    /// unless told otherwise. Older ones do not know the word.
    async fn create_copy(&self, batch: &Batch) -> Result<&'static str> {
        let knows = self
            .warehouse
            .statement(
                "select toInt64(count()) as value from system.merge_tree_settings where name = 'allow_dimensions_outside_sorting_key'",
                &batch.comment,
            )
            .row::<Number>("ask for a setting of tables")
            .await?;
        Ok(if knows.value > 0 {
            "create table {copy} as {table} settings allow_dimensions_outside_sorting_key = 1"
        } else {
            "create table {copy} as {table}"
        })
    }

    async fn version(&self, batch: &Batch, table: &Name, partition: i64) -> Result<Version> {
        let (database, name) = table.parts();
        self.warehouse
            .statement(sql::VERSION, &batch.comment)
            .param("database", database)
            .param("table", name)
            .param("partition", partition.to_string())
            .row("look at the partition")
            .await
    }

    /// Deletes what the batch's days have in other partitions than their own.
    pub(super) async fn delete_elsewhere(&self, batch: &Batch, scratch: &Scratch) -> Result<()> {
        for _ in 0..RESTARTS {
            for (table, copy) in self.with_copies(scratch) {
                let text = with_names(sql::PARTITIONS_ELSEWHERE, &[("table", table)]);
                let statement = self.of_rows(&text, batch);
                let partitions = statement.rows("look for rows of another zone").await?;
                for partition in partitions {
                    self.delete_from(batch, scratch, table, copy, partition)
                        .await?;
                }
            }
            if self.existing(batch).await?.elsewhere == 0 {
                return Ok(());
            }
        }
        Err(still_there(&self.tables.stats))
    }

    /// Deletes the batch's rows from another partition than its own: in a copy of it, unless somebody else may write
    /// to it. A deletion in the table itself is in nobody's way, and makes every part of the table anew.
    async fn delete_from(
        &self,
        batch: &Batch,
        scratch: &Scratch,
        table: &Name,
        copy: &Name,
        partition: Number,
    ) -> Result<()> {
        let hold = Hold {
            ledger: self.ledger,
            warehouse: self.warehouse_name,
            partition: partition.value,
            owner: self.claim.id.to_string(),
            lease: self.lease,
        };
        if !hold.take().await? {
            let text = in_each(table, &[partition], |partition| {
                with_names(sql::DELETE_ELSEWHERE, &[("elsewhere", &partition)])
            });
            return self.delete(&text, batch, table).await;
        }
        let in_copy = async {
            let copied = self
                .copy_without_rows(batch, scratch, table, copy, hold.partition)
                .await?;
            // Otherwise the rows are found again.
            if self.is_as_copied(batch, &copied).await? && hold.is_kept().await? {
                self.publish(batch, &copied).await?;
            }
            Ok(())
        };
        hold.during(in_copy).await
    }
}
