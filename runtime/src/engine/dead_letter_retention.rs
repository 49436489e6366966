//! Dead letters that are not to be kept any longer are dropped.

use crate::commit::{Removed, Transaction};
use crate::shard::Shard;

/// How many dead letters are dropped in one submission.
const DROPPED_AT_A_TIME: usize = 1024;

/// Why the node itself drops dead letters.
#[derive(Clone, Copy, Debug)]
enum Over {
    /// They have been kept for as long as they are to be.
    Age,
    /// There are more than may be, since fewer may be than before the start.
    Number,
}

/// Drops dead letters that are not to be kept any longer, in bounded steps.
pub(crate) async fn drop_dead_letters(shard: &Shard) {
    let old = drop_all(shard, Over::Age).await;
    if old > 0
        && let Some(times) = shard.recurring.met("old dead letters dropped")
    {
        let retention = shard.config.dead_letter_retention;
        tracing::warn!(
            node = %shard.name, dead_letters = old, ?retention, times, event = "old dead letters dropped",
            "nobody has decided on them within `dead_letter_retention`"
        );
    }
    let excess = drop_all(shard, Over::Number).await;
    if excess > 0
        && let Some(times) = shard.recurring.met("dead letters dropped")
    {
        let dead_letters_max = shard.config.dead_letters_max;
        tracing::error!(
            node = %shard.name, dead_letters = excess, dead_letters_max, times, event = "dead letters dropped",
            "there were more than may be, so that the oldest are lost: `dead_letters_max` was larger before"
        );
    }
}

/// How many were dropped.
async fn drop_all(shard: &Shard, over: Over) -> usize {
    let mut total = 0;
    loop {
        let removed = match over {
            Over::Number => Removed::excess(DROPPED_AT_A_TIME),
            Over::Age => match shard.clock.steady().before(shard.config.dead_letter_retention) {
                Some(moment) => Removed::older_than(moment, DROPPED_AT_A_TIME),
                None => return total,
            },
        };
        let transaction = Transaction::upkeep(shard).with(removed);
        let Ok(permit) = transaction.reserve().await else { return total };
        match transaction.commit(permit) {
            Ok(committed) => total += committed.removed,
            Err(_) => return total,
        }
    }
}
