//! Whose turn it is to set a device's options for a start that may yet be refused. Owns one turn for each device; sets nothing.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    error::{Error, Result},
    model::DeviceId,
    sync::{Mutex, lock},
};

/// The turns of all devices; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<BTreeMap<DeviceId, Arc<Semaphore>>>>);

impl Turns {
    /// Waits until nobody else sets options of the device for a start. The turn lasts until what this gives is dropped.
    ///
    /// # Errors
    /// Unavailable while shutting down.
    pub(crate) async fn take(&self, device: &DeviceId) -> Result<OwnedSemaphorePermit> {
        let turn = {
            let mut turns = lock(&self.0);
            // Turns that nobody has or waits for are dropped, because a request may name any device.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            turns.entry(device.clone()).or_insert_with(|| Arc::new(Semaphore::new(1))).clone()
        };
        turn.acquire_owned().await.map_err(|_| Error::stopping())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn one_at_a_time_for_each_device_and_nothing_is_left() {
        let (turns, device, other) = (Turns::default(), DeviceId::new("1"), DeviceId::new("2"));
        let first = turns.take(&device).await.expect("a turn");
        assert!(turns.take(&device).now_or_never().is_none(), "the second waits");
        let others = turns.take(&other).now_or_never().expect("another device is free").expect("a turn");
        drop(first);
        let second = turns.take(&device).now_or_never().expect("its turn").expect("a turn");
        drop((second, others));
        drop(turns.take(&DeviceId::new("3")).await);
        assert_eq!(turns.0.lock().expect("no panic").len(), 1, "those that nobody has are forgotten");
    }
}
