//! Questions: volatile, answered from the state alone. The answer leaves when the state that it saw is durable.

use std::any::Any;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use everpost_persistence::Position;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::actor::{Actor, Answer};
use crate::api::handle::ActorHandle;
use crate::base::caught::caught;
use crate::base::clock::Deadline;
use crate::base::recurring::Recurring;
use crate::cluster::Peer;
use crate::core::Release;
use crate::engine::failing::shortened;
use crate::link::{NoAnswer, Note};
use crate::message::Message;
use crate::message::address::Address;
use crate::message::refusal::QueryError;
use crate::message::schema::read_message;
use crate::telemetry::brief;

/// Panics where no node is at hand.
static PANICS: Recurring = Recurring::new();

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

/// A question that waits in the mailbox of its actor, without the type of the actor.
pub(crate) trait Open: Any + Send {
    /// It will not be answered, and this is why.
    fn refuse(self: Box<Self>, why: &str);
}

/// A question on its way to an activation, without its own type. Reading it, answering it and writing the answer is code of the
/// user's: all of it runs in [`Question::answer`].
pub(crate) struct Question<A: Actor> {
    answer: Box<AnswerFrom<A>>,
}

/// Makes the answer of what it is shown, and says what is left to be done when the turns before it are durable.
type AnswerFrom<A> = dyn FnOnce(Shown<'_, A>, Position) -> Option<Release> + Send;

/// The actor and its state, or why there will be no answer.
type Shown<'a, A> = Result<(&'a A, &'a <A as Actor>::State), &'a str>;

/// What whoever has asked is handed: the answer, and what must be durable before it counts.
pub(crate) struct Answered<R> {
    pub(crate) answer: Result<R, QueryError>,
    pub(crate) after: Position,
}

impl<A: Actor> Question<A> {
    /// `permit` counts the question among the open ones until it is answered.
    pub(crate) fn new<Q: Message>(
        question: Q,
        waiter: oneshot::Sender<Answered<Q::Reply>>,
        permit: OwnedSemaphorePermit,
    ) -> Self
    where
        A: Answer<Q>,
    {
        let answer = move |shown: Shown<'_, A>, after| {
            let answered = || match shown {
                Ok((actor, state)) => Ok(actor.answer(state, question)),
                Err(why) => Err(QueryError::Failed(why.to_owned())),
            };
            let answer = caught(answered).unwrap_or_else(|panic| Err(QueryError::Failed(panicked(&panic))));
            // Whoever has stopped waiting is not told; the answer ends here then, which is code of the user's as well.
            if let Err(panic) = caught(|| drop(waiter.send(Answered { answer, after })))
                && let Some(times) = PANICS.met("panic in a drop")
            {
                tracing::warn!(actor_type = A::TYPE, question = Q::NAME, error = %brief(&panic), times, event = "panic in a drop", "an answer that nobody waits for has panicked when it was dropped");
            }
            drop(permit);
            None
        };
        Self { answer: Box::new(answer) }
    }

    /// A question of another node.
    pub(crate) fn from_away<Q: Message>(question: AwayQuestion) -> Self
    where
        A: Answer<Q>,
    {
        let from_state = move |shown: Shown<'_, A>, _| {
            let reply = match shown {
                // Asked again of what the state is then.
                Ok(_) if !question.answer.has_room() => {
                    question.put_off();
                    return None;
                }
                Ok((actor, state)) => caught(|| reply_to::<A, Q>(actor, state, question.version, &question.payload))
                    .unwrap_or_else(|panic| Err(NoAnswer::Failed(shortened(panicked(&panic))))),
                Err(why) => Err(NoAnswer::Failed(why.to_owned())),
            };
            let AwayQuestion { answer, permit, .. } = question;
            let made = answer.made(reply);
            Some(Release::Answer(Box::new(move || {
                made.release();
                drop(permit);
            })))
        };
        Self { answer: Box::new(from_state) }
    }

    /// Returns what is left to be done when the turns before it are durable, up to `after`.
    pub(crate) fn answer(self, actor: &A, state: &A::State, after: Position) -> Option<Release> {
        (self.answer)(Ok((actor, state)), after)
    }
}

impl<A: Actor> Open for Question<A> {
    fn refuse(self: Box<Self>, why: &str) {
        if let Some(Release::Answer(answer)) = (self.answer)(Err(why), Position(0)) {
            answer();
        }
    }
}

/// Nobody will answer these. Call it without a lock: a question that ends is code of the user's, which may do anything.
pub(crate) fn lose(questions: impl IntoIterator<Item = Box<dyn Open>>) {
    for question in questions {
        if let Err(panic) = caught(|| drop(question))
            && let Some(times) = PANICS.met("panic in a drop")
        {
            tracing::warn!(error = %brief(&panic), times, event = "panic in a drop", "a question that was lost has panicked when it was dropped");
        }
    }
}

/// Reads a question, answers it, and writes the answer.
fn reply_to<A: Answer<Q>, Q: Message>(
    actor: &A,
    state: &A::State,
    version: u16,
    payload: &[u8],
) -> Result<Vec<u8>, NoAnswer> {
    let question = read_message::<Q>(version, payload).map_err(|_| NoAnswer::NotHandled)?;
    let reply = actor.answer(state, question);
    let failed = |error| NoAnswer::Failed(shortened(format!("the answer cannot be encoded: {error}")));
    postcard::to_allocvec(&reply).map_err(failed)
}

fn panicked(panic: &str) -> String {
    format!("answering it panicked: {panic}")
}

/// A question of another node that is not answered yet.
#[derive(Debug)]
pub(crate) struct AwayQuestion {
    pub(crate) address: Address,
    pub(crate) name: String,
    pub(crate) version: u16,
    pub(crate) payload: Vec<u8>,
    pub(crate) answer: AwayAnswer,
    /// Counts it among the open ones of the node, unless it is put off: then it counts among those of its peer alone, which must not keep
    /// out all others.
    pub(crate) permit: Option<OwnedSemaphorePermit>,
}

impl AwayQuestion {
    /// Lets it wait until there is room for its answer.
    pub(crate) fn put_off(mut self) {
        self.permit = None;
        let peer = Arc::clone(&self.answer.peer);
        peer.put_off(self);
    }
}

/// The answer that another node waits for. It is told when it is dropped; one that was not made and released by then is
/// lost.
#[derive(Debug)]
pub(crate) struct AwayAnswer {
    peer: Arc<Peer>,
    number: u64,
    /// The conversation that it belongs to: the next process of the peer counts its questions anew.
    conversation: u64,
    /// How many bytes its question has.
    bytes: usize,
    answer: Option<Result<Vec<u8>, NoAnswer>>,
    /// What it has seen is durable.
    is_released: bool,
}

impl AwayAnswer {
    /// None when the peer has asked more than is kept: then the question is lost, which it is told.
    pub(crate) fn new(peer: &Arc<Peer>, number: u64, bytes: usize) -> Option<Self> {
        if !peer.was_asked(bytes) {
            peer.tell(Note::Answer { number, answer: Err(NoAnswer::Lost) });
            return None;
        }
        let (peer, conversation) = (Arc::clone(peer), peer.conversation());
        Some(Self { peer, number, conversation, bytes, answer: None, is_released: false })
    }

    /// Whether it may be made now.
    pub(crate) fn has_room(&self) -> bool {
        self.peer.may_answer()
    }

    /// It is this one, to be released when what it has seen is durable.
    pub(crate) fn made(mut self, answer: Result<Vec<u8>, NoAnswer>) -> Self {
        self.peer.made(&answer);
        self.answer = Some(answer);
        self
    }

    /// Tells the one that was made.
    pub(crate) fn release(mut self) {
        self.is_released = true;
    }

    /// Tells this one now.
    pub(crate) fn give(self, answer: Result<Vec<u8>, NoAnswer>) {
        self.made(answer).release();
    }
}

impl Drop for AwayAnswer {
    fn drop(&mut self) {
        let answer = match self.answer.take() {
            Some(answer) if self.is_released => answer,
            Some(answer) => {
                // What it has seen will never be durable.
                self.peer.unmade(&answer);
                Err(NoAnswer::Lost)
            }
            None => Err(NoAnswer::Lost),
        };
        self.peer.tell_answer(self.conversation, self.number, answer);
        self.peer.was_answered(self.bytes);
    }
}

impl<A: Actor> fmt::Debug for Question<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question").finish_non_exhaustive()
    }
}
