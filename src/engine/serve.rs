//! `prefill engine`: the process that has the library open and serves ClickHouse's interface.

use std::fs::TryLockError;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use tokio_util::sync::CancellationToken;

use super::execute::Core;
use super::http::{self, Server};
use super::library::Library;
use super::place::{Card, Place, unusable};
use crate::error::{Class, Context as _, Error, Result};

/// How `prefill engine` runs.
#[derive(Clone, Default)]
pub struct ServeOptions {
    pub data_dir: PathBuf,
    /// 0 takes any free one.
    pub port: u16,
    /// `default` where none is given.
    pub user: Option<String>,
    /// A random one where none is given, here or in `PREFILL_ENGINE_PASSWORD`.
    pub password: Option<String>,
    /// Stop when nobody holds `engine.users` any more.
    pub until_unused: bool,
}

/// How long requests may go on after the engine was told to stop.
const DRAIN: Duration = Duration::from_secs(5);
/// How often sessions are looked at whose timeout may be over.
const EXPIRY: Duration = Duration::from_secs(5);
/// How often the engine looks whether others can still find it.
const LOOK_AT_CARD: Duration = Duration::from_secs(1);

/// Serves until `stop`, ctrl-c, SIGTERM or, with `until_unused`, until nobody uses it.
///
/// # Errors
///
/// [`Class::Operator`]: another engine has the directory, the library is missing or wrong, the
/// port is taken, the directory cannot be written.
pub async fn serve(options: ServeOptions, stop: CancellationToken) -> Result<()> {
    super::fetch::usable_cpu(super::fetch::has_avx2())?;
    let place = Place::open(&options.data_dir)?;
    let lock = place.engine_lock()?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let pid = place
                .card()
                .map_or("unknown".to_owned(), |card| card.pid.to_string());
            return Err(Error::operator(format!(
                "another prefill engine (pid {pid}) serves {}",
                place.path().display()
            ))
            .hint("use that one, stop it, or choose another directory with --data-dir"));
        }
        Err(TryLockError::Error(error)) => {
            let doing = format!("failed to lock {}", place.path().display());
            return Err(unusable(doing, error));
        }
    }
    // Whoever held the lock before did not stop cleanly; its card leads nowhere.
    place.withdraw();
    let core = start(&place).await?;
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], options.port));
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|error| {
            Error::operator(format!("failed to listen on {address}"))
                .caused_by(error)
                .hint("choose another port with --port, or 0 for any free one")
        })?;
    let address = listener.local_addr().classed(Class::Operator, || {
        "failed to read the port of the engine".to_owned()
    })?;
    let password = options
        .password
        .or_else(|| std::env::var("PREFILL_ENGINE_PASSWORD").ok())
        .unwrap_or_else(random_password);
    let card = Card {
        pid: std::process::id(),
        url: format!("http://{address}"),
        user: options.user.unwrap_or_else(|| "default".to_owned()),
        password: password.clone(),
        version: core.version().to_owned(),
    };
    let server = Arc::new(Server::new(Arc::clone(&core), card.user.clone(), password));
    place.publish(&card)?;
    tracing::info!(
        url = card.url,
        version = card.version,
        pid = card.pid,
        "engine ready"
    );
    let stop = stop.child_token();
    on_signals(stop.clone(), options.until_unused)?;
    if options.until_unused {
        when_unused(&place, stop.clone())?;
    }
    let expiring = tokio::spawn(expire(Arc::clone(&core)));
    // An answer is more than one write; without this the second waits for the first's receipt.
    let listener = listener.tap_io(|connection| {
        let _ = connection.set_nodelay(true);
    });
    let serving = axum::serve(listener, http::router(server))
        .with_graceful_shutdown(stop.clone().cancelled_owned());
    let looked = place.inode_of_data();
    let data = looked.map_err(|error| unusable("failed to look at the data".to_owned(), error))?;
    let is_gone = keep_published(place.clone(), data, card);
    let served = tokio::select! {
        served = serving => served.classed(Class::Operator, || "failed to serve the engine".to_owned()),
        () = async { stop.cancelled().await; tokio::time::sleep(DRAIN).await } => Ok(()),
        () = is_gone => Err(Error::operator(format!(
            "{} was deleted or replaced under the engine",
            place.data().display()
        ))
        .hint("start it again when the data that it is to work on are in their place")),
    };
    expiring.abort();
    // `chdb_shutdown` fails once a table was loaded: what was written is on disk, so the process
    // withdraws its card and exits, and the kernel drops the lock with it.
    if place.inode_of_data().is_ok_and(|there| there == data) {
        place.withdraw();
    }
    tracing::info!("engine stopped");
    // The library has the directory until the very end: another engine that began now would not start.
    std::mem::forget(lock);
    served
}

/// Opens the library and starts the engine, which blocks for a tenth of a second.
async fn start(place: &Place) -> Result<Arc<Core>> {
    let place = place.clone();
    let started = tokio::task::spawn_blocking(move || -> Result<Core> {
        let library = super::fetch::locate()?;
        let data = place.data();
        std::fs::create_dir_all(&data)
            .map_err(|error| unusable(format!("failed to create {}", data.display()), error))?;
        place
            .set_empty_definitions_aside()
            .map_err(|error| unusable(format!("failed to look into {}", data.display()), error))?;
        let config = place.path().join("engine.xml");
        place.write_private(&config, CONFIG.as_bytes())?;
        Core::start(Library::open(&library)?, &data, &config).ok_or_else(|| {
            Error::operator(format!("{} did not start the engine", library.display()))
                .hint("the lines above, or in engine.log of the data directory, say why")
        })
    });
    let core = started
        .await
        .classed(Class::Never, || "the engine's start panicked".to_owned())??;
    Ok(Arc::new(core))
}

/// The configuration of the engine. Without one it reads files of the working and the home
/// directory. A laptop shares its cores with everything else, so the background pools are small
/// (a server's default is 16 merges) and the mark cache is 128 MiB instead of 5 GiB; memory is
/// ClickHouse's default, 90 % of the machine's.
const CONFIG: &str = "\
<clickhouse>
    <display_name>prefill</display_name>
    <logger><level>none</level></logger>
    <background_pool_size>4</background_pool_size>
    <background_common_pool_size>2</background_common_pool_size>
    <background_schedule_pool_size>8</background_schedule_pool_size>
    <merge_tree>
        <number_of_free_entries_in_pool_to_lower_max_size_of_merge>2</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
        <number_of_free_entries_in_pool_to_execute_mutation>2</number_of_free_entries_in_pool_to_execute_mutation>
        <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>2</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
    </merge_tree>
    <mark_cache_size>134217728</mark_cache_size>
    <max_server_memory_usage_to_ram_ratio>0.9</max_server_memory_usage_to_ram_ratio>
</clickhouse>
";

/// Stops on SIGTERM and ctrl-c. An engine that was started by somebody ignores ctrl-c: the
/// terminal sends it to that one, who still needs the engine to stop in order.
fn on_signals(stop: CancellationToken, started: bool) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen =
        |kind| signal(kind).classed(Class::Never, || "failed to listen for signals".to_owned());
    let (mut interrupt, mut terminate) = (
        listen(SignalKind::interrupt())?,
        listen(SignalKind::terminate())?,
    );
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => if started { continue },
                _ = terminate.recv() => {}
                () = stop.cancelled() => {}
            }
            return stop.cancel();
        }
    });
    Ok(())
}

/// Stops when the exclusive lock of `engine.users` is to be had: nobody uses the engine.
fn when_unused(place: &Place, stop: CancellationToken) -> Result<()> {
    let users = place.users_lock()?;
    let wait = move || {
        if let Err(error) = users.lock() {
            tracing::warn!(%error, "failed to wait for the last user of the engine");
            return;
        }
        stop.cancel();
        // Held until the process ends: whoever comes now waits, and starts another.
        std::mem::forget(users);
    };
    let thread = std::thread::Builder::new().name("users".to_owned());
    thread
        .spawn(wait)
        .classed(Class::Operator, || "failed to start a thread".to_owned())?;
    Ok(())
}

/// Says again how the engine is reached, where somebody deleted that: nobody else could use it, or start another.
/// Ends where the data are gone, or others are there instead: whoever comes there would work on what is deleted.
async fn keep_published(place: Place, data: (u64, u64), card: Card) {
    let mut gone = 0;
    loop {
        tokio::time::sleep(LOOK_AT_CARD).await;
        match place.inode_of_data() {
            Ok(there) if there == data => gone = 0,
            Ok(_) => gone += 1,
            Err(error) if error.kind() == ErrorKind::NotFound => gone += 1,
            // What cannot be looked at may be there all the same.
            Err(_) => continue,
        }
        if gone > 1 {
            return;
        }
        if gone == 0 && place.card().is_none() {
            match place.publish(&card) {
                Ok(()) => tracing::warn!("engine.json was gone: it is written again"),
                Err(error) => tracing::debug!(error = error.chain(), "engine.json is gone"),
            }
        }
    }
}

async fn expire(core: Arc<Core>) {
    let mut ticks = tokio::time::interval(EXPIRY);
    loop {
        ticks.tick().await;
        let core = Arc::clone(&core);
        // Closing a connection drops its temporary tables, which blocks.
        let _ = tokio::task::spawn_blocking(move || core.sessions.expire()).await;
    }
}

/// 256 random bits.
fn random_password() -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}
