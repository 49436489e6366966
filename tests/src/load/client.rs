//! The client's side of the load: one for each stream, in the process of a node.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use everpost::{ActorHandle, AskError, Node, ProcessedError, QueryError, Receipt, Refusal};
use tokio::time::timeout;

use super::{Job, Newest, Source, is_asked, is_followed_by_a_query, is_waited_for, source_of};
use crate::oracle::Entry;
use crate::protocol::{Client, Saw};
use crate::wait::DEADLINE;

/// How many jobs of a stream may be on their way.
const IN_FLIGHT_MAX: usize = 16;

/// What a client sees when something did not end well that always does on a node that works.
type Trouble = String;

/// Sends these jobs of one stream, one after the other, and says all that a client sees. Panics when an actor of this
/// node does not do as it should; what lives on another node may be out of reach for a while. Ends early when the node
/// does.
pub async fn client(node: Node, stream: u32, numbers: RangeInclusive<u32>, say: impl Fn(Client) + Send + Sync) {
    if let Err(trouble) = try_client(&node, stream, numbers, say).await {
        // The store may have said no before the node has noticed that it has failed.
        assert!(timeout(DEADLINE, node.failed()).await.is_ok(), "{trouble}");
    }
}

/// As [`client`], but ends with what did not end well.
///
/// # Errors
///
/// What that was.
pub async fn try_client(
    node: &Node,
    stream: u32,
    numbers: RangeInclusive<u32>,
    say: impl Fn(Client) + Send + Sync,
) -> Result<(), Trouble> {
    let say = |saw| say(Client { stream, saw });
    if stream.is_multiple_of(2) {
        run_client(&node.actor::<Source<false>>(&source_of(stream)), stream, numbers, say).await
    } else {
        run_client(&node.actor::<Source<true>>(&source_of(stream)), stream, numbers, say).await
    }
}

async fn run_client<const EARLY: bool>(
    source: &ActorHandle<Source<EARLY>>,
    stream: u32,
    numbers: RangeInclusive<u32>,
    say: impl Fn(Saw) + Send + Sync,
) -> Result<(), Trouble> {
    let mut in_flight: VecDeque<(u32, Receipt)> = VecDeque::new();
    for number in numbers {
        say(Saw::Sent(number));
        if is_asked(number) {
            match source.ask(Job { stream, number }).await {
                Ok(token) => say(Saw::Replied(number, token)),
                Err(AskError::GivenUp(_)) => say(Saw::GivenUp(number)),
                Err(AskError::ReplyLost | AskError::Timeout(_)) => say(Saw::Acknowledged(number)),
                Err(error) => return Err(format!("a job that was asked for: {error}")),
            }
        } else {
            let receipt = source.send(Job { stream, number }).submit().await;
            let receipt = receipt.map_err(|error| format!("a job that was sent: {error}"))?;
            if is_waited_for(number) {
                see_processed(source, stream, number, receipt, &say).await?;
            } else {
                in_flight.push_back((number, receipt));
            }
        }
        if is_followed_by_a_query(number)
            && let Some(Some((entries, newest))) = newest(source, stream).await?
        {
            say(Saw::Answered(entries, newest.token));
        }
        while in_flight.len() > IN_FLIGHT_MAX || in_flight.front().is_some_and(|(_, receipt)| receipt.is_accepted()) {
            let (number, receipt) = in_flight.pop_front().expect("it is not empty");
            see_accepted(number, &receipt, &say).await?;
        }
    }
    for (number, receipt) in in_flight {
        see_accepted(number, &receipt, &say).await?;
    }
    Ok(())
}

async fn see_accepted(number: u32, receipt: &Receipt, say: impl Fn(Saw)) -> Result<(), Trouble> {
    receipt.accepted().await.map_err(|error| format!("a job that was taken: {error}"))?;
    say(Saw::Acknowledged(number));
    Ok(())
}

/// Waits until a job was processed; a query after that must show it.
async fn see_processed<const EARLY: bool>(
    source: &ActorHandle<Source<EARLY>>,
    stream: u32,
    number: u32,
    receipt: Receipt,
    say: impl Fn(Saw),
) -> Result<(), Trouble> {
    match receipt.processed().await {
        Ok(()) => {
            say(Saw::Processed(number));
            if let Some(newest) = newest(source, stream).await? {
                say(Saw::ShownAfter(number, newest.map(|(_, entry)| entry.number)));
            }
        }
        Err(ProcessedError::GivenUp(_)) => say(Saw::GivenUp(number)),
        Err(error) => return Err(format!("a job that was waited for: {error}")),
    }
    Ok(())
}

/// Asks how far a stream has come; nothing when there was no answer, because the way there was lost.
async fn newest<const EARLY: bool>(
    source: &ActorHandle<Source<EARLY>>,
    stream: u32,
) -> Result<Option<Option<(usize, Entry)>>, Trouble> {
    match source.query(Newest { stream }).await {
        Ok(newest) => Ok(Some(newest)),
        Err(QueryError::Lost | QueryError::Timeout(_) | QueryError::NotAccepted(Refusal::NoLink { .. })) => Ok(None),
        Err(error) => Err(format!("a query: {error}")),
    }
}
