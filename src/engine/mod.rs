//! The embedded ClickHouse: a process that answers ClickHouse's HTTP interface on a loopback port,
//! with ClickHouse as a library inside.
//!
//! Whoever needs it takes hold of it with [`Engine::attach`] and talks to [`Engine::endpoint`] with
//! any ClickHouse client, as to a server. The parts, from the file system upwards:
//!
//! - `fetch`: where the library comes from, and on which machines it runs;
//! - `library`: every call into it;
//! - `place`: the files and locks of a data directory;
//! - `status`, `blocks`, `statement`: ClickHouse's error codes, its compressed blocks, its tokens;
//! - `request`, `body`, `reply`, `running`, `session`, `execute`: one HTTP request on a thread of its own;
//! - `http`, `serve`: the interface and the process around it;
//! - `attach`: using it from another process.
//!
//! What differs from a server, because the library has no call for it: the query ids in
//! `system.processes` are the engine's own (a client's is in `Settings['promql_table']`, and as
//! `log_comment` where the client sets none; the condition of `KILL QUERY` has it as `query_id`);
//! `KILL QUERY … SYNC` answers as ASYNC does; there is no `input()`, no `system.query_log`, no
//! user but one.

mod attach;
mod blocks;
mod body;
mod execute;
mod fetch;
mod http;
mod library;
mod place;
mod reply;
mod request;
mod running;
mod serve;
mod session;
mod statement;
mod status;

use std::fmt;

pub use attach::Engine;
pub use fetch::{fetch, locate, named};
pub use library::leave;
pub use serve::{ServeOptions, serve};

/// How to reach an engine.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `http://127.0.0.1:PORT`
    pub url: String,
    pub user: String,
    pub password: String,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("url", &self.url)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}
