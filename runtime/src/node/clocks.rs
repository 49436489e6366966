//! The node's clock over its life: it goes on from what the last run has left, watches the machine's wall clock, which
//! anybody may set, and leaves a note for the next run.

mod told;

use crate::commit::{Record, Transaction};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use everpost_persistence::{Key, Position, ReadError, Store};
use tokio::time::Instant;

use self::told::{Line, Told};
use crate::base::alarm::Said;
use crate::base::clock::{Clock, News, Note, ResumingClock, SETTLE};
use crate::shard::Shard;
use crate::tables;

/// Where the store keeps the note.
const TIME: Key = tables::note(1);
/// How often the wall clock is looked at. A step is noticed within this; less often, and what is shown of the clock
/// lags behind.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After how many looks the note is written anew, if anything was stored meanwhile. Only a start after another boot of
/// the machine depends on its age: if the wall clock says too little then, the timeline goes on from the note.
const NOTE_EVERY: u32 = 60;

/// What the last run has left, if this build can read it. Blocks.
pub(super) fn last_note(store: &Store) -> Result<Option<Note>, ReadError> {
    let record = store.get(&TIME)?;
    let note = record.as_deref().and_then(Note::decode);
    if record.is_some() && note.is_none() {
        tracing::warn!(
            event = "no note on time",
            "the note of the last run cannot be read by this build; waits go on by the wall clock"
        );
    }
    Ok(note)
}

/// The clock of a node that goes on from there. After a boot of the machine it waits until the wall clock has stood, if
/// that says that much time has passed. None when nobody wants the node any more.
pub(super) async fn resume(
    node: &str,
    note: Option<Note>,
    is_cut_off: &(dyn Fn() -> bool + Send + Sync),
) -> Option<Clock> {
    let mut resuming = ResumingClock::new(note);
    let mut is_told = false;
    loop {
        let said = match resuming.look() {
            Ok(clock) => return Some(clock),
            Err(said) => said,
        };
        if !std::mem::replace(&mut is_told, true) {
            tracing::warn!(
                node, ?said, believed_after = ?SETTLE, event = "the start waits for the wall clock",
                "the machine was started anew, and its wall clock says that so much time has passed since the last \
                 run: all waits would end by that, so it has to stand first"
            );
        }
        if is_cut_off() {
            return None;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Writes down what the next run is to go on from. Returns its ticket; none when there is no room for it now.
pub(super) fn note(shard: &Shard) -> Option<Position> {
    let record = Record::put(TIME, shard.clock.note().encode().into());
    let transaction = Transaction::upkeep(shard).with(record);
    let permit = transaction.try_reserve().ok()?;
    Some(transaction.commit_in_any_case(permit).ticket)
}

/// Watches for as long as the node runs.
pub(super) async fn watch(shard: Arc<Shard>) {
    let (mut noted, mut looks, mut told) = (Position(0), 0, Told::default());
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        looks += 1;
        let news = shard.clock.look();
        let is_over = matches!(news, Some(News::Believed(_)));
        if (is_over || (looks >= NOTE_EVERY && shard.store.durable() > noted))
            && let Some(ticket) = note(&shard)
        {
            (noted, looks) = (ticket, 0);
        }
        // After that: a log that panics leaves nothing out.
        if let Some(line) = told.looked(news, Instant::now()) {
            tell(&shard.name, line);
        }
    }
}

fn tell(node: &str, line: Line) {
    match line {
        Line::Set(by, Said { times, lasts }) => {
            tracing::warn!(
                node, by = %Span(by), times, ?lasts, believed_after = ?SETTLE, event = "the wall clock was set",
                "nothing happens because of it before it has stood for that long; waits do not depend on it"
            );
        }
        Line::Right(Said { lasts, .. }) => {
            tracing::warn!(
                node,
                ?lasts,
                event = "the wall clock is right again",
                "nothing happened because it was set"
            );
        }
        Line::Believed(by) => {
            tracing::warn!(
                node, by = %Span(by), event = "the wall clock is believed",
                "what is due at a wall time follows it from now on"
            );
        }
    }
}

/// A distance in microseconds, with its direction.
struct Span(i64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = Duration::from_micros(self.0.unsigned_abs());
        write!(f, "{length:?} {}", if self.0 < 0 { "back" } else { "ahead" })
    }
}
