//! Whether a message or a query is next in an actor that has both: they alternate, so that neither waits for all of the
//! other. Pure.

/// Whose turn it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Alternation {
    answered_last: bool,
}

impl Alternation {
    /// Whether a query goes before a message that could be handled.
    pub(crate) fn is_for_queries(self) -> bool {
        !self.answered_last
    }

    /// A query was taken.
    pub(crate) fn answered(&mut self) {
        self.answered_last = true;
    }

    /// A message was taken.
    pub(crate) fn delivered(&mut self) {
        self.answered_last = false;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever comes when, nothing waits for more than one of the other kind.
        #[test]
        fn neither_messages_nor_queries_wait_for_more_than_one_of_the_other(
            arrivals in prop::collection::vec((0_u32..3, 0_u32..3), 1..100),
        ) {
            let mut alternation = Alternation::default();
            let (mut messages, mut queries) = (0, 0);
            let (mut passed_messages, mut passed_queries) = (0, 0);
            for (more_messages, more_queries) in arrivals {
                messages += more_messages;
                queries += more_queries;
                if queries > 0 && (messages == 0 || alternation.is_for_queries()) {
                    queries -= 1;
                    alternation.answered();
                    passed_messages = if messages > 0 { passed_messages + 1 } else { 0 };
                    passed_queries = 0;
                } else if messages > 0 {
                    messages -= 1;
                    alternation.delivered();
                    passed_queries = if queries > 0 { passed_queries + 1 } else { 0 };
                    passed_messages = 0;
                }
                prop_assert!(passed_messages <= 1 && passed_queries <= 1);
            }
        }
    }
}
