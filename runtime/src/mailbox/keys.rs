//! The idempotency keys of the messages of one mailbox. Made when there is one and dropped when there is none, so that
//! a mailbox without keys pays for a pointer.

use std::collections::HashMap;

use everpost_persistence::Position;

use crate::message::envelope::request_of;
use crate::message::request::RequestId;

/// What is known of each key under which a message is here.
#[derive(Debug, Default)]
pub(super) struct Keys {
    by_request: HashMap<RequestId, Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// How many messages are under this key.
    messages: usize,
    /// Those of them that are aside until a message under it is held no more.
    aside: Vec<Position>,
}

/// Where the keys of a mailbox are, if it has any.
type Place = Option<Box<Keys>>;

impl Keys {
    /// Whether a message is under this key.
    pub(super) fn contains(&self, request: RequestId) -> bool {
        self.by_request.contains_key(&request)
    }

    /// A message was enqueued.
    pub(super) fn add(place: &mut Place, envelope: &[u8]) {
        if let Some(request) = request_of(envelope) {
            place.get_or_insert_default().by_request.entry(request).or_default().messages += 1;
        }
    }

    /// A message under this key is aside until another one is held no more.
    pub(super) fn wait(place: &mut Place, request: RequestId, position: Position) {
        place.get_or_insert_default().by_request.entry(request).or_default().aside.push(position);
    }

    /// A message has left. Returns those under its key that are aside and may be looked at.
    #[must_use]
    pub(super) fn remove(place: &mut Place, envelope: &[u8]) -> Vec<Position> {
        match place.as_ref().and_then(|_| request_of(envelope)) {
            Some(request) => Self::remove_request(place, request),
            None => Vec::new(),
        }
    }

    /// The same of a message under this key.
    #[must_use]
    pub(super) fn remove_request(place: &mut Place, request: RequestId) -> Vec<Position> {
        let Some(keys) = place else { return Vec::new() };
        let Some(waiting) = keys.by_request.get_mut(&request) else { return Vec::new() };
        waiting.messages = waiting.messages.saturating_sub(1);
        let (is_gone, aside) = (waiting.messages == 0, std::mem::take(&mut waiting.aside));
        if is_gone {
            keys.by_request.remove(&request);
        }
        if keys.by_request.is_empty() {
            *place = None;
        }
        aside
    }

    /// A message is held no more. Returns those under its key that are aside and may be looked at.
    #[must_use]
    pub(super) fn release(place: &mut Place, envelope: &[u8]) -> Vec<Position> {
        let Some(keys) = place else { return Vec::new() };
        let waiting = request_of(envelope).and_then(|request| keys.by_request.get_mut(&request));
        waiting.map_or_else(Vec::new, |waiting| std::mem::take(&mut waiting.aside))
    }
}
