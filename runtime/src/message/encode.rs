//! Encoding into memory of exactly the right size.

use std::cell::Cell;

use bytes::Bytes;

/// A large value leaves no large buffer behind.
const BUFFER_BYTES_KEPT: usize = 64 * 1024;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Runs `encode` on a buffer of this thread and copies what it wrote: one allocation with little room to spare, which
/// waiting messages would keep for as long as they wait.
pub(crate) fn encode_exactly(
    encode: impl FnOnce(Vec<u8>) -> Result<Vec<u8>, postcard::Error>,
) -> Result<Bytes, postcard::Error> {
    // Taken out, so that an `encode` that comes here again finds an empty one.
    let mut buffer = encode(BUFFER.take())?;
    let bytes = everpost_transport::compact(&buffer);
    buffer.clear();
    buffer.shrink_to(BUFFER_BYTES_KEPT);
    BUFFER.set(buffer);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_do_not_mix_even_when_one_is_within_another() {
        let outer = encode_exactly(|mut buffer| {
            buffer.push(1);
            assert_eq!(
                encode_exactly(|mut inner| {
                    inner.push(2);
                    Ok(inner)
                })
                .unwrap(),
                [2].as_slice()
            );
            buffer.push(3);
            Ok(buffer)
        });
        assert_eq!(outer.unwrap(), [1, 3].as_slice());
        assert!(encode_exactly(|_| Err(postcard::Error::SerializeBufferFull)).is_err());
        assert_eq!(encode_exactly(Ok).unwrap(), [].as_slice(), "nothing of a failed one is left");
    }
}
