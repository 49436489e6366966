//! Says what the program waits for when it does not get on.

use std::time::Duration;

use everpost::Node;
use tokio::time::Instant;

/// The reasons to wait, and since when it is the same one.
#[derive(Debug)]
pub(crate) struct Patience {
    peers: Vec<String>,
    standstill: Standstill,
    since: Instant,
    is_said: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Standstill {
    /// Nodes that there is no link to.
    Away(Vec<String>),
    /// All are there. Something else holds it up if this number stays what it is.
    At(u64),
}

impl Patience {
    pub(crate) fn new(peers: Vec<String>) -> Self {
        Self { peers, standstill: Standstill::At(0), since: Instant::now(), is_said: false }
    }

    /// A line to show, once for each change. `progress` is any number that grows as long as it gets on.
    pub(crate) fn look(&mut self, node: &Node, progress: u64) -> Option<String> {
        let away: Vec<String> = self.peers.iter().filter(|peer| !node.is_linked_to(peer)).cloned().collect();
        let standstill = if away.is_empty() { Standstill::At(progress) } else { Standstill::Away(away) };
        if standstill != self.standstill {
            (self.standstill, self.since, self.is_said) = (standstill, Instant::now(), false);
        }
        if self.is_said || self.since.elapsed() < self.standstill.patience() {
            return None;
        }
        self.is_said = true;
        Some(self.standstill.line())
    }
}

impl Standstill {
    /// How long it may last before it is said: longer than it takes to connect, or to recover a store.
    fn patience(&self) -> Duration {
        Duration::from_secs(match self {
            Self::Away(_) => 1,
            Self::At(_) => 10,
        })
    }

    fn line(&self) -> String {
        match self {
            Self::Away(names) => format!("waiting for {}: there is no link", names.join(", ")),
            Self::At(_) => "nothing was counted for 10 seconds; the logs of the nodes may say why".to_owned(),
        }
    }
}
