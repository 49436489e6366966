//! A peer that is let in and then breaks the protocol loses its connection, with one clear reason, and harms nobody
//! else.

use everpost_transport::frame::{FrameError, StreamKind};
use everpost_transport::{CloseCode, Closed, Connection, ReadError, Streams};
use quinn::{ConnectionError, VarInt};

use crate::certificates::Authority;
use crate::harness::{Pair, next_control, next_data, within};
use crate::raw::{self, Accepted};

/// A raw client that was let in as `other`, next to a pair of well-behaved nodes.
struct Scene {
    pair: Pair,
    connection: Connection,
    streams: Streams,
    hostile: Accepted,
    _client: quinn::Endpoint,
}

impl Scene {
    async fn new() -> Self {
        let authority = Authority::new();
        let pair = Pair::new(&authority).await;
        let (client, hostile, connection) = raw::let_in(&authority, &pair.east.endpoint).await;
        assert_eq!(connection.peer(), "other");
        Self { pair, streams: connection.open(), connection, hostile, _client: client }
    }

    /// Closes as a node would; the hostile side hears of it, and the others go on.
    async fn end(mut self, error: ReadError) {
        assert!(error.is_breach(), "{error:?}");
        self.connection.close(CloseCode::Protocol, &error.to_string());
        let heard = within("the close", self.hostile.connection.closed()).await;
        let ConnectionError::ApplicationClosed(close) = heard else { panic!("{heard:?}") };
        assert_eq!((close.error_code, &close.reason[..]), (VarInt::from_u32(2), error.to_string().as_bytes()));
        self.pair.prove().await;
    }
}

/// What east says of these bytes on the control stream.
async fn control(bytes: &[u8], expected: FrameError) {
    let mut scene = Scene::new().await;
    scene.hostile.send.write_all(bytes).await.unwrap();
    let error = next_control(&mut scene.streams.control_in).await.unwrap_err();
    assert_eq!(error, ReadError::Frame(expected));
    scene.end(error).await;
}

/// What east says of these bytes on a data stream.
async fn data(bytes: &[u8], expected: FrameError) {
    let mut scene = Scene::new().await;
    let mut stream = scene.hostile.connection.open_uni().await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let error = next_data(&mut scene.streams.data_in).await.unwrap_err();
    assert_eq!(error, ReadError::Frame(expected));
    scene.end(error).await;
}

#[tokio::test]
async fn garbage() {
    let bytes = b"GET / HTTP/1.1\r\n\r\n";
    control(bytes, FrameError::UnknownKind { kind: b'/' }).await;
    data(bytes, FrameError::UnknownKind { kind: b'/' }).await;
}

#[tokio::test]
async fn an_oversized_frame() {
    let length = [0xff, 0xff, 0xff, 0xff];
    let hello = [&length[..], &[1]].concat();
    control(&hello, FrameError::TooLarge { bytes: 0xffff_fffe, bytes_max: 1 << 20 }).await;
    let bytes_max = (4 << 20) + (64 << 10);
    data(&[&length[..], &[16]].concat(), FrameError::TooLarge { bytes: 0xffff_fffe, bytes_max }).await;
}

#[tokio::test]
async fn an_unknown_kind() {
    control(&[0, 0, 0, 1, 5], FrameError::UnknownKind { kind: 5 }).await;
    data(&[0, 0, 0, 1, 18], FrameError::UnknownKind { kind: 18 }).await;
}

#[tokio::test]
async fn the_wrong_stream() {
    control(&[0, 0, 0, 1, 17], FrameError::WrongStream { kind: 17, stream: StreamKind::Control }).await;
    data(&[0, 0, 0, 1, 4], FrameError::WrongStream { kind: 4, stream: StreamKind::Data }).await;
}

#[tokio::test]
async fn a_frame_that_is_too_short() {
    control(&[0, 0, 0, 2, 3, 0], FrameError::Truncated { kind: 3 }).await;
    data(&[0, 0, 0, 2, 16, 0], FrameError::Truncated { kind: 16 }).await;
}

#[tokio::test]
async fn a_control_stream_that_ends() {
    let mut scene = Scene::new().await;
    scene.hostile.send.finish().unwrap();
    let error = next_control(&mut scene.streams.control_in).await.unwrap_err();
    assert_eq!(error, ReadError::StreamEnded);
    scene.end(error).await;
}

#[tokio::test]
async fn a_data_stream_that_is_reset_after_a_frame() {
    let mut scene = Scene::new().await;
    let mut stream = scene.hostile.connection.open_uni().await.unwrap();
    stream.write_all(&[0, 0, 0, 1, 17, 0, 0]).await.unwrap();
    assert_eq!(next_data(&mut scene.streams.data_in).await.unwrap().len(), 1, "the whole frame counts");
    stream.reset(VarInt::from_u32(9)).unwrap();
    let error = next_data(&mut scene.streams.data_in).await.unwrap_err();
    assert_eq!(error, ReadError::StreamEnded);
    scene.end(error).await;
}

#[tokio::test]
async fn a_control_stream_that_is_no_longer_read() {
    let mut scene = Scene::new().await;
    scene.hostile.receive.stop(VarInt::from_u32(9)).unwrap();
    let error = within("an error", async {
        loop {
            let mut buffer = bytes::BytesMut::from(&[0, 0, 0, 1, 4][..]);
            if let Err(error) = scene.streams.control_out.write(&mut buffer).await {
                break error;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(error, everpost_transport::WriteError::Stopped);
    scene.end(ReadError::StreamEnded).await;
}

#[tokio::test]
async fn too_many_data_streams() {
    let mut scene = Scene::new().await;
    let opened = async {
        let mut streams = Vec::new();
        for _ in 0..64 {
            let mut stream = scene.hostile.connection.open_uni().await.unwrap();
            stream.write_all(&[0, 0, 0, 1, 17]).await.unwrap();
            streams.push(stream);
        }
        streams
    };
    let streams = within("64 streams", opened).await;
    let mut frames = 0;
    while frames < streams.len() {
        frames += next_data(&mut scene.streams.data_in).await.unwrap().len();
    }
    let another =
        tokio::time::timeout(std::time::Duration::from_millis(200), scene.hostile.connection.open_uni()).await;
    assert!(another.is_err(), "QUIC does not let it open one more");
    let second_control = scene.hostile.connection.open_bi();
    let second_control = tokio::time::timeout(std::time::Duration::from_millis(200), second_control).await;
    assert!(second_control.is_err(), "nor a second control stream");
    scene.pair.prove().await;
    // QUIC would make room for another stream when one ends. To us that is a breach.
    drop(streams);
    let error = next_data(&mut scene.streams.data_in).await.unwrap_err();
    assert_eq!(error, ReadError::StreamEnded);
    scene.end(error).await;
}

#[tokio::test]
async fn a_peer_that_closes_with_an_unknown_code_and_an_unprintable_reason() {
    let mut scene = Scene::new().await;
    scene.hostile.connection.close(VarInt::from_u32(77), b"\x1b[2J\nforged line\xff");
    let error = next_control(&mut scene.streams.control_in).await.unwrap_err();
    let expected = Closed::ByPeer { code: CloseCode::Other(77), reason: " [2J forged line\u{fffd}".to_owned() };
    assert_eq!(error, ReadError::Closed(expected.clone()));
    assert_eq!(scene.connection.close_reason(), Some(expected));
    scene.pair.prove().await;
}
