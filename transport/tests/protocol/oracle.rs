//! The oracle: judges every step from what the stores hold, without a look into the machines under test.

use everpost_transport::hello::Run;
use everpost_transport::link::{Data, Lane, Sequence};

use super::process::{Process, message_of};
use super::store::Message;

/// What was accepted by a node: where from, where to, and what it follows in its lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted {
    pub(crate) store: u128,
    pub(crate) peer: usize,
    lane: Lane,
    previous: Option<Message>,
}

/// Every message that was ever accepted; its number is its place.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    accepted: Vec<Accepted>,
}

pub(crate) type Judgement = Result<(), String>;

impl Oracle {
    /// A message is about to be accepted by `sender`.
    pub(crate) fn accepted(&mut self, sender: &Process, peer: usize, lane: Lane) -> Message {
        let previous = sender.store.live.last_dispatched.get(&lane).copied();
        self.accepted.push(Accepted { store: sender.store.id, peer, lane, previous });
        self.accepted.len() as Message - 1
    }

    pub(crate) fn messages(&self) -> impl Iterator<Item = (Message, &Accepted)> {
        (0..).zip(&self.accepted)
    }

    /// What a message follows in its lane, without what was withdrawn before it could arrive.
    fn before(&self, sender: &Process, accepted: &Accepted) -> Option<Message> {
        let mut previous = accepted.previous;
        while let Some(message) = previous.filter(|message| sender.store.live.withdrawn.contains(message)) {
            previous = self.accepted[message as usize].previous;
        }
        previous
    }

    /// I6: what leaves is durable.
    pub(crate) fn sent(sender: &Process, data: &Data) -> Judgement {
        let message = message_of(&data.body);
        judge(sender.store.durable.dispatched.contains(&message), || {
            format!("I6 gate: message {message} left before it was durable")
        })
    }

    /// I6: what is acknowledged is durable.
    pub(crate) fn told(receiver: &Process, producer: u128, lane: Lane, through: Sequence) -> Judgement {
        let durable = receiver.store.durable.received.get(&(producer, lane)).copied().unwrap_or_default();
        judge(through <= durable, || {
            format!("I6 gate: lane {lane} was acknowledged up to {}, but is durable up to {}", through.0, durable.0)
        })
    }

    /// I1: what a sender forgets is on the disk of the receiver that it speaks with.
    pub(crate) fn settled(sender: &Process, receiver: &Process, settled: &[(Lane, Sequence)]) -> Judgement {
        for (lane, sequence) in settled {
            let Some(owed) = sender.store.live.outbox.get(sequence) else {
                return Err(format!("I1 no loss: message {} of lane {lane} was forgotten too early", sequence.0));
            };
            judge(receiver.store.durable.inbox.contains(&owed.message), || {
                format!(
                    "I1 no loss: message {} ({} of lane {lane}) was given up, but is not on the disk of node {}",
                    owed.message, sequence.0, receiver.node
                )
            })?;
        }
        Ok(())
    }

    /// Everything that has come from a store is part of what this copy of it has sent.
    pub(crate) fn one_history(sender: &Process, receiver: &Process) -> Judgement {
        let Run { shard: store, .. } = sender.run;
        for ((_, lane), message) in receiver.store.live.last_arrived.range((store, LANE_MIN)..=(store, LANE_MAX)) {
            judge(sender.store.live.dispatched.contains(message), || {
                format!(
                    "{:?} never sent message {message} of lane {lane}, which had come: two histories mix",
                    sender.run
                )
            })?;
        }
        Ok(())
    }

    /// What `receiver` is about to take is new, for it, in order, and of one history.
    pub(crate) fn arriving(&self, before: &Arrivals<'_>, new: &[Data]) -> Judgement {
        let Arrivals { sender, receiver, is_wiped } = *before;
        let run = sender.run;
        judge(!receiver.refused.contains_key(&(run.shard, run.nonce)), || {
            format!("a message of {run:?} was taken after that had been refused")
        })?;
        Self::one_history(sender, receiver)?;
        let mut last = receiver.store.live.last_arrived.clone();
        let mut fresh = std::collections::BTreeSet::new();
        for data in new {
            let message = message_of(&data.body);
            let accepted = &self.accepted[message as usize];
            let is_addressed = (accepted.store, accepted.peer, accepted.lane) == (run.shard, receiver.node, data.lane);
            judge(is_addressed, || format!("I2 no phantom: message {message} came to node {}", receiver.node))?;
            let is_new = !receiver.store.live.inbox.contains(&message) && fresh.insert(message);
            judge(is_new, || format!("I3 once: message {message} came twice"))?;
            // What the sender takes back is not taken back from under the receiver.
            let is_withdrawn = sender.store.live.withdrawn.contains(&message);
            judge(!is_withdrawn, || format!("I2 no phantom: message {message} came although it was withdrawn"))?;
            let before = last.insert((run.shard, data.lane), message);
            // A store that was wiped begins with the first message that is still owed.
            let begins =
                || before.is_none() && is_wiped && !accepted.previous.is_some_and(|previous| sender.owes(previous));
            let follows = self.before(sender, accepted);
            judge(before == follows || begins(), || {
                format!("I4 order: message {message} came after {before:?}, but follows {follows:?}")
            })?;
        }
        Ok(())
    }
}

/// Between whom messages arrive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrivals<'a> {
    pub(crate) sender: &'a Process,
    pub(crate) receiver: &'a Process,
    /// The receiver's node had another store before.
    pub(crate) is_wiped: bool,
}

const LANE_MIN: Lane = Lane { receiver_type: 0, partition: 0 };
const LANE_MAX: Lane = Lane { receiver_type: u64::MAX, partition: u16::MAX };

pub(crate) fn judge(holds: bool, otherwise: impl FnOnce() -> String) -> Judgement {
    if holds { Ok(()) } else { Err(otherwise()) }
}
