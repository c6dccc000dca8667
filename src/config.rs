//! The configuration: TOML file plus environment and command line, turned into validated types.
//! `realsense-webrtc.toml` in the repository documents every key and equals these defaults (a test says so).

mod check;
mod environment;
mod load;
mod origin;
mod pipelines;
mod relay;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

pub use environment::{ENV_PREFIX, OLD_PROBE_TOKEN, TOKEN};
pub use load::Loaded;
pub use origin::Origins;
pub use pipelines::AUTO;
pub use relay::{Allow, Place, Relay};

use super::{
    core::wishes::recording::Limits,
    model::{Codec, Profile, StreamType},
};

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// HTTP.
    pub server: Server,
    /// Session limits and timeouts.
    pub sessions: Sessions,
    /// Cameras and the simulator.
    pub camera: Camera,
    /// The SDK: real cameras and recordings played back.
    pub realsense: Realsense,
    /// Size, rate and bitrate of each stream.
    pub streams: Streams,
    /// How depth is turned into a picture.
    pub depth: Depth,
    /// WebRTC networking.
    pub webrtc: Webrtc,
    /// A signalling relay.
    pub relay: Relay,
    /// Pipeline files.
    pub pipelines: Pipelines,
    /// Looking inside.
    pub debug: Debug,
    /// Recordings.
    pub recording: Recording,
    /// Logging.
    pub log: Log,
    /// What the command line itself asked for.
    #[serde(skip)]
    pub asked: Asked,
}

/// What the command line itself asked for: a person waits for it, so a start that cannot give it ends. What a configuration
/// asks for, a server that nobody watches goes on without, and reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// `--recording`.
    pub recordings: bool,
    /// `--software-device`.
    pub software_device: bool,
}

/// HTTP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// Origins other than the server's own that may use the API (CORS); `"*"` for all.
    pub allowed_origins: Vec<String>,
    /// Folder served as the page; empty for the pages built into the program.
    pub www_dir: String,
    /// The `Content-Security-Policy` of the pages in `www_dir`; empty: `frame-ancestors 'self'`. The built-in pages have
    /// their own.
    pub content_security_policy: String,
    /// Token that every API request must carry; empty for none.
    pub token: String,
    /// Token that also allows what changes the server itself: element properties, log thresholds; empty: nobody may set
    /// element properties, and every client that may use the API may change log thresholds.
    pub admin_token: String,
}

/// Session limits and timeouts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sessions {
    /// Most sessions at once.
    pub limit: usize,
    /// Seconds an offer may stay unanswered.
    pub answer_timeout_s: u64,
    /// Seconds from the answer to a connection.
    pub connect_timeout_s: u64,
    /// Seconds without a packet from the peer, or any request, after which a session ends.
    pub idle_timeout_s: u64,
    /// Seconds a session may last in all; 0 for no limit.
    pub max_lifetime_s: u64,
    /// Seconds of silence from a connected peer after which it counts as disconnected; 5 s later its session ends.
    pub peer_silence_s: u64,
}

/// Cameras and the simulator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Camera {
    /// Simulated cameras: a number, or "auto". In a service a camera that is missing must not be replaced by pictures that
    /// nobody asked for, so it is 0 unless it is set.
    pub sim_cameras: SimCameras,
    /// Whether gyro and accelerometer run beside video, for the metadata.
    pub motion: bool,
    /// Seconds a stream keeps running after its last viewer left.
    pub linger_s: f64,
    /// Seconds a device may take to start before requests are refused.
    pub start_timeout_s: u64,
    /// Seconds without a frame after which a running stream is restarted.
    pub stall_timeout_s: u64,
}

/// How many cameras are simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimCameras {
    /// One when the server starts with no camera and was given no recording to play, else none.
    Auto,
    /// That many.
    Count(usize),
}

impl std::str::FromStr for SimCameras {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "auto" => Ok(Self::Auto),
            number => match number.parse() {
                Ok(count @ 0..=MOST_SIM_CAMERAS) => Ok(Self::Count(count)),
                _ => Err(format!("it takes a number from 0 to {MOST_SIM_CAMERAS}, or auto; got '{text}'")),
            },
        }
    }
}

impl Serialize for SimCameras {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Count(count) => serializer.serialize_u64(*count as u64),
        }
    }
}

impl<'de> Deserialize<'de> for SimCameras {
    /// Takes a number also as text, as the environment gives it.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u16),
            Text(String),
        }
        match Written::deserialize(deserializer).map_err(|_| serde::de::Error::custom(SIM_CAMERAS))? {
            Written::Number(count) => Ok(Self::Count(count.into())),
            Written::Text(text) if text.trim() == "auto" => Ok(Self::Auto),
            Written::Text(text) => {
                text.trim().parse().map(Self::Count).map_err(|_| serde::de::Error::custom(SIM_CAMERAS))
            }
        }
    }
}

/// Most lines of the log that may be kept.
pub const MOST_KEPT_LINES: usize = 100_000;
/// Most simulated cameras.
pub const MOST_SIM_CAMERAS: usize = 16;
/// What may stand for the simulated cameras.
const SIM_CAMERAS: &str = "camera.sim_cameras must be \"auto\" or a number from 0 to 16";

/// The SDK: real cameras and recordings played back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Realsense {
    /// Whether to look for real cameras.
    pub enabled: bool,
    /// The file librealsense2.so, or the folder it lies in; empty: where the system's loader finds it.
    pub library: String,
    /// Recordings to play, each as a device.
    pub recordings: Vec<PathBuf>,
    /// Whether recordings begin again at their end.
    pub repeat: bool,
    /// Preset files (JSON, as the RealSense Viewer saves them) by the camera's serial number.
    pub presets: BTreeMap<String, PathBuf>,
    /// Whether to add the SDK's software device, fed by the simulator.
    pub software_device: bool,
}

/// Size, rate and bitrate of each stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Streams {
    /// Colour.
    pub color: Stream,
    /// Depth.
    pub depth: Stream,
    /// Both infrared streams.
    pub infrared: Stream,
}

/// One stream's size, rate and bitrate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stream {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames per second.
    pub framerate: u32,
    /// Kilobits per second.
    pub bitrate_kbps: u32,
}

/// How depth is turned into a picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Depth {
    /// Metres shown in the near colour.
    pub min_m: f32,
    /// Metres shown in the far colour.
    pub max_m: f32,
    /// Colour map: "jet", "turbo", "viridis" or "gray".
    pub color_map: String,
}

/// WebRTC networking.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Webrtc {
    /// STUN server for the server's own candidates and for the page, `stun:host:port`; empty for none.
    pub stun_server: String,
    /// TURN servers for the server's own candidates and for the page.
    pub turn_servers: Vec<TurnServer>,
    /// Milliseconds to wait for STUN/TURN candidates before the offer is sent with what is there.
    pub gather_timeout_ms: u64,
    /// Whether to offer ICE over TCP.
    pub ice_tcp: bool,
    /// Lowest UDP port for media; 0 lets the system choose.
    pub min_port: u16,
    /// Highest UDP port for media; 0 lets the system choose.
    pub max_port: u16,
    /// IP address that peers are told in place of this machine's own, with the same ports; empty for the own ones.
    pub announce_address: String,
}

/// A TURN server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TurnServer {
    /// `turn:host:port` or `turns:host:port`, with `?transport=udp|tcp` if wanted.
    pub url: String,
    /// User name.
    pub username: String,
    /// Password.
    pub credential: String,
}

/// Pipeline files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pipelines {
    /// Folder with the pipeline files; a file that is not there is taken from the program.
    pub dir: PathBuf,
    /// Codecs that are offered, best first, unless a browser says which it prefers.
    pub codecs: Vec<Codec>,
    /// Which H.264 encoder is taken where `use` and `devices` name no pipeline: "default", the one in the stream's own file;
    /// "auto", the best that works on this machine.
    pub encoder: String,
    /// Whether a saved file is checked and swapped into running streams at once.
    pub reload: bool,
    /// Pipelines by stream type: "color", "depth", "infrared", or one of "infrared-1" and "infrared-2".
    #[serde(rename = "use")]
    pub choice: BTreeMap<String, PipelineNames>,
    /// The same by device: serial number, then stream type. Goes before `use`.
    pub devices: BTreeMap<String, BTreeMap<String, PipelineNames>>,
}

/// One pipeline's name, or several of different codecs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PipelineNames {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl PipelineNames {
    /// The names.
    pub fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Many(names) => names,
        }
    }
}

/// Looking inside.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Debug {
    /// Properties of running elements that may be set over the API, as `ELEMENT.PROPERTY`, for example `encoder.bitrate`;
    /// `server.admin_token` must be set, too.
    pub settable: Vec<String>,
}

/// Recordings. A megabyte is 1,000,000 bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recording {
    /// Folder that recordings are written to and served from; made when it is not there.
    pub dir: PathBuf,
    /// Largest size of a recording in megabytes; 0 for no limit.
    pub max_mb: u64,
    /// Longest recording in seconds; 0 for no limit.
    pub max_seconds: u64,
    /// Megabytes that stay free on the disk: a recording ends, or does not begin, when there is less; 0 for no limit
    /// but what the recorder needs to complete a file.
    pub min_free_mb: u64,
}

/// Logging.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `tracing` filter, for example "info" or "info,realsense_webrtc::media=debug".
    pub filter: String,
    /// "text" or "json".
    pub format: String,
    /// GStreamer's thresholds as in `GST_DEBUG`, for example "*:2,x264enc:5"; what passes goes to the same log.
    pub gst: String,
    /// Lines kept in memory for the page, the API and the bundle.
    pub keep_lines: usize,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            allowed_origins: Vec::new(),
            www_dir: String::new(),
            content_security_policy: String::new(),
            token: String::new(),
            admin_token: String::new(),
        }
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            limit: 100,
            answer_timeout_s: 30,
            connect_timeout_s: 30,
            idle_timeout_s: 1800,
            max_lifetime_s: 3600,
            peer_silence_s: 5,
        }
    }
}

impl Default for Camera {
    fn default() -> Self {
        Self { sim_cameras: SimCameras::Count(0), motion: true, linger_s: 3.0, start_timeout_s: 15, stall_timeout_s: 5 }
    }
}

impl Default for Realsense {
    fn default() -> Self {
        Self {
            enabled: true,
            library: String::new(),
            recordings: Vec::new(),
            repeat: true,
            presets: BTreeMap::new(),
            software_device: false,
        }
    }
}

impl Default for Stream {
    fn default() -> Self {
        Self { width: 640, height: 480, framerate: 30, bitrate_kbps: 2000 }
    }
}

impl Default for Streams {
    fn default() -> Self {
        let infrared = Stream { bitrate_kbps: 1500, ..Stream::default() };
        Self { color: Stream::default(), depth: Stream::default(), infrared }
    }
}

impl Default for Depth {
    fn default() -> Self {
        Self { min_m: 0.3, max_m: 6.0, color_map: "turbo".into() }
    }
}

impl Default for Webrtc {
    fn default() -> Self {
        Self {
            stun_server: String::new(),
            turn_servers: Vec::new(),
            gather_timeout_ms: 1000,
            ice_tcp: false,
            min_port: 0,
            max_port: 0,
            announce_address: String::new(),
        }
    }
}

impl Default for Pipelines {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("pipelines"),
            codecs: vec![Codec::H264, Codec::VP8],
            encoder: "default".into(),
            reload: true,
            choice: BTreeMap::new(),
            devices: BTreeMap::new(),
        }
    }
}

impl Default for Recording {
    fn default() -> Self {
        Self { dir: PathBuf::from("recordings"), max_mb: 20_000, max_seconds: 0, min_free_mb: 1000 }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".into(), format: "text".into(), gst: "*:1".into(), keep_lines: 2000 }
    }
}

impl Config {
    /// Whether a property of a running element may be set over the API: `debug.settable` lists it, and there is a token that
    /// only administrators have.
    pub fn may_set(&self, element: &str, property: &str) -> bool {
        let listed = |entry: &String| entry.rsplit_once('.') == Some((element, property));
        !self.server.admin_token.is_empty() && self.debug.settable.iter().any(listed)
    }
}

impl Streams {
    /// The configured settings of a video stream.
    pub fn of(&self, stream: StreamType) -> &Stream {
        match stream {
            StreamType::Color => &self.color,
            StreamType::Depth => &self.depth,
            _ => &self.infrared,
        }
    }
}

impl Recording {
    /// When a recording ends by itself; `seconds` is what the client asked for, within what is configured.
    pub fn limits(&self, seconds: Option<Duration>) -> Limits {
        const MB: u64 = 1_000_000;
        let configured = Some(self.max_seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs);
        Limits {
            max_bytes: Some(self.max_mb).filter(|mb| *mb > 0).map(|mb| mb.saturating_mul(MB)),
            max_time: configured.into_iter().chain(seconds).min(),
            min_free_bytes: self.min_free_mb.saturating_mul(MB),
        }
    }
}

impl Stream {
    /// Size and rate.
    pub fn profile(&self) -> Profile {
        Profile { width: self.width, height: self.height, framerate: self.framerate }
    }
}
