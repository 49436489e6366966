//! Files that do not make an identity say so at once, by name.

use std::fs;
use std::time::{Duration, SystemTime};

use everpost_transport::{Identity, IdentityError};

use crate::certificates::{Authority, Validity};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Halfway through the validity of what the tests sign.
fn in_2070() -> SystemTime {
    SystemTime::UNIX_EPOCH + 100 * YEAR
}

#[test]
fn a_good_one_passes() {
    let authority = Authority::new();
    let identity = authority.identity("east");
    identity.check("east", in_2070()).unwrap();
    assert_eq!(identity.names(), ["east"]);
    assert!(!format!("{identity:?}").contains("PRIVATE"), "{identity:?}");
}

#[test]
fn what_others_would_refuse_is_found_here_first() {
    let authority = Authority::new();
    let identity = authority.identity("east");
    let problem = |identity: &Identity, name, at| identity.check(name, at).unwrap_err().to_string();
    let other_name = problem(&identity, "west", in_2070());
    assert!(other_name.contains("is for `east`, and the node is called `west`"), "{other_name}");
    assert!(problem(&identity, "east", in_2070() + 60 * YEAR).contains("expired"));
    assert!(problem(&identity, "east", SystemTime::UNIX_EPOCH).contains("not valid yet"));
    assert!(problem(&identity, "a b", in_2070()).contains("not a DNS name"));
    let signed = authority.sign(&["east"], Validity::Now);
    for other in [Authority::new(), Authority::named("another one")] {
        let foreign = Identity::load(&signed.certificate, &signed.key, &other.path()).unwrap();
        let foreign = problem(&foreign, "east", in_2070());
        assert!(foreign.contains("authority of the cluster did not sign"), "{foreign}");
        assert!(foreign.contains(signed.certificate.to_str().unwrap()), "{foreign}");
    }
}

#[test]
fn each_file_is_named_with_what_is_wrong() {
    let authority = Authority::new();
    let east = authority.sign(&["east"], Validity::Now);
    let west = authority.sign(&["west"], Validity::Now);
    let file = |name: &str, content: &[u8]| {
        let path = authority.path().with_file_name(name);
        fs::write(&path, content).unwrap();
        path
    };
    let missing = authority.path().with_file_name("missing.pem");
    let empty = file("empty.pem", b"");
    let garbage = file("garbage.pem", &[0xff; 300]);
    let torn = file("torn.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n");
    let hollow = file("hollow.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let hollow_key = file("hollow-key.pem", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    let root = authority.path();
    let cases = [
        (&missing, &east.key, &root, &missing, "No such file"),
        (&east.certificate, &missing, &root, &missing, "No such file"),
        (&east.certificate, &east.key, &missing, &missing, "No such file"),
        (&empty, &east.key, &root, &empty, "no certificate"),
        (&garbage, &east.key, &root, &garbage, "no certificate"),
        (&torn, &east.key, &root, &torn, "not a PEM file"),
        (&hollow, &east.key, &root, &hollow, "no usable certificate"),
        (&east.key, &east.key, &root, &east.key, "no certificate"),
        (&east.certificate, &east.certificate, &root, &east.certificate, "no private key"),
        (&east.certificate, &hollow_key, &root, &hollow_key, "no usable private key"),
        (&east.certificate, &west.key, &root, &west.key, "is not the key of the certificate"),
        (&east.certificate, &east.key, &empty, &empty, "no certificate"),
        (&east.certificate, &east.key, &hollow, &hollow, "no usable authority"),
    ];
    for (certificate, key, authority, named, words) in cases {
        let error = Identity::load(certificate, key, authority).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(named.to_str().unwrap()) && text.contains(words), "{words}: {text}");
        assert_eq!(matches!(error, IdentityError::Unreadable { .. }), named == &missing);
    }
}
