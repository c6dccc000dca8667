//! The way of events from cameras and media to the actor. Owns the bound. Senders are camera and GStreamer threads: they never
//! wait, and nothing that they say is left out, because the actor's tables live on it. What keeps the queue short is that each
//! event tells of a change, of which a session or stream has a few a second at most. Should it grow all the same, the log says
//! so at [`MANY`]; at [`MAX_WAITING`] nothing more is taken and the actor ends, and the server with it, before it has eaten the
//! machine's memory.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

use tokio::sync::mpsc;

use crate::{camera::events::CameraEvent, media::MediaEvent, metrics::EventMetrics};

/// What reaches the actor from below.
#[derive(Debug)]
pub enum Event {
    /// From the media side.
    Media(MediaEvent),
    /// From the camera manager.
    Camera(CameraEvent),
}

/// Events that wait are worth a line in the log from here on: the actor takes hundreds of thousands a second.
const MANY: usize = 1000;
/// Events that may wait: some tens of megabytes.
pub(super) const MAX_WAITING: usize = 100_000;

/// Makes the way; what waits is counted in `metrics`.
pub fn events(metrics: Arc<EventMetrics>) -> (EventSender, EventReceiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared { waiting: AtomicUsize::new(0), overrun: AtomicBool::new(false), metrics });
    (EventSender { sender, shared: shared.clone() }, EventReceiver { receiver, shared })
}

#[derive(Debug)]
struct Shared {
    waiting: AtomicUsize,
    overrun: AtomicBool,
    metrics: Arc<EventMetrics>,
}

impl Shared {
    fn waits(&self, now: usize) {
        self.metrics.waiting.set(i64::try_from(now).unwrap_or(i64::MAX));
    }
}

/// Where events go in; cheap to clone.
#[derive(Debug, Clone)]
pub struct EventSender {
    sender: mpsc::UnboundedSender<Event>,
    shared: Arc<Shared>,
}

impl EventSender {
    /// Tells the actor, without waiting. One that is gone needs no events; that happens only while shutting down.
    pub fn send(&self, event: Event) {
        let waiting = self.shared.waiting.fetch_add(1, Relaxed) + 1;
        if waiting > MAX_WAITING {
            self.shared.waiting.fetch_sub(1, Relaxed);
            self.shared.metrics.lost.inc();
            self.shared.overrun.store(true, Relaxed);
            return;
        }
        self.shared.waits(waiting);
        // One line each time that it comes this far.
        if waiting == MANY {
            tracing::warn!(waiting, "Events wait for the session actor, which is slow or held up");
        }
        if self.sender.send(event).is_err() {
            self.shared.waiting.fetch_sub(1, Relaxed);
        }
    }
}

/// The actor's side.
#[derive(Debug)]
pub struct EventReceiver {
    receiver: mpsc::UnboundedReceiver<Event>,
    shared: Arc<Shared>,
}

impl EventReceiver {
    /// The next event; `None` once every sender is gone.
    pub(super) async fn next(&mut self) -> Option<Event> {
        let event = self.receiver.recv().await?;
        let before = self.shared.waiting.fetch_sub(1, Relaxed);
        self.shared.waits(before.saturating_sub(1));
        Some(event)
    }

    /// Whether events were lost for want of room: the tables may be wrong from here on.
    pub(super) fn is_overrun(&self) -> bool {
        self.shared.overrun.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SessionId;

    #[tokio::test]
    async fn events_are_counted_and_bounded() {
        let metrics = Arc::<EventMetrics>::default();
        let (sender, mut receiver) = events(metrics.clone());
        let event = || Event::Media(MediaEvent::Activity { session: SessionId::new("1") });
        for _ in 0..MAX_WAITING {
            sender.send(event());
        }
        assert!(!receiver.is_overrun());
        assert_eq!((metrics.waiting.get(), metrics.lost.get()), (100_000, 0));
        sender.send(event());
        assert!(receiver.is_overrun());
        assert_eq!((metrics.waiting.get(), metrics.lost.get()), (100_000, 1));
        assert!(receiver.next().await.is_some());
        assert_eq!(metrics.waiting.get(), 99_999);
        sender.send(event());
        assert_eq!((metrics.waiting.get(), metrics.lost.get()), (100_000, 1), "there is room again");
        drop(receiver);
        sender.send(event());
        assert_eq!(metrics.lost.get(), 2, "what waited still counts; nobody takes it any more");
    }
}
