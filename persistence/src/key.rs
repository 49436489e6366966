//! The keys of records: which table, and where in it.

mod builder;
mod damage;
mod encoded;
mod fields;

pub use self::builder::KeyBuilder;
pub use self::encoded::Key;
pub use self::fields::Fields;

#[cfg(test)]
pub(crate) mod tests;
