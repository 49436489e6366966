//! What senders, activations, workers, the gate and the sweep do with mailboxes at the same time, in every order that
//! they can meet in. Mailboxes, doorbells, the directory and the queue for places are the real ones, with the locks of
//! loom (`cargo test -p everpost --lib --features loom mailbox::tests`); the others are here, as small as they can be.
//!
//! Where a ring is lost nobody goes on, and loom says so. What each is to do may be done wrong here
//! ([`Fault`]), to show that it is found.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use everpost_persistence::Position;
use loom::future::block_on;
use loom::sync::{Condvar, Mutex};
use loom::thread;

use super::actor_type::{ActorType, Supervises, Trying};
use super::directory::Directory;
use super::{Ended, Inner, Mailbox, Next, Queue, Start, Step, View};
use crate::base::clock::Steady;
use crate::message::address::Address;
use crate::shard::activations::Activations;
use crate::supervise::supervision::fixture::idle_type;

/// How often a thread may be interrupted in one run, where it could have gone on. What needs more of that to go wrong
/// is not found.
const INTERRUPTIONS: usize = 4;
/// Everything is on the disk.
const ALL: Position = Position(u64::MAX);

/// What is done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// The sender rings before its message is there, in a step of its own.
    RingsBefore,
    /// The activation clears the bell after it has looked, in a step of its own.
    ClearsAfterLooking,
    /// Its worker does not see that an activation that left was rung.
    ForgetsRung,
    /// The gate is told to ring in a step after it was asked whether it will.
    ForgetsDurable,
    /// A mailbox leaves memory although somebody refers to it.
    RetiresInUse,
    /// Nobody is let in where an activation has left.
    LetsNobodyIn,
}

/// A node with two actors.
struct Node {
    directory: Directory,
    addresses: [Address; 2],
    actor_type: Arc<ActorType>,
    orders: Arc<Orders>,
    gate: Mutex<Gate>,
    /// How many messages.
    handled: Mutex<usize>,
    fault: Fault,
}

/// What is on the disk, and who is rung when more is.
struct Gate {
    durable: Position,
    waiting: Vec<(Position, Arc<Mailbox>)>,
}

/// Activations that are to be started.
struct Orders {
    waiting: Mutex<VecDeque<Arc<Mailbox>>>,
    /// Rung for one that is to be started, and when all is done.
    come: Condvar,
    activations: Activations,
}

struct Supervisor(Arc<Orders>);

impl Supervises for Supervisor {
    fn start(&self, mailbox: &Arc<Mailbox>, in_any_case: bool) -> Start {
        match self.0.activations.take_place(mailbox, in_any_case) {
            true => self.start_at_place(mailbox),
            false => Start::Waits,
        }
    }

    fn start_at_place(&self, mailbox: &Arc<Mailbox>) -> Start {
        self.0.waiting.lock().unwrap().push_back(Arc::clone(mailbox));
        self.0.come.notify_one();
        Start::Ordered
    }

    fn kill(&self, _: &Arc<Mailbox>) {}

    fn kill_all(&self) {}

    fn shrink(&self) {}

    fn stop(&self) {}

    fn try_state(&self, _: &Arc<Mailbox>) -> Trying {
        unreachable!("nothing is on trial")
    }
}

impl Orders {
    /// None when all is done.
    fn next(&self, is_done: impl Fn() -> bool) -> Option<Arc<Mailbox>> {
        let mut waiting = self.waiting.lock().unwrap();
        loop {
            if let Some(mailbox) = waiting.pop_front() {
                return Some(mailbox);
            }
            if is_done() {
                self.come.notify_all();
                return None;
            }
            waiting = self.come.wait(waiting).unwrap();
        }
    }
}

impl Node {
    fn new(durable: Position, places: usize, fault: Fault) -> Arc<Self> {
        let actor_type = idle_type();
        let (waiting, come, activations) = (Mutex::default(), Condvar::new(), Activations::new(places));
        let orders = Arc::new(Orders { waiting, come, activations });
        actor_type.supervised_by(Box::new(Supervisor(Arc::clone(&orders))));
        Arc::new(Self {
            directory: Directory::new(std::num::NonZeroU16::MIN, Vec::new()),
            addresses: ["idle/x", "idle/y"].map(|address| Address::parse(address).unwrap()),
            actor_type: Arc::new(actor_type),
            orders,
            gate: Mutex::new(Gate { durable, waiting: Vec::new() }),
            handled: Mutex::default(),
            fault,
        })
    }

    fn mailbox(&self, actor: usize) -> Arc<Mailbox> {
        self.directory.mailbox(&self.addresses[actor], &self.actor_type)
    }

    /// A sender from outside: what it sends may be handled at once, or when it is durable.
    fn send(&self, actor: usize, is_durable: bool) {
        let mailbox = self.mailbox(actor);
        if self.fault == Fault::RingsBefore {
            mailbox.lock().ring(&mailbox);
        }
        let mut inner = mailbox.lock();
        let position = Position(inner.last_submitted().0 + 1);
        inner.enqueue(position, Queue::default(), Bytes::from_static(b"?"), true);
        inner.submitted(position);
        match is_durable {
            true if self.fault == Fault::RingsBefore => {}
            true => inner.ring(&mailbox),
            false => self.ring_when_durable(&mut inner, &mailbox, position),
        }
    }

    /// As the engine does.
    fn ring_when_durable(&self, inner: &mut Inner, mailbox: &Arc<Mailbox>, position: Position) {
        if !inner.gate() {
            return;
        }
        let mut gate = self.gate.lock().unwrap();
        if position <= gate.durable && self.fault != Fault::ForgetsDurable {
            drop(gate);
            inner.ring_from_gate(mailbox);
        } else {
            gate.waiting.push((position, Arc::clone(mailbox)));
        }
    }

    /// The store has committed up to there.
    fn commit(&self, durable: Position) {
        let released = {
            let mut gate = self.gate.lock().unwrap();
            gate.durable = durable;
            gate.waiting.extract_if(.., |(position, _)| *position <= durable).collect::<Vec<_>>()
        };
        released.into_iter().for_each(|(_, mailbox)| mailbox.lock().ring_from_gate(&mailbox));
    }

    fn look(&self, inner: &mut Inner, mailbox: &Mailbox) -> Step {
        let view = View { now: || Steady(0), durable: self.gate.lock().unwrap().durable, is_trial: false };
        inner.next(mailbox, view, |_, _| true, || 0)
    }

    /// Handles what is visible, until nothing is.
    fn drain(&self, mailbox: &Arc<Mailbox>) {
        loop {
            let step = self.look(&mut mailbox.lock(), mailbox);
            match step {
                Step::Follow(Next::Deliver { .. }, _) => {
                    mailbox.lock().finish();
                    *self.handled.lock().unwrap() += 1;
                }
                Step::Follow(Next::Durable(position), _) => {
                    return self.ring_when_durable(&mut mailbox.lock(), mailbox, position);
                }
                Step::Follow(Next::Empty, _) if self.fault == Fault::ClearsAfterLooking => {
                    return mailbox.lock().doorbell.look();
                }
                Step::Follow(Next::Empty, _) => return,
                _ => unreachable!("nothing else waits"),
            }
        }
    }

    /// One activation, which leaves as soon as it may.
    fn activation(&self, mailbox: &Arc<Mailbox>) {
        loop {
            self.drain(mailbox);
            mailbox.lock().leave_when_idle();
            if !block_on(poll_fn(|context| mailbox.lock().listen(false, context.waker()))) {
                return;
            }
        }
    }

    /// A worker runs activations, one after another, until so many messages are handled and nobody is there any more.
    fn worker(&self, messages: usize) {
        while let Some(mailbox) = self.orders.next(|| *self.handled.lock().unwrap() == messages) {
            let the_one = self.directory.find(mailbox.id()).expect("it is in use");
            assert!(Arc::ptr_eq(&mailbox, &the_one), "an address has one mailbox");
            drop(the_one);
            self.orders.activations.enter(&mailbox);
            mailbox.lock().begun();
            self.activation(&mailbox);
            match self.fault {
                Fault::LetsNobodyIn => self.orders.activations.return_place(),
                _ => self.orders.activations.leave(&mailbox),
            }
            let is_over = self.see_end(&mailbox);
            if is_over {
                self.retire(mailbox);
            }
        }
    }

    fn see_end(&self, mailbox: &Arc<Mailbox>) -> bool {
        let mut inner = mailbox.lock();
        if self.fault == Fault::ForgetsRung {
            inner.vacate();
            return !inner.has_work(mailbox);
        }
        let Ended { is_over, .. } = inner.ended(mailbox, false);
        is_over
    }

    fn retire(&self, mailbox: Arc<Mailbox>) {
        if self.fault == Fault::RetiresInUse {
            self.directory.retire_if(mailbox, ALL, |_| true);
        } else {
            self.directory.retire(mailbox, ALL);
        }
    }
}

/// Runs it in every order.
fn in_all_orders(run: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(INTERRUPTIONS);
    model.check(run);
}

/// What goes wrong in some order of it.
fn found(scenario: fn(Fault), fault: Fault) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| in_all_orders(move || scenario(fault)))).expect_err("it is found");
    panic.downcast::<String>().map_or_else(|panic| panic.downcast::<&str>().unwrap().to_string(), |text| *text)
}

fn begin(node: &Arc<Node>, run: impl FnOnce(&Node) + 'static) -> thread::JoinHandle<()> {
    let node = Arc::clone(node);
    thread::spawn(move || run(&node))
}

/// Somebody sends to this actor what may be handled at once.
fn sender(node: &Arc<Node>, actor: usize) -> thread::JoinHandle<()> {
    begin(node, move |node| node.send(actor, true))
}

/// Two senders ring while activations look, leave, are started anew, and the mailbox leaves memory.
fn senders_ring_while_activations_leave(fault: Fault) {
    let node = Node::new(ALL, 8, fault);
    let senders = [sender(&node, 0), sender(&node, 0)];
    node.worker(2);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
}

/// Two actors have one place between them.
fn activations_wait_for_a_place(fault: Fault) {
    let node = Node::new(ALL, 1, fault);
    let senders = [sender(&node, 0), sender(&node, 1)];
    node.worker(2);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
}

/// Two actors have two workers, so that one ends while the other begins, and one place between them.
fn workers_begin_while_others_end(fault: Fault) {
    let node = Node::new(ALL, 1, fault);
    let sender = begin(&node, |node| {
        node.send(0, true);
        node.send(1, true);
    });
    let worker = begin(&node, |node| node.worker(2));
    node.worker(2);
    worker.join().unwrap();
    sender.join().unwrap();
}

/// The gate rings while an activation comes to what is not durable yet, or leaves.
fn the_gate_rings_while_an_activation_leaves(fault: Fault) {
    let node = Node::new(Position(1), 8, fault);
    node.send(0, true);
    let sender = begin(&node, |node| node.send(0, false));
    let store = begin(&node, |node| node.commit(Position(2)));
    node.worker(2);
    sender.join().unwrap();
    store.join().unwrap();
}

/// The sweep tells an activation to leave, and the mailbox to leave memory, while somebody sends.
fn the_sweep_meets_a_sender(fault: Fault) {
    let node = Node::new(ALL, 8, fault);
    let sweep = begin(&node, |node| {
        node.directory.for_each(|mailbox| {
            let is_vacant = mailbox.lock().is_vacant();
            if is_vacant {
                node.retire(mailbox);
            } else {
                mailbox.lock().tell_to_leave();
            }
        });
    });
    let sender = sender(&node, 0);
    node.worker(1);
    sweep.join().unwrap();
    sender.join().unwrap();
}

/// A mailbox that holds nothing leaves memory while somebody looks it up.
fn a_mailbox_leaves_memory_while_it_is_looked_up(fault: Fault) {
    let node = Node::new(ALL, 8, fault);
    let idle = node.mailbox(0);
    let sender = sender(&node, 0);
    node.retire(idle);
    sender.join().unwrap();
    let mailbox = node.mailbox(0);
    assert_eq!(mailbox.lock().amount().messages, 1, "what was sent is in the mailbox that others find");
}

#[test]
fn no_ring_of_a_sender_is_lost() {
    in_all_orders(|| senders_ring_while_activations_leave(Fault::None));
}

#[test]
fn no_ring_of_the_gate_is_lost() {
    in_all_orders(|| the_gate_rings_while_an_activation_leaves(Fault::None));
}

#[test]
fn no_place_is_lost() {
    in_all_orders(|| activations_wait_for_a_place(Fault::None));
}

#[test]
fn no_mailbox_is_lost_between_two_workers() {
    in_all_orders(|| workers_begin_while_others_end(Fault::None));
}

#[test]
fn the_sweep_takes_nothing_from_a_sender() {
    in_all_orders(|| the_sweep_meets_a_sender(Fault::None));
}

#[test]
fn no_mailbox_leaves_memory_while_somebody_has_it() {
    in_all_orders(|| a_mailbox_leaves_memory_while_it_is_looked_up(Fault::None));
}

#[test]
fn a_ring_that_is_lost_is_found() {
    for fault in [Fault::RingsBefore, Fault::ClearsAfterLooking, Fault::ForgetsRung] {
        let found = found(senders_ring_while_activations_leave, fault);
        assert!(found.starts_with("deadlock"), "{fault:?}: {found}");
    }
}

#[test]
fn a_gate_that_is_told_too_late_is_found() {
    let found = found(the_gate_rings_while_an_activation_leaves, Fault::ForgetsDurable);
    assert!(found.starts_with("deadlock"), "{found}");
}

#[test]
fn a_place_that_is_given_to_nobody_is_found() {
    let found = found(activations_wait_for_a_place, Fault::LetsNobodyIn);
    assert!(found.starts_with("deadlock"), "{found}");
}

#[test]
fn a_mailbox_that_leaves_memory_while_somebody_has_it_is_found() {
    let found = found(a_mailbox_leaves_memory_while_it_is_looked_up, Fault::RetiresInUse);
    assert!(found.contains("what was sent is in the mailbox that others find"), "{found}");
}
