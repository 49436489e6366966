//! A connection to a peer whose certificate was verified, and its streams.

mod liveness;
mod reader;
mod shared;
mod writer;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use quinn::{RecvStream, SendStream};

pub use self::liveness::Liveness;
pub use self::reader::{BATCH_BYTES_MAX, BATCH_FRAMES_MAX, ControlReader, DataReader};
use self::shared::{Guard, Shared};
pub use self::writer::{ControlWriter, DataWriter};
use crate::close::{CloseCode, Closed};
use crate::config::Settings;
use crate::protocol::frame::Limits;

/// A connection to a peer. Clones are the same connection; it is closed when all of them and its streams are dropped.
///
/// ```no_run
/// use bytes::{Bytes, BytesMut};
/// use everpost_transport::frame::encode_volatile;
/// use everpost_transport::{CloseCode, Connection, Streams};
///
/// # async fn example(connection: Connection) -> Result<(), Box<dyn std::error::Error>> {
/// let Streams { mut data_out, mut data_in, .. } = connection.open();
/// let mut bytes = BytesMut::new();
/// encode_volatile(&mut bytes, b"hello");
/// data_out.write(0, &mut bytes).await?;
///
/// let mut frames = Vec::new();
/// data_in.next(&mut frames).await?;
/// connection.close(CloseCode::Stopping, "that was all");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Connection(Arc<Shared>);

/// The streams of a connection. Each part has one user at a time; all four may be in one task.
///
/// They live as long as the connection: dropping any of them closes it with [`CloseCode::Abandoned`], unless it was
/// closed before.
#[derive(Debug)]
pub struct Streams {
    /// Writes to the control stream.
    pub control_out: ControlWriter,
    /// Reads from the control stream.
    pub control_in: ControlReader,
    /// Writes to the data streams of this side.
    pub data_out: DataWriter,
    /// Reads from the data streams of the peer.
    pub data_in: DataReader,
}

impl Connection {
    pub(crate) fn new(
        connection: quinn::Connection,
        peer: String,
        dialed: bool,
        control: (SendStream, RecvStream),
        settings: &Settings,
    ) -> Self {
        Self(Arc::new(Shared {
            control: Mutex::new(Some(control)),
            closing: OnceLock::new(),
            streams: settings.streams,
            limits: Limits::new(settings.message_bytes_max),
            peer,
            dialed,
            quic: connection,
        }))
    }

    /// Takes the streams of the connection. The first frame of each side on the control stream has to be its hello.
    ///
    /// # Panics
    ///
    /// If they were taken before.
    #[must_use]
    pub fn open(&self) -> Streams {
        let (send, receive) = self
            .0
            .control
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .expect("the streams of a connection are taken once");
        Streams {
            control_out: ControlWriter::new(Guard(self.0.clone()), send),
            control_in: ControlReader::new(Guard(self.0.clone()), receive),
            data_out: DataWriter::new(Guard(self.0.clone())),
            data_in: DataReader::new(Guard(self.0.clone())),
        }
    }

    /// Closes the connection. What was written and has not arrived is lost. Does nothing if it is closed already.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.0.close(code, reason);
    }

    /// Waits until the connection is closed, by either side.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it changes nothing.
    pub async fn closed(&self) -> Closed {
        let error = self.0.quic.closed().await;
        self.0.explain(&error)
    }

    /// How the connection was closed, if it is.
    #[must_use]
    pub fn close_reason(&self) -> Option<Closed> {
        self.0.quic.close_reason().map(|error| self.0.explain(&error))
    }

    /// The name of the peer, as configured here and certified there.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.0.peer
    }

    /// The address of the peer.
    #[must_use]
    pub fn remote(&self) -> SocketAddr {
        self.0.quic.remote_address()
    }

    /// Whether this side dialed.
    #[must_use]
    pub fn dialed(&self) -> bool {
        self.0.dialed
    }

    /// Tells whether the peer is still alive, without a part in using the connection.
    #[must_use]
    pub fn liveness(&self) -> Liveness {
        Liveness::new(&self.0)
    }

    /// How long a round trip takes, as estimated now.
    #[must_use]
    pub fn rtt(&self) -> Duration {
        self.0.quic.rtt()
    }
}
