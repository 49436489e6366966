//! The workers: tasks in a supervised group that compete for the jobs at one desk.
//!
//! They are bad at it on purpose. One that dies drops its hold, so its job comes back and goes to another, and the
//! group starts a new worker. One that hangs keeps its hold for longer than it may: the job is taken back, and when the
//! worker has finished it after all, its acknowledgement counts for nothing.

use std::sync::Arc;
use std::time::Duration;

use everpost::{Actor, Backoff, Child, Failure, Group, Hold, HoldError};
use everpost_examples::chance;
use tokio::sync::{Mutex, mpsc};

use super::job::Job;
use super::queue::{Delivered, Done, Queue};

/// How many numbers a worker tries before it looks up.
const STEP: u64 = 256;

/// What the workers share.
#[derive(Debug)]
pub(crate) struct Staff {
    /// Those who wait for a job get one in the order in which they came: the mutex is fair.
    desk: Mutex<mpsc::Receiver<Delivered>>,
    temper: Temper,
}

/// How bad the workers are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Temper {
    pub(crate) seed: u64,
    /// Which part of all attempts ends with the death of the worker.
    pub(crate) dying: f64,
    /// Which part of them hangs.
    pub(crate) hanging: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Finish,
    Die,
    Hang,
}

/// So many workers. They may die often, which is what they are for; a group in earnest has a smaller budget.
pub(crate) fn group(workers: u16, desk: mpsc::Receiver<Delivered>, temper: Temper) -> Group {
    let staff = Arc::new(Staff { desk: Mutex::new(desk), temper });
    let backoff = Backoff { first: Duration::from_millis(1), cap: Duration::from_millis(50) };
    let group = Group::one_for_one("workers").restarts(1000, Duration::from_secs(1)).backoff(backoff);
    (0..workers).fold(group, |group, worker| {
        let staff = Arc::clone(&staff);
        group.child(Child::permanent(format!("worker-{worker}"), move |context| {
            let staff = Arc::clone(&staff);
            async move {
                tokio::select! {
                    // What it has in flight comes back, as if it had died.
                    () = context.stopping() => Ok(()),
                    ended = staff.work(usize::from(worker)) => ended,
                }
            }
        }))
    })
}

impl Staff {
    /// The life of a worker.
    async fn work(&self, worker: usize) -> Result<(), Failure> {
        loop {
            let delivered = self.desk.lock().await.recv().await;
            let Some(Delivered { job, hold }) = delivered else { return Ok(()) };
            let attempt = hold.attempt();
            match self.solve(job, &hold).await? {
                // It was taken back, and is somebody else's now.
                None => {}
                Some(solution) => match hold.ack_and_send(Done { solution, worker, attempt }).await {
                    Ok(()) | Err(HoldError::TakenBack) => {}
                    Err(error) => return Err(error.into()),
                },
            }
        }
    }

    /// Does the work, unless something happens to the worker in the middle of it.
    async fn solve(&self, job: Job, hold: &Hold<Queue>) -> Result<Option<u64>, Failure> {
        let mut puzzle = job.begin();
        let mut solution = puzzle.work(STEP);
        match self.temper.fate(job, hold.attempt()) {
            Fate::Finish => {}
            Fate::Die => return Err(Failure::retry("the worker was told to die")),
            Fate::Hang => tokio::time::sleep(Queue::HOLD_LIMIT * 2).await,
        }
        while solution.is_none() {
            if hold.progress().is_err() {
                return Ok(None);
            }
            tokio::task::yield_now().await;
            solution = puzzle.work(STEP);
        }
        Ok(solution)
    }
}

impl Temper {
    /// The same for the same attempt, in every run.
    fn fate(&self, job: Job, attempt: u32) -> Fate {
        match chance(&[self.seed, job.number, attempt.into()]) {
            chance if chance < self.dying => Fate::Die,
            chance if chance < self.dying + self.hanging => Fate::Hang,
            _ => Fate::Finish,
        }
    }
}
