//! Rousing all mailboxes that have work, after a start and when a type is resumed: one after another, each when there
//! is a place for its activation. Where an entry of the directory is all that is known, the message is read for its
//! address, and stays in memory for the activation, which need not read it again. These go in together, as many as are
//! read at a time: they have a message each, so what comes meanwhile does not wait for long behind them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everpost_persistence::{Partition, Position, ReadError};

use crate::engine::activating::rouse;
use crate::mailbox::Mailbox;
use crate::mailbox::actor_type::ActorType;
use crate::message::address::Address;
use crate::message::envelope::Header;
use crate::shard::Shard;
use crate::tables;

/// How many messages are read at a time for their addresses.
const READ_MESSAGES: usize = 64;
/// How long one that could not be read is left alone at least, whatever the setting: nothing bounds how often.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(1);

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
        if !may_rouse(shard, 1).await {
            return;
        }
        rouse(shard, &mailbox);
    }
    let (mut lone, mut tries) = (waiting.lone, 0);
    while !lone.is_empty() {
        // Those that could not be read are read again, later and later: nobody knows whom they are for.
        if tries > 0 {
            let wait = shard.config.backoff.delay(tries, rand::random());
            tokio::time::sleep(wait.max(READ_AGAIN_AFTER)).await;
        }
        tries += 1;
        let mut unread = Vec::new();
        for some in lone.chunks(READ_MESSAGES) {
            // Before they are read: what is read would wait in memory until then.
            if !may_rouse(shard, some.len()).await {
                return;
            }
            let read = read(shard, some).await;
            unread.extend(read.unread);
            read.envelopes.into_iter().for_each(|(position, envelope)| rouse_lone(shard, position, envelope));
            // Bodies that are in memory from here on were counted twice for a moment.
            shard.give_room();
        }
        lone = unread;
    }
}

/// Completes when there is a place for the first of so many. False when the node stops before.
async fn may_rouse(shard: &Shard, roused: usize) -> bool {
    shard.activations.has_place(roused).await;
    !shard.is_stopping()
}

/// What came of reading messages.
#[derive(Default)]
struct Read {
    /// Of those that wait still.
    envelopes: Vec<(Position, Bytes)>,
    unread: Vec<(Partition, Position)>,
}

/// Reads messages. One that cannot be read holds up no other.
async fn read(shard: &Shard, lone: &[(Partition, Position)]) -> Read {
    let key = |(partition, position): &(Partition, Position)| tables::inbox(*partition, *position);
    let mut read = Read::default();
    if let Ok(envelopes) = shard.store.read_all(lone.iter().map(key).collect()).await {
        let positions = lone.iter().map(|(_, position)| *position);
        read.envelopes = positions.zip(envelopes).filter_map(|(position, body)| Some((position, body?))).collect();
        return read;
    }
    for one in lone {
        match shard.store.read(key(one)).await {
            Ok(envelope) => read.envelopes.extend(envelope.map(|envelope| (one.1, envelope))),
            Err(error) => {
                tell_of_unread(shard, one.1, &error);
                read.unread.push(*one);
            }
        }
    }
    read
}

/// The start has read it, so the store has failed, or it was damaged since.
fn tell_of_unread(shard: &Shard, position: Position, error: &ReadError) {
    if !shard.is_stopping()
        && let Some(times) = shard.recurring.met("waiting record unreadable")
    {
        tracing::error!(
            node = %shard.name, seq = position.0, %error, times, event = "record unreadable",
            "a message that waits cannot be read, so nobody knows whom it is for; it stays in the store, and is read \
             again later"
        );
    }
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
