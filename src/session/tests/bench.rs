//! A server without GStreamer: the actor with a fake media side and simulated cameras.

use super::*;
use crate::session::{
    Handle, Machine,
    scripted::{self, Scripted},
};

pub(super) struct Bench {
    pub(super) handle: Handle,
    pub(super) media: Arc<FakeMedia>,
    pub(super) cameras: manager::CameraHandle,
    pub(super) device: DeviceId,
}

impl Bench {
    pub(super) async fn new(change: impl FnOnce(&mut Config)) -> Self {
        Self::with_backend(Arc::new(SimBackend::new(1)), change).await
    }

    pub(super) async fn with_backend(backend: Arc<dyn Backend>, change: impl FnOnce(&mut Config)) -> Self {
        Self::with_machine(backend, Machine::default(), change).await
    }

    pub(super) async fn with_machine(
        backend: Arc<dyn Backend>,
        machine: Machine,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let device = backend.devices()[0].device_id.clone();
        let Scripted { handle, media, cameras, .. } = scripted::start(config, vec![backend], machine, || {});
        let bench = Self { handle, media, cameras, device };
        bench.until(|snapshot| snapshot.devices.values().any(|usable| *usable)).await;
        bench
    }

    /// Waits for a state of the snapshot.
    pub(super) async fn until(&self, wanted: impl Fn(&Snapshot) -> bool) {
        self.until_within(Duration::from_secs(20), wanted).await;
    }

    pub(super) async fn until_within(&self, bound: Duration, wanted: impl Fn(&Snapshot) -> bool) {
        let mut snapshot = self.handle.snapshot();
        let waiting = tokio::time::timeout(bound, snapshot.wait_for(|now| wanted(now))).await;
        if waiting.is_err() {
            panic!("not reached within {bound:?}: {:?}", self.handle.snapshot().borrow());
        }
    }

    pub(super) fn request(&self, streams: &[StreamType]) -> OfferRequest {
        OfferRequest {
            device: self.device.clone(),
            streams: streams.to_vec(),
            codecs: None,
            profiles: BTreeMap::new(),
            user_agent: Some("test".into()),
            data_channel: false,
            spare: 0,
            relayed: false,
        }
    }

    pub(super) async fn offer(&self, streams: &[StreamType]) -> Result<Offer, Error> {
        self.handle.offer(self.request(streams)).await
    }

    pub(super) async fn connect(&self, streams: &[StreamType]) -> SessionId {
        let session = self.offer(streams).await.unwrap().session;
        self.handle.answer(session.clone(), "v=0".into()).await.unwrap();
        self.media.emit(MediaEvent::Connected { session: session.clone(), remote_address: Some("192.0.2.9:5".into()) });
        session
    }

    pub(super) async fn count(&self, stream: StreamType) -> usize {
        let references = self.handle.references().await.unwrap().references;
        references.get(&self.device).and_then(|counts| counts.get(&stream)).copied().unwrap_or(0)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.cameras.shutdown(Duration::from_secs(2));
    }
}

/// A simulated camera whose motion module cannot be started, as on a machine that may not open the IMU.
pub(super) struct NoMotion(pub(super) SimBackend);

pub(super) struct NoMotionCamera(Box<dyn Camera>);

impl Backend for NoMotion {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn sdk_version(&self) -> Option<String> {
        None
    }

    fn set_events(&self, events: BackendEvents) {
        self.0.set_events(events);
    }

    fn attached(&self) -> Vec<Attached> {
        self.0.attached()
    }

    fn open(&self, device: &DeviceId, frames: FrameSink) -> Result<Box<dyn Camera>, Error> {
        Ok(Box::new(NoMotionCamera(self.0.open(device, frames)?)))
    }
}

impl Camera for NoMotionCamera {
    fn sensors(&mut self) -> Result<Vec<SensorInfo>, Error> {
        self.0.sensors()
    }

    fn start(&mut self, sensor: usize, streams: &[StreamConfig]) -> Result<(), Error> {
        if sensor == 2 { Err(Error::unavailable("no permission for the IMU")) } else { self.0.start(sensor, streams) }
    }

    fn stop(&mut self, sensor: usize) {
        self.0.stop(sensor);
    }

    fn set_option(&mut self, sensor: usize, option: &str, value: f64) -> Result<(), Error> {
        self.0.set_option(sensor, option, value)
    }

    fn option(&mut self, sensor: usize, option: &str) -> Result<OptionInfo, Error> {
        self.0.option(sensor, option)
    }

    fn depth_units(&mut self) -> f32 {
        self.0.depth_units()
    }

    fn intrinsics(&mut self, stream: StreamType, width: u32, height: u32) -> Option<Intrinsics> {
        self.0.intrinsics(stream, width, height)
    }

    fn extrinsics(&mut self, from: StreamType, to: StreamType) -> Option<Extrinsics> {
        self.0.extrinsics(from, to)
    }

    fn hw_reset(&mut self) -> Result<(), Error> {
        self.0.hw_reset()
    }
}
