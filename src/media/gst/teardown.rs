//! Takes pipelines down off the control thread: going to NULL joins threads and takes about 11 ms for a session, and a
//! broken one may hang. Owns its worker threads; a pipeline that hangs costs one of them, which is then replaced, and
//! never the control thread.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::sync::{Condvar, Mutex, MutexGuard, lock};
use gst::prelude::*;

/// Workers. Each takes down some 90 sessions a second.
const WORKERS: usize = 3;
/// Most workers, those included that hang.
const MAX_WORKERS: usize = 16;
/// A job that takes this long hangs: its worker is replaced.
const HANGS_AFTER: Duration = Duration::from_secs(5);
/// How often the workers are looked at while there is work.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// Jobs that may wait or hang before no new session is taken: each holds sockets, threads and memory.
const MAX_PENDING: usize = 200;
/// The worker threads' handle.
pub(super) struct Teardown {
    jobs: Option<mpsc::Sender<Job>>,
    queue: Arc<Mutex<mpsc::Receiver<Job>>>,
    work: Arc<Work>,
    /// Workers started so far.
    started: usize,
    checked_at: Instant,
}

#[derive(Default)]
struct Work {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Jobs that wait or run.
    pending: usize,
    workers: usize,
    /// What each busy worker does, by its number.
    running: BTreeMap<usize, Running>,
}

struct Running {
    what: String,
    since: Instant,
    hangs: bool,
    /// Another worker has taken this one's place.
    replaced: bool,
}

enum Job {
    Pipeline { pipeline: gst::Pipeline, before: Box<dyn FnOnce() + Send> },
    Thread(JoinHandle<()>),
}

impl Work {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Held for a few instructions each time, never over a job.
        lock(&self.state)
    }

    /// A worker's life: it ends with the queue, or when it comes back from a job that it had been given up for.
    fn run(&self, number: usize, queue: &Mutex<mpsc::Receiver<Job>>) {
        loop {
            // The lock only serialises the wait for the next job, never a job.
            let next = lock(queue).recv();
            let Ok(job) = next else { break };
            let running = Running { what: job.name(), since: Instant::now(), hangs: false, replaced: false };
            self.lock().running.insert(number, running);
            // A binding's assertion on some element must not cost the worker.
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job.run())).is_err() {
                tracing::error!("A pipeline's teardown panicked");
            }
            let done = {
                let mut state = self.lock();
                state.pending -= 1;
                state.running.remove(&number)
            };
            self.changed.notify_all();
            let Some(done) = done.filter(|done| done.hangs) else { continue };
            tracing::warn!(pipeline = %done.what, took = ?done.since.elapsed(), "A hanging pipeline went down after all");
            if done.replaced {
                break;
            }
        }
        self.lock().workers -= 1;
    }
}

impl Teardown {
    /// Starts the workers.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start() -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        let mut teardown =
            Self { jobs: Some(jobs), queue, work: Arc::default(), started: 0, checked_at: Instant::now() };
        (0..WORKERS).try_for_each(|_| teardown.start_worker())?;
        Ok(teardown)
    }

    fn start_worker(&mut self) -> std::io::Result<()> {
        let (number, queue, work) = (self.started, self.queue.clone(), self.work.clone());
        thread::Builder::new().name(format!("media-teardown{number}")).spawn(move || work.run(number, &queue))?;
        self.started += 1;
        self.work.lock().workers += 1;
        Ok(())
    }

    /// Takes a pipeline down.
    pub(super) fn pipeline(&self, pipeline: gst::Pipeline) {
        self.pipeline_after(pipeline, || ());
    }

    /// Takes a pipeline down after something that may take a moment.
    pub(super) fn pipeline_after(&self, pipeline: gst::Pipeline, before: impl FnOnce() + Send + 'static) {
        self.push(Job::Pipeline { pipeline, before: Box::new(before) });
    }

    /// Waits for threads that were told to end.
    pub(super) fn threads(&self, threads: impl IntoIterator<Item = JoinHandle<()>>) {
        threads.into_iter().for_each(|thread| self.push(Job::Thread(thread)));
    }

    fn push(&self, job: Job) {
        let Some(jobs) = &self.jobs else { return };
        self.work.lock().pending += 1;
        // The queue lives as long as this handle.
        let _ = jobs.send(job);
    }

    /// Whether so much waits or hangs that nothing new should be begun.
    pub(super) fn is_overloaded(&self) -> bool {
        self.work.lock().pending >= MAX_PENDING
    }

    /// Looks for workers that hang, says so, and replaces them.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.next_timeout().is_none_or(|at| at > now) {
            return;
        }
        self.checked_at = now;
        let mut hanging = Vec::new();
        let (pending, mut workers) = {
            let mut state = self.work.lock();
            for (number, running) in &mut state.running {
                if !running.hangs && now.saturating_duration_since(running.since) >= HANGS_AFTER {
                    running.hangs = true;
                    hanging.push((*number, running.what.clone()));
                }
            }
            (state.pending, state.workers)
        };
        for (number, what) in hanging {
            tracing::error!(pipeline = %what, pending, workers, "A pipeline hangs on its way down");
            if workers >= MAX_WORKERS {
                tracing::error!(pending, "No more teardown workers are started; restart the server");
                continue;
            }
            match self.start_worker() {
                Ok(()) => {
                    workers += 1;
                    // If it came back in this moment, there is one worker more than before, which does no harm.
                    if let Some(running) = self.work.lock().running.get_mut(&number).filter(|running| running.hangs) {
                        running.replaced = true;
                    }
                }
                Err(error) => tracing::error!(%error, "No thread to replace the worker that hangs"),
            }
        }
    }

    /// When `handle_timeout` is next due: never while there is nothing to wait for but what is known to hang.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let state = self.work.lock();
        let known = state.running.values().filter(|running| running.hangs).count();
        (state.pending > known).then(|| self.checked_at + CHECK_EVERY)
    }

    /// Waits until everything is down, at most this long; ends the workers.
    pub(super) fn finish(mut self, at_most: Duration) {
        self.jobs = None;
        let state = self.work.lock();
        let (state, _) = self
            .work
            .changed
            .wait_timeout_while(state, at_most, |state| state.pending > 0)
            .unwrap_or_else(PoisonError::into_inner);
        if state.pending > 0 {
            tracing::warn!(pipelines = state.pending, "Pipelines still going down; leaving them");
        }
    }
}

impl Job {
    fn name(&self) -> String {
        match self {
            Self::Pipeline { pipeline, .. } => pipeline.name().to_string(),
            Self::Thread(thread) => format!("thread {}", thread.thread().name().unwrap_or_default()),
        }
    }

    fn run(self) {
        match self {
            Self::Pipeline { pipeline, before } => {
                before();
                take_down(&pipeline);
            }
            // A panic in it has been reported by the panic hook.
            Self::Thread(thread) => drop(thread.join()),
        }
    }
}

fn take_down(pipeline: &gst::Pipeline) {
    if pipeline.set_state(gst::State::Null).is_err() {
        tracing::warn!(pipeline = %pipeline.name(), "Pipeline did not go to NULL");
    }
    // The handler holds a sender to the control thread, and a pipeline that lingers should not post any more.
    if let Some(bus) = pipeline.bus() {
        bus.unset_sync_handler();
        bus.set_flushing(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn until(what: &str, met: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !met() {
            assert!(Instant::now() < deadline, "{what}");
            thread::yield_now();
        }
    }

    #[test]
    fn hanging_jobs_are_replaced_up_to_a_bound_and_refuse_new_sessions() {
        gst::init().expect("GStreamer");
        let mut teardown = Teardown::start().expect("threads");
        let (release, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let hang = || {
            let held = held.clone();
            // Ends when `release` is dropped.
            thread::spawn(move || drop(held.lock().map(|held| held.recv())))
        };
        let running = |teardown: &Teardown| teardown.work.lock().running.len();
        let mut later = Instant::now();
        teardown.threads((0..WORKERS).map(|_| hang()));
        until("every worker hangs", || running(&teardown) == WORKERS);
        teardown.handle_timeout(later + CHECK_EVERY);
        assert_eq!(teardown.work.lock().workers, WORKERS, "a second is no hanging yet");
        // Another one is taken down all the same, once the workers are given up.
        teardown.pipeline(gst::Pipeline::new());
        later += HANGS_AFTER * 2;
        teardown.handle_timeout(later);
        until("the pipeline is down", || teardown.work.lock().pending == WORKERS);
        assert_eq!(teardown.next_timeout(), None, "nothing more to look for");
        assert!(!teardown.is_overloaded());
        teardown.threads((WORKERS..MAX_PENDING).map(|_| hang()));
        assert!(teardown.is_overloaded());
        for _ in 0..MAX_WORKERS {
            later += HANGS_AFTER * 2;
            teardown.handle_timeout(later);
            let workers = teardown.work.lock().workers;
            assert!(workers <= MAX_WORKERS);
            until("the new workers hang, too", || running(&teardown) == workers);
        }
        assert_eq!(teardown.work.lock().workers, MAX_WORKERS);
        drop(release);
        until("all of it ends", || teardown.work.lock().pending == 0);
        until("and the replacements with it", || (1..=WORKERS).contains(&teardown.work.lock().workers));
        teardown.pipeline(gst::Pipeline::new());
        until("what is left still works", || teardown.work.lock().pending == 0);
        teardown.finish(Duration::from_secs(1));
    }
}
