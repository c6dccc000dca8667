//! `pipeline run`: plays a pipeline in this process, with stand-ins for camera and sessions. Owns that pipeline from start
//! to end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use gst::prelude::*;

use super::{
    args::PlayArgs,
    display,
    launch::Sink,
    shell_command,
    show::Plan,
    terminal::{Stop, complain, say},
};
use crate::{
    config::Config,
    media::gst::bus::{error_words, next_error},
};

/// How often the bus is looked at.
const LOOK: gst::ClockTime = gst::ClockTime::from_mseconds(50);
/// How long files may take to be completed at the end.
const FINISH: Duration = Duration::from_secs(10);

/// What passed a place so far.
#[derive(Default)]
struct Count {
    frames: AtomicU64,
    bytes: AtomicU64,
    keys: AtomicU64,
}

/// Plays until the end, an error or a signal.
pub(super) fn run(config: &Config, play: &PlayArgs, stop: &Stop) -> Result<bool, String> {
    let display = display::find();
    let sink = match (&play.to, &display) {
        // The sinks that a window comes from bring the whole process down where there is none.
        (Some(Sink::Window), Err(why)) => {
            return Err(format!(
                "There is no display to open a window on ({why}): write a file with --to file=OUT.mkv, or send with \
                 --to rtp=HOST:PORT and watch there."
            ));
        }
        (Some(sink), _) => sink.clone(),
        (None, Ok(())) => Sink::Window,
        (None, Err(why)) => {
            complain(format!(
                "There is no display here ({why}), so what comes out is counted and dropped; --to file=OUT.mkv writes a \
                 file, --to rtp=HOST:PORT sends it."
            ));
            Sink::Null
        }
    };
    let Some(plan) = Plan::make(config, play, sink)? else { return Ok(false) };
    say(format!("{}: {}, to {}", plan.subject.text.file, plan.subject.describe(), plan.sink));
    if let Some(watch) = plan.watch_with(display.is_ok()) {
        say(format!("watch it with: {watch}"));
    }
    let arguments = shell_command::arguments(&plan.parts);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let pipeline = gst::parse::launchv(&arguments).map_err(|error| error.to_string())?;
    let pipeline = pipeline.downcast::<gst::Pipeline>().map_err(|_| "The text makes no pipeline.".to_owned())?;
    let (fed, encoded) = (count(&pipeline, "encoder"), count(&pipeline, "fanout"));
    let played = play_to_the_end(&pipeline, &fed, &encoded, stop);
    let _ = pipeline.set_state(gst::State::Null);
    let seconds = played?;
    let frames = encoded.frames.load(Relaxed);
    let kbps = encoded.bytes.load(Relaxed) as f64 * 8.0 / 1000.0 / seconds.max(0.001);
    let keys = encoded.keys.load(Relaxed);
    say(format!(
        "{frames} frames in {seconds:.1} s, {:.1} fps, {kbps:.0} kbit/s, {keys} key frames",
        frames as f64 / seconds.max(0.001)
    ));
    if let Sink::File(file) = &plan.sink {
        let size = std::fs::metadata(file).map_or(0, |file| file.len());
        say(format!("{file}: {:.1} kB", size as f64 / 1000.0));
    }
    Ok(true)
}

/// Counts what an element takes.
fn count(pipeline: &gst::Pipeline, element: &str) -> Arc<Count> {
    let counted = Arc::new(Count::default());
    let pad = pipeline.by_name(element).and_then(|element| element.sink_pads().into_iter().next());
    if let Some(pad) = pad {
        let counter = counted.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(gst::PadProbeData::Buffer(buffer)) = &info.data {
                counter.frames.fetch_add(1, Relaxed);
                counter.bytes.fetch_add(buffer.size() as u64, Relaxed);
                counter.keys.fetch_add(u64::from(!buffer.flags().contains(gst::BufferFlags::DELTA_UNIT)), Relaxed);
            }
            gst::PadProbeReturn::Ok
        });
    }
    counted
}

/// How many seconds it played.
fn play_to_the_end(pipeline: &gst::Pipeline, fed: &Count, encoded: &Count, stop: &Stop) -> Result<f64, String> {
    let bus = pipeline.bus().ok_or("The pipeline has no bus.")?;
    let begun = Instant::now();
    if pipeline.set_state(gst::State::Playing).is_err() {
        return Err(next_error(pipeline).unwrap_or_else(|| "The pipeline does not start.".into()));
    }
    let wanted = [gst::MessageType::Error, gst::MessageType::Warning, gst::MessageType::Eos];
    let mut told = (Instant::now(), 0, 0, 0);
    let mut ending = None;
    loop {
        let message = bus.timed_pop_filtered(LOOK, &wanted);
        match message.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Error(error)) => return Err(error_words(error)),
            Some(gst::MessageView::Warning(warning)) => {
                let element = warning.src().map(|source| source.name().to_string()).unwrap_or_default();
                complain(format!("warning: {element}: {}", warning.error()));
            }
            Some(gst::MessageView::Eos(_)) => return Ok(begun.elapsed().as_secs_f64()),
            _ => {}
        }
        if ending.is_none() && stop.is_asked() {
            // The muxers complete their files when the stream ends.
            pipeline.send_event(gst::event::Eos::new());
            ending = Some(Instant::now());
        }
        if ending.is_some_and(|asked: Instant| asked.elapsed() > FINISH) {
            return Err(format!("The pipeline did not end within {} s; files may be incomplete.", FINISH.as_secs()));
        }
        let since = told.0.elapsed().as_secs_f64();
        if since >= 1.0 && ending.is_none() {
            let (into, out) = (fed.frames.load(Relaxed), encoded.frames.load(Relaxed));
            let bytes = encoded.bytes.load(Relaxed);
            say(format!(
                "{:>4.0} s  {:>5.1} fps in  {:>5.1} fps out  {:>6.0} kbit/s  {} key frames",
                begun.elapsed().as_secs_f64(),
                (into - told.1) as f64 / since,
                (out - told.2) as f64 / since,
                (bytes - told.3) as f64 * 8.0 / 1000.0 / since,
                encoded.keys.load(Relaxed),
            ));
            told = (Instant::now(), into, out, bytes);
        }
    }
}
