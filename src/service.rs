//! One installation, opened; and `prefill serve`, which keeps its tables filled until told to stop.
//!
//! The loops here only wait: for a commit to the ledger, for a timer, for a step to end. What they
//! call decides for itself what is to be done, so that each can fail, be late or run twice.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::calendar::TeamId;
use crate::config::Config;
use crate::error::{Class, Context, Error, Result};
use crate::freshness;
use crate::ledger::Ledger;
use crate::reconcile;
use crate::rollup::Tables;
use crate::schema;
use crate::warehouse::Warehouse;
use crate::worker::{self, Step, Worker};

/// How often the ledger is asked whether anybody committed to it: a question of microseconds.
const WATCH_EVERY: Duration = Duration::from_millis(50);
/// How often the warehouse is asked whether it lives.
const PING_EVERY: Duration = Duration::from_secs(1);
/// How long a loop rests after an error of its own.
const REST: Duration = Duration::from_secs(1);
/// How long open work may go unnoticed at most, should a notice be lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where an installation is, and what serves its embedded engine.
#[derive(Clone, Debug)]
pub struct Place {
    pub data_dir: PathBuf,
    /// The prefill binary, where that is not the running program.
    pub program: Option<PathBuf>,
}

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

/// An installation: configuration, ledger and warehouse, with tables that fit.
#[derive(Clone, Debug)]
pub struct Prefill {
    pub config: Config,
    pub ledger: Ledger,
    pub warehouse: Warehouse,
    pub tables: Tables,
    data_dir: PathBuf,
    owner: String,
}

impl Prefill {
    /// Opens an installation, making what is missing: the data directory, the ledger, the tables.
    ///
    /// # Errors
    ///
    /// When the directory cannot be written, the engine cannot be started, or the tables do not fit.
    pub async fn open(place: &Place, config: Config) -> Result<Self> {
        let tables = Tables::new(&config)?;
        let ledger = open_ledger(&place.data_dir).await?;
        let warehouse = Warehouse::open(&place.data_dir, place.program.as_deref(), &config).await?;
        schema::prepare(&warehouse, &tables, &config).await?;
        Ok(Self {
            config,
            ledger,
            warehouse,
            tables,
            data_dir: place.data_dir.clone(),
            owner: worker::owner(),
        })
    }

    /// A worker on this installation; with a run, for that run only.
    pub fn worker(&self, run: Option<Uuid>) -> Worker {
        Worker {
            ledger: self.ledger.clone(),
            warehouse: self.warehouse.clone(),
            tables: self.tables.clone(),
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

    /// Marks the days that events reached since they were filled.
    ///
    /// # Errors
    ///
    /// When the ledger or the warehouse fails.
    pub async fn look_for_late_events(&self) -> Result<usize> {
        freshness::look(&self.ledger, &self.warehouse, &self.tables).await
    }

    /// Works on a run until nothing more comes of it by itself, beside any other worker.
    ///
    /// # Errors
    ///
    /// When the ledger fails. What fails on the warehouse is in the run's progress.
    pub async fn finish(&self, run: Uuid, stop: &CancellationToken) -> Result<()> {
        self.sweep().await;
        let stop = stop.child_token();
        let mut workers = JoinSet::new();
        for _ in 0..self.config.service.workers {
            let (worker, stop) = (self.worker(Some(run)), stop.clone());
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
        all(workers, &stop).await
    }

    /// Serves until told to stop; then claims nothing new, undoes what is half done and gives it
    /// back. `ready` is told when changes of the setting are noticed.
    ///
    /// # Errors
    ///
    /// [`Class::Misuse`] when another `serve` works on this data directory.
    pub async fn serve(self, stop: CancellationToken, ready: impl FnOnce()) -> Result<()> {
        let _only = self.lock()?;
        let work = Arc::new(Notify::new());
        let mut loops = JoinSet::new();
        self.sweep().await;
        loops.spawn(notice(self.clone(), Arc::clone(&work), stop.clone()));
        loops.spawn(keep_fresh(self.clone(), Arc::clone(&work), stop.clone()));
        loops.spawn(keep_alive(self.clone(), stop.clone()));
        for _ in 0..self.config.service.workers {
            loops.spawn(keep_working(
                self.worker(None),
                Arc::clone(&work),
                stop.clone(),
            ));
        }
        info!(
            data_dir = %self.data_dir.display(),
            warehouse = self.warehouse.endpoint().url,
            workers = self.config.service.workers,
            "serving: teams that turn the setting on are filled"
        );
        ready();
        // A part that ends with an error, or panics, ends the service: half of one would look alive.
        let ended = all(loops, &stop).await;
        info!("stopped");
        ended
    }

    /// What a crash left takes space and does no harm: work does not wait for it to go.
    async fn sweep(&self) {
        if let Err(error) = self.worker(None).sweep().await {
            warn!(error = error.chain(), "could not sweep what a crash left");
        }
    }

    fn lock(&self) -> Result<File> {
        let path = self.data_dir.join("serve.lock");
        let file = File::create(&path).classed(Class::Operator, || {
            format!("failed to make {}", path.display())
        })?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(Error::misuse(format!(
                "another prefill serve works on {}",
                self.data_dir.display()
            ))
            .hint("one is enough: other commands work beside it; for a second installation pass another --data-dir")),
            Err(TryLockError::Error(error)) => {
                Err(Error::operator(format!("failed to lock {}", path.display())).caused_by(error))
            }
        }
    }
}

/// Notices commits to the ledger, and looks at all teams on a timer all the same.
async fn notice(prefill: Prefill, work: Arc<Notify>, stop: CancellationToken) -> Result<()> {
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
                    prefill.look_for_late_events().await?;
                }
                work.notify_waiters();
            }
            if all_at <= tokio::time::Instant::now() {
                all_at = tokio::time::Instant::now() + prefill.config.service.reconcile_every();
                reconcile::all(&prefill.ledger, &prefill.config, Timestamp::now()).await?;
                work.notify_waiters();
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

async fn keep_fresh(prefill: Prefill, work: Arc<Notify>, stop: CancellationToken) -> Result<()> {
    while !stop.is_cancelled() {
        match prefill.look_for_late_events().await {
            Ok(0) => {}
            Ok(_) => work.notify_waiters(),
            Err(error) => warn!(
                error = error.chain(),
                "could not look for late events; trying again"
            ),
        }
        pause(prefill.config.service.freshness_every(), &stop).await;
    }
    Ok(())
}

/// Starts the embedded engine again when it dies, work or not.
async fn keep_alive(prefill: Prefill, stop: CancellationToken) -> Result<()> {
    let mut dead = false;
    while !stop.is_cancelled() {
        match prefill.warehouse.revive().await {
            Ok(()) if dead => {
                dead = false;
                info!("the warehouse answers again");
            }
            Ok(()) => {}
            Err(error) if !dead => {
                dead = true;
                error!(error = error.chain(), "the warehouse does not answer");
            }
            Err(_) => {}
        }
        pause(PING_EVERY, &stop).await;
    }
    Ok(())
}

async fn keep_working(worker: Worker, work: Arc<Notify>, stop: CancellationToken) -> Result<()> {
    while !stop.is_cancelled() {
        let notified = work.notified();
        let rest = match worker.step(&stop).await {
            Ok(Step::Idle) => {
                let next = worker.ledger.next_open().await.unwrap_or(None);
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
