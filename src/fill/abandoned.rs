//! Rows that were written into the tables and that nobody recorded, of days that nobody fills any more: their worker died
//! or lost its claim, and then somebody turned the setting off, cancelled, or paused. They are deleted, so that readers
//! see no half of a fill, and nothing that nobody keeps right.

use futures_util::future::try_join;
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
    let all = ledger.abandoned(&store.name).await?;
    for slices in all.chunk_by(|a, b| (a.partition, a.bounds) == (b.partition, b.bounds)) {
        let [first, ..] = slices else { continue };
        let hold = Hold {
            ledger,
            warehouse: &store.name,
            partition: first.partition,
            owner: Uuid::new_v4().to_string(),
            lease,
        };
        if !hold.take().await? {
            continue;
        }
        let delete = async {
            delete(store, slices, &format!("prefill:undo:{}", hold.owner)).await?;
            if hold.is_kept().await? {
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

/// Of days that begin and end together.
async fn delete(store: &Store, slices: &[Abandoned], comment: &str) -> Result<()> {
    let within = async |teams: &[TeamId], bounds| {
        let delete = |table| delete_rows(&store.warehouse, table, teams, bounds, comment);
        try_join(delete(&store.tables.stats), delete(&store.tables.bounces)).await
    };
    let teams: Vec<TeamId> = slices.iter().map(|slice| slice.team_id).collect();
    if let [first, ..] = slices {
        within(&teams, first.bounds).await?;
    }
    for slice in slices {
        if let Some(from) = slice.left_bucket {
            let until = from + jiff::SignedDuration::from_secs(1);
            within(&[slice.team_id], Bounds { from, until }).await?;
        }
    }
    Ok(())
}
