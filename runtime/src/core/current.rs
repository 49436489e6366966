//! The core that a node has now. A node that opens its store again has another one from then on, and everything that is
//! known of the store in memory goes with the one before. So what callers hold keeps this, and takes the core anew for
//! each thing that it does.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Core;

/// Cheap to clone; all clones are of the same node.
#[derive(Clone)]
pub(crate) struct Current(Arc<ArcSwap<Core>>);

impl Current {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self(Arc::new(ArcSwap::new(core)))
    }

    /// For something that takes a while: it goes on with the core that it has begun with, and ends with that.
    pub(crate) fn get(&self) -> Arc<Core> {
        self.0.load_full()
    }

    /// Looks at something of it, which is cheaper.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&Core) -> T) -> T {
        at(&self.0.load())
    }

    pub(crate) fn replace(&self, core: Arc<Core>) {
        self.0.store(core);
    }

    /// Whether this is the one that it has now.
    pub(crate) fn is(&self, core: &Arc<Core>) -> bool {
        Arc::ptr_eq(&self.0.load(), core)
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.look(|core| core.fmt(f))
    }
}
