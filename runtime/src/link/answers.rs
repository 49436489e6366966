//! What this node answers when a peer asks about a message, or an actor's state.

use std::sync::Arc;

use everpost_persistence::{Class, Position};

use super::{Ended, Fate, NoAnswer, Note};
use crate::actor::Payload;
use crate::address::Address;
use crate::ask::{Recalled, recall, reply_key};
use crate::cluster::{Owner, Peer};
use crate::core::{Core, KEY_QUESTION};
use crate::dead_letters;
use crate::envelope::has_id;
use crate::gate::NodeEnded;
use crate::mailbox::Mailbox;
use crate::message::MessageId;
use crate::query::AwayAnswer;
use crate::waiter::Waiter;

/// How many bodies are read at a time while a message is looked for.
const SEARCH_MESSAGES: usize = 1024;

/// A question of a peer to an actor's state.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) number: u64,
    pub(super) question: String,
    pub(super) version: u16,
    pub(super) payload: Vec<u8>,
}

/// Tells the peer what becomes of a message that it sent and that was acknowledged: now if that is known, or when it is.
pub(super) async fn inquiry(
    core: &Arc<Core>,
    peer: &Arc<Peer>,
    id: u128,
    address: &Address,
    reply: bool,
) -> Result<(), Ended> {
    let waiter = Waiter::Away { peer: Arc::clone(peer), id: MessageId(id), reply };
    let stopped = |_| Ended::Node(core.gate.ended());
    let waiter = match recall(core, address, MessageId(id), waiter).await.map_err(stopped)? {
        Recalled::Stored(reply) => {
            peer.tell(Note::Outcome { id, fate: Fate::Handled(Some(reply.into())) });
            return Ok(());
        }
        Recalled::Waiting => return Ok(()),
        Recalled::Unknown(waiter) => waiter,
    };
    if let Some(fate) = settle(core, address, id, waiter).await? {
        peer.tell(Note::Outcome { id, fate });
    }
    Ok(())
}

/// Puts the waiter to a message that waits. What became of the message, if it does not.
async fn settle(core: &Core, address: &Address, id: u128, waiter: Waiter) -> Result<Option<Fate>, Ended> {
    if let Owner::Here = core.owner(address)
        && let Some(kind) = core.kinds.get(address.actor_type())
    {
        let mailbox = core.directory.mailbox(address, kind);
        if let Some(position) = find(core, &mailbox, id).await? {
            let mut inner = mailbox.lock();
            if inner.rules.contains(position) {
                inner.asks.add(&core.gate, position, waiter);
                return Ok(None);
            }
        }
        // Whatever became of it is durable before it is told.
        let last = mailbox.lock().last_submitted;
        core.gate.durable(last).await?;
    }
    let store = core.store.clone();
    let letter = tokio::task::spawn_blocking(move || dead_letters::outcome_of(&store, MessageId(id))).await;
    let letter = letter.map_err(|_| core.gate.ended())?.map_err(|_| core.gate.ended())?;
    Ok(Some(letter.map_or(Fate::Handled(None), Fate::from)))
}

/// The position of a waiting message. Looks at every message of the mailbox, so it is for questions after the fact only.
async fn find(core: &Core, mailbox: &Arc<Mailbox>, id: u128) -> Result<Option<Position>, Ended> {
    let (found, beyond) = mailbox.lock().rules.find(|body| has_id(body, id));
    if found.is_some() {
        return Ok(found);
    }
    for positions in beyond.chunks(SEARCH_MESSAGES) {
        let keys: Vec<_> = positions.iter().map(|position| mailbox.inbox_key(*position)).collect();
        let store = core.store.clone();
        let bodies = tokio::task::spawn_blocking(move || store.records(&keys)).await;
        let bodies = bodies.map_err(|_| core.gate.ended())?.map_err(|_| core.gate.ended())?;
        let is_it = |body: &Option<bytes::Bytes>| body.as_deref().is_some_and(|body| has_id(body, id));
        if let Some(index) = bodies.iter().position(is_it) {
            return Ok(Some(positions[index]));
        }
    }
    Ok(None)
}

/// Puts a peer's question to an actor's state.
pub(super) fn query(core: &Arc<Core>, peer: &Arc<Peer>, address: &Address, question: Question) {
    let Question { number, question, version, payload } = question;
    let answer = AwayAnswer::new(peer, number);
    if question == KEY_QUESTION {
        return core.answer_key(address, payload, answer);
    }
    // Not waited for: this node's own questions hold the others, and their answers come on the stream that would wait. The
    // answer that is dropped tells that the question is lost.
    let Ok(permit) = Arc::clone(&core.questions).try_acquire_owned() else { return };
    let payload = Payload { version, bytes: &payload, wants_reply: true };
    match core.kinds.get(address.actor_type()) {
        Some(kind) if matches!(core.owner(address), Owner::Here) => {
            match kind.question(&question, payload, answer, permit) {
                Ok(question) => core.put_question(address, kind, question),
                Err(answer) => answer.give(Err(NoAnswer::NotHandled)),
            }
        }
        _ => answer.give(Err(NoAnswer::NotHandled)),
    }
}

/// The stored reply to a question of a turn is not needed any more.
pub(super) async fn forget(core: &Core, id: u128, address: &Address) -> Result<(), NodeEnded> {
    let Ok(permit) = core.store.reserve(Class::Turn { grows: false }, 0).await else {
        return Err(core.gate.ended());
    };
    // One that is not handled yet is not to be kept when it is.
    core.kept_replies.abandon(MessageId(id), None);
    core.store.submit(permit, |stage| stage.delete(reply_key(core, address, MessageId(id))));
    Ok(())
}
