//! The replies to asks of turns, which are kept until the turn that asked has committed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use everpost_persistence::{Key, Position};

use super::Shard;
use crate::mailbox::Mailbox;
use crate::message::MessageId;
use crate::message::address::Address;
use crate::tables;

/// The asks of turns to actors of this node that are under way, by id. What is not here is in the store, or was never
/// asked.
#[derive(Debug, Default)]
pub(crate) struct KeptReplies {
    by_id: Mutex<HashMap<u128, KeptReply>>,
}

/// The same in one step that submits something to the store: what is found here and what is submitted because of it are
/// one. Otherwise an ask could be handled while the turn that asked ends without it, and neither would delete the
/// reply; or what is deleted because that turn is over could be durable before it is over. Locked from the first look
/// until it is dropped; after dead letters, and before timers and the store's queue.
#[derive(Debug)]
pub(crate) struct RepliesInStep<'a> {
    replies: &'a KeptReplies,
    locked: Option<MutexGuard<'a, HashMap<u128, KeptReply>>>,
}

#[derive(Clone, Debug)]
pub(crate) enum KeptReply {
    /// Not handled yet.
    Waiting { mailbox: Arc<Mailbox>, position: Position },
    /// Not handled yet, and nobody wants the reply any more. Where the store of the turn that asked says what was
    /// asked, if that is this one.
    Abandoned(Option<Key>),
    /// Handled; the reply is in the store once this is durable.
    Submitted(Position),
}

impl KeptReplies {
    pub(crate) fn waiting(&self, id: MessageId, mailbox: &Arc<Mailbox>, position: Position) {
        lock(&self.by_id).insert(id.0, KeptReply::Waiting { mailbox: Arc::clone(mailbox), position });
    }

    pub(crate) fn stored(&self, id: u128) {
        lock(&self.by_id).remove(&id);
    }

    pub(crate) fn get(&self, id: MessageId) -> Option<KeptReply> {
        lock(&self.by_id).get(&id.0).cloned()
    }

    /// For a step that submits what it decides here.
    pub(crate) fn in_step(&self) -> RepliesInStep<'_> {
        RepliesInStep { replies: self, locked: None }
    }
}

impl<'a> RepliesInStep<'a> {
    pub(crate) fn unlock(&mut self) {
        self.locked = None;
    }

    /// The turn that asked has ended without the reply. False when the ask is not waiting any more.
    pub(crate) fn abandon(&mut self, id: MessageId, note: Option<Key>) -> bool {
        match self.by_id().get_mut(&id.0) {
            Some(kept @ KeptReply::Waiting { .. }) => {
                *kept = KeptReply::Abandoned(note);
                true
            }
            _ => false,
        }
    }

    /// The ask waits from here on.
    pub(crate) fn waiting(&mut self, id: MessageId, mailbox: &Arc<Mailbox>, position: Position) {
        self.by_id().insert(id.0, KeptReply::Waiting { mailbox: Arc::clone(mailbox), position });
    }

    pub(crate) fn submitted(&mut self, id: MessageId, ticket: Position) {
        self.by_id().insert(id.0, KeptReply::Submitted(ticket));
    }

    /// The ask was given up on, so that there will be no reply.
    pub(crate) fn take(&mut self, id: MessageId) -> Option<KeptReply> {
        self.by_id().remove(&id.0)
    }

    pub(crate) fn get(&mut self, id: MessageId) -> Option<KeptReply> {
        self.by_id().get(&id.0).cloned()
    }

    fn by_id(&mut self) -> &mut HashMap<u128, KeptReply> {
        let replies: &'a KeptReplies = self.replies;
        self.locked.get_or_insert_with(|| lock(&replies.by_id))
    }
}

/// Where the store of the actor that is asked keeps the reply.
pub(crate) fn reply_key(shard: &Shard, asked: &Address, id: MessageId) -> Key {
    let partition = asked.partition(shard.store.partitions());
    tables::reply(partition, asked.mailbox(), id.0)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
