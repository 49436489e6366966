//! What is kept of the outcome of a message, in the commit that acknowledges it: the reply to the question of a turn, and
//! the answer to whatever was sent under an idempotency key.

use bytes::Bytes;
use everpost_persistence::{Key, Position, Stage};

use super::{Core, Effect};
use crate::api::ask::{KeptReply, RepliesInStep};
use crate::mailbox::Mailbox;
use crate::message::MessageId;
use crate::message::envelope::Header;
use crate::request::{Answered, Content, RequestKey};
use crate::tables;

/// What a submission keeps of an outcome. Usually nothing, so that what it is lies in boxes.
#[derive(Debug, Default)]
pub(super) struct Settled {
    question: Option<Box<Question>>,
    request: Option<Box<(RequestKey, Answered)>>,
}

/// The outcome of a question of a turn.
#[derive(Debug)]
struct Question {
    id: MessageId,
    /// The reply, and where it is kept.
    reply: Option<(Key, Bytes)>,
    /// Nobody wants the reply, and what says here what was asked goes.
    note: Option<Key>,
}

impl Settled {
    /// The bytes that it adds to the submission.
    pub(super) fn stage(&self, stage: &mut Stage<'_>) {
        if let Some(question) = &self.question {
            let Question { reply, note, .. } = &**question;
            if let Some((key, reply)) = reply {
                stage.put(*key, reply.clone());
            }
            if let Some(note) = note {
                stage.delete(*note);
            }
        }
        if let Some(request) = &self.request {
            let (key, answered) = &**request;
            stage.put(Key::from(*key), answered.encode());
        }
    }
}

impl Core {
    /// What is to be kept of a message that was sent under an idempotency key, if it was. Runs the type's own code, so no lock is
    /// held.
    pub(crate) fn content(&self, mailbox: &Mailbox, header: &Header<'_>, payload: &[u8]) -> Option<Content> {
        header.extension.request().map(|_| Content::of(mailbox.kind.message(header.message), header, payload))
    }

    /// What is to be kept of the outcome of a message that was handled with this reply; `content` of one that was sent under an
    /// idempotency key.
    pub(super) fn settles(
        &self,
        replies: &mut RepliesInStep<'_>,
        mailbox: &Mailbox,
        header: &Header<'_>,
        content: Option<Content>,
        reply: Option<&Bytes>,
    ) -> Settled {
        let question = header.keep_reply.then(|| {
            let id = header.id();
            if let Some(KeptReply::Abandoned(note)) = replies.get(id) {
                return Box::new(Question { id, reply: None, note });
            }
            let key = tables::reply(mailbox.partition, mailbox.id(), id.0);
            Box::new(Question { id, reply: reply.map(|reply| (key, reply.clone())), note: None })
        });
        let request = header.extension.request().zip(content).map(|(request, content)| {
            let key = RequestKey { partition: mailbox.partition, mailbox: mailbox.id(), request };
            let expires = self.clock.steady().plus(self.config.idempotency_retention);
            let reply = reply.cloned().unwrap_or_default();
            self.requests.supersede(&key);
            Box::new((key, Answered { content, expires, reply }))
        });
        Settled { question, request }
    }

    /// The submission was made: from here on the outcome is known.
    pub(super) fn settled(&self, mut replies: RepliesInStep<'_>, settled: Settled, ticket: Position) {
        let question = settled.question.map(|question| question.id);
        if let Some(id) = question {
            replies.submitted(id, ticket);
        }
        // What is let out now may look here.
        drop(replies);
        if let Some(id) = question {
            self.release_after(ticket, Effect::ReplyStored(id.0));
        }
        if let Some(request) = settled.request {
            let (key, answered) = *request;
            self.requests.answered(key, answered);
            self.release_after(ticket, Effect::RequestStored(key));
        }
    }
}
