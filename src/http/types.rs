//! What the API answers with: the JSON types that the model does not already have, and how the model becomes them.
//! Owns no parsing; `requests` reads what clients send.

mod sensors;
mod starts;

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

pub(super) use self::sensors::{COMBINED_MOTION, MOTION_SIZE, sensor_id};
pub use self::sensors::{FirmwareStatus, Noop, OptionSet, Resolution, SensorBody, SupportedStreamProfile};
pub use self::starts::{SensorStream, SensorStreamStatus, StartedBody, StoppedBody};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    config::Webrtc,
    media::SessionStats,
    model::{DeviceId, Profile, SessionId, SessionState, StreamType},
    session::api::{Changed, Offer, OfferedStream, References, RunningStream, SessionStatus},
};

/// The result of a request that returns nothing else.
#[derive(Debug, Serialize, ToSchema)]
pub struct Success {
    /// Whether the request was carried out.
    #[schema(example = true)]
    pub success: bool,
}

/// The server's health.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"status": "ok", "service": "realsense-api", "sdk_version": "none", "version": "0.2.0", "cameras": 1}))]
pub struct HealthBody {
    /// "ok", or "degraded" if no camera can work or GStreamer hangs.
    pub status: &'static str,
    /// Always "realsense-api".
    pub service: &'static str,
    /// The camera SDK's version, or "none".
    pub sdk_version: String,
    /// This server's version.
    pub version: &'static str,
    /// Number of devices that can be used now, simulated ones included. 0 is no error: a camera may be plugged in later.
    pub cameras: usize,
    /// Why the server is degraded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Distance at a pixel of the depth picture.
#[derive(Debug, Serialize, ToSchema)]
pub struct DepthAtPixel {
    /// Metres; null where the camera measured nothing, and outside the picture.
    #[schema(required = true, example = 1.234)]
    pub depth: Option<f64>,
    /// Column, 0 at the left.
    pub x: i64,
    /// Row, 0 at the top.
    pub y: i64,
    /// Always "meters".
    #[schema(example = "meters")]
    pub units: &'static str,
    /// Says that the pixel lies outside the picture, and how large that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub detail: Option<String>,
}

/// The range of the depth colours, in metres.
#[derive(Debug, Serialize, ToSchema)]
pub struct DepthRange {
    /// Distance in metres that has the near colour.
    #[schema(example = 0.3)]
    pub min_depth: f64,
    /// Distance in metres that has the far colour.
    #[schema(example = 6.0)]
    pub max_depth: f64,
    /// Always "meters".
    #[schema(example = "meters")]
    pub units: &'static str,
}

/// Widens a configured value through its text, so that 0.3 stays 0.3 on its way from f32 to f64.
pub(super) fn exact(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| f64::from(value))
}

/// Whether a device's point cloud is in the metadata.
#[derive(Debug, Serialize, ToSchema)]
pub struct PointCloudStatus {
    /// Device.
    pub device_id: DeviceId,
    /// Whether `metadata_update` carries the point cloud.
    pub is_active: bool,
}

/// One point cloud.
#[derive(Debug, Serialize, ToSchema)]
pub struct PointCloudData {
    /// Always true.
    pub success: bool,
    /// Device.
    pub device_id: DeviceId,
    /// The points: x (to the right), y (down) and z (ahead) in metres.
    #[schema(example = json!([[0.12, -0.4, 1.5]]))]
    pub vertices: Vec<[f64; 3]>,
    /// Number of points.
    #[schema(example = 1)]
    pub vertex_count: usize,
    /// Unix seconds when it was made.
    #[schema(example = 1760000000.25)]
    pub timestamp: f64,
    /// The camera's count of frames.
    pub frame_number: u64,
}

/// A new session's offer.
#[derive(Debug, Serialize, ToSchema)]
pub struct OfferBody {
    /// The new session.
    pub session_id: SessionId,
    /// The offer. It already holds the server's candidates.
    #[schema(example = "v=0\r\no=- 6839 0 IN IP4 0.0.0.0\r\n…")]
    pub sdp: String,
    /// Always "offer".
    #[serde(rename = "type")]
    #[schema(example = "offer")]
    pub kind: &'static str,
    /// What each stream really runs at, in m-line order.
    pub streams: Vec<OfferedStream>,
}

impl From<Offer> for OfferBody {
    fn from(offer: Offer) -> Self {
        Self { session_id: offer.session, sdp: offer.sdp, kind: "offer", streams: offer.streams }
    }
}

/// What a session carries after a change.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChangedBody {
    /// The session.
    pub session_id: SessionId,
    /// Its streams in m-line order.
    #[schema(value_type = Vec<String>, example = json!(["color", "depth"]))]
    pub stream_types: Vec<StreamType>,
    /// The same with what they run at and which m-line carries them.
    pub streams: Vec<OfferedStream>,
    /// A new offer of the session, where it had too few m-lines. It carries these streams once that is answered; if it is not within
    /// `sessions.answer_timeout_s`, the session ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "v=0\r\no=- 6839 1 IN IP4 0.0.0.0\r\n…")]
    pub sdp: Option<String>,
    /// "offer", beside `sdp`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "offer")]
    pub kind: Option<&'static str>,
}

impl From<Changed> for ChangedBody {
    fn from(changed: Changed) -> Self {
        let stream_types = changed.streams.iter().map(|stream| stream.stream_type).collect();
        let kind = changed.sdp.as_ref().map(|_| "offer");
        Self { session_id: changed.session, stream_types, streams: changed.streams, sdp: changed.sdp, kind }
    }
}

/// A session.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebRtcStatus {
    /// Session.
    pub session_id: SessionId,
    /// Device.
    pub device_id: DeviceId,
    /// Whether the encrypted connection (DTLS) is up.
    pub connected: bool,
    /// Whether media was sent within the last two seconds.
    pub streaming: bool,
    /// Streams in m-line order.
    #[schema(value_type = Vec<String>, example = json!(["color", "depth"]))]
    pub stream_types: Vec<StreamType>,
    /// The session's state.
    pub state: SessionState,
    /// Unix seconds.
    #[schema(example = 1760000000.25)]
    pub created_at: f64,
    /// Unix seconds of the peer's last packet or request.
    #[schema(example = 1760000012.5)]
    pub last_activity: f64,
    /// The peer's address as `ip:port`, once it is known.
    #[schema(example = "192.168.1.20:53124")]
    pub remote_address: Option<String>,
    /// The header `User-Agent` of the request for the offer.
    pub user_agent: Option<String>,
    /// "relay" for a session that came through a relay, else null.
    #[schema(example = "relay")]
    pub via: Option<&'static str>,
    /// Counters.
    pub stats: Option<SessionStats>,
}

impl From<SessionStatus> for WebRtcStatus {
    fn from(status: SessionStatus) -> Self {
        Self {
            session_id: status.session,
            device_id: status.device,
            connected: status.state == SessionState::Connected,
            streaming: status.stats.streaming,
            stream_types: status.streams,
            state: status.state,
            created_at: unix_seconds(status.created_at),
            last_activity: unix_seconds(status.last_activity),
            remote_address: status.remote_address,
            user_agent: status.user_agent,
            via: status.relayed.then_some("relay"),
            stats: Some(status.stats),
        }
    }
}

/// How many sessions were closed.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClosedSessions {
    /// Number of sessions closed.
    #[schema(example = 3)]
    pub closed_sessions: usize,
}

/// An ICE server, ready for `RTCPeerConnection`.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub struct IceServer {
    /// Addresses.
    #[schema(example = json!(["stun:stun.example.org:3478"]))]
    pub urls: Vec<String>,
    /// User name, for TURN.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub username: Option<String>,
    /// Password, for TURN.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub credential: Option<String>,
}

/// The configured servers, STUN first.
pub(super) fn ice_servers(config: &Webrtc) -> Vec<IceServer> {
    let stun = (!config.stun_server.is_empty()).then(|| IceServer {
        urls: vec![config.stun_server.clone()],
        username: None,
        credential: None,
    });
    let turn = config.turn_servers.iter().map(|server| IceServer {
        urls: vec![server.url.clone()],
        username: Some(server.username.clone()),
        credential: Some(server.credential.clone()),
    });
    stun.into_iter().chain(turn).collect()
}

/// Who references which stream, and what runs.
#[derive(Debug, Serialize, ToSchema)]
pub struct StreamReferences {
    /// Number of references by device and stream type. Those without a reference are left out.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, usize>>,
             example = json!({"844212070924": {"color": 2, "depth": 1}}))]
    pub stream_references: BTreeMap<DeviceId, BTreeMap<StreamType, usize>>,
    /// The streams that run, by device.
    #[schema(value_type = BTreeMap<String, DeviceStreamConfig>)]
    pub device_stream_configs: BTreeMap<DeviceId, DeviceStreamConfig>,
}

/// What a device streams.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceStreamConfig {
    /// The running streams, as an explicit start would name them.
    pub configs: Vec<RunningConfig>,
    /// Unix seconds when the first of them started.
    #[schema(example = 1760000000.25)]
    pub started_at: f64,
}

/// One running stream, as an explicit start would name it.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub struct RunningConfig {
    /// The sensor it comes from.
    pub sensor_id: String,
    /// Stream type.
    #[schema(value_type = String, example = "color")]
    pub stream_type: StreamType,
    /// Pixel format, in librealsense's name.
    #[schema(example = "rgb8")]
    pub format: String,
    /// Size.
    pub resolution: Resolution,
    /// Frames per second.
    #[schema(example = 30)]
    pub framerate: u32,
    /// Always true.
    pub enable: bool,
}

impl RunningConfig {
    fn new(device: &DeviceId, stream: &RunningStream) -> Self {
        let Profile { width, height, framerate } = stream.config.profile;
        Self {
            sensor_id: sensor_id(device, stream.sensor),
            stream_type: stream.config.stream,
            format: stream.config.format.to_string(),
            resolution: Resolution { width, height },
            framerate,
            enable: true,
        }
    }
}

impl From<References> for StreamReferences {
    fn from(references: References) -> Self {
        let device_stream_configs = references
            .running
            .iter()
            .filter_map(|(device, streams)| {
                let started_at = streams.iter().map(|stream| stream.started_at).min()?;
                let configs = streams.iter().map(|stream| RunningConfig::new(device, stream)).collect();
                Some((device.clone(), DeviceStreamConfig { configs, started_at: unix_seconds(started_at) }))
            })
            .collect();
        Self { stream_references: references.references, device_stream_configs }
    }
}

/// Unix seconds as a float; 0 for a clock before 1970.
pub(super) fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{camera::StreamConfig, config::TurnServer, model::PixelFormat};

    #[test]
    fn a_device_without_running_streams_is_absent() {
        let device = DeviceId::new("1");
        let running = RunningStream {
            sensor: 0,
            config: StreamConfig {
                stream: StreamType::Depth,
                format: PixelFormat::Z16,
                profile: Profile { width: 640, height: 480, framerate: 30 },
            },
            started_at: UNIX_EPOCH + Duration::from_millis(1500),
        };
        let body = StreamReferences::from(References {
            references: BTreeMap::from([(device.clone(), BTreeMap::from([(StreamType::Depth, 2)]))]),
            running: BTreeMap::from([(device, vec![running]), (DeviceId::new("2"), vec![])]),
        });
        let json = serde_json::to_value(&body).expect("it serialises");
        assert_eq!(json["stream_references"]["1"]["depth"], 2);
        assert_eq!(json["device_stream_configs"]["1"]["started_at"], 1.5);
        assert_eq!(json["device_stream_configs"]["1"]["configs"][0]["resolution"]["width"], 640);
        assert!(json["device_stream_configs"].get("2").is_none());
    }

    #[test]
    fn ice_servers_come_from_the_configuration() {
        let config = Webrtc {
            stun_server: "stun:s:1".into(),
            turn_servers: vec![TurnServer { url: "turn:t:2".into(), username: "u".into(), credential: "p".into() }],
            ..Webrtc::default()
        };
        let json = serde_json::to_value(ice_servers(&config)).expect("it serialises");
        assert_eq!(
            json,
            serde_json::json!([
                {"urls": ["stun:s:1"]}, {"urls": ["turn:t:2"], "username": "u", "credential": "p"}
            ])
        );
        assert!(ice_servers(&Webrtc::default()).is_empty());
    }
}
