//! What the server counts about itself, for Prometheus. Owns the counters; `text` gives them their names. Labels are
//! device, stream, codec, reason and the like, all of them bounded; never a session. Counting is relaxed atomics; whatever
//! costs more is read when somebody asks.

mod devices;
mod http;
mod queues;
mod sessions;
mod text;
mod values;

use std::sync::Arc;

use self::devices::Devices;
pub use self::{
    devices::{DeviceMetrics, EncoderMetrics, MAX_DEVICES, OTHER, StreamMetrics},
    http::{HttpMetrics, Route},
    queues::{ControlMetrics, EventMetrics, RelayMetrics},
    sessions::{End, SessionMetrics},
    text::Format,
    values::{Counter, Gauge, Histogram},
};
use super::{model::SessionState, process::Usage};

/// Every metric.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Sessions and offers.
    pub sessions: SessionMetrics,
    /// Requests and Socket.IO.
    pub http: HttpMetrics,
    /// The media control thread.
    pub control: Arc<ControlMetrics>,
    /// The session actor's events.
    pub events: Arc<EventMetrics>,
    /// The relay that the server dials out to.
    pub relay: Arc<RelayMetrics>,
    /// Pipelines read again and swapped in.
    pub reloads: Counter,
    /// Pipelines read again and refused.
    pub reload_failures: Counter,
    devices: Devices,
}

/// What is not counted but looked at when somebody asks.
#[derive(Debug, Default)]
pub struct Observed {
    /// The state of every session.
    pub sessions: Vec<SessionState>,
    /// What the process uses.
    pub process: Usage,
    /// GStreamer's version.
    pub gstreamer: String,
    /// librealsense's version, or "none".
    pub sdk: String,
}

impl Metrics {
    /// A pipeline was read again: it runs now, or it was refused.
    pub fn reloaded(&self, ok: bool) {
        if ok { self.reloads.inc() } else { self.reload_failures.inc() }
    }
}
