//! Claims: the right to fill some slices, under a fence, and what became of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;
use tracing::warn;
use uuid::Uuid;

use super::Ledger;
use super::database::{Row, Statement, Transacting, Tries, json, sql, text};
use super::slices::{Receipt, instant_s, milliseconds};
use crate::calendar::{Bounds, Day, TeamId};
use crate::error::{Class, Error, Result};
use crate::telemetry;

/// Why [`Ledger::renew`] fails where somebody stopped the claim, or another worker has it: nothing went wrong.
#[derive(Debug)]
pub struct NotKept;

impl NotKept {
    /// Whether that is the cause of an error.
    pub fn caused(error: &Error) -> bool {
        std::error::Error::source(error).is_some_and(|cause| cause.is::<Self>())
    }
}

impl fmt::Display for NotKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it was lost or cancelled")
    }
}

impl std::error::Error for NotKept {}

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
    /// How many pieces its sessions are taken in.
    pub pieces: i64,
    /// More is tried at once than what worked last.
    pub is_wider: bool,
    /// How often the warehouse was gone in the midst of its fill, since it was last filled or asked for.
    pub cut_offs: i64,
    pub reason: String,
    /// Where its rows were in the zone that the team has left.
    pub left_bucket: Option<Timestamp>,
}

/// The right to fill some slices, until the lease is over: those of several teams for the same instants, or
/// several days of one team.
#[derive(Clone, Debug)]
pub struct Claim {
    pub id: Uuid,
    pub slices: Vec<Claimed>,
    /// How many events several of them may have together.
    pub most_events: u64,
}

impl Claim {
    /// The handle by which the claim's statements are found on the warehouse, and killed.
    pub fn comment(&self) -> String {
        comment(&self.id.to_string())
    }
}

/// A day of which the tables may hold rows that nobody recorded.
#[derive(Clone, Debug)]
pub struct Abandoned {
    pub team_id: TeamId,
    pub day: Day,
    pub fence: i64,
    pub partition: i64,
    /// Where such rows may be.
    pub bucket: Option<Timestamp>,
    /// As `bucket`, in the zone that the team has left since.
    pub left_bucket: Option<Timestamp>,
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
pub(super) fn comment(id: &str) -> String {
    format!("prefill:{id}")
}

/// How a try that did not fill a slice ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub wait: Duration,
    pub error: Option<String>,
    /// Of the error, where it is one.
    pub class: Option<Class>,
    pub failed: bool,
    /// Whether the try counts against the slice.
    pub counts: bool,
    pub waiting_for_events: bool,
}

/// What somebody wants to claim.
struct Claiming<'a> {
    id: Uuid,
    owner: &'a str,
    lease: Duration,
    most: u32,
    warehouse: &'a str,
    run: Option<String>,
}

impl Claiming<'_> {
    /// The claim of slices that are now running under its id; `None` of none.
    fn claim(&self, rows: &[Row]) -> Result<Option<Claim>> {
        let slices = rows.iter().map(claimed).collect::<Result<Vec<_>>>()?;
        Ok((!slices.is_empty()).then_some(Claim {
            id: self.id,
            slices,
            most_events: MOST_EVENTS,
        }))
    }
}

/// Of the claims that a process asks for, one of so many goes by what has waited the longest, so that days which are
/// always open again, as today is while its events come, leave something to the others.
const LONGEST_EVERY: u64 = 4;
/// What has not waited for five minutes comes when it is the newest. What is looked at again for want of events has no
/// hurry.
const LONGEST: &str = "and s.waiting = 0 and s.wanted_at < {now} - 300000
    order by s.wanted_at, s.day desc, s.team_id";
/// What was refused for lack of events comes after what has not been looked at.
const NEWEST: &str = "order by s.waiting, s.day desc, s.wanted_at, s.team_id";

/// A statement that claims what is the first by either order.
macro_rules! first {
    ($name:literal, $by_wait:expr) => {
        if $by_wait {
            text!(&include_str!(concat!("sql/", $name, ".sql")).replace("{which}", LONGEST))
        } else {
            text!(&include_str!(concat!("sql/", $name, ".sql")).replace("{which}", NEWEST))
        }
    };
}

const CLAIM: &str = "claim a slice";
const CLAIM_MORE: &str = "claim more days";

/// How long it is remembered that the days of a team are filled one by one.
const BY_DAY: Duration = Duration::from_hours(24);

/// The teams whose days are claimed one by one, and since when, by warehouse. What is forgotten when the process
/// ends is found out again by the first days that are tried.
#[derive(Clone, Debug, Default)]
pub(super) struct ByDay(Arc<Mutex<BTreeMap<(String, TeamId), Instant>>>);

impl ByDay {
    fn add(&self, warehouse: &str, team: TeamId) {
        let mut teams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        teams.retain(|_, since| since.elapsed() < BY_DAY);
        teams.insert((warehouse.to_owned(), team), Instant::now());
    }

    fn has(&self, warehouse: &str, team: TeamId) -> bool {
        let teams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        teams
            .get(&(warehouse.to_owned(), team))
            .is_some_and(|since| since.elapsed() < BY_DAY)
    }
}

/// So many events are read for at once, or those of one team's day.
pub const MOST_EVENTS: u64 = 1_000_000;
/// So many of a team of which no whole day was filled yet: the first of its days should be seen soon.
const FEW_EVENTS: u64 = 100_000;
/// The most days of a team that are filled at once: each is a partition, from which rows are deleted by itself
/// when the fill is stopped. More hardly make a day cheaper.
const MOST_DAYS: u32 = 10;

/// How long what nobody recorded is left, where it could not be deleted.
const UNDO_AGAIN: Duration = Duration::from_secs(5);

/// How many slices a claim tries for, when others are always faster: then it is left to the next step.
const CANDIDATES: usize = 16;

impl Ledger {
    /// Claims the newest open slice of a warehouse, or now and then the one that has waited the longest, and those that
    /// can be filled with it; `None` when
    /// nothing is open, or what is open has to wait.
    pub async fn claim(
        &self,
        owner: &str,
        lease: Duration,
        most: u32,
        warehouse: &str,
        run: Option<Uuid>,
    ) -> Result<Option<Claim>> {
        let mut tries = Tries::default();
        let claiming = Claiming {
            id: Uuid::new_v4(),
            owner,
            lease,
            most,
            warehouse,
            run: run.map(|run| run.to_string()),
        };
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        let by_wait = run.is_none() && asked % LONGEST_EVERY == LONGEST_EVERY - 1;
        let claim = async {
            loop {
                match self.claim_first(&claiming, by_wait).await {
                    Err(error) if tries.again(&error).await => {}
                    done => break done,
                }
            }
        };
        telemetry::LEDGER_SECONDS.timed(["claim"], claim).await
    }

    /// By what has waited the longest, where that is `by_wait` and anything has waited for long; else the newest.
    async fn claim_first(&self, claiming: &Claiming<'_>, by_wait: bool) -> Result<Option<Claim>> {
        let claim = async |by_wait| match self.transacts_alone() {
            true => self.claim_alone(claiming, by_wait).await,
            false => self.claim_among_others(claiming, by_wait).await,
        };
        match by_wait {
            true => match claim(true).await? {
                None => claim(false).await,
                waited => Ok(waited),
            },
            false => claim(false).await,
        }
    }

    /// A claim with older days of its team, where it is of one day that nobody shares: as many as are small
    /// together, going by the largest day that was filled when it was over, because what each statement takes is
    /// much of what such a day does. Until there is one, all that are open, where those are few: who fills them
    /// counts their events, and gives back the days that are too much with the newest.
    async fn with_more(
        &self,
        transaction: &mut Transacting,
        claiming: &Claiming<'_>,
        claim: &Claim,
    ) -> Result<Claim> {
        let mut claim = claim.clone();
        let Some(alone) = self.alone(claiming, &claim) else {
            return Ok(claim);
        };
        let known = Statement::new(sql!("known_days"))
            .bind(alone.team_id.0)
            .bind(alone.day.to_string())
            .bind(&claiming.run);
        let known = transaction.rows(CLAIM_MORE, &known).await?;
        let Some(known) = known.first() else {
            return Ok(claim);
        };
        // What was filled has rows, which are replaced: that is done one by one.
        if known.get("was_filled")? {
            return Ok(claim);
        }
        let most_days = claiming.most.min(MOST_DAYS);
        let (days, most_events) = match known.get::<Option<i64>>("events")? {
            Some(events) => {
                let events = u64::try_from(events).unwrap_or_default().max(1);
                (MOST_EVENTS / events, MOST_EVENTS)
            }
            None if known.get::<i64>("wanted")? < i64::from(most_days) => {
                (u64::from(most_days), FEW_EVENTS)
            }
            // Who comes next meanwhile would begin with the days that are older than all of these.
            None => return Ok(claim),
        };
        let days = days.min(u64::from(most_days));
        let Some(more @ 1..) = i64::try_from(days).unwrap_or_default().checked_sub(1) else {
            return Ok(claim);
        };
        let partitions = if self.transacts_alone() {
            None
        } else {
            let lock = Statement::new(sql!("postgres/lock_partitions"))
                .bind(alone.team_id.0)
                .bind(alone.day.to_string())
                .bind(MOST_DAYS)
                .bind(self.claim_lock(claiming.warehouse))
                .bind(self.partition_lock(claiming.warehouse));
            let locked = transaction.rows(CLAIM_MORE, &lock).await?;
            let locked = locked.iter().map(|row| row.get::<i64>("partition"));
            let locked = locked.collect::<Result<Vec<_>>>()?;
            Some(json(locked.into_iter().map(|partition| json!(partition))))
        };
        let statement = Statement::new(sql!("claim_more"))
            .bind(claiming.id.to_string())
            .bind(claiming.owner)
            .bind(milliseconds(claiming.lease))
            .bind(more)
            .bind(&claiming.run)
            .bind(claiming.warehouse)
            .bind(alone.team_id.0)
            .bind(alone.day.to_string())
            .bind(&alone.timezone)
            .bind(partitions)
            .bind(alone.bounds.from.as_second());
        let rows = transaction.rows(CLAIM_MORE, &statement).await?;
        let more = rows.iter().map(claimed).collect::<Result<Vec<_>>>()?;
        claim.slices.extend(more);
        claim.most_events = most_events;
        Ok(claim)
    }

    /// The slice of a claim that older days of its team may come along with.
    fn alone<'a>(&self, claiming: &Claiming<'_>, claim: &'a Claim) -> Option<&'a Claimed> {
        let [alone] = claim.slices.as_slice() else {
            return None;
        };
        let may_be_more = claiming.most > 1
            && alone.attempts == 1
            && alone.pieces == 1
            && !alone.is_wider
            && alone.left_bucket.is_none()
            && !self.by_day.has(claiming.warehouse, alone.team_id);
        may_be_more.then_some(alone)
    }

    /// From now on this process claims the days of a team one by one: several at once were too much, or would
    /// have told something else than each of them.
    pub fn claim_by_day(&self, warehouse: &str, team: TeamId) {
        self.by_day.add(warehouse, team);
    }

    /// On SQLite nobody else writes meanwhile.
    async fn claim_alone(&self, claiming: &Claiming<'_>, by_wait: bool) -> Result<Option<Claim>> {
        let statement = Statement::new(first!("claim", by_wait))
            .bind(claiming.id.to_string())
            .bind(claiming.owner)
            .bind(milliseconds(claiming.lease))
            .bind(claiming.most)
            .bind(&claiming.run)
            .bind(claiming.warehouse);
        let mut transaction = self.database.begin(CLAIM).await?;
        let rows = transaction.rows(CLAIM, &statement).await?;
        let claim = match claiming.claim(&rows) {
            Ok(Some(claim)) => claim,
            // One that cannot be read stays claimed, so that the others come next.
            none => {
                transaction.commit(CLAIM).await?;
                return none;
            }
        };
        let with_more = self.with_more(&mut transaction, claiming, &claim).await;
        transaction.commit(CLAIM).await?;
        Ok(Some(
            with_more.unwrap_or_else(|error| without_more(claim, &error)),
        ))
    }

    /// On Postgres claims are made at the same time, and none of them sees the others before it is
    /// committed. So each locks its partition and looks again, now at what was committed before. A
    /// slice that deletes rows of partitions beside its own is claimed while nobody else claims. Who
    /// comes second finds the partition taken, and goes on to the next one.
    async fn claim_among_others(
        &self,
        claiming: &Claiming<'_>,
        by_wait: bool,
    ) -> Result<Option<Claim>> {
        for _ in 0..CANDIDATES {
            let mut transaction = self.database.begin(CLAIM).await?;
            let partition_lock = self.partition_lock(claiming.warehouse);
            let leading = Statement::new(first!("postgres/claim_leading", by_wait))
                .bind(&claiming.run)
                .bind(claiming.warehouse)
                .bind(self.claim_lock(claiming.warehouse))
                .bind(partition_lock);
            let rows = transaction.rows(CLAIM, &leading).await?;
            let Some(leading) = rows.first() else {
                return Ok(None);
            };
            let moves: bool = leading.get("moves")?;
            let together: Option<i64> = leading.get("together")?;
            let alone = leading.get::<i64>("attempts")? > 0 || together == Some(1);
            let partition: i64 = leading.get("partition")?;
            let batch = Statement::new(sql!("postgres/claim_batch"))
                .bind(claiming.id.to_string())
                .bind(claiming.owner)
                .bind(milliseconds(claiming.lease))
                .bind(claiming.most)
                .bind(&claiming.run)
                .bind(claiming.warehouse)
                .bind(leading.get::<i64>("team_id")?)
                .bind(leading.get::<String>("day")?)
                .bind(leading.get::<i64>("bucket_s")?)
                .bind(leading.get::<i64>("until_s")?)
                .bind(partition)
                .bind(alone)
                .bind(moves)
                .bind(together);
            let rows = transaction.rows(CLAIM, &batch).await?;
            if rows.is_empty() {
                continue;
            }
            transaction.commit(CLAIM).await?;
            return match claiming.claim(&rows)? {
                Some(claim) if self.alone(claiming, &claim).is_some() => {
                    let with_more = self.with_more_among_others(claiming, &claim).await;
                    Ok(Some(
                        with_more.unwrap_or_else(|error| without_more(claim, &error)),
                    ))
                }
                claim => Ok(claim),
            };
        }
        Ok(None)
    }

    /// By itself, because it locks more partitions: whoever waits for the first slice's need not wait for them.
    async fn with_more_among_others(
        &self,
        claiming: &Claiming<'_>,
        claim: &Claim,
    ) -> Result<Claim> {
        let mut transaction = self.database.begin(CLAIM_MORE).await?;
        let claim = self.with_more(&mut transaction, claiming, claim).await?;
        transaction.commit(CLAIM_MORE).await?;
        Ok(claim)
    }

    /// The lock that every claim of a warehouse shares while it is made.
    pub(super) fn claim_lock(&self, warehouse: &str) -> String {
        format!("{}:claim:{warehouse}", self.schema())
    }

    /// What the name of the lock of a warehouse's partitions begins with; the partition follows.
    pub(super) fn partition_lock(&self, warehouse: &str) -> String {
        format!("{}:partition:{warehouse}:", self.schema())
    }

    /// Gives a sign of life.
    ///
    /// # Errors
    ///
    /// [`Class::Lost`] when the claim is lost or is to stop.
    pub async fn renew(&self, claim: &Claim, lease: Duration) -> Result<()> {
        let statement = Statement::new(sql!("renew"))
            .bind(claim.id.to_string())
            .bind(milliseconds(lease));
        let renew = self.database.execute("renew a claim", &statement);
        let renewed = telemetry::LEDGER_SECONDS.timed(["renew"], renew).await?;
        // A batch stops as a whole when one of its slices is to stop; the others are done again.
        let open = self.open_slices(claim).await?;
        if renewed < open.max(1) {
            return Err(Error::new(Class::Lost, "failed to keep the claim").caused_by(NotKept));
        }
        Ok(())
    }

    /// Takes time to undo what a claim did, also when it was told to stop; false when it is lost.
    pub async fn hold_on(&self, claim: &Claim, lease: Duration) -> Result<bool> {
        let statement = Statement::new(sql!("hold_on"))
            .bind(claim.id.to_string())
            .bind(milliseconds(lease));
        let held = self
            .database
            .execute("hold on to a claim", &statement)
            .await?;
        // Those that are done are not held any more.
        Ok(held >= self.open_slices(claim).await?.max(1))
    }

    /// Every claim that holds a slice, its lease over or not.
    pub async fn running_claims(&self) -> Result<Vec<Uuid>> {
        let statement = Statement::new(text!(
            "select distinct claim from slices where state = 'running'"
        ));
        let rows = self.database.rows("list the claims", &statement).await?;
        rows.iter()
            .map(|row| {
                row.get::<String>("claim")?
                    .parse()
                    .map_err(|error: uuid::Error| {
                        Error::new(Class::Never, "the ledger's id of a claim is no UUID")
                            .caused_by(error)
                    })
            })
            .collect()
    }

    /// Which slices of a claim were filled with page views before.
    pub async fn with_page_views(&self, claim: &Claim) -> Result<BTreeSet<(TeamId, Day)>> {
        let statement = Statement::new(text!(
            "select team_id, day from slices where claim = $1 and state = 'running' and as_of_us is not null and page_views > 0"
        ))
        .bind(claim.id.to_string());
        let rows = self
            .database
            .rows("read what was filled", &statement)
            .await?;
        rows.iter()
            .map(|row| Ok((TeamId(row.get("team_id")?), row.parsed("day")?)))
            .collect()
    }

    async fn open_slices(&self, claim: &Claim) -> Result<u64> {
        let statement = Statement::new(text!(
            "select count(*) as open from slices where claim = $1 and state = 'running'"
        ))
        .bind(claim.id.to_string());
        let row = self.database.row("read a claim", &statement).await?;
        let open: i64 = row.get("open")?;
        Ok(u64::try_from(open).unwrap_or(0))
    }

    /// Records fills; which of them were recorded. The claim of the others was lost or cancelled.
    pub async fn record(
        &self,
        claim: &Claim,
        filled: &[(Claimed, Receipt)],
    ) -> Result<BTreeSet<(TeamId, Day)>> {
        if filled.is_empty() {
            return Ok(BTreeSet::new());
        }
        let rows = filled.iter().map(|(slice, receipt)| {
            json!([
                slice.team_id.0,
                slice.day.to_string(),
                slice.fence,
                receipt.as_of_us,
                receipt.stats_rows,
                receipt.bounces_rows,
                receipt.events,
                receipt.sessions,
                receipt.page_views,
                receipt.persons,
                receipt.bounces,
                receipt.duration_seconds,
                receipt.checksum,
                receipt.elapsed_ms,
                receipt.definition,
            ])
        });
        let statement = Statement::new(sql!("record"))
            .bind(claim.id.to_string())
            .bind(json(rows));
        let record = self.database.returned("record a fill", &statement);
        let recorded = telemetry::LEDGER_SECONDS.timed(["record"], record).await?;
        recorded
            .iter()
            .map(|row| Ok((TeamId(row.get("team_id")?), row.parsed("day")?)))
            .collect()
    }

    /// Says that rows of these slices are about to be written into the tables, which have none, so that they are not
    /// forgotten where nobody records them.
    ///
    /// # Errors
    ///
    /// [`Class::Lost`] when one of them is not the claim's any more: then nothing may be written.
    pub async fn will_write(&self, claim: &Claim, slices: &[Claimed]) -> Result<()> {
        let statement = Statement::new(sql!("will_write"))
            .bind(claim.id.to_string())
            .bind(fences(slices));
        let doing = "record that rows will be written";
        let noted = self.database.execute(doing, &statement).await?;
        if noted < slices.len() as u64 {
            return Err(Error::new(Class::Lost, "failed to keep the claim").caused_by(NotKept));
        }
        Ok(())
    }

    /// What was written of some slices and not recorded is deleted.
    pub async fn undone(&self, slices: impl Iterator<Item = (TeamId, Day, i64)>) -> Result<()> {
        let fence =
            |(team, day, fence): (TeamId, Day, i64)| json!([team.0, day.to_string(), fence]);
        let statement = Statement::new(sql!("undone")).bind(json(slices.map(fence)));
        let doing = "record that rows were deleted";
        self.database.execute(doing, &statement).await?;
        Ok(())
    }

    /// Whether it is this caller's turn to delete what nobody recorded on a warehouse: not soon after another's, which may
    /// be under way, or could not be done.
    pub fn may_undo(&self, warehouse: &str) -> bool {
        let mut undone = self.undone.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = undone
            .get(warehouse)
            .is_none_or(|at| at.elapsed() > UNDO_AGAIN);
        if is_due {
            undone.insert(warehouse.to_owned(), Instant::now());
        }
        is_due
    }

    /// Nothing is left of that.
    pub fn has_undone(&self, warehouse: &str) {
        let mut undone = self.undone.lock().unwrap_or_else(PoisonError::into_inner);
        undone.remove(warehouse);
    }

    /// Days of which rows were written that nobody recorded, and that nobody fills as things stand, by their partition.
    pub async fn abandoned(&self, warehouse: &str) -> Result<Vec<Abandoned>> {
        let statement = Statement::new(sql!("abandoned")).bind(warehouse);
        let doing = "look for rows that nobody recorded";
        let rows = self.database.rows(doing, &statement).await?;
        let abandoned = |row: &Row| {
            let at = |name| {
                let at = row.get::<Option<i64>>(name)?;
                Ok::<_, Error>(at.and_then(|at| Timestamp::from_second(at).ok()))
            };
            Ok(Abandoned {
                team_id: TeamId(row.get("team_id")?),
                day: row.parsed("day")?,
                fence: row.get("fence")?,
                partition: row.get("partition")?,
                bucket: at("bucket_s")?,
                left_bucket: at("left_bucket_s")?,
            })
        };
        rows.iter().map(abandoned).collect()
    }

    /// Records that the warehouse was gone in the midst of the fill of these slices.
    pub async fn note_cut_off(&self, claim: &Claim, slices: &[Claimed]) -> Result<()> {
        let statement = Statement::new(sql!("cut_off"))
            .bind(claim.id.to_string())
            .bind(fences(slices));
        self.database
            .execute("record that the warehouse was gone", &statement)
            .await?;
        Ok(())
    }

    /// Ends a try that did not fill these slices. A claim that is lost has nothing to give back.
    pub async fn give_back(
        &self,
        claim: &Claim,
        slices: &[Claimed],
        outcome: &Outcome,
    ) -> Result<()> {
        if slices.is_empty() {
            return Ok(());
        }
        let statement = Statement::new(sql!("give_back"))
            .bind(claim.id.to_string())
            .bind(fences(slices))
            .bind(milliseconds(outcome.wait))
            .bind(&outcome.error)
            .bind(outcome.failed)
            .bind(outcome.counts)
            .bind(i64::from(outcome.waiting_for_events))
            .bind(outcome.class.map(Class::name));
        let give_back = self.database.execute("give slices back", &statement);
        telemetry::LEDGER_SECONDS
            .timed(["give_back"], give_back)
            .await?;
        Ok(())
    }

    /// The claims that hold slices of a warehouse, with who holds them.
    pub async fn holders(&self, warehouse: &str) -> Result<Vec<Holder>> {
        let statement = Statement::new(sql!("holders")).bind(warehouse);
        let rows = self
            .database
            .rows("look for expired claims", &statement)
            .await?;
        rows.iter()
            .map(|row| {
                let claim: String = row.get("claim")?;
                Ok(Holder {
                    comment: comment(&claim),
                    claim,
                    owner: row.get("owner")?,
                    lease_is_over: row.get("is_over")?,
                })
            })
            .collect()
    }

    /// Puts the slices of an expired claim back, after its statements are gone; also before the
    /// lease is over where the worker is known to be `dead`. How many.
    pub async fn expire(&self, claim: &str, dead: bool) -> Result<u64> {
        let statement = Statement::new(sql!("expire")).bind(claim).bind(dead);
        let expired = self.database.execute("expire a claim", &statement).await?;
        Ok(expired)
    }
}

/// Slices as they are under a claim.
fn fences(slices: &[Claimed]) -> String {
    let fence = |slice: &Claimed| json!([slice.team_id.0, slice.day.to_string(), slice.fence]);
    json(slices.iter().map(fence))
}

fn claimed(row: &Row) -> Result<Claimed> {
    Ok(Claimed {
        team_id: TeamId(row.get("team_id")?),
        day: row.parsed("day")?,
        timezone: row.get("timezone")?,
        bounds: Bounds {
            from: instant_s(row, "bucket_s")?,
            until: instant_s(row, "until_s")?,
        },
        partition: row.get("partition")?,
        fence: row.get("fence")?,
        attempts: row.get("attempts")?,
        pieces: row.get("pieces")?,
        is_wider: row.get("is_wider")?,
        cut_offs: row.get("cut_offs")?,
        reason: row.get("reason")?,
        left_bucket: row
            .get::<Option<i64>>("left_bucket_s")?
            .and_then(|at| Timestamp::from_second(at).ok()),
    })
}

/// A claim without the days that could not be claimed with it.
fn without_more(claim: Claim, error: &Error) -> Claim {
    warn!(
        error = error.chain(),
        "could not claim more days of a team at once"
    );
    claim
}
