//! What no page is kept waiting for, because warehouses are asked or many slices are read: it is looked at
//! beside the requests, by one at a time and at most so often, and told with its age.
//!
//! A look that gets no answer is told as well, while it waits: what was seen before it says nothing of now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Mutex, watch};

use crate::error::Result;
use crate::ledger::FilledHour;
use crate::report::{Health, WarehouseHealth};
use crate::service::Prefill;

/// How long a page waits for a look, before it shows the one before.
const WAIT: Duration = Duration::from_millis(400);
/// The slower look is repeated no sooner than this, and than so many times what it took.
const LEAST_AGE: Duration = Duration::from_secs(10);
const REST: u32 = 20;
/// And no later: a warehouse that hung may be back.
const MOST_AGE: Duration = Duration::from_secs(60);
/// A look that takes longer than this, and than twice the one before, gets no answer; and one that takes longer
/// than [`MOST_AGE`], whatever that one took.
const PATIENCE: Duration = Duration::from_secs(10);
/// And is given up after this: a connection may have broken without a word.
const GIVEN_UP: Duration = Duration::from_secs(90);
/// How often warehouses are asked for a sign of life, and how long they may take, as for a scrape.
const ASKED_EVERY: Duration = Duration::from_secs(4);
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// For so long an answer says that a warehouse is there.
const ANSWER_HOLDS: Duration = Duration::from_secs(15);
/// Of what is told of the time before a look.
pub const DAY: SignedDuration = SignedDuration::from_hours(24);

/// The slower look at an installation.
pub struct Look {
    pub health: Result<Health>,
    /// Within a [`DAY`] before the look.
    pub filled: Result<Vec<FilledHour>>,
}

/// Whether each warehouse that was opened gave a sign of life.
type Answers = BTreeMap<String, bool>;

/// All looks at an installation.
#[derive(Default)]
pub struct Beside {
    tables: Arc<Looks<Look>>,
    warehouses: Arc<Looks<Answers>>,
}

/// What is known beside the ledger.
pub struct Known {
    /// The last look that came to its end, well or not.
    pub look: Option<Arc<Seen<Look>>>,
    /// How far that holds.
    pub sight: Sight,
    /// By the warehouse's name; nothing of one that was never opened, or not asked just now.
    pub answers: Answers,
}

/// How far what was seen last holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It was seen just now.
    Clear,
    /// It was not, and somebody is looking.
    Looking,
    /// Somebody has been looking for too long; nothing was seen since then.
    Lost(Timestamp),
}

impl Beside {
    /// The last looks; newer ones are begun where they are old, and waited for, for a moment.
    pub async fn ask(&self, prefill: &Prefill) -> Known {
        let look = {
            let prefill = prefill.clone();
            async move {
                let since = Timestamp::now() - DAY;
                let (health, filled) =
                    tokio::join!(health(&prefill), prefill.ledger.filled_by_hour(since));
                Look { health, filled }
            }
        };
        let answers = {
            let prefill = prefill.clone();
            async move { prefill.answers(ANSWERS_WITHIN).await }
        };
        let (tables, warehouses) = tokio::join!(
            self.tables.ask(age_of, look),
            self.warehouses.ask(|_| ASKED_EVERY, answers)
        );
        let answers = warehouses
            .last
            .filter(|seen| seen.done.elapsed() <= ANSWER_HOLDS);
        let sight = match tables.sight() {
            // A warehouse may have gone away since.
            Sight::Clear if answers.is_none() => Sight::Looking,
            sight => sight,
        };
        Known {
            look: tables.last,
            sight,
            answers: answers.map_or_else(Answers::new, |seen| seen.what.clone()),
        }
    }
}

impl Known {
    /// The warehouses that were asked just now and did not answer.
    pub fn silent(&self) -> impl Iterator<Item = &str> {
        self.answers
            .iter()
            .filter_map(|(name, answers)| (!answers).then_some(name.as_str()))
    }

    /// What was seen last, where that could be told.
    pub fn health(&self) -> Option<&Health> {
        self.look.as_deref()?.what.health.as_ref().ok()
    }

    pub fn of_warehouse(&self, name: &str) -> Option<&WarehouseHealth> {
        let mut warehouses = self.health()?.warehouses.iter();
        warehouses.find(|health| health.name == name)
    }
}

/// How old a look that took so long may become before the next one.
fn age_of(took: Duration) -> Duration {
    took.saturating_mul(REST).clamp(LEAST_AGE, MOST_AGE)
}

/// Without a place among those of requests: it is one look for all who see the page.
async fn health(prefill: &Prefill) -> Result<Health> {
    let now = prefill.ledger.now().await?;
    prefill.health(now).await
}

/// What was seen, and when.
pub struct Seen<T> {
    pub what: T,
    /// When the look began.
    pub at: Timestamp,
    took: Duration,
    done: Instant,
}

/// The last look, and whether another one is under way.
struct Looks<T> {
    state: watch::Sender<State<T>>,
    /// Whoever looks has it.
    turn: Arc<Mutex<()>>,
}

struct State<T> {
    last: Option<Arc<Seen<T>>>,
    /// Since when looks are begun of which none came to its end.
    tried_since: Option<Instant>,
}

/// What can be told now.
struct Told<T> {
    last: Option<Arc<Seen<T>>>,
    /// For how long looks are begun of which none came to its end.
    tried_for: Option<Duration>,
}

impl<T> Default for Looks<T> {
    fn default() -> Self {
        let state = State {
            last: None,
            tried_since: None,
        };
        Self {
            state: watch::Sender::new(state),
            turn: Arc::default(),
        }
    }
}

impl<T: Send + Sync + 'static> Looks<T> {
    /// The last look, where that is younger than what took so long `may_be`; otherwise a newer one is begun.
    async fn ask(
        self: &Arc<Self>,
        may_be: impl Fn(Duration) -> Duration,
        look: impl Future<Output = T> + Send + 'static,
    ) -> Told<T> {
        let mut looked = self.state.subscribe();
        let last = looked.borrow_and_update().last.clone();
        if let Some(seen) = &last
            && seen.done.elapsed() < may_be(seen.took)
        {
            return Told {
                last,
                tried_for: None,
            };
        }
        if let Ok(turn) = Arc::clone(&self.turn).try_lock_owned() {
            self.state.send_if_modified(|state| {
                state.tried_since.get_or_insert_with(Instant::now);
                // There is nothing to see yet.
                false
            });
            let looks = Arc::clone(self);
            tokio::spawn(async move {
                // Given back also when the look panics.
                let _turn = turn;
                let (at, begun) = (Timestamp::now(), Instant::now());
                // As with one that panics: it is not the last, and the next one may be answered.
                let Ok(what) = tokio::time::timeout(GIVEN_UP, look).await else {
                    return;
                };
                let seen = Seen {
                    what,
                    at,
                    took: begun.elapsed(),
                    done: Instant::now(),
                };
                looks.state.send_replace(State {
                    last: Some(Arc::new(seen)),
                    tried_since: None,
                });
            });
        }
        // Whether it comes in time or not: the last one is shown.
        drop(tokio::time::timeout(WAIT, looked.changed()).await);
        let state = looked.borrow();
        Told {
            last: state.last.clone(),
            tried_for: state.tried_since.map(|since| since.elapsed()),
        }
    }
}

impl<T> Told<T> {
    fn sight(&self) -> Sight {
        let last = self.last.as_deref();
        let took = last.map_or(Duration::ZERO, |seen| seen.took);
        let patience = took.saturating_mul(2).clamp(PATIENCE, MOST_AGE);
        if let Some(tried) = self.tried_for.filter(|tried| *tried > patience) {
            let begun = || {
                let tried = SignedDuration::try_from(tried).unwrap_or_default();
                Timestamp::now() - tried
            };
            return Sight::Lost(last.map_or_else(begun, |seen| seen.at));
        }
        match last {
            Some(seen) if seen.done.elapsed() <= MOST_AGE + age_of(took) => Sight::Clear,
            _ => Sight::Looking,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    fn told(age_s: Option<u64>, took_s: u64, tried_s: Option<u64>) -> Told<()> {
        let took = Duration::from_secs(took_s);
        let last = age_s.map(|age| {
            let age = Duration::from_secs(age);
            Arc::new(Seen {
                what: (),
                at: Timestamp::UNIX_EPOCH,
                took,
                done: Instant::now()
                    .checked_sub(age)
                    .expect("this machine is older"),
            })
        });
        Told {
            last,
            tried_for: tried_s.map(Duration::from_secs),
        }
    }

    #[test]
    fn what_was_seen_holds_for_a_while_and_not_once_a_look_gets_no_answer() {
        let lost = Sight::Lost(Timestamp::UNIX_EPOCH);
        for (age, took, tried, sight) in [
            (Some(5), 1, None, Sight::Clear),
            // Repeated after 20 s, and for so long one may be late.
            (Some(70), 1, Some(1), Sight::Clear),
            (Some(90), 1, Some(1), Sight::Looking),
            (Some(30), 1, Some(9), Sight::Clear),
            (Some(30), 1, Some(11), lost),
            // One that always takes long is not one that gets no answer.
            (Some(30), 20, Some(39), Sight::Clear),
            (Some(30), 20, Some(41), lost),
            (Some(30), 400, Some(61), lost),
            // Nobody has looked for long, because nobody asked.
            (Some(200), 1, Some(1), Sight::Looking),
            (None, 0, Some(1), Sight::Looking),
        ] {
            let told = told(age, took, tried);
            assert_eq!(told.sight(), sight, "{age:?}, {took}, {tried:?}");
        }
        let never = told(None, 0, Some(11)).sight();
        let Sight::Lost(since) = never else {
            panic!("{never:?}");
        };
        let ago = Timestamp::now().duration_since(since).as_secs();
        assert!((11..15).contains(&ago), "{ago}");
    }

    #[tokio::test]
    async fn one_looks_at_a_time_and_one_that_dies_is_not_the_last() {
        let looks = Arc::new(Looks::default());
        let first = looks.ask(age_of, async { 1 }).await;
        assert_eq!(first.last.map(|seen| seen.what), Some(1));
        // That is young enough.
        let again = looks.ask(age_of, async { 2 }).await;
        assert_eq!(again.last.map(|seen| seen.what), Some(1));
        let at_once = |_| Duration::ZERO;
        let dies = looks.ask(at_once, async { panic!("of this test") }).await;
        assert_eq!(dies.last.map(|seen| seen.what), Some(1));
        assert!(dies.tried_for.is_some_and(|tried| tried >= WAIT));
        let hangs = looks.ask(at_once, pending()).await;
        assert!(hangs.tried_for.is_some_and(|tried| tried >= 2 * WAIT));
        let waits = looks.ask(at_once, async { 3 }).await;
        assert_eq!(waits.last.map(|seen| seen.what), Some(1));
        assert!(waits.tried_for.is_some_and(|tried| tried >= 3 * WAIT));
    }
}
