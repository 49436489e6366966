//! The control stream: acknowledgements and notes, both ways.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, PoisonError};

use bytes::{Bytes, BytesMut};
use everpost_persistence::Key;
use everpost_transport::frame::{Frame, encode_acks, encode_note};
use everpost_transport::link::{Ack, Lane, Sequence, Ticket};
use everpost_transport::{ControlReader, ControlWriter};

use super::outcomes::{OutcomeRequests, Request};
use super::{departures, queries};
use crate::cluster::ended::Ended;
use crate::cluster::note::Fate;
use crate::cluster::note::NoAnswer;
use crate::cluster::note::Note;
use crate::cluster::producer::Producer;
use crate::cluster::{Peer, ToTell};
use crate::commit::{Delivered, Transaction};
use crate::link::resumption;
use crate::message::MessageId;
use crate::message::address::Address;
use crate::shard::Shard;

/// How many notes are written before acknowledgements have their turn again, and how many bytes of them but for the
/// last.
const NOTES_AT_A_TIME: usize = 1024;
const NOTE_BYTES_AT_A_TIME: usize = 256 << 10;

/// Tells the peer what is durable here, and everything else that is to be told, for as long as the connection lives.
pub(super) async fn tell(
    shard: &Shard,
    credit: u64,
    note_bytes_max: usize,
    producer: &Producer,
    writer: &mut ControlWriter,
) -> Result<Infallible, Ended> {
    let mut buffer = BytesMut::new();
    let mut acks = Vec::new();
    loop {
        let durable = shard.store.durable().0;
        producer.receiving.lock().unwrap_or_else(PoisonError::into_inner).acks(Ticket(durable), credit, &mut acks);
        encode_acks(&mut buffer, &acks);
        acks.clear();
        let (notes, is_all) = producer.peer.take_notes(NOTES_AT_A_TIME, NOTE_BYTES_AT_A_TIME);
        for note in notes {
            let note = match note {
                ToTell::Note(note) => note,
                ToTell::Stored { id, key } => stored(shard, id, key).await?,
            };
            if let Some(note) = fitting(shard, &producer.peer, note, note_bytes_max) {
                encode_note(&mut buffer, &note);
            }
            if buffer.len() >= NOTE_BYTES_AT_A_TIME {
                write(&mut buffer, writer).await?;
            }
        }
        // What was taken has made room.
        queries::put_again(shard, &producer.peer);
        if !buffer.is_empty() {
            write(&mut buffer, writer).await?;
        }
        if is_all {
            // A ring that came meanwhile is kept, so nothing is missed.
            producer.peer.news.notified().await;
        }
    }
}

async fn write(buffer: &mut BytesMut, writer: &mut ControlWriter) -> Result<(), Ended> {
    writer.write(buffer).await?;
    if buffer.capacity() > NOTE_BYTES_AT_A_TIME {
        // It has grown for one large note.
        *buffer = BytesMut::new();
    }
    Ok(())
}

/// The outcome of a message whose reply is in the store. One that is not there is not needed any more.
async fn stored(shard: &Shard, id: u128, key: Key) -> Result<Note, Ended> {
    let reply = shard.store.read(key).await.map_err(Ended::Outbox)?;
    Ok(Note::Outcome { id, fate: Fate::Handled(reply.map(Into::into)) })
}

/// A note as bytes. What is larger than the peer takes is not told, and whoever waits for it is told that.
fn fitting(shard: &Shard, peer: &Peer, note: Note, bytes_max: usize) -> Option<Bytes> {
    let bytes = note.encode();
    if bytes.len() <= bytes_max {
        return Some(bytes);
    }
    if let Some(times) = shard.recurring.met("note too large for the peer") {
        tracing::error!(
            node = %shard.name, peer = %peer.name, bytes = bytes.len(), bytes_max, times,
            event = "note too large for the peer",
            "whoever waits for it is told that it is lost; raise `message_bytes_max` there"
        );
    }
    let is_too_large = |what| {
        NoAnswer::Failed(format!(
            "{what} has {} bytes, and the other node takes {bytes_max}: it would be no smaller another time; raise \
             `message_bytes_max` there",
            bytes.len()
        ))
    };
    match note {
        Note::Outcome { id, .. } => Some(Note::Outcome { id, fate: Fate::Handled(None) }.encode()),
        Note::Answer { number, .. } => Some(Note::Answer { number, answer: Err(is_too_large("the answer")) }.encode()),
        Note::Query { number, .. } => {
            peer.answered(number, Err(is_too_large("the query")));
            None
        }
        Note::Inquiry { .. } | Note::Forget { .. } | Note::Full { .. } | Note::Room { .. } | Note::Stopped { .. } => {
            unreachable!("an address is far below what every peer takes")
        }
    }
}

/// Hears what the peer tells, for as long as the connection lives. `frames` came before.
pub(super) async fn hear(
    shard: &Arc<Shard>,
    producer: &Producer,
    outcome_requests: &OutcomeRequests,
    mut frames: VecDeque<Frame>,
    reader: &mut ControlReader,
) -> Result<Infallible, Ended> {
    let mut more = Vec::new();
    loop {
        let mut acks = Vec::new();
        for frame in frames.drain(..) {
            match frame {
                Frame::Acks(more) => acks.extend(more),
                Frame::Note(note) => noted(shard, producer, outcome_requests, &note).await?,
                _ => return Err(Ended::Protocol("a frame of another kind came on the control stream".to_owned())),
            }
        }
        if !acks.is_empty() {
            acknowledged(shard, producer, acks).await?;
        }
        reader.next(&mut more).await?;
        frames.extend(more.drain(..));
    }
}

async fn acknowledged(shard: &Shard, producer: &Producer, acks: Vec<Ack>) -> Result<(), Ended> {
    let permit = resumption::room_to_settle(shard, acks.len()).await?;
    let peer = &producer.peer;
    let mut settled = Vec::new();
    let mut outgoing = peer.outgoing();
    let outcome = acks
        .into_iter()
        .try_for_each(|ack| outgoing.acknowledged(ack, |lane, sequence| settled.push((lane, sequence))));
    // Also what came before a wrong one: memory holds it no more.
    if !settled.is_empty() {
        resumption::forget_expiries(shard, &mut outgoing, &settled);
        let delivered = Delivered::new(producer.store, &settled, Vec::new());
        Transaction::upkeep(shard).with(delivered).commit_in_any_case(permit);
    }
    drop(outgoing);
    outcome.map_err(|error| Ended::Protocol(error.to_string()))?;
    peer.departures.notify_one();
    // Whoever waits until everything is delivered looks again.
    shard.gate.look_again();
    Ok(())
}

async fn noted(
    shard: &Arc<Shard>,
    producer: &Producer,
    outcome_requests: &OutcomeRequests,
    note: &Bytes,
) -> Result<(), Ended> {
    let peer = &producer.peer;
    let note = Note::decode(note).map_err(|error| Ended::Protocol(format!("a note cannot be read: {error}")))?;
    match note {
        Note::Outcome { id, fate } => {
            let is_contradiction = fate == Fate::KeyReused;
            let is_told = peer.pending.resolve(id, fate.into());
            if is_contradiction && !is_told {
                peer.contradicted(&shard.name, MessageId(id));
            }
        }
        Note::Full { destination } => peer.outgoing().set_full(address(&destination)?.mailbox(), true),
        Note::Room { destination } => peer.outgoing().set_full(address(&destination)?.mailbox(), false),
        Note::Inquiry { id, destination, reply } => {
            let request = Request::Inquire { id: MessageId(id), address: address(&destination)?, reply };
            outcome_requests.leave(request).await.ok_or_else(|| shard.gate.ended())?;
            is_heard(peer)?;
        }
        Note::Forget { id, destination } => {
            let request = Request::Forget { id: MessageId(id), address: address(&destination)? };
            outcome_requests.leave(request).await.ok_or_else(|| shard.gate.ended())?;
        }
        Note::Query { number, destination, query, version, payload } => {
            let query = queries::PeerQuery { number, query, version, payload };
            queries::query(shard, peer, address(&destination)?, query);
            is_heard(peer)?;
        }
        Note::Answer { number, answer } => peer.answered(number, answer),
        Note::Stopped { receiver_type, partition, sequence, why } => {
            departures::stopped(shard, peer, Lane { receiver_type, partition }, Sequence(sequence), &why);
        }
    }
    Ok(())
}

/// A peer that hears what it asks for leaves far less unread.
fn is_heard(peer: &Peer) -> Result<(), Ended> {
    match peer.does_not_hear() {
        false => Ok(()),
        true => Err(Ended::Protocol("it asks on and on, and hears nothing of what it is told".to_owned())),
    }
}

fn address(text: &str) -> Result<Address, Ended> {
    Address::parse(text).ok_or_else(|| Ended::Protocol(format!("`{text}` is no address")))
}
