//! What a graph's drawing says, before anybody decides where it goes: boxes with their words, lines with their labels, one
//! band per pipeline. The sessions' own pipelines are single boxes on the tees, unless they are part of the graph.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::model::{Graph, GraphElement, GraphKind, GraphMeter, GraphPipeline};

/// The encoder's settings that are shown in its box, most telling first; the rest is in its title.
const TELLING: [&str; 7] =
    ["bitrate", "target-bitrate", "speed-preset", "cpu-used", "tune", "quality-preset", "rate-control"];
/// Milliseconds below which nobody cares how few.
const SHOWN_MS: f64 = 0.1;
/// Settings in a box, at most.
const SETTINGS: usize = 2;

/// One pipeline.
pub(super) struct Band {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) nodes: Vec<Node>,
    pub(super) edges: Vec<Edge>,
}

/// What a box stands for, which is how it is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Source,
    Filter,
    Encoder,
    Queue,
    Tee,
    Sink,
    Session,
}

impl Role {
    /// The class of the drawing's elements.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Filter => "filter",
            Self::Encoder => "encoder",
            Self::Queue => "queue",
            Self::Tee => "tee",
            Self::Sink => "sink",
            Self::Session => "session",
        }
    }
}

/// A box.
pub(super) struct Node {
    /// The element's name.
    pub(super) name: String,
    /// What stands over the rest.
    pub(super) heading: String,
    pub(super) role: Role,
    pub(super) state: String,
    /// The words below the heading.
    pub(super) lines: Vec<Words>,
    /// Share of a queue that is full.
    pub(super) fill: Option<f64>,
    /// All there is to know, a line each.
    pub(super) details: String,
}

/// A line of words.
pub(super) struct Words {
    pub(super) text: String,
    /// Whether it is bad news.
    pub(super) alarm: bool,
}

/// A line between boxes.
pub(super) struct Edge {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Short caps, where they differ from those before.
    pub(super) label: String,
    /// The whole caps.
    pub(super) caps: String,
}

/// What is to be drawn of a graph.
pub(super) fn bands(graph: &Graph) -> Vec<Band> {
    graph.pipelines.iter().map(|pipeline| band(graph, pipeline)).collect()
}

fn band(graph: &Graph, pipeline: &GraphPipeline) -> Band {
    let index: HashMap<&str, usize> =
        pipeline.elements.iter().enumerate().map(|(at, element)| (element.name.as_str(), at)).collect();
    let into: HashSet<&str> = pipeline.links.iter().map(|link| link.to.as_str()).collect();
    let out: HashSet<&str> = pipeline.links.iter().map(|link| link.from.as_str()).collect();
    let nodes = pipeline
        .elements
        .iter()
        .map(|element| {
            let ends = (into.contains(element.name.as_str()), out.contains(element.name.as_str()));
            node(graph, pipeline, element, ends)
        })
        .collect();
    let short = |caps: &Option<String>| caps.as_deref().map(short_caps).unwrap_or_default();
    let edges = pipeline.links.iter().filter_map(|link| {
        let label = short(&link.caps);
        let before = pipeline.links.iter().filter(|before| before.to == link.from);
        let is_news = before.map(|before| short(&before.caps)).all(|before| before != label);
        Some(Edge {
            from: *index.get(link.from.as_str())?,
            to: *index.get(link.to.as_str())?,
            label: if is_news { label } else { String::new() },
            caps: link.caps.clone().unwrap_or_else(|| "not negotiated".into()),
        })
    });
    Band { id: pipeline.id.clone(), title: title(pipeline), edges: edges.collect(), nodes }
}

fn title(pipeline: &GraphPipeline) -> String {
    let mut words = Vec::new();
    match pipeline.kind {
        GraphKind::Encoder => {
            words.extend(pipeline.stream_type.map(|stream| stream.to_string()));
            words.extend(pipeline.codec.map(|codec| codec.name().to_owned()));
            words.extend(pipeline.file.clone());
        }
        GraphKind::Session => {
            words.extend(pipeline.session_id.as_ref().map(|session| format!("session {session}")));
        }
    }
    words.push(pipeline.state.clone());
    words.push(format!("for {}", duration(pipeline.running_s)));
    words.join(" · ")
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a running process")]
fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

fn node(graph: &Graph, pipeline: &GraphPipeline, element: &GraphElement, ends: (bool, bool)) -> Node {
    let role = role(pipeline, element, ends);
    let mut lines =
        vec![Words { text: format!("{} · {}", element.factory, element.state), alarm: is_stuck(&element.state) }];
    let mut heading = last_name(&element.name).to_owned();
    if let Some(session) = &element.session_id {
        heading = format!("session {}", session.short());
        lines[0].text = format!("{} · {}", element.name, element.state);
        let below = graph.pipelines.iter().any(|pipeline| pipeline.session_id.as_ref() == Some(session));
        if below {
            lines.push(Words { text: "its pipeline: below".into(), alarm: false });
        }
    }
    let settings = settings(role, element);
    if !settings.is_empty() {
        lines.push(Words { text: settings, alarm: false });
    }
    let mut fill = None;
    if let Some(queue) = element.queue {
        let of = if queue.max_buffers > 0 { format!(" of {}", queue.max_buffers) } else { String::new() };
        let full = queue.max_buffers > 0 && queue.buffers >= queue.max_buffers;
        lines.push(Words { text: format!("{}{of} waiting", queue.buffers), alarm: full });
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let share = |max: u64| (queue.buffers as f64 / max as f64).clamp(0.0, 1.0);
        fill = (queue.max_buffers > 0).then(|| share(queue.max_buffers));
        if let Some(dropped) = queue.dropped.filter(|dropped| *dropped > 0) {
            lines.push(Words { text: format!("{dropped} dropped"), alarm: true });
        }
    }
    lines.extend(element.meter.iter().flat_map(measured));
    Node {
        name: element.name.clone(),
        heading,
        role,
        state: element.state.clone(),
        lines,
        fill,
        details: details(element),
    }
}

fn is_stuck(state: &str) -> bool {
    state != "PLAYING"
}

/// `rtpbin/rtpsession0` is called `rtpsession0`; the whole name is in the details.
fn last_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn role(pipeline: &GraphPipeline, element: &GraphElement, (has_input, has_output): (bool, bool)) -> Role {
    let is = |class: &str| element.klass.split('/').any(|part| part == class);
    if element.session_id.is_some() {
        Role::Session
    } else if pipeline.kind == GraphKind::Encoder && (last_name(&element.name) == "encoder" || is("Encoder")) {
        Role::Encoder
    } else if element.factory == "tee" {
        Role::Tee
    } else if element.factory.starts_with("queue") {
        Role::Queue
    } else if !has_input && has_output {
        Role::Source
    } else if has_input && !has_output {
        Role::Sink
    } else {
        Role::Filter
    }
}

/// The settings that tell most about an element.
fn settings(role: Role, element: &GraphElement) -> String {
    if element.factory == "capsfilter" {
        return element.properties.get("caps").and_then(Value::as_str).map(short_caps).unwrap_or_default();
    }
    if role != Role::Encoder {
        return String::new();
    }
    let telling = TELLING.iter().filter_map(|name| Some((*name, element.properties.get(*name)?)));
    let telling = telling.filter(|(_, value)| value.as_str() != Some("") && value.as_u64() != Some(0));
    telling.take(SETTINGS).map(|(name, value)| format!("{name} {}", plain(value))).collect::<Vec<_>>().join(" · ")
}

/// A value without quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn measured(meter: &GraphMeter) -> Vec<Words> {
    let calm = |text: String| Words { text, alarm: false };
    let mut lines = vec![calm(format!("{} · {}", per_second(meter.buffers_per_s), bits(meter.kbps)))];
    match (meter.latency_ms, meter.latency_max_ms) {
        (Some(_), Some(max)) if max < SHOWN_MS => lines.push(calm(format!("under {SHOWN_MS} ms"))),
        (Some(mean), Some(max)) => lines.push(calm(format!("{} ms, max {}", ms(mean), ms(max)))),
        _ => {}
    }
    if meter.dropped > 0 {
        lines.push(Words { text: format!("{} dropped", meter.dropped), alarm: true });
    }
    lines
}

fn per_second(rate: f64) -> String {
    if rate >= 100.0 { format!("{rate:.0}/s") } else { format!("{rate:.1}/s") }
}

fn bits(kbps: f64) -> String {
    if kbps >= 9999.5 {
        format!("{:.0} Mbit/s", kbps / 1e3)
    } else if kbps >= 999.5 {
        format!("{:.1} Mbit/s", kbps / 1e3)
    } else {
        format!("{kbps:.0} kbit/s")
    }
}

fn ms(ms: f64) -> String {
    if ms >= 10.0 { format!("{ms:.0}") } else { format!("{ms:.1}") }
}

/// Everything about an element, shown to a person who points at it.
fn details(element: &GraphElement) -> String {
    let mut lines = vec![format!("{} ({})", element.name, element.factory)];
    if !element.klass.is_empty() {
        lines.push(element.klass.clone());
    }
    lines.push(element.state.clone());
    lines.extend(element.session_id.as_ref().map(|session| format!("session {session}")));
    lines.extend(element.properties.iter().map(|(name, value)| format!("{name} = {}", plain(value))));
    lines.join("\n")
}

/// Caps in a few words: "I420 640×480 30/s", "h264 640×480 30/s", "rtp H264".
pub(super) fn short_caps(caps: &str) -> String {
    let head = caps.split([',', ';']).next().unwrap_or_default().trim();
    let (media, features) =
        head.split_once('(').map_or((head, ""), |(media, rest)| (media, rest.trim_end_matches(')')));
    let field = |name: &str| {
        let value = caps.split([',', ';']).find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))?;
        let value = value.trim();
        let value = value.strip_prefix('(').and_then(|typed| typed.split_once(')')).map_or(value, |(_, value)| value);
        let value = value.trim().trim_matches('"');
        // Ranges and lists are no size.
        (!value.is_empty() && !value.starts_with(['[', '{'])).then(|| value.to_owned())
    };
    let subtype = media.rsplit('/').next().unwrap_or(media).trim_start_matches("x-");
    let mut words = match subtype {
        "raw" => vec![field("format").unwrap_or_else(|| "raw".into())],
        "rtp" | "srtp" => vec![subtype.to_owned()],
        _ => vec![subtype.to_owned()],
    };
    words.extend(field("encoding-name"));
    words.extend(features.strip_prefix("memory:").filter(|memory| *memory != "SystemMemory").map(str::to_owned));
    if let (Some(width), Some(height)) = (field("width"), field("height")) {
        words.push(format!("{width}×{height}"));
    }
    if let Some(rate) = field("framerate").filter(|rate| !rate.starts_with("0/")) {
        words.push(format!("{}/s", rate.trim_end_matches("/1")));
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_in_a_few_words() {
        for (caps, short) in [
            (
                "video/x-raw, format=(string)I420, width=(int)640, height=(int)480, framerate=(fraction)30/1",
                "I420 640×480 30/s",
            ),
            ("video/x-raw(memory:VASurface), format=(string)NV12, width=(int)[ 1, 5 ]", "NV12 VASurface"),
            ("video/x-h264, stream-format=(string)byte-stream, alignment=(string)au", "h264"),
            ("application/x-rtp, media=(string)video, encoding-name=(string)H264", "rtp H264"),
            ("video/x-vp8, framerate=(fraction)30000/1001", "vp8 30000/1001/s"),
            ("ANY", "ANY"),
            ("", ""),
        ] {
            assert_eq!(short_caps(caps), short, "{caps}");
        }
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!([bits(12.4), bits(1999.0), bits(110_592.0)], ["12 kbit/s", "2.0 Mbit/s", "111 Mbit/s"]);
        assert_eq!([ms(0.013), ms(4.26), ms(31.7)], ["0.0", "4.3", "32"]);
        assert_eq!([duration(59.9), duration(61.0), duration(7265.0)], ["59 s", "1 min 1 s", "2 h 1 min"]);
        assert_eq!([per_second(29.97), per_second(190.2)], ["30.0/s", "190/s"]);
    }
}
