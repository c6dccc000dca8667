//! The media side's answers to people who look inside. Owns no pipeline: it asks the control thread for what runs and looks
//! at it from threads of its own (`inspector`), so that a pipeline that hangs holds up nobody but who asked.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{
    inbox,
    inspect::{
        describe,
        inspector::{Inspector, Look},
        meter::Meters,
        properties,
        snapshot::RunningEncoder,
    },
    messages::Msg,
    port::busy,
};
use crate::{
    config::Config,
    error::{Error, Result},
    media::diagnostics::{Answer, Diagnostics, ElementPath, GraphRequest, ReloadError},
    model::{ElementInfo, Graph, PipelineInfo, SessionId},
};

/// The door to the running pipelines; cheap to clone.
#[derive(Clone)]
pub(super) struct GstDiagnostics {
    control: inbox::Sender,
    config: Arc<Config>,
    inspector: Inspector,
    meters: Meters,
}

impl GstDiagnostics {
    pub(super) fn new(control: inbox::Sender, config: Arc<Config>) -> Self {
        let (inspector, meters) = (Inspector::new(control.port()), Meters::new(control.port()));
        Self { control, config, inspector, meters }
    }

    /// Ends the threads that look and measure.
    pub(super) fn stop(&self) {
        self.inspector.stop();
        self.meters.stop();
    }

    /// Has an element looked at, after `first` was done to it.
    fn look_at(
        &self,
        path: ElementPath,
        reply: Answer<ElementInfo>,
        first: impl FnOnce(&gst::Element) -> Result<()> + Send + 'static,
    ) {
        let config = self.config.clone();
        self.inspector.ask(reply, move |look| {
            let encoder = encoder(look, &path)?;
            let looked = look.at(encoder.serial, || {
                let element = describe::find(&encoder.pipeline, &path.element)?;
                first(&element)?;
                let name = format!("{}/{}/{}", path.key, path.codec.name().to_ascii_lowercase(), path.element);
                Ok(describe::element_info(&element, name, |property| config.may_set(&path.element, property)))
            });
            looked.unwrap_or_else(|| {
                Err(Error::unavailable(format!(
                    "The {} pipeline of {} hangs: an element of it does not answer. The graph shows the others.",
                    path.codec, path.key.stream
                )))
            })
        });
    }
}

/// The running encoder that a path names.
fn encoder(look: &Look, path: &ElementPath) -> Result<RunningEncoder> {
    let running = look.running(&path.key.device, None)?;
    let mut encoders = running.encoders.into_iter();
    encoders.find(|encoder| encoder.key == path.key && encoder.codec == path.codec).ok_or_else(|| {
        Error::not_found(format!(
            "{} of device {} is not being encoded in {} now; it is while somebody watches it. GET \
             /api/debug/graph/{}.json shows what runs.",
            path.key.stream, path.key.device, path.codec, path.key.device
        ))
    })
}

impl Diagnostics for GstDiagnostics {
    fn trouble(&self) -> Option<String> {
        self.control.trouble()
    }

    fn pipelines(&self, reply: Answer<Vec<PipelineInfo>>) {
        if let Err(refused) = self.control.send(Msg::Pipelines(reply))
            && let Msg::Pipelines(reply) = *refused
        {
            let _ = reply.send(Err(busy()));
        }
    }

    fn reload(&self, name: String, reply: Answer<PipelineInfo, ReloadError>) {
        if let Err(refused) = self.control.send(Msg::Reload(name, reply))
            && let Msg::Reload(_, reply) = *refused
        {
            let _ = reply.send(Err(ReloadError::Refused(busy())));
        }
    }

    fn graph(&self, request: GraphRequest, reply: Answer<Graph>) {
        let meters = self.meters.clone();
        self.inspector.ask(reply, move |look| {
            let running = look.running(&request.device, request.session.as_ref())?;
            // Only what is there: names that anybody makes up would pile up.
            let is_asked =
                |id: &SessionId| request.session.as_ref().is_some_and(|one| one == id || one.as_str() == id.short());
            let session = running.sessions.iter().map(|one| &one.session).find(|id| is_asked(id));
            meters.measure(&request.device, session, request.measure);
            describe::graph(look, &request, &running, &meters)
        });
    }

    fn element(&self, path: ElementPath, reply: Answer<ElementInfo>) {
        self.look_at(path, reply, |_| Ok(()));
    }

    fn set_properties(&self, path: ElementPath, values: BTreeMap<String, Value>, reply: Answer<ElementInfo>) {
        self.look_at(path, reply, move |element| properties::set(element, &values));
    }
}
