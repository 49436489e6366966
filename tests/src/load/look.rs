//! What a store holds after a load, when nothing waits any more.

use std::path::Path;

use everpost::{Node, Reason};

use super::{Sink, Source, Sum, Total, WholeHistory, actors};
use crate::oracle::Found;
use crate::wait::soon;

const WORKS: &str = "a node that has started works";

/// Starts a node by itself, lets everything drain, reads what is there, and stops it.
///
/// # Panics
///
/// When the node does not start, or does not as it should.
pub async fn look(folder: &Path) -> Found {
    let node = actors(Node::builder("node", folder).config(crate::config())).start().await;
    let node = node.unwrap_or_else(|error| panic!("I7 is broken: {error}"));
    soon("I8: everything drains", node.drained()).await.expect(WORKS);
    let mut found = Found { total: node.actor::<Total>("main").query(Sum).await.expect(WORKS), ..Found::default() };
    for key in ["0", "1", "2"] {
        found.sources.extend(node.actor::<Source<false>>(key).query(WholeHistory).await.expect(WORKS));
        found.sources.extend(node.actor::<Source<true>>(key).query(WholeHistory).await.expect(WORKS));
        found.sinks.extend(node.actor::<Sink<false>>(key).query(WholeHistory).await.expect(WORKS));
        found.sinks.extend(node.actor::<Sink<true>>(key).query(WholeHistory).await.expect(WORKS));
    }
    for letter in &node.dead_letters().list().await.expect(WORKS) {
        assert_eq!((letter.reason, letter.attempts), (Reason::Rejected, 1), "{letter:?}");
        found.dead_letter(letter);
    }
    let (handled, replayed) = (node.statistics().handled, node.statistics().replayed);
    assert!(
        handled + node.statistics().dead_lettered >= replayed,
        "I7 is broken: {replayed} replayed, {handled} handled"
    );
    assert_eq!(node.statistics().waiting, 0);
    node.stop().await.expect(WORKS);
    found
}
