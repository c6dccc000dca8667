//! What is counted about the two queues that everything goes through, messages to the media control thread and events to
//! the session actor, and about the relay.

use super::values::{Counter, Gauge};

/// What is counted about the media control thread.
#[derive(Debug, Default)]
pub struct ControlMetrics {
    /// Messages that wait for it.
    pub waiting: Gauge,
    /// Messages that it did not take: too much waited, it hung, or it had ended.
    pub refused: Counter,
    /// Seconds since it last took a turn, as it is looked at once a second.
    pub age_s: Gauge,
}

/// What is counted about the session actor's events.
#[derive(Debug, Default)]
pub struct EventMetrics {
    /// Events that wait for it.
    pub waiting: Gauge,
    /// Events that were lost because too many waited; the server ends then.
    pub lost: Counter,
}

/// What is counted about the relay that the server dials out to.
#[derive(Debug, Default)]
pub struct RelayMetrics {
    /// Cameras that are registered there.
    pub connections: Gauge,
    /// Times that it was dialled.
    pub attempts: Counter,
}
