//! Reads an identity from PEM files, and once more when they have changed.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::clock::Clock;
use super::credentials::Identity;
use super::error::IdentityError;
use super::files::Files;
use super::provider::provider;

impl Identity {
    /// Reads the node's certificate (followed by those between it and the authority, if there are any), its private
    /// key, and the certificates of the cluster's authority. All are PEM files. Whether the certificate is valid now,
    /// and for which name, is for [`Identity::check`] to say.
    ///
    /// # Errors
    ///
    /// [`IdentityError`], which names the file.
    pub fn load(certificate: &Path, key: &Path, authority: &Path) -> Result<Self, IdentityError> {
        // Looked at before they are read, so that a change in between is seen the next time.
        let files = Files::look([certificate, key, authority].map(Path::to_owned));
        let chain = certificates(certificate)?;
        let private = private_key(key)?;
        let pair = CertifiedKey::from_der(chain.clone(), private.clone_key(), &provider());
        pair.map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                wrong(key, format!("is not the key of the certificate in {}", certificate.display()))
            }
            rustls::Error::InvalidCertificate(why) => wrong(certificate, format!("holds no usable certificate: {why}")),
            error => wrong(key, format!("holds no usable private key: {error}; make an ECDSA P-256 or Ed25519 key")),
        })?;
        let mut roots = RootCertStore::empty();
        for root in certificates(authority)? {
            roots.add(root).map_err(|error| wrong(authority, format!("holds no usable authority: {error}")))?;
        }
        let (key, authority) = (Arc::new(private), Arc::new(roots));
        Ok(Self { chain, key, authority, files, clock: Clock::default() })
    }

    /// Reads the files again if one of them has changed since; none if they are the same. It accesses the disk, so it
    /// blocks.
    ///
    /// # Errors
    ///
    /// As [`Identity::load`]. The files may be in the middle of being renewed, and right a moment later; this identity
    /// stays
    /// as it is.
    pub fn renewed(&self) -> Result<Option<Self>, IdentityError> {
        let paths = self.files.0.each_ref().map(|(path, _)| path.clone());
        if Files::look(paths.clone()) == self.files {
            return Ok(None);
        }
        let [certificate, key, authority] = &paths;
        let renewed = Self::load(certificate, key, authority)?;
        Ok(Some(Self { clock: self.clock.clone(), ..renewed }))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let pem = read(path)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(path, format!("is not a PEM file: {error}")))?;
    if certificates.is_empty() {
        return Err(wrong(path, "holds no certificate (a block `BEGIN CERTIFICATE` in PEM)".to_owned()));
    }
    Ok(certificates)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, IdentityError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            wrong(path, "holds no private key (a block `BEGIN PRIVATE KEY` in PEM, without a password)".to_owned())
        }
        error => wrong(path, format!("is not a PEM file: {error}")),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    fs::read(path).map_err(|source| IdentityError::Unreadable { path: path.to_owned(), source })
}

fn wrong(path: &Path, problem: String) -> IdentityError {
    IdentityError::Wrong { path: path.to_owned(), problem }
}
