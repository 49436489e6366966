//! Each side tells the other where to go on, once everything that it has received is durable.

use std::sync::PoisonError;

use bytes::{Bytes, BytesMut};
use everpost_persistence::{Key, Partition, Permit, Position, ShardId};
use everpost_transport::ControlWriter;
use everpost_transport::frame::Frame;
use everpost_transport::hello::{Hello, KnownStore, Resume, Run};
use everpost_transport::link::{FlagOutcome, Lane, Sequence, Terms, Ticket};
use rustc_hash::FxHashMap;

use super::introduction::next_frame;
use crate::base::ended::NodeEnded;
use crate::cluster::ended::Ended;
use crate::cluster::expiring::Expiring;
use crate::cluster::introduced::Introduced;
use crate::cluster::producer::Producer;
use crate::cluster::{CURSOR_BYTES_MAX, KnownStores, Outgoing, Peer, UnmetPeers, encode_known_store};
use crate::commit::{Delivered, Record, Transaction};
use crate::engine::outbox_expiry::expire_in_outbox;
use crate::link::introduction;
use crate::shard::Shard;
use crate::shard::expiring::look_again;
use crate::tables;

/// Tells the peer how far its lanes have come here, and goes on with those to it where it says.
pub(crate) async fn resume(shard: &Shard, credit: u64, introduced: &mut Introduced) -> Result<(), Ended> {
    let Introduced { connection, streams, frames, producer, receiver_types, hello } = introduced;
    // A conversation that was not over at the introduction may have been the first with this store.
    producer.receiving = shard.cluster.producer(producer.store);
    say_where(shard, credit, producer, &mut streams.control_out).await?;
    let Frame::Resume(theirs) = next_frame(&mut streams.control_in, frames).await? else {
        return Err(Ended::Protocol("it did not say where to go on".to_owned()));
    };
    let Resume { credit, lanes } = theirs;
    let terms = Terms { receiver_types: receiver_types.clone(), credit, message_bytes_max: hello.message_bytes_max };
    let permit = room_to_settle(shard, lanes.len()).await?;
    let (ticket, expired) = go_on(shard, permit, connection.peer(), hello, producer, lanes, terms)?;
    shard.gate.durable(ticket).await?;
    // Before anything is sent again: none of them need be.
    expire_in_outbox(shard, expired).await.ok_or_else(|| shard.gate.ended())?;
    Ok(())
}

async fn say_where(shard: &Shard, credit: u64, producer: &Producer, control: &mut ControlWriter) -> Result<(), Ended> {
    let lock = || producer.receiving.lock().unwrap_or_else(PoisonError::into_inner);
    // A cursor that is told counts as an acknowledgement.
    shard.gate.until(|| lock().is_settled(Ticket(shard.store.durable().0))).await?;
    let resume = Resume { credit, lanes: lock().cursors().collect() };
    let mut buffer = BytesMut::new();
    Frame::Resume(resume).encode(&mut buffer).map_err(|error| Ended::Protocol(error.to_string()))?;
    Ok(control.write(&mut buffer).await?)
}

/// Goes on with what is owed where the peer's store says, and remembers the peer; in one step. Returns after which
/// commit messages may be taken and sent, and those that have expired and of which it is known only now whether they
/// have arrived.
///
/// The peer is judged once more: another may have been remembered since it introduced itself. And it is remembered only
/// now, since an old copy of a store may be found out by where its lanes are, and must not be remembered in place of
/// the true one.
fn go_on(
    shard: &Shard,
    permit: Permit<'_>,
    certified: &str,
    hello: &Hello,
    producer: &Producer,
    lanes: Vec<(Lane, Sequence)>,
    terms: Terms,
) -> Result<(Position, Vec<Expiring>), Ended> {
    let cursors: FxHashMap<Lane, Sequence> = lanes.into_iter().collect();
    let mut settled = Vec::new();
    let peer = &producer.peer;
    let mut known_stores = shard.cluster.known_stores();
    introduction::judge(shard, certified, hello, producer, &known_stores)?;
    // Before what the peer is owed is locked.
    let received = received_of(shard, &hello.node, &known_stores);
    let mut outgoing = peer.outgoing();
    outgoing.resume(producer.store, &cursors, terms, |lane, sequence| settled.push((lane, sequence)))?;
    shard.cluster.know_producer(producer.store, &producer.receiving);
    let remembered = remember_store(shard, peer, hello, &mut known_stores);
    let forgotten = forget_stores(shard, hello, received, &mut known_stores, &mut outgoing);
    let undecided = outgoing.take_undecided();
    forget_expiries(shard, &mut outgoing, &settled);
    let ticket = {
        // Before anything is sent, the note of what was not is gone.
        let mut unmet = shard.cluster.unmet();
        let met = unmet.met(&peer.name).then(|| (UnmetPeers::KEY, unmet.encode(shard.store.epoch().counter)));
        let changes = remembered.into_iter().chain(met).map(|(key, record)| (key, Some(record)));
        let changes = changes.chain(forgotten.into_iter().map(|key| (key, None))).collect();
        let delivered = Delivered::new(producer.store, &settled, changes);
        Transaction::upkeep(shard).with(delivered).commit_in_any_case(permit).ticket
    };
    // Also if this conversation ends before it comes to them.
    look_again(shard, undecided.iter().cloned());
    peer.begin(|lane, position| outgoing.flag(lane, position, 0) == FlagOutcome::Acknowledged);
    peer.takes_messages_of(hello.message_bytes_max);
    peer.alarms().up(&shard.name, &peer.name, outgoing.backlog().messages);
    drop((outgoing, known_stores));
    peer.departures.notify_one();
    Ok((ticket, undecided))
}

/// Remembers the peer's store and run: an older copy of the store is known as such from here on. Returns the record, if
/// there is something new.
fn remember_store(shard: &Shard, peer: &Peer, hello: &Hello, known_stores: &mut KnownStores) -> Option<(Key, Bytes)> {
    let Run { shard: store, counter, nonce, .. } = hello.run;
    let known_store = KnownStore { node: hello.node.clone(), counter, nonce };
    let known = known_stores.get(store);
    let is_news = known != Some(&known_store);
    if known.is_none() && known_stores.know_node(&hello.node) {
        peer.alarms().new_store(&shard.name, &peer.name, ShardId(store));
    }
    let record = is_news.then(|| (tables::peer(ShardId(store)), encode_known_store(&known_store)));
    known_stores.meet(store, known_store);
    record
}

/// The lanes that were received from the stores of a node.
fn received_of(shard: &Shard, node: &str, known_stores: &KnownStores) -> FxHashMap<u128, Vec<Lane>> {
    let lanes = |store| {
        let receiving = shard.cluster.producer(ShardId(store));
        let receiving = receiving.lock().unwrap_or_else(PoisonError::into_inner);
        (store, receiving.cursors().map(|(lane, _)| lane).collect())
    };
    known_stores.of_node(node).map(lanes).collect()
}

/// Forgets stores of the peer that are more than are remembered. Returns what the store has of them.
fn forget_stores(
    shard: &Shard,
    hello: &Hello,
    received: FxHashMap<u128, Vec<Lane>>,
    known_stores: &mut KnownStores,
    outgoing: &mut Outgoing,
) -> Vec<Key> {
    let was_used =
        |store| received.get(&store).is_some_and(|lanes| !lanes.is_empty()) || outgoing.has_acknowledged(store);
    let mut keys = Vec::new();
    for store in known_stores.forget(&hello.node, hello.run.shard, was_used) {
        shard.cluster.forget_producer(store);
        let (producer, receiver) = (ShardId(store), ShardId(store));
        let lanes = received.get(&store).into_iter().flatten();
        let received = lanes
            .map(|Lane { receiver_type, partition }| tables::received(Partition(*partition), producer, *receiver_type));
        keys.push(tables::peer(ShardId(store)));
        keys.extend(received);
        let acknowledged = outgoing.forget_store(store);
        keys.extend(acknowledged.map(|Lane { receiver_type, partition }| {
            tables::acknowledged(Partition(partition), receiver, receiver_type)
        }));
    }
    keys
}

/// Messages that the peer has do not expire here any more.
pub(crate) fn forget_expiries(shard: &Shard, outgoing: &mut Outgoing, settled: &[(Lane, Sequence)]) {
    for (_, sequence) in settled {
        if let Some(at) = outgoing.expires_no_more(*sequence) {
            shard.expiries.remove(at, Position(sequence.0));
        }
    }
}

/// A conversation with a peer is over: notes what it may have been sent.
pub(crate) fn part(shard: &Shard, peer: &Peer) {
    peer.interrupted();
    let outgoing = peer.outgoing();
    let mut unmet = shard.cluster.unmet();
    if unmet.parted(&peer.name, outgoing.reached()) {
        write_apart(shard, &unmet);
    }
}

/// Notes what the runs before this one may have sent.
pub(crate) fn note_apart(shard: &Shard) {
    write_apart(shard, &shard.cluster.unmet());
}

/// Without room for the note, the next start takes what it does not say for sent.
fn write_apart(shard: &Shard, unmet: &UnmetPeers) {
    let record = Record::put(UnmetPeers::KEY, unmet.encode(shard.store.epoch().counter));
    let transaction = Transaction::upkeep(shard).with(record);
    if let Ok(permit) = transaction.try_reserve() {
        transaction.commit_in_any_case(permit);
    }
}

/// Room for noting how far so many lanes have come, and who the peer is. Waited for before anything is taken out of
/// memory, so that a link that ends while it waits leaves both as they are.
pub(crate) async fn room_to_settle(shard: &Shard, lanes: usize) -> Result<Permit<'_>, NodeEnded> {
    // What is noted of very many lanes may be more than one submission has room for. It is taken all the same, since it
    // makes more room than it takes; room is what paces it.
    let bytes = ((lanes + 1) * CURSOR_BYTES_MAX).min(shard.config.store.submission_bytes_max());
    Transaction::room_for_upkeep(shard, bytes).await.map_err(|_| shard.gate.ended())
}
