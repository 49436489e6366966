//! Questions: volatile, answered from the state alone. The answer leaves when the state that it saw is durable.

use std::fmt;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::actor::{Actor, Answer};
use crate::core::Effect;
use crate::message::Message;

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
        (self.answer)(actor, state)
    }
}

impl<A: Actor> fmt::Debug for Question<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question").finish_non_exhaustive()
    }
}
