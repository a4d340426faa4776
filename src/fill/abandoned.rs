//! Rows that were written into the tables and that nobody recorded, of days that nobody fills any more: their worker died
//! or lost its claim, and then somebody turned the setting off, cancelled, or paused. They are deleted, so that readers
//! see no half of a fill, and nothing that nobody keeps right.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

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
pub async fn undo_abandoned(ledger: &Ledger, store: &Store, lease: Duration) -> Result<()> {
    let found = ledger.abandoned(&store.name).await?;
    // One worker is enough, and the others have something to fill.
    if found.is_empty() || !ledger.may_undo(&store.name) {
        return Ok(());
    }
    let undone = in_each_partition(ledger, store, lease, &found).await;
    if undone.as_ref().is_ok_and(|all| *all) {
        ledger.has_undone(&store.name);
    }
    undone.map(drop)
}

/// Whether that was all of them. What goes wrong in one partition is no matter for the others.
async fn in_each_partition(
    ledger: &Ledger,
    store: &Store,
    lease: Duration,
    found: &[Abandoned],
) -> Result<bool> {
    let (mut all, mut failed) = (true, None);
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
            all = false;
            continue;
        }
        let delete = async {
            // Somebody may have filled them since; from here on nobody does.
            let mut slices = ledger.abandoned(&store.name).await?;
            slices.retain(|slice| slice.partition == partition);
            let is_kept = delete(store, &slices, &hold).await?;
            if is_kept && !slices.is_empty() {
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
        if let Err(error) = hold.during(delete).await {
            failed.get_or_insert(error);
        }
    }
    failed.map_or(Ok(all), Err)
}

/// What was written of a day lies where it begins, and nothing else of it is touched: where only some days of a team were
/// moved to another zone, rows of others lie within it. False where the hold was lost.
async fn delete(store: &Store, slices: &[Abandoned], hold: &Hold<'_>) -> Result<bool> {
    let comment = format!("prefill:undo:{}", hold.owner);
    let mut teams_at: BTreeMap<Timestamp, Vec<TeamId>> = BTreeMap::new();
    for slice in slices {
        for bucket in [slice.bucket, slice.left_bucket].into_iter().flatten() {
            teams_at.entry(bucket).or_default().push(slice.team_id);
        }
    }
    for (from, teams) in teams_at {
        // Who has slept meanwhile deletes nothing of what others wrote.
        if !hold.is_kept().await? {
            return Ok(false);
        }
        let until = from + SignedDuration::from_secs(1);
        let bounds = Bounds { from, until };
        let delete = |table| delete_rows(&store.warehouse, table, &teams, bounds, &comment);
        try_join(delete(&store.tables.stats), delete(&store.tables.bounces)).await?;
    }
    hold.is_kept().await
}
