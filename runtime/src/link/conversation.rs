//! A conversation: from the introduction to the end of the connection, everything at once in one task.

use std::sync::Arc;

use everpost_transport::frame::OVERHEAD_BYTES_MAX;

use super::introduction::refuse;
use super::outcomes::OutcomeRequests;
use super::{Links, arrivals, control, departures, resumption};
use crate::cluster::ended::Ended;
use crate::cluster::introduced::Introduced;

/// Speaks with a peer until the connection ends or has to. Never returns without a reason.
pub(super) async fn converse(links: &Links, mut introduced: Introduced, over: impl Future<Output = Ended>) -> Ended {
    let peer = Arc::clone(&introduced.producer.peer);
    let connection = introduced.connection.clone();
    let ended = tokio::select! {
        ended = over => ended,
        Err(ended) = speak(links, &mut introduced) => ended,
    };
    resumption::part(&links.shard, &peer);
    refuse(&connection, ended)
}

async fn speak(links: &Links, introduced: &mut Introduced) -> Result<std::convert::Infallible, Ended> {
    let shard = &links.shard;
    let credit = links.config.lane_window_bytes as u64;
    resumption::resume(shard, credit, introduced).await?;
    let Introduced { streams, frames, producer, hello, .. } = introduced;
    let note_bytes_max = usize::try_from(hello.message_bytes_max).unwrap_or(usize::MAX);
    let note_bytes_max = note_bytes_max.saturating_add(OVERHEAD_BYTES_MAX);
    let producer = &*producer;
    let outcome_requests = OutcomeRequests::open(shard, &producer.peer);
    tokio::select! {
        ended = departures::depart(shard, &producer.peer, &mut streams.data_out) => ended,
        ended = arrivals::arrive(shard, producer, &mut streams.data_in) => ended,
        ended = control::tell(shard, credit, note_bytes_max, producer, &mut streams.control_out) => ended,
        ended = control::hear(
            shard,
            producer,
            &outcome_requests,
            std::mem::take(frames),
            &mut streams.control_in,
        ) => ended,
    }
}
