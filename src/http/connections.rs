//! Which connection a Socket.IO client's WebSocket has, so that it can be asked how much of what was sent it has not taken. Owns
//! no connection: one that ended is forgotten.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::Response,
};
use socketioxide::extract::SocketRef;

use super::guard;
use crate::{
    process::unsent::{Connection, WeakConnection},
    sync::{Mutex, lock},
};

/// Connections that are remembered before those that ended are looked for.
const MANY: usize = 512;

/// Connections by the id of the client that upgraded to a WebSocket on them. A client that began with one names it in its first
/// request already.
#[derive(Clone, Default)]
pub(super) struct Connections(Arc<Mutex<HashMap<String, WeakConnection>>>);

impl Connections {
    /// The connection by which a client is sent its events; `None` where that is not known.
    pub(super) fn of(&self, socket: &SocketRef) -> Option<Connection> {
        let upgraded = lock(&self.0).get(socket.id.as_str()).and_then(WeakConnection::upgrade);
        upgraded.or_else(|| socket.req_parts().extensions.get::<Connection>().cloned())
    }

    fn remember(&self, client: &str, connection: &Connection) {
        let mut known = lock(&self.0);
        if known.len() >= MANY {
            known.retain(|_, connection| connection.upgrade().is_some());
        }
        if known.len() < MANY {
            known.insert(client.to_owned(), connection.downgrade());
        }
    }
}

/// Notes the connection of a client that changes from polling to a WebSocket.
pub(super) async fn note(State(connections): State<Connections>, request: Request, next: Next) -> Response {
    let connection = request.extensions().get::<Connection>().filter(|_| guard::is_socket_path(request.uri().path()));
    let query = request.uri().query().unwrap_or_default();
    let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let upgrades = value("transport") == Some("websocket");
    let upgrading = connection.zip(value("sid")).filter(|_| upgrades);
    let upgrading = upgrading.map(|(connection, client)| (connection.clone(), client.to_owned()));
    let response = next.run(request).await;
    // A stranger's made-up client is refused.
    if let Some((connection, client)) = upgrading.filter(|_| response.status() == StatusCode::SWITCHING_PROTOCOLS) {
        connections.remember(&client, &connection);
    }
    response
}
