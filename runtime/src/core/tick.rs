//! The step in which timers fire: their messages, and what becomes of the timers, are submitted together.

use everpost_persistence::Permit;

use super::Core;
use super::commit::Destination;
use super::locked::{Locked, LockedPeers};
use crate::address::Address;
use crate::cluster::Owner;
use crate::timer::Firing;
use crate::turn::Recipient;

impl Core {
    /// Where a message of a timer goes; none when its actor type is not part of this node.
    pub(crate) fn recipient(&self, address: &Address) -> Option<Recipient> {
        match self.owner(address) {
            Owner::Here => self.kinds.get(address.actor_type()).cloned().map(Recipient::Here),
            Owner::Away(peer, lane) => Some(Recipient::Away(peer, lane)),
        }
    }

    /// Submits what these timers do, except those that were cancelled meanwhile. No bound of a mailbox or of an outbox holds
    /// them back, as with turns.
    pub(crate) fn submit_ticks(&self, permit: Permit<'_>, firings: &[Firing]) {
        loop {
            // Looked up anew after a mailbox has left the directory under our hands.
            let sends = firings.iter().flat_map(|firing| &firing.sends);
            let destinations: Vec<Destination> = sends.map(|send| self.destination(send)).collect();
            if let Some(locked) = Locked::all(destinations.iter().filter_map(Destination::mailbox)) {
                return self.submit_ticks_locked(permit, firings, &destinations, locked);
            }
        }
    }

    fn submit_ticks_locked(
        &self,
        permit: Permit<'_>,
        firings: &[Firing],
        mut destinations: &[Destination],
        mut locked: Locked<'_>,
    ) {
        let mut peers = LockedPeers::all(destinations.iter().filter_map(Destination::peer));
        let timers = self.timers.begin_firing();
        let mut fired: Vec<(&Firing, &[Destination])> = Vec::with_capacity(firings.len());
        for firing in firings {
            let (own, others) = destinations.split_at(firing.sends.len());
            destinations = others;
            if timers.are_unchanged(firing) {
                fired.push((firing, own));
            }
        }
        if fired.is_empty() {
            return;
        }
        let sends = || fired.iter().flat_map(|(firing, own)| firing.sends.iter().zip(*own));
        self.add_waiting(sends().filter_map(|(_, destination)| destination.mailbox()).count());
        let (ticket, positions) = self.store.submit(permit, |stage| {
            fired.iter().for_each(|(firing, _)| firing.stage(stage));
            sends().map(|(send, destination)| destination.stage(stage, send)).collect::<Vec<_>>()
        });
        timers.submitted(fired.iter().map(|(firing, _)| *firing), ticket);
        for ((send, destination), position) in sends().zip(positions) {
            self.deliver(&mut locked, &mut peers, destination, position, send.priority, send.envelope.clone());
        }
    }
}
