//! Which of several processes of one name has the conversation with this node. Pure: whether a process is there is
//! handed in.
//!
//! Two processes may come under one name: one that was started in place of another, or one beside another by mistake. A
//! store that is known says which one goes on (`hello.rs` of the transport). Of two stores nothing does: each has its
//! own half of what was acknowledged, so whoever has the conversation keeps it for as long as it shows that it is
//! there.

use everpost_persistence::ShardId;

use crate::base::clock::Micros;

/// One place for all processes of a name.
#[derive(Debug)]
pub(crate) struct NameLease<P> {
    holder: Option<Holder<P>>,
}

/// Who has a lease of the name.
#[derive(Clone, Debug)]
pub(crate) struct Holder<P> {
    pub(crate) store: ShardId,
    /// When it came, by the wall clock.
    pub(crate) since: Micros,
    /// The process, and how to find out whether it is there.
    pub(crate) process: P,
}

impl<P> Default for NameLease<P> {
    fn default() -> Self {
        Self { holder: None }
    }
}

impl<P: Clone> NameLease<P> {
    /// Somebody comes, and has the lease of the name from now on. Unless another store has it, whose holder is not
    /// known to be gone: that one is returned, and has to show that it is there. If it does not, `newcomer` may come
    /// once more.
    pub(crate) fn take(&mut self, newcomer: Holder<P>, is_gone: impl FnOnce(&P) -> bool) -> Result<(), Holder<P>> {
        match &self.holder {
            // A process of the same store was judged to be the next run of it, or is the same one over another
            // connection.
            Some(holder) if holder.store != newcomer.store && !is_gone(&holder.process) => Err(holder.clone()),
            _ => {
                self.holder = Some(newcomer);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: ShardId = ShardId(1);
    const NEW: ShardId = ShardId(2);

    /// A process that lives until a second.
    fn process(store: ShardId, since: u64, until: u64) -> Holder<u64> {
        Holder { store, since: Micros(since), process: until }
    }

    /// Each second every process that lives and has no lease of the name comes; returns who had the lease of the name
    /// when that changed.
    fn course(processes: &[Holder<u64>], seconds: u64) -> Vec<(u64, ShardId)> {
        let mut lease = NameLease::default();
        let mut changes: Vec<(u64, ShardId)> = Vec::new();
        for now in 0..seconds {
            for process in processes.iter().filter(|process| process.since.0 <= now && now < process.process) {
                let has_it = lease.holder.as_ref().is_some_and(|holder: &Holder<u64>| holder.store == process.store);
                if !has_it && lease.take(process.clone(), |until| *until <= now).is_ok() {
                    changes.push((now, process.store));
                }
            }
        }
        changes
    }

    #[test]
    fn of_two_processes_with_stores_of_their_own_the_one_that_was_there_goes_on_until_it_is_gone() {
        let beside = [process(OLD, 0, 600), process(NEW, 5, 1000)];
        assert_eq!(course(&beside, 1000), [(0, OLD), (600, NEW)]);
        let after = [process(OLD, 0, 5), process(NEW, 5, 1000)];
        assert_eq!(course(&after, 1000), [(0, OLD), (5, NEW)]);
        let both = [process(NEW, 3, 1000), process(OLD, 3, 1000)];
        assert_eq!(course(&both, 1000), [(3, NEW)]);
    }

    #[test]
    fn a_process_of_the_same_store_takes_its_place_at_once() {
        let mut lease = NameLease::default();
        lease.take(process(OLD, 0, 100), |_| false).unwrap();
        lease.take(process(OLD, 1, 100), |_| false).unwrap();
        let holder = lease.take(process(NEW, 2, 100), |_| false).unwrap_err();
        assert_eq!((holder.store, holder.since), (OLD, Micros(1)));
    }
}
