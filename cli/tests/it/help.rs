//! The help teaches, and what it shows works.

use std::path::Path;

use crate::support::{Outcome, outcome, program, run};

fn in_folder(folder: &Path, line: &str) -> Outcome {
    let mut words = line.split_whitespace();
    assert_eq!(words.next(), Some("everpost"));
    outcome(program().current_dir(folder).args(words))
}

#[test]
fn every_example_in_the_help_works() {
    let mut examples = 0;
    for arguments in [&["--help"][..], &["init", "--help"], &["check", "--help"]] {
        let help = run(arguments);
        help.succeeded();
        for line in help.output.lines().filter_map(|line| line.strip_prefix("  everpost ")) {
            let folder = tempfile::tempdir().unwrap();
            if line.contains("check") || line.contains("--force") {
                in_folder(folder.path(), "everpost init --nodes east,west --dir nodes").succeeded();
            }
            // What comes after several spaces is said about the example.
            let line = line.split("   ").next().unwrap();
            in_folder(folder.path(), &format!("everpost {line}")).succeeded();
            examples += 1;
        }
    }
    assert!(examples >= 5, "the help has only {examples} examples");
}

#[test]
fn the_help_says_what_a_user_has_to_know() {
    for (arguments, parts) in [
        (&["--help"][..], &["Usage: everpost", "init", "check", "Examples:", "Exit code 0"][..]),
        (
            &["init", "--help"],
            &["--nodes", "--dir", "[default: 7400]", "[default: 365]", "PORT + 1", "all files are written or none"],
        ),
        (&["check", "--help"], &["Nothing is changed", "Exit code 0"]),
    ] {
        let help = run(arguments);
        help.succeeded();
        let words = help.output.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in parts {
            assert!(words.contains(part), "no `{part}` in: {}", help.output);
        }
    }
    let nothing = run(&[]);
    assert!(nothing.exit_code == 2 && nothing.error.contains("Usage: everpost"), "{nothing:#?}");
}
