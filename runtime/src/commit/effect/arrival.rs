//! Messages of another node that have arrived: what came together is stored together, with how far its lanes have come.

use std::sync::Arc;

use bytes::Bytes;
use everpost_persistence::{Partition, Position, ShardId, Stage};
use everpost_transport::link::{Lane, Receiving, Sequence, Ticket};

use super::Phases;
use super::ask::waits;
use super::send::place;
use crate::cluster::flags;
use crate::cluster::{CURSOR_BYTES_MAX, Peer, encode_cursor};
use crate::commit::locks::Wanted;
use crate::commit::size::Size;
use crate::commit::transaction::Step;
use crate::mailbox::Mailbox;
use crate::mailbox::waiter::Waiter;
use crate::message::MessageId;
use crate::message::expiry::Handling;
use crate::shard::Release;
use crate::tables;

/// A message that another node has sent, and what its headers say.
#[derive(Debug)]
pub(crate) struct Arriving {
    /// Its lane, the message before it and its number; none for a volatile one.
    pub(crate) place: Option<(Lane, Sequence, Sequence)>,
    pub(crate) flags: u8,
    pub(crate) id: MessageId,
    pub(crate) keep_reply: bool,
    pub(crate) handling: Handling,
    /// Where it goes.
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) envelope: Bytes,
}

impl Arriving {
    /// What it takes of a submission, with how far its lane has come.
    pub(crate) fn bytes(&self) -> usize {
        self.envelope.len() + CURSOR_BYTES_MAX
    }
}

/// Messages that have arrived together, in the order in which they came.
pub(crate) struct Arrivals<'a> {
    peer: &'a Arc<Peer>,
    store: ShardId,
    /// How far the lanes have come, which the caller has locked before any mailbox.
    receiving: &'a mut Receiving,
    /// Emptied by the commit; its memory is used again.
    arrived: &'a mut Vec<Arriving>,
    /// Where each of them goes.
    mailboxes: &'a [Arc<Mailbox>],
    lanes: Vec<Lane>,
    positions: Vec<Position>,
}

impl<'a> Arrivals<'a> {
    pub(crate) fn new(
        peer: &'a Arc<Peer>,
        store: ShardId,
        receiving: &'a mut Receiving,
        arrived: &'a mut Vec<Arriving>,
        mailboxes: &'a [Arc<Mailbox>],
    ) -> Self {
        let mut lanes: Vec<Lane> =
            arrived.iter().filter_map(|arriving| arriving.place.map(|(lane, ..)| lane)).collect();
        lanes.sort_unstable();
        lanes.dedup();
        let positions = Vec::with_capacity(arrived.len());
        Self { peer, store, receiving, arrived, mailboxes, lanes, positions }
    }
}

impl<'a> Phases<'a> for Arrivals<'a> {
    fn size(&self, size: &mut Size) {
        self.arrived.iter().for_each(|arriving| size.put(arriving.bytes()));
    }

    fn locks(&self, wanted: &mut Wanted<'a>) {
        wanted.mailboxes.extend(self.mailboxes);
    }

    fn take(&mut self, step: &mut Step<'_, 'a>) {
        step.shard.add_waiting(self.arrived.len());
    }

    fn stage(&mut self, stage: &mut Stage<'_>) {
        for lane @ Lane { receiver_type, partition } in &self.lanes {
            let key = tables::received(Partition(*partition), self.store, *receiver_type);
            stage.put(key, encode_cursor(self.receiving.received(*lane)));
        }
        let arrived = self.arrived.iter().zip(self.mailboxes);
        let enqueue = |(arriving, mailbox): (&Arriving, &Arc<Mailbox>)| {
            stage.enqueue(&tables::INBOX, mailbox.partition, arriving.envelope.clone())
        };
        self.positions.extend(arrived.map(enqueue));
    }

    fn apply(self, step: &mut Step<'_, 'a>) {
        let Self { peer, receiving, arrived, mailboxes, lanes, positions, .. } = self;
        lanes.into_iter().for_each(|lane| receiving.submitted(lane, Ticket(step.ticket.0)));
        for ((arriving, mailbox), position) in arrived.drain(..).zip(mailboxes).zip(positions) {
            has_arrived(step, peer, mailbox, position, arriving);
        }
        step.release_committed(Release::Acknowledge(Arc::clone(peer)));
    }
}

fn has_arrived<'a>(
    step: &mut Step<'_, 'a>,
    peer: &'a Arc<Peer>,
    mailbox: &'a Arc<Mailbox>,
    position: Position,
    arriving: Arriving,
) {
    let Arriving { flags, id, keep_reply, handling, envelope, .. } = arriving;
    let shard = step.shard;
    if flags & flags::TELL != 0 {
        let waiter = Waiter::Away { peer: Arc::clone(peer), id, reply: flags & flags::REPLY != 0 };
        step.mailbox(mailbox).add_waiter(shard.gate.is_over(), position, waiter);
    } else if flags & flags::CONTRADICTION != 0 {
        let waiter = Waiter::Contradicted { peer: Arc::clone(peer), id };
        step.mailbox(mailbox).add_waiter(shard.gate.is_over(), position, waiter);
    }
    if keep_reply {
        step.mailbox(mailbox).await_message(position);
        waits(step, id, mailbox, position);
    }
    place(step, mailbox, position, handling, envelope);
    let inner = step.mailbox(mailbox);
    if shard.is_mailbox_full(inner) || shard.is_full() {
        inner.told_full();
        peer.tell_full(&mailbox.address);
    }
}
