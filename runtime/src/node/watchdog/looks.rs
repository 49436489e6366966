//! Which threads are at the same piece of work for how long. Pure: the time and what is seen are handed in.

use std::collections::HashMap;
use std::time::Duration;

use everpost_persistence::{InFlight, Mark};
use tokio::time::Instant;

use crate::base::alarm::{Alarm, Said};

/// For how long a piece of work may keep its thread. Far more than a poll should take, and than a busy machine makes of
/// one.
const BLOCKS_AFTER: Duration = Duration::from_secs(2);

/// What was seen so far, by slot.
#[derive(Debug, Default)]
pub(super) struct Looks(HashMap<usize, Watched>);

#[derive(Debug)]
struct Watched {
    turn: u64,
    /// When it was first seen; it may have begun before.
    since: Instant,
    alarm: Alarm,
}

/// Something to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It does not let go.
    Blocks { slot: usize, mark: Mark, lasts: Duration, times: u64 },
    /// It has let go of what was told.
    Over { slot: usize, lasts: Duration },
}

impl Looks {
    /// Looks at what threads have in flight now.
    pub(super) fn look(&mut self, now: Instant, in_flight: &[InFlight]) -> Vec<News> {
        let mut news = Vec::new();
        for (&slot, watched) in &mut self.0 {
            let is_same = in_flight.iter().any(|seen| seen.slot == slot && seen.turn == watched.turn);
            let lasts = now.saturating_duration_since(watched.since);
            if !is_same && watched.alarm.clear(now).is_some() {
                news.push(News::Over { slot, lasts });
            }
        }
        for &InFlight { slot, turn, mark } in in_flight {
            let new = || Watched { turn, since: now, alarm: Alarm::default() };
            let watched = self.0.entry(slot).or_insert_with(new);
            if watched.turn != turn {
                // Its alarm goes on, so that work that is as long again and again is told once a minute.
                (watched.turn, watched.since) = (turn, now);
            }
            let lasts = now.saturating_duration_since(watched.since);
            if lasts >= BLOCKS_AFTER
                && let Some(Said { times, .. }) = watched.alarm.raise(now)
            {
                news.push(News::Blocks { slot, mark, lasts, times });
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use everpost_persistence::Position;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(slot: usize, turn: u64) -> InFlight {
        InFlight { slot, turn, mark: Mark::Record(Position(turn)) }
    }

    fn blocks(slot: usize, turn: u64, seconds: u32, times: u64) -> News {
        News::Blocks { slot, mark: Mark::Record(Position(turn)), lasts: SECOND * seconds, times }
    }

    #[test]
    fn work_that_keeps_its_thread_is_told_once_then_each_minute_and_at_its_end() {
        let (start, mut looks) = (Instant::now(), Looks::default());
        let mut told = Vec::new();
        for second in 0..70 {
            // One that lets go at each look is none, however often it is seen.
            let seen = [at(3, 5), at(4, u64::from(second))];
            told.extend(looks.look(start + SECOND * second, &seen).into_iter().map(|news| (second, news)));
        }
        assert_eq!(told, [(2, blocks(3, 5, 2, 1)), (62, blocks(3, 5, 62, 60))]);
        assert_eq!(looks.look(start + SECOND * 70, &[at(3, 6)]), [News::Over { slot: 3, lasts: SECOND * 70 }]);
        assert_eq!(looks.look(start + SECOND * 71, &[]), []);
    }

    #[test]
    fn work_that_is_long_again_and_again_is_told_once_a_minute() {
        let (start, mut looks) = (Instant::now(), Looks::default());
        let news = (0..600_u32).flat_map(|second| {
            let seen = at(1, u64::from(second / 5));
            looks.look(start + SECOND * second, &[seen])
        });
        let blocks = news.filter(|news| matches!(news, News::Blocks { .. })).count();
        assert!((9..=11).contains(&blocks), "{blocks} lines in ten minutes");
    }
}
