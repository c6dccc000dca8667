//! Work that holds a thread: drawing, searching, packing, the disk. Owns how much of each kind runs at a time and how long who
//! wants more waits; knows nothing of what is done. The async workers serve everybody and never do it themselves.

use std::time::Duration;

use tokio::sync::Semaphore;

use crate::error::{Error, Result};

/// What costs a processor its time. Two at a time: half of a small machine, which has encoders to run as well.
pub(crate) static CPU: Work = Work::new(
    2,
    Duration::from_secs(3),
    "Too many graphs, logs or bundles are being made at once; try again in a moment.",
);

/// Point clouds for clients that are connected: who does not get one in time gets the next.
pub(crate) static CLOUDS: Work =
    Work::new(2, Duration::from_millis(50), "Too many point clouds are being made at once; try again in a moment.");

/// Writing the metrics: apart from the rest, because they are wanted most when much is going on.
pub(crate) static METRICS: Work =
    Work::new(2, Duration::from_secs(3), "Too many read the metrics at once; try again in a moment.");

/// What waits for the disk under the recordings. A disk that hangs holds these threads and no others.
pub(crate) static DISK: Work = Work::new(
    4,
    Duration::from_secs(5),
    "The disk with the recordings does not answer in time; it may be slow, or its network may be down.",
);

/// What waits for the disk under the pipeline files.
pub(crate) static FOLDER: Work = Work::new(
    2,
    Duration::from_secs(5),
    "The folder of pipeline files does not answer in time; its disk may be slow, or its network may be down.",
);

/// What waits for librealsense outside of a device's thread.
pub(crate) static SDK: Work =
    Work::new(4, Duration::from_secs(5), "librealsense is busy with other recordings; try again in a moment.");

/// One kind of work.
pub(crate) struct Work {
    places: Semaphore,
    patience: Duration,
    refusal: &'static str,
}

impl Work {
    /// Work of which `at_once` run at a time; who wants more waits for `patience` and is then refused in these words. How
    /// many wait is bounded by the connections.
    const fn new(at_once: usize, patience: Duration, refusal: &'static str) -> Self {
        Self { places: Semaphore::const_new(at_once), patience, refusal }
    }

    /// Does `work` on a thread that may wait. A requester that gives up frees no place: the thread does, once it is through.
    ///
    /// # Errors
    /// Unavailable when no place became free in time, Internal when the work panicked.
    pub(crate) async fn run<T: Send + 'static>(&'static self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let place = tokio::time::timeout(self.patience, self.places.acquire()).await;
        let place = place.map_err(|_| Error::busy(self.refusal))?;
        let place = place.map_err(|_| Error::internal("the places for work are closed"))?;
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            work()
        });
        done.await.map_err(|error| Error::internal(format!("work beside the requests: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::error::Kind;

    fn one_at_a_time(patience: Duration) -> &'static Work {
        Box::leak(Box::new(Work::new(1, patience, "Too much work.")))
    }

    #[tokio::test]
    async fn the_only_async_worker_goes_on_meanwhile() {
        let work = one_at_a_time(Duration::from_secs(60));
        let (release, held) = mpsc::channel();
        // On the worker itself this would wait for what comes after it.
        let held = work.run(move || held.recv());
        let (done, ()) = tokio::join!(held, async move { release.send(5).expect("it waits") });
        assert_eq!(done.expect("it was done"), Ok(5));
    }

    #[tokio::test]
    async fn more_than_there_are_places_is_refused_with_words() {
        let work = one_at_a_time(Duration::from_millis(10));
        let (begin, begun) = tokio::sync::oneshot::channel();
        let (release, held) = mpsc::channel::<()>();
        let holds = tokio::spawn(work.run(move || {
            begin.send(()).expect("the test waits");
            // Ends when `release` is dropped.
            let _ = held.recv();
        }));
        begun.await.expect("it begins");
        // Whoever gives up leaves the thread to its work, and the place with it.
        holds.abort();
        let refused = work.run(|| ()).await.expect_err("no place");
        assert!(matches!(refused.kind(), Kind::Unavailable { .. }) && refused.public() == "Too much work.");
        drop(release);
        let patient = one_at_a_time(Duration::from_secs(60));
        patient.run(|| ()).await.expect("a place");
        patient.run(|| ()).await.expect("it was given back");
    }

    #[tokio::test]
    async fn work_that_panics_is_a_bug_and_gives_its_place_back() {
        let work = one_at_a_time(Duration::from_secs(60));
        let error = work.run::<()>(|| panic!("an assertion")).await.expect_err("it panicked");
        assert_eq!(error.kind(), Kind::Internal);
        work.run(|| ()).await.expect("a place");
    }
}
