//! What happens to a message: the activation that handles it, and the trials after an unclean end.

pub(crate) mod activation;
pub(crate) mod quarantine;
