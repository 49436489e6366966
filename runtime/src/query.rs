//! Questions: volatile, answered from the state alone. The answer leaves when the state that it saw is durable.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::actor::{Actor, Answer, Payload};
use crate::clock::Deadline;
use crate::cluster::Peer;
use crate::core::Effect;
use crate::handle::ActorHandle;
use crate::inside::{Inside, Mark};
use crate::link::{NoAnswer, Note};
use crate::message::Message;
use crate::refusal::QueryError;
use crate::schema::read_message;

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
        Deadline::after(self.timeout).wait_for(answer).await.unwrap_or(Err(QueryError::Timeout(self.timeout)))
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

/// A question on its way to an activation, without its type.
pub(crate) struct Question<A: Actor> {
    answer: Box<AnswerFrom<A>>,
}

/// Makes the answer that is to leave from the state that it is shown.
type AnswerFrom<A> = dyn FnOnce(&A, &<A as Actor>::State) -> Effect + Send;

impl<A: Actor> Question<A> {
    /// `permit` counts the question among the open ones until its answer has left.
    pub(crate) fn new<Q: Message>(question: Q, waiter: oneshot::Sender<Q::Reply>, permit: OwnedSemaphorePermit) -> Self
    where
        A: Answer<Q>,
    {
        let answer = move |actor: &A, state: &A::State| {
            let answer = actor.answer(state, question);
            Effect::Answer(Box::new(move || {
                // Whoever has stopped waiting is not told.
                let _ = waiter.send(answer);
                drop(permit);
            }))
        };
        Self { answer: Box::new(answer) }
    }

    pub(crate) fn answer(self, actor: &A, state: &A::State) -> Effect {
        let _inside = Mark::set(Inside::Turn);
        (self.answer)(actor, state)
    }
}

impl<A: Actor> Question<A> {
    /// A question of another node. Hands the answer back when the question cannot be read.
    pub(crate) fn from_away<Q: Message>(
        payload: Payload<'_>,
        answer: AwayAnswer,
        permit: OwnedSemaphorePermit,
    ) -> Result<Self, AwayAnswer>
    where
        A: Answer<Q>,
    {
        let Ok(question) = read_message::<Q>(payload.version, payload.bytes) else { return Err(answer) };
        let from_state = move |actor: &A, state: &A::State| {
            let reply = postcard::to_allocvec(&actor.answer(state, question));
            Effect::Answer(Box::new(move || {
                answer.give(reply.map_err(|_| NoAnswer::Lost));
                drop(permit);
            }))
        };
        Ok(Self { answer: Box::new(from_state) })
    }
}

/// The answer that another node waits for. One that is dropped tells that it is lost.
#[derive(Debug)]
pub(crate) struct AwayAnswer {
    peer: Arc<Peer>,
    number: u64,
    is_given: bool,
}

impl AwayAnswer {
    pub(crate) fn new(peer: &Arc<Peer>, number: u64) -> Self {
        Self { peer: Arc::clone(peer), number, is_given: false }
    }

    pub(crate) fn give(mut self, answer: Result<Vec<u8>, NoAnswer>) {
        self.is_given = true;
        self.peer.tell(Note::Answer { number: self.number, answer });
    }
}

impl Drop for AwayAnswer {
    fn drop(&mut self) {
        if !self.is_given {
            self.peer.tell(Note::Answer { number: self.number, answer: Err(NoAnswer::Lost) });
        }
    }
}

impl<A: Actor> fmt::Debug for Question<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question").finish_non_exhaustive()
    }
}
