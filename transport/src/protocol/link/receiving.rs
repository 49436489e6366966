//! The receiving side: how far each lane of one producer has come, and what may be acknowledged.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::error::Break;
use super::message::{Ack, Lane, Sequence};

/// How far the lanes of one producer have come. Lives as long as the process, over all connections. The
/// [module](super) has an example.
#[derive(Clone, Debug, Default)]
pub struct Receiving {
    lanes: FxHashMap<Lane, LaneProgress>,
    /// Lanes with something that is not acknowledged yet, each once.
    unacknowledged: Vec<Lane>,
}

#[derive(Clone, Debug, Default)]
struct LaneProgress {
    /// The last message that was submitted to the store.
    received: Sequence,
    /// The last message that is known to be durable.
    durable: Sequence,
    /// Submissions that are not known to be durable: the ticket of each, and how far it takes the lane. Oldest first.
    submitted: VecDeque<(Ticket, Sequence)>,
}

/// The number of a submission to the own store. Numbers only grow, and are durable in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What a message is to its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The next one of its lane: to be stored together with the lane's cursor.
    New,
    /// It was stored before: to be dropped.
    Duplicate,
}

impl Receiving {
    /// Nothing was received yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What the store knew when it was opened.
    pub fn recovered(&mut self, lane: Lane, received: Sequence) {
        self.lanes.insert(lane, LaneProgress { received, durable: received, submitted: VecDeque::new() });
    }

    /// Takes a message, unless it was received before or does not follow. A new one must be submitted to the store
    /// next, and the submission be told to [`Receiving::submitted`].
    ///
    /// # Errors
    ///
    /// [`Break`]; nothing was taken.
    pub fn receive(&mut self, lane: Lane, previous: Sequence, sequence: Sequence) -> Result<Arrival, Break> {
        let progress = self.lanes.entry(lane).or_default();
        if sequence <= progress.received {
            return Ok(Arrival::Duplicate);
        }
        if previous != progress.received {
            return Err(Break { lane, received: progress.received, previous, sequence });
        }
        progress.received = sequence;
        Ok(Arrival::New)
    }

    /// How far a lane has come, submitted or not.
    #[must_use]
    pub fn received(&self, lane: Lane) -> Sequence {
        self.lanes.get(&lane).map_or(Sequence(0), |progress| progress.received)
    }

    /// What was received of `lane` so far is part of the submission with this ticket.
    ///
    /// # Panics
    ///
    /// When nothing was ever received of the lane.
    pub fn submitted(&mut self, lane: Lane, ticket: Ticket) {
        let progress = self.lanes.get_mut(&lane).expect("only what was received is submitted");
        if progress.submitted.is_empty() {
            self.unacknowledged.push(lane);
        }
        progress.submitted.push_back((ticket, progress.received));
    }

    /// Appends acknowledgements for what is durable and was not acknowledged yet, given that every ticket up to
    /// `durable` is: one for each lane, with this credit.
    pub fn acks(&mut self, durable: Ticket, credit: u64, acks: &mut Vec<Ack>) {
        let lanes = &mut self.lanes;
        self.unacknowledged.retain(|lane| {
            let progress = lanes.get_mut(lane).expect("a lane that was submitted to");
            if let Some(through) = progress.settle(durable) {
                acks.push(Ack { lane: *lane, through, credit });
            }
            !progress.submitted.is_empty()
        });
    }

    /// Whether everything that was received is durable. Only then may the next conversation begin.
    #[must_use]
    pub fn is_settled(&mut self, durable: Ticket) -> bool {
        self.acks(durable, 0, &mut Vec::new());
        self.unacknowledged.is_empty()
    }

    /// How far every lane has come, durably: where the producer is to go on.
    pub fn cursors(&self) -> impl Iterator<Item = (Lane, Sequence)> + '_ {
        self.lanes.iter().map(|(lane, progress)| (*lane, progress.durable))
    }

    /// The newest message that was received, over all lanes. A new run of the producer starts after it, or the
    /// producer's store is an old copy.
    #[must_use]
    pub fn newest(&self) -> Sequence {
        self.lanes.values().map(|progress| progress.received).max().unwrap_or_default()
    }
}

impl LaneProgress {
    /// Moves the durable cursor; where it is now, if it has moved.
    fn settle(&mut self, durable: Ticket) -> Option<Sequence> {
        let mut moved = None;
        while let Some(&(_, through)) = self.submitted.front().filter(|(ticket, _)| *ticket <= durable) {
            self.submitted.pop_front();
            assert!(through >= self.durable, "a cursor never moves back");
            self.durable = through;
            moved = Some(through);
        }
        moved
    }
}
