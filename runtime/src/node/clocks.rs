//! Watches the machine's wall clock, which anybody may set.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{News, SETTLE};
use crate::core::Core;

/// How often. A step is noticed within this; less often, and what is shown of the clock lags behind.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Watches for as long as the node runs.
pub(super) async fn watch(core: Arc<Core>) {
    let node = &core.name;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        match core.clock.look() {
            None => {}
            Some(News::Stepped(by)) => {
                tracing::warn!(%node, by = %Span(by), believed_after = ?SETTLE, event = "the wall clock was set", "nothing happens because of it before it has stood for that long; waits do not depend on it");
            }
            Some(News::TakenBack) => {
                tracing::warn!(%node, event = "the wall clock is right again", "nothing happened because it was set");
            }
            Some(News::Believed(by)) => {
                tracing::warn!(%node, by = %Span(by), event = "the wall clock is believed", "what is due at a wall time follows it from now on");
            }
        }
    }
}

/// A distance in microseconds, with its direction.
struct Span(i64);

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let length = Duration::from_micros(self.0.unsigned_abs());
        write!(f, "{length:?} {}", if self.0 < 0 { "back" } else { "ahead" })
    }
}
