use bytes::{BufMut, Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;

use super::layout::{ACK_BYTES, ACKS, DATA, DATA_HEADER_BYTES, HELLO, NOTE, RESUME, VOLATILE};
use super::*;
use crate::protocol::hello::{Clocks, EarlierRun, Hello, PROTOCOL_VERSION, ReceiverType, Resume, Run};
use crate::protocol::link::{Ack, Data, Lane, Sequence};

const MESSAGE_BYTES_MAX: usize = 1_000;

fn limits() -> Limits {
    Limits::new(MESSAGE_BYTES_MAX)
}

/// Decodes bytes that arrive in pieces of the given sizes, which are repeated as long as there are bytes.
fn decode_all(stream: StreamKind, bytes: &[u8], sizes: &[usize]) -> Result<Vec<Frame>, FrameError> {
    let mut decoder = FrameDecoder::new(stream, limits());
    let mut frames = Vec::new();
    let mut rest = Bytes::copy_from_slice(bytes);
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        decoder.feed(rest.split_to((*sizes.next().unwrap()).clamp(1, rest.len())));
        while let Some(frame) = decoder.next_frame()? {
            frames.push(frame);
        }
    }
    assert_eq!(decoder.is_empty(), bytes_are_whole(bytes), "what is left is the beginning of a frame");
    Ok(frames)
}

fn bytes_are_whole(mut bytes: &[u8]) -> bool {
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        if rest.len() < length {
            return false;
        }
        bytes = &rest[length..];
    }
    bytes.is_empty()
}

fn encode_all(frames: &[Frame]) -> BytesMut {
    let mut buffer = BytesMut::new();
    for frame in frames {
        frame.encode(&mut buffer).unwrap();
    }
    buffer
}

fn raw(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_u32(u32::try_from(body.len() + 1).unwrap());
    bytes.put_u8(kind);
    bytes.put_slice(body);
    bytes
}

fn lane() -> impl Strategy<Value = Lane> {
    (any::<u64>(), any::<u16>()).prop_map(|(receiver_type, partition)| Lane { receiver_type, partition })
}

fn sequence() -> impl Strategy<Value = Sequence> {
    any::<u64>().prop_map(Sequence)
}

fn body() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..MESSAGE_BYTES_MAX).prop_map(Bytes::from)
}

fn hello() -> impl Strategy<Value = Hello> {
    let run = (any::<u128>(), any::<u64>(), any::<u64>(), sequence()).prop_map(|(shard, counter, nonce, first)| Run {
        shard,
        counter,
        nonce,
        first,
    });
    let receiver_types =
        vec(("\\PC{0,12}", any::<u64>()).prop_map(|(name, placement)| ReceiverType { name, placement }), 0..4);
    let earlier = (any::<u64>(), any::<u64>(), sequence());
    let earlier = vec(earlier.prop_map(|(counter, nonce, first)| EarlierRun { counter, nonce, first }), 0..4);
    let clocks = (any::<u64>(), any::<u64>()).prop_map(|(steady, wall)| Clocks { steady, wall });
    (any::<u16>(), "\\PC{0,12}", "[a-z]{0,9}", any::<u16>(), run, any::<u64>(), receiver_types, earlier, clocks)
        .prop_map(|(protocol, cluster, node, partitions, run, message_bytes_max, receiver_types, earlier, clocks)| {
            Hello { protocol, cluster, node, partitions, run, message_bytes_max, receiver_types, earlier, clocks }
        })
}

fn control_frame() -> impl Strategy<Value = Frame> {
    let ack = (lane(), sequence(), any::<u64>()).prop_map(|(lane, through, credit)| Ack { lane, through, credit });
    prop_oneof![
        hello().prop_map(Frame::Hello),
        (any::<u64>(), vec((lane(), sequence()), 0..9))
            .prop_map(|(credit, lanes)| Frame::Resume(Resume { credit, lanes })),
        vec(ack, 1..9).prop_map(Frame::Acks),
        body().prop_map(Frame::Note),
    ]
}

fn data_frame() -> impl Strategy<Value = Frame> {
    let data = (lane(), sequence(), sequence(), any::<u8>(), body())
        .prop_map(|(lane, previous, sequence, flags, body)| Data { lane, previous, sequence, flags, body });
    prop_oneof![data.prop_map(Frame::Data), body().prop_map(Frame::Volatile)]
}

fn some_frames() -> impl Strategy<Value = (StreamKind, Vec<Frame>)> {
    prop_oneof![
        vec(control_frame(), 0..6).prop_map(|frames| (StreamKind::Control, frames)),
        vec(data_frame(), 0..6).prop_map(|frames| (StreamKind::Data, frames)),
    ]
}

proptest! {
    #[test]
    fn frames_come_back_however_their_bytes_are_cut(
        (stream, frames) in some_frames(),
        sizes in vec(1_usize..1_500, 1..5),
    ) {
        let bytes = encode_all(&frames);
        prop_assert_eq!(decode_all(stream, &bytes, &sizes), Ok(frames.clone()));
        prop_assert_eq!(decode_all(stream, &bytes, &[1]), Ok(frames));
    }

    #[test]
    fn a_beginning_gives_the_frames_that_are_whole(
        (stream, frames) in some_frames(),
        cut in any::<prop::sample::Index>()
    ) {
        let bytes = encode_all(&frames);
        let decoded = decode_all(stream, &bytes[..cut.index(bytes.len() + 1)], &[700]).unwrap();
        prop_assert_eq!(&frames[..decoded.len()], &decoded[..]);
        prop_assert!(decoded.len() == frames.len() || cut.index(bytes.len() + 1) < bytes.len());
    }

    #[test]
    fn garbage_is_an_error_or_frames_never_a_panic(bytes in vec(any::<u8>(), 0..300), sizes in vec(1_usize..99, 1..4)) {
        for stream in [StreamKind::Control, StreamKind::Data] {
            let whole = decode_all_until_error(stream, &bytes, &[usize::MAX]);
            let pieces = decode_all_until_error(stream, &bytes, &sizes);
            prop_assert_eq!(whole, pieces, "the outcome does not depend on how the bytes were cut");
        }
    }

    #[test]
    fn a_flipped_bit_is_an_error_or_frames_never_a_panic(
        (stream, frames) in some_frames(),
        bit in any::<prop::sample::Index>(),
        sizes in vec(1_usize..1_500, 1..4),
    ) {
        let mut bytes = encode_all(&frames);
        prop_assume!(!bytes.is_empty());
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(
            decode_all_until_error(stream, &bytes, &[usize::MAX]),
            decode_all_until_error(stream, &bytes, &sizes)
        );
    }
}

/// The frames before the first error, and that error.
fn decode_all_until_error(stream: StreamKind, bytes: &[u8], sizes: &[usize]) -> (Vec<Frame>, Option<FrameError>) {
    let mut decoder = FrameDecoder::new(stream, limits());
    let mut frames = Vec::new();
    let mut rest = Bytes::copy_from_slice(bytes);
    let mut sizes = sizes.iter().cycle();
    loop {
        match decoder.next_frame() {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) if rest.is_empty() => return (frames, None),
            Ok(None) => decoder.feed(rest.split_to((*sizes.next().unwrap()).min(rest.len()))),
            Err(error) => {
                assert_eq!(decoder.next_frame(), Err(error.clone()), "an error stays");
                return (frames, Some(error));
            }
        }
    }
}

fn error_of(stream: StreamKind, bytes: &[u8]) -> FrameError {
    let (frames, error) = decode_all_until_error(stream, bytes, &[usize::MAX]);
    assert_eq!(frames, []);
    error.unwrap()
}

#[test]
fn a_frame_above_its_limit_is_refused_by_its_header() {
    let message = MESSAGE_BYTES_MAX + OVERHEAD_BYTES_MAX;
    let cases = [
        (StreamKind::Control, HELLO, HELLO_BYTES_MAX),
        (StreamKind::Control, RESUME, RESUME_BYTES_MAX),
        (StreamKind::Control, ACKS, ACKS_MAX * ACK_BYTES),
        (StreamKind::Control, NOTE, message),
        (StreamKind::Data, DATA, message),
        (StreamKind::Data, VOLATILE, message),
    ];
    for (stream, kind, body_bytes_max) in cases {
        let header = |body_bytes: usize| {
            let mut header = u32::try_from(body_bytes + 1).unwrap().to_be_bytes().to_vec();
            header.push(kind);
            header
        };
        let refused = FrameError::TooLarge { bytes: body_bytes_max as u64 + 1, bytes_max: body_bytes_max as u64 };
        assert_eq!(error_of(stream, &header(body_bytes_max + 1)), refused, "kind {kind}");
        let (frames, error) = decode_all_until_error(stream, &header(body_bytes_max), &[usize::MAX]);
        assert_eq!((frames, error), (vec![], None), "kind {kind}: the rest may still come");
    }
    let most = [0xff, 0xff, 0xff, 0xff, DATA];
    assert!(matches!(error_of(StreamKind::Data, &most), FrameError::TooLarge { bytes: 0xffff_fffe, .. }));
}

#[test]
fn a_small_body_does_not_keep_the_buffer_it_came_in() {
    let mut decoder = FrameDecoder::new(StreamKind::Data, limits());
    let mut chunk = encode_all(&[Frame::Volatile(Bytes::from_static(b"small"))]);
    chunk.resize(1 << 16, 0);
    let chunk = chunk.freeze();
    decoder.feed(chunk.slice(..10));
    let Ok(Some(Frame::Volatile(body))) = decoder.next_frame() else { panic!("a whole frame was fed") };
    assert_eq!(body, b"small"[..]);
    drop(decoder);
    assert!(chunk.is_unique(), "nobody else holds the buffer");
}

#[test]
fn a_kind_has_its_stream() {
    for kind in [HELLO, RESUME, ACKS, NOTE] {
        let stream = StreamKind::Data;
        assert_eq!(error_of(stream, &raw(kind, &[])), FrameError::WrongStream { kind, stream });
    }
    for kind in [DATA, VOLATILE] {
        let stream = StreamKind::Control;
        assert_eq!(error_of(stream, &raw(kind, &[])), FrameError::WrongStream { kind, stream });
    }
    for kind in [0, 5, 15, 18, 255] {
        for stream in [StreamKind::Control, StreamKind::Data] {
            assert_eq!(error_of(stream, &raw(kind, &[1])), FrameError::UnknownKind { kind });
        }
    }
}

#[test]
fn short_and_overlong_bodies_are_refused() {
    assert_eq!(error_of(StreamKind::Data, &[0, 0, 0, 0]), FrameError::Truncated { kind: 0 });
    let short = vec![0; DATA_HEADER_BYTES - 1];
    assert_eq!(error_of(StreamKind::Data, &raw(DATA, &short)), FrameError::Truncated { kind: DATA });
    for bytes in [0, 1, ACK_BYTES - 1, ACK_BYTES + 1] {
        assert_eq!(error_of(StreamKind::Control, &raw(ACKS, &vec![0; bytes])), FrameError::Truncated { kind: ACKS });
    }
    assert_eq!(error_of(StreamKind::Control, &raw(RESUME, &[])), FrameError::Truncated { kind: RESUME });
    // No credit, no lanes, and something more.
    let overlong = error_of(StreamKind::Control, &raw(RESUME, &[0, 0, 9]));
    assert!(
        matches!(&overlong, FrameError::Malformed { kind: RESUME, what } if what.contains("1 bytes")),
        "{overlong}"
    );
    // A count of lanes that is not there.
    let missing = error_of(StreamKind::Control, &raw(RESUME, &[0, 0xff, 0xff, 0xff, 0xff, 0x0f]));
    assert_eq!(missing, FrameError::Truncated { kind: RESUME });
}

#[test]
fn a_hello_of_another_version_is_refused_for_its_version() {
    let theirs = PROTOCOL_VERSION + 1;
    let mut body = postcard::to_stdvec(&theirs).unwrap();
    body.push(0xff);
    let other = FrameError::OtherVersion { ours: PROTOCOL_VERSION, theirs };
    assert_eq!(error_of(StreamKind::Control, &raw(HELLO, &body)), other);
    let mut body = postcard::to_stdvec(&PROTOCOL_VERSION).unwrap();
    body.push(0xff);
    assert_eq!(error_of(StreamKind::Control, &raw(HELLO, &body)), FrameError::Truncated { kind: HELLO });
}

#[test]
fn many_acknowledgements_become_several_frames() {
    let ack = |through| Ack { lane: Lane { receiver_type: 1, partition: 2 }, through: Sequence(through), credit: 3 };
    let acks: Vec<Ack> = (0..ACKS_MAX as u64 * 2 + 1).map(ack).collect();
    let mut buffer = BytesMut::new();
    encode_acks(&mut buffer, &[]);
    assert!(buffer.is_empty());
    encode_acks(&mut buffer, &acks);
    let frames = decode_all(StreamKind::Control, &buffer, &[usize::MAX]).unwrap();
    let sizes: Vec<usize> =
        frames.iter().map(|frame| if let Frame::Acks(acks) = frame { acks.len() } else { 0 }).collect();
    assert_eq!(sizes, [ACKS_MAX, ACKS_MAX, 1]);
    let came: Vec<Ack> =
        frames.into_iter().flat_map(|frame| if let Frame::Acks(acks) = frame { acks } else { vec![] }).collect();
    assert_eq!(came, acks);
}

#[test]
fn a_resume_beyond_its_limit_is_not_written() {
    let lane = (Lane { receiver_type: u64::MAX, partition: u16::MAX }, Sequence(u64::MAX));
    let resume = Frame::Resume(Resume { credit: 0, lanes: vec![lane; RESUME_BYTES_MAX / 23 + 1] });
    let mut buffer = BytesMut::new();
    assert!(matches!(resume.encode(&mut buffer), Err(FrameError::TooLarge { .. })));
    assert!(buffer.is_empty());
}
