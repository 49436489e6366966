//! Certificates are renewed while a node runs: their files are looked at each second, and what is there is used for
//! every connection that begins from then on. Those that are there stay, however long ago the certificate has expired
//! that they began with.

use std::sync::Arc;
use std::time::Duration;

use everpost_transport::{BindError, Identity, IdentityError};
use tokio::time::Instant;

use super::Links;
use crate::base::alarm::{Alarm, Said};
use crate::base::caught::joined;

/// How often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why the files of an identity are not used.
#[derive(Debug, thiserror::Error)]
enum NotRenewed {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Endpoint(#[from] BindError),
}

/// Looks for as long as the node runs.
pub(crate) async fn renew(links: Arc<Links>, mut identity: Identity) {
    let node = &links.shard.name;
    let mut trouble = Alarm::default();
    let mut was_wrong = false;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let (reading, at) = (identity.clone(), Arc::clone(&links));
        // Files block.
        let read = tokio::task::spawn_blocking(move || read(&at, &reading)).await;
        // Without one the runtime has ended.
        let Some(read) = joined(read) else { return };
        match read {
            Ok(None) => {}
            Ok(Some(renewed)) => {
                identity = renewed;
                tracing::info!(%node, event = "certificate renewed", "it is used for every connection from now on");
            }
            // For a moment one file may be new, and the other not yet.
            Err(_) if !was_wrong => {
                was_wrong = true;
                continue;
            }
            Err(error) => {
                if let Some(Said { times, lasts }) = trouble.raise(Instant::now()) {
                    tracing::error!(
                        %node, %error, times, ?lasts, event = "certificate not renewed",
                        "its files have changed and cannot be used: the node goes on with what it has read before"
                    );
                }
                continue;
            }
        }
        was_wrong = false;
        if let Some(Said { lasts, .. }) = trouble.clear(Instant::now()) {
            tracing::info!(%node, ?lasts, event = "certificate not renewed", "it is over");
        }
    }
}

/// What is in the files, if it is something else than before, and used from now on.
fn read(links: &Links, identity: &Identity) -> Result<Option<Identity>, NotRenewed> {
    let Some(renewed) = identity.renewed()? else { return Ok(None) };
    // By the clock that is believed, as at the start.
    renewed.check(&links.shard.name, links.shard.clock.wall().into())?;
    links.endpoint.renew(&renewed)?;
    Ok(Some(renewed))
}
