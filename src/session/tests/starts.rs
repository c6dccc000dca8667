//! Starts and stops of one sensor beside those of its device, and restarts under viewers.

use super::*;
use crate::session::api::{Notice, SensorStatus, StartRequest, Started};

const WIDE: Profile = Profile { width: 848, height: 480, framerate: 15 };

fn stereo(stream: StreamType, profile: Profile) -> (usize, StreamConfig) {
    let format = if stream == StreamType::Depth { PixelFormat::Z16 } else { PixelFormat::Y8 };
    (0, StreamConfig { stream, format, profile })
}

const COLOR: (usize, StreamConfig) =
    (1, StreamConfig { stream: StreamType::Color, format: PixelFormat::Rgb8, profile: VGA });

impl Bench {
    async fn start(&self, sensor: Option<usize>, configs: &[(usize, StreamConfig)]) -> Result<Started, Error> {
        let request = StartRequest { device: self.device.clone(), sensor, configs: configs.to_vec() };
        self.handle.start(request).await
    }

    async fn sensor(&self, sensor: usize) -> Vec<(StreamType, Profile)> {
        let status = self.handle.sensor_status(self.device.clone(), sensor).await.unwrap();
        shown(&status)
    }

    async fn stop_sensor(&self, sensor: usize) -> Vec<(StreamType, Profile)> {
        shown(&self.handle.stop_sensor(self.device.clone(), sensor).await.unwrap())
    }

    async fn counts(&self) -> BTreeMap<StreamType, usize> {
        self.handle.references().await.unwrap().references.remove(&self.device).unwrap_or_default()
    }
}

fn shown(status: &SensorStatus) -> Vec<(StreamType, Profile)> {
    status.streams.iter().map(|stream| (stream.config.stream, stream.config.profile)).collect()
}

#[tokio::test]
async fn a_sensor_starts_and_stops_by_itself() {
    let bench = Bench::new(|_| {}).await;
    assert_eq!(bench.sensor(0).await, []);
    let started = bench.start(Some(0), &[stereo(StreamType::Depth, VGA)]).await.unwrap();
    assert!(!started.reused);
    let sensor = started.sensor.unwrap();
    assert_eq!((sensor.sensor, sensor.name.as_str()), (0, "Stereo Module"));
    assert_eq!(shown(&sensor), [(StreamType::Depth, VGA)]);
    assert_eq!(bench.sensor(1).await, [], "the other sensor is another");
    assert!(bench.start(Some(0), &[stereo(StreamType::Depth, VGA)]).await.unwrap().reused);
    assert_eq!(bench.counts().await, BTreeMap::from([(StreamType::Depth, 1)]));
    assert_eq!(bench.stop_sensor(1).await, [], "what does not run can be stopped");
    assert_eq!(bench.stop_sensor(0).await, []);
    assert_eq!(bench.counts().await, BTreeMap::new());
    let unknown = bench.handle.stop_sensor(bench.device.clone(), 9).await.unwrap_err();
    assert_eq!(unknown.kind(), Kind::NotFound);
}

#[tokio::test]
async fn a_sensors_start_and_its_devices_are_two_references() {
    let bench = Bench::new(|_| {}).await;
    bench.start(None, &[stereo(StreamType::Depth, VGA), COLOR]).await.unwrap();
    bench.start(Some(0), &[stereo(StreamType::Depth, VGA)]).await.unwrap();
    assert_eq!(bench.counts().await, BTreeMap::from([(StreamType::Color, 1), (StreamType::Depth, 2)]));
    // The sensor's stop gives both of its own back, and leaves colour.
    assert_eq!(bench.stop_sensor(0).await, []);
    assert_eq!(bench.counts().await, BTreeMap::from([(StreamType::Color, 1)]));
    // The device's stop gives back everybody's but the viewers'.
    bench.start(Some(0), &[stereo(StreamType::Depth, VGA)]).await.unwrap();
    bench.connect(&[StreamType::Depth]).await;
    let stopped = bench.handle.stop(bench.device.clone()).await.unwrap();
    assert_eq!((stopped.status.is_streaming, stopped.status.stopping), (false, true));
    assert_eq!(stopped.status.active_streams, []);
    assert_eq!(stopped.held_by, BTreeMap::from([(StreamType::Depth, 1)]));
    assert_eq!(bench.counts().await, BTreeMap::from([(StreamType::Depth, 1)]));
    assert!(bench.handle.status(bench.device.clone()).await.unwrap().is_streaming, "the status tells what runs");
}

#[tokio::test]
async fn a_restart_keeps_viewers_and_tells_them() {
    let bench = Bench::new(|_| {}).await;
    let mut notices = bench.handle.notices();
    let viewer = bench.connect(&[StreamType::Depth]).await;
    bench.start(Some(0), &[stereo(StreamType::Depth, VGA)]).await.unwrap();
    let started = bench.start(Some(0), &[stereo(StreamType::Depth, WIDE)]).await.unwrap();
    assert!(!started.reused);
    assert_eq!(shown(&started.sensor.unwrap()), [(StreamType::Depth, WIDE)]);
    assert_eq!(bench.handle.session(viewer).await.unwrap().state, SessionState::Connected);
    assert_eq!(bench.counts().await, BTreeMap::from([(StreamType::Depth, 2)]));
    let key = crate::model::StreamKey::new(bench.device.clone(), StreamType::Depth);
    assert_eq!(notices.recv().await.unwrap(), Notice::Restarted { key: key.clone(), profile: WIDE });
    let calls = bench.media.calls();
    assert!(calls.contains(&Call::Running(key.clone(), WIDE)), "{calls:?}");
    assert!(!calls.contains(&Call::Stopped(key)), "its encoders stay");
    // The device's start never restarts.
    let refused = bench.start(None, &[stereo(StreamType::Depth, VGA)]).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict);
}

#[tokio::test]
async fn a_restart_takes_the_sensors_other_pictures_along() {
    let bench = Bench::new(|_| {}).await;
    bench.connect(&[StreamType::Infrared(1)]).await;
    bench.start(Some(0), &[stereo(StreamType::Infrared(2), VGA)]).await.unwrap();
    bench.start(Some(0), &[stereo(StreamType::Depth, WIDE)]).await.unwrap();
    bench.until(|now| now.running.values().flatten().all(|config| config.stream != StreamType::Infrared(2))).await;
    // What the sensor's earlier start held is let go; what the viewer holds runs on, at the sensor's size.
    assert_eq!(bench.sensor(0).await, [(StreamType::Depth, WIDE), (StreamType::Infrared(1), WIDE)]);
    assert_eq!(bench.counts().await, BTreeMap::from([(StreamType::Depth, 1), (StreamType::Infrared(1), 1)]));
}

#[tokio::test]
async fn a_sensor_that_cannot_be_restarted_goes_on_as_it_was() {
    let bench = Bench::new(|_| {}).await;
    let viewer = bench.connect(&[StreamType::Depth]).await;
    bench.handle.inject_fault(&bench.device, SimFault::FailStart).await.unwrap();
    let error = bench.start(Some(0), &[stereo(StreamType::Depth, WIDE)]).await.unwrap_err();
    assert!(matches!(error.kind(), Kind::Unavailable { .. }), "{error:?}");
    assert_eq!(bench.handle.session(viewer).await.unwrap().state, SessionState::Connected);
    assert_eq!(bench.counts().await, BTreeMap::from([(StreamType::Depth, 1)]));
    let status = bench.handle.sensor_status(bench.device.clone(), 0).await.unwrap();
    assert!(status.trouble.is_some(), "the status says why");
    bench.handle.inject_fault(&bench.device, SimFault::Clear).await.unwrap();
    bench.until(|now| now.running.values().flatten().any(|config| config.stream == StreamType::Depth)).await;
    assert_eq!(bench.sensor(0).await, [(StreamType::Depth, VGA)]);
}

#[tokio::test]
async fn what_a_sensor_may_not_be_asked_changes_nothing() {
    let bench = Bench::new(|_| {}).await;
    bench.connect(&[StreamType::Infrared(1)]).await;
    let before = bench.handle.references().await.unwrap();
    let odd = Profile { width: 641, ..VGA };
    for (configs, word) in [
        (vec![stereo(StreamType::Depth, odd)], "nearest"),
        (vec![stereo(StreamType::Depth, VGA), stereo(StreamType::Infrared(2), WIDE)], "same resolution"),
        // One of both runs already as it is asked for.
        (vec![stereo(StreamType::Infrared(1), VGA), stereo(StreamType::Depth, WIDE)], "same resolution"),
        (vec![(0, COLOR.1)], "Stereo Module"),
    ] {
        let error = bench.start(Some(0), &configs).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
        assert!(error.public().contains(word), "{error}");
    }
    assert_eq!(bench.handle.references().await.unwrap(), before);
}

#[tokio::test]
async fn motion_that_the_server_keeps_for_itself_yields_to_a_start() {
    let bench = Bench::new(|_| {}).await;
    bench.connect(&[StreamType::Color]).await;
    bench.until(|now| now.running.values().flatten().any(|config| config.stream == StreamType::Gyro)).await;
    let fast = Profile { width: 0, height: 0, framerate: 400 };
    let gyro = (2, StreamConfig { stream: StreamType::Gyro, format: PixelFormat::MotionXyz32f, profile: fast });
    for sensor in [Some(2), None] {
        bench.start(sensor, &[gyro]).await.unwrap();
        assert_eq!(bench.sensor(2).await, [(StreamType::Gyro, fast)]);
        bench.handle.stop(bench.device.clone()).await.unwrap();
        assert_eq!(bench.sensor(2).await, [], "what is only kept for the metadata is nobody's stream");
    }
}

#[tokio::test]
async fn a_stop_takes_a_start_back_that_is_under_way() {
    let bench = Bench::new(|_| {}).await;
    let slow = stereo(StreamType::Depth, VGA);
    let wanted = [slow];
    let (started, ()) = tokio::join!(bench.start(Some(0), &wanted), async {
        tokio::task::yield_now().await;
        bench.handle.stop_sensor(bench.device.clone(), 0).await.unwrap();
    });
    // Either the camera was faster, or the start is told; nothing is left in both cases.
    if let Err(error) = started {
        assert!(error.public().contains("taken back"), "{error}");
    }
    assert_eq!(bench.counts().await, BTreeMap::new());
    bench.until(|now| now.running.is_empty()).await;
}

/// A camera without a motion module, of which nothing else runs meanwhile.
#[tokio::test]
async fn a_restart_is_no_stop() {
    let bench = Bench::new(|config| config.camera.motion = false).await;
    bench.connect(&[StreamType::Depth]).await;
    let mut snapshot = bench.handle.snapshot();
    snapshot.wait_for(|now| !now.running.is_empty()).await.unwrap();
    let other = |now: &Arc<Snapshot>| now.running.values().flatten().all(|config| config.profile != VGA);
    let watching = async { snapshot.wait_for(other).await.unwrap().running.clone() };
    let wanted = [stereo(StreamType::Depth, WIDE)];
    let (changed, started) = tokio::join!(watching, bench.start(Some(0), &wanted));
    started.unwrap();
    assert!(!changed.is_empty(), "it is said to run all the time");
}
