//! Rousing all mailboxes that have work, after a start and when a type is resumed: one after another, each when there
//! is a place for its activation. Where a line of the directory is all that is known, the message is read for its
//! address, and stays in memory for the activation, which need not read it again. These go in together, as many as are
//! read at a time: they have a message each, so what comes meanwhile does not wait for long behind them.

use std::sync::Arc;

use bytes::Bytes;
use everpost_persistence::{Key, Partition, Position, ReadError};

use crate::engine::activating::rouse;
use crate::mailbox::Mailbox;
use crate::mailbox::actor_type::ActorType;
use crate::message::address::Address;
use crate::message::envelope::Header;
use crate::shard::Shard;
use crate::tables;

/// How many messages are read at a time for their addresses.
const READ_MESSAGES: usize = 64;

/// What waits in mailboxes that are made, and in those that are not.
pub(crate) struct Waiting {
    made: Vec<Arc<Mailbox>>,
    lone: Vec<(Partition, Position)>,
}

impl Waiting {
    /// What waits for actors of these types; not for those that are paused, where a message is all that is known.
    pub(crate) fn of(shard: &Shard, is_wanted: impl Fn(&Arc<ActorType>) -> bool) -> Self {
        // First, since what is made of them meanwhile is found among the others.
        let lone = shard.directory.lone(|actor_type| is_wanted(actor_type) && !actor_type.is_paused());
        let mut made = Vec::new();
        shard.directory.for_each(|mailbox| {
            if is_wanted(&mailbox.actor_type) && !mailbox.lock().is_idle() {
                made.push(mailbox);
            }
        });
        Self { made, lone }
    }
}

/// Rouses mailboxes one after another, each when there is a place for its activation.
pub(crate) async fn rouse_all(shard: &Shard, waiting: Waiting) {
    for mailbox in waiting.made {
        if !may_rouse(shard).await {
            return;
        }
        rouse(shard, &mailbox);
    }
    for lone in waiting.lone.chunks(READ_MESSAGES) {
        // Before they are read: what is read would wait in memory until then.
        if !may_rouse(shard).await {
            return;
        }
        for (position, envelope) in read(shard, lone).await {
            rouse_lone(shard, position, envelope);
        }
    }
}

/// Completes when there is a place. False when the node stops before.
async fn may_rouse(shard: &Shard) -> bool {
    shard.activations.has_place().await;
    !shard.is_stopping()
}

/// Reads messages, those that wait still. One that cannot be read holds up no other.
async fn read(shard: &Shard, lone: &[(Partition, Position)]) -> Vec<(Position, Bytes)> {
    let keys: Vec<Key> = lone.iter().map(|(partition, position)| tables::inbox(*partition, *position)).collect();
    let bodies = match shard.store.read_all(keys.clone()).await {
        Ok(bodies) => bodies,
        Err(_) => {
            let mut bodies = Vec::with_capacity(keys.len());
            for (key, (_, position)) in keys.into_iter().zip(lone) {
                let body = shard.store.read(key).await;
                bodies.push(body.unwrap_or_else(|error| unreadable(shard, *position, &error)));
            }
            bodies
        }
    };
    lone.iter().zip(bodies).filter_map(|((_, position), body)| Some((*position, body?))).collect()
}

/// The start has read it, so it was damaged since.
fn unreadable(shard: &Shard, position: Position, error: &ReadError) -> Option<Bytes> {
    if !shard.is_stopping() {
        tracing::error!(
            node = %shard.name, seq = position.0, %error, event = "record unreadable",
            "a message that waits cannot be read, so nobody knows whom it is for; it stays in the store"
        );
    }
    None
}

/// Makes the mailbox of a message, if nobody has, and rouses it. The body stays in memory if there is room for it.
fn rouse_lone(shard: &Shard, position: Position, envelope: Bytes) {
    let address = Header::decode(&envelope).ok().and_then(|(header, _)| Address::parse(header.destination));
    let address = address.expect("the start has read its headers");
    // Without a mailbox the message was handled meanwhile.
    let Some(mailbox) = shard.directory.find_at(&address) else { return };
    let mut inner = mailbox.lock();
    if shard.window_keeps(envelope.len(), inner.amount().bytes) && !inner.rests(&mailbox, || shard.clock.steady()) {
        // Under the lock, so that what leaves meanwhile is taken off where it is counted.
        let bytes = inner.loaded(vec![(position, envelope)]);
        shard.load.window_bytes.add(bytes);
        shard.load.beyond_bytes.take(bytes);
    }
    drop(inner);
    rouse(shard, &mailbox);
}
