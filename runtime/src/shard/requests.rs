//! Idempotency keys: what came of a message that was sent under one is kept for a while, so that another one under the
//! same key is answered instead of being handled.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use everpost_persistence::Position;
use tokio::time::Instant;

use crate::base::alarm::{Alarm, Said};
use crate::base::clock::Steady;
use crate::mailbox::Mailbox;
use crate::message::request::RequestKey;
use crate::record::answered::Answered;
use crate::shard::rules::lately::Lately;

/// How many bytes of answers stay in memory that were read: a message under a known key is compared with what was
/// answered when it is sent, and again when it is handled, which nearly always follows soon.
const READ_BYTES_MAX: usize = 1 << 20;

/// What is known of a request without the disk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nobody has asked this, or too long ago.
    No,
    /// Nobody has, and as many requests are kept as may be.
    Full,
    /// It was answered: that is not durable yet, or was read lately.
    Answered(Answered),
    /// It was answered: the store has it.
    Stored,
}

/// The requests that are kept, by key and by the moment from which they need not be.
#[derive(Debug)]
pub(crate) struct Requests {
    kept: Mutex<Kept>,
    keys_max: usize,
}

#[derive(Debug)]
struct Kept {
    expires: HashMap<RequestKey, Steady>,
    by_expiry: BTreeSet<(Steady, RequestKey)>,
    /// What is not durable yet, and so cannot be read.
    recent: HashMap<RequestKey, Answered>,
    /// What was read from the store, as long as nothing else is kept under its key.
    read: Lately<RequestKey, Answered>,
    /// Messages that wait aside until there is room for their requests, first come, first served.
    waiting: VecDeque<(Arc<Mailbox>, Position)>,
    alarm: Alarm,
}

impl Requests {
    pub(crate) fn new(keys_max: usize) -> Self {
        let kept = Kept {
            expires: HashMap::new(),
            by_expiry: BTreeSet::new(),
            recent: HashMap::new(),
            read: Lately::new(READ_BYTES_MAX),
            waiting: VecDeque::new(),
            alarm: Alarm::default(),
        };
        Self { kept: Mutex::new(kept), keys_max }
    }

    pub(crate) fn look_up(&self, key: &RequestKey, now: Steady) -> Known {
        let kept = self.lock();
        if let Some(answered) = kept.recent.get(key) {
            return Known::Answered(answered.clone());
        }
        match kept.expires.get(key) {
            Some(expires) if *expires > now => match kept.read.get(key) {
                Some(answered) => Known::Answered(answered.clone()),
                None => Known::Stored,
            },
            None if kept.is_full(self.keys_max) => Known::Full,
            Some(_) | None => Known::No,
        }
    }

    /// Whether a message with this key finds room: its key is kept already, or there is room for it.
    pub(crate) fn has_room_for(&self, key: &RequestKey) -> bool {
        let kept = self.lock();
        kept.recent.contains_key(key) || kept.expires.contains_key(key) || !kept.is_full(self.keys_max)
    }

    /// Lets a message wait for room, which its mailbox has set aside under its lock. False when there is room by now.
    pub(crate) fn wait_for_room(&self, mailbox: &Arc<Mailbox>, position: Position) -> bool {
        let mut kept = self.lock();
        let is_full = kept.is_full(self.keys_max);
        if is_full {
            kept.waiting.push_back((Arc::clone(mailbox), position));
        }
        is_full
    }

    /// What is to be said when messages wait for room, and how many there are.
    pub(crate) fn is_short_of_room(&self) -> Option<(Said, usize)> {
        let mut kept = self.lock();
        let waiting = kept.waiting.len();
        if waiting == 0 {
            return None;
        }
        Some((kept.alarm.raise(Instant::now())?, waiting))
    }

    /// Those that may go on, now that there is room: as many as there is room for. What is to be said when it is all.
    pub(crate) fn let_in(&self) -> (VecDeque<(Arc<Mailbox>, Position)>, Option<Said>) {
        let mut kept = self.lock();
        if kept.waiting.is_empty() {
            return (VecDeque::new(), None);
        }
        let room = self.keys_max.saturating_sub(kept.expires.len()).min(kept.waiting.len());
        let let_in = kept.waiting.drain(..room).collect();
        let now = Instant::now();
        let said = if kept.waiting.is_empty() { kept.alarm.clear(now) } else { None };
        (let_in, said)
    }

    /// Those that were let in, and have not gone on, wait again, before all others.
    pub(crate) fn wait_again(&self, mut waiting: VecDeque<(Arc<Mailbox>, Position)>) {
        if !waiting.is_empty() {
            let mut kept = self.lock();
            waiting.append(&mut kept.waiting);
            kept.waiting = waiting;
        }
    }

    /// A request that the start found in the store.
    pub(crate) fn recovered(&self, key: RequestKey, expires: Steady) {
        self.lock().keep(key, expires);
    }

    /// This was read for a key that is stored. What has been kept under the key meanwhile is newer.
    pub(crate) fn was_read(&self, key: &RequestKey, answered: &Answered) {
        let mut kept = self.lock();
        if kept.expires.get(key) == Some(&answered.expires) && !kept.recent.contains_key(key) {
            let bytes = answered.content.bytes() + answered.reply.len();
            kept.read.note(*key, answered.clone(), bytes);
        }
    }

    /// For a step that submits what it decides here.
    pub(crate) fn in_step(&self) -> RequestsInStep<'_> {
        RequestsInStep { requests: self, locked: None }
    }

    /// The store has it.
    pub(crate) fn stored(&self, key: &RequestKey) {
        self.lock().recent.remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The requests, in one step that submits a change of them: locked when they are first looked at, until it is over, so
/// that a new answer under a key comes after the deletion of the old one.
pub(crate) struct RequestsInStep<'a> {
    requests: &'a Requests,
    locked: Option<MutexGuard<'a, Kept>>,
}

impl<'a> RequestsInStep<'a> {
    pub(crate) fn unlock(&mut self) {
        self.locked = None;
    }

    /// Forgets that a request was kept before, whose record is about to be overwritten: nobody deletes it any more.
    pub(crate) fn supersede(&mut self, key: &RequestKey) {
        self.kept().forget(key);
    }

    /// A request was answered, in a submission that is not durable yet.
    pub(crate) fn answered(&mut self, key: RequestKey, answered: Answered) {
        let kept = self.kept();
        kept.keep(key, answered.expires);
        kept.recent.insert(key, answered);
    }

    /// Up to `count` of those that need not be kept any more.
    pub(crate) fn expired(&mut self, now: Steady, count: usize) -> Vec<RequestKey> {
        let expired = self.kept().by_expiry.iter().take_while(|(expires, _)| *expires <= now).take(count);
        expired.map(|(_, key)| *key).collect()
    }

    /// They were deleted.
    pub(crate) fn forget(&mut self, keys: &[RequestKey]) {
        let kept = self.kept();
        keys.iter().for_each(|key| kept.forget(key));
    }

    fn kept(&mut self) -> &mut Kept {
        let requests: &'a Requests = self.requests;
        self.locked.get_or_insert_with(|| requests.lock())
    }
}

impl Kept {
    fn is_full(&self, keys_max: usize) -> bool {
        self.expires.len() >= keys_max
    }

    fn keep(&mut self, key: RequestKey, expires: Steady) {
        self.forget(&key);
        self.expires.insert(key, expires);
        self.by_expiry.insert((expires, key));
    }

    fn forget(&mut self, key: &RequestKey) {
        self.read.forget(key);
        if let Some(expires) = self.expires.remove(key) {
            self.by_expiry.remove(&(expires, *key));
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use everpost_persistence::{MailboxId, Partition};

    use super::*;
    use crate::message::request::RequestId;
    use crate::record::answered::Content;

    fn key(request: u128) -> RequestKey {
        RequestKey { partition: Partition(1), mailbox: MailboxId(2), request: RequestId(request) }
    }

    fn answered(expires: u64) -> Answered {
        Answered { content: Content::Digest([7; 16]), expires: Steady(expires), reply: Bytes::from_static(b"yes") }
    }

    #[test]
    fn a_request_is_known_until_it_expires_and_kept_until_it_was_taken_out() {
        let requests = Requests::new(2);
        requests.in_step().answered(key(1), answered(10));
        assert_eq!(requests.look_up(&key(1), Steady(5)), Known::Answered(answered(10)));
        requests.stored(&key(1));
        assert_eq!(requests.look_up(&key(1), Steady(9)), Known::Stored);
        assert_eq!(requests.look_up(&key(1), Steady(10)), Known::No);
        requests.recovered(key(2), Steady(20));
        assert_eq!(requests.look_up(&key(3), Steady(5)), Known::Full);
        let mut step = requests.in_step();
        let expired = step.expired(Steady(15), 9);
        assert_eq!(expired, [key(1)]);
        step.forget(&expired);
        drop(step);
        assert_eq!(requests.look_up(&key(3), Steady(5)), Known::No);
    }

    #[test]
    fn what_was_read_is_known_as_long_as_it_is_what_is_kept() {
        let requests = Requests::new(9);
        requests.recovered(key(1), Steady(10));
        assert_eq!(requests.look_up(&key(1), Steady(5)), Known::Stored);
        requests.was_read(&key(1), &answered(10));
        assert_eq!(requests.look_up(&key(1), Steady(5)), Known::Answered(answered(10)));
        assert_eq!(requests.look_up(&key(1), Steady(10)), Known::No, "it has expired all the same");
        requests.in_step().forget(&[key(1)]);
        assert_eq!(requests.look_up(&key(1), Steady(5)), Known::No);
        requests.was_read(&key(1), &answered(10));
        assert_eq!(requests.look_up(&key(1), Steady(5)), Known::No, "it was read before it was deleted");

        requests.in_step().answered(key(1), answered(30));
        requests.was_read(&key(1), &answered(10));
        requests.stored(&key(1));
        assert_eq!(requests.look_up(&key(1), Steady(5)), Known::Stored, "what was read was of before");
    }

    #[test]
    fn an_answer_that_was_given_anew_is_not_deleted_with_the_old_one() {
        let requests = Requests::new(9);
        requests.recovered(key(1), Steady(10));
        requests.in_step().supersede(&key(1));
        requests.in_step().answered(key(1), answered(30));
        assert_eq!(requests.in_step().expired(Steady(20), 9), [], "nothing has expired");
    }
}
