//! The pipeline files that come along: each that this machine has the elements for encodes test pictures, which a decoder then
//! shows; the rest is held against lists of what their elements' documentation names (`tests/elements`).
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use gst::prelude::*;
use gst_video::{UpstreamForceKeyUnitEvent, VideoFormat, VideoInfo};
use realsense_webrtc::{
    core::text::{
        lexer::{Kind, Word, plain, words},
        template::{Template, Values, title},
    },
    model::Codec,
};
use serde_json::Value;

/// What needs hardware that no build machine has.
const HARDWARE: [&str; 6] = ["nvenc.h264", "nvv4l2.h264", "va.h264", "va-lp.h264", "vaapi.h264", "v4l2.h264"];
/// Pictures of a run, and the one with which a key frame is asked for.
const PICTURES: usize = 20;
const ASKED_WITH: usize = 10;
/// The first picture's running time: a viewer comes to a server that has run for a while.
const BEGINS: gst::ClockTime = gst::ClockTime::from_seconds(60);
const SOON: Duration = Duration::from_secs(30);

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every pipeline file: name and text.
fn files() -> Vec<(String, String)> {
    let mut files: Vec<_> = fs::read_dir(root().join("pipelines"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap()))
        .collect();
    files.sort();
    files
}

fn values(format: &str, bitrate_kbps: u32) -> Values {
    Values {
        width: 320,
        height: 240,
        framerate: 30,
        bitrate_kbps,
        format: format.into(),
        stream: "color".into(),
        device: "844212070924".into(),
        time: "20260314-153027-123".into(),
    }
}

fn rendered(name: &str, text: &str, values: &Values) -> String {
    Template::parse(name, text).unwrap_or_else(|fault| panic!("{fault}")).render(values)
}

/// The elements of a text with their properties, in order.
fn elements<'a>(words: &'a [Word<'a>]) -> Vec<(&'a str, Vec<(&'a str, String)>)> {
    let mut elements: Vec<(&str, Vec<(&str, String)>)> = Vec::new();
    for word in words {
        match &word.kind {
            Kind::Element => elements.push((word.text, Vec::new())),
            Kind::Property { name, value, .. } => elements.last_mut().unwrap().1.push((name, plain(value))),
            _ => {}
        }
    }
    elements
}

fn missing(text: &str) -> BTreeSet<String> {
    let words = words(text);
    let names = elements(&words).into_iter().map(|(name, _)| name.to_owned());
    names.filter(|name| gst::ElementFactory::find(name).is_none()).collect()
}

/// What came of a run.
#[derive(Debug, Default)]
struct Outcome {
    /// For each encoded picture: its time, whether it is a key frame, and its bytes.
    units: Vec<(Option<gst::ClockTime>, bool, Vec<u8>)>,
    /// Size of each decoded picture.
    shown: Vec<(u32, u32)>,
}

/// Runs a pipeline with test pictures, one at a time as a live source does, and decodes what reaches its tee.
fn run(name: &str, text: &str, values: &Values) -> Outcome {
    let codec = Codec::of_pipeline(name).unwrap();
    let pipeline = gst::parse::launch(text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let source = pipeline.by_name("source").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    let fanout = pipeline.by_name("fanout").unwrap();
    let info = VideoInfo::builder(VideoFormat::from_string(&values.format), values.width, values.height)
        .fps(gst::Fraction::new(30, 1))
        .build()
        .unwrap();
    source.set_caps(Some(&info.to_caps().unwrap()));
    let tail = |tail: &str| {
        let bin = gst::parse::bin_from_description(tail, true).unwrap();
        pipeline.add(&bin).unwrap();
        fanout.link(&bin).unwrap();
        bin.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap()
    };
    let decoder = match codec {
        Codec::H264 => "h264parse ! openh264dec",
        Codec::VP8 => "vp8dec",
        Codec::VP9 => "vp9dec",
    };
    let encoded = tail("queue ! appsink name=out sync=false async=false");
    let decoded = tail(&format!("queue ! {decoder} ! appsink name=out sync=false async=false"));
    pipeline.set_state(gst::State::Playing).unwrap();
    let deadline = Instant::now() + SOON;
    for number in 0..PICTURES {
        if number == ASKED_WITH {
            fanout.static_pad("sink").unwrap().push_event(UpstreamForceKeyUnitEvent::builder().build());
        }
        let picture: Vec<u8> = (0..info.size()).map(|at| ((at % 320 + number * 5) ^ (at / 320)) as u8).collect();
        let mut buffer = gst::Buffer::from_mut_slice(picture);
        let interval = gst::ClockTime::SECOND / 30;
        buffer.get_mut().unwrap().set_pts(BEGINS + interval * number as u64);
        buffer.get_mut().unwrap().set_duration(interval);
        source.push_buffer(buffer).unwrap_or_else(|error| panic!("{name}: {error}: {:?}", words_of_error(&pipeline)));
        while source.current_level_buffers() > 0 {
            assert!(Instant::now() < deadline, "{name} takes no pictures: {:?}", words_of_error(&pipeline));
            std::thread::yield_now();
        }
    }
    source.end_of_stream().unwrap();
    let mut outcome = Outcome::default();
    for sink in [&encoded, &decoded] {
        while !sink.is_eos() {
            assert!(Instant::now() < deadline, "{name} does not end: {:?}", words_of_error(&pipeline));
            let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_mseconds(50)) else { continue };
            if sink == &decoded {
                let info = VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
                outcome.shown.push((info.width(), info.height()));
            } else {
                let buffer = sample.buffer().unwrap();
                let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
                outcome.units.push((buffer.pts(), key, buffer.map_readable().unwrap().to_vec()));
            }
        }
    }
    // So that a branch's file is complete, too: each sink has seen the end by now, or does within this.
    let bus = pipeline.bus().unwrap();
    let end =
        bus.timed_pop_filtered(gst::ClockTime::from_seconds(10), &[gst::MessageType::Eos, gst::MessageType::Error]);
    assert!(end.is_some_and(|message| message.type_() == gst::MessageType::Eos), "{name} ends without an error");
    pipeline.set_state(gst::State::Null).unwrap();
    outcome
}

fn words_of_error(pipeline: &gst::Pipeline) -> Option<String> {
    let message = pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
    let gst::MessageView::Error(error) = message.view() else { return None };
    Some(format!("{} {:?}", error.error(), error.debug()))
}

/// The `profile_idc` and the constraint flags of an access unit's sequence parameter set.
fn profile(unit: &[u8]) -> Option<(u8, u8)> {
    let at = unit.windows(4).position(|bytes| bytes[..3] == [0, 0, 1] && bytes[3] & 0x1f == 7)?;
    Some((*unit.get(at + 4)?, *unit.get(at + 5)?))
}

fn check_outcome(name: &str, outcome: &Outcome) {
    // That one sends every second picture.
    let expected = if name == "low-bandwidth.h264" { PICTURES / 2 } else { PICTURES };
    let units = &outcome.units;
    assert!((expected - 1..=expected + 1).contains(&units.len()), "{name}: {} pictures came out", units.len());
    assert_eq!(outcome.shown.len(), units.len(), "{name}: each of them can be shown");
    assert!(outcome.shown.iter().all(|size| *size == (320, 240)), "{name}: {:?}", outcome.shown);
    assert!(units.windows(2).all(|pair| pair[0].0.unwrap() < pair[1].0.unwrap()), "{name} has B-frames");
    assert!(units[0].1, "{name} begins with a key frame");
    assert!(units[1..].iter().any(|unit| unit.1), "{name} makes a key frame when asked");
    if name.ends_with(".h264") {
        for (_, _, unit) in units.iter().filter(|unit| unit.1) {
            let (profile, flags) =
                profile(unit).unwrap_or_else(|| panic!("{name}: a key frame without its parameter sets"));
            // 66 is baseline; flag 1 says that it is also constrained (H.264, 7.4.2.1.1).
            assert!(profile == 66 && flags & 0x40 != 0, "{name}: profile {profile}, flags {flags:#x}");
        }
    }
}

#[test]
fn every_pipeline_this_machine_has_the_elements_for_encodes_what_can_be_shown() {
    gst::init().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut ran = BTreeSet::new();
    for (name, text) in files() {
        for format in ["I420", "GRAY8"] {
            let text = rendered(&name, &text, &values(format, 1000))
                .replace("/tmp/", &format!("{}/", folder.path().display()));
            let missing = missing(&text);
            if !missing.is_empty() {
                let known = HARDWARE.contains(&name.as_str());
                assert!(known, "{name} needs {missing:?}; scripts/install_deps.sh --test installs what tests need");
                continue;
            }
            check_outcome(&name, &run(&name, &text, &values(format, 1000)));
            ran.insert(name.clone());
        }
    }
    assert!(ran.len() >= 15, "{ran:?}");
}

#[test]
fn a_recording_beside_the_stream_plays_and_overwrites_nothing() {
    gst::init().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (name, text) = files().into_iter().find(|(name, _)| name == "record.h264").unwrap();
    let mut values = values("I420", 1000);
    for time in ["20260314-153027-123", "20260314-153027-124"] {
        values.time = time.into();
        let text = rendered(&name, &text, &values).replace("/tmp/", &format!("{}/", folder.path().display()));
        run(&name, &text, &values);
    }
    let kept: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(kept.len(), 2, "{kept:?}");
    for path in kept {
        assert_eq!(pictures_in(&path), PICTURES, "{}", path.display());
    }
}

fn pictures_in(path: &Path) -> usize {
    let text = format!(
        "filesrc location=\"{}\" ! matroskademux ! h264parse ! openh264dec ! appsink name=out sync=false",
        path.display()
    );
    let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let sink = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let pictures = std::iter::from_fn(|| sink.try_pull_sample(gst::ClockTime::from_seconds(10))).count();
    pipeline.set_state(gst::State::Null).unwrap();
    pictures
}

/// What the documentation of an element says of a property's value; `Err` for what it does not allow.
fn check_value(rule: &Value, value: &str) -> Result<(), String> {
    let fits = if let Some(values) = rule["values"].as_array() {
        values.is_empty() || values.iter().any(|known| known == value)
    } else if let Some(controls) = rule["structure"].as_array() {
        value.split(',').skip(1).all(|field| {
            let control = field.split('=').next().unwrap_or_default();
            controls.iter().any(|known| known == control)
        })
    } else {
        let number: i64 = value.parse().map_err(|_| format!("'{value}' is no number"))?;
        (rule["min"].as_i64().unwrap()..=rule["max"].as_i64().unwrap()).contains(&number)
    };
    if fits { Ok(()) } else { Err(format!("'{value}' is not among {rule}")) }
}

/// Holds a text against the lists: every element is installed or listed, every property of a listed one is.
fn check_documented(text: &str) -> Result<(), String> {
    for (element, properties) in elements(&words(text)) {
        let path = root().join(format!("tests/elements/{element}.json"));
        let Ok(list) = fs::read_to_string(path) else {
            gst::ElementFactory::find(element)
                .ok_or(format!("{element} is neither installed nor in tests/elements"))?;
            continue;
        };
        let list: Value = serde_json::from_str(&list).map_err(|error| format!("{element}: {error}"))?;
        assert!(list["source"].as_str().unwrap().starts_with("https://"), "{element}: where the list is from");
        for (name, value) in properties.iter().filter(|(name, _)| *name != "name") {
            let rule = list["properties"].get(name).ok_or_else(|| format!("{element} has no property '{name}'"))?;
            check_value(rule, value).map_err(|why| format!("{element}'s {name}: {why}"))?;
        }
    }
    Ok(())
}

#[test]
fn what_needs_hardware_uses_documented_properties_and_says_so() {
    gst::init().unwrap();
    let files = files();
    for name in HARDWARE {
        let (_, text) = files.iter().find(|(known, _)| known == name).unwrap();
        assert!(text.contains("Not tried on hardware") || text.contains("Not\n# tried on hardware"), "{name} says so");
        assert!(text.contains("\n# Needs: ") && text.contains("\n# When: "), "{name} says when to use it");
        let text = rendered(name, text, &values("I420", 1000));
        check_documented(&text).unwrap_or_else(|why| panic!("{name}: {why}"));
    }
    // And the check does find what is wrong.
    for (name, from, to) in [
        ("nvenc.h264", "gop-size", "gop-sise"),
        ("nvenc.h264", "low-latency-hq", "low-latncy-hq"),
        ("va.h264", "b-frames=0", "b-frames=99"),
        ("vaapi.h264", "keyframe-period", "key-int-max"),
        ("v4l2.h264", "video_bitrate", "bitrate"),
        ("nvv4l2.h264", "iframeinterval", "gop-size"),
    ] {
        let (_, text) = files.iter().find(|(known, _)| known == name).unwrap();
        assert!(text.contains(from), "{name}");
        let text = rendered(name, &text.replace(from, to), &values("I420", 1000));
        assert!(check_documented(&text).is_err(), "{name} with {to}");
    }
}

#[test]
fn every_pipeline_follows_the_configured_bitrate_in_its_encoders_unit() {
    for (name, text) in files() {
        assert!(!title(&text).is_empty(), "{name} begins with a line that says what it is");
        // Its bitrate is the point of that file.
        if name == "low-bandwidth.h264" {
            continue;
        }
        let text = rendered(&name, &text, &values("I420", 1234));
        let words = words(&text);
        let elements = elements(&words);
        let (encoder, properties) =
            elements.iter().find(|(_, properties)| properties.contains(&("name", "encoder".into()))).unwrap();
        let list = fs::read_to_string(root().join(format!("tests/elements/{encoder}.json"))).unwrap_or_default();
        let unit = match *encoder {
            "x264enc" => "kbit/s".to_owned(),
            "openh264enc" | "vp8enc" | "vp9enc" => "bit/s".to_owned(),
            _ => serde_json::from_str::<Value>(&list).unwrap()["bitrate_unit"].as_str().unwrap().to_owned(),
        };
        let wanted = if unit == "kbit/s" { "1234" } else { "1234000" };
        let names = ["bitrate", "target-bitrate", "extra-controls"];
        let set = properties.iter().find(|(name, _)| names.contains(name)).unwrap();
        let fits = set.1 == wanted || set.1.contains(&format!("video_bitrate={wanted},"));
        assert!(fits, "{name}: {set:?}, in {unit}");
        assert!(
            properties.iter().any(|(_, value)| value == "300" || value.contains("period=300")),
            "{name}: key frames"
        );
    }
}
