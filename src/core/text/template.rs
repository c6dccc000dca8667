//! Pipeline text: gst-launch syntax with `#` comments and `{placeholder}`s. Owns reading, checking and filling in the
//! text with line numbers kept; never parses what GStreamer parses (that is `media::gst::graph`'s business).

use std::fmt;

use super::{
    lexer::{self, Word},
    nearest::nearest,
};

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
    /// When the pipeline is built, fit for a file's name: `20260314-153027-123`.
    pub time: String,
}

/// Seconds between key frames that nobody asked for. Viewers ask when they join or lose a picture, so this only bounds
/// how long a recording branch waits; a low value costs bitrate.
const KEY_FRAME_SECONDS: u32 = 10;

/// What may stand in braces.
pub const PLACEHOLDERS: [&str; 10] = [
    "width",
    "height",
    "framerate",
    "bitrate_kbps",
    "bitrate_bps",
    "keyframe_interval",
    "format",
    "stream",
    "device",
    "time",
];

impl Values {
    fn get(&self, name: &str) -> Option<String> {
        Some(match name {
            "width" => self.width.to_string(),
            "height" => self.height.to_string(),
            // 0/1 in caps says that the rate varies.
            "framerate" => self.framerate.max(1).to_string(),
            "bitrate_kbps" => self.bitrate_kbps.to_string(),
            "bitrate_bps" => (u64::from(self.bitrate_kbps) * 1000).to_string(),
            "keyframe_interval" => (self.framerate.max(1) * KEY_FRAME_SECONDS).to_string(),
            "format" => self.format.clone(),
            "stream" => self.stream.clone(),
            "device" => self.device.clone(),
            "time" => self.time.clone(),
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

/// Pipeline text with placeholders filled in, which knows where each byte of it stands in the file.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// The text; its lines are those of the file.
    pub text: String,
    /// Runs of bytes, in order: where one begins in `text`, its line and column in the file, and whether it is the file's own
    /// text or stands for a placeholder.
    runs: Vec<(usize, Place, bool)>,
}

/// A line and a column, in characters, both counted from 1.
pub type Place = (usize, usize);

impl Rendered {
    /// Where a byte of the text stands in the file; what a placeholder became stands where the placeholder does.
    pub fn place(&self, at: usize) -> Place {
        let index = self.runs.partition_point(|(start, ..)| *start <= at).saturating_sub(1);
        let Some((start, (line, column), literal)) = self.runs.get(index) else { return (1, 1) };
        let within = if *literal { self.text.get(*start..at).map_or(0, |text| text.chars().count()) } else { 0 };
        (*line, column + within)
    }
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
            if let Some(at) = line.find('\0') {
                let message = "a byte 0 stands here, and GStreamer's texts end at one; take it out".into();
                return Err(template.fault_at((index + 1, column(line, at)), "", None, message));
            }
            if line.chars().filter(|c| *c == '"').count() % 2 == 1 {
                let at = line.rfind('"').unwrap_or(0);
                let place = (index + 1, column(line, at));
                let message = "a quote (\") is opened and not closed on its line".into();
                return Err(template.fault_at(place, "\"", None, message));
            }
            for (at, name) in placeholders(line) {
                if !PLACEHOLDERS.contains(&name) {
                    let known = PLACEHOLDERS.map(|name| format!("{{{name}}}")).join(" ");
                    let near = nearest(name, PLACEHOLDERS).map(|near| format!("{{{near}}}"));
                    let meant = near.as_ref().map_or(String::new(), |near| format!("did you mean {near}? "));
                    let message = format!("unknown placeholder {{{name}}}; {meant}known are {known}");
                    let place = (index + 1, column(line, at));
                    return Err(template.fault_at(place, &format!("{{{name}}}"), near, message));
                }
            }
        }
        template.check_names()?;
        Ok(template)
    }

    /// Each of the named elements must be there, once.
    fn check_names(&self) -> Result<(), Fault> {
        let text = self.lines.join("\n");
        let words = lexer::words(&text);
        let names: Vec<(String, &Word<'_>)> =
            words.iter().filter_map(|word| word.value_of("name").map(|name| (name, word))).collect();
        for (name, what) in NAMED_ELEMENTS {
            let mut found = names.iter().filter(|(given, _)| given == name);
            if found.next().is_none() {
                let mut fault = self.fault(self.lines.len(), format!("no element has name={name}; it must be {what}"));
                let others = names.iter().filter(|(given, _)| !NAMED_ELEMENTS.iter().any(|(known, _)| known == given));
                let near = nearest(name, others.clone().map(|(given, _)| given.as_str()));
                if let Some((given, word)) = others.clone().find(|(given, _)| Some(given.as_str()) == near) {
                    let message = format!("{}; did you mean name={name} in place of name={given}?", fault.message);
                    fault = self.fault_at(place(&text, word.at), word.text, Some(format!("name={name}")), message);
                }
                return Err(fault);
            }
            if let Some((_, again)) = found.next() {
                let message = format!("name={name} is given a second time");
                return Err(self.fault_at(place(&text, again.at), again.text, None, message));
            }
        }
        Ok(())
    }

    /// The pipeline text with placeholders filled in; line numbers stay those of the file.
    pub fn render(&self, values: &Values) -> String {
        self.render_placed(values).text
    }

    /// The same, with the places of its bytes in the file.
    pub fn render_placed(&self, values: &Values) -> Rendered {
        let mut rendered = Rendered { text: String::new(), runs: Vec::new() };
        for (index, line) in self.lines.iter().enumerate() {
            if index > 0 {
                rendered.text.push('\n');
            }
            let mut done = 0;
            let place = |at: usize| (index + 1, column(line, at));
            for (at, name) in placeholders(line) {
                // `parse` let only known names through.
                let Some(value) = values.get(name) else { continue };
                rendered.runs.push((rendered.text.len(), place(done), true));
                rendered.text.push_str(&line[done..at]);
                rendered.runs.push((rendered.text.len(), place(at), false));
                rendered.text.push_str(&value);
                done = at + name.len() + 2;
            }
            rendered.runs.push((rendered.text.len(), place(done), true));
            rendered.text.push_str(&line[done..]);
        }
        rendered
    }

    /// The file as the person knows it.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The first line that holds this word, else line 1.
    pub fn line_of(&self, word: &str) -> usize {
        self.lines.iter().position(|line| contains_word(line, word)).map_or(1, |index| index + 1)
    }

    /// A fault in this file of which only the line is known.
    pub fn fault(&self, line: usize, message: String) -> Fault {
        Fault { file: self.file.clone(), line: line.max(1), message, ..Fault::default() }
    }

    /// A fault at a word of this file.
    pub fn fault_at(&self, (line, column): Place, token: &str, nearest: Option<String>, message: String) -> Fault {
        let token = (!token.is_empty()).then(|| token.to_owned());
        Fault { file: self.file.clone(), line, column: Some(column), token, nearest, message }
    }
}

/// The first line of a file's leading comment, without its `#`; empty where there is none.
pub fn title(text: &str) -> &str {
    text.lines().next().and_then(|line| line.trim_start().strip_prefix('#')).map_or("", str::trim)
}

/// Line and column of a byte.
fn place(text: &str, at: usize) -> Place {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

/// The column of a byte of a line.
fn column(line: &str, at: usize) -> usize {
    line.get(..at).map_or(1, |before| before.chars().count() + 1)
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

impl Values {
    /// A colour stream as configured by default, for looking at a description that no stream has filled yet.
    pub fn example() -> Self {
        Self {
            width: 640,
            height: 480,
            framerate: 30,
            bitrate_kbps: 2000,
            format: "I420".into(),
            stream: "color".into(),
            device: "844212070924".into(),
            time: "20260314-153027-123".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "# a comment\nappsrc name=source ! videoconvert # trailing\n ! \"video/x-raw,format={I420, NV12}\"\n ! x264enc name=encoder bitrate={bitrate_kbps}\n ! tee name=fanout\n";

    fn fault(text: &str) -> Fault {
        Template::parse("pipelines/color.h264.gst", text).expect_err("a fault")
    }

    #[test]
    fn placeholders_are_filled_and_lines_stay() {
        let template = Template::parse("x", GOOD).expect("good");
        let rendered = template.render(&Values::example());
        assert!(rendered.contains("bitrate=2000") && rendered.contains("format={I420, NV12}"), "{rendered}");
        assert!(!rendered.contains('#'));
        assert_eq!(rendered.lines().nth(3).map(str::trim), Some("! x264enc name=encoder bitrate=2000"));
        assert_eq!(template.line_of("x264enc"), 4);
        assert_eq!(template.line_of("264enc"), 1, "only whole words are found");
    }

    #[test]
    fn a_rate_that_is_not_known_is_never_written_as_zero() {
        let template = Template::parse("x", &GOOD.replace("NV12}", "NV12},framerate={framerate}/1")).expect("good");
        let rendered = template.render(&Values { framerate: 0, ..Values::example() });
        assert!(rendered.contains("framerate=1/1"), "{rendered}");
    }

    #[test]
    fn faults_name_file_and_line() {
        let unknown = fault(&GOOD.replace("{bitrate_kbps}", "{bitrat}"));
        assert_eq!(unknown.line, 4);
        let words = "pipelines/color.h264.gst:4:33: unknown placeholder {bitrat}; did you mean {bitrate_bps}?";
        assert!(unknown.to_string().starts_with(words), "{unknown}");
        assert_eq!((unknown.token.as_deref(), unknown.nearest.as_deref()), (Some("{bitrat}"), Some("{bitrate_bps}")));
        assert!(unknown.message.contains("{bitrate_kbps}"));
        let nearly = fault(&GOOD.replace("name=encoder", "name=enc"));
        assert_eq!((nearly.line, nearly.column, nearly.nearest.as_deref()), (4, Some(12), Some("name=encoder")));
        let missing = fault(&GOOD.replace("name=encoder", ""));
        assert_eq!((missing.line, missing.message.contains("name=encoder")), (5, true));
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
        let segments = segments(&template.render(&Values::example()));
        assert_eq!(segments.iter().map(|s| s.line).collect::<Vec<_>>(), [2, 2, 3, 4, 5]);
        assert_eq!(segments[1].text, "videoconvert name=\"a!b\"");
    }

    #[test]
    fn rendered_bytes_know_their_place_in_the_file() {
        let text = GOOD.replace("x264enc name", "\u{e4}{width}x{height} x264enc name");
        let rendered = Template::parse("x", &text).expect("good").render_placed(&Values::example());
        for (word, place) in
            [("appsrc", (2, 1)), ("\u{e4}640x", (4, 4)), ("x480", (4, 12)), ("x264enc", (4, 22)), ("2000", (4, 51))]
        {
            let at = rendered.text.find(word).expect(word);
            assert_eq!(rendered.place(at), place, "{word}");
        }
        assert_eq!(rendered.place(rendered.text.find("640").expect("a number") + 2), (4, 5), "inside a placeholder");
        assert_eq!(title(GOOD), "a comment");
        assert_eq!(title("x"), "");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[ -~\n\u{e4}{}\"#!=]{0,300}") {
            if let Ok(template) = Template::parse("fuzz", &text) {
                let rendered = template.render_placed(&Values::example());
                segments(&rendered.text);
                for at in 0..=rendered.text.len() {
                    let (line, column) = rendered.place(at);
                    prop_assert!(line <= text.lines().count());
                    prop_assert!(column <= text.lines().nth(line - 1).unwrap_or("").chars().count() + 1);
                }
            }
        }

        #[test]
        fn fault_lines_lie_in_the_file(text in "([a-z {}\"]{0,12}\n){0,8}") {
            if let Err(fault) = Template::parse("fuzz", &text) {
                prop_assert!(fault.line >= 1 && fault.line <= text.lines().count().max(1));
                let width = text.lines().nth(fault.line - 1).unwrap_or("").chars().count();
                prop_assert!(fault.column.is_none_or(|column| (1..=width + 1).contains(&column)));
            }
        }
    }
}
