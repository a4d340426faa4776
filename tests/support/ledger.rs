//! Which ledger the stories run on: SQLite in the data directory, or with `PREFILL_TEST_LEDGER=postgres`
//! a database of its own for each data directory, in the cluster of `tests/with_postgres`.

#![allow(dead_code)] // each story uses its part

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use prefill::ledger::Ledger;

/// Whether the stories of this run have their ledger in Postgres.
pub fn is_postgres() -> bool {
    match std::env::var("PREFILL_TEST_LEDGER").as_deref() {
        Ok("postgres") => true,
        Ok("sqlite") | Err(_) => false,
        Ok(other) => panic!("PREFILL_TEST_LEDGER={other}: it is sqlite or postgres"),
    }
}

/// The cluster's superuser on its database `postgres`.
pub fn cluster() -> String {
    std::env::var("PREFILL_TEST_POSTGRES")
        .expect("no Postgres: run the tests by `make test`, or by tests/with_postgres")
}

/// The address of another database of the cluster.
pub fn database(name: &str) -> String {
    cluster().replace("/postgres?", &format!("/{name}?"))
}

/// A new database, empty.
pub fn new_database() -> String {
    let name = format!("prefill_{}", uuid::Uuid::new_v4().simple());
    psql(&cluster(), &format!("create database {name}"));
    database(&name)
}

static DATABASES: Mutex<BTreeMap<PathBuf, String>> = Mutex::new(BTreeMap::new());

/// The address of a data directory's ledger, where that is in Postgres; made when first asked for.
pub fn url(dir: &Path) -> Option<String> {
    if is_postgres() {
        return Some(in_postgres(dir));
    }
    let databases = DATABASES.lock().expect("no test died here");
    databases.get(dir).cloned()
}

/// Puts a data directory's ledger into Postgres, whatever the others of this run are in.
pub fn in_postgres(dir: &Path) -> String {
    let mut databases = DATABASES.lock().expect("no test died here");
    databases
        .entry(dir.to_path_buf())
        .or_insert_with(new_database)
        .clone()
}

/// Puts the ledger of a data directory into a command's environment.
pub fn name_ledger(command: &mut Command, dir: &Path) {
    match url(dir) {
        Some(url) => command.env("PREFILL_LEDGER_URL", url),
        None => command.env_remove("PREFILL_LEDGER_URL"),
    };
}

/// Statements by Postgres' own program; what they answer, without decoration.
pub fn psql(url: &str, sql: &str) -> String {
    let done = Command::new("psql")
        .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
        .args([
            "--set",
            "ON_ERROR_STOP=1",
            "--dbname",
            url,
            "--command",
            sql,
        ])
        .output()
        .expect("psql runs");
    assert!(
        done.status.success(),
        "{sql}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout)
        .expect("text")
        .trim_end()
        .to_owned()
}

/// Plain SQL on the ledger of a data directory, by another program.
pub fn plain_sql(dir: &Path, sql: &str) {
    if let Some(url) = url(dir) {
        psql(&url, &format!("set search_path to prefill; {sql}"));
        return;
    }
    let done = Command::new("python3")
        .arg("-c")
        .arg("import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=20); c.executescript(sys.argv[2]); c.commit()")
        .arg(Ledger::file(dir))
        .arg(sql)
        .status()
        .expect("python3 runs");
    assert!(done.success(), "{sql}");
}

/// Another program that lets nobody write the slices, until it is dropped.
pub struct Locked(std::process::Child);

impl Locked {
    pub fn new(dir: &Path) -> Self {
        use std::io::{BufRead as _, BufReader, Write as _};
        let mut command = match url(dir) {
            Some(url) => {
                let mut psql = Command::new("psql");
                psql.args([
                    "--no-psqlrc",
                    "--quiet",
                    "--tuples-only",
                    "--no-align",
                    "--dbname",
                    &url,
                ]);
                psql
            }
            None => {
                let mut python = Command::new("python3");
                python
                    .arg("-c")
                    .arg("import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None); c.execute('begin immediate'); print('locked', flush=True); sys.stdin.read()")
                    .arg(Ledger::file(dir));
                python
            }
        };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs");
        if url(dir).is_some() {
            let stdin = child.stdin.as_mut().expect("a pipe");
            stdin
                .write_all(b"begin; lock table prefill.slices; select 'locked';\n")
                .expect("written");
        }
        let mut told = String::new();
        BufReader::new(child.stdout.take().expect("a pipe"))
            .read_line(&mut told)
            .expect("readable");
        assert_eq!(told.trim(), "locked");
        Self(child)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
