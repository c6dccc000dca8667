//! A media side without GStreamer, for tests of whoever calls it: records every call and answers by the script of the
//! test. Owns no thread and sends no event by itself unless told to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::{LocalOffer, Media, MediaEvent, SessionSpec, SessionStats};
use crate::model::{Codec, DeviceId, IceCandidate, Profile, SessionId, StreamKey, StreamType};

/// A call as it was made.
#[derive(Debug, Clone)]
pub enum Call {
    /// `open_session`.
    Open(SessionSpec),
    /// `set_answer`.
    Answer(SessionId, String),
    /// `add_candidate`.
    Candidate(SessionId, IceCandidate),
    /// `close_session`.
    Close(SessionId),
    /// `stream_running`.
    Running(StreamKey, Profile),
    /// `stream_stopped`.
    Stopped(StreamKey),
    /// `set_depth_range`.
    DepthRange(DeviceId, f32, f32),
    /// `shutdown`.
    Shutdown,
}

/// The fake. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct FakeMedia {
    inner: Arc<Mutex<Inner>>,
    events: Arc<dyn Fn(MediaEvent) + Send + Sync>,
}

#[derive(Default)]
struct Inner {
    calls: Vec<Call>,
    manual: bool,
    stats: Vec<(SessionId, SessionStats)>,
    open: Vec<SessionSpec>,
}

impl FakeMedia {
    /// A fake that offers and accepts everything at once.
    pub fn new(events: Arc<dyn Fn(MediaEvent) + Send + Sync>) -> Self {
        Self { inner: Arc::default(), events }
    }

    /// From now on answers nothing by itself: the test sends every event.
    pub fn manual(&self) {
        self.lock().manual = true;
    }

    /// Sends an event as the media side would.
    pub fn send(&self, event: MediaEvent) {
        (self.events)(event);
    }

    /// Every call so far.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// Every call since the last `take_calls`.
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.lock().calls)
    }

    /// The sessions that were opened and not closed.
    pub fn open_sessions(&self) -> Vec<SessionId> {
        self.lock().open.iter().map(|spec| spec.session.clone()).collect()
    }

    /// What `stats` answers for a session from now on.
    pub fn set_stats(&self, session: SessionId, stats: SessionStats) {
        let mut inner = self.lock();
        inner.stats.retain(|(known, _)| *known != session);
        inner.stats.push((session, stats));
    }

    /// An offer's SDP of the right shape for these streams.
    pub fn offer_sdp(spec: &SessionSpec) -> String {
        let mut sdp = String::from("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n");
        for (index, (stream, _)) in spec.streams.iter().enumerate() {
            let session = &spec.session;
            sdp.push_str(&format!(
                "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:video{index}\r\na=sendonly\r\na=msid:{session} {stream}\r\n"
            ));
        }
        sdp
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a call and says whether the fake should answer it by itself.
    fn record(&self, call: Call) -> bool {
        let mut inner = self.lock();
        inner.calls.push(call);
        !inner.manual
    }
}

impl Media for FakeMedia {
    fn open_session(&self, spec: SessionSpec) {
        self.lock().open.push(spec.clone());
        if self.record(Call::Open(spec.clone())) {
            let candidate = IceCandidate {
                candidate: "candidate:1 1 UDP 2015363327 127.0.0.1 50000 typ host".into(),
                sdp_mid: Some("video0".into()),
                sdp_mline_index: Some(0),
            };
            let offer = LocalOffer { sdp: Self::offer_sdp(&spec), candidates: vec![candidate] };
            self.send(MediaEvent::Offer { session: spec.session, result: Ok(offer) });
        }
    }

    fn set_answer(&self, session: SessionId, sdp: String) {
        let accepted: Vec<(StreamType, Codec)> = {
            let inner = self.lock();
            let spec = inner.open.iter().find(|spec| spec.session == session);
            spec.map(|spec| {
                let codec = spec.codecs.first().copied().unwrap_or(Codec::H264);
                spec.streams.iter().map(|(stream, _)| (*stream, codec)).collect()
            })
            .unwrap_or_default()
        };
        let known = !accepted.is_empty();
        if self.record(Call::Answer(session.clone(), sdp)) {
            let result = if known { Ok(accepted) } else { Err(super::unknown_session(&session)) };
            self.send(MediaEvent::Answered { session, result });
        }
    }

    fn add_candidate(&self, session: SessionId, candidate: IceCandidate) {
        self.record(Call::Candidate(session, candidate));
    }

    fn close_session(&self, session: SessionId) {
        self.lock().open.retain(|spec| spec.session != session);
        self.record(Call::Close(session));
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

    fn stats(&self, sessions: Vec<SessionId>, reply: oneshot::Sender<Vec<(SessionId, SessionStats)>>) {
        let inner = self.lock();
        let open = |session: &SessionId| inner.open.iter().any(|spec| spec.session == *session);
        let known = sessions.into_iter().filter(open).map(|session| {
            let stats = inner.stats.iter().find(|(known, _)| *known == session);
            (session.clone(), stats.map(|(_, stats)| stats.clone()).unwrap_or_default())
        });
        let answer: Vec<_> = known.collect();
        drop(inner);
        let _ = reply.send(answer);
    }

    fn shutdown(&self, done: oneshot::Sender<()>) {
        self.record(Call::Shutdown);
        let _ = done.send(());
    }
}
