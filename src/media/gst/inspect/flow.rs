//! The arithmetic of a meter: what came in, what went out, which of it belongs together. Knows neither pads nor clocks: times
//! are nanoseconds since the meter began. Nothing here allocates after `new`.

use crate::model::GraphMeter;

/// Units that may be in an element at once: above `queue`'s default of 200.
const IN_FLIGHT: usize = 256;
/// Seconds that rates and latencies are taken over.
const WINDOW_S: u64 = 5;
/// Seconds kept: the window, the present one, and one that is just being reused.
const KEPT: usize = 8;
/// Running times this close are the same unit's: encoders may round to their own clock, frames are milliseconds apart.
const SAME_NS: u64 = 500_000;
/// A shorter time says nothing about a rate.
const LEAST_NS: u64 = 200_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// What flows through one element.
pub(super) struct Flow {
    /// Whether units are followed from in to out: it has one way in and one way out.
    follows: bool,
    /// Whether rates are of what comes in, because nothing goes out or in several ways.
    counts_in: bool,
    /// Units inside, oldest first; a ring.
    inside: Box<[Unit; IN_FLIGHT]>,
    oldest: usize,
    len: usize,
    last_out: Option<u64>,
    dropped: u64,
    seconds: [Second; KEPT],
}

#[derive(Clone, Copy, Default)]
struct Unit {
    at: u64,
    time: Option<u64>,
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
    pub(in crate::media::gst) fn new(follows: bool, counts_in: bool) -> Self {
        Self {
            follows,
            counts_in,
            inside: Box::new([Unit::default(); IN_FLIGHT]),
            oldest: 0,
            len: 0,
            last_out: None,
            dropped: 0,
            seconds: [Second::default(); KEPT],
        }
    }

    /// Something came in; `time` is its running time.
    pub(super) fn arrived(&mut self, now: u64, buffers: u64, bytes: u64, time: Option<u64>) {
        if self.counts_in {
            self.count(now, buffers, bytes);
        }
        if !self.follows {
            return;
        }
        if self.len == IN_FLIGHT {
            self.take_oldest();
            self.dropped += 1;
        }
        self.inside[(self.oldest + self.len) % IN_FLIGHT] = Unit { at: now, time };
        self.len += 1;
    }

    /// Something went out.
    pub(in crate::media::gst) fn left(&mut self, now: u64, buffers: u64, bytes: u64, time: Option<u64>) {
        if !self.counts_in {
            self.count(now, buffers, bytes);
        }
        if !self.follows {
            return;
        }
        if let Some(unit) = self.matching(time) {
            let took = now.saturating_sub(unit.at);
            let second = self.second(now);
            second.latencies += 1;
            second.latency_ns += took;
            second.latency_max_ns = second.latency_max_ns.max(took);
        }
    }

    /// Finds the input that this output was made of. Inputs older than it are counted as dropped, because they never come out.
    fn matching(&mut self, time: Option<u64>) -> Option<Unit> {
        let is = |a: u64, b: u64| a.abs_diff(b) <= SAME_NS;
        if let Some(time) = time {
            if self.last_out.is_some_and(|last| is(last, time)) {
                // Another packet of the same unit.
                return None;
            }
            self.last_out = Some(time);
            let position = (0..self.len).find(|offset| self.unit(*offset).time.is_some_and(|known| is(known, time)));
            if let Some(position) = position {
                for _ in 0..position {
                    self.take_oldest();
                }
                self.dropped += position as u64;
                return self.take_oldest();
            }
            if self.len > 0 && self.unit(0).time.is_some_and(|oldest| oldest > time) {
                // It came in before measuring began.
                return None;
            }
        }
        // The element makes its own times: first in, first out.
        self.take_oldest()
    }

    fn unit(&self, offset: usize) -> Unit {
        self.inside[(self.oldest + offset) % IN_FLIGHT]
    }

    fn take_oldest(&mut self) -> Option<Unit> {
        if self.len == 0 {
            return None;
        }
        let unit = self.unit(0);
        self.oldest = (self.oldest + 1) % IN_FLIGHT;
        self.len -= 1;
        Some(unit)
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
        self.len
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

    const MS: u64 = 1_000_000;
    const FRAME: u64 = 33 * MS;

    #[test]
    fn rates_and_latencies_are_of_the_last_seconds() {
        let mut flow = Flow::new(true, false);
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
        let mut flow = Flow::new(true, false);
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
    fn packets_of_one_unit_count_once_and_own_times_go_first_in_first_out() {
        let mut packets = Flow::new(true, false);
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
        let mut own = Flow::new(true, false);
        for number in 0..30 {
            own.arrived(number * FRAME, 1, 1, Some(number * FRAME));
            own.left(number * FRAME + 7 * MS, 1, 1, None);
        }
        assert_eq!(own.read(SECOND_NS).expect("measured").latency_ms, Some(7.0));
    }

    #[test]
    fn an_element_that_lets_nothing_out_stays_bounded() {
        let mut flow = Flow::new(true, false);
        (0..1000).for_each(|number| flow.arrived(number * MS, 1, 1, Some(number * FRAME)));
        assert_eq!(flow.len, IN_FLIGHT);
        assert_eq!(flow.read(SECOND_NS).expect("measured").dropped, 1000 - IN_FLIGHT as u64);
        let mut sink = Flow::new(false, true);
        (0..1000).for_each(|number| sink.arrived(number * MS, 1, 125, None));
        let meter = sink.read(SECOND_NS).expect("measured");
        assert_eq!((meter.buffers_per_s, meter.kbps, meter.dropped, meter.latency_ms), (1000.0, 1000.0, 0, None));
    }
}
