//! What every part of the GStreamer side shares: the configuration, the camera's frames, what is counted, and the clock that all
//! pipelines run on. Owns no pipeline; what changes in it are counters and what is known of the pipelines, each with its own
//! short lock.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use gst::prelude::*;

use super::pipelines::{announced::Announced, folder::Files};
use crate::{camera::hub::FrameHub, config::Config, logging, media::MediaEvent, metrics::Metrics};

/// Serial numbers tell a live pipeline's callbacks from a dead one's.
pub(super) fn next_serial() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Relaxed)
}

/// Where media events go.
pub(super) type Events = Arc<dyn Fn(MediaEvent) + Send + Sync>;

/// Shared by all parts; cheap to clone by `Arc`.
pub(super) struct Context {
    pub(super) config: Arc<Config>,
    pub(super) hub: Arc<FrameHub>,
    /// What is counted.
    pub(super) metrics: Arc<Metrics>,
    /// The pipeline files.
    pub(super) files: Files,
    /// What offers say that the pipelines make.
    pub(super) announced: Arc<Announced>,
    pub(super) events: Events,
    clock: gst::Clock,
    base_time: gst::ClockTime,
    started: Instant,
}

impl Context {
    pub(super) fn new(
        config: Arc<Config>,
        hub: Arc<FrameHub>,
        metrics: Arc<Metrics>,
        files: Files,
        events: Events,
    ) -> Self {
        let clock = gst::SystemClock::obtain();
        let (started, base_time) = (Instant::now(), clock.time());
        let announced = Arc::new(Announced::read(&config));
        Self { config, hub, metrics, files, announced, events, clock, base_time, started }
    }

    /// Puts a pipeline on the common clock and base time, so that a buffer's PTS means the same everywhere and can be
    /// handed from an encoder's pipeline to a session's as it is; and lets the log know whose it is, by its name.
    pub(super) fn synchronise(&self, pipeline: &gst::Pipeline) {
        logging::gst::attribute(pipeline);
        pipeline.use_clock(Some(&self.clock));
        pipeline.set_base_time(self.base_time);
        // Without this a pipeline would take a base time of its own when it starts.
        pipeline.set_start_time(gst::ClockTime::NONE);
    }

    /// The running time of a host instant. Both clocks are CLOCK_MONOTONIC.
    pub(super) fn running_time(&self, at: Instant) -> gst::ClockTime {
        gst::ClockTime::try_from(at.saturating_duration_since(self.started)).unwrap_or(gst::ClockTime::ZERO)
    }

    /// Milliseconds since the media side started: the time base of every atomic time stamp.
    pub(super) fn now_ms(&self) -> u64 {
        self.ms(Instant::now())
    }

    pub(super) fn ms(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }
}
