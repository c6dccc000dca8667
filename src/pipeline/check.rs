//! `pipeline check`: pipelines are parsed and tried with test frames. Owns the trial outside of the server.

use std::time::{Duration, Instant};

use gst::prelude::*;

use super::{
    error_on_bus, frames, say,
    subject::{StreamArgs, Subject, show_fault},
};
use crate::{
    config::Config,
    media::gst::files::{self, Built},
    model::{Codec, Fault},
};

/// Frames put through a pipeline that is tried.
const FRAMES: usize = 10;
/// How long the first of them may take to come out. A hardware encoder opens its device first.
const PATIENCE: Duration = Duration::from_secs(10);

/// Checks pipelines; all when none is named.
pub(super) fn run(config: &Config, names: &[String], with_frames: bool, stream: &StreamArgs) -> Result<bool, String> {
    let all = names.is_empty();
    let names = if all { files::names(config) } else { names.to_vec() };
    let (mut good, mut absent, mut bad) = (0, 0, 0);
    for name in &names {
        let subject = Subject::find(config, name, stream)?;
        match check(&subject, with_frames) {
            Ok(found) => {
                good += 1;
                say(format!("{}: ok: {found}", subject.text.file));
            }
            // Files for other machines' hardware are no fault of this one's, unless somebody asks about them.
            Err(fault) if all && files::lacks_element(&fault) => {
                absent += 1;
                say(format!("{}: not for this machine: {}", subject.text.file, fault.message));
            }
            Err(fault) => {
                bad += 1;
                say(show_fault(&fault, &subject.text.text));
            }
        }
    }
    if names.len() > 1 {
        let absent = if absent > 0 { format!(", {absent} not for this machine") } else { String::new() };
        say(format!("{good} of {} good{absent}, {bad} with a fault", names.len()));
    }
    Ok(bad == 0)
}

/// Builds it, and puts frames through: what was found, in words.
fn check(subject: &Subject, with_frames: bool) -> Result<String, Fault> {
    let built = files::build(&subject.text, &subject.values)?;
    let encoder = built.encoder().unwrap_or_else(|| "its encoder".into());
    if !with_frames {
        return Ok(format!("{encoder}, parses"));
    }
    let first = put_through(subject, &built)?;
    Ok(format!("{encoder}, {}, first frame after {} ms", subject.describe(), first.as_millis()))
}

/// How long the first frame took.
fn put_through(subject: &Subject, built: &Built) -> Result<Duration, Fault> {
    let fault = |message: String| Fault { file: subject.text.file.clone(), line: 1, message, ..Fault::default() };
    let clip = frames::test_picture(&subject.caps(), FRAMES).map_err(fault)?;
    let sink = gst_app::AppSink::builder().sync(false).async_(false).max_buffers(4).drop(true).build();
    let joined = built.pipeline.add(&sink).and_then(|()| built.fanout.link(&sink));
    joined.map_err(|error| fault(error.to_string()))?;
    built.source.set_caps(Some(&clip.caps));
    let begun = Instant::now();
    if built.pipeline.set_state(gst::State::Playing).is_err() {
        return Err(fault(error_on_bus(&built.pipeline).unwrap_or_else(|| "the pipeline does not start".into())));
    }
    let interval = gst::ClockTime::SECOND / u64::from(subject.values.framerate.max(1));
    let mut pts = gst::ClockTime::ZERO;
    // Some encoders put a frame out only when the next comes in; so frames come until one does.
    for frame in clip.frames.iter().cycle() {
        let mut frame = frame.copy();
        if let Some(frame) = frame.get_mut() {
            frame.set_pts(pts);
            frame.set_duration(interval);
        }
        pts += interval;
        let _ = built.source.push_buffer(frame);
        if let Some(sample) = sink.try_pull_sample(interval) {
            let caps = sample.caps().map(ToString::to_string).unwrap_or_default();
            return match subject.codec {
                Some(codec) if !caps.starts_with(media_type(codec)) => {
                    Err(fault(format!("its name says {codec}, but what comes out is {caps}")))
                }
                _ => Ok(begun.elapsed()),
            };
        }
        if let Some(words) = error_on_bus(&built.pipeline) {
            return Err(fault(words));
        }
        if begun.elapsed() > PATIENCE {
            break;
        }
    }
    Err(fault(format!("no frame came out within {} s", PATIENCE.as_secs())))
}

fn media_type(codec: Codec) -> &'static str {
    match codec {
        Codec::H264 => "video/x-h264",
        Codec::VP8 => "video/x-vp8",
        Codec::VP9 => "video/x-vp9",
    }
}
