//! What a handler says when it cannot finish.

use std::fmt;
use std::time::Duration;

use crate::message::reason::Reason;

/// Why a handler could not finish its turn, and what is to happen to the message.
///
/// Nothing of the turn remains, whichever it is. `?` on any error makes a [`Failure::retry`].
///
/// ```
/// use everpost::Failure;
/// fn parse(text: &str) -> Result<u32, Failure> {
///     if text.is_empty() {
///         return Err(Failure::reject("an empty number will not get better"));
///     }
///     Ok(text.parse()?)
/// }
/// assert!(parse("seven").is_err());
/// ```
pub struct Failure {
    pub(crate) verdict: Verdict,
    /// The error and its causes, outermost first.
    pub(crate) chain: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Try again; after the node's backoff when no delay is given.
    Retry { after: Option<Duration> },
    /// Never try again.
    Reject,
    /// Not now, and not a failure.
    Defer { delay: Duration },
    /// Given up on without having been tried.
    Condemn(Reason),
}

impl Failure {
    /// Try again after the node's backoff; counts as a failed attempt.
    pub fn retry(reason: impl fmt::Display) -> Self {
        Self { verdict: Verdict::Retry { after: None }, chain: vec![reason.to_string()] }
    }

    /// Try again after `delay`, for a cause that says itself when it will be over; counts as a failed attempt.
    pub fn retry_after(delay: Duration, reason: impl fmt::Display) -> Self {
        Self { verdict: Verdict::Retry { after: Some(delay) }, chain: vec![reason.to_string()] }
    }

    /// Not now: the message is set aside for `delay`, others pass it, and it is tried again then. No failure, so that
    /// it is not counted as an attempt; what the turn has done so far is undone all the same. For messages that come
    /// too early, as a cancellation before its order does. Give such a message an expiry, or it may come back for ever.
    pub fn defer(delay: Duration) -> Self {
        Self { verdict: Verdict::Defer { delay }, chain: vec![format!("deferred for {delay:?}")] }
    }

    /// Given up on for a reason that is none of its handler's.
    pub(crate) fn condemn(reason: Reason, error: impl fmt::Display) -> Self {
        Self { verdict: Verdict::Condemn(reason), chain: vec![error.to_string()] }
    }

    /// Give up at once: the message goes to the dead letters with this reason.
    pub fn reject(reason: impl fmt::Display) -> Self {
        Self { verdict: Verdict::Reject, chain: vec![reason.to_string()] }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut failure = Self::retry(&error);
        let mut cause = error.source();
        while let Some(error) = cause {
            failure.chain.push(error.to_string());
            cause = error.source();
        }
        failure
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chain.join(": "))
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Failure({:?}, {self})", self.verdict)
    }
}
