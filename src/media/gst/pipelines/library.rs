//! The pipelines by name: which there are, and what their files hold. Owns reading the folder and the copies built into the
//! program; starts nothing.

use std::{collections::BTreeSet, path::Path};

use gst::prelude::*;

use super::{
    build,
    text::{BUILT_IN_PREFIX, Text, no_codec},
};
use crate::{
    config::Config,
    core::text::{
        nearest::nearest,
        template::{self, Fault},
    },
    model::{Codec, DeviceId, PipelineInfo, PipelineState, StreamKey, StreamType},
};

/// Makes the table of the pipeline files that are built into the program.
macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../../pipelines/", $name, ".gst")))),*]
    };
}

/// The pipelines as built into the program, by name.
pub(super) const BUILT_IN: &[(&str, &str)] = built_in![
    "color.h264",
    "color.vp8",
    "color.vp9",
    "depth.h264",
    "depth.vp8",
    "depth.vp9",
    "infrared.h264",
    "infrared.vp8",
    "infrared.vp9",
    "openh264.h264",
    "low-latency.h264",
    "low-bandwidth.h264",
    "high-quality.h264",
    "overlay.h264",
    "record.h264",
    "nvenc.h264",
    "nvv4l2.h264",
    "va.h264",
    "va-lp.h264",
    "vaapi.h264",
    "v4l2.h264",
];

/// Most files of the folder that count: a folder that is not meant for pipelines should not make the server read it all.
const MAX_FILES: usize = 1000;

/// The name of the pipeline in a file of this name; `None` for other files and hidden ones.
pub(in crate::media::gst) fn name_of(file: &str) -> Option<&str> {
    file.strip_suffix(".gst").filter(|name| !name.is_empty() && !name.starts_with('.'))
}

/// Every pipeline there is, in the folder or built in, in alphabetical order.
pub(crate) fn names(config: &Config) -> Vec<String> {
    let mut names: BTreeSet<String> = BUILT_IN.iter().map(|(name, _)| (*name).to_owned()).collect();
    let files = std::fs::read_dir(&config.pipelines.dir).into_iter().flatten().flatten();
    let files = files.filter_map(|file| file.file_name().into_string().ok());
    names.extend(files.filter_map(|file| Some(name_of(&file)?.to_owned())).take(MAX_FILES));
    names.into_iter().collect()
}

/// The name of a stream's own pipeline.
pub(in crate::media::gst) fn default_of(stream: StreamType, codec: Codec) -> String {
    format!("{}.{}", stream.family(), codec.name().to_ascii_lowercase())
}

/// Most bytes of a pipeline file.
const MAX_BYTES: u64 = 1 << 20;

/// Reads a text file; a pipe or a device would never end.
pub(in crate::media::gst) fn read_file(path: &Path) -> std::io::Result<String> {
    use std::io::{Error, Read};
    if !std::fs::metadata(path)?.is_file() {
        return Err(Error::other("it is no file"));
    }
    let mut text = String::new();
    let read = std::fs::File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)? as u64;
    if read > MAX_BYTES { Err(Error::other("it is longer than 1 MiB")) } else { Ok(text) }
}

/// Reads a pipeline; one that the folder does not have is taken from the program. `None` when neither has it.
pub(crate) fn read(config: &Config, name: &str) -> Option<Text> {
    // A name is a file of the folder, never a path out of it.
    if name.contains(['/', '\\', '\0']) {
        return None;
    }
    let file = format!("{name}.gst");
    let path = config.pipelines.dir.join(&file);
    let shown = path.display().to_string();
    match read_file(&path) {
        Ok(text) => Some(Text { name: name.into(), file: shown, text, unreadable: None }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let (_, text) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
            let file = format!("{BUILT_IN_PREFIX}{file}");
            Some(Text { name: name.into(), file, text: (*text).into(), unreadable: None })
        }
        Err(error) => {
            Some(Text { name: name.into(), file: shown, text: String::new(), unreadable: Some(error.to_string()) })
        }
    }
}

/// "there is no pipeline 'x'", with the nearest name.
pub(crate) fn no_such(config: &Config, name: &str) -> String {
    let names = names(config);
    match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => format!("there is no pipeline '{name}'; did you mean {near}?"),
        None => format!("there is no pipeline '{name}'; `realsense-webrtc pipeline list` shows those there are"),
    }
}

/// What the API and the command line say about a pipeline, without its users, which are left empty. It is parsed, never
/// started. `None` when there is none of this name.
pub(crate) fn info(config: &Config, name: &str) -> Option<PipelineInfo> {
    Some(info_of(config, &read(config, name)?))
}

/// The same of a pipeline that was read.
pub(super) fn info_of(config: &Config, text: &Text) -> PipelineInfo {
    let mut info = PipelineInfo {
        name: text.name.clone(),
        file: text.file.clone(),
        built_in: text.is_built_in(),
        codec: Codec::of_pipeline(&text.name),
        title: template::title(&text.text).to_owned(),
        ..PipelineInfo::default()
    };
    if info.codec.is_none() {
        info.state = PipelineState::Fault;
        info.fault = Some(no_codec(text));
        return info;
    }
    match build_alone(config, &checked_as(&text.name), text) {
        Ok(encoder) => info.encoder = encoder,
        Err(fault) => {
            info.state = PipelineState::Fault;
            info.fault = Some(fault);
        }
    }
    info
}

/// The stream that a pipeline nobody runs is checked for: the one in its name, else colour.
pub(in crate::media::gst) fn checked_as(name: &str) -> StreamKey {
    let family = name.split('.').next().unwrap_or_default();
    let stream = StreamType::VIDEO.into_iter().find(|stream| stream.family() == family).unwrap_or(StreamType::Color);
    StreamKey::new(DeviceId::new("check"), stream)
}

/// Parses a pipeline and lets it go again; gives its encoder's factory.
///
/// # Errors
/// The fault.
pub(super) fn build_alone(config: &Config, key: &StreamKey, text: &Text) -> Result<Option<String>, Fault> {
    let values = build::values(config, key, config.streams.of(key.stream).profile());
    let graph = build::build(text, &values)?;
    let encoder = graph.encoder.factory().map(|factory| factory.name().to_string());
    // Never started, but an element wants to be in NULL when it is freed.
    let _ = graph.pipeline.set_state(gst::State::Null);
    Ok(encoder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_taken_from_the_program() {
        let mut config = Config::default();
        config.pipelines.dir = "/nonexistent".into();
        let text = read(&config, "infrared.vp8").expect("built in");
        assert_eq!((text.file.as_str(), text.is_built_in()), ("built-in infrared.vp8.gst", true));
        assert!(text.text.contains("vp8enc"));
        assert_eq!(read(&config, "nosuch.vp8"), None);
        assert!(no_such(&config, "infared.vp8").contains("did you mean infrared.vp8?"));
    }

    #[test]
    fn every_file_of_the_folder_is_built_in() {
        let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines")).expect("the folder");
        let files: BTreeSet<_> = folder.filter_map(|file| file.ok()?.file_name().into_string().ok()).collect();
        let built_in: BTreeSet<_> = BUILT_IN.iter().map(|(name, _)| format!("{name}.gst")).collect();
        assert_eq!(files, built_in);
    }

    #[test]
    fn names_are_those_of_the_folder_and_of_the_program() {
        let folder = tempfile::tempdir().expect("a folder");
        for file in ["mine.h264.gst", "color.h264.gst", ".hidden.gst", "notes.txt"] {
            std::fs::write(folder.path().join(file), "# Mine\nappsrc name=source").expect("written");
        }
        let mut config = Config::default();
        config.pipelines.dir = folder.path().into();
        let found = names(&config);
        assert_eq!(found.len(), BUILT_IN.len() + 1, "{found:?}");
        assert!(found.contains(&"mine.h264".to_owned()) && found.contains(&"depth.vp9".to_owned()));
        assert!(!read(&config, "color.h264").expect("there").is_built_in());
        assert_eq!(read(&config, "../x"), None);
        gst::init().expect("GStreamer");
        let mine = info(&config, "mine.h264").expect("there");
        assert_eq!((mine.title.as_str(), mine.state, mine.codec), ("Mine", PipelineState::Fault, Some(Codec::H264)));
        assert!(mine.fault.expect("a fault").message.contains("name=encoder"));
        let own = info(&config, "depth.vp8").expect("there");
        assert_eq!((own.encoder.as_deref(), own.built_in, own.state), (Some("vp8enc"), true, PipelineState::Parsed));
    }
}
