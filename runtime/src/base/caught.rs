//! Catching panics.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::task::Poll;

use tokio::task::JoinError;

/// Runs `code`, and says what its panic said if it ends in one. What `code` changed before stays changed, so it must be
/// something that is not used any more, or that is right after half of a change too.
pub(crate) fn caught<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(code)).map_err(text_of)
}

/// The same for a future: its polls are caught, and its drop.
pub(crate) async fn caught_async<T>(code: impl Future<Output = T>) -> Result<T, String> {
    let mut code = pin!(Some(code));
    let polled = poll_fn(|context| {
        let poll = || code.as_mut().as_pin_mut().expect("it is there until it has ended").poll(context);
        match caught(poll) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    });
    let output = polled.await;
    let dropped = caught(|| code.set(None));
    output.and_then(|output| dropped.map(|()| output))
}

/// What a panic said, whatever it carries.
pub(crate) fn text_of(payload: Box<dyn Any + Send>) -> String {
    let text = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "a panic without a text".to_owned(),
    };
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        // What a panic carries may panic again when it is dropped, for as long as anybody catches it.
        std::mem::forget(another);
    }
    text
}

/// What a task has returned; its panic goes on in whoever has waited for it. None of one that was cut off.
pub(crate) fn joined<T>(ended: Result<T, JoinError>) -> Option<T> {
    match ended {
        Ok(output) => Some(output),
        Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_future_is_caught_in_its_polls_and_in_its_drop() {
        let seven = async {
            tokio::task::yield_now().await;
            7
        };
        assert_eq!(caught_async(seven).await, Ok(7));
        let polled = async {
            tokio::task::yield_now().await;
            panic!("polled")
        };
        assert_eq!(caught_async(polled).await, Err::<(), _>("polled".to_owned()));
        let spiteful = Spiteful;
        let dropped = poll_fn(move |_| {
            let _kept = &spiteful;
            Poll::Ready(())
        });
        assert_eq!(caught_async(dropped).await, Err("a panic without a text".to_owned()));
    }

    struct Spiteful;

    impl Drop for Spiteful {
        fn drop(&mut self) {
            std::panic::panic_any(Self);
        }
    }

    #[test]
    fn a_panic_is_caught_with_its_text_whatever_it_carries() {
        assert_eq!(caught(|| 7), Ok(7));
        assert_eq!(caught(|| panic!("plain")), Err::<(), _>("plain".to_owned()));
        assert_eq!(caught(|| panic!("number {}", 7)), Err::<(), _>("number 7".to_owned()));
        assert_eq!(caught(|| std::panic::panic_any(7)), Err::<(), _>("a panic without a text".to_owned()));
        assert_eq!(caught(|| std::panic::panic_any(Spiteful)), Err::<(), _>("a panic without a text".to_owned()));
    }
}
