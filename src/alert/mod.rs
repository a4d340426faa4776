//! Tells people when something is wrong and when it is over, and PostHog of backfills.
//!
//! Beside the service, and never in its way: it looks at the health on a timer, decides what is told by a
//! plain function, and writes messages down in the ledger, from where they are sent. A receiver that hangs
//! keeps its own messages waiting and nothing else. Of several processes one looks, and each message is
//! sent by one that has its receiver. What is wrong with the ledger itself cannot be told from here: a
//! monitor outside does that.

mod capture;
mod decide;
mod message;
mod receivers;
mod roll;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::FutureExt as _;
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::{Alerts, Config};
use crate::error::{Class, Error, Result};
use crate::ledger::{Ledger, RunToCapture, Telling};
use crate::service::Prefill;
use crate::telemetry::{self, ALERT_MESSAGES};
use crate::worker;
use receivers::MOST_WAIT;
use roll::Roll;

pub use capture::{Batch, COMPLETED, FAILED, STARTED, TEST};
pub use decide::{Decision, Finding, Kind, Rules, Seen, decide};
pub use message::{Event, Message, Told};
pub use receivers::{Answer, Receiver, SIGNATURE_HEADER, Takes, receivers};

/// What became of a message, of [`telemetry::MESSAGE_OUTCOMES`].
const SENT: &str = "sent";
const FAILED_TRY: &str = "failed";
const DROPPED: &str = "dropped";
/// The turn of whoever looks.
const TURN: &str = "alerts";
/// How long whoever looks keeps his turn without a word: as long the next one waits where he has died.
const LEASE: Duration = Duration::from_secs(15);
/// How often he says that he is there, and others ask whether he is.
const RENEW: Duration = Duration::from_secs(5);
/// A look that takes longer says that nobody can tell how the teams are.
const TIME_OF_LOOK: Duration = Duration::from_secs(30);
/// Nothing takes longer than this: two looks, and what the ledger is asked beside them, or a message that a
/// receiver takes its time for.
const MOST_TIME: Duration = Duration::from_secs(150);
/// How soon a message that another process wrote down, or that is due again, is noticed.
const POLL: Duration = Duration::from_secs(1);
/// How long a loop rests after an error of the ledger.
const REST: Duration = Duration::from_secs(5);
/// How long a message that is on its way is waited for when the service stops.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// A message that could not be sent for so long is no news any more, and is dropped.
const MOST_AGE: Duration = Duration::from_secs(86_400);
/// The longest wait between two tries of a message.
const MOST_BACKOFF: Duration = Duration::from_secs(600);
/// Since when PostHog is told of backfills.
const CAPTURED_SINCE: &str = "captured_since_ms";
/// A backfill that was asked for longer ago is not told any more.
const CAPTURED_FOR: Duration = Duration::from_secs(30 * 86_400);
/// So many runs are read at once.
const RUNS: u32 = 1_000;
/// So many events are sent at once.
const EVENTS: usize = 100;

/// What tells people, under way.
#[derive(Debug)]
pub struct Alerting {
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

/// Begins to tell whoever is configured. Where nobody is, nothing looks, and only what waits for receivers
/// that no process has any more is seen to.
///
/// # Errors
///
/// As [`receivers`].
pub fn start(prefill: &Prefill, stop: &CancellationToken) -> Result<Alerting> {
    let mut alerting = Alerting {
        tasks: JoinSet::new(),
        stop: stop.child_token(),
    };
    let receivers = receivers(&prefill.config.alerts)?;
    let of_one = |receiver: &Receiver| (receiver.name.clone(), receiver.takes());
    let owner = worker::owner();
    let roll = Roll {
        ledger: prefill.ledger.clone(),
        owner: owner.clone(),
        own: receivers.iter().map(of_one).collect(),
        every: prefill.config.alerts.every(),
    };
    let (calling, calls_until) = (roll.clone(), alerting.stop.clone());
    let begin = move || calling.clone().keep_on(calls_until.clone());
    let calling = without_end("roll".to_owned(), alerting.stop.clone(), begin);
    alerting.tasks.spawn(calling);
    if receivers.is_empty() {
        return Ok(alerting);
    }
    let told: Vec<String> = receivers
        .iter()
        .map(|receiver| format!("{} ({})", receiver.name, receiver.host()))
        .collect();
    info!(receivers = told.join(", "), "telling what is wrong");
    let wake = Arc::new(Notify::new());
    let look = Look {
        prefill: prefill.clone(),
        owner,
        roll,
        wake: wake.clone(),
    };
    let stop = alerting.stop.clone();
    let begin = move || look.clone().keep_on(stop.clone());
    let looking = without_end("look".to_owned(), alerting.stop.clone(), begin);
    alerting.tasks.spawn(looking);
    for receiver in receivers {
        telemetry::begin_receiver(&receiver.name);
        let sending = Sending {
            ledger: prefill.ledger.clone(),
            receiver,
            config: prefill.config.alerts.clone(),
            wake: wake.clone(),
        };
        let (name, stop) = (sending.receiver.name.clone(), alerting.stop.clone());
        let begin = move || sending.clone().keep_on(stop.clone());
        let sending = without_end(name, alerting.stop.clone(), begin);
        alerting.tasks.spawn(sending);
    }
    Ok(alerting)
}

impl Alerting {
    /// Stops in good order; what is not sent by then waits in the ledger.
    pub async fn end(mut self) {
        self.stop.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_WORDS * 2, all).await.is_err() {
            warn!("a message was still on its way; it is sent again later");
        }
    }
}

/// Does something until the service stops, and begins it again where it ends before: it panicked.
async fn without_end<F: Future<Output = ()>>(
    task: String,
    stop: CancellationToken,
    begin: impl Fn() -> F,
) {
    loop {
        // What it leaves is in the ledger, in transactions.
        let ended = AssertUnwindSafe(begin()).catch_unwind().await;
        if stop.is_cancelled() {
            return;
        }
        let panic = ended.err();
        let said = panic.as_ref().and_then(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            text.or_else(|| panic.downcast_ref::<&str>().copied())
        });
        error!(
            task,
            error = said.unwrap_or_default(),
            "alerting ended before its time, which is an error in prefill; beginning it again"
        );
        tokio::select! {
            () = tokio::time::sleep(REST) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Looks on a timer, and writes down what is told.
#[derive(Clone)]
struct Look {
    prefill: Prefill,
    owner: String,
    roll: Roll,
    wake: Arc<Notify>,
}

/// The receivers that a message is for.
fn takers(all: &[(String, Takes)], takes: Takes) -> impl Iterator<Item = &String> + '_ {
    let of_those = all.iter().filter(move |(_, what)| *what == takes);
    of_those.map(|(name, _)| name)
}

impl Look {
    async fn keep_on(self, stop: CancellationToken) {
        let mut said = String::new();
        while !stop.is_cancelled() {
            let looked = tokio::select! {
                looked = self.look_in_turn() => looked,
                () = stop.cancelled() => break,
            };
            let rest = match looked {
                Ok(rest) => {
                    said.clear();
                    rest
                }
                Err(error) => {
                    let chain = error.chain();
                    if chain != said {
                        warn!(
                            error = chain,
                            "could not look whether something is wrong; trying again"
                        );
                        said = chain;
                    }
                    self.config().every().min(RENEW)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = stop.cancelled() => {}
            }
        }
        let end = self.prefill.ledger.end_turn(TURN, &self.owner);
        // Where that fails the turn ends by itself.
        drop(tokio::time::timeout(LAST_WORDS, end).await);
    }

    fn config(&self) -> &Alerts {
        &self.prefill.config.alerts
    }

    /// Looks, and keeps the turn until the next look is due; for how long to rest then.
    async fn look_in_turn(&self) -> Result<Duration> {
        let every = self.config().every();
        if !self.take_turn().await? {
            return Ok(every.min(RENEW));
        }
        let look = async {
            in_time("looking at teams and backfills", self.look()).await?;
            tokio::time::sleep(every).await;
            Ok(Duration::ZERO)
        };
        tokio::select! {
            looked = look => looked,
            lost = self.keep_turn() => lost.map(|()| RENEW),
        }
    }

    async fn take_turn(&self) -> Result<bool> {
        let turn = self.prefill.ledger.take_turn(TURN, &self.owner, LEASE);
        in_time("taking the turn", turn).await
    }

    /// Keeps the turn until somebody else has it.
    async fn keep_turn(&self) -> Result<()> {
        loop {
            tokio::time::sleep(RENEW).await;
            if !self.take_turn().await? {
                return Ok(());
            }
        }
    }

    /// What is decided of the health is written down before anything is asked of the runs, which may fail.
    async fn look(&self) -> Result<()> {
        let now = self.prefill.ledger.now().await?;
        let all = self.roll.all().await?;
        if takers(&all, Takes::Alerts).next().is_some() {
            self.look_at_health(now, &all).await?;
        }
        if takers(&all, Takes::Backfills).next().is_some() {
            let looked = tokio::time::timeout(TIME_OF_LOOK, self.look_at_runs(now, &all)).await;
            let telling = looked.unwrap_or_else(|_| {
                Err(Error::new(
                    Class::Later,
                    format!(
                        "reading the backfills took more than {} s",
                        TIME_OF_LOOK.as_secs()
                    ),
                ))
            })?;
            self.tell(&telling).await?;
        }
        Ok(())
    }

    /// Writes down what is told; false where somebody else has the turn.
    async fn tell(&self, telling: &Telling) -> Result<bool> {
        if telling.is_empty() {
            return Ok(true);
        }
        let turn = (TURN, self.owner.as_str(), LEASE);
        let ledger = &self.prefill.ledger;
        let dropped = ledger.tell_of(turn, telling, self.config().queue).await?;
        let Some(dropped) = dropped else {
            return Ok(false);
        };
        for (receiver, count) in dropped {
            ALERT_MESSAGES.add([&receiver, DROPPED], count);
            warn!(
                receiver,
                dropped = count,
                "more messages wait for a receiver than alerts.queue: dropped the oldest"
            );
        }
        self.wake.notify_waiters();
        Ok(true)
    }

    async fn look_at_health(&self, now: Timestamp, to: &[(String, Takes)]) -> Result<()> {
        let ledger = &self.prefill.ledger;
        let seen = match tokio::time::timeout(TIME_OF_LOOK, self.prefill.health(now)).await {
            Ok(Ok(health)) => Seen::of(&health),
            Ok(Err(error)) => Seen::nothing(error.chain(), error.next_step()),
            Err(_) => Seen::nothing(
                format!(
                    "looking at all teams took more than {} s",
                    TIME_OF_LOOK.as_secs()
                ),
                Some("run prefill health"),
            ),
        };
        let rules = Rules {
            lasts: self.config().lasts(),
            slow: self.config().slow(),
            repeat: self.config().repeat(),
        };
        let decision = decide(&ledger.alerts().await?, &seen, now, rules);
        let mut telling = Telling {
            known: decision.known,
            over: decision.over,
            ..Telling::default()
        };
        let mut told_of = Vec::new();
        for (event, told) in decision.told {
            let message = Message::of(event, told, &self.config().name, now);
            let body = body(&message)?;
            told_of.push((event, message.title));
            for receiver in takers(to, Takes::Alerts) {
                telling.posts.push((receiver.clone(), body.clone()));
            }
        }
        if self.tell(&telling).await? {
            for (event, title) in told_of {
                info!(event = event.name(), "{title}");
            }
        }
        Ok(())
    }

    /// What is told of backfills.
    async fn look_at_runs(&self, now: Timestamp, to: &[(String, Takes)]) -> Result<Telling> {
        let ledger = &self.prefill.ledger;
        // Backfills from before this was turned on are no news.
        let since = match ledger.mark(CAPTURED_SINCE).await? {
            Some(since) => since,
            None => {
                let now = now.as_millisecond();
                ledger.set_mark(CAPTURED_SINCE, now).await?;
                now
            }
        };
        let oldest = now - CAPTURED_FOR;
        let since = Timestamp::from_millisecond(since).map_or(oldest, |since| since.max(oldest));
        let (mut events, mut telling) = (Vec::new(), Telling::default());
        let mut after: Option<RunToCapture> = None;
        loop {
            let runs = ledger.runs_to_capture(since, after.as_ref(), RUNS).await?;
            for run in &runs {
                let (news, told) = capture::news(run, &self.config().name, now);
                events.extend(news);
                if told != run.captured {
                    telling.captured.push((run.id, told));
                }
            }
            let is_last = runs.len() < RUNS as usize;
            after = runs.into_iter().next_back();
            if is_last {
                break;
            }
        }
        for events in events.chunks(EVENTS) {
            let batch = Batch {
                events: events.to_vec(),
            };
            let body = body(&batch)?;
            for receiver in takers(to, Takes::Backfills) {
                telling.posts.push((receiver.clone(), body.clone()));
            }
        }
        Ok(telling)
    }
}

/// What comes to an end within [`MOST_TIME`]. A ledger whose connection broke without a word would be waited for
/// without end.
async fn in_time<T>(doing: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let done = tokio::time::timeout(MOST_TIME, work).await;
    done.unwrap_or_else(|_| {
        let seconds = MOST_TIME.as_secs();
        Err(Error::new(
            Class::Later,
            format!("{doing} took more than {seconds} s"),
        ))
    })
}

fn body(message: &impl Serialize) -> Result<String> {
    serde_json::to_string(message).map_err(|error| {
        Error::new(Class::Never, "failed to write a message as JSON").caused_by(error)
    })
}

/// Sends the messages of one receiver, one after the other.
#[derive(Clone)]
struct Sending {
    ledger: Ledger,
    receiver: Receiver,
    config: Alerts,
    wake: Arc<Notify>,
}

impl Sending {
    async fn keep_on(self, stop: CancellationToken) {
        let mut said = String::new();
        while !stop.is_cancelled() {
            let notified = self.wake.notified();
            let rest = match in_time("sending a message", self.send_one(&stop)).await {
                Ok(true) => continue,
                Ok(false) => {
                    said.clear();
                    POLL
                }
                Err(error) => {
                    let chain = error.chain();
                    if chain != said {
                        warn!(
                            receiver = self.receiver.name.as_str(),
                            error = chain,
                            "could not look for messages to send; trying again"
                        );
                        said = chain;
                    }
                    REST
                }
            };
            tokio::select! {
                () = notified => {}
                () = tokio::time::sleep(rest) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Sends the oldest message; false when none is due.
    async fn send_one(&self, stop: &CancellationToken) -> Result<bool> {
        let (name, ledger) = (self.receiver.name.as_str(), &self.ledger);
        // Somebody who does not say in time how it ended has died.
        let lease = self.config.timeout() * 2 + REST;
        let Some(post) = ledger.take_post(name, lease, MOST_WAIT).await? else {
            return Ok(false);
        };
        if post.age >= MOST_AGE {
            let dropped = ledger.drop_posts(name, MOST_AGE).await?;
            ALERT_MESSAGES.add([name, DROPPED], dropped);
            error!(
                receiver = name,
                dropped,
                hint = "run prefill alerts test",
                "messages could not be sent for a day: dropped them"
            );
            return Ok(true);
        }
        let now = Timestamp::now();
        let answer = tokio::select! {
            answer = self.receiver.send(&post.body, now) => answer,
            () = last_words(stop) => {
                ledger.put_back_post(&post, Duration::ZERO).await?;
                return Ok(false);
            }
        };
        match answer {
            Answer::Taken(_) => {
                ALERT_MESSAGES.add([name, SENT], 1);
                ledger.end_post(&post).await?;
            }
            Answer::Refused(why) => {
                ALERT_MESSAGES.add([name, DROPPED], 1);
                error!(
                    receiver = name,
                    error = why,
                    hint = "run prefill alerts test",
                    "a receiver refuses a message: it is dropped"
                );
                ledger.end_post(&post).await?;
            }
            Answer::Later { why, wait: asked } => {
                ALERT_MESSAGES.add([name, FAILED_TRY], 1);
                let wait = wait(asked, post.tries);
                warn!(
                    receiver = name,
                    tries = post.tries,
                    wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                    error = why,
                    "a receiver did not take a message; trying again"
                );
                ledger.put_back_post(&post, wait).await?;
            }
        }
        Ok(true)
    }
}

/// Ends some time after a service is told to stop.
async fn last_words(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(LAST_WORDS).await;
}

/// The wait after a try: no less than was asked for, and never none.
fn wait(asked: Option<Duration>, tries: i64) -> Duration {
    backoff(tries).max(asked.unwrap_or_default())
}

/// The wait after a try where nobody asks for one: doubles with each, with jitter.
fn backoff(tries: i64) -> Duration {
    let tries = usize::try_from(tries).unwrap_or(1).clamp(1, 20);
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_secs(1))
        .with_max_delay(MOST_BACKOFF)
        .with_factor(2.0)
        .with_max_times(tries)
        .with_jitter()
        .build()
        .last()
        .unwrap_or(MOST_BACKOFF)
}

/// How a receiver answered to a test.
#[derive(Clone, Debug, Serialize)]
pub struct Tested {
    pub receiver: String,
    pub host: String,
    /// Whether it took the message.
    pub taken: bool,
    pub answer: String,
}

/// Sends a message to every receiver at once, that is told not to be one of something wrong; once each.
///
/// # Errors
///
/// [`Class::Misuse`] when none is configured, and as [`receivers`].
pub async fn test(config: &Config, now: Timestamp) -> Result<Vec<Tested>> {
    let config = &config.alerts;
    let receivers = receivers(config)?;
    if receivers.is_empty() {
        return Err(Error::misuse("nobody is configured to be told of alerts")
            .hint("set alerts.slack_webhook_url, alerts.webhook_url or alerts.capture_host, or add [alerts.slack.NAME] or [alerts.webhook.NAME]; docs/alerts.md says how"));
    }
    let message = body(&Message::of(Event::Test, Vec::new(), &config.name, now))?;
    let batch = body(&capture::test(&config.name, now))?;
    let tests = receivers.iter().map(|receiver| async {
        let stored = match receiver.takes() {
            Takes::Alerts => &message,
            Takes::Backfills => &batch,
        };
        let (taken, answer) = match receiver.send(stored, now).await {
            Answer::Taken(said) => (true, said),
            Answer::Later { why, .. } | Answer::Refused(why) => (false, why),
        };
        Tested {
            receiver: receiver.name.clone(),
            host: receiver.host().to_owned(),
            taken,
            answer,
        }
    });
    Ok(futures_util::future::join_all(tests).await)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn what_panics_is_begun_again_until_the_service_stops() {
        let (stop, begun) = (CancellationToken::new(), AtomicUsize::new(0));
        let began = Instant::now();
        without_end("test".to_owned(), stop.clone(), || async {
            if begun.fetch_add(1, Ordering::Relaxed) == 0 {
                panic!("of a test");
            }
            stop.cancel();
        })
        .await;
        assert_eq!(begun.load(Ordering::Relaxed), 2);
        assert!(began.elapsed() >= REST, "and not without a pause");
    }

    #[test]
    fn a_receiver_that_asks_for_no_wait_is_not_sent_to_without_a_pause() {
        let seconds = Duration::from_secs;
        for asked in [None, Some(seconds(0)), Some(seconds(1))] {
            for (tries, least) in [(1, 1), (2, 2), (5, 16), (1_000, 600)] {
                let wait = wait(asked, tries);
                assert!(wait >= seconds(least), "{asked:?}, {tries}: {wait:?}");
            }
        }
        assert_eq!(wait(Some(seconds(3_600)), 1), seconds(3_600));
    }
}
