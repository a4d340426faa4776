//! One installation, opened; and `prefill serve`, which keeps its tables filled until told to stop.
//!
//! The loops here only wait: for a commit to the ledger, for a timer, for a step to end. What they
//! call decides for itself what is to be done, so that each can fail, be late or run twice.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::sync::{Notify, OnceCell};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::calendar::TeamId;
use crate::config::Config;
use crate::error::{Class, Context, Error, Result};
use crate::freshness;
use crate::ledger::{Ledger, Team};
use crate::reconcile;
use crate::rollup::Tables;
use crate::schema::Store;
pub use crate::warehouse::Place;
use crate::worker::{self, Step, Worker};

/// How often the ledger is asked whether anybody committed to it: a question of microseconds.
const WATCH_EVERY: Duration = Duration::from_millis(50);
/// How often the warehouse is asked whether it lives.
const PING_EVERY: Duration = Duration::from_secs(1);
/// How long a command waits for a warehouse that does not answer.
const SILENCE: Duration = Duration::from_secs(20);
/// How often a warehouse that could not be used is tried again.
const OPEN_EVERY: Duration = Duration::from_secs(5);
/// How long a loop rests after an error of its own.
const REST: Duration = Duration::from_secs(1);
/// How long open work may go unnoticed at most, should a notice be lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The ledger of an installation, for commands that need no warehouse.
///
/// # Errors
///
/// [`Class::Operator`] when the data directory cannot be made or written.
pub async fn open_ledger(data_dir: &Path) -> Result<Ledger> {
    if data_dir.exists() && !data_dir.is_dir() {
        return Err(
            Error::misuse(format!("{} is not a directory", data_dir.display()))
                .hint("pass --data-dir DIR (or set PREFILL_DATA_DIR) with a directory"),
        );
    }
    std::fs::create_dir_all(data_dir).map_err(|error| {
        Error::operator(format!(
            "failed to make the data directory {}",
            data_dir.display()
        ))
        .caused_by(error)
        .hint("pass --data-dir DIR (or set PREFILL_DATA_DIR) with a directory that you can write")
    })?;
    Ledger::open(data_dir).await
}

/// An installation: configuration, ledger and warehouses.
#[derive(Clone, Debug)]
pub struct Prefill {
    pub config: Config,
    pub ledger: Ledger,
    place: Place,
    owner: String,
    /// By name, each opened when it is needed first: one that is down is no matter for the others.
    stores: Arc<BTreeMap<String, OnceCell<Store>>>,
}

impl Prefill {
    /// Opens an installation, making the data directory and the ledger where they are missing.
    ///
    /// # Errors
    ///
    /// When the directory cannot be written or the configuration names tables that cannot be.
    pub async fn open(place: &Place, config: Config) -> Result<Self> {
        for warehouse in config.warehouses.values() {
            Tables::new(warehouse)?;
        }
        let names = config.warehouses.keys().cloned();
        Ok(Self {
            ledger: open_ledger(&place.data_dir).await?,
            stores: Arc::new(names.map(|name| (name, OnceCell::new())).collect()),
            config,
            place: place.clone(),
            owner: worker::owner(),
        })
    }

    /// Where everything of the installation lies.
    pub fn data_dir(&self) -> &Path {
        &self.place.data_dir
    }

    /// A warehouse by its name, reached, with the tables on it made where they are missing.
    ///
    /// # Errors
    ///
    /// When it cannot be reached or started, or its tables do not fit.
    pub async fn store(&self, name: &str) -> Result<&Store> {
        let (Some(cell), Some(config)) = (self.stores.get(name), self.config.warehouses.get(name))
        else {
            return Err(Error::misuse(format!("there is no warehouse {name:?}"))
                .hint(format!("add [warehouses.{name}] to the configuration")));
        };
        cell.get_or_try_init(|| Store::open(name, config, &self.place))
            .await
    }

    /// The warehouse of a team, see [`Prefill::store`].
    ///
    /// # Errors
    ///
    /// As [`Prefill::store`], and when the team names a warehouse that is not configured.
    pub async fn store_of(&self, team: &Team) -> Result<&Store> {
        let named = team.warehouse.as_deref();
        self.store(self.config.warehouse_of(team.id, named)?).await
    }

    /// A worker on one warehouse; with a run, for that run only.
    pub fn worker(&self, store: &Store, run: Option<Uuid>) -> Worker {
        Worker {
            ledger: self.ledger.clone(),
            store: store.clone(),
            config: self.config.clone(),
            owner: self.owner.clone(),
            run,
        }
    }

    /// Makes the ledger want what a team wants right now.
    ///
    /// # Errors
    ///
    /// When the ledger fails.
    pub async fn reconcile(&self, team: TeamId) -> Result<()> {
        reconcile::some(&self.ledger, &self.config, &[team], Timestamp::now()).await
    }

    /// Works on a run until nothing more comes of it by itself, beside any other worker.
    ///
    /// # Errors
    ///
    /// When the ledger fails. What fails on the warehouse is in the run's progress.
    pub async fn finish(&self, run: Uuid, stop: &CancellationToken) -> Result<()> {
        let team = self
            .ledger
            .team(self.ledger.run(run).await?.team_id)
            .await?;
        let store = self.store_of(&team).await?;
        sweep(&self.worker(store, None)).await;
        let stop = stop.child_token();
        let mut workers = JoinSet::new();
        for _ in 0..self.workers_of(&store.name) {
            let (worker, stop) = (self.worker(store, Some(run)), stop.clone());
            workers.spawn(async move {
                while !stop.is_cancelled() {
                    if worker.step(&stop).await? == Step::Idle {
                        if worker.ledger.progress(run).await?.is_over() {
                            break;
                        }
                        // A retry's wait, another worker's slice, a partition that is taken.
                        pause(Duration::from_millis(100), &stop).await;
                    }
                }
                Ok(())
            });
        }
        let silent = tokio::select! {
            ended = all(workers, &stop) => return ended,
            silent = falls_silent(store) => silent,
        };
        stop.cancel();
        Err(silent)
    }

    /// Serves until told to stop; then claims nothing new, undoes what is half done and gives it
    /// back. `ready` is told when changes of the setting are noticed.
    ///
    /// # Errors
    ///
    /// [`Class::Misuse`] when another `serve` works on this data directory; the first warehouse's
    /// error when none of them can be used before somebody changes something.
    pub async fn serve(self, stop: CancellationToken, ready: impl FnOnce()) -> Result<()> {
        let _only = self.lock()?;
        self.look_at_warehouses().await?;
        let wake = Wake::default();
        let mut loops = JoinSet::new();
        loops.spawn(notice(self.clone(), wake.clone(), stop.clone()));
        for name in self.stores.keys() {
            loops.spawn(keep_filled(
                self.clone(),
                name.clone(),
                wake.clone(),
                stop.clone(),
            ));
        }
        info!(
            data_dir = %self.place.data_dir.display(),
            warehouses = self.stores.keys().cloned().collect::<Vec<_>>().join(", "),
            "serving: teams that turn the setting on are filled"
        );
        ready();
        // A part that ends with an error, or panics, ends the service: half of one would look alive.
        let ended = all(loops, &stop).await;
        info!("stopped");
        ended
    }

    /// Opens all warehouses at once. One that does not answer may do so later, and one whose tables
    /// do not fit is no matter for the others; but where none can ever work, nothing is served.
    async fn look_at_warehouses(&self) -> Result<()> {
        let opened = join_all(self.stores.keys().map(|name| self.store(name))).await;
        let mut first = None;
        for error in opened.into_iter().map(|store| store.map(drop)) {
            match error {
                Err(error)
                    if matches!(
                        error.class(),
                        Class::Operator | Class::Misuse | Class::Never
                    ) =>
                {
                    first.get_or_insert(error);
                }
                _ => return Ok(()),
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// How many batches are filled at the same time on a warehouse.
    fn workers_of(&self, warehouse: &str) -> u32 {
        let own = self.config.warehouses.get(warehouse);
        own.and_then(|own| own.workers)
            .unwrap_or(self.config.service.workers)
    }

    fn lock(&self) -> Result<File> {
        let path = self.place.data_dir.join("serve.lock");
        let file = File::create(&path).classed(Class::Operator, || {
            format!("failed to make {}", path.display())
        })?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(Error::misuse(format!(
                "another prefill serve works on {}",
                self.place.data_dir.display()
            ))
            .hint("one is enough: other commands work beside it; for a second installation pass another --data-dir")),
            Err(TryLockError::Error(error)) => {
                Err(Error::operator(format!("failed to lock {}", path.display())).caused_by(error))
            }
        }
    }
}

/// Ends when a warehouse has not answered for so long that nobody should wait for it.
async fn falls_silent(store: &Store) -> Error {
    let mut since = None;
    loop {
        tokio::time::sleep(PING_EVERY).await;
        match store.warehouse.revive().await {
            Ok(()) => since = None,
            Err(error) => {
                let since = since.get_or_insert_with(tokio::time::Instant::now);
                if since.elapsed() >= SILENCE {
                    return error;
                }
            }
        }
    }
}

/// What the loops of a service tell each other: "look again".
#[derive(Clone, Default)]
struct Wake {
    /// Slices may be open.
    work: Arc<Notify>,
    /// Events were brought by an import.
    events: Arc<Notify>,
}

/// Notices commits to the ledger, and looks at all teams on a timer all the same.
async fn notice(prefill: Prefill, wake: Wake, stop: CancellationToken) -> Result<()> {
    let mut watch = prefill.ledger.watch().await?;
    let mut all_at = tokio::time::Instant::now();
    let mut imports = None;
    while !stop.is_cancelled() {
        let noticed = async {
            if watch.changed().await? {
                if let Some((last, teams)) = prefill.ledger.signals().await? {
                    reconcile::some(&prefill.ledger, &prefill.config, &teams, Timestamp::now())
                        .await?;
                    prefill.ledger.forget_signals(last).await?;
                }
                let imported = prefill.ledger.mark(IMPORTED).await?;
                if imports.replace(imported) != Some(imported) {
                    wake.events.notify_waiters();
                }
                wake.work.notify_waiters();
            }
            if all_at <= tokio::time::Instant::now() {
                all_at = tokio::time::Instant::now() + prefill.config.service.reconcile_every();
                reconcile::all(&prefill.ledger, &prefill.config, Timestamp::now()).await?;
                wake.work.notify_waiters();
            }
            Ok::<(), Error>(())
        };
        let rest = match noticed.await {
            Ok(()) => WATCH_EVERY,
            Err(error) => {
                warn!(
                    error = error.chain(),
                    "could not look at the teams; trying again"
                );
                REST
            }
        };
        pause(rest, &stop).await;
    }
    watch.close().await
}

/// The mark that an import sets, so that its days are looked at without waiting for the timer.
pub const IMPORTED: &str = "imported_us";

/// Everything that is done on one warehouse, once it can be used.
async fn keep_filled(
    prefill: Prefill,
    name: String,
    wake: Wake,
    stop: CancellationToken,
) -> Result<()> {
    let mut said = String::new();
    let store = loop {
        match prefill.store(&name).await {
            Ok(store) => break store.clone(),
            Err(error) => {
                let chain = error.chain();
                if chain != said {
                    error!(
                        warehouse = name,
                        error = chain,
                        hint = error.next_step(),
                        "the warehouse {name} cannot be used; trying again"
                    );
                    said = chain;
                }
            }
        }
        pause(OPEN_EVERY, &stop).await;
        if stop.is_cancelled() {
            return Ok(());
        }
    };
    if !said.is_empty() {
        info!(warehouse = name, "the warehouse {name} can be used now");
    }
    let worker = prefill.worker(&store, None);
    sweep(&worker).await;
    let mut loops = JoinSet::new();
    let every = prefill.config.service.freshness_every();
    loops.spawn(keep_fresh(
        worker.clone(),
        every,
        wake.clone(),
        stop.clone(),
    ));
    loops.spawn(keep_alive(store.clone(), stop.clone()));
    for _ in 0..prefill.workers_of(&name) {
        loops.spawn(keep_working(worker.clone(), wake.clone(), stop.clone()));
    }
    all(loops, &stop).await
}

/// What a crash left takes space and does no harm: work does not wait for it to go.
async fn sweep(worker: &Worker) {
    if let Err(error) = worker.sweep().await {
        warn!(error = error.chain(), "could not sweep what a crash left");
    }
}

async fn keep_fresh(
    worker: Worker,
    every: Duration,
    wake: Wake,
    stop: CancellationToken,
) -> Result<()> {
    while !stop.is_cancelled() {
        let imported = wake.events.notified();
        match freshness::look(&worker.ledger, &worker.store).await {
            Ok(0) => {}
            Ok(_) => wake.work.notify_waiters(),
            Err(error) => warn!(
                warehouse = worker.store.name,
                error = error.chain(),
                "could not look for late events; trying again"
            ),
        }
        tokio::select! {
            () = imported => {}
            () = pause(every, &stop) => {}
        }
    }
    Ok(())
}

/// Notices when the warehouse does not answer, work or not; an embedded engine is started again.
async fn keep_alive(store: Store, stop: CancellationToken) -> Result<()> {
    let mut dead = false;
    while !stop.is_cancelled() {
        match store.warehouse.revive().await {
            Ok(()) if dead => {
                dead = false;
                info!(warehouse = store.name, "the warehouse answers again");
            }
            Ok(()) => {}
            Err(error) if !dead => {
                dead = true;
                error!(
                    warehouse = store.name,
                    error = error.chain(),
                    "the warehouse does not answer"
                );
            }
            Err(_) => {}
        }
        pause(PING_EVERY, &stop).await;
    }
    Ok(())
}

async fn keep_working(worker: Worker, wake: Wake, stop: CancellationToken) -> Result<()> {
    while !stop.is_cancelled() {
        let notified = wake.work.notified();
        let rest = match worker.step(&stop).await {
            Ok(Step::Idle) => {
                let next = worker.ledger.next_open(&worker.store.name).await;
                let next = next.unwrap_or(None);
                next.map_or(LOOK_EVERY, |next| next.clamp(WATCH_EVERY, LOOK_EVERY))
            }
            Ok(Step::Filled | Step::Failed) => continue,
            Err(error) => {
                warn!(
                    error = error.chain(),
                    "a worker could not go on; trying again"
                );
                REST
            }
        };
        tokio::select! {
            () = notified => {}
            () = pause(rest, &stop) => {}
        }
    }
    Ok(())
}

async fn pause(time: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = stop.cancelled() => {}
    }
}

/// Waits for all; the first that fails tells the others to stop.
async fn all(mut tasks: JoinSet<Result<()>>, stop: &CancellationToken) -> Result<()> {
    let mut ended = Ok(());
    while let Some(task) = tasks.join_next().await {
        let task = task.unwrap_or_else(|panic| {
            Err(Error::new(Class::Never, "a part of the service died").caused_by(panic))
        });
        if task.is_err() {
            stop.cancel();
        }
        if ended.is_ok() {
            ended = task;
        }
    }
    ended
}
