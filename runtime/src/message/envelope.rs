//! The envelope: a message with its headers, as it lies in the inbox. The bytes are specified in `docs/FORMAT.md`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::base::clock::{Micros, Steady};
use crate::message::encode::encode_exactly;
use crate::message::expiry::{Expires, Expiry};
use crate::message::priority::Priority;
use crate::message::request::RequestId;
use crate::message::{Message, MessageId};

/// The version of the header's layout; a reader refuses any other.
const ENVELOPE_VERSION: u8 = 1;
/// The version of a header with callers behind it: that of an ask of a turn.
const ENVELOPE_VERSION_CALLED: u8 = 2;
/// The version of a header with callers and more behind it. Written only where it is needed, so that what does not use
/// it is read by older builds too.
const ENVELOPE_VERSION_EXTENDED: u8 = 3;

/// The version of a header with callers, more, and what becomes of the message when it has expired.
const ENVELOPE_VERSION_EXPIRY: u8 = 4;

/// The headers of a message. The payload follows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header<'a> {
    version: u8,
    id: [u8; 16],
    /// The first message of the chain of causes; absent when this is it.
    trace: Option<[u8; 16]>,
    pub(crate) destination: &'a str,
    /// The actor whose turn sent it; absent when it came from outside.
    pub(crate) sender: Option<&'a str>,
    pub(crate) message: &'a str,
    pub(crate) message_version: u16,
    /// The reply is stored, because the turn that asked may run, and ask, again.
    pub(crate) keep_reply: bool,
    /// See [`Priority::code`].
    priority: u8,
    /// When it expires, on the timeline of the store that the envelope lies in; zero for never.
    expires_at: u64,
    pub(crate) sent_at: u64,
    /// The ids of the mailboxes whose turns wait for the reply, one behind the other.
    #[serde(skip)]
    pub(crate) callers: &'a [u8],
    #[serde(skip)]
    pub(crate) extension: Extension,
}

/// What few messages say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Extension {
    request: Option<[u8; 16]>,
    replaces: Option<[u8; 16]>,
    /// Not written before [`ENVELOPE_VERSION_EXPIRY`].
    when_expired: Option<Expiry>,
}

impl Extension {
    /// Of a message that was sent under an idempotency key.
    pub(crate) fn of_request(request: Option<RequestId>) -> Self {
        Self { request: request.map(|request| request.0.to_be_bytes()), ..Self::default() }
    }

    /// Of a message that was made of a dead letter.
    pub(crate) fn replacing(id: MessageId) -> Self {
        Self { replaces: Some(id.0.to_be_bytes()), ..Self::default() }
    }

    /// Under which idempotency key it was sent: what came of it is kept, and it is not handled twice.
    pub(crate) fn request(&self) -> Option<RequestId> {
        self.request.map(|request| RequestId(u128::from_be_bytes(request)))
    }

    /// The dead letter that it was made of.
    pub(crate) fn replaces(&self) -> Option<MessageId> {
        self.replaces.map(|id| MessageId(u128::from_be_bytes(id)))
    }
}

impl<'a> Origin<'a> {
    /// A message that says nothing but who it is.
    pub(crate) fn plain(id: MessageId, sent_at: Micros) -> Self {
        Self {
            id,
            sender: None,
            trace: None,
            sent_at,
            keep_reply: false,
            callers: &[],
            priority: Priority::Normal,
            expires: None,
            extension: Extension::default(),
        }
    }
}

impl<'a> Header<'a> {
    pub(crate) fn id(&self) -> MessageId {
        MessageId(u128::from_be_bytes(self.id))
    }

    /// What keys for the outside derive from: the same for everything that was sent under one idempotency key.
    pub(crate) fn root(&self) -> MessageId {
        self.extension.request().map_or_else(|| self.id(), |request| MessageId(request.0))
    }

    /// The message that started it all: one id to follow through the logs.
    pub(crate) fn trace(&self) -> MessageId {
        MessageId(u128::from_be_bytes(self.trace.unwrap_or(self.id)))
    }

    pub(crate) fn priority(&self) -> Priority {
        Priority::from_code(self.priority)
    }

    /// That it expires; none for never.
    pub(crate) fn expires(&self) -> Option<Expires> {
        (self.expires_at != 0).then_some(Expires { at: Steady(self.expires_at), then: self.extension.when_expired })
    }

    /// Whether it is a message like most: nothing is to be known of it while it waits.
    pub(crate) fn is_plain(&self) -> bool {
        let is_usual = self.priority() == Priority::Normal && !self.keep_reply;
        is_usual && self.expires_at == 0 && self.extension == Extension::default()
    }

    /// Reads the headers; the rest is the payload.
    pub(crate) fn decode(envelope: &'a [u8]) -> Result<(Self, &'a [u8]), EnvelopeError> {
        match envelope.first() {
            Some(&ENVELOPE_VERSION) => postcard::take_from_bytes(envelope).map_err(EnvelopeError::Malformed),
            Some(&ENVELOPE_VERSION_CALLED) => {
                let (header, rest) = postcard::take_from_bytes::<Self>(envelope).map_err(EnvelopeError::Malformed)?;
                let (callers, payload) = postcard::take_from_bytes(rest).map_err(EnvelopeError::Malformed)?;
                Ok((Self { callers, ..header }, payload))
            }
            Some(&ENVELOPE_VERSION_EXTENDED) => {
                let (header, rest) = postcard::take_from_bytes::<Self>(envelope).map_err(EnvelopeError::Malformed)?;
                let ((callers, (request, replaces)), payload) =
                    postcard::take_from_bytes(rest).map_err(EnvelopeError::Malformed)?;
                let extension = Extension { request, replaces, when_expired: None };
                Ok((Self { callers, extension, ..header }, payload))
            }
            Some(&ENVELOPE_VERSION_EXPIRY) => {
                let (header, rest) = postcard::take_from_bytes::<Self>(envelope).map_err(EnvelopeError::Malformed)?;
                let ((callers, extension), payload) =
                    postcard::take_from_bytes(rest).map_err(EnvelopeError::Malformed)?;
                Ok((Self { callers, extension, ..header }, payload))
            }
            Some(&version) => Err(EnvelopeError::Version(version)),
            None => Err(EnvelopeError::Version(0)),
        }
    }
}

/// The id of the message in an envelope, without reading it all.
pub(crate) fn id_of(envelope: &[u8]) -> Option<MessageId> {
    let id = envelope.get(1..)?.first_chunk()?;
    Some(MessageId(u128::from_be_bytes(*id)))
}

/// The request of a message that was sent under an idempotency key. Costs the look at one byte where there is none.
pub(crate) fn request_of(envelope: &[u8]) -> Option<RequestId> {
    if envelope.first() < Some(&ENVELOPE_VERSION_EXTENDED) {
        return None;
    }
    Header::decode(envelope).ok()?.0.extension.request()
}

/// Why an envelope cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnvelopeError {
    #[error("the envelope has the unknown version {0}")]
    Version(u8),
    #[error("the envelope cannot be read: {0}")]
    Malformed(postcard::Error),
}

/// Where a message comes from, and how it is to be delivered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    pub(crate) id: MessageId,
    pub(crate) sender: Option<&'a str>,
    pub(crate) trace: Option<MessageId>,
    pub(crate) sent_at: Micros,
    pub(crate) keep_reply: bool,
    /// As in [`Header`].
    pub(crate) callers: &'a [u8],
    pub(crate) priority: Priority,
    /// None for never.
    pub(crate) expires: Option<Expires>,
    pub(crate) extension: Extension,
}

/// Puts `message` into an envelope.
pub(crate) fn seal<M: Message>(destination: &str, origin: Origin<'_>, message: &M) -> Result<Bytes, postcard::Error> {
    let when_expired = origin.expires.and_then(|expires| expires.then);
    let extension = Extension { when_expired, ..origin.extension };
    let header = Header {
        version: version(origin.callers, extension),
        id: origin.id.0.to_be_bytes(),
        trace: origin.trace.map(|trace| trace.0.to_be_bytes()),
        destination,
        sender: origin.sender,
        message: M::NAME,
        message_version: M::VERSION,
        keep_reply: origin.keep_reply,
        priority: origin.priority.code(),
        expires_at: origin.expires.map_or(0, |expires| expires.at.0),
        sent_at: origin.sent_at.0,
        callers: origin.callers,
        extension,
    };
    encode_exactly(|envelope| postcard::to_extend(message, encode_header(&header, envelope)?))
}

/// The same message without an expiry: for a dead letter that is to be handled after all.
pub(crate) fn without_expiry(envelope: &[u8]) -> Result<Bytes, EnvelopeError> {
    sealed_anew(envelope, |header| {
        let extension = Extension { when_expired: None, ..header.extension };
        Header { version: version(header.callers, extension), expires_at: 0, extension, ..header }
    })
}

/// By how much a tick may be larger than the message that its timer keeps: its trace, and a longer time.
pub(crate) const TICK_BYTES: usize = 32;

/// The same message with another expiry: for one that comes to lie in another store, which has a timeline of its own.
pub(crate) fn expiring(envelope: &[u8], expires: Steady) -> Result<Bytes, EnvelopeError> {
    sealed_anew(envelope, |header| Header { expires_at: expires.0, ..header })
}

/// The same message under another identity, sent at another time: for a tick of a timer. All ticks are of one trace.
pub(crate) fn as_tick(envelope: &[u8], id: MessageId, sent_at: Micros) -> Result<Bytes, EnvelopeError> {
    sealed_anew(envelope, |header| {
        let trace = Some(header.trace().0.to_be_bytes());
        Header { id: id.0.to_be_bytes(), trace, sent_at: sent_at.0, ..header }
    })
}

fn sealed_anew(envelope: &[u8], change: impl for<'a> FnOnce(Header<'a>) -> Header<'a>) -> Result<Bytes, EnvelopeError> {
    let (header, payload) = Header::decode(envelope)?;
    let header = change(header);
    let encoded = encode_exactly(|envelope| {
        let mut envelope = encode_header(&header, envelope)?;
        envelope.extend_from_slice(payload);
        Ok(envelope)
    });
    encoded.map_err(EnvelopeError::Malformed)
}

/// The oldest version that says it all.
fn version(callers: &[u8], extension: Extension) -> u8 {
    if extension.when_expired.is_some() {
        return ENVELOPE_VERSION_EXPIRY;
    }
    match (callers.is_empty(), extension == Extension::default()) {
        (true, true) => ENVELOPE_VERSION,
        (false, true) => ENVELOPE_VERSION_CALLED,
        (_, false) => ENVELOPE_VERSION_EXTENDED,
    }
}

fn encode_header(header: &Header<'_>, envelope: Vec<u8>) -> Result<Vec<u8>, postcard::Error> {
    let envelope = postcard::to_extend(header, envelope)?;
    match header.version {
        ENVELOPE_VERSION_CALLED => postcard::to_extend(header.callers, envelope),
        ENVELOPE_VERSION_EXTENDED => {
            let Extension { request, replaces, .. } = header.extension;
            postcard::to_extend(&(header.callers, (request, replaces)), envelope)
        }
        ENVELOPE_VERSION_EXPIRY => postcard::to_extend(&(header.callers, header.extension), envelope),
        _ => Ok(envelope),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize, everpost::Message)]
    struct Note {
        text: String,
    }

    fn sealed(text: &str, sender: Option<&str>) -> Bytes {
        called(text, sender, &[])
    }

    fn called(text: &str, sender: Option<&str>, callers: &[u8]) -> Bytes {
        let trace = Some(MessageId(3));
        let origin = Origin { sender, trace, callers, ..Origin::plain(MessageId(9), Micros(5)) };
        seal("box/a", origin, &Note { text: text.into() }).unwrap()
    }

    #[test]
    fn an_extension_stands_behind_the_callers() {
        let request = Extension::of_request(Some(RequestId(3)));
        let extension = Extension { replaces: Extension::replacing(MessageId(4)).replaces, ..request };
        let origin = Origin {
            extension,
            priority: Priority::High,
            expires: Some(Expires { at: Steady(6), then: None }),
            ..Origin::plain(MessageId(9), Micros(5))
        };
        let envelope = seal("box/a", origin, &Note { text: "hi".into() }).unwrap();
        let expected = "03000000000000000000000000000000090005626f782f6100046e6f74650100010605000100000000000000\
                        00000000000000000301000000000000000000000000000000040268 69"
            .replace(' ', "");
        let hex: String = envelope.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
        let (header, payload) = Header::decode(&envelope).unwrap();
        assert_eq!(
            (header.extension, header.priority(), header.expires()),
            (extension, Priority::High, Some(Expires { at: Steady(6), then: None }))
        );
        assert_eq!((header.extension.replaces(), payload), (Some(MessageId(4)), b"\x02hi".as_slice()));
        assert_eq!(header.extension.request(), Some(RequestId(3)));
        let forever = without_expiry(&envelope).unwrap();
        let (header, rest) = Header::decode(&forever).unwrap();
        assert_eq!((header.expires(), header.extension, header.id(), rest), (None, extension, MessageId(9), payload));
    }

    #[test]
    fn what_becomes_of_an_expired_message_stands_behind_the_rest() {
        for (then, code) in [(Expiry::Drop, "00"), (Expiry::DeadLetter, "01")] {
            let expires = Some(Expires { at: Steady(6), then: Some(then) });
            let origin = Origin { expires, ..Origin::plain(MessageId(9), Micros(5)) };
            let envelope = seal("box/a", origin, &Note { text: "hi".into() }).unwrap();
            let hex: String = envelope.iter().map(|byte| format!("{byte:02x}")).collect();
            let before = "04000000000000000000000000000000090005626f782f6100046e6f746501000006050000 0001";
            assert_eq!(hex, format!("{}{code}026869", before.replace(' ', "")));
            let (header, payload) = Header::decode(&envelope).unwrap();
            assert_eq!((header.expires(), payload), (expires, b"\x02hi".as_slice()));
            let forever = without_expiry(&envelope).unwrap();
            assert_eq!(forever[0], ENVELOPE_VERSION, "it says nothing any more that older builds do not read");
            assert_eq!(Header::decode(&forever).unwrap().0.expires(), None);
        }
    }

    #[test]
    fn the_bytes_of_an_envelope_are_fixed() {
        let expected = "0100000000000000000000000000000009010000000000000000000000000000000305626f782f61\
                        01056170692f31046e6f74650100000005026869";
        let hex: String = sealed("hi", Some("api/1")).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }

    #[test]
    fn callers_stand_between_the_header_and_the_message() {
        let envelope = called("hi", None, &[7; 32]);
        let plain = sealed("hi", None);
        let expected = [&[2], &plain[1..plain.len() - 3], &[32], &[7; 32], &plain[plain.len() - 3..]].concat();
        assert_eq!(envelope, expected);
        let (header, payload) = Header::decode(&envelope).unwrap();
        assert_eq!((header.callers, payload), ([7; 32].as_slice(), b"\x02hi".as_slice()));
    }

    #[test]
    fn a_tick_is_the_same_message_with_an_id_and_a_time_of_its_own() {
        let envelope = sealed("hi", Some("api/1"));
        let tick = as_tick(&envelope, MessageId(7), Micros(300)).unwrap();
        let (header, payload) = Header::decode(&tick).unwrap();
        assert_eq!((header.id(), header.sent_at, header.trace()), (MessageId(7), 300, MessageId(3)));
        assert_eq!((header.sender, header.destination, payload), (Some("api/1"), "box/a", b"\x02hi".as_slice()));
        // What has no cause is the cause of its ticks.
        let origin = Origin::plain(MessageId(9), Micros(5));
        let root = seal("box/a", origin, &Note { text: String::new() }).unwrap();
        let tick = as_tick(&root, MessageId(7), Micros(300)).unwrap();
        assert_eq!(Header::decode(&tick).unwrap().0.trace(), MessageId(9));
    }

    #[test]
    fn another_version_is_refused() {
        let mut envelope = sealed("hi", None).to_vec();
        envelope[0] = 5;
        assert!(matches!(Header::decode(&envelope), Err(EnvelopeError::Version(5))));
        assert!(Header::decode(&[]).is_err());
    }

    proptest! {
        #[test]
        fn what_was_sealed_is_read(text: String, sender: Option<String>) {
            let envelope = sealed(&text, sender.as_deref());
            let (header, payload) = Header::decode(&envelope).unwrap();
            prop_assert_eq!(header.id(), MessageId(9));
            prop_assert_eq!(id_of(&envelope), Some(header.id()));
            prop_assert_eq!(header.trace(), MessageId(3));
            prop_assert_eq!(header.sender, sender.as_deref());
            prop_assert_eq!(postcard::from_bytes::<Note>(payload).unwrap(), Note { text });
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = Header::decode(&bytes);
        }
    }
}
