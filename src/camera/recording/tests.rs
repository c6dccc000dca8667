//! The queue between the camera and the disk, with a recorder that the test holds back.

use std::{
    path::Path,
    sync::mpsc::{self, Receiver, SyncSender},
};

use super::*;
use crate::{
    camera::recorder::Recorder,
    model::{DeviceInfo, PixelFormat, TimestampDomain},
};

/// Writes one frame for each permit; without any left, for ever.
struct Permits(Mutex<Option<Receiver<()>>>);

struct Slow(Receiver<()>, PathBuf);

impl RecorderFactory for Permits {
    fn extension(&self) -> &'static str {
        "db3"
    }

    fn create(&self, file: &Path, _: &RecordedDevice) -> Result<Box<dyn Recorder>> {
        let permits = self.0.lock().unwrap().take().expect("one recording");
        std::fs::write(file, "").unwrap();
        Ok(Box::new(Slow(permits, file.to_owned())))
    }
}

impl Recorder for Slow {
    fn write(&mut self, frame: &Frame) -> Result<()> {
        let _ = self.0.recv();
        assert_ne!(frame.number, 666, "the test wants a panic");
        let before = std::fs::read_to_string(&self.1).unwrap();
        std::fs::write(&self.1, format!("{before}{} ", frame.number)).unwrap();
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct Bench {
    recordings: Arc<Recordings>,
    tap: Arc<Tap>,
    permits: Option<SyncSender<()>>,
    events: Receiver<CameraEvent>,
    dir: tempfile::TempDir,
}

impl Bench {
    /// A recording of depth that holds at most three frames of 4 bytes in its queue.
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (permits, inbox) = mpsc::sync_channel(100);
        let factory: Arc<dyn RecorderFactory> = Arc::new(Permits(Mutex::new(Some(inbox))));
        let recordings = Arc::new(Recordings {
            factory: Some(factory),
            folder: Arc::new(Folder::new(dir.path().to_owned())),
            queue: QueueLimits { bytes: 12, frames: 100 },
            threads: Mutex::default(),
            spawn,
            stopping: AtomicBool::new(false),
        });
        let (told, events) = mpsc::channel();
        let told = Mutex::new(told);
        let events_of: CameraEvents = Arc::new(move |event| drop(told.lock().unwrap().send(event)));
        let tap = Arc::<Tap>::default();
        let device = DeviceId::new("1");
        let (reply, answer) = oneshot::channel();
        let order = RecordingOrder {
            device: device.clone(),
            name: "x.db3".into(),
            may_number: false,
            streams: vec![StreamType::Depth],
            limits: Limits { max_bytes: None, max_time: None, min_free_bytes: 0 },
            ticket: Ticket { device, generation: 7, events: events_of },
            reply,
        };
        recordings.begin(&tap, order, RecordedDevice { info: info(), sensors: Vec::new() });
        assert!(answer.await.unwrap().unwrap().is_recording);
        Self { recordings, tap, permits: Some(permits), events, dir }
    }

    fn offer(&self, number: u64) {
        self.tap.offer(&frame(StreamType::Depth, number));
    }

    /// Waits until the writer holds a frame and the queue is empty.
    fn until_taken(&self) {
        let recording = self.tap.current().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !recording.state().frames.is_empty() {
            assert!(Instant::now() < deadline, "the writer takes nothing");
            std::thread::yield_now();
        }
    }

    fn written(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap()
    }

    async fn finished(&self) -> RecordingStatus {
        let recording = self.tap.current().unwrap();
        tokio::time::timeout(Duration::from_secs(15), recording.finished()).await.expect("it ends");
        let told = self.events.try_recv().expect("the streams are let go before the end is told");
        assert!(matches!(told, CameraEvent::RecordingEnded { generation: 7, .. }), "{told:?}");
        assert!(self.events.try_recv().is_err(), "once");
        recording.status()
    }
}

fn frame(stream: StreamType, number: u64) -> Frame {
    Frame {
        stream,
        format: PixelFormat::Z16,
        width: 2,
        height: 1,
        data: Arc::new([0u8; 4]),
        number,
        timestamp_ms: 0.0,
        timestamp_domain: TimestampDomain::default(),
        metadata: Vec::new(),
        captured_at: Instant::now(),
        depth_units: 0.001,
        intrinsics: None,
    }
}

fn info() -> DeviceInfo {
    use crate::camera::{Backend, sim::SimBackend};
    SimBackend::new(1).devices().remove(0)
}

#[tokio::test]
async fn what_does_not_fit_is_dropped_and_counted_and_a_stop_writes_the_rest() {
    let mut bench = Bench::new().await;
    bench.tap.offer(&frame(StreamType::Color, 99));
    bench.offer(0);
    bench.until_taken();
    (1..=5).for_each(|number| bench.offer(number));
    let status = bench.tap.current().unwrap().status();
    assert_eq!((status.is_recording, status.frames, status.dropped_frames), (true, 0, 2));
    bench.tap.end(EndReason::Stopped);
    bench.offer(6);
    drop(bench.permits.take());
    let status = bench.finished().await;
    assert_eq!((status.frames, status.dropped_frames), (4, 2), "what comes after the stop is not counted");
    assert_eq!(status.end_reason, Some(EndReason::Stopped));
    assert_eq!(bench.written("x.db3"), "0 1 2 3 ");
}

#[tokio::test]
async fn what_waits_for_the_disk_holds_no_frame_of_the_camera() {
    let mut bench = Bench::new().await;
    let data: Arc<dyn AsRef<[u8]> + Send + Sync> = Arc::new([1u8, 2, 3, 4]);
    (0..3).for_each(|number| bench.tap.offer(&Frame { data: data.clone(), ..frame(StreamType::Depth, number) }));
    assert_eq!(Arc::strong_count(&data), 1);
    bench.tap.end(EndReason::Stopped);
    drop(bench.permits.take());
    assert_eq!(bench.finished().await.frames, 3);
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_slow_disk() {
    let mut bench = Bench::new().await;
    bench.offer(0);
    bench.until_taken();
    (1..=3).for_each(|number| bench.offer(number));
    bench.tap.end(EndReason::Stopped);
    bench.tap.end(EndReason::ServerStopping);
    let began = Instant::now();
    let recordings = bench.recordings.clone();
    let waiting = std::thread::spawn(move || recordings.join_until(Instant::now() + Duration::from_secs(10)));
    // The disk comes back only when the time for the rest is over.
    let over = bench.tap.current().unwrap().state().end.as_ref().map(|end| end.drain_until).unwrap();
    std::thread::sleep(over.saturating_duration_since(Instant::now()));
    drop(bench.permits.take());
    waiting.join().unwrap();
    assert!(began.elapsed() < Duration::from_secs(5));
    let status = bench.finished().await;
    assert_eq!((status.frames, status.dropped_frames), (1, 3));
    assert_eq!(status.end_reason, Some(EndReason::Stopped), "the first reason counts");
    assert_eq!(bench.written("x.db3"), "0 ");
}

#[tokio::test]
async fn a_recorder_that_panics_ends_the_recording() {
    let mut bench = Bench::new().await;
    bench.offer(666);
    drop(bench.permits.take());
    let status = bench.finished().await;
    assert_eq!(status.end_reason, Some(EndReason::WriteError));
    assert!(!status.is_recording);
    assert_eq!(bench.written("x.partial.db3"), "", "what there is stays under its partial name");
}

type Waiting = oneshot::Receiver<Result<RecordingStatus>>;

fn order(name: &str) -> (RecordingOrder, Waiting, Receiver<CameraEvent>) {
    let (told, events) = mpsc::channel();
    let told = Mutex::new(told);
    let (reply, answer) = oneshot::channel();
    let device = DeviceId::new("1");
    let order = RecordingOrder {
        device: device.clone(),
        name: name.into(),
        may_number: false,
        streams: vec![StreamType::Depth],
        limits: Limits { max_bytes: None, max_time: None, min_free_bytes: 0 },
        ticket: Ticket { device, generation: 8, events: Arc::new(move |event| drop(told.lock().unwrap().send(event))) },
        reply,
    };
    (order, answer, events)
}

#[tokio::test]
async fn without_a_thread_the_cause_is_told_and_nothing_is_held() {
    let dir = tempfile::tempdir().unwrap();
    let factory: Arc<dyn RecorderFactory> = Arc::new(Permits(Mutex::default()));
    let recordings = Arc::new(Recordings {
        factory: Some(factory),
        folder: Arc::new(Folder::new(dir.path().to_owned())),
        queue: QUEUE,
        threads: Mutex::default(),
        spawn: |_, _| Err(std::io::Error::other("none left")),
        stopping: AtomicBool::new(false),
    });
    let (order, answer, events) = order("x.db3");
    let tap = Arc::<Tap>::default();
    recordings.begin(&tap, order, RecordedDevice { info: info(), sensors: Vec::new() });
    let error = answer.await.expect("an answer").unwrap_err();
    assert!(error.public().contains("thread") && !error.public().contains("shutting down"), "{error}");
    assert!(matches!(events.try_recv(), Ok(CameraEvent::RecordingEnded { generation: 8, .. })));
    assert!(tap.current().is_none(), "its status says that nothing was recorded");
}

#[tokio::test]
async fn a_second_recording_of_a_device_is_refused() {
    let mut bench = Bench::new().await;
    let (order, answer, _events) = order("y.db3");
    bench.recordings.begin(&bench.tap, order, RecordedDevice { info: info(), sensors: Vec::new() });
    let error = answer.await.unwrap().unwrap_err();
    assert!(error.public().contains("x.db3"), "{error}");
    bench.tap.end(EndReason::Stopped);
    drop(bench.permits.take());
    bench.finished().await;
}

#[test]
fn space_is_reserved_beyond_the_end_and_given_back() {
    use std::os::unix::fs::MetadataExt;
    const MB: u64 = 1 << 20;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.partial.bag");
    std::fs::write(&path, "begin").unwrap();
    let taken = || std::fs::metadata(&path).map(|metadata| (metadata.len(), metadata.blocks() * 512)).unwrap();
    let mut reserve = files::Reserve::new(&path, 4 * MB);
    assert!(reserve.follow(5), "there is room for it");
    if reserve.unused(5) > 0 {
        assert!(taken().0 == 5 && taken().1 >= 4 * MB, "{:?}", taken());
        assert_eq!((reserve.unused(5), reserve.unused(MB), reserve.unused(5 * MB)), (4 * MB, 3 * MB + 5, 0));
        assert!(reserve.follow(3 * MB) && reserve.unused(3 * MB) == 4 * MB, "it keeps ahead");
    }
    reserve.give_back();
    assert!(taken().0 == 5 && taken().1 < MB, "{:?}", taken());
    let mut nothing = files::Reserve::new(&path, 0);
    assert!(nothing.follow(0) && nothing.unused(0) == 0);
}

#[test]
fn a_recording_is_not_begun_without_room_for_the_recorder() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new(dir.path().to_owned());
    folder.prepare(0, 0).unwrap();
    let error = folder.prepare(0, 1 << 60).unwrap_err();
    assert!(error.public().contains("recording.dir"), "{error}");
}
