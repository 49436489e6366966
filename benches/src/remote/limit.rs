//! What the link does alone: frames in large batches over one QUIC connection on loopback, nothing stored, nobody to
//! handle them. Two endpoints in one process, each with a thread of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use everpost::IdentityFiles;
use everpost_transport::frame::encode_data;
use everpost_transport::link::{Data, Lane, Sequence};
use everpost_transport::{Endpoint, Identity, Settings};
use tokio::runtime::{Builder, Runtime};

use super::certificates::identity;
use crate::clock::{now, per_second};
use crate::problem::Problem;

/// A message of 128 bytes with its headers.
const BODY_BYTES: usize = 200;
/// What is written at a time.
const BUFFER_BYTES: usize = 64 << 10;

/// From the first frame that is encoded to the last one that is decoded.
pub(super) fn frames_per_second(certificates: &Path, names: [&str; 2], frames: u64) -> Result<f64, Problem> {
    let [sender, receiver] = names;
    let (at_sender, at_receiver) = (runtime()?, runtime()?);
    let receiving = at_receiver.block_on(bind(certificates, receiver, sender))?;
    let sending = at_sender.block_on(bind(certificates, sender, receiver))?;
    let address = receiving.local_address();
    let start = now();
    let received = at_receiver.spawn(async move { receive(&receiving, frames).await });
    at_sender.block_on(send(&sending, receiver, address, frames))?;
    at_receiver.block_on(received)??;
    Ok(per_second(frames, start.elapsed()))
}

async fn bind(certificates: &Path, name: &str, peer: &str) -> Result<Endpoint, Problem> {
    let IdentityFiles { certificate, key, authority } = identity(certificates, name);
    let settings = Settings {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        keep_alive: Duration::from_secs(1),
        idle_timeout: Duration::from_secs(10),
        streams: 4,
        message_bytes_max: 1 << 20,
        handshake_timeout: Duration::from_secs(5),
        known: Vec::new(),
    };
    let identity = Identity::load(&certificate, &key, &authority)?;
    Ok(Endpoint::bind(&settings, &identity, [peer.to_owned()])?)
}

async fn send(endpoint: &Endpoint, peer: &str, address: SocketAddr, frames: u64) -> Result<(), Problem> {
    let connection = endpoint.dial(peer, address, Duration::from_secs(5)).await?;
    let mut streams = connection.open();
    let mut buffer = BytesMut::new();
    let lane = Lane { receiver_type: 1, partition: 1 };
    let body = Bytes::from(vec![0x5a; BODY_BYTES]);
    let mut stream = 0;
    for number in 1..=frames {
        let (previous, sequence) = (Sequence(number - 1), Sequence(number));
        encode_data(&mut buffer, &Data { lane, previous, sequence, flags: 0, body: body.clone() });
        if buffer.len() >= BUFFER_BYTES || number == frames {
            streams.data_out.write(stream, &mut buffer).await?;
            stream += 1;
        }
    }
    // The receiver closes when it has everything.
    connection.closed().await;
    Ok(())
}

async fn receive(endpoint: &Endpoint, frames: u64) -> Result<(), Problem> {
    let accepted = endpoint.accept().await.ok_or_else(|| Problem::new("the endpoint is closed"))?;
    let connection = accepted.map_err(Problem::new)?;
    let mut streams = connection.open();
    let (mut batch, mut came) = (Vec::new(), 0);
    while came < frames {
        streams.data_in.next(&mut batch).await?;
        came += batch.len() as u64;
        batch.clear();
    }
    Ok(())
}

fn runtime() -> Result<Runtime, Problem> {
    Ok(Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}
