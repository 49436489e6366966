//! What a peer asks about its messages after the fact, and what it says that need not be kept for it: done beside the
//! conversation, since it reads the store and waits for room in it, and acknowledgements come on the same stream.

use std::sync::Arc;

use everpost_persistence::{Admit, Key, Position};
use rustc_hash::FxHashMap;
use tokio::sync::mpsc;

use crate::base::ended::NodeEnded;
use crate::cluster::Peer;
use crate::cluster::note::Fate;
use crate::cluster::note::Note;
use crate::commit::{Over, Transaction};
use crate::engine::inquiry::join_waiting;
use crate::mailbox::Mailbox;
use crate::mailbox::waiter::Waiter;
use crate::message::MessageId;
use crate::message::address::Address;
use crate::message::envelope::id_of;
use crate::record::dead_letter::outcome_of;
use crate::shard::Shard;
use crate::shard::dead_letters::DeadLetterStatus;
use crate::shard::kept_replies::reply_key;
use crate::tables;

/// How many requests wait at most. While as many do the peer is not heard: until one look has answered all of them.
const WAITING_MAX: usize = 65_536;
/// How many are served with one look.
const AT_A_TIME: usize = 16_384;
/// How many records are read at a time.
const READ_AT_A_TIME: usize = 256;
/// The same in bytes, but for the last one.
const READ_BYTES_AT_A_TIME: usize = 1 << 20;

/// Something that a peer wants.
#[derive(Debug)]
pub(super) enum Request {
    /// To be told what becomes of a message that it sent and that was acknowledged: now if that is known, or when it
    /// is.
    Inquire { id: MessageId, address: Address, reply: bool },
    /// Nothing more: the stored reply to an ask of a turn is not needed any longer.
    Forget { id: MessageId, address: Address },
}

/// Takes the requests of one conversation.
#[derive(Debug)]
pub(super) struct OutcomeRequests {
    requests: mpsc::Sender<Request>,
}

/// Messages of one mailbox that are asked about, and whether their replies are wanted.
type Wanted = FxHashMap<MessageId, bool>;

impl OutcomeRequests {
    /// Opens a desk that closes when it is dropped. Whoever still waits then asks again in the next conversation.
    pub(super) fn open(shard: &Arc<Shard>, peer: &Arc<Peer>) -> Self {
        let (requests, open) = mpsc::channel(WAITING_MAX);
        shard.begin("the desk of a link", serve(Arc::clone(shard), Arc::clone(peer), open));
        Self { requests }
    }

    /// Leaves a request. None once the store can be neither read nor written.
    pub(super) async fn leave(&self, request: Request) -> Option<()> {
        self.requests.send(request).await.ok()
    }
}

async fn serve(shard: Arc<Shard>, peer: Arc<Peer>, mut open: mpsc::Receiver<Request>) {
    let mut requests = Vec::new();
    while open.recv_many(&mut requests, AT_A_TIME).await > 0 {
        let (mut inquiries, mut forgotten) = (FxHashMap::<_, (Address, Wanted)>::default(), Vec::new());
        for request in requests.drain(..) {
            match request {
                Request::Inquire { id, address, reply } => {
                    let (_, wanted) =
                        inquiries.entry(address.mailbox()).or_insert_with(|| (address, Wanted::default()));
                    *wanted.entry(id).or_default() |= reply;
                }
                Request::Forget { id, address } => forgotten.push((address, id)),
            }
        }
        // What was forgotten is not said again; what was asked is, in the next conversation.
        let is_over = open.is_closed();
        if forget(&shard, forgotten).await.is_err() {
            return;
        }
        for (address, wanted) in inquiries.into_values().filter(|_| !is_over) {
            if let Err(error) = answer(&shard, &peer, &address, wanted).await {
                if shard.gate.is_over() {
                    return;
                }
                // A record that is damaged concerns whoever asked about it, and nobody else.
                if let Some(times) = shard.recurring.met("inquiries not answered") {
                    tracing::error!(
                        node = %shard.name, peer = %peer.name, actor = %address, %error, times,
                        event = "inquiries not answered",
                        "what the peer asked about messages of this actor cannot be read; it asks again when the link \
                         is made anew"
                    );
                }
            }
            // A look takes a lock and may copy the positions of a long mailbox: others run between two.
            tokio::task::yield_now().await;
        }
    }
}

/// Why what was asked about the messages of an address cannot be answered.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
enum Unanswered {
    Ended(#[from] NodeEnded),
    Read(#[from] everpost_persistence::ReadError),
    Recalled(#[from] ractor::ActorProcessingErr),
}

/// Deletes what is kept for asks, in one submission.
async fn forget(shard: &Shard, asks: Vec<(Address, MessageId)>) -> Result<(), NodeEnded> {
    if asks.is_empty() {
        return Ok(());
    }
    let transaction = Transaction::upkeep(shard).with(Over::elsewhere(asks));
    let permit = transaction.reserve().await.map_err(|_| shard.gate.ended())?;
    transaction.commit_in_any_case(permit);
    Ok(())
}

/// Answers all that is asked about the messages of one mailbox, or leaves a waiter at the message.
async fn answer(shard: &Shard, peer: &Arc<Peer>, address: &Address, wanted: Wanted) -> Result<(), Unanswered> {
    let mut wanted = asks_of_turns(shard, peer, address, wanted).await?;
    while !wanted.is_empty() {
        let revived = shard.dead_letters.revived();
        if shard.remote(address).is_none()
            && let Some(mailbox) = shard.directory.find_at(address)
        {
            leave_waiters(shard, peer, &mailbox, &mut wanted).await?;
            // Whatever became of the others is durable before it is told.
            let last = mailbox.lock().last_submitted();
            shard.gate.durable(last).await?;
        }
        tell_of_letters(shard, peer, &mut wanted).await?;
        // So is that dead letters have gone.
        shard.gate.durable(shard.dead_letters.newest()).await?;
        if shard.dead_letters.revived() == revived {
            for (id, _) in wanted.drain() {
                let fate = match (shard.expiries.dropped(id), shard.dead_letters.status(id)) {
                    (Some(dropped), _) => {
                        shard.gate.durable(dropped).await?;
                        Fate::Expired
                    }
                    (None, DeadLetterStatus::Gone(_, reason)) => DeadLetterStatus::outcome(reason).into(),
                    (None, _) => Fate::Handled(None),
                };
                tell(peer, id, fate);
            }
        }
        // Otherwise one of them may have gone back from the dead letters to its mailbox after that was looked through.
    }
    Ok(())
}

/// Answers those that are asks of turns, whose replies are stored. Returns the others.
async fn asks_of_turns(
    shard: &Shard,
    peer: &Arc<Peer>,
    address: &Address,
    wanted: Wanted,
) -> Result<Wanted, Unanswered> {
    let mut others = Wanted::default();
    for (id, reply) in wanted {
        if let Some(Waiter::Away { reply, .. }) = join_waiting(shard, address, id, waiter(peer, id, reply)).await? {
            others.insert(id, reply);
        }
    }
    let asked: Vec<MessageId> = others.iter().filter(|(_, reply)| **reply).map(|(id, _)| *id).collect();
    let keys: Vec<Key> = asked.iter().map(|id| reply_key(shard, address, *id)).collect();
    let mut read = 0;
    while read < keys.len() {
        for reply in self::read(shard, &keys[read..]).await? {
            // Read again when it is told: there is no bound to how many there are.
            if reply.is_some() {
                others.remove(&asked[read]);
                peer.tell_stored(asked[read], keys[read]);
            }
            read += 1;
        }
    }
    Ok(others)
}

/// Leaves waiters at the messages that wait, and takes those out of `wanted`. However many are asked about, the mailbox
/// is gone through once.
async fn leave_waiters(
    shard: &Shard,
    peer: &Arc<Peer>,
    mailbox: &Arc<Mailbox>,
    wanted: &mut Wanted,
) -> Result<(), Unanswered> {
    let mut beyond = Vec::new();
    {
        let mut inner = mailbox.lock();
        let mut found = Vec::new();
        for (position, body) in inner.rules().all() {
            match body {
                Some(body) => {
                    let wanted = id_of(body).and_then(|id| wanted.remove_entry(&id));
                    found.extend(wanted.map(|(id, reply)| (position, waiter(peer, id, reply))));
                }
                None => beyond.push(position),
            }
        }
        for (position, waiter) in found {
            inner.add_waiter(shard.gate.is_over(), position, waiter);
        }
    }
    let keys: Vec<Key> = beyond.iter().map(|position| mailbox.inbox_key(*position)).collect();
    let mut read = 0;
    while read < keys.len() && !wanted.is_empty() {
        let bodies = self::read(shard, &keys[read..]).await?;
        let positions = &beyond[read..];
        read += bodies.len();
        let mut inner = mailbox.lock();
        for (position, body) in positions.iter().zip(bodies) {
            // One that was finished meanwhile has no body, or is not there any more.
            if let Some(id) = body.as_deref().and_then(id_of)
                && inner.rules().contains(*position)
                && let Some(reply) = wanted.remove(&id)
            {
                inner.add_waiter(shard.gate.is_over(), *position, waiter(peer, id, reply));
            }
        }
    }
    Ok(())
}

/// Tells of those that were given up on, and takes them out of `wanted`.
async fn tell_of_letters(shard: &Shard, peer: &Peer, wanted: &mut Wanted) -> Result<(), Unanswered> {
    let dead_letters = wanted.keys().filter_map(|id| Some((*id, shard.dead_letters.find(*id)?)));
    let dead_letters: Vec<(MessageId, Position)> = dead_letters.collect();
    let keys: Vec<Key> = dead_letters.iter().map(|(_, position)| tables::dead_letter(*position)).collect();
    let mut read = 0;
    while read < keys.len() {
        shard.gate.durable(shard.dead_letters.newest()).await?;
        for record in self::read(shard, &keys[read..]).await? {
            let (id, position) = dead_letters[read];
            read += 1;
            // One that is not there was decided on meanwhile.
            if let Some(record) = record {
                wanted.remove(&id);
                tell(peer, id, outcome_of(position, &record).into());
            }
        }
    }
    Ok(())
}

fn waiter(peer: &Arc<Peer>, id: MessageId, reply: bool) -> Waiter {
    Waiter::Away { peer: Arc::clone(peer), id, reply }
}

fn tell(peer: &Peer, id: MessageId, fate: Fate) {
    peer.tell(Note::Outcome { id: id.0, fate });
}

/// Counts bytes, and refuses when there are enough: the first one is taken in any case.
struct Enough(usize);

impl Admit for Enough {
    fn admits(&mut self, bytes: usize) -> bool {
        let is_taken = self.0 < READ_BYTES_AT_A_TIME;
        self.0 += bytes;
        is_taken
    }
}

/// Reads the first of these records, one at least.
async fn read(shard: &Shard, keys: &[Key]) -> Result<Vec<Option<bytes::Bytes>>, Unanswered> {
    let keys = keys[..keys.len().min(READ_AT_A_TIME)].to_vec();
    Ok(shard.store.read_while(keys, Enough(0)).await?.0)
}
