//! Using an engine from another process: find the one of a data directory, or start it.
//!
//! A handle holds a shared lock on `engine.users` for its life, which is what keeps a started
//! engine alive. Nothing has to be told to stop: the lock goes with the handle, or with the
//! process, however it ends.

use std::fs::{File, TryLockError};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::Endpoint;
use super::place::{Card, Place, unusable};
use crate::error::{Class, Context as _, Error, Result};

/// An engine starts in a tenth of a second; one with many parts to load, on a busy machine, in
/// seconds.
const START: Duration = Duration::from_secs(30);
/// An engine answers a ping in a millisecond; a machine that swaps takes longer.
const PING: Duration = Duration::from_secs(3);
/// How often an engine that is killed while it starts is started again.
const KILLED: u32 = 3;
const POLL: Duration = Duration::from_millis(20);
const LOG_BYTES: u64 = 1 << 20;

/// A hold on the engine of one data directory, which runs in a process of its own: found, or
/// started as a child. The last hold that goes ends a started engine.
#[derive(Clone)]
pub struct Engine(Arc<Hold>);

struct Hold {
    place: Place,
    program: PathBuf,
    http: reqwest::Client,
    current: RwLock<Current>,
    /// One caller at a time looks whether the engine is alive and starts another.
    reviving: tokio::sync::Mutex<()>,
    /// The shared lock on `engine.users`.
    users: Mutex<File>,
}

#[derive(Clone)]
struct Current {
    card: Card,
    child: bool,
}

impl Engine {
    /// Takes hold of the engine of `data_dir`: the one that runs, or a new child process of
    /// `program`, the prefill binary (this one where none is given).
    ///
    /// # Errors
    ///
    /// [`Class::Operator`] when none runs and none can be started, with the engine's own reason.
    pub async fn attach(data_dir: &Path, program: Option<&Path>) -> Result<Self> {
        let place = Place::open(data_dir)?;
        let program = match program {
            Some(program) => program.to_owned(),
            None => std::env::current_exe().classed(Class::Operator, || {
                "failed to find the prefill binary".to_owned()
            })?,
        };
        let users = hold_users(&place).await?;
        let http = reqwest::Client::builder()
            .timeout(PING)
            .no_proxy()
            .pool_max_idle_per_host(0)
            .build()
            .classed(Class::Never, || "failed to make an http client".to_owned())?;
        let current = obtain(&place, &program, &http).await?;
        Ok(Self(Arc::new(Hold {
            place,
            program,
            http,
            current: RwLock::new(current),
            reviving: tokio::sync::Mutex::new(()),
            users: Mutex::new(users),
        })))
    }

    fn current(&self) -> Current {
        self.0
            .current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How to reach it; another after [`Engine::revive`].
    pub fn endpoint(&self) -> Endpoint {
        self.current().card.endpoint()
    }

    /// For a caller whose connection failed: how to reach the engine, after another was started if
    /// it is dead. Callers at the same time start one together.
    ///
    /// # Errors
    ///
    /// As [`Engine::attach`].
    pub async fn revive(&self) -> Result<Endpoint> {
        let _one = self.0.reviving.lock().await;
        let current = self.current();
        if ping(&self.0.http, &current.card).await {
            return Ok(current.card.endpoint());
        }
        tracing::warn!(
            pid = current.card.pid,
            "the engine does not answer; attaching again"
        );
        let users = || self.0.users.lock().unwrap_or_else(PoisonError::into_inner);
        // An engine that sees no user would end at once.
        let is_seen = self.0.place.has_users(&users());
        if !is_seen {
            let again = hold_users(&self.0.place).await?;
            *users() = again;
        }
        let found = obtain(&self.0.place, &self.0.program, &self.0.http).await?;
        let endpoint = found.card.endpoint();
        *self
            .0
            .current
            .write()
            .unwrap_or_else(PoisonError::into_inner) = found;
        Ok(endpoint)
    }

    /// Whether this process started it.
    pub fn is_child(&self) -> bool {
        self.current().child
    }

    /// The engine's process.
    pub fn pid(&self) -> u32 {
        self.current().card.pid
    }
}

/// The shared lock on `engine.users`. Waits while an engine that nobody uses is stopping: it holds the lock until it
/// is gone.
async fn hold_users(place: &Place) -> Result<File> {
    let users = place.users_lock()?;
    tokio::task::spawn_blocking(move || users.lock_shared().map(|()| users))
        .await
        .classed(Class::Never, || {
            "waiting for the engine's lock panicked".to_owned()
        })?
        .map_err(|error| unusable("failed to lock engine.users".to_owned(), error))
}

/// Asks with the password: another program may have the port of an engine that died.
async fn ping(http: &reqwest::Client, card: &Card) -> bool {
    let answer = http
        .get(format!("{}/?query=select%201", card.url))
        .header("X-ClickHouse-User", &card.user)
        .header("X-ClickHouse-Key", &card.password)
        .send()
        .await;
    match answer {
        Ok(answer) if answer.status().is_success() => {
            answer.text().await.is_ok_and(|text| text == "1\n")
        }
        _ => false,
    }
}

/// A child, and what becomes of it.
struct Child {
    pid: u32,
    /// Where its words begin in `engine.log`: what is before is of an earlier one.
    log_from: u64,
    ended: watch::Receiver<Option<ExitStatus>>,
}

/// The engine that answers, or a new one.
async fn obtain(place: &Place, program: &Path, http: &reqwest::Client) -> Result<Current> {
    let deadline = Instant::now() + START;
    let mut child: Option<Child> = None;
    let mut killed = 0;
    loop {
        if let Some(card) = place.card()
            && ping(http, &card).await
        {
            let ours = child.as_ref().is_some_and(|child| child.pid == card.pid);
            return Ok(Current { card, child: ours });
        }
        let status = child.as_ref().and_then(|child| *child.ended.borrow());
        match (&child, status) {
            (None, _) => child = Some(spawn(place, program)?),
            (Some(ended), Some(status)) => {
                let said = since(&place.log(), ended.log_from);
                // Somebody killed it while it started; it had nothing to say against starting.
                if status.signal().is_some() && killed < KILLED {
                    killed += 1;
                    child = None;
                    continue;
                }
                // Two started at once: the other one has the lock, and will answer or go. It says so
                // in the same file, also after ours did.
                if !said.contains("another prefill engine") {
                    return Err(failed(&last_line(&said), status));
                }
                if place.engine_lock()?.try_lock().is_ok() {
                    child = None;
                }
            }
            (Some(_), None) => {}
        }
        if Instant::now() > deadline {
            if let Some(card) = place.card()
                && matches!(
                    place.engine_lock()?.try_lock(),
                    Err(TryLockError::WouldBlock)
                )
            {
                return Err(hangs(&card));
            }
            let from = child.as_ref().map_or(0, |child| child.log_from);
            let said = last_line(&since(&place.log(), from));
            return Err(Error::new(
                Class::Later,
                format!(
                    "the embedded ClickHouse did not answer within {} s",
                    START.as_secs()
                ),
            )
            .caused_by(if said.is_empty() {
                "it said nothing".to_owned()
            } else {
                said
            })
            .hint(format!("look into {}", place.log().display())));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Of an engine that lives and does not answer.
fn hangs(card: &Card) -> Error {
    let pid = card.pid;
    Error::new(
        Class::Later,
        format!(
            "the embedded ClickHouse (process {pid}) runs and did not answer within {} s",
            START.as_secs()
        ),
    )
    .hint(format!(
        "is it stopped, or its disk? if it does not come back: kill -9 {pid}, and whoever needs it starts another"
    ))
}

/// The engine's own reason, and the hint that it gave.
fn failed(said: &str, status: ExitStatus) -> Error {
    let (why, hint) = match said.split_once("hint: ") {
        Some((why, hint)) => (
            why.trim_end_matches([' ', ';', '(']),
            Some(hint.trim_end_matches(')')),
        ),
        None => (said, None),
    };
    // The child's own word for it; ours says so already.
    let why = why.strip_prefix("error: ").unwrap_or(why);
    let why = if why.is_empty() {
        format!("it ended with {status}")
    } else {
        why.to_owned()
    };
    Error::operator("failed to start the embedded ClickHouse")
        .caused_by(why)
        .hint(hint.unwrap_or("run prefill engine to see why, and engine.log in the data directory"))
}

fn spawn(place: &Place, program: &Path) -> Result<Child> {
    let path = place.log();
    let at = |error| unusable(format!("failed to write {}", path.display()), error);
    let long = path.metadata().is_ok_and(|meta| meta.len() > LOG_BYTES);
    let mut options = File::options();
    if long {
        options.write(true).truncate(true);
    } else {
        options.create(true).append(true);
    }
    let log = options.open(&path).map_err(at)?;
    let log_from = log.metadata().map_err(at)?.len();
    let mut child = Command::new(program)
        .arg("engine")
        .arg("--data-dir")
        .arg(place.path())
        .arg("--until-unused")
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        // Ctrl-c in the terminal is for us; we may need the engine to stop in order.
        .process_group(0)
        .spawn()
        .classed(Class::Operator, || {
            format!("failed to run {} engine", program.display())
        })?;
    let pid = child.id();
    let (tell, ended) = watch::channel(None);
    // Waiting reaps it, however it ends.
    let wait = move || {
        if let Ok(status) = child.wait() {
            let _ = tell.send(Some(status));
        }
    };
    let thread = std::thread::Builder::new().name("engine".to_owned());
    thread
        .spawn(wait)
        .classed(Class::Operator, || "failed to start a thread".to_owned())?;
    Ok(Child {
        pid,
        log_from,
        ended,
    })
}

/// What the log says from a place on.
fn since(log: &Path, from: u64) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    // A log that is shorter now was emptied by another process that started an engine, so all of
    // it is new.
    let from = usize::try_from(from).unwrap_or(usize::MAX);
    String::from_utf8_lossy(text.get(from..).unwrap_or(&text)).into_owned()
}

/// The last lines that say something: the hint stands on a line of its own.
fn last_line(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    match lines.as_slice() {
        [.., why, hint] if hint.trim_start().starts_with("hint: ") => {
            format!("{why} {}", hint.trim())
        }
        [.., last] => (*last).to_owned(),
        [] => String::new(),
    }
}
