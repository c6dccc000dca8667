//! Socket.IO: who may connect, and the events that every client gets. Owns the two tasks that send them; a slow client
//! loses updates and delays nobody, because metadata goes through a cell that holds the newest update only.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde::Deserialize;
use socketioxide::{
    SocketIo,
    extract::{SocketRef, TryData},
    handler::ConnectHandler,
    layer::SocketIoLayer,
};
use tokio::sync::{broadcast::error::RecvError, watch};
use tokio_util::sync::CancellationToken;

use super::{
    access::{Access, Credential},
    events::{DevicesChanged, Event, OptionsChanged, ServerShutdown, SessionsChanged, StreamRestarted, Welcome},
    handshakes::PATH,
    metadata::MetadataUpdate,
    types::sensor_id,
};
use crate::{
    metrics::Metrics,
    model::{DeviceId, StreamType},
    session::{Handle, api::Notice},
};

/// The room of the clients that were welcomed: events go there.
const ROOM: &str = "welcomed";

/// Most clients at once.
const MAX_CLIENTS: usize = 200;
/// How long a connection may stay without joining the namespace.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Events waiting for one client: `welcome`, `sessions_changed`, answers. Metadata is not among them.
const MAX_WAITING: usize = 32;
/// Largest message from a client. They have nothing to say but to connect.
const MAX_INCOMING_BYTES: usize = 64 * 1024;
/// Largest answer to a poll: an update with its point cloud fits.
const MAX_POLL_BYTES: u64 = 256 * 1024;

/// At most 30 updates a second for each device.
const UPDATE_PERIOD: Duration = Duration::from_millis(34);
/// How often a device that streams but delivers nothing new is reported all the same.
const STALE_PERIOD: Duration = Duration::from_secs(1);
/// At least this long between two `sessions_changed`.
const CHANGED_PERIOD: Duration = Duration::from_millis(200);

/// The Socket.IO side of the server.
#[derive(Clone)]
pub(super) struct Sockets {
    io: SocketIo,
    handle: Handle,
    clients: watch::Receiver<usize>,
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
#[derive(Clone)]
struct SharedPlace(#[expect(dead_code, reason = "held for its drop")] Arc<Place>);

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
    pub(super) fn new(handle: Handle, access: Arc<Access>) -> (SocketIoLayer, Self) {
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

        let admit = move |socket: SocketRef, TryData(auth): TryData<Auth>| {
            let parts = socket.req_parts();
            let verdict = match access.credential(&parts.headers, &parts.uri) {
                Credential::Missing => match auth.ok().and_then(|auth| auth.token) {
                    Some(token) => access.check_token(&token),
                    None => Credential::Missing,
                },
                verdict => verdict,
            };
            let places = places.clone();
            async move {
                match verdict {
                    Credential::Good => {
                        let place = places.enter().ok_or(Refused::Full)?;
                        socket.extensions.insert(SharedPlace(Arc::new(place)));
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
            socket.join(ROOM);
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

    /// The task "metadata": sleeps while nobody is connected or nothing streams.
    async fn send_metadata(mut self, stop: CancellationToken) {
        let mut snapshot = self.handle.snapshot();
        let mut sent: BTreeMap<DeviceId, Sent> = BTreeMap::new();
        loop {
            let ready = async {
                self.clients.wait_for(|clients| *clients > 0).await.ok()?;
                if sent.is_empty() {
                    snapshot.wait_for(|snapshot| !snapshot.running.is_empty()).await.ok()?;
                }
                Some(())
            };
            tokio::select! {
                () = stop.cancelled() => return,
                ready = ready => if ready.is_none() { return },
            }
            let now = snapshot.borrow_and_update().clone();
            let mut updates = Vec::new();
            // A device that stopped is told of once.
            let stopped: Vec<_> = sent.keys().filter(|device| !now.running.contains_key(*device)).cloned().collect();
            for device in stopped {
                sent.remove(&device);
                updates.push(MetadataUpdate::of(&self.handle, &device, &[], false));
            }
            for (device, running) in &now.running {
                let update = MetadataUpdate::of(&self.handle, device, running, now.point_clouds.contains(device));
                let last = sent.entry(device.clone()).or_default();
                if last.is_news(&update) {
                    updates.push(update);
                }
            }
            // A client's cell holds one update: spread over the period, each device's is taken before the next comes.
            let parts = u32::try_from(updates.len().max(1)).unwrap_or(1);
            let pause = UPDATE_PERIOD / parts;
            if updates.is_empty() {
                tokio::time::sleep(pause).await;
            }
            for update in updates {
                if let Err(error) = self.io.to(ROOM).volatile().emit(MetadataUpdate::NAME, &update).await {
                    tracing::debug!(%error, "a metadata update was lost");
                }
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// The task "changes": tells clients that sessions or streams changed, so that they look again.
    async fn send_changes(mut self, stop: CancellationToken) {
        let mut snapshot = self.handle.snapshot();
        let mut told = snapshot.borrow_and_update().revision;
        loop {
            let change = async {
                self.clients.wait_for(|clients| *clients > 0).await.ok()?;
                let now = snapshot.wait_for(|snapshot| snapshot.revision != told).await.ok()?;
                Some((now.revision, now.session_states.len()))
            };
            let (revision, sessions) = tokio::select! {
                () = stop.cancelled() => return,
                change = change => match change { Some(change) => change, None => return },
            };
            told = revision;
            // Errors are of clients whose buffer is full: they lose it.
            let _ = self.io.to(ROOM).emit(SessionsChanged::NAME, &SessionsChanged { revision, sessions }).await;
            tokio::time::sleep(CHANGED_PERIOD).await;
        }
    }

    /// The task "devices": tells which devices came and went, also while nobody listens, so that who comes hears what is new only.
    async fn send_devices(self, stop: CancellationToken) {
        let mut snapshot = self.handle.snapshot();
        let mut known = BTreeSet::new();
        // What is there already is no news.
        let _ = DevicesChanged::since(&mut known, &snapshot.borrow_and_update());
        loop {
            let changed = tokio::select! {
                () = stop.cancelled() => return,
                changed = snapshot.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
            let change = DevicesChanged::since(&mut known, &snapshot.borrow_and_update());
            if let Some(change) = change {
                // Errors are of clients whose buffer is full: they lose it.
                let _ = self.io.to(ROOM).emit(DevicesChanged::NAME, &change).await;
            }
        }
    }

    /// The task "notices": passes on what happened, as it comes. What is missed because too much happened is missed by everybody.
    async fn send_notices(self, stop: CancellationToken) {
        let mut notices = self.handle.notices();
        let mut clients = self.clients.clone();
        loop {
            // For nobody no option is read.
            self.handle.watch_options(*clients.borrow_and_update() > 0);
            let notice = tokio::select! {
                () = stop.cancelled() => return,
                changed = clients.changed() => if changed.is_ok() { continue } else { return },
                notice = notices.recv() => notice,
            };
            match notice {
                Ok(Notice::Restarted { key, profile }) => {
                    let event = StreamRestarted { device_id: key.device, stream_type: key.stream, profile };
                    // Errors are of clients whose buffer is full: they lose it.
                    let _ = self.io.to(ROOM).emit(StreamRestarted::NAME, &event).await;
                }
                Ok(Notice::Options { device, sensor, values }) => {
                    let sensor_id = sensor_id(&device, sensor);
                    let event = OptionsChanged { device_id: device, sensor_id, options: values };
                    let _ = self.io.to(ROOM).emit(OptionsChanged::NAME, &event).await;
                }
                Err(RecvError::Lagged(missed)) => tracing::debug!(missed, "notices were lost"),
                Err(RecvError::Closed) => return,
            }
        }
    }
}

/// What was sent last of a device.
#[derive(Default)]
struct Sent {
    numbers: Vec<(StreamType, u64)>,
    at: Option<Instant>,
}

impl Sent {
    fn is_news(&mut self, update: &MetadataUpdate) -> bool {
        let numbers = update.frame_numbers();
        let stale = self.at.is_none_or(|at| at.elapsed() >= STALE_PERIOD);
        if !stale && numbers == self.numbers {
            return false;
        }
        self.numbers = numbers;
        self.at = Some(Instant::now());
        true
    }
}
