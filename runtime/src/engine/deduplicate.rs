//! Whether a message that was sent under an idempotency key has been answered before.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everpost_persistence::{Mark, Position, ReadError};
use ractor::ActorProcessingErr;

use crate::base::alarm::Said;
use crate::base::clock::Deadline;
use crate::cluster::note::{NoAnswer, Note};
use crate::cluster::remote_query::RemoteAnswer;
use crate::commit::{RequestsExpired, Transaction};
use crate::mailbox::actor_type::ActorType;
use crate::mailbox::{Inner, Mailbox};
use crate::message::address::Address;
use crate::message::envelope::{Header, request_of};
use crate::message::request::{RequestId, RequestKey};
use crate::record::answered::{Answered, Content};
use crate::shard::requests::Known;
use crate::shard::{Remote, Shard};
use crate::tables;

/// How many requests are forgotten in one commit.
const EXPIRE_AT_A_TIME: usize = 1024;

/// The name of the query whether a message contradicts another one under its key: none that a user's query may have. A
/// node that does not know it answers that it is not handled.
pub(crate) const KEY_QUERY: &str = "everpost:key";
/// Larger messages are not sent twice for that query.
const CHECKED_BYTES_MAX: usize = 64 << 10;
/// How long a send waits for the answer to it.
const CHECKED_WITHIN: Duration = Duration::from_secs(1);

/// What is known of the request of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Recalled {
    /// Nothing: it is to be handled.
    New,
    /// It was answered, with this reply.
    Same(Bytes),
    /// Another message was answered under its key.
    Other,
    /// Someone holds a message of the same request: what comes of it is not known yet.
    Held(RequestId),
    /// It is new, and as many requests are kept as may be.
    Full,
}

/// What is to be kept of a message that was sent under an idempotency key, if it was. Runs the type's own code, so no
/// lock is held.
pub(crate) fn content(mailbox: &Mailbox, header: &Header<'_>, payload: &[u8]) -> Option<Content> {
    header.extension.request().map(|_| Content::of(mailbox.actor_type.message(header.message), header, payload))
}

/// Looks whether the request of this message was answered.
pub(crate) async fn recall(
    shard: &Shard,
    mailbox: &Arc<Mailbox>,
    position: Position,
    request: RequestId,
    header: &Header<'_>,
    payload: &[u8],
) -> Result<Recalled, ActorProcessingErr> {
    let now = shard.clock.steady();
    if is_held(&mailbox.lock(), request) {
        return Ok(Recalled::Held(request));
    }
    let key = RequestKey { partition: mailbox.partition, mailbox: mailbox.id(), request };
    let known = shard.requests.look_up(&key, now);
    if known == Known::Full {
        return Ok(Recalled::Full);
    }
    Ok(match answered(shard, &key, known).await? {
        None => Recalled::New,
        Some(Answered { content, reply, .. }) => {
            let schema = mailbox.actor_type.message(header.message);
            // Reads both messages.
            let is_same = shard.marks.with(Mark::Record(position), || content.is_same(schema, header, payload));
            if is_same { Recalled::Same(reply) } else { Recalled::Other }
        }
    })
}

/// Sets the message in flight aside until whoever holds a message of its request has decided.
pub(crate) fn wait_for_key(mailbox: &Mailbox, position: Position, request: RequestId) {
    let mut inner = mailbox.lock();
    // The hold may have ended since it was looked at.
    if is_held(&inner, request) {
        inner.wait_for_key(position, request);
    } else {
        inner.interrupt();
    }
}

/// Sets the message in flight aside until there is room for its request; others pass it.
pub(crate) fn wait_for_room_for_keys(shard: &Shard, mailbox: &Arc<Mailbox>, position: Position) {
    let mut inner = mailbox.lock();
    if !shard.requests.wait_for_room(mailbox, position) {
        inner.interrupt();
        return;
    }
    inner.wait_aside(position);
    drop(inner);
    tell_of_waiting_keys(shard);
}

fn tell_of_waiting_keys(shard: &Shard) {
    if let Some((Said { times, lasts }, waiting)) = shard.requests.is_short_of_room() {
        tracing::error!(
            node = %shard.name, times, ?lasts, waiting, event = "too many idempotency keys",
            "messages with new ones that were accepted wait aside until others expire; raise \
             `idempotency_keys_max`, or shorten `idempotency_retention`"
        );
    }
}

/// Whether a message with this key may be sent from outside to an actor of this node: its key is known, a message waits
/// under it already, or there is room for a new one.
pub(crate) fn admits(shard: &Shard, address: &Address, request: RequestId) -> bool {
    let partition = address.partition(shard.store.partitions());
    let key = RequestKey { partition, mailbox: address.mailbox(), request };
    shard.requests.has_room_for(&key)
        || shard.directory.find(address.mailbox()).is_some_and(|mailbox| mailbox.lock().has_key(request))
}

/// Whether another message than this one was answered under its key, as far as that is known before it is sent.
pub(crate) async fn contradicts(
    shard: &Arc<Shard>,
    actor_type: &Arc<ActorType>,
    address: &Address,
    envelope: Bytes,
) -> Result<bool, ActorProcessingErr> {
    let Some(request) = request_of(&envelope) else { return Ok(false) };
    let partition = address.partition(shard.store.partitions());
    let key = RequestKey { partition, mailbox: address.mailbox(), request };
    let known = shard.requests.look_up(&key, shard.clock.steady());
    let Some(answered) = answered(shard, &key, known).await? else { return Ok(false) };
    // The same bytes are the same message, whatever its type says.
    if Header::decode(&envelope).is_ok_and(|(header, payload)| answered.content.is_equal(&header, payload)) {
        return Ok(false);
    }
    let (comparing, actor_type, mailbox) = (Arc::clone(shard), Arc::clone(actor_type), address.mailbox());
    // Code of the message's type, which reads what is stored: marked, and on a thread that the node watches, whoever
    // sends.
    let comparing = shard.detached(async move {
        Header::decode(&envelope).is_ok_and(|(header, payload)| {
            let is_same = || answered.content.is_same(actor_type.message(header.message), &header, payload);
            !comparing.marks.with(Mark::Query(mailbox), is_same)
        })
    });
    // What it panics of is found out by the turn.
    Ok(comparing.await.unwrap_or(false))
}

/// The same of a message to an actor of another node, which is asked, if there is a link to it. Otherwise, and when the
/// answer takes too long, it is found out when the message is handled there.
pub(crate) async fn contradicts_away(shard: &Shard, remote: &Remote, envelope: &[u8]) -> bool {
    let Remote { peer, address, .. } = remote;
    if envelope.len() > CHECKED_BYTES_MAX {
        return false;
    }
    let Ok(_open) = shard.queries.try_acquire() else { return false };
    let Some(_room) = peer.try_room_to_ask(envelope.len()) else { return false };
    let asked = peer.ask(|number| Note::Query {
        number,
        destination: address.to_string(),
        query: KEY_QUERY.to_owned(),
        version: 1,
        payload: envelope.to_vec(),
    });
    let Some(answer) = asked else { return false };
    matches!(shard.within(Deadline::after(CHECKED_WITHIN), answer).await, Ok(Ok(Ok(answer))) if answer == [1])
}

/// Answers whether a message that another node is about to send contradicts what was answered under its key.
pub(crate) fn answer_key(shard: &Arc<Shard>, address: &Address, envelope: Vec<u8>, answer: RemoteAnswer) {
    let Ok(open) = Arc::clone(&shard.queries).try_acquire_owned() else { return };
    let (answering, address) = (Arc::clone(shard), address.clone());
    shard.begin("a query about a key", async move {
        let _open = open;
        let Some(actor_type) = answering.actor_types.get(address.actor_type()) else {
            return answer.give(Err(NoAnswer::NotHandled));
        };
        if let Ok(contradicts) = contradicts(&answering, actor_type, &address, envelope.into()).await {
            answer.give(Ok(vec![u8::from(contradicts)]));
        }
    });
}

/// What was answered under a key of which so much is known in memory.
async fn answered(shard: &Shard, key: &RequestKey, known: Known) -> Result<Option<Answered>, ActorProcessingErr> {
    Ok(match known {
        Known::No | Known::Full => None,
        Known::Answered(answered) => Some(answered),
        Known::Stored => {
            let answered = shard.store.read((*key).into()).await?.as_deref().and_then(Answered::decode);
            if let Some(answered) = &answered {
                shard.requests.was_read(key, answered);
            }
            answered
        }
    })
}

/// Reads the requests that are kept. Blocks.
pub(crate) fn recover_requests(shard: &Shard) -> Result<(), ReadError> {
    shard.store.scan(&tables::REQUESTS, |key, record| {
        let (partition, mailbox, request) = tables::request_of(key);
        let key = RequestKey { partition, mailbox, request: RequestId(request) };
        match Answered::decode(record) {
            Some(answered) => shard.requests.recovered(key, answered.expires),
            None => tracing::error!(
                node = %shard.name, event = "record unreadable",
                "the answer to a request cannot be read by this build; start the build that wrote it"
            ),
        }
        std::ops::ControlFlow::Continue(())
    })
}

/// Messages for whose keys there is room now. Should a panic keep some of them from going on they wait for it again:
/// nobody else would know of them.
struct LetIn<'a> {
    shard: &'a Shard,
    waiting: VecDeque<(Arc<Mailbox>, Position)>,
}

impl Drop for LetIn<'_> {
    fn drop(&mut self) {
        self.shard.requests.wait_again(std::mem::take(&mut self.waiting));
    }
}

/// Forgets requests whose time is over.
pub(crate) async fn expire_requests(shard: &Shard) {
    loop {
        let transaction = Transaction::upkeep(shard).with(RequestsExpired::new(EXPIRE_AT_A_TIME));
        let Ok(permit) = transaction.reserve().await else { return };
        let expired = transaction.commit(permit).map_or(0, |committed| committed.removed);
        let (waiting, is_over) = shard.requests.let_in();
        let mut let_in = LetIn { shard, waiting };
        while let Some((mailbox, position)) = let_in.waiting.front() {
            let mut inner = mailbox.lock();
            inner.let_go_on(*position);
            inner.ring(mailbox);
            drop(inner);
            let_in.waiting.pop_front();
        }
        // After that: a log that panics leaves nobody out.
        if let Some(Said { times, lasts }) = is_over {
            tracing::info!(
                node = %shard.name, times, ?lasts, event = "room for idempotency keys",
                "no message waits for room for its key any more"
            );
        }
        if expired < EXPIRE_AT_A_TIME {
            tell_of_waiting_keys(shard);
            return;
        }
    }
}

/// Whether someone holds a message of this request: what comes of it is not known yet.
fn is_held(inner: &Inner, request: RequestId) -> bool {
    inner
        .rules()
        .all_held()
        .any(|body| Header::decode(body).is_ok_and(|(header, _)| header.extension.request() == Some(request)))
}
