//! A part of a state that ends the process when it is loaded, encoded or dropped: in processes that are armed, as
//! children are. In others it is a value like any other, as it would be for a build that was mended.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use serde::de::Deserializer;
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

static ARMED: AtomicBool = AtomicBool::new(false);

/// Whether what waits for that may end the process.
static LIT: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

/// At which step of a state the process ends, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spark {
    /// The step.
    pub at: Moment,
    /// The end.
    pub by: Death,
}

/// A step in the life of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Moment {
    /// It is read from its bytes.
    Load,
    /// It is written as bytes.
    Encode,
    /// It is dropped.
    Drop,
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Death {
    /// It aborts.
    Abort,
    /// It uses up the stack of the thread.
    Overflow,
    /// It aborts once [`light`] was called, and waits for that: so a test does something before.
    Lit,
}

/// The part of a state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fuse(Option<Spark>);

impl Fuse {
    /// One that is lit by this.
    #[must_use]
    pub fn new(spark: Spark) -> Self {
        Self(Some(spark))
    }

    fn burn(&self, moment: Moment) {
        match self.0 {
            Some(Spark { at, by }) if at == moment && ARMED.load(Ordering::Relaxed) => match by {
                Death::Abort => std::process::abort(),
                Death::Overflow => overflow(),
                Death::Lit => abort_once_lit(),
            },
            _ => {}
        }
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        self.burn(Moment::Drop);
    }
}

impl Serialize for Fuse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.burn(Moment::Encode);
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Fuse {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fuse = Self(Deserialize::deserialize(deserializer)?);
        fuse.burn(Moment::Load);
        Ok(fuse)
    }
}

/// From here on this process ends where a fuse says so.
pub fn arm() {
    ARMED.store(true, Ordering::Relaxed);
}

/// Lets go on what waits for it, now and later.
pub fn light() {
    *LIT.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
    LIT.1.notify_all();
}

fn abort_once_lit() -> ! {
    let lit = LIT.0.lock().unwrap_or_else(PoisonError::into_inner);
    drop(LIT.1.wait_while(lit, |lit| !*lit));
    std::process::abort()
}

/// Ends the process by using up the stack.
pub fn overflow() {
    let _ = black_box(deeper(black_box(0)));
}

/// Never comes back.
fn deeper(depth: u64) -> u64 {
    let frame = black_box([depth; 512]);
    if depth == u64::MAX { frame[0] } else { deeper(depth + 1) ^ black_box(frame)[1] }
}
