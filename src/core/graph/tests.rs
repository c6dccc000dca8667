//! What is written is what graphviz and browsers take: read back by small parsers.

use serde_json::json;

use super::{dot, svg};
use crate::model::{
    Codec, DeviceId, Graph, GraphElement, GraphKind, GraphLink, GraphMeter, GraphPipeline, GraphQueue, SessionId,
    StreamType,
};

/// Everything that would break a careless writer.
const NASTY: &str = "a\"b\\c<d>&'e'\nf\u{7}g]]>{h}|ü";

fn element(name: &str, factory: &str) -> GraphElement {
    GraphElement { name: name.into(), factory: factory.into(), state: "PLAYING".into(), ..GraphElement::default() }
}

fn link(from: &str, to: &str) -> GraphLink {
    let caps = Some("video/x-raw, format=(string)I420, width=(int)640, height=(int)480".into());
    GraphLink { from: from.into(), to: to.into(), from_pad: "src".into(), to_pad: "sink".into(), caps }
}

/// Four streams and three sessions, one of them from the inside.
fn graph() -> Graph {
    let sessions: Vec<SessionId> = (0..3).map(|number| SessionId::new(format!("session{number}-0000"))).collect();
    let mut pipelines: Vec<GraphPipeline> = StreamType::VIDEO
        .iter()
        .map(|stream| {
            let mut encoder = element("encoder", "x264enc");
            encoder.properties.insert("bitrate".into(), json!(2000));
            encoder.properties.insert("option-string".into(), json!(NASTY));
            encoder.meter =
                Some(GraphMeter { buffers_per_s: 29.97, kbps: 1999.0, dropped: 3, ..GraphMeter::default() });
            let mut source = element("source", "appsrc");
            source.queue = Some(GraphQueue { buffers: 2, max_buffers: 2, bytes: 9, dropped: Some(1) });
            let mut elements = vec![source, encoder, element("fanout", "tee")];
            let mut links = vec![link("source", "encoder"), link("encoder", "fanout")];
            for (number, session) in sessions.iter().enumerate() {
                let name = format!("appsink{number}");
                elements.push(GraphElement { session_id: Some(session.clone()), ..element(&name, "appsink") });
                links.push(link("fanout", &name));
            }
            GraphPipeline {
                id: format!("1/{stream}/h264"),
                stream_type: Some(*stream),
                codec: Some(Codec::H264),
                file: Some(NASTY.into()),
                state: "PLAYING".into(),
                elements,
                links,
                ..GraphPipeline::default()
            }
        })
        .collect();
    pipelines.push(GraphPipeline {
        id: "session/x".into(),
        kind: GraphKind::Session,
        session_id: Some(sessions[1].clone()),
        state: "PAUSED".into(),
        elements: vec![element("source-color", "appsrc"), element("bin/pay", "rtph264pay"), element(NASTY, NASTY)],
        links: vec![link("source-color", "bin/pay"), link("bin/pay", NASTY), link("gone", "source-color")],
        ..GraphPipeline::default()
    });
    Graph { device_id: Some(DeviceId::new(NASTY)), pipelines, ..Graph::default() }
}

/// Reads XML as strictly as is worth it here; gives the names of the elements and the text.
fn read_xml(xml: &str) -> (Vec<String>, String) {
    let (mut open, mut seen, mut text) = (Vec::new(), Vec::new(), String::new());
    let mut rest = xml;
    while let Some(start) = rest.find('<') {
        text.push_str(&unescaped(&rest[..start]));
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "tags close in order");
            continue;
        }
        let (name, mut attributes) =
            tag.trim_end_matches('/').split_once(' ').unwrap_or((tag.trim_end_matches('/'), ""));
        seen.push(name.to_owned());
        if !tag.ends_with('/') {
            open.push(name.to_owned());
        }
        let mut names = Vec::new();
        while let Some((attribute, value)) = attributes.trim().split_once("=\"") {
            let (value, after) = value.split_once('"').expect("a value ends");
            unescaped(value);
            assert!(attribute.bytes().all(|b| b.is_ascii_alphanumeric() || b"-:".contains(&b)), "{attribute}");
            assert!(!names.contains(&attribute), "{attribute} twice");
            assert!(attribute != "style" && !attribute.starts_with("on"), "the page's policy forbids {attribute}");
            names.push(attribute);
            attributes = after;
        }
        assert_eq!(attributes.trim(), "", "{tag}");
    }
    assert!(open.is_empty() && rest.trim().is_empty());
    (seen, text)
}

fn unescaped(text: &str) -> String {
    assert!(!text.contains(['<', '>']) && text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    for reference in text.split('&').skip(1) {
        let name = reference.split(';').next().expect("a piece");
        assert!(["amp", "lt", "gt", "quot", "#39"].contains(&name), "&{name};");
    }
    let plain = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    plain.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[test]
fn the_svg_is_well_formed_and_stands_alone() {
    let drawn = svg(&graph());
    let (names, text) = read_xml(&drawn);
    assert!(!names.iter().any(|name| ["script", "style", "image", "foreignObject"].contains(&name.as_str())));
    for words in ["encoder", "x264enc · PLAYING", "bitrate 2000", "30.0/s · 2.0 Mbit/s", "3 dropped", "2 of 2 waiting"]
    {
        assert!(text.contains(words), "{words}");
    }
    assert_eq!(text.matches("session session2").count(), 2 * 4, "a box on each tee, and its title");
    assert!(text.contains("its pipeline: below") && text.contains("option-string = a\"b\\c<d>&'e'"));
    assert_eq!(names.iter().filter(|name| *name == "circle").count(), 4 * 6 + 3, "every element has a state");
    let (_, empty) = read_xml(&svg(&Graph::default()));
    assert!(empty.contains("Nothing runs"));
}

/// Reads the part of graphviz's language that is written here; gives the nodes and the edges.
fn read_dot(text: &str) -> (Vec<String>, Vec<(String, String)>) {
    let mut tokens = tokens(text).into_iter().peekable();
    let (mut nodes, mut edges, mut depth) = (Vec::new(), Vec::new(), 0);
    assert_eq!((tokens.next().as_deref(), tokens.next().as_deref()), (Some("digraph"), Some("pipelines")));
    while let Some(token) = tokens.next() {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            ";" => {}
            "subgraph" => {
                assert!(tokens.next().is_some_and(|name| name.starts_with("cluster_")));
                assert_eq!(tokens.peek().map(String::as_str), Some("{"));
            }
            id => {
                assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{id} needs no quotes");
                let mut to = None;
                match tokens.next().as_deref() {
                    Some("=") => drop(tokens.next().expect("a value")),
                    Some("->") => {
                        to = tokens.next();
                        assert_eq!(tokens.next().as_deref(), Some("["));
                        read_attributes(&mut tokens);
                    }
                    Some("[") => read_attributes(&mut tokens),
                    other => panic!("{id} {other:?}"),
                }
                match to {
                    Some(to) => edges.push((id.to_owned(), to)),
                    None if id.starts_with('p') => nodes.push(id.to_owned()),
                    None => {}
                }
                assert_eq!(tokens.next().as_deref(), Some(";"), "after {id}");
            }
        }
    }
    assert_eq!(depth, 0);
    (nodes, edges)
}

fn read_attributes(tokens: &mut impl Iterator<Item = String>) {
    loop {
        let name = tokens.next().expect("a name");
        assert!(name.bytes().all(|b| b.is_ascii_alphabetic()), "{name}");
        assert_eq!(tokens.next().as_deref(), Some("="));
        let value = tokens.next().expect("a value");
        assert!(value.starts_with('"') || value.bytes().all(|b| b.is_ascii_alphanumeric()), "{value}");
        match tokens.next().as_deref() {
            Some(",") => {}
            Some("]") => break,
            other => panic!("{other:?}"),
        }
    }
}

fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            '"' => {
                let mut token = String::from('"');
                loop {
                    match chars.next().expect("a string ends") {
                        '"' => break,
                        '\\' => token.extend(['\\', chars.next().expect("something is escaped")]),
                        c => {
                            assert!(!c.is_control(), "a raw control character");
                            token.push(c);
                        }
                    }
                }
                tokens.push(token);
            }
            '-' => {
                assert_eq!(chars.next(), Some('>'));
                tokens.push("->".into());
            }
            c if c.is_ascii_alphanumeric() || c == '_' => {
                let mut token = String::from(c);
                while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
                    token.push(c);
                }
                tokens.push(token);
            }
            c => tokens.push(c.into()),
        }
    }
    tokens
}

#[test]
fn the_dot_is_graphviz_language_and_joins_a_session_to_its_tees() {
    let text = dot(&graph());
    let (nodes, edges) = read_dot(&text);
    assert_eq!(nodes.len(), 4 * 6 + 3);
    for (from, to) in &edges {
        assert!(nodes.contains(from) && nodes.contains(to), "{from} -> {to}");
    }
    // Two and three links in each stream, two in the session; the session shown takes its colour from the first tee.
    assert_eq!(edges.len(), 4 * 5 + 2 + 1, "{edges:?}");
    assert!(edges.contains(&("p0_4".into(), "p4_0".into())));
    read_dot(&dot(&Graph::default()));
}
