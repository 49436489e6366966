//! Retention: what is kept for a certain time, or up to a certain number, goes when that is over. On a period of its
//! own, whatever becomes of activations.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::{dead_letter_retention, deduplicate};
use crate::shard::Shard;

/// How often. By so much what is over is kept longer.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Drops what is over for as long as the node runs.
pub(super) async fn retain(shard: Arc<Shard>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        deduplicate::expire_requests(&shard).await;
        dead_letter_retention::drop_dead_letters(&shard).await;
    }
}
