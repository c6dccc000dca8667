//! The thresholds as they are now, and their change at run time: at once, and back by itself after a while. Owns the task
//! that changes them back.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use tokio::{task::AbortHandle, time::Instant};
use tracing_subscriber::EnvFilter;
use utoipa::ToSchema;

use super::{gst, levels};
use crate::{
    core::text::log_thresholds::GstThresholds,
    error::{Error, Result},
    sync::{Mutex, MutexGuard, lock},
};

/// Longest time after which thresholds go back by themselves: a day.
pub(super) const LONGEST: Duration = Duration::from_secs(86_400);

/// The thresholds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Levels {
    /// What the server logs itself: a `tracing` filter.
    #[schema(example = "info,realsense_webrtc::media=debug")]
    pub filter: String,
    /// What GStreamer logs, as in `GST_DEBUG`.
    #[schema(example = "*:2,x264enc:5")]
    pub gst: String,
    /// The filter at the start.
    #[schema(example = "info")]
    pub default_filter: String,
    /// GStreamer's thresholds at the start: `log.gst`, then `GST_DEBUG`.
    #[schema(example = "*:1")]
    pub default_gst: String,
    /// Seconds after which both return to their values at the start. Null if they stay.
    pub reverts_in_s: Option<u64>,
}

/// A change of thresholds.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// The new filter; `None` leaves it.
    pub filter: Option<String>,
    /// GStreamer's new thresholds; `None` leaves them.
    pub gst: Option<String>,
    /// After how long everything goes back to what it was at the start.
    pub revert_after: Option<Duration>,
}

/// Puts a filter into effect.
type Apply = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// How changes take effect.
pub(super) struct Control {
    /// `None`: they only are remembered.
    apply: Option<Apply>,
}

impl Control {
    pub(super) fn new(apply: impl Fn(EnvFilter) -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self { apply: Some(Box::new(apply)) }
    }
}

struct Revert {
    at: Instant,
    task: AbortHandle,
}

struct Now {
    filter: String,
    gst: String,
    revert: Option<Revert>,
    /// Counts changes, so that a task that goes off too late changes nothing.
    generation: u64,
}

/// The thresholds and what changes them.
pub(super) struct Thresholds {
    default_filter: String,
    default_gst: String,
    control: Control,
    /// Held while a change takes effect, so that two changes at once do not mix. Only changes take it; what logs does not.
    now: Mutex<Now>,
}

impl Thresholds {
    pub(super) fn new(filter: String, gst: String, control: Control) -> Self {
        let now = Now { filter: filter.clone(), gst: gst.clone(), revert: None, generation: 0 };
        Self { default_filter: filter, default_gst: gst, control, now: Mutex::new(now) }
    }

    /// Thresholds that are remembered and have no effect.
    pub(super) fn detached(filter: String, gst: String) -> Self {
        Self::new(filter, gst, Control { apply: None })
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        lock(&self.now)
    }

    pub(super) fn levels(&self) -> Levels {
        self.describe(&self.now())
    }

    fn describe(&self, now: &Now) -> Levels {
        let left = |revert: &Revert| revert.at.saturating_duration_since(Instant::now()).as_secs_f64().ceil() as u64;
        Levels {
            filter: now.filter.clone(),
            gst: now.gst.clone(),
            default_filter: self.default_filter.clone(),
            default_gst: self.default_gst.clone(),
            reverts_in_s: now.revert.as_ref().map(left),
        }
    }

    pub(super) fn set(self: Arc<Self>, change: Change) -> Result<Levels> {
        if change.filter.is_none() && change.gst.is_none() {
            return Err(Error::invalid("Nothing to change: give 'filter', 'gst' or both."));
        }
        if change.revert_after.is_some_and(|after| after.is_zero() || after > LONGEST) {
            return Err(Error::invalid(format!("for_s must be from 1 to {} (a day).", LONGEST.as_secs())));
        }
        let mut now = self.now();
        let filter = change.filter.unwrap_or_else(|| now.filter.clone());
        let gst = change.gst.unwrap_or_else(|| now.gst.clone());
        self.apply(&mut now, filter, gst)?;
        if let Some(after) = change.revert_after {
            let (weak, generation) = (Arc::downgrade(&self), now.generation);
            let at = Instant::now() + after;
            let task = tokio::spawn(async move {
                tokio::time::sleep_until(at).await;
                if let Some(thresholds) = weak.upgrade() {
                    thresholds.revert(generation);
                }
            });
            now.revert = Some(Revert { at, task: task.abort_handle() });
        }
        Ok(self.describe(&now))
    }

    /// Checks both and puts them into effect; what was to go back does not any more.
    fn apply(&self, now: &mut Now, filter: String, gst: String) -> Result<()> {
        let thresholds = GstThresholds::parse(&gst).map_err(|words| Error::invalid(format!("In 'gst', {words}")))?;
        let built =
            levels::filter(&filter, &thresholds).map_err(|words| Error::invalid(format!("In 'filter', {words}")))?;
        if let Some(apply) = &self.control.apply {
            apply(built).map_err(|error| Error::internal(format!("the log filter cannot be changed: {error}")))?;
            gst::change_thresholds(&GstThresholds::parse_lossy(&now.gst), &thresholds);
        }
        (now.filter, now.gst) = (filter, thresholds.to_string());
        now.generation += 1;
        if let Some(revert) = now.revert.take() {
            revert.task.abort();
        }
        tracing::info!(filter = now.filter, gst = now.gst, "log thresholds");
        Ok(())
    }

    fn revert(&self, generation: u64) {
        let mut now = self.now();
        if now.generation != generation {
            return;
        }
        // This is the task that would be aborted.
        now.revert = None;
        let (filter, gst) = (self.default_filter.clone(), self.default_gst.clone());
        if let Err(error) = self.apply(&mut now, filter, gst) {
            tracing::warn!(error = error.for_log(), "the log thresholds stay as they are");
        }
    }
}

impl Drop for Thresholds {
    fn drop(&mut self) {
        if let Some(revert) = self.now().revert.take() {
            revert.task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detached() -> Arc<Thresholds> {
        Arc::new(Thresholds::detached("info".into(), "*:1".into()))
    }

    fn change(filter: &str, gst: &str, seconds: Option<u64>) -> Change {
        let revert_after = seconds.map(Duration::from_secs);
        Change { filter: Some(filter.into()), gst: Some(gst.into()), revert_after }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_goes_back_by_itself() {
        let thresholds = detached();
        let levels = thresholds.clone().set(change("debug", "*:2,x264enc:5", Some(600))).unwrap();
        assert_eq!((levels.filter.as_str(), levels.gst.as_str()), ("debug", "*:2,x264enc:5"));
        assert_eq!(levels.reverts_in_s, Some(600));
        tokio::time::sleep(Duration::from_secs(599)).await;
        assert_eq!((thresholds.levels().filter.as_str(), thresholds.levels().reverts_in_s), ("debug", Some(1)));
        tokio::time::sleep(Duration::from_secs(2)).await;
        let levels = thresholds.levels();
        assert_eq!((levels.filter.as_str(), levels.gst.as_str(), levels.reverts_in_s), ("info", "*:1", None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_change_replaces_an_earlier_one_and_its_end() {
        let thresholds = detached();
        thresholds.clone().set(change("debug", "*:5", Some(10))).unwrap();
        let levels = thresholds.clone().set(change("warn", "*:2", None)).unwrap();
        assert_eq!(levels.reverts_in_s, None);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(thresholds.levels().filter, "warn");
        let only_gst =
            Change { gst: Some("*:3".into()), revert_after: Some(Duration::from_secs(5)), ..Change::default() };
        let levels = thresholds.clone().set(only_gst).unwrap();
        assert_eq!((levels.filter.as_str(), levels.gst.as_str()), ("warn", "*:3"));
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(thresholds.levels().filter, "info");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_changes_nothing() {
        let thresholds = detached();
        thresholds.clone().set(change("debug", "*:5", Some(100))).unwrap();
        let before = thresholds.levels();
        for bad in [
            change("inof", "*:2", None),
            change("info", "x264enc", None),
            change("info", "*:2", Some(0)),
            change("info", "*:2", Some(86_401)),
            Change::default(),
        ] {
            let error = thresholds.clone().set(bad.clone()).unwrap_err();
            assert_eq!(error.kind(), crate::error::Kind::Invalid, "{bad:?}");
            assert_eq!(thresholds.levels(), before, "{bad:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_left_when_the_server_is_gone() {
        let thresholds = detached();
        thresholds.clone().set(change("debug", "*:5", Some(100))).unwrap();
        let task = thresholds.now().revert.as_ref().map(|revert| revert.task.clone()).unwrap();
        drop(thresholds);
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(task.is_finished());
    }

    #[test]
    fn a_change_takes_effect_on_the_subscriber() {
        use tracing_subscriber::{layer::SubscriberExt, reload};
        let logs = crate::logging::Logs::default();
        let (filter, handle) = reload::Layer::new(EnvFilter::new("info"));
        // Only the filter: GStreamer's thresholds are the whole process's, and other tests' too.
        let filters = move |text: &str| handle.reload(parse(text)).expect("the subscriber is there");
        fn parse(text: &str) -> EnvFilter {
            levels::filter(text, &GstThresholds::default()).expect("a filter")
        }
        let subscriber = tracing_subscriber::registry().with(filter).with(logs.layer());
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!("before");
            filters("debug");
            tracing::debug!("while");
            filters("info");
            tracing::debug!("after");
        });
        let lines = logs.select(&super::super::ring::Query { lines: 10, ..Default::default() });
        let texts: Vec<_> = lines.iter().map(|line| line.text.to_string()).collect();
        assert_eq!(texts, ["while"]);
    }
}
