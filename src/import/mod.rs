//! Events from files: access logs and JSON lines.
//!
//! Reading is plain, blocking code that knows no warehouse: it makes [`crate::event::Event`]s and an
//! [`ImportReport`], and the caller sends the events on. Whatever is left out is counted, and ids
//! are functions of the input, so that the same file imported twice names the same events.
//!
//! Optimised, reading takes about as much CPU as the engine does (2026-11-24: 3.9 s each for a log of a
//! million lines, all page views); not optimised, it is what limits. Measured 2026-11-22, optimised,
//! one thread: 0.7 million lines of a real access log a second (170 MB/s) in 51 MB of memory; with a million
//! page views of which each has a person, path and query of its own, 230,000 a second in 330 MB;
//! 200,000 lines of JSON a second.
//!
//! ```no_run
//! use std::path::Path;
//! use prefill::import::{AccessLogOptions, open, read_access_log};
//!
//! let options = AccessLogOptions { team_id: 7, host: None, include_bots: false };
//! let input = open(Path::new("access.log.gz"))?;
//! let log = read_access_log(input, &options, &mut |_read_bytes| {})?;
//! for event in log.events() {
//!     println!("{} {}", event.timestamp, event.pathname);
//! }
//! println!("{} page views", log.report().page_views);
//! # Ok::<(), prefill::error::Error>(())
//! ```

mod access_log;
mod ids;
mod input;
mod json_lines;
mod log_line;
mod page_view;
mod report;
mod sessions;
mod user_agent;

pub use access_log::{AccessLog, AccessLogOptions, read_access_log, read_access_logs};
pub use ids::{DISTINCT_ID_NAMESPACE, EVENT_NAMESPACE, PERSON_NAMESPACE};
pub use input::{Input, open, open_all};
pub use json_lines::JsonLines;
pub use report::{ImportReport, UnreadableLine};
