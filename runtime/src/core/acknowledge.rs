//! The end of a hold that succeeded: the message leaves, and what came of it is told, in one commit.

use bytes::Bytes;
use everpost_persistence::{AdmissionError, Position};

use super::{Core, Effect};
use crate::actor::hold::{Held, HoldError};
use crate::expiry::Handling;
use crate::growth;
use crate::mailbox::waiter::Outcome;
use crate::message::envelope::Header;
use crate::request::Content;
use crate::tables;

/// What became of an acknowledgement.
pub(crate) enum Acknowledged {
    /// It counts when this is durable.
    Submitted(Position),
    /// The message was taken back before.
    TakenBack,
}

impl Core {
    /// What is to be kept of a held message that was sent under an idempotency key.
    fn content_of_held(&self, held: &Held) -> Option<Content> {
        let body = held.mailbox.lock().rules.held(held.position, held.attempt).cloned()?;
        let (header, payload) = Header::decode(&body).ok()?;
        self.content(&held.mailbox, &header, payload)
    }

    /// Acknowledges a held message; `send` goes to the same mailbox in the same commit.
    pub(crate) async fn acknowledge(&self, held: &Held, send: Option<Bytes>) -> Result<Acknowledged, HoldError> {
        let Held { mailbox, position, attempt, .. } = held;
        let content = if held.is_keyed() { self.content_of_held(held) } else { None };
        let puts = [send.as_ref().map(Bytes::len), content.as_ref().map(Content::bytes)];
        let removed = mailbox.lock().rules.held(*position, *attempt).map(Bytes::len);
        let class = growth::turn(puts.into_iter().flatten(), removed);
        let permit = self.store.reserve(class, puts.into_iter().flatten().sum()).await;
        let permit = permit.map_err(|error| match error {
            AdmissionError::TooLarge { .. } => HoldError::NotSent(error.into()),
            _ => self.gate.ended().into(),
        })?;
        let mut inner = mailbox.lock();
        let Some(body) = inner.rules.held(*position, *attempt).cloned() else {
            return Ok(Acknowledged::TakenBack);
        };
        self.add_waiting(usize::from(send.is_some()));
        self.count_handled();
        self.discard(&mut inner, mailbox, *position, body.len());
        // Every reply of a message that may be held is `()`, which takes no bytes.
        let reply = Bytes::new();
        let mut replies = self.kept_replies.in_step();
        let settled = Header::decode(&body).map(|(header, _)| {
            if let Some(expires) = header.expires() {
                self.expiries.remove(expires.at, *position);
            }
            self.settles(&mut replies, mailbox, &header, content, Some(&reply))
        });
        let settled = settled.unwrap_or_default();
        let (ticket, sent) = self.store.submit(permit, |stage| {
            stage.delete(mailbox.inbox_key(*position));
            stage.delete(mailbox.attempts_key(*position));
            settled.stage(stage);
            send.clone().map(|envelope| stage.enqueue(&tables::INBOX, mailbox.partition, envelope))
        });
        inner.last_submitted = ticket;
        inner.restarts = 0;
        self.settled(replies, settled, ticket);
        if let Some(waiter) = inner.asks.take(*position) {
            self.release_after(ticket, Effect::Tell(waiter, Outcome::Replied(reply)));
        }
        if let Some((position, envelope)) = sent.zip(send) {
            self.place(&mut inner, mailbox, position, Handling::default(), envelope);
        }
        inner.remove_key(&body);
        // There is room for another hold.
        inner.ring(mailbox);
        Ok(Acknowledged::Submitted(ticket))
    }
}
