//! Who this node is, and who may speak with it.
//!
//! A node is who its certificate says: the cluster's own authority signed it for the node's name. There is no other secret
//! and no other list; nobody outside the cluster can complete a handshake.

mod clock;
mod keys;
mod load;
mod renewal;
mod tls;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use self::clock::Clock;
use self::renewal::Files;
pub(crate) use self::tls::{alert, explained, provider};
use crate::endpoint::IntrusionReason;

/// A node's certificate, its private key, and the authority of its cluster. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    /// The node's certificate first, then those between it and the authority.
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
    authority: Arc<RootCertStore>,
    /// Where all of it comes from.
    files: Files,
    clock: Clock,
}

/// The files do not make an identity. The message says which file, what is wrong, and what to do.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A file cannot be read.
    #[error("{}: {source}; check the path and the permissions", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {problem}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
}

impl Identity {
    /// Judges the certificates of others by what this says that the time is, instead of by the machine's wall clock.
    #[must_use]
    pub fn with_clock(self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self { clock: Clock::new(now), ..self }
    }

    /// Checks that others will accept the certificate at time `at` as that of the node `name`. A time in the future tells
    /// whether it will have expired by then.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Wrong`]: another authority signed it, it has expired or is not valid yet, it is not for this name,
    /// or not for both ends of a connection.
    pub fn check(&self, name: &str, at: SystemTime) -> Result<(), IdentityError> {
        let wrong = |problem: String| IdentityError::Wrong { path: self.certificate_path().to_owned(), problem };
        let since_1970 = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let leaf =
            EndEntityCert::try_from(&self.chain[0]).map_err(|error| wrong(format!("is no certificate: {error}")))?;
        for (usage, end) in [(KeyUsage::server_auth(), "server"), (KeyUsage::client_auth(), "client")] {
            leaf.verify_for_usage(
                provider().signature_verification_algorithms.all,
                &self.authority.roots,
                &self.chain[1..],
                UnixTime::since_unix_epoch(since_1970),
                usage,
                None,
                None,
            )
            .map_err(|error| {
                wrong(format!("no node would accept this certificate from a {end}: {}", explain(&error)))
            })?;
        }
        let expected = server_name(name).ok_or_else(|| wrong(format!("`{name}` is not a DNS name")))?;
        leaf.verify_is_valid_for_subject_name(&expected).map_err(|_| {
            wrong(format!(
                "is for {}, and the node is called `{name}`; make one with that DNS name",
                list(&names(&leaf))
            ))
        })
    }

    fn certificate_path(&self) -> &Path {
        let Files([(path, _), ..]) = &self.files;
        path
    }

    /// The DNS names in the certificate.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        EndEntityCert::try_from(&self.chain[0]).map(|leaf| names(&leaf)).unwrap_or_default()
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("names", &self.names()).finish_non_exhaustive()
    }
}

/// The peers that may connect, by the names that their certificates carry.
#[derive(Clone, Debug)]
pub(crate) struct Peers(Vec<(String, ServerName<'static>)>);

impl Peers {
    /// # Errors
    ///
    /// The first name that is no DNS name.
    pub(crate) fn new(names: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let peers = names.into_iter().map(|name| match server_name(&name) {
            Some(server_name) => Ok((name, server_name)),
            None => Err(name),
        });
        Ok(Self(peers.collect::<Result<_, _>>()?))
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|(peer, _)| peer == name)
    }

    /// Which peer a certificate is for that was verified already. One that fits several says nothing about who it is.
    pub(crate) fn find(&self, certificate: &CertificateDer<'_>) -> Result<&str, IntrusionReason> {
        let leaf =
            EndEntityCert::try_from(certificate).map_err(|error| IntrusionReason::Certificate(error.to_string()))?;
        let fitting: Vec<&str> = self
            .0
            .iter()
            .filter(|(_, server_name)| leaf.verify_is_valid_for_subject_name(server_name).is_ok())
            .map(|(name, _)| name.as_str())
            .collect();
        match fitting[..] {
            [peer] => Ok(peer),
            [] => Err(IntrusionReason::NotConfigured { names: names(&leaf) }),
            _ => Err(IntrusionReason::Ambiguous { peers: fitting.into_iter().map(str::to_owned).collect() }),
        }
    }
}

/// `` `a`, `b` ``, or that there is nothing.
pub(crate) fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "no name".to_owned();
    }
    names.iter().map(|name| format!("`{}`", name.escape_debug())).collect::<Vec<_>>().join(", ")
}

/// Only DNS names: a node's name is never an address.
fn server_name(name: &str) -> Option<ServerName<'static>> {
    match ServerName::try_from(name.to_owned()) {
        Ok(server_name @ ServerName::DnsName(_)) => Some(server_name),
        _ => None,
    }
}

fn names(leaf: &EndEntityCert<'_>) -> Vec<String> {
    leaf.valid_dns_names().map(str::to_owned).collect()
}

fn explain(error: &webpki::Error) -> String {
    match error {
        webpki::Error::CertExpired { .. } => "it has expired; make a new one".to_owned(),
        webpki::Error::CertNotValidYet { .. } => "it is not valid yet; check the clock of this machine".to_owned(),
        // The second, if an authority of the same name signed it.
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
            "the authority of the cluster did not sign it".to_owned()
        }
        error => error.to_string(),
    }
}

crate::error_text::debug_as_text!(IdentityError);
