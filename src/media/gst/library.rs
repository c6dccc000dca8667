//! The pipelines by name: which there are, their text, and which one a stream uses. Owns reading the folder and the copies
//! built into the program; parses nothing and starts nothing.

use crate::{
    config::Config,
    model::{Codec, StreamKey},
};

/// The pipeline files as built into the program, by file name.
pub(super) const BUILT_IN: [(&str, &str); 9] = [
    ("color.h264.gst", include_str!("../../../pipelines/color.h264.gst")),
    ("color.vp8.gst", include_str!("../../../pipelines/color.vp8.gst")),
    ("color.vp9.gst", include_str!("../../../pipelines/color.vp9.gst")),
    ("depth.h264.gst", include_str!("../../../pipelines/depth.h264.gst")),
    ("depth.vp8.gst", include_str!("../../../pipelines/depth.vp8.gst")),
    ("depth.vp9.gst", include_str!("../../../pipelines/depth.vp9.gst")),
    ("infrared.h264.gst", include_str!("../../../pipelines/infrared.h264.gst")),
    ("infrared.vp8.gst", include_str!("../../../pipelines/infrared.vp8.gst")),
    ("infrared.vp9.gst", include_str!("../../../pipelines/infrared.vp9.gst")),
];

/// A pipeline's text and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    /// The pipeline's name: the file's without `.gst`.
    pub(crate) name: String,
    /// The path, or "built-in color.h264.gst".
    pub(crate) file: String,
    /// What the file holds.
    pub(crate) text: String,
    /// Why the file could not be read although it is there.
    pub(crate) unreadable: Option<String>,
}

/// The name of the pipeline that a stream uses for a codec.
pub(crate) fn choose(_config: &Config, key: &StreamKey, codec: Codec) -> String {
    format!("{}.{}", key.stream.family(), codec.name().to_ascii_lowercase())
}

/// Reads a pipeline; one that the folder does not have is taken from the program. `None` when neither has it.
pub(crate) fn read(config: &Config, name: &str) -> Option<Text> {
    let file = format!("{name}.gst");
    let path = config.pipelines.dir.join(&file);
    let shown = path.display().to_string();
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(Text { name: name.into(), file: shown, text, unreadable: None }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let (_, text) = BUILT_IN.iter().find(|(known, _)| *known == file)?;
            Some(Text { name: name.into(), file: format!("built-in {file}"), text: (*text).into(), unreadable: None })
        }
        Err(error) => {
            Some(Text { name: name.into(), file: shown, text: String::new(), unreadable: Some(error.to_string()) })
        }
    }
}

/// Every pipeline's name: the folder's and the built-in ones.
pub(crate) fn names(config: &Config) -> Vec<String> {
    let files = std::fs::read_dir(&config.pipelines.dir).into_iter().flatten().flatten();
    let files = files.filter_map(|entry| entry.file_name().to_str().map(str::to_owned));
    let all = files.chain(BUILT_IN.iter().map(|(file, _)| (*file).to_owned()));
    let names: std::collections::BTreeSet<_> =
        all.filter_map(|file| Some(file.strip_suffix(".gst")?.to_owned())).collect();
    names.into_iter().collect()
}

/// What a pipeline's file says.
pub(crate) fn info(config: &Config, name: &str) -> crate::model::PipelineInfo {
    let _ = config;
    crate::model::PipelineInfo { name: name.into(), ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_taken_from_the_program() {
        let mut config = Config::default();
        config.pipelines.dir = "/nonexistent".into();
        let text = read(&config, "infrared.vp8").expect("built in");
        assert_eq!(text.file, "built-in infrared.vp8.gst");
        assert!(text.text.contains("vp8enc"));
        assert_eq!(read(&config, "nosuch.vp8"), None);
    }
}
