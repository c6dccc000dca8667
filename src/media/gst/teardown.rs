//! Takes pipelines down off the control thread: going to NULL joins threads and takes about 11 ms for a session, and a
//! broken one may hang. Owns its worker threads; a hanging pipeline costs one of them, never the control thread.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use gst::prelude::*;

use super::gate::Gate;

/// Workers. Each takes down some 90 sessions a second.
const WORKERS: usize = 3;
/// How long a session's last packets may take to leave before its pipeline is stopped anyway.
const RUN_DRY: Duration = Duration::from_millis(100);

/// How long the good-bye may take from the DTLS element to the socket.
const GOOD_BYE: Duration = Duration::from_millis(10);

/// The worker threads' handle.
pub(super) struct Teardown {
    jobs: Option<mpsc::Sender<Job>>,
    pending: Arc<Pending>,
}

#[derive(Default)]
struct Pending {
    count: Mutex<usize>,
    changed: Condvar,
}

struct Job {
    pipeline: gst::Pipeline,
    gates: Vec<Arc<Gate>>,
    dtlsenc: Option<gst::Element>,
}

impl Teardown {
    /// Starts the workers.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start() -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        let pending = Arc::new(Pending::default());
        for number in 0..WORKERS {
            let (queue, pending) = (queue.clone(), pending.clone());
            thread::Builder::new().name(format!("media-teardown{number}")).spawn(move || {
                loop {
                    // The lock only serialises the wait for the next job, never a job.
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(job) = next else { break };
                    // A binding's assertion on some element must not cost the worker.
                    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job.run())).is_err() {
                        tracing::error!("A pipeline's teardown panicked");
                    }
                    *pending.count.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
                    pending.changed.notify_all();
                }
            })?;
        }
        Ok(Self { jobs: Some(jobs), pending })
    }

    /// Takes an encoder's pipeline down.
    pub(super) fn pipeline(&self, pipeline: gst::Pipeline) {
        self.push(Job { pipeline, gates: Vec::new(), dtlsenc: None });
    }

    /// Takes a session's pipeline down once its closed gates have run dry, after a good-bye through `dtlsenc`.
    pub(super) fn session(&self, pipeline: gst::Pipeline, gates: Vec<Arc<Gate>>, dtlsenc: Option<gst::Element>) {
        self.push(Job { pipeline, gates, dtlsenc });
    }

    fn push(&self, job: Job) {
        let Some(jobs) = &self.jobs else { return };
        *self.pending.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        // The workers live as long as this sender.
        let _ = jobs.send(job);
    }

    /// Waits until everything is down, at most this long; ends the workers.
    pub(super) fn finish(mut self, at_most: Duration) {
        self.jobs = None;
        let count = self.pending.count.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, _) = self
            .pending
            .changed
            .wait_timeout_while(count, at_most, |count| *count > 0)
            .unwrap_or_else(PoisonError::into_inner);
        if *count > 0 {
            tracing::warn!(pipelines = *count, "Pipelines still going down; leaving them");
        }
    }
}

impl Job {
    fn run(self) {
        // What is queued leaves first: stopping in the middle of a push into webrtcbin has to wait for its locks.
        let deadline = Instant::now() + RUN_DRY;
        while self.gates.iter().any(|gate| gate.queued() > 0) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
        if let Some(dtlsenc) = &self.dtlsenc {
            say_good_bye(dtlsenc);
        }
        if self.pipeline.set_state(gst::State::Null).is_err() {
            tracing::warn!(pipeline = %self.pipeline.name(), "Pipeline did not go to NULL");
        }
        // The handler holds a sender to the control thread, and a pipeline that lingers should not post any more.
        if let Some(bus) = self.pipeline.bus() {
            bus.unset_sync_handler();
            bus.set_flushing(true);
        }
    }
}

/// Sends the peer a DTLS close_notify, so that it knows at once. webrtcbin has no way to say it, and an end of stream on
/// its own pads never reaches the DTLS element; one on that element's data pad does.
fn say_good_bye(dtlsenc: &gst::Element) {
    // webrtcbin requests the pad for data channels whether or not there are any. Asking for it again would hand out a
    // freed pad.
    let Some(pad) = dtlsenc.static_pad("sink") else { return };
    pad.send_event(gst::event::StreamStart::new("good-bye"));
    pad.send_event(gst::event::Eos::new());
    thread::sleep(GOOD_BYE);
}
