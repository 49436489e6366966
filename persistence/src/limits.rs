//! Bounds that follow from several settings at once. Pure arithmetic.

use std::time::Duration;

use crate::config::Config;

/// Room in the queue is counted in units, since a semaphore hands out 32-bit numbers of permits.
pub(crate) const UNIT_BYTES: usize = 256;

/// How much of a map may be in use: a share of it, and in small maps a number of pages less than all. LMDB needs
/// pages to delete with, since it writes a touched page anew before it frees the old one, and cannot reuse what the
/// last commit freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    percent: u64,
    pages_left: u64,
}

/// Above this submissions from outside are refused.
pub(crate) const OUTSIDE: Share = Share { percent: 80, pages_left: 96 };
/// Above this turns that grow the store wait, and one goes at a time.
pub(crate) const GROWING: Share = Share { percent: 93, pages_left: 80 };
/// Above this they wait without exception.
pub(crate) const LAST: Share = Share { percent: 95, pages_left: 64 };

/// What the writer and the checkpointer keep to.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) submission_bytes: usize,
    /// The setting that it follows from.
    pub(crate) submission_setting: &'static str,
    pub(crate) queue_turns: usize,
    pub(crate) queue_units: u32,
    pub(crate) group_turns: usize,
    pub(crate) group_bytes: usize,
    pub(crate) group_changes: usize,
    pub(crate) checkpoint_bytes: usize,
    pub(crate) checkpoint_age: Duration,
    pub(crate) overlay_bytes: usize,
    pub(crate) journal_map: u64,
    pub(crate) tables_map: u64,
    pub(crate) page_bytes: u64,
    /// Pages in the map of the tables.
    tables_pages: u64,
}

impl Limits {
    /// `page_bytes` is what LMDB uses.
    pub(crate) fn new(config: &Config, page_bytes: u32) -> Self {
        let queue_bytes = config.submission_bytes_max();
        let smaller_map = config.journal_map_bytes.min(config.tables_map_bytes);
        let of_map = usize::try_from(smaller_map / Config::MAP_PARTS).unwrap_or(usize::MAX);
        let submission_setting = match queue_bytes {
            bytes if bytes == config.queue_bytes_max => "queue_bytes_max",
            _ if smaller_map == config.journal_map_bytes => "journal_map_bytes",
            _ => "tables_map_bytes",
        };
        let tables_pages = config.tables_map_bytes / u64::from(page_bytes.max(1));
        Self {
            submission_bytes: queue_bytes,
            submission_setting,
            queue_turns: config.queue_turns_max.min(Self::slice(tables_pages, 32, 16)),
            queue_units: u32::try_from(queue_bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX),
            group_turns: config.group_turns_max,
            group_bytes: config.group_bytes_max.min(of_map),
            group_changes: Self::slice(tables_pages, 256, 2),
            checkpoint_bytes: config.checkpoint_bytes.min(of_map),
            checkpoint_age: config.checkpoint_age,
            overlay_bytes: config.overlay_bytes_max.min(of_map.saturating_mul(2)),
            journal_map: config.journal_map_bytes,
            tables_map: config.tables_map_bytes,
            page_bytes: u64::from(page_bytes),
            tables_pages,
        }
    }

    /// How many bytes of a map may be in use.
    pub(crate) fn usable(&self, map: u64, share: Share) -> u64 {
        (map / 100 * share.percent).min(map.saturating_sub(share.pages_left * self.page_bytes))
    }

    /// How many changes start a checkpoint; twice as many make the writer wait.
    ///
    /// A change can cost a checkpoint a page of its own, since LMDB writes a touched page anew before it frees the
    /// old one. So the number of changes, not their bytes, bounds the free pages that a checkpoint needs, and the
    /// fuller the tables the fewer it may have.
    pub(crate) fn checkpoint_changes(&self, tables_used: u64) -> usize {
        let crowded = tables_used > self.usable(self.tables_map, OUTSIDE);
        if crowded { Self::slice(self.tables_pages, 256, 2) } else { Self::slice(self.tables_pages, 64, 16) }
    }

    /// How much of its map the journal may use before a checkpoint is asked for, so that it can be cut. Records that
    /// come and go leave the overlay small, so the overlay alone would let the journal run away.
    pub(crate) fn journal_checkpoint(&self) -> u64 {
        (self.journal_map / 4).min(4 * self.checkpoint_bytes as u64)
    }

    /// How much of its map the journal may use before the writer waits for that checkpoint.
    pub(crate) const fn journal_wait(&self) -> u64 {
        self.journal_map / 2
    }

    fn slice(pages: u64, divisor: u64, least: usize) -> usize {
        usize::try_from(pages / divisor).unwrap_or(usize::MAX).max(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_not_held_back_by_its_maps() {
        let config = Config::default();
        let limits = Limits::new(&config, 4096);
        assert_eq!((limits.submission_bytes, limits.submission_setting), (config.queue_bytes_max, "queue_bytes_max"));
        assert_eq!(limits.queue_turns, config.queue_turns_max);
        assert_eq!(limits.group_bytes, config.group_bytes_max);
        assert_eq!(limits.overlay_bytes, config.overlay_bytes_max);
        assert!(limits.checkpoint_changes(0) >= 200_000);
    }

    #[test]
    fn small_maps_shrink_everything() {
        let config = Config { journal_map_bytes: 1 << 20, tables_map_bytes: 2 << 20, ..Config::default() };
        let limits = Limits::new(&config, 4096);
        assert_eq!((limits.submission_bytes, limits.submission_setting), (65_536, "journal_map_bytes"));
        let narrow = Config { journal_map_bytes: 4 << 20, ..config };
        assert_eq!(Limits::new(&narrow, 4096).submission_setting, "tables_map_bytes");
        assert_eq!((limits.queue_units, limits.queue_turns), (256, 16));
        assert_eq!(limits.checkpoint_changes(0), 16);
        assert_eq!(limits.usable(1 << 20, OUTSIDE), 160 * 4096);
        assert_eq!(limits.usable(1 << 30, OUTSIDE) * 100 / (1 << 30), 79);
    }
}
