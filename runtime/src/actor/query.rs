//! Queries on their way to an activation.

use std::fmt;

use everpost_persistence::Position;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::actor::{Actor, QueryHandler};
use crate::base::caught::caught;
use crate::base::recurring::Recurring;
use crate::base::text::{brief, shortened};
use crate::cluster::note::NoAnswer;
use crate::cluster::remote_query::RemoteQuery;
use crate::mailbox::query::Open;
use crate::message::Message;
use crate::message::refusal::QueryError;
use crate::record::schema::read_message;
use crate::shard::Release;

/// Panics where no node is at hand.
static PANICS: Recurring = Recurring::new();

/// A query on its way to an activation, without its own type. Reading it, answering it and writing the answer is
/// code of the user's: all of it runs in [`PendingQuery::answer`].
pub(crate) struct PendingQuery<A: Actor> {
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

impl<A: Actor> PendingQuery<A> {
    /// `permit` counts the query among the open ones until it is answered.
    pub(crate) fn new<Q: Message>(
        query: Q,
        waiter: oneshot::Sender<Answered<Q::Reply>>,
        permit: OwnedSemaphorePermit,
    ) -> Self
    where
        A: QueryHandler<Q>,
    {
        let answer = move |shown: Shown<'_, A>, after| {
            let answered = || match shown {
                Ok((actor, state)) => Ok(actor.answer(state, query)),
                Err(why) => Err(QueryError::Failed(why.to_owned())),
            };
            let answer = caught(answered).unwrap_or_else(|panic| Err(QueryError::Failed(panicked(&panic))));
            // Whoever has stopped waiting is not told; the answer ends here then, which is code of the user's as well.
            if let Err(panic) = caught(|| drop(waiter.send(Answered { answer, after })))
                && let Some(times) = PANICS.met("panic in a drop")
            {
                tracing::warn!(
                    actor_type = A::TYPE,
                    query = Q::NAME,
                    error = %brief(&panic),
                    times,
                    event = "panic in a drop",
                    "an answer that nobody waits for has panicked when it was dropped"
                );
            }
            drop(permit);
            None
        };
        Self { answer: Box::new(answer) }
    }

    /// A query of another node.
    pub(crate) fn of_remote<Q: Message>(query: RemoteQuery) -> Self
    where
        A: QueryHandler<Q>,
    {
        let from_state = move |shown: Shown<'_, A>, _| {
            let reply = match shown {
                // Asked again of what the state is then.
                Ok(_) if !query.answer.has_room() => {
                    query.put_off();
                    return None;
                }
                Ok((actor, state)) => caught(|| reply_to::<A, Q>(actor, state, query.version, &query.payload))
                    .unwrap_or_else(|panic| Err(NoAnswer::Failed(shortened(panicked(&panic))))),
                Err(why) => Err(NoAnswer::Failed(why.to_owned())),
            };
            let RemoteQuery { answer, permit, .. } = query;
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

impl<A: Actor> Open for PendingQuery<A> {
    fn refuse(self: Box<Self>, why: &str) {
        if let Some(Release::Answer(answer)) = (self.answer)(Err(why), Position(0)) {
            answer();
        }
    }
}

/// Reads a query, answers it, and writes the answer.
fn reply_to<A: QueryHandler<Q>, Q: Message>(
    actor: &A,
    state: &A::State,
    version: u16,
    payload: &[u8],
) -> Result<Vec<u8>, NoAnswer> {
    let query = read_message::<Q>(version, payload).map_err(|_| NoAnswer::NotHandled)?;
    let reply = actor.answer(state, query);
    let failed = |error| NoAnswer::Failed(shortened(format!("the answer cannot be encoded: {error}")));
    postcard::to_allocvec(&reply).map_err(failed)
}

fn panicked(panic: &str) -> String {
    format!("answering it panicked: {panic}")
}

impl<A: Actor> fmt::Debug for PendingQuery<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query").finish_non_exhaustive()
    }
}
