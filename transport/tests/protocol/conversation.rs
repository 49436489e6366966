//! What one end of a connection does, in the steps between which anything may happen to it.

use everpost_transport::hello::{Hello, Resume};
use everpost_transport::link::{Lane, Next, Sequence, Terms};
use rustc_hash::FxHashSet;

use super::bugs::Bug;
use super::network::{Control, Phase};
use super::oracle::{Arrivals, Judgement, Oracle};
use super::process::body;
use super::world::World;

/// One end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    pub(crate) connection: usize,
    pub(crate) end: usize,
}

/// What an end in a conversation may do.
const MOVES: usize = 6;
/// How many frames are read, and how many messages sent, in a step.
const BATCH: usize = 3;

impl World {
    /// Does a few things at one end, of which any may come first.
    pub(crate) fn advance(&mut self, at: At) -> Judgement {
        if self.end(at).is_cut && self.random.once_in(4) {
            self.leave(at);
            return Ok(());
        }
        let (first, count) = (self.random.below(MOVES), 1 + self.random.below(MOVES));
        (first..first + count).try_for_each(|chosen| self.advance_by(at, chosen % MOVES))
    }

    /// Does everything at one end that there is to do.
    pub(crate) fn advance_fully(&mut self, at: At) -> Judgement {
        if self.end(at).is_cut {
            self.leave(at);
        }
        (0..MOVES).try_for_each(|chosen| self.advance_by(at, chosen))
    }

    fn advance_by(&mut self, at: At, chosen: usize) -> Judgement {
        match (self.end(at).phase, chosen) {
            (Phase::Introducing, _) => self.be_introduced(at),
            (Phase::Remembering(ticket), _) => self.be_remembered(at, ticket),
            (Phase::Arrived, _) => self.take_over(at),
            (Phase::Settling, _) => return self.say_where(at),
            (Phase::Resuming, _) => return self.go_on(at),
            (Phase::Conversing, 0) => return self.hear(at),
            (Phase::Conversing, 1) => return self.tell(at),
            (Phase::Conversing, 2) => self.bring_bodies(at),
            (Phase::Conversing, 3) => return self.depart(at),
            (Phase::Conversing, stream) => return self.arrive(at, stream % 2),
            (Phase::Over, _) => {}
        }
        Ok(())
    }

    fn be_introduced(&mut self, at: At) {
        let Some(Control::Hello(theirs)) = self.end_mut(at).control.pop_front() else { return };
        if !self.check(at, &theirs) {
            return;
        }
        let peer = self.peer(at);
        self.end_mut(at).theirs = Some(theirs);
        if at.end == 0 {
            self.end_mut(at).phase = Phase::Settling;
            return;
        }
        // The newest connection wins, now that its peer was believed.
        self.end_mut(at).phase = Phase::Arrived;
        if let Some(before) = self.process(at).link(peer).arrived.replace(at.connection) {
            self.leave(At { connection: before, ..at });
        }
    }

    fn check(&mut self, at: At, theirs: &Hello) -> bool {
        let peer = self.peer(at);
        let Err(refusal) = self.process(at).check(theirs, peer) else { return true };
        self.process(at).note_refused(theirs.run);
        self.refuse(at, &refusal);
        false
    }

    fn take_over(&mut self, at: At) {
        let peer = self.peer(at);
        if let Some(before) = self.process(at).link(peer).current {
            self.count("connection superseded");
            self.leave(At { connection: before, ..at });
        }
        *self.process(at).link(peer) = super::process::Link { current: Some(at.connection), arrived: None };
        self.end_mut(at).phase = Phase::Settling;
    }

    fn say_where(&mut self, at: At) -> Judgement {
        let producer = self.store_of_peer(at);
        let Some(lanes) = self.process(at).cursors(producer) else { return Ok(()) };
        for (lane, cursor) in &lanes {
            Oracle::told(self.process(at), producer, *lane, *cursor)?;
        }
        let credit = self.end(at).credit;
        self.say(at, Control::Resume(Resume { credit, lanes }));
        self.end_mut(at).phase = Phase::Resuming;
        Ok(())
    }

    fn go_on(&mut self, at: At) -> Judgement {
        let Some(Control::Resume(Resume { credit, lanes })) = self.end_mut(at).control.pop_front() else {
            return Ok(());
        };
        // Once more, and in one step with all that follows: others of this store may have been believed since.
        let theirs = self.end(at).theirs.clone().expect("it was introduced");
        if !self.is_planted(Bug::JudgedEarly) && !self.check(at, &theirs) {
            return Ok(());
        }
        let (receiver, peer) = (theirs.run.shard, self.peer(at));
        let message_bytes_max = self.other_end(at).message_bytes_max;
        let terms = Terms { receiver_types: self.shared_types(at), credit, message_bytes_max };
        match self.process(at).go_on(peer, receiver, &lanes, terms) {
            Err(error) => self.refuse(at, &error),
            Ok(settled) => {
                Oracle::settled(self.process_ref(at), self.other_process(at), &settled)?;
                self.process(at).settle(peer, settled);
                // Not before: an old copy may be found out only by where its lanes are.
                let ticket = self.process(at).get_acquainted(&theirs);
                let ticket = ticket.max(self.process(at).be_together(peer));
                self.end_mut(at).phase = Phase::Remembering(ticket);
            }
        }
        Ok(())
    }

    fn be_remembered(&mut self, at: At, ticket: u64) {
        if self.process(at).known() >= ticket {
            self.end_mut(at).phase = Phase::Conversing;
            self.conversing(at);
        }
    }

    fn hear(&mut self, at: At) -> Judgement {
        let peer = self.peer(at);
        let mut settled = Vec::new();
        for _ in 0..BATCH {
            let Some(Control::Ack(ack)) = self.end_mut(at).control.pop_front() else { break };
            if let Err(error) = self.process(at).acknowledged(peer, ack, &mut settled) {
                self.refuse(at, &error);
                return Ok(());
            }
        }
        Oracle::settled(self.process_ref(at), self.other_process(at), &settled)?;
        self.process(at).settle(peer, settled);
        Ok(())
    }

    fn tell(&mut self, at: At) -> Judgement {
        let (producer, credit) = (self.store_of_peer(at), self.end(at).credit);
        for ack in self.process(at).acks(producer, credit) {
            Oracle::told(self.process(at), producer, ack.lane, ack.through)?;
            self.say(at, Control::Ack(ack));
            if self.random.once_in(8) {
                self.count("acknowledgement repeated");
                self.say(at, Control::Ack(ack));
            }
        }
        Ok(())
    }

    fn bring_bodies(&mut self, at: At) {
        if let Some((lane, bodies)) = self.end_mut(at).loading.take() {
            let peer = self.peer(at);
            self.process(at).sending(peer).loaded(lane, bodies);
        }
    }

    fn depart(&mut self, at: At) -> Judgement {
        let peer = self.peer(at);
        for _ in 0..BATCH {
            if self.end(at).loading.is_some() {
                break;
            }
            match self.process(at).next(peer) {
                Next::Send(data) => {
                    Oracle::sent(self.process(at), &data)?;
                    self.send(at, data);
                }
                Next::Load(lane, sequences) => self.load(at, lane, &sequences),
                Next::TooLarge { .. } => self.count("message too large for the peer"),
                Next::Nothing => break,
            }
        }
        Ok(())
    }

    fn load(&mut self, at: At, lane: Lane, sequences: &[Sequence]) {
        self.count("bodies read from the store");
        let outbox = &self.process(at).store.live.outbox;
        let found = sequences.iter().filter_map(|sequence| {
            let owed = outbox.get(sequence)?;
            Some((*sequence, body(owed.message, owed.bytes)))
        });
        let bodies = found.collect();
        self.end_mut(at).loading = Some((lane, bodies));
    }

    fn arrive(&mut self, at: At, stream: usize) -> Judgement {
        let producer = self.store_of_peer(at);
        let stream = &mut self.end_mut(at).data[stream];
        let arriving: Vec<_> = stream.drain(..stream.len().min(BATCH)).collect();
        let count = arriving.len();
        if count == 0 {
            return Ok(());
        }
        let (new, broken) = self.process(at).receive(producer, arriving);
        if broken.is_none() && new.len() < count {
            self.count("message known already");
        }
        if !new.is_empty() {
            let (sender, receiver) = (self.other_process(at), self.process_ref(at));
            let is_wiped = self.is_wiped(receiver.node);
            self.oracle.arriving(&Arrivals { sender, receiver, is_wiped }, &new)?;
            self.process(at).store_arrivals(producer, &new);
        }
        if let Some(broken) = broken {
            self.refuse(at, &broken);
        }
        Ok(())
    }

    /// The receiver types that both ends have.
    fn shared_types(&self, at: At) -> FxHashSet<u64> {
        let theirs = self.end(at).theirs.as_ref().expect("it was introduced");
        theirs.receiver_types.iter().map(|receivers| receivers.name.parse().expect("a number")).collect()
    }

    fn store_of_peer(&self, at: At) -> u128 {
        self.end(at).theirs.as_ref().expect("it was introduced").run.shard
    }
}
