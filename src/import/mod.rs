//! Events from files: access logs and JSON lines.
//!
//! Reading is plain, blocking code that knows no warehouse: it makes [`crate::event::Event`]s and an
//! [`ImportReport`], and the caller sends the events on. Whatever is left out is counted, and ids
//! are functions of the input, so that the same file imported twice names the same events.

mod access_log;
mod ids;
mod input;
mod json_lines;
mod log_line;
mod page_view;
mod report;
mod sessions;
mod user_agent;

pub use access_log::{AccessLog, AccessLogOptions, read_access_log};
pub use ids::{DISTINCT_ID_NAMESPACE, EVENT_NAMESPACE, PERSON_NAMESPACE};
pub use input::{Input, open};
pub use json_lines::JsonLines;
pub use report::{ImportReport, UnreadableLine};
