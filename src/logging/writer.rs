//! Writes the log to standard error from a thread of its own, so that nobody who logs waits for a terminal, a pipe or a disk:
//! a full pipe that nobody reads would otherwise stop the video. Lines wait in a bounded queue; what does not fit is
//! dropped, counted, and the log says so.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, channel, sync_channel},
    },
    time::{Duration, Instant, SystemTime},
};

use tracing_subscriber::fmt::MakeWriter;

use super::time;

/// Lines that may wait.
const WAITING_LINES: usize = 8192;
/// Bytes that may wait.
const WAITING_BYTES: usize = 4 * 1024 * 1024;
/// How long the end of the program waits for lines to be written.
const LAST_LINES: Duration = Duration::from_millis(500);

enum Message {
    Line(Box<[u8]>),
    End,
}

#[derive(Default)]
struct Counts {
    waiting: AtomicUsize,
    lost: AtomicU64,
}

/// The door to the writing thread; cheap to clone.
#[derive(Clone)]
pub(super) struct Stderr {
    queue: SyncSender<Message>,
    counts: Arc<Counts>,
}

/// Owns the writing thread.
#[derive(Debug)]
pub(super) struct Guard {
    queue: SyncSender<Message>,
    ended: Receiver<()>,
}

impl Stderr {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives none.
    pub(super) fn start() -> io::Result<(Self, Guard)> {
        Self::over(io::stderr())
    }

    fn over(out: impl Write + Send + 'static) -> io::Result<(Self, Guard)> {
        let (queue, lines) = sync_channel(WAITING_LINES);
        let (at_end, ended) = channel();
        let counts = Arc::new(Counts::default());
        let counting = counts.clone();
        std::thread::Builder::new().name("log-writer".into()).spawn(move || {
            write_all(out, &lines, &counting);
            // Nobody may wait for it any more.
            let _ = at_end.send(());
        })?;
        Ok((Self { queue: queue.clone(), counts }, Guard { queue, ended }))
    }

    /// Lines dropped since the start.
    pub(super) fn lost(&self) -> u64 {
        self.counts.lost.load(Relaxed)
    }
}

fn write_all(mut out: impl Write, lines: &Receiver<Message>, counts: &Counts) {
    let mut reported = 0;
    while let Ok(Message::Line(line)) = lines.recv() {
        counts.waiting.fetch_sub(line.len(), Relaxed);
        // A standard error that is closed is nothing to die of.
        let _ = out.write_all(&line);
        let lost = counts.lost.load(Relaxed);
        if lost > reported {
            let now = time::rfc3339(SystemTime::now());
            let count = lost - reported;
            reported = lost;
            let _ = writeln!(out, "{now}  WARN {count} log lines were dropped: standard error is read too slowly");
        }
    }
    let _ = out.flush();
}

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let waiting = self.counts.waiting.fetch_add(line.len(), Relaxed);
        if waiting > WAITING_BYTES || self.queue.try_send(Message::Line(line.into())).is_err() {
            self.counts.waiting.fetch_sub(line.len(), Relaxed);
            self.counts.lost.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let begun = Instant::now();
        let left = || LAST_LINES.saturating_sub(begun.elapsed());
        // A full queue may be one that nobody reads.
        while self.queue.try_send(Message::End).is_err() && !left().is_zero() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = self.ended.recv_timeout(left());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Mutex;

    /// Takes a line each time it is allowed to.
    struct Slow(Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stops_costs_lines_and_no_time_and_the_log_says_so() {
        let (allow, allowed) = channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let (mut stderr, guard) = Stderr::over(Slow(allowed, written.clone())).unwrap();
        let line = [b'x'; 100];
        // Returns although nothing is ever read.
        for _ in 0..3 * WAITING_LINES {
            stderr.write_all(&line).unwrap();
        }
        let lost = stderr.lost();
        assert!(lost >= WAITING_LINES as u64, "{lost}");
        // From here on everything is read.
        drop(allow);
        drop(guard);
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        assert!(text.contains(&format!("WARN {lost} log lines were dropped")), "{}", text.len());
    }

    #[test]
    fn large_lines_are_bounded_by_their_bytes() {
        let (_allow, allowed) = channel();
        let (mut stderr, guard) = Stderr::over(Slow(allowed, Arc::default())).unwrap();
        let line = vec![b'x'; WAITING_BYTES / 4];
        for _ in 0..10 {
            stderr.write_all(&line).unwrap();
        }
        assert!(stderr.lost() >= 3, "{}", stderr.lost());
        let begun = Instant::now();
        drop(guard);
        assert!(begun.elapsed() < 4 * LAST_LINES, "the end waits for a reader that hangs");
    }
}
