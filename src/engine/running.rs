//! The requests that run, and who was told that its statement is killed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A request, from its first byte until it has its answer.
#[derive(Default)]
pub struct Running {
    is_finished: AtomicBool,
    kills: AtomicUsize,
    /// Its statement has nothing by which a kill tells whose it is.
    is_unmarked: AtomicBool,
}

impl Running {
    pub fn finish(&self) {
        self.is_finished.store(true, Ordering::Release);
    }

    pub fn is_finished(&self) -> bool {
        self.is_finished.load(Ordering::Acquire)
    }

    /// Whether its answer may have ended early.
    pub fn is_killed(&self) -> bool {
        self.kills.load(Ordering::Acquire) > 0
    }

    /// Tells it, before its statement is killed.
    pub fn tell(&self) {
        self.kills.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes that back: nothing was killed.
    pub fn take_back(&self) {
        self.kills.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The requests that run, by their query ids.
#[derive(Default)]
pub struct Requests(Mutex<HashMap<String, Arc<Running>>>);

impl Requests {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<Running>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False when another request has the id.
    pub fn add(&self, query_id: &str, running: &Arc<Running>) -> bool {
        match self.all().entry(query_id.to_owned()) {
            Entry::Occupied(_) => false,
            Entry::Vacant(free) => {
                free.insert(Arc::clone(running));
                true
            }
        }
    }

    pub fn remove(&self, query_id: &str) {
        self.all().remove(query_id);
    }

    /// The statement of a request will have no mark.
    pub fn leave_unmarked(&self, query_id: &str) {
        if let Some(running) = self.all().get(query_id) {
            running.is_unmarked.store(true, Ordering::Release);
        }
    }

    /// Those whose statement has the mark; without one, all that have none.
    pub fn marked(&self, mark: &str) -> Vec<Arc<Running>> {
        let all = self.all();
        if mark.is_empty() {
            let unmarked = |running: &&Arc<Running>| running.is_unmarked.load(Ordering::Acquire);
            return all.values().filter(unmarked).cloned().collect();
        }
        all.get(mark).cloned().into_iter().collect()
    }

    /// Does something while a request has its id, which no other can get meanwhile; nothing once it has it no more.
    pub fn while_it_runs(&self, query_id: &str, running: &Arc<Running>, work: impl FnOnce()) {
        let all = self.all();
        if all
            .get(query_id)
            .is_some_and(|found| Arc::ptr_eq(found, running))
        {
            work();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_that_of_one_request_at_a_time_and_what_is_meant_for_one_never_reaches_the_next() {
        let requests = Requests::default();
        let (first, second) = (Arc::new(Running::default()), Arc::new(Running::default()));
        assert!(requests.add("a", &first));
        assert!(!requests.add("a", &second));
        let reached = |running| {
            let mut reached = false;
            requests.while_it_runs("a", running, || reached = true);
            reached
        };
        assert!(reached(&first) && !reached(&second));
        requests.remove("a");
        assert!(requests.add("a", &second));
        assert!(!reached(&first) && reached(&second));
    }

    #[test]
    fn without_a_mark_all_are_told_that_have_none_and_what_was_not_done_is_taken_back() {
        let requests = Requests::default();
        for id in ["a", "b", "c"] {
            assert!(requests.add(id, &Arc::default()));
        }
        requests.leave_unmarked("b");
        let killed = |id: &str| requests.marked(id)[0].is_killed();
        requests
            .marked("")
            .iter()
            .for_each(|running| running.tell());
        requests
            .marked("c")
            .iter()
            .for_each(|running| running.tell());
        assert_eq!(["a", "b", "c"].map(killed), [false, true, true]);
        requests.marked("c")[0].take_back();
        assert!(!killed("c"));
        assert!(requests.marked("nobody").is_empty());
    }
}
