//! Bugs that can be planted into the simulated nodes, to see whether the oracle finds them. The machines under test
//! have none of these switches.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// What was received is acknowledged before it is durable.
    AckBeforeCommit,
    /// A message leaves before it is durable.
    SendBeforeCommit,
    /// The cursor of a lane is submitted before its messages, apart from them.
    CursorBeforeMessages,
    /// The cursor of a lane is submitted after its messages, apart from them.
    CursorAfterMessages,
    /// The cursor that is told is one message too high.
    CursorTooHigh,
    /// Numbers begin at one again after a restart.
    SequenceRestart,
    /// The first message that is owed is forgotten at a restart.
    ResumeSkipsHead,
    /// An acknowledgement takes one message more out of the store.
    AckDeletesMore,
    /// How far a peer has come is submitted after what is taken out of the store for it, apart from that.
    ProgressApart,
    /// A peer is judged when it introduces itself, and not again when it is remembered.
    JudgedEarly,
    /// Old runs and clones are welcome.
    OldRunsWelcome,
    /// A message that does not follow is taken all the same.
    GapsTaken,
    /// What was received is not looked at before it is stored.
    DuplicatesTaken,
    /// What follows a message that was withdrawn leaves before that is durable.
    WithdrawnEarly,
    /// The note of what a peer was not sent stays while it is spoken with.
    PartedForGood,
}

impl Bug {
    pub(crate) const ALL: [Self; 15] = [
        Self::AckBeforeCommit,
        Self::SendBeforeCommit,
        Self::CursorBeforeMessages,
        Self::CursorAfterMessages,
        Self::CursorTooHigh,
        Self::SequenceRestart,
        Self::ResumeSkipsHead,
        Self::AckDeletesMore,
        Self::ProgressApart,
        Self::JudgedEarly,
        Self::OldRunsWelcome,
        Self::GapsTaken,
        Self::DuplicatesTaken,
        Self::WithdrawnEarly,
        Self::PartedForGood,
    ];
}
