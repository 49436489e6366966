//! Addresses that know the type of their actor.

use std::fmt;
use std::marker::PhantomData;

use crate::actor::Actor;
use crate::message::address::Address;

/// An [`Address`] that knows the actor type in Rust's types too, so that sending it a message that its actor does not
/// handle does not compile. Made by [`Actor::at`].
pub struct AddressOf<A> {
    address: Address,
    actor: PhantomData<fn() -> A>,
}

impl<A: Actor> AddressOf<A> {
    pub(crate) fn new(key: &str) -> Self {
        Self { address: Address::new(A::TYPE, key), actor: PhantomData }
    }

    /// The address without its Rust type.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }
}

impl<A> Clone for AddressOf<A> {
    fn clone(&self) -> Self {
        Self { address: self.address.clone(), actor: PhantomData }
    }
}

impl<A> fmt::Debug for AddressOf<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.address, f)
    }
}

impl<A> fmt::Display for AddressOf<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.address, f)
    }
}
