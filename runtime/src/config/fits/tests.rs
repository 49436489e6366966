use bytes::Bytes;
use everpost_persistence::{Config, Position};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;
use crate::base::clock::{Micros, Now, Steady};
use crate::cluster::CURSOR_BYTES_MAX;
use crate::config::NodeConfig;
use crate::engine::failing::notice_of;
use crate::message::address::Address;
use crate::message::envelope::{Extension, Origin, TICK_BYTES, as_tick, seal, without_expiry};
use crate::message::expiry::{Expires, Expiry};
use crate::message::reason::Reason;
use crate::message::request::RequestId;
use crate::message::{Message, MessageId};
use crate::record::attempts::Failures;
use crate::record::dead_letter::DeadLetterRecord;

#[derive(Serialize, Deserialize)]
struct Padding(Vec<u8>);

impl Message for Padding {
    const NAME: &'static str = "everpost.test.padding";
    const VERSION: u16 = u16::MAX;
    type Reply = ();
}

/// An envelope of exactly `bytes` bytes with the longest headers, to an address of about `address_bytes`.
fn envelope(bytes: usize, address_bytes: usize) -> (Address, Bytes) {
    let address = Address::parse(&format!("padding/{}", "k".repeat(address_bytes.saturating_sub(8).max(1)))).unwrap();
    let origin = Origin {
        sender: Some("a/b"),
        trace: Some(MessageId(u128::MAX)),
        expires: Some(Expires { at: Steady(u64::MAX), then: Some(Expiry::DeadLetter) }),
        extension: Extension::of_request(Some(RequestId(u128::MAX))),
        ..Origin::plain(MessageId(u128::MAX), Micros(u64::MAX))
    };
    let sealed = |padding| seal(address.as_str(), origin, &Padding(vec![255; padding])).unwrap();
    // The length in front of the padding grows too.
    let mut padding = bytes.saturating_sub(sealed(0).len());
    while sealed(padding).len() > bytes && padding > 0 {
        padding -= 1;
    }
    let envelope = sealed(padding);
    (address, envelope)
}

proptest! {
    #[test]
    fn whatever_becomes_of_a_message_that_is_taken_fits_one_submission(
        submission in prop_oneof![4096_usize..70_000, 70_000_usize..2_000_000],
        share in 0_usize..=100,
        address_bytes in 1_usize..ADDRESS_BYTES_MAX,
    ) {
        let bytes_max = message_bytes_max(submission);
        prop_assert!(bytes_max >= 1024);
        let bytes = bytes_max * share / 100;
        let (address, envelope) = envelope(bytes, address_bytes.min(bytes.saturating_sub(200)));
        prop_assume!(envelope.len() <= bytes_max);
        // It arrives.
        prop_assert!(envelope.len() + CURSOR_BYTES_MAX <= submission);
        // It is given up on, without the texts of its failures if they do not fit.
        let failures = Failures { attempts: u32::MAX, ..Failures::default() };
        let now = Now { steady: Steady(u64::MAX), wall: Micros(u64::MAX) };
        let record = DeadLetterRecord::encode(Reason::AttemptsSpent, &failures, now, &envelope);
        let notice = notice_of(&address, Position(u64::MAX), &record).expect("it can be read");
        prop_assert!(record.len() + notice.len() <= submission, "{} and {} of \
         {submission}", record.len(), notice.len());
        // So is the notice, of which there is none.
        let record = DeadLetterRecord::encode(Reason::AttemptsSpent, &failures, now, &notice);
        prop_assert!(record.len() <= submission);
        prop_assert!(notice_of(&address, Position(1), &record).is_none());
        // It is replayed.
        prop_assert!(without_expiry(&envelope).unwrap().len() <= envelope.len());
        // It is a tick.
        let tick = as_tick(&envelope, MessageId(u128::MAX), Micros(u64::MAX)).unwrap();
        prop_assert!(tick.len() <= envelope.len() + TICK_BYTES);
    }

    #[test]
    fn settings_that_are_accepted_take_a_message_of_the_size_that_they_name(
        journal in (1_u64 << 20)..(1 << 34),
        tables in (1_u64 << 20)..(1 << 34),
        queue in 4096_usize..(1 << 31),
        message in prop_oneof![Just(16_usize << 20), 1024_usize..(1 << 31)],
    ) {
        let store = Config {
            journal_map_bytes: journal,
            tables_map_bytes: tables,
            queue_bytes_max: queue,
            ..Config::default()
        };
        let submission = store.submission_bytes_max();
        prop_assume!(store.validate().is_ok());
        let config = NodeConfig { message_bytes_max: message, store, ..NodeConfig::default() };
        let limit = config.message_bytes_limit();
        prop_assert!(limit >= 1024 && submission_bytes_min(limit) <= submission);
        match config.validate() {
            Ok(()) => prop_assert!(limit == message || message == 16 << 20),
            Err(error) => prop_assert!(submission_bytes_min(message) > submission, "{error}"),
        }
    }
}

#[test]
fn the_largest_message_is_the_largest() {
    for submission in (4096..200_000).step_by(7) {
        let largest = message_bytes_max(submission);
        assert!(submission_bytes_min(largest) <= submission, "{submission}");
        assert!(submission_bytes_min(largest + 2) > submission, "{submission}");
    }
}
