//! What the tests of the engine share: a directory, the binary, and waiting for a fact.

#![allow(dead_code, reason = "each test file uses its part")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use prefill::engine::{Endpoint, Engine};

/// The binary under test.
pub const PREFILL: &str = env!("CARGO_BIN_EXE_prefill");

/// Longer than anything here takes on a loaded machine.
pub const LIMIT: Duration = Duration::from_secs(30);

/// An engine on a directory of its own.
pub struct World {
    pub engine: Engine,
    pub directory: tempfile::TempDir,
}

impl World {
    pub async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let engine = attach(directory.path()).await;
        Self { engine, directory }
    }

    pub fn client(&self) -> clickhouse::Client {
        client(&self.engine.endpoint())
    }

    /// A request with the right password.
    pub fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.signed(reqwest::Method::GET, path)
    }

    pub fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        self.signed(reqwest::Method::POST, path).body(body)
    }

    pub fn signed(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let endpoint = self.engine.endpoint();
        reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("an http client")
            .request(method, format!("{}{path}", endpoint.url))
            .basic_auth(&endpoint.user, Some(&endpoint.password))
    }

    /// The text that a statement answers; it has to work.
    pub async fn text(&self, path: &str, sql: &str) -> String {
        let answer = self
            .post(path, sql.to_owned())
            .send()
            .await
            .expect("an answer");
        let status = answer.status();
        let text = answer.text().await.expect("a text");
        assert!(status.is_success(), "{sql}: {status}: {text}");
        text
    }

    /// The code, status and text of a statement that has to fail.
    pub async fn failure(&self, path: &str, sql: &str) -> (u16, u16, String) {
        refused(self.post(path, sql.to_owned())).await
    }

    /// Waits until a statement answers what is expected.
    pub async fn until(&self, sql: &str, expected: &str) {
        let start = Instant::now();
        loop {
            let text = self.text("/", sql).await;
            if text.trim() == expected {
                return;
            }
            assert!(
                start.elapsed() < LIMIT,
                "{sql} still answers {text}, not {expected}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The code, status and text of a request that has to fail.
pub async fn refused(request: reqwest::RequestBuilder) -> (u16, u16, String) {
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let code = answer
        .headers()
        .get("x-clickhouse-exception-code")
        .and_then(|code| code.to_str().ok()?.parse().ok())
        .unwrap_or_default();
    (code, status, answer.text().await.expect("a text"))
}

pub async fn attach(directory: &Path) -> Engine {
    Engine::attach(directory, Some(Path::new(PREFILL)))
        .await
        .unwrap_or_else(|error| panic!("{}", error.chain()))
}

pub fn client(endpoint: &Endpoint) -> clickhouse::Client {
    clickhouse::Client::default()
        .with_url(&endpoint.url)
        .with_user(&endpoint.user)
        .with_password(&endpoint.password)
}

/// `prefill engine …` by hand, its stderr kept.
pub fn by_hand(arguments: &[&str]) -> Command {
    let mut command = Command::new(PREFILL);
    command
        .arg("engine")
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Kills a child when the test ends.
pub struct Reaped(pub Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for a fact.
pub fn wait_until(what: &str, mut fact: impl FnMut() -> bool) {
    let start = Instant::now();
    while !fact() {
        assert!(start.elapsed() < LIMIT, "still not so: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process lives (a zombie does not).
pub fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().unwrap_or_default();
    !state.is_empty() && !state.starts_with('Z')
}

pub fn kill_hard(pid: u32) {
    let status = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(status.expect("kill runs").success());
}

/// What `engine.json` says about the pid.
pub fn pid_of(directory: &Path) -> Option<u32> {
    let text = std::fs::read(directory.join("engine.json")).ok()?;
    let card: serde_json::Value = serde_json::from_slice(&text).ok()?;
    u32::try_from(card["pid"].as_u64()?).ok()
}

pub fn library() -> PathBuf {
    prefill::engine::locate().unwrap_or_else(|error| panic!("{}", error.chain()))
}
