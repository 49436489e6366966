//! Pausing, and the restart budgets of keyed actors, as the store keeps them.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use everpost_persistence::{AdmissionError, Class, Key, Partition, Permit, Position, ReadError};

use super::Core;
use crate::cluster::Owner;
use crate::growth;
use crate::mailbox::{Inner, Mailbox};
use crate::message::address::{Address, mailbox_id};
use crate::record::supervised::{Paused, Supervised};
use crate::supervise::supervision::Kind;
use crate::tables;
use crate::telemetry::brief;

/// About what a record of supervision takes.
const SUSPICION_BYTES: usize = 1024;

impl Core {
    /// Pauses an actor of this node. Returns what must be durable for that to count.
    pub(crate) async fn pause(
        &self,
        address: &Address,
        kind: &Arc<Kind>,
        paused: Paused,
    ) -> Result<Position, AdmissionError> {
        let bytes = Supervised::paused(paused.clone()).encode(address.as_str()).len() + SUSPICION_BYTES;
        let permit = self.store.reserve(growth::record(bytes), bytes).await?;
        let mailbox = self.directory.mailbox(address, kind);
        let mut inner = mailbox.lock();
        if inner.supervised.get_or_insert_default().pause(paused) {
            self.keep_supervised(&mut inner, &mailbox, permit);
        }
        Ok(inner.last_submitted)
    }

    /// Resumes an actor of this node. Returns what must be durable for that to count.
    pub(crate) async fn resume(&self, address: &Address) -> Result<Position, AdmissionError> {
        let permit = self.store.reserve(Class::Turn { growth: 0 }, SUSPICION_BYTES).await?;
        // What is paused is in memory; what is not has nothing that is not durable.
        let Some(mailbox) = self.directory.find(address.mailbox()) else { return Ok(Position(0)) };
        let mut inner = mailbox.lock();
        if inner.supervised.as_deref_mut().is_some_and(Supervised::resume) {
            self.keep_supervised(&mut inner, &mailbox, permit);
            if !inner.is_idle() {
                inner.ring(&mailbox);
            }
        }
        Ok(inner.last_submitted)
    }

    /// Writes down what is known of an actor, which forgets what is not worth a record.
    pub(super) fn keep_supervised(&self, inner: &mut Inner, mailbox: &Mailbox, permit: Permit<'_>) -> Position {
        inner.supervised.take_if(|supervised| supervised.is_plain());
        let record = inner.supervised.as_ref().map(|supervised| supervised.encode(mailbox.address.as_str()));
        let (ticket, ()) = self.store.submit(permit, |stage| match record {
            Some(record) => stage.put(mailbox.supervision_key(), record),
            None => stage.delete(mailbox.supervision_key()),
        });
        inner.last_submitted = ticket;
        ticket
    }

    /// Pauses or resumes an actor type on this node.
    pub(crate) async fn set_type_paused(
        self: &Arc<Self>,
        kind: &Arc<Kind>,
        paused: Option<Paused>,
    ) -> Result<Position, AdmissionError> {
        let record = paused.clone().map(|paused| Supervised::paused(paused).encode(kind.name));
        let bytes = record.as_ref().map(Bytes::len);
        let permit = self.store.reserve(growth::turn(bytes, []), bytes.unwrap_or(0)).await?;
        let key = tables::supervision(Partition(0), mailbox_id(kind.name));
        let resumes = paused.is_none();
        let ticket = kind.set_paused(paused, || {
            let (ticket, ()) = self.store.submit(permit, |stage| match record {
                Some(record) => stage.put(key, record),
                None => stage.delete(key),
            });
            ticket
        });
        if resumes {
            let mut waiting = Vec::new();
            self.directory.for_each(|mailbox| {
                if Arc::ptr_eq(&mailbox.kind, kind) && !mailbox.lock().is_idle() {
                    waiting.push(mailbox);
                }
            });
            let core = Arc::clone(self);
            self.begin("waker of a resumed type", async move { core.rouse_all(waiting).await });
        }
        Ok(ticket)
    }

    /// Counts a failure of the actor itself, or a message that it could not handle, against its restart budget; pauses it when
    /// that is spent. Returns the record that must be stored with whatever else comes of the failure.
    pub(super) fn count_against_budget(&self, inner: &mut Inner, mailbox: &Mailbox, error: &str) -> (Key, Bytes) {
        let supervised = inner.supervised.get_or_insert_default();
        if supervised.failed(self.clock.now(), &mailbox.kind.budget, error)
            && let Some(times) = self.of_actors.pauses.met(mailbox.id())
        {
            tracing::error!(node = %self.name, actor = %mailbox.address, error = %brief(&error), times, event = "paused", "the restart budget of the actor is spent: it keeps accepting and handles nothing until it is resumed");
        }
        (mailbox.supervision_key(), supervised.encode(mailbox.address.as_str()))
    }

    /// The state of an actor is suspected after an unclean end. Returns what must be durable for that to count, and whether it is
    /// paused now; none when it could not be written down.
    pub(crate) async fn suspect_state(&self, mailbox: &Mailbox, in_hand: bool) -> Option<(Position, bool)> {
        let permit = self.store.reserve(growth::TRIAL, SUSPICION_BYTES).await.ok()?;
        let mut inner = mailbox.lock();
        let supervised = inner.supervised.get_or_insert_default();
        let is_paused = supervised.suspect(in_hand, self.config.attempts_max, self.clock.wall());
        if is_paused && let Some(times) = self.of_actors.pauses.met(mailbox.id()) {
            tracing::error!(node = %self.name, actor = %mailbox.address, times, event = "paused", "the process died of the state of the actor as often as it may: it keeps accepting, and its state is not loaded until it is resumed");
        }
        Some((self.keep_supervised(&mut inner, mailbox, permit), is_paused))
    }

    /// The state of an actor has had its trial. Returns what must be durable for that to count; none when it could not be written
    /// down, or was not suspected.
    pub(crate) async fn acquit_state(&self, mailbox: &Mailbox) -> Option<Position> {
        let permit = self.store.reserve(growth::TRIAL, SUSPICION_BYTES).await.ok()?;
        let mut inner = mailbox.lock();
        let supervised = inner.supervised.as_deref_mut()?;
        supervised.suspicion.take()?;
        Some(self.keep_supervised(&mut inner, mailbox, permit))
    }

    /// Forgets a budget that is whole again.
    pub(crate) fn forget_budget(&self, inner: &mut Inner, mailbox: &Mailbox) {
        let is_over = |supervised: &Supervised| supervised.is_over(self.clock.steady(), &mailbox.kind.budget);
        if inner.supervised.as_deref().is_some_and(is_over)
            && let Ok(permit) = self.store.try_reserve(Class::Turn { growth: 0 }, 0)
        {
            inner.supervised = None;
            self.keep_supervised(inner, mailbox, permit);
        }
    }

    /// Reads what is paused, and what the budgets of actors are. Blocks.
    pub(crate) fn recover_supervision(&self) -> Result<(), ReadError> {
        self.store.scan(&tables::SUPERVISION, |_, record| {
            match Supervised::decode(record) {
                Some((name, supervised)) => self.recover_supervised(name, supervised),
                None => tracing::error!(node = %self.name, event = "record unreadable", "a record of supervision cannot be read by this build; start the build that wrote it"),
            }
            ControlFlow::Continue(())
        })
    }

    fn recover_supervised(&self, name: &str, supervised: Supervised) {
        if let Some(kind) = self.kinds.get(name) {
            kind.set_paused(supervised.paused, || ());
        } else if let Some(address) = Address::parse(name)
            && let Some(kind) = self.kinds.get(address.actor_type())
            && matches!(self.owner(&address), Owner::Here)
        {
            self.directory.mailbox(&address, kind).lock().supervised = Some(Box::new(supervised));
        }
    }
}
