//! What a test and its child process say to each other: one JSON value a line, on the child's standard input and
//! output.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::net::Seat;
use crate::probe::Note;
use crate::waits::{Kind, Order};
use crate::worker::{Step, Target};

/// Lines of other programs' output, the test runner's say, do not start with it.
pub const MARK: &str = "@ ";
/// The environment variable that makes the test binary a child.
pub const VARIABLE: &str = "EVERPOST_TEST_CHILD";

/// The environment variable that makes the child check its store for an upgrade, and start nothing.
pub const CHECK_VARIABLE: &str = "EVERPOST_TEST_CHECK";

/// The environment variable that makes the child log as people read it.
pub const PRETTY_VARIABLE: &str = "EVERPOST_TEST_PRETTY";

/// How a child starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Setup {
    /// The folder of the store.
    pub folder: PathBuf,
    /// The setting of the node.
    pub attempts_max: u32,
    /// Whether the gates of its workers are open.
    pub open: bool,
    /// Whether its logs, which go to its standard error as JSON, are to be complete.
    pub logs: bool,
    /// Its place among other nodes, if there are others.
    #[serde(default)]
    pub seat: Option<Seat>,
    /// Whether its node has the actors of the test of clocks.
    #[serde(default)]
    pub waits: bool,
}

impl Setup {
    /// A node by itself with open gates.
    #[must_use]
    pub fn alone(folder: &Path) -> Self {
        Self { folder: folder.into(), attempts_max: 8, open: true, logs: false, seat: None, waits: false }
    }

    /// A node among others with open gates.
    #[must_use]
    pub fn seated(seat: &Seat) -> Self {
        Self { seat: Some(seat.clone()), ..Self::alone(&seat.folder) }
    }
}

/// What a child is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Send these scripts, in this order; each is answered by [`Event::Accepted`].
    Send(Vec<(Target, Vec<Step>)>),
    /// Say [`Event::Drained`] once nothing waits.
    Drain,
    /// Say [`Event::Drained`] once so many actors are paused, and no more than so many messages wait.
    DrainTo {
        /// How many actors.
        paused: usize,
        /// How many messages.
        waiting: usize,
    },
    /// Pause the worker of this key.
    Pause(String),
    /// Resume the worker of this key, paused or not.
    Resume(String),
    /// Let what waits for that end the process.
    Light,
    /// Send jobs on every stream of the load, from these numbers on, until killed.
    Load(Vec<(u32, u32)>),
    /// Something for the test of clocks.
    Waits(Order),
    /// Supervise a task that reaches gate 0 and fails, again and again, with a budget of so many restarts within an
    /// hour.
    Supervise {
        /// How many.
        restarts: u32,
    },
    /// Set the timer `schedule` to append this number at worker `scheduled`, each so many milliseconds; answered by
    /// [`Event::Scheduled`].
    Schedule(u32, u64),
    /// Stop the node and end.
    Stop,
}

/// What a child says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// It is about to open the store.
    Opening,
    /// The node runs; so many messages were found in the store.
    Up(u64),
    /// What the upgrade check has found.
    Checked(String),
    /// The node did not start, and why.
    Refused(String),
    /// A script is durable.
    Accepted(String),
    /// A handler has reached a gate.
    Reached(u32),
    /// A handler has noted its turn.
    Noted(Note),
    /// Something ran that had waited; whether its wait was the long one.
    Ran(Kind, bool),
    /// The test of clocks has made ready what waits.
    Ready,
    /// The test of clocks has looked.
    Looked,
    /// The test of clocks has used its keys again.
    UsedAgain,
    /// The wall clock is believed.
    Believed,
    /// Nothing waits.
    Drained,
    /// The timer that sends this number is durable.
    Scheduled(u32),
    /// The group has ended by itself, and why.
    GaveUp(String),
    /// The node was stopped cleanly.
    Stopped,
    /// The node did not end cleanly, and why.
    Failed(String),
    /// The disk has begun to do as it was ordered ([`Disk`](crate::disk::Disk)): what was said before was said before
    /// that. Only the library that stands between says it.
    Faulted,
    /// The load: something that a client saw.
    Client(Client),
    /// The load: a client saw what must not be.
    Broken(String),
}

/// What a client of the load sees, on one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// The stream.
    pub stream: u32,
    /// What it sees there.
    pub saw: Saw,
}

/// What happened to a job, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Saw {
    /// About to send it.
    Sent(u32),
    /// It is durable.
    Acknowledged(u32),
    /// It was handled, and this is the token in the reply.
    Replied(u32, u64),
    /// It became a dead letter.
    GivenUp(u32),
    /// The answer to a query: so many entries, and the newest one's token.
    Answered(usize, u64),
    /// Its receipt says that it was processed.
    Processed(u32),
    /// A query that was asked after that found this number as the newest; nothing, when there were no entries.
    ShownAfter(u32, Option<u32>),
}

/// Says `event` to the parent.
///
/// # Panics
///
/// When the parent is gone.
pub fn emit(event: &Event) {
    let line = format!("{MARK}{}\n", serde_json::to_string(event).expect("events can be encoded"));
    std::io::stdout().lock().write_all(line.as_bytes()).expect("the parent reads");
}
