//! Cameras of the SDK: live ones, recordings, and the SDK's software device fed by the simulator. Owns the SDK's context and
//! the list of what is present; a device's streaming is its `RsCamera`'s.
//!
//! The SDK tells of devices coming and going on a thread of its own, which must not be held up: looking at a new device talks
//! to it over USB. A named thread does that and then tells the manager.

mod camera;
mod deliver;
mod device_table;
mod error_text;
mod open_recording;
mod options;
mod player;
mod recorder;
mod settings;
mod software;

use std::{
    path::Path,
    sync::{
        Arc,
        mpsc::{self, SyncSender, TrySendError},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tracing::warn;

use self::{
    camera::RsCamera,
    device_table::{Change, Known, Shared},
    software::Feeder,
};
use super::{Attached, Backend, BackendEvents, Camera, FrameSink, SimFault};
use crate::{
    error::{Error, Result},
    librealsense::{Context, Sdk},
    model::DeviceId,
    sync::{join_until, lock},
};

pub use recorder::SdkRecorderFactory;
pub use settings::Settings;

/// Changes of the devices that may wait to be looked at. More are found by the next look.
const CHANGES: usize = 64;
/// How long the start waits for the first look at the cameras.
const FIRST_LOOK: Duration = Duration::from_secs(8);
/// How long the end waits for the watcher.
const WATCHER_END: Duration = Duration::from_millis(500);

/// The SDK's settings for live cameras: no DDS, whose discovery opens sockets.
const LIVE: &str = r#"{"dds":{"enabled":false}}"#;
/// For recordings and software devices only (RS2_PRODUCT_LINE_SW_ONLY and all others masked): looks at no hardware.
const NO_HARDWARE: &str = r#"{"inherit":false,"dds":{"enabled":false},"device-mask":511}"#;

/// The SDK's devices.
pub struct RealsenseBackend {
    shared: Arc<Shared>,
    watcher: Option<(SyncSender<Change>, JoinHandle<()>)>,
}

impl RealsenseBackend {
    /// Makes the context and opens the recordings. A recording that cannot be played is logged and left out.
    ///
    /// # Errors
    /// Unavailable when the SDK gives no context, Internal when the system gives no thread.
    pub fn start(sdk: Sdk, settings: Settings) -> Result<Self> {
        let context = Context::new(sdk, if settings.live { LIVE } else { NO_HARDWARE })
            .map_err(|error| Error::unavailable(format!("librealsense does not start: {error}")))?;
        let feeder = settings.software_device.then(|| Feeder::new(sdk)).transpose();
        let feeder = feeder.map_err(|error| Error::unavailable(format!("no software device: {error}")))?.map(Arc::new);
        let shared = Arc::new(Shared::new(sdk, settings, context, feeder));
        let (changes, inbox) = mpsc::sync_channel(CHANGES);
        let to_watcher = changes.clone();
        let told = shared.context.on_changes(move |change| {
            if let Err(TrySendError::Full(_)) = to_watcher.try_send(Change::Sdk(change)) {
                warn!(
                    "librealsense reports devices faster than they can be looked at; a refresh finds what was missed"
                );
            }
        });
        told.map_err(|error| Error::unavailable(format!("librealsense does not tell of devices: {error}")))?;
        let (ready, begun) = mpsc::sync_channel(1);
        let for_thread = shared.clone();
        let watcher = std::thread::Builder::new()
            .name("rs-watch".into())
            .spawn(move || {
                let unread = for_thread.begin(&inbox);
                // Whoever started may have stopped waiting.
                let _ = ready.try_send(());
                for_thread.watch(&inbox, unread);
            })
            .map_err(|error| Error::internal(format!("cannot start the device watcher: {error}")))?;
        if begun.recv_timeout(FIRST_LOOK).is_err() {
            warn!("librealsense takes longer than {FIRST_LOOK:?} to look at the cameras; they come when it is through");
        }
        Ok(Self { shared, watcher: Some((changes, watcher)) })
    }

    /// Why recordings that were asked for are not there.
    pub fn failed_recordings(&self) -> Vec<String> {
        let state = lock(&self.shared.state);
        state.missing.iter().filter_map(|missing| missing.attached.info.problem.clone()).collect()
    }

    /// Cameras that are connected but cannot be read.
    pub fn unreadable(&self) -> usize {
        lock(&self.shared.state).unread
    }
}

impl Drop for RealsenseBackend {
    fn drop(&mut self) {
        // The context's callback keeps a sender, so the end must be said. A full queue means that the watcher hangs in the SDK.
        if let Some((changes, watcher)) = self.watcher.take()
            && changes.try_send(Change::Quit).is_ok()
        {
            join_until(watcher, Instant::now() + WATCHER_END);
        }
        let known = std::mem::take(&mut lock(&self.shared.state).known);
        drop(known);
    }
}

impl Backend for RealsenseBackend {
    fn name(&self) -> &'static str {
        "realsense"
    }

    fn sdk_version(&self) -> Option<String> {
        Some(self.shared.sdk.version().to_string())
    }

    fn set_events(&self, events: BackendEvents) {
        lock(&self.shared.state).events = Some(events);
    }

    fn attached(&self) -> Vec<Attached> {
        let state = lock(&self.shared.state);
        let attached = |known: &Known| Attached { attachment: known.attachment, info: known.info.clone() };
        let missing = state.missing.iter().map(|missing| missing.attached.clone());
        state.known.values().map(attached).chain(missing).collect()
    }

    fn refresh(&self) {
        let (seen, looked) = mpsc::sync_channel(1);
        // The watcher looks, so that a look and the SDK's word of a change never cross. Without a watcher the end has come.
        if let Some((changes, _)) = &self.watcher
            && changes.send(Change::Look(seen)).is_ok()
        {
            // A look that failed was logged.
            let _ = looked.recv();
        }
    }

    fn open(&self, device: &DeviceId, frames: FrameSink) -> Result<Box<dyn Camera>> {
        let missing = lock(&self.shared.state).missing(device).cloned();
        if let Some(missing) = missing {
            return Err(self.shared.open_missing(device, &missing.file));
        }
        let known = lock(&self.shared.state).known.get(device).cloned().ok_or_else(|| Error::unplugged(device))?;
        let preset = self.shared.preset_of(device);
        Ok(Box::new(RsCamera::open(device.clone(), known, preset, frames, Arc::downgrade(&self.shared))?))
    }

    fn open_recording(&self, file: &Path) -> Result<DeviceId> {
        self.shared.open_recording(file)
    }

    fn close_recording(&self, device: &DeviceId) -> Result<()> {
        self.shared.close_recording(device)
    }

    fn inject_fault(&self, device: &DeviceId, fault: SimFault) -> Result<()> {
        let Some(feeder) = self.shared.feeder.as_ref().filter(|feeder| feeder.id() == device) else {
            return Err(Error::not_found(format!(
                "Device {device} is not simulated. Only a simulated camera takes faults."
            )));
        };
        match fault {
            SimFault::Unplug => self.shared.unplug(feeder),
            SimFault::Replug => self.shared.replug(feeder)?,
            other => feeder.try_inject(other)?,
        }
        Ok(())
    }
}
