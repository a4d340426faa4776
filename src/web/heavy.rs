//! What makes ledger and warehouses work: reports, comparisons with the raw events, estimates. A few of them
//! at a time, so that fills and everything quick go on however often somebody asks; and those who ask for the
//! same thing at the same time share one answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;

/// So many at a time: a ledger in a file has four connections that read, and one is left for what is quick.
pub const AT_A_TIME: usize = 3;
/// Pages that look again by themselves may meet; who has to wait longer than this is told to come back.
const WAIT: Duration = Duration::from_secs(1);
/// For so long an answer is everybody's.
const FRESH: Duration = Duration::from_secs(1);

/// A place among those that are worked on at a time, until it is dropped.
///
/// # Errors
///
/// 429 where there is none within a second.
pub async fn place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Problem> {
    let place = tokio::time::timeout(WAIT, Arc::clone(places).acquire_owned()).await;
    place.ok().and_then(Result::ok).ok_or_else(|| {
        Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            format!("{AT_A_TIME} requests that take long are being answered already"),
        )
        .hint("ask again when one of them is over; a narrower range of days takes less time")
    })
}

/// An answer that all share who ask within a second: one of them looks, and the others wait for it.
pub struct Together<T> {
    last: Mutex<Option<Told<T>>>,
    /// How often somebody changed something here.
    changes: AtomicU64,
}

struct Told<T> {
    answer: Result<Arc<T>, Problem>,
    at: Instant,
    changes: u64,
}

impl<T> Default for Together<T> {
    fn default() -> Self {
        Self {
            last: Mutex::new(None),
            changes: AtomicU64::new(0),
        }
    }
}

impl<T> Together<T> {
    /// What `look` sees, or what it saw within the last second, unless something was changed since.
    ///
    /// # Errors
    ///
    /// Those of the look; they are told to those who waited for it.
    pub async fn ask(
        &self,
        look: impl Future<Output = Result<T, Problem>>,
    ) -> Result<Arc<T>, Problem> {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        let changes = self.changes.load(Ordering::SeqCst);
        if let Some(told) = &*last
            && told.changes == changes
            && (told.at >= asked || (told.answer.is_ok() && told.at.elapsed() < FRESH))
        {
            return told.answer.clone();
        }
        let answer = look.await.map(Arc::new);
        *last = Some(Told {
            answer: answer.clone(),
            at: Instant::now(),
            changes,
        });
        answer
    }

    /// Something was changed here, and who asks from now on sees it.
    pub fn changed(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[tokio::test]
    async fn those_who_ask_at_once_share_one_look_and_a_change_ends_that() {
        let (together, looks) = (Together::default(), AtomicUsize::new(0));
        let look = async || {
            let number = looks.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok::<_, Problem>(number)
        };
        let (one, other) = tokio::join!(together.ask(look()), together.ask(look()));
        assert_eq!(
            (one.map(|n| *n).ok(), other.map(|n| *n).ok()),
            (Some(0), Some(0))
        );
        assert_eq!(together.ask(look()).await.map(|n| *n).ok(), Some(0));
        together.changed();
        assert_eq!(together.ask(look()).await.map(|n| *n).ok(), Some(1));
        tokio::time::sleep(FRESH).await;
        assert_eq!(together.ask(look()).await.map(|n| *n).ok(), Some(2));
    }

    #[tokio::test]
    async fn a_look_that_fails_is_shared_by_those_who_waited_and_tried_again_by_the_next() {
        let (together, looks) = (Together::<()>::default(), AtomicUsize::new(0));
        let look = async || {
            looks.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "down"))
        };
        let (one, other) = tokio::join!(together.ask(look()), together.ask(look()));
        assert!(one.is_err() && other.is_err());
        assert_eq!(looks.load(Ordering::SeqCst), 1);
        assert!(together.ask(look()).await.is_err());
        assert_eq!(looks.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn beyond_a_few_at_a_time_one_is_told_to_come_back() {
        let places = Arc::new(Semaphore::new(1));
        let first = place(&places).await.expect("a place");
        let refused = place(&places).await.expect_err("none is left");
        assert_eq!(refused.status, 429);
        drop(first);
        assert!(place(&places).await.is_ok());
    }
}
