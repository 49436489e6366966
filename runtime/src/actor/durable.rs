//! The guard around an actor's durable state: reading is free, writing marks it as changed.

use std::ops::{Deref, DerefMut};

/// The durable state of an actor, as its handlers see it.
///
/// It derefs to the state. Taking `&mut` marks it as changed, and a changed state is encoded and commits with its turn;
/// one that was only read costs nothing. A turn that fails puts back what the turns before it had made.
///
/// Only changes through `&mut` count: what hides behind a `Mutex` or a `Cell` inside the state is not noticed.
///
/// ```
/// # use everpost::Durable;
/// # #[derive(Default)] struct Balance { cents: i64 }
/// fn apply(balance: &mut Durable<Balance>) {
///     if balance.cents < 100 {        // reading: nothing will be written
///         balance.cents += 1;         // writing: the state commits with this turn
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Durable<S> {
    value: S,
    changed: bool,
}

impl<S> Durable<S> {
    pub(crate) fn new(value: S) -> Self {
        Self { value, changed: false }
    }

    pub(crate) fn is_changed(&self) -> bool {
        self.changed
    }

    pub(crate) fn mark_clean(&mut self) {
        self.changed = false;
    }
}

impl<S> Deref for Durable<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.value
    }
}

impl<S> DerefMut for Durable<S> {
    fn deref_mut(&mut self) -> &mut S {
        self.changed = true;
        &mut self.value
    }
}
