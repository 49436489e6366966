//! LMDB: how its environments are opened, once their pages were looked at. Knows its rules, not what is stored.

mod check;
mod env;

pub(crate) use self::env::{Env, RawDatabase, Settings, make, open, open_beside, open_to_read};
