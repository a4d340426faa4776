//! `[service]`: how much is done at the same time, and how often it is looked and tried.

use std::time::Duration;

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Serialize};

use super::check::in_range;
use crate::error::Result;

/// How `prefill serve` and the other workers work.
#[derive(Clone, Debug, Deserialize, Serialize, Documented, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct Service {
    /// Batches of slices filled at the same time, on each warehouse. Range: 1 to 64.
    pub workers: u32,
    /// Tries of a slice before it is failed. Range: 1 to 100.
    pub attempts: u32,
    /// The first wait after a failed try, in milliseconds; doubles with each, with jitter.
    /// Range: 1 to 3600000.
    pub backoff_ms: u64,
    /// How long a claim holds without a sign of life, in milliseconds. Range: 1000 to 3600000.
    pub lease_ms: u64,
    /// How often all teams are looked at, signal or not, in milliseconds. Range: 100 to 86400000.
    pub reconcile_ms: u64,
    /// How often the source is asked for events that came late or today, in milliseconds.
    /// Range: 100 to 86400000.
    pub freshness_ms: u64,
    /// Teams of the same day, or days of a small team, claimed together, at most; filled in portions by their
    /// events.
    /// Range: 1 to 10000.
    pub batch: u32,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            workers: 2,
            attempts: 3,
            backoff_ms: 1_000,
            lease_ms: 10_000,
            reconcile_ms: 30_000,
            freshness_ms: 30_000,
            batch: 1_000,
        }
    }
}

impl Service {
    pub fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    pub fn reconcile_every(&self) -> Duration {
        Duration::from_millis(self.reconcile_ms)
    }

    pub fn freshness_every(&self) -> Duration {
        Duration::from_millis(self.freshness_ms)
    }

    pub fn backoff(&self) -> Duration {
        Duration::from_millis(self.backoff_ms)
    }

    pub(super) fn check(&self) -> Result<()> {
        for (name, value, least, most) in [
            ("service.workers", u64::from(self.workers), 1, 64),
            ("service.attempts", u64::from(self.attempts), 1, 100),
            ("service.backoff_ms", self.backoff_ms, 1, 3_600_000),
            ("service.lease_ms", self.lease_ms, 1_000, 3_600_000),
            ("service.reconcile_ms", self.reconcile_ms, 100, 86_400_000),
            ("service.freshness_ms", self.freshness_ms, 100, 86_400_000),
            ("service.batch", u64::from(self.batch), 1, 10_000),
        ] {
            in_range(name, value, least, most)?;
        }
        Ok(())
    }
}
