//! Every public type can be moved to other threads and shared with them, and every future can be moved. A change that
//! takes this away does not compile.

use bytes::BytesMut;

use crate::accept_error::{AcceptError, RejectionReason};
use crate::close::{CloseCode, Closed};
use crate::config::Settings;
use crate::connection::{Connection, ControlReader, ControlWriter, DataReader, DataWriter, Liveness, Streams};
use crate::endpoint::Endpoint;
use crate::error::{BindError, DialError, ReadError, WriteError};
use crate::identity::{Identity, IdentityError};
use crate::policy::{Admission, AdmissionId, Backoff, HandshakeTimeout};
use crate::protocol::frame::{Frame, FrameDecoder, FrameError, Limits, StreamKind};
use crate::protocol::hello::{Clocks, EarlierRun, Hello, KnownStore, ReceiverType, Refusal, Resume, Run};
use crate::protocol::link::{
    Ack, AckError, Arrival, Backlog, Break, Data, DeliveryStatus, FlagOutcome, Lane, Next, Receiving, ResumeError,
    Sending, Sequence, Terms, Ticket,
};

macro_rules! send_and_sync {
    ($($public:ty),+ $(,)?) => {
        const _: () = {
            const fn assert<T: Send + Sync>() {}
            $(assert::<$public>();)+
        };
    };
}

send_and_sync!(Endpoint, Identity, Settings, Connection, Liveness, Streams);
send_and_sync!(ControlReader, ControlWriter, DataReader, DataWriter);
send_and_sync!(AcceptError, BindError, Closed, DialError, IdentityError, ReadError, RejectionReason, WriteError);
send_and_sync!(Admission<String>, AdmissionId, Backoff, CloseCode, HandshakeTimeout);
send_and_sync!(Frame, FrameDecoder, FrameError, Limits, StreamKind);
send_and_sync!(Clocks, EarlierRun, Hello, KnownStore, ReceiverType, Refusal, Resume, Run);
send_and_sync!(Ack, AckError, Arrival, Backlog, Break, Data, DeliveryStatus, FlagOutcome, Lane, Next);
send_and_sync!(Receiving, ResumeError, Sending, Sequence, Terms, Ticket);

/// As above, for the futures of the public async functions.
const _: fn(&Endpoint, &Connection, &Liveness, Streams) = |endpoint, connection, liveness, streams| {
    fn assert(_: impl Send) {}
    let Streams { mut control_out, mut control_in, mut data_out, mut data_in } = streams;
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
