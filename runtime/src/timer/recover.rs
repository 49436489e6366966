//! The timers that the store holds become the index again.

use std::ops::ControlFlow;

use everpost_persistence::{Key, Position, ReadError, Table};

use super::id::TimerId;
use super::index::{Entry, NEVER};
use super::record::TimerRecord;
use crate::address::Address;
use crate::clock::Micros;
use crate::cluster::Owner;
use crate::core::Core;
use crate::envelope::Header;
use crate::message::MessageId;

/// Rebuilds the index with one scan. Blocks. A timer that this build cannot fire is kept, and can be cancelled.
pub(crate) fn recover(core: &Core) -> Result<(), ReadError> {
    let mut state = core.timers.lock();
    core.store.scan(Table::Timers, |key, record| {
        if let Key::Timer { partition, timer } = key {
            let timer = TimerId::new(*partition, MessageId(*timer));
            let due = due(core, record).unwrap_or_else(|reason| {
                tracing::error!(node = %core.name, %timer, reason, "a timer cannot fire; it stays in the store until it can");
                NEVER
            });
            state.index.set(timer, Entry { due, since: Position(0) });
        }
        ControlFlow::Continue(())
    })
}

/// When a timer is due, or why it cannot fire.
fn due(core: &Core, record: &[u8]) -> Result<Micros, &'static str> {
    let unreadable = "it cannot be read by this build";
    let (record, envelope) = TimerRecord::decode(record).ok_or(unreadable)?;
    let (header, _) = Header::decode(envelope).map_err(|_| unreadable)?;
    let address = Address::parse(header.destination).ok_or(unreadable)?;
    match core.owner(&address) {
        Owner::Here if !core.kinds.contains_key(address.actor_type()) => Err("its actor type is not part of this node"),
        Owner::Here | Owner::Away(..) => Ok(record.due()),
    }
}
