//! An authority for development, and the certificates that it issues.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

use crate::problem::Problem;

/// How far clocks of nodes may be apart before a new certificate is refused.
const CLOCKS_APART: Duration = Duration::days(1);

/// Who issues certificates.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its private key, both in PEM.
pub(super) struct Issued {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Authority {
    /// A new authority, which nothing else trusts.
    pub(super) fn make(cluster: &str, now: OffsetDateTime, until: OffsetDateTime) -> Result<Self, Problem> {
        let key = KeyPair::generate().map_err(not_made)?;
        // A part of the key is in the name: of two authorities with one name, the certificates of the other would seem
        // broken.
        let part: String = key.public_key_raw().iter().skip(1).take(4).map(|byte| format!("{byte:02x}")).collect();
        let mut params = params(&format!("everpost {cluster} development authority {part}"), now, until);
        // It issues certificates of nodes, and no further authorities.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self(CertifiedIssuer::self_signed(params, key).map_err(not_made)?))
    }

    /// A certificate for a node: its name as the only DNS name, for both ends of a connection.
    pub(super) fn issue(&self, name: &str, now: OffsetDateTime, until: OffsetDateTime) -> Result<Issued, Problem> {
        let mut params = params(name, now, until);
        params.subject_alt_names = vec![rcgen::SanType::DnsName(name.try_into().map_err(not_made)?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(not_made)?;
        let certificate = params.signed_by(&key, &self.0).map_err(not_made)?;
        Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    pub(super) fn certificate(&self) -> String {
        self.0.pem()
    }

    pub(super) fn key(&self) -> String {
        self.0.key().serialize_pem()
    }
}

fn params(common_name: &str, now: OffsetDateTime, until: OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = now - CLOCKS_APART;
    params.not_after = until;
    params
}

fn not_made(error: rcgen::Error) -> Problem {
    Problem::new(format!("a certificate could not be made: {error}; nothing was written"))
}
