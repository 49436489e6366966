//! Dropping a future at each of its polls, as a timeout or a `select!` of a user does at any moment.

use std::future::{Future, IntoFuture, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use tokio::runtime::Handle;

/// How many polls a future may take that is expected to end.
const POLLS_MAX: usize = 10_000;

/// Where a future is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// As soon as it waits for this many-th time.
    AtOnce(usize),
    /// It has waited for this many-th time and was woken, and is not polled any more: what it was told is lost.
    WhenWoken(usize),
}

/// Runs `future` up to `cut`, and drops it there. Its output, if it ended before.
pub async fn run_until<F: IntoFuture>(cut: Cut, future: F) -> Option<F::Output> {
    cut_off(cut, future, |running, context| running.poll(context)).await
}

async fn cut_off<F: IntoFuture>(
    cut: Cut,
    future: F,
    poll: impl Fn(Pin<&mut F::IntoFuture>, &mut Context<'_>) -> Poll<F::Output>,
) -> Option<F::Output> {
    let mut polls = 0;
    let mut future = pin!(Some(future.into_future()));
    poll_fn(move |context| {
        let is_over = |polls| match cut {
            Cut::AtOnce(last) => polls == last,
            Cut::WhenWoken(last) => polls == last + 1,
        };
        if let Cut::WhenWoken(last) = cut
            && polls == last
        {
            polls += 1;
        } else {
            let running = future.as_mut().as_pin_mut().expect("it is not polled after its end");
            if let Poll::Ready(output) = poll(running, context) {
                return Poll::Ready(Some(output));
            }
            polls += 1;
        }
        if is_over(polls) {
            future.set(None);
            return Poll::Ready(None);
        }
        Poll::Pending
    })
    .await
}

/// Makes a future and drops it at its first poll, makes another and drops it at its second, and so on, both at once and
/// when it was woken, until one of them ends; `check` looks after each. Returns how many were dropped, and the output
/// of the last. Those that are dropped at once are polled on threads that have no runtime, as that of another executor.
///
/// # Panics
///
/// When none ends within a great many polls.
pub async fn cut_at_each_poll<F>(mut make: impl FnMut() -> F, mut check: impl AsyncFnMut(Cut)) -> (usize, F::Output)
where
    F: IntoFuture<IntoFuture: Send, Output: Send>,
{
    let mut dropped = 0;
    for polls in 1..=POLLS_MAX {
        for cut in [Cut::AtOnce(polls), Cut::WhenWoken(polls)] {
            let ended = match cut {
                Cut::AtOnce(_) => cut_off(cut, make(), poll_without_a_runtime).await,
                Cut::WhenWoken(_) => run_until(cut, make()).await,
            };
            match ended {
                Some(output) => return (dropped, output),
                None => {
                    dropped += 1;
                    check(cut).await;
                }
            }
        }
    }
    panic!("it does not end within {POLLS_MAX} polls");
}

/// Runs a future on a thread that has no runtime.
///
/// # Panics
///
/// When the future does.
pub fn without_a_runtime<F: Future<Output: Send> + Send>(future: F) -> F::Output {
    thread::scope(|scope| scope.spawn(|| block_on(future)).join()).expect("it does not panic outside of a runtime")
}

fn poll_without_a_runtime<F>(future: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output>
where
    F: Future<Output: Send> + Send,
{
    let waker = context.waker();
    let poll = || future.poll(&mut Context::from_waker(waker));
    thread::scope(|scope| scope.spawn(poll).join()).expect("it does not panic outside of a runtime")
}

/// A future for which a runtime has to be there, polled as if one were, on whatever thread.
pub async fn within<F: Future>(runtime: Handle, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        let _entered = runtime.enter();
        future.as_mut().poll(context)
    })
    .await
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_future_is_dropped_at_each_of_its_polls_and_then_ends() {
        let (made, reached, outside) = (Cell::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let make = || {
            made.set(made.get() + 1);
            async {
                for _ in 0..3 {
                    reached.fetch_add(1, Ordering::Relaxed);
                    outside.fetch_add(usize::from(Handle::try_current().is_err()), Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
                7
            }
        };
        let mut cuts = Vec::new();
        let (dropped, output) = cut_at_each_poll(make, async |cut| cuts.push(cut)).await;
        use Cut::{AtOnce, WhenWoken};
        assert_eq!(cuts, [AtOnce(1), WhenWoken(1), AtOnce(2), WhenWoken(2), AtOnce(3), WhenWoken(3)]);
        assert_eq!((dropped, output, made.get()), (6, 7, 7));
        let (reached, outside) = (reached.into_inner(), outside.into_inner());
        assert_eq!((reached, outside), (1 + 1 + 2 + 2 + 3 + 3 + 3, 1 + 2 + 3 + 3));
    }
}
