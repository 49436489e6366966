//! What goes wrong, and the healing of it.

use super::conversation::At;
use super::network::{NODES, PAIRS, peers_of};
use super::oracle::{Judgement, judge};
use super::plan::Kind;
use super::process::{Process, ProcessId};
use super::store::Store;
use super::world::World;

/// In so many rounds and two for each message that is owed, in each of which everybody does everything once, everything
/// is delivered after the faults have stopped: with the smallest window one message is in flight at a time.
const ROUNDS_MAX: usize = 20;

impl World {
    pub(crate) fn fault(&mut self) -> Judgement {
        match self.random.below(8) {
            0..3 => self.cut(),
            3..5 => self.crash_any(),
            5 => self.keep_copy(),
            _ => match self.plan.kind {
                Kind::Kept => self.crash_any(),
                Kind::Wiped => self.wipe(),
                Kind::Copied => self.bring_copy(),
            },
        }
        self.sweep();
        Ok(())
    }

    fn cut(&mut self) {
        if !self.open.is_empty() {
            self.count("connection cut");
            let connection = self.random.pick(&self.open);
            let Self { connections, random, .. } = self;
            connections[connection].cut(random);
        }
    }

    fn crash_any(&mut self) {
        let node = self.random.below(NODES);
        self.crash(node);
    }

    /// A run ends as a process that is killed does, and another begins with what is on the disk.
    fn crash(&mut self, node: usize) {
        let Some(process) = self.any_of(node) else { return };
        self.count("node crashed");
        let store = self.end_process(process);
        self.start_after(node, store, process);
    }

    fn wipe(&mut self) {
        let node = self.random.below(NODES);
        let Some(process) = self.any_of(node) else { return };
        self.count(if node < 2 { "sender wiped" } else { "receiver wiped" });
        self.wiped[node] = true;
        self.end_process(process);
        let store = self.new_store();
        self.start(node, store);
    }

    fn keep_copy(&mut self) {
        let node = self.random.below(NODES);
        if self.plan.kind == Kind::Copied
            && let Some(process) = self.any_of(node)
        {
            let mut copy = self.processes[process].store.clone();
            copy.crash();
            self.copies.push((node, copy));
        }
    }

    fn bring_copy(&mut self) {
        if self.copies.is_empty() {
            return;
        }
        let copy = self.random.below(self.copies.len());
        let (node, mut store) = self.copies[copy].clone();
        // Copies come back under their own name, or at the node beside it.
        let place = if self.random.once_in(16) { node ^ 1 } else { node };
        let runs: Vec<ProcessId> = self.runs_of(place).collect();
        self.forked[node] = true;
        self.forked[place] = true;
        self.wiped[place] |= place != node;
        for _ in 0..self.random.below(3) {
            store.open();
            self.count("old copy opened several times");
        }
        if self.random.once_in(2) && runs.len() < 2 {
            self.count("two clones at once");
        } else {
            self.count("old copy came back");
            for process in runs {
                let newest = self.end_process(process);
                self.copies.push((place, newest));
            }
        }
        self.start(place, store);
    }

    /// Ends a run. Gives what it leaves on its disk.
    fn end_process(&mut self, process: ProcessId) -> Store {
        self.note(|| format!("run {process} ends"));
        for connection in self.open.clone() {
            for end in 0..2 {
                let at = At { connection, end };
                if self.end(at).process == process {
                    self.leave(at);
                }
            }
        }
        self.processes[process].is_alive = false;
        // What was not durable is gone for whoever looks, too.
        self.processes[process].store.crash();
        self.processes[process].store.clone()
    }

    fn start_after(&mut self, node: usize, store: Store, before: ProcessId) {
        // What was known when they were refused may be gone with the crash.
        let durable = store.durable_position();
        let mut refused = self.processes[before].refused.clone();
        refused.retain(|_, place| *place <= durable);
        let process = self.start(node, store);
        self.processes[process].refused = refused;
    }

    /// The faults stop. In a bounded time everything that is owed is delivered, unless a store does not fit.
    pub(crate) fn heal(&mut self) -> Judgement {
        self.plan.heal();
        self.note(|| "the faults stop".to_owned());
        for node in 0..NODES {
            let runs: Vec<ProcessId> = self.runs_of(node).collect();
            for process in runs.into_iter().skip(1) {
                self.end_process(process);
            }
        }
        for connection in self.open.clone() {
            self.leave(At { connection, end: 0 });
            self.leave(At { connection, end: 1 });
        }
        self.sweep();
        self.refusals.clear();
        self.deliver()?;
        // Nothing is left for the next run either.
        (0..NODES).for_each(|node| self.crash(node));
        self.deliver()?;
        self.judge_end()
    }

    /// Goes on until nothing is owed any more, or one of the two has a store that does not fit, and this was said.
    fn deliver(&mut self) -> Judgement {
        let owing = |world: &Self, (one, other): (usize, usize)| {
            let owed_by = |from, to| world.runs_of(from).map(|run| backlog(&world.processes[run], to)).sum::<usize>();
            let is_forked = world.forked[one] || world.forked[other];
            let is_refused = is_forked && world.refusals.contains_key(&(one, other));
            if is_refused { 0 } else { owed_by(one, other) + owed_by(other, one) }
        };
        let total = |world: &Self| PAIRS.iter().map(|pair| owing(world, *pair)).sum::<usize>();
        let rounds_max = ROUNDS_MAX + 2 * total(self);
        for _ in 0..rounds_max {
            self.round()?;
            if total(self) == 0 {
                return Ok(());
            }
        }
        let owing: Vec<_> = PAIRS.iter().filter(|pair| owing(self, **pair) > 0).collect();
        Err(format!("I8 progress: {owing:?} still owe something after {rounds_max} rounds; {:?}", self.refusals))
    }

    /// Everybody does everything once.
    fn round(&mut self) -> Judgement {
        for (dialer, dialed) in PAIRS {
            self.dial(dialer, dialed);
        }
        for connection in self.open.clone() {
            self.advance_fully(At { connection, end: 0 })?;
            self.advance_fully(At { connection, end: 1 })?;
        }
        self.sweep();
        for process in self.processes.iter_mut().filter(|process| process.is_alive) {
            process.store.commit(usize::MAX);
            process.learn();
        }
        Ok(())
    }

    /// I1: everything that is durable where it was accepted has come to where it should; exactly there, if that has
    /// kept its store.
    fn judge_end(&mut self) -> Judgement {
        for (message, accepted) in self.oracle.messages() {
            for from in (0..NODES).filter(|node| peers_of(*node).contains(&accepted.peer)) {
                let pair = (from.min(accepted.peer), from.max(accepted.peer));
                if self.refusals.contains_key(&pair) {
                    continue;
                }
                let sender = self.runs_of(from).map(|run| &self.processes[run]).next().expect("it runs");
                let stored = &sender.store.durable;
                let is_owed = stored.dispatched.contains(&message) && !stored.withdrawn.contains(&message);
                if sender.run.shard != accepted.store || !is_owed {
                    continue;
                }
                let to = accepted.peer;
                let is_changed = self.wiped[to] || self.forked[to] || self.forked[from];
                let mut runs = self.processes.iter().filter(|run| run.node == to && (is_changed || run.is_alive));
                let has_come = runs.any(|run| run.store.durable.inbox.contains(&message));
                judge(has_come, || format!("I1 no loss: message {message} of node {from} never came to node {to}"))?;
            }
        }
        Ok(())
    }
}

/// What a run owes a peer, in memory or on disk.
fn backlog(run: &Process, peer: usize) -> usize {
    let stored = run.store.durable.outbox.values().filter(|owed| owed.peer == peer);
    run.backlog(peer).max(stored.count())
}
