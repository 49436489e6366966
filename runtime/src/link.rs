//! Links: one conversation with each other node. Each link is a ractor actor under one supervisor; it dials, or waits
//! to be dialed, speaks the link protocol, and starts over when the connection breaks. What is owed and how far each
//! side has come lives in [`crate::cluster`] and in the store, so a link that dies loses nothing.

mod arrivals;
mod arriving;
mod control;
mod conversation;
mod departures;
mod dialing;
pub(crate) mod introduction;
mod life;
pub(crate) mod listener;
pub(crate) mod outcomes;
pub(crate) mod queries;
mod renewal;
pub(crate) mod resumption;
mod rules;
mod supervision;

use std::sync::Arc;

use everpost_transport::Endpoint;

pub(crate) use self::renewal::renew;
pub(crate) use self::supervision::{LinkOrder, supervise};
use crate::config::LinkConfig;
use crate::shard::Shard;

/// What all links of a node share.
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) shard: Arc<Shard>,
    pub(crate) endpoint: Endpoint,
    pub(crate) config: LinkConfig,
}
