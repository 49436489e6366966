//! Which of a peer's streams may hold a large frame that has not ended: one at a time. Pure.
//!
//! So a peer that sends frames and does not end them can make a connection hold one frame of the largest size, and
//! [`SMALL_BYTES`] for each other stream. The others wait unread, so that QUIC's flow control holds the peer back, and
//! go on in turn. No deadlock is possible: the one that holds the large frame is always read, and QUIC has room for
//! each stream ([`crate::config::receive_window`]).

/// Up to how many bytes each stream may hold of a frame that has not ended.
pub(crate) const SMALL_BYTES: usize = 64 << 10;

/// Who holds a large frame.
#[derive(Debug, Default)]
pub(crate) struct LargeFrame {
    holder: Option<usize>,
}

impl LargeFrame {
    /// Whether more may be read of a stream that holds so many bytes.
    pub(crate) fn may_read(&mut self, stream: usize, held: usize) -> bool {
        held < SMALL_BYTES || *self.holder.get_or_insert(stream) == stream
    }

    /// A stream holds so many bytes now.
    pub(crate) fn holds(&mut self, stream: usize, held: usize) {
        if held < SMALL_BYTES && self.holder == Some(stream) {
            self.holder = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRAME_BYTES: usize = 4 * SMALL_BYTES;
    const PIECE_BYTES: usize = SMALL_BYTES / 4;

    proptest! {
        /// Whichever streams have something to read, whenever: what is held is bounded, and all frames end.
        #[test]
        fn one_large_frame_is_held_at_a_time_and_all_come_to_an_end(
            order in prop::collection::vec(0_usize..8, 0..400)
        ) {
            let (mut large, mut held, mut left) = (LargeFrame::default(), [0_usize; 8], [2 * FRAME_BYTES; 8]);
            let rounds = (0..10_000).map(|turn| turn % 8);
            for stream in order.into_iter().chain(rounds) {
                if left[stream] > 0 && large.may_read(stream, held[stream]) {
                    held[stream] += PIECE_BYTES;
                    left[stream] -= PIECE_BYTES;
                    held[stream] %= FRAME_BYTES;
                    large.holds(stream, held[stream]);
                }
                prop_assert!(held.iter().filter(|held| **held > SMALL_BYTES).count() <= 1);
                prop_assert!(held.iter().sum::<usize>() <= FRAME_BYTES + 7 * SMALL_BYTES);
            }
            prop_assert_eq!(left, [0; 8]);
        }
    }
}
