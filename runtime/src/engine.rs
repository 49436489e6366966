//! What happens to a message: the activation that handles it, and the trials after an unclean end.

pub(crate) mod acknowledge;
pub(crate) mod activation;
pub(crate) mod failing;
pub(crate) mod inquiry;
pub(crate) mod pausing;
pub(crate) mod quarantine;
