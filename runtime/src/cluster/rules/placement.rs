//! Placement: which node owns a partition. Pure, and the same on every node that has the same list, whatever its order.
//!
//! Rendezvous hashing: each node draws a number for each partition, and the highest owns it. When a node is added it
//! takes its share from all others, and nothing else moves.

use everpost_persistence::Partition;

/// The owners of all partitions, for one list of nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placement {
    /// In the order of their names.
    nodes: Vec<String>,
    /// For each partition the index of its node.
    owners: Vec<u16>,
}

impl Placement {
    /// Places `partitions` partitions on `nodes`, of which there must be one at least.
    pub(crate) fn new(nodes: &[String], partitions: u16) -> Self {
        assert!(!nodes.is_empty(), "a type without nodes is refused with the configuration");
        let mut nodes = nodes.to_vec();
        nodes.sort_unstable();
        nodes.dedup();
        let owner = |partition| {
            let highest = nodes.iter().enumerate().max_by_key(|(_, node)| (draw(node, partition), node.as_str()));
            u16::try_from(highest.expect("there is a node").0).expect("far fewer nodes than that")
        };
        let owners = (0..partitions).map(owner).collect();
        Self { nodes, owners }
    }

    /// The name of the node that owns a partition.
    pub(crate) fn owner(&self, partition: Partition) -> &str {
        &self.nodes[usize::from(self.owners[usize::from(partition.0)])]
    }

    /// The same on two nodes if and only if they place every partition alike.
    pub(crate) fn digest(&self) -> u64 {
        let mut hasher = blake3::Hasher::new_derive_key("everpost 2026 digest of a placement");
        for node in &self.nodes {
            hasher.update(&[u8::try_from(node.len()).expect("names of nodes are short")]);
            hasher.update(node.as_bytes());
        }
        for owner in &self.owners {
            hasher.update(&owner.to_be_bytes());
        }
        first_eight(&hasher.finalize())
    }
}

/// Names an actor type on the wire and in the keys of lanes: FNV-1a of its name. Names are chosen by developers, not by
/// strangers, and two types of one node that share a number are refused at its start.
pub(crate) const fn receiver_type_of(actor_type: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let bytes = actor_type.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        hash = (hash ^ bytes[index] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        index += 1;
    }
    hash
}

fn draw(node: &str, partition: u16) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key("everpost 2026 rendezvous of a node and a partition");
    hasher.update(&partition.to_be_bytes());
    hasher.update(node.as_bytes());
    first_eight(&hasher.finalize())
}

fn first_eight(hash: &blake3::Hash) -> u64 {
    let (first, _) = hash.as_bytes().split_first_chunk::<8>().expect("a hash has 32 bytes");
    u64::from_be_bytes(*first)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn placement_is_part_of_the_format() {
        let placement = Placement::new(&names(&["east", "west", "north"]), 16);
        let owners: String = (0..16).map(|partition| &placement.owner(Partition(partition))[..1]).collect();
        assert_eq!(owners, "eewwewnneeneenew");
        assert_eq!(
            (placement.digest(), receiver_type_of("account")),
            (886_515_313_920_681_786, 11_691_294_700_937_161_148)
        );
    }

    #[test]
    fn partitions_are_spread_evenly() {
        let placement = Placement::new(&names(&["east", "west", "north"]), 3000);
        let mut shares = HashMap::<&str, usize>::new();
        (0..3000).for_each(|partition| *shares.entry(placement.owner(Partition(partition))).or_default() += 1);
        assert!(shares.values().all(|share| (850..1150).contains(share)), "{shares:?}");
    }

    proptest! {
        #[test]
        fn the_order_of_the_list_does_not_matter(mut nodes in proptest::collection::vec("[a-z]{1,8}", 1..8)) {
            let placement = Placement::new(&nodes, 64);
            nodes.reverse();
            let reversed = Placement::new(&nodes, 64);
            prop_assert_eq!(placement.digest(), reversed.digest());
            prop_assert_eq!(placement, reversed);
        }

        #[test]
        fn a_new_node_takes_its_share_and_moves_nothing_else(
            nodes in proptest::collection::btree_set("[a-y]{1,8}", 1..8),
        ) {
            let nodes: Vec<String> = nodes.into_iter().collect();
            let before = Placement::new(&nodes, 64);
            let after = Placement::new(&[nodes, vec!["zz".to_owned()]].concat(), 64);
            prop_assert_ne!(before.digest(), after.digest());
            for partition in (0..64).map(Partition) {
                let owner = after.owner(partition);
                prop_assert!(owner == "zz" || owner == before.owner(partition));
            }
        }
    }
}
