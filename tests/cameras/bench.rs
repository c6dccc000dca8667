//! A backend under test: one device opened by hand, its frames and the backend's events in queues.

use std::{
    sync::{
        Arc,
        mpsc::{self, Receiver},
    },
    time::{Duration, Instant},
};

use realsense_webrtc::{
    camera::{
        Backend, BackendEvent, Camera, Frame, SimFault, StreamConfig,
        realsense::{RealsenseBackend, Settings},
        sim::SimBackend,
    },
    model::{DeviceId, PixelFormat, Profile, SensorInfo, StreamType},
};

use crate::sdk::sdk;

/// Longest wait for anything that should come soon.
pub(crate) const SOON: Duration = Duration::from_secs(10);
pub(crate) const VGA: (u32, u32) = (640, 480);

/// Where the cameras of a test come from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Simulator,
    SoftwareDevice,
}

pub(crate) struct Bench {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) id: DeviceId,
    pub(crate) camera: Option<Box<dyn Camera>>,
    pub(crate) frames: Receiver<Frame>,
    pub(crate) events: Receiver<BackendEvent>,
}

pub(crate) fn software_device() -> RealsenseBackend {
    let settings = Settings { software_device: true, ..Settings::default() };
    RealsenseBackend::start(sdk(), settings).expect("the SDK starts")
}

impl Bench {
    pub(crate) fn new(kind: Kind) -> Self {
        match kind {
            Kind::Simulator => Self::of(Arc::new(SimBackend::new(1))),
            Kind::SoftwareDevice => Self::of(Arc::new(software_device())),
        }
    }

    /// Opens the only device of a backend.
    pub(crate) fn of(backend: Arc<dyn Backend>) -> Self {
        let (tell, events) = mpsc::channel();
        // A test that ended no longer listens.
        backend.set_events(Arc::new(move |event| drop(tell.send(event))));
        let id = backend.devices().first().expect("a device").device_id.clone();
        let mut bench = Self { backend, id, camera: None, frames: mpsc::channel().1, events };
        bench.open();
        bench
    }

    pub(crate) fn open(&mut self) {
        let (sink, frames) = mpsc::channel();
        let opened = self.backend.open(&self.id, Arc::new(move |frame| drop(sink.send(frame))));
        self.camera = Some(opened.expect("it opens"));
        self.frames = frames;
    }

    pub(crate) fn camera(&mut self) -> &mut dyn Camera {
        self.camera.as_mut().expect("open").as_mut()
    }

    pub(crate) fn sensors(&mut self) -> Vec<SensorInfo> {
        self.camera().sensors().expect("sensors")
    }

    pub(crate) fn start(&mut self, sensor: usize, streams: &[StreamType]) {
        let configs: Vec<_> = streams.iter().map(|stream| config(*stream)).collect();
        self.camera().start(sensor, &configs).expect("it starts");
    }

    pub(crate) fn frame(&self) -> Frame {
        self.frames.recv_timeout(SOON).expect("a frame in time")
    }

    /// The next frame of a stream.
    pub(crate) fn frame_of(&self, stream: StreamType) -> Frame {
        let end = Instant::now() + SOON;
        std::iter::repeat_with(|| self.frame())
            .take_while(|_| Instant::now() < end)
            .find(|frame| frame.stream == stream)
            .unwrap_or_else(|| panic!("no {stream} frame in time"))
    }

    pub(crate) fn event(&self) -> BackendEvent {
        self.events.recv_timeout(SOON).expect("an event in time")
    }

    pub(crate) fn inject(&self, fault: SimFault) {
        self.backend.inject_fault(&self.id, fault).expect("the fault is taken");
    }

    /// Waits until no frame comes for this long.
    pub(crate) fn wait_for_silence(&self, silence: Duration) {
        let end = Instant::now() + SOON;
        while self.frames.recv_timeout(silence).is_ok() {
            assert!(Instant::now() < end, "frames keep coming");
        }
    }
}

/// VGA at 30 fps in a format that both simulator and SDK have.
pub(crate) fn config(stream: StreamType) -> StreamConfig {
    let vga = Profile { width: VGA.0, height: VGA.1, framerate: 30 };
    let (format, profile) = match stream {
        StreamType::Color => (PixelFormat::Yuyv, vga),
        StreamType::Depth => (PixelFormat::Z16, vga),
        StreamType::Infrared(_) => (PixelFormat::Y8, vga),
        StreamType::Gyro => (PixelFormat::MotionXyz32f, Profile { width: 0, height: 0, framerate: 200 }),
        StreamType::Accel => (PixelFormat::MotionXyz32f, Profile { width: 0, height: 0, framerate: 63 }),
    };
    StreamConfig { stream, format, profile }
}
