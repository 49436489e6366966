//! What the parts under Everpost do alone, on the same machine in the same minutes: no more than the least of them can
//! be reached.

mod journal;
mod ractor;
mod store;

use std::path::Path;
use std::time::Duration;

pub(crate) use self::journal::OneRecord;
use crate::problem::Problem;
use crate::samples::Samples;

/// The size of a journal record where no group was measured.
const GROUP_BYTES_DEFAULT: f64 = 32_768.0;

/// How much a run of each limit does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) casts: u64,
    pub(crate) records: u64,
    pub(crate) commits: Duration,
}

/// One run of each limit.
pub(crate) async fn round(samples: &mut Samples, folder: &Path, load: Load) -> Result<(), Problem> {
    samples.add("limits.ractor_cast", "messages/s", ractor::casts_per_second(load.casts).await?);
    tokio::task::block_in_place(|| {
        for name in ["committed_1000", "pipelined_1000"] {
            let bytes = samples.newest(&format!("throughput.{name}.group_bytes")).unwrap_or(GROUP_BYTES_DEFAULT);
            let commits = journal::commits_per_second(&folder.join("journal_alone"), bytes as usize, load.commits)?;
            samples.add(format!("limits.journal_of_{name}"), "commits/s", commits);
            if let Some(messages) = samples.newest(&format!("throughput.{name}.group_messages")) {
                samples.add(format!("limits.journal_of_{name}.messages"), "messages/s", commits * messages);
            }
        }
        for (name, order) in [("committed", store::Order::AfterCommit), ("pipelined", store::Order::AtOnce)] {
            let rate = store::messages_per_second(&folder.join("store_alone"), load.records, order)?;
            samples.add(format!("limits.store_{name}"), "messages/s", rate);
        }
        Ok(())
    })
}
