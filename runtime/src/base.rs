//! What everything else stands on: clocks, alarms, counts, wakers, caught panics. Nothing here knows of actors,
//! messages or stores.

pub(crate) mod alarm;
pub(crate) mod caught;
pub(crate) mod child;
pub(crate) mod clock;
pub(crate) mod count;
pub(crate) mod ended;
pub(crate) mod entered;
pub(crate) mod error_text;
pub(crate) mod inside;
pub(crate) mod marks;
pub(crate) mod own_runtime;
pub(crate) mod recurring;
pub(crate) mod rules;
pub(crate) mod sync;
pub(crate) mod text;
pub(crate) mod time_limit;
pub(crate) mod words;
