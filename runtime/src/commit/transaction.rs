//! One transaction: effects that become durable together or not at all.

use std::sync::{Arc, MutexGuard};

use everpost_persistence::{AdmissionError, Permit, Position, Stage};
use smallvec::SmallVec;
use tokio::sync::Semaphore;

use super::effect::{AddedDeadLetter, Effect};
use super::locks::{MailboxLocks, PeerLocks, Wanted};
use super::size::{Origin, Size};
use crate::base::caught::caught;
use crate::cluster::{Outgoing, Peer};
use crate::mailbox::{Inner, Mailbox};
use crate::record::supervised::Paused;
use crate::shard::dead_letters::DeadLettersInStep;
use crate::shard::requests::RequestsInStep;
use crate::shard::senders::{Full, WaitingSender, Waits};
use crate::shard::services::{COMMIT, GATE};
use crate::shard::{Release, RepliesInStep, Shard};
use crate::timer::TimersInStep;

/// Most transactions have no more effects than these, and need no allocation for them.
const USUAL: usize = 4;

type Effects<'a> = SmallVec<[Effect<'a>; USUAL]>;

/// Effects that commit together. Its life: effects are added; room for them is reserved, which is the only wait; and
/// [`Transaction::commit`] does the rest in one step that nothing interrupts. Until then dropping it does nothing.
///
/// In that step everything that is touched is locked, in one order for all transactions: mailboxes by their ids, what
/// peers are owed by their names, dead letters, timers, idempotency keys, kept replies, and the store's queue last.
/// Then each effect looks whether it still holds; takes out of memory what leaves; says what the store is told; and
/// puts into memory what has come in. What may leave the node only when this is durable goes to the gate, after
/// everything was unlocked.
#[must_use = "nothing happens before it is committed"]
pub(crate) struct Transaction<'a> {
    shard: &'a Shard,
    origin: Origin,
    effects: Effects<'a>,
}

/// What a commit has decided. All of it counts when `ticket` is durable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Committed {
    /// Durable up to here, and everything of it is.
    pub(crate) ticket: Position,
    /// What the last message got that was sent; the ticket where none was.
    pub(crate) position: Position,
    /// The state of the actor was forgotten.
    pub(crate) forgotten: bool,
    /// How many records were removed because their time was over, or they were too many.
    pub(crate) removed: usize,
}

/// Why nothing was committed. Nothing has happened then.
#[derive(Debug)]
pub(crate) enum Refused {
    /// What it is about is not there any more, or is as it would be.
    Gone,
    /// The message is in flight or held: what becomes of it is being decided.
    Taken,
    /// There is no room for a message from outside.
    Full(Full),
    /// The mailbox on the other node is full, by its word; closed when that is over.
    FullThere(Arc<Semaphore>),
    /// There are as many timers as may be: so many.
    TimersFull(usize),
}

impl<'a> Transaction<'a> {
    /// For whoever sends from outside.
    pub(crate) fn outside(shard: &'a Shard) -> Self {
        Self::new(shard, Origin::Outside)
    }

    /// For the turn of a message.
    pub(crate) fn turn(shard: &'a Shard, message: Position) -> Self {
        Self::new(shard, Origin::Turn(message))
    }

    /// For the node itself.
    pub(crate) fn node(shard: &'a Shard) -> Self {
        Self::new(shard, Origin::Node)
    }

    /// For what removes more than it adds, or must be written before anything can be removed: it passes in a full
    /// store.
    pub(crate) fn upkeep(shard: &'a Shard) -> Self {
        Self::new(shard, Origin::Upkeep)
    }

    #[inline]
    fn new(shard: &'a Shard, origin: Origin) -> Self {
        Self { shard, origin, effects: Effects::new() }
    }

    #[inline]
    pub(crate) fn add(&mut self, effect: impl Into<Effect<'a>>) {
        self.effects.push(effect.into());
    }

    #[inline]
    pub(crate) fn add_if<E: Into<Effect<'a>>>(&mut self, effect: Option<E>) {
        if let Some(effect) = effect {
            self.add(effect);
        }
    }

    #[inline]
    pub(crate) fn with(mut self, effect: impl Into<Effect<'a>>) -> Self {
        self.add(effect);
        self
    }

    /// Room for the submission, as soon as there is some.
    ///
    /// # Errors
    ///
    /// It is larger than the store ever takes, or the store takes nothing any more.
    pub(crate) async fn reserve(&self) -> Result<Permit<'a>, AdmissionError> {
        let size = self.size();
        self.shard.store.reserve(self.origin.class(size), size.bytes).await
    }

    /// The same if there is room now.
    #[inline]
    pub(crate) fn try_reserve(&self) -> Result<Permit<'a>, AdmissionError> {
        let size = self.size();
        self.shard.store.try_reserve(self.origin.class(size), size.bytes)
    }

    /// Room for effects of the node that are known only when something is locked: they put values of these sizes.
    ///
    /// # Errors
    ///
    /// As for [`Transaction::reserve`].
    pub(crate) async fn room(
        shard: &'a Shard,
        puts: impl IntoIterator<Item = usize>,
    ) -> Result<Permit<'a>, AdmissionError> {
        let mut size = Size::default();
        puts.into_iter().for_each(|bytes| size.put(bytes));
        shard.store.reserve(Origin::Node.class(size), size.bytes).await
    }

    /// The same for upkeep.
    ///
    /// # Errors
    ///
    /// As for [`Transaction::reserve`].
    pub(crate) async fn room_for_upkeep(shard: &'a Shard, bytes: usize) -> Result<Permit<'a>, AdmissionError> {
        shard.store.reserve(Origin::Upkeep.class(Size::default()), bytes).await
    }

    #[inline]
    pub(super) fn size(&self) -> Size {
        let mut size = Size::default();
        self.effects.iter().for_each(|effect| effect.size(&mut size));
        size
    }

    /// Commits in one step.
    ///
    /// # Errors
    ///
    /// Nothing has happened.
    pub(crate) fn commit(mut self, permit: Permit<'_>) -> Result<Committed, Refused> {
        self.decide(permit, None, |step| step.end())
    }

    /// The same for effects that cannot be refused.
    pub(crate) fn commit_in_any_case(mut self, permit: Permit<'_>) -> Committed {
        self.commit_in_place(permit)
    }

    /// Commits effects that cannot be refused if there is room now, as there nearly always is; else hands them back, to
    /// be committed when there is. So they are not part of the future of whoever might have to wait.
    pub(crate) fn commit_with_room(mut self) -> Result<Committed, Box<Self>> {
        match self.try_reserve() {
            Ok(permit) => Ok(self.commit_in_place(permit)),
            Err(_) => Err(Box::new(self)),
        }
    }

    /// The same as soon as there is room.
    ///
    /// # Errors
    ///
    /// As for [`Transaction::reserve`].
    pub(crate) async fn commit_when_there_is_room(mut self: Box<Self>) -> Result<Committed, AdmissionError> {
        let permit = self.reserve().await?;
        Ok(self.commit_in_place(permit))
    }

    /// Commits a message from outside, which the bounds of its mailbox and node hold for. `waits` is where its sender
    /// waits in the queue, if it has waited before. Not moved, since each send passes here.
    ///
    /// # Errors
    ///
    /// Nothing has happened, and it can be committed later.
    pub(crate) fn commit_within(&mut self, permit: Permit<'_>, waits: &mut Waits<'a>) -> Result<Committed, Refused> {
        self.decide(permit, Some(waits), |step| step.end())
    }

    /// Commits effects that cannot be refused, without moving them: each turn passes here.
    #[inline]
    fn commit_in_place(&mut self, permit: Permit<'_>) -> Committed {
        match self.decide(permit, None, |step| step.end()) {
            Ok(committed) => committed,
            Err(why) => unreachable!("these effects hold whatever happens, and were refused: {why:?}"),
        }
    }

    /// Everything but the end of the step, which is for `end`: decided and submitted, and still locked. No effect is
    /// left then, unless they are refused.
    #[inline]
    pub(super) fn decide<T>(
        &mut self,
        permit: Permit<'_>,
        waits: Option<&mut Waits<'a>>,
        end: impl FnOnce(&mut Step<'_, 'a>) -> T,
    ) -> Result<T, Refused> {
        // Dropped after the step, when everything is unlocked.
        let mut change = Change { shard: self.shard, is_under_way: false };
        let mut step = Step::begin(self.shard, &self.effects, waits);
        for effect in &mut self.effects {
            effect.check(&mut step)?;
        }
        change.is_under_way = true;
        self.effects.iter_mut().for_each(|effect| effect.take(&mut step));
        let effects = &mut self.effects;
        let stage = |stage: &mut Stage<'_>| effects.iter_mut().for_each(|effect| effect.stage(stage));
        let store = &self.shard.store;
        let (ticket, ()) = match self.origin.is_hurried() {
            true => store.submit(permit, stage),
            // Whoever waits for it after all says so at the gate.
            false => store.submit_unhurried(permit, stage),
        };
        step.ticket = ticket;
        step.position = ticket;
        self.effects.drain(..).for_each(|effect| effect.apply(&mut step));
        change.is_under_way = false;
        Ok(end(&mut step))
    }
}

/// What a commit changes. Should a panic cut it off in the middle, memory and store differ, and only the next start
/// puts that right: so the node ends, whoever has committed and is started anew.
struct Change<'a> {
    shard: &'a Shard,
    is_under_way: bool,
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        if self.is_under_way {
            // Another panic during this one would end the process.
            let _ = caught(|| self.shard.panicked(COMMIT.name, COMMIT.means, "in the middle of it"));
        }
    }
}

/// The step of a commit: everything that its effects touch, locked.
pub(super) struct Step<'s, 'a> {
    pub(super) shard: &'a Shard,
    mailboxes: MailboxLocks<'a>,
    peers: PeerLocks<'a>,
    /// These are locked when they are first looked at, by the effects that change them. No transaction has effects of
    /// which one would lock them in another order than this.
    pub(super) dead_letters: DeadLettersInStep<'a>,
    pub(super) timers: TimersInStep<'a>,
    pub(super) requests: RequestsInStep<'a>,
    pub(super) replies: RepliesInStep<'a>,
    /// The actor type that is paused or resumed.
    pub(super) paused_type: Option<MutexGuard<'a, Option<Paused>>>,
    /// Where a sender from outside waits in the queue.
    pub(super) waits: Option<&'s mut Waits<'a>>,
    /// The sender had waited for room in the node, and goes in.
    pub(super) passed: Option<WaitingSender<'a>>,
    /// When this is durable, so is what was submitted.
    pub(super) ticket: Position,
    /// What the last message got.
    pub(super) position: Position,
    pub(super) forgotten: bool,
    pub(super) removed: usize,
    /// The dead letter that was added.
    pub(super) dead_letter: Option<AddedDeadLetter<'a>>,
    pub(super) releases: SmallVec<[(Position, Release); USUAL]>,
}

impl<'s, 'a> Step<'s, 'a> {
    #[inline]
    fn begin(shard: &'a Shard, effects: &Effects<'a>, waits: Option<&'s mut Waits<'a>>) -> Self {
        let mut wanted = Wanted::default();
        effects.iter().for_each(|effect| effect.locks(&mut wanted));
        Self {
            shard,
            mailboxes: MailboxLocks::lock(wanted.mailboxes),
            peers: PeerLocks::lock(wanted.peers),
            dead_letters: shard.dead_letters.in_step(),
            timers: shard.timers.in_step(),
            requests: shard.requests.in_step(),
            replies: shard.kept_replies.in_step(),
            paused_type: None,
            waits,
            passed: None,
            ticket: Position(0),
            position: Position(0),
            forgotten: false,
            removed: 0,
            dead_letter: None,
            releases: SmallVec::new(),
        }
    }

    #[inline]
    pub(super) fn mailbox(&mut self, mailbox: &Mailbox) -> &mut Inner {
        self.mailboxes.of(mailbox)
    }

    #[inline]
    pub(super) fn outgoing(&mut self, peer: &Peer) -> &mut Outgoing {
        self.peers.of(peer)
    }

    /// The contents of a mailbox, and where a sender from outside waits in the queue for it.
    #[inline]
    pub(super) fn mailbox_and_waits(&mut self, mailbox: &Mailbox) -> Option<(&mut Inner, &mut Waits<'a>)> {
        let waits = self.waits.as_deref_mut()?;
        Some((self.mailboxes.of(mailbox), waits))
    }

    /// What a peer is owed, and where a sender from outside waits in the queue for it.
    pub(super) fn outgoing_and_waits(&mut self, peer: &Peer) -> Option<(&mut Outgoing, &mut Waits<'a>)> {
        let waits = self.waits.as_deref_mut()?;
        Some((self.peers.of(peer), waits))
    }

    /// Lets this leave when `after` is durable.
    #[inline]
    pub(super) fn release(&mut self, after: Position, release: Release) {
        self.releases.push((after, release));
    }

    /// Lets this leave when everything that was submitted is durable.
    #[inline]
    pub(super) fn release_committed(&mut self, release: Release) {
        self.release(self.ticket, release);
    }

    /// Unlocks everything, and then hands the gate what is to leave: some of it may leave at once, and look here.
    #[inline]
    pub(super) fn end(&mut self) -> Committed {
        self.unlock();
        let shard = self.shard;
        let leave = || self.releases.drain(..).for_each(|(after, release)| shard.release_after(after, release));
        if let Err(panic) = caught(leave) {
            shard.panicked(GATE.name, GATE.means, &panic);
        }
        if let Some(dead_letter) = self.dead_letter.take() {
            dead_letter.tell(shard);
        }
        let Self { ticket, position, forgotten, removed, .. } = *self;
        Committed { ticket, position, forgotten, removed }
    }

    #[inline]
    fn unlock(&mut self) {
        self.mailboxes.unlock();
        self.peers.unlock();
        self.dead_letters.unlock();
        self.timers.unlock();
        self.requests.unlock();
        self.replies.unlock();
        self.paused_type = None;
    }
}
