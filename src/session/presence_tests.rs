//! Whether backend, manager and actor agree on what is there, after many threads plugged, unplugged, refreshed, opened and
//! closed at once.

mod fake_cameras;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config as Random, TestRunner},
};

use self::fake_cameras::{COLOR, Fake, FakeCamera, SLOWER, info};
use super::{
    Event, EventSender, Handle, Machine,
    api::*,
    scripted::{self, Scripted},
};
use crate::{
    camera::{
        Camera,
        events::{CameraEvent, DeviceNews},
        manager,
    },
    config::Config,
    core::wishes::references::Applied,
    error::Error,
    media::fake::{Call, FakeMedia},
    model::{Attachment, DeviceId, StreamType},
};

/// How long everything may take to agree once nothing changes any more; an attempt to open is repeated after 2 s.
const SETTLED: Duration = Duration::from_secs(10);
/// How often the threads are let loose.
const ROUNDS: u32 = 25;
const FILES: [&str; 2] = ["a.bag", "b.bag"];
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
        let (backend, told) = (Fake::new(), AtomicU32::new(0));
        let telling = move || {
            // As if the teller's thread lost the processor just then: what is told must keep its order all the same.
            if told.fetch_add(1, Ordering::Relaxed).is_multiple_of(3) {
                std::thread::sleep(Duration::from_micros(300));
            }
        };
        let Scripted { handle, media, cameras, events } =
            scripted::start(config, vec![backend.clone()], Machine::default(), telling);
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
                let request = StartRequest { device: camera(n), sensor: None, configs: vec![(0, COLOR)] };
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

    /// How often the stream of a device is held.
    async fn count(&self, device: &DeviceId) -> usize {
        let references = self.handle.references().await.unwrap().references;
        references.get(device).and_then(|counts| counts.get(&StreamType::Color)).copied().unwrap_or(0)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.backend.slow_down(None);
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
    let request = StartRequest { device: device.clone(), sensor: None, configs: vec![(0, COLOR)] };
    assert!(bench.handle.start(request).await.unwrap().status.is_streaming);
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
    bench.handle.set_point_cloud(device.clone(), true).await.unwrap();
    bench.backend.unplug(&device);
    bench.agree(4).await;
    assert!(bench.handle.snapshot().borrow().point_clouds.contains(&device));
    bench.events.send(Event::Camera(CameraEvent::Forgotten { device: device.clone() }));
    assert!(bench.handle.status(device.clone()).await.unwrap_err().public().contains(device.as_str()));
    bench.handle.references().await.unwrap();
    let snapshot = bench.handle.snapshot().borrow().clone();
    assert!(snapshot.devices.is_empty() && snapshot.depth_ranges.is_empty(), "{snapshot:?}");
    assert!(snapshot.point_clouds.is_empty(), "{snapshot:?}");
    assert!(bench.media.calls().contains(&Call::Forget(device.clone())), "nor at the media side");
}

#[tokio::test]
async fn starts_that_wait_are_answered_or_taken_back() {
    let bench = Bench::new();
    let (slow, other) = (DeviceId::new("camera0"), DeviceId::new("camera1"));
    bench.backend.plug(&slow);
    bench.backend.plug(&other);
    bench.agree(0).await;
    let start = |device: &DeviceId| {
        bench.handle.start(StartRequest { device: device.clone(), sensor: None, configs: vec![(0, COLOR)] })
    };
    bench.backend.slow_down(Some(&slow));
    let taken_back = async {
        assert_eq!(bench.count(&slow).await, 1, "it holds the stream while it waits");
        bench.handle.stop(slow.clone()).await.unwrap();
    };
    let (refused, ()) = tokio::join!(start(&slow), taken_back);
    assert!(refused.unwrap_err().public().contains("taken back by a stop"));
    assert_eq!(bench.count(&slow).await, 0);

    // One that waits in vain is noticed with whatever runs next, on any device.
    let mut given_up = Box::pin(start(&slow));
    assert!(futures_util::poll!(&mut given_up).is_pending());
    assert_eq!(bench.count(&slow).await, 1);
    drop(given_up);
    assert!(start(&other).await.unwrap().status.is_streaming);
    assert_eq!(bench.count(&slow).await, 0, "nobody would stop it");

    // Nor is it in the way of another size.
    let mut given_up = Box::pin(start(&slow));
    assert!(futures_util::poll!(&mut given_up).is_pending());
    assert_eq!(bench.count(&slow).await, 1);
    drop(given_up);
    let slower = StartRequest { device: slow.clone(), sensor: None, configs: vec![(0, SLOWER)] };
    let taken_back = async {
        assert_eq!(bench.count(&slow).await, 1);
        bench.handle.stop(slow.clone()).await.unwrap();
    };
    let (refused, ()) = tokio::join!(bench.handle.start(slower), taken_back);
    let refused = refused.unwrap_err();
    assert!(refused.public().contains("taken back by a stop"), "it waited for its stream: {refused:?}");

    // What runs already is answered at once: no news of the camera will come.
    let again = tokio::time::timeout(Duration::from_secs(2), start(&other)).await;
    assert!(again.expect("answered at once").unwrap().status.is_streaming);
    assert_eq!(bench.count(&other).await, 1);
    bench.backend.slow_down(None);
    bench.agree(1).await;
}

/// Room is made of recordings that were closed, and of nothing else.
#[tokio::test]
async fn closed_recordings_make_room_for_devices() {
    let bench = Bench::new();
    let recording = DeviceId::new("a-rec");
    bench.cameras.open_recording(FILES[0].into()).await.unwrap();
    let device = |n: usize| DeviceId::new(format!("camera{n}"));
    // With the recording as many as are ever known.
    for n in 1..64 {
        bench.backend.plug(&device(n));
    }
    bench.agree(0).await;
    bench.handle.set_depth_range(recording.clone(), 0.5, 2.0).await.unwrap();
    bench.backend.plug(&device(64));
    let list = bench.handle.devices(true).await.unwrap();
    assert!(list.len() == 64 && list.iter().all(|info| info.device_id != device(64)), "there is no room");
    bench.cameras.close_playback(&recording).await.unwrap();
    let ends = std::time::Instant::now() + SETTLED;
    while bench.handle.devices(true).await.unwrap().iter().all(|info| info.device_id != device(64)) {
        assert!(std::time::Instant::now() < ends, "the thread of the recording ends");
        tokio::task::yield_now().await;
    }
    let mut snapshot = bench.handle.snapshot();
    let news = tokio::time::timeout(SETTLED, snapshot.wait_for(|now| !now.devices.contains_key(&recording))).await;
    assert!(news.is_ok_and(|now| now.is_ok_and(|now| now.depth_ranges.is_empty())), "the others hear of it");
    // A camera that is unplugged keeps its place: it comes back.
    bench.backend.unplug(&device(1));
    bench.backend.plug(&device(65));
    let list = bench.handle.devices(true).await.unwrap();
    assert!(list.iter().all(|info| info.device_id != device(65)), "there is no room");
}

/// A camera that is plugged again between two looks is another: its thread begins anew.
#[tokio::test]
async fn a_camera_that_came_back_unseen_is_opened_anew() {
    let bench = Bench::new();
    let device = DeviceId::new("camera0");
    bench.backend.plug(&device);
    bench.agree(0).await;
    let first = bench.backend.world.borrow().attached[&device];
    bench.backend.world.send_modify(|world| {
        world.attached.insert(device.clone(), Attachment::next());
    });
    let second = bench.backend.world.borrow().attached[&device];
    bench.handle.devices(true).await.unwrap();
    assert!(bench.cameras.apply(&device, first, 1, Vec::new()).is_err(), "the first is over");
    bench.cameras.apply(&device, second, 1, Vec::new()).unwrap();
    bench.agree(1).await;
    let request = StartRequest { device: device.clone(), sensor: None, configs: vec![(0, COLOR)] };
    assert!(bench.handle.start(request).await.unwrap().status.is_streaming);
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
