//! The idempotency keys of the messages that wait in one mailbox. Made when there is one, so that a mailbox without keys pays for a
//! pointer.

use std::collections::HashMap;

use everpost_persistence::Position;

use super::Inner;
use crate::message::envelope::request_of;
use crate::request::RequestId;

/// What is known of each key under which a message waits.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    by_request: HashMap<RequestId, Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// How many messages are under this key.
    messages: usize,
    /// Those of them that are aside until a message under it is held no more.
    aside: Vec<Position>,
}

impl Keys {
    pub(crate) fn wait(&mut self, request: RequestId, position: Position) {
        self.by_request.entry(request).or_default().aside.push(position);
    }
}

impl Inner {
    pub(crate) fn keys_mut(&mut self) -> &mut Keys {
        self.keys.get_or_insert_with(Box::default)
    }

    /// Whether a message waits under this key.
    pub(crate) fn has_key(&self, request: RequestId) -> bool {
        self.keys.as_deref().is_some_and(|keys| keys.by_request.contains_key(&request))
    }

    /// A message was enqueued.
    pub(crate) fn add_key(&mut self, envelope: &[u8]) {
        if let Some(request) = request_of(envelope) {
            self.keys_mut().by_request.entry(request).or_default().messages += 1;
        }
    }

    /// A message has left.
    pub(crate) fn remove_key(&mut self, envelope: &[u8]) {
        if self.keys.is_some()
            && let Some(request) = request_of(envelope)
        {
            self.remove_request(request);
        }
    }

    /// A message under this key has left.
    pub(crate) fn remove_request(&mut self, request: RequestId) {
        self.release_request(request);
        let Some(keys) = self.keys.as_deref_mut() else { return };
        if let Some(waiting) = keys.by_request.get_mut(&request) {
            waiting.messages = waiting.messages.saturating_sub(1);
            if waiting.messages == 0 {
                keys.by_request.remove(&request);
            }
        }
        if keys.by_request.is_empty() {
            self.keys = None;
        }
    }

    /// A message is held no more: those under its key that are aside for that may be looked at.
    pub(crate) fn release_key(&mut self, envelope: &[u8]) {
        if self.keys.is_some()
            && let Some(request) = request_of(envelope)
        {
            self.release_request(request);
        }
    }

    fn release_request(&mut self, request: RequestId) {
        let Some(keys) = self.keys.as_deref_mut() else { return };
        let aside = keys.by_request.get_mut(&request).map(|waiting| std::mem::take(&mut waiting.aside));
        for position in aside.into_iter().flatten() {
            self.rules.release(position);
        }
    }
}
