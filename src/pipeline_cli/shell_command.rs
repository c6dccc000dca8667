//! gst-launch text as the words of a command line. Owns splitting it into links, caps and elements, and quoting for the
//! shell; pure, and checks nothing: what GStreamer refuses in a file it refuses in the command, too.

use crate::core::text::lexer::{self, Kind};

/// Characters of a line before settings go on in the next.
const LINE: usize = 100;

/// A piece of gst-launch text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// `!` or `:`.
    Link(String),
    /// Caps between two links, without blanks.
    Caps(String),
    /// An element with its settings, each a word.
    Element(Vec<String>),
    /// A pad of an element elsewhere in the text: `fanout.` or `mux.video_0`.
    Pad(String),
    /// The begin or end of a bin.
    Bracket(String),
}

impl Part {
    /// An element from its words.
    pub(crate) fn element<S: Into<String>>(words: impl IntoIterator<Item = S>) -> Self {
        Self::Element(words.into_iter().map(Into::into).collect())
    }

    /// A link.
    pub(crate) fn link() -> Self {
        Self::Link("!".into())
    }

    /// Its words.
    pub(crate) fn words(&self) -> &[String] {
        match self {
            Self::Element(words) => words,
            Self::Link(word) | Self::Caps(word) | Self::Pad(word) | Self::Bracket(word) => std::slice::from_ref(word),
        }
    }

    /// The element's name, where the text gives it one.
    pub(crate) fn name(&self) -> Option<&str> {
        let Self::Element(words) = self else { return None };
        words.iter().find_map(|word| word.strip_prefix("name=")).map(|name| name.trim_matches(['"', '\'']))
    }
}

/// Splits gst-launch text (no comments, placeholders filled in) into its parts.
pub(crate) fn parts(text: &str) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for word in lexer::words(text) {
        match (&word.kind, parts.last_mut()) {
            (Kind::Link { caps: None }, _) => parts.push(Part::Link(word.text.into())),
            (Kind::Link { caps: Some((caps, _)) }, _) => {
                let link = word.text.chars().take(1).collect();
                parts.extend([Part::Link(link), Part::Caps(without_blanks(caps)), Part::link()]);
            }
            (Kind::Property { name, value, .. }, Some(Part::Element(words))) => words.push(setting(name, value)),
            (Kind::Property { name, value, .. }, _) => parts.push(Part::Element(vec![setting(name, value)])),
            (Kind::Element | Kind::Url, _) => parts.push(Part::Element(vec![word.text.into()])),
            (Kind::BinOpen(_) | Kind::BinClose, _) => parts.push(Part::Bracket(without_blanks(word.text))),
            // "element .pad, pad": further pads stay with the first.
            (Kind::Pad | Kind::Other, Some(Part::Pad(pads))) => pads.push_str(word.text),
            (Kind::Reference { .. } | Kind::Pad | Kind::Other, _) => parts.push(Part::Pad(word.text.into())),
        }
    }
    parts
}

/// The parts as `gst-launch-1.0`'s arguments.
pub(crate) fn arguments(parts: &[Part]) -> Vec<String> {
    parts.iter().flat_map(Part::words).cloned().collect()
}

/// The parts as lines of a shell command: an element, or a link and what it leads to, on each. Settings that do not fit go on
/// in a line that is indented.
pub(crate) fn shell_lines(parts: &[Part]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut joins = false;
    for part in parts {
        let stays = joins || matches!(part, Part::Bracket(word) if word == ")");
        for (index, word) in part.words().iter().map(|word| quote(word)).enumerate() {
            match lines.last_mut() {
                Some(line) if index > 0 && line.chars().count() + word.chars().count() >= LINE => {
                    lines.push(format!("    {word}"));
                }
                Some(line) if index > 0 || stays => {
                    line.push(' ');
                    line.push_str(&word);
                }
                _ => lines.push(word),
            }
        }
        joins = matches!(part, Part::Link(_)) || matches!(part, Part::Bracket(word) if word != ")");
    }
    lines
}

/// A word as the shell reads it back: in single quotes where it has a meaning of its own there.
pub(crate) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    // "!" alone is no history expansion, and everybody writes it bare.
    if word == "!" || (!word.is_empty() && word.chars().all(plain)) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A setting as an argument. gst-launch-1.0 puts a backslash before each blank outside of double quotes by itself, so one that
/// is there already goes.
fn setting(name: &str, value: &str) -> String {
    let mut word = format!("{name}=");
    let mut quoted = false;
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' if !quoted && chars.peek() == Some(&' ') => continue,
            '\\' => {
                word.push(c);
                word.extend(chars.next());
                continue;
            }
            _ => {}
        }
        word.push(c);
    }
    word
}

/// Without the blanks outside of quotes, which mean nothing in caps and which gst-launch-1.0 would escape.
fn without_blanks(text: &str) -> String {
    let mut quoted = false;
    let keep = |c: &char| {
        quoted ^= *c == '"';
        quoted || !c.is_whitespace()
    };
    text.chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn element(words: &[&str]) -> Part {
        Part::element(words.iter().copied())
    }

    fn caps(text: &str) -> Part {
        Part::Caps(text.into())
    }

    #[test]
    fn text_is_split_into_links_caps_and_elements() {
        let text = "appsrc name = \"source\" is-live=true\n! video/x-raw, format={I420, NV12}! videoscale ! video/x-raw(memory:NVMM), \
                    format = (string) { I420, NV12 } ; video/x-h264 ! x264enc!tee name=fanout\nfanout. ! mux.video_0 \
                    matroskamux name=mux ! filesink location=\"a ! b.mkv\"";
        let link = Part::link;
        let expected = [
            element(&["appsrc", "name=\"source\"", "is-live=true"]),
            link(),
            caps("video/x-raw,format={I420,NV12}"),
            link(),
            element(&["videoscale"]),
            link(),
            caps("video/x-raw(memory:NVMM),format=(string){I420,NV12};video/x-h264"),
            link(),
            element(&["x264enc"]),
            link(),
            element(&["tee", "name=fanout"]),
            Part::Pad("fanout.".into()),
            link(),
            Part::Pad("mux.video_0".into()),
            element(&["matroskamux", "name=mux"]),
            link(),
            element(&["filesink", "location=\"a ! b.mkv\""]),
        ];
        assert_eq!(parts(text), expected);
        assert_eq!(expected[0].name(), Some("source"));
        assert_eq!(expected[4].name(), None);
    }

    #[test]
    fn bins_keep_their_brackets() {
        let text = "appsrc ! ( name=part x264enc name=encoder ) ! tee";
        let bracket = |text: &str| Part::Bracket(text.into());
        let found = parts(text);
        assert_eq!(found[2..5], [bracket("("), element(&["name=part"]), element(&["x264enc", "name=encoder"])]);
        assert_eq!(found[5], bracket(")"));
        assert_eq!(shell_lines(&found)[1], "! '(' name=part");
    }

    #[test]
    fn words_survive_the_shell() {
        for (word, quoted) in [
            ("bitrate=2000", "bitrate=2000"),
            ("!", "!"),
            (
                "video/x-raw(memory:NVMM),format={I420,NV12};video/x-h264",
                "'video/x-raw(memory:NVMM),format={I420,NV12};video/x-h264'",
            ),
            ("text=\"it's $HOME `x`\"", r#"'text="it'\''s $HOME `x`"'"#),
            ("", "''"),
        ] {
            assert_eq!(quote(word), quoted);
        }
    }

    #[test]
    fn an_escaped_blank_is_left_to_gst_launch() {
        let text = r#"x a=b\ c d="e\" f g" h=\x"#;
        assert_eq!(parts(text), [element(&["x", "a=b c", r#"d="e\" f g""#, r"h=\x"])]);
    }

    proptest! {
        /// What the shell is told comes back as it was.
        #[test]
        fn a_shell_reads_back_what_was_quoted(word in "[ -~]{0,20}") {
            let quoted = quote(&word);
            let read = if quoted.starts_with('\'') { quoted[1..quoted.len() - 1].replace(r"'\''", "'") } else { quoted };
            prop_assert_eq!(read, word);
        }

        #[test]
        fn no_text_panics_and_nothing_but_blanks_is_lost(text in "[a-z =!:().,/\"'\n]{0,80}") {
            let kept: String = arguments(&parts(&text)).concat();
            let squeezed = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(squeezed(&kept), squeezed(&text));
        }
    }
}
