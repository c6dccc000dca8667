//! What may be asked of the sessions, and what is answered. Decides nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    camera::StreamConfig,
    error::Error,
    logging::Logs,
    media::SessionStats,
    metrics::Metrics,
    model::{Codec, DeviceId, Profile, SessionId, SessionState, StreamKey, StreamType},
};

/// A request for an offer, parsed.
#[derive(Debug, Clone)]
pub struct OfferRequest {
    /// Device.
    pub device: DeviceId,
    /// Video streams in request order, without duplicates, never empty.
    pub streams: Vec<StreamType>,
    /// What the browser can receive, best first; `None` when it did not say.
    pub codecs: Option<Vec<Codec>>,
    /// Wanted profiles; they count only for streams that do not run yet.
    pub profiles: BTreeMap<StreamType, Profile>,
    /// The requester's `User-Agent`.
    pub user_agent: Option<String>,
    /// Whether the session is to have the data channel of point clouds.
    pub data_channel: bool,
    /// How many m-lines there are to be for streams that come later.
    pub spare: usize,
    /// Whether it came through a relay.
    pub relayed: bool,
}

/// A request to change what a session carries, parsed.
#[derive(Debug, Clone)]
pub struct ChangeRequest {
    /// Session.
    pub session: SessionId,
    /// The streams that it is to carry, without duplicates and never empty; `None` for those it has.
    pub streams: Option<Vec<StreamType>>,
    /// What they are to run at, whoever else watches them.
    pub profiles: BTreeMap<StreamType, Profile>,
    /// Whether the client takes a new offer of the session, where it has too few m-lines.
    pub renegotiate: bool,
}

/// What a session carries after a change.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The session.
    pub session: SessionId,
    /// Its streams, in the order of their m-lines.
    pub streams: Vec<OfferedStream>,
    /// A new offer of the session: it carries them once that is answered.
    pub sdp: Option<String>,
}

/// An offer for the browser.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The new session.
    pub session: SessionId,
    /// The offer with candidates.
    pub sdp: String,
    /// What each stream really runs at, in m-line order.
    pub streams: Vec<OfferedStream>,
}

/// What an offered stream really runs at.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OfferedStream {
    /// Stream.
    #[schema(value_type = String)]
    pub stream_type: StreamType,
    /// Size and rate it runs at.
    pub profile: Profile,
    /// Why this is not what was asked for: the stream already ran, or an encoder fails now. Null if it is.
    pub note: Option<String>,
    /// Which m-line of the session carries it, counted from 0.
    pub mline_index: usize,
}

/// A session as the API shows it.
#[derive(Debug, Clone)]
pub struct SessionStatus {
    /// Id.
    pub session: SessionId,
    /// Device.
    pub device: DeviceId,
    /// Streams in m-line order.
    pub streams: Vec<StreamType>,
    /// State.
    pub state: SessionState,
    /// Created.
    pub created_at: SystemTime,
    /// Last packet or request of the peer.
    pub last_activity: SystemTime,
    /// The peer's address.
    pub remote_address: Option<String>,
    /// The requester's `User-Agent`.
    pub user_agent: Option<String>,
    /// Whether it came through a relay.
    pub relayed: bool,
    /// Counters.
    pub stats: SessionStats,
}

/// An explicit start, parsed. Only enabled configs; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartRequest {
    /// Device.
    pub device: DeviceId,
    /// The only sensor that is started, which is restarted if it runs otherwise; `None` for a start of the device, which never
    /// restarts anything.
    pub sensor: Option<usize>,
    /// The sensor each config named, and the stream it wants.
    pub configs: Vec<(usize, StreamConfig)>,
}

/// What an explicit start came to.
#[derive(Debug, Clone)]
pub struct Started {
    /// What the device streams.
    pub status: StreamStatus,
    /// What the sensor streams, of a start of one sensor.
    pub sensor: Option<SensorStatus>,
    /// Whether everything that it names ran already.
    pub reused: bool,
}

/// What an explicit stop left. Its `is_streaming`, `active_streams`, `framerate` and `duration` are about what others than viewers
/// hold, and `stopping` also says that only viewers hold what runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Stopped {
    /// The device.
    pub status: StreamStatus,
    /// How many viewers hold each stream; nothing with zero.
    pub held_by: BTreeMap<StreamType, usize>,
}

/// What one sensor of a device streams.
#[derive(Debug, Clone)]
pub struct SensorStatus {
    /// Its place in the device.
    pub sensor: usize,
    /// Its name.
    pub name: String,
    /// What runs, without what the server itself keeps running for metadata.
    pub streams: Vec<RunningStream>,
    /// Why the device cannot be used, or a stream of the sensor is interrupted.
    pub trouble: Option<Error>,
}

/// A device's streaming state.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StreamStatus {
    /// Device.
    pub device_id: DeviceId,
    /// Whether any stream runs.
    pub is_streaming: bool,
    /// The streams that run.
    #[schema(value_type = Vec<String>)]
    pub active_streams: Vec<StreamType>,
    /// Frames per second of the fastest running video stream.
    pub framerate: Option<f64>,
    /// Seconds since the first running stream started.
    pub duration: Option<f64>,
    /// Whether a stream that nobody uses any more still runs for a moment (`camera.linger_s`); in the answer to a stop also
    /// whether only viewers hold what runs.
    pub stopping: bool,
}

/// A running stream of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct RunningStream {
    /// The sensor it comes from.
    pub sensor: usize,
    /// What runs.
    pub config: StreamConfig,
    /// Since when.
    pub started_at: SystemTime,
}

/// Who references what, and what runs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct References {
    /// Count of references by device and stream type; nothing with a count of zero.
    pub references: BTreeMap<DeviceId, BTreeMap<StreamType, usize>>,
    /// What runs by device, without what the server itself keeps running for metadata.
    pub running: BTreeMap<DeviceId, Vec<RunningStream>>,
}

/// A cheap picture of what runs, for the metadata of Socket.IO. Replaced as a whole on every change.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// The running streams by device, motion streams included.
    pub running: BTreeMap<DeviceId, Vec<StreamConfig>>,
    /// Devices whose point cloud is wanted.
    pub point_clouds: BTreeSet<DeviceId>,
    /// Near and far end of the depth colour map in metres, for devices where it was changed.
    pub depth_ranges: BTreeMap<DeviceId, (f32, f32)>,
    /// Count of references by device and stream type.
    pub references: BTreeMap<DeviceId, BTreeMap<StreamType, usize>>,
    /// The sessions whose data channel is open, and their devices.
    pub channels: BTreeMap<SessionId, DeviceId>,
    /// Every session's state.
    pub session_states: Vec<(SessionId, SessionState)>,
    /// The encoders that failed lately.
    pub failing: Vec<(StreamKey, Codec)>,
    /// Every device that was ever seen, and whether it can be used now.
    pub devices: BTreeMap<DeviceId, bool>,
    /// Those of them that are there, be they usable or not.
    pub attached: BTreeSet<DeviceId>,
    /// Bumped on every change of anything above, so that pages can be told to look again.
    pub revision: u64,
}

/// A request to record a device, parsed.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordRequest {
    /// Device.
    pub device: DeviceId,
    /// The file's name as the client gave it; `None` for one of device and time.
    pub file_name: Option<String>,
    /// What to record, without duplicates and never empty; `None` for what runs.
    pub streams: Option<Vec<StreamType>>,
    /// Ends by itself after this, or earlier where the configuration says so.
    pub max_time: Option<Duration>,
}

/// Something that happened, for clients that want to hear of it at once.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// A stream runs otherwise from now on, because somebody asked for it while others held it.
    Restarted {
        /// Stream.
        key: StreamKey,
        /// What it runs at now.
        profile: Profile,
    },
    /// Options have other values, while [`super::Handle::watch_options`] is on.
    Options {
        /// Device.
        device: DeviceId,
        /// The sensor's place in the device.
        sensor: usize,
        /// The new values, by id.
        values: BTreeMap<String, f64>,
    },
}

/// What the server writes down about itself; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Observe {
    /// The log.
    pub logs: Logs,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}
