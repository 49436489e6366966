//! Queries of other nodes to the actors of this one.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::cluster::Peer;
use crate::cluster::note::{NoAnswer, Note};
use crate::message::address::Address;

/// A query of another node that is not answered yet.
#[derive(Debug)]
pub(crate) struct RemoteQuery {
    pub(crate) address: Address,
    pub(crate) name: String,
    pub(crate) version: u16,
    pub(crate) payload: Vec<u8>,
    pub(crate) answer: RemoteAnswer,
    /// Counts it among the open ones of the node, unless it is put off: then it counts among those of its peer alone,
    /// which must not keep out all others.
    pub(crate) permit: Option<OwnedSemaphorePermit>,
}

impl RemoteQuery {
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
pub(crate) struct RemoteAnswer {
    peer: Arc<Peer>,
    number: u64,
    /// The conversation that it belongs to: the next process of the peer counts its queries anew.
    conversation: u64,
    /// How many bytes its query has.
    bytes: usize,
    answer: Option<Result<Vec<u8>, NoAnswer>>,
    /// What it has seen is durable.
    is_released: bool,
}

impl RemoteAnswer {
    /// None when the peer has asked more than is kept: then the query is lost, which it is told.
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

impl Drop for RemoteAnswer {
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
