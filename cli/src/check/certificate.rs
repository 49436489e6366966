//! Whether the peers of a node will accept its certificate. What links verify is verified by the same code; only dates
//! are read here, because links say no more than yes or no.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;

use everpost::NodeFile;
use everpost_transport::Identity;
use time::OffsetDateTime;
use x509_parser::pem::Pem;

use super::report::Report;
use crate::days;

/// From this many days before the end a certificate should be renewed.
const DAYS_LEFT_MIN: i64 = 30;

/// How to get another certificate.
const RENEW: &str = "let the authority issue a new one, or make all anew with `everpost init --force`";

pub(super) fn check(file: &NodeFile, now: OffsetDateTime, report: &mut Report) {
    let files = &file.identity;
    let identity = match Identity::load(&files.certificate, &files.key, &files.authority) {
        Ok(identity) => identity,
        Err(error) => {
            report.problem("identity", format!("{error}; {RENEW}"));
            return;
        }
    };
    report.ok("identity", format!("{} and its private key belong together", files.certificate.display()));
    match dates(&files.certificate) {
        Ok((from, until)) => {
            check_dates(from, until, now, report);
            // Checked at a time at which the certificate is valid, so that anything else that is wrong is reported too.
            check_name(&identity, file, now.max(from).min(until), report);
        }
        Err(problem) => report.problem("dates", format!("{}: {problem}; {RENEW}", files.certificate.display())),
    }
    check_access(&files.key, report);
}

fn check_dates(from: OffsetDateTime, until: OffsetDateTime, now: OffsetDateTime, report: &mut Report) {
    let date = |moment| days::relative(moment, now);
    if now < from {
        let message = format!("not valid before {}; look at the clock of this machine, or {RENEW}", date(from));
        report.problem("dates", message);
    } else if now > until {
        report.problem("dates", format!("expired on {}; {RENEW}", date(until)));
    } else if (until - now).whole_days() < DAYS_LEFT_MIN {
        report.warning("dates", format!("valid until {}; {RENEW}", date(until)));
    } else {
        report.ok("dates", format!("valid until {}", date(until)));
    }
}

fn check_name(identity: &Identity, file: &NodeFile, at: OffsetDateTime, report: &mut Report) {
    match identity.check(&file.name, SystemTime::from(at)) {
        Ok(()) => {
            let authority = file.identity.authority.display();
            report.ok("trust", format!("issued by {authority} for `{}`, as client and as server", file.name));
        }
        Err(error) => report.problem("trust", format!("{error}; {RENEW}")),
    }
}

fn check_access(key: &Path, report: &mut Report) {
    match fs::metadata(key) {
        Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
            let path = key.display();
            report.warning("private key", format!("others than its owner have access to {path}; chmod 600 {path}"));
        }
        Ok(_) => report.ok("private key", "its owner alone has access"),
        Err(error) => report.problem("private key", format!("{}: {error}", key.display())),
    }
}

/// From when until when the first certificate in a file is valid.
fn dates(path: &Path) -> Result<(OffsetDateTime, OffsetDateTime), String> {
    let text = fs::read(path).map_err(|error| error.to_string())?;
    // Files may hold other blocks too, such as parameters of a curve.
    let mut blocks = Pem::iter_from_buffer(&text).filter_map(Result::ok);
    let block = blocks.find(|block| block.label == "CERTIFICATE").ok_or("holds no certificate")?;
    let certificate = block.parse_x509().map_err(|error| error.to_string())?;
    let validity = certificate.validity();
    Ok((validity.not_before.to_datetime(), validity.not_after.to_datetime()))
}
