//! The tasks that send Socket.IO's events but metadata: what changed, what came and went, what happened.

use std::{collections::BTreeSet, time::Duration};

use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        events::{DevicesChanged, Event, OptionsChanged, SessionsChanged, StreamRestarted},
        types::sensor_id,
    },
    ROOM, Sockets,
};
use crate::session::api::Notice;

/// At least this long between two `sessions_changed`.
const CHANGED_PERIOD: Duration = Duration::from_millis(200);

impl Sockets {
    /// The task "changes": tells clients that sessions or streams changed, so that they look again.
    pub(super) async fn send_changes(mut self, stop: CancellationToken) {
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
    pub(super) async fn send_devices(self, stop: CancellationToken) {
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
    pub(super) async fn send_notices(self, stop: CancellationToken) {
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
