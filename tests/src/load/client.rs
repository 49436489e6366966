//! The client's side of the load: one for each stream, in the process of a node.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use everpost::{ActorHandle, AskError, Node, ProcessedError, QueryError, Receipt, Refusal};

use super::{Job, Newest, Source, is_asked, is_followed_by_a_question, is_waited_for, source_of};
use crate::oracle::Entry;
use crate::protocol::{Client, Saw};

/// How many jobs of a stream may be on their way.
const IN_FLIGHT_MAX: usize = 16;

/// Sends these jobs of one stream, one after the other, and says all that a client sees. Panics when an actor of this node
/// does not do as it should; what lives on another node may be out of reach for a while.
pub async fn client(node: Node, stream: u32, numbers: RangeInclusive<u32>, say: impl Fn(Client) + Send + Sync) {
    let say = |saw| say(Client { stream, saw });
    if stream.is_multiple_of(2) {
        run_client(&node.actor::<Source<false>>(&source_of(stream)), stream, numbers, say).await;
    } else {
        run_client(&node.actor::<Source<true>>(&source_of(stream)), stream, numbers, say).await;
    }
}

async fn run_client<const EARLY: bool>(
    source: &ActorHandle<Source<EARLY>>,
    stream: u32,
    numbers: RangeInclusive<u32>,
    say: impl Fn(Saw) + Send + Sync,
) {
    let mut in_flight: VecDeque<(u32, Receipt)> = VecDeque::new();
    for number in numbers {
        say(Saw::Sent(number));
        if is_asked(number) {
            match source.ask(Job { stream, number }).await {
                Ok(token) => say(Saw::Replied(number, token)),
                Err(AskError::GivenUp(_)) => say(Saw::GivenUp(number)),
                Err(AskError::ReplyLost | AskError::Timeout(_)) => say(Saw::Acknowledged(number)),
                Err(error) => panic!("a job that was asked for: {error}"),
            }
        } else {
            let receipt = source.submit(Job { stream, number }).await.expect("a job is taken");
            if is_waited_for(number) {
                see_processed(source, stream, number, receipt, &say).await;
            } else {
                in_flight.push_back((number, receipt));
            }
        }
        if is_followed_by_a_question(number)
            && let Some(Some((entries, newest))) = newest(source, stream).await
        {
            say(Saw::Answered(entries, newest.token));
        }
        while in_flight.len() > IN_FLIGHT_MAX || in_flight.front().is_some_and(|(_, receipt)| receipt.is_accepted()) {
            let (number, receipt) = in_flight.pop_front().expect("it is not empty");
            receipt.accepted().await.expect("the store works");
            say(Saw::Acknowledged(number));
        }
    }
    for (number, receipt) in in_flight {
        receipt.accepted().await.expect("the store works");
        say(Saw::Acknowledged(number));
    }
}

/// Waits until a job was processed; a question after that must show it.
async fn see_processed<const EARLY: bool>(
    source: &ActorHandle<Source<EARLY>>,
    stream: u32,
    number: u32,
    receipt: Receipt,
    say: impl Fn(Saw),
) {
    match receipt.processed().await {
        Ok(()) => {
            say(Saw::Processed(number));
            if let Some(newest) = newest(source, stream).await {
                say(Saw::ShownAfter(number, newest.map(|(_, entry)| entry.number)));
            }
        }
        Err(ProcessedError::GivenUp(_)) => say(Saw::GivenUp(number)),
        Err(error) => panic!("a job that was waited for: {error}"),
    }
}

/// Asks how far a stream has come; nothing when there was no answer, because the way there was lost.
async fn newest<const EARLY: bool>(source: &ActorHandle<Source<EARLY>>, stream: u32) -> Option<Option<(usize, Entry)>> {
    match source.query(Newest { stream }).await {
        Ok(newest) => Some(newest),
        Err(QueryError::Lost | QueryError::Timeout(_) | QueryError::NotAccepted(Refusal::NoLink { .. })) => None,
        Err(error) => panic!("a question: {error}"),
    }
}
