//! Loads: many tasks that send or ask as fast as the node lets them, for a time or a number of messages.

use std::time::{Duration, Instant};

use everpost::{ActorHandle, Handler, Node};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::subject::Push;
use crate::clock::now;
use crate::flood::{PRODUCERS, WINDOW};
use crate::problem::Problem;

/// How many bytes of messages or states may wait, where they are large.
const WINDOW_BYTES: u64 = 64 << 20;
/// How many messages a task sends at most before it looks whether it is held back.
const STRIDE: u64 = 256;
/// The same where it keeps to a rate.
const STRIDE_PACED: u64 = 4;
/// How often a task that is held back looks again.
const LOOK: Duration = Duration::from_millis(1);

/// How long and how much a point is measured, whichever ends first.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Bounds {
    pub(super) time: Duration,
    pub(super) messages: u64,
}

/// How many messages each of the sending tasks has sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent([u64; PRODUCERS]);

/// Messages to actors in turn, each to another one. Each actor has one task that sends to it, so that its messages have
/// one order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) actors: u64,
    pub(super) messages: u64,
    /// None to send them all however long it takes.
    pub(super) time: Option<Duration>,
    /// How many a second; none for as fast as the node lets them.
    pub(super) rate: Option<u32>,
    pub(super) payload_bytes: u64,
    /// What was sent to these actors before: the load goes on from there.
    pub(super) before: Sent,
    /// How many may wait on the node before the next is sent.
    pub(super) waiting_max: usize,
}

/// How many messages may wait when each takes so many bytes, in the message or in the state that its turn writes.
pub(super) fn window(bytes: u64) -> usize {
    usize::try_from(WINDOW_BYTES / bytes.max(1)).map_or(WINDOW, |window| window.clamp(1, WINDOW))
}

impl Sent {
    pub(super) fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl Load {
    /// What was sent when each actor has got one message.
    pub(super) fn one_to_each(&self) -> Sent {
        Sent(std::array::from_fn(|task| self.share(self.actors, task)))
    }

    /// Sends; returns what was sent, before too, when it is durable.
    pub(super) async fn send<A: Handler<Push>>(self, node: &Node) -> Result<Sent, Problem> {
        let begun = now();
        let mut sending = JoinSet::new();
        for task in 0..PRODUCERS.min(usize::try_from(self.actors)?) {
            let node = node.clone();
            sending.spawn(async move { Ok::<_, Problem>((task, self.produce::<A>(&node, task, begun).await?)) });
        }
        let mut sent = self.before;
        while let Some(ended) = sending.join_next().await {
            let (task, by_task) = ended??;
            sent.0[task] += by_task;
        }
        Ok(sent)
    }

    async fn produce<A: Handler<Push>>(&self, node: &Node, task: usize, begun: Instant) -> Result<u64, Problem> {
        let tasks = self.actors.min(PRODUCERS as u64);
        let (own, before) = (self.share(self.messages, task), self.before.0[task]);
        let actors = self.share(self.actors, task);
        let until = self.time.map(|time| begun + time);
        // So seldom that looking costs nothing, and so often that the window and the rate are kept to.
        let stride_max = if self.rate.is_some() { STRIDE_PACED } else { STRIDE };
        let stride = (self.waiting_max as u64 / (PRODUCERS as u64 * 8)).clamp(1, stride_max);
        let (mut sent, mut last) = (0, None);
        while sent < own {
            if sent % stride == 0 {
                hold_back(node, self.waiting_max).await;
                self.keep_to_rate(begun, sent * tasks).await;
                if is_over(until) {
                    break;
                }
            }
            let (pass, index) = ((before + sent) / actors, (before + sent) % actors);
            let handle: ActorHandle<A> = node.actor(&(task as u64 + index * tasks).to_string());
            let push = Push::new(pass, self.payload_bytes);
            last = Some(handle.send(push).submit().await.map_err(Problem::new)?);
            sent += 1;
        }
        if let Some(receipt) = last {
            // With it all that were submitted before.
            receipt.accepted().await?;
        }
        Ok(sent)
    }

    /// What a task has of the actors, or of the messages.
    fn share(&self, whole: u64, task: usize) -> u64 {
        let tasks = self.actors.min(PRODUCERS as u64);
        if (task as u64) < tasks { share(whole, task as u64, tasks) } else { 0 }
    }

    async fn keep_to_rate(&self, begun: Instant, sent: u64) {
        if let Some(rate) = self.rate {
            let due = begun + Duration::from_secs_f64(sent as f64 / f64::from(rate));
            tokio::time::sleep_until(due.into()).await;
        }
    }
}

/// A task for each of `pieces`, which does so many pieces of work one after the other, until the moment, if there is
/// one. Returns how many each has done.
pub(super) async fn one_by_one<W>(
    pieces: &[u64],
    until: Option<Instant>,
    act: impl Fn(u64, u64) -> W + Clone + Send + 'static,
) -> Result<Vec<u64>, Problem>
where
    W: Future<Output = Result<(), Problem>> + Send,
{
    let mut working = JoinSet::new();
    for (task, &pieces) in (0..).zip(pieces) {
        let act = act.clone();
        working.spawn(async move {
            let mut done = 0;
            while done < pieces && !is_over(until) {
                act(task, done).await?;
                done += 1;
            }
            Ok::<_, Problem>((task, done))
        });
    }
    let mut done = Vec::with_capacity(pieces.len());
    while let Some(ended) = working.join_next().await {
        done.push(ended??);
    }
    done.sort_unstable();
    Ok(done.into_iter().map(|(_, done)| done).collect())
}

/// Waits until no more than `waiting_max` messages wait on the node.
pub(super) async fn hold_back(node: &Node, waiting_max: usize) {
    while node.statistics().waiting > waiting_max {
        tokio::time::sleep(LOOK).await;
    }
}

fn is_over(until: Option<Instant>) -> bool {
    until.is_some_and(|until| now() >= until)
}

/// What the `index`-th of so many has of a whole.
pub(super) fn share(whole: u64, index: u64, parts: u64) -> u64 {
    whole / parts + u64::from(index < whole % parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::growth::run::all_handled;
    use crate::growth::subject::{NextNumber, PAYLOAD_BYTES, Subject};

    #[test]
    fn shares_are_the_whole() {
        assert_eq!([0, 1, 2].map(|index| share(8, index, 3)), [3, 3, 2]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_load_goes_on_where_the_one_before_ended() {
        let folder = tempfile::tempdir().unwrap();
        let node = Node::builder("load", folder.path()).actor(Subject).start().await.unwrap();
        let load = Load {
            actors: 6,
            messages: 50,
            time: None,
            rate: None,
            payload_bytes: PAYLOAD_BYTES,
            before: Sent::default(),
            waiting_max: 10,
        };
        let first = load.send::<Subject>(&node).await.unwrap();
        let second = Load { before: first, rate: Some(10_000), ..load }.send::<Subject>(&node).await.unwrap();
        assert_eq!((first.total(), second.total()), (50, 100));
        // None of them was rejected for its number.
        all_handled(&node, 100).await.unwrap();
        let mut handled = Vec::new();
        for key in 0..6 {
            handled.push(node.actor::<Subject>(&key.to_string()).query(NextNumber).await.unwrap());
        }
        assert_eq!(handled.iter().sum::<u64>(), 100);
        assert!(handled.iter().all(|handled| (12..=26).contains(handled)), "{handled:?}");
        node.stop().await.unwrap();
    }

    #[tokio::test]
    async fn pieces_are_done_by_each_task_until_time_is_over() {
        let pieces = |until| one_by_one(&[3, 0, 1], until, |_, _| async { Ok(()) });
        assert_eq!(pieces(None).await.unwrap(), [3, 0, 1]);
        assert_eq!(pieces(Some(now())).await.unwrap(), [0, 0, 0]);
    }
}
