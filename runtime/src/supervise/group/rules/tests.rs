//! Groups in virtual time: chosen stories, every short story there is, and random long ones.

mod model;
mod stories;
mod sweeping;

use self::model::Group;
use super::*;
