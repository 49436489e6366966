//! Room for what is read.

/// Decides which records there is room for, see [`Store::read_while`](crate::Store::read_while).
pub trait Admit: Send {
    /// Whether there is room for a record of so many bytes. Asked for each record that there is, in the order asked
    /// for, before it is copied into memory; after a no for none any more.
    ///
    /// Called on the thread of the caller, or on one of the store's which reads for others too: it must be short, and
    /// must not wait for anything. If it panics there, that read fails.
    fn admits(&mut self, bytes: usize) -> bool;
}

/// Room for everything.
pub(crate) struct AdmitAll;

impl Admit for AdmitAll {
    fn admits(&mut self, _: usize) -> bool {
        true
    }
}
