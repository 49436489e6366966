//! What the examples have in common: how they end, what is seen of them while they run, and chance that repeats.

mod above_bar;
mod chance;
mod interrupt;
mod problem;
mod progress;

pub use self::above_bar::AboveBar;
pub use self::chance::chance;
pub use self::interrupt::Interrupt;
pub use self::problem::Problem;
pub use self::progress::bar;
