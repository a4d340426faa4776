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
use tokio::sync::{Notify, OnceCell};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::calendar::TeamId;
use crate::config::{self, Config};
use crate::error::{Class, Context, Error, Result};
use crate::freshness;
use crate::ledger::{Ledger, Notice, Team, Watch};
use crate::reconcile;
use crate::rollup::Tables;
use crate::schema::Store;
use crate::telemetry;
pub use crate::warehouse::Place;
use crate::warehouse::Warehouse;
use crate::worker::{self, Step, Worker};

/// How soon a worker looks again when what is open could not be claimed just now.
const LOOK_SOON: Duration = Duration::from_millis(50);
/// How often the warehouse is asked whether it lives.
const PING_EVERY: Duration = Duration::from_secs(1);
/// How long a service looks at its warehouses before it begins.
const FIRST_LOOK: Duration = Duration::from_secs(5);
/// How long a command waits for a warehouse that does not answer.
const SILENCE: Duration = Duration::from_secs(20);
/// How long a warehouse has to answer for a service to be ready: less than who asks waits.
const ANSWERS_WITHIN: Duration = Duration::from_millis(1_500);
/// How often a warehouse that could not be used is tried again.
const OPEN_EVERY: Duration = Duration::from_secs(5);
/// How long fills may take to stop and to undo their half, which a warehouse that hangs would let take forever. Whoever
/// starts a service kills it sooner or later.
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// How long a loop rests after an error of its own.
const REST: Duration = Duration::from_secs(1);
/// How long open work may go unnoticed at most, should a notice be lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);

const WRITABLE: &str =
    "pass --data-dir DIR (or set PREFILL_DATA_DIR) with a directory that you can write";

/// The ledger of an installation, for commands that need no warehouse.
///
/// # Errors
///
/// [`Class::Operator`] when the data directory cannot be made or written.
pub async fn open_ledger(data_dir: &Path, config: &Config) -> Result<Ledger> {
    make_data_dir(data_dir)?;
    Ledger::open(data_dir, config).await
}

/// Fails where something else than a directory is at the place.
///
/// # Errors
///
/// [`Class::Misuse`].
pub fn may_be_data_dir(data_dir: &Path) -> Result<()> {
    if data_dir.exists() && !data_dir.is_dir() {
        return Err(
            Error::misuse(format!("{} is not a directory", data_dir.display()))
                .hint("pass --data-dir DIR (or set PREFILL_DATA_DIR) with a directory"),
        );
    }
    Ok(())
}

/// Makes the directory that everything of an installation lies in.
///
/// # Errors
///
/// [`Class::Operator`] when it cannot be made.
pub fn make_data_dir(data_dir: &Path) -> Result<()> {
    may_be_data_dir(data_dir)?;
    std::fs::create_dir_all(data_dir).map_err(|error| {
        Error::operator(format!(
            "failed to make the data directory {}",
            data_dir.display()
        ))
        .caused_by(error)
        .hint(WRITABLE)
    })
}

/// The right to serve an installation: one `serve` works on a ledger in the data directory, and on a
/// shared one any number does.
#[derive(Debug)]
pub struct Only {
    /// Locked as long as it is open.
    _file: Option<File>,
}

impl Only {
    /// Takes the right, before anything is opened.
    ///
    /// # Errors
    ///
    /// [`Class::Misuse`] when another `serve` has it; [`Class::Operator`] when the data directory cannot
    /// be written.
    pub fn take(data_dir: &Path, config: &Config) -> Result<Self> {
        make_data_dir(data_dir)?;
        if config.ledger.url()?.is_some() {
            return Ok(Self { _file: None });
        }
        let path = data_dir.join("serve.lock");
        let file = File::create(&path).classed(Class::Operator, || {
            format!("failed to make {}", path.display())
        });
        let file = file.map_err(|error| error.hint(WRITABLE))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: Some(file) }),
            Err(TryLockError::WouldBlock) => Err(Error::misuse(format!(
                "another prefill serve works on {}",
                data_dir.display()
            ))
            .hint("one is enough: other commands work beside it; for a second installation pass another --data-dir; any number works on a ledger in Postgres")),
            Err(TryLockError::Error(error)) => {
                Err(Error::operator(format!("failed to lock {}", path.display())).caused_by(error))
            }
        }
    }
}

/// An installation: configuration, ledger and warehouses.
#[derive(Clone, Debug)]
pub struct Prefill {
    pub config: Config,
    pub ledger: Ledger,
    place: Place,
    owner: String,
    /// Whether a rollup that had rows and is gone is made again.
    remakes: bool,
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
            ledger: open_ledger(&place.data_dir, &config).await?,
            stores: Arc::new(names.map(|name| (name, OnceCell::new())).collect()),
            config,
            place: place.clone(),
            owner: worker::owner(),
            remakes: true,
        })
    }

    /// Leaves a rollup that had rows and is gone as it is: who dropped it may get it back.
    #[must_use]
    pub fn without_remaking(self) -> Self {
        Self {
            remakes: false,
            ..self
        }
    }

    /// As [`Prefill::open`], for a service: a ledger that cannot be reached now is tried again until it
    /// can, or until told to stop; then `None`.
    ///
    /// # Errors
    ///
    /// As [`Prefill::open`], but for [`Class::Unreachable`].
    pub async fn open_patiently(
        place: &Place,
        config: Config,
        stop: &CancellationToken,
    ) -> Result<Option<Self>> {
        let mut trouble = Trouble::default();
        while !stop.is_cancelled() {
            match Self::open(place, config.clone()).await {
                Err(error) if matches!(error.class(), Class::Unreachable | Class::Later) => {
                    if trouble.is_news(&error) {
                        error!(
                            error = error.chain(),
                            hint = error.next_step(),
                            "the ledger cannot be used; trying again"
                        );
                    }
                }
                opened => {
                    if opened.is_ok() && trouble.is_over() {
                        info!("the ledger can be used now");
                    }
                    return opened.map(Some);
                }
            }
            pause(REST, stop).await;
        }
        Ok(None)
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
        cell.get_or_try_init(|| self.open_store(name, config)).await
    }

    /// A warehouse by its name, reached for somebody's own statement, whatever tables are on it.
    ///
    /// # Errors
    ///
    /// As [`Prefill::store`], but for what is wrong with the tables.
    pub async fn warehouse(&self, name: &str) -> Result<Warehouse> {
        match self.store(name).await {
            Ok(store) => Ok(store.warehouse.clone()),
            // With a statement of one's own one may mend it.
            Err(error) => match self.config.warehouses.get(name) {
                Some(config) if error.class() == Class::Operator => {
                    Warehouse::open(&self.place, config).await
                }
                _ => Err(error),
            },
        }
    }

    async fn open_store(&self, name: &str, config: &config::Warehouse) -> Result<Store> {
        if !self.remakes && self.ledger.first_fill(name).await?.is_some() {
            return Store::as_it_was(name, config, &self.place).await;
        }
        let (store, prepared) = Store::prepared(name, config, &self.place, false).await?;
        let made = prepared.iter();
        let made = made.filter(|table| table.created && table.is_rollup);
        let made: Vec<&str> = made.map(|rollup| rollup.table.as_str()).collect();
        if !made.is_empty() && self.ledger.first_fill(name).await?.is_some() {
            made.iter().for_each(|rollup| store.warn_of_remade(rollup));
        }
        Ok(store)
    }

    /// Whether it can work now: the ledger answers, and one of the warehouses that were opened.
    ///
    /// # Errors
    ///
    /// What cannot be used; [`Class::Unreachable`] while no warehouse was opened yet.
    pub async fn is_ready(&self) -> Result<()> {
        self.ledger.now().await?;
        let answers = self.answers(ANSWERS_WITHIN).await;
        if answers.values().any(|answers| *answers) {
            return Ok(());
        }
        let why = if answers.is_empty() {
            "no warehouse could be opened yet".to_owned()
        } else {
            format!(
                "no warehouse answers within {} ms",
                ANSWERS_WITHIN.as_millis()
            )
        };
        Err(Error::new(Class::Unreachable, why).hint("prefill health says why"))
    }

    /// Which of the warehouses that were opened answer in that time. They are asked at once, so that one that
    /// hangs takes nothing from the others, and nothing is started for a question.
    pub async fn answers(&self, within: Duration) -> BTreeMap<String, bool> {
        let opened = self.stores.iter();
        let opened = opened.filter_map(|(name, store)| Some((name, store.get()?)));
        let asked = opened.map(|(name, store)| async move {
            (name.clone(), store.warehouse.answers(within).await)
        });
        join_all(asked).await.into_iter().collect()
    }

    /// As [`Prefill::store`], where that was reached before; nothing is begun for it.
    pub fn opened(&self, name: &str) -> Option<&Store> {
        self.stores.get(name)?.get()
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
        reconcile::some(
            &self.ledger,
            &self.config,
            &[team],
            self.ledger.now().await?,
        )
        .await
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
    /// [`Class::Misuse`] when another `serve` works on this data directory and its ledger; the first warehouse's
    /// error when none of them can be used before somebody changes something.
    pub async fn serve(self, stop: CancellationToken, ready: impl FnOnce()) -> Result<()> {
        let only = Only::take(&self.place.data_dir, &self.config)?;
        self.serve_as(only, stop, ready).await
    }

    /// As [`Prefill::serve`], for somebody who took the right to it before.
    ///
    /// # Errors
    ///
    /// As [`Prefill::serve`].
    pub async fn serve_as(
        self,
        _only: Only,
        stop: CancellationToken,
        ready: impl FnOnce(),
    ) -> Result<()> {
        // One that hangs keeps nobody waiting: it is opened beside the others.
        if let Ok(looked) = tokio::time::timeout(FIRST_LOOK, self.look_at_warehouses()).await {
            looked?;
        }
        let wake = Wake::default();
        let mut loops = JoinSet::new();
        for name in self.stores.keys() {
            telemetry::begin(name);
        }
        loops.spawn(sum_up(stop.clone()));
        loops.spawn(notice(self.clone(), wake.clone(), stop.clone()));
        loops.spawn(keep_in_place(self.ledger.clone(), stop.clone()));
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
        let ended = tokio::select! {
            ended = all(loops, &stop) => ended,
            () = too_long(&stop) => {
                warn!(
                    "told to stop {} s ago, and not everything has ended: it is cleared up by whoever works next",
                    STOP_WITHIN.as_secs()
                );
                Ok(())
            }
        };
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
}

/// Ends some time after the service was told to stop.
async fn too_long(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(STOP_WITHIN).await;
}

/// Ends when a warehouse has not answered for so long that nobody should wait for it.
async fn falls_silent(store: &Store) -> Error {
    let mut since = None;
    loop {
        tokio::time::sleep(PING_EVERY).await;
        match store.warehouse.revive().await {
            Ok(()) => since = None,
            Err(error) => {
                let since = since.get_or_insert_with(Instant::now);
                if since.elapsed() >= SILENCE {
                    return error;
                }
            }
        }
    }
}

/// Keeps what was measured from taking more and more memory where nobody scrapes.
async fn sum_up(stop: CancellationToken) -> Result<()> {
    while !stop.is_cancelled() {
        telemetry::sum_up();
        pause(telemetry::SUM_UP_EVERY, &stop).await;
    }
    Ok(())
}

/// Ends the service where its ledger is not the one that everybody else has: both would fill the same days.
async fn keep_in_place(ledger: Ledger, stop: CancellationToken) -> Result<()> {
    while !stop.is_cancelled() {
        ledger.must_be_in_place()?;
        pause(PING_EVERY, &stop).await;
    }
    Ok(())
}

/// What goes wrong in a loop, and when that was told: what goes wrong each second in the same way is told once a
/// minute.
#[derive(Debug, Default)]
struct Trouble(BTreeMap<String, Instant>);

impl Trouble {
    const TOLD_EVERY: Duration = Duration::from_secs(60);

    /// Whether to tell of it.
    fn is_news(&mut self, error: &Error) -> bool {
        self.0.retain(|_, told| told.elapsed() < Self::TOLD_EVERY);
        let chain = error.chain();
        let is_news = !self.0.contains_key(&chain);
        if is_news {
            self.0.insert(chain, Instant::now());
        }
        is_news
    }

    /// It works now; whether that is news.
    fn is_over(&mut self) -> bool {
        !std::mem::take(&mut self.0).is_empty()
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

/// Notices changes of the ledger and of the teams, and looks at all teams on a timer all the same.
async fn notice(prefill: Prefill, wake: Wake, stop: CancellationToken) -> Result<()> {
    let mut watch = prefill.ledger.watch().await?;
    let mut noticing = Noticing {
        prefill,
        wake,
        all_at: Instant::now(),
        poll_at: None,
        way: None,
        changed: false,
        imports: None,
    };
    let mut trouble = Trouble::default();
    while !stop.is_cancelled() {
        let noticed = tokio::select! {
            noticed = noticing.step(&mut watch) => noticed,
            () = stop.cancelled() => break,
        };
        match noticed {
            Ok(()) if trouble.is_over() => info!("the ledger answers again"),
            Ok(()) => {}
            Err(error) => {
                if trouble.is_news(&error) {
                    warn!(
                        error = error.chain(),
                        hint = error.next_step(),
                        "could not look at the teams; trying again"
                    );
                }
                pause(REST, &stop).await;
            }
        }
    }
    watch.close().await
}

/// What [`notice`] keeps from one step to the next.
struct Noticing {
    prefill: Prefill,
    wake: Wake,
    /// When all teams are looked at next.
    all_at: Instant,
    /// When the teams table is asked next, where nothing tells of its changes.
    poll_at: Option<Instant>,
    way: Option<Notice>,
    /// Something changed, and was not dealt with yet.
    changed: bool,
    imports: Option<Option<i64>>,
}

impl Noticing {
    /// Waits for a change or the time of a look, and deals with it. After an error the next step does
    /// what this one did not.
    async fn step(&mut self, watch: &mut Watch) -> Result<()> {
        let Prefill { ledger, config, .. } = self.prefill.clone();
        let next = self.poll_at.map_or(self.all_at, |at| at.min(self.all_at));
        let most = next.saturating_duration_since(Instant::now());
        self.changed |= watch.wait(most).await?;
        if self.poll_at.is_some_and(|at| at <= Instant::now()) {
            self.changed |= ledger.poll_teams().await? > 0;
            self.poll_at = self
                .way
                .and_then(Notice::poll)
                .map(|every| Instant::now() + every);
        }
        if self.changed {
            while let Some(signals) = ledger.signals().await? {
                reconcile::some(&ledger, &config, &signals.teams, ledger.now().await?).await?;
                ledger.forget_signals(&signals).await?;
                self.wake.work.notify_waiters();
            }
            let imported = ledger.mark(IMPORTED).await?;
            if self.imports.replace(imported) != Some(imported) {
                self.wake.events.notify_waiters();
            }
            self.wake.work.notify_waiters();
            self.changed = false;
        }
        if self.all_at <= Instant::now() {
            self.find_way().await?;
            reconcile::all(&ledger, &config, ledger.now().await?).await?;
            self.wake.work.notify_waiters();
            self.all_at = Instant::now() + config.service.reconcile_every();
        }
        Ok(())
    }

    /// Finds out how changes of the teams are noticed, and says so where it is not as it should be.
    async fn find_way(&mut self) -> Result<()> {
        let ledger = &self.prefill.ledger;
        let way = ledger.notice().await?;
        if self.way.replace(way) == Some(way) {
            return Ok(());
        }
        self.poll_at = way.poll().map(|every| Instant::now() + every);
        let table = ledger.other_teams().unwrap_or("teams");
        match way {
            Notice::Own => {}
            Notice::Trigger => info!("changes of {table} are noticed by its trigger"),
            Notice::Poll(every) => info!(
                every_ms = u64::try_from(every.as_millis()).unwrap_or(u64::MAX),
                "{table} is asked for changes"
            ),
            Notice::PollForLackOfTrigger(every) => warn!(
                every_ms = u64::try_from(every.as_millis()).unwrap_or(u64::MAX),
                hint = "run prefill migrate, or set trigger = false in [teams]",
                "there is no trigger on {table}: it is asked for changes"
            ),
        }
        Ok(())
    }
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
    let mut trouble = Trouble::default();
    let store = loop {
        match prefill.store(&name).await {
            Ok(store) => break store.clone(),
            Err(error) => {
                if trouble.is_news(&error) {
                    error!(
                        warehouse = name,
                        error = error.chain(),
                        hint = error.next_step(),
                        "the warehouse {name} cannot be used; trying again"
                    );
                }
            }
        }
        pause(OPEN_EVERY, &stop).await;
        if stop.is_cancelled() {
            return Ok(());
        }
    };
    if trouble.is_over() {
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
    let store = Store {
        warehouse: worker.store.warehouse.in_background(),
        ..worker.store.clone()
    };
    let mut trouble = Trouble::default();
    let mut has_begun = false;
    let look = async |begins: &mut bool| {
        if !*begins {
            freshness::begin(&worker.ledger, &store).await?;
            *begins = true;
        }
        freshness::look(&worker.ledger, &store).await
    };
    while !stop.is_cancelled() {
        let imported = wake.events.notified();
        let looked = tokio::select! {
            looked = look(&mut has_begun) => looked,
            // It may have to wait for its turn.
            () = stop.cancelled() => break,
        };
        match looked {
            Ok(found) => {
                if found > 0 {
                    wake.work.notify_waiters();
                }
                if trouble.is_over() {
                    info!(
                        warehouse = worker.store.name,
                        "late events are looked for again"
                    );
                }
            }
            Err(error) if trouble.is_news(&error) => warn!(
                warehouse = worker.store.name,
                error = error.chain(),
                hint = error.next_step(),
                "could not look for late events; trying again"
            ),
            Err(_) => {}
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
    let mut trouble = Trouble::default();
    while !stop.is_cancelled() {
        let notified = wake.work.notified();
        let rest = match worker.step(&stop).await {
            Ok(Step::Idle) => {
                let next = worker.ledger.next_open(&worker.store.name).await;
                let next = next.unwrap_or(None);
                next.map_or(LOOK_EVERY, |next| next.clamp(LOOK_SOON, LOOK_EVERY))
            }
            Ok(Step::Filled | Step::Failed) => continue,
            Err(error) => {
                if trouble.is_news(&error) {
                    warn!(
                        error = error.chain(),
                        "a worker could not go on; trying again"
                    );
                }
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
