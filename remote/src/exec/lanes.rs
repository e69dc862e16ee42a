//! Connections for executions, apart from those for blobs.
//!
//! An execution holds a stream open for as long as it takes. Servers allow so many streams a connection,
//! often a hundred: on one connection, waiting executions would keep everything else from moving.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use super::Engine;
use crate::session::{Channel, Failure};

/// Fewer than any server allows.
const STREAMS: usize = 80;

/// Connections, each with the streams that it may still take.
#[derive(Debug, Default)]
pub(super) struct Lanes(Mutex<Vec<(Channel, Arc<Semaphore>)>>);

/// A place for one stream.
pub(super) struct Lane {
    pub(super) channel: Channel,
    _place: OwnedSemaphorePermit,
}

impl Engine {
    /// A place on a connection, which is opened if need be.
    pub(super) async fn lane(&self) -> Result<Lane, Failure> {
        let mut lanes = self.lanes.0.lock().await;
        for (channel, places) in lanes.iter() {
            if let Ok(place) = Arc::clone(places).try_acquire_owned() {
                return Ok(Lane {
                    channel: channel.clone(),
                    _place: place,
                });
            }
        }
        let channel = self.session.open().await?;
        let places = Arc::new(Semaphore::new(STREAMS));
        let place = Arc::clone(&places).try_acquire_owned();
        lanes.push((channel.clone(), places));
        Ok(Lane {
            channel,
            _place: place.expect("nobody else has seen it"),
        })
    }
}
