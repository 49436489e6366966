//! Services: the parts of a node that run for as long as it does. Each is a supervised child: nobody else would see
//! that it has failed, and what it does would be done by nobody. So one that panics, or ends while the node goes on, is
//! told of, and is started anew or ends the node.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::base::caught::{caught, caught_async};
use crate::shard::Shard;
use crate::shard::rules::restart::{Failures, Next, Policy};

/// What a service is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service {
    /// For the log, and for whoever is told that the node has ended.
    pub(crate) name: &'static str,
    /// What it means for the user while nobody does what it does.
    pub(crate) means: &'static str,
    pub(crate) policy: Policy,
}

impl Shard {
    /// Begins a service on the node's own runtime. `run` is called for each life of it; what it returns ends with the
    /// node only.
    pub(crate) fn serve<F: Future<Output = ()> + Send>(
        self: &Arc<Self>,
        service: &'static Service,
        run: impl Fn(Arc<Self>) -> F + Send + Sync + 'static,
    ) -> JoinHandle<()> {
        let shard = Arc::clone(self);
        self.own_runtime.handle().spawn(async move {
            let mut failures = Failures::default();
            while let Some(after) = shard.live(service, &run, &mut failures).await {
                tokio::time::sleep(after).await;
            }
        })
    }

    /// One life of a service. After how long the next one begins; none when there is no next one.
    async fn live<F: Future<Output = ()>>(
        self: &Arc<Self>,
        service: &Service,
        run: impl Fn(Arc<Self>) -> F,
        failures: &mut Failures,
    ) -> Option<Duration> {
        // From within it, since what makes the future may panic, too.
        let life = async { run(Arc::clone(self)).await };
        let why = match caught_async(self.polled(service.name, life)).await {
            Err(panic) => panic,
            Ok(()) if self.is_ending().await => return None,
            Ok(()) => ENDED.to_owned(),
        };
        self.service_failed(service, failures, &why)
    }

    /// A service has failed: the node ends, or it is started anew after what is returned.
    pub(crate) fn service_failed(&self, service: &Service, failures: &mut Failures, why: &str) -> Option<Duration> {
        let Service { name, means, policy } = *service;
        match failures.next(policy, self.clock.steady(), rand::random()) {
            Next::FailNode => {
                self.panicked(name, means, why);
                None
            }
            // What was the end of the node may be what has panicked here, in the middle of a commit.
            Next::Restart { .. } if self.gate.is_over() => None,
            Next::Restart { after } => {
                // It may be the log that panics.
                let _ = caught(|| {
                    tracing::error!(
                        node = %self.name, task = name, panic = why, means, ?after, event = "task restarted",
                        "a task of the node has panicked and is started anew, and nothing is lost; report this"
                    );
                });
                Some(after)
            }
        }
    }

    /// Whether a service ends with the node, or with its store or the program's runtime, of which the node is told.
    async fn is_ending(&self) -> bool {
        self.is_stopping() || self.store.failure().is_some() || !self.handlers_go_on().await
    }
}

/// Said of what has ended without a panic.
pub(crate) const ENDED: &str = "it has ended by itself";
