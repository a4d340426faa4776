//! Sessions of the endpoint: a connection that lives from request to request, with its temporary
//! tables, its SET and its USE, until nobody has used it for its timeout.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::library::Connection;
use super::status::{Failure, SESSION_IS_LOCKED, SESSION_NOT_FOUND};

enum Slot {
    /// A request has the connection.
    Busy,
    Idle {
        connection: Connection,
        until: Instant,
    },
}

/// The sessions that live.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<String, Slot>>);

/// What [`Sessions::take`] found.
pub enum Taken {
    Known(Connection),
    /// There is none yet; the name is reserved, and the caller connects.
    New,
}

impl Sessions {
    /// Takes the connection of a session, which is locked until [`Sessions::give_back`] or
    /// [`Sessions::forget`].
    pub fn take(&self, id: &str, must_exist: bool) -> Result<Taken, Failure> {
        self.expire();
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match slots.remove(id) {
            Some(Slot::Busy) => {
                slots.insert(id.to_owned(), Slot::Busy);
                let message = format!("Session {id} is locked by a concurrent client");
                Err(Failure::new(SESSION_IS_LOCKED, message))
            }
            None if must_exist => Err(Failure::new(
                SESSION_NOT_FOUND,
                format!("Session {id} not found"),
            )),
            found => {
                slots.insert(id.to_owned(), Slot::Busy);
                Ok(match found {
                    Some(Slot::Idle { connection, .. }) => Taken::Known(connection),
                    _ => Taken::New,
                })
            }
        }
    }

    /// Unlocks a session and starts its timeout.
    pub fn give_back(&self, id: &str, connection: Connection, timeout: Duration) {
        let until = Instant::now() + timeout;
        let slot = Slot::Idle { connection, until };
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.insert(id.to_owned(), slot);
    }

    /// Ends a session.
    pub fn forget(&self, id: &str) {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.remove(id);
    }

    /// Ends the sessions whose timeout is over; the server calls it now and then.
    pub fn expire(&self) {
        let now = Instant::now();
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| match slot {
            Slot::Busy => true,
            Slot::Idle { until, .. } => *until > now,
        });
    }
}
