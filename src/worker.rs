//! One step of work: expire, claim, fill, record. The loops around it only wait between steps.

mod owner;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use clickhouse::Row;
use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use crate::calendar::TeamId;
use crate::config::Config;
use crate::error::{Class, Error, Result};
use crate::fill::{self, Fill, Filled, Portions};
use crate::governor::LOOK_EVERY;
use crate::ledger::{Claim, Claimed, Ledger, NotKept, Outcome, Receipt, Width, is_of_ledger};
use crate::rollup::{Reading, SCRATCH_PREFIX};
use crate::schema::Store;
use crate::telemetry;
use crate::warehouse::codes;
use crate::warehouse::name::with_names;

pub use owner::owner;

/// How long a day without events waits for the next look; events that come end the wait at once.
const WAIT_FOR_EVENTS: Duration = Duration::from_secs(60);
/// How long work waits for a warehouse that does not answer.
const WAIT_FOR_WAREHOUSE: Duration = Duration::from_secs(1);
/// The most pieces that a day's sessions are taken in before memory is somebody's to mend.
const MOST_PIECES: i64 = 256;
/// The most where nobody says that it is too much: the warehouse was gone in the midst of it.
const MOST_PIECES_OF_A_GUESS: i64 = 16;

/// Nothing of it was done, or nothing that the next one has to know.
const NOT_TRIED: Outcome = Outcome {
    wait: Duration::ZERO,
    error: None,
    class: None,
    failed: false,
    counts: false,
    waiting_for_events: false,
};

/// Renews a lease again and again; why it is lost. A ledger that does not answer has until half of
/// the lease is over, since when is known here by the time that went by, and not by a clock:
/// from then on somebody else may have the claim.
pub async fn renewed<F: Future<Output = Result<()>>>(
    lease: Duration,
    renew: impl Fn() -> F,
) -> Error {
    // The other half is for stopping what runs.
    let in_time = lease / 2;
    let mut since = Instant::now();
    loop {
        tokio::time::sleep((lease / 4).min(Duration::from_secs(1))).await;
        let asked = Instant::now();
        match tokio::time::timeout_at(since + in_time, renew()).await {
            Ok(Ok(())) => since = asked,
            Ok(Err(error)) if error.class() == Class::Lost => return error,
            Ok(Err(error)) if since.elapsed() < in_time => {
                warn!(error = error.chain(), "could not renew a lease");
            }
            Ok(Err(_)) | Err(_) => {
                return Error::new(
                    Class::Lost,
                    "it could not be renewed before its lease was over",
                );
            }
        }
    }
}

/// Whether the warehouse was gone in the midst of a fill: then the fill may be what ended it, or what takes longer
/// than something between lets it. One that refuses does answer.
fn is_cut_off(error: &Error) -> bool {
    error.class() == Class::Unreachable
        && codes::code_in(&error.chain()).is_none()
        && !is_of_ledger(error)
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing could be claimed.
    Idle,
    /// Some slices were filled.
    Filled,
    /// None was.
    Failed,
}

/// Everything that a step needs.
#[derive(Clone, Debug)]
pub struct Worker {
    pub ledger: Ledger,
    /// Works on this warehouse only.
    pub store: Store,
    pub config: Config,
    /// Tells people whose claim it is.
    pub owner: String,
    /// Works for this run only.
    pub run: Option<Uuid>,
}

#[derive(Row, Deserialize)]
struct TableName {
    name: String,
}

impl Worker {
    /// Does the next piece of work.
    ///
    /// # Errors
    ///
    /// When the ledger fails. What fails on the warehouse is recorded there, and is no error here.
    pub async fn step(&self, stop: &CancellationToken) -> Result<Step> {
        Box::pin(self.expire()).await?;
        tokio::select! {
            undone = Box::pin(self.undo_abandoned()) => undone?,
            () = stop.cancelled() => return Ok(Step::Idle),
        }
        let service = &self.config.service;
        let claim = self
            .ledger
            .claim(
                &self.owner,
                service.lease(),
                service.batch,
                &self.store.name,
                self.run,
            )
            .await?;
        let Some(claim) = claim else {
            return Ok(Step::Idle);
        };
        telemetry::CLAIMS.add([&self.store.name], 1);
        for slice in &claim.slices {
            debug!(team_id = slice.team_id.0, day = %slice.day, attempt = slice.attempts, reason = slice.reason, "claimed");
        }
        Box::pin(self.work(&claim, stop)).await
    }

    /// Gives back what dead workers held, after killing what they left running.
    ///
    /// # Errors
    ///
    /// When the ledger fails.
    pub async fn expire(&self) -> Result<()> {
        for holder in self.ledger.holders(&self.store.name).await? {
            let dead = owner::is_dead(&holder.owner);
            if !holder.lease_is_over && !dead {
                continue;
            }
            if let Err(error) = self.store.warehouse.kill(&holder.comment).await {
                // Of a warehouse that does not answer the service has told already.
                if error.class() != Class::Unreachable {
                    warn!(
                        error = error.chain(),
                        "not taking over a dead worker's claim yet"
                    );
                }
                continue;
            }
            let slices = self.ledger.expire(&holder.claim, dead).await?;
            if slices > 0 {
                telemetry::CLAIMS_EXPIRED.add([&self.store.name], 1);
                // Its tables, too: nobody else will.
                if let Err(error) = self.sweep().await {
                    warn!(
                        error = error.chain(),
                        "could not sweep what a dead worker left"
                    );
                }
                warn!(
                    slices,
                    claim = holder.claim,
                    "a worker stopped without a word: giving its slices to others"
                );
            }
        }
        Ok(())
    }

    /// Leaves readers nothing of days that a worker had written, did not record, and nobody fills now.
    async fn undo_abandoned(&self) -> Result<()> {
        let lease = self.config.service.lease();
        match fill::undo_abandoned(&self.ledger, &self.store, lease).await {
            Err(error) if is_of_ledger(&error) => Err(error),
            Err(error) => {
                // Of a warehouse that does not answer the service has told already.
                if error.class() != Class::Unreachable {
                    warn!(
                        error = error.chain(),
                        "could not delete yet what was written and not recorded"
                    );
                }
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    async fn work(&self, claim: &Claim, stop: &CancellationToken) -> Result<Step> {
        let warehouse = &self.store.warehouse.in_background();
        let tables = &self.store.tables;
        let reading = tables.reading();
        let weighed = fill::portions(warehouse, tables, claim);
        let mut portions: VecDeque<Vec<Claimed>> =
            match self.while_alive(claim, stop, weighed).await {
                Ok(Portions {
                    now,
                    later,
                    are_large,
                }) => {
                    if are_large && let Some(slice) = later.first() {
                        self.ledger.claim_by_day(&self.store.name, slice.team_id);
                    }
                    self.ledger.give_back(claim, &later, &NOT_TRIED).await?;
                    now.into()
                }
                Err(error) => {
                    let error = self.of_changed_tables(claim, error, &reading, stop).await;
                    self.give_up(claim, &claim.slices, None, &error, stop)
                        .await?;
                    return Ok(Step::Failed);
                }
            };
        let mut step = Step::Failed;
        for portion in 0.. {
            let Some(slices) = portions.pop_front() else {
                break;
            };
            let begun = Instant::now();
            let wrote_directly = AtomicBool::new(false);
            let fill = Fill {
                warehouse,
                warehouse_name: &self.store.name,
                tables,
                ledger: &self.ledger,
                claim,
                slices: &slices,
                portion,
                lease: self.config.service.lease(),
                wrote_directly: &wrote_directly,
            };
            // In a box: it is large, and lies on the stack of whoever waits for it otherwise.
            let ended = self.while_alive(claim, stop, Box::pin(fill.run())).await;
            telemetry::FILL_READ.add([&self.store.name], warehouse.take_read_bytes());
            match ended {
                Ok(None) => {
                    for slice in slices.iter().rev() {
                        self.ledger.claim_by_day(&self.store.name, slice.team_id);
                        portions.push_front(vec![slice.clone()]);
                    }
                }
                Ok(Some(filled)) => {
                    telemetry::FILL_SECONDS.observe([&self.store.name], begun.elapsed());
                    if self.record(claim, filled).await? == Step::Filled {
                        step = Step::Filled;
                    }
                }
                Err(error) => {
                    let error = self.of_changed_tables(claim, error, &reading, stop).await;
                    let is_given_up = self
                        .give_up(claim, &slices, Some(&fill), &error, stop)
                        .await?;
                    let is_over = matches!(error.class(), Class::Lost | Class::Unreachable);
                    if is_given_up && !is_over {
                        continue;
                    }
                    // The others were not tried.
                    if is_given_up {
                        let rest: Vec<Claimed> = portions.into_iter().flatten().collect();
                        self.ledger.give_back(claim, &rest, &NOT_TRIED).await?;
                    }
                    break;
                }
            }
        }
        // It comes last: it must not delay the end of what runs on a claim that is lost.
        self.tell_use(true).await;
        Ok(step)
    }

    /// Does a part of the work, as long as the claim is ours and nobody stops this.
    async fn while_alive<T>(
        &self,
        claim: &Claim,
        stop: &CancellationToken,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        tokio::select! {
            done = work => done,
            lost = self.stay_alive(claim) => Err(lost),
            () = stop.cancelled() => Err(Error::new(Class::Lost, "told to stop")),
            never = self.watch() => match never {},
        }
    }

    /// Where somebody changed the columns of the raw events since they were read as in `before`, there is nothing
    /// wrong with the next try; where a table or a column is missing now, that is what is wrong.
    async fn of_changed_tables(
        &self,
        claim: &Claim,
        error: Error,
        before: &Reading,
        stop: &CancellationToken,
    ) -> Error {
        if !codes::code_in(&error.chain()).is_some_and(codes::is_of_tables) {
            return error;
        }
        let looked = self.while_alive(claim, stop, self.store.look_again()).await;
        match looked {
            Err(misfit)
                if misfit.class() == Class::Operator
                    && std::error::Error::source(&misfit).is_none() =>
            {
                misfit.caused_by(error)
            }
            Err(failed) => {
                warn!(
                    warehouse = self.store.name,
                    error = failed.chain(),
                    "could not look at the tables again"
                );
                error
            }
            Ok(()) if *self.store.tables.reading() == *before => error,
            Ok(()) => {
                Error::new(Class::Later, "the columns of the raw events changed").caused_by(error)
            }
        }
    }

    /// Ends a try of some slices; false when that is left to [`Worker::expire`].
    async fn give_up(
        &self,
        claim: &Claim,
        slices: &[Claimed],
        fill: Option<&Fill<'_>>,
        error: &Error,
        stop: &CancellationToken,
    ) -> Result<bool> {
        if error.class() == Class::Lost && !stop.is_cancelled() {
            telemetry::CLAIMS_LOST.add([&self.store.name], 1);
        }
        if !self.quiet(claim, stop).await {
            return Ok(false);
        }
        // Whoever waits for this day waits for this to be over.
        if error.class() == Class::Lost
            && let Some(fill) = fill
        {
            self.undo(claim, fill).await;
        }
        let is_cut_off = fill.is_some() && is_cut_off(error);
        if is_cut_off {
            self.ledger.note_cut_off(claim, slices).await?;
        }
        let again = is_cut_off && slices.iter().any(|slice| slice.cut_offs > 0);
        if error.class() == Class::Narrower {
            self.narrow(slices, MOST_PIECES).await?;
        } else if again {
            self.narrow(slices, MOST_PIECES_OF_A_GUESS).await?;
        }
        for slice in slices {
            self.give_back(claim, slice, error, is_cut_off, stop)
                .await?;
        }
        Ok(true)
    }

    /// Looks who uses the warehouse while a fill is under way, and tells what fills take of it.
    async fn watch(&self) -> Infallible {
        loop {
            self.store.warehouse.look().await;
            self.tell_use(false).await;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn tell_use(&self, last: bool) {
        let Some(taken) = self.store.warehouse.tell_use(last) else {
            return;
        };
        // For people to see, and no matter for the fill.
        if let Err(error) = self.ledger.note_use(&self.store.name, &taken).await {
            debug!(error = error.chain(), "could not note what fills take");
        }
    }

    /// Sees to it that no statement of a claim runs any more: one that nobody answered for may still be
    /// at work, and would write beside the next try. Waits for a warehouse that does not answer. False
    /// when that cannot be known: then the claim is left to [`Worker::expire`], which asks first.
    async fn quiet(&self, claim: &Claim, stop: &CancellationToken) -> bool {
        let comment = claim.comment();
        let mut waits = false;
        loop {
            let kill = self.store.warehouse.kill(&comment);
            tokio::pin!(kill);
            let (killed, held) = tokio::select! {
                killed = &mut kill => (killed, true),
                // Who has lost the claim stops what it left running all the same.
                () = self.hold_on(claim) => (kill.await, false),
            };
            let Err(error) = killed else {
                return true;
            };
            if !waits {
                waits = true;
                warn!(
                    claim = %claim.id, warehouse = self.store.name, slices = claim.slices.len(),
                    error = error.chain(),
                    "cannot tell whether the statements of a fill are over; waiting for the warehouse"
                );
            }
            if !held || stop.is_cancelled() {
                return false;
            }
            tokio::time::sleep(WAIT_FOR_WAREHOUSE).await;
        }
    }

    /// Leaves no half of a fill for readers to see, as long as the claim is held: rows of what is lost may be
    /// somebody else's by now, and are not touched.
    async fn undo(&self, claim: &Claim, fill: &Fill<'_>) {
        let lease = self.config.service.lease();
        let undone = if matches!(self.ledger.hold_on(claim, lease).await, Ok(true)) {
            tokio::select! {
                undone = fill.undo() => undone,
                () = self.hold_on(claim) => fill.drop_tables().await,
            }
        } else {
            fill.drop_tables().await
        };
        if let Err(error) = undone {
            warn!(
                error = error.chain(),
                "what the fill had written stays until the next try"
            );
        }
    }

    /// Renews the lease, also of a claim that is to stop, until it is lost.
    async fn hold_on(&self, claim: &Claim) {
        let lease = self.config.service.lease();
        renewed(lease, || async {
            match self.ledger.hold_on(claim, lease).await? {
                true => Ok(()),
                false => Err(Error::new(Class::Lost, "the claim was lost")),
            }
        })
        .await;
    }

    /// Renews the lease until the claim is lost.
    async fn stay_alive(&self, claim: &Claim) -> Error {
        let lease = self.config.service.lease();
        renewed(lease, || self.ledger.renew(claim, lease)).await
    }

    /// Half as many teams together from now on; of one that is alone a day at a time, and of that half of
    /// its sessions.
    async fn narrow(&self, slices: &[Claimed], most_pieces: i64) -> Result<()> {
        if let [first, second, ..] = slices
            && first.team_id == second.team_id
        {
            let days = slices.len();
            info!(
                team_id = first.team_id.0,
                days, "it was too much at once: filling a day at a time"
            );
            self.ledger.claim_by_day(&self.store.name, first.team_id);
            return Ok(());
        }
        let teams: Vec<TeamId> = slices.iter().map(|slice| slice.team_id).collect();
        let width = match slices {
            [alone] => Width {
                together: 1,
                pieces: (alone.pieces * 2).min(most_pieces.max(alone.pieces)),
            },
            many => Width {
                together: i64::try_from(many.len() / 2).unwrap_or(1),
                pieces: 1,
            },
        };
        info!(
            teams = teams.len(),
            together = width.together,
            pieces = width.pieces,
            "it was too much at once: filling less at a time"
        );
        self.ledger.narrow(&self.store.name, &teams, width).await
    }

    async fn record(&self, claim: &Claim, filled: Vec<(Claimed, Filled)>) -> Result<Step> {
        let (mut done, mut waiting) = (Vec::new(), Vec::new());
        for (slice, filled) in filled {
            match filled {
                Filled::Done(receipt) => done.push((slice, receipt)),
                Filled::NoEventsYet => {
                    debug!(team_id = slice.team_id.0, day = %slice.day, outcome = "waiting", "no events yet");
                    waiting.push(slice);
                }
                Filled::Differs(verdict) => {
                    let error = Error::new(
                        Class::Later,
                        format!(
                            "the tables differ from the raw events: {}",
                            verdict.describe()
                        ),
                    );
                    self.give_back(claim, &slice, &error, false, &CancellationToken::new())
                        .await?;
                }
            }
        }
        let outcome = Outcome {
            wait: WAIT_FOR_EVENTS,
            error: Some(
                "no events yet, and the source is not known to be complete for the day".to_owned(),
            ),
            class: None,
            failed: false,
            counts: false,
            waiting_for_events: true,
        };
        self.ledger.give_back(claim, &waiting, &outcome).await?;
        self.count("waiting", waiting.len());
        let recorded = self.ledger.record(claim, &done).await?;
        let mut lost = Vec::new();
        for (slice, receipt) in done {
            if !recorded.contains(&(slice.team_id, slice.day)) {
                // The rows are right; whoever has the slice now finds them.
                warn!(team_id = slice.team_id.0, day = %slice.day, outcome = "lost", "the claim was lost before the fill was recorded");
                lost.push(slice);
                continue;
            }
            self.count_filled(&receipt);
            if slice.is_wider {
                let most = self.config.service.batch;
                self.ledger
                    .widen(&self.store.name, slice.team_id, most)
                    .await?;
            }
            info!(
                team_id = slice.team_id.0,
                day = %slice.day,
                timezone = slice.timezone,
                reason = slice.reason,
                stats_rows = receipt.stats_rows,
                bounces_rows = receipt.bounces_rows,
                sessions = receipt.sessions,
                page_views = receipt.page_views,
                events = receipt.events,
                elapsed_ms = receipt.elapsed_ms,
                outcome = "filled",
                "filled team {}, {}: {} sessions, {} page views, verified",
                slice.team_id, slice.day, receipt.sessions, receipt.page_views
            );
        }
        self.count("lost", lost.len());
        self.ledger.give_back(claim, &lost, &NOT_TRIED).await?;
        Ok(if recorded.is_empty() {
            Step::Failed
        } else {
            Step::Filled
        })
    }

    /// Decides what a failed try means for a slice, by the class of its error.
    async fn give_back(
        &self,
        claim: &Claim,
        slice: &Claimed,
        error: &Error,
        is_cut_off: bool,
        stop: &CancellationToken,
    ) -> Result<()> {
        let spent = slice.attempts >= i64::from(self.config.service.attempts);
        let least = error.class() == Class::Narrower && slice.pieces >= MOST_PIECES;
        let cut_off_again = is_cut_off && slice.cut_offs > 0;
        let hint = match error.class() {
            _ if cut_off_again => Some(format!(
                "the warehouse was gone in the midst of it {} times running: look into its log, and whether the system ended it for lack of memory",
                slice.cut_offs + 1
            )),
            // As long as there is less at a time, nobody has to do anything.
            Class::Narrower => {
                let limit = error.next_step().filter(|_| least);
                limit.map(|limit| format!("{limit}, then run prefill retry"))
            }
            _ => error.next_step().map(ToOwned::to_owned),
        };
        let outcome = Outcome {
            wait: Duration::ZERO,
            error: Some(match hint {
                Some(hint) => format!("{} (hint: {hint})", error.chain()),
                None => error.chain(),
            }),
            class: Some(error.class()),
            failed: false,
            counts: true,
            waiting_for_events: false,
        };
        let not_kept = NotKept::caused(error);
        let outcome = match error.class() {
            Class::Lost if stop.is_cancelled() => Outcome {
                error: None,
                class: None,
                counts: false,
                ..outcome
            },
            // Nor is anything wrong with the others of its batch.
            Class::Lost if not_kept => Outcome {
                wait: self.backoff(slice.attempts),
                error: None,
                class: None,
                ..outcome
            },
            Class::Lost => Outcome {
                wait: self.backoff(slice.attempts),
                ..outcome
            },
            // Nothing is wrong with the day.
            _ if is_of_ledger(error) => Outcome {
                wait: WAIT_FOR_WAREHOUSE,
                counts: false,
                ..outcome
            },
            Class::Unreachable if cut_off_again => Outcome {
                wait: self.backoff(slice.cut_offs),
                counts: false,
                ..outcome
            },
            Class::Unreachable => Outcome {
                wait: WAIT_FOR_WAREHOUSE,
                counts: false,
                ..outcome
            },
            Class::Narrower if slice.pieces < MOST_PIECES => Outcome {
                counts: false,
                ..outcome
            },
            Class::Later => Outcome {
                wait: self.backoff(slice.attempts),
                failed: spent,
                ..outcome
            },
            // What is too much at the least width is so the next time, too.
            Class::Narrower | Class::Operator | Class::Misuse | Class::Never => Outcome {
                failed: true,
                ..outcome
            },
        };
        self.count_try(error, &outcome);
        if outcome.failed {
            error!(
                team_id = slice.team_id.0, day = %slice.day, attempts = slice.attempts, outcome = "failed",
                error = outcome.error.as_deref().unwrap_or_default(),
                "failed to fill team {}, {}", slice.team_id, slice.day
            );
        } else if not_kept && !stop.is_cancelled() {
            info!(
                team_id = slice.team_id.0, day = %slice.day, outcome = "lost",
                "stopped filling team {}, {}: somebody paused or cancelled it, or another worker has it",
                slice.team_id, slice.day
            );
        } else if outcome.error.is_some() {
            warn!(
                team_id = slice.team_id.0, day = %slice.day, attempts = slice.attempts, outcome = "retry",
                wait_ms = u64::try_from(outcome.wait.as_millis()).unwrap_or(u64::MAX),
                error = outcome.error.as_deref().unwrap_or_default(),
                "trying team {}, {} again", slice.team_id, slice.day
            );
        }
        self.ledger
            .give_back(claim, std::slice::from_ref(slice), &outcome)
            .await
    }

    fn count(&self, outcome: &str, slices: usize) {
        telemetry::FILLS.add([&self.store.name, outcome], slices as u64);
    }

    fn count_filled(&self, receipt: &Receipt) {
        let name = &self.store.name;
        let number = |number: i64| u64::try_from(number).unwrap_or(0);
        self.count("filled", 1);
        telemetry::FILL_ROWS.add([name, "stats"], number(receipt.stats_rows));
        telemetry::FILL_ROWS.add([name, "bounces"], number(receipt.bounces_rows));
        telemetry::FILL_EVENTS.add([name], number(receipt.events));
    }

    /// Counts a try that did not fill its slice.
    fn count_try(&self, error: &Error, outcome: &Outcome) {
        let is_lost = error.class() == Class::Lost && !outcome.failed;
        self.count(
            match outcome.failed {
                true => "failed",
                false if is_lost => "lost",
                false => "retry",
            },
            1,
        );
        let code = codes::label(codes::code_in(&error.chain()));
        let labels = [&*self.store.name, error.class().name(), &*code];
        if outcome.failed {
            telemetry::FAILURES.add(labels, 1);
        } else if !is_lost {
            telemetry::RETRIES.add(labels, 1);
        }
    }

    /// The wait after a try: doubles with each, with jitter.
    fn backoff(&self, attempts: i64) -> Duration {
        let attempts = usize::try_from(attempts).unwrap_or(1).clamp(1, 20);
        ExponentialBuilder::default()
            .with_min_delay(self.config.service.backoff())
            .with_max_delay(Duration::from_secs(600))
            .with_factor(2.0)
            .with_max_times(attempts)
            .with_jitter()
            .build()
            .last()
            .unwrap_or_default()
    }

    /// Drops the tables of fills that are not under way any more: what a crash left.
    ///
    /// # Errors
    ///
    /// When the ledger or the warehouse fails.
    pub async fn sweep(&self) -> Result<()> {
        let (database, _) = self.store.tables.stats.parts();
        // The tables first: a fill that ends between the two questions drops its own.
        let tables: Vec<TableName> = self
            .store
            .warehouse
            .statement(
                "select name from system.tables where database = {database:String} and startsWith(name, {prefix:String})",
                "prefill:sweep",
            )
            .param("database", database)
            .param("prefix", SCRATCH_PREFIX)
            .rows("look for tables that a crash left")
            .await?;
        let running = self.ledger.running_claims().await?;
        for TableName { name } in tables {
            if running
                .iter()
                .any(|claim| name.contains(&claim.simple().to_string()))
            {
                continue;
            }
            let table = self.store.tables.own(&name)?;
            self.store
                .warehouse
                .statement(
                    &with_names("drop table if exists {table} sync", &[("table", &table)]),
                    "prefill:sweep",
                )
                .run("drop a table that a crash left")
                .await?;
            info!(table = name, "dropped a table that a crash left");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const LEASE: Duration = Duration::from_secs(2);

    #[tokio::test]
    async fn f9_a_lease_that_nobody_renews_in_time_is_lost_before_it_is_over() {
        let begun = Instant::now();
        let silent = renewed(LEASE, std::future::pending::<Result<()>>).await;
        assert_eq!(silent.class(), Class::Lost);
        assert!(begun.elapsed() < LEASE, "{:?}", begun.elapsed());

        let begun = Instant::now();
        let broken = || async { Err(Error::new(Class::Unreachable, "no ledger")) };
        assert_eq!(renewed(LEASE, broken).await.class(), Class::Lost);
        assert!(begun.elapsed() < LEASE, "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn a_lease_is_renewed_until_the_ledger_says_that_it_is_lost() {
        let (begun, asked) = (Instant::now(), AtomicUsize::new(0));
        // One answer in two fails, which is no matter.
        let lost = renewed(LEASE, || async {
            match asked.fetch_add(1, Ordering::SeqCst) {
                8.. => Err(Error::new(Class::Lost, "somebody else has it")),
                odd if odd % 2 == 1 => Err(Error::new(Class::Later, "busy")),
                _ => Ok(()),
            }
        })
        .await;
        assert_eq!(lost.to_string(), "somebody else has it");
        assert!(begun.elapsed() > LEASE, "{:?}", begun.elapsed());
    }
}
