//! A ledger that fails on command, and its clock moved on where nobody wants to wait.
//!
//! Before Postgres stands a proxy that reads the frontend's messages: each Query and each Sync is a
//! call, and those whose turn it is are broken. A ledger in SQLite has no wire; what can happen to it
//! from outside is that somebody else holds its write lock, for less than the busy timeout.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prefill::ledger::Ledger;
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support;
use crate::warehouse::Process;

/// The ledger's tables by plain SQL, past prefill.
#[derive(Clone)]
pub enum Clock {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Clock {
    /// Of the ledger of a data directory.
    pub async fn of(dir: &Path) -> Self {
        match support::ledger::url(dir) {
            None => {
                let options = SqliteConnectOptions::new()
                    .filename(Ledger::file(dir))
                    .busy_timeout(Duration::from_secs(20));
                let pool = SqlitePoolOptions::new().max_connections(2);
                Self::Sqlite(pool.connect_with(options).await.expect("the ledger"))
            }
            Some(url) => {
                let options: PgConnectOptions = url.parse().expect("an address");
                let options = options.options([("search_path", "prefill")]);
                let pool = PgPoolOptions::new().max_connections(2);
                Self::Postgres(pool.connect_with(options).await.expect("the ledger"))
            }
        }
    }

    pub async fn sql(&self, text: &str) {
        let script = sqlx::raw_sql(AssertSqlSafe(text.to_owned()));
        let done = match self {
            Self::Sqlite(pool) => script.execute(pool).await.map(drop),
            Self::Postgres(pool) => script.execute(pool).await.map(drop),
        };
        if let Err(error) = done {
            panic!("{text}: {error}");
        }
    }

    /// Every lease is over, as if everybody had been silent for long.
    pub async fn end_leases(&self) {
        self.sql("update slices set lease_until = 1 where state = 'running'")
            .await;
    }

    /// As [`Clock::end_leases`], of whoever keeps partitions free of claims.
    pub async fn end_holds(&self) {
        self.sql("update holds set lease_until = 1").await;
    }

    /// Every wait for the next try is over; a day that waits for events goes on waiting.
    pub async fn end_waits(&self) {
        self.sql("update slices set not_before = 0 where state in ('wanted', 'stale') and waiting = 0 and not_before > 0")
            .await;
    }

    /// What memory taught is forgotten: many pieces make many calls.
    pub async fn forget_pieces(&self) {
        self.sql("delete from widths").await;
    }

    /// Somebody else writes to a ledger in a file, for so long.
    pub fn keep_busy(&self, time: Duration) {
        if let Self::Sqlite(pool) = self.clone() {
            tokio::spawn(async move {
                if let Ok(mut connection) = pool.acquire().await
                    && sqlx::raw_sql("begin immediate")
                        .execute(&mut *connection)
                        .await
                        .is_ok()
                {
                    tokio::time::sleep(time).await;
                    let over = sqlx::raw_sql("rollback").execute(&mut *connection).await;
                    over.expect("rolled back");
                }
            });
        }
    }
}

/// What happens to the call whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The connection is gone before the database saw it.
    Refused,
    /// It is done, and the connection is gone before the answer.
    DoneButAnswerLost,
    /// It takes a while.
    Slow,
    /// Not done, and no answer, until the connection is gone.
    HungUndone,
    /// Done, and no answer, until the connection is gone.
    HungDone,
    /// prefill's process is gone before the call is sent.
    WorkerDiesBefore,
    /// prefill's process is gone when the call was sent; the database does what it says.
    WorkerDiesAfter,
}

pub const FAULTS: [Fault; 7] = [
    Fault::Refused,
    Fault::DoneButAnswerLost,
    Fault::Slow,
    Fault::HungUndone,
    Fault::HungDone,
    Fault::WorkerDiesBefore,
    Fault::WorkerDiesAfter,
];

/// How long one that hangs keeps its connection.
const HANGS: Duration = Duration::from_millis(250);

/// The proxy before Postgres.
#[derive(Clone)]
pub struct FaultyLedger {
    pub url: String,
    process: Process,
    port: u16,
    armed: Arc<Mutex<BTreeMap<usize, Fault>>>,
    calls: Arc<AtomicUsize>,
}

impl FaultyLedger {
    /// Before the ledger of a data directory, where that is in Postgres.
    pub async fn before(dir: &Path, process: Process) -> Option<Self> {
        let direct = support::ledger::url(dir)?;
        let (_, name) = direct.split_once("/prefill_").expect("a database");
        let name = format!("prefill_{}", name.split('?').next().expect("a name"));
        let user = name.replace("prefill_", "user_");
        support::ledger::psql(
            &support::ledger::cluster(),
            &format!("create role {user} superuser login password 'faulty'"),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let here = listener.local_addr().expect("an address").port();
        let port = std::env::var("PREFILL_TEST_POSTGRES_PORT").expect("a cluster");
        let faulty = Self {
            url: format!("postgres://{user}:faulty@127.0.0.1:{here}/{name}?sslmode=disable"),
            process,
            port: port.parse().expect("a port"),
            armed: Arc::default(),
            calls: Arc::default(),
        };
        let serving = faulty.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let faulty = serving.clone();
                // Whoever is cut off sees it; nobody else has to know.
                tokio::spawn(async move { drop(faulty.serve(client).await) });
            }
        });
        Some(faulty)
    }

    /// Breaks these calls, counted from 1 on from now.
    pub fn arm(&self, faults: impl IntoIterator<Item = (usize, Fault)>) {
        let mut armed = self.armed.lock().expect("no test died here");
        *armed = faults.into_iter().collect();
        self.calls.store(0, Ordering::SeqCst);
    }

    /// Breaks nothing more; how many calls there were.
    pub fn disarm(&self) -> usize {
        let calls = self.calls.load(Ordering::SeqCst);
        self.arm([]);
        calls
    }

    async fn serve(&self, client: TcpStream) -> std::io::Result<()> {
        let server = TcpStream::connect(("127.0.0.1", self.port)).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let mut asked = Messages::new(true);
        let mut answered = Messages::new(false);
        let (mut ask, mut answer) = ([0; 8192], [0; 8192]);
        // What the client says up to a call goes to the server together with it, or not at all.
        let mut held = Vec::new();
        loop {
            tokio::select! {
                read = from_client.read(&mut ask) => {
                    let read = read?;
                    if read == 0 {
                        return to_server.shutdown().await;
                    }
                    asked.add(&ask[..read]);
                    while let Some((kind, message)) = asked.next() {
                        held.extend_from_slice(&message);
                        if matches!(kind, b'Q' | b'S') {
                            let nth = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
                            let fault = self.armed.lock().expect("no test died here").remove(&nth);
                            if let Some(fault) = fault {
                                self.process.count(format!("ledger: {fault:?}"));
                                if fault != Fault::Slow {
                                    let is_done = matches!(
                                        fault,
                                        Fault::DoneButAnswerLost | Fault::HungDone | Fault::WorkerDiesAfter
                                    );
                                    if is_done {
                                        to_server.write_all(&held).await?;
                                        until_ready(&mut from_server, &mut answered).await?;
                                    }
                                    match fault {
                                        Fault::HungDone | Fault::HungUndone => tokio::time::sleep(HANGS).await,
                                        Fault::WorkerDiesBefore | Fault::WorkerDiesAfter => self.process.die(),
                                        _ => {}
                                    }
                                    return Ok(());
                                }
                                tokio::time::sleep(Duration::from_millis(150)).await;
                            }
                        }
                        // Of an extended query all parts go with their Sync.
                        if !matches!(kind, b'P' | b'B' | b'D' | b'E' | b'C') {
                            to_server.write_all(&held).await?;
                            held.clear();
                        }
                    }
                }
                read = from_server.read(&mut answer) => {
                    let read = read?;
                    if read == 0 {
                        return to_client.shutdown().await;
                    }
                    answered.add(&answer[..read]);
                    while let Some((_, message)) = answered.next() {
                        to_client.write_all(&message).await?;
                    }
                }
            }
        }
    }
}

/// Reads answers that nobody gets, up to the one that says that the server is ready for more.
async fn until_ready(
    server: &mut (impl tokio::io::AsyncRead + Unpin),
    answered: &mut Messages,
) -> std::io::Result<()> {
    let mut buffer = [0; 8192];
    loop {
        while let Some((kind, _)) = answered.next() {
            if kind == b'Z' {
                return Ok(());
            }
        }
        let read = server.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        answered.add(&buffer[..read]);
    }
}

/// Takes the bytes of one direction apart into messages: a type, and a length that counts itself. Only
/// a client's first message has no type.
struct Messages {
    bytes: Vec<u8>,
    first: bool,
}

impl Messages {
    fn new(of_client: bool) -> Self {
        Self {
            bytes: Vec::new(),
            first: of_client,
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let begin = usize::from(!self.first);
        let length = self.bytes.get(begin..begin + 4)?;
        let length = u32::from_be_bytes(length.try_into().expect("four bytes"));
        let end = begin + usize::try_from(length).expect("a length");
        if self.bytes.len() < end {
            return None;
        }
        let rest = self.bytes.split_off(end);
        let message = std::mem::replace(&mut self.bytes, rest);
        let kind = if self.first { 0 } else { message[0] };
        self.first = false;
        Some((kind, message))
    }
}
