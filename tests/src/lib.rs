//! The harness of the tests that run whole nodes: an actor that does what a message tells it to, a load with an oracle
//! that judges only from what a client saw, and nodes in processes of their own that may be killed.
//!
//! `EVERPOST_TEST_SEEDS=n` runs `n` times as many seeds of every random test; `EVERPOST_TEST_SEED=x` runs only the
//! seed `x`, which is what the line says that a failure prints.

pub mod bulk;
pub mod cancel;
pub mod child;
pub mod cluster;
pub mod disk;
pub mod doors;
pub mod fuse;
pub mod image;
pub mod load;
pub mod logs;
pub mod memory;
pub mod net;
pub mod oracle;
mod preload;
pub mod probe;
pub mod protocol;
pub mod puppet;
pub mod records;
pub mod relay;
pub mod seeds;
pub mod sources;
pub mod stage;
pub mod stall;
pub mod wait;
pub mod waits;
pub mod wall;
pub mod worker;

use std::time::Duration;

use everpost::{Backoff, NodeConfig};
use tempfile::TempDir;

/// A folder for a store, in memory where there is such a file system: what is tested here survives a dead process, and
/// no test of this package claims more.
///
/// # Panics
///
/// When no folder can be made.
#[must_use]
pub fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary folder can be made")
}

/// Settings for tests: short backoffs, so that retries cost no time.
#[must_use]
pub fn config() -> NodeConfig {
    let backoff = Backoff { first: Duration::from_millis(1), cap: Duration::from_millis(5) };
    NodeConfig { backoff, ..NodeConfig::default() }
}
