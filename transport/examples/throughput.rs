//! How many messages a second one link carries: two endpoints in two runtimes on loopback, nothing stored.
//!
//! `cargo run --release -p everpost-transport --example throughput -- [BODY_BYTES] [MESSAGES] [STREAMS]`

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use everpost_transport::frame::encode_data;
use everpost_transport::link::{Data, Lane, Sequence};
use everpost_transport::{Endpoint, Identity, Settings};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::runtime::{Builder, Runtime};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let body_bytes = arguments.next().transpose()?.unwrap_or(200);
    let messages = arguments.next().transpose()?.unwrap_or(2_000_000);
    let streams = u8::try_from(arguments.next().transpose()?.unwrap_or(4))?;

    let folder = tempfile::tempdir()?;
    let (east, west) = identities(folder.path())?;
    let settings = Settings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        keep_alive: Duration::from_secs(1),
        idle_timeout: Duration::from_secs(10),
        streams,
        message_bytes_max: 1 << 20,
        handshake_timeout: Duration::from_secs(5),
        known: Vec::new(),
    };
    let (at_east, at_west) = (runtime()?, runtime()?);
    let listening = settings.clone();
    let east = at_east.block_on(async move { Endpoint::bind(&listening, &east, ["west".to_owned()]) })?;
    let address = east.local_address();
    let reader = at_east.spawn(async move { receive(&east, messages).await });
    let started = now();
    at_west.block_on(async move {
        let west = Endpoint::bind(&settings, &west, ["east".to_owned()]).map_err(|error| error.to_string())?;
        send(&west, address, body_bytes, messages).await
    })?;
    let batches = at_east.block_on(reader)??;
    report(body_bytes, messages, batches, started.elapsed());
    Ok(())
}

/// Writes as a link would: many messages a buffer, each buffer to one stream.
async fn send(west: &Endpoint, address: SocketAddr, body_bytes: usize, messages: usize) -> Result<(), String> {
    let connection = west.dial("east", address, Duration::from_secs(5)).await.map_err(|error| error.to_string())?;
    let mut streams = connection.open();
    let mut buffer = BytesMut::new();
    let mut data = Data {
        lane: Lane { receiver_type: 1, partition: 1 },
        previous: Sequence(0),
        sequence: Sequence(1),
        flags: 0,
        body: Bytes::from(vec![7; body_bytes]),
    };
    let mut stream = 0;
    for n in 1..=messages {
        encode_data(&mut buffer, &data);
        data.previous = data.sequence;
        data.sequence.0 += 1;
        if buffer.len() >= BUFFER_BYTES || n == messages {
            streams.data_out.write(stream, &mut buffer).await.map_err(|error| error.to_string())?;
            stream += 1;
        }
    }
    // The reader closes when it has everything.
    connection.closed().await;
    Ok(())
}

/// How many batches the messages came in.
async fn receive(east: &Endpoint, messages: usize) -> Result<usize, String> {
    let accepted = east.accept().await.ok_or("the endpoint is closed")?;
    let connection = accepted.map_err(|error| error.to_string())?;
    let mut streams = connection.open();
    let (mut frames, mut came, mut batches) = (Vec::new(), 0, 0);
    while came < messages {
        streams.data_in.next(&mut frames).await.map_err(|error| error.to_string())?;
        came += frames.len();
        batches += 1;
        frames.clear();
    }
    Ok(batches)
}

fn identities(folder: &Path) -> Result<(Identity, Identity), Box<dyn Error>> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    let authority = folder.join("authority.pem");
    std::fs::write(&authority, params.self_signed(&key)?.pem())?;
    let issuer = Issuer::new(params, key);
    let identity = |name: &str| -> Result<Identity, Box<dyn Error>> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([name.to_owned()])?.signed_by(&key, &issuer)?;
        let (certificate_path, key_path) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        std::fs::write(&certificate_path, certificate.pem())?;
        std::fs::write(&key_path, key.serialize_pem())?;
        Ok(Identity::load(&certificate_path, &key_path, &authority)?)
    };
    Ok((identity("east")?, identity("west")?))
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(1).enable_all().build()
}

#[expect(clippy::disallowed_methods, reason = "a measurement is made with the real clock")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::print_stdout, reason = "the result of this program")]
fn report(body_bytes: usize, messages: usize, batches: usize, took: Duration) {
    let rate = messages as f64 / took.as_secs_f64();
    let megabytes = rate * body_bytes as f64 / 1e6;
    println!(
        "{messages} messages of {body_bytes} bytes in {took:.2?}: {rate:.0} a second, {megabytes:.0} MB/s; {:.0} a \
         batch",
        messages as f64 / batches as f64
    );
}

/// What a link writes at a time.
const BUFFER_BYTES: usize = 64 << 10;
