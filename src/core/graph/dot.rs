//! A graph in graphviz's language, for those who have their own tools. Written by hand: it is a list of boxes and lines.

use std::fmt::Write;

use super::scene::{self, Band, Node};
use crate::model::{Graph, GraphKind};

/// Writes a graph.
pub fn dot(graph: &Graph) -> String {
    let device = graph.device_id.as_ref().map(ToString::to_string).unwrap_or_default();
    let mut out = format!(
        "digraph pipelines {{\n  label={};\n  labelloc=t;\n  rankdir=LR;\n  fontname=\"sans-serif\";\n  node [shape=box, \
         style=\"rounded,filled\", fontname=\"sans-serif\", fontsize=10];\n  edge [fontname=\"sans-serif\", fontsize=8];\n",
        quoted(&format!("Device {device}"))
    );
    let bands = scene::bands(graph);
    for (number, band) in bands.iter().enumerate() {
        write_band(&mut out, number, band);
    }
    write_hand_overs(&mut out, graph, &bands);
    out.push_str("}\n");
    out
}

fn write_band(out: &mut String, number: usize, band: &Band) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "  subgraph cluster_{number} {{\n    label={};", quoted(&band.title));
    for (at, node) in band.nodes.iter().enumerate() {
        let (label, tip) = (quoted(&words(node)), quoted(&node.details));
        let _ = writeln!(out, "    p{number}_{at} [label={label}, tooltip={tip}, fillcolor=\"{}\"];", colour(node));
    }
    for edge in &band.edges {
        let (label, tip) = (quoted(&edge.label), quoted(&edge.caps));
        let _ =
            writeln!(out, "    p{number}_{} -> p{number}_{} [label={label}, edgetooltip={tip}];", edge.from, edge.to);
    }
    out.push_str("  }\n");
}

/// Where a session's pipeline takes what an encoder's tee gives: `source-STREAM`.
fn write_hand_overs(out: &mut String, graph: &Graph, bands: &[Band]) {
    for (number, pipeline) in graph.pipelines.iter().enumerate() {
        let Some(stream) = pipeline.stream_type else { continue };
        for (at, element) in pipeline.elements.iter().enumerate() {
            let Some(session) = &element.session_id else { continue };
            let own = |other: &&crate::model::GraphPipeline| {
                other.kind == GraphKind::Session && other.session_id.as_ref() == Some(session)
            };
            let Some(to) = graph.pipelines.iter().position(|other| own(&other)) else { continue };
            let source = format!("source-{stream}");
            let Some(target) = bands[to].nodes.iter().position(|node| node.name == source) else { continue };
            let _ = writeln!(out, "  p{number}_{at} -> p{to}_{target} [style=dashed];");
        }
    }
}

fn words(node: &Node) -> String {
    let lines = node.lines.iter().map(|line| line.text.as_str());
    std::iter::once(node.heading.as_str()).chain(lines).collect::<Vec<_>>().join("\n")
}

fn colour(node: &Node) -> &'static str {
    match node.role.name() {
        "source" => "#dcfce7",
        "encoder" => "#ffedd5",
        "queue" => "#ede9fe",
        "tee" => "#ccfbf1",
        "sink" | "session" => "#dbeafe",
        _ => "#f5f5f5",
    }
}

/// A string of graphviz's: quotes and backslashes escaped, lines as `\n`.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
