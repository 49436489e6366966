//! What a node says and does in a conversation, step by step as the runtime does.

use std::collections::{BTreeMap, BTreeSet};

use everpost_transport::hello::{Clocks, Hello, KnownStore, PROTOCOL_VERSION, ReceiverType, Refusal, Run};
use everpost_transport::link::{Ack, AckError, Arrival, Break, Data, Lane, ResumeError, Sequence, Terms, Ticket};
use rustc_hash::FxHashMap;

use super::{Process, Settled, message_of, name_of};
use crate::bugs::Bug;
use crate::store::Change;

impl Process {
    pub(crate) fn hello(&self, receiver_types: &[u64]) -> Hello {
        Hello {
            protocol: PROTOCOL_VERSION,
            cluster: "orders".to_owned(),
            node: name_of(self.node),
            partitions: 64,
            run: self.run,
            message_bytes_max: 100,
            receiver_types: receiver_types
                .iter()
                .map(|name| ReceiverType { name: name.to_string(), placement: 0 })
                .collect(),
            earlier: self.earlier.clone(),
            clocks: Clocks::default(),
        }
    }

    pub(crate) fn check(&mut self, theirs: &Hello, peer: usize) -> Result<(), Refusal> {
        let newest = self.producers.entry(theirs.run.shard).or_default().newest();
        let known = self.acquaintances.get(&theirs.run.shard);
        let judgement = self.hello(&[]).check(theirs, &name_of(peer), known, newest);
        if judgement.is_err() && self.bug == Some(Bug::OldRunsWelcome) { Ok(()) } else { judgement }
    }

    /// Remembers a run; the ticket, after which it is durable.
    pub(crate) fn get_acquainted(&mut self, theirs: &Hello) -> u64 {
        let Run { shard: store, counter, nonce, .. } = theirs.run;
        let acquaintance = KnownStore { node: theirs.node.clone(), counter, nonce };
        if self.acquaintances.get(&store) == Some(&acquaintance) {
            return 0;
        }
        self.acquaintances.insert(store, acquaintance.clone());
        self.store.submit(vec![Change::Met { store, acquaintance }])
    }

    /// The peer may be sent everything from here on; the ticket, after which that is durable.
    pub(crate) fn be_together(&mut self, peer: usize) -> u64 {
        if self.bug == Some(Bug::PartedForGood) || !self.store.live.apart.contains_key(&peer) {
            return 0;
        }
        self.store.submit(vec![Change::Together { peer }])
    }

    // The beginning of a conversation.

    /// Where `producer` is to go on; none before everything that was received of it is durable.
    pub(crate) fn cursors(&mut self, producer: u128) -> Option<Vec<(Lane, Sequence)>> {
        let durable = self.durable_for_acks();
        let too_high = u64::from(self.bug == Some(Bug::CursorTooHigh));
        let receiving = self.producers.entry(producer).or_default();
        if !receiving.is_settled(Ticket(durable)) {
            return None;
        }
        let cursors = receiving.cursors().map(|(lane, cursor)| (lane, Sequence(cursor.0 + too_high)));
        let mut cursors: Vec<_> = cursors.collect();
        cursors.sort_unstable();
        Some(cursors)
    }

    /// Goes on with the lanes to a peer where its store says; gives what it has, and what is to be submitted.
    pub(crate) fn go_on(
        &mut self,
        peer: usize,
        receiver: u128,
        cursors: &[(Lane, Sequence)],
        terms: Terms,
    ) -> Result<Settled, ResumeError> {
        let cursors: FxHashMap<Lane, Sequence> = cursors.iter().copied().collect();
        let outgoing = self.outgoing.get_mut(&peer).expect("only peers are spoken with");
        if outgoing.receiver != Some(receiver) {
            let known = outgoing.acknowledged.entry(receiver).or_default();
            outgoing.sending.reset_acknowledged(known.iter().map(|(lane, through)| (*lane, *through)));
            outgoing.receiver = Some(receiver);
        }
        let mut settled = Settled::new();
        outgoing.sending.resume(&cursors, terms, |lane, sequence| settled.push((lane, sequence)))?;
        outgoing.acknowledged.entry(receiver).or_default().extend(&cursors);
        Ok(settled)
    }

    // The conversation.

    pub(crate) fn acknowledged(&mut self, peer: usize, ack: Ack, settled: &mut Settled) -> Result<(), AckError> {
        let outgoing = self.outgoing.get_mut(&peer).expect("only peers are spoken with");
        outgoing.sending.acknowledged(ack, |lane, sequence| settled.push((lane, sequence)))?;
        if let Some(receiver) = outgoing.receiver {
            outgoing.acknowledged.entry(receiver).or_default().insert(ack.lane, ack.through);
        }
        Ok(())
    }

    /// Takes what a peer has out of the store, and notes how far its store has come by that: what was taken out and not
    /// noted would be unknown to the next run.
    pub(crate) fn settle(&mut self, peer: usize, settled: Settled) {
        let Some(receiver) = self.outgoing[&peer].receiver.filter(|_| !settled.is_empty()) else { return };
        let mut messages: Vec<Sequence> = settled.iter().map(|(_, sequence)| *sequence).collect();
        if self.bug == Some(Bug::AckDeletesMore) {
            let next = messages.last().and_then(|last| self.store.live.outbox.range(last..).nth(1));
            messages.extend(next.map(|(sequence, _)| *sequence));
        }
        // Of each lane the last one counts.
        let progress: BTreeMap<Lane, Sequence> = settled.into_iter().collect();
        let noted = progress.into_iter().map(|(lane, through)| Change::Acknowledged { receiver, lane, through });
        let (settled, noted) = (vec![Change::Settled { messages }], noted.collect());
        if self.bug == Some(Bug::ProgressApart) {
            self.store.submit(settled);
            self.store.submit(noted);
        } else {
            self.store.submit([settled, noted].concat());
        }
    }

    /// What may be acknowledged to the store `producer`.
    pub(crate) fn acks(&mut self, producer: u128, credit: u64) -> Vec<Ack> {
        let durable = self.durable_for_acks();
        let mut acks = Vec::new();
        self.producers.entry(producer).or_default().acks(Ticket(durable), credit, &mut acks);
        acks
    }

    /// What is new of what arrived together, up to the first message that does not follow.
    pub(crate) fn receive(&mut self, producer: u128, arriving: Vec<Data>) -> (Vec<Data>, Option<Break>) {
        let receiving = self.producers.entry(producer).or_default();
        let mut new = Vec::new();
        for data in arriving {
            let arrival = receiving.receive(data.lane, data.previous, data.sequence);
            match (arrival, self.bug) {
                (Ok(Arrival::New), _)
                | (Ok(Arrival::Duplicate), Some(Bug::DuplicatesTaken))
                | (Err(_), Some(Bug::GapsTaken)) => new.push(data),
                (Ok(Arrival::Duplicate), _) => {}
                (Err(broken), _) => return (new, Some(broken)),
            }
        }
        (new, None)
    }

    /// Stores what is new in one submission.
    pub(crate) fn store_arrivals(&mut self, producer: u128, new: &[Data]) {
        let receiving = self.producers.get_mut(&producer).expect("it was received from");
        let lanes: BTreeSet<Lane> = new.iter().map(|data| data.lane).collect();
        let cursor = |lane: &Lane| Change::Received { producer, lane: *lane, cursor: receiving.received(*lane) };
        let cursors: Vec<Change> = lanes.iter().map(cursor).collect();
        let arrived = new.iter().map(|Data { lane, body, .. }| Change::Arrived {
            producer,
            lane: *lane,
            message: message_of(body),
        });
        let arrived: Vec<Change> = arrived.collect();
        let submissions = match self.bug {
            Some(Bug::CursorBeforeMessages) => vec![cursors, arrived],
            Some(Bug::CursorAfterMessages) => vec![arrived, cursors],
            _ => vec![[cursors, arrived].concat()],
        };
        let tickets = submissions.into_iter().map(|changes| self.store.submit(changes));
        let ticket = tickets.last().expect("there is one");
        for lane in lanes {
            receiving.submitted(lane, Ticket(ticket));
        }
    }

    fn durable_for_acks(&self) -> u64 {
        if self.bug == Some(Bug::AckBeforeCommit) { u64::MAX } else { self.known }
    }
}
