//! What people may ask the media side while it runs: pipeline files and their faults, running graphs, elements. Owns the
//! interface only. Every call returns at once and is answered through its sender, from whatever thread has the answer.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use tokio::sync::oneshot;

use crate::{
    error::{Error, Result},
    model::{Codec, DeviceId, ElementInfo, Fault, Graph, PipelineInfo, SessionId, StreamKey},
};

/// Where an answer goes. Whoever cannot answer says why: an answer that is dropped instead is told as a bug.
pub type Answer<T, E = Error> = oneshot::Sender<Result<T, E>>;

/// Why a pipeline could not be reloaded.
#[derive(Debug, Clone)]
pub enum ReloadError {
    /// There is no pipeline of this name, or it cannot be reloaded now; the error says which.
    Refused(Error),
    /// The file has a fault; nothing changed.
    Fault(Fault),
}

impl From<Error> for ReloadError {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// Where a reload's answer goes.
pub type ReloadAnswer = Answer<PipelineInfo, ReloadError>;

/// Names an element of a running encoder pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElementPath {
    /// Stream.
    pub key: StreamKey,
    /// Codec.
    pub codec: Codec,
    /// The element's name.
    pub element: String,
}

/// What a graph is asked for.
#[derive(Debug, Clone)]
pub struct GraphRequest {
    /// Device.
    pub device: DeviceId,
    /// Also the inside of this session's pipeline.
    pub session: Option<SessionId>,
    /// Measure the elements from now on for so long; zero leaves measuring as it is.
    pub measure: Duration,
}

/// What people may ask.
pub trait Diagnostics: Send + Sync + 'static {
    /// In words for a person why the media side serves nobody now; `None` while it is well.
    fn trouble(&self) -> Option<String>;

    /// Every pipeline there is, by name.
    fn pipelines(&self, reply: Answer<Vec<PipelineInfo>>);

    /// Reads a pipeline again, checks it on the side and swaps it into the streams that run it. Answered once they run it
    /// or it is refused.
    fn reload(&self, name: String, reply: ReloadAnswer);

    /// The graph of a device as it runs.
    fn graph(&self, request: GraphRequest, reply: Answer<Graph>);

    /// An element and its properties.
    fn element(&self, path: ElementPath, reply: Answer<ElementInfo>);

    /// Sets properties of an element, all or none, and reads it back. What may be set is checked by the caller.
    fn set_properties(&self, path: ElementPath, values: BTreeMap<String, Value>, reply: Answer<ElementInfo>);
}
