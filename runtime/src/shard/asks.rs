//! The asks of all turns of a node that have not committed, in memory. The store has the same, under the mailboxes
//! that asked.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

use everpost_persistence::{Key, MailboxId, Position, Stage};

use super::Remote;
use crate::mailbox::Mailbox;
use crate::message::MessageId;
use crate::message::address::Address;
use crate::message::ask::RecordedAsk;
use crate::record::asked::Asked;

/// An ask that a turn has asked under an older build, which gave ids by one counter for all that a turn does, and kept
/// no record of what it was.
#[derive(Clone, Debug)]
pub(crate) struct Older {
    pub(crate) id: MessageId,
    pub(crate) to: Address,
    /// Where the store has the reply, or that another node was asked.
    pub(crate) key: Key,
    /// The node that was asked, and by which message; none for this one.
    pub(crate) remote: Option<(Remote, Position)>,
}

/// An ask on its way: what was asked is stored in the step that submits it.
#[derive(Debug)]
pub(crate) struct Asking<'a> {
    pub(crate) mailbox: &'a Mailbox,
    pub(crate) asked: Asked,
}

impl Asking<'_> {
    /// Adds what is asked to the submission in which the ask got this position.
    pub(crate) fn stage(&mut self, stage: &mut Stage<'_>, position: Position) {
        self.asked.position = position;
        let key = self.asked.key(self.mailbox.partition, self.mailbox.id());
        stage.put(key, self.asked.encode());
    }
}

/// What is kept of the asks of turns. A mailbox counts the waiting messages that have asked, so that the turns of a
/// mailbox that never asks do not look here.
#[derive(Debug, Default)]
pub(crate) struct Register {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_turn: HashMap<u128, OfTurn>,
    /// The turn and the place of an ask, by its id.
    places: HashMap<u128, (u128, u32)>,
    /// What an older build may have asked: replies and cursors that the start has found, by their mailboxes and ids.
    older: HashSet<(MailboxId, u128)>,
}

/// What a turn has asked.
#[derive(Debug, Default)]
struct OfTurn {
    asked: Vec<Asked>,
    /// Its message waits, or is in flight, and is counted in its mailbox.
    waits: bool,
}

impl Register {
    /// What this turn has asked at that place on an earlier attempt.
    pub(crate) fn find(&self, turn: MessageId, place: u32) -> Option<Asked> {
        self.lock().of(turn).find(|asked| asked.place == place).cloned()
    }

    /// An ask was submitted by a turn of this mailbox.
    pub(crate) fn asked(&self, mailbox: &Mailbox, asked: Asked) {
        let turn = asked.turn;
        let mut known = self.lock();
        known.add(asked);
        known.waits(mailbox, turn);
    }

    /// An ask became a dead letter, so that it had no effect. Only this node's own turns are known here.
    pub(crate) fn given_up(&self, id: MessageId) {
        let mut known = self.lock();
        if let Some((turn, place)) = known.places.get(&id.0).copied()
            && let Some(of_turn) = known.by_turn.get_mut(&turn)
        {
            of_turn.asked.iter_mut().filter(|asked| asked.place == place).for_each(|asked| asked.is_given_up = true);
        }
    }

    /// The asks that a turn has asked before and not on this attempt, which asked those at the places `used`; one
    /// that was given up on had no effect, and may be left out.
    pub(crate) fn left_out(&self, turn: MessageId, used: &[u32]) -> Vec<RecordedAsk> {
        let known = self.lock();
        known.of(turn).filter(|asked| !asked.is_given_up && !used.contains(&asked.place)).map(Asked::told).collect()
    }

    /// The turn commits, or its message is gone for good from this mailbox: what it has asked is forgotten.
    pub(crate) fn over(&self, mailbox: &Mailbox, turn: MessageId) -> Vec<Asked> {
        let mut known = self.lock();
        known.waits_no_more(mailbox, turn);
        known.forget(turn)
    }

    /// A message is gone for good that was given up on: what its turn has asked is forgotten, unless it waits all the
    /// same.
    pub(crate) fn gone(&self, turn: MessageId) -> Vec<Asked> {
        let mut known = self.lock();
        let waits = known.by_turn.get(&turn.0).is_some_and(|of_turn| of_turn.waits);
        if waits { Vec::new() } else { known.forget(turn) }
    }

    /// The message whose turn asked has become a dead letter. What it has asked is kept for its replay.
    pub(crate) fn given_up_on(&self, mailbox: &Mailbox, turn: MessageId) {
        self.lock().waits_no_more(mailbox, turn);
    }

    /// A message waits that may have asked: a dead letter that is replayed, an ask that is asked anew, or one that the
    /// start has found.
    pub(crate) fn waits(&self, mailbox: &Mailbox, turn: MessageId) {
        self.lock().waits(mailbox, turn);
    }

    /// Whether this is the ask of a turn that is not over.
    pub(crate) fn is_asked(&self, id: MessageId) -> bool {
        self.lock().places.contains_key(&id.0)
    }

    /// Whether the turn of this message is known to have asked.
    pub(crate) fn has_asked(&self, turn: MessageId) -> bool {
        self.lock().by_turn.contains_key(&turn.0)
    }

    /// Whether the message waits whose turn asked.
    pub(crate) fn is_waiting(&self, turn: MessageId) -> bool {
        self.lock().by_turn.get(&turn.0).is_some_and(|of_turn| of_turn.waits)
    }

    /// What the start has found in the store.
    pub(crate) fn recovered(&self, asked: Asked) {
        self.lock().add(asked);
    }

    /// The start has found what may be of an older build.
    pub(crate) fn recovered_older(&self, mailbox: MailboxId, request: u128) {
        self.lock().older.insert((mailbox, request));
    }

    /// Whether an older build may have asked this.
    pub(crate) fn is_older(&self, mailbox: MailboxId, request: MessageId) -> bool {
        let known = self.lock();
        !known.older.is_empty() && known.older.contains(&(mailbox, request.0))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn of(&self, turn: MessageId) -> impl Iterator<Item = &Asked> {
        self.by_turn.get(&turn.0).into_iter().flat_map(|of_turn| &of_turn.asked)
    }

    fn add(&mut self, asked: Asked) {
        let (turn, place) = (asked.turn.0, asked.place);
        self.places.insert(asked.id().0, (turn, place));
        let of_turn = &mut self.by_turn.entry(turn).or_default().asked;
        of_turn.retain(|other| other.place != place);
        of_turn.push(asked);
    }

    fn forget(&mut self, turn: MessageId) -> Vec<Asked> {
        let asked = self.by_turn.remove(&turn.0).unwrap_or_default().asked;
        for asked in &asked {
            self.places.remove(&asked.id().0);
        }
        asked
    }

    fn waits(&mut self, mailbox: &Mailbox, turn: MessageId) {
        if let Some(of_turn) = self.by_turn.get_mut(&turn.0).filter(|of_turn| !of_turn.waits) {
            of_turn.waits = true;
            mailbox.asking.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn waits_no_more(&mut self, mailbox: &Mailbox, turn: MessageId) {
        if let Some(of_turn) = self.by_turn.get_mut(&turn.0).filter(|of_turn| of_turn.waits) {
            of_turn.waits = false;
            mailbox.asking.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
