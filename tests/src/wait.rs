//! Waiting for a condition, with a deadline.

use std::future::IntoFuture;
use std::time::Duration;

/// How long anything may take before a test gives up: far more than it takes.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// How often a condition that nobody announces is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// The same for one that costs something.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// Awaits `future`.
///
/// # Panics
///
/// When that takes longer than [`DEADLINE`].
pub async fn soon<T>(what: &str, future: impl IntoFuture<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: not within {DEADLINE:?}"),
    }
}

/// Waits until `condition` holds.
///
/// # Panics
///
/// When that takes longer than [`DEADLINE`].
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    soon(what, async {
        while !condition() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
    .await;
}

/// Asks until the answer is yes, for so long.
///
/// # Panics
///
/// When that takes longer.
pub async fn until(what: &str, deadline: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !condition().await {
            tokio::time::sleep(ASK_EVERY).await;
        }
    };
    if tokio::time::timeout(deadline, asking).await.is_err() {
        panic!("{what}: not within {deadline:?}");
    }
}
