//! Logs: where they go, what is kept of them, and how their thresholds change at run time. Owns the subscriber, the lines
//! kept in memory (`ring`), the thread that writes to standard error (`writer`) and the bridge from GStreamer (`gst`). Never
//! makes anyone who logs wait: what cannot be taken at once is dropped and counted.

pub mod gst;
mod layer;
pub mod levels;
pub mod ring;
mod secrets;
mod thresholds;
pub mod time;
mod writer;

use std::{fmt, io::IsTerminal, sync::Arc};

use tracing_subscriber::{
    EnvFilter, Layer, Registry, layer::SubscriberExt, registry::LookupSpan, reload, util::SubscriberInitExt,
};

use self::{
    layer::KeepLayer,
    ring::{Line, Query, Rings},
    thresholds::{Control, Thresholds},
    writer::Stderr,
};
pub use self::{
    secrets::Secrets,
    thresholds::{Change, Levels},
};
use super::{
    config::{Config, Log},
    core::text::log_thresholds::GstThresholds,
    error::Result,
};

/// Environment variable with GStreamer's thresholds, as GStreamer's users know it. Goes after `log.gst`, so it wins.
const GST_DEBUG: &str = "GST_DEBUG";

/// The server's logs; cheap to clone. The default keeps what its [`Logs::layer`] is given and changes nothing outside: for
/// tests.
#[derive(Clone)]
pub struct Logs(Arc<Inner>);

struct Inner {
    rings: Arc<Rings>,
    thresholds: Arc<Thresholds>,
    stderr: Option<Stderr>,
}

/// Lines that nobody will read, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lost {
    /// Lines that standard error did not take in time.
    pub stderr: u64,
    /// GStreamer's messages above the rate that is let through.
    pub gstreamer: u64,
}

/// Keeps the log's writer at work; dropped, it writes what waits, for a short time at most, and ends its thread.
#[derive(Debug)]
#[must_use = "the log ends when this is dropped"]
pub struct Guard {
    _writer: writer::Guard,
}

impl Default for Logs {
    fn default() -> Self {
        let log = Log::default();
        Self::new(&log, Thresholds::detached(log.filter.clone(), log.gst.clone()), None)
    }
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Logs")
    }
}

impl Logs {
    fn new(log: &Log, thresholds: Thresholds, stderr: Option<Stderr>) -> Self {
        Self(Arc::new(Inner { rings: Arc::new(Rings::new(log.keep_lines)), thresholds: Arc::new(thresholds), stderr }))
    }

    /// The layer that keeps lines.
    pub fn layer<S: tracing::Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        KeepLayer { rings: self.0.rings.clone() }
    }

    /// The newest kept lines that fit, oldest first.
    pub fn select(&self, query: &Query) -> Vec<Arc<Line>> {
        self.0.rings.select(query)
    }

    /// The sessions, by short id, and the streams, as `DEVICE/STREAM`, of which lines are kept.
    pub fn kept(&self) -> (Vec<String>, Vec<String>) {
        self.0.rings.kept()
    }

    /// The thresholds now.
    pub fn levels(&self) -> Levels {
        self.0.thresholds.levels()
    }

    /// Changes thresholds, for a while or until they are changed again. To be called from within the async runtime.
    ///
    /// # Errors
    /// Invalid, naming the word that is wrong; nothing changed then.
    pub fn set_levels(&self, change: Change) -> Result<Levels> {
        self.0.thresholds.clone().set(change)
    }

    /// How much was lost since the start.
    pub fn lost(&self) -> Lost {
        Lost { stderr: self.0.stderr.as_ref().map_or(0, Stderr::lost), gstreamer: gst::lost() }
    }
}

/// Starts logging for the whole program: to standard error, to memory, and GStreamer's messages among them.
///
/// # Errors
/// A sentence for a person: a filter or a threshold that is none, or logging runs already.
pub fn start(config: &Config) -> std::result::Result<(Logs, Guard), String> {
    let log = &config.log;
    levels::parse_filter(&log.filter).map_err(|words| format!("In the configuration, log.filter: {words}"))?;
    let (gst, from_environment) = starting_thresholds(&log.gst)?;
    let (filter, reload) = reload::Layer::new(levels::filter(&log.filter, &gst)?);
    let control = Control::new(move |filter| reload.reload(filter).map_err(|error| error.to_string()));
    let thresholds = Thresholds::new(log.filter.clone(), gst.to_string(), control);
    let (stderr, writer) = Stderr::start().map_err(|error| format!("No thread to write the log: {error}."))?;
    let logs = Logs::new(log, thresholds, Some(stderr.clone()));
    subscriber(filter, &log.format, stderr, &logs)
        .try_init()
        .map_err(|error| format!("Logging does not start: {error}."))?;
    gst::bridge(&from_environment, &gst);
    Ok((logs, Guard { _writer: writer }))
}

/// Starts logging for a command that does its work and ends: to standard error, nothing kept.
///
/// # Errors
/// A sentence for a person: a filter that is none.
pub fn start_plain(filter: &str) -> std::result::Result<(), String> {
    let filter = levels::parse_filter(filter).map_err(|words| format!("In the configuration, log.filter: {words}"))?;
    let text = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    text.with_ansi(std::io::stderr().is_terminal())
        .try_init()
        .map_err(|error| format!("Logging does not start: {error}."))
}

fn subscriber(
    filter: reload::Layer<EnvFilter, Registry>,
    format: &str,
    stderr: Stderr,
    logs: &Logs,
) -> impl SubscriberInitExt + use<> {
    let text = tracing_subscriber::fmt::layer().with_writer(stderr).with_ansi(std::io::stderr().is_terminal());
    let text = if format == "json" { text.json().boxed() } else { text.with_target(false).boxed() };
    tracing_subscriber::registry().with(filter).with(text).with(logs.layer())
}

/// GStreamer's thresholds to start with, and those of them that GStreamer has set itself from the environment.
fn starting_thresholds(configured: &str) -> std::result::Result<(GstThresholds, GstThresholds), String> {
    let configured =
        GstThresholds::parse(configured).map_err(|words| format!("In the configuration, log.gst: {words}"))?;
    // GStreamer skips what it does not understand there.
    let from_environment = GstThresholds::parse_lossy(&std::env::var(GST_DEBUG).unwrap_or_default());
    Ok((configured.and(&from_environment), from_environment))
}
