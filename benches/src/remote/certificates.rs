//! Certificates for the two nodes, of an authority that lives no longer than the run.

use std::path::Path;

use everpost::IdentityFiles;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use crate::problem::Problem;

/// Writes the certificates of `names` and of their authority.
pub(super) fn issue(folder: &Path, names: &[&str]) -> Result<(), Problem> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    let authority = params.self_signed(&key)?;
    let issuer = Issuer::new(params, key);
    for name in names {
        let mut params = CertificateParams::new([(*name).to_owned()])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let files = identity(folder, name);
        std::fs::write(files.certificate, params.signed_by(&key, &issuer)?.pem())?;
        std::fs::write(files.key, key.serialize_pem())?;
        std::fs::write(files.authority, authority.pem())?;
    }
    Ok(())
}

/// Where they are.
pub(super) fn identity(folder: &Path, name: &str) -> IdentityFiles {
    IdentityFiles {
        certificate: folder.join(format!("{name}.crt")),
        key: folder.join(format!("{name}.key")),
        authority: folder.join("authority.crt"),
    }
}
