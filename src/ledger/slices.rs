//! Slices: wanted, claimed under a fence, and what became of them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{Executor, Sqlite};
use uuid::Uuid;

use super::{Ledger, column, failed, parsed};
use crate::calendar::{Bounds, Day, Days, TeamId, Zone};
use crate::error::{Class, Error, Result};

/// How far a slice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Wanted,
    Running,
    Filled,
    /// Filled, and no longer what the raw events say.
    Stale,
    Failed,
    /// Its rows were deleted on request.
    Cleaned,
}

impl FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "wanted" => Self::Wanted,
            "running" => Self::Running,
            "filled" => Self::Filled,
            "stale" => Self::Stale,
            "failed" => Self::Failed,
            "cleaned" => Self::Cleaned,
            other => return Err(format!("{other:?} is no state of a slice")),
        })
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Wanted => "wanted",
            Self::Running => "running",
            Self::Filled => "filled",
            Self::Stale => "stale",
            Self::Failed => "failed",
            Self::Cleaned => "cleaned",
        })
    }
}

/// Why a slice is wanted or stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The setting is on and the day is in the team's window.
    Window,
    /// Somebody asked for it.
    Request,
    /// Somebody asked for it again, filled or not.
    Forced,
    /// Events of the day reached the warehouse after it was filled.
    LateEvents,
    /// The tables do not hold what was verified any more: somebody changed them.
    RowsChanged,
    /// The team moved to another time zone.
    ZoneChanged,
    /// The team moved to another warehouse.
    WarehouseChanged,
}

impl Reason {
    /// As the ledger and people have it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::Request => "request",
            Self::Forced => "forced",
            Self::LateEvents => "late events",
            Self::RowsChanged => "rows changed",
            Self::ZoneChanged => "time zone changed",
            Self::WarehouseChanged => "warehouse changed",
        }
    }
}

/// The partition of both rollups that the bucket at `bucket` falls in: its UTC date as yyyymmdd.
pub fn partition_of(bucket: Timestamp) -> i64 {
    let date = bucket.to_zoned(jiff::tz::TimeZone::UTC).date();
    i64::from(date.year()) * 10_000 + i64::from(date.month()) * 100 + i64::from(date.day())
}

/// What a fill wrote and read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// Events that had reached the warehouse by then are in it; microseconds since 1970.
    pub as_of_us: i64,
    pub stats_rows: i64,
    pub bounces_rows: i64,
    pub events: i64,
    pub sessions: i64,
    pub page_views: i64,
    pub persons: i64,
    pub bounces: i64,
    pub duration_seconds: i64,
    /// Of the identifiers of all events of the slice.
    pub checksum: i64,
    pub elapsed_ms: i64,
}

/// A slice, as the ledger has it.
#[derive(Clone, Debug, Serialize)]
pub struct Slice {
    pub team_id: TeamId,
    pub day: Day,
    pub state: State,
    pub reason: String,
    pub timezone: String,
    pub warehouse: String,
    #[serde(skip)]
    pub bucket: Timestamp,
    #[serde(skip)]
    pub until: Timestamp,
    /// No events yet, and the source is not known to be complete.
    pub waiting_for_events: bool,
    pub attempts: i64,
    pub not_before: Timestamp,
    pub filled_at: Option<Timestamp>,
    /// Its rows, where there are any, are of another day: that of the zone that the team has left.
    #[serde(skip)]
    pub is_of_left_zone: bool,
    pub receipt: Option<Receipt>,
    pub error: Option<String>,
}

impl Slice {
    /// Whether the tables hold the day, fresh or not; not where they hold what was this day in the
    /// zone that the team has left.
    pub fn has_data(&self) -> bool {
        self.filled_at.is_some() && !self.is_of_left_zone
    }
}

/// A slice under a claim.
#[derive(Clone, Debug)]
pub struct Claimed {
    pub team_id: TeamId,
    pub day: Day,
    pub timezone: String,
    pub bounds: Bounds,
    pub partition: i64,
    pub fence: i64,
    /// This try included.
    pub attempts: i64,
    pub pieces: i64,
    pub reason: String,
    /// Where its rows were in the zone that the team has left.
    pub left_bucket: Option<Timestamp>,
}

/// The right to fill some slices of the same instants, until the lease is over.
#[derive(Clone, Debug)]
pub struct Claim {
    pub id: Uuid,
    pub slices: Vec<Claimed>,
}

impl Claim {
    /// The handle by which the claim's statements are found on the warehouse, and killed.
    pub fn comment(&self) -> String {
        comment(&self.id.to_string())
    }
}

/// A claim as others see it.
#[derive(Clone, Debug)]
pub struct Holder {
    pub claim: String,
    /// The handle of its statements, see [`Claim::comment`].
    pub comment: String,
    /// The name of its worker, as [`Ledger::claim`] was given it.
    pub owner: String,
    pub lease_is_over: bool,
}

/// See [`Claim::comment`].
fn comment(id: &str) -> String {
    format!("prefill:{id}")
}

/// How a try that did not fill a slice ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub wait: Duration,
    pub error: Option<String>,
    pub failed: bool,
    /// Whether the try counts against the slice.
    pub counts: bool,
    pub pieces: i64,
    pub waiting_for_events: bool,
}

/// A slice that is wanted. One that is there is left as it is, unless it is to be done `again`, or
/// `revive` takes up what failed, was cleaned, or waits for its next try.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub team: TeamId,
    pub day: Day,
    pub zone: &'a Zone,
    /// The name of the warehouse that the team's tables are on.
    pub warehouse: &'a str,
    pub reason: Reason,
    pub again: bool,
    pub revive: bool,
}

/// Everything about a slice that arithmetic gives.
fn instants(day: Day, zone: &Zone) -> Option<(Bounds, i64)> {
    let bounds = zone.bounds(day)?;
    Some((bounds, partition_of(bounds.from)))
}

impl Ledger {
    /// Wants a slice. False for a day that the zone does not have.
    pub(super) async fn want<'e>(
        executor: impl Executor<'e, Database = Sqlite>,
        wanted: &Wanted<'_>,
    ) -> Result<bool> {
        let Some((bounds, partition)) = instants(wanted.day, wanted.zone) else {
            return Ok(false);
        };
        sqlx::query(include_str!("sql/want.sql"))
            .bind(wanted.team.0)
            .bind(wanted.day.to_string())
            .bind(wanted.zone.name())
            .bind(bounds.from.as_second())
            .bind(bounds.until.as_second())
            .bind(partition)
            .bind(wanted.reason.text())
            .bind(wanted.again)
            .bind(wanted.revive)
            .bind(wanted.warehouse)
            .execute(executor)
            .await
            .map_err(|error| failed("want a slice", error))?;
        Ok(true)
    }

    /// Writes what a plan found: slices to want or to do again, and slices to want no more.
    pub async fn apply(&self, wanted: &[Wanted<'_>], released: &[(TeamId, Day)]) -> Result<()> {
        if wanted.is_empty() && released.is_empty() {
            return Ok(());
        }
        let mut transaction = self
            .writer
            .begin()
            .await
            .map_err(|error| failed("write the plan", error))?;
        for slice in wanted {
            Self::want(&mut *transaction, slice).await?;
        }
        for (team, day) in released {
            sqlx::query(include_str!("sql/release.sql"))
                .bind(team.0)
                .bind(day.to_string())
                .execute(&mut *transaction)
                .await
                .map_err(|error| failed("release a slice", error))?;
        }
        transaction
            .commit()
            .await
            .map_err(|error| failed("write the plan", error))
    }

    /// Claims the newest open slice of a warehouse and those that can be filled with it; `None` when
    /// nothing is open, or what is open has to wait.
    pub async fn claim(
        &self,
        owner: &str,
        lease: Duration,
        most: u32,
        warehouse: &str,
        run: Option<Uuid>,
    ) -> Result<Option<Claim>> {
        let id = Uuid::new_v4();
        let rows = sqlx::query(include_str!("sql/claim.sql"))
            .bind(id.to_string())
            .bind(owner)
            .bind(milliseconds(lease))
            .bind(most)
            .bind(run.map(|run| run.to_string()))
            .bind(warehouse)
            .fetch_all(&self.writer)
            .await
            .map_err(|error| failed("claim a slice", error))?;
        if rows.is_empty() {
            return Ok(None);
        }
        let slices = rows.iter().map(claimed).collect::<Result<Vec<_>>>()?;
        Ok(Some(Claim { id, slices }))
    }

    /// Gives a sign of life.
    ///
    /// # Errors
    ///
    /// [`Class::Lost`] when the claim is lost or is to stop.
    pub async fn renew(&self, claim: &Claim, lease: Duration) -> Result<()> {
        let renewed = sqlx::query(include_str!("sql/renew.sql"))
            .bind(claim.id.to_string())
            .bind(milliseconds(lease))
            .execute(&self.writer)
            .await
            .map_err(|error| failed("renew a claim", error))?;
        // A batch stops as a whole when one of its slices is to stop; the others are done again.
        let open = self.open_slices(claim).await?;
        if renewed.rows_affected() < open.max(1) {
            return Err(Error::new(Class::Lost, "the claim was lost or cancelled"));
        }
        Ok(())
    }

    /// Takes time to undo what a claim did, also when it was told to stop; false when it is lost.
    pub async fn hold_on(&self, claim: &Claim, lease: Duration) -> Result<bool> {
        let held = sqlx::query(include_str!("sql/hold_on.sql"))
            .bind(claim.id.to_string())
            .bind(milliseconds(lease))
            .execute(&self.writer)
            .await
            .map_err(|error| failed("hold on to a claim", error))?;
        Ok(usize::try_from(held.rows_affected()).is_ok_and(|held| held == claim.slices.len()))
    }

    /// Every claim that holds a slice, its lease over or not.
    pub async fn running_claims(&self) -> Result<Vec<Uuid>> {
        let rows = sqlx::query("select distinct claim from slices where state = 'running'")
            .fetch_all(&self.reader)
            .await
            .map_err(|error| failed("list the claims", error))?;
        rows.iter()
            .map(|row| {
                column::<String>(row, "claim")?
                    .parse()
                    .map_err(|error: uuid::Error| {
                        Error::new(Class::Never, "the ledger's id of a claim is no UUID")
                            .caused_by(error)
                    })
            })
            .collect()
    }

    async fn open_slices(&self, claim: &Claim) -> Result<u64> {
        let row = sqlx::query("select count(*) as open from slices where claim = $1")
            .bind(claim.id.to_string())
            .fetch_one(&self.writer)
            .await
            .map_err(|error| failed("read a claim", error))?;
        let open: i64 = column(&row, "open")?;
        Ok(u64::try_from(open).unwrap_or(0))
    }

    /// Records a fill.
    ///
    /// # Errors
    ///
    /// [`Class::Lost`] when the claim is no longer the slice's.
    pub async fn record(&self, claim: &Claim, slice: &Claimed, receipt: &Receipt) -> Result<()> {
        let recorded = sqlx::query(include_str!("sql/record.sql"))
            .bind(claim.id.to_string())
            .bind(slice.team_id.0)
            .bind(slice.day.to_string())
            .bind(slice.fence)
            .bind(receipt.as_of_us)
            .bind(receipt.stats_rows)
            .bind(receipt.bounces_rows)
            .bind(receipt.events)
            .bind(receipt.sessions)
            .bind(receipt.page_views)
            .bind(receipt.persons)
            .bind(receipt.bounces)
            .bind(receipt.duration_seconds)
            .bind(receipt.checksum)
            .bind(receipt.elapsed_ms)
            .execute(&self.writer)
            .await
            .map_err(|error| failed("record a fill", error))?;
        if recorded.rows_affected() == 0 {
            return Err(Error::new(Class::Lost, "the claim was lost or cancelled"));
        }
        Ok(())
    }

    /// Ends a try that did not fill the slice. A claim that is lost has nothing to give back.
    pub async fn give_back(&self, claim: &Claim, slice: &Claimed, outcome: &Outcome) -> Result<()> {
        sqlx::query(include_str!("sql/give_back.sql"))
            .bind(claim.id.to_string())
            .bind(slice.team_id.0)
            .bind(slice.day.to_string())
            .bind(slice.fence)
            .bind(milliseconds(outcome.wait))
            .bind(&outcome.error)
            .bind(outcome.failed)
            .bind(outcome.counts)
            .bind(outcome.pieces)
            .bind(outcome.waiting_for_events)
            .execute(&self.writer)
            .await
            .map_err(|error| failed("give a slice back", error))?;
        Ok(())
    }

    /// The claims that hold slices of a warehouse, with who holds them.
    pub async fn holders(&self, warehouse: &str) -> Result<Vec<Holder>> {
        let rows = sqlx::query(include_str!("sql/holders.sql"))
            .bind(warehouse)
            .fetch_all(&self.reader)
            .await
            .map_err(|error| failed("look for expired claims", error))?;
        rows.iter()
            .map(|row| {
                let claim: String = column(row, "claim")?;
                Ok(Holder {
                    comment: comment(&claim),
                    claim,
                    owner: column(row, "owner")?,
                    lease_is_over: column(row, "over")?,
                })
            })
            .collect()
    }

    /// Puts the slices of an expired claim back, after its statements are gone; also before the
    /// lease is over where the worker is known to be `dead`. How many.
    pub async fn expire(&self, claim: &str, dead: bool) -> Result<u64> {
        let expired = sqlx::query(include_str!("sql/expire.sql"))
            .bind(claim)
            .bind(dead)
            .execute(&self.writer)
            .await
            .map_err(|error| failed("expire a claim", error))?;
        Ok(expired.rows_affected())
    }

    /// The day has changed since it was filled (at `filled_at`, where that is said); false when that
    /// was known, or it is not filled, or has been filled since.
    pub async fn touch(
        &self,
        team: TeamId,
        day: Day,
        reason: Reason,
        filled_at: Option<Timestamp>,
    ) -> Result<bool> {
        let touched = sqlx::query(include_str!("sql/touch.sql"))
            .bind(team.0)
            .bind(day.to_string())
            .bind(reason.text())
            .bind(filled_at.map(Timestamp::as_millisecond))
            .execute(&self.writer)
            .await
            .map_err(|error| failed("mark a slice stale", error))?;
        Ok(touched.rows_affected() > 0)
    }

    /// Keeps a team's slices from being claimed, stopping what runs, or lets them be claimed again.
    pub async fn keep(&self, team: TeamId, held: bool) -> Result<u64> {
        let kept = sqlx::query(include_str!("sql/keep.sql"))
            .bind(team.0)
            .bind(held)
            .execute(&self.writer)
            .await
            .map_err(|error| failed("hold a team's slices", error))?;
        Ok(kept.rows_affected())
    }

    /// Tells the workers of a team's range to stop; how many slices ran.
    pub async fn stop(&self, team: TeamId, days: Days) -> Result<u64> {
        self.on_range(include_str!("sql/stop.sql"), team, days)
            .await
    }

    /// Records that the rows of a range were deleted.
    pub async fn clean(&self, team: TeamId, days: Days) -> Result<u64> {
        self.on_range(include_str!("sql/clean.sql"), team, days)
            .await
    }

    async fn on_range(&self, sql: &'static str, team: TeamId, days: Days) -> Result<u64> {
        let done = sqlx::query(sql)
            .bind(team.0)
            .bind(days.from.to_string())
            .bind(days.until.to_string())
            .execute(&self.writer)
            .await
            .map_err(|error| failed("change a range of slices", error))?;
        Ok(done.rows_affected())
    }

    /// Keeps a partition free of claims until the lease is over; false when somebody else does.
    pub async fn hold(
        &self,
        warehouse: &str,
        partition: i64,
        owner: &str,
        lease: Duration,
    ) -> Result<bool> {
        let held = sqlx::query(include_str!("sql/hold.sql"))
            .bind(warehouse)
            .bind(partition)
            .bind(owner)
            .bind(milliseconds(lease))
            .execute(&self.writer)
            .await
            .map_err(|error| failed("hold a partition", error))?;
        Ok(held.rows_affected() > 0)
    }

    /// Lets go of everything that `owner` holds.
    pub async fn let_go(&self, owner: &str) -> Result<()> {
        sqlx::query("delete from holds where owner = $1")
            .bind(owner)
            .execute(&self.writer)
            .await
            .map_err(|error| failed("let go of a partition", error))?;
        Ok(())
    }

    /// Whether a slice of this partition is being filled.
    pub async fn runs_in(&self, warehouse: &str, partition: i64) -> Result<bool> {
        let row = sqlx::query("select exists (select 1 from slices where state = 'running' and warehouse = $1 and partition = $2) as busy")
            .bind(warehouse)
            .bind(partition)
            .fetch_one(&self.writer)
            .await
            .map_err(|error| failed("read a partition's slices", error))?;
        column(&row, "busy")
    }

    /// A team's slices by day.
    pub async fn slices(&self, team: TeamId) -> Result<BTreeMap<Day, Slice>> {
        let rows = sqlx::query("select * from slices where team_id = $1 order by day")
            .bind(team.0)
            .fetch_all(&self.reader)
            .await
            .map_err(|error| failed("read a team's slices", error))?;
        rows.iter()
            .map(|row| slice(row).map(|slice| (slice.day, slice)))
            .collect()
    }

    /// When a slice of a team was first under its latest claim, of the earliest such claim.
    pub async fn first_claim(&self, team: TeamId) -> Result<Option<Timestamp>> {
        let row = sqlx::query("select min(claimed_at) as at from slices where team_id = $1")
            .bind(team.0)
            .fetch_one(&self.reader)
            .await
            .map_err(|error| failed("read a team's claims", error))?;
        let at: Option<i64> = column(&row, "at")?;
        Ok(at.and_then(|at| Timestamp::from_millisecond(at).ok()))
    }

    /// When the next open slice of a warehouse can be claimed; `None` when there is none.
    pub async fn next_open(&self, warehouse: &str) -> Result<Option<Duration>> {
        let row = sqlx::query("select min(max(not_before - cast(unixepoch('subsec') * 1000 as integer), 0)) as wait from slices where state in ('wanted', 'stale') and held = 0 and warehouse = $1")
            .bind(warehouse)
            .fetch_one(&self.reader)
            .await
            .map_err(|error| failed("read the queue", error))?;
        let wait: Option<i64> = column(&row, "wait")?;
        Ok(wait.map(|wait| Duration::from_millis(u64::try_from(wait).unwrap_or(0))))
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn instant_s(row: &SqliteRow, name: &str) -> Result<Timestamp> {
    Timestamp::from_second(column(row, name)?).map_err(|error| {
        Error::new(Class::Never, format!("the ledger's {name} is out of range")).caused_by(error)
    })
}

fn claimed(row: &SqliteRow) -> Result<Claimed> {
    Ok(Claimed {
        team_id: TeamId(column(row, "team_id")?),
        day: parsed(row, "day")?,
        timezone: column(row, "timezone")?,
        bounds: Bounds {
            from: instant_s(row, "bucket_s")?,
            until: instant_s(row, "until_s")?,
        },
        partition: column(row, "partition")?,
        fence: column(row, "fence")?,
        attempts: column(row, "attempts")?,
        pieces: column(row, "pieces")?,
        reason: column(row, "reason")?,
        left_bucket: column::<Option<i64>>(row, "left_bucket_s")?
            .and_then(|at| Timestamp::from_second(at).ok()),
    })
}

fn slice(row: &SqliteRow) -> Result<Slice> {
    let filled_at: Option<i64> = column(row, "filled_at")?;
    let receipt = match column::<Option<i64>>(row, "as_of_us")? {
        None => None,
        Some(as_of_us) => Some(Receipt {
            as_of_us,
            stats_rows: column(row, "stats_rows")?,
            bounces_rows: column(row, "bounces_rows")?,
            events: column(row, "events")?,
            sessions: column(row, "sessions")?,
            page_views: column(row, "page_views")?,
            persons: column(row, "persons")?,
            bounces: column(row, "bounces")?,
            duration_seconds: column(row, "duration_seconds")?,
            checksum: column(row, "checksum")?,
            elapsed_ms: column(row, "elapsed_ms")?,
        }),
    };
    Ok(Slice {
        team_id: TeamId(column(row, "team_id")?),
        day: parsed(row, "day")?,
        state: parsed(row, "state")?,
        reason: column(row, "reason")?,
        timezone: column(row, "timezone")?,
        warehouse: column(row, "warehouse")?,
        bucket: instant_s(row, "bucket_s")?,
        until: instant_s(row, "until_s")?,
        waiting_for_events: column(row, "waiting")?,
        attempts: column(row, "attempts")?,
        not_before: Timestamp::from_millisecond(column(row, "not_before")?).unwrap_or_default(),
        filled_at: filled_at.and_then(|at| Timestamp::from_millisecond(at).ok()),
        is_of_left_zone: column::<Option<i64>>(row, "left_bucket_s")?.is_some(),
        receipt,
        error: column(row, "error")?,
    })
}
