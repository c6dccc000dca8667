//! Tells from the number of turns that a thread has taken whether it still takes any. Owns the two bounds and the count;
//! knows no thread and reads no clock.

use std::time::Duration;

/// How often the thread is looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A thread without a turn for this long serves nobody: longer than whatever it does takes on a slow machine, and shorter
/// than people wait.
pub const STALLED_AFTER: Duration = Duration::from_secs(10);
/// A thread without a turn for this long does not come back.
pub const DEAD_AFTER: Duration = Duration::from_secs(60);

/// How a thread that takes turns is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It takes turns.
    Well,
    /// It has taken none for [`STALLED_AFTER`].
    Stalled,
    /// It has taken none for [`DEAD_AFTER`].
    Dead,
}

/// Notices a thread that takes no turns any more. Time is counted in looks of [`LOOK_EVERY`], not by a clock: while the
/// machine sleeps or the whole process is stopped nobody looks, so that time does not count.
#[derive(Debug, Default)]
pub struct Watchdog {
    seen: Option<u64>,
    looks: u32,
}

impl Watchdog {
    /// Looks at the number of turns that the thread has taken.
    pub fn look(&mut self, turns: u64) -> Standing {
        if self.seen == Some(turns) {
            self.looks = self.looks.saturating_add(1);
        } else {
            (self.seen, self.looks) = (Some(turns), 0);
        }
        match self.age() {
            age if age >= DEAD_AFTER => Standing::Dead,
            age if age >= STALLED_AFTER => Standing::Stalled,
            _ => Standing::Well,
        }
    }

    /// How long the thread has taken no turn, to the precision of [`LOOK_EVERY`].
    pub fn age(&self) -> Duration {
        LOOK_EVERY * self.looks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_without_turns_is_stalled_after_ten_looks_and_dead_after_sixty() {
        let mut watchdog = Watchdog::default();
        for turns in 0..100 {
            assert_eq!(watchdog.look(turns), Standing::Well);
        }
        let standings: Vec<_> = (0..60).map(|_| watchdog.look(99)).collect();
        assert!(standings[..9].iter().all(|standing| *standing == Standing::Well));
        assert!(standings[9..59].iter().all(|standing| *standing == Standing::Stalled));
        assert_eq!(standings[59], Standing::Dead);
        assert_eq!(watchdog.age(), DEAD_AFTER);
        assert_eq!((watchdog.look(100), watchdog.age()), (Standing::Well, Duration::ZERO), "it came back");
    }
}
