//! What the server counts about itself, for Prometheus. Labels are device, stream type and codec; never a session.

/// Every metric.
#[derive(Debug, Default)]
pub struct Metrics {}
