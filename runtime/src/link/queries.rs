//! What this node answers when a peer asks about an actor's state.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::cluster::Peer;
use crate::cluster::note::NoAnswer;
use crate::cluster::note::Note;
use crate::cluster::remote_query::{RemoteAnswer, RemoteQuery};
use crate::engine::deduplicate;
use crate::engine::deduplicate::KEY_QUERY;
use crate::message::address::Address;
use crate::shard::Shard;

/// What a peer says of another process of this node's name, in the form of a query: one under a name that no user's
/// query can have, which older nodes just do not answer. Nobody waits for the answer.
const NAMESAKE_QUERY: &str = "everpost:namesake";

/// The number of a query whose answer nobody waits for.
const UNANSWERED: u64 = u64::MAX;

/// Of what is said of a namesake the log tells so much.
const NAMESAKE_BYTES_MAX: usize = 64;

/// Tells the peer that another process of its name was refused, and where that came from.
pub(super) fn namesake(from: SocketAddr) -> Note {
    let (query, payload) = (NAMESAKE_QUERY.to_owned(), from.to_string().into_bytes());
    Note::Query { number: UNANSWERED, destination: "everpost/namesake".to_owned(), query, version: 1, payload }
}

/// A query of a peer to an actor's state.
#[derive(Debug)]
pub(super) struct PeerQuery {
    pub(super) number: u64,
    pub(super) query: String,
    pub(super) version: u16,
    pub(super) payload: Vec<u8>,
}

/// Takes a peer's query to an actor's state. Never waits, since its answer leaves on a stream that may wait for what is
/// read next: one that is too much is lost, and one whose answer has no room is put off ([`put_again`]). Both are told,
/// or answered, in the end.
pub(super) fn query(shard: &Arc<Shard>, peer: &Arc<Peer>, address: Address, query: PeerQuery) {
    let PeerQuery { number, query: name, version, payload } = query;
    let Some(answer) = RemoteAnswer::new(peer, number, payload.len()) else { return };
    if name == KEY_QUERY {
        return deduplicate::answer_key(shard, &address, payload, answer);
    }
    if name == NAMESAKE_QUERY {
        let from = &payload[..payload.len().min(NAMESAKE_BYTES_MAX)];
        peer.alarms().namesake(&shard.name, &peer.name, &String::from_utf8_lossy(from));
        return answer.give(Ok(Vec::new()));
    }
    // The answer that is dropped tells that the query is lost.
    let Ok(permit) = Arc::clone(&shard.queries).try_acquire_owned() else { return };
    let query = RemoteQuery { address, name, version, payload, answer, permit: Some(permit) };
    // Behind those that wait already.
    if peer.has_put_off() { query.put_off() } else { put(shard, query) }
}

/// Puts queries again that had no room for their answers, as far as there is room now.
pub(super) fn put_again(shard: &Shard, peer: &Peer) {
    for mut query in peer.to_be_put_again() {
        query.permit = Arc::clone(&shard.queries).try_acquire_owned().ok();
        put(shard, query);
    }
}

/// Puts a peer's query to an actor's state.
fn put(shard: &Shard, query: RemoteQuery) {
    let address = query.address.clone();
    match shard.actor_types.get(address.actor_type()) {
        Some(actor_type) if shard.remote(&address).is_none() && actor_type.answers(&query.name) => {
            shard.put_query(&address, actor_type, actor_type.query(query));
        }
        _ => query.answer.give(Err(NoAnswer::NotHandled)),
    }
}
