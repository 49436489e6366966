//! Nodes of one cluster on this machine: their files, certificates and ports.

use std::fmt::Write;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use crate::program::{Running, access_log, line_with, spawn, text};

/// A folder with what each node needs, and a log.
pub(crate) struct Nodes {
    folder: TempDir,
}

impl Nodes {
    pub(crate) fn new(names: &[&str], log: &[u8]) -> Self {
        let nodes = Self { folder: tempfile::tempdir().unwrap() };
        nodes.certify(names);
        // All at once, so that none of them is given out twice.
        let sockets: Vec<_> = names.iter().map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
        let addresses: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        for (name, address) in names.iter().zip(&addresses) {
            let peers = names.iter().zip(&addresses).filter(|(peer, _)| *peer != name);
            fs::write(nodes.file(name), node_file(name, *address, peers)).unwrap();
        }
        fs::write(nodes.input(), log).unwrap();
        nodes
    }

    /// The file of a node.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.toml"))
    }

    pub(crate) fn input(&self) -> PathBuf {
        self.path("access.log")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a node that serves, and waits until it does.
    pub(crate) fn serve(&self, name: &str) -> Running {
        let mut child = spawn(access_log().arg("--config").arg(self.file(name)));
        let said = line_with("listens on 127.0.0.1:", child.stdout.take().unwrap());
        let running = Running::new(child);
        if said.is_none() {
            panic!("{name} does not serve: {}", text(&running.ends().stderr));
        }
        running
    }

    /// What makes a node read the log.
    pub(crate) fn ingest(&self, name: &str) -> Command {
        self.ingest_from(name, &self.input())
    }

    pub(crate) fn ingest_from(&self, name: &str, input: &Path) -> Command {
        let mut command = access_log();
        command.arg("--config").arg(self.file(name)).arg("--input").arg(input).arg("--json");
        command
    }

    fn certify(&self, names: &[&str]) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        fs::write(self.path("ca.crt"), params.self_signed(&key).unwrap().pem()).unwrap();
        let authority = Issuer::new(params, key);
        for name in names {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(vec![(*name).to_owned()]).unwrap();
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
            let certificate = params.signed_by(&key, &authority).unwrap();
            fs::write(self.path(&format!("{name}.crt")), certificate.pem()).unwrap();
            fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
        }
    }
}

fn node_file<'a>(name: &str, listen: SocketAddr, peers: impl Iterator<Item = (&'a &'a str, &'a SocketAddr)>) -> String {
    let mut text = format!(
        r#"name = "{name}"
cluster = "test"
data = "{name}-data"
listen = "{listen}"

[identity]
certificate = "{name}.crt"
key = "{name}.key"
authority = "ca.crt"
"#
    );
    for (peer, address) in peers {
        write!(text, "\n[peers.{peer}]\naddresses = [\"{address}\"]\n").unwrap();
    }
    text
}
