//! Checks of the `[pipelines]` section that need neither the folder nor GStreamer.

use std::collections::BTreeMap;

use super::{PipelineNames, Pipelines};
use crate::{core::text::nearest::nearest, model::Codec};

/// What a stream's pipelines may be chosen by.
const STREAMS: [&str; 5] = ["color", "depth", "infrared", "infrared-1", "infrared-2"];

/// What stands for the best H.264 encoder of this machine in place of a pipeline's name.
pub const AUTO: &str = "auto";

/// What `pipelines.encoder` may be.
const ENCODERS: [&str; 2] = ["default", AUTO];

impl Pipelines {
    /// Whether streams take the best H.264 encoder of this machine where nothing names a pipeline.
    pub fn encoder_is_auto(&self) -> bool {
        self.encoder == AUTO
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// What is wrong, with the key and what it may be.
    pub(super) fn validate(&self) -> Result<(), String> {
        if self.codecs.is_empty() {
            return Err("pipelines.codecs must name at least one of H264, VP8 and VP9".into());
        }
        if let Some(codec) =
            self.codecs.iter().enumerate().find_map(|(at, codec)| self.codecs[..at].contains(codec).then_some(codec))
        {
            return Err(format!("pipelines.codecs names {codec} twice"));
        }
        if !ENCODERS.contains(&self.encoder.as_str()) {
            let meant = meant(&self.encoder, &ENCODERS);
            return Err(format!(
                "pipelines.encoder must be \"default\" or \"auto\", not \"{}\"{meant}; to name a pipeline, use pipelines.use",
                self.encoder
            ));
        }
        check_choice("pipelines.use", &self.choice)?;
        self.devices
            .iter()
            .try_for_each(|(device, choice)| check_choice(&format!("pipelines.devices.{device}"), choice))
    }
}

fn check_choice(key: &str, choice: &BTreeMap<String, PipelineNames>) -> Result<(), String> {
    for (stream, names) in choice {
        if !STREAMS.contains(&stream.as_str()) {
            let meant = meant(stream, &STREAMS);
            return Err(format!(
                "{key}: there is no stream type \"{stream}\"{meant}; there are {}",
                STREAMS.join(", ")
            ));
        }
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        for name in names.names() {
            let Some(codec) = codec_of(name) else {
                return Err(format!(
                    "{key}.{stream}: \"{name}\" is no pipeline's name; names end with .h264, .vp8 or .vp9, as in color.h264"
                ));
            };
            if let Some(other) = seen.insert(codec.to_string(), name) {
                return Err(format!("{key}.{stream} names two pipelines for {codec}: {other} and {name}"));
            }
        }
    }
    Ok(())
}

/// The codec of the pipeline of this name.
fn codec_of(name: &str) -> Option<Codec> {
    if name == AUTO { Some(Codec::H264) } else { Codec::of_pipeline(name) }
}

fn meant(wrong: &str, known: &[&'static str]) -> String {
    nearest(wrong, known.iter().copied()).map_or(String::new(), |near| format!(" (did you mean \"{near}\"?)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        let pipelines: Pipelines = toml::from_str(text).expect(text);
        pipelines.validate().expect_err(text)
    }

    #[test]
    fn a_wrong_choice_is_refused_in_words_that_name_it() {
        for (text, words) in [
            ("codecs = []", "at least one of"),
            ("codecs = [\"VP8\", \"H264\", \"VP8\"]", "VP8 twice"),
            ("encoder = \"atuo\"", "did you mean \"auto\"?"),
            ("encoder = \"nvenc.h264\"", "use pipelines.use"),
            ("[use]\ncolour = \"x.h264\"", "no stream type \"colour\" (did you mean \"color\"?)"),
            ("[use]\ngyro = \"x.h264\"", "no stream type \"gyro\""),
            ("[use]\ncolor = [\"a.h264\", \"b.h264\"]", "two pipelines for H264: a.h264 and b.h264"),
            ("[use]\ncolor = [\"auto\", \"b.h264\"]", "two pipelines for H264: auto and b.h264"),
            ("[use]\ncolor = \"low-latency\"", "names end with .h264"),
            ("[devices.123]\ninfrared-3 = \"auto\"", "pipelines.devices.123: there is no stream type \"infrared-3\""),
        ] {
            let fault = fault(text);
            assert!(fault.contains(words), "{text}: {fault}");
        }
        let good = "encoder = \"auto\"\n[use]\ninfrared = [\"x.h264\", \"y.vp8\", \"z.vp9\"]\n[devices.1]\ninfrared-1 = \"auto\"";
        assert_eq!(toml::from_str::<Pipelines>(good).expect("good").validate(), Ok(()));
    }
}
