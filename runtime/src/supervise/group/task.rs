//! The task of a group: its future runs in a ractor actor of its own, so that the end of the actor, which its group is
//! told by ractor, is the end of the future.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use ractor::ActorProcessingErr;
use tracing::{Instrument, Span};

use super::child::{ChildContext, Run};
use crate::base::child;
use crate::base::inside::{Inside, RootId, within};

pub(super) struct Task {
    pub(super) run: Run,
    pub(super) context: ChildContext,
    /// It says itself when it is ready.
    pub(super) says_ready: bool,
    pub(super) span: Span,
    /// The outermost group that it is part of.
    pub(super) root: RootId,
}

impl child::Run for Task {
    async fn run(&self) -> Result<(), ActorProcessingErr> {
        // Made and dropped here, whatever its end: a panic, or a kill, passes through this frame.
        let running = async { (self.run)(self.context.clone()).await };
        let mut running = pin!(within(Inside::Task(self.root), running.instrument(self.span.clone())));
        let ended = match poll_fn(|context| Poll::Ready(running.as_mut().poll(context))).await {
            Poll::Ready(ended) => ended,
            Poll::Pending => {
                if !self.says_ready {
                    self.context.ready();
                }
                running.await
            }
        };
        Ok(ended.map_err(|failure| failure.to_string())?)
    }
}
