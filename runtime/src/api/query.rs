//! Questions: volatile, answered from the state alone. The answer leaves when the state that it saw is durable.

use std::any::Any;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use crate::actor::{Actor, Answer};
use crate::api::handle::ActorHandle;
use crate::base::clock::Deadline;
use crate::message::Message;
use crate::message::refusal::QueryError;

/// A question that has not been asked yet; `.await` asks it. Made by [`ActorHandle::query`].
///
/// # Cancel safety
///
/// A question that is dropped changes nothing.
#[must_use = "a question does nothing until it is awaited"]
pub struct Query<'h, A, Q> {
    handle: &'h ActorHandle<A>,
    question: Q,
    timeout: Duration,
}

impl<'h, A: Answer<Q>, Q: Message> Query<'h, A, Q> {
    pub(crate) fn new(handle: &'h ActorHandle<A>, question: Q, timeout: Duration) -> Self {
        Self { handle, question, timeout }
    }

    /// How long to wait for the answer, instead of the node's `ask_timeout`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    async fn run(self) -> Result<Q::Reply, QueryError> {
        let answer = self.handle.answer_to(self.question);
        let answered = Deadline::after(self.timeout).wait_for(self.handle.runtime(), answer).await;
        answered.unwrap_or(Err(QueryError::Timeout(self.timeout)))
    }
}

impl<'h, A: Answer<Q>, Q: Message> IntoFuture for Query<'h, A, Q> {
    type Output = Result<Q::Reply, QueryError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'h>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<A, Q> fmt::Debug for Query<'_, A, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
