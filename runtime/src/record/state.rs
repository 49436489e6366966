//! States: what an actor keeps between its turns, under a name and a version like a message.

mod record;

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use self::record::{StateRecord, StateSummary, StoredState, address_of};
use crate::message::UpgradeError;

/// A value that an actor may keep. Derive it:
///
/// ```
/// use everpost::{State, UpgradeError};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Default, Serialize, Deserialize, State)]
/// #[state(name = "balance", version = 2, upgrade = from_euros)]
/// struct Balance {
///     cents: i64,
/// }
///
/// fn from_euros(version: u16, bytes: &[u8]) -> Result<Balance, UpgradeError> {
///     match version {
///         1 => {
///             let euros: i64 = postcard::from_bytes(bytes).map_err(UpgradeError::new)?;
///             Ok(Balance { cents: euros * 100 })
///         }
///         other => Err(UpgradeError::new(format!("version {other} of `balance` was never written"))),
///     }
/// }
/// assert_eq!(Balance::upgrade_from(1, &[6]).unwrap().cents, 3 * 100); // postcard writes 3 as 6
/// ```
///
/// A state outlives the build that wrote it. It is stored with its name and version, read through
/// [`State::upgrade_from`] when its version is an older one, and written with the present one at the next turn that
/// changes it. A state that cannot be read is never overwritten: its mailbox keeps accepting, and waits for a build
/// that reads it. [`NodeBuilder::check_upgrade`](crate::NodeBuilder::check_upgrade) finds such states before a build
/// takes traffic.
///
/// A turn commits as one, so a state can be no larger than a commit of the store: by default 64 MiB, and a sixteenth of
/// the smaller map at most. From half of that on the log warns; an actor whose state would be larger is paused
/// ([`PauseReason::StateTooLarge`](crate::PauseReason::StateTooLarge)) and keeps its messages.
///
/// Reading, writing and dropping it and its default run where Everpost needs them. A panic in there is a failure of the
/// turn, or of the activation when it is being read; one while it is dropped is logged. When the process dies in there,
/// again and again, the actor is paused by itself
/// ([`PauseReason::KilledTheProcess`](crate::PauseReason::KilledTheProcess)).
///
/// `()`, `bool`, `char`, `String`, integers and floats of a fixed size are states of version 1 whose name is that of
/// the type, and so are `Option`, `Vec` and `BTreeMap`, whose names (`option`, `list`, `map`) do not say what is in
/// them. Their version never changes, so a type of one's own is the better choice for what may grow.
pub trait State: Default + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The name stored with every state of this type. Never change it.
    const NAME: &'static str;
    /// The version of the fields. Raise it when they change, and read the older ones in [`State::upgrade_from`].
    const VERSION: u16;

    /// Reads bytes that an older version of this type wrote.
    ///
    /// # Errors
    ///
    /// [`UpgradeError`] when that version is unknown; the state stays in the store as it is.
    fn upgrade_from(version: u16, bytes: &[u8]) -> Result<Self, UpgradeError> {
        let _ = bytes;
        Err(UpgradeError::new(format!("no upgrade from version {version} of `{}`", Self::NAME)))
    }
}

macro_rules! plain_states {
    ($($name:literal: $state:ty,)*) => {
        $(
            impl State for $state {
                const NAME: &'static str = $name;
                const VERSION: u16 = 1;
            }
        )*
    };
}

plain_states! {
    "unit": (),
    "bool": bool,
    "char": char,
    "string": String,
    "u8": u8,
    "u16": u16,
    "u32": u32,
    "u64": u64,
    "u128": u128,
    "i8": i8,
    "i16": i16,
    "i32": i32,
    "i64": i64,
    "i128": i128,
    "f32": f32,
    "f64": f64,
}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> State for Option<T> {
    const NAME: &'static str = "option";
    const VERSION: u16 = 1;
}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> State for Vec<T> {
    const NAME: &'static str = "list";
    const VERSION: u16 = 1;
}

impl<K, V> State for BTreeMap<K, V>
where
    K: Ord + Serialize + DeserializeOwned + Send + Sync + 'static,
    V: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    const NAME: &'static str = "map";
    const VERSION: u16 = 1;
}
