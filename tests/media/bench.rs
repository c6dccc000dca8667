//! What every media test needs: a media side with its events, cameras that are threads publishing synthetic frames, and
//! viewers that are real WebRTC receivers.
#![allow(clippy::unwrap_used, dead_code)]

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use realsense_webrtc::{
    camera::{Frame, hub::FrameHub},
    config::Config,
    error::Error,
    media::{self, LocalOffer, Media, MediaEvent, SessionSpec, SessionStats},
    metrics::Metrics,
    model::{Codec, DeviceId, PixelFormat, Profile, SessionId, StreamKey, StreamType, TimestampDomain},
    probe::receiver::{Handle, Options, Receiver},
};
use tokio::sync::{mpsc, oneshot};

/// Longest wait for anything that should come soon; generous because test machines are busy.
pub(crate) const SOON: Duration = Duration::from_secs(15);

pub(crate) struct Bench {
    pub(crate) media: Arc<dyn Media>,
    pub(crate) hub: Arc<FrameHub>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) device: DeviceId,
    events: mpsc::UnboundedReceiver<MediaEvent>,
    kept: VecDeque<MediaEvent>,
    cameras: Vec<Camera>,
}

pub(crate) struct Camera {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

pub(crate) const SMALL: Profile = Profile { width: 320, height: 240, framerate: 30 };

pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.pipelines.dir = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines").into();
    config
}

/// A picture that changes from frame to frame.
pub(crate) fn frame(stream: StreamType, format: PixelFormat, profile: Profile, number: u64) -> Frame {
    let size = format.frame_size(profile.width, profile.height);
    let data: Vec<u8> = match format {
        PixelFormat::Z16 => (0..size / 2).map(|at| ((at as u64 * 3 + number * 40) % 5000) as u16).map_bytes().collect(),
        _ => (0..size).map(|at| (at as u64 / 7 + number * 3) as u8).collect(),
    };
    Frame {
        stream,
        format,
        width: profile.width,
        height: profile.height,
        data: Arc::new(data),
        number,
        timestamp_ms: number as f64 * 33.3,
        timestamp_domain: TimestampDomain::default(),
        metadata: Vec::new(),
        captured_at: Instant::now(),
        depth_units: if format == PixelFormat::Z16 { 0.001 } else { 0.0 },
        intrinsics: None,
    }
}

trait Bytes: Iterator<Item = u16> + Sized {
    fn map_bytes(self) -> impl Iterator<Item = u8> {
        self.flat_map(u16::to_le_bytes)
    }
}

impl<I: Iterator<Item = u16>> Bytes for I {}

impl Bench {
    pub(crate) fn start(config: Config) -> Self {
        static LOG: std::sync::Once = std::sync::Once::new();
        LOG.call_once(|| {
            let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "off".into());
            tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().init();
        });
        let hub = Arc::new(FrameHub::default());
        let (sender, events) = mpsc::unbounded_channel();
        let send = Arc::new(move |event| drop(sender.send(event)));
        let metrics = Arc::<Metrics>::default();
        let media = media::gst::start(Arc::new(config), hub.clone(), metrics.clone(), send).unwrap();
        let device = DeviceId::new("844212070924");
        Self { media, hub, metrics, device, events, kept: VecDeque::new(), cameras: Vec::new() }
    }

    /// A bench with small colour frames flowing.
    pub(crate) fn with_color() -> Self {
        let mut bench = Self::start(config());
        bench.camera(StreamType::Color, PixelFormat::I420, SMALL);
        bench
    }

    pub(crate) fn key(&self, stream: StreamType) -> StreamKey {
        StreamKey::new(self.device.clone(), stream)
    }

    /// Publishes frames until the bench goes.
    pub(crate) fn camera(&mut self, stream: StreamType, format: PixelFormat, profile: Profile) {
        self.media.stream_running(self.key(stream), profile);
        let camera = self.frames(profile.framerate, move |number| frame(stream, format, profile, number));
        self.cameras.push(camera);
    }

    /// Publishes what `make` makes, at a rate.
    pub(crate) fn frames(&self, framerate: u32, make: impl Fn(u64) -> Frame + Send + 'static) -> Camera {
        let (hub, device) = (self.hub.clone(), self.device.clone());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let started = Instant::now();
            for number in 0.. {
                if stopped.load(Relaxed) {
                    break;
                }
                hub.publish(&device, make(number));
                let next = started + Duration::from_secs(1) / framerate * (number as u32 + 1);
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        });
        Camera { stop, thread: Some(thread) }
    }

    pub(crate) fn stop_cameras(&mut self) {
        self.cameras.clear();
    }

    /// The next event that `wanted` picks; the others are kept for later calls.
    pub(crate) async fn event<T>(
        &mut self,
        limit: Duration,
        mut wanted: impl FnMut(&MediaEvent) -> Option<T>,
    ) -> Option<T> {
        for at in 0..self.kept.len() {
            if let Some(found) = wanted(&self.kept[at]) {
                self.kept.remove(at);
                return Some(found);
            }
        }
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let event = tokio::time::timeout_at(deadline, self.events.recv()).await.ok()??;
            if let Some(found) = wanted(&event) {
                return Some(found);
            }
            self.kept.push_back(event);
        }
    }

    pub(crate) fn spec(&self, streams: &[(StreamType, Profile)], codecs: &[Codec]) -> SessionSpec {
        SessionSpec {
            session: SessionId::random(),
            device: self.device.clone(),
            streams: streams.to_vec(),
            largest: Vec::new(),
            codecs: codecs.to_vec(),
            spare: 0,
            data_channel: false,
        }
    }

    pub(crate) async fn open(&mut self, spec: &SessionSpec) -> Result<LocalOffer, Error> {
        self.media.open_session(spec.clone());
        let offer = self.event(SOON, |event| match event {
            MediaEvent::Offer { session, result } if *session == spec.session => Some(result.clone()),
            _ => None,
        });
        offer.await.expect("an offer in time")
    }

    pub(crate) async fn answer(&mut self, session: &SessionId, sdp: &str) -> Result<Vec<Option<Codec>>, Error> {
        self.media.set_answer(session.clone(), sdp.to_owned());
        let answered = self.event(SOON, |event| match event {
            MediaEvent::Answered { session: id, result } if id == session => Some(result.clone()),
            _ => None,
        });
        answered.await.expect("a reply to the answer in time")
    }

    /// A viewer that is connected.
    pub(crate) async fn join(
        &mut self,
        streams: &[(StreamType, Profile)],
        codecs: &[Codec],
        options: Options,
    ) -> (SessionId, Handle) {
        let spec = self.spec(streams, codecs);
        let offer = self.open(&spec).await.expect("an offer");
        let (receiver, answer, _) = Receiver::from_offer(&offer.sdp, options).expect("an answer");
        let handle = receiver.spawn();
        self.answer(&spec.session, &answer).await.expect("the answer is taken");
        self.connected(&spec.session).await;
        (spec.session, handle)
    }

    pub(crate) async fn connected(&mut self, session: &SessionId) -> Option<String> {
        let connected = self.event(SOON, |event| match event {
            MediaEvent::Connected { session: id, remote_address } if id == session => Some(remote_address.clone()),
            _ => None,
        });
        connected.await.expect("connected in time")
    }

    pub(crate) async fn watch_color(&mut self) -> (SessionId, Handle) {
        self.join(&[(StreamType::Color, SMALL)], &[Codec::H264], Options::default()).await
    }

    pub(crate) async fn stats(&self, session: &SessionId) -> Option<SessionStats> {
        let (reply, answer) = oneshot::channel();
        self.media.stats(vec![session.clone()], reply);
        answer.await.unwrap().into_iter().next().map(|(_, stats)| stats)
    }

    pub(crate) async fn shutdown(mut self) {
        self.cameras.clear();
        let (done, finished) = oneshot::channel();
        self.media.shutdown(done);
        tokio::time::timeout(SOON, finished).await.expect("shut down in time").unwrap();
    }
}

/// Waits until `wanted` gives something.
pub(crate) async fn until<T>(limit: Duration, mut wanted: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = wanted() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
