//! Which mailboxes are in memory. At most one for an address, ever: a mailbox leaves only while nobody but the
//! directory refers to it. So whoever has one has the one of its address, for as long as they have it: a turn, the
//! gate, a timer, a holder, a sender that waits. There is no mailbox that has left, to be told apart from the one that
//! came after it.
//!
//! Of an address at which one message waits in the store, and nothing else, an entry is all that there is ([`Lone`]).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::num::NonZeroU16;
use std::sync::Arc;

use everpost_persistence::{MailboxId, Partition, Position};
use rustc_hash::FxBuildHasher;

use crate::base::sync::{Mutex, MutexGuard, PoisonError};
use crate::mailbox::Mailbox;
use crate::mailbox::actor_type::ActorType;
use crate::mailbox::lone::Lone;
use crate::message::address::{Address, partition_of};

/// Enough that two threads seldom meet.
const STRIPES: usize = 64;

type Stripe = HashMap<MailboxId, Known, FxBuildHasher>;

/// What is known of an address.
#[derive(Debug)]
enum Known {
    Made(Arc<Mailbox>),
    Lone(Lone),
}

/// Where the start puts a message that it has found.
#[derive(Debug)]
pub(crate) enum Place {
    /// This entry says all that there is to know of it.
    Alone,
    /// There is a mailbox.
    Made(Arc<Mailbox>),
    /// A mailbox is to be made.
    Unmade,
}

#[derive(Debug)]
pub(crate) struct Directory {
    stripes: Vec<Mutex<Stripe>>,
    partitions: NonZeroU16,
    actor_types: Vec<Arc<ActorType>>,
}

impl Directory {
    /// `actor_types` are those that [`Directory::place`] may be told of.
    pub(crate) fn new(partitions: NonZeroU16, actor_types: Vec<Arc<ActorType>>) -> Self {
        Self { stripes: (0..STRIPES).map(|_| Mutex::default()).collect(), partitions, actor_types }
    }

    /// The mailbox of `address`; made when there is none in memory.
    pub(crate) fn mailbox(&self, address: &Address, actor_type: &Arc<ActorType>) -> Arc<Mailbox> {
        match self.stripe(address.mailbox()).entry(address.mailbox()) {
            Entry::Occupied(mut entry) => self.made(entry.get_mut(), address),
            Entry::Vacant(entry) => {
                let mailbox = self.make(address, actor_type);
                entry.insert(Known::Made(Arc::clone(&mailbox)));
                mailbox
            }
        }
    }

    /// The mailbox with this id, if it is in memory. Not one of which an entry says that its one message waits in the
    /// store: that takes its address ([`Directory::find_at`]).
    pub(crate) fn find(&self, mailbox: MailboxId) -> Option<Arc<Mailbox>> {
        match self.stripe(mailbox).get(&mailbox)? {
            Known::Made(mailbox) => Some(Arc::clone(mailbox)),
            Known::Lone(_) => None,
        }
    }

    /// The mailbox of `address`, if anything is known of it.
    pub(crate) fn find_at(&self, address: &Address) -> Option<Arc<Mailbox>> {
        let mut stripe = self.stripe(address.mailbox());
        stripe.get_mut(&address.mailbox()).map(|known| self.made(known, address))
    }

    /// Takes note of a message that the start has found, if its mailbox need not be made for it: an envelope of so many
    /// bytes that is `plain`, of this type, in a mailbox of which nothing else is known.
    pub(crate) fn place(&self, mailbox: MailboxId, plain: Option<Lone>) -> Place {
        match self.stripe(mailbox).entry(mailbox) {
            Entry::Occupied(entry) => match entry.get() {
                Known::Made(mailbox) => Place::Made(Arc::clone(mailbox)),
                Known::Lone(_) => Place::Unmade,
            },
            Entry::Vacant(entry) => match plain {
                Some(lone) => {
                    entry.insert(Known::Lone(lone));
                    Place::Alone
                }
                None => Place::Unmade,
            },
        }
    }

    /// A message that waits in the store, of an envelope of so many bytes, as an entry of the directory.
    pub(crate) fn entry_of(&self, position: Position, bytes: usize, actor_type: &Arc<ActorType>) -> Option<Lone> {
        let number = self.actor_types.iter().position(|known| Arc::ptr_eq(known, actor_type))?;
        Lone::new(position, bytes, u16::try_from(number).ok()?)
    }

    /// The messages of which entries say that they wait, in the order of the store.
    pub(crate) fn lone(&self, is_wanted: impl Fn(&Arc<ActorType>) -> bool) -> Vec<(Partition, Position)> {
        let is_wanted: Vec<bool> = self.actor_types.iter().map(is_wanted).collect();
        let mut lone = Vec::new();
        for stripe in &self.stripes {
            lone.extend(lock(stripe).iter().filter_map(|(mailbox, known)| match known {
                Known::Lone(lone) if is_wanted[usize::from(lone.actor_type)] => {
                    Some((partition_of(*mailbox, self.partitions), lone.position))
                }
                Known::Lone(_) | Known::Made(_) => None,
            }));
        }
        lone.sort_unstable();
        lone
    }

    /// Drops the mailbox from memory if nothing of it is worth keeping and the caller was the last to refer to it.
    pub(crate) fn retire(&self, mailbox: Arc<Mailbox>, durable: Position) {
        // The one of the directory and the caller's. It stays at that while the stripe is locked: a third could only be
        // had here.
        self.retire_if(mailbox, durable, |mailbox| Arc::strong_count(mailbox) == 2);
    }

    /// Drops the mailbox from memory if nothing of it is worth keeping and it `is_unused`, while nobody can look it up.
    pub(super) fn retire_if(
        &self,
        mailbox: Arc<Mailbox>,
        durable: Position,
        is_unused: impl FnOnce(&Arc<Mailbox>) -> bool,
    ) {
        let mut stripe = self.stripe(mailbox.id());
        if is_unused(&mailbox) && mailbox.lock().is_forgettable(durable) {
            stripe.remove(&mailbox.id());
        }
    }

    /// All mailboxes in memory, one stripe at a time. Whoever visits one has it to themselves. Those are left out of
    /// which only an entry is known: nobody waits there, nothing was submitted, and no body is in memory.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(Arc<Mailbox>)) {
        for stripe in &self.stripes {
            let made = |known: &Known| match known {
                Known::Made(mailbox) => Some(Arc::clone(mailbox)),
                Known::Lone(_) => None,
            };
            let mailboxes: Vec<_> = lock(stripe).values().filter_map(made).collect();
            mailboxes.into_iter().for_each(&mut visit);
        }
    }

    /// How many there are, made or not.
    pub(crate) fn len(&self) -> usize {
        self.stripes.iter().map(|stripe| lock(stripe).len()).sum()
    }

    /// Makes the mailbox, if it is not there.
    fn made(&self, known: &mut Known, address: &Address) -> Arc<Mailbox> {
        match known {
            Known::Made(mailbox) => Arc::clone(mailbox),
            Known::Lone(lone) => {
                let mailbox = self.make(address, &self.actor_types[usize::from(lone.actor_type)]);
                mailbox.lock().recover_lone(*lone);
                *known = Known::Made(Arc::clone(&mailbox));
                mailbox
            }
        }
    }

    fn make(&self, address: &Address, actor_type: &Arc<ActorType>) -> Arc<Mailbox> {
        Arc::new(Mailbox::new(address.clone(), address.partition(self.partitions), Arc::clone(actor_type)))
    }

    fn stripe(&self, mailbox: MailboxId) -> MutexGuard<'_, Stripe> {
        let index = usize::try_from(mailbox.0 >> 64 & (STRIPES as u128 - 1)).expect("below the number of stripes");
        lock(&self.stripes[index])
    }
}

fn lock(stripe: &Mutex<Stripe>) -> MutexGuard<'_, Stripe> {
    stripe.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rules::room::Amount;
    use crate::supervise::supervision::fixture::idle_type;

    /// A batch that had looked an address up before and after its mailbox left memory locked one for the other.
    #[test]
    fn a_mailbox_that_anybody_refers_to_does_not_leave() {
        let actor_type = Arc::new(idle_type());
        let directory = Directory::new(NonZeroU16::MIN, Vec::new());
        let address = Address::parse("idle/x").unwrap();
        let referred = directory.mailbox(&address, &actor_type);
        directory.retire(directory.mailbox(&address, &actor_type), Position(0));
        directory.for_each(|mailbox| directory.retire(mailbox, Position(0)));
        assert!(Arc::ptr_eq(&referred, &directory.mailbox(&address, &actor_type)), "it is the same for all");
        directory.retire(referred, Position(0));
        assert_eq!(directory.len(), 0, "nobody refers to it any more");
    }

    #[test]
    fn a_mailbox_with_something_in_it_does_not_leave() {
        let actor_type = Arc::new(idle_type());
        let directory = Directory::new(NonZeroU16::MIN, Vec::new());
        let address = Address::parse("idle/x").unwrap();
        directory.mailbox(&address, &actor_type).lock().submitted(Position(7));
        directory.for_each(|mailbox| directory.retire(mailbox, Position(6)));
        assert_eq!(directory.len(), 1, "its last turn is not durable");
        directory.for_each(|mailbox| directory.retire(mailbox, Position(7)));
        assert_eq!(directory.len(), 0);
    }

    #[test]
    fn a_lone_entry_takes_no_more_than_what_refers_to_a_mailbox() {
        assert_eq!(size_of::<(MailboxId, Known)>(), size_of::<(MailboxId, Arc<Mailbox>)>());
    }

    #[test]
    fn a_mailbox_is_made_of_an_entry_with_the_message_that_waits() {
        let actor_type = Arc::new(idle_type());
        let directory = Directory::new(NonZeroU16::MIN, vec![Arc::clone(&actor_type)]);
        let address = Address::parse("idle/x").unwrap();
        let lone = directory.entry_of(Position(7), 20, &actor_type);
        assert!(matches!(directory.place(address.mailbox(), lone), Place::Alone));
        assert!(matches!(directory.place(address.mailbox(), lone), Place::Unmade), "another message came to it");
        assert_eq!((directory.len(), directory.lone(|_| true)), (1, vec![(Partition(0), Position(7))]));
        assert!(directory.lone(|_| false).is_empty());
        assert!(directory.find(address.mailbox()).is_none(), "nobody knows what it is called");
        directory.for_each(|_| unreachable!("it is not made"));
        let mailbox = directory.find_at(&address).unwrap();
        assert_eq!(mailbox.lock().amount(), Amount { messages: 1, bytes: 20 });
        assert!(Arc::ptr_eq(&mailbox, &directory.mailbox(&address, &actor_type)), "it is the same for all");
        assert!(matches!(directory.place(address.mailbox(), lone), Place::Made(_)));
        assert!(directory.lone(|_| true).is_empty());
        assert!(directory.find_at(&Address::parse("idle/y").unwrap()).is_none());
    }

    #[test]
    fn a_large_message_is_no_entry() {
        let actor_type = Arc::new(idle_type());
        let directory = Directory::new(NonZeroU16::MIN, vec![Arc::clone(&actor_type)]);
        assert!(directory.entry_of(Position(7), 8 << 10, &actor_type).is_some());
        assert!(directory.entry_of(Position(7), (8 << 10) + 1, &actor_type).is_none());
        assert!(directory.entry_of(Position(7), 1 << 20, &actor_type).is_none());
        assert!(directory.entry_of(Position(7), 20, &Arc::new(idle_type())).is_none(), "nobody has told of that type");
    }
}
