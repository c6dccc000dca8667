//! What is counted about cameras, their streams and the encoders behind them. Owns the table of devices, which is bounded:
//! devices that came and went do not stay in the metrics for ever. The handles it gives out count without any lock.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::values::{Counter, Gauge, Histogram};
use crate::{
    model::{Codec, DeviceId, StreamKey, StreamType},
    sync::{Mutex, MutexGuard, lock},
};

/// Devices shown at once; what comes on top of them while all are plugged in is counted together as [`OTHER`].
pub const MAX_DEVICES: usize = 64;
/// The device label of what found no place of its own.
pub const OTHER: &str = "other";
/// How long a recording that is played no more stays shown: several scrapes see its last counts.
const FORGET_PLAYBACK: Duration = Duration::from_secs(300);

/// Seconds an encoder takes for a frame. At 30 frames a second there are 33 ms.
const ENCODE_SECONDS: &[f64] =
    &[0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.025, 0.033, 0.05, 0.075, 0.1, 0.2, 0.5];
/// Seconds from the server to a browser and back: from the same machine to the other side of the world.
const ROUND_TRIP_SECONDS: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0];
/// Seconds of jitter.
const JITTER_SECONDS: &[f64] = &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5];
/// Share of packets lost. A report tells it in steps of 1/256.
const LOSS_RATIO: &[f64] = &[0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
/// Seconds a sensor takes to start. Real cameras take 0.1 to 15.
const START_SECONDS: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0];

/// What is counted about a device.
#[derive(Debug)]
pub struct DeviceMetrics {
    /// 1 while it can be used; shown once the camera manager knows it.
    pub up: Gauge,
    /// Times that it went away.
    pub unplugs: Counter,
    /// Sensors started.
    pub sensor_starts: Counter,
    /// Sensors that refused to start.
    pub sensor_start_failures: Counter,
    /// How long sensors took to start.
    pub sensor_start_seconds: Histogram,
    /// Sensors restarted because a stream of theirs stalled.
    pub restarts_stalled: Counter,
    /// Sensors restarted because other streams of theirs were wanted.
    pub restarts_reconfigured: Counter,
    /// Recordings being made.
    pub recordings: Gauge,
    /// Bytes written to recordings.
    pub recording_bytes: Counter,
    /// RTP packets sent again.
    pub retransmitted: Counter,
    /// RTP packets that were asked for again and not sent.
    pub retransmissions_refused: Counter,
    known: AtomicBool,
    streams: [Arc<StreamMetrics>; StreamType::ALL.len()],
}

impl DeviceMetrics {
    fn new() -> Self {
        Self {
            up: Gauge::default(),
            unplugs: Counter::default(),
            sensor_starts: Counter::default(),
            sensor_start_failures: Counter::default(),
            sensor_start_seconds: Histogram::new(START_SECONDS),
            restarts_stalled: Counter::default(),
            restarts_reconfigured: Counter::default(),
            recordings: Gauge::default(),
            recording_bytes: Counter::default(),
            retransmitted: Counter::default(),
            retransmissions_refused: Counter::default(),
            known: AtomicBool::new(false),
            streams: std::array::from_fn(|_| Arc::new(StreamMetrics::new())),
        }
    }

    /// What is counted about a stream of it, which is shown from now on.
    pub fn stream(&self, stream: StreamType) -> &Arc<StreamMetrics> {
        let found = &self.streams[stream.index()];
        found.shown.store(true, Relaxed);
        found
    }

    /// Whether the camera manager told of it.
    pub(super) fn is_known(&self) -> bool {
        self.known.load(Relaxed)
    }

    pub(super) fn shown_streams(&self) -> impl Iterator<Item = (StreamType, &Arc<StreamMetrics>)> {
        StreamType::ALL.into_iter().zip(&self.streams).filter(|(_, stream)| stream.shown.load(Relaxed))
    }
}

/// What is counted about a stream.
#[derive(Debug)]
pub struct StreamMetrics {
    /// Frames from the camera.
    pub received: Counter,
    /// Frames of a wrong size or format.
    pub unusable: Counter,
    /// Frames that a newer one replaced before the stream's thread took them.
    pub dropped_feed: Counter,
    /// Frames that a newer one replaced before an encoder took them.
    pub dropped_encoder: Counter,
    /// Times that the camera stopped delivering it.
    pub stalls: Counter,
    /// Round trips, as the peers' reports tell.
    pub round_trip_seconds: Histogram,
    /// Interarrival jitter that the peers report.
    pub jitter_seconds: Histogram,
    /// Share of packets that the peers report lost since their report before.
    pub loss_ratio: Histogram,
    shown: AtomicBool,
    encoders: [Arc<EncoderMetrics>; Codec::ALL.len()],
}

impl StreamMetrics {
    fn new() -> Self {
        Self {
            received: Counter::default(),
            unusable: Counter::default(),
            dropped_feed: Counter::default(),
            dropped_encoder: Counter::default(),
            stalls: Counter::default(),
            round_trip_seconds: Histogram::new(ROUND_TRIP_SECONDS),
            jitter_seconds: Histogram::new(JITTER_SECONDS),
            loss_ratio: Histogram::new(LOSS_RATIO),
            shown: AtomicBool::new(false),
            encoders: std::array::from_fn(|_| Arc::new(EncoderMetrics::new())),
        }
    }

    /// What is counted about it in a codec, which is shown from now on.
    pub fn encoder(&self, codec: Codec) -> &Arc<EncoderMetrics> {
        let index = Codec::ALL.iter().position(|known| *known == codec).unwrap_or(0);
        let found = &self.encoders[index];
        found.shown.store(true, Relaxed);
        found
    }

    pub(super) fn shown_encoders(&self) -> impl Iterator<Item = (Codec, &Arc<EncoderMetrics>)> {
        Codec::ALL.into_iter().zip(&self.encoders).filter(|(_, encoder)| encoder.shown.load(Relaxed))
    }
}

/// What is counted about a stream in one codec: its encoder, and what the sessions on it got. It outlives the encoder's
/// restarts.
#[derive(Debug)]
pub struct EncoderMetrics {
    /// Frames out of the encoder.
    pub frames: Counter,
    /// Bytes out of the encoder.
    pub bytes: Counter,
    /// Key frames out of the encoder.
    pub key_frames: Counter,
    /// Key frames that viewers asked for.
    pub key_frames_requested: Counter,
    /// Requests that were sent on to the encoder; those between them were served by the same key frame.
    pub key_frames_forced: Counter,
    /// Requests of viewers that were refused because they came too often.
    pub key_frames_refused: Counter,
    /// From a frame's way into the encoder to its way out.
    pub encode_seconds: Histogram,
    /// Times that its pipeline was started.
    pub starts: Counter,
    /// Times that its pipeline failed, or did not start.
    pub failures: Counter,
    /// Sessions on it.
    pub sessions: Gauge,
    /// RTP packets sent to all its sessions, without what was sent again.
    pub packets: Counter,
    /// Their bytes, headers included.
    pub packet_bytes: Counter,
    /// Frames handed to sessions.
    pub frames_sent: Counter,
    /// Frames withheld from sessions whose queue was full.
    pub withheld_behind: Counter,
    /// Frames withheld from sessions that waited for a key frame.
    pub withheld_for_key: Counter,
    /// Generic NACKs received.
    pub nacks: Counter,
    /// Picture loss indications received.
    pub plis: Counter,
    /// RTP packets that the peers report lost.
    pub lost: Counter,
    rate: Mutex<Rate>,
    shown: AtomicBool,
}

/// What an encoder made a moment ago, for its rates.
#[derive(Debug, Default)]
struct Rate {
    read: Option<(Instant, u64, u64)>,
    last: Option<(f64, f64)>,
}

/// Least time over which a rate is taken.
const RATE_OVER: Duration = Duration::from_millis(900);

impl EncoderMetrics {
    fn new() -> Self {
        Self {
            frames: Counter::default(),
            bytes: Counter::default(),
            key_frames: Counter::default(),
            key_frames_requested: Counter::default(),
            key_frames_forced: Counter::default(),
            key_frames_refused: Counter::default(),
            encode_seconds: Histogram::new(ENCODE_SECONDS),
            starts: Counter::default(),
            failures: Counter::default(),
            sessions: Gauge::default(),
            packets: Counter::default(),
            packet_bytes: Counter::default(),
            frames_sent: Counter::default(),
            withheld_behind: Counter::default(),
            withheld_for_key: Counter::default(),
            nacks: Counter::default(),
            plis: Counter::default(),
            lost: Counter::default(),
            rate: Mutex::default(),
            shown: AtomicBool::new(false),
        }
    }

    /// Frames and bits a second between the last two times somebody asked, a second apart or more; `None` for the one who asks
    /// first.
    pub fn rate(&self, now: Instant) -> Option<(f64, f64)> {
        let (frames, bytes) = (self.frames.get(), self.bytes.get());
        let mut rate = lock(&self.rate);
        match rate.read {
            Some((at, _, _)) if now.saturating_duration_since(at) < RATE_OVER => {}
            Some((at, frames_then, bytes_then)) => {
                let seconds = now.saturating_duration_since(at).as_secs_f64();
                #[expect(clippy::cast_precision_loss, reason = "differences over seconds are small")]
                let per_second = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
                rate.last = Some((per_second(frames, frames_then), 8.0 * per_second(bytes, bytes_then)));
                rate.read = Some((now, frames, bytes));
            }
            None => rate.read = Some((now, frames, bytes)),
        }
        rate.last
    }
}

/// All devices.
#[derive(Debug, Default)]
pub(super) struct Devices {
    table: Mutex<BTreeMap<DeviceId, Entry>>,
}

#[derive(Debug)]
struct Entry {
    metrics: Arc<DeviceMetrics>,
    playback: bool,
    /// Since when it is not plugged in; `None` while it is.
    gone: Option<Instant>,
}

impl Devices {
    fn table(&self) -> MutexGuard<'_, BTreeMap<DeviceId, Entry>> {
        // Critical sections here only move values in and out, so a poisoned lock is still whole.
        lock(&self.table)
    }

    pub(super) fn get(&self, id: &DeviceId) -> Arc<DeviceMetrics> {
        let mut table = self.table();
        if let Some(entry) = table.get(id) {
            return entry.metrics.clone();
        }
        let id = if make_room(&mut table) { id.clone() } else { DeviceId::new(OTHER) };
        let fresh = || Entry { metrics: Arc::new(DeviceMetrics::new()), playback: false, gone: Some(Instant::now()) };
        table.entry(id).or_insert_with(fresh).metrics.clone()
    }

    pub(super) fn present(&self, id: &DeviceId, playback: bool) -> Arc<DeviceMetrics> {
        let metrics = self.get(id);
        if let Some(entry) = self.table().get_mut(id) {
            entry.gone = None;
            entry.playback = playback;
            metrics.known.store(true, Relaxed);
        }
        metrics
    }

    pub(super) fn gone(&self, id: &DeviceId) {
        if let Some(entry) = self.table().get_mut(id) {
            entry.gone = Some(Instant::now());
            entry.metrics.up.set(0);
            if !entry.playback {
                entry.metrics.unplugs.inc();
            }
        }
    }

    /// Every device to show, and its label.
    pub(super) fn shown(&self, now: Instant) -> Vec<(String, Arc<DeviceMetrics>)> {
        let mut table = self.table();
        table.retain(|_, entry| {
            let since = entry.gone.map(|gone| now.saturating_duration_since(gone));
            !(entry.playback && since.is_some_and(|since| since >= FORGET_PLAYBACK))
        });
        table.iter().map(|(id, entry)| (id.to_string(), entry.metrics.clone())).collect()
    }
}

/// Makes sure that one more fits: the device that has been gone longest gives way. False when none can.
fn make_room(table: &mut BTreeMap<DeviceId, Entry>) -> bool {
    if table.len() < MAX_DEVICES {
        return true;
    }
    let longest = table
        .iter()
        .filter_map(|(id, entry)| entry.gone.filter(|_| id.as_str() != OTHER).map(|gone| (gone, id)))
        .min()
        .map(|(_, id)| id.clone());
    longest.is_some_and(|id| table.remove(&id).is_some())
}

impl super::Metrics {
    /// What is counted about a device.
    pub fn device(&self, id: &DeviceId) -> Arc<DeviceMetrics> {
        self.devices.get(id)
    }

    /// What is counted about a stream.
    pub fn stream(&self, key: &StreamKey) -> Arc<StreamMetrics> {
        self.devices.get(&key.device).stream(key.stream).clone()
    }

    /// What is counted about a stream in a codec.
    pub fn encoder(&self, key: &StreamKey, codec: Codec) -> Arc<EncoderMetrics> {
        self.stream(key).encoder(codec).clone()
    }

    /// A device is plugged in, or a recording is opened to be played.
    pub fn device_present(&self, id: &DeviceId, playback: bool) -> Arc<DeviceMetrics> {
        self.devices.present(id, playback)
    }

    /// A device went away.
    pub fn device_gone(&self, id: &DeviceId) {
        self.devices.gone(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(devices: &Devices, now: Instant) -> Vec<String> {
        devices.shown(now).into_iter().map(|(label, _)| label).collect()
    }

    #[test]
    fn devices_are_bounded_and_the_one_gone_longest_gives_way() {
        let devices = Devices::default();
        for n in 0..MAX_DEVICES {
            devices.present(&DeviceId::new(format!("d{n:03}")), false);
        }
        devices.get(&DeviceId::new("one-more")).unplugs.inc();
        devices.get(&DeviceId::new("another")).unplugs.inc();
        let shown = labels(&devices, Instant::now());
        assert_eq!(shown.len(), MAX_DEVICES + 1, "{shown:?}");
        assert!(shown.contains(&OTHER.to_owned()) && !shown.contains(&"another".to_owned()));
        assert_eq!(devices.get(&DeviceId::new("any")).unplugs.get(), 2, "counted together");
        devices.gone(&DeviceId::new("d007"));
        devices.gone(&DeviceId::new("d003"));
        // The table holds one more than its bound by `other`, so two must go for a new one.
        devices.table().remove(&DeviceId::new("d000"));
        devices.present(&DeviceId::new("new"), false);
        let shown = labels(&devices, Instant::now());
        assert!(shown.contains(&"new".to_owned()) && !shown.contains(&"d007".to_owned()), "{shown:?}");
        assert!(shown.contains(&"d003".to_owned()));
    }

    #[test]
    fn a_recording_played_no_more_is_forgotten_and_an_unplugged_camera_is_not() {
        let devices = Devices::default();
        let (camera, recording) = (DeviceId::new("camera"), DeviceId::new("recording"));
        devices.present(&camera, false).up.set(1);
        devices.present(&recording, true);
        devices.gone(&camera);
        devices.gone(&recording);
        assert_eq!(labels(&devices, Instant::now()), ["camera", "recording"]);
        assert_eq!(labels(&devices, Instant::now() + FORGET_PLAYBACK), ["camera"]);
        let camera = devices.get(&camera);
        assert_eq!((camera.up.get(), camera.unplugs.get()), (0, 1));
    }

    #[test]
    fn only_what_was_used_is_shown() {
        let devices = Devices::default();
        let device = devices.get(&DeviceId::new("1"));
        device.stream(StreamType::Infrared(2)).encoder(Codec::VP8).frames.inc();
        let streams: Vec<_> = device.shown_streams().map(|(stream, _)| stream).collect();
        assert_eq!(streams, [StreamType::Infrared(2)]);
        let codecs: Vec<_> = device.stream(StreamType::Infrared(2)).shown_encoders().map(|(codec, _)| codec).collect();
        assert_eq!(codecs, [Codec::VP8]);
    }

    #[test]
    fn a_rate_is_taken_over_a_second() {
        let encoder = EncoderMetrics::new();
        let t0 = Instant::now();
        assert_eq!(encoder.rate(t0), None);
        encoder.frames.add(30);
        encoder.bytes.add(1000);
        assert_eq!(encoder.rate(t0 + Duration::from_millis(100)), None);
        assert_eq!(encoder.rate(t0 + Duration::from_secs(2)), Some((15.0, 4000.0)));
        assert_eq!(encoder.rate(t0 + Duration::from_millis(2100)), Some((15.0, 4000.0)));
    }
}
