//! The process that casts and calls.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::mpsc;
use std::time::Duration;

use clap::Args;
use ractor::concurrency::oneshot;
use ractor::{Actor, ActorRef};
use ractor_cluster::NodeServer;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};

use crate::clock::{now, per_second, processor_time};
use crate::counter::{ToCounter, parcel};
use crate::schedule::schedule;
use crate::{COOKIE, GROUP, Problem};

/// How many tasks cast, to many actors.
const PRODUCERS: usize = 4;
/// How many casts there are for one call that says how far the receiver is.
const STRIDE: usize = 100;
/// How long the actors of the other process are waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many calls may be on their way.
const PENDING_MAX: usize = 100_000;

#[derive(Debug, Args)]
pub(crate) struct Send {
    /// Where the receiver listens
    #[arg(long)]
    port: u16,
    /// How many actors it has
    #[arg(long)]
    actors: usize,
    #[arg(long)]
    casts: u64,
    /// How many casts may be on their way; any number if not given
    #[arg(long)]
    window: Option<usize>,
    /// For how long it is called 1,000 times a second
    #[arg(long)]
    milliseconds: u64,
}

/// An actor of the other process, and the number of its next parcel.
struct Target {
    actor: ActorRef<ToCounter>,
    next: u64,
}

impl Send {
    pub(crate) async fn run(self) -> Result<Value, Problem> {
        let mut targets = self.connect().await?;
        // What comes first meets cold caches and small buffers.
        targets = cast_all(targets, self.casts / 10, self.window).await?;
        check(&targets).await?;
        let receiver = targets[0].actor.clone();

        let (here, there) = (processor_time(), processor_time_of(&receiver).await?);
        let start = now();
        targets = cast_all(targets, self.casts, self.window).await?;
        check(&targets).await?;
        let elapsed = start.elapsed();
        let there = processor_time_of(&receiver).await?.saturating_sub(there);
        let here = processor_time().saturating_sub(here);
        let each = |time: Duration| time.as_secs_f64() * 1e6 / self.casts as f64;

        let (mut taken, targets) = call_paced(targets, Duration::from_millis(self.milliseconds)).await?;
        check(&targets).await?;
        taken.sort_unstable();
        let quantile = |share: f64| {
            let rank = (share * taken.len() as f64).ceil() as usize;
            taken[rank.clamp(1, taken.len()) - 1].as_secs_f64() * 1e6
        };
        Ok(json!({
            "casts_per_second": per_second(self.casts, elapsed),
            "sender_processor_us": each(here),
            "receiver_processor_us": each(there),
            "call_p50_us": quantile(0.5),
            "call_p99_us": quantile(0.99),
            "call_p999_us": quantile(0.999),
        }))
    }

    async fn connect(&self) -> Result<Vec<Target>, Problem> {
        let server = NodeServer::new(0, COOKIE.into(), "east".into(), "localhost".into(), None, None)
            .with_listen_addr(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let (server, _) = Actor::spawn(None, server, ()).await?;
        ractor_cluster::client_connect(&server, (Ipv4Addr::LOCALHOST, self.port)).await?;
        let start = now();
        loop {
            let members = ractor::pg::get_members(&GROUP.to_owned());
            if members.len() == self.actors {
                return Ok(members.into_iter().map(|member| Target { actor: member.into(), next: 0 }).collect());
            }
            if start.elapsed() > PATIENCE {
                return Err(format!("{} of {} actors were found", members.len(), self.actors).into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Casts `casts` in all, round robin; each actor has one producer, so its parcels have one order.
async fn cast_all(targets: Vec<Target>, casts: u64, window: Option<usize>) -> Result<Vec<Target>, Problem> {
    let producers = PRODUCERS.min(targets.len());
    let mut shares: Vec<Vec<Target>> = (0..producers).map(|_| Vec::new()).collect();
    for (index, target) in targets.into_iter().enumerate() {
        shares[index % producers].push(target);
    }
    let mut tasks = JoinSet::new();
    for (index, share) in shares.into_iter().enumerate() {
        let own = casts / producers as u64 + u64::from((index as u64) < casts % producers as u64);
        tasks.spawn(produce(share, own, window.map(|window| window / producers)));
    }
    let mut targets = Vec::new();
    while let Some(done) = tasks.join_next().await {
        targets.extend(done??);
    }
    Ok(targets)
}

async fn produce(mut targets: Vec<Target>, casts: u64, window: Option<usize>) -> Result<Vec<Target>, Problem> {
    let mut answers: VecDeque<JoinHandle<_>> = VecDeque::new();
    let mut sent = 0;
    'all: loop {
        for target in &mut targets {
            if sent == casts {
                break 'all;
            }
            target.actor.cast(ToCounter::Parcel(parcel(target.next)))?;
            target.next += 1;
            sent += 1;
            let Some(window) = window else {
                // Without a window it waits for nothing, and would keep the thread from all others.
                if sent.is_multiple_of(STRIDE as u64) {
                    tokio::task::yield_now().await;
                }
                continue;
            };
            if sent.is_multiple_of(STRIDE as u64) {
                let actor = target.actor.clone();
                answers.push_back(tokio::spawn(async move { tally(&actor).await }));
                if answers.len() * STRIDE >= window
                    && let Some(oldest) = answers.pop_front()
                {
                    oldest.await??;
                }
            }
        }
    }
    Ok(targets)
}

/// Waits until every actor has got what was sent to it; an error if that is not what it has.
async fn check(targets: &[Target]) -> Result<(), Problem> {
    for Target { actor, next } in targets {
        let got = tally(actor).await?;
        if got != *next {
            return Err(format!("an actor has got {got} parcels, and was sent {next}").into());
        }
    }
    Ok(())
}

/// Calls on a schedule: how long each took, from the moment at which it was due.
async fn call_paced(mut targets: Vec<Target>, length: Duration) -> Result<(Vec<Duration>, Vec<Target>), Problem> {
    let (measured, durations) = mpsc::sync_channel(PENDING_MAX);
    let runtime = Handle::current();
    let pacing = tokio::task::spawn_blocking(move || {
        for (due, number) in schedule(length) {
            let index = number % targets.len();
            let target = &mut targets[index];
            // It leaves here and not in the task, so that calls to one actor keep their order.
            let (answer, answered) = oneshot();
            let called = target.actor.cast(ToCounter::Call(parcel(target.next), answer.into()));
            let measured = measured.clone();
            target.next += 1;
            runtime.spawn(async move {
                let done = match called {
                    Ok(()) => answered.await.map(|_| due.elapsed()).map_err(Problem::from),
                    Err(error) => Err(error.into()),
                };
                // The receiver waits for every result, unless one before was an error.
                let _ = measured.try_send(done);
            });
        }
        targets
    });
    let taken = tokio::task::block_in_place(|| durations.into_iter().collect::<Result<Vec<_>, _>>())?;
    Ok((taken, pacing.await?))
}

async fn tally(actor: &ActorRef<ToCounter>) -> Result<u64, Problem> {
    let reply = actor.call(ToCounter::Tally, None).await?;
    reply.success_or("an actor was lost").map_err(Into::into)
}

async fn processor_time_of(actor: &ActorRef<ToCounter>) -> Result<Duration, Problem> {
    let reply = actor.call(ToCounter::Processor, None).await?;
    Ok(Duration::from_nanos(reply.success_or("an actor was lost")?))
}
