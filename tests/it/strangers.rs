//! Nobody gets in who does not belong: each attempt has one clear line in the log, and no effect on the other peers.

use everpost::Node;
use everpost_tests::cluster::Authority;
use everpost_tests::logs::{self, Line};
use everpost_tests::net::{Net, linked, stop};
use everpost_tests::probe::Probe;
use everpost_tests::puppet::Puppet;
use everpost_tests::wait::soon;
use everpost_tests::worker::{Script, Step, Worker};
use everpost_transport::frame::Frame;
use everpost_transport::hello::PROTOCOL_VERSION;
use everpost_transport::{DialError, Endpoint, Identity, Settings};
use rcgen::date_time_ymd;

/// The west, which everybody wants to get into, the east, which may and goes on, and an empty seat in the north.
pub(crate) struct Scene {
    net: Net,
    pub(crate) names: [String; 3],
    east: Node,
    west: Node,
    asked: u32,
}

impl Scene {
    pub(crate) async fn new(name: &str) -> Self {
        logs::keep();
        let names = ["east", "north", "west"].map(|place| format!("{name}-{place}"));
        let [east, north, west] = names.each_ref().map(String::as_str);
        let net = Net::new(&[east, north, west]).with("worker", &[west]);
        let probe = Probe::new();
        let (east, west) = (net.start(east, &probe).await, net.start(west, &probe).await);
        linked(&[&east, &west]).await;
        Self { net, names, east, west, asked: 0 }
    }

    /// The seat in the north, taken with its own certificate.
    pub(crate) fn puppet(&self) -> Puppet {
        let seat = self.net.seat(&self.names[1]);
        Puppet::new(seat, &seat.identity)
    }

    pub(crate) fn west(&self) -> (&str, std::net::SocketAddr) {
        (&self.names[2], self.net.seat(&self.names[2]).listen)
    }

    /// The east goes on over the same link as before.
    pub(crate) async fn nobody_else_notices(&mut self) {
        self.asked += 1;
        let asked = async { self.east.actor::<Worker>("one").ask(Script::new([Step::Append(self.asked)])).await };
        assert_eq!(soon("the east goes on", asked).await.unwrap(), (1..=self.asked).collect::<Vec<_>>());
        let [east, _, west] = &self.names;
        for (node, peer) in [(west, east), (east, west)] {
            let down = logs::lines(node, "link down").into_iter().find(|line| line.field("peer") == peer);
            assert!(down.is_none(), "{down:?}");
        }
    }

    /// The line that the west writes; there is one only.
    pub(crate) async fn line(&self, event: &str, words: &str) -> Line {
        let line = logs::line(&self.names[2], event, words).await;
        assert_eq!(logs::lines(&self.names[2], event).len(), 1, "{}", line.text());
        assert!(line.level <= tracing::Level::WARN, "{}", line.text());
        line
    }

    pub(crate) async fn end(mut self) {
        self.nobody_else_notices().await;
        stop([self.east, self.west]).await;
    }
}

/// Somebody with this certificate is not let in, and both sides are told why in these words.
async fn check_certificate(name: &str, identity: impl FnOnce(&Scene) -> [std::path::PathBuf; 3], words: &str) {
    let scene = Scene::new(name).await;
    let puppet = Puppet::new(scene.net.seat(&scene.names[1]), &identity(&scene));
    let (west, address) = scene.west();
    let refused = soon("it is refused", puppet.dial(west, address)).await.err();
    assert!(matches!(&refused, Some(DialError::RefusedByPeer { why, .. }) if why.contains(words)), "{refused:?}");
    let line = scene.line("connection refused", words).await;
    assert_eq!(line.field("remote"), puppet.endpoint.local_address().to_string());
    scene.end().await;
}

fn files(identity: everpost::IdentityFiles) -> [std::path::PathBuf; 3] {
    [identity.certificate, identity.key, identity.authority]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_authority() {
    let other = Authority::new();
    let identity = |scene: &Scene| {
        // It trusts our authority, as anybody can.
        let [certificate, key, _] = files(other.issue(&scene.names[1], |_| {}));
        let [.., authority] = scene.net.seat(&scene.names[1]).identity.clone();
        [certificate, key, authority]
    };
    check_certificate("foreign", identity, "the authority of the cluster did not sign it").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate() {
    let identity = |scene: &Scene| {
        let expired = |params: &mut rcgen::CertificateParams| {
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        };
        files(scene.net.authority.issue(&scene.names[1], expired))
    };
    check_certificate("expired", identity, "expired").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_valid_certificate_of_a_name_that_is_not_configured() {
    let identity = |scene: &Scene| files(scene.net.authority.issue("mallory", |_| {}));
    check_certificate("unknown", identity, "its certificate is for `mallory`, which is not a configured peer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_certificate() {
    let scene = Scene::new("anonymous").await;
    let (west, address) = scene.west();
    let [.., authority] = &scene.net.seat(west).identity;
    let client = stranger(std::net::Ipv4Addr::LOCALHOST, authority);
    if let Ok(connection) = soon("a handshake", client.connect(address, west).unwrap()).await {
        // TLS alone is content before the other side has looked.
        assert!(soon("it is refused", connection.accept_bi()).await.is_err());
    }
    scene.line("connection refused", "it has no certificate").await;
    scene.end().await;
}

/// A client without a certificate, at this address of this machine.
pub(crate) fn stranger(host: std::net::Ipv4Addr, authority: &std::path::Path) -> quinn::Endpoint {
    let mut roots = rustls::RootCertStore::empty();
    let pem = std::fs::read(authority).unwrap();
    let mut certificates =
        <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::pem_slice_iter(&pem);
    roots.add(certificates.next().unwrap().unwrap()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"everpost/1".to_vec()];
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    let mut endpoint = quinn::Endpoint::client((host, 0).into()).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(std::sync::Arc::new(crypto)));
    endpoint
}

/// A puppet that says a wrong hello is refused with these words, however often it comes.
async fn check_hello(name: &str, change: impl FnOnce(&mut Puppet), words: &str) {
    let mut scene = Scene::new(name).await;
    let mut puppet = scene.puppet();
    change(&mut puppet);
    let mut conversation = {
        let (west, address) = scene.west();
        soon("the handshake ends", puppet.dial(west, address)).await.expect("its certificate is right")
    };
    let why = conversation.refused().await;
    assert!(why.contains(words), "{why}");
    let line = scene.line("peer refused", words).await;
    assert_eq!(line.field("peer"), scene.names[1]);
    assert_eq!(line.level, tracing::Level::ERROR);
    scene.nobody_else_notices().await;
    // It is no better the second time.
    let (west, address) = scene.west();
    let again = soon("it is refused again", puppet.dial(west, address)).await;
    assert!(again.expect("its certificate is right").refused().await.contains(words));
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cluster() {
    let words = "it belongs to the cluster `other`, and this node to `test`";
    check_hello("elsewhere", |puppet| puppet.hello.cluster = "other".to_owned(), words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_of_the_protocol() {
    let words = format!("it speaks version {} of the protocol", PROTOCOL_VERSION + 1);
    check_hello("newer", |puppet| puppet.hello.protocol = PROTOCOL_VERSION + 1, &words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_name_than_that_of_its_certificate() {
    check_hello("masked", |puppet| puppet.hello.node = "masked-east".to_owned(), "it calls itself `masked-east`").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_number_of_partitions() {
    check_hello("coarse", |puppet| puppet.hello.partitions = 7, "its store has 7 partitions").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_does_not_introduce_itself() {
    let scene = Scene::new("silent").await;
    let seat = scene.net.seat(&scene.names[1]);
    let [certificate, key, authority] = &seat.identity;
    let settings = Settings {
        listen: seat.listen,
        keep_alive: std::time::Duration::from_millis(100),
        idle_timeout: std::time::Duration::from_secs(60),
        streams: 1,
        message_bytes_max: 1 << 20,
        handshake_timeout: std::time::Duration::from_secs(10),
        known: Vec::new(),
    };
    let identity = Identity::load(certificate, key, authority).unwrap();
    let endpoint = Endpoint::bind(&settings, &identity, seat.peers.keys().cloned()).unwrap();
    let (west, address) = scene.west();
    // One says something else first, and is thrown out at once; one says nothing, and is thrown out after a while.
    let hasty = endpoint.dial(west, address, settings.handshake_timeout).await.unwrap();
    let mut streams = hasty.open();
    let mut note = bytes::BytesMut::new();
    Frame::Note(bytes::Bytes::from_static(&[0])).encode(&mut note).unwrap();
    streams.control_out.write(&mut note).await.unwrap();
    let closed = soon("it is thrown out", hasty.closed()).await.to_string();
    assert!(closed.contains("it did not introduce itself first"), "{closed}");
    let silent = endpoint.dial(west, address, settings.handshake_timeout).await.unwrap();
    let closed = soon("it is thrown out", silent.closed()).await.to_string();
    assert!(closed.contains("it did not introduce itself in time"), "{closed}");
    logs::line(west, "peer refused", "it did not introduce itself in time").await;
    scene.end().await;
}
