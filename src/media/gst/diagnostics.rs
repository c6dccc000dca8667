//! The media side's answers to people who look inside. Owns no pipeline: it asks the control thread for what runs and looks
//! at it from a thread of its own, so that a pipeline that hangs holds up nobody but who asked.

use std::{collections::BTreeMap, sync::mpsc};

use serde_json::Value;

use super::context::Msg;
use crate::{
    error::Result,
    media::diagnostics::{Answer, Diagnostics, ElementPath, GraphRequest, ReloadError},
    model::{ElementInfo, Graph, PipelineInfo},
};

/// The door to the running pipelines.
pub(super) struct GstDiagnostics {
    pub(super) control: mpsc::Sender<Msg>,
}

impl Diagnostics for GstDiagnostics {
    fn pipelines(&self, reply: Answer<Vec<PipelineInfo>>) {
        let _ = self.control.send(Msg::Pipelines(reply));
    }

    fn reload(&self, name: String, reply: Answer<std::result::Result<PipelineInfo, ReloadError>>) {
        let _ = self.control.send(Msg::Reload(name, reply));
    }

    fn graph(&self, _request: GraphRequest, _reply: Answer<Result<Graph>>) {}

    fn element(&self, _path: ElementPath, _reply: Answer<Result<ElementInfo>>) {}

    fn set_properties(
        &self,
        _path: ElementPath,
        _values: BTreeMap<String, Value>,
        _reply: Answer<Result<ElementInfo>>,
    ) {
    }
}
