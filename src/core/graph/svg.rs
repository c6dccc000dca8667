//! A graph as SVG, by a layout of our own: no graphviz is needed. The picture stands alone: no style sheet, no script, no
//! `style` attribute, so it shows under any Content-Security-Policy. Text and thin lines take the colour of the page
//! (`currentColor`), boxes are tinted, so it reads on dark and on light; the classes are there for pages that want more.

use std::fmt::Write;

use super::{
    layout::{self, Layout, Line, Size},
    scene::{self, Band, Edge, Node, Role},
};
use crate::model::Graph;

/// Width of a character of the monospaced font, in its size.
const CHARACTER: f64 = 0.602;
const FONT: f64 = 11.0;
const LINE: f64 = 14.0;
const PADDING: f64 = 8.0;
const LABEL_FONT: f64 = 9.5;
/// Around everything, and between bands.
const MARGIN: f64 = 14.0;
const BAND_TITLE: f64 = 24.0;
const BAND_PADDING: f64 = 12.0;
/// The bar that shows how full a queue is.
const BAR: f64 = 4.0;
const RED: &str = "#dc2626";

/// Draws a graph.
pub fn svg(graph: &Graph) -> String {
    let bands = scene::bands(graph);
    let drawn: Vec<(&Band, Layout)> = bands.iter().map(|band| (band, place(band))).collect();
    let width =
        drawn.iter().map(|(band, layout)| layout.width.max(text_width(&band.title, FONT))).fold(260.0, f64::max);
    let band_height = |layout: &Layout| BAND_TITLE + layout.height + 2.0 * BAND_PADDING;
    let height = drawn.iter().map(|(_, layout)| band_height(layout) + MARGIN).sum::<f64>().max(60.0) + MARGIN;
    let width = width + 2.0 * (MARGIN + BAND_PADDING);
    let device = graph.device_id.as_ref().map(ToString::to_string).unwrap_or_default();
    let mut out = Out::default();
    out.line(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"gst-graph\" role=\"img\" width=\"{0:.0}\" height=\"{1:.0}\" \
         viewBox=\"0 0 {0:.0} {1:.0}\" fill=\"currentColor\" font-size=\"{FONT}\" font-family=\"ui-monospace, \
         SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace\">",
        width.ceil(),
        height.ceil()
    ));
    out.line(format_args!("<title>Pipelines of device {}</title>", escape(&device)));
    if drawn.is_empty() {
        let words = "Nothing runs: a stream is encoded while somebody watches it.";
        out.line(format_args!("<text class=\"gst-empty\" x=\"{MARGIN}\" y=\"34\">{words}</text>"));
    }
    let mut y = MARGIN;
    for (band, layout) in &drawn {
        draw_band(&mut out, band, layout, y, width - 2.0 * MARGIN, band_height(layout));
        y += band_height(layout) + MARGIN;
    }
    out.text.push_str("</svg>\n");
    out.text
}

#[derive(Default)]
struct Out {
    text: String,
}

impl Out {
    fn line(&mut self, line: std::fmt::Arguments) {
        // Writing to a string does not fail.
        let _ = self.text.write_fmt(line);
        self.text.push('\n');
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few characters")]
fn text_width(text: &str, font: f64) -> f64 {
    text.chars().count() as f64 * font * CHARACTER
}

#[expect(clippy::cast_precision_loss, reason = "a few lines")]
fn size(node: &Node) -> Size {
    let widest = node.lines.iter().map(|line| text_width(&line.text, FONT - 1.0)).fold(0.0, f64::max);
    // Beside the heading is the dot of the state.
    let width = widest.max(text_width(&node.heading, FONT) + 14.0) + 2.0 * PADDING;
    let bar = if node.fill.is_some() { BAR + 4.0 } else { 0.0 };
    Size { width: width.ceil(), height: LINE * (node.lines.len() + 1) as f64 + PADDING + bar + 2.0 }
}

fn place(band: &Band) -> Layout {
    let sizes: Vec<Size> = band.nodes.iter().map(size).collect();
    let lines: Vec<Line> = band
        .edges
        .iter()
        .map(|edge| Line { from: edge.from, to: edge.to, label: text_width(&edge.label, LABEL_FONT) })
        .collect();
    layout::layout(&sizes, &lines)
}

fn draw_band(out: &mut Out, band: &Band, layout: &Layout, y: f64, width: f64, height: f64) {
    let id = escape(&band.id);
    out.line(format_args!(
        "<g class=\"gst-pipeline\" data-pipeline=\"{id}\" transform=\"translate({MARGIN} {y:.1})\">"
    ));
    out.line(format_args!(
        "<rect class=\"gst-pipeline-frame\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"8\" fill=\"currentColor\" \
         fill-opacity=\"0.03\" stroke=\"currentColor\" stroke-opacity=\"0.2\"/>"
    ));
    out.line(format_args!(
        "<text class=\"gst-pipeline-title\" x=\"{BAND_PADDING}\" y=\"18\" font-weight=\"600\">{}</text>",
        escape(&band.title)
    ));
    out.line(format_args!("<g transform=\"translate({BAND_PADDING} {:.1})\">", BAND_TITLE + BAND_PADDING));
    // Lines first, so that boxes lie over them.
    for (edge, through) in band.edges.iter().zip(&layout.through) {
        let forks = band.edges.iter().filter(|other| other.from == edge.from && !other.label.is_empty()).count() > 1;
        draw_edge(out, edge, through, forks);
    }
    for (node, at) in band.nodes.iter().zip(&layout.at) {
        draw_node(out, node, *at, size(node));
    }
    out.line(format_args!("</g></g>"));
}

fn draw_edge(out: &mut Out, edge: &Edge, through: &[(f64, f64)], forks: bool) {
    let mut path = String::new();
    for (number, pair) in through.chunks(2).enumerate() {
        let [(x1, y1), (x2, y2)] = pair else { continue };
        let command = if number == 0 { 'M' } else { 'L' };
        let middle = f64::midpoint(*x1, *x2);
        let _ = write!(path, "{command}{x1:.1} {y1:.1}");
        if (y1 - y2).abs() < 0.05 {
            let _ = write!(path, "H{x2:.1}");
        } else {
            let _ = write!(path, "C{middle:.1} {y1:.1} {middle:.1} {y2:.1} {x2:.1} {y2:.1}");
        }
    }
    let Some(((x, y), (end_x, end_y))) = through.first().zip(through.last()) else { return };
    out.line(format_args!("<g class=\"gst-link\"><title>{}</title>", escape(&edge.caps)));
    out.line(format_args!(
        "<path d=\"{path}\" fill=\"none\" stroke=\"currentColor\" stroke-opacity=\"0.55\" stroke-width=\"1.2\"/>"
    ));
    out.line(format_args!(
        "<path d=\"M{end_x:.1} {end_y:.1}l-6 -3v6z\" fill=\"currentColor\" fill-opacity=\"0.7\" stroke=\"none\"/>"
    ));
    if !edge.label.is_empty() {
        let next = through.get(1).copied().unwrap_or((*end_x, *end_y));
        // On the side that the line does not turn to; where several begin, at the other end, beside the box it leads to.
        let (x, y, anchor) = match (forks, next.1 < y - 1.0) {
            (true, _) => (next.0 - 9.0, next.1 - 5.0, "end"),
            (false, true) => (x + 6.0, y + 11.0, "start"),
            (false, false) => (x + 6.0, y - 5.0, "start"),
        };
        out.line(format_args!(
            "<text class=\"gst-caps\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{LABEL_FONT}\" \
             fill-opacity=\"0.75\">{}</text>",
            escape(&edge.label)
        ));
    }
    out.line(format_args!("</g>"));
}

/// The tint of a box; `None` for the page's own colour.
fn tint(role: Role) -> Option<&'static str> {
    match role {
        Role::Source => Some("#16a34a"),
        Role::Encoder => Some("#ea8a0b"),
        Role::Queue => Some("#8b5cf6"),
        Role::Tee => Some("#0d9488"),
        Role::Sink | Role::Session => Some("#3b82f6"),
        Role::Filter => None,
    }
}

fn draw_node(out: &mut Out, node: &Node, (x, y): (f64, f64), Size { width, height }: Size) {
    let role = node.role.name();
    out.line(format_args!(
        "<g class=\"gst-element gst-{role}\" data-element=\"{}\" transform=\"translate({x:.1} {y:.1})\"><title>{}</title>",
        escape(&node.name),
        escape(&node.details)
    ));
    let (fill, opacity) = tint(node.role).map_or(("currentColor", 0.06), |tint| (tint, 0.16));
    let stroke_opacity = if tint(node.role).is_some() { 0.9 } else { 0.45 };
    let dashes = if node.role == Role::Session { " stroke-dasharray=\"5 3\"" } else { "" };
    out.line(format_args!(
        "<rect class=\"gst-box\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"6\" fill=\"{fill}\" \
         fill-opacity=\"{opacity}\" stroke=\"{fill}\" stroke-opacity=\"{stroke_opacity}\"{dashes}/>"
    ));
    let state = match node.state.as_str() {
        "PLAYING" => "#22c55e",
        "PAUSED" | "READY" => "#f59e0b",
        _ => RED,
    };
    out.line(format_args!(
        "<circle class=\"gst-state\" cx=\"{:.1}\" cy=\"11\" r=\"3.5\" fill=\"{state}\"/>",
        width - 10.0
    ));
    let mut baseline = PADDING + 7.0;
    out.line(format_args!(
        "<text class=\"gst-name\" x=\"{PADDING}\" y=\"{baseline:.1}\" font-weight=\"600\">{}</text>",
        escape(&node.heading)
    ));
    for words in &node.lines {
        baseline += LINE;
        let look = if words.alarm {
            format!(" class=\"gst-alarm\" fill=\"{RED}\" font-weight=\"600\"")
        } else {
            String::new()
        };
        out.line(format_args!(
            "<text x=\"{PADDING}\" y=\"{baseline:.1}\" font-size=\"{}\"{look}>{}</text>",
            FONT - 1.0,
            escape(&words.text)
        ));
    }
    if let Some(fill) = node.fill {
        let (bar, top) = (width - 2.0 * PADDING, height - BAR - 5.0);
        let colour = if fill >= 1.0 { RED } else { "#3b82f6" };
        out.line(format_args!(
            "<rect class=\"gst-fill\" x=\"{PADDING}\" y=\"{top:.1}\" width=\"{bar:.1}\" height=\"{BAR}\" rx=\"2\" \
             fill=\"currentColor\" fill-opacity=\"0.15\"/>"
        ));
        if fill > 0.0 {
            out.line(format_args!(
                "<rect class=\"gst-fill\" x=\"{PADDING}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2\" \
                 fill=\"{colour}\"/>",
                bar * fill
            ));
        }
    }
    out.line(format_args!("</g>"));
}

/// Text as XML takes it, without what no XML may hold.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
