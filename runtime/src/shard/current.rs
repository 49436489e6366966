//! The shard that a node has now. A node that opens its store again has another one from then on, and everything that
//! is known of the store in memory goes with the one before. So what callers hold keeps this, and takes the shard anew
//! for each thing that it does.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Shard;

/// Cheap to clone; all clones are of the same node.
#[derive(Clone)]
pub(crate) struct Current(Arc<ArcSwap<Shard>>);

impl Current {
    pub(crate) fn new(shard: Arc<Shard>) -> Self {
        Self(Arc::new(ArcSwap::new(shard)))
    }

    /// For something that takes a while: it goes on with the shard that it has begun with, and ends with that.
    pub(crate) fn get(&self) -> Arc<Shard> {
        self.0.load_full()
    }

    /// Looks at something of it, which is cheaper.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&Shard) -> T) -> T {
        at(&self.0.load())
    }

    pub(crate) fn replace(&self, shard: Arc<Shard>) {
        self.0.store(shard);
    }

    /// Whether this is the one that it has now.
    pub(crate) fn is(&self, shard: &Arc<Shard>) -> bool {
        Arc::ptr_eq(&self.0.load(), shard)
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.look(|shard| shard.fmt(f))
    }
}
