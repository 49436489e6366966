//! Who is who, and at which end of what.

use super::World;
use crate::bugs::Bug;
use crate::conversation::At;
use crate::network::{End, NODES};
use crate::process::{Process, ProcessId};

impl World {
    pub(super) fn any_alive(&mut self) -> ProcessId {
        let node = self.random.below(NODES);
        self.any_of(node).expect("a node that ends is started again at once")
    }

    pub(crate) fn any_of(&mut self, node: usize) -> Option<ProcessId> {
        let runs: Vec<ProcessId> = self.runs_of(node).collect();
        (!runs.is_empty()).then(|| self.random.pick(&runs))
    }

    /// The runs of a node that are alive: more than one while there is a clone.
    pub(crate) fn runs_of(&self, node: usize) -> impl Iterator<Item = ProcessId> {
        let runs = self.processes.iter().enumerate();
        runs.filter(move |(_, process)| process.is_alive && process.node == node).map(|(id, _)| id)
    }

    pub(crate) fn is_wiped(&self, node: usize) -> bool {
        self.wiped[node]
    }

    pub(crate) fn end(&self, at: At) -> &End {
        &self.connections[at.connection].ends[at.end]
    }

    pub(crate) fn end_mut(&mut self, at: At) -> &mut End {
        &mut self.connections[at.connection].ends[at.end]
    }

    pub(crate) fn other_end(&self, at: At) -> &End {
        &self.connections[at.connection].ends[1 - at.end]
    }

    pub(crate) fn process(&mut self, at: At) -> &mut Process {
        let process = self.end(at).process;
        &mut self.processes[process]
    }

    pub(crate) fn process_ref(&self, at: At) -> &Process {
        &self.processes[self.end(at).process]
    }

    pub(crate) fn other_process(&self, at: At) -> &Process {
        &self.processes[self.other_end(at).process]
    }

    /// The node at the other end.
    pub(crate) fn peer(&self, at: At) -> usize {
        self.other_process(at).node
    }

    pub(crate) fn is_planted(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    pub(super) fn pair(&self, at: At) -> (usize, usize) {
        let [dialer, dialed] = &self.connections[at.connection].ends;
        (self.processes[dialer.process].node, self.processes[dialed.process].node)
    }
}
