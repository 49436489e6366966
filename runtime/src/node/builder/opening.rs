//! Opening a store that another start, or another process, may be about to let go of: a start that was dropped is
//! undone in the background, a node whose runtime has gone closes its store on a thread, and a service is often started
//! again while the process before it ends.

use std::time::Duration;

use everpost_persistence::OpenError;

use super::starting::blocking;

/// How long a store that is in use is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether it is free.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Opens a store, which blocks, as soon as it is free; says that it is in use when it stays so, or when `is_cut_off`.
pub(super) async fn once_free<T: Send + 'static>(
    open: impl Fn() -> Result<T, OpenError> + Clone + Send + 'static,
    is_cut_off: impl Fn() -> bool,
) -> Result<T, OpenError> {
    for _ in 0..PATIENCE.as_millis() / LOOK_EVERY.as_millis() {
        match blocking(open.clone()).await {
            Err(OpenError::InUse { .. }) if !is_cut_off() => tokio::time::sleep(LOOK_EVERY).await,
            opened => return opened,
        }
    }
    blocking(open).await
}
