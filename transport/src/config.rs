//! The settings of an endpoint, and what they mean for QUIC. Every value that matters is set here on purpose.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::{IdleTimeout, TransportConfig, VarInt};

use crate::error::BindError;

/// The protocol that both sides must name in the TLS handshake.
pub(crate) const PROTOCOL: &[u8] = b"everpost/1";

/// How many data streams a peer may open. A constant of the protocol: a side that opens fewer never waits for
/// permission.
pub const STREAMS_MAX: u8 = 64;

/// The settings of an [`Endpoint`](crate::Endpoint).
///
/// ```
/// use std::time::Duration;
///
/// use everpost_transport::Settings;
///
/// let settings = Settings {
///     listen: "0.0.0.0:7400".parse()?,
///     keep_alive: Duration::from_millis(500),
///     idle_timeout: Duration::from_secs(2),
///     streams: 4,
///     message_bytes_max: 16 << 20,
///     handshake_timeout: Duration::from_secs(10),
///     known: Vec::new(),
/// };
/// settings.validate()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen, and what connections leave from. Port 0 lets the system choose.
    pub listen: SocketAddr,
    /// How often an idle connection shows that it is alive. If this is longer than half of `idle_timeout`, one lost
    /// packet can end a connection.
    pub keep_alive: Duration,
    /// After how long without anything from a peer the connection counts as lost. If this is too short, a busy machine
    /// looks like a dead one. The shorter timeout of the two sides holds.
    pub idle_timeout: Duration,
    /// How many data streams this side opens, 1 to [`STREAMS_MAX`]. Messages on one stream wait for each other when a
    /// packet is lost; more streams cost memory.
    pub streams: u8,
    /// The largest message body, in bytes. A larger frame from a peer ends the connection.
    pub message_bytes_max: usize,
    /// How long the handshake of a peer that dials may take. How far away the peer is cannot be known, so this has to
    /// be long enough for the slowest path. Handshakes that this side begins have their own timeout at each
    /// [dial](crate::Endpoint::dial).
    pub handshake_timeout: Duration,
    /// The addresses of peers. Handshakes from there do not count against the limit for those from unknown addresses,
    /// so that strangers cannot keep them out. Peers may come from other addresses too.
    pub known: Vec<IpAddr>,
}

impl Settings {
    /// Checks the limits that the types do not express.
    ///
    /// # Errors
    ///
    /// [`BindError::Setting`], which names the field.
    pub fn validate(&self) -> Result<(), BindError> {
        let wrong = |field, problem: String| Err(BindError::Setting { field, problem });
        if self.streams == 0 || self.streams > STREAMS_MAX {
            return wrong("streams", format!("is {}, and must be 1 to {STREAMS_MAX}", self.streams));
        }
        if self.message_bytes_max == 0 || self.message_bytes_max > MESSAGE_BYTES_MAX {
            return wrong(
                "message_bytes_max",
                format!("is {}, and must be 1 to {MESSAGE_BYTES_MAX}", self.message_bytes_max),
            );
        }
        if self.keep_alive.is_zero() || self.keep_alive >= self.idle_timeout {
            return wrong(
                "keep_alive",
                format!(
                    "is {:?}, and must be above zero and below idle_timeout, {:?}",
                    self.keep_alive, self.idle_timeout
                ),
            );
        }
        if IdleTimeout::try_from(self.idle_timeout).is_err() {
            return wrong("idle_timeout", format!("is {:?}, which is more than QUIC can say", self.idle_timeout));
        }
        if self.handshake_timeout.is_zero() {
            return wrong("handshake_timeout", "is zero, so that no connection could be made".to_owned());
        }
        Ok(())
    }

    /// The settings of QUIC for connections that this side dials (`dialing`) or accepts, whose handshake may take
    /// `within`.
    ///
    /// # Panics
    ///
    /// When the settings are not [valid](Self::validate).
    pub(crate) fn transport(&self, dialing: bool, within: Duration) -> Arc<TransportConfig> {
        let idle_timeout = IdleTimeout::try_from(self.idle_timeout).expect("the settings are valid");
        let mut transport = TransportConfig::default();
        transport
            // The accepting side opens the control stream, which is the only bidirectional one.
            .max_concurrent_bidi_streams(VarInt::from_u32(u32::from(dialing)))
            // The limit of the protocol rather than our own count: a peer that is set to more streams than we are does
            // not wait for ever for one that it may never open.
            .max_concurrent_uni_streams(VarInt::from_u32(u32::from(STREAMS_MAX)))
            // Bounds what a peer makes us hold unread: 1 MiB a stream keeps a link of 1 Gbit/s and 8 ms busy with one
            // stream, and one of 100 ms with sixteen.
            .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
            // Room for each data stream of a peer with our settings, and for the control stream besides:
            // acknowledgements come through while data waits unread.
            .receive_window(receive_window(usize::from(self.streams)))
            // Bounds what we hold unacknowledged for a peer, and so how long an acknowledgement of ours waits behind
            // data that was written before it.
            .send_window(SEND_WINDOW)
            // Datagrams are not used, and the peer is told so.
            .datagram_receive_buffer_size(None)
            .keep_alive_interval(Some(self.keep_alive))
            .max_idle_timeout(Some(idle_timeout))
            // The guess until a round trip was measured. QUIC repeats the first packet after three times as long, and
            // gives up on a silent peer after nine times as long, however short the idle timeout is. That has to be
            // later than the end of the handshake's time, or the caller would be told that the connection is lost
            // instead of that the handshake took too long.
            .initial_rtt((within / 8).max(INITIAL_RTT_MIN));
        // Left as they are: MTU discovery (on), the frequency of acknowledgements, and the congestion control (Cubic),
        // which shares a link fairly with other traffic.
        Arc::new(transport)
    }
}

/// With less, the first packet would be repeated before an answer can have come.
const INITIAL_RTT_MIN: Duration = Duration::from_millis(100);

/// The largest message that settings may allow: a frame's length has 32 bits, and a frame is held in memory.
const MESSAGE_BYTES_MAX: usize = 1 << 30;

/// How much of one stream may be unread, in bytes.
const STREAM_WINDOW: u32 = 1 << 20;

/// How much of a connection may be unread when the peer has so many data streams: each can be full, and the control
/// stream too.
pub(crate) fn receive_window(streams: usize) -> VarInt {
    let streams = u32::try_from(streams).unwrap_or(u32::MAX).min(u32::from(STREAMS_MAX));
    VarInt::from_u32(STREAM_WINDOW * (streams + 1))
}

/// How much of a connection may be unacknowledged, in bytes.
const SEND_WINDOW: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            keep_alive: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(5),
            streams: 4,
            message_bytes_max: 1 << 20,
            handshake_timeout: Duration::from_secs(1),
            known: Vec::new(),
        }
    }

    #[test]
    fn settings_that_contradict_themselves_name_the_field() {
        type Change = fn(&mut Settings);
        let cases: [(&str, Change); 8] = [
            ("streams", |s| s.streams = 0),
            ("streams", |s| s.streams = 65),
            ("message_bytes_max", |s| s.message_bytes_max = 0),
            ("message_bytes_max", |s| s.message_bytes_max = usize::MAX),
            ("keep_alive", |s| s.keep_alive = Duration::ZERO),
            ("keep_alive", |s| s.keep_alive = s.idle_timeout),
            ("idle_timeout", |s| s.idle_timeout = Duration::MAX),
            ("handshake_timeout", |s| s.handshake_timeout = Duration::ZERO),
        ];
        for (field, change) in cases {
            let mut settings = settings();
            change(&mut settings);
            let error = settings.validate().unwrap_err().to_string();
            assert!(error.contains(field), "{field}: {error}");
        }
        settings().validate().unwrap();
    }
}
