//! The names that certificates carry.

use rustls::pki_types::ServerName;
use webpki::EndEntityCert;

/// Only DNS names: a node's name is never an address.
pub(super) fn server_name(name: &str) -> Option<ServerName<'static>> {
    match ServerName::try_from(name.to_owned()) {
        Ok(server_name @ ServerName::DnsName(_)) => Some(server_name),
        _ => None,
    }
}

pub(super) fn names(leaf: &EndEntityCert<'_>) -> Vec<String> {
    leaf.valid_dns_names().map(str::to_owned).collect()
}
