//! Socket.IO: who may connect, what clients may say, and the events that they get. Owns the tasks that send them (`tasks`,
//! `metadata_task`); a slow client loses updates and delays nobody, because metadata goes through a cell that holds the newest
//! update only, and clouds wait until the one before was taken (`pace`).

mod metadata_task;
mod pace;
mod tasks;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use socketioxide::{
    SocketIo,
    extract::{AckSender, SocketRef, TryData},
    handler::ConnectHandler,
    layer::SocketIoLayer,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::pace::{MAX_HZ, Pace};
use super::{
    access::{Access, Credential},
    connections::Connections,
    events::{Event, ServerShutdown, Welcome},
    handshakes::PATH,
};
use crate::{
    metrics::Metrics,
    session::Handle,
    sync::{Mutex, lock},
};

/// The room of the clients that were welcomed: events go there.
const ROOM: &str = "welcomed";

/// Most clients at once.
const MAX_CLIENTS: usize = 200;
/// How long a connection may stay without joining the namespace.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Events waiting for one client: `welcome`, `sessions_changed`, answers. Metadata is not among them.
const MAX_WAITING: usize = 32;
/// Largest message from a client. They have little to say: that they connect, and how much metadata they want.
const MAX_INCOMING_BYTES: usize = 64 * 1024;
/// Largest answer to a poll: an update with its point cloud fits.
const MAX_POLL_BYTES: u64 = 256 * 1024;

/// The Socket.IO side of the server.
#[derive(Clone)]
pub(super) struct Sockets {
    io: SocketIo,
    handle: Handle,
    clients: watch::Receiver<usize>,
}

/// One client that was let in.
#[derive(Clone)]
struct Client {
    pace: Arc<Mutex<Pace>>,
    connections: Connections,
    _place: Arc<Place>,
}

/// What a client may emit: how much metadata it wants. What it leaves out stays as it is.
#[derive(Debug, Deserialize)]
struct MetadataRate {
    #[serde(default)]
    hz: Option<f64>,
    #[serde(default)]
    point_cloud: Option<bool>,
}

/// The answer to one who asks for it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum RateSet {
    Now { hz: f64, point_cloud: bool },
    Refused { error: String },
}

/// Counts clients, so that nothing is computed for none.
struct Clients {
    count: AtomicUsize,
    changed: watch::Sender<usize>,
    metrics: Arc<Metrics>,
}

impl Clients {
    /// Takes a place, if there is one.
    fn enter(self: &Arc<Self>) -> Option<Place> {
        self.count
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| (count < MAX_CLIENTS).then_some(count + 1))
            .ok()?;
        self.tell();
        Some(Place(self.clone()))
    }

    fn tell(&self) {
        self.changed.send_if_modified(|seen| {
            let now = self.count.load(Ordering::Acquire);
            self.metrics.http.socket_clients.set(i64::try_from(now).unwrap_or(i64::MAX));
            std::mem::replace(seen, now) != now
        });
    }
}

/// One client's place. It lives in the socket's extensions and ends with the socket, however that ends.
struct Place(Arc<Clients>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::AcqRel);
        self.0.tell();
    }
}

#[derive(Debug, Deserialize)]
struct Auth {
    token: Option<String>,
}

/// Why a client was not let in, as its `connect_error` says.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("This server needs a token: send it as ?token=<token> or as auth: {{token: <token>}}.")]
    TokenMissing,
    #[error("The token is wrong.")]
    TokenWrong,
    #[error("Too many clients; try again later.")]
    Full,
}

impl Sockets {
    /// Builds the layer that answers Socket.IO's requests, and the side that sends events.
    pub(super) fn new(handle: Handle, access: Arc<Access>, connections: Connections) -> (SocketIoLayer, Self) {
        let (layer, io) = SocketIo::builder()
            .req_path(PATH)
            .connect_timeout(CONNECT_TIMEOUT)
            .max_buffer_size(MAX_WAITING)
            .max_payload(MAX_POLL_BYTES)
            .ws_max_message_size(MAX_INCOMING_BYTES)
            .ws_max_frame_size(MAX_INCOMING_BYTES)
            .build_layer();
        let (changed, clients) = watch::channel(0);
        let places = Arc::new(Clients { count: AtomicUsize::new(0), changed, metrics: handle.metrics().clone() });

        let known = connections.clone();
        let admit = move |socket: SocketRef, TryData(auth): TryData<Auth>| {
            let parts = socket.req_parts();
            let verdict = match access.credential(&parts.headers, &parts.uri) {
                Credential::Missing => match auth.ok().and_then(|auth| auth.token) {
                    Some(token) => access.check_token(&token),
                    None => Credential::Missing,
                },
                verdict => verdict,
            };
            let (places, connections) = (places.clone(), known.clone());
            async move {
                match verdict {
                    Credential::Good => {
                        let place = places.enter().ok_or(Refused::Full)?;
                        let (pace, _place) = (Arc::default(), Arc::new(place));
                        socket.extensions.insert(Client { pace, connections, _place });
                        Ok(())
                    }
                    Credential::Missing => Err(Refused::TokenMissing),
                    Credential::Wrong => Err(Refused::TokenWrong),
                }
            }
        };
        let welcome = async |socket: SocketRef| {
            let message = "Connected to realsense-webrtc. Metadata follows while a device streams.";
            // Its buffer is empty: only a client that is gone already does not get it.
            let _ = socket.emit(Welcome::NAME, &Welcome { message });
            // Only now, so that no event comes before the welcome.
            socket.join([ROOM.to_owned(), room_of(&socket)]);
            socket.on("metadata_rate", set_rate);
        };
        io.ns("/", welcome.with(admit));
        (layer, Self { io, handle, clients })
    }

    /// How many clients have a place.
    #[cfg(any(test, fuzzing))]
    pub(super) fn clients(&self) -> usize {
        *self.clients.borrow()
    }

    /// Sends events until told to stop, then says good-bye and closes every connection.
    pub(super) async fn run(self, stop: CancellationToken) {
        let metadata = tokio::spawn(self.clone().send_metadata(stop.clone()));
        let changes = tokio::spawn(self.clone().send_changes(stop.clone()));
        let devices = tokio::spawn(self.clone().send_devices(stop.clone()));
        let notices = tokio::spawn(self.clone().send_notices(stop.clone()));
        stop.cancelled().await;
        for task in [metadata, changes, devices, notices] {
            if let Err(error) = task.await {
                tracing::error!(%error, "a Socket.IO task ended badly");
            }
        }
        let good_bye = ServerShutdown { message: "The server is shutting down." };
        let _ = self.io.emit(ServerShutdown::NAME, &good_bye).await;
        // Each client's task must get to send it before the connection closes under it.
        tokio::task::yield_now().await;
        self.io.close().await;
        tracing::debug!("Socket.IO is closed");
    }
}

/// The room of one client alone.
fn room_of(socket: &SocketRef) -> String {
    socket.id.to_string()
}

/// A client says how much metadata it wants, and hears what it gets if it asked for an answer.
async fn set_rate(socket: SocketRef, TryData(wish): TryData<MetadataRate>, ack: AckSender) {
    let refused = || RateSet::Refused {
        error: format!("Send {{\"hz\": 0 to {MAX_HZ}, \"point_cloud\": true or false}}; both may be left out."),
    };
    let answer = match (wish, socket.extensions.get::<Client>()) {
        (Ok(MetadataRate { hz, point_cloud }), Some(client)) if hz.is_none_or(|hz| (0.0..=MAX_HZ).contains(&hz)) => {
            let (hz, point_cloud) = lock(&client.pace).wish(hz, point_cloud);
            RateSet::Now { hz, point_cloud }
        }
        _ => refused(),
    };
    // Who did not ask for an answer, or is gone, needs none.
    let _ = ack.send(&answer);
}
