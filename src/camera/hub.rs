//! Carries frames from camera threads to whoever wants them. Owns one newest-frame cell per stream and one bounded
//! drop-oldest slot per subscriber; never blocks the camera, never queues more than one frame per subscriber.

use std::{
    collections::HashMap,
    sync::{Arc, Condvar, Mutex, PoisonError, RwLock, Weak},
    time::Duration,
};

use super::Frame;
use crate::{
    model::{DeviceId, StreamKey},
    sync::lock,
};

/// The hub; cheap to clone by `Arc`.
#[derive(Default)]
pub struct FrameHub {
    streams: RwLock<HashMap<StreamKey, Arc<Entry>>>,
}

#[derive(Default)]
struct Entry {
    latest: Mutex<Option<Arc<Frame>>>,
    subscribers: Mutex<Vec<Weak<Slot>>>,
}

#[derive(Default)]
struct Slot {
    state: Mutex<SlotState>,
    ready: Condvar,
}

#[derive(Default)]
struct SlotState {
    frame: Option<Arc<Frame>>,
    dropped: u64,
    closed: bool,
}

/// One consumer's slot. Dropping it unsubscribes.
pub struct Subscription {
    slot: Arc<Slot>,
}

/// Closes its subscription from another thread, waking a waiting reader.
#[derive(Clone)]
pub struct SubscriptionCloser {
    slot: Weak<Slot>,
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
            let mut state = lock(&slot.state);
            if state.frame.replace(frame.clone()).is_some() {
                state.dropped += 1;
            }
            drop(state);
            slot.ready.notify_one();
            true
        });
    }

    /// The newest frame of a running stream.
    pub fn latest(&self, key: &StreamKey) -> Option<Arc<Frame>> {
        let entry = self.streams.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()?;
        lock(&entry.latest).clone()
    }

    /// Forgets the newest frame of a stream that stopped; subscriptions stay.
    pub fn clear(&self, key: &StreamKey) {
        let entry = self.streams.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        if let Some(entry) = entry {
            *lock(&entry.latest) = None;
        }
    }

    /// Forgets a device's streams, but for those whose frames somebody still waits for.
    pub fn forget(&self, device: &DeviceId) {
        let waited_for = |entry: &Entry| lock(&entry.subscribers).iter().any(|slot| slot.strong_count() > 0);
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|key, entry| key.device != *device || waited_for(entry));
    }

    /// A slot that receives every later frame of a stream; a frame that is not read in time is replaced by the next.
    pub fn subscribe(&self, key: &StreamKey) -> Subscription {
        let slot = Arc::new(Slot::default());
        lock(&self.entry(key).subscribers).push(Arc::downgrade(&slot));
        Subscription { slot }
    }

    fn entry(&self, key: &StreamKey) -> Arc<Entry> {
        if let Some(entry) = self.streams.read().unwrap_or_else(PoisonError::into_inner).get(key) {
            return entry.clone();
        }
        self.streams.write().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default().clone()
    }
}

impl Subscription {
    /// Waits for the next frame.
    pub fn next(&self, timeout: Duration) -> Next {
        let state = lock(&self.slot.state);
        let (mut state, _) = self
            .slot
            .ready
            .wait_timeout_while(state, timeout, |state| state.frame.is_none() && !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Next::Closed;
        }
        state.frame.take().map_or(Next::Timeout, Next::Frame)
    }

    /// Frames replaced before they were read.
    pub fn dropped(&self) -> u64 {
        lock(&self.slot.state).dropped
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
            lock(&slot.state).closed = true;
            slot.ready.notify_all();
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
