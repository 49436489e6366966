//! Tasks for supervised groups that do what a test tells them to, and a record of everything that they did: who began,
//! and whose end was real.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use everpost::{Child, ChildContext, Failure, Restart};
use tokio::sync::{mpsc, watch};

use crate::wait::soon;

/// How many acts may wait for a task.
const ACTS_MAX: usize = 64;

/// Where the tasks of a test run.
#[derive(Clone, Debug)]
pub struct Stage {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// `+name` when a task begins, `-name` when nothing of it is left.
    seen: watch::Sender<Vec<String>>,
    acts: Mutex<HashMap<String, Acts>>,
}

type Acts = (mpsc::Sender<Act>, Arc<tokio::sync::Mutex<mpsc::Receiver<Act>>>);

/// What a task is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Say that it is ready, and go on.
    BeReady,
    /// Be done.
    End,
    /// Return an error.
    Fail,
    /// Panic.
    Panic,
    /// From now on, do nothing that is asked.
    Hang,
}

impl Stage {
    /// A stage on which nothing has happened.
    #[must_use]
    pub fn new() -> Self {
        Self { inner: Arc::new(Inner { seen: watch::Sender::new(Vec::new()), acts: Mutex::default() }) }
    }

    /// A task that runs until it is told otherwise by [`Stage::tell`], or to stop.
    pub fn task(&self, restart: Restart, name: &str) -> Child {
        let (stage, of) = (self.clone(), name.to_owned());
        let run = move |context| stage.clone().run(of.clone(), context);
        match restart {
            Restart::Permanent => Child::permanent(name, run),
            Restart::Transient => Child::transient(name, run),
            Restart::Temporary => Child::temporary(name, run),
        }
    }

    /// A permanent one.
    pub fn permanent(&self, name: &str) -> Child {
        self.task(Restart::Permanent, name)
    }

    /// Tells a task to do something; one that does not run does it when it does.
    ///
    /// # Panics
    ///
    /// When more acts wait than may.
    pub fn tell(&self, name: &str, act: Act) {
        self.acts(name).0.try_send(act).expect("few acts wait");
    }

    /// What has happened so far.
    #[must_use]
    pub fn seen(&self) -> Vec<String> {
        self.inner.seen.borrow().clone()
    }

    /// Forgets what has happened.
    pub fn forget(&self) {
        self.inner.seen.send_modify(Vec::clear);
    }

    /// How often `what` has happened.
    #[must_use]
    pub fn times(&self, what: &str) -> usize {
        self.inner.seen.borrow().iter().filter(|seen| *seen == what).count()
    }

    /// Waits until exactly `what` has happened, separated by spaces, and nothing else.
    ///
    /// # Panics
    ///
    /// When something else has happened, or that takes too long.
    pub async fn sees(&self, what: &str) {
        let wanted: Vec<_> = what.split_whitespace().collect();
        let mut seen = self.inner.seen.subscribe();
        let reached = soon(what, seen.wait_for(|seen| seen.len() >= wanted.len())).await;
        assert_eq!(*reached.expect("the stage lives"), wanted);
    }

    /// Waits until `what` has happened so many times.
    ///
    /// # Panics
    ///
    /// When that takes too long.
    pub async fn sees_times(&self, what: &str, times: usize) {
        let mut seen = self.inner.seen.subscribe();
        let reached = seen.wait_for(|seen| seen.iter().filter(|seen| *seen == what).count() >= times);
        soon(&format!("{what} {times} times"), reached).await.expect("the stage lives");
    }

    /// Those that run now.
    ///
    /// # Panics
    ///
    /// When a task has run twice at once.
    #[must_use]
    pub fn running(&self) -> Vec<String> {
        let mut running: Vec<String> = Vec::new();
        for seen in self.inner.seen.borrow().iter() {
            let (sign, name) = seen.split_at(1);
            match running.iter().position(|running| running == name) {
                Some(place) if sign == "-" => drop(running.remove(place)),
                None if sign == "+" => running.push(name.to_owned()),
                _ => panic!("`{seen}` cannot be: {:?}", self.inner.seen.borrow()),
            }
        }
        running
    }

    async fn run(self, name: String, context: ChildContext) -> Result<(), Failure> {
        let _presence = Presence::new(&self, &name);
        let acts = self.acts(&name).1;
        loop {
            let act = tokio::select! {
                biased;
                act = async { acts.lock().await.recv().await } => act.expect("the stage lives"),
                () = context.stopping() => return Ok(()),
            };
            match act {
                Act::BeReady => context.ready(),
                Act::End => return Ok(()),
                Act::Fail => return Err(Failure::retry(format!("{name} was told to fail"))),
                Act::Panic => panic!("{name} was told to panic"),
                Act::Hang => std::future::pending().await,
            }
        }
    }

    fn acts(&self, name: &str) -> Acts {
        let mut acts: MutexGuard<'_, _> = self.inner.acts.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let (sender, receiver) = mpsc::channel(ACTS_MAX);
            (sender, Arc::new(tokio::sync::Mutex::new(receiver)))
        };
        acts.entry(name.to_owned()).or_insert_with(new).clone()
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

/// A task that runs, as long as anything of it is left.
struct Presence {
    stage: Stage,
    name: String,
}

impl Presence {
    fn new(stage: &Stage, name: &str) -> Self {
        stage.inner.seen.send_modify(|seen| seen.push(format!("+{name}")));
        Self { stage: stage.clone(), name: name.to_owned() }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.stage.inner.seen.send_modify(|seen| seen.push(format!("-{}", self.name)));
    }
}
