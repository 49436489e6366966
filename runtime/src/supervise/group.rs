//! Supervised groups: long-running tasks of a node that are started in order, restarted as OTP restarts them, and
//! stopped in reverse. What is durable stays in actors; a group is for what feeds them, or is fed by them, and for
//! actors that need each other.

mod actor;
mod child;
mod error;
mod family;
mod nested;
mod plan;
mod record;
mod roots;
mod rules;
mod strategy;
mod supervised;
mod task;

use std::fmt;
use std::time::Duration;

pub use self::child::{Child, ChildContext};
pub use self::error::{GroupEnded, SuperviseError};
pub(crate) use self::roots::Groups;
pub use self::strategy::Restart;
use self::strategy::Strategy;
pub(crate) use self::supervised::KeptGroup;
pub use self::supervised::Supervised;
use crate::base::rules::backoff::Backoff;
use crate::record::budget::{Budget, RESTARTS_MAX};

/// The most restarts that the budget of a group may have: each that counts is part of a stored record.
pub const GROUP_RESTARTS_MAX: u32 = RESTARTS_MAX;

/// Describes a group of supervised tasks and keyed actors, and of groups in it, at any depth;
/// [`Node::supervise`](crate::Node::supervise) starts it.
///
/// Children start in the order in which they are added, and stop in reverse, one after another. What happens when one
/// ends depends on its [`Restart`] and on the strategy of the group; a restart waits until nothing of the old one runs
/// any more, and for a [`Backoff`] that grows with the restarts that count.
///
/// A group that needs more restarts than its budget allows gives up: it stops its children and fails towards the group
/// that it is in, for which that is the failure of a child. A group that is started again by the one around it begins
/// with a full budget, so budgets of nested groups multiply; `supervise` logs a warning that says how often a child may
/// be started. When the outermost gives up, everything of it is stopped, an error is logged, and [`Supervised::ended`]
/// tells.
///
/// The restarts that count are stored before they are made: a process that dies and comes back within the period goes
/// on with what is left of the budget. They are known by the names of the groups.
///
/// ```
/// use everpost::{Child, Failure, Group, Node};
/// use std::time::Duration;
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let node = Node::builder("east", folder.path()).start().await?;
/// let (lines, mut received) = tokio::sync::mpsc::channel(1);
/// let reader = Child::permanent("reader", move |context| {
///     let lines = lines.clone();
///     async move {
///         tokio::select! {
///             () = context.stopping() => Ok(()),
///             sent = lines.send("a line") => Ok(sent?), // ends, so it is started again
///         }
///     }
/// });
/// let cache = Child::transient("cache", |context| async move {
///     context.ready(); // only now the next child starts
///     Ok(())
/// });
/// let group = Group::rest_for_one("ingest")
///     .restarts(10, Duration::from_secs(60))
///     .child(cache.waits_until_ready(Duration::from_secs(10)))
///     .child(Group::one_for_one("readers").child(reader.stop_within(Duration::from_secs(1))));
/// let ingest = node.supervise(group).await?;
/// assert_eq!(received.recv().await, Some("a line"));
/// ingest.stop().await?; // so does `node.stop()`
/// # node.stop().await?;
/// # Ok(()) }
/// ```
#[must_use = "a group does nothing until a node supervises it"]
pub struct Group {
    name: String,
    strategy: Strategy,
    budget: Budget,
    backoff: Backoff,
    children: Vec<Child>,
}

impl Group {
    /// A group that restarts a child that has failed, and no other: for children that do not need each other.
    ///
    /// A name has 1 to 64 characters of `a-z`, `0-9`, `_` and `-`; it is unique among the groups of a node, or in the
    /// group around it. The budget is 3 restarts within 5 seconds until [`restarts`](Self::restarts) says otherwise.
    pub fn one_for_one(name: impl Into<String>) -> Self {
        Self::new(name.into(), Strategy::OneForOne)
    }

    /// A group that restarts all when one has failed: for children of which none can go on without every other.
    ///
    /// Name and budget are as for [`one_for_one`](Self::one_for_one).
    pub fn one_for_all(name: impl Into<String>) -> Self {
        Self::new(name.into(), Strategy::OneForAll)
    }

    /// A group that restarts a child that has failed and those that were added after it: for children that need those
    /// before them.
    ///
    /// Name and budget are as for [`one_for_one`](Self::one_for_one).
    pub fn rest_for_one(name: impl Into<String>) -> Self {
        Self::new(name.into(), Strategy::RestForOne)
    }

    fn new(name: String, strategy: Strategy) -> Self {
        let budget = Budget::new(3, Duration::from_secs(5));
        Self { name, strategy, budget, backoff: Backoff::default(), children: Vec::new() }
    }

    /// Adds a child: a task, a keyed actor, or a group, which is permanent unless [`Child::group`] says otherwise. It
    /// starts after those that were added before it.
    pub fn child(mut self, child: impl Into<Child>) -> Self {
        self.children.push(child.into());
        self
    }

    /// Allows so many restarts within a period, over all children; one more, and the group gives up. A restart of
    /// several children together counts once. At most [`GROUP_RESTARTS_MAX`]; 0 gives up at the first failure.
    pub fn restarts(mut self, max: u32, within: Duration) -> Self {
        self.budget = Budget::new(max, within);
        self
    }

    /// How long to wait before a restart; the wait grows with the number of restarts that count. From 200 ms to 30 s
    /// when it is not said.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("name", &self.name)
            .field("strategy", &self.strategy)
            .field("budget", &self.budget)
            .field("backoff", &self.backoff)
            .field("children", &self.children)
            .finish()
    }
}
