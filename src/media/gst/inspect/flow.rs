//! The arithmetic of a meter: what came in, what went out, and how long it took. Knows neither pads nor clocks: times are
//! nanoseconds since the meter began. Nothing here allocates after `new`.

use crate::{
    core::matching::{Matcher, Reorder},
    model::GraphMeter,
};

/// Seconds that rates and latencies are taken over.
const WINDOW_S: u64 = 5;
/// Seconds kept: the window, the present one, and one that is just being reused.
const KEPT: usize = 8;
/// A shorter time says nothing about a rate.
const LEAST_NS: u64 = 200_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// What flows through one element.
pub(super) struct Flow {
    /// The units inside, where they are followed from in to out: the element has one way in and one way out.
    inside: Option<Matcher<u64>>,
    /// Whether rates are of what comes in, because nothing goes out or in several ways.
    counts_in: bool,
    dropped: u64,
    seconds: [Second; KEPT],
}

#[derive(Clone, Copy, Default)]
struct Second {
    number: u64,
    buffers: u64,
    bytes: u64,
    latencies: u64,
    latency_ns: u64,
    latency_max_ns: u64,
}

impl Flow {
    /// Units are followed from in to out where it is known whether the element may reorder them.
    pub(in crate::media::gst) fn new(followed: Option<Reorder>, counts_in: bool) -> Self {
        Self { inside: followed.map(Matcher::new), counts_in, dropped: 0, seconds: [Second::default(); KEPT] }
    }

    /// Something came in; `time` is its running time.
    pub(super) fn arrived(&mut self, now: u64, buffers: u64, bytes: u64, time: Option<u64>) {
        if self.counts_in {
            self.count(now, buffers, bytes);
        }
        if let Some(inside) = &mut self.inside {
            self.dropped += u64::from(inside.came(time, now));
        }
    }

    /// Something went out.
    pub(in crate::media::gst) fn left(&mut self, now: u64, buffers: u64, bytes: u64, time: Option<u64>) {
        if !self.counts_in {
            self.count(now, buffers, bytes);
        }
        let Some(unit) = self.inside.as_mut().and_then(|inside| inside.left(time)) else { return };
        self.dropped += unit.skipped;
        let took = now.saturating_sub(unit.entered);
        let second = self.second(now);
        second.latencies += 1;
        second.latency_ns += took;
        second.latency_max_ns = second.latency_max_ns.max(took);
    }

    fn count(&mut self, now: u64, buffers: u64, bytes: u64) {
        let second = self.second(now);
        second.buffers += buffers;
        second.bytes += bytes;
    }

    fn second(&mut self, now: u64) -> &mut Second {
        let number = now / SECOND_NS;
        let second = &mut self.seconds[usize::try_from(number % KEPT as u64).unwrap_or(0)];
        if second.number != number {
            *second = Second { number, ..Second::default() };
        }
        second
    }

    /// Units that came in and did not go out yet.
    #[cfg(test)]
    pub(in crate::media::gst) fn inside(&self) -> usize {
        self.inside.as_ref().map_or(0, Matcher::inside)
    }

    /// What was measured over the last seconds; `None` when that is less than tells anything.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    pub(in crate::media::gst) fn read(&self, now: u64) -> Option<GraphMeter> {
        let number = now / SECOND_NS;
        let first = number.saturating_sub(WINDOW_S);
        let window_ns = now - first * SECOND_NS;
        if window_ns < LEAST_NS {
            return None;
        }
        let mut sum = Second::default();
        // A slot that nothing was put into yet is of second 0 and empty.
        for second in self.seconds.iter().filter(|second| (first..=number).contains(&second.number)) {
            sum.buffers += second.buffers;
            sum.bytes += second.bytes;
            sum.latencies += second.latencies;
            sum.latency_ns += second.latency_ns;
            sum.latency_max_ns = sum.latency_max_ns.max(second.latency_max_ns);
        }
        let window_s = window_ns as f64 / SECOND_NS as f64;
        let ms = |ns: f64| (ns / 1e3).round() / 1e3;
        let followed = sum.latencies > 0;
        Some(GraphMeter {
            buffers_per_s: (sum.buffers as f64 / window_s * 100.0).round() / 100.0,
            kbps: (sum.bytes as f64 * 8.0 / 1e3 / window_s * 10.0).round() / 10.0,
            dropped: self.dropped,
            latency_ms: followed.then(|| ms(sum.latency_ns as f64 / sum.latencies as f64)),
            latency_max_ms: followed.then(|| ms(sum.latency_max_ns as f64)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::matching::IN_FLIGHT;

    const MS: u64 = 1_000_000;
    const FRAME: u64 = 33 * MS;

    #[test]
    fn rates_and_latencies_are_of_the_last_seconds() {
        let mut flow = Flow::new(Some(Reorder::Never), false);
        assert_eq!(flow.read(LEAST_NS - 1), None);
        // Ten seconds at 25 a second; the first five are slow.
        for number in 0..250 {
            let at = number * 40 * MS;
            flow.arrived(at, 1, 5000, Some(at + 77));
            let took = if number < 100 { 30 * MS } else { 4 * MS };
            flow.left(at + took, 1, 500, Some(at + 77));
        }
        let meter = flow.read(10 * SECOND_NS).expect("measured");
        assert!((meter.buffers_per_s - 25.0).abs() < 0.01 && (meter.kbps - 100.0).abs() < 0.1, "{meter:?}");
        assert_eq!((meter.latency_ms, meter.latency_max_ms, meter.dropped), (Some(4.0), Some(4.0), 0));
        let later = flow.read(60 * SECOND_NS).expect("measured");
        assert_eq!((later.buffers_per_s, later.latency_ms), (0.0, None), "nothing flowed lately");
    }

    #[test]
    fn what_does_not_come_out_is_dropped() {
        let mut flow = Flow::new(Some(Reorder::Never), false);
        for number in 0..100u64 {
            let at = number * FRAME;
            flow.arrived(at, 1, 1, Some(at));
            // Every fourth is swallowed; the rest takes two frames and is rounded to another clock.
            if number >= 2 && (number - 2) % 4 != 0 {
                flow.left(at, 1, 1, Some((number - 2) * FRAME + 400_000));
            }
        }
        let meter = flow.read(99 * FRAME).expect("measured");
        assert_eq!(meter.dropped, 25);
        assert_eq!(meter.latency_ms, Some(66.0));
    }

    #[test]
    fn an_encoder_with_b_frames_drops_nothing() {
        let mut flow = Flow::new(Some(Reorder::CODEC), false);
        for number in 0..100u64 {
            flow.arrived(number * FRAME, 1, 1, Some(number * FRAME));
            // P before the two B-frames that lie before it: 0 3 1 2 6 4 5 …
            if number == 0 {
                flow.left(0, 1, 1, Some(0));
            } else if number % 3 == 0 {
                for out in [number, number - 2, number - 1] {
                    flow.left(number * FRAME, 1, 1, Some(out * FRAME));
                }
            }
        }
        let meter = flow.read(99 * FRAME).expect("measured");
        assert_eq!((meter.dropped, meter.latency_ms, meter.latency_max_ms), (0, Some(32.67), Some(66.0)));
    }

    #[test]
    fn packets_of_one_unit_count_once_and_own_times_go_first_in_first_out() {
        let mut packets = Flow::new(Some(Reorder::Never), false);
        packets.left(0, 1, 1, Some(5)); // Was inside before measuring began.
        packets.arrived(0, 1, 9000, Some(FRAME));
        packets.left(MS, 8, 8800, Some(FRAME));
        packets.left(2 * MS, 1, 200, Some(FRAME));
        packets.arrived(10 * MS, 1, 9000, Some(2 * FRAME));
        packets.left(10 * MS, 0, 0, Some(FRAME / 2)); // Older than all that is inside.
        packets.left(13 * MS, 8, 8800, Some(2 * FRAME));
        let meter = packets.read(SECOND_NS).expect("measured");
        assert_eq!((meter.buffers_per_s, meter.latency_ms, meter.latency_max_ms), (18.0, Some(2.0), Some(3.0)));
        assert_eq!(meter.dropped, 0);
        let mut own = Flow::new(Some(Reorder::Never), false);
        for number in 0..30 {
            own.arrived(number * FRAME, 1, 1, Some(number * FRAME));
            own.left(number * FRAME + 7 * MS, 1, 1, None);
        }
        assert_eq!(own.read(SECOND_NS).expect("measured").latency_ms, Some(7.0));
    }

    #[test]
    fn an_element_that_lets_nothing_out_stays_bounded() {
        let mut flow = Flow::new(Some(Reorder::Never), false);
        (0..1000).for_each(|number| flow.arrived(number * MS, 1, 1, Some(number * FRAME)));
        assert_eq!(flow.inside(), IN_FLIGHT);
        assert_eq!(flow.read(SECOND_NS).expect("measured").dropped, 1000 - IN_FLIGHT as u64);
        let mut sink = Flow::new(None, true);
        (0..1000).for_each(|number| sink.arrived(number * MS, 1, 125, None));
        let meter = sink.read(SECOND_NS).expect("measured");
        assert_eq!((meter.buffers_per_s, meter.kbps, meter.dropped, meter.latency_ms), (1000.0, 1000.0, 0, None));
    }
}
