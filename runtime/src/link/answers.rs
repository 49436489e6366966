//! What this node answers when a peer asks about an actor's state.

use std::sync::Arc;

use super::NoAnswer;
use crate::address::Address;
use crate::cluster::{Owner, Peer};
use crate::core::{Core, KEY_QUESTION};
use crate::query::AwayAnswer;

/// A question of a peer to an actor's state.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) number: u64,
    pub(super) question: String,
    pub(super) version: u16,
    pub(super) payload: Vec<u8>,
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
    let asked = match core.kinds.get(address.actor_type()) {
        Some(kind) if matches!(core.owner(address), Owner::Here) => {
            kind.question(&question, version, payload, answer, permit).map(|question| (kind, question))
        }
        _ => Err(answer),
    };
    match asked {
        Ok((kind, question)) => core.put_question(address, kind, question),
        Err(answer) => answer.give(Err(NoAnswer::NotHandled)),
    }
}
