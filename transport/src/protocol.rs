//! What nodes say to each other: the bytes ([`frame`]), the beginning of a conversation ([`hello`]) and what two stores
//! still have to send each other ([`link`]). Pure: no clock, socket, disk, task or random number.

pub(crate) mod compact;
pub mod frame;
pub mod hello;
pub mod link;

pub use self::compact::compact;
