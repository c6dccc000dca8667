//! The task that sends `metadata_update`: to each client as many as it wants, and clouds as fast as it takes them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use socketioxide::{TransportType, extract::SocketRef};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        cloud::{PointCloud, Subject, Transforms},
        events::Event,
        metadata::MetadataUpdate,
    },
    Client, ROOM, Sockets,
    pace::{Link, Share},
    room_of,
};
use crate::{
    model::{DeviceId, StreamConfig, StreamType},
    session::api::Snapshot,
    sync::lock,
    work,
};

/// At most 30 updates a second for each device.
const UPDATE_PERIOD: Duration = Duration::from_millis(34);
/// How often a device that streams but delivers nothing new is reported all the same.
const STALE_PERIOD: Duration = Duration::from_secs(1);

impl Sockets {
    /// The task "metadata": sleeps while nobody is connected or nothing streams.
    pub(super) async fn send_metadata(mut self, stop: CancellationToken) {
        let mut snapshot = self.handle.snapshot();
        let mut sent: BTreeMap<DeviceId, Sent> = BTreeMap::new();
        let transforms = Transforms::default();
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
                updates.push((MetadataUpdate::of(&self.handle, &device, &[]), device));
            }
            for (device, running) in &now.running {
                let update = MetadataUpdate::of(&self.handle, device, running);
                let last = sent.entry(device.clone()).or_default();
                if last.is_news(&update) {
                    updates.push((update, device.clone()));
                }
            }
            // A client's cell holds one update: spread over the period, each device's is taken before the next comes.
            let parts = u32::try_from(updates.len().max(1)).unwrap_or(1);
            let pause = UPDATE_PERIOD / parts;
            if updates.is_empty() {
                tokio::time::sleep(pause).await;
            }
            for (update, device) in updates {
                let begun = tokio::time::Instant::now();
                self.send_update(&now, &device, &update, &transforms).await;
                tokio::time::sleep_until(begun + pause).await;
            }
            transforms.keep(|device| now.attached.contains(device));
        }
    }

    /// Sends an update to each client as it wants it.
    async fn send_update(&self, now: &Snapshot, device: &DeviceId, update: &MetadataUpdate, transforms: &Transforms) {
        let has_cloud = |id: &DeviceId| {
            let depth = |config: &StreamConfig| config.stream == StreamType::Depth;
            now.point_clouds.contains(id) && now.running.get(id).is_some_and(|running| running.iter().any(depth))
        };
        let clouds = now.running.keys().filter(|id| has_cloud(id)).count();
        let cloud = has_cloud(device).then_some(clouds);
        let stopped = !now.running.contains_key(device);
        let at = Instant::now();
        let (mut numbers, mut with_cloud) = (Vec::new(), BTreeMap::<usize, BTreeSet<String>>::new());
        for socket in self.io.to(ROOM).sockets() {
            let Some(client) = socket.extensions.get::<Client>() else { continue };
            let mut pace = lock(&client.pace);
            // That a device stopped is said once, so everybody hears it who hears anything.
            let share = if stopped { pace.last_word() } else { pace.share(at, device, cloud, client.link(&socket)) };
            pace.keep(|known| now.attached.contains(known));
            match share {
                Share::Nothing => {}
                Share::Numbers => numbers.push(room_of(&socket)),
                Share::Cloud(points) => drop(with_cloud.entry(points).or_default().insert(room_of(&socket))),
            }
        }
        // Who waits for no cloud waits for nothing.
        self.emit(numbers, update).await;
        for (points, rooms) in with_cloud {
            let rooms: Vec<_> = rooms.into_iter().collect();
            match self.cloud(device, transforms, points).await {
                Some(cloud) => self.emit(rooms, &update.with_cloud(cloud)).await,
                None => self.emit(rooms, update).await,
            }
        }
    }

    /// A device's cloud; `None` while there is no depth, or the machine has too much to do.
    async fn cloud(&self, device: &DeviceId, transforms: &Transforms, points: usize) -> Option<PointCloud> {
        let subject = Subject::of(&self.handle, device, transforms)?;
        work::CLOUDS.run(move || subject.cloud(points)).await.ok()
    }

    async fn emit(&self, rooms: Vec<String>, update: &MetadataUpdate) {
        if rooms.is_empty() {
            return;
        }
        if let Err(error) = self.io.to(rooms).volatile().emit(MetadataUpdate::NAME, update).await {
            tracing::debug!(%error, "a metadata update was lost");
        }
    }
}

impl Client {
    /// What is known of the client's connection now.
    fn link(&self, socket: &SocketRef) -> Link {
        let polls = socket.transport_type() == TransportType::Polling;
        let unsent = self.connections.of(socket).map_or(0, |connection| connection.unsent());
        Link { unsent, polls }
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
