//! What ractor does alone: casts from one task to one actor.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ractor::{Actor, ActorProcessingErr, ActorRef, ActorRuntime};
use tokio::sync::Notify;

use crate::clock::{now, per_second};
use crate::flood::WINDOW;
use crate::problem::Problem;

/// Counts what it gets.
struct Counter(Arc<Progress>);

#[derive(Default)]
struct Progress {
    handled: AtomicU64,
    expected: u64,
    done: Notify,
}

impl Actor for Counter {
    type Msg = u64;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<u64>, (): ()) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(&self, _: ActorRef<u64>, number: u64, handled: &mut u64) -> Result<(), ActorProcessingErr> {
        if number != *handled {
            return Err(format!("number {number} came after {handled} casts").into());
        }
        *handled += 1;
        self.0.handled.store(*handled, Ordering::Release);
        if *handled == self.0.expected {
            self.0.done.notify_one();
        }
        Ok(())
    }
}

/// From the first cast to the last handled one, with no more in the mailbox than a client of Everpost has
/// unacknowledged.
pub(super) async fn casts_per_second(casts: u64) -> Result<f64, Problem> {
    let progress = Arc::new(Progress { expected: casts, ..Progress::default() });
    let (counter, ended) = ActorRuntime::spawn(None, Counter(Arc::clone(&progress)), ()).await?;
    let (target, seen) = (counter.clone(), Arc::clone(&progress));
    let start = now();
    let casting = tokio::spawn(async move {
        for number in 0..casts {
            while number - seen.handled.load(Ordering::Acquire) >= WINDOW as u64 {
                tokio::task::yield_now().await;
            }
            target.cast(number).map_err(Problem::new)?;
        }
        Ok::<_, Problem>(())
    });
    casting.await??;
    progress.done.notified().await;
    let elapsed = start.elapsed();
    counter.stop(None);
    ended.await?;
    Ok(per_second(casts, elapsed))
}
