//! Waits of those who call the node from outside. They go by the clock of the node's own runtime, since the caller's
//! thread may have none; and that clock ends with the shard, where whoever asks it panics. So a wait ends with the
//! shard, before anybody looks at the clock again.

use std::future::Future;

use crate::base::clock::Deadline;
use crate::shard::Shard;

/// What a wait has ended without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unmet {
    /// The deadline has passed.
    Late,
    /// The shard has ended.
    Over,
}

impl Shard {
    /// Waits for `future` until the deadline, or until the shard ends.
    pub(crate) async fn within<F: Future>(&self, deadline: Deadline, future: F) -> Result<F::Output, Unmet> {
        let met = async {
            tokio::select! {
                biased;
                met = future => Ok(met),
                _ = self.gate.over() => Err(Unmet::Over),
            }
        };
        deadline.wait_for(self.own_runtime.handle(), met).await.unwrap_or(Err(Unmet::Late))
    }
}
