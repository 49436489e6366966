//! A node that may have too little of what the system limits says which limit that is, and not that its disk is wrong.

use everpost_tests::child::Child;
use everpost_tests::protocol::{Event, Setup};

/// Starts a node that is limited; what it says when it does not start. None when it starts, or the program does not
/// come so far.
fn refusal(limit: &str) -> Option<String> {
    let folder = everpost_tests::folder();
    let mut child = Child::limited(&Setup::alone(folder.path()), limit);
    while let Some(event) = child.hear() {
        match event {
            Event::Refused(why) => return Some(why),
            Event::Up(_) => return None,
            _ => {}
        }
    }
    None
}

#[test]
fn too_little_address_space_for_the_maps_is_named() {
    // The map of the journal fits, and that of the tables does not; then neither does.
    for kibibytes in [20_000_000_u64, 2_000_000] {
        let why = refusal(&format!("ulimit -v {kibibytes}")).expect("it does not start");
        let bytes = kibibytes * 1024;
        let parts = [format!("{bytes} bytes of address space"), "RLIMIT_AS".to_owned(), "tables_map_bytes".to_owned()];
        for part in parts {
            assert!(why.contains(&part), "no `{part}` in: {why}");
        }
    }
    assert_eq!(refusal("true"), None);
}

#[test]
fn too_few_open_files_are_named_whichever_file_it_is_that_cannot_be_opened() {
    let refusals: Vec<String> = (8..40).filter_map(|files| refusal(&format!("ulimit -n {files}"))).collect();
    assert!(refusals.len() > 3, "{refusals:?}");
    // Where LMDB opens a file it keeps for itself that there are too many.
    assert!(refusals.iter().any(|why| why.contains("RLIMIT_NOFILE")), "{refusals:?}");
    for why in refusals {
        assert!(why.contains("RLIMIT_NOFILE") || why.contains("Too many open files"), "{why}");
        assert!(!why.contains("check that the path is right"), "{why}");
    }
}
