//! Who this node is, and who may speak with it.
//!
//! A node is who its certificate says: the cluster's own authority signed it for the node's name. There is no other
//! secret and no other list. Nobody outside the cluster can complete a handshake.

mod clock;
mod credentials;
mod error;
mod files;
mod keys;
mod load;
mod names;
mod peers;
mod provider;
mod tls;

pub use self::credentials::Identity;
pub use self::error::IdentityError;
pub(crate) use self::peers::Peers;
