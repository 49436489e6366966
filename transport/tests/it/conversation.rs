//! What two nodes that belong together can say to each other.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use everpost_transport::frame::{Frame, encode_data, encode_note, encode_volatile};
use everpost_transport::link::{Data, Lane, Sequence};
use everpost_transport::{BATCH_BYTES_MAX, BATCH_FRAMES_MAX};
use tokio::time::timeout;

use crate::certificates::Authority;
use crate::harness::{Pair, message, next_control, next_data, within};

#[tokio::test]
async fn both_sides_know_who_the_other_is() {
    let mut pair = Pair::new(&Authority::new()).await;
    assert_eq!((pair.east.connection.peer(), pair.west.connection.peer()), ("west", "east"));
    assert_eq!((pair.east.connection.dialed(), pair.west.connection.dialed()), (false, true));
    assert_eq!(pair.west.connection.remote(), pair.east.endpoint.local_address());
    assert_eq!(pair.east.connection.remote(), pair.west.endpoint.local_address());
    assert!(pair.west.connection.rtt() < Duration::from_secs(1));
    assert_eq!(pair.east.connection.close_reason(), None);
    pair.prove().await;
    pair.prove().await;
}

#[tokio::test]
async fn notes_keep_their_order() {
    let mut pair = Pair::new(&Authority::new()).await;
    const NOTES: u32 = 20_000;
    let write = async {
        let mut buffer = BytesMut::new();
        for n in 0..NOTES {
            encode_note(&mut buffer, &n.to_be_bytes());
            if n % 100 == 99 {
                pair.west.streams.control_out.write(&mut buffer).await.unwrap();
                assert!(buffer.is_empty());
            }
        }
    };
    let read = async {
        let mut next = 0_u32;
        while next < NOTES {
            let frames = next_control(&mut pair.east.streams.control_in).await.unwrap();
            assert!(!frames.is_empty() && frames.len() <= BATCH_FRAMES_MAX);
            for frame in frames {
                assert_eq!(frame, Frame::Note(Bytes::copy_from_slice(&next.to_be_bytes())));
                next += 1;
            }
        }
    };
    within("all notes", async { tokio::join!(write, read) }).await;
}

/// Bodies of many sizes, from none to more than any buffer on the way, over all streams.
#[tokio::test]
async fn each_stream_keeps_its_order_and_large_messages_come_whole() {
    let mut pair = Pair::new(&Authority::new()).await;
    let sizes = [0, 1, 100, 1_300, 5_000, 70_000, 3 << 20, 9];
    let data = |stream: u64, sequence: u64| {
        let size = sizes[usize::try_from((stream + sequence) % sizes.len() as u64).unwrap()];
        let body = Bytes::from(vec![u8::try_from(sequence % 251).unwrap(); size]);
        let lane = Lane { receiver_type: stream, partition: 1 };
        Data { lane, previous: Sequence(sequence), sequence: Sequence(sequence + 1), flags: 3, body }
    };
    const EACH: u64 = 24;
    let streams = pair.west.streams.data_out.streams() as u64;
    let write = async {
        let mut buffer = BytesMut::new();
        for sequence in 0..EACH {
            for stream in 0..streams {
                encode_data(&mut buffer, &data(stream, sequence));
                pair.west.streams.data_out.write(usize::try_from(stream).unwrap(), &mut buffer).await.unwrap();
            }
        }
    };
    let read = async {
        let mut next: HashMap<u64, u64> = HashMap::new();
        while next.values().sum::<u64>() < streams * EACH {
            let frames = next_data(&mut pair.east.streams.data_in).await.unwrap();
            let bytes: usize = frames.iter().map(Frame::message_bytes).sum();
            assert!(bytes < BATCH_BYTES_MAX + (3 << 20), "a batch is bounded: {bytes}");
            for frame in frames {
                let Frame::Data(came) = frame else { panic!("{frame:?}") };
                let sequence = next.entry(came.lane.receiver_type).or_default();
                assert!(
                    came == data(came.lane.receiver_type, *sequence),
                    "stream {}, {sequence}",
                    came.lane.receiver_type
                );
                *sequence += 1;
            }
        }
    };
    within("all messages", async { tokio::join!(write, read) }).await;
}

/// A peer that is set to more streams than this side opens itself is not held up.
#[tokio::test]
async fn the_sides_may_open_different_numbers_of_streams() {
    let authority = Authority::new();
    let few = everpost_transport::Settings { streams: 1, ..crate::harness::settings() };
    let many = everpost_transport::Settings { streams: 64, ..crate::harness::settings() };
    let east = crate::harness::bind_with(&few, &authority.identity("east"), &["west"]);
    let west = crate::harness::bind_with(&many, &authority.identity("west"), &["east"]);
    let (accepted, dialed) = crate::harness::connect(&east, &west, "east").await;
    let (mut at_east, mut at_west) = (accepted.open(), dialed.open());
    assert_eq!((at_east.data_out.streams(), at_west.data_out.streams()), (1, 64));
    let mut buffer = BytesMut::new();
    for stream in 0..64 {
        encode_volatile(&mut buffer, &[stream]);
        within("a write", at_west.data_out.write(usize::from(stream), &mut buffer)).await.unwrap();
    }
    let mut came = Vec::new();
    while came.len() < 64 {
        for frame in next_data(&mut at_east.data_in).await.unwrap() {
            let Frame::Volatile(body) = frame else { panic!("{frame:?}") };
            came.push(body[0]);
        }
    }
    came.sort_unstable();
    assert_eq!(came, (0..64).collect::<Vec<u8>>());
    encode_volatile(&mut buffer, b"back");
    within("a write", at_east.data_out.write(9, &mut buffer)).await.unwrap();
    assert_eq!(next_data(&mut at_west.data_in).await.unwrap(), [Frame::Volatile(Bytes::from_static(b"back"))]);
}

/// The futures of reads and writes are dropped again and again; nothing is lost, doubled or torn.
#[tokio::test]
async fn reads_and_writes_that_are_cancelled_lose_nothing() {
    let mut pair = Pair::new(&Authority::new()).await;
    const MESSAGES: u64 = 400;
    let write = async {
        let mut buffer = BytesMut::new();
        let mut cancelled = 0;
        for sequence in 1..=MESSAGES {
            encode_data(&mut buffer, &message(sequence, &[5; 60_000]));
            // An empty buffer goes on with what is left.
            while poll_once(pair.west.streams.data_out.write(0, &mut buffer)).await.is_none() {
                cancelled += 1;
            }
        }
        cancelled
    };
    let read = async {
        let mut frames = Vec::new();
        let mut cancelled = 0;
        while frames.len() < usize::try_from(MESSAGES).unwrap() {
            match poll_once(pair.east.streams.data_in.next(&mut frames)).await {
                Some(outcome) => outcome.unwrap(),
                None => cancelled += 1,
            }
        }
        (frames, cancelled)
    };
    let (writes_cancelled, (frames, reads_cancelled)) =
        within("all messages", async { tokio::join!(write, read) }).await;
    assert!(writes_cancelled > 0 && reads_cancelled > 0, "{writes_cancelled} writes, {reads_cancelled} reads");
    for (frame, sequence) in frames.into_iter().zip(1..) {
        assert!(frame == Frame::Data(message(sequence, &[5; 60_000])), "message {sequence}");
    }
}

/// Cancels a future that does not end at once, and lets everything else go on.
async fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let outcome = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
    match outcome {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => {
            tokio::task::yield_now().await;
            None
        }
    }
}

/// A peer that does not read its messages still gets acknowledgements.
#[tokio::test]
async fn control_comes_through_while_messages_wait_unread() {
    let mut pair = Pair::new(&Authority::new()).await;
    let mut buffer = BytesMut::new();
    let fill = async {
        for stream in 0.. {
            encode_volatile(&mut buffer, &[1; 200_000]);
            pair.west.streams.data_out.write(stream, &mut buffer).await.unwrap();
        }
    };
    assert!(timeout(Duration::from_millis(500), fill).await.is_err(), "writing stops when nobody reads");
    let mut note = BytesMut::new();
    encode_note(&mut note, b"ack");
    within("a note", pair.west.streams.control_out.write(&mut note)).await.unwrap();
    assert_eq!(
        next_control(&mut pair.east.streams.control_in).await.unwrap(),
        [Frame::Note(Bytes::from_static(b"ack"))]
    );
}
