//! The clock by which certificates are checked.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::UnixTime;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};

/// The machine's wall clock, or a replacement.
#[derive(Clone, Default)]
pub(super) struct Clock(Option<Arc<dyn Fn() -> SystemTime + Send + Sync>>);

impl Clock {
    pub(super) fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(now)))
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        match &self.0 {
            Some(now) => {
                let since_1970 = now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                Some(UnixTime::since_unix_epoch(since_1970))
            }
            None => DefaultTimeProvider.current_time(),
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Clock(another)" } else { "Clock(wall)" })
    }
}
