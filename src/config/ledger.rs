//! `[ledger]`: where teams, slices and runs are recorded.

use std::path::PathBuf;
use std::time::Duration;

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Serialize};

use super::check::{check_name, in_range, is_no_name};
use super::secret::Secret;
use crate::error::{Class, Context, Result};

/// Names the address of the ledger, over `url` and `url_file` of `[ledger]`.
pub const LEDGER_URL_VARIABLE: &str = "PREFILL_LEDGER_URL";

/// Where teams, slices and runs are recorded. Without an address: SQLite in the data directory.
#[derive(Clone, Debug, Deserialize, Serialize, Documented, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct Ledger {
    /// The address of a Postgres, as libpq takes it: `?host=/directory` for a socket,
    /// `?sslmode=verify-full&sslrootcert=ca.pem`. Better in `PREFILL_LEDGER_URL` or in `url_file`.
    /// Example: `"postgres://prefill:secret@db.example:5432/posthog"`.
    #[serde(skip_serializing)]
    pub url: Option<Secret>,
    /// A file that holds the address and nothing else, where `url` does not say it.
    /// Example: `"/run/secrets/prefill-ledger"`.
    pub url_file: Option<PathBuf>,
    /// The schema of prefill's own tables.
    pub schema: String,
    /// Connections of one process, at most. Range: 2 to 1000.
    pub max_connections: u32,
    /// How long a database that does not answer is waited for, in milliseconds. Range: 100 to 600000.
    pub connect_timeout_ms: u64,
    /// How often the ledger is asked for changes where LISTEN does not work, in milliseconds.
    /// Range: 10 to 600000.
    pub poll_ms: u64,
    /// Whether a pooler that hands connections out by the transaction is in between. Not set: found out,
    /// and any pooler is taken for one; false says that it is not, so that LISTEN is tried.
    /// Example: `false`.
    pub pooler: Option<bool>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            url: None,
            url_file: None,
            schema: "prefill".to_owned(),
            max_connections: 10,
            connect_timeout_ms: 5_000,
            poll_ms: 500,
            pooler: None,
        }
    }
}

impl Ledger {
    /// The address, from where it is written. Set to nothing, as compose files do, counts as not set.
    ///
    /// # Errors
    ///
    /// [`Class::Misuse`] when the file cannot be read.
    pub fn url(&self) -> Result<Option<Secret>> {
        let text = match (&self.url, &self.url_file) {
            (Some(url), _) => url.reveal().to_owned(),
            (None, Some(file)) => std::fs::read_to_string(file)
                .classed(Class::Misuse, || {
                    format!("failed to read ledger.url_file {}", file.display())
                })
                .map_err(|error| error.hint("name a file that you can read"))?,
            (None, None) => String::new(),
        };
        let text = text.trim();
        Ok((!text.is_empty()).then(|| text.to_owned().into()))
    }

    pub fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_ms)
    }

    pub(super) fn check(&self) -> Result<()> {
        in_range(
            "ledger.max_connections",
            u64::from(self.max_connections),
            2,
            1_000,
        )?;
        in_range(
            "ledger.connect_timeout_ms",
            self.connect_timeout_ms,
            100,
            600_000,
        )?;
        in_range("ledger.poll_ms", self.poll_ms, 10, 600_000)?;
        // Names of triggers and locks are made of it, and no name is longer than 63.
        if self.schema.len() > 40 {
            return Err(is_no_name("ledger.schema", &self.schema));
        }
        check_name("ledger.schema", &self.schema)
    }
}
