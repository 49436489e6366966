//! What arrives while the last submission of a conversation is not durable waits for that, and is submitted together
//! with what comes meanwhile: each submission notes how far its lanes have come, and is acknowledged lane by lane,
//! whatever is in it. Pure.
//!
//! Nothing waits while nothing is under way, so that a lone message is never later for it; and no more than a bound,
//! so that a sender with much to send is not kept waiting for a slow disk.

use everpost_persistence::Position;

/// How many messages are gathered.
const MESSAGES_MAX: usize = 1024;

/// The decision for the messages of one conversation.
#[derive(Debug)]
pub(in crate::link) struct Gathering {
    /// How many bytes a submission may have; a single message always has its place.
    bytes_max: usize,
    messages: usize,
    bytes: usize,
    /// The last submission; 0 before the first.
    under_way: Position,
}

impl Gathering {
    pub(in crate::link) const fn new(bytes_max: usize) -> Self {
        Self { bytes_max, messages: 0, bytes: 0, under_way: Position(0) }
    }

    /// Whether a message of so many bytes may be submitted together with what was gathered.
    pub(in crate::link) const fn has_room_for(&self, bytes: usize) -> bool {
        self.messages == 0 || self.bytes + bytes <= self.bytes_max
    }

    pub(in crate::link) const fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes;
    }

    /// Whether what was gathered is to be submitted, given what is durable.
    pub(in crate::link) fn is_due(&self, durable: Position) -> bool {
        self.messages > 0 && (self.under_way <= durable || self.messages >= MESSAGES_MAX)
    }

    /// What makes it due when it is durable, if anything waits.
    pub(in crate::link) fn waits_for(&self) -> Option<Position> {
        (self.messages > 0).then_some(self.under_way)
    }

    /// It was submitted under this ticket; none where nothing of it was new.
    pub(in crate::link) fn submitted(&mut self, ticket: Option<Position>) {
        (self.messages, self.bytes) = (0, 0);
        self.under_way = ticket.unwrap_or(self.under_way);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BYTES_MAX: usize = 10_000;

    /// A conversation, and a store that takes some moments for a commit, in which the next submissions wait.
    struct Simulation {
        gathering: Gathering,
        now: u64,
        commit_moments: u64,
        last: u64,
        durable: Position,
        /// What is committed when, and what waits for that.
        committing: Option<(u64, u64)>,
        waiting: Option<u64>,
        /// How many messages each submission had, and how many bytes.
        submissions: Vec<(usize, usize)>,
    }

    impl Simulation {
        fn new(commit_moments: u64) -> Self {
            Self {
                gathering: Gathering::new(BYTES_MAX),
                now: 0,
                commit_moments,
                last: 0,
                durable: Position(0),
                committing: None,
                waiting: None,
                submissions: Vec::new(),
            }
        }

        fn arrive(&mut self, messages: &[usize]) {
            for bytes in messages {
                if !self.gathering.has_room_for(*bytes) {
                    self.submit();
                }
                self.gathering.add(*bytes);
            }
            self.look();
        }

        fn look(&mut self) {
            if self.gathering.is_due(self.durable) {
                self.submit();
            }
        }

        fn submit(&mut self) {
            self.last += 1;
            self.submissions.push((self.gathering.messages, self.gathering.bytes));
            self.gathering.submitted(Some(Position(self.last)));
            match self.committing {
                Some(_) => self.waiting = Some(self.last),
                None => self.committing = Some((self.now + self.commit_moments, self.last)),
            }
        }

        /// A moment passes.
        fn pass(&mut self) {
            self.now += 1;
            if let Some((_, last)) = self.committing.take_if(|(at, _)| *at <= self.now) {
                self.durable = Position(last);
                self.committing = self.waiting.take().map(|last| (self.now + self.commit_moments, last));
                self.look();
            }
        }
    }

    #[test]
    fn a_lone_message_waits_for_nothing() {
        let mut simulation = Simulation::new(5);
        for lone in 1..10 {
            simulation.arrive(&[100]);
            assert_eq!(simulation.submissions.len(), lone);
            (0..5).for_each(|_| simulation.pass());
        }
    }

    #[test]
    fn what_comes_during_a_commit_is_one_submission() {
        let mut simulation = Simulation::new(10);
        for _ in 0..100 {
            simulation.arrive(&[10; 3]);
            simulation.pass();
        }
        assert_eq!(simulation.submissions[..3], [(3, 30), (27, 270), (30, 300)]);
        assert!(simulation.submissions.len() <= 11, "{}", simulation.submissions.len());
    }

    #[test]
    fn a_slow_disk_keeps_nobody_waiting_beyond_the_bound() {
        let mut simulation = Simulation::new(u64::MAX / 2);
        (0..MESSAGES_MAX * 3).for_each(|_| simulation.arrive(&[1]));
        assert_eq!(simulation.submissions[..2], [(1, 1), (MESSAGES_MAX, MESSAGES_MAX)]);
        assert_eq!(simulation.submissions.len(), 3);
    }

    #[test]
    fn what_had_nothing_new_leaves_the_last_submission_under_way() {
        let mut gathering = Gathering::new(BYTES_MAX);
        gathering.submitted(Some(Position(7)));
        gathering.add(1);
        gathering.submitted(None);
        gathering.add(1);
        assert_eq!(gathering.waits_for(), Some(Position(7)));
        assert!(!gathering.is_due(Position(6)) && gathering.is_due(Position(7)));
    }

    proptest! {
        #[test]
        fn every_message_is_submitted_once_and_none_beyond_the_bounds(
            commit_moments in 1..20_u64,
            arrivals in prop::collection::vec(prop::collection::vec(1..3000_usize, 0..40), 1..60),
        ) {
            let mut simulation = Simulation::new(commit_moments);
            for messages in &arrivals {
                simulation.arrive(messages);
                simulation.pass();
            }
            (0..=2 * commit_moments).for_each(|_| simulation.pass());
            prop_assert_eq!(simulation.gathering.waits_for(), None);
            let submitted: usize = simulation.submissions.iter().map(|(messages, _)| messages).sum();
            prop_assert_eq!(submitted, arrivals.iter().map(Vec::len).sum::<usize>());
            for (messages, bytes) in simulation.submissions {
                prop_assert!(bytes <= BYTES_MAX || messages == 1);
                prop_assert!(messages < MESSAGES_MAX + 40);
            }
        }
    }
}
