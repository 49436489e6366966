//! What the store holds becomes mailboxes and outboxes again.

mod outbox;
mod stranded;

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use everpost_persistence::{Key, Position, ReadError, Table};

use crate::address::Address;
use crate::core::Core;
use crate::envelope::Header;
use crate::mailbox::{Failures, Mailbox};
use crate::node::StartError;
use crate::quarantine::Suspect;
use crate::timer;

/// How many mailboxes are woken before it is asked whether their activations have become too many.
const WAKE_AT_A_TIME: usize = 256;

/// Rebuilds what memory holds of the store. `in_hand` is what the last process died with. Blocks.
pub(super) fn recover(core: &Core, in_hand: &[Position]) -> Result<Vec<Suspect>, StartError> {
    stranded::check(core)?;
    outbox::recover(core)?;
    core.recover_requests()?;
    core.shelf.recover(&core.store)?;
    core.recover_supervision()?;
    timer::recover(core)?;
    Ok(recover_mailboxes(core, in_hand)?)
}

/// Rebuilds the index of waiting messages with one scan.
fn recover_mailboxes(core: &Core, in_hand: &[Position]) -> Result<Vec<Suspect>, ReadError> {
    let failures = read_failures(core)?;
    let in_hand: HashSet<Position> = in_hand.iter().copied().collect();
    let mut recovery = Recovery {
        core,
        failures,
        in_hand,
        mailboxes: HashMap::new(),
        suspects: Vec::new(),
        waiting: 0,
        unknown: HashMap::new(),
    };
    core.store.scan(Table::Inbox, |key, envelope| {
        if let Key::Inbox { position, .. } = key {
            recovery.found(*position, envelope);
        }
        ControlFlow::Continue(())
    })?;
    for (actor_type, messages) in &recovery.unknown {
        tracing::error!(node = %core.name, actor_type, messages, "messages wait for an actor type that is not part of this node; they stay in the store until it is");
    }
    core.add_waiting(recovery.waiting);
    core.counters.replayed.store(recovery.waiting as u64, Ordering::Relaxed);
    Ok(recovery.suspects)
}

/// Rings every mailbox that has work, and waits while activations are too many.
pub(super) async fn wake_all(core: &Arc<Core>) {
    let mut waiting = Vec::new();
    core.directory.for_each(|mailbox| {
        if !mailbox.lock().rules.is_empty() {
            waiting.push(Arc::clone(mailbox));
        }
    });
    for mailboxes in waiting.chunks(WAKE_AT_A_TIME) {
        for mailbox in mailboxes {
            mailbox.lock().ring(mailbox);
        }
        let woken = core.gate.until(|| !core.activations.are_too_many()).await;
        if woken.is_err() {
            return;
        }
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
    /// Messages by actor types that this node does not have.
    unknown: HashMap<String, usize>,
}

impl Recovery<'_> {
    fn found(&mut self, position: Position, envelope: &[u8]) {
        let header = match Header::decode(envelope) {
            Ok((header, _)) => header,
            Err(error) => {
                tracing::error!(seq = position.0, %error, "a message cannot be read by this build; it stays in the store");
                return;
            }
        };
        let Some(mailbox) = self.mailbox(header.destination) else {
            return;
        };
        let failures = self.failures.remove(&position);
        let in_hand = self.in_hand.contains(&position);
        if in_hand || failures.as_ref().is_some_and(|failures| failures.alone) {
            let failures = failures.clone().unwrap_or_default();
            self.suspects.push(Suspect { mailbox: Arc::clone(&mailbox), position, failures, in_hand });
        }
        if header.keep_reply {
            self.core.kept_replies.waiting(header.id(), &mailbox, position);
        }
        let mut inner = mailbox.lock();
        inner.rules.recovered(position, header.priority(), failures);
        inner.bytes += envelope.len();
        self.core.add_beyond(envelope.len());
        self.waiting += 1;
    }

    /// The mailbox of an address, if its actor type is part of the node.
    fn mailbox(&mut self, destination: &str) -> Option<Arc<Mailbox>> {
        if let Some(mailbox) = self.mailboxes.get(destination) {
            return Some(Arc::clone(mailbox));
        }
        let address = Address::parse(destination)?;
        let Some(kind) = self.core.kinds.get(address.actor_type()) else {
            *self.unknown.entry(address.actor_type().to_owned()).or_default() += 1;
            return None;
        };
        let mailbox = self.core.directory.mailbox(&address, kind);
        self.mailboxes.insert(destination.to_owned(), Arc::clone(&mailbox));
        Some(mailbox)
    }
}
