//! From pipeline text to a GStreamer pipeline that is not started yet. Owns checking it and finding the place at fault;
//! reads no file, starts nothing and keeps nothing.

use gst::prelude::*;

use super::{
    check::{Sheet, parse},
    text::Text,
};
use crate::{
    config::Config,
    core::{
        picture::size::encoded_size,
        text::template::{Fault, NAMED_ELEMENTS, Template, Values},
    },
    media::gst::walk::{self, factory_name},
    model::{Codec, Profile, StreamKey, StreamType},
};

/// Frames that may wait in front of an encoder whose file sets no bound: late video is worse than a missing frame.
const MAX_WAITING: u64 = 2;

/// A parsed pipeline with its named elements, in state NULL.
pub(in crate::media::gst) struct BuiltPipeline {
    pub(in crate::media::gst) pipeline: gst::Pipeline,
    pub(in crate::media::gst) source: gst_app::AppSrc,
    pub(in crate::media::gst) encoder: gst::Element,
    pub(in crate::media::gst) fanout: gst::Element,
}

/// What a stream's placeholders stand for.
pub(crate) fn values(config: &Config, key: &StreamKey, profile: Profile) -> Values {
    let format = match key.stream {
        StreamType::Infrared(_) => "GRAY8",
        _ => "I420",
    };
    // A profile of which nothing would be left has frames that the feed refuses, with words.
    let (width, height) = encoded_size(profile.width, profile.height).unwrap_or((profile.width, profile.height));
    Values {
        width,
        height,
        framerate: profile.framerate,
        bitrate_kbps: config.streams.of(key.stream).bitrate_kbps,
        format: format.into(),
        stream: key.stream.to_string(),
        device: key.device.to_string(),
        time: now(),
    }
}

/// Parses pipeline text and checks its named elements.
///
/// # Errors
/// The first fault, with file and line.
pub(in crate::media::gst) fn build(text: &Text, values: &Values) -> Result<BuiltPipeline, Fault> {
    if let Some(why) = &text.unreadable {
        return Err(Fault::of_file(&text.file, format!("the file cannot be read: {why}")));
    }
    let template = Template::parse(&text.file, &text.text)?;
    let rendered = template.render_placed(values);
    let sheet = Sheet::new(&template, &rendered);
    sheet.check()?;
    let parsed = parse(&rendered.text).map_err(|error| sheet.locate(&error))?;
    let pipeline = parsed.downcast::<gst::Pipeline>().map_err(|element| {
        template.fault(1, format!("the text makes a single {}, not a pipeline", element.type_().name()))
    })?;
    let named = |name: &str| {
        pipeline.by_name(name).ok_or_else(|| {
            let what = NAMED_ELEMENTS.iter().find(|(known, _)| *known == name).map_or("", |(_, what)| what);
            sheet.fault_of(name, format!("no element has name={name}; it must be {what}"))
        })
    };
    let source = named("source")?.downcast::<gst_app::AppSrc>().map_err(|element| {
        sheet.fault_of("source", format!("name=source is a {}; it must be the appsrc", factory_name(&element)))
    })?;
    never_wait(&source);
    let encoder = named("encoder")?;
    let is_encoder = encoder.is::<gst::Bin>()
        || encoder.factory().is_some_and(|factory| factory.has_type(gst::ElementFactoryType::ENCODER));
    if !is_encoder {
        let message = format!("name=encoder is a {}; it must be a video encoder", factory_name(&encoder));
        return Err(sheet.fault_of("encoder", message));
    }
    let fanout = named("fanout")?;
    if factory_name(&fanout) != "tee" {
        let message = format!("name=fanout is a {}; it must be a tee", factory_name(&fanout));
        return Err(sheet.fault_of("fanout", message));
    }
    if fanout.parent().is_some_and(|parent| parent != *pipeline.upcast_ref::<gst::Object>()) {
        let message =
            "name=fanout stands inside a ( ) bin; viewers can only be attached to a tee outside of any".into();
        return Err(sheet.fault_of("fanout", message));
    }
    check_connected(&sheet, source.upcast_ref(), &[("encoder", &encoder), ("fanout", &fanout)])?;
    if let Some(codec) = Codec::of_pipeline(&text.name) {
        check_output(&sheet, codec, &encoder, &fanout)?;
    }
    Ok(BuiltPipeline { pipeline, source, encoder, fanout })
}

/// What must reach the sessions' payloaders.
pub(in crate::media::gst) fn caps_of(codec: Codec) -> gst::Caps {
    let caps = match codec {
        Codec::H264 => {
            gst::Caps::builder("video/x-h264").field("stream-format", "byte-stream").field("alignment", "au")
        }
        Codec::VP8 => gst::Caps::builder("video/x-vp8"),
        Codec::VP9 => gst::Caps::builder("video/x-vp9"),
    };
    caps.build()
}

/// Caps with no more than what decides whether viewers can be sent them.
pub(super) fn in_short(caps: &gst::CapsRef) -> String {
    let Some(structure) = caps.structure(0) else { return caps.to_string() };
    let mut short = gst::Structure::new_empty(structure.name());
    for field in ["stream-format", "alignment"] {
        if let Ok(value) = structure.value(field) {
            short.set_value(field, value.clone());
        }
    }
    short.to_string().trim_end_matches(';').to_owned()
}

/// Whether what reaches the tee can be what the pipeline's name says.
fn check_output(sheet: &Sheet<'_>, codec: Codec, encoder: &gst::Element, fanout: &gst::Element) -> Result<(), Fault> {
    // What the encoder can make says it in fewer words than what is left of it at the tee.
    let made = encoder.static_pad("src").map(|pad| pad.query_caps(None));
    let left = fanout.static_pad("sink").map(|pad| pad.peer_query_caps(None));
    for (made, name) in [(made, "encoder"), (left, "fanout")] {
        let Some(made) = made.filter(|made| !made.is_any() && !made.can_intersect(&caps_of(codec))) else { continue };
        let kinds: Vec<_> = made.iter().map(|structure| structure.name().to_string()).collect();
        let extension = codec.name().to_lowercase();
        let wanted = caps_of(codec);
        let same_kind = wanted.structure(0).is_some_and(|wanted| kinds.iter().any(|kind| kind == wanted.name()));
        let message = match made.structure(0).filter(|_| same_kind && name == "fanout") {
            Some(_) => format!("what reaches fanout is {}; it must be {wanted}", in_short(&made)),
            None if made.is_empty() => {
                "nothing can reach fanout: what stands between it and the encoder contradicts itself".into()
            }
            None => format!(
                "what reaches fanout is {}; a .{extension}.gst file must make {codec}",
                kinds.first().map_or("nothing", String::as_str)
            ),
        };
        return Err(if name == "fanout" { sheet.fault_of_caps(name, message) } else { sheet.fault_of(name, message) });
    }
    Ok(())
}

/// A forgotten "!" parses well and makes two pipelines side by side, of which the second never sees a frame.
fn check_connected(sheet: &Sheet<'_>, source: &gst::Element, wanted: &[(&str, &gst::Element)]) -> Result<(), Fault> {
    let reached = walk::reached(source, |element| element.src_pads());
    if reached.iter().any(walk::grows) {
        return Ok(());
    }
    let is_open = |element: &&gst::Element| element.src_pads().iter().any(|pad| !pad.is_linked());
    let open_end = reached.iter().find(is_open).cloned();
    // An encoder may sit in a bin of its own; then it is the bin that is linked.
    let missed = wanted.iter().find(|(_, element)| !reached.contains(&outermost(element)));
    let Some((name, _)) = missed else { return Ok(()) };
    let end = open_end.unwrap_or_else(|| source.clone());
    let factory = factory_name(&end);
    let message = format!("{factory} leads nowhere, so no frame reaches name={name}; is a \"!\" missing after it?");
    Err(sheet.fault_of(&end.name(), message))
}

/// The wall clock's time as `{time}` has it.
fn now() -> String {
    let Ok(now) = gst::glib::DateTime::now_local() else { return String::new() };
    let stamp = now.format("%Y%m%d-%H%M%S").map(|stamp| stamp.to_string()).unwrap_or_default();
    format!("{stamp}-{:03}", now.microsecond() / 1000)
}

/// The element itself, or the bin in the pipeline that holds it.
fn outermost(element: &gst::Element) -> gst::Element {
    let mut outer = element.clone();
    while let Some(bin) = outer.parent().filter(|parent| parent.parent().is_some()) {
        let Ok(bin) = bin.downcast::<gst::Element>() else { break };
        outer = bin;
    }
    outer
}

/// Whatever the file says, a push into the pipeline must not wait: the feed thread serves every codec of its stream, and an
/// encoder that stalls must cost its own viewers pictures and nobody else anything.
fn never_wait(source: &gst_app::AppSrc) {
    source.set_block(false);
    source.set_is_live(true);
    source.set_format(gst::Format::Time);
    source.set_leaky_type(gst_app::AppLeakyType::Downstream);
    // The bound is in frames. The default in bytes, 200 kB, is less than one raw picture and would leave room for one only.
    source.set_max_bytes(0);
    if source.max_buffers() == 0 {
        source.set_max_buffers(MAX_WAITING);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DeviceId;

    fn try_text(text: &str) -> Result<(), Fault> {
        try_named("color.h264", text)
    }

    fn try_named(name: &str, text: &str) -> Result<(), Fault> {
        gst::init().expect("GStreamer");
        let config = Config::default();
        let key = StreamKey::new(DeviceId::new("1"), StreamType::Color);
        let values = values(&config, &key, config.streams.color.profile());
        let text = Text { name: name.into(), file: "color.gst".into(), text: text.into(), unreadable: None };
        build(&text, &values).map(|_| ())
    }

    const GOOD: &str = "# c\nappsrc name=source\n! videoconvert\n! x264enc name=encoder\n    bitrate={bitrate_kbps}\n! video/x-h264,profile=baseline\n! tee name=fanout\n";

    #[test]
    fn the_size_in_a_pipelines_text_is_the_one_that_is_encoded() {
        let (config, key) = (Config::default(), StreamKey::new(DeviceId::new("1"), StreamType::Color));
        let values = values(&config, &key, Profile { width: 321, height: 241, framerate: 30 });
        assert_eq!((values.width, values.height), (320, 240));
    }

    #[test]
    fn every_built_in_file_builds_with_its_named_elements() {
        for (name, text) in crate::media::gst::pipelines::library::BUILT_IN {
            match try_named(name, text) {
                // The only fault of what needs hardware is that its elements are not here.
                Err(fault) if fault.message.starts_with("there is no GStreamer element") => {
                    assert!(
                        crate::media::gst::pipelines::best_encoder::candidates(name).iter().any(|known| known == name),
                        "{fault}"
                    );
                }
                Err(fault) => panic!("{name}: {fault}"),
                Ok(()) => {}
            }
        }
        try_text(GOOD).expect("good");
    }

    #[test]
    fn faults_are_found_at_their_place_with_words() {
        let encoder = "x264enc name=encoder\n    bitrate={bitrate_kbps}";
        // What is changed, into what; line, column and token of the fault, the nearest name, and some of its words.
        let cases = [
            ("x264enc name", "x265encc name", 4, 3, "x265encc", "x265enc", "did you mean x265enc?"),
            ("x264enc name", "x246enc name", 4, 3, "x246enc", "x264enc", "did you mean x264enc?"),
            ("x264enc name", "nvh264encc name", 4, 3, "nvh264encc", "nvh264enc", "That one is not installed; it"),
            ("x264enc name", "nvh264enc name", 4, 3, "nvh264enc", "", "no GStreamer element 'nvh264enc'; it"),
            ("x264enc name", "qqqqqq name", 4, 3, "qqqqqq", "", "gst-inspect-1.0"),
            ("! videoconvert", "! audioconvert name=a1", 4, 3, "x264enc", "", "could not link a1 to encoder"),
            ("bitrate=", "bitrat=", 5, 5, "bitrat", "bitrate", "x264enc has no property 'bitrat'"),
            ("bitrate={bitrate_kbps}", "tune=zerolatancy", 5, 10, "zerolatancy", "zerolatency", "it takes stillimage"),
            ("bitrate={bitrate_kbps}", "aud=ture", 5, 9, "ture", "true", "x264enc's aud"),
            ("bitrate={bitrate_kbps}", "bitrate=0", 5, 13, "0", "", "whole numbers from 1 to 2048000"),
            ("bitrate={bitrate_kbps}", "bitrate={stream}", 5, 13, "color", "", "'color' is no value"),
            (
                "bitrate={bitrate_kbps}",
                "bitrate={width} trellis={height}",
                5,
                29,
                "480",
                "",
                "x264enc's trellis; it takes true, false",
            ),
            ("! videoconvert\n", "! ! videoconvert\n", 3, 3, "!", "", "no element in front of it"),
            ("! videoconvert\n", "videoconvert\n", 2, 1, "appsrc", "", "appsrc leads nowhere"),
            ("! videoconvert", "! \"video/x-raw\"\n! videoconvert", 3, 3, "\"video/x-raw\"", "", "without quotes"),
            ("! tee", "tee", 6, 3, "video/x-h264,profile=baseline", "", "no \"!\" behind these caps"),
            ("! videoconvert", "! videoconvert )", 3, 16, ")", "", "without its \"(\""),
            ("tee name=fanout", "( tee name=fanout )", 7, 5, "tee", "", "inside a ( ) bin"),
            (
                "tee name=fanout",
                "tee name=fanout fanot. ! fakesink",
                7,
                19,
                "fanot.",
                "fanout",
                "did you mean fanout.?",
            ),
            ("profile=baseline", "profile=(strin)x,width=5", 6, 16, "profile=(strin)x", "", "cannot be read"),
            ("profile=baseline", "profile=nonsense", 6, 3, "video/x-h264,profile=nonsense", "", "can't handle caps"),
            (
                "profile=baseline",
                "stream-format=avc",
                6,
                3,
                "video/x-h264,stream-format=avc",
                "",
                "must be video/x-h264",
            ),
            ("tee name=fanout", "queue name=fanout", 7, 3, "queue", "", "must be a tee"),
            ("appsrc name=source", "videotestsrc name=source", 2, 1, "videotestsrc", "", "must be the appsrc"),
            (encoder, "identity name=encoder", 5, 3, "video/x-h264,profile=baseline", "", "can't handle caps"),
            (
                "! x264enc name=encoder\n    bitrate={bitrate_kbps}\n! video/x-h264,profile=baseline",
                "! vp8enc name=encoder",
                4,
                3,
                "vp8enc",
                "",
                "what reaches fanout is video/x-vp8; a .h264.gst file must make H264",
            ),
        ];
        let untyped = GOOD.replace(&format!("! {encoder}\n! video/x-h264,profile=baseline"), "! identity name=encoder");
        assert!(try_text(&untyped).expect_err("no encoder").message.contains("must be a video encoder"));
        let mut wrong = Vec::new();
        for (from, to, line, column, token, nearest, words) in cases {
            let fault = try_text(&GOOD.replace(from, to)).expect_err(to);
            let found = (fault.line, fault.column, fault.token.as_deref(), fault.nearest.as_deref());
            let nearest = Some(nearest).filter(|nearest| !nearest.is_empty());
            if found != (line, Some(column), Some(token), nearest) || !fault.message.contains(words) {
                wrong.push(format!("{to:?}: {fault:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn what_gstreamer_takes_is_not_refused() {
        for (from, to) in [
            ("x264enc name", "x264enc key_int_max=30 name"),
            ("x264enc name", "x264enc tune=zerolatency+fastdecode speed-preset=1 aud=yes bitrate = 5 name"),
            ("profile=baseline", "profile=(string)baseline,framerate=(fraction)[0/1,60/1]"),
            ("profile=baseline", "profile=(string){ baseline, constrained-baseline };video/x-h264,width=5"),
            ("! videoconvert", "! video/x-raw(ANY) ! videoconvert"),
            ("! videoconvert", "! bin.( name=b b::name=b videoconvert )"),
            ("! videoconvert", "! ( videoconvert ! queue )"),
            ("! videoconvert", "! videoconvert name=\"a b\" ! queue2 max-size-time=0"),
            (
                "tee name=fanout",
                "tee name=fanout fanout. ! queue ! fakesink async=false fanout.src_5 ! q.sink queue name=q ! fakesink",
            ),
            ("tee name=fanout", "tee name=fanout .src_7 ! fakesink"),
            ("tee name=fanout", "tee name=fanout : fakesink"),
            (
                "tee name=fanout",
                "tee name=fanout fanout. ! h264parse ! splitmuxsink muxer=\"matroskamux streamable=true\" location=/nowhere/%d",
            ),
            ("tee name=fanout", "tee name=fanout videotestsrc ! videoconvert ! fakevideosink sink::silent=true"),
            ("tee name=fanout", "tee name=fanout fanout. ! queue ! file:///tmp/never"),
        ] {
            let text = GOOD.replace(from, to);
            try_text(&text).unwrap_or_else(|fault| panic!("{to}: {fault}"));
        }
    }

    #[test]
    fn no_file_makes_a_push_wait() {
        gst::init().expect("GStreamer");
        let config = Config::default();
        let key = StreamKey::new(DeviceId::new("1"), StreamType::Color);
        let values = values(&config, &key, config.streams.color.profile());
        for (settings, bound) in
            [("", 2), (" block=true max-bytes=0 leaky-type=none", 2), (" block=true max-buffers=5", 5)]
        {
            let text = GOOD.replace("name=source", &format!("name=source{settings}"));
            let text = Text { name: "color.h264".into(), file: "color.gst".into(), text, unreadable: None };
            let source = build(&text, &values).expect("builds").source;
            assert!(!source.is_block() && source.is_live(), "{settings}");
            assert_eq!(source.leaky_type(), gst_app::AppLeakyType::Downstream, "{settings}");
            assert_eq!((source.max_buffers(), source.format()), (bound, gst::Format::Time), "{settings}");
        }
    }
}
