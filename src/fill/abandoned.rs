//! Rows that were written into the tables and that nobody recorded, of days that nobody fills any more: their worker died
//! or lost its claim, and then somebody turned the setting off, cancelled, or paused. They are deleted, so that readers
//! see no half of a fill, and nothing that nobody keeps right.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join;
use jiff::{SignedDuration, Timestamp};
use tracing::info;
use uuid::Uuid;

use super::delete_rows;
use super::hold::Hold;
use crate::calendar::{Bounds, TeamId};
use crate::error::Result;
use crate::ledger::{Abandoned, Ledger};
use crate::schema::Store;

/// Deletes them, but where somebody fills or deletes in their partition: then the next look does.
///
/// # Errors
///
/// When the ledger or the warehouse fails; the next look finds what is left.
pub async fn undo_abandoned(
    ledger: &Ledger,
    store: &Store,
    lease: std::time::Duration,
) -> Result<()> {
    let found = ledger.abandoned(&store.name).await?;
    let partitions: BTreeSet<i64> = found.iter().map(|slice| slice.partition).collect();
    for partition in partitions {
        let hold = Hold {
            ledger,
            warehouse: &store.name,
            partition,
            owner: Uuid::new_v4().to_string(),
            lease,
        };
        if !hold.take().await? {
            continue;
        }
        let delete = async {
            // Somebody may have filled them since; from here on nobody does.
            let mut slices = ledger.abandoned(&store.name).await?;
            slices.retain(|slice| slice.partition == partition);
            delete(store, &slices, &format!("prefill:undo:{}", hold.owner)).await?;
            if hold.is_kept().await? && !slices.is_empty() {
                let days = slices.iter();
                let days = days.map(|slice| (slice.team_id, slice.day, slice.fence));
                ledger.undone(days).await?;
                info!(
                    days = slices.len(),
                    warehouse = store.name,
                    "deleted what was written of {} days and not recorded: nobody fills them now",
                    slices.len()
                );
            }
            Ok(())
        };
        hold.during(delete).await?;
    }
    Ok(())
}

/// What was written of a day lies where it begins, and nothing else of it is touched: where only some days of a team were
/// moved to another zone, rows of others lie within it.
async fn delete(store: &Store, slices: &[Abandoned], comment: &str) -> Result<()> {
    let mut teams_at: BTreeMap<Timestamp, Vec<TeamId>> = BTreeMap::new();
    for slice in slices {
        for bucket in [slice.bucket, slice.left_bucket].into_iter().flatten() {
            teams_at.entry(bucket).or_default().push(slice.team_id);
        }
    }
    for (from, teams) in teams_at {
        let until = from + SignedDuration::from_secs(1);
        let bounds = Bounds { from, until };
        let delete = |table| delete_rows(&store.warehouse, table, &teams, bounds, comment);
        try_join(delete(&store.tables.stats), delete(&store.tables.bounces)).await?;
    }
    Ok(())
}
