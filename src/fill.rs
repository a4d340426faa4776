//! Fills both rollups for the slices of a claim, from one scan of the events.
//!
//! Whether rows are there is decided by looking at the tables, not by remembering: without any, the
//! new ones are inserted directly and then verified; with some (a refill, or what a try of unknown
//! outcome left), and where a day is written in pieces, the partition is copied, changed and verified
//! aside, and takes the old one's place in one step. So a fill that is done twice, at any point, leaves
//! the rows of one. Each statement that writes is preceded by a look at the claim. Writes no ledger but
//! whose claim and partitions these are, and that rows are about to be written.

mod abandoned;
mod deletion;
mod hold;
mod partition;
mod portions;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clickhouse::Row;
use futures_util::future::try_join;
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::OnceCell;
use tracing::warn;

pub use abandoned::undo_abandoned;
pub use deletion::delete_rows;
pub use portions::{Portions, portions};

use crate::calendar::{Bounds, TeamId};
use crate::config::SourceKind;
use crate::error::{Class, Error, Result};
use crate::ledger::{Claim, Claimed, Ledger, Receipt};
use crate::rollup::{Cut, SCRATCH_PREFIX, Tables, sql};
use crate::verify::{self, Scope, Verdict};
use crate::warehouse::name::{Name, with_names};
use crate::warehouse::{Statement, Warehouse};
use deletion::delete;

/// How long after a day's end its events may still come when nothing newer has: a day later, zero
/// events means that there were none.
const SOURCE_LAG: Duration = Duration::from_hours(24);

/// So few page views of a day are grouped without a look at whether that makes fewer rows of them.
const FEW_PAGE_VIEWS: u64 = 20_000;
/// Rows are grouped where that makes at least so many times fewer of them. Grouping costs three times
/// what writing does; readers notice the rows that they have to merge.
const WORTH_GROUPING: i64 = 2;

/// More page views than these are written into one rollup after the other, and in smaller blocks.
const MANY_PAGE_VIEWS: u64 = 2_000_000;
/// The bytes of a block that is a part when it is written, of which ClickHouse holds some four times as many
/// until then. Its own 256 MiB take less CPU time where there is less to write than that.
const SMALLER_BLOCK: u64 = 128 << 20;

/// How often a partition that somebody else writes to is begun again before the try is given up.
const RESTARTS: usize = 5;

/// What became of one slice.
#[derive(Clone, Debug)]
pub enum Filled {
    /// The tables hold it, and its verdict is clean.
    Done(Receipt),
    /// It has no events, and the source is not known to be complete.
    NoEventsYet,
    /// What was written differs from the raw events.
    Differs(Verdict),
}

/// A portion of a claim being filled: what all steps share.
pub struct Fill<'a> {
    pub warehouse: &'a Warehouse,
    /// What the ledger calls it.
    pub warehouse_name: &'a str,
    pub tables: &'a Tables,
    pub ledger: &'a Ledger,
    pub claim: &'a Claim,
    /// Those of the claim's slices that are filled together.
    pub slices: &'a [Claimed],
    /// Which portion of the claim they are, counted from 0.
    pub portion: usize,
    pub lease: Duration,
    /// Whether rows may have been written into the tables themselves.
    pub wrote_directly: &'a AtomicBool,
}

#[derive(Row, Deserialize)]
struct Number {
    value: i64,
}

#[derive(Row, Deserialize)]
struct SessionsOf {
    team_id: u64,
    bucket_s: i64,
    sessions: u64,
    page_views: u64,
    /// Sessions of which not all is known yet.
    inexact: u64,
    /// Sessions that last a day or longer.
    long: u64,
}

#[derive(Row, Deserialize)]
struct Sample {
    rows: i64,
    keys: i64,
}

#[derive(Row, Deserialize)]
struct Existing {
    there: u8,
    elsewhere: u8,
}

/// The tables that live as long as a claim's fill: the sessions, the copies of the rollups, and of
/// what PostHog says of persons.
pub struct Scratch {
    sessions: Name,
    stats: Name,
    bounces: Name,
    /// Where the source is PostHog's.
    overrides: Option<Name>,
    /// The warehouse's tables, but for the copy of the overrides.
    tables: Tables,
    /// Whether the copies of the rollups may be there.
    has_copies: AtomicBool,
    /// How they are made.
    create_copy: OnceCell<&'static str>,
}

impl Scratch {
    fn new(tables: &Tables, claim: &Claim, portion: usize) -> Result<Self> {
        let claim = claim.id.simple();
        let own = |kind: &str| tables.own(&format!("{SCRATCH_PREFIX}{claim}_{portion}_{kind}"));
        let mut scratch = Self {
            sessions: own("sessions")?,
            stats: own("stats")?,
            bounces: own("bounces")?,
            overrides: None,
            tables: tables.clone(),
            has_copies: AtomicBool::new(false),
            create_copy: OnceCell::new(),
        };
        if tables.source.kind == SourceKind::PostHog {
            let overrides = own("overrides")?;
            scratch.tables.source.overrides = overrides.clone();
            scratch.overrides = Some(overrides);
        }
        Ok(scratch)
    }
}

/// Who is filled, where, and as of when.
struct Batch {
    slices: Vec<Claimed>,
    teams: Vec<TeamId>,
    /// When the days begin, which follow each other, the oldest first.
    days: Vec<Timestamp>,
    /// From the first of them to the end of the last.
    bounds: Bounds,
    /// Of the first.
    partition: i64,
    /// Where rows of the zone that a team has left were, in seconds since 1970, each with the team:
    /// another team of the batch may have a day that begins there.
    left: Vec<(u64, i64)>,
    as_of_us: i64,
    comment: String,
    cut: Cut,
    /// Of all sessions that were collected.
    page_views: u64,
}

impl Batch {
    fn scope(&self) -> Scope<'_> {
        Scope {
            teams: &self.teams,
            bounds: self.bounds,
            as_of_us: self.as_of_us,
            comment: &self.comment,
        }
    }

    fn begins(&self) -> Vec<i64> {
        self.days.iter().map(|day| day.as_second()).collect()
    }
}

impl Fill<'_> {
    /// Fills the slices; what became of each. `None` when they are days that have to be filled one by one, and
    /// nothing was written.
    ///
    /// # Errors
    ///
    /// [`Class::Lost`] when the claim was lost; otherwise as the warehouse's errors are classed.
    /// Then nobody knows what was written, and the next try looks.
    pub async fn run(&self) -> Result<Option<Vec<(Claimed, Filled)>>> {
        let scratch = Scratch::new(self.tables, self.claim, self.portion)?;
        let filled = Box::pin(self.with_scratch(&scratch)).await;
        // On an error too. A fill that is done is not done again because of what it left behind:
        // that is swept by the next worker that starts.
        for last in [false, true] {
            match self.drop_scratch(&scratch).await {
                Ok(()) => break,
                Err(error) if last => warn!(error = error.chain(), "left a table of a fill behind"),
                Err(_) => {}
            }
        }
        filled
    }

    async fn with_scratch(&self, scratch: &Scratch) -> Result<Option<Vec<(Claimed, Filled)>>> {
        let begun = Instant::now();
        let Some(mut batch) = self.batch().await? else {
            return Ok(Some(Vec::new()));
        };
        self.alive().await?;
        self.run_sql(
            sql::CREATE_SESSIONS,
            &[("sessions", &scratch.sessions)],
            &batch,
            "create the sessions table",
        )
        .await?;
        if let Some(copy) = &scratch.overrides {
            self.copy_overrides(&batch, copy).await?;
        }
        let (tables, names) = (&scratch.tables, [("sessions", &scratch.sessions)]);
        let collect = tables.render_cut(sql::COLLECT_SESSIONS, batch.cut, &names);
        self.collect(&batch, &collect).await?;
        let mut found = self.count_sessions(&batch, scratch).await?;
        if batch.cut.has_days && found.iter().any(|day| day.long > 0) {
            return Ok(None);
        }
        if let Some(collect) = tables.render_collect_inexact(&scratch.sessions, batch.cut)
            && found.iter().any(|day| day.inexact > 0)
        {
            self.collect(&batch, &collect).await?;
            found = self.count_sessions(&batch, scratch).await?;
        }
        let mut done = self.take_out_incomplete(&mut batch, &found).await?;
        if batch.slices.is_empty() {
            return Ok(Some(done));
        }
        let Some(verdicts) = Box::pin(self.write(&batch, scratch)).await? else {
            return Ok(None);
        };
        // Of one day: people add up those of a team.
        let elapsed_ms = begun.elapsed().as_millis() / batch.days.len().max(1) as u128;
        let elapsed_ms = i64::try_from(elapsed_ms).unwrap_or(i64::MAX);
        for slice in batch.slices {
            let verdict = verdicts
                .get(&(slice.team_id, slice.bounds.from))
                .copied()
                .unwrap_or_default();
            let filled = if verdict.is_clean() {
                Filled::Done(Receipt {
                    as_of_us: batch.as_of_us,
                    elapsed_ms,
                    definition: self.tables.definition,
                    ..receipt(&verdict)
                })
            } else {
                Filled::Differs(verdict)
            };
            done.push((slice, filled));
        }
        Ok(Some(done))
    }

    async fn batch(&self) -> Result<Option<Batch>> {
        let slices = self.slices;
        let begin = |slice: &&Claimed| slice.bounds.from;
        let (Some(first), Some(last)) = (
            slices.iter().min_by_key(begin),
            slices.iter().max_by_key(begin),
        ) else {
            return Ok(None);
        };
        let teams: BTreeSet<TeamId> = slices.iter().map(|slice| slice.team_id).collect();
        let days: BTreeSet<Timestamp> = slices.iter().map(|slice| slice.bounds.from).collect();
        let comment = self.claim.comment();
        // Events that reach the warehouse while this runs belong to the next fill, for the check too.
        let now = self
            .warehouse
            .statement(
                "select toUnixTimestamp64Micro(now64(6, 'UTC')) as value",
                &comment,
            )
            .row::<Number>("read the warehouse's clock")
            .await?;
        Ok(Some(Batch {
            teams: teams.into_iter().collect(),
            bounds: Bounds {
                from: first.bounds.from,
                until: last.bounds.until,
            },
            cut: Cut {
                has_days: days.len() > 1,
                pieces: slices.iter().map(|slice| slice.pieces).max().unwrap_or(1),
            },
            days: days.into_iter().collect(),
            partition: first.partition,
            left: slices
                .iter()
                .filter_map(|slice| {
                    let team = u64::try_from(slice.team_id.0).ok()?;
                    slice.left_bucket.map(|left| (team, left.as_second()))
                })
                .collect(),
            as_of_us: now.value,
            comment,
            page_views: 0,
            slices: slices.to_vec(),
        }))
    }

    /// Waits until the warehouse has time for statements that take some. Not between those that readers
    /// should see together.
    async fn turn(&self) -> Result<()> {
        self.warehouse.turn().await;
        self.alive().await
    }

    /// The claim must be ours before each statement that writes.
    async fn alive(&self) -> Result<()> {
        self.ledger.renew(self.claim, self.lease).await
    }

    async fn run_sql(
        &self,
        text: &str,
        names: &[(&str, &Name)],
        batch: &Batch,
        doing: &str,
    ) -> Result<()> {
        self.warehouse
            .statement(&self.tables.render(text, names), &batch.comment)
            .run(doing)
            .await
    }

    async fn copy_overrides(&self, batch: &Batch, copy: &Name) -> Result<()> {
        self.turn().await?;
        let ids: Vec<i64> = batch.teams.iter().map(|team| team.0).collect();
        self.warehouse
            .statement(
                &self.tables.render(sql::COPY_OVERRIDES, &[("copy", copy)]),
                &batch.comment,
            )
            .param("teams", ids)
            .param("from_us", batch.bounds.from.as_microsecond())
            .param("until_us", batch.bounds.until.as_microsecond())
            .param("as_of_us", batch.as_of_us)
            .large()
            .run("copy what is said of persons")
            .await
    }

    async fn collect(&self, batch: &Batch, text: &str) -> Result<()> {
        let ids: Vec<i64> = batch.teams.iter().map(|team| team.0).collect();
        for piece in 0..batch.cut.pieces {
            self.turn().await?;
            self.warehouse
                .statement(text, &batch.comment)
                .param("teams", ids.clone())
                .param("from_us", batch.bounds.from.as_microsecond())
                .param("until_us", batch.bounds.until.as_microsecond())
                .param("begins", batch.begins())
                .param("as_of_us", batch.as_of_us)
                .param("pieces", batch.cut.pieces)
                .param("piece", piece)
                .large()
                .setting("min_insert_block_size_bytes", SMALLER_BLOCK)
                .run("collect the sessions")
                .await?;
        }
        Ok(())
    }

    async fn count_sessions(&self, batch: &Batch, scratch: &Scratch) -> Result<Vec<SessionsOf>> {
        let text = with_names(sql::COUNT_SESSIONS, &[("sessions", &scratch.sessions)]);
        self.warehouse
            .statement(&text, &batch.comment)
            .rows("count the sessions")
            .await
    }

    /// Takes the days without a session out of the batch, unless that is known to be all, or their sessions are gone
    /// and the tables have rows of them.
    async fn take_out_incomplete(
        &self,
        batch: &mut Batch,
        found: &[SessionsOf],
    ) -> Result<Vec<(Claimed, Filled)>> {
        batch.page_views = found.iter().map(|day| day.page_views).sum();
        let found: BTreeSet<(u64, i64)> = found
            .iter()
            .filter(|day| day.sessions > 0)
            .map(|day| (day.team_id, day.bucket_s))
            .collect();
        let has_sessions = |slice: &Claimed| {
            u64::try_from(slice.team_id.0)
                .is_ok_and(|team| found.contains(&(team, slice.bounds.from.as_second())))
        };
        let (mut known, without): (Vec<_>, Vec<_>) = batch.slices.drain(..).partition(has_sessions);
        let mut incomplete = Vec::new();
        let mut complete: BTreeMap<Timestamp, bool> = BTreeMap::new();
        for slice in without {
            let is_complete = match complete.get(&slice.bounds.from) {
                Some(is_complete) => *is_complete,
                None => self.source_is_complete(batch, slice.bounds).await?,
            };
            complete.insert(slice.bounds.from, is_complete);
            if is_complete {
                known.push(slice);
            } else {
                incomplete.push(slice);
            }
        }
        if !incomplete.is_empty() {
            let teams: Vec<TeamId> = incomplete.iter().map(|slice| slice.team_id).collect();
            let (from_s, until_s) = (
                batch.bounds.from.as_second(),
                batch.bounds.until.as_second(),
            );
            let rows =
                verify::rows_within(self.warehouse, self.tables, &teams, from_s, until_s).await?;
            // Whoever died after the rows were gone has left the receipt of them.
            let with_receipt = self.ledger.with_page_views(self.claim).await?;
            let had_sessions = |slice: &Claimed| {
                let day = slice.bounds.from.as_second()..slice.bounds.until.as_second();
                let mut rows = rows.iter();
                rows.any(|rows| rows.team() == slice.team_id && day.contains(&rows.bucket_s))
                    || with_receipt.contains(&(slice.team_id, slice.day))
            };
            known.extend(incomplete.extract_if(.., |slice| had_sessions(slice)));
        }
        let teams: BTreeSet<TeamId> = known.iter().map(|slice| slice.team_id).collect();
        batch.teams = teams.into_iter().collect();
        batch.slices = known;
        let waiting = incomplete.into_iter();
        Ok(waiting.map(|slice| (slice, Filled::NoEventsYet)).collect())
    }

    /// Whether the source has all of the day; of today, all until now.
    async fn source_is_complete(&self, batch: &Batch, day: Bounds) -> Result<bool> {
        let end_us = day.until.as_microsecond();
        let complete_us = if end_us > batch.as_of_us {
            day.from.as_microsecond()
        } else {
            end_us
        };
        let is_complete = self
            .warehouse
            .statement(&self.tables.render(sql::COMPLETE, &[]), &batch.comment)
            .param("complete_us", complete_us)
            .param(
                "lag_us",
                i64::try_from(SOURCE_LAG.as_micros()).unwrap_or(i64::MAX),
            )
            .row::<u8>("ask whether the source is complete")
            .await?;
        Ok(is_complete == 1)
    }

    /// The verdicts by team and day; `None` when these are days that have to be written one by one.
    async fn write(
        &self,
        batch: &Batch,
        scratch: &Scratch,
    ) -> Result<Option<BTreeMap<(TeamId, Timestamp), Verdict>>> {
        let existing = self.existing(batch).await?;
        // Pieces are published together: until the last one readers see none.
        if existing.there == 0 && batch.cut.pieces == 1 {
            self.alive().await?;
            self.ledger.will_write(self.claim, &batch.slices).await?;
            self.wrote_directly.store(true, Ordering::SeqCst);
            self.insert(batch, scratch, &self.tables.stats, &self.tables.bounces)
                .await?;
            self.turn().await?;
            let (stats, bounces) = (&self.tables.stats, &self.tables.bounces);
            return Ok(Some(self.verdicts(batch, scratch, stats, bounces).await?));
        }
        if batch.cut.has_days {
            return Ok(None);
        }
        for _ in 0..RESTARTS {
            let is_first = existing.there == 0;
            if let Some(verdicts) = self.replace(batch, scratch, is_first).await? {
                if existing.elsewhere == 1 {
                    self.delete_elsewhere(batch, scratch).await?;
                }
                return Ok(Some(verdicts));
            }
        }
        Err(Error::new(
            Class::Later,
            format!(
                "somebody else kept writing to partition {} while it was refilled",
                batch.partition
            ),
        ))
    }

    async fn verdicts(
        &self,
        batch: &Batch,
        scratch: &Scratch,
        stats: &Name,
        bounces: &Name,
    ) -> Result<BTreeMap<(TeamId, Timestamp), Verdict>> {
        let (tables, scope) = (&scratch.tables, batch.scope());
        verify::verdicts_of_days(self.warehouse, tables, &scope, &batch.days, stats, bounces).await
    }

    /// Whether rows of the same key are made one before they are written.
    async fn is_worth_grouping(&self, batch: &Batch, scratch: &Scratch) -> Result<bool> {
        if batch.page_views <= FEW_PAGE_VIEWS * batch.days.len() as u64 {
            return Ok(true);
        }
        let text = with_names(sql::SAMPLE_KEYS, &[("sessions", &scratch.sessions)]);
        let sample = self
            .warehouse
            .statement(&text, &batch.comment)
            .large()
            .row::<Sample>("look at how many rows grouping makes")
            .await?;
        Ok(sample.rows >= WORTH_GROUPING * sample.keys)
    }

    /// Writes the batch's sessions into both rollups, or copies of them: at the same time, where they
    /// are not that many that this would only take more memory.
    async fn insert(
        &self,
        batch: &Batch,
        scratch: &Scratch,
        stats: &Name,
        bounces: &Name,
    ) -> Result<()> {
        let names = [
            ("sessions", &scratch.sessions),
            ("stats", stats),
            ("bounces", bounces),
        ];
        let grouped = self.is_worth_grouping(batch, scratch).await?;
        let is_big = batch.page_views > MANY_PAGE_VIEWS;
        let write = async |statement, piece, doing| {
            let text = self
                .tables
                .render_write(statement, grouped, batch.cut, &names);
            // Teams that were taken out of the batch have no sessions in the table.
            let statement = self
                .warehouse
                .statement(&text, &batch.comment)
                .param("pieces", batch.cut.pieces)
                .param("piece", piece)
                .large();
            let statement = if is_big {
                statement.setting("min_insert_block_size_bytes", SMALLER_BLOCK)
            } else {
                statement
            };
            statement.run(doing).await
        };
        for piece in 0..batch.cut.pieces {
            // One turn for both, so that readers need not wait for the second table; it may still wait for memory.
            self.turn().await?;
            let stats = write(sql::WRITE_STATS, piece, "write the stats rollup");
            let bounces = write(sql::WRITE_BOUNCES, piece, "write the bounces rollup");
            if is_big {
                stats.await?;
                self.alive().await?;
                bounces.await?;
            } else {
                try_join(stats, bounces).await?;
            }
        }
        Ok(())
    }

    /// Refills the batch in a copy of the partition and puts that in its place. `None` when
    /// somebody wrote to the partition meanwhile; a verdict that is not clean publishes nothing.
    async fn replace(
        &self,
        batch: &Batch,
        scratch: &Scratch,
        is_first: bool,
    ) -> Result<Option<BTreeMap<(TeamId, Timestamp), Verdict>>> {
        self.alive().await?;
        let mut copied = Vec::new();
        for (table, copy) in self.with_copies(scratch) {
            copied.push(
                self.copy_without_rows(batch, scratch, table, copy, batch.partition)
                    .await?,
            );
        }
        self.insert(batch, scratch, &scratch.stats, &scratch.bounces)
            .await?;
        self.turn().await?;
        let verdicts = self
            .verdicts(batch, scratch, &scratch.stats, &scratch.bounces)
            .await?;
        if !verdicts.values().all(Verdict::is_clean) {
            return Ok(Some(verdicts));
        }
        for copied in &copied {
            if !self.is_as_copied(batch, copied).await? {
                return Ok(None);
            }
        }
        // What is there otherwise may be somebody else's, and right.
        if is_first {
            self.ledger.will_write(self.claim, &batch.slices).await?;
        }
        for copied in &copied {
            self.publish(batch, copied).await?;
        }
        Ok(Some(verdicts))
    }

    async fn existing(&self, batch: &Batch) -> Result<Existing> {
        let (partition, left) = (batch.partition, &batch.left);
        existing(self.warehouse, self.tables, &batch.scope(), partition, left).await
    }

    async fn delete(&self, statement: &str, batch: &Batch, table: &Name) -> Result<()> {
        self.alive().await?;
        let text = with_names(statement, &[("table", table)]);
        delete(
            self.warehouse,
            table,
            self.of_rows(&text, batch),
            &batch.comment,
            "delete the rows that are replaced",
        )
        .await
    }

    /// A statement about the rows that the batch's days have in the tables.
    fn of_rows<'a>(&'a self, text: &'a str, batch: &'a Batch) -> Statement<'a> {
        self.warehouse
            .statement(text, &batch.comment)
            .param("teams", unsigned(&batch.teams))
            .param("from_s", batch.bounds.from.as_second())
            .param("until_s", batch.bounds.until.as_second())
            .param("left", &batch.left)
            .param("partition", batch.partition)
    }

    async fn drop_scratch(&self, scratch: &Scratch) -> Result<()> {
        let copies = [&scratch.stats, &scratch.bounces];
        let copies = copies
            .into_iter()
            .filter(|_| scratch.has_copies.load(Ordering::SeqCst));
        for table in [&scratch.sessions]
            .into_iter()
            .chain(copies)
            .chain(&scratch.overrides)
        {
            let text = with_names("drop table if exists {table} sync", &[("table", table)]);
            self.warehouse
                .statement(&text, &self.claim.comment())
                .run("drop a table of the fill")
                .await?;
        }
        Ok(())
    }

    /// Leaves no trace of a fill that was given up while the claim was still ours, once its statements
    /// are over: deletes what it wrote directly (there was nothing before), drops its tables.
    ///
    /// # Errors
    ///
    /// As the warehouse's errors are classed; then the next try finds the rows by looking.
    pub async fn undo(&self) -> Result<()> {
        if self.wrote_directly.load(Ordering::SeqCst)
            && let Some(batch) = self.batch().await?
        {
            let delete = |table| {
                let (teams, bounds) = (&batch.teams, batch.bounds);
                delete_rows(self.warehouse, table, teams, bounds, &batch.comment)
            };
            try_join(delete(&self.tables.stats), delete(&self.tables.bounces)).await?;
            let days = self.slices.iter();
            let days = days.map(|slice| (slice.team_id, slice.day, slice.fence));
            self.ledger.undone(days).await?;
        }
        self.drop_tables().await
    }

    /// Drops the fill's own tables once its statements are over. Nobody else uses them, whoever has the days by now.
    ///
    /// # Errors
    ///
    /// As the warehouse's errors are classed; then the next worker that starts drops them.
    pub async fn drop_tables(&self) -> Result<()> {
        let scratch = Scratch::new(self.tables, self.claim, self.portion)?;
        scratch.has_copies.store(true, Ordering::SeqCst);
        self.drop_scratch(&scratch).await
    }
}

/// What both tables have of the days of a scope.
async fn existing(
    warehouse: &Warehouse,
    tables: &Tables,
    scope: &Scope<'_>,
    partition: i64,
    left: &[(u64, i64)],
) -> Result<Existing> {
    warehouse
        .statement(&tables.render(sql::EXISTING, &[]), scope.comment)
        .param("teams", unsigned(scope.teams))
        .param("from_s", scope.bounds.from.as_second())
        .param("until_s", scope.bounds.until.as_second())
        .param("left", left)
        .param("partition", partition)
        .row("look for rows that are there")
        .await
}

fn unsigned(teams: &[TeamId]) -> Vec<u64> {
    // A negative id matches nothing: the rollups' team_id has no sign.
    teams
        .iter()
        .filter_map(|team| u64::try_from(team.0).ok())
        .collect()
}

fn receipt(verdict: &Verdict) -> Receipt {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let raw = &verdict.raw;
    Receipt {
        stats_rows: verdict.stats.rows,
        bounces_rows: verdict.bounces.rows,
        events: number(raw.events),
        sessions: number(raw.sessions),
        page_views: number(raw.page_views),
        persons: number(raw.persons),
        bounces: number(raw.bounces),
        duration_seconds: raw.duration_seconds,
        checksum: raw.checksum,
        ..Receipt::default()
    }
}
