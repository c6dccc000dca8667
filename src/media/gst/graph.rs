//! From pipeline text to a GStreamer pipeline that is not started yet. Owns checking it and finding the place at fault;
//! reads no file, starts nothing and keeps nothing.

use gst::prelude::*;

use super::{install::how_to_get, library::Text};
use crate::{
    config::Config,
    core::template::{self, Fault, NAMED_ELEMENTS, Template, Values},
    model::{Profile, StreamKey, StreamType},
};

/// Frames that may wait in front of an encoder whose file sets no bound: late video is worse than a missing frame.
const MAX_WAITING: u64 = 2;

/// A parsed pipeline with its named elements, in state NULL.
pub(super) struct Graph {
    pub(super) pipeline: gst::Pipeline,
    pub(super) source: gst_app::AppSrc,
    pub(super) fanout: gst::Element,
}

/// What a stream's placeholders stand for.
pub(super) fn values(config: &Config, key: &StreamKey, profile: Profile) -> Values {
    let format = match key.stream {
        StreamType::Infrared(_) => "GRAY8",
        _ => "I420",
    };
    Values {
        width: profile.width,
        height: profile.height,
        framerate: profile.framerate,
        bitrate_kbps: config.streams.of(key.stream).bitrate_kbps,
        format: format.into(),
        stream: key.stream.to_string(),
        device: key.device.to_string(),
    }
}

/// Parses pipeline text and checks its named elements.
///
/// # Errors
/// The first fault, with file and line.
pub(super) fn build(text: &Text, values: &Values) -> Result<Graph, Fault> {
    if let Some(why) = &text.unreadable {
        return Err(Fault {
            file: text.file.clone(),
            line: 1,
            message: format!("the file cannot be read: {why}"),
            ..Fault::default()
        });
    }
    let template = Template::parse(&text.file, &text.text)?;
    let rendered = template.render(values);
    let parsed = parse(&rendered).map_err(|error| locate(&template, &rendered, &error))?;
    let pipeline = parsed.downcast::<gst::Pipeline>().map_err(|element| {
        template.fault(1, format!("the text makes a single {}, not a pipeline", element.type_().name()))
    })?;
    let named = |name: &str| {
        pipeline.by_name(name).ok_or_else(|| {
            let what = NAMED_ELEMENTS.iter().find(|(known, _)| *known == name).map_or("", |(_, what)| what);
            template.fault(template.line_of(name), format!("no element has name={name}; it must be {what}"))
        })
    };
    let source = named("source")?.downcast::<gst_app::AppSrc>().map_err(|element| {
        let message = format!("name=source is a {}; it must be the appsrc", factory_name(&element));
        template.fault(template.line_of("source"), message)
    })?;
    never_wait(&source);
    let encoder = named("encoder")?;
    let is_encoder = encoder.is::<gst::Bin>()
        || encoder.factory().is_some_and(|factory| factory.has_type(gst::ElementFactoryType::ENCODER));
    if !is_encoder {
        let message = format!("name=encoder is a {}; it must be a video encoder", factory_name(&encoder));
        return Err(template.fault(template.line_of("encoder"), message));
    }
    let fanout = named("fanout")?;
    if factory_name(&fanout) != "tee" {
        let message = format!("name=fanout is a {}; it must be a tee", factory_name(&fanout));
        return Err(template.fault(template.line_of("fanout"), message));
    }
    if fanout.parent().is_some_and(|parent| parent != *pipeline.upcast_ref::<gst::Object>()) {
        let message =
            "name=fanout stands inside a ( ) bin; viewers can only be attached to a tee outside of any".into();
        return Err(template.fault(template.line_of("fanout"), message));
    }
    check_connected(text, &template, source.upcast_ref(), &[("encoder", &encoder), ("fanout", &fanout)])?;
    Ok(Graph { pipeline, source, fanout })
}

/// A forgotten "!" parses well and makes two pipelines side by side, of which the second never sees a frame.
fn check_connected(
    text: &Text,
    template: &Template,
    source: &gst::Element,
    wanted: &[(&str, &gst::Element)],
) -> Result<(), Fault> {
    let mut reached: Vec<gst::Element> = vec![source.clone()];
    let mut open_end = None;
    let mut next = 0;
    while let Some(element) = reached.get(next).cloned() {
        next += 1;
        // Pads that come later are linked when they come.
        if element.pad_template_list().iter().any(|pad| pad.presence() == gst::PadPresence::Sometimes) {
            return Ok(());
        }
        for pad in element.src_pads() {
            // The peer may be a bin's ghost pad, whose parent is the bin: that is the element in the text.
            match pad.peer().and_then(|peer| peer.parent_element()) {
                Some(peer) if !reached.contains(&peer) => reached.push(peer),
                Some(_) => {}
                None => open_end = open_end.or(Some(element.clone())),
            }
        }
    }
    // An encoder may sit in a bin of its own; then it is the bin that is linked.
    let missed = wanted.iter().find(|(_, element)| !reached.contains(&outermost(element)));
    let Some((name, _)) = missed else { return Ok(()) };
    let end = open_end.unwrap_or_else(|| source.clone());
    let factory = factory_name(&end);
    let line = text.text.lines().position(|line| !line.trim_start().starts_with('#') && line.contains(&factory));
    let message = format!("{factory} leads nowhere, so no frame reaches name={name}; is a \"!\" missing after it?");
    Err(template.fault(line.map_or(1, |index| index + 1), message))
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

fn factory_name(element: &gst::Element) -> String {
    element.factory().map_or_else(|| element.type_().name().to_owned(), |factory| factory.name().to_string())
}

struct ParseFault {
    error: gst::glib::Error,
    missing: Vec<String>,
}

fn parse(text: &str) -> Result<gst::Element, ParseFault> {
    let mut context = gst::ParseContext::new();
    gst::parse::launch_full(text, Some(&mut context), gst::ParseFlags::FATAL_ERRORS).map_err(|error| ParseFault {
        error,
        missing: context.missing_elements().iter().map(ToString::to_string).collect(),
    })
}

/// Turns GStreamer's complaint, which knows no lines, into a fault at the line.
fn locate(template: &Template, rendered: &str, fault: &ParseFault) -> Fault {
    // GStreamer also lists elements here that are there but would not take a property.
    if let Some(element) = fault.missing.iter().find(|element| gst::ElementFactory::find(element).is_none()) {
        let message = format!("there is no GStreamer element '{element}'; {}", how_to_get(element));
        return template.fault(template.line_of(element), message);
    }
    let message = fault.error.message().to_owned();
    // The piece that fails alone is at fault; where all pieces are good alone, the link between them is.
    for segment in template::segments(rendered) {
        if segment.text.is_empty() {
            return template.fault(segment.line, "syntax error: a \"!\" with no element beside it".into());
        }
        if let Err(alone) = parse_segment(&segment.text) {
            let (offset, text) = blame(&segment.text, alone.error.message());
            return template.fault(segment.line + offset, text);
        }
    }
    // "could not link a to b" or "could not link a to b, a can't handle caps …"
    let words: Vec<_> = message.split_whitespace().map(|word| word.trim_end_matches(',')).collect();
    let refused = words.iter().position(|word| *word == "can't").and_then(|at| words.get(at.checked_sub(1)?));
    let target = || words.iter().position(|word| *word == "to").and_then(|at| words.get(at + 1));
    let line = refused.or_else(target).map(|name| {
        // An element without a name of its own is called after its factory, with a number.
        template.line_of(name).max(template.line_of(name.trim_end_matches(|c: char| c.is_ascii_digit())))
    });
    template.fault(line.unwrap_or(1), message)
}

/// Caps alone are not a pipeline; the elements they stand between are.
fn parse_segment(text: &str) -> Result<gst::Element, ParseFault> {
    let first = text.split_whitespace().next().unwrap_or_default();
    let is_caps = first.split(',').next().is_some_and(|word| word.contains('/') && !word.contains('='));
    if is_caps { parse(&format!("identity ! {text} ! identity")) } else { parse(text) }
}

/// The line within a segment that holds what GStreamer complains about in quotes, and the complaint.
fn blame(segment: &str, message: &str) -> (usize, String) {
    let quoted = message.split('"').nth(1).unwrap_or_default();
    let offset = segment.lines().position(|line| !quoted.is_empty() && line.contains(quoted)).unwrap_or(0);
    (offset, message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DeviceId;

    fn try_text(text: &str) -> Result<(), Fault> {
        gst::init().expect("GStreamer");
        let config = Config::default();
        let key = StreamKey::new(DeviceId::new("1"), StreamType::Color);
        let values = values(&config, &key, config.streams.color.profile());
        let text = Text { name: "color.h264".into(), file: "color.gst".into(), text: text.into(), unreadable: None };
        build(&text, &values).map(|_| ())
    }

    const GOOD: &str = "# c\nappsrc name=source\n! videoconvert\n! x264enc name=encoder\n    bitrate={bitrate_kbps}\n! video/x-h264,profile=baseline\n! tee name=fanout\n";

    #[test]
    fn every_built_in_file_builds_with_its_named_elements() {
        for (file, text) in super::super::library::BUILT_IN {
            try_text(text).unwrap_or_else(|fault| panic!("{file}: {fault}"));
        }
        try_text(GOOD).expect("good");
    }

    #[test]
    fn faults_are_found_at_their_line_with_words() {
        let cases = [
            ("x264enc name", "x265encc name", 4, "no GStreamer element 'x265encc'"),
            ("! videoconvert", "! openh264encoder", 3, "gst-inspect-1.0"),
            ("! videoconvert", "! audioconvert name=a1", 4, "could not link a1 to encoder"),
            ("bitrate=", "bitrat=", 5, "bitrat"),
            ("bitrate={bitrate_kbps}", "tune=nonsense", 5, "tune"),
            ("! videoconvert\n", "! ! videoconvert\n", 3, "syntax error"),
            ("! videoconvert\n", "videoconvert\n", 2, "appsrc leads nowhere"),
            ("! tee", "tee", 6, ""),
            ("tee name=fanout", "( tee name=fanout )", 7, "inside a ( ) bin"),
            ("profile=baseline", "profile=(strin)x", 6, ""),
            ("tee name=fanout", "queue name=fanout", 7, "must be a tee"),
            ("appsrc name=source", "videotestsrc name=source", 2, "must be the appsrc"),
            ("x264enc name=encoder\n    bitrate={bitrate_kbps}", "identity name=encoder", 4, "can't handle caps"),
        ];
        let untyped = GOOD.replace(
            "! x264enc name=encoder\n    bitrate={bitrate_kbps}\n! video/x-h264,profile=baseline",
            "! identity name=encoder",
        );
        assert!(try_text(&untyped).expect_err("no encoder").message.contains("must be a video encoder"));
        for (from, to, line, words) in cases {
            let fault = try_text(&GOOD.replace(from, to)).expect_err(to);
            assert!(fault.message.contains(words), "{to}: {fault}");
            assert_eq!(fault.line, line, "{to}: {fault}");
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
