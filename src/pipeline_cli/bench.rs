//! `pipeline bench`: measures a pipeline in real time, as the server would run it. Owns the measurement; the frames it puts
//! in lie in memory, so that they cost next to nothing and are the same for every pipeline.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use clap::Args;
use gst::prelude::*;
use serde::Serialize;

use super::{
    frames::{self, Clip},
    meter::{self, Latency, Meter},
    subject::{StreamArgs, Subject, show_fault},
    table::{row, table},
    terminal::{Stop, complain, say},
    threads::{self, Cost},
};
use crate::{
    config::Config,
    core::matching::Reorder,
    media::gst::{
        bus::next_error,
        offline::pipelines::{self, Built},
    },
    sync::{Mutex, lock},
};

/// Seconds of test picture, shown again and again.
const TEST_SECONDS: u32 = 3;
/// Most frames read of a recording; the memory is bounded besides.
const MOST_FRAMES: usize = 3000;
/// How long the first frame may take to come out.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often the end is looked for.
const LOOK: Duration = Duration::from_millis(20);
/// The thread that puts frames in.
const SOURCE_THREAD: &str = "bench-source";
/// Threads that are not the pipeline's.
const OURS: [&str; 2] = [SOURCE_THREAD, "tokio"];

/// Percent of waiting from which on the figures say more about the machine than about the pipeline.
const BUSY: f64 = 5.0;
const BUSY_ADVICE: &str = "for a CPU that others had: THIS MACHINE IS BUSY, measure again when it is not";

/// What is measured.
#[derive(Debug, Clone, Args)]
pub(super) struct BenchArgs {
    /// Names, files or stream types. Several are measured one after the other and compared.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Seconds to measure each pipeline, from its first frame on.
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = super::args::parse_seconds)]
    secs: f64,
    #[command(flatten)]
    stream: StreamArgs,
    /// Use frames that `pipeline capture` recorded, with their size and rate, in place of a test picture.
    #[arg(long, value_name = "FILE")]
    frames: Option<PathBuf>,
    /// Print a JSON array instead of text.
    #[arg(long)]
    json: bool,
}

/// What was measured of one pipeline.
#[derive(Debug, Serialize)]
struct Measured {
    name: String,
    file: String,
    encoder: String,
    codec: Option<String>,
    stream: String,
    width: u32,
    height: u32,
    framerate: u32,
    format: String,
    seconds: f64,
    frames_in: u64,
    frames_out: u64,
    /// Went in and did not come out.
    dropped: u64,
    fps_in: f64,
    fps_out: f64,
    /// Percent of a core, all threads.
    cpu_percent: f64,
    /// The same without what puts the frames in.
    pipeline_cpu_percent: f64,
    /// Percent of the time that its threads were ready and others had the CPU.
    waited_percent: f64,
    bitrate_kbps: f64,
    asked_kbps: u32,
    key_frames: u64,
    frame_bytes_mean: u64,
    frame_bytes_max: u64,
    /// From the push into the appsrc to the tee.
    latency_ms: Latency,
    elements: Vec<ElementLatency>,
    threads: Vec<Cost>,
}

#[derive(Debug, Serialize)]
struct ElementLatency {
    name: String,
    factory: String,
    latency_ms: Latency,
}

/// Measures each, one after the other.
pub(super) fn run(config: &Config, args: &BenchArgs, stop: &Stop) -> Result<bool, String> {
    let stream = super::show::for_frames(&args.stream, args.frames.as_deref())?;
    let recorded = args.frames.as_deref().map(|file| frames::recorded(file, MOST_FRAMES)).transpose()?;
    let mut all = Vec::new();
    let mut good = true;
    for name in &args.names {
        let subject = Subject::find(config, name, &stream)?;
        let built = match pipelines::build(&subject.text, &subject.values) {
            Ok(built) => built,
            Err(fault) => {
                complain(show_fault(&fault, &subject.text.text));
                good = false;
                continue;
            }
        };
        let test;
        let clip = if let Some(clip) = &recorded {
            clip
        } else {
            test = frames::test_picture(&subject.caps(), (subject.values.framerate * TEST_SECONDS) as usize)?;
            &test
        };
        match measure(&subject, built, clip, Duration::from_secs_f64(args.secs), stop) {
            Ok(measured) => {
                if !args.json {
                    say(measured.report(args.frames.is_some()));
                }
                all.push(measured);
            }
            Err(why) => {
                complain(format!("{}: {why}", subject.text.file));
                good = false;
            }
        }
        if stop.is_asked() {
            break;
        }
    }
    if args.json {
        say(serde_json::to_string_pretty(&all).map_err(|error| error.to_string())?);
    } else if all.len() > 1 {
        say(compare(&all));
    }
    Ok(good)
}

/// What came out.
#[derive(Default)]
struct Out {
    frames: u64,
    bytes: u64,
    keys: u64,
    max: u64,
    first: Option<Instant>,
}

fn measure(subject: &Subject, built: Built, clip: &Clip, length: Duration, stop: &Stop) -> Result<Measured, String> {
    let out = Arc::new(Mutex::new(Out::default()));
    let mut meters = meter::attach(built.source.upcast_ref());
    let total = Meter::new("total", "", Reorder::CODEC);
    watch_fanout(&built, &out, &total)?;
    built.source.set_caps(Some(&clip.caps));
    if built.pipeline.set_state(gst::State::Playing).is_err() {
        return Err(next_error(&built.pipeline).unwrap_or_else(|| "the pipeline does not start".into()));
    }
    let pushed = Arc::new(AtomicU64::new(0));
    let ended = Arc::new(AtomicBool::new(false));
    let waiting: Vec<Meter> = meters.first().into_iter().chain([&total]).cloned().collect();
    let feeder = {
        let (source, frames) = (built.source.clone(), clip.frames.clone());
        let (pushed, ended) = (pushed.clone(), ended.clone());
        let interval = Duration::from_secs(1) / subject.values.framerate.max(1);
        let feed = move || feed(&source, &frames, interval, &waiting, &pushed, &ended);
        std::thread::Builder::new().name(SOURCE_THREAD.into()).spawn(feed).map_err(|error| error.to_string())?
    };
    let watched = watch(&built, &out, &pushed, &meters, &total, length, stop);
    ended.store(true, Relaxed);
    let _ = feeder.join();
    let Window { seconds, pushed, out, threads } = watched?;
    // The first frame stands for the time before it: 31 frames take 30 intervals from the first to the last.
    let span = seconds + 1.0 / f64::from(subject.values.framerate.max(1));
    let is_ours = |thread: &&Cost| OURS.iter().any(|known| thread.name.starts_with(known));
    let all: f64 = threads.iter().map(|thread| thread.cpu_percent).sum();
    let ours: f64 = threads.iter().filter(is_ours).map(|thread| thread.cpu_percent).sum();
    let waited = threads.iter().filter(|thread| !is_ours(thread)).map(|thread| thread.waited_percent).sum();
    meters.retain(|meter| meter.latency().is_some());
    let values = &subject.values;
    Ok(Measured {
        name: subject.text.name.clone(),
        file: subject.text.file.clone(),
        encoder: built.encoder().unwrap_or_default(),
        codec: subject.codec.map(|codec| codec.to_string()),
        stream: values.stream.clone(),
        width: values.width,
        height: values.height,
        framerate: values.framerate,
        format: values.format.clone(),
        seconds,
        frames_in: pushed,
        frames_out: out.frames,
        dropped: pushed.saturating_sub(out.frames),
        fps_in: pushed as f64 / span,
        fps_out: out.frames as f64 / span,
        cpu_percent: all,
        pipeline_cpu_percent: all - ours,
        waited_percent: waited,
        bitrate_kbps: out.bytes as f64 * 8.0 / 1000.0 / span,
        asked_kbps: values.bitrate_kbps,
        key_frames: out.keys,
        frame_bytes_mean: out.bytes / out.frames.max(1),
        frame_bytes_max: out.max,
        latency_ms: total.latency().unwrap_or_default(),
        elements: meters
            .iter()
            .filter_map(|meter| {
                let latency_ms = meter.latency()?;
                Some(ElementLatency { name: meter.name.clone(), factory: meter.factory.clone(), latency_ms })
            })
            .collect(),
        threads: threads.into_iter().filter(|thread| thread.cpu_percent >= 0.05).collect(),
    })
}

/// Puts an end on the tee, as a session does, and counts what comes.
fn watch_fanout(built: &Built, out: &Arc<Mutex<Out>>, total: &Meter) -> Result<(), String> {
    let sink = gst::ElementFactory::make("fakesink").property("sync", false).property("async", false).build();
    let sink = sink.map_err(|error| error.to_string())?;
    built.pipeline.add(&sink).and_then(|()| built.fanout.link(&sink)).map_err(|error| error.to_string())?;
    let pad = built.fanout.static_pad("sink").ok_or("the tee has no pad")?;
    let out = out.clone();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(gst::PadProbeData::Buffer(buffer)) = &info.data {
            let mut out = lock(&out);
            let size = buffer.size() as u64;
            out.first.get_or_insert_with(Instant::now);
            out.frames += 1;
            out.bytes += size;
            out.max = out.max.max(size);
            out.keys += u64::from(!buffer.flags().contains(gst::BufferFlags::DELTA_UNIT));
        }
        gst::PadProbeReturn::Ok
    });
    meter::watch(&pad, total, Meter::left);
    Ok(())
}

/// Pushes frames at their times until told to end. A frame whose time has passed is pushed at once: a camera does not wait.
fn feed(
    source: &gst_app::AppSrc,
    frames: &[gst::Buffer],
    interval: Duration,
    waiting: &[Meter],
    pushed: &AtomicU64,
    ended: &AtomicBool,
) {
    let begun = Instant::now();
    let duration = gst::ClockTime::try_from(interval).unwrap_or(gst::ClockTime::ZERO);
    for (number, frame) in frames.iter().cycle().enumerate() {
        let due = interval * u32::try_from(number).unwrap_or(u32::MAX);
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        if ended.load(Relaxed) {
            return;
        }
        let Some(now) = source.current_running_time() else { continue };
        // Shares the picture, has times of its own.
        let mut frame = frame.copy();
        if let Some(frame) = frame.get_mut() {
            frame.set_pts(now);
            frame.set_dts(gst::ClockTime::NONE);
            frame.set_duration(duration);
        }
        waiting.iter().for_each(|meter| meter.came(now.nseconds()));
        pushed.fetch_add(1, Relaxed);
        // Refused only by a pipeline that failed, and then its bus says why.
        let _ = source.push_buffer(frame);
    }
}

/// What happened in the time that counts.
struct Window {
    seconds: f64,
    pushed: u64,
    out: Out,
    threads: Vec<Cost>,
}

/// Waits for the first frame, then for the time to pass.
fn watch(
    built: &Built,
    out: &Mutex<Out>,
    pushed: &AtomicU64,
    meters: &[Meter],
    total: &Meter,
    length: Duration,
    stop: &Stop,
) -> Result<Window, String> {
    let begun = Instant::now();
    let first = loop {
        if let Some(first) = lock(out).first {
            break first;
        }
        if let Some(words) = next_error(&built.pipeline) {
            return Err(words);
        }
        if begun.elapsed() > PATIENCE || stop.is_asked() {
            return Err(format!("no frame came out within {:.0} s", begun.elapsed().as_secs_f64()));
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    // Until here elements opened devices and chose formats; that is no part of what a frame takes. Its size is: the first
    // key frame is what a viewer waits for.
    meters.iter().chain([total]).for_each(Meter::reset);
    let (pushed_before, before) = (pushed.load(Relaxed).saturating_sub(1), threads::snapshot());
    while first.elapsed() < length && !stop.is_asked() {
        if let Some(words) = next_error(&built.pipeline) {
            return Err(words);
        }
        std::thread::sleep(LOOK.min(length.saturating_sub(first.elapsed())));
    }
    let threads = before.until(&threads::snapshot());
    let seconds = first.elapsed().as_secs_f64();
    let out = std::mem::take(&mut *lock(out));
    Ok(Window { seconds, pushed: pushed.load(Relaxed) - pushed_before, out, threads })
}

impl Measured {
    fn report(&self, recorded: bool) -> String {
        let Self { name, file, stream, width, height, framerate, format, asked_kbps, .. } = self;
        let picture = if recorded { "recorded frames" } else { "test picture" };
        let share = self.bitrate_kbps / f64::from(*asked_kbps) * 100.0;
        let rows = vec![
            row(["  encoder".to_owned(), self.encoder.clone()]),
            row(["  fps in".to_owned(), format!("{:.1}", self.fps_in)]),
            row([
                "  fps out".to_owned(),
                format!("{:.1}", self.fps_out),
                format!("{} of {} frames not out", self.dropped, self.frames_in),
            ]),
            row([
                "  CPU %".to_owned(),
                format!("{:.1}", self.pipeline_cpu_percent),
                format!("of a core; {:.1} with this program's own threads", self.cpu_percent),
            ]),
            row([
                "  waited %".to_owned(),
                format!("{:.1}", self.waited_percent),
                if self.waited_percent > BUSY { BUSY_ADVICE } else { "for a CPU that others had" }.into(),
            ]),
            row([
                "  kbit/s".to_owned(),
                format!("{:.0}", self.bitrate_kbps),
                format!("{share:.0} % of {asked_kbps} asked"),
            ]),
            row(["  key frames".to_owned(), self.key_frames.to_string()]),
            row([
                "  frame bytes".to_owned(),
                self.frame_bytes_mean.to_string(),
                format!("mean, {} largest", self.frame_bytes_max),
            ]),
        ];
        let mut latencies = vec![row(["  latency ms", "", "mean", "p95", "max"])];
        let latency = |name: &str, factory: &str, latency: &Latency| {
            let number = |ms: f64| format!("{ms:.2}");
            row([format!("  {name}"), factory.into(), number(latency.mean), number(latency.p95), number(latency.max)])
        };
        latencies
            .extend(self.elements.iter().map(|element| latency(&element.name, &element.factory, &element.latency_ms)));
        latencies.push(latency("total", "push to tee", &self.latency_ms));
        let threads: Vec<_> =
            self.threads.iter().map(|thread| format!("{} {:.1}", thread.name, thread.cpu_percent)).collect();
        format!(
            "{name} ({file}): {stream} {width}x{height} at {framerate} fps, {format}, {picture}, {:.1} s\n{}\n{}\n  threads, % of a \
             core: {}",
            self.seconds,
            table(&rows),
            table(&latencies),
            threads.join(", ")
        )
    }
}

/// One line for each pipeline.
fn compare(all: &[Measured]) -> String {
    let mut rows = vec![row([
        "NAME", "ENCODER", "FPS", "LOST", "CPU%", "WAIT%", "KBIT/S", "ASKED", "KEYS", "BYTES", "LARGEST", "MS", "P95",
        "MAX",
    ])];
    rows.extend(all.iter().map(|one| {
        row([
            one.name.clone(),
            one.encoder.clone(),
            format!("{:.1}", one.fps_out),
            one.dropped.to_string(),
            format!("{:.1}", one.pipeline_cpu_percent),
            format!("{:.1}", one.waited_percent),
            format!("{:.0}", one.bitrate_kbps),
            one.asked_kbps.to_string(),
            one.key_frames.to_string(),
            one.frame_bytes_mean.to_string(),
            one.frame_bytes_max.to_string(),
            format!("{:.2}", one.latency_ms.mean),
            format!("{:.2}", one.latency_ms.p95),
            format!("{:.2}", one.latency_ms.max),
        ])
    }));
    format!("\n{}", table(&rows))
}
