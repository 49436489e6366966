//! A configuration that would strand what the store holds is refused before anything is changed.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use everpost_persistence::{ReadError, Table};

use crate::message::address::Address;
use crate::message::envelope::Header;
use crate::node::StartError;
use crate::record::state::address_of;
use crate::shard::Shard;
use crate::tables;

/// Refuses a store that holds messages or states of other nodes, or owes messages to this one. Blocks.
pub(super) fn check(shard: &Shard) -> Result<(), StartError> {
    let destination = |envelope: &[u8]| {
        let (header, _) = Header::decode(envelope).ok()?;
        Address::parse(header.destination)
    };
    if !shard.cluster.is_alone() {
        refuse(shard, "waiting messages", misplaced(shard, tables::INBOX, true, destination)?)?;
        refuse(shard, "states", misplaced(shard, tables::MAILBOXES, true, address_of)?)?;
    }
    refuse(shard, "messages on their way", misplaced(shard, tables::OUTBOX, false, destination)?)
}

/// Counts the records of a table whose address lives here, or does not, against what the table says; by actor type and
/// by the node where they belong.
fn misplaced(
    shard: &Shard,
    table: Table,
    belongs_here: bool,
    address_of: impl Fn(&[u8]) -> Option<Address>,
) -> Result<BTreeMap<(String, String), usize>, ReadError> {
    let mut found = BTreeMap::new();
    shard.store.scan(&table, |_, record| {
        // What cannot be read is reported where it is read.
        if let Some(address) = address_of(record)
            && shard.remote(&address).is_none() != belongs_here
        {
            let partition = address.partition(shard.store.partitions());
            let owner = shard.cluster.owner_name(address.actor_type(), partition).to_owned();
            *found.entry((address.actor_type().to_owned(), owner)).or_default() += 1;
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

fn refuse(shard: &Shard, what: &'static str, misplaced: BTreeMap<(String, String), usize>) -> Result<(), StartError> {
    match misplaced.into_iter().next() {
        None => Ok(()),
        Some(((actor_type, owner), records)) => {
            Err(StartError::Stranded { node: shard.name.to_string(), records, what, actor_type, owner })
        }
    }
}
