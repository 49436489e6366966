//! Certificates of every kind, good and bad.

use std::fs;
use std::path::PathBuf;

use everpost_transport::Identity;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

/// An authority, and a folder for what it signs.
pub(crate) struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
    pub(crate) der: CertificateDer<'static>,
}

/// What a certificate is to be like.
#[derive(Clone, Copy)]
pub(crate) enum Validity {
    Now,
    Expired,
    NotYet,
}

/// A certificate and its key, in files and in memory.
pub(crate) struct Signed {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) der: CertificateDer<'static>,
    pub(crate) key_der: PrivateKeyDer<'static>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::named("authority of the tests")
    }

    pub(crate) fn named(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        fs::write(folder.path().join("authority.pem"), certificate.pem()).unwrap();
        let der = certificate.der().clone();
        Self { folder, issuer: Issuer::new(params, key), der }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// Signs a certificate for these names.
    pub(crate) fn sign(&self, names: &[&str], validity: Validity) -> Signed {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let label = format!("{}-{}", names.join("-"), validity as u8);
        let mut params = CertificateParams::new(names).unwrap();
        (params.not_before, params.not_after) = match validity {
            Validity::Now => (date_time_ymd(2020, 1, 1), date_time_ymd(2120, 1, 1)),
            Validity::Expired => (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1)),
            Validity::NotYet => (date_time_ymd(2119, 1, 1), date_time_ymd(2120, 1, 1)),
        };
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let file = |kind: &str, pem: String| {
            let path = self.folder.path().join(format!("{label}.{kind}.pem"));
            fs::write(&path, pem).unwrap();
            path
        };
        Signed {
            certificate: file("certificate", certificate.pem()),
            key: file("key", key.serialize_pem()),
            der: certificate.der().clone(),
            key_der: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        }
    }

    /// The identity of a node with this one name.
    pub(crate) fn identity(&self, name: &str) -> Identity {
        self.identity_of(&self.sign(&[name], Validity::Now))
    }

    pub(crate) fn identity_of(&self, signed: &Signed) -> Identity {
        Identity::load(&signed.certificate, &signed.key, &self.path()).unwrap()
    }
}
