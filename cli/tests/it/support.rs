//! Runs the program, and makes certificates that it has to judge.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rcgen::{CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;

/// What the program did.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) exit_code: i32,
    pub(crate) output: String,
    pub(crate) error: String,
}

/// The program, with nothing in its environment that it might take for a setting.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everpost"));
    command.env_clear();
    command
}

pub(crate) fn run(arguments: &[&str]) -> Outcome {
    outcome(program().args(arguments))
}

pub(crate) fn outcome(command: &mut Command) -> Outcome {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Outcome { exit_code: status.code().unwrap(), output: text(stdout), error: text(stderr) }
}

impl Outcome {
    /// That it succeeded, and said so on standard output only.
    #[track_caller]
    pub(crate) fn succeeded(&self) {
        assert!(self.exit_code == 0 && self.error.is_empty(), "{self:#?}");
    }

    /// That it failed with one line on standard error, with all of `parts` in it.
    #[track_caller]
    pub(crate) fn failed(&self, parts: &[&str]) {
        assert!(self.exit_code == 1 && self.output.is_empty() && self.error.lines().count() == 1, "{self:#?}");
        for part in parts {
            assert!(self.error.contains(part), "no `{part}` in: {}", self.error);
        }
    }

    /// That the report has a row with that verdict about that subject, with all of `parts` in it.
    #[track_caller]
    pub(crate) fn says(&self, verdict: &str, subject: &str, parts: &[&str]) {
        let begin = format!("  {verdict:<7}  {subject:<11}  ");
        let row = self.output.lines().find(|line| line.starts_with(&begin));
        let row = row.unwrap_or_else(|| panic!("no {verdict} about {subject}: {self:#?}"));
        for part in parts {
            assert!(row.contains(part), "no `{part}` in: {row}");
        }
        assert_eq!(self.exit_code, i32::from(self.output.contains("\n  problem  ")), "{self:#?}");
    }
}

/// A folder with the files of `east` and `west`.
pub(crate) struct Nodes(pub(crate) TempDir);

impl Nodes {
    pub(crate) fn new() -> Self {
        let nodes = Self(tempfile::tempdir().unwrap());
        nodes.init(&["--nodes", "east,west"]).succeeded();
        nodes
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn init(&self, arguments: &[&str]) -> Outcome {
        outcome(program().arg("init").arg("--dir").arg(self.0.path()).args(arguments))
    }

    pub(crate) fn check(&self, name: &str) -> Outcome {
        self.check_with(name, &[])
    }

    pub(crate) fn check_with(&self, name: &str, variables: &[(&str, &str)]) -> Outcome {
        outcome(program().arg("check").arg(self.path(name)).envs(variables.iter().copied()))
    }

    /// Every file and what is in it.
    pub(crate) fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().path());
        files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }

    /// Gives `east` a certificate by a new authority, both changed as a test wants.
    pub(crate) fn reissue(&self, change: impl FnOnce(&mut CertificateParams)) {
        let mut params = CertificateParams::new(["east".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let authority = authority();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        fs::write(self.path("east.crt"), certificate.pem()).unwrap();
        fs::write(self.path("east.key"), key.serialize_pem()).unwrap();
        fs::write(self.path("ca.crt"), authority.pem()).unwrap();
    }
}

/// An authority that nobody knows.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "an authority of a test");
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// The program as a user for whom permissions hold: root may write anywhere, so for root it runs as nobody.
pub(crate) fn program_without_rights(folder: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return program();
    }
    // The build folder may be closed to others.
    let copy = folder.join("everpost");
    fs::copy(env!("CARGO_BIN_EXE_everpost"), &copy).unwrap();
    for path in [folder, &copy] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new(copy);
    command.env_clear().uid(65534).gid(65534);
    command
}

/// Nobody may write into the folder from now on.
pub(crate) fn lock(folder: &Path) {
    fs::set_permissions(folder, Permissions::from_mode(0o555)).unwrap();
}
