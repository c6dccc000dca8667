//! Turns the SDK's frames into the server's: no copy, unless rows are padded.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::{
    camera::{Frame, FrameSink},
    librealsense::{SdkFrame, StreamProfile},
    model::{Intrinsics, StreamType, TimestampDomain},
    sync::{Mutex, MutexGuard, lock},
};

/// A frame's timestamp on the host's clock older than this is not believed: a recording's are years old, and a clock that was
/// set meanwhile tells nothing.
const OLDEST: Duration = Duration::from_secs(1);

/// What the frames of a started sensor need that they do not carry.
pub(super) struct Delivery {
    intrinsics: BTreeMap<StreamType, Intrinsics>,
    /// Metres per unit where the frames do not say.
    depth_units: f32,
    sink: FrameSink,
}

impl Delivery {
    pub(super) fn new(profiles: &[StreamProfile], depth_units: f32, sink: FrameSink) -> Self {
        let intrinsics =
            profiles.iter().filter_map(|profile| Some((profile.what().stream, profile.intrinsics()?))).collect();
        Self { intrinsics, depth_units, sink }
    }

    /// Takes a frame on one of the SDK's threads.
    pub(super) fn deliver(&self, frame: SdkFrame) {
        let Some(what) = frame.what() else { return };
        let (width, height) = if what.stream.is_video() {
            let Some(size) = frame.size_in_pixels() else { return };
            size
        } else {
            (0, 0)
        };
        let (timestamp_ms, timestamp_domain) = frame.timestamp();
        let depth_units =
            if what.stream == StreamType::Depth { frame.depth_units().unwrap_or(self.depth_units) } else { 0.0 };
        let (number, metadata) = (frame.number(), frame.metadata());
        let row = what.format.frame_size(width, 1);
        let padded = what.stream.is_video() && frame.stride().is_some_and(|stride| stride > row);
        let data: Arc<dyn AsRef<[u8]> + Send + Sync> =
            if padded { Arc::new(packed(&frame, row)) } else { Arc::new(frame) };
        (self.sink)(Frame {
            stream: what.stream,
            format: what.format,
            width,
            height,
            data,
            number,
            timestamp_ms,
            timestamp_domain,
            metadata,
            captured_at: captured_at(timestamp_ms, timestamp_domain),
            depth_units,
            intrinsics: self.intrinsics.get(&what.stream).copied(),
        });
    }
}

/// What is shown of a recording, of which all streams are played whenever one is watched: hands on what is wanted, and keeps the
/// newest frame of each stream, to be shown again while the recording is held.
pub(super) struct Shown {
    streams: Mutex<Streams>,
    sink: FrameSink,
}

struct Streams {
    wanted: BTreeSet<StreamType>,
    newest: BTreeMap<StreamType, Frame>,
    /// Frames of any stream since the recording was started.
    played: u64,
    /// When the newest of them came, or else the recording was started.
    last: Instant,
}

impl Shown {
    pub(super) fn new(sink: FrameSink) -> Self {
        let streams = Streams { wanted: BTreeSet::new(), newest: BTreeMap::new(), played: 0, last: Instant::now() };
        Self { streams: Mutex::new(streams), sink }
    }

    /// Where the frames of all streams go.
    pub(super) fn sink(self: Arc<Self>) -> FrameSink {
        Arc::new(move |frame: Frame| {
            let is_wanted = {
                let mut streams = self.streams();
                (streams.played, streams.last) = (streams.played + 1, Instant::now());
                streams.newest.insert(frame.stream, frame.clone());
                streams.wanted.contains(&frame.stream)
            };
            if is_wanted {
                (self.sink)(frame);
            }
        })
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
        lock(&self.streams)
    }

    /// Hands these streams on from now on, instead of others.
    pub(super) fn want(&self, wanted: BTreeSet<StreamType>) {
        let mut streams = self.streams();
        if wanted.is_empty() {
            streams.newest.clear();
        }
        streams.wanted = wanted;
    }

    /// Whether anything is.
    pub(super) fn is_wanted(&self) -> bool {
        !self.streams().wanted.is_empty()
    }

    /// Delivers the newest frames once more, as of now.
    pub(super) fn again(&self) {
        let frames: Vec<_> = {
            let streams = self.streams();
            streams.wanted.iter().filter_map(|stream| streams.newest.get(stream)).cloned().collect()
        };
        for frame in frames {
            (self.sink)(Frame { captured_at: Instant::now(), ..frame });
        }
    }

    /// How many frames came since the last [`Self::begin`].
    pub(super) fn played(&self) -> u64 {
        self.streams().played
    }

    /// How long ago the newest frame came of any stream, or else the last [`Self::begin`] was.
    pub(super) fn silence(&self) -> Duration {
        self.streams().last.elapsed()
    }

    /// Before the sensors are started.
    pub(super) fn begin(&self) {
        let mut streams = self.streams();
        (streams.played, streams.last) = (0, Instant::now());
    }
}

/// The pixels without the padding of their rows.
fn packed(frame: &SdkFrame, row: usize) -> Vec<u8> {
    let stride = frame.stride().unwrap_or(row).max(1);
    frame.as_ref().chunks(stride).flat_map(|line| &line[..row.min(line.len())]).copied().collect()
}

/// When a frame was captured: by its timestamp where that is of the host's clock and fits, else now.
fn captured_at(timestamp_ms: f64, domain: TimestampDomain) -> Instant {
    let now = Instant::now();
    if domain == TimestampDomain::HardwareClock || !timestamp_ms.is_finite() {
        return now;
    }
    let clock_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1e3);
    let age_ms = clock_ms - timestamp_ms;
    if age_ms < 0.0 || age_ms > OLDEST.as_secs_f64() * 1e3 {
        return now;
    }
    now.checked_sub(Duration::from_secs_f64(age_ms / 1e3)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_counts_only_where_it_can_be_right() {
        let clock_ms = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64() * 1e3;
        let age = |ms, domain| captured_at(ms, domain).elapsed();
        assert!(age(clock_ms() - 100.0, TimestampDomain::GlobalTime) >= Duration::from_millis(99));
        for (ms, domain) in [
            (clock_ms() - 100.0, TimestampDomain::HardwareClock),
            (clock_ms() - 5000.0, TimestampDomain::SystemTime),
            (clock_ms() + 5000.0, TimestampDomain::SystemTime),
            (f64::NAN, TimestampDomain::SystemTime),
        ] {
            assert!(age(ms, domain) < Duration::from_millis(90), "{ms} {domain:?}");
        }
    }
}
