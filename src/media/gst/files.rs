//! Pipeline files for those who work on them without a server: which there are, what they build, what a session would do
//! with what comes out. Owns no pipeline that runs in the server.

use std::{collections::BTreeSet, path::Path};

use gst::prelude::*;

use super::{graph, install, library, sdp, wiring};
use crate::{
    config::Config,
    core::template::{Fault, Values},
    model::{Codec, Profile, StreamKey},
};

pub(crate) use super::library::Text;

/// A pipeline built from a file, in state NULL.
pub(crate) struct Built {
    /// The pipeline.
    pub(crate) pipeline: gst::Pipeline,
    /// Where frames go in.
    pub(crate) source: gst_app::AppSrc,
    /// The tee.
    pub(crate) fanout: gst::Element,
}

/// The names of all pipelines: those in the folder, and those built into the program.
pub(crate) fn names(config: &Config) -> Vec<String> {
    let name = |file: &str| file.strip_suffix(".gst").map(str::to_owned);
    let mut names: BTreeSet<String> = library::BUILT_IN.iter().filter_map(|(file, _)| name(file)).collect();
    let files = std::fs::read_dir(&config.pipelines.dir).into_iter().flatten().flatten();
    names.extend(files.filter_map(|file| name(file.file_name().to_str()?)));
    names.into_iter().collect()
}

/// Reads a pipeline by its name; `None` when neither the folder nor the program has it.
pub(crate) fn read(config: &Config, name: &str) -> Option<Text> {
    library::read(config, name)
}

/// Reads a file anywhere.
pub(crate) fn read_file(path: &Path) -> Text {
    let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let file = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => Text { name, file, text, unreadable: None },
        Err(error) => Text { name, file, text: String::new(), unreadable: Some(error.to_string()) },
    }
}

/// Whether a text is the program's own copy.
pub(crate) fn is_built_in(text: &Text) -> bool {
    text.file.starts_with("built-in ")
}

/// The codec that a pipeline's name tells.
pub(crate) fn codec_of(name: &str) -> Option<Codec> {
    Codec::from_mime(name.rsplit('.').next()?)
}

/// The name of the pipeline that a stream uses for a codec.
pub(crate) fn choose(config: &Config, key: &StreamKey, codec: Codec) -> String {
    library::choose(config, key, codec)
}

/// What placeholders stand for.
pub(crate) fn values(config: &Config, key: &StreamKey, profile: Profile) -> Values {
    graph::values(config, key, profile)
}

/// Builds a pipeline and checks it, without starting it.
///
/// # Errors
/// The first fault.
pub(crate) fn build(text: &Text, values: &Values) -> Result<Built, Fault> {
    graph::build(text, values).map(|graph| Built {
        pipeline: graph.pipeline,
        source: graph.source,
        fanout: graph.fanout,
    })
}

impl Built {
    /// The factory of its encoder.
    pub(crate) fn encoder(&self) -> Option<String> {
        let encoder = self.pipeline.by_name("encoder")?;
        encoder.factory().map(|factory| factory.name().to_string())
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
    let mut quoted = fault.message.split('\'');
    quoted.next().is_some_and(|start| start == "there is no GStreamer element ")
        && quoted.next().is_some_and(|element| install::package_of(element).is_some())
}

/// "apt install …" for an element that is not there.
pub(crate) fn how_to_get(element: &str) -> String {
    install::how_to_get(element)
}
