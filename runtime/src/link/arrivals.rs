//! From the wire to the store: what arrived together is stored together.

use std::convert::Infallible;

use everpost_transport::{DataReader, Frame};

use super::Ended;
use crate::core::{ArrivalError, Arriving, Core, Producer};

/// Stores what arrives, for as long as the connection lives.
pub(super) async fn arrive(core: &Core, from: &Producer, reader: &mut DataReader) -> Result<Infallible, Ended> {
    let mut frames = Vec::new();
    let mut arriving = Vec::new();
    // Several submissions fit the store's queue, however small that is. A single message always does: this node has told the
    // peer how large one may be.
    let bytes_max = core.config.store.submission_bytes_max() / 4;
    loop {
        reader.next(&mut frames).await?;
        let mut bytes = 0;
        let mut broken = None;
        for frame in frames.drain(..) {
            match read(core, from, frame) {
                Ok(message) => {
                    if !arriving.is_empty() && bytes + message.bytes() > bytes_max {
                        core.arrive(from, &mut arriving).await?;
                        bytes = 0;
                    }
                    bytes += message.bytes();
                    arriving.push(message);
                }
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            }
        }
        core.arrive(from, &mut arriving).await?;
        if let Some(error) = broken {
            return Err(error);
        }
    }
}

fn read(core: &Core, from: &Producer, frame: Frame) -> Result<Arriving, Ended> {
    match frame {
        Frame::Data(data) => Ok(core.arriving(from, data)?),
        Frame::Volatile(envelope) => Ok(core.arriving_volatile(from, envelope)?),
        _ => Err(Ended::Protocol("a frame of another kind came on a data stream".to_owned())),
    }
}

impl From<ArrivalError> for Ended {
    fn from(error: ArrivalError) -> Self {
        Self::Arrival(error)
    }
}
