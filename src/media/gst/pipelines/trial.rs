//! Tries a pipeline with test pictures, on the side: nothing that runs is touched, no file is written, and a driver that hangs
//! costs a thread and nothing else. Owns the pipeline it tries for as long as it tries it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use gst::prelude::*;
use gst_video::{UpstreamForceKeyUnitEvent, VideoFormat, VideoInfo};

use super::{build, limits, text::Text};
use crate::{
    core::{
        peer::h264::Profile,
        text::template::{Fault, Values},
    },
    media::gst::{
        bus::{self, Said},
        walk,
    },
    model::Codec,
    sync::{Mutex, lock},
};

/// Test pictures. Enough for an encoder to show whether it holds pictures back.
const PICTURES: u32 = 10;
/// The picture with which a key frame is asked for, as a viewer who joins does.
const ASKED_WITH: u32 = 5;
/// How much longer than its deadline a trial may take before its thread is given up: the trial itself says more.
const GRACE: Duration = Duration::from_millis(500);
/// Trials that hang before no further one is begun.
const MOST_HANGING: usize = 8;

/// Trials that were given up and have not come back.
static HANGING: AtomicUsize = AtomicUsize::new(0);

/// What came of a trial: the pipeline works.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TryReport {
    /// The encoder's factory.
    pub(crate) encoder: String,
    /// What comes out.
    pub(crate) caps: String,
    /// Pictures that went in.
    pub(crate) pictures: u32,
    /// Encoded pictures that came out.
    pub(crate) units: u32,
    /// Their bytes.
    pub(crate) bytes: usize,
    /// Pictures that came out only when no more went in: the encoder adds so many frames of delay.
    pub(crate) held_back: u32,
    /// Whether a key frame came when one was asked for. Without one, a viewer that joins waits for the next regular key frame.
    pub(crate) key_on_request: bool,
    /// Whether every key frame can be decoded by itself. Without, only the first viewer sees something.
    pub(crate) headers_repeat: bool,
    /// The profile that its first sequence parameter set names; of H.264 only.
    pub(crate) profile: Option<Profile>,
    /// From the first picture in to the first one out, and the encoder's start with it.
    pub(crate) first: Duration,
    /// All of it.
    pub(crate) took: Duration,
}

/// An encoded picture of a trial.
struct Unit {
    pts: Option<gst::ClockTime>,
    key: bool,
    headers: bool,
    profile: Option<Profile>,
    bytes: usize,
}

/// Builds a pipeline, sends test pictures of the stream's format and size through it, and looks at what comes out at its tee.
/// Branches that hang on the tee, or elsewhere beside the way to it, take no part: a recording is not begun.
///
/// # Errors
/// The fault in the text; or, as a fault at line 1, what did not come out right, an element's error, or that nothing came within
/// `deadline`. The caller never waits much longer than that.
pub(crate) fn try_pipeline(text: &Text, values: &Values, codec: Codec, deadline: Duration) -> Result<TryReport, Fault> {
    let fault = |message: String| Fault::of_file(&text.file, message);
    if HANGING.load(Relaxed) >= MOST_HANGING {
        return Err(fault(format!(
            "{MOST_HANGING} earlier trials of pipelines hang, so no further one is begun; restart the server"
        )));
    }
    let (sender, result) = mpsc::sync_channel(1);
    let given_up = Arc::new(Mutex::new(false));
    let (own_text, own_values, own_flag) = (text.clone(), values.clone(), given_up.clone());
    let trial = move || {
        let tried = run(&own_text, &own_values, codec, deadline);
        let given_up = lock(&own_flag);
        if *given_up {
            HANGING.fetch_sub(1, Relaxed);
            tracing::warn!(pipeline = %own_text.name, "A pipeline's trial that had been given up came to an end");
        }
        // There is room for one, and nobody waits any more where it was given up.
        let _ = sender.try_send(tried);
    };
    let spawned = thread::Builder::new().name("pipeline-trial".into()).spawn(trial);
    spawned.map_err(|error| fault(format!("no thread to try the pipeline on: {error}")))?;
    match result.recv_timeout(deadline + GRACE) {
        Ok(tried) => tried,
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            Err(fault("the trial of the pipeline panicked; see the log".into()))
        }
        Err(mpsc::RecvTimeoutError::Timeout) => {
            let mut flag = lock(&given_up);
            // It may have come to its end in this moment.
            if let Ok(tried) = result.try_recv() {
                return tried;
            }
            *flag = true;
            HANGING.fetch_add(1, Relaxed);
            Err(fault(format!(
                "it hangs: no answer within {deadline:?}, so its thread was given up; look at the driver"
            )))
        }
    }
}

/// A pipeline that goes to NULL with its trial.
struct Running(gst::Pipeline);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.set_state(gst::State::Null);
        if let Some(bus) = self.0.bus() {
            bus.unset_sync_handler();
            bus.set_flushing(true);
        }
    }
}

fn run(text: &Text, values: &Values, codec: Codec, deadline: Duration) -> Result<TryReport, Fault> {
    let started = Instant::now();
    let until = started + deadline;
    let fault = |message: String| Fault::of_file(&text.file, message);
    let graph = build::build(text, values)?;
    let running = Running(graph.pipeline.clone());
    let info = picture_info(values).map_err(fault)?;
    cut_branches(&graph);
    let sink = attach(&graph).map_err(fault)?;
    let errors: Arc<Mutex<Option<String>>> = Arc::default();
    watch(&running.0, &errors);
    let words = || lock(&errors).clone();
    graph.source.set_caps(info.to_caps().ok().as_ref());
    if running.0.set_state(gst::State::Playing).is_err() {
        return Err(fault(words().unwrap_or_else(|| "it does not start".into())));
    }
    if let Some(why) = limits::refusal(graph.source.upcast_ref(), &graph.encoder, values) {
        return Err(fault(why));
    }
    let pushed_at = Instant::now();
    let (mut units, mut first, mut caps) = (Vec::new(), None, None);
    let mut take = |units: &mut Vec<Unit>, wait: Duration| {
        let Some(sample) = sink.try_pull_sample(gst::ClockTime::try_from(wait).ok()) else { return false };
        first.get_or_insert_with(|| pushed_at.elapsed());
        caps = sample.caps_owned().or(caps.take());
        units.extend(sample.buffer().map(|buffer| unit(buffer, codec)));
        true
    };
    // Counted in what came out, not in what went in: a pipeline may leave pictures out on purpose (videorate).
    let mut asked_at = 0;
    for number in 0..PICTURES {
        if number == ASKED_WITH
            && let Some(pad) = graph.fanout.static_pad("sink")
        {
            // Just as the sessions ask.
            asked_at = units.len();
            pad.push_event(UpstreamForceKeyUnitEvent::builder().all_headers(false).build());
        }
        // An element's error says more than that its source takes nothing more.
        if graph.source.push_buffer(picture(&info, values, number)).is_err() {
            break;
        }
        let due = units.len() + 1;
        let patience = Instant::now() + Duration::from_secs(1) / values.framerate.max(1);
        while units.len() < due && Instant::now() < until && words().is_none() {
            let waits = graph.source.current_level_buffers() > 0;
            if !take(&mut units, Duration::from_millis(5)) && !waits && Instant::now() > patience {
                break;
            }
        }
    }
    let in_time = units.len();
    let _ = graph.source.end_of_stream();
    while !sink.is_eos() && Instant::now() < until && words().is_none() {
        take(&mut units, Duration::from_millis(5));
    }
    if let Some(words) = words() {
        return Err(fault(words));
    }
    let caps = caps.ok_or_else(|| fault(format!("no picture came out of it within {deadline:?}")))?;
    judge(&units, &caps, codec).map_err(fault)?;
    let since_asked = units.iter().skip(asked_at.saturating_sub(1));
    let held_back = u32::try_from(units.len() - in_time).unwrap_or(u32::MAX);
    Ok(TryReport {
        encoder: graph.encoder.factory().map_or_else(String::new, |factory| factory.name().to_string()),
        caps: caps.to_string(),
        pictures: PICTURES,
        units: u32::try_from(units.len()).unwrap_or(u32::MAX),
        bytes: units.iter().map(|unit| unit.bytes).sum(),
        held_back,
        key_on_request: since_asked.into_iter().any(|unit| unit.key),
        headers_repeat: units.iter().filter(|unit| unit.key).all(|unit| unit.headers),
        profile: units.iter().find_map(|unit| unit.profile),
        first: first.unwrap_or_default(),
        took: started.elapsed(),
    })
}

/// Whether the units are what sessions can send and browsers can show.
fn judge(units: &[Unit], caps: &gst::Caps, codec: Codec) -> Result<(), String> {
    let wanted = build::caps_of(codec);
    if !caps.can_intersect(&wanted) {
        return Err(format!("what reaches fanout is {}; it must be {wanted}", build::in_short(caps)));
    }
    if units.first().is_some_and(|unit| !unit.key) {
        return Err("its first picture is no key frame, so nobody could decode it".into());
    }
    let times: Vec<_> = units.iter().map(|unit| unit.pts).collect();
    if times.contains(&None) {
        return Err("its pictures carry no time stamps".into());
    }
    if times.windows(2).any(|pair| pair[1] <= pair[0]) {
        return Err("its pictures are not in the order they are shown in: switch B-frames off".into());
    }
    Ok(())
}

fn unit(buffer: &gst::BufferRef, codec: Codec) -> Unit {
    let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
    let bytes = buffer.map_readable().ok().filter(|_| codec == Codec::H264);
    let headers = codec != Codec::H264 || bytes.as_ref().is_some_and(|bytes| has_parameter_sets(bytes));
    let profile = bytes.and_then(|bytes| Profile::of_unit(&bytes));
    Unit { pts: buffer.pts(), key, headers, profile, bytes: buffer.size() }
}

/// Whether an H.264 access unit brings a sequence and a picture parameter set (NAL unit types 7 and 8).
fn has_parameter_sets(unit: &[u8]) -> bool {
    let has = |kind: u8| unit.windows(4).any(|bytes| bytes[..3] == [0, 0, 1] && bytes[3] & 0x1f == kind);
    has(7) && has(8)
}

/// Unlinks all that does not lead to the tee and keeps it from starting.
fn cut_branches(graph: &build::BuiltPipeline) {
    let children = graph.pipeline.children();
    // What is linked later cannot be told apart now.
    if children.iter().any(walk::grows) {
        return;
    }
    let wanted = walk::reached(&graph.fanout, |element| element.sink_pads());
    for pad in wanted.iter().flat_map(|element| element.src_pads()) {
        let Some(peer) = pad.peer() else { continue };
        if peer.parent_element().is_some_and(|element| !wanted.contains(&element)) {
            let _ = pad.unlink(&peer);
        }
    }
    for element in children.iter().filter(|element| !wanted.contains(element)) {
        element.set_locked_state(true);
    }
}

fn attach(graph: &build::BuiltPipeline) -> Result<gst_app::AppSink, String> {
    let sink = gst_app::AppSink::builder().sync(false).async_(false).build();
    graph.pipeline.add(&sink).map_err(|error| error.to_string())?;
    let pad = graph.fanout.request_pad_simple("src_%u").ok_or("the tee gives no pad")?;
    let target = sink.static_pad("sink").ok_or("the appsink has no pad")?;
    pad.link(&target).map_err(|error| error.to_string())?;
    Ok(sink)
}

/// Keeps the first error's words.
fn watch(pipeline: &gst::Pipeline, errors: &Arc<Mutex<Option<String>>>) {
    let errors = errors.clone();
    bus::listen(pipeline, move |said| {
        if let Said::Error { words, .. } = said {
            lock(&errors).get_or_insert(words);
        }
    });
}

/// What the stream's raw pictures look like.
fn picture_info(values: &Values) -> Result<VideoInfo, String> {
    let format = VideoFormat::from_string(&values.format);
    let framerate = i32::try_from(values.framerate.max(1)).unwrap_or(i32::MAX);
    VideoInfo::builder(format, values.width, values.height)
        .fps(gst::Fraction::new(framerate, 1))
        .build()
        .map_err(|_| format!("there are no pictures of {}x{} in {}", values.width, values.height, values.format))
}

/// A picture that differs from the one before it.
fn picture(info: &VideoInfo, values: &Values, number: u32) -> gst::Buffer {
    let width = usize::try_from(values.width).unwrap_or(1).max(1);
    let shift = usize::try_from(number).unwrap_or(0) * 4;
    let bytes: Vec<u8> = (0..info.size()).map(|at| ((at % width + shift) ^ (at / width)) as u8).collect();
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    let interval = gst::ClockTime::SECOND / u64::from(values.framerate.max(1));
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(interval * u64::from(number));
        buffer.set_duration(interval);
    }
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        model::{DeviceId, StreamKey, StreamType},
    };

    const GOOD: &str = "appsrc name=source ! videoconvert ! video/x-raw,format=I420\n! x264enc name=encoder tune=zerolatency \
        speed-preset=ultrafast bitrate={bitrate_kbps} \n! video/x-h264,profile=constrained-baseline,stream-format=byte-stream,alignment=au\n\
        ! identity single-segment=true ! tee name=fanout\n";

    fn attempt(text: &str, deadline: Duration) -> Result<TryReport, Fault> {
        gst::init().expect("GStreamer");
        let mut config = Config::default();
        (config.streams.color.width, config.streams.color.height) = (320, 240);
        let key = StreamKey::new(DeviceId::new("1"), StreamType::Color);
        let values = build::values(&config, &key, config.streams.color.profile());
        let text = Text { name: "color.h264".into(), file: "color.gst".into(), text: text.into(), unreadable: None };
        try_pipeline(&text, &values, Codec::H264, deadline)
    }

    const AMPLE: Duration = Duration::from_secs(30);

    #[test]
    fn a_good_pipeline_is_reported_with_what_came_out() {
        let report = attempt(GOOD, AMPLE).expect("works");
        assert_eq!((report.encoder.as_str(), report.pictures, report.units), ("x264enc", PICTURES, PICTURES));
        assert!(report.caps.contains("constrained-baseline") && report.bytes > 1000, "{report:?}");
        assert!(report.profile.is_some_and(|made| made.is_same_as(Profile::CONSTRAINED_BASELINE)), "{report:?}");
        // By a preset that makes use of what high allows.
        let high = GOOD.replace("profile=constrained-baseline", "profile=high").replace("ultrafast", "medium");
        assert_eq!(attempt(&high, AMPLE).expect("works").profile, Some(Profile::HIGH));
        assert!(report.key_on_request && report.headers_repeat && report.held_back == 0, "{report:?}");
        let lookahead = GOOD.replace("tune=zerolatency ", "rc-lookahead=20 ");
        assert!(attempt(&lookahead, AMPLE).expect("works").held_back > 5);
    }

    #[test]
    fn what_no_viewer_could_use_is_refused() {
        let cases = [
            ("tune=zerolatency ", "bframes=2 ", "profile=constrained-baseline", "profile=main", "B-frames"),
            ("stream-format=byte-stream,", "", "", "", "stream-format=(string)avc, alignment=(string)au; it must be"),
            ("! identity", "! identity error-after=3 ! identity", "", "", "identity"),
            ("! identity", "! identity drop-probability=1 ! identity", "", "", "no picture came out"),
            ("! identity", "! valve drop=true ! identity", "", "", "no picture came out"),
        ];
        for (from, to, also, too, words) in cases {
            let mut text = GOOD.replace(from, to);
            if !also.is_empty() {
                text = text.replace(also, too);
            }
            let fault = attempt(&text, Duration::from_secs(3)).expect_err(to);
            assert!(fault.message.contains(words), "{to}: {fault}");
        }
    }

    #[test]
    fn a_pipeline_that_hangs_is_given_up() {
        let begun = Instant::now();
        // Nothing wakes it up: it sleeps 8 s for each picture, also while it is taken down.
        let hangs = GOOD.replace("! identity", "! identity sleep-time=8000000 ! identity");
        let fault = attempt(&hangs, Duration::from_secs(1)).expect_err("hangs");
        assert!(fault.message.contains("it hangs"), "{fault}");
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_trial_writes_no_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.mkv");
        let branches = format!(
            "{GOOD} fanout. ! queue ! h264parse ! matroskamux ! filesink async=false location={0}\n\
             early. ! queue ! filesink async=false location={0}",
            path.display()
        );
        let text = branches.replace("! videoconvert", "! tee name=early ! videoconvert");
        assert_eq!(attempt(&text, AMPLE).expect("works").units, PICTURES);
        assert!(!path.exists());
    }
}
