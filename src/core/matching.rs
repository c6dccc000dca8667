//! Which unit that went into an element comes out of it now, by time stamps. Owns the units inside, in a bounded ring; knows
//! neither GStreamer nor what a unit is, and reads no clock.
//!
//! Elements leave units out (vp8enc under load), put them out in another order (encoders with B-frames), move time stamps by a
//! constant (x264enc by 1000 hours), round them to a clock of their own, make one unit into many packets of the same time, or
//! make time stamps of their own. Neither the order nor the time stamp alone tells which unit comes out.

use std::collections::VecDeque;

/// Units that may be inside at once: above the 200 that GStreamer's `queue` holds by default.
pub const IN_FLIGHT: usize = 256;
/// Time stamps this close, in nanoseconds, are the same unit's: elements may round to their own clock, and units are at least
/// 3 ms apart (300 frames per second).
const SAME_NS: u64 = 500_000;

/// Whether units may come out in another order than they went in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reorder {
    /// What went in before the unit that comes out will not come any more.
    Never,
    /// A unit may be overtaken by so many others before it comes out.
    UpTo(u32),
}

impl Reorder {
    /// What an encoder or a decoder may do: a decoded picture buffer of H.264 and H.265 holds at most 16 frames
    /// (ITU-T H.264, section A.3.1, and H.265, section A.4.2), so none can be overtaken by more.
    pub const CODEC: Self = Self::UpTo(16);
}

/// What came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match<T> {
    /// When it had gone in, as told to [`Matcher::came`].
    pub entered: T,
    /// Units that went in before and were given up now: they will not come out any more.
    pub skipped: u64,
}

/// The units inside one element. `T` is a moment, in whatever measure the caller keeps.
#[derive(Debug)]
pub struct Matcher<T> {
    reorder: Reorder,
    /// Oldest first. Its room is taken once, so that nothing allocates while units flow.
    inside: VecDeque<Unit<T>>,
    /// How much later than it went in a unit is stamped when it comes out, in nanoseconds.
    shift_ns: i128,
    last_out: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Unit<T> {
    time: Option<u64>,
    at: T,
    /// Units that went in later and came out before it.
    overtaken: u32,
}

impl<T: Copy> Matcher<T> {
    /// Nothing is inside yet.
    pub fn new(reorder: Reorder) -> Self {
        Self { reorder, inside: VecDeque::with_capacity(IN_FLIGHT), shift_ns: 0, last_out: None }
    }

    /// A unit with this time stamp (nanoseconds) went in at that moment. Returns whether the oldest was given up for it,
    /// because [`IN_FLIGHT`] were inside.
    pub fn came(&mut self, time: Option<u64>, at: T) -> bool {
        let is_full = self.inside.len() >= IN_FLIGHT;
        if is_full {
            self.inside.pop_front();
        }
        self.inside.push_back(Unit { time, at, overtaken: 0 });
        is_full
    }

    /// A unit with this time stamp (nanoseconds) comes out. `None` for one that is not known: another packet of the unit
    /// that came out last, or one that went in before the matcher began.
    pub fn left(&mut self, time: Option<u64>) -> Option<Match<T>> {
        let Some(time) = time else { return self.take(0) };
        if self.last_out.replace(time).is_some_and(|last| last.abs_diff(time) <= SAME_NS) {
            return None;
        }
        if let Some(index) = self.find(time, 0).or_else(|| self.find(time, self.shift_ns)) {
            return self.take(index);
        }
        if let Some(oldest) = self.inside.front()?.time {
            let shift = i128::from(time) - i128::from(oldest);
            if shift < 0 {
                return None;
            }
            // The first unit, or the element began anew: the oldest inside comes out, moved by a time that holds from here on.
            self.shift_ns = shift;
        }
        self.take(0)
    }

    /// How many units are inside.
    pub fn inside(&self) -> usize {
        self.inside.len()
    }

    fn find(&self, time: u64, shift: i128) -> Option<usize> {
        let is = |known: u64| (i128::from(known) + shift).abs_diff(i128::from(time)) <= u128::from(SAME_NS);
        self.inside.iter().position(|unit| unit.time.is_some_and(is))
    }

    fn take(&mut self, index: usize) -> Option<Match<T>> {
        let unit = self.inside.remove(index)?;
        let mut skipped = 0;
        // Whoever stands further in front was overtaken at least as often, so those to be given up stand in front.
        for older in self.inside.iter_mut().take(index) {
            older.overtaken += 1;
            skipped += u64::from(match self.reorder {
                Reorder::Never => true,
                Reorder::UpTo(most) => older.overtaken > most,
            });
        }
        for _ in 0..skipped {
            self.inside.pop_front();
        }
        Some(Match { entered: unit.at, skipped })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRAME: u64 = 33_333_333;
    const HOURS_1000: u64 = 3_600_000_000_000_000;

    #[test]
    fn units_are_found_again_when_shifted_reordered_or_left_out() {
        let mut x264 = Matcher::new(Reorder::CODEC);
        (0..4).for_each(|n| assert!(!x264.came(Some(n * FRAME), n)));
        for n in [0, 2, 1, 3] {
            let found = x264.left(Some(HOURS_1000 + n * FRAME));
            assert_eq!(found, Some(Match { entered: n, skipped: 0 }), "shifted by 1000 h, with a B-frame");
        }
        let mut valve = Matcher::new(Reorder::Never);
        (0..4).for_each(|n| assert!(!valve.came(Some(n * FRAME), n)));
        assert_eq!(valve.left(Some(0)), Some(Match { entered: 0, skipped: 0 }));
        assert_eq!(
            valve.left(Some(2 * FRAME + 400_000)),
            Some(Match { entered: 2, skipped: 1 }),
            "rounded to another clock"
        );
        assert_eq!(valve.left(Some(2 * FRAME + 400_000)), None, "another packet of it");
        assert_eq!(valve.left(Some(FRAME)), None, "it was given up");
        assert_eq!((valve.left(Some(3 * FRAME)), valve.inside()), (Some(Match { entered: 3, skipped: 0 }), 0));
        assert_eq!(valve.left(Some(4 * FRAME)), None, "nothing is inside: a header of its own");
    }

    #[test]
    fn without_time_stamps_it_is_first_in_first_out() {
        let mut own = Matcher::new(Reorder::Never);
        own.came(Some(1), 'a');
        own.came(None, 'b');
        own.came(None, 'c');
        assert_eq!(own.left(None).map(|unit| unit.entered), Some('a'));
        assert_eq!(own.left(Some(7 * FRAME)).map(|unit| unit.entered), Some('b'), "a time stamp of the element's own");
        assert_eq!(own.left(None).map(|unit| unit.entered), Some('c'));
        assert_eq!(own.left(None), None);
    }

    #[test]
    fn what_went_in_before_the_matcher_began_is_not_taken_for_another() {
        let mut late = Matcher::new(Reorder::Never);
        late.came(Some(10 * FRAME), 10);
        assert_eq!((late.left(Some(8 * FRAME)), late.left(Some(9 * FRAME))), (None, None));
        assert_eq!(late.left(Some(10 * FRAME)), Some(Match { entered: 10, skipped: 0 }));
    }

    #[test]
    fn an_element_that_begins_anew_is_followed_again() {
        let mut anew = Matcher::new(Reorder::CODEC);
        for (shift, from) in [(HOURS_1000, 0), (2 * HOURS_1000, 3)] {
            for n in from..from + 3 {
                anew.came(Some(n * FRAME), n);
                assert_eq!(anew.left(Some(shift + n * FRAME)), Some(Match { entered: n, skipped: 0 }));
            }
        }
    }

    #[test]
    fn what_never_comes_out_does_not_pile_up() {
        let mut hole = Matcher::new(Reorder::Never);
        let given_up = (0..1000).filter(|n| hole.came(Some(n * FRAME), *n)).count();
        assert_eq!((hole.inside(), given_up), (IN_FLIGHT, 1000 - IN_FLIGHT));
        assert_eq!(hole.left(Some(999 * FRAME)), Some(Match { entered: 999, skipped: IN_FLIGHT as u64 - 1 }));
        assert_eq!(hole.inside(), 0);
    }

    /// Which of some units are let through, and in which order those come out that are: groups of up to 17 are turned around,
    /// so that nobody is overtaken by more than 16.
    fn flow() -> impl Strategy<Value = (Vec<u64>, Vec<u64>)> {
        let units = prop::collection::vec(any::<bool>(), 1..200);
        (units, prop::collection::vec(1..=17_usize, 1..40)).prop_map(|(let_through, groups)| {
            let mut left: Vec<_> = (0..).zip(let_through).filter(|(_, through)| *through).map(|(n, _)| n).collect();
            let straight = left.clone();
            let mut rest = &mut left[..];
            for group in groups.into_iter().cycle() {
                let (now, later) = rest.split_at_mut(group.min(rest.len()));
                now.reverse();
                if later.is_empty() {
                    break;
                }
                rest = later;
            }
            (straight, left)
        })
    }

    proptest! {
        /// Each unit that comes out is found to be itself, whatever is left out, however late it comes, whatever its time
        /// stamps are moved by; and every unit is accounted for once.
        #[test]
        fn in_order_every_unit_is_itself(
            (straight, _) in flow(), late in 0..50_u64, shift in prop_oneof![Just(0), Just(HOURS_1000)], round in 0..400_000_u64,
        ) {
            // With a shift the first must come out, for the shift is learnt from it.
            prop_assume!(shift == 0 || straight.first() == Some(&0));
            let mut matcher = Matcher::new(Reorder::Never);
            let (mut came, mut skipped) = (0, 0);
            for (at, n) in straight.iter().enumerate() {
                while came < (n + late).max(came) || came <= *n {
                    prop_assert!(!matcher.came(Some(came * FRAME), came));
                    came += 1;
                }
                let found = matcher.left(Some(shift + n * FRAME + round)).expect("it went in");
                prop_assert_eq!(found.entered, *n);
                skipped += found.skipped;
                prop_assert_eq!(came, at as u64 + 1 + skipped + matcher.inside() as u64);
                prop_assert_eq!(skipped, n - at as u64, "what was left out counts at once");
            }
        }

        /// An encoder's reordering costs nothing: each unit is itself, and what was left out is given up sooner or later.
        #[test]
        fn reordered_every_unit_is_itself((straight, left) in flow()) {
            let mut matcher = Matcher::new(Reorder::CODEC);
            let last = straight.last().map_or(0, |last| last + 1);
            (0..last).for_each(|n| assert!(!matcher.came(Some(n * FRAME), n)));
            let mut skipped = 0;
            for n in &left {
                let found = matcher.left(Some(n * FRAME)).expect("it is inside still");
                prop_assert_eq!(found.entered, *n);
                skipped += found.skipped;
            }
            prop_assert_eq!(last, left.len() as u64 + skipped + matcher.inside() as u64);
            prop_assert!(matcher.inside() <= last as usize - left.len());
        }

        /// Whatever comes and goes, nothing grows and nothing is counted twice.
        #[test]
        fn nothing_is_counted_twice(steps in prop::collection::vec((any::<bool>(), prop::option::of(0..40_u64)), 0..2000)) {
            let mut matcher = Matcher::new(Reorder::UpTo(3));
            let (mut came, mut gone) = (0_u64, 0);
            for (goes_in, time) in steps {
                let time = time.map(|n| n * FRAME);
                if goes_in {
                    came += 1;
                    gone += u64::from(matcher.came(time, came));
                } else if let Some(found) = matcher.left(time) {
                    gone += 1 + found.skipped;
                }
                prop_assert!(matcher.inside() <= IN_FLIGHT);
                prop_assert_eq!(came, gone + matcher.inside() as u64);
            }
        }
    }
}
