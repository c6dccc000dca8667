//! The session actor over a scripted media side, for tests and fuzzing: no GStreamer.

use std::{sync::Arc, time::Duration};

use super::{Event, EventSender, Handle, Machine, Observe, Parts, events, spawn};
use crate::{
    camera::{Backend, hub::FrameHub, manager, recording::Recordings},
    config::Config,
    media::fake::FakeMedia,
};

/// What is scripted, and what it serves.
#[cfg_attr(not(test), allow(dead_code, reason = "fuzzing asks over HTTP only"))]
pub(crate) struct Scripted {
    pub(crate) handle: Handle,
    pub(crate) media: Arc<FakeMedia>,
    pub(crate) cameras: manager::CameraHandle,
    /// Where cameras and the media side tell what happened.
    pub(crate) events: EventSender,
}

/// Starts it with these cameras. `telling` is called before each event of a camera is told.
///
/// # Panics
/// The system gives no thread.
pub(crate) fn start(
    config: Config,
    backends: Vec<Arc<dyn Backend>>,
    machine: Machine,
    telling: impl Fn() + Send + Sync + 'static,
) -> Scripted {
    let observe = Observe::default();
    let (events, inbox) = events(observe.metrics.events.clone());
    let (to_actor, of_cameras) = (events.clone(), events.clone());
    let media = FakeMedia::new(Arc::new(move |event| to_actor.send(Event::Media(event))));
    let hub = Arc::new(FrameHub::default());
    let timing = manager::Timing { reply: Duration::from_secs(15), stall: Duration::from_secs(600) };
    let report = Arc::new(move |event| {
        telling();
        of_cameras.send(Event::Camera(event));
    });
    let recordings = Recordings::new(&config.recording, None);
    let cameras = manager::start(backends, hub.clone(), report, timing, recordings, observe.metrics.clone());
    let cameras = cameras.expect("a thread");
    let parts = Parts {
        config: Arc::new(config),
        hub,
        cameras: cameras.clone(),
        media: media.clone(),
        observe,
        machine,
        events: inbox,
    };
    let (handle, _task) = spawn(parts);
    Scripted { handle, media, cameras, events }
}
