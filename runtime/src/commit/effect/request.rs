//! What is kept of the outcome of a message, in the commit that acknowledges it: the reply to the ask of a turn, and
//! the answer to whatever was sent under an idempotency key.

use bytes::Bytes;
use everpost_persistence::{Key, Stage};

use super::Phases;
use crate::commit::size::Size;
use crate::commit::transaction::{Refused, Step};
use crate::mailbox::Mailbox;
use crate::message::MessageId;
use crate::message::envelope::Header;
use crate::message::request::RequestKey;
use crate::record::answered::{Answered as Answer, Content};
use crate::shard::{KeptReply, Release, Shard};
use crate::tables;

/// What came of a message is kept.
pub(crate) struct Answered {
    ask: Option<Ask>,
    /// In a box, since most messages have no idempotency key.
    request: Option<Box<(RequestKey, Answer)>>,
}

/// It was the ask of a turn.
struct Ask {
    id: MessageId,
    /// The reply, and where it is kept; none where nobody wants it any more.
    reply: Option<(Key, Bytes)>,
    /// What says here that it was asked goes with it.
    note: Option<Key>,
}

impl Answered {
    /// What is to be kept of a message that was handled with this reply; `content` of one that was sent under an
    /// idempotency key. None when nothing is, which is usual.
    pub(crate) fn of(
        shard: &Shard,
        mailbox: &Mailbox,
        header: &Header<'_>,
        content: Option<Content>,
        reply: Option<&Bytes>,
    ) -> Option<Self> {
        let ask = header.keep_reply.then(|| {
            let id = header.id();
            let key = tables::reply(mailbox.partition, mailbox.id(), id.0);
            Ask { id, reply: reply.map(|reply| (key, reply.clone())), note: None }
        });
        let request = header.extension.request().zip(content).map(|(request, content)| {
            let key = RequestKey { partition: mailbox.partition, mailbox: mailbox.id(), request };
            let expires = shard.clock.steady().plus(shard.config.idempotency_retention);
            Box::new((key, Answer { content, expires, reply: reply.cloned().unwrap_or_default() }))
        });
        (ask.is_some() || request.is_some()).then_some(Self { ask, request })
    }
}

impl<'a> Phases<'a> for Answered {
    /// The bytes of the reply count with the message that is done, whether or not they are kept.
    fn size(&self, size: &mut Size) {
        if let Some(Ask { reply: Some((_, reply)), .. }) = &self.ask {
            size.leave(reply.len());
        }
        if let Some(request) = &self.request {
            let (_, Answer { content, reply, .. }) = &**request;
            size.leave(reply.len() + content.bytes());
            size.hold(content.bytes());
        }
    }

    fn take(&mut self, step: &mut Step<'_, 'a>) {
        if let Some(request) = &self.request {
            step.requests.supersede(&request.0);
        }
        if let Some(ask) = &mut self.ask
            && let Some(KeptReply::Abandoned(note)) = step.replies.get(ask.id)
        {
            *ask = Ask { id: ask.id, reply: None, note };
        }
    }

    fn stage(&mut self, stage: &mut Stage<'_>) {
        if let Some(Ask { reply, note, .. }) = &self.ask {
            if let Some((key, reply)) = reply {
                stage.put(*key, reply.clone());
            }
            if let Some(note) = note {
                stage.delete(*note);
            }
        }
        if let Some(request) = &self.request {
            let (key, answer) = &**request;
            stage.put(Key::from(*key), answer.encode());
        }
    }

    fn apply(self, step: &mut Step<'_, 'a>) {
        if let Some(Ask { id, .. }) = self.ask {
            step.replies.submitted(id, step.ticket);
            step.release_committed(Release::ReplyStored(id.0));
        }
        if let Some(request) = self.request {
            let (key, answer) = *request;
            step.requests.answered(key, answer);
            step.release_committed(Release::RequestStored(key));
        }
    }
}

/// Idempotency keys are forgotten whose time is over. Nothing happens if there is none.
pub(crate) struct RequestsExpired {
    count_max: usize,
    expired: Vec<RequestKey>,
}

impl RequestsExpired {
    /// So many at most.
    pub(crate) fn new(count_max: usize) -> Self {
        Self { count_max, expired: Vec::new() }
    }
}

impl<'a> Phases<'a> for RequestsExpired {
    fn check(&mut self, step: &mut Step<'_, 'a>) -> Result<(), Refused> {
        self.expired = step.requests.expired(step.shard.clock.steady(), self.count_max);
        if self.expired.is_empty() { Err(Refused::Gone) } else { Ok(()) }
    }

    fn stage(&mut self, stage: &mut Stage<'_>) {
        self.expired.iter().for_each(|key| stage.delete(Key::from(*key)));
    }

    fn apply(self, step: &mut Step<'_, 'a>) {
        step.removed += self.expired.len();
        step.requests.forget(&self.expired);
    }
}
