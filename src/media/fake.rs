//! A media side without GStreamer, for tests of everything above it: it makes canned offers, takes every answer that looks
//! like SDP, remembers what it was told, and sends the events a test asks for.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;
use tokio::sync::oneshot;

use super::{
    LocalOffer, Media, MediaEvent, NewLine, SessionSpec, SessionStats, StreamStats,
    diagnostics::{Answer, Diagnostics, ElementPath, GraphRequest, ReloadError},
};
use crate::{
    error::{Error, Result},
    model::{
        Codec, DeviceId, ElementInfo, Graph, IceCandidate, PipelineInfo, Profile, SessionId, StreamKey, StreamType,
    },
    sync::{Mutex, MutexGuard, lock},
};

/// What the fake was told.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// A session was opened with these streams, to be offered in these codecs.
    Open(SessionId, Vec<StreamType>, Vec<Codec>),
    /// An answer came.
    Answer(SessionId),
    /// A candidate came.
    Candidate(SessionId, String),
    /// A session gets further m-lines for these streams.
    Grow(SessionId, Vec<StreamType>),
    /// A session's m-lines carry these streams.
    Switch(SessionId, Vec<Option<StreamType>>),
    /// Texts for a session's data channel.
    Data(SessionId, Vec<String>),
    /// A session was closed.
    Close(SessionId),
    /// A stream runs.
    Running(StreamKey, Profile),
    /// A stream stopped.
    Stopped(StreamKey),
    /// A depth range was set.
    DepthRange(DeviceId, f32, f32),
    /// A device is known no more.
    Forget(DeviceId),
    /// Shutdown.
    Shutdown,
}

/// The fake.
pub struct FakeMedia {
    events: Arc<dyn Fn(MediaEvent) + Send + Sync>,
    state: Arc<Mutex<State>>,
    diagnostics: Arc<FakeDiagnostics>,
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    open: Vec<(SessionId, Vec<StreamType>)>,
    specs: Vec<SessionSpec>,
    refuse_offers: Option<Error>,
    hold_offers: bool,
    refusal: Option<Error>,
    trouble: Option<String>,
}

impl FakeMedia {
    /// A fake that sends its events there.
    pub fn new(events: Arc<dyn Fn(MediaEvent) + Send + Sync>) -> Arc<Self> {
        Self::with_pipelines(events, Vec::new())
    }

    /// A fake that knows these pipelines; one with a fault is refused when it is reloaded.
    pub fn with_pipelines(events: Arc<dyn Fn(MediaEvent) + Send + Sync>, pipelines: Vec<PipelineInfo>) -> Arc<Self> {
        let state = Arc::<Mutex<State>>::default();
        let script = Mutex::default();
        let diagnostics = Arc::new(FakeDiagnostics { pipelines, state: state.clone(), script });
        Arc::new(Self { events, state, diagnostics })
    }

    /// Drops every question about pipelines from now on, as a part that panics does.
    pub fn drop_questions(&self) {
        self.diagnostics.script().drops = true;
    }

    /// Shows this graph from now on, whatever the device.
    pub fn show_graph(&self, graph: Graph) {
        self.diagnostics.script().graph = Some(graph);
    }

    /// Everything it was told so far.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// What sessions were to be made of, in the order they were asked for.
    pub fn specs(&self) -> Vec<SessionSpec> {
        self.state().specs.clone()
    }

    /// The sessions that are open now.
    pub fn open_sessions(&self) -> Vec<SessionId> {
        self.state().open.iter().map(|(id, _)| id.clone()).collect()
    }

    /// Sends an event as the real media side would.
    pub fn emit(&self, event: MediaEvent) {
        (self.events)(event);
    }

    /// Refuses every offer from now on.
    pub fn refuse_offers(&self, error: Option<Error>) {
        self.state().refuse_offers = error;
    }

    /// Is too busy for anything new from now on, for this reason.
    pub fn be_busy(&self, refusal: Option<Error>) {
        self.state().refusal = refusal;
    }

    /// Hangs from now on, or no more, as far as its health tells.
    pub fn hang(&self, trouble: Option<&str>) {
        self.state().trouble = trouble.map(str::to_owned);
    }

    /// Leaves every offer unanswered from now on.
    pub fn hold_offers(&self, hold: bool) {
        self.state().hold_offers = hold;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn record(&self, call: Call) {
        self.state().calls.push(call);
    }
}

impl Media for FakeMedia {
    fn refusal(&self) -> Option<Error> {
        self.state().refusal.clone()
    }

    fn open_session(&self, spec: SessionSpec) {
        let streams: Vec<_> = spec.streams.iter().map(|(stream, _)| *stream).collect();
        let result = {
            let mut state = self.state();
            state.specs.push(spec.clone());
            state.calls.push(Call::Open(spec.session.clone(), streams.clone(), spec.codecs));
            state.open.push((spec.session.clone(), streams));
            if state.hold_offers {
                return;
            }
            match &state.refuse_offers {
                Some(error) => Err(error.clone()),
                None => Ok(LocalOffer {
                    sdp: "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n".into(),
                    candidates: vec![IceCandidate {
                        candidate: "candidate:1 1 UDP 2122252543 127.0.0.1 50000 typ host".into(),
                        sdp_mid: Some("0".into()),
                        sdp_mline_index: Some(0),
                    }],
                }),
            }
        };
        self.emit(MediaEvent::Offer { session: spec.session, result });
    }

    fn set_answer(&self, session: SessionId, sdp: String) {
        self.record(Call::Answer(session.clone()));
        let spec = self.state().specs.iter().find(|spec| spec.session == session).cloned();
        let lines = spec.map_or(0, |spec| spec.streams.len() + spec.spare);
        let result = if sdp.starts_with("v=0") {
            Ok(vec![Some(Codec::H264); lines])
        } else {
            Err(Error::invalid("The answer is not SDP: it must begin with 'v=0'. Send what createAnswer() gave."))
        };
        self.emit(MediaEvent::Answered { session, result });
    }

    fn add_candidate(&self, session: SessionId, candidate: IceCandidate) {
        self.record(Call::Candidate(session, candidate.candidate));
    }

    fn grow_session(&self, session: SessionId, lines: Vec<NewLine>) {
        let result = {
            let mut state = self.state();
            if let Some(spec) = state.specs.iter_mut().find(|spec| spec.session == session) {
                spec.spare += lines.len();
            }
            state.calls.push(Call::Grow(session.clone(), lines.iter().map(|line| line.stream).collect()));
            match (state.hold_offers, &state.refuse_offers) {
                (true, _) => return,
                (false, Some(error)) => Err(error.clone()),
                (false, None) => Ok(LocalOffer {
                    sdp: "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n".into(),
                    candidates: Vec::new(),
                }),
            }
        };
        self.emit(MediaEvent::Offer { session, result });
    }

    fn switch_session(&self, session: SessionId, lines: Vec<Option<(StreamType, Profile)>>) {
        let streams = lines.into_iter().map(|line| line.map(|(stream, _)| stream)).collect();
        self.state().calls.push(Call::Switch(session, streams));
    }

    fn send_data(&self, session: SessionId, texts: Arc<[String]>) {
        self.state().calls.push(Call::Data(session, texts.to_vec()));
    }

    fn close_session(&self, session: SessionId) {
        let mut state = self.state();
        state.open.retain(|(id, _)| *id != session);
        state.calls.push(Call::Close(session));
    }

    fn stream_running(&self, key: StreamKey, profile: Profile) {
        self.record(Call::Running(key, profile));
    }

    fn stream_stopped(&self, key: StreamKey) {
        self.record(Call::Stopped(key));
    }

    fn set_depth_range(&self, device: DeviceId, min_m: f32, max_m: f32) {
        self.record(Call::DepthRange(device, min_m, max_m));
    }

    fn forget_device(&self, device: DeviceId) {
        self.record(Call::Forget(device));
    }

    fn stats(&self, sessions: Vec<SessionId>, reply: oneshot::Sender<Vec<(SessionId, SessionStats)>>) {
        let open = self.state().open.clone();
        let stats = |id: &SessionId| {
            let streams = open.iter().find(|(known, _)| known == id).map(|(_, streams)| streams.iter());
            // Every answer to it chooses H.264.
            let stream = |stream: &StreamType| StreamStats {
                stream_type: stream.to_string(),
                codec: Some(Codec::H264),
                ..StreamStats::default()
            };
            SessionStats { streams: streams.into_iter().flatten().map(stream).collect(), ..SessionStats::default() }
        };
        // A requester that went away needs no answer.
        let _ = reply.send(sessions.into_iter().map(|id| (id.clone(), stats(&id))).collect());
    }

    fn diagnostics(&self) -> Arc<dyn Diagnostics> {
        self.diagnostics.clone()
    }

    fn shutdown(&self, done: oneshot::Sender<()>) {
        self.record(Call::Shutdown);
        let _ = done.send(());
    }
}

/// Diagnostics of a media side without GStreamer: it knows the pipelines and the graph a test gave it, and nothing runs.
struct FakeDiagnostics {
    pipelines: Vec<PipelineInfo>,
    state: Arc<Mutex<State>>,
    script: Mutex<Script>,
}

#[derive(Default)]
struct Script {
    drops: bool,
    graph: Option<Graph>,
}

impl FakeDiagnostics {
    fn script(&self) -> MutexGuard<'_, Script> {
        lock(&self.script)
    }

    fn answer<T, E>(&self, reply: Answer<T, E>, answer: Result<T, E>) {
        if !self.script().drops {
            // A requester that went away needs no answer.
            let _ = reply.send(answer);
        }
    }
}

impl Diagnostics for FakeDiagnostics {
    fn trouble(&self) -> Option<String> {
        lock(&self.state).trouble.clone()
    }

    fn pipelines(&self, reply: Answer<Vec<PipelineInfo>>) {
        self.answer(reply, Ok(self.pipelines.clone()));
    }

    fn reload(&self, name: String, reply: Answer<PipelineInfo, ReloadError>) {
        let known = self.pipelines.iter().find(|info| info.name == name);
        let refused = || ReloadError::Refused(Error::not_found(format!("There is no pipeline '{name}'.")));
        let answer = match known.ok_or_else(refused) {
            Ok(PipelineInfo { fault: Some(fault), .. }) => Err(ReloadError::Fault(fault.clone())),
            Ok(info) => Ok(info.clone()),
            Err(error) => Err(error),
        };
        self.answer(reply, answer);
    }

    fn graph(&self, request: GraphRequest, reply: Answer<Graph>) {
        let shown = self.script().graph.clone();
        let empty = || Graph { device_id: Some(request.device), ..Graph::default() };
        self.answer(reply, Ok(shown.unwrap_or_else(empty)));
    }

    fn element(&self, path: ElementPath, reply: Answer<ElementInfo>) {
        self.answer(reply, Err(Error::not_found(format!("There is no element '{}'.", path.element))));
    }

    fn set_properties(&self, path: ElementPath, _: BTreeMap<String, Value>, reply: Answer<ElementInfo>) {
        self.element(path, reply);
    }
}
