//! The services of a node, each with what it means for the user that nobody does what it does, and whether it may be
//! started anew.

use crate::shard::rules::restart::Policy;
use crate::shard::service::Service;

/// What is released when it is durable leaves one after another: what a panic has taken out would be lost.
pub(crate) static GATE: Service = Service {
    name: "gate",
    means: "nothing that is committed would be acknowledged or handled any more",
    policy: Policy::FailNode,
};

/// A moment that was taken out of the wheel is nowhere else.
pub(crate) static WHEEL: Service = Service {
    name: "wheel",
    means: "messages that were put off, and actors that have failed, would wait for ever",
    policy: Policy::FailNode,
};

pub(crate) static TIMERS: Service = Service { name: "timers", means: "no timer fires", policy: Policy::Restart };

pub(crate) static EXPIRY: Service =
    Service { name: "expiry", means: "messages that expire stay where they wait", policy: Policy::Restart };

pub(crate) static SWEEPER: Service = Service {
    name: "sweeper",
    means: "actors that are idle, and mailboxes that are empty, stay in memory",
    policy: Policy::Restart,
};

pub(crate) static RETENTION: Service = Service {
    name: "retention",
    means: "idempotency keys and dead letters are kept longer than they are to be",
    policy: Policy::Restart,
};

pub(crate) static CLOCKS: Service =
    Service { name: "clocks", means: "a wall clock that is set is not noticed", policy: Policy::Restart };

pub(crate) static WATCH: Service = Service {
    name: "watch",
    means: "a store that is full, and dead letters that are, are not told of",
    policy: Policy::Restart,
};

pub(crate) static ACTIVATIONS: Service =
    Service { name: "activations", means: "messages to actors beyond `activations_max` wait", policy: Policy::Restart };

pub(crate) static CERTIFICATES: Service =
    Service { name: "certificates", means: "certificates that are renewed are not used", policy: Policy::Restart };

pub(crate) static WATCHDOG: Service = Service {
    name: "watchdog",
    means: "handlers that block a thread of the runtime are not told of",
    policy: Policy::Restart,
};

/// Not a service of its own: whoever commits does.
pub(crate) static COMMIT: Service =
    Service { name: "commit", means: "memory would differ from the store", policy: Policy::FailNode };

/// It has the door and the links as its children, which it starts anew.
pub(crate) static LINKS: Service =
    Service { name: "supervisor of the links", means: "links that fail would stay down", policy: Policy::FailNode };

/// It runs in the endpoint, with handshakes that would all be lost.
pub(crate) static ACCEPTOR: Service =
    Service { name: "acceptor of connections", means: "no other node can connect", policy: Policy::FailNode };

/// It knows by itself alone which groups have ended.
pub(crate) static GROUPS: Service = Service {
    name: "supervisor of the groups",
    means: "nobody would be told that a group has ended",
    policy: Policy::FailNode,
};

/// What the panic of the supervisor of an actor type means. It knows by itself alone which activations there are.
pub(crate) const SUPERVISOR_MEANS: &str = "no actor of that type would be started any more";
