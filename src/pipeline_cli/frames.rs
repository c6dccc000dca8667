//! Frames that stand in for a camera's: a test picture, or what `pipeline capture` recorded. Owns reading them into memory
//! and what they are; never runs the pipeline that they are for.

use std::path::Path;

use gst::prelude::*;

/// How long a file may take to give its next frame.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(10);
/// Most bytes of frames kept in memory: 18 s of 640x480 at 30 fps, 3 s of 1920x1080.
const MOST_BYTES: usize = 256_000_000;
/// Said of a file without frames.
const NO_VIDEO: &str = "it holds no raw video; record some with: realsense-webrtc pipeline capture FILE.mkv";

/// What frames are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) framerate: u32,
    /// GStreamer's name of the raw format.
    pub(super) format: String,
}

/// Frames in memory.
pub(super) struct Clip {
    pub(super) caps: gst::Caps,
    pub(super) frames: Vec<gst::Buffer>,
}

/// What a recorded file holds.
///
/// # Errors
/// It cannot be read or is no raw video, in words for a person.
pub(super) fn describe(file: &Path) -> Result<Described, String> {
    let clip = recorded(file, 1)?;
    let told = |what: &str| format!("{}: its caps name no {what}: {}", file.display(), clip.caps);
    let caps = clip.caps.structure(0).ok_or_else(|| told("video"))?;
    let side = |name: &str| caps.get::<i32>(name).ok().and_then(|side| u32::try_from(side).ok());
    let rate = caps.get::<gst::Fraction>("framerate").ok().filter(|rate| rate.numer() > 0 && rate.denom() > 0);
    let rate = rate.ok_or_else(|| told("frame rate"))?;
    // 30000/1001 counts as 30, as the camera's profiles name it.
    let rounded = (rate.numer() + rate.denom() / 2) / rate.denom();
    Ok(Described {
        width: side("width").ok_or_else(|| told("width"))?,
        height: side("height").ok_or_else(|| told("height"))?,
        framerate: u32::try_from(rounded.max(1)).unwrap_or(1),
        format: caps.get::<String>("format").map_err(|_| told("format"))?,
    })
}

/// The first frames of a recorded file, at most this many.
///
/// # Errors
/// It cannot be read or is no raw video, in words for a person.
pub(super) fn recorded(file: &Path, most: usize) -> Result<Clip, String> {
    if !file.is_file() {
        return Err(format!("There is no file '{}'.", file.display()));
    }
    let source = element("filesrc", &[("location", &file.to_string_lossy())])?;
    let demuxer = element("matroskademux", &[])?;
    let sink = appsink();
    let pipeline = gst::Pipeline::new();
    let added = pipeline.add_many([&source, &demuxer, sink.upcast_ref()]).and_then(|()| source.link(&demuxer));
    added.map_err(|error| error.to_string())?;
    let target = sink.downgrade();
    demuxer.connect_pad_added(move |_, pad| {
        let is_raw =
            pad.current_caps().is_some_and(|caps| caps.structure(0).is_some_and(|s| s.name() == "video/x-raw"));
        if let (true, Some(sink)) = (is_raw, target.upgrade())
            && let Some(to) = sink.static_pad("sink").filter(|to| !to.is_linked())
        {
            // A failure shows as a pipeline without frames.
            let _ = pad.link(&to);
        }
    });
    collect(&pipeline, &sink, most).map_err(|why| format!("'{}' gives no frames: {why}.", file.display()))
}

/// A picture that moves, with noise in a corner, as much as an encoder finds in a room; with these caps.
///
/// # Errors
/// An element is missing, or cannot make these caps.
pub(super) fn test_picture(caps: &str, count: usize) -> Result<Clip, String> {
    let caps = caps.parse::<gst::Caps>().map_err(|error| error.to_string())?;
    let count_text = count.to_string();
    let source =
        element("videotestsrc", &[("pattern", "smpte"), ("horizontal-speed", "3"), ("num-buffers", &count_text)])?;
    let filter = element("capsfilter", &[])?;
    filter.set_property("caps", &caps);
    let sink = appsink();
    let pipeline = gst::Pipeline::new();
    let linked = pipeline
        .add_many([&source, &filter, sink.upcast_ref()])
        .and_then(|()| gst::Element::link_many([&source, &filter, sink.upcast_ref()]));
    linked.map_err(|error| error.to_string())?;
    collect(&pipeline, &sink, count).map_err(|why| format!("There is no test picture with caps {caps}: {why}."))
}

fn element(factory: &str, settings: &[(&str, &str)]) -> Result<gst::Element, String> {
    let mut builder = gst::ElementFactory::make(factory);
    for (name, value) in settings {
        builder = builder.property_from_str(name, value);
    }
    builder.build().map_err(|_| {
        format!(
            "There is no GStreamer element '{factory}'; {}.",
            crate::media::gst::offline::pipelines::how_to_get(factory)
        )
    })
}

fn appsink() -> gst_app::AppSink {
    gst_app::AppSink::builder().sync(false).max_buffers(4).build()
}

/// Plays a pipeline into memory until it ends or there are enough frames.
fn collect(pipeline: &gst::Pipeline, sink: &gst_app::AppSink, most: usize) -> Result<Clip, String> {
    let mut clip: Option<Clip> = None;
    let started = pipeline.set_state(gst::State::Playing);
    let mut bytes = 0;
    while started.is_ok() {
        let Some(sample) = sink.try_pull_sample(PATIENCE) else { break };
        let (Some(buffer), Some(caps)) = (sample.buffer_owned(), sample.caps_owned()) else { break };
        bytes += buffer.size();
        let clip = clip.get_or_insert_with(|| Clip { caps, frames: Vec::new() });
        clip.frames.push(buffer);
        if clip.frames.len() >= most || bytes >= MOST_BYTES {
            break;
        }
    }
    let said = pipeline.bus().and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
    let _ = pipeline.set_state(gst::State::Null);
    let said = said.and_then(|message| match message.view() {
        gst::MessageView::Error(error) => Some(error.error().to_string().trim_end_matches('.').to_owned()),
        _ => None,
    });
    clip.ok_or_else(|| said.unwrap_or_else(|| NO_VIDEO.into()))
}
