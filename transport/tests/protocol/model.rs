//! Every schedule of a small world: two senders, two receivers, four messages, and a network in which a frame may be
//! lost, repeated and overtaken at will, with crashes between any two steps. The nodes and the oracle are those of the
//! seeded schedules, so that the machines under test are the real ones.

mod state;

use std::sync::Arc;

use stateright::{Checker, Model, Property};

use self::state::{BODY_BYTES, Frame, Node, PAIRS, Script, State, lane, start};
use super::network::NODES;
use super::oracle::Oracle;
use super::seeds::is_long;
use super::store::{Message, Store};

struct Small {
    script: Script,
    oracle: Oracle,
    /// How many crashes and broken connections there are at most.
    troubles_max: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    /// The next message of the script is accepted by its sender.
    Accept(Message),
    /// Everything that a node has submitted becomes durable.
    Commit(usize),
    Crash(usize),
    /// A connection breaks: everything on its way is lost.
    Break(usize),
    Connect(usize),
    Arrive(usize, Frame),
}

impl Model for Small {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let nodes = [0, 1, 2, 3].map(|node| Node::new(start(node, Store::new(node as u128 + 1))));
        let mut state = State { nodes, wires: [const { None }; PAIRS.len()], troubles: 0, violation: None };
        (0..PAIRS.len()).for_each(|pair| state.connect(pair).expect("all is well"));
        (0..NODES).for_each(|node| state.commit(node).expect("all is well"));
        vec![state]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.violation.is_some() {
            return;
        }
        steps.extend((0..self.script.len() as Message).map(Step::Accept));
        let pairs = || PAIRS.iter().enumerate().filter(|(_, pair)| self.script.contains(pair)).map(|(at, _)| at);
        let nodes = || (0..NODES).filter(|node| self.script.iter().any(|(from, to)| from == node || to == node));
        steps.extend(nodes().map(Step::Commit));
        for pair in pairs() {
            match &state.wires[pair] {
                None => steps.push(Step::Connect(pair)),
                Some(frames) => steps.extend(frames.iter().map(|frame| Step::Arrive(pair, *frame))),
            }
        }
        if state.troubles < self.troubles_max {
            steps.extend(nodes().map(Step::Crash));
            steps.extend(pairs().map(Step::Break));
        }
    }

    fn next_state(&self, before: &State, step: Step) -> Option<State> {
        let mut state = before.clone();
        let judgement = match step {
            Step::Accept(message) => state.accept(self.script, message),
            Step::Commit(node) => state.commit(node),
            Step::Crash(node) => state.crash(node),
            Step::Break(pair) => state.cut(pair),
            Step::Connect(pair) => state.connect(pair),
            Step::Arrive(pair, frame) => state.arrive(pair, frame, &self.oracle),
        };
        state.violation = judgement.err();
        for (node, before) in state.nodes.iter_mut().zip(&before.nodes) {
            if !Arc::ptr_eq(&node.process, &before.process) {
                node.print();
            }
        }
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("nothing is lost, repeated, reordered or too early", |_, state: &State| {
                state.violation.is_none()
            }),
            Property::sometimes("everything is delivered", |model: &Self, state: &State| {
                state.is_delivered(model.script)
            }),
            Property::sometimes("everything is delivered in spite of all troubles", |model: &Self, state: &State| {
                state.is_delivered(model.script) && state.troubles == model.troubles_max
            }),
        ]
    }
}

/// Explores everything. How many different states there were.
fn explore(script: Script, troubles_max: u8) -> usize {
    let mut oracle = Oracle::default();
    let mut senders = [0, 1].map(|node| start(node, Store::new(node as u128 + 1)));
    for (sender, receiver) in script {
        let message = oracle.accepted(&senders[*sender], *receiver, lane(*receiver));
        senders[*sender].send(*receiver, lane(*receiver), message, BODY_BYTES);
    }
    let checker = Small { script, oracle, troubles_max }.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    assert!(checker.is_done(), "everything was explored");
    let states = checker.unique_state_count();
    eprintln!("{script:?}, {troubles_max} troubles: {states} states, {} steps deep", checker.max_depth());
    states
}

/// All worlds of so few messages, and how many troubles there are in each at most, besides what the network does.
const WORLDS: [(Script, u8); 4] = [
    (&[(0, 2), (0, 2), (1, 2), (1, 3)], 0),
    (&[(0, 2), (1, 2), (1, 3)], 1),
    (&[(0, 2), (0, 2), (1, 2)], 1),
    (&[(0, 2), (0, 2)], 2),
];

#[test]
fn no_schedule_of_a_small_world_loses_or_repeats_anything() {
    let states: usize = WORLDS.iter().map(|(script, troubles_max)| explore(script, *troubles_max)).sum();
    eprintln!("{states} states");
    assert!(states >= 50_000, "only {states} states were explored");
    if is_long() {
        let (script, _) = WORLDS[0];
        assert!(explore(script, 1) >= 200_000);
    }
}
