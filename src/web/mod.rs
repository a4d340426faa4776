//! What `prefill serve` answers over HTTP, beside the filling and never in its way: a failure here is
//! told in the log, and nothing else stops.
//!
//! The address is bound before the ledger is opened, so that probes are answered while a ledger or a
//! warehouse is down. Who may ask is for [`guard`] to say, of every route but the probes; what goes wrong
//! is told as [`problem`] has it, with the hints of the command line.

mod api;
mod feeds;
pub mod guard;
mod heavy;
mod metrics;
mod pages;
mod probes;
pub mod problem;
mod server;
mod traffic;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::calendar::{Day, Days, Zone};
use crate::config::{DEFAULT_LISTEN, Http};
use crate::error::{Class, Error, Result};
use crate::report::{self, Health, Overview, Standing, Task};
use crate::request::Asked;
use crate::scrape::Scraper;
use crate::service::Prefill;
use feeds::Feeds;
use guard::Guard;
use heavy::Together;
use problem::Problem;
use traffic::Traffic;

/// What all requests share.
pub struct Shared {
    prefill: OnceLock<Prefill>,
    /// Made for the first scrape.
    scraper: OnceLock<Scraper>,
    pub config: Http,
    guard: Guard,
    /// Places for streams of events.
    streams: Arc<Semaphore>,
    traffic: Traffic,
    /// Places for what takes long.
    heavy: Arc<Semaphore>,
    overview: Together<Overview>,
    health: Together<Health>,
    /// How it all stands, for who watches.
    standing: Arc<Feeds<(), Standing>>,
    tasks: Arc<Feeds<Uuid, Task>>,
    /// Work that goes on when the one who asked for it has gone away.
    work: TaskTracker,
    /// The service is told to stop.
    pub stop: CancellationToken,
}

impl Shared {
    /// The installation.
    ///
    /// # Errors
    ///
    /// [`Class::Unreachable`] while its ledger cannot be opened.
    pub fn prefill(&self) -> Result<&Prefill> {
        self.prefill.get().ok_or_else(|| {
            Error::new(Class::Unreachable, "the ledger could not be opened yet")
                .hint("the log of prefill serve says why; it is tried again")
        })
    }

    /// Does something that changes the installation and must not be dropped half way, whoever waits for it.
    ///
    /// # Errors
    ///
    /// Those of the work.
    pub async fn to_the_end<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let shared = Arc::clone(self);
        let done = self.work.spawn(async move {
            let done = work.await;
            shared.overview.changed();
            shared.health.changed();
            done
        });
        let done = done.await;
        done.unwrap_or_else(|panic| Err(Error::new(Class::Never, "the work died").caused_by(panic)))
    }
}

/// What takes long, or is asked for by many at once.
impl Shared {
    /// See [`heavy::place`].
    ///
    /// # Errors
    ///
    /// As [`heavy::place`].
    async fn heavy_place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        heavy::place(&self.heavy).await
    }

    /// How it all stands by the ledger, of this second.
    ///
    /// # Errors
    ///
    /// When the ledger fails.
    async fn overview(&self) -> Result<Arc<Overview>, Problem> {
        let prefill = self.prefill()?;
        let look = async {
            let now = prefill.ledger.now().await?;
            Ok(report::overview(&prefill.ledger, &prefill.config, now).await?)
        };
        self.overview.ask(look).await
    }

    /// What is wrong, as seen within this second.
    ///
    /// # Errors
    ///
    /// When the ledger fails, or there is no place for a look.
    async fn health(&self) -> Result<Arc<Health>, Problem> {
        let prefill = self.prefill()?;
        let look = async {
            let _place = self.heavy_place().await?;
            let now = prefill.ledger.now().await?;
            Ok(prefill.health(now).await?)
        };
        self.health.ask(look).await
    }
}

/// The most days that one request may be about.
const MOST_DAYS: i64 = 366;

/// # Errors
///
/// [`Class::Misuse`] when that is more days than one answer should wait for.
fn must_be_few_days(asked: &Asked) -> Result<()> {
    // Without an end it goes to today.
    let tomorrow = || Day::of(Timestamp::now(), &Zone::utc()).plus(1);
    if let Some(from) = asked.date_start {
        let until = asked.date_end.unwrap_or_else(tomorrow);
        if (Days { from, until }).count() > MOST_DAYS {
            return Err(
                Error::misuse(format!("that is more than {MOST_DAYS} days from {from}"))
                    .hint("ask for them in several requests"),
            );
        }
    }
    Ok(())
}

/// All routes, each behind what guards it.
fn router(shared: Arc<Shared>) -> Router {
    let most_bytes = usize::try_from(shared.config.max_body_bytes).unwrap_or(usize::MAX);
    Router::new()
        .merge(probes::router())
        .merge(metrics::router())
        .merge(api::router(&shared))
        .merge(pages::router())
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::wrong_method)
        .layer(CatchPanicLayer::custom(problem::of_panic))
        .layer(middleware::from_fn_with_state(
            shared.clone(),
            server::in_time,
        ))
        .layer(middleware::from_fn_with_state(shared.clone(), guard::guard))
        .layer(middleware::from_fn(pages::as_pages))
        .layer(middleware::from_fn(guard::protect))
        .layer(DefaultBodyLimit::max(most_bytes))
        .layer(middleware::from_fn_with_state(
            shared.clone(),
            traffic::count,
        ))
        .with_state(shared)
}

/// Where the server is, for people and programs on this machine: `http.json` in the data directory.
#[derive(Debug, Deserialize, Serialize)]
pub struct Card {
    pub url: String,
    pub pid: u32,
}

impl Card {
    /// Where a data directory's card is.
    pub fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("http.json")
    }

    /// The card that is there; nobody says that the process lives.
    pub fn read(data_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(Self::path(data_dir)).ok()?).ok()
    }

    fn publish(&self, data_dir: &Path) -> Result<()> {
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(data_dir)?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.persist(Self::path(data_dir))
                .map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(|error: std::io::Error| {
            let path = Self::path(data_dir);
            Error::operator(format!("failed to write {}", path.display())).caused_by(error)
        })
    }

    /// Takes it away, unless it is another process's by now.
    fn withdraw(&self, data_dir: &Path) {
        if Self::read(data_dir).is_some_and(|card| card.pid == self.pid) {
            drop(std::fs::remove_file(Self::path(data_dir)));
        }
    }
}

/// The server, while it runs.
pub struct Web {
    shared: Arc<Shared>,
    card: Card,
    data_dir: PathBuf,
    /// What is to be told once the service begins, beside the address.
    warnings: Vec<Error>,
    serving: JoinHandle<()>,
}

impl Web {
    /// Binds the configured address and answers there until told to stop; `None` where that is off.
    ///
    /// # Errors
    ///
    /// [`Class::Operator`] when the configured address cannot be bound; [`Class::Misuse`] when it is not a
    /// loopback address and there is no token, or a file of tokens cannot be read.
    pub async fn start(
        data_dir: &Path,
        config: &Http,
        stop: &CancellationToken,
    ) -> Result<Option<Self>> {
        if config.is_off() {
            return Ok(None);
        }
        let guard = Guard::new(config)?;
        let (listener, taken) = bind(config, &guard).await?;
        let address = listener.local_addr().map_err(|error| {
            Error::operator("failed to read the port of the web server").caused_by(error)
        })?;
        let card = Card {
            url: format!("http://{}", reached_at(address)),
            pid: std::process::id(),
        };
        let unwritten = card.publish(data_dir).err();
        let shared = Arc::new(Shared {
            prefill: OnceLock::new(),
            scraper: OnceLock::new(),
            config: config.clone(),
            guard,
            streams: Arc::new(Semaphore::new(
                usize::try_from(config.max_streams).unwrap_or(Semaphore::MAX_PERMITS),
            )),
            traffic: Traffic::default(),
            heavy: Arc::new(Semaphore::new(heavy::AT_A_TIME)),
            overview: Together::default(),
            health: Together::default(),
            standing: Arc::default(),
            tasks: Arc::default(),
            work: TaskTracker::new(),
            stop: stop.clone(),
        });
        let router = router(Arc::clone(&shared));
        let serving = tokio::spawn(server::serve(
            listener,
            router,
            config.max_connections,
            stop.clone(),
        ));
        Ok(Some(Self {
            shared,
            card,
            data_dir: data_dir.to_owned(),
            warnings: taken.into_iter().chain(unwritten).collect(),
            serving,
        }))
    }

    /// Gives it the installation that it answers for.
    pub fn answer_for(&self, prefill: &Prefill) {
        // It is given once.
        drop(self.shared.prefill.set(prefill.clone()));
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.card.url
    }

    /// Says where it is, in the log.
    pub fn announce(&self) {
        for warning in &self.warnings {
            warn!(
                error = warning.chain(),
                hint = warning.next_step(),
                "not all is well with the web server"
            );
        }
        let url = self.url();
        info!(url, "http listening");
    }

    /// Waits until what was asked is answered, once it is told to stop; what takes long is broken off.
    pub async fn end(mut self) {
        self.shared.stop.cancel();
        if let Err(panic) = (&mut self.serving).await {
            error!(error = panic.to_string(), "the web server died");
        }
        self.shared.work.close();
        drop(tokio::time::timeout(server::DRAIN, self.shared.work.wait()).await);
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.serving.abort();
        self.card.withdraw(&self.data_dir);
    }
}

/// The listener, and why it is not at the default address where that is taken.
async fn bind(config: &Http, guard: &Guard) -> Result<(TcpListener, Option<Error>)> {
    let named = config.listen.as_deref();
    let listen = named.unwrap_or(DEFAULT_LISTEN);
    let failed = |error: std::io::Error| {
        Error::operator(format!("failed to listen on {listen}"))
            .caused_by(error)
            .hint("end what has the address, or name another under [http]: listen = \"HOST:PORT\", or \"off\"")
    };
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host(listen)
        .await
        .map_err(failed)?
        .collect();
    if !guard.has_tokens() && !addresses.iter().all(|address| address.ip().is_loopback()) {
        return Err(Http::lacks_token(listen));
    }
    match (TcpListener::bind(&*addresses).await, named) {
        (Ok(listener), _) => Ok((listener, None)),
        (Err(error), Some(_)) => Err(failed(error)),
        (Err(error), None) => {
            let free = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
            Ok((free, Some(failed(error))))
        }
    }
}

/// The address for somebody on this machine.
fn reached_at(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
