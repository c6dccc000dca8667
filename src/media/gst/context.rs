//! What every part of the GStreamer side shares: the clock all pipelines run on, and the messages to the control thread.
//! Owns no pipeline; what changes in it are counters and what is known of the pipelines, each with its own short lock.

use std::{
    sync::{Arc, mpsc},
    time::Instant,
};

use gst::prelude::*;
use tokio::sync::oneshot;

use super::{
    announced::Announced, dtls::Identities, folder::Files, inbox, library::Text, starter::Started, stats::PeerStats,
    streams::ReloadAnswer,
};
use crate::{
    camera::hub::FrameHub,
    config::Config,
    core::rtcp::Misuse,
    logging,
    media::{MediaEvent, SessionSpec, SessionStats, diagnostics::Answer},
    metrics::Metrics,
    model::{DeviceId, IceCandidate, PipelineInfo, Profile, SessionId, StreamKey},
};

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
    /// The certificate that sessions show.
    pub(super) identities: Identities,
    /// To the control thread; `inbox` says what happens when much waits there.
    pub(super) control: inbox::Sender,
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
        control: inbox::Sender,
    ) -> Self {
        let clock = gst::SystemClock::obtain();
        let (started, base_time) = (Instant::now(), clock.time());
        let (identities, announced) = (Identities::default(), Arc::new(Announced::read(&config)));
        Self { config, hub, metrics, files, announced, events, identities, control, clock, base_time, started }
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

    /// Tells the control thread; nothing to tell once it has ended.
    pub(super) fn send(&self, msg: Msg) {
        let _ = self.control.send(msg);
    }
}

/// Everything the control thread acts on.
pub(super) enum Msg {
    Open(SessionSpec),
    Answer(SessionId, String),
    Candidate(SessionId, IceCandidate),
    Close(SessionId),
    StreamRunning(StreamKey, Profile),
    StreamStopped(StreamKey),
    DepthRange(DeviceId, f32, f32),
    DeviceForgotten(DeviceId),
    Stats(Vec<SessionId>, oneshot::Sender<Vec<(SessionId, SessionStats)>>),
    Shutdown(oneshot::Sender<()>),
    /// From a callback of the session with this serial number; late ones find no such session and are dropped.
    Session(u64, Signal),
    /// Every pipeline there is.
    Pipelines(Answer<Vec<PipelineInfo>>),
    /// Check a pipeline again and swap it in.
    Reload(String, ReloadAnswer),
    /// A pipeline was read, or why not: because its file was saved, or because somebody asked.
    FileRead(String, Result<Text, String>, Option<ReloadAnswer>),
    /// A start or a check is through.
    Started(Started),
    /// What runs of a device, and of the session that is named, for who looks at it from a thread of its own.
    Running(DeviceId, Option<SessionId>, mpsc::SyncSender<super::running::Running>),
    /// The encoder pipeline with this serial number failed.
    EncoderFailed(u64, String),
    /// A tee pad is unlinked and its branch can be taken apart.
    BranchUnlinked(super::encoder::Branch),
    /// One session's part of a statistics request.
    StatsPart(u64, SessionId, PeerStats),
    /// Holds the control thread until the other side goes.
    #[cfg(test)]
    Hang(mpsc::Receiver<()>),
}

/// What a session's callbacks report.
pub(super) enum Signal {
    OfferMade(Result<gst_webrtc::WebRTCSessionDescription, String>),
    LocalDescriptionSet(Result<(), String>),
    LocalCandidate(u32, String),
    GatheringComplete,
    RemoteDescriptionSet(Result<(), String>),
    ConnectionState,
    DtlsClosed,
    /// The peer does what no receiver has to.
    Misuse(Misuse),
    Error(String),
}
