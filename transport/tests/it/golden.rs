//! The bytes of each kind of frame are what `docs/WIRE.md` says, and stay so.

use bytes::{Bytes, BytesMut};
use everpost_transport::frame::{Frame, FrameDecoder, Limits, StreamKind};
use everpost_transport::hello::{Clocks, EarlierRun, Hello, ReceiverType, Resume, Run};
use everpost_transport::link::{Ack, Data, Lane, Sequence};

const GOLDEN: &str = include_str!("../golden/wire-v2.txt");

fn samples() -> Vec<(&'static str, StreamKind, Frame)> {
    let lane = Lane { receiver_type: 0x0102_0304_0506_0708, partition: 0x090a };
    let run = Run { shard: u128::from(u64::MAX) + 1, counter: 3, nonce: 0x1122_3344_5566_7788, first: Sequence(300) };
    let hello = Hello {
        protocol: 2,
        cluster: "orders".to_owned(),
        node: "east".to_owned(),
        partitions: 1_024,
        run,
        message_bytes_max: 1 << 20,
        receiver_types: vec![ReceiverType { name: "account".to_owned(), placement: 5 }],
        earlier: vec![EarlierRun { counter: 2, nonce: 9, first: Sequence(200) }],
        clocks: Clocks { steady: 300, wall: 5 },
    };
    let resume = Resume { credit: 65_536, lanes: vec![(lane, Sequence(200))] };
    let ack = |through| Ack { lane, through: Sequence(through), credit: 0x1000 };
    let data =
        Data { lane, previous: Sequence(6), sequence: Sequence(9), flags: 0x81, body: Bytes::from_static(b"body") };
    vec![
        ("hello", StreamKind::Control, Frame::Hello(hello)),
        ("resume", StreamKind::Control, Frame::Resume(resume)),
        ("acks", StreamKind::Control, Frame::Acks(vec![ack(7), ack(8)])),
        ("note", StreamKind::Control, Frame::Note(Bytes::from_static(b"note"))),
        ("data", StreamKind::Data, Frame::Data(data)),
        ("volatile", StreamKind::Data, Frame::Volatile(Bytes::from_static(b"volatile"))),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Bytes {
    let digits: Vec<u8> =
        text.chars().filter_map(|c| c.to_digit(16)).map(|digit| u8::try_from(digit).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn the_bytes_of_each_kind() {
    let golden: Vec<(&str, &str)> =
        GOLDEN.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_once(' ').unwrap()).collect();
    let written: Vec<(&str, String)> = samples()
        .into_iter()
        .map(|(name, _, frame)| {
            let mut buffer = BytesMut::new();
            frame.encode(&mut buffer).unwrap();
            (name, hex(&buffer))
        })
        .collect();
    let expected: Vec<(&str, String)> = golden.iter().map(|(name, bytes)| (*name, bytes.replace(' ', ""))).collect();
    assert_eq!(written, expected);
    for ((name, stream, frame), (_, bytes)) in samples().into_iter().zip(golden) {
        let mut decoder = FrameDecoder::new(stream, Limits::new(100));
        decoder.feed(unhex(bytes));
        assert_eq!(decoder.next_frame(), Ok(Some(frame)), "{name}");
        assert!(decoder.is_empty(), "{name}");
    }
}
