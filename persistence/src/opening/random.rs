//! Numbers that nobody can guess or repeat.

use crate::error::OpenError;

/// Bytes that nobody can guess or repeat.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], OpenError> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        let count = rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty());
        filled += count.map_err(|error| OpenError::System(error.into()))?;
    }
    Ok(bytes)
}
