//! One run of a node: its store, what it owes each peer, and how far the lanes of other stores have come. It does with
//! the machines what the runtime does.

mod speaking;

use std::collections::BTreeMap;

use bytes::Bytes;
use everpost_transport::hello::{EarlierRun, KnownStore, Run};
use everpost_transport::link::{DeliveryStatus, Lane, Next, Receiving, Sending, Sequence};
use rustc_hash::FxHashMap;

use super::bugs::Bug;
use super::store::{Change, Message, Store};

/// Names a run of a node among all that ever were.
pub(crate) type ProcessId = usize;

#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) node: usize,
    pub(crate) is_alive: bool,
    pub(crate) store: Store,
    pub(crate) run: Run,
    earlier: Vec<EarlierRun>,
    /// Up to here the process knows the store to be durable; it may be so already further.
    known: u64,
    outgoing: BTreeMap<usize, Outgoing>,
    producers: BTreeMap<u128, Receiving>,
    acquaintances: BTreeMap<u128, KnownStore>,
    links: BTreeMap<usize, Link>,
    /// The oracle's memory: runs that were refused, which nothing may be taken of any more, and the place in the store
    /// at which that was.
    pub(crate) refused: BTreeMap<(u128, u64), u64>,
    bug: Option<Bug>,
}

/// The connections to a peer: the one that is spoken on, and the newest that the peer made meanwhile.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Link {
    pub(crate) current: Option<usize>,
    pub(crate) arrived: Option<usize>,
}

#[derive(Clone, Debug)]
struct Outgoing {
    sending: Sending,
    /// What each store that the peer ever had has acknowledged.
    acknowledged: BTreeMap<u128, FxHashMap<Lane, Sequence>>,
    receiver: Option<u128>,
}

/// How much of what is owed is kept in memory, and how much of it may be in flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) kept_bytes_max: usize,
    pub(crate) in_flight_bytes_max: usize,
}

impl Process {
    /// Opens a store, raises its epoch and recovers what it holds.
    pub(crate) fn start(node: usize, mut store: Store, nonce: u64, limits: Limits, bug: Option<Bug>) -> Self {
        store.open();
        if bug == Some(Bug::SequenceRestart) {
            store.forget_position();
        }
        let run = Run { shard: store.id, counter: store.counter, nonce, first: store.next_position() };
        let earlier = store.runs.clone();
        store.runs.push(EarlierRun { counter: run.counter, nonce, first: run.first });
        let mut process = Self {
            node,
            is_alive: true,
            run,
            earlier,
            known: store.durable_position(),
            outgoing: BTreeMap::new(),
            producers: BTreeMap::new(),
            acquaintances: store.durable.peers.clone(),
            links: BTreeMap::new(),
            refused: BTreeMap::new(),
            bug,
            store,
        };
        process.recover(limits);
        process
    }

    fn recover(&mut self, limits: Limits) {
        let Self { store, outgoing, producers, .. } = self;
        for ((producer, lane), cursor) in &store.durable.received {
            producers.entry(*producer).or_default().recovered(*lane, *cursor);
        }
        for peer in super::network::peers_of(self.node) {
            let sending = Sending::new(limits.kept_bytes_max, limits.in_flight_bytes_max);
            outgoing.insert(peer, Outgoing { sending, acknowledged: BTreeMap::new(), receiver: None });
        }
        for ((receiver, lane), through) in &store.durable.acknowledged {
            let node = store.durable.peers.get(receiver).and_then(|known| node_of(&known.node));
            if let Some(outgoing) = node.and_then(|node| outgoing.get_mut(&node)) {
                outgoing.acknowledged.entry(*receiver).or_default().insert(*lane, *through);
            }
        }
        let mut skipped = self.bug != Some(Bug::ResumeSkipsHead);
        for (sequence, owed) in &store.durable.outbox {
            if std::mem::replace(&mut skipped, true) {
                let outgoing = outgoing.get_mut(&owed.peer).expect("only peers are sent to");
                let sent_through = store.durable.apart.get(&owed.peer);
                let may_have_arrived = sent_through.is_none_or(|sent_through| sequence <= sent_through);
                outgoing.sending.recovered(owed.lane, *sequence, owed.bytes, may_have_arrived);
            }
        }
    }

    // What the node itself does.

    /// Accepts a message for a peer: it is stored, and leaves when that is durable.
    pub(crate) fn send(&mut self, peer: usize, lane: Lane, message: Message, bytes: usize) {
        let sequence = self.store.next_position();
        self.store.submit(vec![Change::Dispatched { peer, lane, message, bytes }]);
        self.sending(peer).push(lane, sequence, 0, body(message, bytes));
    }

    /// Messages of a lane are not to be sent any more: those that the peer cannot have leave. Returns how many did.
    pub(crate) fn expire(&mut self, peer: usize, lane: Lane, expired: &[Sequence]) -> usize {
        let sending = &mut self.outgoing.get_mut(&peer).expect("only peers are sent to").sending;
        let standing = |at: &&Sequence, standing| sending.delivery_status(lane, **at) == standing;
        let reached: Vec<_> =
            expired.iter().filter(|at| standing(at, DeliveryStatus::MayHaveArrived)).copied().collect();
        let unsent: Vec<_> = expired.iter().filter(|at| standing(at, DeliveryStatus::NotSent)).copied().collect();
        reached.into_iter().for_each(|at| sending.expire(lane, at));
        if !unsent.is_empty() {
            let ticket = self.store.submit(vec![Change::Withdrawn { messages: unsent.clone() }]);
            let ticket = if self.bug == Some(Bug::WithdrawnEarly) { 0 } else { ticket };
            sending.withdraw(lane, &unsent, Sequence(ticket));
        }
        unsent.len()
    }

    /// A conversation is over, or the run begins: what the peer may have been sent is noted.
    pub(crate) fn part(&mut self, peer: usize) {
        let sent_through = self.outgoing[&peer].sending.reached();
        self.store.submit(vec![Change::Parted { peer, sent_through }]);
    }

    /// Learns how far the store is durable.
    pub(crate) fn learn(&mut self) {
        self.known = self.store.durable_position();
    }

    pub(crate) fn known(&self) -> u64 {
        self.known
    }

    pub(crate) fn backlog(&self, peer: usize) -> usize {
        self.outgoing[&peer].sending.backlog().messages
    }

    pub(crate) fn owes(&self, message: Message) -> bool {
        self.store.live.outbox.values().any(|owed| owed.message == message)
    }

    pub(crate) fn link(&mut self, peer: usize) -> &mut Link {
        self.links.entry(peer).or_default()
    }

    /// Prints everything that makes this run differ from another.
    pub(crate) fn print(&self, to: &mut impl std::fmt::Write) -> std::fmt::Result {
        let Self { store, known, outgoing, producers, acquaintances, .. } = self;
        write!(to, "{store:?} {known} {outgoing:?} {producers:?} {acquaintances:?}")
    }

    /// What may leave, given what is durable.
    pub(crate) fn next(&mut self, peer: usize) -> Next {
        let durable = if self.bug == Some(Bug::SendBeforeCommit) { u64::MAX } else { self.known };
        let sending = self.sending(peer);
        sending.committed(Sequence(durable));
        sending.poll()
    }

    pub(crate) fn sending(&mut self, peer: usize) -> &mut Sending {
        &mut self.outgoing.get_mut(&peer).expect("only peers are sent to").sending
    }

    pub(crate) fn note_refused(&mut self, run: Run) {
        let place = self.store.live_position();
        self.refused.entry((run.shard, run.nonce)).or_insert(place);
    }
}

/// What a peer has, so that this store need not keep it; in the order of each lane.
pub(crate) type Settled = Vec<(Lane, Sequence)>;

/// A body that says which message it is of.
pub(crate) fn body(message: Message, bytes: usize) -> Bytes {
    let mut body = message.to_be_bytes().to_vec();
    body.resize(bytes.max(body.len()), 0);
    body.into()
}

pub(crate) fn message_of(body: &Bytes) -> Message {
    u64::from_be_bytes(body[..8].try_into().expect("eight bytes"))
}

pub(crate) fn name_of(node: usize) -> String {
    format!("node-{node}")
}

fn node_of(name: &str) -> Option<usize> {
    name.strip_prefix("node-")?.parse().ok()
}
