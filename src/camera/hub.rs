//! Carries frames from camera threads to their subscribers. Owns one newest-frame cell per stream and one bounded
//! drop-oldest slot per subscriber; never blocks the camera, never queues more than one frame per subscriber.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use super::Frame;
use crate::{
    model::{DeviceId, StreamKey},
    sync::{Mutex, RwLock, Slot, Taken, lock, lock_read, lock_write},
};

/// The hub; cheap to clone by `Arc`.
#[derive(Default)]
pub struct FrameHub {
    streams: RwLock<HashMap<StreamKey, Arc<Entry>>>,
}

#[derive(Default)]
struct Entry {
    latest: Mutex<Option<Arc<Frame>>>,
    subscribers: Mutex<Vec<Weak<Slot<Arc<Frame>>>>>,
}

/// One consumer's slot. Dropping it unsubscribes.
pub struct Subscription {
    slot: Arc<Slot<Arc<Frame>>>,
}

/// Closes its subscription from another thread, waking a waiting reader.
#[derive(Clone)]
pub struct SubscriptionCloser {
    slot: Weak<Slot<Arc<Frame>>>,
}

/// What a wait on a subscription gave.
#[derive(Debug)]
pub enum Next {
    /// The newest frame that was not read yet.
    Frame(Arc<Frame>),
    /// Nothing within the time given.
    Timeout,
    /// The subscription was closed.
    Closed,
}

impl FrameHub {
    /// Publishes a frame: replaces the newest and fills every subscriber's slot. Never blocks on a consumer.
    pub fn publish(&self, device: &DeviceId, frame: Frame) {
        let key = StreamKey::new(device.clone(), frame.stream);
        let frame = Arc::new(frame);
        let entry = self.entry(&key);
        *lock(&entry.latest) = Some(frame.clone());
        lock(&entry.subscribers).retain(|weak| {
            let Some(slot) = weak.upgrade() else { return false };
            slot.put(frame.clone());
            true
        });
    }

    /// The newest frame of a running stream.
    pub fn latest(&self, key: &StreamKey) -> Option<Arc<Frame>> {
        let entry = lock_read(&self.streams).get(key).cloned()?;
        lock(&entry.latest).clone()
    }

    /// Forgets the newest frame of a stream that stopped; subscriptions stay.
    pub fn clear(&self, key: &StreamKey) {
        let entry = lock_read(&self.streams).get(key).cloned();
        if let Some(entry) = entry {
            *lock(&entry.latest) = None;
        }
    }

    /// Forgets a device's streams, but for those whose frames somebody still waits for.
    pub fn forget(&self, device: &DeviceId) {
        let waited_for = |entry: &Entry| lock(&entry.subscribers).iter().any(|slot| slot.strong_count() > 0);
        let mut streams = lock_write(&self.streams);
        streams.retain(|key, entry| key.device != *device || waited_for(entry));
    }

    /// A slot that receives every later frame of a stream; a frame that is not read in time is replaced by the next.
    pub fn subscribe(&self, key: &StreamKey) -> Subscription {
        let slot = Arc::new(Slot::default());
        lock(&self.entry(key).subscribers).push(Arc::downgrade(&slot));
        Subscription { slot }
    }

    fn entry(&self, key: &StreamKey) -> Arc<Entry> {
        if let Some(entry) = lock_read(&self.streams).get(key) {
            return entry.clone();
        }
        lock_write(&self.streams).entry(key.clone()).or_default().clone()
    }
}

impl Subscription {
    /// Waits for the next frame.
    pub fn next(&self, timeout: Duration) -> Next {
        match self.slot.take(timeout) {
            Taken::Value(frame) => Next::Frame(frame),
            Taken::Timeout => Next::Timeout,
            Taken::Closed => Next::Closed,
        }
    }

    /// Frames replaced before they were read.
    pub fn dropped(&self) -> u64 {
        self.slot.replaced()
    }

    /// A handle that closes this subscription from elsewhere.
    pub fn closer(&self) -> SubscriptionCloser {
        SubscriptionCloser { slot: Arc::downgrade(&self.slot) }
    }
}

impl SubscriptionCloser {
    /// Closes: a waiting and every later `next` gives `Closed`.
    pub fn close(&self) {
        if let Some(slot) = self.slot.upgrade() {
            slot.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PixelFormat, StreamType, TimestampDomain};

    fn frame() -> Frame {
        Frame {
            stream: StreamType::Color,
            format: PixelFormat::I420,
            width: 2,
            height: 2,
            data: Arc::new(vec![0u8; 6]),
            number: 1,
            timestamp_ms: 0.0,
            timestamp_domain: TimestampDomain::SystemTime,
            metadata: Default::default(),
            captured_at: std::time::Instant::now(),
            depth_units: 0.0,
            intrinsics: None,
        }
    }

    #[test]
    fn a_device_that_is_forgotten_leaves_only_what_is_waited_for() {
        let hub = FrameHub::default();
        let (gone, stays) = (DeviceId::new("gone"), DeviceId::new("stays"));
        let key = |device: &DeviceId| StreamKey::new(device.clone(), StreamType::Color);
        let depth = StreamKey::new(gone.clone(), StreamType::Depth);
        let waiting = hub.subscribe(&depth);
        hub.publish(&gone, frame());
        hub.publish(&stays, frame());
        hub.forget(&gone);
        let known: Vec<_> = hub.streams.read().expect("no panic").keys().cloned().collect();
        assert!(hub.latest(&key(&gone)).is_none() && hub.latest(&key(&stays)).is_some());
        assert!(known.contains(&depth) && known.len() == 2, "somebody waits for depth: {known:?}");
        hub.publish(&gone, Frame { stream: StreamType::Depth, ..frame() });
        assert!(matches!(waiting.next(Duration::from_secs(5)), Next::Frame(_)), "and gets it");
        drop(waiting);
        hub.forget(&gone);
        assert_eq!(hub.streams.read().expect("no panic").len(), 1);
    }
}
