//! What many watch and one looks at: however many streams tell of a thing, it is looked at once at a time,
//! and not at all while nobody watches.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// A look that takes longer gets no answer any more: its connection may have broken without a word.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was seen last; nothing before the first look.
pub type Seen<T> = watch::Receiver<Option<Arc<T>>>;

/// The things that are watched right now, by their keys.
pub struct Feeds<K: Ord, T> {
    feeds: Mutex<BTreeMap<K, watch::Sender<Option<Arc<T>>>>>,
}

impl<K: Ord, T> Default for Feeds<K, T> {
    fn default() -> Self {
        Self {
            feeds: Mutex::default(),
        }
    }
}

impl<K, T> Feeds<K, T>
where
    K: Ord + Clone + Send + 'static,
    T: PartialEq + Send + Sync + 'static,
{
    /// Watches the thing of this key, which `look` is asked for every so often, by the first who watches it;
    /// where it sees nothing there is no news. What is there already counts as news. The sender is gone only
    /// when a look panicked.
    pub fn watch<F>(
        self: &Arc<Self>,
        key: K,
        every: Duration,
        look: impl Fn() -> F + Send + Sync + 'static,
    ) -> Seen<T>
    where
        F: Future<Output = Option<T>> + Send + 'static,
    {
        let mut feeds = self.lock();
        if let Some(feed) = feeds.get(&key) {
            let mut seen = feed.subscribe();
            seen.mark_changed();
            return seen;
        }
        let (feed, seen) = watch::channel(None);
        feeds.insert(key.clone(), feed.clone());
        drop(feeds);
        let watched = Watched {
            feeds: Arc::clone(self),
            key,
            is_over: false,
        };
        tokio::spawn(watched.keep_looking(feed, every, look));
        seen
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<K, watch::Sender<Option<Arc<T>>>>> {
        // A map is whole, whoever panicked.
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thing while it is looked at.
struct Watched<K: Ord, T> {
    feeds: Arc<Feeds<K, T>>,
    key: K,
    is_over: bool,
}

impl<K, T> Watched<K, T>
where
    K: Ord + Clone + Send + 'static,
    T: PartialEq + Send + Sync + 'static,
{
    /// Until nobody watches any more.
    async fn keep_looking<F>(
        mut self,
        feed: watch::Sender<Option<Arc<T>>>,
        every: Duration,
        look: impl Fn() -> F,
    ) where
        F: Future<Output = Option<T>>,
    {
        loop {
            let looked = async {
                // One that gets no answer is no news, and the next one may.
                let seen = tokio::time::timeout(PATIENCE, look()).await;
                if let Some(seen) = seen.ok().flatten() {
                    feed.send_if_modified(|last| {
                        let is_news = last.as_deref() != Some(&seen);
                        if is_news {
                            *last = Some(Arc::new(seen));
                        }
                        is_news
                    });
                }
                tokio::time::sleep(every).await;
            };
            tokio::select! {
                () = looked => {}
                () = feed.closed() => {}
            }
            // Nobody begins to watch in between.
            let mut feeds = self.feeds.lock();
            if feed.receiver_count() == 0 {
                feeds.remove(&self.key);
                drop(feeds);
                self.is_over = true;
                return;
            }
        }
    }
}

impl<K: Ord, T> Drop for Watched<K, T> {
    fn drop(&mut self) {
        // A look panicked: who watches is told by the sender's end, and who comes begins anew.
        if !self.is_over {
            let feeds = self.feeds.feeds.lock();
            feeds
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const EVERY: Duration = Duration::from_millis(5);

    #[tokio::test]
    async fn many_share_one_look_each_change_is_told_and_nobody_looks_for_nobody() {
        let feeds = Arc::new(Feeds::<u8, usize>::default());
        let looks = Arc::new(AtomicUsize::new(0));
        let watch = |key| {
            let looks = Arc::clone(&looks);
            // The same is seen twice before it changes.
            feeds.watch(key, EVERY, move || {
                let seen = looks.fetch_add(1, Ordering::SeqCst) / 2;
                async move { Some(seen) }
            })
        };
        let mut many: Vec<_> = (0..10).map(|_| watch(1)).collect();
        for seen in &mut many {
            let mut told = Vec::new();
            while told.len() < 3 {
                seen.changed().await.expect("it is looked at");
                told.extend(seen.borrow_and_update().as_deref().copied());
            }
            assert!(told.is_sorted_by(|one, next| one < next), "{told:?}");
        }
        // Each told one would have made as many looks of its own.
        assert!(looks.load(Ordering::SeqCst) < 10 * 3 * 2);
        assert_eq!(feeds.lock().len(), 1);
        drop(many);
        while !feeds.lock().is_empty() {
            tokio::time::sleep(EVERY).await;
        }
        let rested = looks.load(Ordering::SeqCst);
        tokio::time::sleep(EVERY * 4).await;
        assert_eq!(looks.load(Ordering::SeqCst), rested);
        let mut again = watch(1);
        again.changed().await.expect("it is looked at again");
    }

    #[tokio::test]
    async fn after_a_look_that_panics_who_watches_is_told_and_who_comes_begins_anew() {
        let feeds = Arc::new(Feeds::<u8, usize>::default());
        let mut broken = feeds.watch(1, EVERY, || async { panic!("a bug") });
        assert!(broken.changed().await.is_err());
        let mut mended = feeds.watch(1, EVERY, || async { Some(7) });
        mended.changed().await.expect("it is looked at");
        assert_eq!(mended.borrow().as_deref(), Some(&7));
    }
}
