//! `everpost check`: whether a node file and what it names will work. Nothing is started, and nothing is changed.

mod certificate;
mod report;
mod surroundings;

use std::path::Path;
use std::process::ExitCode;

use everpost::NodeFile;

use self::report::Report;
use crate::days;
use crate::problem::Problem;

/// Checks the file at `path`; what to print and the exit code.
pub(crate) fn run(path: &Path) -> Result<(String, ExitCode), Problem> {
    let file = NodeFile::read(path).map_err(Problem::new)?;
    let mut report = Report::default();
    report.ok("file", format!("node `{}` of the cluster `{}`, {}", file.name, file.cluster, peers(&file)));
    certificate::check(&file, days::now(), &mut report);
    surroundings::check(&file, &mut report);
    let exit_code = if report.problems() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    Ok((format!("{}\n{report}", path.display()), exit_code))
}

fn peers(file: &NodeFile) -> String {
    match file.peers.len() {
        0 => "no peers".to_owned(),
        1 => "1 peer".to_owned(),
        many => format!("{many} peers"),
    }
}
