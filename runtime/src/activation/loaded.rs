//! The state of an activation in memory. Reading it, its default and dropping it are code of the user's: all of it runs
//! in here, under the mark of the mailbox, so that a state that kills the process is found out; see `quarantine`.

use std::sync::Arc;

use everpost_persistence::Mark;
use ractor::ActorProcessingErr;

use crate::actor::Actor;
use crate::actor::durable::Durable;
use crate::base::caught::caught;
use crate::base::text::brief;
use crate::mailbox::Mailbox;
use crate::record::state::{StateRecord, StateSummary};
use crate::shard::Shard;

/// The state in memory, and what is known of its record in the store.
pub(crate) struct Loaded<A: Actor> {
    /// Taken out only when this is dropped.
    state: Option<Durable<A::State>>,
    pub(super) record: StateSummary,
    /// What this activation has written can be read again. Looked at once, since reading costs as much as writing.
    pub(super) reads_back: bool,
    shard: Arc<Shard>,
    mailbox: Arc<Mailbox>,
}

impl<A: Actor> Loaded<A> {
    /// Reads the state. What was submitted before must be durable first, or it would be missed.
    pub(crate) async fn read(shard: &Arc<Shard>, mailbox: &Arc<Mailbox>) -> Result<Self, ActorProcessingErr> {
        let before = mailbox.lock().last_submitted();
        shard.gate.durable(before).await?;
        let record = shard.store.read(mailbox.state_key()).await?;
        let decode = || StateRecord::decode::<A::State>(record.as_deref());
        let (state, record) = shard.marks.with(Mark::Mailbox(mailbox.id()), decode)?;
        let (shard, mailbox) = (Arc::clone(shard), Arc::clone(mailbox));
        Ok(Self { state: Some(Durable::new(state)), record, reads_back: false, shard, mailbox })
    }

    pub(super) fn state(&self) -> &Durable<A::State> {
        self.state.as_ref().expect("it is there until this is dropped")
    }

    pub(super) fn state_mut(&mut self) -> &mut Durable<A::State> {
        self.state.as_mut().expect("it is there until this is dropped")
    }

    /// The store has forgotten the state.
    pub(super) fn forget(&mut self) {
        let state = self.shard.marks.with(Mark::Mailbox(self.mailbox.id()), A::State::default);
        self.drop_state();
        self.state = Some(Durable::new(state));
        self.record = StateSummary::default();
    }

    fn drop_state(&mut self) {
        let state = self.state.take();
        let dropped = self.shard.marks.with(Mark::Mailbox(self.mailbox.id()), || caught(|| drop(state)));
        if let Err(error) = dropped
            && let Some(times) = self.shard.recurring.met("panic in a drop")
        {
            tracing::warn!(
                node = %self.shard.name, actor = %self.mailbox.address, error = %brief(&error), times,
                event = "panic in a drop",
                "a state has panicked when it was dropped; nothing is lost, since what counts is in the store"
            );
        }
    }
}

impl<A: Actor> Drop for Loaded<A> {
    fn drop(&mut self) {
        self.drop_state();
    }
}
