//! Which peers may connect.

use rustls::pki_types::{CertificateDer, ServerName};
use webpki::EndEntityCert;

use super::names::{names, server_name};
use crate::accept_error::RejectionReason;

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

    /// Which peer a certificate is for; it was verified already. One that fits several peers does not say who it is.
    pub(crate) fn find(&self, certificate: &CertificateDer<'_>) -> Result<&str, RejectionReason> {
        let leaf =
            EndEntityCert::try_from(certificate).map_err(|error| RejectionReason::Certificate(error.to_string()))?;
        let fitting: Vec<&str> = self
            .0
            .iter()
            .filter(|(_, server_name)| leaf.verify_is_valid_for_subject_name(server_name).is_ok())
            .map(|(name, _)| name.as_str())
            .collect();
        match fitting[..] {
            [peer] => Ok(peer),
            [] => Err(RejectionReason::NotConfigured { names: names(&leaf) }),
            _ => Err(RejectionReason::Ambiguous { peers: fitting.into_iter().map(str::to_owned).collect() }),
        }
    }
}
