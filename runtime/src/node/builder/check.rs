//! The upgrade check: goes over a store as it lies, and reads with the code of this build what the node would have to
//! read.

mod trail;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use everpost_persistence::{Inspection, Key, ReadError, Table};
use rustc_hash::FxHashMap;

use self::trail::Trail;
use crate::base::caught::caught;
use crate::cluster::Cluster;
use crate::mailbox::actor_type::ActorType;
use crate::message::address::Address;
use crate::message::envelope::Header;
use crate::message::unhandled::Unhandled;
use crate::node::upgrade::{Reading, Stored, StoredKind, UpgradeReport};
use crate::record::dead_letter;
use crate::record::schema::Schema;
use crate::record::state::StoredState;
use crate::tables;
use crate::timer;

/// Reads everything in `store`, which is that of `folder`, that a node with these actor types would read one day.
/// Blocks. Messages on their way to other nodes, and those that timers will send there, are theirs to read.
pub(super) fn check(
    store: &Inspection,
    folder: &Path,
    actor_types: &FxHashMap<&'static str, Arc<ActorType>>,
    cluster: &Cluster,
) -> Result<UpgradeReport, ReadError> {
    let trail = Trail::open(folder);
    let mut check = Check { store, actor_types, cluster, trail, report: UpgradeReport::default() };
    check.messages(Stored::Waiting, tables::INBOX, |envelope| Some(envelope))?;
    check.states()?;
    check.messages(Stored::DeadLetter, tables::DEAD_LETTERS, dead_letter::envelope_of)?;
    check.messages(Stored::Timer, tables::TIMERS, timer::envelope_of)?;
    check.trail.end();
    Ok(check.report)
}

struct Check<'a> {
    store: &'a Inspection,
    actor_types: &'a FxHashMap<&'static str, Arc<ActorType>>,
    cluster: &'a Cluster,
    trail: Trail,
    report: UpgradeReport,
}

impl Check<'_> {
    /// Goes over a table whose records have a message in its envelope somewhere in them.
    fn messages(
        &mut self,
        stored: Stored,
        table: Table,
        envelope_of: for<'r> fn(&'r [u8]) -> Option<&'r [u8]>,
    ) -> Result<(), ReadError> {
        self.store.scan(&table, |key, record| {
            let unknown =
                || (StoredKind::unknown(stored), Err("the record has an unknown version or layout".to_owned()));
            let found =
                envelope_of(record).map_or_else(|| Some(unknown()), |envelope| self.message(stored, key, envelope));
            if let Some((kind, reading)) = found {
                self.report.count(kind, || place_of(key), reading);
            }
            ControlFlow::Continue(())
        })
    }

    /// How a message can be read; none for one that another node will read.
    fn message(&mut self, stored: Stored, key: &Key, envelope: &[u8]) -> Option<(StoredKind, Result<Reading, String>)> {
        let (header, payload) = match Header::decode(envelope) {
            Ok(decoded) => decoded,
            Err(error) => return Some((StoredKind::unknown(stored), Err(error.to_string()))),
        };
        let (name, version) = (header.message, header.message_version);
        let Some(address) = Address::parse(header.destination) else {
            return Some((StoredKind::new(stored, "", name, version), Err(Unhandled::no_address().to_string())));
        };
        let remote = self.cluster.remote(&address, address.partition(self.store.partitions()));
        if stored == Stored::Timer && remote.is_some() {
            return None;
        }
        let kind = StoredKind::new(stored, address.actor_type(), name, version);
        let reader = match self.actor_types.get(address.actor_type()) {
            Some(known) => known.reader(name, version),
            None => Err(Unhandled::no_actor(address.actor_type(), name, version)),
        };
        let reading = match reader {
            Ok(schema) => self.trail.read(stored, key, || read(schema, version, || schema.check(version, payload))),
            Err(unhandled) => Err(format!("nothing handles {unhandled}")),
        };
        Some((kind, reading))
    }

    fn states(&mut self) -> Result<(), ReadError> {
        self.store.scan(&tables::MAILBOXES, |key, record| {
            match StoredState::read(record) {
                Ok(state) => {
                    let (kind, reading) = self.state(key, &state);
                    self.report.count(kind, || state.address.to_owned(), reading);
                }
                Err(error) => {
                    let kind = StoredKind::unknown(Stored::State);
                    self.report.count(kind, || place_of(key), Err(error.to_string()));
                }
            }
            ControlFlow::Continue(())
        })
    }

    fn state(&mut self, key: &Key, state: &StoredState<'_>) -> (StoredKind, Result<Reading, String>) {
        let StoredState { name, version, .. } = *state;
        let Some(address) = Address::parse(state.address) else {
            let kind = StoredKind::new(Stored::State, "", name.unwrap_or_default(), version);
            return (kind, Err("it belongs to something that is no address".to_owned()));
        };
        let actor_type = address.actor_type();
        let Some(known) = self.actor_types.get(actor_type) else {
            let kind = StoredKind::new(Stored::State, actor_type, name.unwrap_or_default(), version);
            return (kind, Err(format!("`{actor_type}` is no actor type of the node")));
        };
        let schema = &known.state;
        let reading = self.trail.read(Stored::State, key, || read(schema, version, || state.check(schema)));
        (StoredKind::new(Stored::State, actor_type, name.unwrap_or(schema.name), version), reading)
    }
}

/// Runs the code of a type on stored bytes, which may do anything.
fn read<E: std::error::Error>(
    schema: &Schema,
    version: u16,
    check: impl FnOnce() -> Result<(), E>,
) -> Result<Reading, String> {
    match caught(check) {
        Ok(Ok(())) if version == schema.version => Ok(Reading::AsItIs),
        Ok(Ok(())) => Ok(Reading::Upgraded),
        Ok(Err(error)) => Err(error.to_string()),
        Err(panic) => Err(format!("reading `{}` version {version} panics: {panic}", schema.name)),
    }
}

/// Names a record, for those who look for it.
fn place_of(key: &Key) -> String {
    let table = key.table();
    if table == tables::INBOX.id() {
        format!("position {}", tables::queued_of(key).1)
    } else if table == tables::DEAD_LETTERS.id() {
        format!("position {}", tables::dead_letter_of(key))
    } else if table == tables::TIMERS.id() {
        format!("timer {:032x}", tables::timer_of(key).1)
    } else if table == tables::MAILBOXES.id() {
        format!("mailbox {:032x}", tables::mailbox_of(key).1.0)
    } else {
        format!("{key:?}")
    }
}
