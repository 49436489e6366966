//! Messages that expire, while they wait: when they are looked at again, and which of them have left the outbox.

use std::sync::Arc;
use std::time::Duration;

use everpost_persistence::{Key, Partition, Position};
use everpost_transport::link::{DeliveryStatus, Lane};

use super::Shard;
use crate::cluster::expiring::{Expiring, Waits};
use crate::cluster::{Outgoing, Peer};
use crate::message::address::Address;
use crate::message::envelope::{Header, id_of, request_of};
use crate::message::expiry::{Expires, Expiry};
use crate::tables;

/// When to look again at a message that is in flight or held, or that there is no room for among the dead letters.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Looks again at these in a while.
pub(crate) fn look_again(shard: &Shard, later: impl IntoIterator<Item = Expiring>) {
    let again = shard.clock.steady().plus(LOOK_AGAIN_AFTER);
    later.into_iter().for_each(|expiring| shard.expiries.add(again, expiring));
}

/// A message that expires waits in the outbox from here on.
pub(crate) fn expires_outward(
    shard: &Shard,
    outgoing: &mut Outgoing,
    peer: &Arc<Peer>,
    lane: Lane,
    position: Position,
    expires: Expires,
    envelope: &[u8],
) {
    let actor_type = destination(envelope).and_then(|address| shard.actor_types.get(address.actor_type()));
    // What a type wants that is not a part of this node is not known: nothing is lost then.
    let then = expires.then.unwrap_or_else(|| actor_type.map_or(Expiry::DeadLetter, |actor_type| actor_type.expired));
    let id = id_of(envelope).expect("only what has headers says that it expires");
    let place = Waits::Outbox(Arc::clone(peer), lane);
    outgoing.expires(position, expires.at);
    let request = request_of(envelope);
    shard.expiries.add(expires.at, Expiring { position, place, id, request, bytes: envelope.len(), then });
}

/// Those of these messages that cannot have arrived. Those that may have count against no bound from here on; the peer
/// says what became of them.
pub(crate) fn not_sent(shard: &Shard, outgoing: &mut Outgoing, lane: Lane, expired: Vec<Expiring>) -> Vec<Expiring> {
    let (mut not_sent, mut undecided) = (Vec::new(), Vec::new());
    for expiring in expired {
        match outgoing.delivery_status(lane, expiring.position) {
            DeliveryStatus::NotSent => not_sent.push(expiring),
            DeliveryStatus::MayHaveArrived => undecided.push(expiring),
            DeliveryStatus::Settled => {}
        }
    }
    if !undecided.is_empty() {
        look_again(shard, outgoing.leave_undecided(undecided, lane));
    }
    not_sent
}

pub(crate) fn outbox_key(lane: Lane, position: Position) -> Key {
    tables::outbox(Partition(lane.partition), position)
}

pub(crate) fn destination(envelope: &[u8]) -> Option<Address> {
    let (header, _) = Header::decode(envelope).ok()?;
    Address::parse(header.destination)
}
