//! From running pipelines to a [`Graph`]: elements, links, caps, queues, properties. Owns nothing and changes nothing; runs on
//! an inspector's thread, because every pad and property it asks takes a lock of somebody else's.

use std::{
    collections::HashMap,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use gst::prelude::*;

use super::{
    inspector::Look,
    meter::{Meters, PipelineMeters},
    properties,
    snapshot::{Running, RunningEncoder, RunningSession},
};
use crate::{
    core::graph,
    error::{Error, Result},
    media::{
        diagnostics::GraphRequest,
        gst::walk::{elements, factory_name},
    },
    model::{Graph, GraphElement, GraphKind, GraphLink, GraphPipeline, GraphQueue, SessionId},
};

/// What a pipeline's state reads when nothing can be said of it because somebody hangs in it.
const HANGS: &str = "HANGS";
/// Ghost pads between an element and its peer, at most: a bin in a bin in a bin.
const MAX_GHOSTS: usize = 16;

/// The graph of what runs.
///
/// # Errors
/// NotFound for a session that is not there.
pub(in crate::media::gst) fn graph(
    look: &Look,
    request: &GraphRequest,
    running: &Running,
    meters: &Meters,
) -> Result<Graph> {
    let wanted = running.sessions.iter().find(|session| session.wanted);
    if let (Some(session), None) = (&request.session, wanted) {
        return Err(Error::not_found(format!(
            "Device {} has no session {session}; it may have ended. GET /api/webrtc/sessions lists those that are there.",
            request.device
        )));
    }
    let encoders = running.encoders.iter().map(|encoder| {
        let meters = meters.of(&request.device, encoder.serial);
        let looked = look.at(encoder.serial, || encoder_elements(encoder, meters.as_deref()));
        encoder_pipeline(encoder, looked)
    });
    let session = wanted.map(|session| {
        let meters = meters.of(&request.device, session.serial);
        let looked = look.at(session.serial, || session_elements(session, meters.as_deref()));
        session_pipeline(session, looked)
    });
    let pipelines = encoders.chain(session).collect();
    let taken_at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    let measured = meters.is_measured(&request.device);
    Ok(Graph { device_id: Some(request.device.clone()), taken_at, measured, pipelines })
}

/// What was seen of a pipeline.
struct Looked {
    state: String,
    elements: Vec<GraphElement>,
    links: Vec<GraphLink>,
}

impl Looked {
    /// Nothing, because somebody hangs in it.
    fn nothing() -> Self {
        Self { state: HANGS.into(), elements: Vec::new(), links: Vec::new() }
    }
}

fn encoder_pipeline(encoder: &RunningEncoder, looked: Option<Looked>) -> GraphPipeline {
    let Looked { state, elements, links } = looked.unwrap_or_else(Looked::nothing);
    let codec = encoder.codec.name().to_ascii_lowercase();
    GraphPipeline {
        id: format!("{}/{}/{codec}", encoder.key.device, encoder.key.stream),
        kind: GraphKind::Encoder,
        stream_type: Some(encoder.key.stream),
        codec: Some(encoder.codec),
        session_id: None,
        file: Some(encoder.file.clone()),
        state,
        running_s: seconds(encoder.started_at),
        elements,
        links,
    }
}

fn session_pipeline(session: &RunningSession, looked: Option<Looked>) -> GraphPipeline {
    let Looked { state, elements, links } = looked.unwrap_or_else(Looked::nothing);
    GraphPipeline {
        id: format!("session/{}", session.session),
        kind: GraphKind::Session,
        session_id: Some(session.session.clone()),
        state,
        running_s: seconds(session.opened_at),
        elements,
        links,
        ..GraphPipeline::default()
    }
}

/// Tenths are enough for a person.
fn seconds(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 10.0).round() / 10.0
}

fn encoder_elements(encoder: &RunningEncoder, meters: Option<&PipelineMeters>) -> Looked {
    let session = |element: &gst::Element| {
        encoder.branches.iter().find(|(sink, _)| sink == element).map(|(_, session)| session.clone())
    };
    look_at(&encoder.pipeline, meters, true, session)
}

fn session_elements(session: &RunningSession, meters: Option<&PipelineMeters>) -> Looked {
    look_at(&session.pipeline, meters, false, |_| None)
}

fn look_at(
    pipeline: &gst::Pipeline,
    meters: Option<&PipelineMeters>,
    has_encoder: bool,
    session: impl Fn(&gst::Element) -> Option<SessionId>,
) -> Looked {
    let named = elements(pipeline);
    let names: HashMap<&gst::Element, &str> = named.iter().map(|(element, name)| (element, name.as_str())).collect();
    let links = links(&named, &names);
    let elements = named.iter().map(|(element, name)| {
        let factory = element.factory();
        let klass = factory.as_ref().and_then(|factory| factory.metadata("klass")).unwrap_or_default().to_owned();
        let is_encoder = has_encoder && element.name() == "encoder";
        GraphElement {
            name: name.clone(),
            factory: factory_name(element),
            klass,
            state: element.current_state().name().to_string(),
            session_id: session(element),
            properties: properties::values(element, is_encoder),
            queue: queue(element),
            meter: meters.and_then(|meters| meters.read(element)),
        }
    });
    let mut elements: Vec<_> = elements.collect();
    graph::sort_by_flow(&mut elements, &links);
    Looked { state: pipeline.current_state().name().to_string(), elements, links }
}

fn links(named: &[(gst::Element, String)], names: &HashMap<&gst::Element, &str>) -> Vec<GraphLink> {
    let from = named.iter().flat_map(|(element, name)| element.src_pads().into_iter().map(move |pad| (pad, name)));
    let links = from.filter_map(|(pad, from)| {
        let peer = real_peer(&pad)?;
        let to = names.get(&peer.parent_element()?)?;
        Some(GraphLink {
            from: from.clone(),
            from_pad: pad.name().to_string(),
            to: (*to).to_owned(),
            to_pad: peer.name().to_string(),
            caps: pad.current_caps().map(|caps| properties::caps_text(&caps)),
        })
    });
    links.collect()
}

/// The pad of an element that a src pad leads to, through the walls of bins.
fn real_peer(pad: &gst::Pad) -> Option<gst::Pad> {
    let mut peer = pad.peer()?;
    for _ in 0..MAX_GHOSTS {
        if let Some(ghost) = peer.downcast_ref::<gst::GhostPad>() {
            // Into a bin.
            peer = ghost.target()?;
        } else if peer.is::<gst::ProxyPad>() {
            // Out of one: the inner side of its ghost pad.
            peer = peer.parent()?.downcast::<gst::GhostPad>().ok()?.peer()?;
        } else {
            return Some(peer);
        }
    }
    None
}

/// The fill of whatever has one: `queue`, `queue2`, `appsrc`; of newer releases than 1.22 `appsink`, too.
fn queue(element: &gst::Element) -> Option<GraphQueue> {
    let buffers = number(element, "current-level-buffers")?;
    let max_buffers = number(element, "max-size-buffers").or_else(|| number(element, "max-buffers")).unwrap_or(0);
    let bytes = number(element, "current-level-bytes").unwrap_or(0);
    Some(GraphQueue { buffers, max_buffers, bytes, dropped: number(element, "dropped") })
}

/// A property that is a count, whatever its width.
fn number(element: &gst::Element, name: &str) -> Option<u64> {
    let property =
        element.find_property(name).filter(|property| property.flags().contains(gst::glib::ParamFlags::READABLE))?;
    let value = element.property_value(property.name());
    value.get::<u64>().ok().or_else(|| value.get::<u32>().ok().map(u64::from))
}

/// An element of a pipeline by its name, or by the path that tells it from others of the same name.
///
/// # Errors
/// NotFound, naming those that are there.
pub(in crate::media::gst) fn find(pipeline: &gst::Pipeline, wanted: &str) -> Result<gst::Element> {
    let named = elements(pipeline);
    let by_path = named.iter().find(|(_, name)| name == wanted);
    let by_name = || named.iter().find(|(element, _)| element.name() == wanted);
    // A bin has properties of its own, too.
    let bin = || pipeline.by_name(wanted);
    by_path.or_else(by_name).map(|(element, _)| element.clone()).or_else(bin).ok_or_else(|| {
        // Elements that the pipeline's file names come first: those are what people mean.
        let mut names: Vec<_> = named.iter().map(|(_, name)| name.as_str()).collect();
        names.sort_by_key(|name| name.ends_with(|c: char| c.is_ascii_digit()));
        Error::not_found(format!("The pipeline has no element '{wanted}'. It has: {}.", names.join(", ")))
    })
}

/// An element and its properties.
pub(in crate::media::gst) fn element_info(
    element: &gst::Element,
    path: String,
    settable: impl Fn(&str) -> bool,
) -> crate::model::ElementInfo {
    crate::model::ElementInfo {
        path,
        factory: factory_name(element),
        state: element.current_state().name().to_string(),
        properties: properties::all(element, settable),
    }
}
