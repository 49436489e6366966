//! A state of the small world, and what each step makes of it.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use everpost_transport::link::{Ack, Data, Lane, Next, Sequence, Terms};
use rustc_hash::FxHashSet;

use crate::network::NODES;
use crate::oracle::{Arrivals, Judgement, Oracle};
use crate::process::{Limits, Process, Settled, body, message_of};
use crate::store::{Message, Store};

/// Who sends to whom, message by message.
pub(super) type Script = &'static [(usize, usize)];

/// The pairs between which something is sent.
pub(super) const PAIRS: [(usize, usize); 3] = [(0, 2), (1, 2), (1, 3)];
/// The second message of a lane does not fit into memory, and is read from the store.
const LIMITS: Limits = Limits { kept_bytes_max: BODY_BYTES, in_flight_bytes_max: WINDOW_BYTES };
pub(super) const BODY_BYTES: usize = 8;
const WINDOW_BYTES: usize = 1000;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) nodes: [Node; NODES],
    /// For each pair what was ever sent on its connection: each of it may arrive at any time, any number of times, or
    /// never. So everything that may leave is sent at once; that it leaves later is the same as that it arrives later.
    pub(super) wires: [Option<BTreeSet<Frame>>; PAIRS.len()],
    pub(super) troubles: u8,
    pub(super) violation: Option<String>,
}

/// A node, which is the same as another if it prints the same.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) process: Arc<Process>,
    print: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Frame {
    Data { lane: Lane, previous: Sequence, sequence: Sequence, message: Message },
    Ack { lane: Lane, through: Sequence },
}

impl State {
    fn node(&mut self, node: usize) -> &mut Process {
        Arc::make_mut(&mut self.nodes[node].process)
    }

    /// Messages of one sender are accepted in their order, and so after a crash if they were not durable.
    pub(super) fn accept(&mut self, script: Script, message: Message) -> Judgement {
        let (sender, receiver) = script[message as usize];
        let accepted = &self.nodes[sender].process.store.live.dispatched;
        let is_next = (0..message).all(|before| script[before as usize].0 != sender || accepted.contains(&before));
        if is_next && !accepted.contains(&message) {
            self.node(sender).send(receiver, lane(receiver), message, BODY_BYTES);
        }
        Ok(())
    }

    pub(super) fn commit(&mut self, node: usize) -> Judgement {
        if self.nodes[node].process.known() == self.nodes[node].process.store.live_position() {
            return Ok(());
        }
        let process = self.node(node);
        process.store.commit(usize::MAX);
        process.learn();
        (0..PAIRS.len()).try_for_each(|pair| self.speak(pair))
    }

    pub(super) fn crash(&mut self, node: usize) -> Judgement {
        self.troubles += 1;
        for (pair, (dialer, dialed)) in PAIRS.into_iter().enumerate() {
            if dialer == node || dialed == node {
                self.disconnect(pair);
            }
        }
        let store = self.nodes[node].process.store.clone();
        self.nodes[node].process = Arc::new(start(node, store));
        Ok(())
    }

    pub(super) fn cut(&mut self, pair: usize) -> Judgement {
        if self.wires[pair].is_some() {
            self.troubles += 1;
            self.disconnect(pair);
        }
        Ok(())
    }

    fn disconnect(&mut self, pair: usize) {
        let (dialer, dialed) = PAIRS[pair];
        self.wires[pair] = None;
        self.node(dialer).sending(dialed).interrupted();
        self.node(dialed).sending(dialer).interrupted();
    }

    /// The whole introduction in one step, once everything that was received is durable at both.
    pub(super) fn connect(&mut self, pair: usize) -> Judgement {
        let ends = [PAIRS[pair].0, PAIRS[pair].1];
        let [dialer, dialed] = ends.map(|node| self.nodes[node].process.run);
        let told = [(0, dialed), (1, dialer)].map(|(end, peer)| self.node(ends[end]).cursors(peer.shard));
        let [Some(by_dialer), Some(by_dialed)] = told else { return Ok(()) };
        for (end, cursors) in [(0, by_dialed), (1, by_dialer)] {
            let (here, there) = (ends[end], ends[1 - end]);
            let hello = self.nodes[there].process.hello(&[]);
            let process = self.node(here);
            process.check(&hello, there).map_err(|refusal| refusal.to_string())?;
            let receiver_types = FxHashSet::from_iter([lane(there).receiver_type]);
            let terms = Terms { receiver_types, credit: WINDOW_BYTES as u64, message_bytes_max: 1000 };
            let settled = process.go_on(there, hello.run.shard, &cursors, terms).map_err(|error| error.to_string())?;
            process.get_acquainted(&hello);
            self.settle(here, there, settled)?;
        }
        self.wires[pair] = Some(BTreeSet::new());
        self.speak(pair)
    }

    /// Everything that may leave does.
    fn speak(&mut self, pair: usize) -> Judgement {
        let Some(mut wire) = self.wires[pair].take() else { return Ok(()) };
        let (sender, receiver) = PAIRS[pair];
        loop {
            match self.node(sender).next(receiver) {
                Next::Send(data) => {
                    Oracle::sent(&self.nodes[sender].process, &data)?;
                    let Data { lane, previous, sequence, .. } = data;
                    wire.insert(Frame::Data { lane, previous, sequence, message: message_of(&data.body) });
                }
                Next::Load(lane, sequences) => {
                    let outbox = &self.nodes[sender].process.store.live.outbox;
                    let bodies = sequences.iter().map(|at| (*at, body(outbox[at].message, BODY_BYTES)));
                    let bodies: Vec<_> = bodies.collect();
                    self.node(sender).sending(receiver).loaded(lane, bodies);
                }
                Next::TooLarge { .. } | Next::Nothing => break,
            }
        }
        let producer = self.nodes[sender].process.run.shard;
        for Ack { lane, through, .. } in self.node(receiver).acks(producer, WINDOW_BYTES as u64) {
            Oracle::told(&self.nodes[receiver].process, producer, lane, through)?;
            wire.insert(Frame::Ack { lane, through });
        }
        self.wires[pair] = Some(wire);
        Ok(())
    }

    pub(super) fn arrive(&mut self, pair: usize, frame: Frame, oracle: &Oracle) -> Judgement {
        let (from, to) = PAIRS[pair];
        let producer = self.nodes[from].process.run.shard;
        match frame {
            Frame::Data { lane, previous, sequence, message } => {
                let data = Data { lane, previous, sequence, flags: 0, body: body(message, BODY_BYTES) };
                let (new, broken) = self.node(to).receive(producer, vec![data]);
                if !new.is_empty() {
                    let (sender, receiver) = (&self.nodes[from].process, &self.nodes[to].process);
                    oracle.arriving(&Arrivals { sender, receiver, is_wiped: false }, &new)?;
                    self.node(to).store_arrivals(producer, &new);
                }
                if broken.is_some() {
                    self.disconnect(pair);
                }
                Ok(())
            }
            Frame::Ack { lane, through } => {
                let mut settled = Vec::new();
                let ack = Ack { lane, through, credit: WINDOW_BYTES as u64 };
                self.node(from).acknowledged(to, ack, &mut settled).map_err(|error| error.to_string())?;
                self.settle(from, to, settled)?;
                self.speak(pair)
            }
        }
    }

    fn settle(&mut self, here: usize, there: usize, settled: Settled) -> Judgement {
        Oracle::settled(&self.nodes[here].process, &self.nodes[there].process, &settled)?;
        self.node(here).settle(there, settled);
        Ok(())
    }

    /// Every message is on the disk of its receiver, and off that of its sender.
    pub(super) fn is_delivered(&self, script: Script) -> bool {
        let has_come =
            |message: usize| self.nodes[script[message].1].process.store.durable.inbox.contains(&(message as Message));
        (0..script.len()).all(has_come) && self.nodes.iter().all(|node| node.process.store.durable.outbox.is_empty())
    }
}

impl Node {
    pub(super) fn new(process: Process) -> Self {
        let mut node = Self { process: Arc::new(process), print: 0 };
        node.print();
        node
    }

    pub(super) fn print(&mut self) {
        let mut text = Printer(0xCBF2_9CE4_8422_2325);
        self.process.print(&mut text).expect("a hash takes everything");
        self.print = text.0;
    }
}

/// Hashes what is printed: FNV-1a, eight bytes at a time.
struct Printer(u64);

impl std::fmt::Write for Printer {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for eight in text.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..eight.len()].copy_from_slice(eight);
            self.0 = (self.0 ^ u64::from_le_bytes(word)).wrapping_mul(0x0100_0000_01B3).rotate_left(29);
        }
        Ok(())
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.print == other.print
    }
}

impl Eq for Node {}

impl Hash for Node {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.print.hash(state);
    }
}

/// A run: its nonce is of no matter where there are no copies.
pub(super) fn start(node: usize, store: Store) -> Process {
    let nonce = store.counter + 1;
    Process::start(node, store, nonce, LIMITS, None)
}

pub(super) fn lane(receiver: usize) -> Lane {
    Lane { receiver_type: receiver as u64, partition: 0 }
}
