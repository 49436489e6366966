//! What turns have asked before the process ended.

use crate::commit::{Over, Transaction};
use crate::tables;
use std::collections::HashSet;
use std::ops::ControlFlow;

use everpost_persistence::{Key, MailboxId, ReadError};

use crate::core::Core;
use crate::core::KeptReply;
use crate::message::MessageId;
use crate::message::envelope::Header;
use crate::record::asked::Asked;
use crate::record::dead_letter::DeadLetter;

/// The replies that the store keeps for turns.
#[derive(Debug, Default)]
pub(super) struct Kept {
    replies: HashSet<(MailboxId, u128)>,
    /// The mailboxes that have asked, with their asks.
    asked: Vec<(Key, Asked)>,
}

/// Reads what turns have asked. Blocks.
pub(super) fn recover(core: &Core) -> Result<Kept, ReadError> {
    let mut kept = Kept::default();
    core.store.scan(&tables::REPLIES, |key, record| {
        let (_, mailbox, request) = tables::request_of(key);
        match Asked::decode(request, record) {
            Some(asked) => {
                core.asked.recovered(asked.clone());
                kept.asked.push((*key, asked));
            }
            None => {
                kept.replies.insert((mailbox, request));
                core.asked.recovered_older(mailbox, request);
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(kept)
}

/// Compares it with the messages that wait: an ask that neither waits nor has a reply was given up on, and what was
/// asked by a turn that is over goes. Blocks.
pub(super) fn settle(core: &Core, kept: &Kept) -> Result<(), ReadError> {
    let mut over = Vec::new();
    for (key, asked) in &kept.asked {
        let id = asked.id();
        let is_here = asked.node.is_none();
        let is_waiting = matches!(core.kept_replies.get(id), Some(KeptReply::Waiting { .. }));
        if is_here && !is_waiting && !kept.replies.contains(&(asked.to.mailbox(), id.0)) {
            core.asked.given_up(id);
        }
        if !core.asked.is_waiting(asked.turn) {
            over.push((*key, asked));
        }
    }
    if over.is_empty() {
        return Ok(());
    }
    // A turn that was given up on may be replayed, an ask may be asked anew, and a message that nothing handles may
    // wait for another build.
    let there = messages(core)?;
    over.retain(|(_, asked)| !there.contains(&asked.turn) && !core.asked.is_asked(asked.turn));
    let over = over.into_iter().map(|(key, asked)| (key, asked.clone())).collect();
    let transaction = Transaction::upkeep(core).with(Over::these(over));
    if let Ok(permit) = transaction.try_reserve() {
        transaction.commit_in_any_case(permit);
    }
    Ok(())
}

/// The messages that wait, and those that were given up on.
fn messages(core: &Core) -> Result<HashSet<MessageId>, ReadError> {
    let mut there = HashSet::new();
    core.store.scan(&tables::INBOX, |_, envelope| {
        there.extend(Header::decode(envelope).map(|(header, _)| header.id()));
        ControlFlow::Continue(())
    })?;
    core.store.scan(&tables::DEAD_LETTERS, |key, record| {
        let position = tables::dead_letter_of(key);
        there.extend(DeadLetter::decode(position, record).map(|dead_letter| dead_letter.id));
        ControlFlow::Continue(())
    })?;
    Ok(there)
}
