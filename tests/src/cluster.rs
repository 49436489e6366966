//! What several nodes on one machine need: an authority and its certificates, addresses, and links that soon find out
//! what is lost.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use everpost::{IdentityFiles, LinkConfig};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// An authority, and a folder for what it issues.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    /// A new authority.
    ///
    /// # Panics
    ///
    /// When the folder cannot be written.
    #[must_use]
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = CertificateParams::new(Vec::new()).expect("no names are valid names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("it can be signed");
        let folder = crate::folder();
        std::fs::write(folder.path().join("ca.crt"), certificate.pem()).expect("the folder can be written");
        Self { issuer: Issuer::new(params, key), folder }
    }

    /// A certificate for a node of this name, valid now; `change` may spoil it.
    ///
    /// # Panics
    ///
    /// When the folder cannot be written.
    pub fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> IdentityFiles {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a valid name");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.signed_by(&key, &self.issuer).expect("it can be signed");
        let file =
            |extension: &str| self.folder.path().join(format!("{name}-{:016x}.{extension}", rand::random::<u64>()));
        let write = |path: PathBuf, text: String| {
            std::fs::write(&path, text).expect("the folder can be written");
            path
        };
        IdentityFiles {
            certificate: write(file("crt"), certificate.pem()),
            key: write(file("key"), key.serialize_pem()),
            authority: self.folder.path().join("ca.crt"),
        }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// An address of this machine that nobody listens on, and that no other test of this process gets: each has a host of
/// its own in the loopback network.
///
/// # Panics
///
/// When the machine has none.
#[must_use]
pub fn free_address() -> SocketAddr {
    static HOSTS: AtomicU16 = AtomicU16::new(1);
    let [high, low] = HOSTS.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    // Each process has hosts of its own: a port that a stopped node will want again is not taken by another test.
    let process = u8::try_from(64 + std::process::id() % 128).expect("below 192");
    let socket = UdpSocket::bind((Ipv4Addr::new(127, process, high, low), 0)).expect("a port is free");
    socket.local_addr().expect("it is bound")
}

/// Links for tests: what is lost is found out soon.
#[must_use]
pub fn link() -> LinkConfig {
    LinkConfig {
        keep_alive: Duration::from_millis(100),
        idle_timeout: Duration::from_secs(2),
        reconnect_first: Duration::from_millis(10),
        reconnect_cap: Duration::from_millis(100),
        ..LinkConfig::default()
    }
}
