//! What a turn has asked goes when the turn has committed, or when its message is gone for good: what the store says of the
//! questions, and the replies that were kept.

use std::sync::Arc;

use everpost_persistence::{Key, MailboxId, Position, Stage};

use super::{Core, Effect};
use crate::actor::turn::Staged;
use crate::api::ask::{RepliesInStep, reply_key};
use crate::cluster::Peer;
use crate::dead_letters::Letters;
use crate::mailbox::Mailbox;
use crate::message::MessageId;
use crate::message::address::{Address, partition_of};
use crate::questions::{Asked, Asking};

/// What is to go. Usually nothing.
#[derive(Debug, Default)]
pub(crate) struct Outlived {
    keys: Vec<Key>,
    /// Other nodes that keep replies.
    away: Vec<(Arc<Peer>, MessageId, Address)>,
}

impl Outlived {
    pub(crate) fn stage(&self, stage: &mut Stage<'_>) {
        for key in &self.keys {
            stage.delete(*key);
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.keys.extend(other.keys);
        self.away.extend(other.away);
    }
}

impl Core {
    /// A question of a turn waits here from now on, perhaps not for the first time: one that was given up on is asked anew under
    /// its id, and what its own turn has asked then is known to the next one.
    pub(super) fn question_waits(&self, id: MessageId, mailbox: &Arc<Mailbox>, position: Position) {
        self.kept_replies.waiting(id, mailbox, position);
        self.asked.waits(mailbox, id);
    }

    /// What the turn of this message has asked, on this attempt and on those before it.
    pub(super) fn outlive(
        &self,
        replies: &mut RepliesInStep<'_>,
        mailbox: &Mailbox,
        turn: MessageId,
        staged: &Staged,
    ) -> Outlived {
        if staged.older.is_empty() && !mailbox.asking.is_any() {
            return Outlived::default();
        }
        let mut outlived = self.outlive_waiting(replies, mailbox, turn);
        for older in &staged.older {
            outlived.keys.push(older.key);
            if let Some((peer, ..)) = &older.away {
                outlived.away.push((Arc::clone(peer), older.id, older.to.clone()));
            }
        }
        outlived
    }

    /// What the turn of a message that waited in this mailbox has asked, and which is gone for good.
    pub(super) fn outlive_waiting(
        &self,
        replies: &mut RepliesInStep<'_>,
        mailbox: &Mailbox,
        turn: MessageId,
    ) -> Outlived {
        let asked = self.asked.over(mailbox, turn);
        self.outlive_all(replies, asked.into_iter().map(|asked| (asked.key(mailbox.partition, mailbox.id()), asked)))
    }

    /// What the turns have asked whose letters `gone` are taken away for good. Nothing of the question of a turn: that may ask it
    /// anew, with or without a letter, until it is over.
    pub(crate) fn outlive_letters(
        &self,
        letters: &Letters,
        replies: &mut RepliesInStep<'_>,
        gone: &[Position],
    ) -> Outlived {
        let mut outlived = Outlived::default();
        let known = gone.iter().filter_map(|letter| letters.get(*letter).flatten());
        for known in known.filter(|known| !known.is_question) {
            outlived.add(self.outlive_gone(replies, known.mailbox, known.id));
        }
        outlived
    }

    /// What the turn of a message to this mailbox has asked, unless it waits there: it was a dead letter, or a question that nobody
    /// will ask anew.
    pub(super) fn outlive_gone(
        &self,
        replies: &mut RepliesInStep<'_>,
        mailbox: MailboxId,
        turn: MessageId,
    ) -> Outlived {
        let partition = partition_of(mailbox, self.store.partitions());
        let asked = self.asked.gone(turn);
        self.outlive_all(replies, asked.into_iter().map(|asked| (asked.key(partition, mailbox), asked)))
    }

    /// What the turn of the question has asked in whose place this one is asked, when that is another one: it was given
    /// up on, and nobody will ask it anew.
    pub(super) fn outlive_replaced(&self, replies: &mut RepliesInStep<'_>, asking: Option<&Asking<'_>>) -> Outlived {
        let replaced = asking.and_then(|Asking { asked, .. }| {
            self.asked.find(asked.turn, asked.place).filter(|before| before.differs(asked))
        });
        replaced.map(|before| self.outlive_gone(replies, before.to.mailbox(), before.id())).unwrap_or_default()
    }

    /// The turn is over that has asked this from another node: its reply, and what its own turn has asked where it was given up on.
    pub(crate) fn outlive_question(&self, asked: &Address, id: MessageId) -> Outlived {
        // A step of its own: the turn that asked is durably over, so that what goes may go later.
        let mut replies = self.kept_replies.in_step();
        // One that is not handled yet is not to be kept when it is.
        replies.abandon(id, None);
        let mut outlived = self.outlive_gone(&mut replies, asked.mailbox(), id);
        outlived.keys.push(reply_key(self, asked, id));
        outlived
    }

    /// These questions, and where the store says that they were asked.
    pub(crate) fn outlive_all(
        &self,
        replies: &mut RepliesInStep<'_>,
        asked: impl IntoIterator<Item = (Key, Asked)>,
    ) -> Outlived {
        let mut outlived = Outlived::default();
        for (key, asked) in asked {
            let id = asked.id();
            match &asked.node {
                // What was asked stays in the store until the question is handled, whose reply is not to be kept.
                None if replies.abandon(id, Some(key)) => {}
                None => {
                    outlived.keys.extend([key, reply_key(self, &asked.to, id)]);
                    // It may have been given up on, and nobody asks it anew.
                    outlived.add(self.outlive_gone(replies, asked.to.mailbox(), id));
                }
                Some(node) => {
                    outlived.keys.push(key);
                    let peer = self.cluster.peer(node);
                    outlived.away.extend(peer.map(|peer| (Arc::clone(peer), id, asked.to)));
                }
            }
        }
        outlived
    }

    /// The submission was made: whoever else keeps a reply is told when it is durable.
    pub(crate) fn outlived(&self, outlived: Outlived, ticket: Position) {
        for (peer, id, address) in outlived.away {
            self.release_after(ticket, Effect::Forget(peer, id, address));
        }
    }
}
