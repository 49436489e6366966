//! What the store holds becomes mailboxes and outboxes again.

pub(crate) mod asks;
mod outbox;
mod stranded;
mod unhandled;

use crate::engine::deduplicate;
use crate::engine::pausing::recover_supervision;
use crate::engine::rousing::{Waiting, rouse_all};
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::tables;
use everpost_persistence::{MailboxId, Mark, Partition, Position, ReadError};

pub(super) use self::unhandled::UnhandledMessages;
use crate::engine::quarantine::{Suspect, SuspectState, Suspects};
use crate::engine::timer_recovery;
use crate::mailbox::directory::Place;
use crate::mailbox::lone::Lone;
use crate::mailbox::{Mailbox, Queue};
use crate::message::address::{Address, mailbox_id, partition_of};
use crate::message::envelope::Header;
use crate::message::unhandled::Unhandled;
use crate::node::StartError;
use crate::record::attempts::Failures;
use crate::record::state::address_of;
use crate::shard::Shard;

/// What is wrong with a message that is in another partition than its address: nobody has put it there. Its mailbox
/// would look for it elsewhere, and its place in the order of that mailbox is unknown.
const ELSEWHERE: &str = "the address of the message belongs to another partition";

/// What is to be done before anything runs.
pub(super) struct Recovered {
    /// What the process may have died of.
    pub(super) suspects: Suspects,
    /// Messages to give up on.
    pub(super) unhandled: UnhandledMessages,
}

/// Rebuilds what memory holds of the store. `in_flight` is what the last process died with, and `give_up` says what is
/// to become of messages that nothing handles: without it they refuse the start. Blocks.
pub(super) fn recover(shard: &Shard, in_flight: &[Mark], give_up: bool) -> Result<Recovered, StartError> {
    stranded::check(shard)?;
    outbox::recover(shard)?;
    deduplicate::recover_requests(shard)?;
    let kept = asks::recover(shard)?;
    shard.dead_letters.recover(&shard.store)?;
    recover_supervision(shard)?;
    timer_recovery::recover(shard)?;
    let Recovered { suspects, unhandled } = recover_mailboxes(shard, in_flight, give_up)?;
    let unhandled = unhandled.check(shard)?;
    // Only now: a start that is refused changes nothing.
    asks::settle(shard, &kept)?;
    Ok(Recovered { suspects, unhandled })
}

/// Rebuilds the index of waiting messages with one scan.
fn recover_mailboxes(shard: &Shard, in_flight: &[Mark], give_up: bool) -> Result<Recovered, ReadError> {
    let failures = read_failures(shard)?;
    let in_flight = in_flight.iter().copied().collect();
    let mut recovery = Recovery { shard, failures, in_flight, last: None, suspects: Suspects::default(), waiting: 0 };
    let mut unhandled = UnhandledMessages::new(give_up);
    let mut misplaced = None;
    shard.store.scan(&tables::INBOX, |key, envelope| {
        let (partition, position) = tables::queued_of(key);
        match recovery.found(partition, position, envelope) {
            Ok(()) => return ControlFlow::Continue(()),
            Err(Unplaced::Unhandled(actor_type)) => {
                unhandled.add(partition, position, recovery.failures.remove(&position), actor_type);
                return ControlFlow::Continue(());
            }
            Err(Unplaced::Elsewhere) => misplaced = Some(tables::INBOX.damage(key, ELSEWHERE)),
        }
        ControlFlow::Break(())
    })?;
    misplaced.map_or(Ok(()), Err)?;
    shard.add_waiting(recovery.waiting);
    shard.counters.replayed.store(recovery.waiting as u64, Ordering::Relaxed);
    recovery.suspect_states()?;
    Ok(Recovered { suspects: recovery.suspects, unhandled })
}

/// Rouses every mailbox that has work, one after another: whoever leaves lets the next in.
pub(super) async fn wake_all(shard: &Arc<Shard>) {
    // Of paused types too, but for those of which a message is all that is known: there may be queries, and while
    // suspects have their trials none is answered.
    rouse_all(shard, Waiting::of(shard, |_| true)).await;
}

fn read_failures(shard: &Shard) -> Result<HashMap<Position, Failures>, ReadError> {
    let mut failures = HashMap::new();
    shard.store.scan(&tables::ATTEMPTS, |key, record| {
        let (_, position) = tables::queued_of(key);
        match Failures::decode(record) {
            Some(known) => drop(failures.insert(position, known)),
            None => tracing::warn!(
                seq = position.0,
                event = "record unreadable",
                "the attempts of a message cannot be read by this build; they are counted from zero"
            ),
        }
        ControlFlow::Continue(())
    })?;
    Ok(failures)
}

/// Why a waiting message has no place.
enum Unplaced {
    /// Nothing handles it; by its kind.
    Unhandled(Unhandled),
    /// It is not where its address belongs.
    Elsewhere,
}

impl From<Unhandled> for Unplaced {
    fn from(actor_type: Unhandled) -> Self {
        Self::Unhandled(actor_type)
    }
}

struct Recovery<'a> {
    shard: &'a Shard,
    failures: HashMap<Position, Failures>,
    in_flight: HashSet<Mark>,
    /// That of the message before, which often has more.
    last: Option<Arc<Mailbox>>,
    suspects: Suspects,
    waiting: usize,
}

impl Recovery<'_> {
    /// A waiting message. One that cannot be placed is handed back, and nothing happened.
    fn found(&mut self, partition: Partition, position: Position, envelope: &[u8]) -> Result<(), Unplaced> {
        let (header, _) = Header::decode(envelope).map_err(|error| Unhandled::headers(&error))?;
        let Some(mailbox) = self.mailbox(&header, partition, position, envelope.len())? else {
            self.count(envelope);
            return Ok(());
        };
        if mailbox.partition != partition {
            return Err(Unplaced::Elsewhere);
        }
        mailbox.actor_type.reader(header.message, header.message_version)?;
        let failures = self.failures.remove(&position);
        let in_flight = self.in_flight.contains(&Mark::Record(position));
        // Its state was: it may be this message that makes the state one that kills the process, so it is part of the
        // trial.
        let state_in_flight = self.in_flight.contains(&Mark::MailboxOf(position));
        if state_in_flight {
            self.suspect_state(&mailbox, true);
        }
        if in_flight || state_in_flight || failures.as_ref().is_some_and(|failures| failures.alone) {
            let failures = failures.clone().unwrap_or_default();
            self.suspects.messages.push(Suspect { mailbox: Arc::clone(&mailbox), position, failures, in_flight });
        }
        if header.keep_reply {
            self.shard.kept_replies.waiting(header.id(), &mailbox, position);
            self.shard.asked.recovered_older(mailbox.id(), header.id().0);
        }
        self.shard.asked.waits(&mailbox, header.id());
        if let Some(expires) = header.expires() {
            self.shard.expiries.add_waiting(&mailbox, position, expires, envelope);
        }
        let mut inner = mailbox.lock();
        let queue = Queue { priority: header.priority(), is_for_holds: mailbox.actor_type.holds(header.message) };
        inner.recover(position, queue, failures, envelope);
        drop(inner);
        self.count(envelope);
        Ok(())
    }

    fn count(&mut self, envelope: &[u8]) {
        self.shard.add_beyond(envelope.len());
        self.waiting += 1;
    }

    /// States that were in flight with no message, and those whose trials an earlier death has cut off.
    fn suspect_states(&mut self) -> Result<(), ReadError> {
        for mark in std::mem::take(&mut self.in_flight) {
            match mark {
                Mark::Mailbox(id) => {
                    if let Some(mailbox) = self.mailbox_by_id(id)? {
                        self.suspect_state(&mailbox, true);
                    }
                }
                Mark::Query(id) => {
                    if let Some(mailbox) = self.mailbox_by_id(id)? {
                        tracing::error!(
                            node = %self.shard.name, actor = %mailbox.address, event = "died of a query",
                            "the process died while a query to this actor was answered; queries leave no trace, and \
                             nobody is suspected: mend its `QueryHandler`"
                        );
                    }
                }
                Mark::Record(_) | Mark::MailboxOf(_) => {}
            }
        }
        let mut waiting = Vec::new();
        self.shard.directory.for_each(|mailbox| {
            let suspicion = mailbox.lock().supervised().and_then(|supervised| supervised.suspicion);
            waiting.extend(suspicion.map(|_| mailbox));
        });
        waiting.iter().for_each(|mailbox| self.suspect_state(mailbox, false));
        Ok(())
    }

    /// Each once; whether it was in flight is known of the first.
    fn suspect_state(&mut self, mailbox: &Arc<Mailbox>, in_flight: bool) {
        let states = &mut self.suspects.states;
        if !states.iter().any(|suspect| Arc::ptr_eq(&suspect.mailbox, mailbox)) {
            states.push(SuspectState { mailbox: Arc::clone(mailbox), in_flight });
        }
    }

    /// The mailbox with this id, if anything of it waits or is stored, and its actor type is part of the node.
    fn mailbox_by_id(&self, id: MailboxId) -> Result<Option<Arc<Mailbox>>, ReadError> {
        let found = self.shard.directory.find(id);
        if found.is_some() {
            return Ok(found);
        }
        let partition = partition_of(id, self.shard.store.partitions());
        let record = self.shard.store.get(&tables::mailbox(partition, id))?;
        let address = record.as_deref().and_then(address_of);
        let actor_type = address.as_ref().and_then(|address| self.shard.actor_types.get(address.actor_type()));
        Ok(address
            .as_ref()
            .zip(actor_type)
            .map(|(address, actor_type)| self.shard.directory.mailbox(address, actor_type)))
    }

    /// The mailbox of a message, if its actor type is part of the node. None when an entry of the directory is enough.
    fn mailbox(
        &mut self,
        header: &Header<'_>,
        partition: Partition,
        position: Position,
        bytes: usize,
    ) -> Result<Option<Arc<Mailbox>>, Unhandled> {
        if let Some(last) = self.last.as_ref().filter(|last| last.address.as_str() == header.destination) {
            return Ok(Some(Arc::clone(last)));
        }
        // The directory is the index: another one would have to be filled with a copy of each address.
        let id = mailbox_id(header.destination);
        let lone = self.lone(header, id, partition, position, bytes);
        let mailbox = match self.shard.directory.place(id, lone) {
            Place::Alone => return Ok(None),
            Place::Made(mailbox) => mailbox,
            Place::Unmade => {
                let address = Address::parse_hashed(header.destination, id).ok_or_else(Unhandled::no_address)?;
                let actor_type = self.shard.actor_types.get(address.actor_type());
                let actor_type = actor_type
                    .ok_or_else(|| Unhandled::no_actor(address.actor_type(), header.message, header.message_version))?;
                self.shard.directory.mailbox(&address, actor_type)
            }
        };
        self.last = Some(Arc::clone(&mailbox));
        Ok(Some(mailbox))
    }

    /// What an entry of the directory says of a message, if nothing else is to be known of it, and nothing is wrong.
    fn lone(
        &self,
        header: &Header<'_>,
        id: MailboxId,
        partition: Partition,
        position: Position,
        bytes: usize,
    ) -> Option<Lone> {
        let (actor_type, _) = header.destination.split_once('/')?;
        let actor_type = self.shard.actor_types.get(actor_type)?;
        let is_in_flight = || {
            let marks = [Mark::Record(position), Mark::MailboxOf(position), Mark::Mailbox(id), Mark::Query(id)];
            !self.in_flight.is_empty() && marks.iter().any(|mark| self.in_flight.contains(mark))
        };
        let is_handled = || actor_type.reader(header.message, header.message_version).is_ok();
        let is_lone = header.is_plain()
            && !actor_type.holds(header.message)
            && partition_of(id, self.shard.store.partitions()) == partition
            && !self.failures.contains_key(&position)
            && !is_in_flight()
            && !self.shard.asked.has_asked(header.id())
            && is_handled();
        if is_lone { self.shard.directory.entry_of(position, bytes, actor_type) } else { None }
    }
}
