//! The tables of a store, as whoever opens it declares them: what they are called, what their keys are made of, and the
//! little that this crate has to know of their records.

mod declaration;
mod id;
mod schema;

pub use self::declaration::{Field, Table};
pub(crate) use self::declaration::{KEY_BYTES_MAX, KEY_BYTES_MIN};
pub use self::id::TableId;
pub use self::schema::Schema;
