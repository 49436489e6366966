//! What turns have asked before the process ended.

use crate::commit::{Over, Transaction};
use crate::tables;
use std::collections::HashSet;
use std::ops::ControlFlow;

use everpost_persistence::{Key, MailboxId, ReadError};

use crate::message::MessageId;
use crate::message::envelope::Header;
use crate::record::asked::Asked;
use crate::record::dead_letter::DeadLetter;
use crate::shard::KeptReply;
use crate::shard::Shard;

/// The replies that the store keeps for turns.
#[derive(Debug, Default)]
pub(super) struct Kept {
    replies: HashSet<(MailboxId, u128)>,
    /// The mailboxes that have asked, with their asks.
    asked: Vec<(Key, Asked)>,
}

/// Reads what turns have asked. Blocks.
pub(super) fn recover(shard: &Shard) -> Result<Kept, ReadError> {
    let mut kept = Kept::default();
    shard.store.scan(&tables::REPLIES, |key, record| {
        let (_, mailbox, request) = tables::request_of(key);
        match Asked::decode(request, record) {
            Some(asked) => {
                shard.asked.recovered(asked.clone());
                kept.asked.push((*key, asked));
            }
            None => {
                kept.replies.insert((mailbox, request));
                shard.asked.recovered_older(mailbox, request);
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(kept)
}

/// Compares it with the messages that wait: an ask that neither waits nor has a reply was given up on, and what was
/// asked by a turn that is over goes. Blocks.
pub(super) fn settle(shard: &Shard, kept: &Kept) -> Result<(), ReadError> {
    let mut over = Vec::new();
    for (key, asked) in &kept.asked {
        let id = asked.id();
        let is_here = asked.node.is_none();
        let is_waiting = matches!(shard.kept_replies.get(id), Some(KeptReply::Waiting { .. }));
        if is_here && !is_waiting && !kept.replies.contains(&(asked.to.mailbox(), id.0)) {
            shard.asked.given_up(id);
        }
        if !shard.asked.is_waiting(asked.turn) {
            over.push((*key, asked));
        }
    }
    if over.is_empty() {
        return Ok(());
    }
    // A turn that was given up on may be replayed, an ask may be asked anew, and a message that nothing handles may
    // wait for another build.
    let there = messages(shard)?;
    over.retain(|(_, asked)| !there.contains(&asked.turn) && !shard.asked.is_asked(asked.turn));
    let over = over.into_iter().map(|(key, asked)| (key, asked.clone())).collect();
    let transaction = Transaction::upkeep(shard).with(Over::these(over));
    if let Ok(permit) = transaction.try_reserve() {
        transaction.commit_in_any_case(permit);
    }
    Ok(())
}

/// The messages that wait, and those that were given up on.
fn messages(shard: &Shard) -> Result<HashSet<MessageId>, ReadError> {
    let mut there = HashSet::new();
    shard.store.scan(&tables::INBOX, |_, envelope| {
        there.extend(Header::decode(envelope).map(|(header, _)| header.id()));
        ControlFlow::Continue(())
    })?;
    shard.store.scan(&tables::DEAD_LETTERS, |key, record| {
        let position = tables::dead_letter_of(key);
        there.extend(DeadLetter::decode(position, record).map(|dead_letter| dead_letter.id));
        ControlFlow::Continue(())
    })?;
    Ok(there)
}
