//! Pausing, and the restart budgets of keyed actors, as the store keeps them.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use everpost_persistence::{AdmissionError, Class, Key, Partition, Position, ReadError, Table};

use super::Core;
use crate::address::{Address, mailbox_id};
use crate::cluster::Owner;
use crate::mailbox::{Inner, Mailbox};
use crate::supervised::{Paused, Supervised};
use crate::supervision::Kind;

/// About what a record of supervision takes.
const SUSPICION_BYTES: usize = 1024;

impl Core {
    /// Pauses or resumes an actor of this node. Returns what must be durable for that to count.
    pub(crate) async fn set_paused(
        &self,
        address: &Address,
        kind: &Arc<Kind>,
        paused: Option<Paused>,
    ) -> Result<Position, AdmissionError> {
        let mailbox = self.directory.find(address.mailbox());
        if paused.is_some()
            && let Some(inner) = mailbox.as_ref().map(|mailbox| mailbox.lock())
            && inner.barred().is_some()
        {
            // It is paused already, for a reason that says more: by another its state could be loaded again.
            return Ok(inner.last_submitted);
        }
        let supervised = paused.map(Supervised::paused);
        let record = supervised.as_ref().map(|supervised| supervised.encode(address.as_str()));
        let class = Class::Turn { grows: record.is_some() };
        let permit = self.store.reserve(class, record.as_ref().map_or(0, Bytes::len)).await?;
        let mailbox = self.directory.mailbox(address, kind);
        let mut inner = mailbox.lock();
        let (ticket, ()) = self.store.submit(permit, |stage| match record {
            Some(record) => stage.put(mailbox.supervision_key(), record),
            None => stage.delete(mailbox.supervision_key()),
        });
        inner.last_submitted = ticket;
        inner.supervised = supervised.map(Box::new);
        if inner.supervised.is_none() && !inner.is_idle() {
            inner.ring(&mailbox);
        }
        Ok(ticket)
    }

    /// Pauses or resumes an actor type on this node.
    pub(crate) async fn set_type_paused(
        &self,
        kind: &Arc<Kind>,
        paused: Option<Paused>,
    ) -> Result<Position, AdmissionError> {
        let record = paused.clone().map(|paused| Supervised::paused(paused).encode(kind.name));
        let class = Class::Turn { grows: record.is_some() };
        let permit = self.store.reserve(class, record.as_ref().map_or(0, Bytes::len)).await?;
        let key = Key::Supervision { partition: Partition(0), subject: mailbox_id(kind.name) };
        let resumes = paused.is_none();
        let ticket = kind.set_paused(paused, || {
            let (ticket, ()) = self.store.submit(permit, |stage| match record {
                Some(record) => stage.put(key, record),
                None => stage.delete(key),
            });
            ticket
        });
        if resumes {
            self.directory.for_each(|mailbox| {
                let mut inner = mailbox.lock();
                if Arc::ptr_eq(&mailbox.kind, kind) && !inner.is_idle() {
                    inner.ring(&mailbox);
                }
            });
        }
        Ok(ticket)
    }

    /// Counts a failure of the actor itself, or a message that it could not handle, against its restart budget; pauses it when
    /// that is spent. Returns the record that must be stored with whatever else comes of the failure.
    pub(super) fn count_against_budget(&self, inner: &mut Inner, mailbox: &Mailbox, error: &str) -> (Key, Bytes) {
        let supervised = inner.supervised.get_or_insert_default();
        if supervised.failed(self.clock.now(), &mailbox.kind.budget, error) {
            tracing::error!(node = %self.name, actor = %mailbox.address, error, event = "paused", "the restart budget of the actor is spent: it keeps accepting and handles nothing until it is resumed");
        }
        (mailbox.supervision_key(), supervised.encode(mailbox.address.as_str()))
    }

    /// The state of an actor is suspected after an unclean end. Returns what must be durable for that to count, and whether it is
    /// paused now; none when it could not be written down.
    pub(crate) async fn suspect_state(&self, mailbox: &Mailbox, in_hand: bool) -> Option<(Position, bool)> {
        let permit = self.store.reserve(Class::Turn { grows: true }, SUSPICION_BYTES).await.ok()?;
        let mut inner = mailbox.lock();
        let supervised = inner.supervised.get_or_insert_default();
        let is_paused = supervised.suspect(in_hand, self.config.attempts_max, self.clock.wall());
        if is_paused {
            tracing::error!(node = %self.name, actor = %mailbox.address, event = "paused", "the process died of the state of the actor as often as it may: it keeps accepting, and its state is not loaded until it is resumed");
        }
        let record = supervised.encode(mailbox.address.as_str());
        let (ticket, ()) = self.store.submit(permit, |stage| stage.put(mailbox.supervision_key(), record));
        inner.last_submitted = ticket;
        Some((ticket, is_paused))
    }

    /// The state of an actor has had its trial. Returns what must be durable for that to count; none when it could not be written
    /// down, or was not suspected.
    pub(crate) async fn acquit_state(&self, mailbox: &Mailbox) -> Option<Position> {
        let permit = self.store.reserve(Class::Turn { grows: false }, SUSPICION_BYTES).await.ok()?;
        let mut inner = mailbox.lock();
        let supervised = inner.supervised.as_deref_mut()?;
        supervised.suspicion.take()?;
        let record = (!supervised.is_plain()).then(|| supervised.encode(mailbox.address.as_str()));
        let is_plain = record.is_none();
        let (ticket, ()) = self.store.submit(permit, |stage| match record {
            Some(record) => stage.put(mailbox.supervision_key(), record),
            None => stage.delete(mailbox.supervision_key()),
        });
        if is_plain {
            inner.supervised = None;
        }
        inner.last_submitted = ticket;
        Some(ticket)
    }

    /// Forgets a budget that is whole again.
    pub(crate) fn forget_budget(&self, inner: &mut Inner, mailbox: &Mailbox) {
        let is_over = |supervised: &Supervised| supervised.is_over(self.clock.steady(), &mailbox.kind.budget);
        if inner.supervised.as_deref().is_some_and(is_over)
            && let Ok(permit) = self.store.try_reserve(Class::Turn { grows: false }, 0)
        {
            inner.supervised = None;
            let (ticket, ()) = self.store.submit(permit, |stage| stage.delete(mailbox.supervision_key()));
            inner.last_submitted = ticket;
        }
    }

    /// Reads what is paused, and what the budgets of actors are. Blocks.
    pub(crate) fn recover_supervision(&self) -> Result<(), ReadError> {
        self.store.scan(Table::Supervision, |_, record| {
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
