//! How long frames take through each element: from their arrival at its sink pad to their leaving it, told apart by running
//! time. Owns the probes; what they see is kept per element and bounded.

use std::{sync::Arc, time::Instant};

use gst::prelude::*;
use serde::Serialize;

use crate::{
    core::matching::{Matcher, Reorder},
    media::gst::{offline::pipelines::running_time, walk},
    sync::{Mutex, MutexGuard, lock},
};

/// Frames remembered: an hour at 30 fps.
const REMEMBERED: usize = 108_000;
/// An element and what was seen of it.
#[derive(Clone)]
pub(super) struct Meter {
    pub(super) name: String,
    pub(super) factory: String,
    seen: Arc<Mutex<Seen>>,
}

struct Seen {
    inside: Matcher<Instant>,
    took_ms: Vec<f32>,
}

/// Milliseconds that frames took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Latency {
    pub(super) frames: usize,
    pub(super) mean: f64,
    pub(super) p95: f64,
    pub(super) max: f64,
}

impl Meter {
    /// A meter that is told by hand.
    pub(super) fn new(name: &str, factory: &str, reorder: Reorder) -> Self {
        let seen = Seen { inside: Matcher::new(reorder), took_ms: Vec::new() };
        Self { name: name.into(), factory: factory.into(), seen: Arc::new(Mutex::new(seen)) }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Each critical section leaves the lists whole.
        lock(&self.seen)
    }

    /// A frame of this running time came.
    pub(super) fn came(&self, running_ns: u64) {
        self.seen().inside.came(Some(running_ns), Instant::now());
    }

    /// A frame of this running time left.
    pub(super) fn left(&self, running_ns: u64) {
        let now = Instant::now();
        let mut seen = self.seen();
        let Some(unit) = seen.inside.left(Some(running_ns)) else { return };
        if seen.took_ms.len() < REMEMBERED {
            seen.took_ms.push(now.saturating_duration_since(unit.entered).as_secs_f32() * 1000.0);
        }
    }

    /// Forgets what was seen so far.
    pub(super) fn reset(&self) {
        self.seen().took_ms.clear();
    }

    /// What was seen; `None` where no frame passed.
    pub(super) fn latency(&self) -> Option<Latency> {
        summary(self.seen().took_ms.clone())
    }
}

fn summary(mut took_ms: Vec<f32>) -> Option<Latency> {
    took_ms.sort_unstable_by(f32::total_cmp);
    let (count, max) = (took_ms.len(), *took_ms.last()?);
    let mean = took_ms.iter().map(|ms| f64::from(*ms)).sum::<f64>() / count as f64;
    let p95 = took_ms[(count * 95).div_ceil(100).clamp(1, count) - 1];
    Some(Latency { frames: count, mean, p95: p95.into(), max: max.into() })
}

/// Puts meters on everything between the source and what follows, in the order of the flow. The source's own meter comes
/// first: the code that pushes frames tells it of them.
pub(super) fn attach(source: &gst::Element) -> Vec<Meter> {
    let mut meters = Vec::new();
    for element in walk::reached(source, |element| element.src_pads()) {
        let factory = element.factory().map(|factory| factory.name().to_string()).unwrap_or_default();
        let (sinks, sources) = (element.sink_pads(), element.src_pads());
        // A tee and a muxer have no one way through.
        if let ([out], true) = (sources.as_slice(), sinks.len() <= 1 && factory != "tee") {
            let meter = Meter::new(&element.name(), &factory, walk::reorder(&element));
            if let Some(into) = sinks.first() {
                watch(into, &meter, Meter::came);
            }
            watch(out, &meter, Meter::left);
            meters.push(meter);
        }
    }
    meters
}

/// Tells a meter of every frame that passes a pad.
pub(super) fn watch(pad: &gst::Pad, meter: &Meter, tell: fn(&Meter, u64)) {
    let meter = meter.clone();
    pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST, move |pad, info| {
        let pts = match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => buffer.pts(),
            Some(gst::PadProbeData::BufferList(list)) => list.get(0).and_then(gst::BufferRef::pts),
            _ => None,
        };
        if let Some(running) = pts.and_then(|pts| running_time(pad, pts)) {
            tell(&meter, running);
        }
        gst::PadProbeReturn::Ok
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_frames() {
        let latency = summary((1..=100u8).rev().map(f32::from).collect()).expect("frames");
        assert_eq!((latency.frames, latency.mean, latency.p95, latency.max), (100, 50.5, 95.0, 100.0));
        let one = summary(vec![2.0]).expect("a frame");
        assert_eq!((one.p95, one.max), (2.0, 2.0));
        assert_eq!(summary(Vec::new()), None);
    }

    #[test]
    fn frames_are_told_apart_and_dropped_ones_forgotten() {
        let meter = Meter::new("a", "b", Reorder::Never);
        for frame in 0..1000 {
            meter.came(frame * 33_000_000);
        }
        meter.left(999 * 33_000_000 + 10);
        assert_eq!(meter.seen().inside.inside(), 0);
        meter.left(5);
        assert_eq!(meter.latency().expect("one").frames, 1);
        meter.reset();
        assert_eq!(meter.latency(), None);
    }

    #[test]
    fn an_element_that_waits_is_seen_to_wait() {
        gst::init().expect("GStreamer");
        let text = "videotestsrc num-buffers=5 name=s ! identity name=slow sleep-time=20000 ! identity single-segment=true \
                    name=quick ! tee name=fanout ! fakesink";
        let pipeline = gst::parse::launch(text).expect("parses").downcast::<gst::Pipeline>().expect("a pipeline");
        let meters = attach(&pipeline.by_name("s").expect("source"));
        pipeline.set_state(gst::State::Playing).expect("plays");
        let bus = pipeline.bus().expect("a bus");
        bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &[gst::MessageType::Eos]).expect("ends");
        pipeline.set_state(gst::State::Null).expect("stops");
        assert_eq!(meters.iter().map(|meter| meter.name.as_str()).collect::<Vec<_>>(), ["s", "slow", "quick"]);
        let slow = meters[1].latency().expect("frames");
        assert!(slow.frames == 5 && slow.mean >= 20.0, "{slow:?}");
        assert!(meters[2].latency().expect("frames").mean < slow.mean);
        assert_eq!(meters[0].latency(), None, "nobody told the source of frames");
    }
}
