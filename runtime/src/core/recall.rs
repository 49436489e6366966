//! Whether a message that was sent under an idempotency key has been answered before.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everpost_persistence::{Class, Key, ReadError};
use ractor::ActorProcessingErr;

use super::Core;
use crate::address::Address;
use crate::clock::Steady;
use crate::envelope::Header;
use crate::mailbox::{Inner, Mailbox};
use crate::request::{Answered, Known, RequestId, RequestKey, digest};

/// How many requests are forgotten in one commit.
const EXPIRE_AT_A_TIME: usize = 1024;
/// How long a message waits that cannot be decided on yet.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// What is known of the request of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Recalled {
    /// Nothing: it is to be handled.
    New,
    /// It was answered, with this reply.
    Same(Bytes),
    /// Another message was answered under its key.
    Other,
    /// It cannot be decided on before then: someone holds a message of the same request, or too many are kept.
    Later(Steady),
}

impl Core {
    /// Looks whether the request of this message was answered.
    pub(crate) async fn recall(
        &self,
        mailbox: &Arc<Mailbox>,
        request: RequestId,
        header: &Header<'_>,
        payload: &[u8],
    ) -> Result<Recalled, ActorProcessingErr> {
        let now = self.clock.steady();
        if is_held(&mailbox.lock(), request) {
            return Ok(Recalled::Later(now.plus(LOOK_AGAIN_AFTER)));
        }
        let key = RequestKey { partition: mailbox.partition, mailbox: mailbox.id(), request };
        if self.requests.look_up(&key, now) == Known::Full {
            tracing::error!(node = %self.name, actor = %mailbox.address, event = "too many idempotency keys", "messages with new ones wait; raise `idempotency_keys_max`, or shorten `idempotency_retention`");
            return Ok(Recalled::Later(now.plus(LOOK_AGAIN_AFTER)));
        }
        Ok(match self.answered(&key, now).await? {
            None => Recalled::New,
            Some(Answered { digest: known, reply, .. }) if known == digest(header, payload) => Recalled::Same(reply),
            Some(_) => Recalled::Other,
        })
    }

    /// Whether another message than this one was answered under its key, as far as that is known before it is sent.
    pub(crate) async fn contradicts(&self, address: &Address, envelope: &[u8]) -> Result<bool, ActorProcessingErr> {
        let Ok((header, payload)) = Header::decode(envelope) else { return Ok(false) };
        let Some(request) = header.extension.request() else { return Ok(false) };
        let partition = address.partition(self.store.partitions());
        let key = RequestKey { partition, mailbox: address.mailbox(), request };
        let answered = self.answered(&key, self.clock.steady()).await?;
        Ok(answered.is_some_and(|answered| answered.digest != digest(&header, payload)))
    }

    async fn answered(&self, key: &RequestKey, now: Steady) -> Result<Option<Answered>, ActorProcessingErr> {
        Ok(match self.requests.look_up(key, now) {
            Known::No | Known::Full => None,
            Known::Answered(answered) => Some(answered),
            Known::Stored => self.read((*key).into()).await?.as_deref().and_then(Answered::decode),
        })
    }

    /// Reads the requests that are kept. Blocks.
    pub(crate) fn recover_requests(&self) -> Result<(), ReadError> {
        self.store.scan(everpost_persistence::Table::Requests, |key, record| {
            if let Key::Request { partition, mailbox, request } = *key {
                let key = RequestKey { partition, mailbox, request: RequestId(request) };
                match Answered::decode(record) {
                    Some(answered) => self.requests.recovered(key, answered.expires),
                    None => tracing::error!(node = %self.name, "the answer to a request cannot be read by this build; start the build that wrote it"),
                }
            }
            std::ops::ControlFlow::Continue(())
        })
    }

    /// Forgets requests whose time is over.
    pub(crate) async fn expire_requests(&self) {
        loop {
            let Ok(permit) = self.store.reserve(Class::Turn { grows: false }, 0).await else { return };
            let expired = self.requests.expire(self.clock.steady(), EXPIRE_AT_A_TIME, |keys| {
                self.store.submit(permit, |stage| keys.iter().for_each(|key| stage.delete(Key::from(*key))));
            });
            if expired < EXPIRE_AT_A_TIME {
                return;
            }
        }
    }
}

/// Whether someone holds a message of this request: what comes of it is not known yet.
fn is_held(inner: &Inner, request: RequestId) -> bool {
    inner
        .rules
        .all_held()
        .any(|body| Header::decode(body).is_ok_and(|(header, _)| header.extension.request() == Some(request)))
}
