//! What the store holds becomes mailboxes and outboxes again.

mod outbox;
mod questions;
mod stranded;
mod unhandled;

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use everpost_persistence::{Key, Position, ReadError, Table};
use tokio::time::timeout;

pub(super) use self::unhandled::UnhandledMessages;
use crate::address::Address;
use crate::core::Core;
use crate::envelope::Header;
use crate::mailbox::{Failures, Mailbox, Queue};
use crate::node::StartError;
use crate::quarantine::Suspect;
use crate::timer;
use crate::unhandled::Unhandled;

/// How many mailboxes are woken although there is no room for them, because those before them take long.
const WAKE_AT_A_TIME: usize = 256;
/// How long it is waited for activations to leave. What they wait for may come of a mailbox that is not awake yet.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is to be done before anything runs.
pub(super) struct Recovered {
    /// Messages that the process may have died of.
    pub(super) suspects: Vec<Suspect>,
    /// Messages to give up on.
    pub(super) unhandled: UnhandledMessages,
}

/// Rebuilds what memory holds of the store. `in_hand` is what the last process died with, and `give_up` says what is to
/// become of messages that nothing handles: without it they refuse the start. Blocks.
pub(super) fn recover(core: &Core, in_hand: &[Position], give_up: bool) -> Result<Recovered, StartError> {
    stranded::check(core)?;
    outbox::recover(core)?;
    core.recover_requests()?;
    let kept = questions::recover(core)?;
    core.shelf.recover(&core.store)?;
    core.recover_supervision()?;
    timer::recover(core)?;
    let Recovered { suspects, unhandled } = recover_mailboxes(core, in_hand, give_up)?;
    let unhandled = unhandled.check(core)?;
    // Only now: a start that is refused changes nothing.
    questions::settle(core, &kept)?;
    Ok(Recovered { suspects, unhandled })
}

/// Rebuilds the index of waiting messages with one scan.
fn recover_mailboxes(core: &Core, in_hand: &[Position], give_up: bool) -> Result<Recovered, ReadError> {
    let failures = read_failures(core)?;
    let in_hand: HashSet<Position> = in_hand.iter().copied().collect();
    let mut recovery =
        Recovery { core, failures, in_hand, mailboxes: HashMap::new(), suspects: Vec::new(), waiting: 0 };
    let mut unhandled = UnhandledMessages::new(give_up);
    core.store.scan(Table::Inbox, |key, envelope| {
        if let Key::Inbox { partition, position } = *key
            && let Err(kind) = recovery.found(position, envelope)
        {
            unhandled.add(partition, position, recovery.failures.remove(&position), kind);
        }
        ControlFlow::Continue(())
    })?;
    core.add_waiting(recovery.waiting);
    core.counters.replayed.store(recovery.waiting as u64, Ordering::Relaxed);
    Ok(Recovered { suspects: recovery.suspects, unhandled })
}

/// Rouses every mailbox that has work, one after another: whoever leaves lets the next in.
pub(super) async fn wake_all(core: &Arc<Core>) {
    let mut waiting = Vec::new();
    core.directory.for_each(|mailbox| {
        if !mailbox.lock().rules.is_empty() {
            waiting.push(mailbox);
        }
    });
    let _crowd = core.activations.crowd(waiting.len());
    let mut uninvited = 0;
    for mailbox in waiting {
        if uninvited == 0 && timeout(PATIENCE, core.activations.have_room()).await.is_err() {
            uninvited = WAKE_AT_A_TIME;
        }
        uninvited = uninvited.saturating_sub(1);
        if core.is_stopping() {
            return;
        }
        core.rouse(&mailbox);
    }
}

fn read_failures(core: &Core) -> Result<HashMap<Position, Failures>, ReadError> {
    let mut failures = HashMap::new();
    core.store.scan(Table::Attempts, |key, record| {
        if let Key::Attempts { position, .. } = key {
            match Failures::decode(record) {
                Some(known) => drop(failures.insert(*position, known)),
                None => tracing::warn!(
                    seq = position.0,
                    event = "record unreadable",
                    "the attempts of a message cannot be read by this build; they are counted from zero"
                ),
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(failures)
}

struct Recovery<'a> {
    core: &'a Core,
    failures: HashMap<Position, Failures>,
    in_hand: HashSet<Position>,
    mailboxes: HashMap<String, Arc<Mailbox>>,
    suspects: Vec<Suspect>,
    waiting: usize,
}

impl Recovery<'_> {
    /// A waiting message. One that nothing handles is handed back by its kind, and nothing happened.
    fn found(&mut self, position: Position, envelope: &[u8]) -> Result<(), Unhandled> {
        let (header, _) = Header::decode(envelope).map_err(|error| Unhandled::headers(&error))?;
        let mailbox = self.mailbox(&header)?;
        mailbox.kind.reader(header.message, header.message_version)?;
        let failures = self.failures.remove(&position);
        let in_hand = self.in_hand.contains(&position);
        if in_hand || failures.as_ref().is_some_and(|failures| failures.alone) {
            let failures = failures.clone().unwrap_or_default();
            self.suspects.push(Suspect { mailbox: Arc::clone(&mailbox), position, failures, in_hand });
        }
        if header.keep_reply {
            self.core.kept_replies.waiting(header.id(), &mailbox, position);
            self.core.asked.recovered_older(mailbox.id(), header.id().0);
        }
        self.core.asked.waits(&mailbox, header.id());
        if let Some(expires) = header.expires() {
            self.core.expires(&mailbox, position, expires, envelope);
        }
        let mut inner = mailbox.lock();
        let queue = Queue { priority: header.priority(), is_for_holds: mailbox.kind.holds(header.message) };
        inner.rules.recovered(position, queue, failures);
        inner.bytes += envelope.len();
        inner.add_key(envelope);
        self.core.add_beyond(envelope.len());
        self.waiting += 1;
        Ok(())
    }

    /// The mailbox of an address, if its actor type is part of the node.
    fn mailbox(&mut self, header: &Header<'_>) -> Result<Arc<Mailbox>, Unhandled> {
        if let Some(mailbox) = self.mailboxes.get(header.destination) {
            return Ok(Arc::clone(mailbox));
        }
        let address = Address::parse(header.destination).ok_or_else(Unhandled::no_address)?;
        let kind = self.core.kinds.get(address.actor_type());
        let kind =
            kind.ok_or_else(|| Unhandled::no_actor(address.actor_type(), header.message, header.message_version))?;
        let mailbox = self.core.directory.mailbox(&address, kind);
        self.mailboxes.insert(header.destination.to_owned(), Arc::clone(&mailbox));
        Ok(mailbox)
    }
}
