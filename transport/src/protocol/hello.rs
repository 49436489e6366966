//! The beginning of a conversation: who the peer is and which run of which store it has, and whether the two stores can
//! go on from there. Pure.

use serde::{Deserialize, Serialize};

use crate::protocol::link::{Lane, Sequence};

/// The version of the protocol that this build speaks. Each side refuses any other.
pub const PROTOCOL_VERSION: u16 = 2;

/// What each side says first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL_VERSION`] of the speaker. The first field, so that every version can read it.
    pub protocol: u16,
    /// The cluster that it belongs to.
    pub cluster: String,
    /// Its name; must be that of its certificate.
    pub node: String,
    /// How many partitions its store has.
    pub partitions: u16,
    /// Which run of which store it is.
    pub run: Run,
    /// The largest message that it takes, in bytes.
    pub message_bytes_max: u64,
    /// The types of receivers that it has.
    pub receiver_types: Vec<ReceiverType>,
    /// The runs of its store before this one in which a peer could meet it, oldest first; the newest
    /// [`EARLIER_RUNS_MAX`].
    pub earlier: Vec<EarlierRun>,
    /// What its clocks show while it says so.
    pub clocks: Clocks,
}

/// The clocks of a node at one moment, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clocks {
    /// On the timeline of its store. That does not jump, so the distance between those of two nodes is the same for a
    /// whole conversation.
    pub steady: u64,
    /// Since 1970, UTC, as its wall clock has it.
    pub wall: u64,
}

/// How many earlier runs a store remembers and tells. A peer that knows none of them is compared with the oldest.
pub const EARLIER_RUNS_MAX: usize = 64;

/// A run of a store that has ended; see [`Run`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierRun {
    /// How often the store was opened then.
    pub counter: u64,
    /// Drawn at that opening.
    pub nonce: u64,
    /// The first number that it gave out.
    pub first: Sequence,
}

/// One run of a store, from its opening to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The store.
    pub shard: u128,
    /// How often it was opened, this time included.
    pub counter: u64,
    /// Drawn at this opening: two runs with one counter are two copies of a store.
    pub nonce: u64,
    /// The first number that this run gives out.
    pub first: Sequence,
}

/// A type of receivers, and where the speaker has placed them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiverType {
    /// Its name.
    pub name: String,
    /// A digest of which node has which partition. Of nodes that differ here, both would own a receiver, or neither.
    pub placement: u64,
}

/// What each side says when it has accepted the other's [`Hello`]: where the other is to go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// How many bytes of each lane may be in flight until an acknowledgement says otherwise.
    pub credit: u64,
    /// How far each lane of the other's store has come here, durably. Lanes that are not named have not begun.
    pub lanes: Vec<(Lane, Sequence)>,
}

/// What a node remembers of a store that it has had a conversation with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownStore {
    /// The name of the node that had it then.
    pub node: String,
    /// The counter of its newest run.
    pub counter: u64,
    /// The nonce of that run.
    pub nonce: u64,
}

/// Why there is no conversation with a peer. Nothing was taken from it, and nothing is sent to it.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Another version of the protocol.
    #[error("it speaks version {theirs} of the protocol, and this node {ours}; run builds that speak the same")]
    Protocol {
        /// Ours.
        ours: u16,
        /// Theirs.
        theirs: u16,
    },
    /// Another cluster.
    #[error("it belongs to the cluster `{theirs}`, and this node to `{ours}`; set `cluster` to the same name")]
    Cluster {
        /// Ours.
        ours: String,
        /// Theirs.
        theirs: String,
    },
    /// It calls itself otherwise than its certificate.
    #[error("it calls itself `{said}`, but its certificate is that of `{certified}`")]
    Name {
        /// What it says.
        said: String,
        /// What its certificate says.
        certified: String,
    },
    /// Another number of partitions.
    #[error("its store has {theirs} partitions, and this one {ours}; all nodes of a cluster need the same number")]
    Partitions {
        /// Ours.
        ours: u16,
        /// Theirs.
        theirs: u16,
    },
    /// Its store is a copy of ours.
    #[error(
        "its store has the same id as the store of this node: one was copied from the other; give it a store of its own"
    )]
    OurStore,
    /// Its store was known under another name.
    #[error("its store is known as that of node `{known}`: it was copied or moved; give it a store of its own")]
    OtherNode {
        /// The name of the node that had it.
        known: String,
    },
    /// A newer run of its store is known.
    #[error(
        "its store was opened {counter} times, but {known} times were known already: it is an old copy of the store; \
         start it with the newest one"
    )]
    OldRun {
        /// What it says.
        counter: u64,
        /// What is known.
        known: u64,
    },
    /// Its store has not been through the run that is known.
    #[error(
        "another run of its store is known with the count of openings {counter}: there are two copies of the store, \
         and both were opened; keep the one that went on"
    )]
    Clone {
        /// The counter of the run that is known.
        counter: u64,
    },
    /// It has gone on from before what the known run had sent.
    #[error(
        "it has gone on at number {}, but {} was received already: it is an old copy of the store; start it with the \
         newest one",
        first.0,
        received.0
    )]
    Overlap {
        /// Where it has gone on.
        first: Sequence,
        /// The newest number received from this store.
        received: Sequence,
    },
}

impl Hello {
    /// Checks whether a node that says `self` can have a conversation with a peer that says `theirs`. The peer's
    /// certificate is for `certified`, its store is remembered as `known`, and `received` is the newest number that was
    /// received from that store.
    ///
    /// ```
    /// # use everpost_transport::hello::{Clocks, Hello, PROTOCOL_VERSION, Refusal, Run};
    /// # use everpost_transport::link::Sequence;
    /// # let hello = |node: &str, cluster: &str, store| Hello {
    /// #     protocol: PROTOCOL_VERSION,
    /// #     cluster: cluster.to_owned(),
    /// #     node: node.to_owned(),
    /// #     partitions: 64,
    /// #     run: Run { shard: store, counter: 1, nonce: 7, first: Sequence(1) },
    /// #     message_bytes_max: 1 << 20,
    /// #     receiver_types: Vec::new(),
    /// #     earlier: Vec::new(),
    /// #     clocks: Clocks::default(),
    /// # };
    /// let ours = hello("east", "orders", 1);
    /// assert_eq!(ours.check(&hello("west", "orders", 2), "west", None, Sequence(0)), Ok(()));
    ///
    /// let stranger = hello("west", "billing", 2);
    /// assert!(matches!(ours.check(&stranger, "west", None, Sequence(0)), Err(Refusal::Cluster { .. })));
    /// ```
    ///
    /// # Errors
    ///
    /// [`Refusal`]: the first thing that does not fit.
    pub fn check(
        &self,
        theirs: &Self,
        certified: &str,
        known: Option<&KnownStore>,
        received: Sequence,
    ) -> Result<(), Refusal> {
        if theirs.protocol != self.protocol {
            return Err(Refusal::Protocol { ours: self.protocol, theirs: theirs.protocol });
        }
        if theirs.cluster != self.cluster {
            return Err(Refusal::Cluster { ours: self.cluster.clone(), theirs: theirs.cluster.clone() });
        }
        if theirs.node != certified {
            return Err(Refusal::Name { said: theirs.node.clone(), certified: certified.to_owned() });
        }
        if theirs.partitions != self.partitions {
            return Err(Refusal::Partitions { ours: self.partitions, theirs: theirs.partitions });
        }
        if theirs.run.shard == self.run.shard {
            return Err(Refusal::OurStore);
        }
        known.map_or(Ok(()), |known| theirs.check_history(certified, known, received))
    }

    /// Checks that this run goes on where the one that is known has ended.
    fn check_history(&self, certified: &str, known: &KnownStore, received: Sequence) -> Result<(), Refusal> {
        let Run { counter, nonce, .. } = self.run;
        if known.node != certified {
            return Err(Refusal::OtherNode { known: known.node.clone() });
        }
        if counter < known.counter {
            return Err(Refusal::OldRun { counter, known: known.counter });
        }
        let clone = Err(Refusal::Clone { counter: known.counter });
        if counter == known.counter {
            // The same run, over another connection.
            return if nonce == known.nonce { Ok(()) } else { clone };
        }
        // The run after the known one began above every number of that one, however often the store was opened since.
        let first = match self.earlier.iter().position(|run| run.counter == known.counter) {
            Some(index) if self.earlier[index].nonce != known.nonce => return clone,
            Some(index) => self.earlier.get(index + 1).map_or(self.run.first, |run| run.first),
            None => match self.earlier.first() {
                Some(oldest) if oldest.counter > known.counter => oldest.first,
                _ => return clone,
            },
        };
        if first <= received { Err(Refusal::Overlap { first, received }) } else { Ok(()) }
    }
}

crate::text::debug_as_text!(Refusal);

#[cfg(test)]
mod tests;
