//! How long a handler may take. What ends at once pays for none of it: the time begins with the first await that waits.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// Whether work has told since it was last asked that it goes on.
#[derive(Debug, Default)]
pub(crate) struct Progress(AtomicBool);

impl Progress {
    pub(crate) fn tell(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// The work took longer than it may, and was dropped.
#[derive(Debug)]
pub(crate) struct TimeSpent;

/// Does `work`, but drops it when it has neither ended nor told of progress for `limit`.
pub(crate) async fn within<F: Future>(limit: Duration, progress: &Progress, work: F) -> Result<F::Output, TimeSpent> {
    let mut work = pin!(work);
    // In a box, since most work ends without one, and all of it would carry its size around.
    let mut time: Option<Pin<Box<Sleep>>> = None;
    std::future::poll_fn(|context| {
        if let Poll::Ready(output) = work.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        let time = time.get_or_insert_with(|| Box::pin(sleep(limit)));
        while time.as_mut().poll(context).is_ready() {
            if !progress.take() {
                return Poll::Ready(Err(TimeSpent));
            }
            time.set(sleep(limit));
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn work_is_cut_off_when_its_time_is_spent() {
        let spent = within(LIMIT, &Progress::default(), std::future::pending::<()>()).await;
        assert!(spent.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn progress_gives_more_time_and_its_end_is_noticed() {
        let (progress, begun) = (Progress::default(), tokio::time::Instant::now());
        let work = async {
            for _ in 0..5 {
                sleep(LIMIT / 2).await;
                progress.tell();
            }
            std::future::pending::<()>().await;
        };
        assert!(within(LIMIT, &progress, work).await.is_err());
        let taken = begun.elapsed();
        assert!(taken >= LIMIT / 2 * 5 && taken <= LIMIT * 5, "{taken:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_of_the_longest_time_lets_progress_go_on() {
        let progress = Progress::default();
        let work = async {
            progress.tell();
            sleep(LIMIT).await;
            7
        };
        assert_eq!(within(Duration::MAX, &progress, work).await.ok(), Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn work_in_time_gives_its_output() {
        assert_eq!(within(LIMIT, &Progress::default(), async { 7 }).await.ok(), Some(7));
        let slow = async {
            sleep(LIMIT / 2).await;
            8
        };
        assert_eq!(within(LIMIT, &Progress::default(), slow).await.ok(), Some(8));
    }
}
