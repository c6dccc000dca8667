//! Which pipeline a command is about, and for which stream. Owns finding it by name, path or stream type, and the values of
//! its placeholders.

use std::path::Path;

use clap::Args;

use crate::{
    config::Config,
    core::text::template::Values,
    media::gst::offline::pipelines::{self, Text},
    model::{Codec, DeviceId, Fault, Profile, StreamKey, StreamType},
};

/// Raw formats that the server gives an encoder, in GStreamer's names.
const FORMATS: [&str; 5] = ["I420", "YUY2", "RGB", "BGR", "GRAY8"];
/// Stands for the device where none is named.
const NO_DEVICE: &str = "DEVICE";

/// For which stream, where the configuration should not say.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct StreamArgs {
    /// Stream type: color, depth, infrared-1 or infrared-2 [default: the one in the pipeline's name, else color].
    #[arg(long, value_name = "TYPE", value_parser = parse_stream)]
    pub(crate) stream: Option<StreamType>,
    /// Serial number that replaces {device} [default: DEVICE].
    #[arg(long, value_name = "SERIAL")]
    pub(crate) device: Option<String>,
    /// Size in pixels, such as 1280x720 [default: the configuration's].
    #[arg(long, value_name = "WxH", value_parser = parse_size)]
    pub(crate) size: Option<(u32, u32)>,
    /// Frames a second [default: the configuration's].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=300))]
    pub(crate) fps: Option<u32>,
    /// Bitrate in kilobit/s [default: the configuration's].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(50..=100_000))]
    pub(crate) bitrate_kbps: Option<u32>,
    /// Raw format of the pictures; colour of a real camera is mostly YUY2 [default: the simulated camera's].
    #[arg(long, value_name = "FORMAT", value_parser = FORMATS)]
    pub(crate) format: Option<String>,
}

/// A pipeline and the stream it is looked at for.
pub(crate) struct Subject {
    pub(crate) text: Text,
    /// What its name says it makes.
    pub(crate) codec: Option<Codec>,
    pub(crate) values: Values,
}

impl Subject {
    /// Finds a pipeline by its name, the path of a file, or a stream type.
    ///
    /// # Errors
    /// There is none, in words for a person.
    pub(crate) fn find(config: &Config, name: &str, stream: &StreamArgs) -> Result<Self, String> {
        let text = find_text(config, name, stream)?;
        let key = key(&text.name, name, stream);
        let configured = config.streams.of(key.stream).profile();
        let (width, height) = stream.size.unwrap_or((configured.width, configured.height));
        let profile = Profile { width, height, framerate: stream.fps.unwrap_or(configured.framerate) };
        let mut values = pipelines::values(config, &key, profile);
        if let Some(bitrate_kbps) = stream.bitrate_kbps {
            values.bitrate_kbps = bitrate_kbps;
        }
        if let Some(format) = &stream.format {
            values.format.clone_from(format);
        }
        Ok(Self { codec: Codec::of_pipeline(&text.name), text, values })
    }

    /// What it makes; needed by whatever looks at what comes out.
    ///
    /// # Errors
    /// The name does not say.
    pub(crate) fn needs_codec(&self) -> Result<Codec, String> {
        let name = &self.text.name;
        self.codec.ok_or_else(|| {
            format!("the name '{name}' does not say what it makes: name the file ….h264.gst, ….vp8.gst or ….vp9.gst")
        })
    }

    /// "color 640x480 at 30 fps, I420, 2000 kbit/s".
    pub(crate) fn describe(&self) -> String {
        let Values { stream, width, height, framerate, format, bitrate_kbps, .. } = &self.values;
        format!("{stream} {width}x{height} at {framerate} fps, {format}, {bitrate_kbps} kbit/s")
    }

    /// The caps the server gives the appsrc for these values, as gst-launch text.
    pub(crate) fn caps(&self) -> String {
        let Values { width, height, framerate, format, .. } = &self.values;
        // As `media::gst::feed` does: what the server colours itself and the camera's own YUV is BT.601 at every size.
        let colorimetry = if ["I420", "YUY2"].contains(&format.as_str()) { ",colorimetry=bt601" } else { "" };
        format!("video/x-raw,format={format},width={width},height={height},framerate={framerate}/1{colorimetry}")
    }
}

fn find_text(config: &Config, name: &str, stream: &StreamArgs) -> Result<Text, String> {
    if name.ends_with(".gst") || name.contains('/') {
        // A file that is not there is no fault in the file.
        let path = Path::new(name);
        return if path.is_file() {
            Ok(pipelines::read_file(path))
        } else {
            Err(format!("There is no file '{name}'."))
        };
    }
    if let Some(text) = pipelines::read(config, name) {
        return Ok(text);
    }
    if let Ok(of) = StreamType::parse_video(name)
        && let Some(codec) = config.pipelines.codecs.first()
    {
        let device = DeviceId::new(stream.device.as_deref().unwrap_or(NO_DEVICE));
        let chosen = pipelines::choose(config, &StreamKey::new(device, of), *codec);
        return pipelines::read(config, &chosen)
            .ok_or_else(|| format!("{name} uses the pipeline '{chosen}', which is not there."));
    }
    Err(pipelines::no_such(config, name))
}

/// The stream that is asked for, else the one in the name, else colour.
fn key(pipeline: &str, asked: &str, stream: &StreamArgs) -> StreamKey {
    let of = |name: &str| StreamType::parse_video(name.split('.').next().unwrap_or_default()).ok();
    let stream_type = stream.stream.or_else(|| of(asked)).or_else(|| of(pipeline)).unwrap_or(StreamType::Color);
    StreamKey::new(DeviceId::new(stream.device.as_deref().unwrap_or(NO_DEVICE)), stream_type)
}

pub(super) fn parse_stream(text: &str) -> Result<StreamType, String> {
    StreamType::parse_video(text).map_err(|error| error.public().to_owned())
}

pub(super) fn parse_size(text: &str) -> Result<(u32, u32), String> {
    let size =
        text.split_once(['x', 'X']).and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    let good = |side: u32| (2..=4096).contains(&side);
    size.filter(|(width, height)| good(*width) && good(*height))
        .ok_or_else(|| format!("'{text}' is no size: write WIDTHxHEIGHT, for example 1280x720, each from 2 to 4096"))
}

/// A fault with its line and a mark below the place, as a compiler shows it.
pub(crate) fn show_fault(fault: &Fault, text: &str) -> String {
    let mut shown = fault.to_string();
    let Some(line) = text.lines().nth(fault.line.saturating_sub(1)) else { return shown };
    let token = fault.token.as_deref().unwrap_or_default();
    let found = || (!token.is_empty()).then(|| line.find(token)).flatten().map(|at| line[..at].chars().count());
    let indent = line.chars().take_while(|c| c.is_whitespace()).count();
    let at = fault.column.map(|column| column.saturating_sub(1)).or_else(found).unwrap_or(indent);
    let rest = line.chars().count().saturating_sub(at).max(1);
    let length = token.chars().count().clamp(1, rest);
    // Tabs stay tabs, so that the mark stands where the word stands.
    let blank: String = line.chars().take(at).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let number = fault.line.to_string();
    let margin = " ".repeat(number.len());
    shown.push_str(&format!("\n  {number} | {line}\n  {margin} | {blank}{}", "^".repeat(length)));
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_is_found_by_name_path_and_stream_type() {
        gst::init().expect("GStreamer");
        let mut config = Config::default();
        config.pipelines.dir = "/nonexistent".into();
        let find = |name: &str, stream: &StreamArgs| Subject::find(&config, name, stream);
        let subject = find("infrared.vp8", &StreamArgs::default()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((subject.codec, subject.values.stream.as_str()), (Some(Codec::VP8), "infrared-1"));
        assert_eq!(subject.caps(), "video/x-raw,format=GRAY8,width=640,height=480,framerate=30/1");
        let args = StreamArgs {
            stream: Some(StreamType::Depth),
            size: Some((848, 480)),
            fps: Some(15),
            bitrate_kbps: Some(900),
            ..StreamArgs::default()
        };
        let subject = find("color.h264", &args).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(subject.describe(), "depth 848x480 at 15 fps, I420, 900 kbit/s");
        let subject = find("infrared-2", &StreamArgs::default()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((subject.text.name.as_str(), subject.values.stream.as_str()), ("infrared.h264", "infrared-2"));
        let error = find("colour.h264", &StreamArgs::default()).err().expect("none");
        assert!(error.contains("did you mean color.h264?"), "{error}");
        assert!(find("/nonexistent.gst", &StreamArgs::default()).err().expect("none").contains("no file"));
    }

    #[test]
    fn a_fault_is_marked_in_its_line() {
        let fault = Fault { file: "a.gst".into(), line: 2, message: "no".into(), ..Fault::default() };
        let text = "x\n\t! x265encc name=encoder";
        assert_eq!(show_fault(&fault, text), "a.gst:2: no\n  2 | \t! x265encc name=encoder\n    | \t^");
        let placed = Fault { column: Some(4), token: Some("x265encc".into()), ..fault.clone() };
        assert!(show_fault(&placed, text).ends_with("    | \t  ^^^^^^^^"), "{}", show_fault(&placed, text));
        let by_token = Fault { token: Some("name=encoder".into()), ..fault.clone() };
        assert!(show_fault(&by_token, text).ends_with("    | \t           ^^^^^^^^^^^^"));
        assert_eq!(show_fault(&Fault { line: 9, ..fault }, text), "a.gst:9: no");
    }

    #[test]
    fn sizes_are_read_and_refused_in_words() {
        assert_eq!(parse_size("1280x720"), Ok((1280, 720)));
        for wrong in ["", "1280", "x", "0x480", "640x1", "640x9999", "-1x2"] {
            assert!(parse_size(wrong).expect_err(wrong).contains("1280x720"));
        }
    }
}
