//! The settings of a store. A `Config` that `validate` accepts can be opened; limits that depend on several fields
//! are in `limits`.

use std::num::NonZeroU16;
use std::time::Duration;

use crate::error::ConfigError;

/// The settings of a store. `Config::default()` serves a node with a local disk; a test wants smaller maps at most. Let
/// a literal end in `..Config::default()`: settings are added in any version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How many partitions the store has (64). Fixed when the store is made. Too few: partitions cannot be spread
    /// over nodes later; too many: each is a range of its own in the tables, and small ranges cost pages.
    pub partitions: NonZeroU16,
    /// Address space of the journal (4 GiB); a sparse file, disk is taken as it is used. Too small: the writer waits
    /// for checkpoints, and large submissions are refused; too large: nothing, as long as the address space has it.
    pub journal_map_bytes: u64,
    /// Address space of the tables (64 GiB); sparse as well. It bounds what the store can hold: above 80 %
    /// submissions from outside are refused. It may grow between runs, and shrink no further than the data.
    pub tables_map_bytes: u64,
    /// How many submissions may wait for the writer (65,536). Too small: submitters wait although the disk has time;
    /// too large: memory, and a long way to durability under load.
    pub queue_turns_max: usize,
    /// How many bytes of values may wait for the writer (64 MiB); also the limit of one submission, together with the
    /// maps ([`Config::submission_bytes_max`]). As for `queue_turns_max`.
    pub queue_bytes_max: usize,
    /// How many submissions share a commit at most (16,384). Too small: more syncs than needed; too large: long
    /// commits.
    pub group_turns_max: usize,
    /// How many bytes share a commit at most (8 MiB); a submission that is larger alone is a group of its own. As
    /// above.
    pub group_bytes_max: usize,
    /// How many bytes of changes start a checkpoint (16 MiB). Too small: hot records are written to the tables too
    /// often; too large: checkpoints, recovery and memory grow.
    pub checkpoint_bytes: usize,
    /// How old a change may become before a checkpoint starts (1 s). As for `checkpoint_bytes`.
    pub checkpoint_age: Duration,
    /// How many bytes of changes may be held in memory until they are in the tables (128 MiB); past it the writer
    /// waits for the checkpointer. At least twice `checkpoint_bytes`, so that the one can fill while the other is
    /// written.
    pub overlay_bytes_max: usize,
    /// Disk that is set aside ahead of the end of each of the two data files, as far as its map (32 MiB; 0: none), so
    /// that a store can be drained on a disk that others have filled. At least twice `checkpoint_bytes`, since LMDB
    /// writes a page anew before it frees the old one: the pages of one checkpoint are free after the next. Too small:
    /// a store that was stopped by a full disk may need some room before it can go on; too large: disk that nobody else
    /// can use. No more than the larger map.
    pub reserve_disk_bytes: u64,
    /// How much must be free on the file system for submissions from outside (64 MiB; 0: not looked at). Too small:
    /// the disk fills until a commit fails, and the store with it; too large: sends are refused early.
    pub disk_headroom_bytes: u64,
}

/// Twice the default of `checkpoint_bytes`.
const RESERVE_BYTES: u64 = 32 * 1024 * 1024;

/// The least map: below it LMDB has no room for its own pages and the headroom that is kept for deletes.
const MAP_BYTES_MIN: u64 = 1024 * 1024;

impl Config {
    /// Whether a store can be opened with these settings.
    ///
    /// # Errors
    ///
    /// Names the first field that cannot work, and the limit that it breaks.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let checkpoint_bytes = self.checkpoint_bytes as u64;
        for (field, value, least) in [
            ("journal_map_bytes", self.journal_map_bytes, MAP_BYTES_MIN),
            ("tables_map_bytes", self.tables_map_bytes, MAP_BYTES_MIN),
            ("queue_turns_max", self.queue_turns_max as u64, 1),
            ("queue_bytes_max", self.queue_bytes_max as u64, 4096),
            ("group_turns_max", self.group_turns_max as u64, 1),
            ("group_bytes_max", self.group_bytes_max as u64, 1),
            ("checkpoint_bytes", checkpoint_bytes, 1),
            ("overlay_bytes_max", self.overlay_bytes_max as u64, checkpoint_bytes.saturating_mul(2)),
        ] {
            if value < least {
                return Err(ConfigError::TooSmall { field, value, least });
            }
        }
        let map_bytes_max = (isize::MAX as u64) / 4;
        // The default is cut to the maps where they are smaller.
        let reserve_max = self.journal_map_bytes.max(self.tables_map_bytes).max(RESERVE_BYTES);
        for (field, value, most) in [
            ("journal_map_bytes", self.journal_map_bytes, map_bytes_max),
            ("tables_map_bytes", self.tables_map_bytes, map_bytes_max),
            ("queue_turns_max", self.queue_turns_max as u64, u64::from(u32::MAX)),
            // Queue room is counted in units that must fit 32 bits, as must the length of a value.
            ("queue_bytes_max", self.queue_bytes_max as u64, 2 * 1024 * 1024 * 1024),
            ("group_turns_max", self.group_turns_max as u64, u64::from(u32::MAX)),
            ("group_bytes_max", self.group_bytes_max as u64, 2 * 1024 * 1024 * 1024),
            // Neither file ever needs more; what is set aside is missing to everybody else on the disk.
            ("reserve_disk_bytes", self.reserve_disk_bytes, reserve_max),
        ] {
            if value > most {
                return Err(ConfigError::TooLarge { field, value, most });
            }
        }
        Ok(())
    }
}

impl Config {
    /// The most that one submission may have, in bytes of values: [`Config::queue_bytes_max`], and no more than a
    /// sixteenth of either map. What waits may never be more than a small part of a map, or there would be no headroom
    /// to keep.
    #[must_use]
    pub fn submission_bytes_max(&self) -> usize {
        let smaller_map = self.journal_map_bytes.min(self.tables_map_bytes);
        self.queue_bytes_max.min(usize::try_from(smaller_map / Self::MAP_PARTS).unwrap_or(usize::MAX))
    }

    /// A submission may have one of so many equal parts of a map.
    pub const MAP_PARTS: u64 = 16;
}

impl Default for Config {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            partitions: const { NonZeroU16::new(64).expect("64 is not zero") },
            journal_map_bytes: 4 * 1024 * MIB as u64,
            tables_map_bytes: 64 * 1024 * MIB as u64,
            queue_turns_max: 65_536,
            queue_bytes_max: 64 * MIB,
            group_turns_max: 16_384,
            group_bytes_max: 8 * MIB,
            checkpoint_bytes: 16 * MIB,
            checkpoint_age: Duration::from_secs(1),
            overlay_bytes_max: 128 * MIB,
            reserve_disk_bytes: RESERVE_BYTES,
            disk_headroom_bytes: 64 * MIB as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid() {
        assert_eq!(Config::default().validate(), Ok(()));
    }

    #[test]
    fn an_error_names_the_field_and_both_numbers() {
        let config = Config { overlay_bytes_max: 10, checkpoint_bytes: 100, ..Config::default() };
        assert_eq!(config.validate(), Err(ConfigError::TooSmall { field: "overlay_bytes_max", value: 10, least: 200 }));
        let config = Config { tables_map_bytes: 4096, ..Config::default() };
        assert!(matches!(config.validate(), Err(ConfigError::TooSmall { field: "tables_map_bytes", value: 4096, .. })));
        // It filled the disk up to the size of both maps.
        let config = Config { reserve_disk_bytes: u64::MAX, ..Config::default() };
        let most = Config::default().tables_map_bytes;
        let refused = ConfigError::TooLarge { field: "reserve_disk_bytes", value: u64::MAX, most };
        assert_eq!(config.validate(), Err(refused));
    }
}
