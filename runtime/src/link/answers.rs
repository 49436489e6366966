//! What this node answers when a peer asks about an actor's state.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::cluster::Peer;
use crate::cluster::away::{AwayAnswer, AwayQuestion};
use crate::cluster::note::NoAnswer;
use crate::cluster::note::Note;
use crate::core::Core;
use crate::engine::deduplicate;
use crate::engine::deduplicate::KEY_QUESTION;
use crate::message::address::Address;

/// What a peer says of another process of this node's name, in the form of a question: one under a name that no user's question can
/// have, which older nodes just do not answer. Nobody waits for the answer.
const NAMESAKE_QUESTION: &str = "everpost:namesake";

/// The number of a question whose answer nobody waits for.
const UNANSWERED: u64 = u64::MAX;

/// Of what is said of a namesake the log tells so much.
const NAMESAKE_BYTES_MAX: usize = 64;

/// Tells the peer that another process of its name was refused, and where that came from.
pub(super) fn namesake(from: SocketAddr) -> Note {
    let (question, payload) = (NAMESAKE_QUESTION.to_owned(), from.to_string().into_bytes());
    Note::Query { number: UNANSWERED, destination: "everpost/namesake".to_owned(), question, version: 1, payload }
}

/// A question of a peer to an actor's state.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) number: u64,
    pub(super) question: String,
    pub(super) version: u16,
    pub(super) payload: Vec<u8>,
}

/// Takes a peer's question to an actor's state. Never waits, since its answer leaves on a stream that may wait for what is read next: one
/// that is too much is lost, and one whose answer has no room is put off ([`put_again`]). Both are told, or answered, in the end.
pub(super) fn query(core: &Arc<Core>, peer: &Arc<Peer>, address: Address, question: Question) {
    let Question { number, question: name, version, payload } = question;
    let Some(answer) = AwayAnswer::new(peer, number, payload.len()) else { return };
    if name == KEY_QUESTION {
        return deduplicate::answer_key(core, &address, payload, answer);
    }
    if name == NAMESAKE_QUESTION {
        let from = &payload[..payload.len().min(NAMESAKE_BYTES_MAX)];
        peer.alarms().namesake(&core.name, &peer.name, &String::from_utf8_lossy(from));
        return answer.give(Ok(Vec::new()));
    }
    // The answer that is dropped tells that the question is lost.
    let Ok(permit) = Arc::clone(&core.questions).try_acquire_owned() else { return };
    let question = AwayQuestion { address, name, version, payload, answer, permit: Some(permit) };
    // Behind those that wait already.
    if peer.has_put_off() { question.put_off() } else { put(core, question) }
}

/// Puts questions again that had no room for their answers, as far as there is room now.
pub(super) fn put_again(core: &Core, peer: &Peer) {
    for mut question in peer.to_be_put_again() {
        question.permit = Arc::clone(&core.questions).try_acquire_owned().ok();
        put(core, question);
    }
}

/// Puts a peer's question to an actor's state.
fn put(core: &Core, question: AwayQuestion) {
    let address = question.address.clone();
    match core.kinds.get(address.actor_type()) {
        Some(kind) if core.remote(&address).is_none() && kind.answers(&question.name) => {
            core.put_question(&address, kind, kind.question(question));
        }
        _ => question.answer.give(Err(NoAnswer::NotHandled)),
    }
}
