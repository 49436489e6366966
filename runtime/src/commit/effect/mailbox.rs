//! Messages that leave their mailbox, or stay there for another attempt.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use everpost_persistence::{Key, Position, Stage};

use super::Phases;
use super::ask::{Outlived, of_gone, of_waiting};
use crate::base::clock::Steady;
use crate::cluster::expiring::Expiring;
use crate::commit::locks::Wanted;
use crate::commit::size::Size;
use crate::commit::transaction::{Refused, Step};
use crate::mailbox::{Inner, Mailbox};
use crate::message::MessageId;
use crate::message::envelope::Header;
use crate::message::outcome::Outcome;
use crate::record::attempts::Failures;
use crate::shard::expiring::look_again;
use crate::shard::{KeptReply, Release, Shard};
use crate::telemetry::Committed;

/// The message in flight was handled.
pub(crate) struct Done<'a> {
    pub(crate) mailbox: &'a Arc<Mailbox>,
    pub(crate) position: Position,
    pub(crate) header: &'a Header<'a>,
    /// What it has in the mailbox, headers included.
    pub(crate) bytes: usize,
    /// For whoever waits for it.
    pub(crate) reply: Option<Bytes>,
    /// The store holds a record of its attempts.
    recorded: bool,
}

impl<'a> Done<'a> {
    pub(crate) fn new(
        mailbox: &'a Arc<Mailbox>,
        position: Position,
        header: &'a Header<'a>,
        bytes: usize,
        reply: Option<Bytes>,
    ) -> Self {
        Self { mailbox, position, header, bytes, reply, recorded: false }
    }
}

impl<'a> Phases<'a> for Done<'a> {
    #[inline]
    fn size(&self, size: &mut Size) {
        size.remove(self.bytes);
        // Also of a reply that nobody keeps: it waits in memory until the commit.
        size.hold(self.reply.as_ref().map_or(0, Bytes::len));
    }

    #[inline]
    fn locks(&self, wanted: &mut Wanted<'a>) {
        wanted.mailboxes.push(self.mailbox);
    }

    #[inline]
    fn take(&mut self, step: &mut Step<'_, 'a>) {
        let shard = step.shard;
        // Before it is taken off: whoever sees that nothing waits sees what was handled.
        shard.load.handled.fetch_add(1, Ordering::Relaxed);
        let inner = step.mailbox(self.mailbox);
        let done = inner.finish();
        assert_eq!(done.position, self.position, "the message in flight is the one that was handled");
        let bytes = done.body.len();
        shard.load.window_bytes.take(bytes);
        taken_out(shard, inner, self.mailbox);
        self.recorded = done.recorded;
    }

    #[inline]
    fn stage(&mut self, stage: &mut Stage<'_>) {
        stage.delete(self.mailbox.inbox_key(self.position));
        if self.recorded {
            stage.delete(self.mailbox.attempts_key(self.position));
        }
    }

    #[inline]
    fn apply(self, step: &mut Step<'_, 'a>) {
        let Self { mailbox, position, header, reply, .. } = self;
        left(step, mailbox, position, header, || reply.map_or(Outcome::Handled, Outcome::Replied));
        if Committed::is_wanted() {
            step.release_committed(Release::Log(Committed::new(&mailbox.address, header, position)));
        }
    }
}

/// A held message was acknowledged. Nothing happens if it was taken back before.
pub(crate) struct Acknowledged<'a> {
    pub(crate) mailbox: &'a Arc<Mailbox>,
    pub(crate) position: Position,
    pub(crate) attempt: u32,
    pub(crate) header: &'a Header<'a>,
    pub(crate) body: &'a Bytes,
}

impl<'a> Phases<'a> for Acknowledged<'a> {
    fn size(&self, size: &mut Size) {
        size.remove(self.body.len());
    }

    fn locks(&self, wanted: &mut Wanted<'a>) {
        wanted.mailboxes.push(self.mailbox);
    }

    fn check(&mut self, step: &mut Step<'_, 'a>) -> Result<(), Refused> {
        match step.mailbox(self.mailbox).rules().held(self.position, self.attempt) {
            Some(_) => Ok(()),
            None => Err(Refused::Gone),
        }
    }

    fn take(&mut self, step: &mut Step<'_, 'a>) {
        step.shard.load.handled.fetch_add(1, Ordering::Relaxed);
        discard(step, self.mailbox, self.position, self.body);
    }

    fn stage(&mut self, stage: &mut Stage<'_>) {
        stage.delete(self.mailbox.inbox_key(self.position));
        stage.delete(self.mailbox.attempts_key(self.position));
    }

    fn apply(self, step: &mut Step<'_, 'a>) {
        let Self { mailbox, position, header, .. } = self;
        // Every reply of a message that may be held is `()`, which takes no bytes.
        left(step, mailbox, position, header, || Outcome::Replied(Bytes::new()));
        // There is room for another hold.
        step.mailbox(mailbox).ring(mailbox);
    }
}

/// A message was given up on.
pub(crate) struct Left<'a> {
    mailbox: &'a Arc<Mailbox>,
    position: Position,
    envelope: &'a [u8],
    outcome: Outcome,
    /// It is not given up on while it is in flight or held.
    must_wait: bool,
    /// The ask of a turn that it is.
    ask: Option<MessageId>,
    /// What says here that it was asked goes with it.
    note: Option<Key>,
    outlived: Outlived,
}

impl<'a> Left<'a> {
    pub(crate) fn new(
        mailbox: &'a Arc<Mailbox>,
        position: Position,
        envelope: &'a [u8],
        outcome: Outcome,
        must_wait: bool,
    ) -> Self {
        let ask = Header::decode(envelope).ok().filter(|(header, _)| header.keep_reply);
        let ask = ask.map(|(header, _)| header.id());
        let outlived = Outlived::default();
        Self { mailbox, position, envelope, outcome, must_wait, ask, note: None, outlived }
    }
}

impl<'a> Phases<'a> for Left<'a> {
    fn size(&self, size: &mut Size) {
        size.remove(self.envelope.len());
    }

    fn locks(&self, wanted: &mut Wanted<'a>) {
        wanted.mailboxes.push(self.mailbox);
    }

    fn check(&mut self, step: &mut Step<'_, 'a>) -> Result<(), Refused> {
        let rules = step.mailbox(self.mailbox).rules();
        if self.must_wait && !rules.contains(self.position) {
            return Err(Refused::Gone);
        }
        if self.must_wait && rules.taken(self.position).is_some() {
            return Err(Refused::Taken);
        }
        Ok(())
    }

    fn take(&mut self, step: &mut Step<'_, 'a>) {
        if self.mailbox.asking.is_any()
            && let Ok((header, _)) = Header::decode(self.envelope)
        {
            step.shard.asked.given_up_on(self.mailbox, header.id());
        }
        discard(step, self.mailbox, self.position, self.envelope);
        if let Some(id) = self.ask
            && let Some(KeptReply::Abandoned(note)) = step.replies.take(id)
        {
            // The turn that asked is over, and has left it to whoever ends the ask to delete what says that it was
            // asked.
            self.note = note;
            self.outlived = of_gone(step, self.mailbox.id(), id);
        }
    }

    fn stage(&mut self, stage: &mut Stage<'_>) {
        stage.delete(self.mailbox.inbox_key(self.position));
        stage.delete(self.mailbox.attempts_key(self.position));
        if let Some(note) = self.note {
            stage.delete(note);
        }
        self.outlived.stage(stage);
    }

    fn apply(self, step: &mut Step<'_, 'a>) {
        let Self { mailbox, position, envelope, outcome, ask, outlived, .. } = self;
        outlived.apply(step);
        match Header::decode(envelope) {
            Ok((header, _)) => left(step, mailbox, position, &header, || outcome),
            Err(_) => left_unread(step, mailbox, position, || outcome),
        }
        if let Some(ask) = ask {
            // Without a reply in the store the turn that asked may ask again.
            step.shard.asked.given_up(ask);
        }
    }
}

/// A message that failed waits for its next attempt.
pub(crate) struct Postponed<'a> {
    pub(crate) mailbox: &'a Arc<Mailbox>,
    pub(crate) position: Position,
    pub(crate) body: &'a Bytes,
    pub(crate) until: Steady,
    /// Others may pass it.
    pub(crate) aside: bool,
    pub(crate) record: Bytes,
}

impl Postponed<'_> {
    /// Puts it back in memory alone.
    pub(crate) fn put_back(&self, inner: &mut Inner) {
        inner.put_back(self.position, self.body, self.until, self.aside);
    }
}

impl<'a> Phases<'a> for Postponed<'a> {
    fn size(&self, size: &mut Size) {
        size.put(self.record.len());
    }

    fn locks(&self, wanted: &mut Wanted<'a>) {
        wanted.mailboxes.push(self.mailbox);
    }

    fn take(&mut self, step: &mut Step<'_, 'a>) {
        self.put_back(step.mailbox(self.mailbox));
    }

    fn stage(&mut self, stage: &mut Stage<'_>) {
        stage.put(self.mailbox.attempts_key(self.position), self.record.clone());
    }

    fn apply(self, step: &mut Step<'_, 'a>) {
        let ticket = step.ticket;
        step.mailbox(self.mailbox).submitted(ticket);
    }
}

/// What is known of the attempts at a message that may have killed the process.
pub(crate) struct Attempts<'a> {
    mailbox: &'a Arc<Mailbox>,
    position: Position,
    /// None for what is known when its suspicion is taken off it, in the step itself: a message that was handled
    /// meanwhile must get no record any more.
    record: Option<Bytes>,
    bytes: usize,
}

impl<'a> Attempts<'a> {
    pub(crate) fn noted(mailbox: &'a Arc<Mailbox>, position: Position, record: Bytes) -> Self {
        Self { mailbox, position, bytes: record.len(), record: Some(record) }
    }

    /// It is suspected no more. Its record has so many bytes then.
    pub(crate) fn cleared(mailbox: &'a Arc<Mailbox>, position: Position, bytes: usize) -> Self {
        Self { mailbox, position, record: None, bytes }
    }
}

impl<'a> Phases<'a> for Attempts<'a> {
    fn size(&self, size: &mut Size) {
        size.put(self.bytes);
    }

    fn locks(&self, wanted: &mut Wanted<'a>) {
        wanted.mailboxes.push(self.mailbox);
    }

    fn check(&mut self, step: &mut Step<'_, 'a>) -> Result<(), Refused> {
        if self.record.is_none() {
            let cleared = step.mailbox(self.mailbox).clear_suspect(self.position).map(Failures::encode);
            self.record = Some(cleared.ok_or(Refused::Gone)?);
        }
        Ok(())
    }

    fn stage(&mut self, stage: &mut Stage<'_>) {
        if let Some(record) = self.record.take() {
            stage.put(self.mailbox.attempts_key(self.position), record);
        }
    }

    fn apply(self, step: &mut Step<'_, 'a>) {
        let ticket = step.ticket;
        step.mailbox(self.mailbox).submitted(ticket);
    }
}

/// Messages of one mailbox have expired, wherever they wait there.
pub(crate) struct Expired<'a> {
    mailbox: &'a Arc<Mailbox>,
    /// In the order of their positions.
    expired: Vec<Expiring>,
    in_flight: Option<Position>,
    recorded: Vec<Position>,
    outlived: Outlived,
}

impl<'a> Expired<'a> {
    /// Messages that wait.
    pub(crate) fn waiting(mailbox: &'a Arc<Mailbox>, mut expired: Vec<Expiring>) -> Self {
        expired.sort_unstable_by_key(|expiring| expiring.position);
        Self { mailbox, expired, in_flight: None, recorded: Vec::new(), outlived: Outlived::default() }
    }

    /// The message in flight, by its own turn.
    pub(crate) fn in_flight(mailbox: &'a Arc<Mailbox>, expiring: Expiring) -> Self {
        Self { in_flight: Some(expiring.position), ..Self::waiting(mailbox, vec![expiring]) }
    }
}

impl<'a> Phases<'a> for Expired<'a> {
    fn locks(&self, wanted: &mut Wanted<'a>) {
        wanted.mailboxes.push(self.mailbox);
    }

    /// What somebody else has in flight or holds is looked at again in a while: what becomes of it is not known yet.
    fn check(&mut self, step: &mut Step<'_, 'a>) -> Result<(), Refused> {
        let (shard, rules) = (step.shard, step.mailbox(self.mailbox).rules());
        let in_flight = self.in_flight;
        let taken = |position| in_flight != Some(position) && rules.taken(position).is_some();
        let later = self.expired.extract_if(.., |expiring| taken(expiring.position));
        look_again(shard, later);
        // What is not there was finished.
        self.expired.retain(|expiring| rules.contains(expiring.position));
        if self.expired.is_empty() { Err(Refused::Gone) } else { Ok(()) }
    }

    fn take(&mut self, step: &mut Step<'_, 'a>) {
        let Self { mailbox, expired, recorded, outlived, .. } = self;
        let shard = step.shard;
        let inner = step.mailbox(mailbox);
        let positions: Vec<_> = expired.iter().map(|expiring| expiring.position).collect();
        let mut index = 0;
        inner.discard_all(&positions, |position, was_in_memory, was_recorded| {
            // They come in any order, but nearly always in that of their positions.
            if expired.get(index).is_none_or(|expiring| expiring.position != position) {
                index = positions.binary_search(&position).expect("only what was asked for is discarded");
            }
            let counted = if was_in_memory { &shard.load.window_bytes } else { &shard.load.beyond_bytes };
            let Expiring { bytes, request, .. } = expired[index];
            counted.take(bytes);
            if was_recorded {
                recorded.push(position);
            }
            index += 1;
            (bytes, request)
        });
        for _ in &*expired {
            taken_out(shard, inner, mailbox);
        }
        if mailbox.asking.is_any() {
            for expiring in &*expired {
                let of_waiting = of_waiting(step, mailbox, expiring.id);
                outlived.add(of_waiting);
            }
        }
    }

    fn stage(&mut self, stage: &mut Stage<'_>) {
        self.outlived.stage(stage);
        for Expiring { position, .. } in &self.expired {
            stage.delete(self.mailbox.inbox_key(*position));
        }
        self.recorded.iter().for_each(|position| stage.delete(self.mailbox.attempts_key(*position)));
    }

    fn apply(self, step: &mut Step<'_, 'a>) {
        let Self { mailbox, expired, outlived, .. } = self;
        let (shard, ticket) = (step.shard, step.ticket);
        step.mailbox(mailbox).submitted(ticket);
        outlived.apply(step);
        for Expiring { position, id, .. } in &expired {
            shard.expiries.note_dropped(*id, ticket);
            if let Some(waiter) = step.mailbox(mailbox).take_waiter(*position) {
                step.release_committed(Release::Tell(waiter, Outcome::Expired));
            }
        }
        shard.counters.expired.fetch_add(expired.len() as u64, Ordering::Relaxed);
        step.mailbox(mailbox).ring(mailbox);
        tracing::debug!(
            node = %shard.name, actor = %mailbox.address, messages = expired.len(), event = "expired",
            "dropped, as their sender or their actor type wants it"
        );
    }
}

/// A message has left its mailbox for good: whoever waits for it is told when that is durable.
fn left(
    step: &mut Step<'_, '_>,
    mailbox: &Mailbox,
    position: Position,
    header: &Header<'_>,
    outcome: impl FnOnce() -> Outcome,
) {
    if let Some(expires) = header.expires() {
        step.shard.expiries.remove(expires.at, position);
    }
    left_unread(step, mailbox, position, outcome);
}

/// The same of one whose headers cannot be read.
fn left_unread(step: &mut Step<'_, '_>, mailbox: &Mailbox, position: Position, outcome: impl FnOnce() -> Outcome) {
    let ticket = step.ticket;
    if let Some(waiter) = step.mailbox(mailbox).left(position, ticket) {
        step.release_committed(Release::Tell(waiter, outcome()));
    }
}

/// Takes a message out of its mailbox, wherever it is there.
fn discard(step: &mut Step<'_, '_>, mailbox: &Mailbox, position: Position, envelope: &[u8]) {
    let (shard, inner) = (step.shard, step.mailbox(mailbox));
    let was_in_memory = inner.discard(position, envelope);
    let counted = if was_in_memory { &shard.load.window_bytes } else { &shard.load.beyond_bytes };
    counted.take(envelope.len());
    taken_out(shard, inner, mailbox);
}

/// A message has left its mailbox: whoever waits for room is told.
fn taken_out(shard: &Shard, inner: &mut Inner, mailbox: &Mailbox) {
    shard.load.waiting.take(1);
    shard.made_room_in_window();
    let is_told = inner.made_room(shard.mailbox_room(inner));
    shard.give_room();
    if is_told {
        shard.cluster.peers().iter().for_each(|peer| peer.tell_room(&mailbox.address));
    }
}
