//! Dropping a future at each of its polls, as a timeout or a `select!` of a user does at any moment.

use std::future::{Future, IntoFuture, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

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
            if let Poll::Ready(output) = running.poll(context) {
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

/// Makes a future and drops it at its first poll, makes another and drops it at its second, and so on, both at once and when it
/// was woken, until one of them ends; `check` looks after each. Returns how many were dropped, and the output of the last.
///
/// # Panics
///
/// When none ends within a great many polls.
pub async fn cut_at_each_poll<F: IntoFuture>(
    mut make: impl FnMut() -> F,
    mut check: impl AsyncFnMut(Cut),
) -> (usize, F::Output) {
    let mut dropped = 0;
    for polls in 1..=POLLS_MAX {
        for cut in [Cut::AtOnce(polls), Cut::WhenWoken(polls)] {
            match run_until(cut, make()).await {
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

    use super::*;

    #[tokio::test]
    async fn a_future_is_dropped_at_each_of_its_polls_and_then_ends() {
        let (made, reached) = (Cell::new(0), Cell::new(0));
        let make = || {
            made.set(made.get() + 1);
            async {
                for _ in 0..3 {
                    reached.set(reached.get() + 1);
                    tokio::task::yield_now().await;
                }
                7
            }
        };
        let mut cuts = Vec::new();
        let (dropped, output) = cut_at_each_poll(make, async |cut| cuts.push(cut)).await;
        use Cut::{AtOnce, WhenWoken};
        assert_eq!(cuts, [AtOnce(1), WhenWoken(1), AtOnce(2), WhenWoken(2), AtOnce(3), WhenWoken(3)]);
        assert_eq!((dropped, output, made.get(), reached.get()), (6, 7, 7, 1 + 1 + 2 + 2 + 3 + 3 + 3));
    }
}
