//! The messages of one mailbox: their order, and what is counted of them. What comes in is counted in, and what leaves
//! is counted out, in one step, so that the sums are those of the messages that are here.

use bytes::Bytes;
use everpost_persistence::Position;

use super::Inner;
use super::keys::Keys;
use super::lone::Lone;
use super::rules::{Finished, NEVER, Queue, Rules};
use crate::base::clock::Steady;
use crate::base::count;
use crate::base::rules::room::Amount;
use crate::message::request::RequestId;
use crate::record::attempts::Failures;

pub(super) struct Messages {
    pub(super) rules: Rules<Bytes>,
    /// Of all messages that wait, are held or in flight.
    bytes: usize,
    /// The idempotency keys of the same.
    keys: Option<Box<Keys>>,
    /// Those that turns or a trial wait for: as long as one is here, the activation and what that needs first must not
    /// wait for others to leave.
    awaited: Vec<Position>,
}

impl Messages {
    pub(super) fn new(holds_max: usize) -> Self {
        Self { rules: Rules::new(holds_max), bytes: 0, keys: None, awaited: Vec::new() }
    }

    /// Whether a message is here that somebody waits for who has an activation, or for whom all others wait.
    pub(super) fn is_awaited(&self) -> bool {
        self.awaited.iter().any(|position| self.rules.contains(*position))
    }

    fn add(&mut self, envelope: &[u8]) {
        self.bytes += envelope.len();
        Keys::add(&mut self.keys, envelope);
    }

    fn release_all(&mut self, aside: Vec<Position>) {
        aside.into_iter().for_each(|position| self.rules.release(position));
    }
}

/// What comes in, and what leaves.
impl Inner {
    /// A message was submitted to this mailbox. Its body is kept in memory when `keep` says that there is room and its
    /// queue has some. Returns whether it was.
    pub(crate) fn enqueue(&mut self, position: Position, queue: Queue, envelope: Bytes, keep: bool) -> bool {
        self.messages.add(&envelope);
        self.messages.rules.enqueued(position, queue, envelope, keep)
    }

    /// A message was found in the store at the start.
    pub(crate) fn recover(&mut self, position: Position, queue: Queue, failures: Option<Failures>, envelope: &[u8]) {
        self.messages.add(envelope);
        self.messages.rules.recovered(position, queue, failures);
    }

    /// The mailbox was made of an entry of the directory, for the one message that this was about.
    pub(super) fn recover_lone(&mut self, lone: Lone) {
        self.messages.bytes += lone.bytes();
        self.messages.rules.recovered(lone.position, Queue::default(), None);
    }

    /// The message in flight is done, and leaves.
    pub(crate) fn finish(&mut self) -> Finished<Bytes> {
        let done = self.messages.rules.finished();
        count::take(&mut self.messages.bytes, done.body.len());
        let aside = Keys::remove(&mut self.messages.keys, &done.body);
        self.messages.release_all(aside);
        done
    }

    /// A message leaves, wherever it is here. Returns whether its body was in memory.
    pub(crate) fn discard(&mut self, position: Position, envelope: &[u8]) -> bool {
        let was_in_memory = self.messages.rules.discard(position).is_some();
        count::take(&mut self.messages.bytes, envelope.len());
        let aside = Keys::remove(&mut self.messages.keys, envelope);
        self.messages.release_all(aside);
        was_in_memory
    }

    /// Messages that are here leave, in ascending order. `gone` is told of each whether its body was in memory and
    /// whether the store has a record of its failures, and says how large it was and what its key is.
    pub(crate) fn discard_all(
        &mut self,
        positions: &[Position],
        mut gone: impl FnMut(Position, bool, bool) -> (usize, Option<RequestId>),
    ) {
        let Messages { rules, bytes, keys, .. } = &mut self.messages;
        let mut aside = Vec::new();
        rules.discard_all(positions, |position, body, was_recorded| {
            let (size, request) = gone(position, body.is_some(), was_recorded);
            count::take(bytes, size);
            if let Some(request) = request {
                aside.append(&mut Keys::remove_request(keys, request));
            }
        });
        self.messages.release_all(aside);
    }

    /// Bodies were read that [`super::Next::Load`] asked for. Returns the bytes of those that are kept in memory.
    pub(crate) fn loaded(&mut self, bodies: Vec<(Position, Bytes)>) -> usize {
        let mut bytes = 0;
        self.messages.rules.loaded(bodies, |body| bytes += body.len());
        bytes
    }

    /// Bodies leave memory that are on the disk, and neither in flight nor held. Returns their bytes.
    pub(crate) fn leave_to_the_store(&mut self, durable: Position) -> usize {
        let mut bytes = 0;
        self.messages.rules.leave_to_the_store(durable, |body| bytes += body.len());
        bytes
    }
}

/// What becomes of a message that stays.
impl Inner {
    /// The message in flight goes back to where it was, without a counted attempt.
    pub(crate) fn interrupt(&mut self) {
        self.messages.rules.interrupted();
    }

    /// A message that failed waits until then; others may pass it if it is `aside`, and it is held no more.
    pub(crate) fn put_back(&mut self, position: Position, body: &[u8], until: Steady, aside: bool) {
        if aside {
            self.messages.rules.set_aside(position, until);
            let released = Keys::release(&mut self.messages.keys, body);
            self.messages.release_all(released);
        } else {
            self.messages.rules.postpone(position, until);
        }
    }

    /// The message in flight waits aside until a message under its key is held no more.
    pub(crate) fn wait_for_key(&mut self, position: Position, request: RequestId) {
        self.messages.rules.set_aside(position, NEVER);
        Keys::wait(&mut self.messages.keys, request, position);
    }

    /// The message in flight waits aside until [`Inner::let_go_on`].
    pub(crate) fn wait_aside(&mut self, position: Position) {
        self.messages.rules.set_aside(position, NEVER);
    }

    pub(crate) fn let_go_on(&mut self, position: Position) {
        self.messages.rules.release(position);
    }

    /// Takes a message back from its holder; see [`Rules::take_back`]. False when it was taken back before.
    pub(crate) fn take_back(&mut self, position: Position, attempt: Option<u32>) -> bool {
        self.messages.rules.take_back(position, attempt).is_some()
    }

    /// Its holder goes on. False when it holds the message no more.
    pub(crate) fn extend_hold(&mut self, position: Position, attempt: u32, deadline: Steady) -> bool {
        self.messages.rules.extend_hold(position, attempt, deadline)
    }

    /// A message in flight or held has failed. Returns what is now known of it; what becomes of it is the caller's to
    /// say.
    pub(crate) fn count_failure(&mut self, position: Position, error: String, errors_max: usize) -> Failures {
        self.messages.rules.failed(position, error, errors_max).clone()
    }

    /// A message in flight is given up on for a reason that is no failed attempt. Returns what is now known of it.
    pub(crate) fn condemn(&mut self, position: Position, error: String, errors_max: usize) -> Failures {
        self.messages.rules.condemned(position, error, errors_max).clone()
    }

    /// A waiting message is to run alone.
    pub(crate) fn single_out(&mut self, position: Position, failures: Failures) {
        self.messages.rules.single_out(position, failures);
    }

    /// It runs like any other again. Returns what is known of it, if it is here.
    pub(crate) fn clear_suspect(&mut self, position: Position) -> Option<&Failures> {
        self.messages.rules.clear_suspect(position)
    }

    /// Somebody who has an activation, or for whom all others wait, cannot go on before this message is handled.
    pub(crate) fn await_message(&mut self, position: Position) {
        let Messages { rules, awaited, .. } = &mut self.messages;
        awaited.retain(|awaited| rules.contains(*awaited));
        awaited.push(position);
    }
}

/// What is known of them.
impl Inner {
    /// Their order, to be looked at.
    pub(crate) fn rules(&self) -> &Rules<Bytes> {
        &self.messages.rules
    }

    /// What waits, is held or in flight.
    pub(crate) fn amount(&self) -> Amount {
        Amount { messages: self.messages.rules.len(), bytes: self.messages.bytes }
    }

    /// Whether a message is here under this idempotency key.
    pub(crate) fn has_key(&self, request: RequestId) -> bool {
        self.messages.keys.as_deref().is_some_and(|keys| keys.contains(request))
    }

    /// Whether a message is here that must not wait for others to leave.
    pub(crate) fn is_awaited(&self) -> bool {
        self.messages.is_awaited()
    }

    /// Whether a suspect has had its trial, durably, or cannot have it because what is before it backs off.
    pub(crate) fn is_settled(&self, suspect: Position, now: Steady, durable: Position) -> bool {
        let rules = &self.messages.rules;
        (!rules.is_suspect(suspect) || rules.is_held_back(suspect, now)) && self.last_submitted <= durable
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::mailbox::{Mailbox, Next, Step, View};
    use crate::message::address::Address;
    use crate::supervise::supervision::fixture::idle_type;

    #[derive(Clone, Debug)]
    enum Event {
        Enqueued { bytes: usize, keep: bool },
        Finished,
        PutBack { aside: bool },
        Discarded(prop::sample::Index),
        AllDiscarded(Vec<prop::sample::Index>),
    }

    fn event() -> impl Strategy<Value = Event> {
        let index = any::<prop::sample::Index>;
        prop_oneof![
            (0_usize..9, any::<bool>()).prop_map(|(bytes, keep)| Event::Enqueued { bytes, keep }),
            Just(Event::Finished),
            any::<bool>().prop_map(|aside| Event::PutBack { aside }),
            index().prop_map(Event::Discarded),
            prop::collection::vec(index(), 1..4).prop_map(Event::AllDiscarded),
        ]
    }

    /// What a mailbox has in flight, bodies that are not in memory being read first.
    fn take_in_flight(mailbox: &Mailbox, all: &BTreeMap<Position, Bytes>) -> Option<(Position, Bytes)> {
        let mut inner = mailbox.lock();
        loop {
            let view = View { now: || Steady(1), durable: Position(u64::MAX), is_trial: false };
            match inner.next(mailbox, view, |_, _| true, || 0) {
                Step::Follow(Next::Deliver { position, body, .. }, _) => return Some((position, body)),
                Step::Follow(Next::Load(positions), _) => {
                    inner.loaded(positions.into_iter().map(|position| (position, all[&position].clone())).collect());
                }
                _ => return None,
            }
        }
    }

    proptest! {
        #[test]
        fn the_sums_are_those_of_the_messages_that_are_here(events in prop::collection::vec(event(), 1..60)) {
            let actor_type = Arc::new(idle_type());
            let address = Address::parse("idle/x").unwrap();
            let mailbox = Mailbox::new(address, everpost_persistence::Partition(0), actor_type);
            let (mut all, mut last) = (BTreeMap::new(), 0);
            for event in events {
                match event {
                    Event::Enqueued { bytes, keep } => {
                        last += 1;
                        let envelope = Bytes::from(vec![0; bytes]);
                        mailbox.lock().enqueue(Position(last), Queue::default(), envelope.clone(), keep);
                        all.insert(Position(last), envelope);
                    }
                    Event::Finished => {
                        if let Some((position, _)) = take_in_flight(&mailbox, &all) {
                            prop_assert_eq!(mailbox.lock().finish().position, position);
                            all.remove(&position);
                        }
                    }
                    Event::PutBack { aside } => {
                        if let Some((position, body)) = take_in_flight(&mailbox, &all) {
                            mailbox.lock().put_back(position, &body, Steady(1), aside);
                        }
                    }
                    Event::Discarded(index) if !all.is_empty() => {
                        let position = *all.keys().nth(index.index(all.len())).unwrap();
                        let envelope = all.remove(&position).unwrap();
                        mailbox.lock().discard(position, &envelope);
                    }
                    Event::AllDiscarded(indexes) if !all.is_empty() => {
                        let positions: Vec<Position> = all.keys().copied().collect();
                        let gone = indexes.iter().map(|index| positions[index.index(positions.len())]);
                        let mut gone: Vec<Position> = gone.collect();
                        gone.sort_unstable();
                        gone.dedup();
                        mailbox
                            .lock()
                            .discard_all(&gone, |position, _, _| (all.remove(&position).unwrap().len(), None));
                    }
                    Event::Discarded(_) | Event::AllDiscarded(_) => {}
                }
                let bytes = all.values().map(Bytes::len).sum();
                prop_assert_eq!(mailbox.lock().amount(), Amount { messages: all.len(), bytes });
            }
        }
    }
}
