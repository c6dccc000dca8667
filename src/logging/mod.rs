//! Logs: where they go, what is kept of them, and how their thresholds change at run time.

/// The server's logs; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Logs {}
