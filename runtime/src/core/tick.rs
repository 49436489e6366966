//! The step in which timers fire: their messages, and what becomes of the timers, are submitted together.

use everpost_persistence::{Permit, Position};

use super::Core;
use super::commit::Destination;
use super::locked::{Locked, LockedPeers};
use crate::actor::turn::{Recipient, StagedSend};
use crate::cluster::{OutboxFull, Owner};
use crate::message::address::Address;
use crate::message::envelope::Header;
use crate::message::refusal::Refusal;
use crate::timer::Firing;
use crate::unhandled::Unhandled;

impl Core {
    /// Where a message of a timer goes, if something handles it there; what lives on another node is judged there.
    pub(crate) fn recipient(&self, address: &Address, header: &Header<'_>) -> Result<Recipient, Unhandled> {
        match self.owner(address) {
            Owner::Here => {
                let (message, version) = (header.message, header.message_version);
                let actor_type = address.actor_type();
                let kind = self.kinds.get(actor_type);
                let kind = kind.ok_or_else(|| Unhandled::no_actor(actor_type, message, version))?;
                kind.reader(message, version)?;
                Ok(Recipient::Here(kind.clone()))
            }
            Owner::Away(peer, lane) => Ok(Recipient::Away(peer, lane)),
        }
    }

    /// Whether there is room for the tick of a timer that may send any number of them: in the node, and in the mailbox or outbox
    /// that it goes to.
    pub(crate) fn check_room(&self, send: &StagedSend) -> Result<(), Refusal> {
        match &send.to {
            Recipient::Here(_) if self.is_full() => {
                Err(Refusal::NodeFull { messages: self.waiting(), bytes: self.load.bytes() })
            }
            Recipient::Here(_) => match self.directory.find(send.address.mailbox()) {
                Some(mailbox) if self.is_mailbox_full(&mailbox.lock()) => Err(Refusal::MailboxFull),
                _ => Ok(()),
            },
            Recipient::Away(peer, _) => {
                let outgoing = peer.outgoing();
                match outgoing.is_full_for(send.address.mailbox(), None) {
                    None => Ok(()),
                    Some(OutboxFull::Mailbox(_)) => Err(Refusal::MailboxFull),
                    Some(OutboxFull::Outbox) => {
                        let (owed, node) = (outgoing.owed(), peer.name.to_string());
                        Err(Refusal::OutboxFull { node, messages: owed.messages, bytes: owed.bytes })
                    }
                }
            }
        }
    }

    /// Submits what these timers do, except those that were cancelled or set anew meanwhile, and returns the ticket, if any was
    /// left. What room there is was looked at before; these may go beyond it by what one step sends.
    pub(crate) fn submit_ticks(&self, permit: Permit<'_>, firings: &[Firing]) -> Option<Position> {
        let sends = firings.iter().flat_map(|firing| &firing.sends);
        let destinations: Vec<Destination> = sends.map(|send| self.destination(send)).collect();
        let locked = Locked::all(destinations.iter().filter_map(Destination::mailbox));
        self.submit_ticks_locked(permit, firings, &destinations, locked)
    }

    fn submit_ticks_locked(
        &self,
        permit: Permit<'_>,
        firings: &[Firing],
        mut destinations: &[Destination],
        mut locked: Locked<'_>,
    ) -> Option<Position> {
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
            return None;
        }
        let sends = || fired.iter().flat_map(|(firing, own)| firing.sends.iter().zip(*own));
        self.add_waiting(sends().filter_map(|(_, destination)| destination.mailbox()).count());
        let (ticket, positions) = self.store.submit(permit, |stage| {
            fired.iter().for_each(|(firing, _)| firing.stage(stage));
            sends().map(|(send, destination)| destination.stage(stage, send)).collect::<Vec<_>>()
        });
        timers.submitted(fired.iter().map(|(firing, _)| *firing), ticket);
        for ((send, destination), position) in sends().zip(positions) {
            self.deliver(&mut locked, &mut peers, destination, position, send.handling, send.envelope.clone());
        }
        Some(ticket)
    }
}
