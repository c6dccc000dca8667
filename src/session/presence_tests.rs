//! Whether backend, manager and actor agree on what is there, after many threads plugged, unplugged, refreshed, opened and
//! closed at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config as Random, TestRunner},
};
use tokio::sync::watch;

use super::{Event, EventSender, Handle, Machine, Observe, Parts, api::*, spawn};
use crate::{
    camera::{
        Attached, Backend, BackendEvent, BackendEvents, Camera, FrameSink, StreamConfig,
        events::{CameraEvent, DeviceNews},
        hub::FrameHub,
        manager,
        recording::Recordings,
    },
    config::Config,
    core::wishes::streams::Applied,
    error::{Error, Result},
    media::fake::{Call, FakeMedia},
    model::{
        Attachment, DeviceId, DeviceInfo, Extrinsics, Intrinsics, OptionInfo, PixelFormat, Profile, SensorInfo,
        SensorProfile, StreamType,
    },
    sync::Mutex,
};

/// How long everything may take to agree once nothing changes any more; an attempt to open is repeated after 2 s.
const SETTLED: Duration = Duration::from_secs(10);
/// How often the threads are let loose.
const ROUNDS: u32 = 25;
const FILES: [&str; 2] = ["a.bag", "b.bag"];
const COLOR: StreamConfig = StreamConfig {
    stream: StreamType::Color,
    format: PixelFormat::Rgb8,
    profile: Profile { width: 640, height: 480, framerate: 30 },
};

/// What is there, and what of it runs.
#[derive(Debug, Default, Clone)]
struct World {
    attached: BTreeMap<DeviceId, Attachment>,
    running: BTreeSet<DeviceId>,
}

/// Cameras and recordings that come and go at once.
struct Fake {
    world: Arc<watch::Sender<World>>,
    events: Mutex<Option<BackendEvents>>,
    myself: Weak<Fake>,
}

impl Fake {
    fn new() -> Arc<Self> {
        Arc::new_cyclic(|myself| Self { world: Arc::default(), events: Mutex::default(), myself: myself.clone() })
    }

    fn tell(&self, event: BackendEvent) {
        let events = self.events.lock().unwrap().clone();
        events.into_iter().for_each(|events| events(event.clone()));
    }

    fn plug(&self, id: &DeviceId) -> bool {
        let came = self.world.send_if_modified(|world| {
            let came = !world.attached.contains_key(id);
            world.attached.entry(id.clone()).or_insert_with(Attachment::next);
            came
        });
        if came {
            self.tell(BackendEvent::Added(id.clone()));
        }
        came
    }

    fn unplug(&self, id: &DeviceId) -> bool {
        let went = self.world.send_if_modified(|world| {
            world.running.remove(id);
            world.attached.remove(id).is_some()
        });
        if went {
            self.tell(BackendEvent::Removed(id.clone()));
        }
        went
    }
}

fn info(id: &DeviceId) -> DeviceInfo {
    DeviceInfo {
        device_id: id.clone(),
        name: "Fake".into(),
        serial_number: id.to_string(),
        firmware_version: None,
        recommended_firmware_version: None,
        firmware_status: None,
        firmware_file_available: None,
        physical_port: None,
        usb_type: None,
        product_id: None,
        sensors: Vec::new(),
        is_streaming: false,
        playback: id.as_str().ends_with("-rec"),
        presets: false,
        can_record: false,
    }
}

impl Backend for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn sdk_version(&self) -> Option<String> {
        Some("1".into())
    }

    fn set_events(&self, events: BackendEvents) {
        *self.events.lock().unwrap() = Some(events);
    }

    fn attached(&self) -> Vec<Attached> {
        let attached =
            |(id, attachment): (&DeviceId, &Attachment)| Attached { attachment: *attachment, info: info(id) };
        self.world.borrow().attached.iter().map(attached).collect()
    }

    fn open_recording(&self, file: &Path) -> Result<DeviceId> {
        let id = DeviceId::new(format!("{}-rec", file.file_stem().unwrap().to_str().unwrap()));
        if self.plug(&id) { Ok(id) } else { Err(Error::conflict("open already")) }
    }

    fn close_recording(&self, device: &DeviceId) -> Result<()> {
        if self.unplug(device) { Ok(()) } else { Err(Error::unknown_device(device)) }
    }

    fn open(&self, device: &DeviceId, _: FrameSink) -> Result<Box<dyn Camera>> {
        let attachment = self.world.borrow().attached.get(device).copied();
        let attachment = attachment.ok_or_else(|| Error::unplugged(device))?;
        Ok(Box::new(FakeCamera { backend: self.myself.clone(), id: device.clone(), attachment }))
    }
}

struct FakeCamera {
    backend: Weak<Fake>,
    id: DeviceId,
    attachment: Attachment,
}

impl FakeCamera {
    /// Changes what runs, if this attachment lasts.
    fn change(&self, change: impl FnOnce(&mut BTreeSet<DeviceId>, &DeviceId)) -> Result<()> {
        let backend = self.backend.upgrade().ok_or_else(|| Error::unplugged(&self.id))?;
        let lasts = backend.world.send_if_modified(|world| {
            let lasts = world.attached.get(&self.id) == Some(&self.attachment);
            if lasts {
                change(&mut world.running, &self.id);
            }
            lasts
        });
        if lasts { Ok(()) } else { Err(Error::unplugged(&self.id)) }
    }
}

impl Camera for FakeCamera {
    fn sensors(&mut self) -> Result<Vec<SensorInfo>> {
        let StreamConfig { stream, format, profile } = COLOR;
        let profiles = vec![SensorProfile { stream, format, profile }];
        self.change(|_, _| {})?;
        Ok(vec![SensorInfo { index: 0, name: "RGB Camera".into(), profiles, options: Vec::new() }])
    }

    fn start(&mut self, _: usize, _: &[StreamConfig]) -> Result<()> {
        self.change(|running, id| {
            running.insert(id.clone());
        })
    }

    fn stop(&mut self, _: usize) {
        // What is unplugged runs no more already.
        let _ = self.change(|running, id| {
            running.remove(id);
        });
    }

    fn set_option(&mut self, _: usize, _: &str, _: f64) -> Result<()> {
        Err(Error::not_found("no options"))
    }

    fn option(&mut self, _: usize, _: &str) -> Result<OptionInfo> {
        Err(Error::not_found("no options"))
    }

    fn depth_units(&mut self) -> f32 {
        0.001
    }

    fn intrinsics(&mut self, _: StreamType, _: u32, _: u32) -> Option<Intrinsics> {
        None
    }

    fn extrinsics(&mut self, _: StreamType, _: StreamType) -> Option<Extrinsics> {
        None
    }

    fn hw_reset(&mut self) -> Result<()> {
        Ok(())
    }
}

/// What a thread does next, to one of two devices or files.
#[derive(Debug, Clone, Copy)]
enum Step {
    Plug(usize),
    Unplug(usize),
    Refresh,
    Open(usize),
    Close(usize),
    Start(usize),
    Stop(usize),
}

/// A thread plugs, views, or works with recordings; each keeps to its trade, as the world does.
fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let trade = |one: fn(usize) -> Step, other: fn(usize) -> Step| {
        let step = (0..2usize, any::<bool>()).prop_map(move |(n, first)| if first { one(n) } else { other(n) });
        prop::collection::vec(step, 40)
    };
    let refresher = || prop::collection::vec(Just(Step::Refresh), 20);
    (
        trade(Step::Plug, Step::Unplug),
        trade(Step::Plug, Step::Unplug),
        trade(Step::Open, Step::Close),
        trade(Step::Open, Step::Close),
        trade(Step::Start, Step::Stop),
        refresher(),
        refresher(),
    )
        .prop_map(|(a, b, c, d, e, f, g)| vec![a, b, c, d, e, f, g])
}

struct Bench {
    backend: Arc<Fake>,
    handle: Handle,
    cameras: manager::CameraHandle,
    events: EventSender,
    media: Arc<FakeMedia>,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.recording.dir = dir.path().to_owned();
        for file in FILES {
            std::fs::write(dir.path().join(file), "").unwrap();
        }
        let observe = Observe::default();
        let (sender, inbox) = super::events(observe.metrics.events.clone());
        let events = sender.clone();
        let told = AtomicU32::new(0);
        let camera_events = Arc::new(move |event| {
            // As if the teller's thread lost the processor just then: what is told must keep its order all the same.
            if told.fetch_add(1, Ordering::Relaxed).is_multiple_of(3) {
                std::thread::sleep(Duration::from_micros(300));
            }
            sender.send(Event::Camera(event));
        });
        let (hub, backend) = (Arc::new(FrameHub::default()), Fake::new());
        let timing = manager::Timing { reply: Duration::from_secs(15), stall: Duration::from_secs(600) };
        let recordings = Recordings::new(&config.recording, None);
        let backends: Vec<Arc<dyn Backend>> = vec![backend.clone()];
        let cameras = manager::start(backends, hub.clone(), camera_events, timing, recordings, Arc::default()).unwrap();
        let media = FakeMedia::new(Arc::new(|_| {}));
        let config = Arc::new(config);
        let machine = Machine::default();
        let parts =
            Parts { config, hub, cameras: cameras.clone(), media: media.clone(), observe, machine, events: inbox };
        let (handle, _task) = spawn(parts);
        Self { backend, handle, cameras, events, media, _dir: dir }
    }

    /// Does one step. It may fail, as it does in the world: what is asked for may just have gone.
    async fn step(&self, step: Step) {
        let camera = |n: usize| DeviceId::new(format!("camera{n}"));
        match step {
            Step::Plug(n) => _ = self.backend.plug(&camera(n)),
            Step::Unplug(n) => _ = self.backend.unplug(&camera(n)),
            Step::Refresh => drop(self.handle.devices(true).await),
            Step::Open(n) => drop(self.cameras.open_recording(FILES[n].into()).await),
            Step::Close(n) => {
                let name = FILES[n].split_once('.').unwrap().0;
                drop(self.cameras.close_playback(&DeviceId::new(format!("{name}-rec"))).await);
            }
            Step::Start(n) => {
                let request = StartRequest { device: camera(n), configs: vec![(0, COLOR)] };
                // Not waited for: a request for a camera that is pulled out meanwhile is answered that it is gone.
                let waiting = self.handle.start(request);
                drop(tokio::time::timeout(Duration::from_millis(1), waiting).await);
            }
            Step::Stop(n) => drop(self.handle.stop(camera(n)).await),
        }
    }

    /// Waits until actor, manager and cameras agree with what is there, and nothing runs that nobody wants.
    async fn agree(&self, round: u32) {
        let attached: BTreeSet<_> = self.backend.world.borrow().attached.keys().cloned().collect();
        let mut snapshot = self.handle.snapshot();
        let agrees = |now: &Arc<Snapshot>| {
            let usable: BTreeSet<_> =
                now.devices.iter().filter(|(_, usable)| **usable).map(|(id, _)| id.clone()).collect();
            usable == attached
        };
        let agreed = tokio::time::timeout(SETTLED, snapshot.wait_for(agrees)).await.is_ok();
        assert!(
            agreed,
            "round {round}: there is {attached:?}; the actor has {:?}",
            self.handle.snapshot().borrow().devices
        );
        let listed = self.handle.devices(false).await.unwrap();
        let listed: BTreeSet<_> = listed.into_iter().map(|info| info.device_id).collect();
        assert_eq!(listed, attached, "round {round}: what the manager lists");
        for device in &attached {
            self.handle.stop(device.clone()).await.unwrap();
        }
        let mut world = self.backend.world.subscribe();
        let silent = tokio::time::timeout(SETTLED, world.wait_for(|world| world.running.is_empty())).await.is_ok();
        assert!(
            silent,
            "round {round}: nobody wants anything, and there runs {:?}",
            self.backend.world.borrow().running
        );
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.cameras.shutdown(Duration::from_secs(2));
    }
}

/// Whether the actor takes a device for usable once it has handled all that was sent before.
async fn is_usable(bench: &Bench, device: &DeviceId) -> bool {
    // The snapshot of a turn is shown after its answer, and before the next turn.
    for _ in 0..2 {
        bench.handle.status(device.clone()).await.unwrap();
    }
    bench.handle.snapshot().borrow().devices[device]
}

#[tokio::test]
async fn news_of_an_earlier_attachment_change_nothing() {
    let bench = Bench::new();
    let device = DeviceId::new("camera0");
    let attached = || bench.backend.world.borrow().attached[&device];
    let tell = |attachment, news| {
        bench.events.send(Event::Camera(CameraEvent::Device { device: device.clone(), attachment, news }));
    };
    let sensors =
        || FakeCamera { backend: bench.backend.myself.clone(), id: device.clone(), attachment: attached() }.sensors();
    bench.backend.plug(&device);
    bench.agree(0).await;
    let (first, sensors) = (attached(), sensors().unwrap());
    let present = || DeviceNews::Present { info: Box::new(info(&device)), sensors: sensors.clone() };
    bench.backend.unplug(&device);
    bench.agree(1).await;
    tell(first, present());
    tell(first, DeviceNews::Opening);
    assert!(!is_usable(&bench, &device).await, "what went does not come back by late news");

    bench.backend.plug(&device);
    bench.agree(2).await;
    let request = StartRequest { device: device.clone(), configs: vec![(0, COLOR)] };
    assert!(bench.handle.start(request).await.unwrap().is_streaming);
    for news in [
        DeviceNews::Gone,
        DeviceNews::Opening,
        DeviceNews::OpenFailed(Error::unavailable("late")),
        DeviceNews::Applied {
            generation: u64::MAX,
            applied: Applied { running: vec![], failed: vec![(StreamType::Color, Error::unavailable("late"))] },
        },
        DeviceNews::Broke { stream: StreamType::Color, generation: u64::MAX, error: Error::unavailable("late") },
    ] {
        let told = format!("{news:?}");
        tell(first, news);
        assert!(is_usable(&bench, &device).await, "{told}");
        assert!(bench.handle.status(device.clone()).await.unwrap().is_streaming, "{told}");
    }
    // What was wanted of the first attachment does not run on the second.
    let refused = bench.cameras.apply(&device, first, 1, Vec::new()).unwrap_err();
    assert!(refused.public().contains("unplugged"), "{refused}");
    bench.agree(3).await;

    // One that is gone for long leaves nothing.
    bench.handle.set_depth_range(device.clone(), 0.5, 2.0).await.unwrap();
    bench.backend.unplug(&device);
    bench.agree(4).await;
    bench.events.send(Event::Camera(CameraEvent::Forgotten { device: device.clone() }));
    assert!(bench.handle.status(device.clone()).await.unwrap_err().public().contains(device.as_str()));
    bench.handle.references().await.unwrap();
    let snapshot = bench.handle.snapshot().borrow().clone();
    assert!(snapshot.devices.is_empty() && snapshot.depth_ranges.is_empty(), "{snapshot:?}");
    assert!(bench.media.calls().contains(&Call::Forget(device.clone())), "nor at the media side");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn all_agree_on_what_is_there_whatever_happens_at_once() {
    let bench = Arc::new(Bench::new());
    let mut random = TestRunner::new(Random::default());
    for round in 0..ROUNDS {
        let threads = steps().new_tree(&mut random).unwrap().current();
        let threads: Vec<_> = threads
            .into_iter()
            .map(|steps| {
                let bench = bench.clone();
                tokio::spawn(async move {
                    for step in steps {
                        bench.step(step).await;
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.await.unwrap();
        }
        bench.agree(round).await;
    }
}
