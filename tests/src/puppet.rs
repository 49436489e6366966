//! A node that is none: a test speaks the protocol by hand, with a certificate that lets it in, and may say what no
//! node would.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use everpost::Message;
use everpost_transport::frame::Frame;
use everpost_transport::hello::{Clocks, EarlierRun, Hello, PROTOCOL_VERSION, ReceiverType, Resume, Run};
use everpost_transport::link::{Ack, Data, Lane, Sequence};
use everpost_transport::{Closed, Connection, DialError, Endpoint, Identity, Settings, Streams};

use crate::net::Seat;
use crate::wait::soon;

/// How many bytes of a lane it grants.
const CREDIT: u64 = 1 << 20;

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The puppet; listens where its node would.
#[derive(Debug)]
pub struct Puppet {
    /// Its socket.
    pub endpoint: Endpoint,
    /// What it says first. Lines and partitions are those of whom it speaks with, unless it has some of its own.
    pub hello: Hello,
}

/// What is said between a puppet and a node.
#[derive(Debug)]
pub struct Conversation {
    /// The connection.
    pub connection: Connection,
    /// Its streams.
    pub streams: Streams,
    /// What the node has said first.
    pub hello: Hello,
    /// How far the lanes of the puppet have come at the node, once it has said so.
    pub resume: Option<Resume>,
}

impl Puppet {
    /// Takes the seat of a node that is not there, with an identity that may be another's.
    ///
    /// # Panics
    ///
    /// When the identity cannot be used, or the address is taken.
    #[must_use]
    pub fn new(seat: &Seat, identity: &[impl AsRef<Path>; 3]) -> Self {
        Self::with_streams(seat, identity, 2)
    }

    /// The same with so many data streams.
    ///
    /// # Panics
    ///
    /// As [`Self::new`].
    #[must_use]
    pub fn with_streams(seat: &Seat, identity: &[impl AsRef<Path>; 3], streams: u8) -> Self {
        let [certificate, key, authority] = identity.each_ref().map(AsRef::as_ref);
        let identity = Identity::load(certificate, key, authority).expect("the files can be read");
        let settings = Settings {
            listen: seat.listen,
            keep_alive: Duration::from_millis(100),
            idle_timeout: Duration::from_secs(10),
            streams,
            message_bytes_max: 16 << 20,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            known: Vec::new(),
        };
        let endpoint = Endpoint::bind(&settings, &identity, seat.peers.keys().cloned()).expect("the address is free");
        let hello = Hello {
            protocol: PROTOCOL_VERSION,
            cluster: "test".to_owned(),
            node: seat.name.clone(),
            partitions: 0,
            run: Run { shard: rand::random(), counter: 1, nonce: rand::random(), first: Sequence(1) },
            message_bytes_max: 16 << 20,
            receiver_types: Vec::new(),
            earlier: Vec::new(),
            clocks: Clocks::default(),
        };
        Self { endpoint, hello }
    }

    /// Begins another run of its store.
    pub fn run_again(&mut self) {
        let Run { counter, nonce, first, .. } = self.hello.run;
        self.hello.earlier.push(EarlierRun { counter, nonce, first });
        self.hello.run.counter += 1;
    }

    /// Dials a node, and says hello.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::dial`].
    pub async fn dial(&self, node: &str, address: SocketAddr) -> Result<Conversation, DialError> {
        let connection = self.endpoint.dial(node, address, HANDSHAKE_TIMEOUT).await?;
        Ok(self.greet(connection).await)
    }

    /// Waits until a node has dialed, and says hello.
    ///
    /// # Panics
    ///
    /// When none does, or a stranger.
    pub async fn accept(&self) -> Conversation {
        let connection = soon("a node dials", self.endpoint.accept()).await.expect("the endpoint is open");
        self.greet(connection.expect("it is let in")).await
    }

    async fn greet(&self, connection: Connection) -> Conversation {
        let mut streams = connection.open();
        let mut frames = Vec::new();
        soon("a hello comes", streams.control_in.next(&mut frames)).await.expect("the connection lives");
        let Some(Frame::Hello(theirs)) = frames.pop() else { panic!("it does not begin with a hello: {frames:?}") };
        let mut conversation = Conversation { connection, streams, hello: theirs.clone(), resume: None };
        let mut ours = self.hello.clone();
        if ours.partitions == 0 {
            ours.partitions = theirs.partitions;
        }
        if ours.receiver_types.is_empty() {
            ours.receiver_types = theirs
                .receiver_types
                .iter()
                .map(|ReceiverType { name, placement }| ReceiverType { name: name.clone(), placement: *placement })
                .collect();
        }
        conversation.say(&Frame::Hello(ours)).await;
        conversation
    }

    /// Dials a node that accepts the puppet, and says where to go on.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub async fn converse(&self, node: &str, address: SocketAddr) -> Conversation {
        let mut conversation = soon("it is let in", self.dial(node, address)).await.expect("it is let in");
        conversation.go_on(Vec::new()).await;
        assert!(conversation.resume.is_some(), "it does not say where to go on");
        conversation
    }
}

/// A note that puts a query, as `docs/WIRE.md` has it.
fn query_note<Q: Message>(number: u64, destination: &str, query: &Q) -> Bytes {
    let payload = postcard::to_allocvec(query).expect("it can be encoded");
    let note = (QUERY, number, destination, Q::NAME, Q::VERSION, payload);
    postcard::to_allocvec(&note).expect("it can be encoded").into()
}

const QUERY: u8 = 5;
const ANSWER: u8 = 6;

impl Conversation {
    /// Says something on the control stream.
    ///
    /// # Panics
    ///
    /// When it cannot be encoded.
    pub async fn say(&mut self, frame: &Frame) {
        let mut buffer = BytesMut::new();
        frame.encode(&mut buffer).expect("it can be encoded");
        self.say_bytes(&buffer).await;
    }

    /// Says any bytes on the control stream.
    pub async fn say_bytes(&mut self, bytes: &[u8]) {
        // A node that has closed the connection does not hear it; that is what tests look at.
        let _ = self.streams.control_out.write(&mut BytesMut::from(bytes)).await;
    }

    /// Puts a query to the state of an actor.
    ///
    /// # Panics
    ///
    /// When it cannot be encoded.
    pub async fn ask(&mut self, number: u64, destination: &str, query: &impl Message) {
        let note = query_note(number, destination, query);
        self.say(&Frame::Note(note)).await;
    }

    /// Sends a message.
    ///
    /// # Panics
    ///
    /// When it cannot be encoded.
    pub async fn send(&mut self, data: Data) {
        let mut buffer = BytesMut::new();
        let stream = usize::from(data.lane.partition);
        Frame::Data(data).encode(&mut buffer).expect("it can be encoded");
        let _ = self.streams.data_out.write(stream, &mut buffer).await;
    }

    /// Sends any bytes on a data stream.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.streams.data_out.write(0, &mut BytesMut::from(bytes)).await;
    }

    /// Acknowledges a lane.
    pub async fn acknowledge(&mut self, lane: Lane, through: Sequence) {
        self.say(&Frame::Acks(vec![Ack { lane, through, credit: CREDIT }])).await;
    }

    /// Says how far the lanes of the node have come, and hears the same from it, unless it closes the connection.
    ///
    /// # Panics
    ///
    /// When it says something else.
    pub async fn go_on(&mut self, cursors: Vec<(Lane, Sequence)>) {
        self.say(&Frame::Resume(Resume { credit: CREDIT, lanes: cursors })).await;
        let mut frames = Vec::new();
        if soon("a resume comes", self.streams.control_in.next(&mut frames)).await.is_err() {
            return;
        }
        let Some(Frame::Resume(theirs)) = frames.first() else { panic!("it does not say where to go on: {frames:?}") };
        self.resume = Some(theirs.clone());
    }

    /// Waits for this many messages.
    ///
    /// # Panics
    ///
    /// When they do not come.
    pub async fn messages(&mut self, count: usize) -> Vec<Data> {
        let mut messages = Vec::new();
        while messages.len() < count {
            let mut frames = Vec::new();
            soon("messages come", self.streams.data_in.next(&mut frames)).await.expect("the connection lives");
            messages.extend(frames.into_iter().filter_map(|frame| match frame {
                Frame::Data(data) => Some(data),
                _ => None,
            }));
        }
        messages
    }

    /// Waits until the node has acknowledged a lane up to this message.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub async fn acknowledged(&mut self, lane: Lane, through: Sequence) {
        loop {
            let mut frames = Vec::new();
            soon("an acknowledgement comes", self.streams.control_in.next(&mut frames)).await.expect("it lives");
            let is_it = |ack: &Ack| ack.lane == lane && ack.through >= through;
            if frames.iter().any(|frame| matches!(frame, Frame::Acks(acks) if acks.iter().any(is_it))) {
                return;
            }
        }
    }

    /// Waits for the answers to so many queries, and returns how many of them are answers.
    ///
    /// # Panics
    ///
    /// When they do not come.
    pub async fn answers(&mut self, count: usize) -> usize {
        let (mut heard, mut answered) = (0, 0);
        while heard < count {
            let mut frames = Vec::new();
            soon("answers come", self.streams.control_in.next(&mut frames)).await.expect("the connection lives");
            for frame in frames {
                if let Frame::Note(note) = frame
                    && note[0] == ANSWER
                {
                    heard += 1;
                    let (_, rest) = postcard::take_from_bytes::<u64>(&note[1..]).expect("it has a number");
                    answered += usize::from(rest[0] == 0);
                }
            }
        }
        answered
    }

    /// Waits until the node has closed the connection, and returns why, in its words.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub async fn refused(&mut self) -> String {
        match soon("the node closes the connection", self.connection.closed()).await {
            Closed::ByPeer { reason, .. } => reason,
            other => panic!("it ended otherwise: {other}"),
        }
    }
}
