//! Which receivers there are, over all processes on a ledger: they may be configured differently, while a
//! change is rolled out or by mistake.
//!
//! Each process says in the ledger which it has. Whoever looks writes for all of them, and each message is
//! sent by a process that has its receiver. What waits for a receiver that no process has any more is
//! told in the log of one process, and dropped after a day. Whose turn that is has nothing to do with who
//! looks at the health: where no process has a receiver nobody looks, and messages may wait all the same.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::receivers::Takes;
use super::{DROPPED, LAST_WORDS, MOST_AGE, REST, in_time};
use crate::error::Result;
use crate::ledger::Ledger;
use crate::telemetry::ALERT_MESSAGES;

/// How often a process says which receivers it has.
const EVERY: Duration = Duration::from_secs(60);

/// The turn of whoever sees to receivers that no process has any more.
const TURN: &str = "receivers";
/// How long he keeps it without a word.
const LEASE: Duration = Duration::from_secs(150);

/// The receivers of one process.
#[derive(Clone)]
pub(super) struct Roll {
    pub ledger: Ledger,
    pub owner: String,
    pub own: Vec<(String, Takes)>,
    /// How often it looks at health.
    pub every: Duration,
}

impl Roll {
    pub async fn keep_on(self, stop: CancellationToken) {
        let (mut said, mut missed) = (String::new(), BTreeSet::new());
        while !stop.is_cancelled() {
            let called = tokio::select! {
                called = in_time("looking which receivers there are", self.call(&mut missed)) => called,
                () = stop.cancelled() => break,
            };
            let rest = match called {
                Ok(()) => {
                    said.clear();
                    self.every.min(EVERY)
                }
                Err(error) => {
                    let chain = error.chain();
                    if chain != said {
                        warn!(
                            error = chain,
                            "could not look which receivers there are; trying again"
                        );
                        said = chain;
                    }
                    REST
                }
            };
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = stop.cancelled() => {}
            }
        }
        let end = self.ledger.end_turn(TURN, &self.owner);
        // Where that fails the turn ends by itself.
        drop(tokio::time::timeout(LAST_WORDS, end).await);
    }

    /// The receivers of all processes, this one's first.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    pub async fn all(&self) -> Result<Vec<(String, Takes)>> {
        let mut all = self.own.clone();
        for receiver in self.ledger.receivers().await? {
            let takes = receiver.takes.as_deref().and_then(Takes::named);
            if let Some(takes) = takes.filter(|_| receiver.is_there() && !self.has(&receiver.name))
            {
                all.push((receiver.name, takes));
            }
        }
        Ok(all)
    }

    fn has(&self, name: &str) -> bool {
        self.own.iter().any(|(own, _)| own == name)
    }

    /// Says which this process has, and in its turn looks for those that no process has any more; `missed`
    /// are those that it has told of.
    async fn call(&self, missed: &mut BTreeSet<String>) -> Result<()> {
        if !self.own.is_empty() {
            let own = self.own.iter();
            let own: Vec<_> = own
                .map(|(name, takes)| (name.clone(), takes.name()))
                .collect();
            self.ledger.announce(&own).await?;
        }
        if !self.ledger.take_turn(TURN, &self.owner, LEASE).await? {
            return Ok(());
        }
        let mut receivers = self.ledger.receivers().await?;
        receivers.retain(|receiver| !receiver.is_there() && !self.has(&receiver.name));
        missed.retain(|name| receivers.iter().any(|receiver| receiver.name == *name));
        for receiver in receivers {
            let name = receiver.name;
            if receiver.away >= MOST_AGE {
                let dropped = self.ledger.forget_receiver(&name, MOST_AGE).await?;
                if dropped > 0 {
                    ALERT_MESSAGES.add([&name, DROPPED], dropped);
                    error!(
                        receiver = name,
                        dropped,
                        hint = "run prefill config check on each machine: it names the receivers",
                        "no process has had a receiver for a day: dropped the messages that waited for it"
                    );
                }
            } else if receiver.waiting > 0 && missed.insert(name.clone()) {
                warn!(
                    receiver = name,
                    waiting = receiver.waiting,
                    hint = "add it to [alerts] of one of them again, or let the messages be dropped after a day",
                    "messages wait for a receiver that no process has any more"
                );
            }
        }
        Ok(())
    }
}
