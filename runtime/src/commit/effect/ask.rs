//! The asks of turns. What a turn asks is stored with the ask; it goes when the turn has committed, or when its
//! message is gone for good: what the store says of the asks, and the replies that were kept.

use std::sync::Arc;

use everpost_persistence::{Key, MailboxId, Position, Stage};

use super::Phases;
use crate::cluster::Peer;
use crate::commit::transaction::Step;
use crate::mailbox::Mailbox;
use crate::message::MessageId;
use crate::message::address::{Address, partition_of};
use crate::record::asked::Asked;
use crate::shard::asks::{Asking, Older};
use crate::shard::kept_replies::reply_key;
use crate::shard::{Release, Shard};

/// What is to go. Usually nothing.
#[derive(Debug, Default)]
pub(super) struct Outlived {
    keys: Vec<Key>,
    /// Other nodes that keep replies.
    remote: Vec<(Arc<Peer>, MessageId, Address)>,
}

impl Outlived {
    pub(super) fn stage(&self, stage: &mut Stage<'_>) {
        self.keys.iter().for_each(|key| stage.delete(*key));
    }

    /// Whoever else keeps a reply is told when the submission is durable.
    pub(super) fn apply(self, step: &mut Step<'_, '_>) {
        for (peer, id, address) in self.remote {
            step.release_committed(Release::Forget(peer, id, address));
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.keys.extend(other.keys);
        self.remote.extend(other.remote);
    }
}

/// The ask of a turn on its way: what was asked is stored in the step that submits it.
pub(super) struct Ask<'a> {
    asking: Asking<'a>,
    /// Of another ask that was asked in its place before, and given up on: nobody will ask it anew.
    replaced: Outlived,
}

impl<'a> Ask<'a> {
    pub(super) fn new(asking: Asking<'a>) -> Self {
        Self { asking, replaced: Outlived::default() }
    }

    pub(super) fn bytes_max(&self) -> usize {
        self.asking.asked.bytes_max()
    }

    pub(super) fn take(&mut self, step: &mut Step<'_, 'a>) {
        let asked = &self.asking.asked;
        let before = step.shard.asked.find(asked.turn, asked.place).filter(|before| before.differs(asked));
        if let Some(before) = before {
            self.replaced = of_gone(step, before.to.mailbox(), before.id());
        }
    }

    pub(super) fn stage(&mut self, stage: &mut Stage<'_>, position: Position) {
        self.replaced.stage(stage);
        self.asking.stage(stage, position);
    }

    /// It waits in a mailbox of this node.
    pub(super) fn waits_in(self, step: &mut Step<'_, 'a>, mailbox: &'a Arc<Mailbox>, position: Position) {
        step.mailbox(mailbox).await_message(position);
        waits(step, self.asking.asked.id(), mailbox, position);
        step.shard.quarantine.admit(mailbox.id(), position);
        self.left(step);
    }

    /// It is on its way to another node.
    pub(super) fn left(self, step: &mut Step<'_, 'a>) {
        let Asking { mailbox, asked } = self.asking;
        step.shard.asked.asked(mailbox, asked);
        self.replaced.apply(step);
    }
}

/// An ask of a turn waits here from now on, perhaps not for the first time: one that was given up on is asked anew
/// under its id, and what its own turn has asked then is known to the next one.
pub(super) fn waits<'a>(step: &mut Step<'_, 'a>, id: MessageId, mailbox: &'a Arc<Mailbox>, position: Position) {
    step.replies.waiting(id, mailbox, position);
    step.shard.asked.waits(mailbox, id);
}

/// What turns have asked goes, since they are over.
pub(crate) struct Over<'a> {
    whose: Whose<'a>,
    outlived: Outlived,
}

/// Whose asks go.
enum Whose<'a> {
    /// Of the turn of this message, which waits here: on this attempt, on those before it, and under an older build.
    Turn(&'a Mailbox, MessageId, Vec<Older>),
    /// Of a turn on another node that has asked these here.
    Elsewhere(Vec<(Address, MessageId)>),
    /// These, and where the store says that they were asked.
    These(Vec<(Key, Asked)>),
}

impl<'a> Over<'a> {
    /// The turn of a message is about to commit. None when it has asked nothing, which is usual.
    pub(crate) fn of_turn(mailbox: &'a Mailbox, turn: MessageId, older: Vec<Older>) -> Option<Self> {
        let has_asked = mailbox.asking.is_any() || !older.is_empty();
        has_asked.then(|| Self::new(Whose::Turn(mailbox, turn, older)))
    }

    /// The turns that have asked these asks from other nodes are over: what is kept for them goes.
    pub(crate) fn elsewhere(asked: Vec<(Address, MessageId)>) -> Self {
        Self::new(Whose::Elsewhere(asked))
    }

    pub(crate) fn these(asked: Vec<(Key, Asked)>) -> Self {
        Self::new(Whose::These(asked))
    }

    fn new(whose: Whose<'a>) -> Self {
        Self { whose, outlived: Outlived::default() }
    }
}

impl<'a> Phases<'a> for Over<'a> {
    fn take(&mut self, step: &mut Step<'_, 'a>) {
        self.outlived = match &mut self.whose {
            Whose::Turn(mailbox, turn, older) => {
                let mut outlived = of_waiting(step, mailbox, *turn);
                for Older { id, to, key, remote } in older.drain(..) {
                    outlived.keys.push(key);
                    outlived.remote.extend(remote.map(|(remote, _)| (remote.peer, id, to)));
                }
                outlived
            }
            Whose::Elsewhere(asked) => {
                let mut outlived = Outlived::default();
                asked.drain(..).for_each(|(address, id)| outlived.add(of_ask(step, &address, id)));
                outlived
            }
            Whose::These(asked) => {
                let asked = std::mem::take(asked);
                of_all(step, asked)
            }
        };
    }

    fn stage(&mut self, stage: &mut Stage<'_>) {
        self.outlived.stage(stage);
    }

    fn apply(self, step: &mut Step<'_, 'a>) {
        self.outlived.apply(step);
    }
}

/// What the turn of a message that waited in this mailbox has asked, and which is gone for good.
pub(super) fn of_waiting(step: &mut Step<'_, '_>, mailbox: &Mailbox, turn: MessageId) -> Outlived {
    let asked = step.shard.asked.over(mailbox, turn);
    of_all(step, asked.into_iter().map(|asked| (asked.key(mailbox.partition, mailbox.id()), asked)))
}

/// What the turns have asked whose dead letters `gone` are taken away for good. Nothing of the ask of a turn: that may
/// ask it anew, with or without a dead letter, until it is over.
pub(super) fn of_letters(step: &mut Step<'_, '_>, gone: &[Position]) -> Outlived {
    let mut outlived = Outlived::default();
    for dead_letter in gone {
        if let Some(Some(known)) = step.dead_letters.get().get(*dead_letter)
            && !known.is_ask
        {
            outlived.add(of_gone(step, known.mailbox, known.id));
        }
    }
    outlived
}

/// What the turn of a message to this mailbox has asked, unless it waits there: it was a dead letter, or an ask that
/// nobody will ask anew.
pub(super) fn of_gone(step: &mut Step<'_, '_>, mailbox: MailboxId, turn: MessageId) -> Outlived {
    let partition = partition_of(mailbox, step.shard.store.partitions());
    let asked = step.shard.asked.gone(turn);
    of_all(step, asked.into_iter().map(|asked| (asked.key(partition, mailbox), asked)))
}

/// The turn is over that has asked this from another node: its reply, and what its own turn has asked where it was
/// given up on.
fn of_ask(step: &mut Step<'_, '_>, asked: &Address, id: MessageId) -> Outlived {
    // One that is not handled yet is not to be kept when it is.
    step.replies.abandon(id, None);
    let mut outlived = of_gone(step, asked.mailbox(), id);
    outlived.keys.push(reply_key(step.shard, asked, id));
    outlived
}

/// These asks, and where the store says that they were asked.
fn of_all(step: &mut Step<'_, '_>, asked: impl IntoIterator<Item = (Key, Asked)>) -> Outlived {
    let mut outlived = Outlived::default();
    for (key, asked) in asked {
        let id = asked.id();
        match &asked.node {
            // What was asked stays in the store until the ask is handled, whose reply is not to be kept.
            None if step.replies.abandon(id, Some(key)) => {}
            None => {
                outlived.keys.extend([key, reply_key(step.shard, &asked.to, id)]);
                // It may have been given up on, and nobody asks it anew.
                outlived.add(of_gone(step, asked.to.mailbox(), id));
            }
            Some(node) => {
                outlived.keys.push(key);
                let peer = peer(step.shard, node);
                outlived.remote.extend(peer.map(|peer| (peer, id, asked.to)));
            }
        }
    }
    outlived
}

fn peer(shard: &Shard, node: &str) -> Option<Arc<Peer>> {
    shard.cluster.peer(node).map(Arc::clone)
}
