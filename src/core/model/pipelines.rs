//! What the API says about pipelines: the files, their faults, and the graphs that run. Owns no behaviour.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Codec, DeviceId, SessionId, StreamType};

/// A fault in a pipeline file, at a place.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct Fault {
    /// The file: its path, or "built-in color.h264.gst".
    #[schema(example = "pipelines/color.h264.gst")]
    pub file: String,
    /// Line, counted from 1.
    #[schema(example = 18)]
    pub line: usize,
    /// Column of the token, in characters counted from 1. Null if only the line is known.
    #[schema(example = 5)]
    pub column: Option<usize>,
    /// The wrong word, if there is one.
    #[schema(example = "x265encc")]
    pub token: Option<String>,
    /// The nearest name that would be right: of an element, a property, a value or a placeholder.
    #[schema(example = "x265enc")]
    pub nearest: Option<String>,
    /// What is wrong, and what would be right if that is known; without the file and the place.
    pub message: String,
}

impl Fault {
    /// One that has no place of its own: it stands at line 1.
    pub fn of_file(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self { file: file.into(), line: 1, message: message.into(), ..Self::default() }
    }
}

/// Whether a pipeline can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PipelineState {
    /// Its text is right. No frame has gone through it yet.
    #[default]
    Parsed,
    /// Frames have gone through it on this machine.
    Works,
    /// It cannot be used. Encoders that run go on with the text that worked last.
    Fault,
}

/// A pipeline file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, ToSchema)]
pub struct PipelineInfo {
    /// Name: the file's without `.gst`.
    #[schema(example = "color.h264")]
    pub name: String,
    /// The path, or "built-in color.h264.gst".
    pub file: String,
    /// Whether it is the program's own copy, because the folder has none.
    pub built_in: bool,
    /// What it makes.
    pub codec: Option<Codec>,
    /// The first line of its comment.
    pub title: String,
    /// The factory of its element `name=encoder`.
    #[schema(example = "x264enc")]
    pub encoder: Option<String>,
    /// Whether it can be used.
    pub state: PipelineState,
    /// What is wrong with it.
    pub fault: Option<Fault>,
    /// The streams that use it now.
    pub used_by: Vec<PipelineUse>,
}

/// A stream that uses a pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PipelineUse {
    /// Device.
    pub device_id: DeviceId,
    /// Stream.
    #[schema(value_type = String, example = "color")]
    pub stream_type: StreamType,
    /// Sessions on its tee.
    pub sessions: usize,
    /// Seconds since it was started or last swapped.
    pub running_s: f64,
    /// Whether an older text of the file runs, because the present one has a fault.
    pub outdated: bool,
}

/// The pipelines of a device, as they run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, ToSchema)]
pub struct Graph {
    /// Device.
    pub device_id: Option<DeviceId>,
    /// Unix seconds.
    pub taken_at: f64,
    /// Whether elements were measured. If not, `meter` is null.
    pub measured: bool,
    /// One per stream and codec, and one per session that was asked for.
    pub pipelines: Vec<GraphPipeline>,
}

/// Whose pipeline it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GraphKind {
    /// One stream in one codec, for everybody.
    #[default]
    Encoder,
    /// One session.
    Session,
}

/// One running pipeline.
#[derive(Debug, Clone, PartialEq, Default, Serialize, ToSchema)]
pub struct GraphPipeline {
    /// `DEVICE/STREAM/CODEC` of an encoder, `session/ID` of a session.
    #[schema(example = "844212070924/color/h264")]
    pub id: String,
    /// Encoder or session.
    pub kind: GraphKind,
    /// Stream of an encoder.
    #[schema(value_type = Option<String>)]
    pub stream_type: Option<StreamType>,
    /// Codec of an encoder.
    pub codec: Option<Codec>,
    /// Session of a session's pipeline.
    pub session_id: Option<SessionId>,
    /// The file an encoder was built from.
    pub file: Option<String>,
    /// GStreamer's state: "PLAYING".
    pub state: String,
    /// Seconds since it was started.
    pub running_s: f64,
    /// Elements, in the order of the flow.
    pub elements: Vec<GraphElement>,
    /// Links between them.
    pub links: Vec<GraphLink>,
}

/// An element of a running pipeline.
#[derive(Debug, Clone, PartialEq, Default, Serialize, ToSchema)]
pub struct GraphElement {
    /// Name, unique in its pipeline.
    #[schema(example = "encoder")]
    pub name: String,
    /// Factory.
    #[schema(example = "x264enc")]
    pub factory: String,
    /// The factory's classes, such as "Codec/Encoder/Video".
    pub klass: String,
    /// GStreamer's state.
    pub state: String,
    /// The session behind a tee's branch.
    pub session_id: Option<SessionId>,
    /// Properties that differ from their defaults; for the encoder every readable one.
    pub properties: BTreeMap<String, Value>,
    /// What waits in a queue, an appsrc or an appsink.
    pub queue: Option<GraphQueue>,
    /// What was measured.
    pub meter: Option<GraphMeter>,
}

/// How full a queue is.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, ToSchema)]
pub struct GraphQueue {
    /// Buffers waiting.
    pub buffers: u64,
    /// Most that may wait; 0 for no limit.
    pub max_buffers: u64,
    /// Bytes waiting.
    pub bytes: u64,
    /// Buffers dropped since it started, if the element counts them.
    pub dropped: Option<u64>,
}

/// What was measured at an element.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, ToSchema)]
pub struct GraphMeter {
    /// Buffers a second that came out (of a sink or a tee: that went in).
    pub buffers_per_s: f64,
    /// Kilobits a second that came out (of a sink or a tee: that went in).
    pub kbps: f64,
    /// Buffers that went in and did not come out.
    pub dropped: u64,
    /// Mean milliseconds from in to out.
    pub latency_ms: Option<f64>,
    /// Largest of the last seconds.
    pub latency_max_ms: Option<f64>,
}

/// A link between two elements.
#[derive(Debug, Clone, PartialEq, Default, Serialize, ToSchema)]
pub struct GraphLink {
    /// Name of the element it comes from.
    pub from: String,
    /// Its pad.
    pub from_pad: String,
    /// Name of the element it goes to.
    pub to: String,
    /// Its pad.
    pub to_pad: String,
    /// Negotiated caps.
    pub caps: Option<String>,
}

/// An element and its properties, for tuning.
#[derive(Debug, Clone, PartialEq, Default, Serialize, ToSchema)]
pub struct ElementInfo {
    /// `DEVICE/STREAM/CODEC/ELEMENT`.
    #[schema(example = "844212070924/color/h264/encoder")]
    pub path: String,
    /// Factory.
    pub factory: String,
    /// GStreamer's state.
    pub state: String,
    /// Every readable property, by name.
    pub properties: BTreeMap<String, PropertyInfo>,
}

/// A property of an element.
#[derive(Debug, Clone, PartialEq, Default, Serialize, ToSchema)]
pub struct PropertyInfo {
    /// Present value; enums and flags by nick.
    pub value: Value,
    /// Default value, if the element gives one.
    pub default: Value,
    /// GObject's type name.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it does, in the element's words.
    pub description: String,
    /// Least value of a number.
    pub min: Option<f64>,
    /// Greatest value of a number.
    pub max: Option<f64>,
    /// The nicks an enum may take.
    pub values: Vec<String>,
    /// Whether it can be changed while it plays.
    pub mutable_playing: bool,
    /// Whether the API may set it, by `debug.settable`.
    pub settable: bool,
}
