//! What clients send: the JSON types of request bodies, and how they become the parsed requests of the session handle.
//! Everything that can be refused without asking the camera is refused here, with a sentence that says what is valid.

mod start;

use std::collections::BTreeMap;

pub use self::start::{
    SensorStartBody, SensorStartConfig, SensorStartProfile, StartBody, StartConfig, WantedResolution,
};
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use crate::{
    camera::SimFault,
    error::{Error, Result},
    media::CLOUD_CHANNEL,
    model::{Codec, DeviceId, IceCandidate, Profile, SensorInfo, SessionId, StreamType},
    session::api::{ChangeRequest, OfferRequest},
};

/// Most stream types in one offer: twice what any device has.
const MAX_STREAMS: usize = 8;
/// Most m-lines for streams that come later: as many as a device has.
const MAX_SPARE: usize = 4;
/// Largest picture side that makes sense for these cameras, in pixels.
const MAX_SIDE: i64 = 4096;
/// Highest frame rate that any of these cameras has, in frames per second.
const MAX_FPS: i64 = 300;
/// Longest `User-Agent` that is kept, in bytes.
const MAX_USER_AGENT: usize = 256;

/// Asks for an offer.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({
    "device_id": "844212070924", "stream_types": ["color", "depth"], "codecs": ["video/H264", "video/VP8"],
    "profiles": {"color": {"width": 640, "height": 480, "framerate": 30}}
}))]
pub struct OfferRequestBody {
    /// Device.
    pub device_id: String,
    /// Video streams, in the order of the offer's m-lines. Duplicates count once.
    pub stream_types: Vec<String>,
    /// Codecs that the browser can receive, best first (`RTCRtpReceiver.getCapabilities`). If absent: those of
    /// `pipelines.codecs`, in that order.
    pub codecs: Option<Vec<String>>,
    /// Wanted size and rate by stream type. They count only for a stream that does not run yet.
    pub profiles: Option<BTreeMap<String, WantedProfile>>,
    /// Data channels that the session is to have: `pointcloud-data`, which carries point clouds of the device's depth. If absent:
    /// none.
    #[schema(example = json!(["pointcloud-data"]))]
    pub data_channels: Option<Vec<String>>,
    /// m-lines for streams that come later by a PATCH of the session: 0 to 4. If absent: none.
    #[schema(example = 1, minimum = 0, maximum = 4)]
    pub spare_streams: Option<u8>,
}

/// A wanted size and rate.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
pub struct WantedProfile {
    /// Width in pixels.
    #[serde(deserialize_with = "whole")]
    #[schema(example = 640, minimum = 1, maximum = 4096)]
    pub width: i64,
    /// Height in pixels.
    #[serde(deserialize_with = "whole")]
    #[schema(example = 480, minimum = 1, maximum = 4096)]
    pub height: i64,
    /// Frames per second.
    #[serde(alias = "fps", deserialize_with = "whole")]
    #[schema(example = 30, minimum = 1, maximum = 300)]
    pub framerate: i64,
}

impl OfferRequestBody {
    /// Checks everything that needs no camera.
    ///
    /// # Errors
    /// Invalid, naming the valid values.
    pub(crate) fn parse(self, user_agent: Option<&str>) -> Result<OfferRequest> {
        let streams = parse_streams(&self.stream_types)?;
        let codecs = self.codecs.map(|names| parse_codecs(&names)).transpose()?;
        let profiles = parse_profiles(self.profiles)?;
        let user_agent = user_agent.map(|text| {
            let end = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= MAX_USER_AGENT);
            text[..end.last().unwrap_or(0)].to_owned()
        });
        let data_channels = self.data_channels.unwrap_or_default();
        if let Some(unknown) = data_channels.iter().find(|name| *name != CLOUD_CHANNEL) {
            let shown: String = unknown.chars().take(40).collect();
            return Err(Error::invalid(format!(
                "There is no data channel '{shown}'. The only one is {CLOUD_CHANNEL}."
            )));
        }
        let spare = usize::from(self.spare_streams.unwrap_or_default());
        if spare > MAX_SPARE {
            return Err(Error::invalid(format!("'spare_streams' goes from 0 to {MAX_SPARE}; got {spare}.")));
        }
        let (device, data_channel) = (DeviceId::new(self.device_id), !data_channels.is_empty());
        Ok(OfferRequest { device, streams, codecs, profiles, user_agent, data_channel, spare, relayed: false })
    }
}

/// Changes what a session carries.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(example = json!({"stream_types": ["color", "depth"], "profiles": {"depth": {"width": 848, "height": 480, "framerate": 30}}}))]
pub struct ChangeBody {
    /// The video streams that it is to carry. Duplicates count once. If absent: those that it carries.
    #[serde(default)]
    pub stream_types: Option<Vec<String>>,
    /// Size and rate by stream type. A stream that runs otherwise is restarted, whoever else watches it.
    #[serde(default)]
    pub profiles: Option<BTreeMap<String, WantedProfile>>,
}

impl ChangeBody {
    /// Checks everything that needs no session.
    ///
    /// # Errors
    /// Invalid, naming the valid values.
    pub(crate) fn parse(self, session: &str) -> Result<ChangeRequest> {
        if self.stream_types.is_none() && self.profiles.is_none() {
            return Err(Error::invalid("Nothing to change is named: give 'stream_types', 'profiles' or both."));
        }
        let streams = self.stream_types.map(|names| parse_streams(&names)).transpose()?;
        let profiles = parse_profiles(self.profiles)?;
        Ok(ChangeRequest { session: SessionId::new(session), streams, profiles, renegotiate: true })
    }
}

/// Video streams in the order of their names, each once.
fn parse_streams(names: &[String]) -> Result<Vec<StreamType>> {
    let mut streams = Vec::new();
    for text in names {
        let stream = StreamType::parse_video(text)?;
        if !streams.contains(&stream) {
            streams.push(stream);
        }
    }
    if streams.is_empty() {
        return Err(Error::invalid(format!("No stream type given. Valid stream types: {}.", video_names())));
    }
    if names.len() > MAX_STREAMS {
        return Err(Error::invalid(format!("At most {MAX_STREAMS} stream types fit in one session.")));
    }
    Ok(streams)
}

fn parse_profiles(wanted: Option<BTreeMap<String, WantedProfile>>) -> Result<BTreeMap<StreamType, Profile>> {
    let wanted = wanted.unwrap_or_default().into_iter();
    wanted.map(|(name, wanted)| Ok((StreamType::parse_video(&name)?, wanted.parse(&name)?))).collect()
}

fn video_names() -> String {
    StreamType::VIDEO.map(|stream| stream.to_string()).join(", ")
}

fn parse_codecs(names: &[String]) -> Result<Vec<Codec>> {
    let mut codecs = Vec::new();
    for codec in names.iter().filter_map(|name| Codec::from_mime(name)) {
        if !codecs.contains(&codec) {
            codecs.push(codec);
        }
    }
    if codecs.is_empty() {
        let ours: Vec<_> = Codec::ALL.iter().map(|codec| format!("video/{codec}")).collect();
        return Err(Error::invalid(format!(
            "None of the codecs in 'codecs' can be sent. This server sends {}.",
            ours.join(", ")
        )));
    }
    Ok(codecs)
}

impl WantedProfile {
    fn parse(self, what: &str) -> Result<Profile> {
        let what: String = what.chars().take(40).collect();
        if !(1..=MAX_SIDE).contains(&self.width) || !(1..=MAX_SIDE).contains(&self.height) {
            return Err(Error::invalid(format!(
                "The size {}x{} of '{what}' is out of range: width and height go from 1 to {MAX_SIDE}.",
                self.width, self.height
            )));
        }
        if !(1..=MAX_FPS).contains(&self.framerate) {
            return Err(Error::invalid(format!(
                "The framerate {} of '{what}' is out of range: it goes from 1 to {MAX_FPS}.",
                self.framerate
            )));
        }
        let side = |value: i64| u32::try_from(value).expect("checked to lie in a range that fits");
        Ok(Profile { width: side(self.width), height: side(self.height), framerate: side(self.framerate) })
    }
}

/// Answers an offer.
#[derive(Debug, Deserialize, ToSchema)]
pub struct AnswerBody {
    /// Session.
    pub session_id: String,
    /// The browser's answer.
    #[schema(example = "v=0\r\no=- 4611 2 IN IP4 127.0.0.1\r\n…")]
    pub sdp: String,
    /// Always "answer".
    #[serde(rename = "type")]
    #[schema(example = "answer")]
    pub kind: String,
}

impl AnswerBody {
    /// Checks that this is an answer with an SDP; whether it fits the offer is the media side's to say.
    ///
    /// # Errors
    /// Invalid.
    pub(crate) fn check(&self) -> Result<()> {
        if self.kind != "answer" {
            let shown: String = self.kind.chars().take(40).collect();
            return Err(Error::invalid(format!("'type' must be 'answer', not '{shown}'.")));
        }
        if !self.sdp.trim_start().starts_with("v=0") {
            return Err(Error::invalid("The SDP does not parse: it must start with 'v=0'."));
        }
        Ok(())
    }
}

/// A candidate of the browser.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CandidateBody {
    /// Session.
    pub session_id: String,
    /// `candidate:…`; empty or null means end of candidates.
    #[serde(default, deserialize_with = "null_is_default")]
    #[schema(example = "candidate:1 1 UDP 2122252543 192.168.1.20 53124 typ host")]
    pub candidate: String,
    /// The m-line's id; may be null, empty or absent.
    #[serde(rename = "sdpMid", alias = "sdp_mid", default)]
    pub sdp_mid: Option<String>,
    /// The m-line's index; may be null or absent.
    #[serde(rename = "sdpMLineIndex", alias = "sdp_mline_index", alias = "sdp_m_line_index", default)]
    pub sdp_mline_index: Option<u32>,
}

impl From<CandidateBody> for IceCandidate {
    /// The line itself is checked with the session it is for, after the session was found.
    fn from(body: CandidateBody) -> Self {
        Self {
            candidate: body.candidate,
            sdp_mid: body.sdp_mid.filter(|mid| !mid.is_empty()),
            sdp_mline_index: body.sdp_mline_index,
        }
    }
}

/// The distinct values in order of first appearance, for a sentence.
fn list<T: ToString>(values: impl Iterator<Item = T>) -> String {
    let mut seen: Vec<String> = Vec::new();
    for value in values.map(|value| value.to_string()) {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    seen.join(", ")
}

/// The index that a sensor id of this device names.
///
/// # Errors
/// NotFound when the id is not one of this device.
pub(super) fn sensor_index(device: &DeviceId, sensor_id: &str) -> Result<usize> {
    sensor_id
        .strip_prefix(device.as_str())
        .and_then(|rest| rest.strip_prefix("-sensor-"))
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| {
            let shown: String = sensor_id.chars().take(60).collect();
            Error::not_found(format!(
                "Sensor '{shown}' is not one of device {device}; its sensors are named {device}-sensor-0, -1 and so on."
            ))
        })
}

/// The sensor that a sensor id of this device names.
///
/// # Errors
/// NotFound, saying which sensors there are.
pub(super) fn find_sensor<'a>(device: &DeviceId, sensor_id: &str, sensors: &'a [SensorInfo]) -> Result<&'a SensorInfo> {
    let index = sensor_index(device, sensor_id)?;
    sensors.iter().find(|sensor| sensor.index == index).ok_or_else(|| {
        let known = list(sensors.iter().map(|sensor| format!("{device}-sensor-{}", sensor.index)));
        Error::not_found(format!("Device {device} has no sensor {index}. Its sensors: {known}."))
    })
}

/// Sets an option.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"value": 8500}))]
pub struct OptionValueBody {
    /// The new value; true and false count as 1 and 0, and a text that is a number as that number.
    #[serde(deserialize_with = "number_or_bool")]
    pub value: f64,
}

/// Changes the range of the depth colours.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"min_depth": 0.3, "max_depth": 4.0}))]
pub struct DepthRangeBody {
    /// Distance in metres that has the near colour, at least 0.
    pub min_depth: f32,
    /// Distance in metres that has the far colour, at most 65.535.
    pub max_depth: f32,
}

/// Makes a simulated camera misbehave.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"fault": "drop", "probability": 0.2}))]
pub struct SimFaultRequest {
    /// `unplug`, `replug`, `stall`, `drop`, `fail_start` or `garbage_size`; `clear` ends them.
    pub fault: String,
    /// The share of frames that `drop` drops, 0 to 1. If absent: 0.5.
    #[serde(default)]
    pub probability: Option<f64>,
}

impl SimFaultRequest {
    /// The fault meant.
    ///
    /// # Errors
    /// Invalid, listing the faults.
    pub(super) fn parse(&self) -> Result<SimFault> {
        let probability = self.probability.unwrap_or(0.5);
        if !(0.0..=1.0).contains(&probability) {
            return Err(Error::invalid(format!("The probability {probability} is out of range: it goes from 0 to 1.")));
        }
        match self.fault.trim().to_ascii_lowercase().replace('-', "_").as_str() {
            "unplug" => Ok(SimFault::Unplug),
            "replug" => Ok(SimFault::Replug),
            "stall" => Ok(SimFault::Stall),
            "drop" => Ok(SimFault::Drop(probability)),
            "fail_start" => Ok(SimFault::FailStart),
            "garbage_size" => Ok(SimFault::GarbageSize),
            "clear" => Ok(SimFault::Clear),
            other => {
                let shown: String = other.chars().take(40).collect();
                Err(Error::invalid(format!(
                    "Unknown fault '{shown}'. Faults: unplug, replug, stall, drop, fail_start, garbage_size, clear."
                )))
            }
        }
    }
}

/// A whole number, also when written as `30.0`, as Python's clients may.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Int(i64),
        Float(f64),
        Other(serde::de::IgnoredAny),
    }
    match Number::deserialize(deserializer)? {
        Number::Int(value) => Ok(value),
        // Within ±2^53 every whole float is exact.
        #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small")]
        Number::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => Ok(value as i64),
        Number::Float(_) | Number::Other(_) => Err(serde::de::Error::custom("invalid type: expected a whole number")),
    }
}

fn number_or_bool<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Value {
        Bool(bool),
        Number(f64),
        Text(String),
        Other(serde::de::IgnoredAny),
    }
    let value = match Value::deserialize(deserializer)? {
        Value::Bool(value) => Some(f64::from(u8::from(value))),
        Value::Number(value) => Some(value),
        // What a form gives that nobody converted.
        Value::Text(text) => text.trim().parse().ok(),
        Value::Other(_) => None,
    };
    value.filter(|value| value.is_finite()).ok_or_else(|| serde::de::Error::custom("invalid type: expected a number"))
}

fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
