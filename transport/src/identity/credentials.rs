//! The certificate, private key and authority of a node.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use super::clock::Clock;
use super::error::IdentityError;
use super::files::Files;
use super::names::{names, server_name};
use super::provider::provider;
use crate::text::list;

/// A node's certificate, its private key, and the authority of its cluster. Cheap to clone.
///
/// ```no_run
/// use std::path::Path;
/// use std::time::SystemTime;
///
/// use everpost_transport::Identity;
///
/// # fn example() -> Result<(), everpost_transport::IdentityError> {
/// let identity = Identity::load(Path::new("east.crt"), Path::new("east.key"), Path::new("ca.crt"))?;
/// identity.check("east", SystemTime::now())?;
/// assert_eq!(identity.names(), ["east"]);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Identity {
    /// The node's certificate first, then those between it and the authority.
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: Arc<PrivateKeyDer<'static>>,
    pub(super) authority: Arc<RootCertStore>,
    /// Where all of it comes from.
    pub(super) files: Files,
    pub(super) clock: Clock,
}

impl Identity {
    /// Checks the certificates of others at the time that `now` says, instead of the time of the machine's wall clock.
    #[must_use]
    pub fn with_clock(self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self { clock: Clock::new(now), ..self }
    }

    /// Checks that others accept the certificate at time `at` as that of the node `name`. With a time in the future, it
    /// tells whether the certificate will have expired by then.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Wrong`]: another authority signed it, it has expired or is not valid yet, it is not for this
    /// name, or not for both ends of a connection.
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
