//! What may be moved to other threads, and used by several: decided here for each public type, and held by the
//! compiler.

use std::collections::BTreeSet;

use bytes::BytesMut;
use serde::{Deserialize, Serialize};

use super::surface::{Kind, named};
use super::{LIBRARIES, load};

/// Stands for the actor type of a user.
struct Anyone;

impl everpost::Actor for Anyone {
    const TYPE: &'static str = "anyone";
    type State = ();

    fn handlers(_: &mut everpost::Handlers<Self>) {}
}

/// Stands for the message of a user.
#[derive(Serialize, Deserialize, everpost::Message)]
struct Anything;

/// Types that any thread may own and use, alone or together with others, for as long as it likes; those with a lifetime
/// as long as that. None of them minds to be moved while it is pinned.
macro_rules! shared {
    ($($public:ty),+ $(,)?) => {
        const _: () = {
            const fn assert<T: Send + Sync + Unpin + 'static>() {}
            $(assert::<$public>();)+
        };
        const SHARED: &[&str] = &[$(stringify!($public)),+];
    };
}

shared! {
    everpost::ActorFile,
    everpost::ActorHandle<Anyone>,
    everpost::Address,
    everpost::AddressOf<Anyone>,
    everpost::Ask<'static, Anyone, Anything>,
    everpost::AskDifference,
    everpost::AskError,
    everpost::Backoff,
    everpost::Budget,
    everpost::ByHold,
    everpost::ByTurn,
    everpost::CancelError,
    everpost::Child,
    everpost::ChildContext,
    everpost::ClockSkew,
    everpost::ClusterConfig,
    everpost::ConfigError,
    everpost::DeadLetter,
    everpost::DeadLetterError,
    everpost::DeadLetters,
    everpost::DeliveredError,
    everpost::Delivery,
    everpost::Durable<u8>,
    everpost::Expiry,
    everpost::Failure,
    everpost::Fingerprint,
    everpost::Group,
    everpost::GroupEnded,
    everpost::Handlers<Anyone>,
    everpost::Hold<Anyone>,
    everpost::HoldError,
    everpost::IdentityFiles,
    everpost::LinkConfig,
    everpost::LogFile,
    everpost::LogFormat,
    everpost::LogsError,
    everpost::MessageId,
    everpost::Micros,
    everpost::Missed,
    everpost::Node,
    everpost::NodeBuilder,
    everpost::NodeConfig,
    everpost::NodeEnded,
    everpost::NodeFile,
    everpost::NodeFileError,
    everpost::NodeStatistics,
    everpost::Order,
    everpost::Origin,
    everpost::PauseError,
    everpost::PauseReason,
    everpost::Paused,
    everpost::PeerFile,
    everpost::Priority,
    everpost::ProcessedError,
    everpost::Query<'static, Anyone, Anything>,
    everpost::QueryError,
    everpost::Reason,
    everpost::Receipt,
    everpost::RecordedAsk,
    everpost::Refusal,
    everpost::ReopenError,
    everpost::Restart,
    everpost::Schedule,
    everpost::ScheduleError,
    everpost::SendBuilder<'static, Anyone, Anything>,
    everpost::SendError<Anything>,
    everpost::Sequence,
    everpost::StartError,
    everpost::StopError,
    everpost::Stored,
    everpost::StoredKind,
    everpost::SuperviseError,
    everpost::Supervised,
    everpost::Timer,
    everpost::TimerId,
    everpost::TimerRef<'static>,
    everpost::Timers,
    everpost::TriggerError,
    everpost::Turn<'static>,
    everpost::TurnSendBuilder<'static, 'static, Anyone, Anything>,
    everpost::Unhandled,
    everpost::UnreadableRecord,
    everpost::UpgradeCounts,
    everpost::UpgradeError,
    everpost::UpgradeReport,
    everpost::WhenFull,
    everpost_persistence::AdmissionError,
    everpost_persistence::Batch,
    everpost_persistence::BatchError,
    everpost_persistence::Before,
    everpost_persistence::Chain,
    everpost_persistence::Change,
    everpost_persistence::Class,
    everpost_persistence::CommitError,
    everpost_persistence::Config,
    everpost_persistence::ConfigError,
    everpost_persistence::Damage,
    everpost_persistence::Environment,
    everpost_persistence::Epoch,
    everpost_persistence::Field,
    everpost_persistence::Fields<'static>,
    everpost_persistence::Group,
    everpost_persistence::InFlight,
    everpost_persistence::Inspection,
    everpost_persistence::Key,
    everpost_persistence::KeyBuilder,
    everpost_persistence::KeyBytes,
    everpost_persistence::LogEntry,
    everpost_persistence::MailboxId,
    everpost_persistence::Mark,
    everpost_persistence::Newest,
    everpost_persistence::OpenError,
    everpost_persistence::Opened,
    everpost_persistence::Origin,
    everpost_persistence::Partition,
    everpost_persistence::Permit<'static>,
    everpost_persistence::Position,
    everpost_persistence::ProcessLimit,
    everpost_persistence::ProcessLimits,
    everpost_persistence::Range,
    everpost_persistence::RangeStep,
    everpost_persistence::ReadError,
    everpost_persistence::Reader,
    everpost_persistence::Schema,
    everpost_persistence::Slot,
    everpost_persistence::Slots,
    everpost_persistence::Stage<'static>,
    everpost_persistence::Statistics,
    everpost_persistence::Store,
    everpost_persistence::ShardId,
    everpost_persistence::Table,
    everpost_persistence::TableId,
    everpost_transport::AcceptError,
    everpost_transport::Admission<String>,
    everpost_transport::AdmissionId,
    everpost_transport::Backoff,
    everpost_transport::BindError,
    everpost_transport::CloseCode,
    everpost_transport::Closed,
    everpost_transport::Connection,
    everpost_transport::ControlReader,
    everpost_transport::ControlWriter,
    everpost_transport::DataReader,
    everpost_transport::DataWriter,
    everpost_transport::DialError,
    everpost_transport::Endpoint,
    everpost_transport::HandshakeTimeout,
    everpost_transport::Identity,
    everpost_transport::IdentityError,
    everpost_transport::Liveness,
    everpost_transport::ReadError,
    everpost_transport::RejectionReason,
    everpost_transport::Settings,
    everpost_transport::Streams,
    everpost_transport::WriteError,
    everpost_transport::frame::Frame,
    everpost_transport::frame::FrameDecoder,
    everpost_transport::frame::FrameError,
    everpost_transport::frame::Limits,
    everpost_transport::frame::StreamKind,
    everpost_transport::hello::Clocks,
    everpost_transport::hello::EarlierRun,
    everpost_transport::hello::Hello,
    everpost_transport::hello::KnownStore,
    everpost_transport::hello::ReceiverType,
    everpost_transport::hello::Refusal,
    everpost_transport::hello::Resume,
    everpost_transport::hello::Run,
    everpost_transport::link::Ack,
    everpost_transport::link::AckError,
    everpost_transport::link::Arrival,
    everpost_transport::link::Backlog,
    everpost_transport::link::Break,
    everpost_transport::link::Data,
    everpost_transport::link::DeliveryStatus,
    everpost_transport::link::FlagOutcome,
    everpost_transport::link::Lane,
    everpost_transport::link::Next,
    everpost_transport::link::Receiving,
    everpost_transport::link::ResumeError,
    everpost_transport::link::Sending,
    everpost_transport::link::Sequence,
    everpost_transport::link::Terms,
    everpost_transport::link::Ticket,
}

/// Types that any thread may own, one at a time: a view is a transaction of LMDB, which takes one caller.
macro_rules! moved {
    ($($public:ty),+ $(,)?) => {
        const _: () = {
            const fn assert<T: Send + Unpin + 'static>() {}
            $(assert::<$public>();)+
        };
        const MOVED: &[&str] = &[$(stringify!($public)),+];
    };
}

moved! {
    everpost_persistence::View<'static>,
}

/// The futures of the transport may be moved as well; what is awaited of the other libraries is moved by the tests that
/// cancel it.
const _: fn(
    &everpost_transport::Endpoint,
    &everpost_transport::Connection,
    &everpost_transport::Liveness,
    everpost_transport::Streams,
) = |endpoint, connection, liveness, streams| {
    fn assert(_: impl Send) {}
    let everpost_transport::Streams { mut control_out, mut control_in, mut data_out, mut data_in } = streams;
    let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
    assert(endpoint.accept());
    assert(endpoint.dial("", endpoint.local_address(), std::time::Duration::ZERO));
    assert(endpoint.close());
    assert(connection.closed());
    assert(liveness.confirm());
    assert(control_in.next(&mut frames));
    assert(data_in.next(&mut frames));
    assert(control_out.write(&mut buffer));
    assert(data_out.write(0, &mut buffer));
};

#[test]
fn of_each_public_type_it_is_decided_who_may_use_it() {
    let mut public = BTreeSet::new();
    for (library, folder) in LIBRARIES {
        let types = named(library, &load(folder)).into_iter().filter(|named| named.kind != Kind::Trait);
        public.extend(types.map(|named| named.path));
    }
    let decided: BTreeSet<String> = SHARED.iter().chain(MOVED).map(|name| without_arguments(name)).collect();
    let [new, gone] = [public.difference(&decided), decided.difference(&public)].map(Iterator::collect::<Vec<_>>);
    assert!(new.is_empty(), "say whether threads may share these, or only own them: {new:#?}");
    assert!(gone.is_empty(), "these are no public types any more: {gone:#?}");
}

/// `everpost::Ask<'static, A, M>` is `everpost::Ask`.
fn without_arguments(name: &str) -> String {
    name.split('<').next().unwrap_or_default().replace(' ', "")
}
