//! The threads that look at running pipelines, "media-inspect": started when somebody asks, gone when nobody does. Owns the
//! bounded queue of what is asked; never looks at anything itself. Whoever looks may meet a pipeline that hangs, so the
//! control thread never does it, a thread that hangs is not waited for, and what it hangs in is left alone by the others.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::snapshot::{Running, SnapshotRequest};
use crate::{
    error::{Error, Result},
    media::{diagnostics::Answer, gst::port::Port},
    model::{DeviceId, SessionId},
    sync::{Condvar, Mutex, MutexGuard, lock},
};

/// Most threads, those included that hang.
const MAX_THREADS: usize = 4;
/// Questions that may wait; more than a few pages ask at once.
const MAX_WAITING: usize = 16;
/// How long a thread stays for the next question: pages ask every second or two.
const STAY: Duration = Duration::from_secs(10);
/// Looking at a pipeline takes a few milliseconds. One that takes this long hangs.
const HANGS_AFTER: Duration = Duration::from_secs(1);
/// Longest wait for the control thread, which is busy for a few milliseconds at a time.
const CONTROL_WAIT: Duration = Duration::from_secs(3);

/// How a thread is started; the system may have none to give.
type Spawn = fn(Box<dyn FnOnce() + Send>) -> std::io::Result<()>;

/// The threads' handle; cheap to clone.
#[derive(Clone)]
pub(in crate::media::gst) struct Inspector {
    shared: Arc<Shared>,
}

struct Shared {
    control: Port<SnapshotRequest>,
    spawn: Spawn,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    threads: usize,
    idle: usize,
    closed: bool,
    /// Which pipelines are being looked at, by serial number, and since when.
    looking: Vec<(u64, Instant)>,
}

/// Looks and answers; or only answers, with why nobody looks.
type Job = Box<dyn FnOnce(Result<&Look>) + Send>;

/// What a job may use.
pub(in crate::media::gst) struct Look {
    shared: Arc<Shared>,
}

impl Inspector {
    pub(in crate::media::gst) fn new(control: Port<SnapshotRequest>) -> Self {
        Self::with_threads(control, |work| thread::Builder::new().name("media-inspect".into()).spawn(work).map(drop))
    }

    fn with_threads(control: Port<SnapshotRequest>, spawn: Spawn) -> Self {
        Self { shared: Arc::new(Shared { control, spawn, state: Mutex::default(), changed: Condvar::new() }) }
    }

    /// Has a thread do `look` and answer with it; refuses at once where there is no room.
    pub(in crate::media::gst) fn ask<T: Send + 'static>(
        &self,
        answer: Answer<T>,
        look: impl FnOnce(&Look) -> Result<T> + Send + 'static,
    ) {
        let mut state = self.shared.lock();
        if state.closed {
            drop(state);
            return drop(answer.send(Err(Error::stopping())));
        }
        if state.waiting.len() >= MAX_WAITING {
            drop(state);
            let refused = "Too many requests look at the pipelines, or pipelines hang; the server's log may name them.";
            return drop(answer.send(Err(Error::busy(refused))));
        }
        state.waiting.push_back(Box::new(move |with: Result<&Look>| {
            // Who has given up needs no answer.
            if answer.is_closed() {
                return;
            }
            // An assertion of a binding's on some element must not cost the thread.
            let result = catch_unwind(AssertUnwindSafe(|| look(with?)));
            let _ = answer.send(result.unwrap_or_else(|_| Err(Error::internal("looking at a pipeline panicked"))));
        }));
        if state.idle >= state.waiting.len() || state.threads >= MAX_THREADS {
            drop(state);
            self.shared.changed.notify_one();
            return;
        }
        state.threads += 1;
        drop(state);
        let shared = self.shared.clone();
        if let Err(error) = (self.shared.spawn)(Box::new(move || shared.run())) {
            tracing::error!(%error, "No thread to look at pipelines");
            let mut state = self.shared.lock();
            state.threads -= 1;
            // Those threads that there are take up what waits.
            let left = if state.threads == 0 { std::mem::take(&mut state.waiting) } else { VecDeque::new() };
            drop(state);
            refuse(left, &Error::no_thread("the running pipelines are not looked at"));
        }
    }

    /// Ends the threads once they are done with what they do; one that hangs ends with the process.
    pub(in crate::media::gst) fn stop(&self) {
        let mut state = self.shared.lock();
        state.closed = true;
        let left = std::mem::take(&mut state.waiting);
        drop(state);
        self.shared.changed.notify_all();
        refuse(left, &Error::stopping());
    }
}

/// Answers what nobody looks at any more. Never under the lock: an answer may wake the task that waits for it.
fn refuse(jobs: VecDeque<Job>, why: &Error) {
    jobs.into_iter().for_each(|job| job(Err(why.clone())));
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Held for a few instructions each time, never over a job.
        lock(&self.state)
    }

    fn run(self: Arc<Self>) {
        let look = Look { shared: self.clone() };
        let mut state = self.lock();
        loop {
            if let Some(job) = state.waiting.pop_front() {
                drop(state);
                job(Ok(&look));
                state = self.lock();
                continue;
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let (woken, waited) = self.changed.wait_timeout(state, STAY).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if waited.timed_out() && state.waiting.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }
}

impl Look {
    /// What runs of a device.
    ///
    /// # Errors
    /// Unavailable while the server shuts down or its control thread is held up.
    pub(in crate::media::gst) fn running(&self, device: &DeviceId, session: Option<&SessionId>) -> Result<Running> {
        ask_control(&self.shared.control, device, session)
            .ok_or_else(|| Error::unavailable("The media side does not answer; try again in a moment."))
    }

    /// Looks at one pipeline; `None`, without looking, while somebody else hangs in it.
    pub(in crate::media::gst) fn at<T>(&self, serial: u64, look: impl FnOnce() -> T) -> Option<T> {
        let begun = Instant::now();
        {
            let mut state = self.shared.lock();
            let inside: Vec<_> = state.looking.iter().filter(|(other, _)| *other == serial).collect();
            // Two at most, so that one that hangs never holds all threads.
            if inside.len() >= 2 || inside.iter().any(|(_, since)| begun - *since >= HANGS_AFTER) {
                return None;
            }
            state.looking.push((serial, begun));
        }
        let _leave = Leave { shared: &self.shared, at: (serial, begun) };
        Some(look())
    }
}

/// Takes an entry back, after a panic, too.
struct Leave<'a> {
    shared: &'a Shared,
    at: (u64, Instant),
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if let Some(found) = state.looking.iter().position(|entry| *entry == self.at) {
            state.looking.swap_remove(found);
        }
    }
}

/// Asks the control thread what runs; `None` when it does not answer.
pub(super) fn ask_control(
    control: &Port<SnapshotRequest>,
    device: &DeviceId,
    session: Option<&SessionId>,
) -> Option<Running> {
    let (reply, answer) = mpsc::sync_channel(1);
    control.send(SnapshotRequest { device: device.clone(), session: session.cloned(), reply }).ok()?;
    answer.recv_timeout(CONTROL_WAIT).ok()
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::error::Kind;

    /// A control thread that does not answer.
    fn nobody() -> Port<SnapshotRequest> {
        Port::new(|_| Ok(()))
    }

    fn ask<T: Send + 'static>(
        inspector: &Inspector,
        look: impl FnOnce(&Look) -> Result<T> + Send + 'static,
    ) -> oneshot::Receiver<Result<T>> {
        let (answer, answered) = oneshot::channel();
        inspector.ask(answer, look);
        answered
    }

    #[test]
    fn who_hangs_holds_up_nobody_else() {
        let inspector = Inspector::new(nobody());
        let (release, held) = mpsc::channel::<()>();
        let (inside, is_inside) = mpsc::channel();
        let stuck = ask(&inspector, move |look| {
            look.at(7, || {
                inside.send(()).expect("the test waits");
                // Ends when `release` is dropped.
                let _ = held.recv();
            });
            Ok(())
        });
        is_inside.recv().expect("it hangs");
        let other = ask(&inspector, |look| Ok(look.at(8, || 1)));
        assert_eq!(other.blocking_recv().expect("an answer").expect("well"), Some(1));
        // At first it may only be slow; then it is left alone.
        let deadline = Instant::now() + HANGS_AFTER * 10;
        while ask(&inspector, |look| Ok(look.at(7, || ()))).blocking_recv().expect("an answer").expect("well").is_some()
        {
            assert!(Instant::now() < deadline, "a hanging pipeline is left alone");
        }
        drop(release);
        stuck.blocking_recv().expect("an answer").expect("well");
        assert!(ask(&inspector, |look| Ok(look.at(7, || ()))).blocking_recv().expect("an answer").is_ok());
        let panics = ask::<()>(&inspector, |_| panic!("an assertion"));
        let error = panics.blocking_recv().expect("an answer").expect_err("it panicked");
        assert_eq!(error.kind(), Kind::Internal);
        inspector.stop();
        let error = ask(&inspector, |_| Ok(())).blocking_recv().expect("an answer").expect_err("it has ended");
        assert!(error.public().contains("shutting down"), "{error}");
        let deadline = Instant::now() + Duration::from_secs(10);
        while inspector.shared.lock().threads > 0 {
            assert!(Instant::now() < deadline, "the threads end");
            thread::yield_now();
        }
    }

    #[test]
    fn when_all_hang_the_queue_is_bounded_and_refuses_at_once() {
        let inspector = Inspector::new(nobody());
        let (release, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let hang = || {
            let held = held.clone();
            ask(&inspector, move |_| {
                drop(held.lock().map(|held| held.recv()));
                Ok(())
            })
        };
        let mut asked: Vec<_> = (0..MAX_THREADS + MAX_WAITING + 8).map(|_| hang()).collect();
        assert!(inspector.shared.lock().threads <= MAX_THREADS);
        let refused = asked.pop().expect("one").blocking_recv().expect("an answer").expect_err("refused");
        assert!(refused.public().contains("hang"), "{refused}");
        // What still waits at the end hears of the end.
        inspector.stop();
        drop(release);
        let answers = asked.into_iter().map(|answer| answer.blocking_recv().expect("everybody is answered"));
        let ended = answers.filter(|answer| answer.as_ref().is_err_and(|why| why.public().contains("shutting down")));
        assert!(ended.count() >= MAX_WAITING - MAX_THREADS);
    }

    #[test]
    fn without_a_thread_the_cause_is_told() {
        let inspector = Inspector::with_threads(nobody(), |_| Err(std::io::Error::other("none left")));
        let refused = ask(&inspector, |_| Ok(())).blocking_recv().expect("an answer").expect_err("nobody looks");
        assert!(refused.public().contains("thread"), "{refused}");
        assert!(!refused.public().contains("shutting down"), "{refused}");
    }
}
