//! Where a child process begins.

/// Runs a node when the environment says so; in the process of the tests it does nothing.
#[test]
fn entry() {
    everpost_tests::child::serve();
}
