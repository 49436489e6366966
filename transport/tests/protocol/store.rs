//! A store as the protocol sees it: submissions that become durable in their order, and what is left after a crash.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use everpost_transport::hello::{EarlierRun, KnownStore};
use everpost_transport::link::{Lane, Sequence};

/// A message; the same number never stands for two.
pub(crate) type Message = u64;

/// What a submission changes.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// A message goes into the outbox. Its number is that of its place.
    Dispatched { peer: usize, lane: Lane, message: Message, bytes: usize },
    /// A peer has these messages.
    Settled { messages: Vec<Sequence> },
    /// A store has acknowledged a lane up to here.
    Acknowledged { receiver: u128, lane: Lane, through: Sequence },
    /// A message has come into the inbox.
    Arrived { producer: u128, lane: Lane, message: Message },
    /// A lane of another store has come up to here.
    Received { producer: u128, lane: Lane, cursor: Sequence },
    /// Messages are not to be sent any more.
    Withdrawn { messages: Vec<Sequence> },
    /// A peer is not spoken with: the last number that it may have been sent.
    Parted { peer: usize, sent_through: Sequence },
    /// A peer may be sent everything from here on.
    Together { peer: usize },
    /// A run of another store was spoken with.
    Met { store: u128, acquaintance: KnownStore },
}

/// A message that is owed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backlog {
    pub(crate) peer: usize,
    pub(crate) lane: Lane,
    pub(crate) message: Message,
    pub(crate) bytes: usize,
}

/// What all submissions up to a point amount to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    pub(crate) outbox: BTreeMap<Sequence, Backlog>,
    pub(crate) acknowledged: BTreeMap<(u128, Lane), Sequence>,
    pub(crate) received: BTreeMap<(u128, Lane), Sequence>,
    pub(crate) peers: BTreeMap<u128, KnownStore>,
    pub(crate) apart: BTreeMap<usize, Sequence>,
    /// Everything that ever came.
    pub(crate) inbox: BTreeSet<Message>,
    /// The oracle's memory, which no node looks at: every message that was ever dispatched, and the last one of each
    /// lane that was dispatched and that has come.
    pub(crate) dispatched: BTreeSet<Message>,
    pub(crate) withdrawn: BTreeSet<Message>,
    pub(crate) last_dispatched: BTreeMap<Lane, Message>,
    pub(crate) last_arrived: BTreeMap<(u128, Lane), Message>,
    position: u64,
}

#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) id: u128,
    pub(crate) counter: u64,
    /// Every run that it was through.
    pub(crate) runs: Vec<EarlierRun>,
    /// What a crash leaves.
    pub(crate) durable: Contents,
    /// What the process sees: with everything that it has submitted.
    pub(crate) live: Contents,
    pending: VecDeque<Vec<Change>>,
}

impl Store {
    pub(crate) fn new(id: u128) -> Self {
        Self {
            id,
            counter: 0,
            runs: Vec::new(),
            durable: Contents::default(),
            live: Contents::default(),
            pending: VecDeque::new(),
        }
    }

    /// What was not durable is gone.
    pub(crate) fn crash(&mut self) {
        if !self.pending.is_empty() {
            self.pending.clear();
            self.live = self.durable.clone();
        }
    }

    /// A run of it begins.
    pub(crate) fn open(&mut self) {
        self.crash();
        self.counter += 1;
    }

    /// Gives the places of the changes; the ticket of the submission is the last.
    pub(crate) fn submit(&mut self, changes: Vec<Change>) -> u64 {
        self.live.apply(&changes);
        self.pending.push_back(changes);
        self.live.position
    }

    /// Makes the oldest submissions durable.
    pub(crate) fn commit(&mut self, submissions: usize) {
        let count = submissions.min(self.pending.len());
        self.pending.drain(..count).for_each(|changes| self.durable.apply(&changes));
    }

    /// The last place that is durable.
    pub(crate) fn durable_position(&self) -> u64 {
        self.durable.position
    }

    /// The last place that was given out.
    pub(crate) fn live_position(&self) -> u64 {
        self.live.position
    }

    /// The next place.
    pub(crate) fn next_position(&self) -> Sequence {
        Sequence(self.live_position() + 1)
    }

    /// A planted bug: places are given out again after a restart.
    pub(crate) fn forget_position(&mut self) {
        (self.live.position, self.durable.position) = (0, 0);
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is live follows from this.
        let Self { id, runs, durable, pending, .. } = self;
        write!(f, "{id} {runs:?} {durable:?} {pending:?}")
    }
}

impl Contents {
    fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            self.position += 1;
            match change.clone() {
                Change::Dispatched { peer, lane, message, bytes } => {
                    self.outbox.insert(Sequence(self.position), Backlog { peer, lane, message, bytes });
                    self.dispatched.insert(message);
                    self.last_dispatched.insert(lane, message);
                }
                Change::Settled { messages } => messages.iter().for_each(|sequence| _ = self.outbox.remove(sequence)),
                Change::Withdrawn { messages } => {
                    let withdrawn = messages.iter().filter_map(|sequence| self.outbox.remove(sequence));
                    self.withdrawn.extend(withdrawn.map(|owed| owed.message));
                }
                Change::Parted { peer, sent_through } => _ = self.apart.insert(peer, sent_through),
                Change::Together { peer } => _ = self.apart.remove(&peer),
                Change::Acknowledged { receiver, lane, through } => {
                    self.acknowledged.insert((receiver, lane), through);
                }
                Change::Arrived { producer, lane, message } => {
                    self.inbox.insert(message);
                    self.last_arrived.insert((producer, lane), message);
                }
                Change::Received { producer, lane, cursor } => _ = self.received.insert((producer, lane), cursor),
                Change::Met { store, acquaintance } => _ = self.peers.insert(store, acquaintance),
            }
        }
    }
}
