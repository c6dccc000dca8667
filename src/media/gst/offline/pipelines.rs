//! Pipeline files for those who work on them without a server: which there are, what they build, what a session would do
//! with what comes out. Owns no pipeline that runs in the server.

use std::path::Path;

use gst::prelude::*;

use crate::{
    config::Config,
    core::text::template::{Fault, Values},
    media::gst::{
        pipelines::{build, library, packages},
        session::{sdp, wiring},
    },
    model::Codec,
};

pub(crate) use crate::media::gst::{
    inspect::meter::running_time,
    pipelines::{
        announced::declared,
        build::values,
        choice::choose,
        library::{info, names, no_such, read},
        packages::how_to_get,
        text::Text,
        trial::{TryReport, try_pipeline},
    },
};

/// A pipeline built from a file, in state NULL.
pub(crate) struct Built {
    /// The pipeline.
    pub(crate) pipeline: gst::Pipeline,
    /// Where frames go in.
    pub(crate) source: gst_app::AppSrc,
    encoder: gst::Element,
    /// The tee.
    pub(crate) fanout: gst::Element,
}

/// Reads a file anywhere.
pub(crate) fn read_file(path: &Path) -> Text {
    let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let file = path.display().to_string();
    match library::read_file(path) {
        Ok(text) => Text { name, file, text, unreadable: None },
        Err(error) => Text { name, file, text: String::new(), unreadable: Some(error.to_string()) },
    }
}

/// Builds a pipeline and checks it, without starting it.
///
/// # Errors
/// The first fault.
pub(crate) fn build(text: &Text, values: &Values) -> Result<Built, Fault> {
    build::build(text, values).map(|graph| Built {
        pipeline: graph.pipeline,
        source: graph.source,
        encoder: graph.encoder,
        fanout: graph.fanout,
    })
}

impl Built {
    /// The factory of its encoder.
    pub(crate) fn encoder(&self) -> Option<String> {
        self.encoder.factory().map(|factory| factory.name().to_string())
    }
}

impl Drop for Built {
    fn drop(&mut self) {
        // An element wants to be in NULL when it is freed.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// A session's payloader as gst-launch words, and its RTP payload type.
pub(crate) fn payloader(config: &Config, codec: Codec) -> (Vec<String>, u8) {
    let offered = sdp::payload_types(&config.pipelines.codecs);
    let free = sdp::payload_types(&Codec::ALL);
    // One that the server does not offer now has the number it would have if all were offered.
    let payload = offered.iter().chain(&free).find(|(_, known)| *known == codec).map_or(96, |(payload, _)| *payload);
    let (factory, settings) = wiring::payloader_settings(codec);
    let settings = settings.iter().map(|(name, value)| format!("{name}={value}"));
    (std::iter::once(factory.to_owned()).chain(settings).chain([format!("pt={payload}")]).collect(), payload)
}

/// Whether the fault is that this machine does not have an element, which others have.
pub(crate) fn lacks_element(fault: &Fault) -> bool {
    fault
        .token
        .as_deref()
        .is_some_and(|element| gst::ElementFactory::find(element).is_none() && packages::exists(element))
}
