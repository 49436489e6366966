//! Messages that expire in the outbox, before they have reached the node of their actor.

use std::sync::Arc;

use everpost_persistence::AdmissionError;
use everpost_transport::link::Lane;
use rustc_hash::FxHashMap;

use crate::cluster::Peer;
use crate::cluster::expiring::{Expiring, Waits};
use crate::commit::{Added, Send, Transaction, Withdrawn};
use crate::engine::failing::{ERRORS_MAX, notice_of, tell_of_expired_letter, tell_of_too_large_a_letter};
use crate::message::Message;
use crate::message::address::Address;
use crate::message::expiry::{EXPIRED, Expiry, Handling};
use crate::message::reason::Reason;
use crate::record::attempts::Failures;
use crate::record::dead_letter::{DeadLetter, DeadLetterRecord};
use crate::shard::expiring::destination;
use crate::shard::expiring::look_again;
use crate::shard::expiring::not_sent;
use crate::shard::expiring::outbox_key;
use crate::shard::{Remote, Route, Shard};

/// Lets messages leave the outbox. None when the store takes nothing any more.
pub(crate) async fn expire_in_outbox(shard: &Shard, expired: Vec<Expiring>) -> Option<()> {
    let mut lanes = FxHashMap::<Lane, (Arc<Peer>, Vec<Expiring>)>::default();
    for expiring in expired {
        if let Waits::Outbox(peer, lane) = &expiring.place {
            // A lane leads to one peer.
            let (_, expired) = lanes.entry(*lane).or_insert_with(|| (Arc::clone(peer), Vec::new()));
            expired.push(expiring);
        }
    }
    for (lane, (peer, expired)) in lanes {
        expire_of_lane(shard, &peer, lane, expired).await?;
    }
    Some(())
}

async fn expire_of_lane(shard: &Shard, peer: &Arc<Peer>, lane: Lane, expired: Vec<Expiring>) -> Option<()> {
    let expired = not_sent(shard, &mut peer.outgoing(), lane, expired);
    let (dropped, given_up): (Vec<_>, Vec<_>) = expired.into_iter().partition(|expiring| expiring.then == Expiry::Drop);
    if !dropped.is_empty() {
        let transaction = Transaction::upkeep(shard).with(Withdrawn::dropped(peer, lane, dropped));
        let permit = transaction.reserve().await.ok()?;
        // They may all have been sent meanwhile.
        let _ = transaction.commit(permit);
    }
    for expiring in given_up {
        to_dead_letters(shard, peer, lane, expiring).await?;
    }
    // Whoever waits until everything is delivered looks again.
    shard.gate.look_again();
    Some(())
}

/// Moves one to the dead letters of this node. None when the store takes nothing any more.
async fn to_dead_letters(shard: &Shard, peer: &Arc<Peer>, lane: Lane, expiring: Expiring) -> Option<()> {
    let position = expiring.position;
    let Some(slot) = shard.dead_letters.slot() else {
        look_again(shard, [expiring]);
        return Some(());
    };
    // Its body is in the store from then on, wherever it is in memory.
    shard.gate.durable(position).await.ok()?;
    let envelope = match shard.store.read(outbox_key(lane, position)).await {
        Ok(Some(envelope)) => envelope,
        // It was acknowledged meanwhile.
        Ok(None) => return Some(()),
        Err(error) => {
            if let Some(times) = shard.recurring.met("expired message not read") {
                tracing::error!(
                    node = %shard.name, peer = %peer.name, seq = position.0, %error, times,
                    event = "expired message not read",
                    "it stays where it is and is tried again; its actor does not handle it"
                );
            }
            look_again(shard, [expiring]);
            return Some(());
        }
    };
    let mut failures = Failures::default();
    failures.note(EXPIRED.to_owned(), ERRORS_MAX);
    let record = DeadLetterRecord::encode(Reason::Expired, &failures, shard.clock.now(), &envelope);
    let address = destination(&envelope);
    let wants_notice = |address: &Address| {
        shard.actor_types.get(address.actor_type()).is_some_and(|actor_type| actor_type.handles(DeadLetter::NAME))
    };
    let notice = address.as_ref().filter(|address| wants_notice(address));
    let notice = notice.and_then(|address| notice_of(address, position, &record));
    let route = address.clone().map(|address| Route::Remote(Remote { peer: Arc::clone(peer), lane, address }));
    let mut transaction = Transaction::node(shard).with(Withdrawn::given_up(peer, lane, expiring.clone(), EXPIRED));
    if let Some((route, notice)) = route.as_ref().zip(notice) {
        transaction.add(Send::new(route, Handling::default(), notice));
    }
    transaction.add(Added::new(slot, position, record, address.as_ref()));
    let permit = match transaction.reserve().await {
        Ok(permit) => permit,
        Err(error) => {
            if matches!(error, AdmissionError::TooLarge { .. }) {
                tell_of_too_large_a_letter(shard, &whose(peer, address.as_ref()), position, &error);
            }
            look_again(shard, [expiring]);
            return shard.store.failure().is_none().then_some(());
        }
    };
    if transaction.commit(permit).is_ok() {
        tell_of_expired_letter(shard, &whose(peer, address.as_ref()), position);
    }
    Some(())
}

/// Whose message it is, as far as that is known.
fn whose(peer: &Peer, address: Option<&Address>) -> String {
    address.map_or_else(|| format!("on {}", peer.name), ToString::to_string)
}
