//! Pipeline text: gst-launch syntax with `#` comments and `{placeholder}`s. Owns reading, checking and filling in the
//! text with line numbers kept; never parses what GStreamer parses (that is `media::gst::graph`'s business).

use std::fmt;

/// The names a pipeline file must give to three of its elements, and what each is.
pub const NAMED_ELEMENTS: [(&str, &str); 3] = [
    ("source", "the appsrc that takes the camera's frames"),
    ("encoder", "the video encoder"),
    ("fanout", "the tee that viewers are attached to"),
];

/// What placeholders stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames per second.
    pub framerate: u32,
    /// Kilobits per second.
    pub bitrate_kbps: u32,
    /// GStreamer's name of the raw format that comes in, for example `I420`.
    pub format: String,
    /// The stream's name, for example `infrared-1`.
    pub stream: String,
    /// The device's serial number.
    pub device: String,
}

/// Seconds between key frames that nobody asked for. Viewers ask when they join or lose a picture, so this only bounds
/// how long a recording branch waits; a low value costs bitrate.
const KEY_FRAME_SECONDS: u32 = 10;

const PLACEHOLDERS: [&str; 9] =
    ["width", "height", "framerate", "bitrate_kbps", "bitrate_bps", "keyframe_interval", "format", "stream", "device"];

impl Values {
    fn get(&self, name: &str) -> Option<String> {
        Some(match name {
            "width" => self.width.to_string(),
            "height" => self.height.to_string(),
            "framerate" => self.framerate.to_string(),
            "bitrate_kbps" => self.bitrate_kbps.to_string(),
            "bitrate_bps" => (u64::from(self.bitrate_kbps) * 1000).to_string(),
            "keyframe_interval" => (self.framerate.max(1) * KEY_FRAME_SECONDS).to_string(),
            "format" => self.format.clone(),
            "stream" => self.stream.clone(),
            "device" => self.device.clone(),
            _ => return None,
        })
    }
}

pub use crate::model::Fault;

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.column {
            Some(column) => write!(f, "{}:{}:{column}: {}", self.file, self.line, self.message),
            None => write!(f, "{}:{}: {}", self.file, self.line, self.message),
        }
    }
}

/// One piece of pipeline text between two `!`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Line its first word stands on, counted from 1.
    pub line: usize,
    /// The text, placeholders filled in.
    pub text: String,
}

/// A pipeline file, read and checked as far as text can be.
#[derive(Debug, Clone)]
pub struct Template {
    file: String,
    /// The file's lines without comments; as many as the file has, so that indices are line numbers minus one.
    lines: Vec<String>,
}

impl Template {
    /// Reads a pipeline file's text; `file` is only for messages.
    ///
    /// # Errors
    /// An unknown placeholder, a quote that does not end, a missing or doubled named element, or no text at all.
    pub fn parse(file: impl Into<String>, text: &str) -> Result<Self, Fault> {
        let template = Self { file: file.into(), lines: text.lines().map(strip_comment).collect() };
        if template.lines.iter().all(|line| line.trim().is_empty()) {
            return Err(template.fault(1, "the file holds no pipeline, only comments or nothing".into()));
        }
        for (index, line) in template.lines.iter().enumerate() {
            if line.chars().filter(|c| *c == '"').count() % 2 == 1 {
                return Err(template.fault(index + 1, "a quote (\") is opened and not closed on its line".into()));
            }
            for (_, name) in placeholders(line) {
                if !PLACEHOLDERS.contains(&name) {
                    let known = PLACEHOLDERS.map(|name| format!("{{{name}}}")).join(" ");
                    return Err(template.fault(index + 1, format!("unknown placeholder {{{name}}}; known are {known}")));
                }
            }
        }
        for (name, what) in NAMED_ELEMENTS {
            match template.lines_naming(name).as_slice() {
                [] => {
                    let last = template.lines.len();
                    return Err(template.fault(last, format!("no element has name={name}; it must be {what}")));
                }
                [_] => {}
                [_, again, ..] => {
                    return Err(template.fault(*again, format!("name={name} is given a second time")));
                }
            }
        }
        Ok(template)
    }

    /// The pipeline text with placeholders filled in; line numbers stay those of the file.
    pub fn render(&self, values: &Values) -> String {
        let mut rendered = Vec::with_capacity(self.lines.len());
        for line in &self.lines {
            let mut out = String::with_capacity(line.len());
            let mut rest = line.as_str();
            while let Some((at, name)) = placeholders(rest).next() {
                out.push_str(&rest[..at]);
                // `parse` let only known names through.
                out.push_str(&values.get(name).unwrap_or_default());
                rest = &rest[at + name.len() + 2..];
            }
            out.push_str(rest);
            rendered.push(out);
        }
        rendered.join("\n")
    }

    /// The file as the person knows it.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The first line that holds this word, else line 1.
    pub fn line_of(&self, word: &str) -> usize {
        self.lines.iter().position(|line| contains_word(line, word)).map_or(1, |index| index + 1)
    }

    /// A fault in this file.
    pub fn fault(&self, line: usize, message: String) -> Fault {
        Fault { file: self.file.clone(), line: line.max(1), message, ..Fault::default() }
    }

    fn lines_naming(&self, name: &str) -> Vec<usize> {
        let mut found = Vec::new();
        for (index, line) in self.lines.iter().enumerate() {
            // `name = x` is legal in gst-launch text too.
            let squeezed = line.replace(" =", "=").replace("= ", "=").replace('"', "");
            let hits = squeezed.split_whitespace().filter(|word| word.strip_prefix("name=") == Some(name)).count();
            found.extend(std::iter::repeat_n(index + 1, hits));
        }
        found
    }
}

/// Splits rendered pipeline text at its links, so that each piece can be tried alone to find the one at fault.
pub fn segments(rendered: &str) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut text = String::new();
    let (mut start, mut line, mut quoted) = (None, 1, false);
    for c in rendered.chars() {
        match c {
            '"' => quoted = !quoted,
            '!' if !quoted => {
                segments.push(Segment { line: start.unwrap_or(line), text: text.trim().to_owned() });
                text.clear();
                start = None;
                continue;
            }
            _ => {}
        }
        if !c.is_whitespace() {
            start.get_or_insert(line);
        }
        if c == '\n' {
            line += 1;
        }
        text.push(c);
    }
    segments.push(Segment { line: start.unwrap_or(line), text: text.trim().to_owned() });
    segments
}

/// The text before a `#` that starts the line or follows a blank, outside quotes.
pub fn strip_comment(line: &str) -> String {
    let (mut quoted, mut blank) = (false, true);
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '#' if !quoted && blank => return line[..at].to_owned(),
            _ => {}
        }
        blank = c.is_whitespace();
    }
    line.to_owned()
}

/// `{name}` with a lower-case name, at its byte offset. Other braces are caps lists and belong to GStreamer.
fn placeholders(line: &str) -> impl Iterator<Item = (usize, &str)> {
    line.match_indices('{').filter_map(|(at, _)| {
        let inside = &line[at + 1..];
        let name = &inside[..inside.find('}')?];
        let valid = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        valid.then_some((at, name))
    })
}

fn contains_word(line: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(is_word)
            && !line[at + word.len()..].chars().next().is_some_and(is_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "# a comment\nappsrc name=source ! videoconvert # trailing\n ! \"video/x-raw,format={I420, NV12}\"\n ! x264enc name=encoder bitrate={bitrate_kbps}\n ! tee name=fanout\n";

    fn values() -> Values {
        Values {
            width: 640,
            height: 480,
            framerate: 30,
            bitrate_kbps: 2000,
            format: "I420".into(),
            stream: "color".into(),
            device: "844212070924".into(),
        }
    }

    fn fault(text: &str) -> Fault {
        Template::parse("pipelines/color.h264.gst", text).expect_err("a fault")
    }

    #[test]
    fn placeholders_are_filled_and_lines_stay() {
        let template = Template::parse("x", GOOD).expect("good");
        let rendered = template.render(&values());
        assert!(rendered.contains("bitrate=2000") && rendered.contains("format={I420, NV12}"), "{rendered}");
        assert!(!rendered.contains('#'));
        assert_eq!(rendered.lines().nth(3).map(str::trim), Some("! x264enc name=encoder bitrate=2000"));
        assert_eq!(template.line_of("x264enc"), 4);
        assert_eq!(template.line_of("264enc"), 1, "only whole words are found");
    }

    #[test]
    fn faults_name_file_and_line() {
        let unknown = fault(&GOOD.replace("{bitrate_kbps}", "{bitrat}"));
        assert_eq!(unknown.line, 4);
        assert!(unknown.to_string().starts_with("pipelines/color.h264.gst:4: unknown placeholder {bitrat}"));
        assert!(unknown.message.contains("{bitrate_kbps}"));
        assert!(fault(&GOOD.replace("name=encoder", "")).message.contains("name=encoder"));
        assert!(fault(&GOOD.replace("name=fanout", "name=fanout2")).message.contains("the tee"));
        let twice = fault(&format!("{GOOD} tee name=fanout"));
        assert_eq!((twice.line, twice.message.contains("second time")), (6, true));
        assert_eq!(fault(&GOOD.replace("NV12}\"", "NV12}")).line, 3);
        assert!(fault("# nothing\n\n").message.contains("no pipeline"));
        assert_eq!(fault("").line, 1);
    }

    #[test]
    fn segments_know_their_lines_and_keep_quoted_links() {
        let template = Template::parse("x", &GOOD.replace("videoconvert", "videoconvert name=\"a!b\"")).expect("good");
        let segments = segments(&template.render(&values()));
        assert_eq!(segments.iter().map(|s| s.line).collect::<Vec<_>>(), [2, 2, 3, 4, 5]);
        assert_eq!(segments[1].text, "videoconvert name=\"a!b\"");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[ -~\n\u{e4}{}\"#!=]{0,300}") {
            if let Ok(template) = Template::parse("fuzz", &text) {
                segments(&template.render(&values()));
            }
        }

        #[test]
        fn fault_lines_lie_in_the_file(text in "([a-z {}\"]{0,12}\n){0,8}") {
            if let Err(fault) = Template::parse("fuzz", &text) {
                prop_assert!(fault.line >= 1 && fault.line <= text.lines().count().max(1));
            }
        }
    }
}
