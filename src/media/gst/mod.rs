//! Media in GStreamer: one pipeline per stream and codec, one per session. This file owns the handle that the session
//! actor calls; everything behind it runs on the control thread (`control`).
//!
//! ```text
//! camera hub -> feed thread -> appsrc ! convert ! encoder ! tee   (encoder.rs; one per stream and codec)
//!                                                       tee ! appsink -> gate -> appsrc ! payloader ! webrtcbin
//!                                                       (one branch per session and stream; session.rs)
//! ```

pub(crate) mod bus;
mod context;
mod control;
mod diagnostics;
mod encode;
mod inbox;
mod inspect;
mod messages;
pub(crate) mod offline;
mod pipelines;
mod port;
mod session;
mod teardown;
pub(crate) mod walk;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use tokio::sync::oneshot;

use self::{
    context::{Context, Events},
    control::Control,
    diagnostics::GstDiagnostics,
    messages::Msg,
    pipelines::folder::Files,
    port::busy,
    teardown::Teardown,
};
use super::{Media, MediaEvent, NewLine, SessionSpec, SessionStats, diagnostics::Diagnostics};
use crate::{
    camera::hub::FrameHub,
    config::Config,
    core::watchdog::LOOK_EVERY,
    error::{Error, Result},
    metrics::Metrics,
    model::{DeviceId, IceCandidate, Profile, SessionId, StreamKey, StreamType},
};

pub use self::pipelines::installation::{check_installation, check_pipelines};
#[cfg(any(test, fuzzing))]
pub use self::{pipelines::fuzz::pipeline as fuzz_pipeline, session::sdp::fuzz::answer as fuzz_answer};

/// The control thread's name.
const CONTROL: &str = "media-control";

/// Starts the media side: GStreamer, the control thread and its workers, and a first webrtcbin to warm up.
///
/// # Errors
/// Internal when GStreamer does not start or the system gives no thread.
pub fn start(
    config: Arc<Config>,
    hub: Arc<FrameHub>,
    metrics: Arc<Metrics>,
    events: Arc<dyn Fn(MediaEvent) + Send + Sync>,
) -> Result<Arc<dyn Media>> {
    Ok(Arc::new(start_watched(config, hub, metrics, events, Start { look_every: LOOK_EVERY, warm_up: true })?))
}

/// What tests want otherwise.
struct Start {
    /// How often the control thread is looked at.
    look_every: Duration,
    /// Whether a first session that nobody hears of warms webrtcbin up.
    warm_up: bool,
}

fn start_watched(
    config: Arc<Config>,
    hub: Arc<FrameHub>,
    metrics: Arc<Metrics>,
    events: Events,
    start: Start,
) -> Result<GstMedia> {
    gst::init().map_err(|error| Error::internal(format!("GStreamer does not start: {error}")))?;
    tracing::info!(version = %gst::version_string(), "Media starts");
    let (sender, receiver) = inbox::inbox(metrics.control.clone());
    let diagnostics = GstDiagnostics::new(sender.clone(), config.clone());
    let no_thread = |error: std::io::Error| Error::internal(format!("no thread for media: {error}"));
    let files = Files::start(&config, sender.port()).map_err(no_thread)?;
    let ctx = Arc::new(Context::new(config, hub, metrics, files, events.clone()));
    let teardown = Teardown::start().map_err(no_thread)?;
    let inbox = sender.clone();
    let control = move || {
        let events = ctx.events.clone();
        // Its side of the inbox goes with it, so that nothing waits there for ever.
        let run = AssertUnwindSafe(move || Control::new(ctx, &inbox, teardown).run(&receiver, start.warm_up));
        // Without its control thread the server would stay up and serve nobody; better it ends and is started again.
        if catch_unwind(run).is_err() {
            events(MediaEvent::Failed);
        }
    };
    std::thread::Builder::new().name(CONTROL.into()).spawn(control).map_err(no_thread)?;
    // The same for one that hangs.
    let lost = events.clone();
    sender.watch(start.look_every, move || lost(MediaEvent::Failed)).map_err(no_thread)?;
    Ok(GstMedia { control: sender, events, diagnostics })
}

/// File descriptors that a session takes: eight for its threads' loops and buses (GStreamer 1.22 with libnice 0.1.21), and its
/// sockets, of which it has some for each of the machine's addresses.
pub fn session_fds(config: &Config) -> u64 {
    let addresses = session::net::local_addresses(config.server.listen.ip().is_loopback()).len().max(1) as u64;
    // A socket that listens and one that connects.
    let tcp = if config.webrtc.ice_tcp { 2 } else { 0 };
    8 + addresses * (1 + tcp + config.webrtc.turn_servers.len() as u64)
}

/// GStreamer's version, for `--version`: "GStreamer 1.22.0".
pub fn version() -> String {
    match gst::init() {
        Ok(()) => gst::version_string().to_string(),
        Err(error) => format!("GStreamer does not start: {error}"),
    }
}

/// GStreamer's version as numbers: "1.22.0".
pub fn library_version() -> String {
    let (major, minor, micro, _) = gst::version();
    format!("{major}.{minor}.{micro}")
}

/// The text of a pipeline file by the pipeline's name; one that the folder does not have is taken from the program.
pub fn pipeline_text(config: &Config, name: &str) -> Option<String> {
    pipelines::library::read(config, name).map(|text| text.text)
}

/// The handle: posts work for the control thread and never waits for it. What is refused is answered from here.
struct GstMedia {
    control: inbox::Sender,
    events: Events,
    diagnostics: GstDiagnostics,
}

impl GstMedia {
    fn send(&self, msg: Msg) {
        let Err(refused) = self.control.send(msg) else { return };
        match *refused {
            Msg::Open(spec) => (self.events)(MediaEvent::Offer { session: spec.session, result: Err(busy()) }),
            Msg::Answer(session, _) => (self.events)(MediaEvent::Answered { session, result: Err(busy()) }),
            Msg::Candidate(session, _) => {
                tracing::warn!(session = session.short(), "A candidate was lost: too much waits")
            }
            Msg::DepthRange(device, ..) => tracing::warn!(%device, "A depth range was lost: too much waits"),
            // Who asked for statistics does without. After the shutdown there is nobody left to tell.
            _ => {}
        }
    }
}

impl Media for GstMedia {
    fn open_session(&self, spec: SessionSpec) {
        self.send(Msg::Open(spec));
    }

    fn refusal(&self) -> Option<Error> {
        self.control.refusal()
    }

    fn set_answer(&self, session: SessionId, sdp: String) {
        self.send(Msg::Answer(session, sdp));
    }

    fn add_candidate(&self, session: SessionId, candidate: IceCandidate) {
        self.send(Msg::Candidate(session, candidate));
    }

    fn grow_session(&self, session: SessionId, lines: Vec<NewLine>) {
        self.send(Msg::Grow(session, lines));
    }

    fn switch_session(&self, session: SessionId, lines: Vec<Option<(StreamType, Profile)>>) {
        self.send(Msg::Switch(session, lines));
    }

    fn send_data(&self, session: SessionId, texts: Arc<[String]>) {
        self.send(Msg::Data(session, texts));
    }

    fn close_session(&self, session: SessionId) {
        self.send(Msg::Close(session));
    }

    fn stream_running(&self, key: StreamKey, profile: Profile) {
        self.send(Msg::StreamRunning(key, profile));
    }

    fn stream_stopped(&self, key: StreamKey) {
        self.send(Msg::StreamStopped(key));
    }

    fn set_depth_range(&self, device: DeviceId, min_m: f32, max_m: f32) {
        self.send(Msg::DepthRange(device, min_m, max_m));
    }

    fn forget_device(&self, device: DeviceId) {
        self.send(Msg::DeviceForgotten(device));
    }

    fn stats(&self, sessions: Vec<SessionId>, reply: oneshot::Sender<Vec<(SessionId, SessionStats)>>) {
        self.send(Msg::Stats(sessions, reply));
    }

    fn diagnostics(&self) -> Arc<dyn Diagnostics> {
        Arc::new(self.diagnostics.clone())
    }

    fn shutdown(&self, done: oneshot::Sender<()>) {
        self.diagnostics.stop();
        self.send(Msg::Shutdown(done));
    }
}

#[cfg(test)]
#[path = "hang_tests.rs"]
mod hang_tests;
