//! Large frames on many streams at once: each comes to its end, also from a peer that has more streams than this side.

use everpost_transport::frame::Frame;
use everpost_transport::frame::encode_volatile;

use crate::certificates::Authority;
use crate::harness::{Pair, next_data, within};
use crate::raw;

#[tokio::test]
async fn frames_that_are_written_a_piece_at_a_time_on_all_streams_at_once_all_end() {
    const STREAMS: u8 = 64;
    const BYTES: usize = 3 << 19;
    let authority = Authority::new();
    let pair = Pair::new(&authority).await;
    let (_client, hostile, accepted) = raw::let_in(&authority, &pair.east.endpoint).await;
    let mut streams = accepted.open();
    let writing: Vec<_> = (0..STREAMS)
        .map(|number| {
            let connection = hostile.connection.clone();
            tokio::spawn(async move {
                let mut stream = connection.open_uni().await.unwrap();
                let mut frame = bytes::BytesMut::new();
                encode_volatile(&mut frame, &[number; BYTES]);
                for piece in frame.chunks(16 << 10) {
                    stream.write_all(piece).await.unwrap();
                }
                // The end of a stream is a breach.
                std::future::pending::<()>().await;
            })
        })
        .collect();
    let mut numbers = Vec::new();
    while numbers.len() < usize::from(STREAMS) {
        let frames = within("a frame", next_data(&mut streams.data_in)).await.unwrap();
        for frame in frames {
            let Frame::Volatile(body) = frame else { panic!("{frame:?}") };
            assert!(body.len() == BYTES && body.iter().all(|byte| *byte == body[0]));
            numbers.push(body[0]);
        }
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..STREAMS).collect::<Vec<_>>());
    writing.iter().for_each(tokio::task::JoinHandle::abort);
}
