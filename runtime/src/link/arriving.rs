//! Messages from another node: what arrived together is stored together, with how far its lanes have come, in one
//! commit.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use everpost_persistence::{MailboxId, Position};
use everpost_transport::link::{Arrival, Break, Data, Receiving};
use rustc_hash::FxHashMap;

use crate::base::rules::room::Amount;
use crate::cluster::ended::ArrivalError;
use crate::cluster::producer::Producer;
use crate::cluster::{Peer, receiver_type_of};
use crate::commit::{Arrivals, Arriving, Transaction};
use crate::mailbox::Mailbox;
use crate::message::address::{Address, mailbox_id};
use crate::message::envelope::{Header, expiring};
use crate::message::expiry::Handling;
use crate::shard::{Remote, Shard};

/// Reads the headers of a message that came on a lane.
pub(crate) fn arriving(shard: &Shard, from: &Producer, data: Data) -> Result<Arriving, ArrivalError> {
    let Data { lane, previous, sequence, flags, body } = data;
    let arriving = arriving_volatile(shard, from, body)?;
    let Mailbox { address, partition, .. } = &*arriving.mailbox;
    if lane.partition != partition.0 || lane.receiver_type != receiver_type_of(address.actor_type()) {
        return Err(ArrivalError::WrongLane { address: address.clone(), lane });
    }
    Ok(Arriving { place: Some((lane, previous, sequence)), flags, ..arriving })
}

/// Reads the headers of a message that is stored nowhere yet.
pub(crate) fn arriving_volatile(shard: &Shard, from: &Producer, envelope: Bytes) -> Result<Arriving, ArrivalError> {
    let (header, _) = Header::decode(&envelope)?;
    let (id, keep_reply, mut handling) = (header.id(), header.keep_reply, Handling::of(&header));
    let mailbox = match shard.directory.find(mailbox_id(header.destination)) {
        Some(mailbox) => mailbox,
        None => mailbox_of(shard, header.destination)?,
    };
    let envelope = match &mut handling.expires {
        Some(expires) => {
            expires.at = from.timelines.here(expires.at);
            expiring(&envelope, expires.at)?
        }
        None => envelope,
    };
    Ok(Arriving { place: None, flags: 0, id, keep_reply, handling, mailbox, envelope })
}

/// The mailbox of an address of this node that is not in memory.
fn mailbox_of(shard: &Shard, destination: &str) -> Result<Arc<Mailbox>, ArrivalError> {
    let address = Address::parse(destination);
    let address = address.ok_or_else(|| ArrivalError::NoAddress(destination.to_owned()))?;
    if let Some(Remote { peer, .. }) = shard.remote(&address) {
        return Err(ArrivalError::NotOurs { address, owner: Arc::clone(&peer.name) });
    }
    match shard.actor_types.get(address.actor_type()) {
        Some(actor_type) => Ok(shard.directory.mailbox(&address, actor_type)),
        None => Err(ArrivalError::NotHandled(address)),
    }
}

/// Stores what arrived, in the order in which it came. Waits for room in the store, which is what holds the sender
/// back; a full mailbox does not.
///
/// Takes everything out of `arriving`, whose memory is used again for what arrives next. Returns the ticket, if any of
/// it was new.
pub(crate) async fn arrive(
    shard: &Shard,
    from: &Producer,
    arriving: &mut Vec<Arriving>,
) -> Result<Option<Position>, ArrivalError> {
    let permit = Transaction::room(shard, arriving.iter().map(Arriving::bytes)).await?;
    let mut receiving = from.receiving.lock().unwrap_or_else(PoisonError::into_inner);
    let broken = keep_new(&mut receiving, arriving);
    drop_without_room(shard, &from.peer, arriving);
    let mut ticket = None;
    if !arriving.is_empty() {
        let mailboxes: Vec<Arc<Mailbox>> = arriving.iter().map(|arriving| Arc::clone(&arriving.mailbox)).collect();
        let arrivals = Arrivals::new(&from.peer, from.store, &mut receiving, arriving, &mailboxes);
        ticket = Some(Transaction::node(shard).with(arrivals).commit_in_any_case(permit).ticket);
    }
    broken.map_or(Ok(ticket), |broken| Err(broken.into()))
}

/// Drops volatile messages that their mailbox or this node has no room for: it has granted none. What came with them
/// counts as if it were there.
fn drop_without_room(shard: &Shard, peer: &Peer, arriving: &mut Vec<Arriving>) {
    if arriving.iter().all(|arriving| arriving.place.is_some()) {
        return;
    }
    let (mut coming, mut total) = (FxHashMap::<MailboxId, Amount>::default(), Amount::default());
    arriving.retain(|arriving| {
        let beside = coming.entry(arriving.mailbox.id()).or_default();
        let is_kept = arriving.place.is_some() || has_room_for(shard, peer, &arriving.mailbox, *beside, total);
        if is_kept {
            for amount in [beside, &mut total] {
                amount.messages += 1;
                amount.bytes += arriving.envelope.len();
            }
        } else {
            shard.counters.volatile_dropped.fetch_add(1, Ordering::Relaxed);
        }
        is_kept
    });
}

/// Whether there is room beside what is coming. The peer is told of a mailbox that has none.
fn has_room_for(shard: &Shard, peer: &Peer, mailbox: &Mailbox, beside: Amount, total: Amount) -> bool {
    let mut inner = mailbox.lock();
    if shard.mailbox_room(&inner).has_some(beside) {
        return shard.room().has_some(total);
    }
    // Something waits in it, or is about to: it will be told of room when that has gone.
    inner.told_full();
    peer.tell_full(&mailbox.address);
    false
}

/// Keeps what is new of a batch, up to the first message that does not follow.
fn keep_new(receiving: &mut Receiving, arriving: &mut Vec<Arriving>) -> Option<Break> {
    let mut broken = None;
    arriving.retain(|arriving| {
        if broken.is_some() {
            return false;
        }
        let Some((lane, previous, sequence)) = arriving.place else { return true };
        match receiving.receive(lane, previous, sequence) {
            Ok(arrival) => arrival == Arrival::New,
            Err(error) => {
                broken = Some(error);
                false
            }
        }
    });
    broken
}
