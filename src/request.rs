//! What people ask for by hand: a backfill of a range, and the deletion of one.
//!
//! The checks of what may be asked live here, so that every surface refuses the same things with
//! the same words. A range that was asked for is never widened or clipped.

mod answers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clickhouse::Row;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tracing::info;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::calendar::{Bounds, Day, Days, TeamId, Zone};
use crate::config::Config;
use crate::error::{Class, Error, Result};
use crate::fill;
use crate::freshness;
use crate::ledger::{Ledger, Reason, Slice, State, Team, partition_of};
use crate::rollup::sql;
use crate::schema::Store;
use crate::service::Prefill;
use crate::worker;

pub use answers::{
    Backfilled, CleanedUp, DeletedRows, Of, SettingNow, Steered, WouldFill, set_enabled,
};

/// The days that somebody asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    /// Today and that many days before it.
    pub days: Option<i64>,
    pub date_start: Option<Day>,
    /// Exclusive.
    pub date_end: Option<Day>,
}

/// A team and the days that were asked for, both checked.
#[derive(Clone, Debug)]
pub struct Target {
    pub team: Team,
    pub zone: Zone,
    pub days: Days,
    /// How many of them the zone has: one may lack a day, where it moved across the date line.
    pub days_of_zone: i64,
    /// How many days before today, where that was how they were asked for.
    pub backfill_days: i64,
}

/// Turns what was asked for into days of the team's calendar.
///
/// # Errors
///
/// [`Class::Misuse`] when the team is unknown or has no valid zone, the number of days is out of
/// range, or the range is empty, backwards or in the future.
pub async fn target(
    ledger: &Ledger,
    config: &Config,
    team: TeamId,
    asked: Asked,
    now: Timestamp,
) -> Result<Target> {
    let team = ledger.team(team).await?;
    let today = Day::of(now, &team.zone()?);
    of_team(team, config, asked, today, today)
}

/// As [`target`], of what is to be deleted. That may be days which have not begun, where the ledger has them: of a zone
/// that the team has left.
///
/// # Errors
///
/// As [`target`].
pub async fn target_of_cleanup(
    ledger: &Ledger,
    config: &Config,
    team: TeamId,
    asked: Asked,
    now: Timestamp,
) -> Result<Target> {
    let team = ledger.team(team).await?;
    let today = Day::of(now, &team.zone()?);
    let slices = ledger.slices(team.id).await?;
    let last = slices.keys().next_back().copied();
    of_team(
        team,
        config,
        asked,
        today,
        last.map_or(today, |last| last.max(today)),
    )
}

/// The days that were asked for, of which the last may be `last`.
fn of_team(team: Team, config: &Config, asked: Asked, today: Day, last: Day) -> Result<Target> {
    let zone = team.zone()?;
    let (days, backfill_days) = match (asked.date_start, asked.date_end) {
        (None, None) => {
            let count = match (asked.days, team.backfill_days) {
                (Some(days), _) => config.days(days, "--days")?,
                (None, Some(days)) => config.days(days, "the team's backfill_days")?,
                (None, None) => i64::from(config.backfill_days),
            };
            (Days::new(today.plus(-count), today.plus(1))?, count)
        }
        (Some(start), end) => {
            if start > last {
                return Err(Error::misuse(format!(
                    "--date-start {start} is in the future: it is {today} in {zone}"
                ))
                .hint("only days that have begun can be filled"));
            }
            let days = Days::new(start, end.unwrap_or(today.plus(1)))?;
            if days.until > last.plus(1) {
                return Err(Error::misuse(format!(
                    "--date-end {} is in the future: it is {today} in {zone}",
                    days.until
                ))
                .hint(format!(
                    "--date-end is exclusive: pass {} to end with today",
                    today.plus(1)
                )));
            }
            (days, days.count())
        }
        (None, Some(end)) => {
            return Err(
                Error::misuse(format!("--date-end {end} needs a --date-start"))
                    .hint("pass --date-start YYYY-MM-DD too, or --days N for the latest days"),
            );
        }
    };
    let days_of_zone = days
        .newest_first()
        .filter(|day| zone.bounds(*day).is_some())
        .count();
    if days_of_zone == 0 {
        return Err(
            Error::misuse(format!("the zone {zone} has no day in {days}"))
                .hint("its clocks were set past it; name other days"),
        );
    }
    Ok(Target {
        team,
        days_of_zone: i64::try_from(days_of_zone).unwrap_or(i64::MAX),
        zone,
        days,
        backfill_days,
    })
}

/// Refuses a team that has the setting off.
///
/// # Errors
///
/// [`Class::Misuse`] with the command that turns it on.
pub fn must_be_enabled(team: &Team) -> Result<()> {
    if team.enabled {
        return Ok(());
    }
    Err(Error::conflict(format!(
        "team {} ({}) has web_analytics_pre_aggregated_tables_enabled off",
        team.id, team.name
    ))
    .hint(format!("run prefill enable --team-id {}", team.id)))
}

/// What a backfill would do.
#[derive(Clone, Debug, Serialize)]
pub struct Estimate {
    /// The days that would be filled, the newest first.
    pub slices: Vec<EstimatedSlice>,
    /// Raw events of these days.
    pub rows: u64,
    /// Their size in the warehouse, uncompressed.
    pub bytes: u64,
    /// From the pace of the team's earlier fills or everybody's; nothing where there were none.
    pub seconds: Option<f64>,
}

/// One day of an estimate.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EstimatedSlice {
    pub day: Day,
    pub state: Option<State>,
    pub rows: u64,
}

#[derive(Row, Deserialize)]
struct Rows {
    rows: u64,
}

#[derive(Row, Deserialize)]
struct RowsOfDay {
    begin_us: i64,
    rows: u64,
}

#[derive(Row, Deserialize)]
struct Width {
    bytes: f64,
}

impl Prefill {
    /// The days of a team that somebody asks for, as of now; see [`target`].
    ///
    /// # Errors
    ///
    /// As [`target`].
    pub async fn target(&self, team: TeamId, asked: Asked) -> Result<Target> {
        target(
            &self.ledger,
            &self.config,
            team,
            asked,
            self.ledger.now().await?,
        )
        .await
    }

    /// The days of a team that somebody wants deleted; see [`target_of_cleanup`].
    ///
    /// # Errors
    ///
    /// As [`target_of_cleanup`].
    pub async fn target_of_cleanup(&self, team: TeamId, asked: Asked) -> Result<Target> {
        target_of_cleanup(
            &self.ledger,
            &self.config,
            team,
            asked,
            self.ledger.now().await?,
        )
        .await
    }

    /// Asks for the days of a target that are not filled, or with `force` for all of them.
    ///
    /// # Errors
    ///
    /// [`Class::Misuse`] when the team has the setting off.
    pub async fn backfill(&self, target: &Target, force: bool) -> Result<Uuid> {
        self.backfill_once(target, force, None)
            .await?
            .ok_or_else(|| Error::new(Class::Never, "a request was taken for one made before"))
    }

    /// As [`Prefill::backfill`], only the first time that it is asked for by this name; `None` when it
    /// was asked for before.
    ///
    /// # Errors
    ///
    /// As [`Prefill::backfill`].
    pub async fn backfill_once(
        &self,
        target: &Target,
        force: bool,
        once: Option<&str>,
    ) -> Result<Option<Uuid>> {
        must_be_enabled(&target.team)?;
        self.reconcile(target.team.id).await?;
        // What events have reached since it was filled is not filled any more.
        let store = self.store_of(&target.team).await?;
        freshness::look_at(&self.ledger, store, &target.team).await?;
        let reason = if force {
            Reason::Forced
        } else {
            Reason::Request
        };
        let run = self
            .ledger
            .request(
                target.team.id,
                target.days,
                &target.zone,
                &store.name,
                reason,
                once,
            )
            .await?;
        if let Some(run) = run {
            info!(
                team_id = target.team.id.0, task_id = %run, date_start = %target.days.from, date_end = %target.days.until, force,
                "asked to fill team {}, {}", target.team.id, target.days
            );
        }
        Ok(run)
    }

    /// What [`Prefill::backfill`] would do.
    ///
    /// # Errors
    ///
    /// As [`Prefill::backfill`].
    pub async fn estimate(&self, target: &Target, force: bool) -> Result<Estimate> {
        must_be_enabled(&target.team)?;
        let slices = self.ledger.slices(target.team.id).await?;
        let mut estimate = Estimate {
            slices: Vec::new(),
            rows: 0,
            bytes: 0,
            seconds: None,
        };
        let mut days = Vec::new();
        for day in target.days.newest_first() {
            let state = slices.get(&day).map(|slice| slice.state);
            if let Some(bounds) = target.zone.bounds(day)
                && (force || state != Some(State::Filled))
            {
                days.push((day, state, bounds.from));
            }
        }
        let store = self.store_of(&target.team).await?;
        let counts = count_events(store, target).await?;
        for (day, state, from) in days {
            let rows = counts.get(&from).copied().unwrap_or(0);
            estimate.rows += rows;
            estimate.slices.push(EstimatedSlice { day, state, rows });
        }
        let (database, table) = store.tables.events.parts();
        let width: Width = store
            .warehouse
            .statement(
                "select sum(data_uncompressed_bytes) / greatest(sum(rows), 1) as bytes from system.parts where database = {database:String} and table = {table:String} and active",
                "prefill:estimate",
            )
            .param("database", database)
            .param("table", table)
            .row("measure the events")
            .await?;
        estimate.bytes = (width.bytes * estimate.rows as f64) as u64;
        // A day costs something even when it is empty, so the pace is by the day and by the event.
        let receipts: Vec<_> = slices
            .values()
            .filter_map(|slice| slice.receipt.as_ref())
            .collect();
        let (elapsed, events) = receipts.iter().fold((0, 0), |(elapsed, events), receipt| {
            (elapsed + receipt.elapsed_ms, events + receipt.events)
        });
        if !receipts.is_empty() {
            let by_day = elapsed as f64 / receipts.len() as f64 * estimate.slices.len() as f64;
            let by_event = if events > 0 {
                elapsed as f64 / events as f64 * estimate.rows as f64
            } else {
                0.0
            };
            estimate.seconds = Some(by_day.max(by_event) / 1_000.0);
        }
        Ok(estimate)
    }
}

/// The raw events of a target by the beginning of their day.
async fn count_events(store: &Store, target: &Target) -> Result<BTreeMap<Timestamp, u64>> {
    let bounds = bounds(target)?;
    let mut begins: Vec<i64> = target
        .days
        .newest_first()
        .filter_map(|day| target.zone.bounds(day))
        .map(|bounds| bounds.from.as_microsecond())
        .collect();
    begins.reverse();
    let rows: Vec<RowsOfDay> = store
        .warehouse
        .statement(
            &store.tables.render(sql::COUNT_EVENTS, &[]),
            "prefill:estimate",
        )
        .param("team", target.team.id.0)
        .param("from_us", bounds.from.as_microsecond())
        .param("until_us", bounds.until.as_microsecond())
        .param("begins", begins)
        .rows("count the events")
        .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            let day = Timestamp::from_microsecond(row.begin_us).ok()?;
            Some((day, row.rows))
        })
        .collect())
}

/// The instants from the beginning of a target's first day to the end of its last.
fn bounds(target: &Target) -> Result<Bounds> {
    let bounds = |days: Vec<Day>| days.into_iter().find_map(|day| target.zone.bounds(day));
    let newest: Vec<Day> = target.days.newest_first().collect();
    let oldest = newest.iter().rev().copied().collect();
    match (bounds(oldest), bounds(newest)) {
        (Some(first), Some(last)) => Ok(Bounds {
            from: first.from,
            until: last.until,
        }),
        _ => Err(Error::misuse(format!(
            "the zone {} has no day in {}",
            target.zone, target.days
        ))),
    }
}

/// Where rows of these days may lie outside of `bounds`: at the instants at which they began in a zone
/// that the team has left, and where no other day of it has its own.
fn buckets_elsewhere(
    slices: &BTreeMap<Day, Slice>,
    days: Days,
    bounds: Bounds,
) -> BTreeSet<Timestamp> {
    let (asked, others): (Vec<_>, Vec<_>) =
        slices.values().partition(|slice| days.contains(slice.day));
    let of_others: BTreeSet<Timestamp> = others.iter().map(|slice| slice.bucket).collect();
    asked
        .into_iter()
        .flat_map(|slice| [Some(slice.bucket), slice.left_bucket])
        .flatten()
        .filter(|bucket| *bucket < bounds.from || *bucket >= bounds.until)
        .filter(|bucket| !of_others.contains(bucket))
        .collect()
}

/// What a deletion covers.
#[derive(Clone, Debug, Serialize)]
pub struct Cleanup {
    pub stats_rows: u64,
    pub bounces_rows: u64,
    /// Days of the range that the ledger knows.
    pub slices: u64,
}

/// How long a cleanup waits for fills under way to stop.
const STOP_WITHIN: Duration = Duration::from_secs(120);

impl Prefill {
    /// What [`Prefill::cleanup`] would delete.
    ///
    /// # Errors
    ///
    /// When the ledger or the warehouse fails.
    pub async fn count_cleanup(&self, target: &Target) -> Result<Cleanup> {
        let bounds = bounds(target)?;
        let store = self.store_of(&target.team).await?;
        let mut counts = Vec::new();
        for table in [&store.tables.stats, &store.tables.bounces] {
            let text = crate::warehouse::name::with_names(sql::COUNT_ROWS, &[("table", table)]);
            let counted: Rows = store
                .warehouse
                .statement(&text, "prefill:cleanup")
                .param("team", target.team.id.0)
                .param("from_s", bounds.from.as_second())
                .param("until_s", bounds.until.as_second())
                .row("count the rows")
                .await?;
            counts.push(counted.rows);
        }
        let slices = self.ledger.slices(target.team.id).await?;
        let slices = slices
            .values()
            .filter(|slice| target.days.contains(slice.day))
            .count();
        Ok(Cleanup {
            stats_rows: counts.first().copied().unwrap_or(0),
            bounces_rows: counts.get(1).copied().unwrap_or(0),
            slices: slices as u64,
        })
    }

    /// Turns the setting off, stops what is being filled, and deletes the rows of the target: of
    /// that team and those days, and no other's. Returns what it deleted.
    ///
    /// # Errors
    ///
    /// When fills under way do not stop in time, it is told to stop itself, or the warehouse fails;
    /// running it again goes on.
    pub async fn cleanup(&self, target: &Target, stop: &CancellationToken) -> Result<Cleanup> {
        let (team, days) = (target.team.id, target.days);
        // Before anything is turned off: a warehouse that is down is told first.
        let store = self.store_of(&target.team).await?;
        store.warehouse.must_answer().await?;
        self.ledger.set_enabled(team, false).await?;
        self.ledger.keep(team, true).await?;
        let owner = Uuid::new_v4().to_string();
        let deleted = tokio::select! {
            deleted = self.delete_held(target, &owner) => deleted,
            () = stop.cancelled() => Err(Error::new(
                Class::Lost,
                "told to stop; the setting is off, and rows of the range may be left",
            )
            .hint("run the same cleanup again")),
        };
        let let_go = self.ledger.let_go(&owner).await;
        let deleted = deleted?;
        let_go?;
        info!(
            team_id = team.0, date_start = %days.from, date_end = %days.until,
            stats_rows = deleted.stats_rows, bounces_rows = deleted.bounces_rows,
            "deleted the rows of team {team}, {days}"
        );
        Ok(deleted)
    }

    async fn delete_held(&self, target: &Target, owner: &str) -> Result<Cleanup> {
        let (team, days) = (target.team.id, target.days);
        let store = self.store_of(&target.team).await?;
        let bounds = bounds(target)?;
        let slices = self.ledger.slices(team).await?;
        let elsewhere = buckets_elsewhere(&slices, days, bounds);
        self.ledger.stop(team, days).await?;
        // A refill under way copied the rows and would bring them back: none may be under way in
        // the range's partitions, and none may begin.
        let mut partitions: Vec<i64> = days
            .newest_first()
            .filter_map(|day| target.zone.bounds(day))
            .flat_map(|bounds| [partition_of(bounds.from), partition_of(bounds.until)])
            .chain(elsewhere.iter().map(|bucket| partition_of(*bucket)))
            .collect();
        partitions.sort_unstable();
        partitions.dedup();
        let held = AtomicU64::new(0);
        let comment = format!("prefill:cleanup:{owner}");
        let delete = async {
            self.hold_all(&store.name, &partitions, owner, &held)
                .await?;
            // While the last one was waited for, none may have been over.
            self.renew_all(owner, &held).await.map_err(not_held)?;
            let counted = self.count_cleanup(target).await?;
            self.ledger.begin_cleaning(team, days).await?;
            let delete = async |table, bounds| {
                fill::delete_rows(&store.warehouse, table, &[team], bounds, &comment).await
            };
            for table in [&store.tables.stats, &store.tables.bounces] {
                delete(table, bounds).await?;
                for bucket in &elsewhere {
                    let from = *bucket;
                    let until = from + jiff::SignedDuration::from_secs(1);
                    delete(table, Bounds { from, until }).await?;
                }
            }
            self.ledger.clean(team, days).await?;
            Ok(counted)
        };
        tokio::select! {
            deleted = delete => deleted,
            lost = self.keep_holding(owner, &held) => Err(lost),
        }
    }

    /// Takes hold of all partitions, in their order, once nothing is filled in them any more; `held` is
    /// how many it has.
    async fn hold_all(
        &self,
        warehouse: &str,
        partitions: &[i64],
        owner: &str,
        held: &AtomicU64,
    ) -> Result<()> {
        let lease = self.config.service.lease();
        let deadline = Instant::now() + STOP_WITHIN;
        for partition in partitions {
            let hold = || self.ledger.hold(warehouse, *partition, owner, lease);
            while !hold().await? || self.ledger.runs_in(warehouse, *partition).await? {
                if Instant::now() > deadline {
                    return Err(Error::new(
                        Class::Later,
                        format!(
                            "the setting is off, and fills of partition {partition} did not stop within {} s: nothing was deleted",
                            STOP_WITHIN.as_secs()
                        ),
                    )
                    .hint("run the same cleanup again; prefill status shows what is running"));
                }
                // Nobody else may be there to take back what a dead worker holds.
                self.worker(self.store(warehouse).await?, None)
                    .expire()
                    .await?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            held.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Renews the hold on `held` partitions, however long a deletion takes, until one of them is lost.
    /// One that nobody renews is soon over, so that a cleanup that was killed is in nobody's way.
    async fn keep_holding(&self, owner: &str, held: &AtomicU64) -> Error {
        let lease = self.config.service.lease();
        not_held(worker::renewed(lease, || self.renew_all(owner, held)).await)
    }

    async fn renew_all(&self, owner: &str, held: &AtomicU64) -> Result<()> {
        let expected = held.load(Ordering::SeqCst);
        let lease = self.config.service.lease();
        // A fill may have come and gone where one was over.
        if self.ledger.renew_holds(owner, lease).await? < expected {
            return Err(Error::new(Class::Lost, "the hold on one of them was over"));
        }
        Ok(())
    }
}

fn not_held(why: Error) -> Error {
    Error::new(
        Class::Later,
        "the setting is off, and the hold on the partitions of the range was lost: rows of it may be left",
    )
    .caused_by(why)
    .hint("run the same cleanup again")
}
