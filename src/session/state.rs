//! What the session actor knows. Owns its tables; what happens to them is told in the files beside.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Instant, SystemTime},
};

use tokio::sync::{broadcast, watch};

use super::{
    api::{Changed, Notice, Offer, OfferedStream, Snapshot, Started},
    command::Reply,
    machine::Machine,
};
use crate::{
    camera::{StreamConfig, manager::CameraHandle, recording::RecordingStatus},
    config::Config,
    core::wishes::{
        attachments::Presence, ended::Ended, recording::Limits, references::Streams, sessions::Sessions,
        trouble::Troubles,
    },
    error::Error,
    media::{Media, NewLine},
    metrics::Metrics,
    model::{Codec, DeviceId, DeviceInfo, Profile, SensorInfo, SessionId, StreamType},
};

/// The motion profile taken beside video: the nearest rate the device offers to 100 Hz is plenty for 30 updates a second.
pub(super) const MOTION: Profile = Profile { width: 0, height: 0, framerate: 100 };

/// The actor: one task, the only writer of these tables.
pub(super) struct Actor {
    pub(super) config: Arc<Config>,
    pub(super) cameras: CameraHandle,
    pub(super) machine: Machine,
    pub(super) media: Arc<dyn Media>,
    pub(super) sessions: Sessions,
    pub(super) ended: Ended,
    pub(super) streams: Streams,
    pub(super) devices: BTreeMap<DeviceId, Device>,
    pub(super) offers: HashMap<SessionId, PendingOffer>,
    pub(super) answers: HashMap<SessionId, Reply<()>>,
    pub(super) starts: Vec<PendingStart>,
    pub(super) changes: Vec<PendingChange>,
    pub(super) start_count: u64,
    pub(super) recordings: BTreeMap<DeviceId, ActiveRecording>,
    pub(super) recording_count: u64,
    pub(super) point_clouds: BTreeSet<DeviceId>,
    /// The sessions whose data channel is open, and their devices.
    pub(super) channels: BTreeMap<SessionId, DeviceId>,
    pub(super) depth_ranges: BTreeMap<DeviceId, (f32, f32)>,
    /// The encoders that fail now.
    pub(super) troubles: Troubles,
    pub(super) snapshot: watch::Sender<Arc<Snapshot>>,
    pub(super) notices: broadcast::Sender<Notice>,
    pub(super) metrics: Arc<Metrics>,
    /// Set when nothing can be served any more; the loop ends then.
    pub(super) broken: bool,
    /// A moment in both clocks.
    pub(super) epoch: (Instant, SystemTime),
}

/// A device as the actor knows it.
#[derive(Default)]
pub(super) struct Device {
    /// Which of its attachments counts.
    pub(super) presence: Presence,
    pub(super) info: Option<Box<DeviceInfo>>,
    pub(super) sensors: Vec<SensorInfo>,
    /// Why it cannot be used now; `None` when it can.
    pub(super) trouble: Option<Error>,
    /// Until when its motion module is left alone after it failed to start.
    pub(super) no_motion_until: Option<Instant>,
}

impl Device {
    /// Whether it is a recording that is played back.
    pub(super) fn is_playback(&self) -> bool {
        self.info.as_ref().is_some_and(|info| info.playback)
    }

    /// How it is connected: "3.2", "2.1" and so on.
    pub(super) fn usb_type(&self) -> Option<&str> {
        self.info.as_ref()?.usb_type.as_deref()
    }
}

/// An explicit start that somebody waits for. Until it is answered it holds its streams by its own number.
pub(super) struct PendingStart {
    pub(super) reply: Reply<Started>,
    pub(super) number: u64,
    pub(super) device: DeviceId,
    /// Which of its sensors alone, if only one was to be started.
    pub(super) sensor: Option<usize>,
    /// Whether everything ran already.
    pub(super) reused: bool,
    pub(super) configs: Vec<(usize, StreamConfig)>,
}

/// A change of what a session carries, until its streams run.
pub(super) struct PendingChange {
    pub(super) reply: Reply<Changed>,
    pub(super) number: u64,
    pub(super) session: SessionId,
    pub(super) device: DeviceId,
    /// What each m-line of streams carries then.
    pub(super) lines: Vec<Option<StreamType>>,
    /// The m-lines among them that the session does not have yet.
    pub(super) new: Vec<NewLine>,
    /// Whether the media side was asked for them.
    pub(super) asked: bool,
    /// The streams in the order of their m-lines.
    pub(super) streams: Vec<OfferedStream>,
}

/// An offer that somebody waits for.
pub(super) struct PendingOffer {
    pub(super) reply: Reply<Offer>,
    pub(super) device: DeviceId,
    pub(super) streams: Vec<OfferedStream>,
    /// What each of them may become while the session lasts.
    pub(super) largest: Vec<Profile>,
    pub(super) codecs: Vec<Codec>,
    /// Whether the media side was asked to make it.
    pub(super) asked: bool,
    /// Whether it has the data channel of point clouds.
    pub(super) data_channel: bool,
    /// How many m-lines carry nothing yet.
    pub(super) spare: usize,
}

/// A stream as it will be offered.
pub(super) struct Choice {
    pub(super) sensor: usize,
    pub(super) config: StreamConfig,
    pub(super) note: Option<String>,
}

/// A device's recording as the actor knows it, from the request to its end.
pub(super) struct ActiveRecording {
    pub(super) generation: u64,
    /// `None` once the camera was told.
    pub(super) waiting: Option<Waiting>,
}

/// A recording whose streams are being started.
pub(super) struct Waiting {
    pub(super) reply: Reply<RecordingStatus>,
    pub(super) name: String,
    pub(super) may_number: bool,
    pub(super) streams: Vec<StreamType>,
    pub(super) limits: Limits,
}
