//! Whether the machine has room for another session: file descriptors and threads. GLib ends the whole process when it gets
//! none, so the last ones are never given away. Owns the arithmetic; asks no operating system.

/// File descriptors that stay free: for encoders, recordings, and what libraries open for a moment.
const SPARE_FDS: u64 = 64;
/// Threads that stay free, for the same.
const SPARE_THREADS: u64 = 32;
/// Threads of a session: 5 while it waits for its answer, 8 once it is connected (measured, GStreamer 1.22).
const SESSION_THREADS: u64 = 8;
/// Threads and file descriptors of a stream that is started for a session: its encoder, its feed, and a sensor of the camera.
const STREAM_THREADS: u64 = 8;
const STREAM_FDS: u64 = 8;
/// Threads that a session still starts on its way from its offer to its connection.
const CONNECT_THREADS: u64 = 3;
/// Most HTTP connections, whatever the limit.
const MAX_CONNECTIONS: u64 = 1024;
/// Threads for blocking work at least and at most, whatever the limit.
const BLOCKING_THREADS: (u64, u64) = (8, 64);

/// What the process may use. `None` where there is no limit, or none is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// File descriptors.
    pub fds: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
}

impl Limits {
    /// Most HTTP connections: one may hold a file beside its socket, and all of them take a quarter of the file descriptors.
    pub fn connections(self) -> u64 {
        self.fds.map_or(MAX_CONNECTIONS, |fds| (fds / 8).clamp(1, MAX_CONNECTIONS))
    }

    /// Threads for blocking work (files, SDK).
    pub fn blocking_threads(self) -> u64 {
        let (least, most) = BLOCKING_THREADS;
        self.threads.map_or(most, |threads| (threads / 16).clamp(least, most))
    }
}

/// What is free now. `None` where there is no limit, or none is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Free {
    /// File descriptors.
    pub fds: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// HTTP connections that are open.
    pub connections: u64,
}

/// Sessions that have not opened all that they will.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Young {
    /// Admitted a moment ago: nothing of theirs may be open yet.
    pub new: u64,
    /// Offered, and not connected yet.
    pub unconnected: u64,
    /// Streams that are just starting, and those that would have to be started for the session in question.
    pub streams: u64,
}

/// What there is too little of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// File descriptors.
    Fds,
    /// Threads.
    Threads,
}

impl Shortage {
    /// For a person: what is short, and how to get more.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Fds => {
                "file descriptors; raise their limit (LimitNOFILE= of systemd, --ulimit nofile= of Docker, ulimit -n)"
            }
            Self::Threads => "threads; raise their limit (TasksMax= of systemd, --pids-limit of Docker, ulimit -u)",
        }
    }
}

/// The rules for one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// What the process may use.
    pub limits: Limits,
    /// File descriptors of a session: more where the machine has more addresses.
    pub session_fds: u64,
}

impl Room {
    /// Whether one more session fits, while these are on their way.
    ///
    /// # Errors
    /// What there is too little of.
    pub fn check(&self, free: Free, young: Young) -> Result<(), Shortage> {
        // Connections that are not open yet may come at any time, and all may hold a file.
        let connections = 2 * self.limits.connections().saturating_sub(free.connections) + free.connections;
        let fds = SPARE_FDS + connections + self.session_fds * (young.new + 1) + STREAM_FDS * young.streams;
        if free.fds.is_some_and(|free| free < fds) {
            return Err(Shortage::Fds);
        }
        let threads = SPARE_THREADS
            + self.limits.blocking_threads()
            + SESSION_THREADS * (young.new + 1)
            + CONNECT_THREADS * young.unconnected
            + STREAM_THREADS * young.streams;
        if free.threads.is_some_and(|free| free < threads) {
            return Err(Shortage::Threads);
        }
        Ok(())
    }

    /// How many sessions fit in what is free at the start, and what ends first; `None` when nothing is limited.
    pub fn sessions(&self, free: Free) -> Option<(u64, Shortage)> {
        let connections = 2 * self.limits.connections();
        // They watch one stream, at least.
        let spare = SPARE_FDS + connections + STREAM_FDS;
        let fds = free.fds.map(|free| (free.saturating_sub(spare) / self.session_fds, Shortage::Fds));
        let spare = SPARE_THREADS + self.limits.blocking_threads() + STREAM_THREADS;
        let threads = free.threads.map(|free| (free.saturating_sub(spare) / SESSION_THREADS, Shortage::Threads));
        fds.into_iter().chain(threads).min_by_key(|(sessions, _)| *sessions)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COST: u64 = 9;

    fn room(fds: u64, threads: u64) -> Room {
        Room { limits: Limits { fds: Some(fds), threads: Some(threads) }, session_fds: COST }
    }

    fn free(fds: u64, threads: u64, connections: u64) -> Free {
        Free { fds: Some(fds), threads: Some(threads), connections }
    }

    #[test]
    fn http_takes_a_quarter_at_most_and_blocking_work_a_sixteenth() {
        let of = |fds, threads| (room(fds, threads).limits.connections(), room(fds, threads).limits.blocking_threads());
        assert_eq!(of(256, 300), (32, 18));
        assert_eq!(of(1024, 100), (128, 8));
        assert_eq!(of(524_288, 4915), (1024, 64));
        assert_eq!((Limits::default().connections(), Limits::default().blocking_threads()), (1024, 64));
    }

    #[test]
    fn the_last_descriptors_and_threads_are_not_given_away() {
        let small = room(256, 300);
        // 64 spare, 64 for 32 connections with a file each, 9 for the session.
        let none = Young::default();
        assert_eq!(small.check(free(137, 300, 0), none), Ok(()));
        assert_eq!(small.check(free(136, 300, 0), none), Err(Shortage::Fds));
        assert_eq!(small.check(free(105, 300, 32), none), Ok(()), "open connections are not counted twice");
        assert_eq!(small.check(free(104, 300, 32), none), Err(Shortage::Fds));
        assert_eq!(small.check(free(256, 58, 0), none), Ok(()));
        assert_eq!(small.check(free(256, 57, 0), none), Err(Shortage::Threads));
        // Those on their way have yet to take theirs.
        let young = Young { new: 2, unconnected: 4, streams: 0 };
        assert_eq!(small.check(free(137 + 18, 58 + 16 + 12, 0), young), Ok(()));
        assert_eq!(small.check(free(137 + 17, 300, 0), young), Err(Shortage::Fds));
        assert_eq!(small.check(free(256, 58 + 16 + 11, 0), young), Err(Shortage::Threads));
        let starting = Young { streams: 3, ..young };
        assert_eq!(small.check(free(137 + 18 + 24, 58 + 16 + 12 + 24, 0), starting), Ok(()));
        assert_eq!(small.check(free(137 + 18 + 23, 300, 0), starting), Err(Shortage::Fds));
        assert_eq!(small.check(free(256, 58 + 16 + 12 + 23, 0), starting), Err(Shortage::Threads));
        let unlimited = Room { limits: Limits::default(), session_fds: COST };
        assert_eq!(unlimited.check(Free::default(), young), Ok(()));
    }

    #[test]
    fn what_fits_is_known_at_the_start() {
        assert_eq!(room(256, 4915).sessions(free(226, 4890, 0)), Some((10, Shortage::Fds)));
        assert_eq!(room(524_288, 300).sessions(free(524_000, 275, 0)), Some((27, Shortage::Threads)));
        assert_eq!(Room { limits: Limits::default(), session_fds: COST }.sessions(Free::default()), None);
    }

    proptest! {
        /// Whatever is admitted in whatever order, the spare ones stay free.
        #[test]
        fn admitting_never_uses_up_the_spare_ones(
            fds in 64u64..4096, threads in 64u64..4096, steps in prop::collection::vec(0u8..5, 1..400)
        ) {
            let room = room(fds, threads);
            let (mut open_fds, mut open_threads, mut connections) = (20, 20, 0);
            let (mut new, mut offered, mut starting) = (0, 0, 0);
            for step in steps {
                match step {
                    // An offer is asked for.
                    0 => {
                        let free = free(fds.saturating_sub(open_fds), threads.saturating_sub(open_threads), connections);
                        let young = Young { new, unconnected: offered, streams: starting + 1 };
                        let admitted = room.check(free, young).is_ok();
                        (new, starting) = (new + u64::from(admitted), starting + u64::from(admitted));
                    }
                    // Its stream starts.
                    4 if starting > 0 => {
                        starting -= 1;
                        (open_fds, open_threads) = (open_fds + STREAM_FDS, open_threads + STREAM_THREADS);
                    }
                    // One is made.
                    1 if new > 0 => {
                        (new, offered) = (new - 1, offered + 1);
                        (open_fds, open_threads) = (open_fds + COST, open_threads + SESSION_THREADS - CONNECT_THREADS);
                    }
                    // One connects.
                    2 if offered > 0 => {
                        offered -= 1;
                        open_threads += CONNECT_THREADS;
                    }
                    // A client connects and fetches a file.
                    3 if connections < room.limits.connections() => {
                        connections += 1;
                        open_fds += 2;
                    }
                    _ => {}
                }
                if open_fds > 20 + 2 * connections {
                    prop_assert!(open_fds + SPARE_FDS <= fds, "{open_fds} of {fds}");
                }
                if open_threads > 20 {
                    prop_assert!(open_threads + SPARE_THREADS <= threads, "{open_threads} of {threads}");
                }
            }
        }
    }
}
