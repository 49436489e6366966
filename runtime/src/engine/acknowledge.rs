//! The end of a hold that succeeded: the message leaves, and what came of it is told, in one commit.

use bytes::Bytes;
use everpost_persistence::{AdmissionError, Position};

use crate::commit::{Acknowledged, Answered, Send, Transaction};
use crate::engine::deduplicate;
use crate::engine::holding::{Held, HoldError};
use crate::message::envelope::Header;
use crate::message::expiry::Handling;
use crate::shard::Route;

/// Acknowledges a held message; `send` goes to the same mailbox in the same commit. Returns what must be durable for
/// that to count.
pub(crate) async fn acknowledge(held: &Held, send: Option<Bytes>) -> Result<Position, HoldError> {
    let Held { shard, mailbox, position, attempt, .. } = held;
    let body = mailbox.lock().rules().held(*position, *attempt).cloned().ok_or(HoldError::TakenBack)?;
    let (header, payload) = Header::decode(&body).expect("its handler was given what was read of it");
    // Reads the message once more, where it has an idempotency key.
    let content = deduplicate::content(mailbox, &header, payload);
    let route = Route::Local(mailbox.clone());
    // Every reply of a message that may be held is `()`, which takes no bytes.
    let answered = Answered::of(shard, mailbox, &header, content, Some(&Bytes::new()));
    let acknowledged = Acknowledged { mailbox, position: *position, attempt: *attempt, header: &header, body: &body };
    let mut transaction = Transaction::node(shard).with(acknowledged);
    if let Some(answered) = answered {
        transaction.add(answered);
    }
    if let Some(envelope) = send {
        transaction.add(Send::new(&route, Handling::default(), envelope));
    }
    let permit = transaction.reserve().await.map_err(|error| match error {
        AdmissionError::TooLarge { .. } => HoldError::NotSent(error.into()),
        _ => shard.gate.ended().into(),
    })?;
    // It may have been taken back meanwhile.
    transaction.commit(permit).map(|committed| committed.ticket).map_err(|_| HoldError::TakenBack)
}
