//! How much of a warehouse's time, and of its memory, prefill's own statements may take.
//!
//! A statement that fills takes what there is, so beside it the queries of dashboards take twice as
//! long, and no priority keeps it from that: memory and disks have none. So its time is limited: while
//! others use the warehouse, statements of fills are under way for a share of the time, the budget, and
//! most queries of others never meet one. What is not busy needs no rest.
//!
//! It is a bucket of seconds that fills at the rate of the budget and empties while statements are
//! under way, faster where several are; those of other prefill processes count as well. A statement
//! that is longer than what is in it is not broken off: what it owes is waited for after it. Once empty
//! it is filled to the brim before the next statement begins, because many short statements with short
//! rests would meet every query, and a few bursts with long rests meet few.
//!
//! Decides and waits; what is under way on the warehouse it is told by whoever looks.
//!
//! Memory is no share: each statement has its limit, and for those that may come near it there is room
//! for so many. Who waits for it has had his turn: the time that such statements take is paid back later.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};
use tracing::warn;

use crate::error::Result;

/// How often the warehouse is asked who uses it while something is to be done. The question takes some
/// 5 ms of the embedded engine's time, of which any question takes most.
pub const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A warehouse is taken for busy when so many looks of so long a time met others: of the short queries
/// that follow each other a look meets one and misses some. Somebody who asks a small question now and
/// then, as who waits for a fill does, is next to never met, and has nothing from a fill that waits.
const MET_OFTEN: usize = 3;
const MET_WITHIN: Duration = Duration::from_secs(5);
/// How long it is taken for busy after that.
const BUSY_FOR: Duration = Duration::from_secs(10);
/// How long the statements of other processes are taken for being under way after they were seen.
const ELSEWHERE_FOR: Duration = Duration::from_secs(1);
/// The least time from the begin of one burst of statements to that of the next.
const BURST_EVERY: Duration = Duration::from_secs(5);
/// How long the use is remembered.
pub const MINUTE: Duration = Duration::from_secs(60);
/// How often the use is told at most.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// Who was seen on a warehouse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Statements that are not prefill's.
    pub others: u32,
    /// Statements of prefill's, of this process too.
    pub ours: u32,
}

impl Seen {
    /// With `here` statements of this process under way: in the moment in which one begins or ends its
    /// comment is not there, and it is taken for somebody else's (2 of 1700 looks at full speed).
    fn with_nameless(self, here: u32) -> Self {
        let nameless = here.saturating_sub(self.ours).min(self.others);
        Self {
            others: self.others - nameless,
            ours: self.ours + nameless,
        }
    }
}

/// What fills took of a warehouse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Use {
    /// Others used it within the last seconds.
    pub is_busy: bool,
    /// How long statements of fills were under way within the last minute.
    pub used: Duration,
    /// How long fills have waited for others since that was told.
    pub waited: Duration,
    /// How long they have waited for memory since that was told.
    pub waited_for_memory: Duration,
}

/// Lets the statements of all fills on one warehouse begin.
#[derive(Debug)]
pub struct Governor {
    /// The share of the time that statements may be under way while others use the warehouse.
    budget: f64,
    state: Mutex<State>,
    /// Who waits is let go in the order in which they came.
    turn: tokio::sync::Mutex<()>,
    /// A permit for each large statement that there is memory for.
    room: Option<Semaphore>,
    /// How many wait for their turn.
    waiting: AtomicUsize,
    /// How many wait for memory.
    waiting_for_memory: AtomicUsize,
    /// When it was looked last; one looks for all.
    looked: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct State {
    budget: f64,
    /// Up to when everything below is reckoned.
    at: Instant,
    /// When others were met, not long ago.
    met: VecDeque<Instant>,
    busy_until: Instant,
    elsewhere_until: Instant,
    /// Statements of this process, and of others of prefill's, under way.
    here: u32,
    elsewhere: u32,
    /// What all processes take empties this one,
    shared: Bucket,
    /// and what this one takes, this one.
    own: Bucket,
    /// Since when this process is kept only by what others of prefill's take.
    kept_since: Instant,
    /// When statements were under way, without overlaps.
    used: VecDeque<(Instant, Instant)>,
    waited: Duration,
    waited_for_memory: Duration,
    told: Option<Instant>,
    /// It could not be looked who uses the warehouse.
    is_blind: bool,
}

/// Seconds that statements may be under way; owed where below zero.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    seconds: f64,
    /// It was used up, and is not full again.
    is_resting: bool,
}

impl Bucket {
    fn full(budget: f64) -> Self {
        Self {
            seconds: brim(budget),
            is_resting: false,
        }
    }

    /// Time goes by with that many statements under way.
    fn pass(&mut self, budget: f64, time: Duration, under_way: u32) {
        let gained = time.as_secs_f64() * (budget - f64::from(under_way));
        self.seconds = (self.seconds + gained).min(brim(budget));
        self.is_resting = if self.is_resting {
            self.seconds < brim(budget)
        } else {
            self.seconds <= 0.0
        };
    }
}

/// What a bucket holds, in seconds.
fn brim(budget: f64) -> f64 {
    budget * BURST_EVERY.as_secs_f64()
}

/// A statement under way, until it is dropped.
#[derive(Debug)]
pub struct UnderWay(Arc<Governor>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.state().end(Instant::now());
    }
}

/// Somebody who waits, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Governor {
    /// With a budget above 0 and up to 1; at 1 nobody ever waits, and nobody looks. For `large` large
    /// statements there is memory at the same time; nothing where that is not limited.
    pub fn new(budget: f64, large: Option<u64>) -> Self {
        let permits = |large: u64| usize::try_from(large).unwrap_or(usize::MAX);
        Self {
            budget,
            room: large.map(|large| Semaphore::new(permits(large).min(Semaphore::MAX_PERMITS))),
            state: Mutex::new(State::new(budget, Instant::now())),
            turn: tokio::sync::Mutex::default(),
            waiting: AtomicUsize::new(0),
            waiting_for_memory: AtomicUsize::new(0),
            looked: tokio::sync::Mutex::default(),
        }
    }

    /// Whether statements ever have to wait.
    pub fn governs(&self) -> bool {
        self.budget < 1.0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Numbers that are wrong for a moment are better than a fill that never goes on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a statement may begin.
    pub async fn turn<F: Future<Output = Result<Seen>>>(&self, look: impl Fn() -> F) {
        if !self.governs() {
            return;
        }
        let _waiting = Waiting::new(&self.waiting);
        let _turn = self.turn.lock().await;
        loop {
            self.look(&look).await;
            let wait = self.state().wait(Instant::now());
            if wait.is_zero() {
                return;
            }
            // Others may have gone meanwhile.
            let wait = wait.min(LOOK_EVERY);
            tokio::time::sleep(wait).await;
            self.state().waited += wait;
        }
    }

    /// Looks who uses the warehouse, unless that was done just now.
    pub async fn look<F: Future<Output = Result<Seen>>>(&self, look: impl Fn() -> F) {
        let mut looked = self.looked.lock().await;
        if looked.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return;
        }
        let here = self.state().here;
        match look().await {
            Ok(seen) => {
                let mut state = self.state();
                let seen = seen.with_nameless(here.max(state.here));
                state.see(Instant::now(), seen);
                state.is_blind = false;
            }
            Err(error) => {
                if !std::mem::replace(&mut self.state().is_blind, true) {
                    let error = error.chain();
                    warn!(
                        error,
                        "cannot look who uses the warehouse: fills do not wait for others"
                    );
                }
            }
        }
        *looked = Some(Instant::now());
    }

    /// Waits until there is memory for one more large statement; it is taken until the permit is dropped.
    /// The claim that it is for goes on being renewed meanwhile, and a fill that loses it is dropped here.
    pub async fn room(&self) -> Option<SemaphorePermit<'_>> {
        let room = self.room.as_ref()?;
        if let Ok(permit) = room.try_acquire() {
            return Some(permit);
        }
        let _waiting = Waiting::new(&self.waiting_for_memory);
        let mut permit = pin!(room.acquire());
        loop {
            let begun = Instant::now();
            let answer = timeout(LOOK_EVERY, &mut permit).await;
            // Told while it is waited: it may take as long as a large day does.
            self.state().waited_for_memory += begun.elapsed();
            if let Ok(permit) = answer {
                // It is never closed.
                return permit.ok();
            }
        }
    }

    /// How many statements wait for memory right now.
    pub fn waiting_for_memory(&self) -> usize {
        self.waiting_for_memory.load(Ordering::Relaxed)
    }

    /// How many statements wait for their turn right now.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// A statement begins.
    pub fn begin(self: &Arc<Self>) -> UnderWay {
        self.state().begin(Instant::now());
        UnderWay(self.clone())
    }

    /// What fills took, where it is time to tell and they ever have to wait; `last` when no fill follows for now.
    pub fn tell(&self, last: bool) -> Option<Use> {
        (self.governs() || self.room.is_some())
            .then(|| self.state().tell(Instant::now(), last))
            .flatten()
    }
}

impl State {
    fn new(budget: f64, now: Instant) -> Self {
        Self {
            budget,
            at: now,
            met: VecDeque::new(),
            busy_until: now,
            elsewhere_until: now,
            here: 0,
            elsewhere: 0,
            shared: Bucket::full(budget),
            own: Bucket::full(budget),
            kept_since: now,
            used: VecDeque::new(),
            waited: Duration::ZERO,
            waited_for_memory: Duration::ZERO,
            told: None,
            is_blind: false,
        }
    }

    fn begin(&mut self, now: Instant) {
        self.advance(now);
        self.here += 1;
    }

    fn end(&mut self, now: Instant) {
        self.advance(now);
        self.here -= 1;
    }

    /// What fills took, where it is time to tell; `last` when no fill follows for now.
    fn tell(&mut self, now: Instant, last: bool) -> Option<Use> {
        let is_due = self.told.is_none_or(|told| now - told >= TELL_EVERY)
            || last && self.waited + self.waited_for_memory > Duration::ZERO;
        if !is_due {
            return None;
        }
        self.told = Some(now);
        self.advance(now);
        Some(Use {
            is_busy: self.is_busy(now),
            used: self.used(now),
            waited: std::mem::take(&mut self.waited),
            waited_for_memory: std::mem::take(&mut self.waited_for_memory),
        })
    }

    fn is_busy(&self, now: Instant) -> bool {
        now < self.busy_until
    }

    /// Reckons up to `now`.
    fn advance(&mut self, now: Instant) {
        while self.at < now {
            // As long as nothing changes but the time.
            let until = [self.busy_until, self.elsewhere_until]
                .into_iter()
                .filter(|end| *end > self.at)
                .fold(now, Instant::min);
            let is_elsewhere = self.at < self.elsewhere_until;
            let under_way = self.here + if is_elsewhere { self.elsewhere } else { 0 };
            if self.is_busy(self.at) {
                let time = until - self.at;
                self.own.pass(self.budget, time, self.here);
                self.shared.pass(self.budget, time, under_way);
                // What this process owes is waited for, whatever it is; of what the others take, so much
                // as makes one more wait of a minute.
                let least = self.own.seconds.min(-self.budget * MINUTE.as_secs_f64());
                self.shared.seconds = self.shared.seconds.max(least);
            } else {
                self.own = Bucket::full(self.budget);
                self.shared = Bucket::full(self.budget);
            }
            if self.own.seconds < brim(self.budget) || !self.shared.is_resting {
                self.kept_since = until;
            }
            if under_way > 0 {
                self.use_up(self.at, until);
            }
            self.at = until;
        }
    }

    fn use_up(&mut self, from: Instant, until: Instant) {
        match self.used.back_mut() {
            Some((_, end)) if *end == from => *end = until,
            _ => self.used.push_back((from, until)),
        }
        while self
            .used
            .front()
            .is_some_and(|(_, end)| until - *end > MINUTE)
        {
            self.used.pop_front();
        }
    }

    /// How long statements were under way within the minute before `now`.
    fn used(&self, now: Instant) -> Duration {
        let ago = |at: Instant| now.saturating_duration_since(at).min(MINUTE);
        let spans = self.used.iter();
        spans.map(|(from, until)| ago(*from) - ago(*until)).sum()
    }

    fn see(&mut self, now: Instant, seen: Seen) {
        self.advance(now);
        if seen.others > 0 {
            self.met.push_back(now);
            while self.met.front().is_some_and(|met| now - *met > MET_WITHIN) {
                self.met.pop_front();
            }
            if self.met.len() >= MET_OFTEN {
                self.busy_until = now + BUSY_FOR;
            }
        }
        self.elsewhere = seen.ours.saturating_sub(self.here);
        self.elsewhere_until = now + ELSEWHERE_FOR;
    }

    /// How long a statement has to wait at `now`, should nothing change, up to a minute; zero when it may
    /// begin.
    fn wait(&mut self, now: Instant) -> Duration {
        self.advance(now);
        // A process that knows no budget would keep this one forever.
        let is_kept_too_long = now - self.kept_since >= MINUTE;
        if !self.is_busy(now) || !self.shared.is_resting || is_kept_too_long {
            return Duration::ZERO;
        }
        let missing = (brim(self.budget) - self.shared.seconds) / self.budget;
        // Never nothing: rounding must not make a loop of it.
        Duration::from_secs_f64(missing.clamp(0.001, MINUTE.as_secs_f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: f64 = 0.1;
    const HOUR: Duration = Duration::from_secs(3_600);
    const OTHERS: Seen = Seen { others: 1, ours: 0 };
    const NOBODY: Seen = Seen { others: 0, ours: 0 };

    /// A process that fills, on a clock of its own.
    struct Filling {
        state: State,
        begun: Instant,
        now: Instant,
        under_way: Duration,
        rests: u32,
        longest: Duration,
    }

    impl Filling {
        fn new(budget: f64) -> Self {
            let now = Instant::now();
            Self {
                state: State::new(budget, now),
                begun: now,
                now,
                under_way: Duration::ZERO,
                rests: 0,
                longest: Duration::ZERO,
            }
        }

        fn elapsed(&self) -> Duration {
            self.now - self.begun
        }

        /// As [`Governor::turn`] waits.
        fn turn(&mut self, seen: impl Fn(Duration) -> Seen) -> Duration {
            let asked = self.now;
            loop {
                self.state.see(self.now, seen(self.elapsed()));
                let wait = self.state.wait(self.now);
                if wait.is_zero() {
                    break;
                }
                self.now += wait.min(LOOK_EVERY);
            }
            let waited = self.now - asked;
            self.rests += u32::from(!waited.is_zero());
            self.longest = self.longest.max(waited);
            waited
        }

        /// Statements that take `each`, one after the other for an hour.
        fn fill(&mut self, each: Duration, seen: impl Fn(Duration) -> Seen) {
            while self.elapsed() < HOUR {
                self.turn(&seen);
                self.state.begin(self.now);
                let end = self.now + each;
                while self.now < end {
                    self.now = end.min(self.now + LOOK_EVERY);
                    let mut seen = seen(self.elapsed());
                    seen.ours += 1;
                    self.state.see(self.now, seen);
                }
                self.state.end(self.now);
                self.under_way += each;
            }
            // What is owed for the last one belongs to it.
            self.turn(&seen);
        }

        /// Time goes by in which each look meets others.
        fn meet_others(&mut self, time: Duration) {
            let end = self.now + time;
            while self.now < end {
                self.now = end.min(self.now + LOOK_EVERY);
                self.state.see(self.now, OTHERS);
            }
        }

        fn share(&self) -> f64 {
            self.under_way.as_secs_f64() / self.elapsed().as_secs_f64()
        }
    }

    #[test]
    fn beside_others_statements_take_the_budget_however_long_they_are() {
        for milliseconds in [5, 200, 2_000, 60_000] {
            for budget in [0.02, BUDGET, 0.5] {
                let each = Duration::from_millis(milliseconds);
                let mut filling = Filling::new(budget);
                filling.fill(each, |_| OTHERS);
                let share = filling.share();
                let range = budget * 0.9..=budget * 1.01;
                assert!(range.contains(&share), "{each:?} at {budget}: {share}");
            }
        }
    }

    #[test]
    fn a_statement_of_ours_without_its_name_is_nobody_elses() {
        assert_eq!(OTHERS.with_nameless(0), OTHERS);
        assert_eq!(OTHERS.with_nameless(2), Seen { others: 0, ours: 1 });
        let both = Seen { others: 2, ours: 1 };
        assert_eq!(both.with_nameless(1), both);
        assert_eq!(both.with_nameless(2), Seen { others: 1, ours: 2 });
    }

    #[test]
    fn next_to_no_budget_is_next_to_no_share() {
        let mut filling = Filling::new(f64::MIN_POSITIVE);
        assert!(filling.turn(|_| OTHERS).is_zero(), "the first is for free");
        filling.state.begin(filling.now);
        filling.meet_others(BUSY_FOR / 2);
        filling.state.end(filling.now);
        assert_eq!(filling.state.wait(filling.now), MINUTE);
    }

    #[test]
    fn without_others_nobody_waits() {
        let mut filling = Filling::new(BUDGET);
        filling.fill(Duration::from_millis(700), |_| NOBODY);
        assert_eq!((filling.rests, filling.share()), (0, 1.0));
    }

    #[test]
    fn who_asks_a_small_question_now_and_then_is_not_waited_for() {
        let mut filling = Filling::new(BUDGET);
        let looks = std::cell::Cell::new(0);
        filling.fill(Duration::from_millis(700), |_| {
            looks.set(looks.get() + 1);
            if looks.get() % 16 == 0 {
                OTHERS
            } else {
                NOBODY
            }
        });
        assert_eq!(filling.rests, 0);
    }

    #[test]
    fn short_statements_come_in_bursts_with_long_rests() {
        let mut filling = Filling::new(BUDGET);
        filling.fill(Duration::from_millis(5), |_| OTHERS);
        let most = HOUR.as_secs_f64() / BURST_EVERY.as_secs_f64() + 1.0;
        assert!(f64::from(filling.rests) <= most, "{} rests", filling.rests);
    }

    #[test]
    fn a_wait_ends_soon_after_the_others_have_gone_and_is_told() {
        let mut filling = Filling::new(BUDGET);
        assert!(filling.turn(|_| OTHERS).is_zero());
        filling.state.begin(filling.now);
        filling.meet_others(BUSY_FOR / 2);
        filling.state.end(filling.now);
        let waited = filling.turn(|_| NOBODY);
        let range = BUSY_FOR - LOOK_EVERY..=BUSY_FOR + LOOK_EVERY;
        assert!(range.contains(&waited), "{waited:?}");
        filling.state.waited = waited;
        let told = filling.state.tell(filling.now, true);
        let is_busy = false;
        let used = BUSY_FOR / 2;
        assert_eq!(
            told,
            Some(Use {
                is_busy,
                used,
                waited,
                waited_for_memory: Duration::ZERO,
            })
        );
        assert_eq!(filling.state.tell(filling.now, true), None, "nothing new");
    }

    #[tokio::test]
    async fn how_long_memory_is_waited_for_is_told_while_it_is_waited_for_whatever_the_budget() {
        let governor = Governor::new(1.0, Some(1));
        let waited = |governor: &Governor| {
            let told = governor.tell(true);
            told.map_or(Duration::ZERO, |told| told.waited_for_memory)
        };
        let first = governor.room().await;
        assert_eq!(waited(&governor), Duration::ZERO, "there is room");
        let second = timeout(LOOK_EVERY * 5, governor.room());
        let told = async {
            tokio::time::sleep(LOOK_EVERY * 3).await;
            waited(&governor)
        };
        let (second, told) = tokio::join!(second, told);
        assert!(second.is_err(), "the first has it");
        assert!(told >= LOOK_EVERY * 2, "{told:?}");
        drop(first);
        assert!(governor.room().await.is_some());
        let rest = waited(&governor);
        assert!(told + rest >= LOOK_EVERY * 4, "{told:?} and {rest:?}");
        assert_eq!(Governor::new(1.0, None).tell(true), None);
    }

    #[test]
    fn what_other_processes_take_counts_and_cannot_keep_this_one_forever() {
        // One of prefill's that takes half of the time, or all of it.
        for (of, least) in [(2, 10.0), (1, 20.0)] {
            let mut filling = Filling::new(BUDGET);
            filling.fill(Duration::from_millis(100), |elapsed| Seen {
                others: 1,
                ours: u32::from(elapsed.as_secs() % of == 0),
            });
            let share = filling.share();
            assert!(
                share < BUDGET / least,
                "{share} beside one that takes 1/{of}"
            );
            assert!(filling.longest < MINUTE * 2, "{:?}", filling.longest);
        }
    }

    #[test]
    fn the_use_is_that_of_the_last_minute_without_overlaps() {
        let (begun, mut state) = (Instant::now(), State::new(BUDGET, Instant::now()));
        let after = |minutes: f64| begun + MINUTE.mul_f64(minutes);
        state.begin(after(1.0));
        state.begin(after(1.0));
        state.end(after(3.0));
        state.end(after(3.0));
        assert_eq!(state.used(after(3.0)), MINUTE);
        assert_eq!(state.used(after(3.25)), MINUTE.mul_f64(0.75));
        state.begin(after(3.5));
        state.end(after(3.75));
        assert_eq!(state.used(after(3.75)), MINUTE.mul_f64(0.5));
        assert_eq!(state.used(after(5.0)), Duration::ZERO);
    }
}
