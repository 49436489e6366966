//! The world: four nodes, their connections, and the hand that decides what happens next.

mod refused;
mod who;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use everpost_transport::link::{Data, Lane, Sequence};

use self::refused::Refused;
use super::bugs::Bug;
use super::conversation::At;
use super::network::{Connection, Control, End, NODES, PAIRS, peers_of};
use super::oracle::{Judgement, Oracle};
use super::plan::Plan;
use super::process::{Process, ProcessId};
use super::seeds::Random;
use super::store::Store;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) plan: Plan,
    pub(crate) oracle: Oracle,
    /// Every run that ever was, with what it left on its disk.
    pub(crate) processes: Vec<Process>,
    pub(crate) connections: Vec<Connection>,
    /// Connections that are not over.
    pub(crate) open: Vec<usize>,
    /// Old copies of stores.
    pub(crate) copies: Vec<(usize, Store)>,
    stores: u128,
    /// Nodes whose store was replaced by a new one, and such that had an old copy or a clone.
    pub(crate) wiped: [bool; NODES],
    pub(crate) forked: [bool; NODES],
    /// Why a pair does not converse.
    pub(crate) refusals: BTreeMap<(usize, usize), String>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    /// What has happened, when it is to be told.
    pub(crate) trace: Option<String>,
    bug: Option<Bug>,
}

impl World {
    pub(crate) fn new(seed: u64, bug: Option<Bug>, is_traced: bool) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::draw(&mut random);
        let mut world = Self {
            random,
            plan,
            oracle: Oracle::default(),
            processes: Vec::new(),
            connections: Vec::new(),
            open: Vec::new(),
            copies: Vec::new(),
            stores: 0,
            wiped: [false; NODES],
            forked: [false; NODES],
            refusals: BTreeMap::new(),
            counts: BTreeMap::new(),
            trace: is_traced.then(String::new),
            bug,
        };
        for node in 0..NODES {
            let store = world.new_store();
            world.start(node, store);
        }
        world
    }

    /// Something happens: mostly what should, now and then what should not.
    pub(crate) fn step(&mut self) -> Judgement {
        if self.random.once_in(self.plan.steps_per_fault) {
            return self.fault();
        }
        match self.random.below(100) {
            0..12 => (0..=self.random.below(3)).for_each(|_| self.accept()),
            12..14 => self.expire(),
            14..40 => {
                let process = self.any_alive();
                if !self.random.once_in(self.plan.commits_slow) {
                    let submissions = 1 + self.random.below(4);
                    self.processes[process].store.commit(submissions);
                }
                if self.random.once_in(2) {
                    self.processes[process].learn();
                }
            }
            40..46 => {
                let (dialer, dialed) = self.random.pick(&PAIRS);
                self.dial(dialer, dialed);
            }
            _ if !self.open.is_empty() => {
                let connection = self.random.pick(&self.open);
                let end = self.random.below(2);
                self.advance(At { connection, end })?;
                self.sweep();
            }
            _ => {}
        }
        Ok(())
    }

    /// A node accepts a message for another one.
    fn accept(&mut self) {
        let sender = self.any_alive();
        let node = self.processes[sender].node;
        // Mostly in one direction.
        if node >= 2 && !self.random.once_in(4) {
            return;
        }
        let peer = self.random.pick(&peers_of(node));
        let lane = Lane {
            receiver_type: self.random.below(2) as u64 + 2 * peer as u64,
            partition: self.random.below(2) as u16,
        };
        let bytes = 8 + self.random.below(17);
        let message = self.oracle.accepted(&self.processes[sender], peer, lane);
        self.processes[sender].send(peer, lane, message, bytes);
        self.note(|| format!("node {node} accepts {message} for node {peer} on {lane}"));
    }

    /// Some of what a node owes another one expires.
    fn expire(&mut self) {
        let process = self.any_alive();
        let outbox = &self.processes[process].store.live.outbox;
        let lanes: BTreeSet<(usize, Lane)> = outbox.values().map(|owed| (owed.peer, owed.lane)).collect();
        if lanes.is_empty() {
            return;
        }
        let (peer, lane) = self.random.pick(&Vec::from_iter(lanes));
        let share = 1 + self.random.below(3);
        let owed: Vec<Sequence> = self.processes[process]
            .store
            .live
            .outbox
            .iter()
            .filter(|(_, owed)| (owed.peer, owed.lane) == (peer, lane))
            .map(|(sequence, _)| *sequence)
            .collect();
        let expired: Vec<Sequence> = owed.into_iter().filter(|_| self.random.once_in(share)).collect();
        let withdrawn = self.processes[process].expire(peer, lane, &expired);
        self.note(|| format!("run {process} withdraws {withdrawn} of {expired:?} on {lane}"));
        if withdrawn > 0 {
            self.count("message withdrawn");
        }
        if withdrawn < expired.len() {
            self.count("expired message may have arrived");
        }
    }

    /// A run of one node connects to one of the other.
    pub(crate) fn dial(&mut self, dialer: usize, dialed: usize) {
        let (Some(from), Some(to)) = (self.any_of(dialer), self.any_of(dialed)) else { return };
        let link = self.processes[from].link(dialed);
        if link.current.is_some() {
            return;
        }
        let connection = self.connections.len();
        link.current = Some(connection);
        let is_lossy = self.random.once_in(self.plan.lossy_once_in);
        let ends = [self.new_end(from), self.new_end(to)];
        let hellos = [0, 1].map(|end| self.processes[ends[end].process].hello(&ends[end].receiver_types));
        let mut connected = Connection::new(ends, is_lossy);
        for (end, hello) in hellos.into_iter().enumerate() {
            connected.say(1 - end, Control::Hello(hello), &mut self.random);
        }
        self.connections.push(connected);
        self.open.push(connection);
        self.note(|| format!("node {dialer} (run {from}) dials node {dialed} (run {to})"));
    }

    fn new_end(&mut self, process: ProcessId) -> End {
        let node = self.processes[process].node as u64;
        let plan = self.plan;
        let mut receiver_types = vec![2 * node, 2 * node + 1];
        if self.random.once_in(plan.type_missing_once_in) {
            self.count("receiver type not there");
            receiver_types.remove(self.random.below(2));
        }
        let message_bytes_max = if self.random.once_in(plan.small_messages_once_in) { 16 } else { 100 };
        End::new(process, receiver_types, self.random.pick(plan.credits), message_bytes_max)
    }

    /// An end goes away. The other one will notice.
    pub(crate) fn leave(&mut self, at: At) {
        let peer = self.peer(at);
        let phase = std::mem::replace(&mut self.end_mut(at).phase, super::network::Phase::Over);
        if phase == super::network::Phase::Over {
            return;
        }
        let process = self.process(at);
        if process.link(peer).arrived == Some(at.connection) {
            process.link(peer).arrived = None;
        }
        if process.link(peer).current == Some(at.connection) {
            process.link(peer).current = None;
            process.sending(peer).interrupted();
            process.part(peer);
        }
        let Self { connections, random, .. } = self;
        connections[at.connection].cut(random);
    }

    /// An end will not speak with the other.
    pub(crate) fn refuse(&mut self, at: At, why: &impl Refused) {
        self.count(why.kind());
        let pair = self.pair(at);
        self.refusals.insert(pair, why.to_string());
        self.leave(at);
        self.note(|| format!("{at:?} refuses: {why}"));
    }

    pub(crate) fn conversing(&mut self, at: At) {
        if self.connections[at.connection].is_conversing() {
            let pair = self.pair(at);
            self.refusals.remove(&pair);
            self.note(|| format!("{pair:?} converse"));
        }
    }

    /// Forgets connections that are over at both ends.
    pub(crate) fn sweep(&mut self) {
        let connections = &self.connections;
        self.open.retain(|connection| !connections[*connection].is_over());
    }

    pub(crate) fn start(&mut self, node: usize, store: Store) -> ProcessId {
        let nonce = self.random.next();
        let limits = self.plan.limits;
        self.processes.push(Process::start(node, store, nonce, limits, self.bug));
        let process = self.processes.len() - 1;
        peers_of(node).into_iter().for_each(|peer| self.processes[process].part(peer));
        self.note(|| format!("node {node} starts as run {process}"));
        process
    }

    pub(crate) fn new_store(&mut self) -> Store {
        self.stores += 1;
        Store::new(self.stores)
    }

    // What is said, and told of.

    pub(crate) fn say(&mut self, from: At, control: Control) {
        self.note(|| format!("{from:?} says {control:?}"));
        let Self { connections, random, .. } = self;
        if connections[from.connection].say(1 - from.end, control, random) {
            self.count("frame dropped, repeated or overtaken");
        }
    }

    pub(crate) fn send(&mut self, from: At, data: Data) {
        self.note(|| format!("{from:?} sends {} after {} on {}", data.sequence.0, data.previous.0, data.lane));
        let Self { connections, random, .. } = self;
        if connections[from.connection].send(1 - from.end, data, random) {
            self.count("frame dropped, repeated or overtaken");
        }
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
        self.note(|| what.to_owned());
    }

    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            writeln!(trace, "{}", what()).expect("a string takes everything");
        }
    }
}
