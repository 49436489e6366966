//! `queue/main` holds the jobs in its mailbox, hands each to the next worker that is free, and counts what came of
//! them.
//!
//! A job that is handed out stays in the mailbox until its worker has acknowledged it. That and the outcome, which is a
//! message to the queue, are one commit: so each outcome reaches the tally once, whatever the worker and the process
//! do.

use std::time::Duration;

use everpost::{
    Actor, Durable, Failure, Handler, Handlers, Hold, HoldHandler, Message, Priority, QueryHandler, State, Turn,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::job::Job;

/// How many jobs one turn puts into the mailbox.
const SUBMITTED_AT_ONCE: u64 = 500;

/// Hands jobs over at the desk, where there is room for one, so that no more jobs are out than there are workers, and
/// two.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) desk: mpsc::Sender<Delivered>,
}

/// A job on its way to a worker.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) job: Job,
    pub(crate) hold: Hold<Queue>,
}

/// What is known of all jobs of the folder.
#[derive(Clone, Debug, Default, Serialize, Deserialize, State)]
#[state(name = "tally")]
pub(crate) struct Tally {
    pub(crate) submitted: u64,
    pub(crate) done: u64,
    /// Of all solutions: another sum if one of them is missing or counted twice, be it in place of another.
    pub(crate) sum: u64,
    /// How often jobs that are done came back before, from workers that had died or hung.
    pub(crate) came_back: u64,
    /// How many jobs each worker has done.
    pub(crate) by_worker: Vec<u64>,
}

/// From `main`: there are to be so many jobs in all.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "submit")]
pub(crate) struct Submit {
    pub(crate) jobs: u64,
    pub(crate) zero_bits: u32,
}

/// From a worker, together with its acknowledgement: what came of a job.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "done")]
pub(crate) struct Done {
    pub(crate) solution: u64,
    pub(crate) worker: usize,
    pub(crate) attempt: u32,
}

/// How far is it?
#[derive(Serialize, Deserialize, Message)]
#[message(name = "tally", reply = Tally)]
pub(crate) struct AskTally;

impl Queue {
    pub(crate) const KEY: &'static str = "main";
    /// How many workers there may be: with two jobs on their way to them, as many as may be held.
    pub(crate) const WORKERS_MAX: u16 = 62;
}

impl Actor for Queue {
    const TYPE: &'static str = "queue";
    const HOLDS_MAX: usize = 64;
    /// A worker that says nothing for so long has lost its job.
    const HOLD_LIMIT: Duration = Duration::from_secs(1);
    type State = Tally;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Submit>();
        handlers.on_hold::<Job>();
        handlers.on::<Done>();
        handlers.on_query::<AskTally>();
    }
}

impl Handler<Submit> for Queue {
    async fn handle(&self, tally: &mut Durable<Tally>, submit: Submit, turn: &mut Turn<'_>) -> Result<(), Failure> {
        let Submit { jobs, zero_bits } = submit;
        let upto = jobs.min(tally.submitted + SUBMITTED_AT_ONCE);
        for number in tally.submitted..upto {
            // After all else, so that an outcome does not wait for the jobs that came before it.
            turn.send(&Self::at(Self::KEY), Job { number, zero_bits }).priority(Priority::Low);
        }
        if tally.submitted < upto {
            tally.submitted = upto;
        }
        if upto < jobs {
            turn.send(&Self::at(Self::KEY), submit);
        }
        Ok(())
    }
}

impl HoldHandler<Job> for Queue {
    /// Waits until there is room on the desk: so the next job is not delivered before a worker can take it.
    async fn handle(&self, job: Job, hold: Hold<Self>) -> Result<(), Failure> {
        Ok(self.desk.send(Delivered { job, hold }).await?)
    }
}

impl Handler<Done> for Queue {
    async fn handle(&self, tally: &mut Durable<Tally>, done: Done, _: &mut Turn<'_>) -> Result<(), Failure> {
        let Done { solution, worker, attempt } = done;
        tally.done += 1;
        tally.sum = tally.sum.wrapping_add(solution);
        tally.came_back += u64::from(attempt) - 1;
        if tally.by_worker.len() <= worker {
            tally.by_worker.resize(worker + 1, 0);
        }
        tally.by_worker[worker] += 1;
        Ok(())
    }
}

impl QueryHandler<AskTally> for Queue {
    fn answer(&self, tally: &Tally, _: AskTally) -> Tally {
        tally.clone()
    }
}
