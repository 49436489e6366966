//! Says which code of the user's keeps a thread of the runtime for itself: while it computes or blocks without an
//! await, nothing else runs there. A plain thread looks, since handlers can starve every task.

mod looks;

use std::collections::HashMap;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use everpost_persistence::{Mark, Position};
use tokio::time::Instant;

use self::looks::{Looks, News};
use crate::base::caught::caught;
use crate::mailbox::Mailbox;
use crate::message::address::Address;
use crate::message::envelope::Header;
use crate::shard::Shard;
use crate::shard::rules::restart::Failures;
use crate::shard::services::WATCHDOG;

/// How often threads are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The thread ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    _ends: SyncSender<()>,
}

impl Watchdog {
    /// Starts to watch a node.
    pub(crate) fn start(shard: &Arc<Shard>) -> io::Result<Self> {
        let (ends, ended) = sync_channel(0);
        let shard = Arc::downgrade(shard);
        thread::Builder::new().name("everpost-watchdog".to_owned()).spawn(move || keep_watching(&shard, &ended))?;
        Ok(Self { _ends: ends })
    }
}

/// As other services, on a thread.
fn keep_watching(shard: &Weak<Shard>, ended: &Receiver<()>) {
    let mut failures = Failures::default();
    while let Err(panic) = caught(|| watch(shard, ended)) {
        let Some(shard) = shard.upgrade() else { return };
        let Some(after) = shard.service_failed(&WATCHDOG, &mut failures, &panic) else { return };
        drop(shard);
        if ended.recv_timeout(after) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

fn watch(shard: &Weak<Shard>, ended: &Receiver<()>) {
    let (mut looks, mut told) = (Looks::default(), HashMap::new());
    while ended.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        let Some(shard) = shard.upgrade() else { return };
        shard.runs_on(WATCHDOG.name);
        for news in looks.look(Instant::now(), &shard.marks.now()) {
            tell(&shard, news, &mut told);
        }
    }
}

fn tell(shard: &Shard, news: News, told: &mut HashMap<usize, Work>) {
    let node = &shard.name;
    match news {
        News::Blocks { slot, mark, lasts, times } => {
            let Some(work) = find(shard, mark) else { return };
            let Work { actor, what, kind, message_id } = &work;
            tracing::warn!(
                %node, %actor, message_id, kind, what, ?lasts, times, event = "handler blocks",
                "it keeps a thread of the runtime for itself, on which other actors would run: let it await, or use \
                 `spawn_blocking` for what computes or blocks"
            );
            told.insert(slot, work);
        }
        News::Over { slot, lasts } => {
            let Some(Work { actor, what, kind, message_id }) = told.remove(&slot) else { return };
            tracing::info!(%node, %actor, message_id, kind, what, ?lasts, event = "handler blocks", "it is over");
        }
    }
}

/// What a thread is at.
struct Work {
    actor: Address,
    what: &'static str,
    /// The type of the message, and which it is, where there is one.
    kind: Option<String>,
    message_id: Option<String>,
}

/// Whose work that is. None when it is over meanwhile.
fn find(shard: &Shard, mark: Mark) -> Option<Work> {
    match mark {
        Mark::Record(position) | Mark::MailboxOf(position) => in_flight(shard, position),
        Mark::Mailbox(mailbox) => shard.directory.find(mailbox).map(|mailbox| Work::of(&mailbox, "its state")),
        Mark::Query(mailbox) => shard.directory.find(mailbox).map(|mailbox| Work::of(&mailbox, "a query")),
    }
}

/// Nobody has noted the mailbox of a message: all are asked, which is rare.
fn in_flight(shard: &Shard, position: Position) -> Option<Work> {
    let mut found = None;
    shard.directory.for_each(|mailbox| {
        if found.is_some() {
            return;
        }
        let inner = mailbox.lock();
        if inner.is_with_handler(position) {
            let body = inner.rules().taken(position).cloned();
            drop(inner);
            let header = body.as_deref().and_then(|body| Header::decode(body).ok()).map(|(header, _)| header);
            found = Some(Work {
                kind: header.as_ref().map(|header| header.message.to_owned()),
                message_id: header.as_ref().map(|header| header.id().to_string()),
                ..Work::of(&mailbox, "a message")
            });
        }
    });
    found
}

impl Work {
    fn of(mailbox: &Mailbox, what: &'static str) -> Self {
        Self { actor: mailbox.address.clone(), what, kind: None, message_id: None }
    }
}
