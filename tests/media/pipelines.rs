//! Pipeline files: broken ones, failing ones, changed profiles.

use std::{path::Path, time::Duration};

use realsense_webrtc::{
    config::{Config, PipelineNames},
    media::{MediaEvent, diagnostics::ReloadError, gst::check_pipelines},
    model::{Codec, PipelineInfo, PipelineState, PixelFormat, Profile, StreamType},
    probe::receiver::{AccessUnit, Options},
};

use crate::{
    bench::{Bench, SMALL, SOON, config},
    decode::pictures,
};

fn copy_of_pipelines() -> (tempfile::TempDir, Config) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config();
    for entry in std::fs::read_dir(&config.pipelines.dir).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    config.pipelines.dir = folder.path().into();
    (folder, config)
}

fn edit(folder: &Path, file: &str, from: &str, to: &str) {
    let path = folder.join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{file} has {from}");
    std::fs::write(path, text.replace(from, to)).unwrap();
}

async fn stream_error(bench: &mut Bench) -> (String, Duration) {
    let error = bench.event(SOON, |event| match event {
        MediaEvent::StreamError { message, retry_in, .. } => Some((message.clone(), *retry_in)),
        _ => None,
    });
    error.await.expect("a stream error")
}

#[test]
fn the_check_finds_every_broken_file_with_its_line() {
    let (folder, config) = copy_of_pipelines();
    assert_eq!(check_pipelines(&config), Ok(()));
    edit(folder.path(), "color.h264.gst", "x264enc name", "x246enc name");
    edit(folder.path(), "depth.vp8.gst", "target-bitrate={bitrate_bps}", "target-bitrate={bitrate}");
    edit(folder.path(), "infrared.h264.gst", "tee name=fanout", "tee name=fan");
    let faults = check_pipelines(&config).expect_err("three broken files");
    assert_eq!(faults.len(), 3, "{faults:#?}");
    let line = |file: &str| faults.iter().find(|fault| fault.contains(file)).cloned().unwrap_or_default();
    assert!(line("color.h264.gst").contains("no GStreamer element 'x246enc'"), "{faults:#?}");
    assert!(line("depth.vp8.gst").contains("unknown placeholder {bitrate}"), "{faults:#?}");
    assert!(line("infrared.h264.gst").contains("name=fanout"), "{faults:#?}");
}

/// What is changed in `color.h264.gst`, into what, and how the reference says the fault reads.
const FAULTS: [(&str, &str, &str); 17] = [
    (
        "name=encoder",
        "name=enc",
        "19:11: no element has name=encoder; it must be the video encoder; did you mean name=encoder in place of name=enc?",
    ),
    ("! x264enc", "! x246enc", "19:3: there is no GStreamer element 'x246enc'; did you mean x264enc?"),
    (
        "! x264enc",
        "! vaapih264enc",
        "19:3: there is no GStreamer element 'vaapih264enc'; it is in the Debian package gstreamer1.0-vaapi: apt install \
         gstreamer1.0-vaapi",
    ),
    ("{bitrate_kbps}", "{bitrate}", "19:82: unknown placeholder {bitrate}; did you mean {bitrate_bps}?"),
    (
        "tune=zerolatency",
        "tune=zerolatancy",
        "19:29: 'zerolatancy' is no value for x264enc's tune; did you mean zerolatency? it takes stillimage, fastdecode, \
         zerolatency",
    ),
    ("speed-preset=", "sped-preset=", "19:41: x264enc has no property 'sped-preset'; did you mean speed-preset?"),
    (
        "threads=1 bitrate",
        "threads=-1 bitrate",
        "19:72: '-1' is no value for x264enc's threads; it takes whole numbers from 0 to 2147483647",
    ),
    (
        "format=I420",
        "format=(strng)I420",
        "14:15: the caps cannot be read at 'format=(strng)I420'; they look like video/x-raw,format=I420,framerate=30/1",
    ),
    (
        "profile=constrained-baseline",
        "profile=nonsense",
        "22:3: could not link encoder to identity0, encoder can't handle caps video/x-h264",
    ),
    (
        "stream-format=byte-stream",
        "stream-format=avc",
        "22:3: what reaches fanout is video/x-h264, stream-format=(string)avc, alignment=(string)au; it must be video/x-h264, \
         stream-format=(string)byte-stream, alignment=(string)au",
    ),
    ("! videoconvert", "! ! videoconvert", "13:3: syntax error: a \"!\" with no element in front of it"),
    (
        "! videoconvert",
        "videoconvert",
        "12:1: appsrc leads nowhere, so no frame reaches name=encoder; is a \"!\" missing after it?",
    ),
    (
        "allow-not-linked=true",
        "allow-not-linked=true fanot. ! fakesink",
        "26:41: no element has name=fanot, which 'fanot.' refers to; did you mean fanout.?",
    ),
    ("appsrc name=source", "videotestsrc name=source", "12:1: name=source is a videotestsrc; it must be the appsrc"),
    (
        "! tee name=fanout allow-not-linked=true",
        "! queue name=fanout",
        "26:3: name=fanout is a queue; it must be a tee",
    ),
    ("alignment=au", "alignment=\"au", "22:81: a quote (\") is opened and not closed on its line"),
    // The whole of the other file.
    ("", "color.vp8.gst", "19:3: what reaches fanout is video/x-vp8; a .h264.gst file must make H264"),
];

#[test]
fn faults_read_as_the_reference_says() {
    let reference = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/pipelines.md");
    let reference = std::fs::read_to_string(reference).unwrap();
    let mut wrong = Vec::new();
    for (from, to, words) in FAULTS {
        let (folder, config) = copy_of_pipelines();
        if from.is_empty() {
            std::fs::copy(folder.path().join(to), folder.path().join("color.h264.gst")).unwrap();
        } else {
            edit(folder.path(), "color.h264.gst", from, to);
        }
        // Elements without a name are numbered through the whole process; in a program of its own it is the first.
        let mut fault = check_pipelines(&config).expect_err(to).remove(0);
        if let Some(at) = fault.find("identity") {
            let digits = fault[at + 8..].chars().take_while(char::is_ascii_digit).count();
            fault.replace_range(at + 8..at + 8 + digits, "0");
        }
        if !fault.contains(&format!("color.h264.gst:{words}")) {
            wrong.push(format!("{to}: {fault}"));
        }
        if !reference.contains(words) {
            wrong.push(format!("not in the reference: {words}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_choice_of_what_there_is_not_is_refused_with_the_nearest_name() {
    let (folder, mut config) = copy_of_pipelines();
    config.pipelines.choice.insert("infrared-2".into(), PipelineNames::One("low-latncy.h264".into()));
    let faults = check_pipelines(&config).expect_err("no such pipeline");
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].contains("infrared-2") && faults[0].contains("did you mean low-latency.h264?"), "{faults:?}");
    config.pipelines.choice.insert("infrared-2".into(), PipelineNames::One("low-latency.h264".into()));
    assert_eq!(check_pipelines(&config), Ok(()));
    // A fault in a file that only one device uses counts as well.
    edit(folder.path(), "openh264.h264.gst", "openh264enc", "openh265enc");
    assert_eq!(check_pipelines(&config), Ok(()), "nobody uses it");
    let of_one = [("depth".into(), PipelineNames::Many(vec!["openh264.h264".into(), "depth.vp8".into()]))];
    config.pipelines.devices.insert("123".into(), of_one.into());
    let faults = check_pipelines(&config).expect_err("a broken file");
    assert!(faults.len() == 1 && faults[0].contains("did you mean openh264enc?"), "{faults:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_file_never_takes_a_running_stream_down() {
    let (folder, config) = copy_of_pipelines();
    let mut bench = Bench::start(config);
    bench.camera(StreamType::Color, PixelFormat::I420, SMALL);
    let (_, viewer) = bench.watch_color().await;
    viewer.wait(SOON, |stats| stats.streams[0].frames >= 10).await.expect("pictures");
    edit(folder.path(), "color.h264.gst", "x264enc name", "x246enc name");
    edit(folder.path(), "color.vp8.gst", "vp8enc name", "vp88enc name");
    // A change of profile rebuilds the encoder, and the file no longer builds.
    let larger = Profile { width: 424, height: 240, framerate: 30 };
    bench.stop_cameras();
    bench.camera(StreamType::Color, PixelFormat::I420, larger);
    let keys = viewer.stats().streams[0].keyframes;
    let frames = viewer.stats().streams[0].frames;
    viewer
        .wait(SOON, |stats| stats.streams[0].keyframes > keys && stats.streams[0].frames >= frames + 30)
        .await
        .expect("the stream goes on, in the new size");
    // The other codec cannot start, is said to be broken, and heals by itself once the file is right.
    let only_vp8 = Options { codecs: vec![Codec::VP8], ..Options::default() };
    let (_, second) = bench.join(&[(StreamType::Color, larger)], &Codec::ALL, only_vp8).await;
    let (message, _) = stream_error(&mut bench).await;
    assert!(message.contains("color.vp8.gst:") && message.contains("vp88enc"), "{message}");
    edit(folder.path(), "color.vp8.gst", "vp88enc name", "vp8enc name");
    second.wait(SOON, |stats| stats.streams[0].frames >= 10).await.expect("pictures once the file is right");
    assert_eq!(viewer.stats().streams[0].broken, 0);
    bench.shutdown().await;
}

async fn reload(bench: &Bench, name: &str) -> Result<PipelineInfo, ReloadError> {
    let (reply, answer) = tokio::sync::oneshot::channel();
    bench.media.diagnostics().reload(name.into(), reply);
    tokio::time::timeout(SOON, answer).await.expect("an answer in time").expect("an answer")
}

async fn pipeline(bench: &Bench, name: &str) -> PipelineInfo {
    let (reply, answer) = tokio::sync::oneshot::channel();
    bench.media.diagnostics().pipelines(reply);
    let all = tokio::time::timeout(SOON, answer).await.expect("an answer in time").expect("an answer").expect("a list");
    all.into_iter().find(|info| info.name == name).expect("the pipeline is listed")
}

/// Every unit that came becomes a picture, over two changes of the encoder; and the decoder would notice if they were mixed.
fn decodes_over_both_swaps(units: &[AccessUnit]) {
    assert_eq!(pictures(units), units.len(), "each becomes a picture");
    // The parameter sets tell the encoders apart: they come with every key frame.
    let headers = |unit: &AccessUnit| unit.data.iter().copied().take(24).collect::<Vec<u8>>();
    let keys: Vec<_> = (0..units.len()).filter(|at| units[*at].keyframe).collect();
    let swap =
        *keys.windows(2).find(|two| headers(&units[two[0]]) != headers(&units[two[1]])).map(|two| &two[1]).unwrap();
    assert!(!units[swap - 1].keyframe && !units[swap + 1].keyframe);
    // An old encoder's picture behind the new one's key frame, as a race between them would put it there.
    let mut mixed: Vec<_> = units.iter().collect();
    mixed.swap(swap - 1, swap);
    assert!(pictures(mixed) < units.len(), "the decoder notices a picture of another encoder");
    let without_key = units[..swap].iter().chain(&units[swap + 1..]);
    assert!(pictures(without_key) < units.len() - 1, "and a key frame that is missing");
}

/// The first list makes every element, which takes a while; everybody who opens a page meanwhile gets it all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_who_ask_for_the_list_at_once_all_get_it() {
    let bench = Bench::start(config());
    let asked: Vec<_> = (0..60)
        .map(|_| {
            let (reply, answer) = tokio::sync::oneshot::channel();
            bench.media.diagnostics().pipelines(reply);
            answer
        })
        .collect();
    for answer in asked {
        let list = tokio::time::timeout(SOON, answer).await.expect("an answer in time").expect("an answer");
        assert!(list.is_ok_and(|list| list.iter().any(|info| info.name == "color.h264")));
    }
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_saved_file_is_swapped_in_and_a_broken_one_changes_nothing() {
    let (folder, config) = copy_of_pipelines();
    let mut bench = Bench::start(config);
    bench.camera(StreamType::Color, PixelFormat::I420, SMALL);
    let (keep, mut kept) = tokio::sync::mpsc::channel(10_000);
    let keeping = Options { access_units: Some(keep), ..Options::default() };
    let (session, first) = bench.join(&[(StreamType::Color, SMALL)], &[Codec::H264], keeping).await;
    let (_, second) = bench.watch_color().await;
    for viewer in [&first, &second] {
        viewer.wait(SOON, |stats| stats.streams[0].frames >= 10).await.expect("pictures");
    }
    for viewer in [&first, &second] {
        viewer.take_longest_gap();
    }
    // Saved: it is noticed by itself, and both get a picture that stands alone from the new encoder.
    let keys = first.stats().streams[0].keyframes;
    edit(folder.path(), "color.h264.gst", "bitrate={bitrate_kbps}", "bitrate=300");
    for viewer in [&first, &second] {
        let frames = viewer.stats().streams[0].frames;
        viewer
            .wait(SOON, |stats| stats.streams[0].keyframes > keys && stats.streams[0].frames >= frames + 30)
            .await
            .expect("pictures of the new encoder");
    }
    let info = pipeline(&bench, "color.h264").await;
    assert_eq!((info.state, info.used_by.len(), info.used_by[0].sessions), (PipelineState::Works, 1, 2));
    // Broken: refused with its place, and nobody notices.
    edit(folder.path(), "color.h264.gst", "x264enc name", "x246enc name");
    let fault = match reload(&bench, "color.h264").await {
        Err(ReloadError::Fault(fault)) => fault,
        other => panic!("a fault, not {other:?}"),
    };
    assert!(fault.file.ends_with("color.h264.gst") && fault.message.contains("x246enc"), "{fault:?}");
    let frames = first.stats().streams[0].frames;
    first.wait(SOON, |stats| stats.streams[0].frames >= frames + 15).await.expect("the old encoder goes on");
    let info = pipeline(&bench, "color.h264").await;
    assert_eq!(info.state, PipelineState::Fault);
    assert!(info.used_by[0].outdated && info.fault.is_some());
    // Another encoder altogether, in the same codec.
    edit(
        folder.path(),
        "color.h264.gst",
        "x246enc name=encoder tune=zerolatency speed-preset=superfast threads=1",
        "openh264enc name=encoder",
    );
    edit(folder.path(), "color.h264.gst", "bitrate=300", "bitrate=300000");
    edit(
        folder.path(),
        "color.h264.gst",
        "key-int-max={keyframe_interval} byte-stream=true aud=false",
        "gop-size={keyframe_interval}",
    );
    let info = reload(&bench, "color.h264").await.expect("it is good again");
    assert_eq!((info.state, info.fault.clone(), info.used_by[0].outdated), (PipelineState::Works, None, false));
    for viewer in [&first, &second] {
        let frames = viewer.stats().streams[0].frames;
        viewer.wait(SOON, |stats| stats.streams[0].frames >= frames + 30).await.expect("pictures of the other encoder");
        assert_eq!(viewer.stats().streams[0].broken, 0);
        let gap = viewer.take_longest_gap();
        assert!(gap < Duration::from_secs(1), "no picture for {gap:?} over two swaps");
    }
    assert!(bench.stats(&session).await.is_some(), "the sessions stayed");
    let mut units = Vec::new();
    while let Ok(unit) = kept.try_recv() {
        units.push(unit);
    }
    decodes_over_both_swaps(&units);
    assert!(matches!(reload(&bench, "nosuch.h264").await, Err(ReloadError::Refused(_))));
    // A name that does not say what it makes is a fault of the file's, told as one.
    std::fs::write(folder.path().join("mine.gst"), "appsrc name=source").unwrap();
    match reload(&bench, "mine").await {
        Err(ReloadError::Fault(fault)) => assert!(fault.message.contains("rename the file"), "{fault:?}"),
        other => panic!("a fault, not {other:?}"),
    }
    // A file that nobody runs is checked, too.
    edit(folder.path(), "depth.vp8.gst", "vp8enc name", "vp88enc name");
    assert!(matches!(reload(&bench, "depth.vp8").await, Err(ReloadError::Fault(_))));
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_encoder_is_restarted_while_its_sessions_stay() {
    let (folder, config) = copy_of_pipelines();
    edit(folder.path(), "color.h264.gst", "! identity ", "! identity error-after=20 ");
    let mut bench = Bench::start(config);
    bench.camera(StreamType::Color, PixelFormat::I420, SMALL);
    let (session, viewer) = bench.watch_color().await;
    let (_, first) = stream_error(&mut bench).await;
    let (_, second) = stream_error(&mut bench).await;
    assert!(second > first, "it is tried again later each time: {first:?} {second:?}");
    viewer
        .wait(SOON, |stats| stats.streams[0].keyframes >= 2 && stats.streams[0].frames >= 25)
        .await
        .unwrap_or_else(|stats| panic!("pictures from more than one encoder: {stats:?}"));
    assert!(bench.stats(&session).await.is_some(), "the session stayed");
    bench.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encoder_that_stalls_stops_nobody_else() {
    let (folder, config) = copy_of_pipelines();
    // Each frame takes three seconds, and the file asks for pushes that wait.
    edit(folder.path(), "color.h264.gst", "! videoconvert", "! identity sleep-time=3000000 ! videoconvert");
    edit(folder.path(), "color.h264.gst", "leaky-type=downstream", "block=true leaky-type=none");
    let mut bench = Bench::start(config);
    bench.camera(StreamType::Color, PixelFormat::I420, SMALL);
    let (session, viewer) = bench.watch_color().await;
    viewer.wait(SOON, |stats| stats.streams[0].frames >= 1).await.expect("a picture");
    // The next frame is on its way, and behind it the queue is full.
    let asked = std::time::Instant::now();
    bench.media.stream_stopped(bench.key(StreamType::Color));
    bench.media.close_session(session);
    let only_vp8 = Options { codecs: vec![Codec::VP8], ..Options::default() };
    let (_, second) = bench.join(&[(StreamType::Color, SMALL)], &[Codec::VP8], only_vp8).await;
    second.wait(SOON, |stats| stats.streams[0].frames >= 1).await.expect("pictures in the other codec");
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    bench.shutdown().await;
}
