//! What makes two messages under one idempotency key the same: their values, or as much of them as their type says.

mod canonical;

use std::fmt;

use serde::{Serialize, Serializer};

use self::canonical::{Canonical, UNORDERED};
use crate::message::{Message, first_half};

/// What tells a message from others that are sent under its idempotency key. See [`Message::fingerprint`].
///
/// Values are compared, not bytes: maps in any order are the same, and so are sets that were marked by [`unordered`].
///
/// ```
/// use everpost::{Fingerprint, Message};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Charge {
///     order: u64,
///     /// Another one on each repetition.
///     asked_at: u64,
/// }
///
/// impl Message for Charge {
///     const NAME: &'static str = "charge";
///     const VERSION: u16 = 1;
///     type Reply = ();
///
///     // What `#[message(same_by = "order")]` derives.
///     fn fingerprint(&self, fingerprint: &mut Fingerprint) {
///         fingerprint.add(&self.order);
///     }
/// }
/// ```
pub struct Fingerprint {
    canonical: Vec<u8>,
    /// A value that cannot be encoded is the same as no other.
    is_whole: bool,
}

impl Fingerprint {
    pub(crate) fn of<M: Message>(message: &M) -> Option<[u8; 16]> {
        let mut fingerprint = Self { canonical: Vec::new(), is_whole: true };
        message.fingerprint(&mut fingerprint);
        fingerprint.finish()
    }

    /// The same of the whole message, whatever of it its type leaves out.
    pub(crate) fn of_all<M: Message>(message: &M) -> Option<[u8; 16]> {
        let mut fingerprint = Self { canonical: Vec::new(), is_whole: true };
        fingerprint.add(message);
        fingerprint.finish()
    }

    fn finish(self) -> Option<[u8; 16]> {
        let mut hasher = blake3::Hasher::new_derive_key("everpost 2026 identity of a message");
        hasher.update(&self.canonical);
        self.is_whole.then(|| first_half(&hasher.finalize()).to_be_bytes())
    }

    /// Counts `value`: messages are the same only if theirs are equal.
    pub fn add<T: Serialize + ?Sized>(&mut self, value: &T) {
        self.is_whole &= value.serialize(Canonical::new(&mut self.canonical)).is_ok();
    }

    /// Counts `value` as [`Fingerprint::add`] does, but for the order of its elements: for a `HashSet`, or a list whose
    /// order means nothing.
    pub fn add_unordered<T: Serialize + ?Sized>(&mut self, value: &T) {
        self.is_whole &= unordered(value, Canonical::new(&mut self.canonical)).is_ok();
    }
}

/// What tells the bytes of a message from others.
pub(crate) fn bytes_of(payload: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key("everpost 2026 bytes of a request");
    hasher.update(payload);
    first_half(&hasher.finalize()).to_be_bytes()
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fingerprint").finish_non_exhaustive()
    }
}

/// Says of a field that the order of its elements means nothing, wherever it is within a message: serde cannot tell a
/// `HashSet` from a list. Changes nothing in the bytes that are stored.
///
/// ```
/// use std::collections::HashSet;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Filter {
///     #[serde(serialize_with = "everpost::unordered")]
///     tags: HashSet<String>,
/// }
/// ```
///
/// # Errors
///
/// Those of the serializer.
pub fn unordered<T: Serialize + ?Sized, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_newtype_struct(UNORDERED, value)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap, HashSet};

    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Clone, Serialize, Deserialize, everpost::Message)]
    #[message(name = "order")]
    struct Order {
        id: u64,
        lines: HashMap<String, u32>,
        nested: Vec<Option<BTreeMap<u8, Tags>>>,
    }

    #[derive(Clone, Serialize, Deserialize)]
    struct Tags {
        #[serde(serialize_with = "everpost::unordered")]
        tags: HashSet<String>,
        order: (i8, f64, char),
    }

    fn of<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
        let mut canonical = Vec::new();
        value.serialize(Canonical::new(&mut canonical)).unwrap();
        canonical
    }

    fn order(names: &[String]) -> Order {
        let tags = Tags { tags: names.iter().cloned().collect(), order: (-1, 0.5, 'x') };
        let lines = names.iter().map(|name| (name.clone(), name.len() as u32)).collect();
        Order { id: 7, lines, nested: vec![None, Some([(1, tags)].into())] }
    }

    #[test]
    fn what_differs_anywhere_is_not_the_same() {
        let one = order(&["a".to_owned(), "b".to_owned()]);
        let id = Order { id: 8, ..one.clone() };
        let lines = Order { lines: order(&["a".to_owned()]).lines, ..one.clone() };
        let nested = Order { nested: vec![None], ..one.clone() };
        for other in [id, lines, nested] {
            assert_ne!(Fingerprint::of(&one), Fingerprint::of(&other));
        }
        assert_ne!(of(&("a", "bc")), of(&("ab", "c")));
        assert_ne!(of(&vec![vec![1_u8], vec![]]), of(&vec![vec![], vec![1_u8]]));
        assert_ne!(of(&Some(Option::<u8>::None)), of(&Option::<Option<u8>>::None));
    }

    #[test]
    fn the_bytes_are_fixed() {
        // Identities of large messages are stored.
        let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(of(&(true, 1_u16, "a", Some(()), [2_u8]))), "0100010000000000000001610102");
        let entry = |key: &str, value: &str| format!("000000000000000a0000000000000001{key}{value}");
        let expected = format!("0000000000000002{}{}", entry("61", "02"), entry("62", "01"));
        assert_eq!(hex(of(&HashMap::from([("b", 1_u8), ("a", 2)]))), expected);
    }

    proptest! {
        #[test]
        fn the_order_of_maps_and_marked_sets_does_not_count(names: HashSet<String>) {
            let one: Vec<String> = names.iter().cloned().collect();
            let other: Vec<String> = one.iter().rev().cloned().collect();
            prop_assert_eq!(Fingerprint::of(&order(&one)), Fingerprint::of(&order(&other)));
        }
    }
}
