//! What is counted about HTTP: requests by method, route template and class of status; Socket.IO's clients. Bounded by the
//! table of routes: a path that leads nowhere counts as one of a few names.

use std::collections::BTreeMap;

use super::values::Gauge;
use crate::sync::{Mutex, lock};

/// What a request asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// GET, POST … or "other".
    pub method: &'static str,
    /// The route's template such as `/api/devices/{device_id}`, or a name for what is none.
    pub route: String,
    /// First digit of the status.
    pub class: u16,
}

/// What is counted about HTTP.
#[derive(Debug, Default)]
pub struct HttpMetrics {
    /// Connections that are open.
    pub connections: Gauge,
    /// Socket.IO clients.
    pub socket_clients: Gauge,
    /// Requests come a few a second at most, so a lock does here.
    requests: Mutex<BTreeMap<Route, u64>>,
}

impl HttpMetrics {
    /// A request was answered.
    pub fn answered(&self, route: Route) {
        *lock(&self.requests).entry(route).or_default() += 1;
    }

    pub(super) fn requests(&self) -> BTreeMap<Route, u64> {
        lock(&self.requests).clone()
    }
}
