//! gst-launch text as the words of a command line. Owns splitting it into links, caps and elements, and quoting for the
//! shell; pure, and checks nothing: what GStreamer refuses in a file it refuses in the command, too.

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
    for word in words(text) {
        let begins = matches!(parts.last(), None | Some(Part::Link(_) | Part::Bracket(_)));
        match parts.last_mut() {
            _ if is_link(&word) => parts.push(Part::Link(word)),
            // Bins begin with "(" or, with settings for a bin of another kind, "name.(".
            _ if word == ")" || word.ends_with('(') => parts.push(Part::Bracket(word)),
            Some(Part::Link(_)) if is_caps(&word) => parts.push(Part::Caps(word)),
            Some(Part::Caps(caps)) => caps.push_str(&word),
            Some(Part::Element(words)) if is_setting(&word) => words.push(word),
            _ if !is_setting(&word) && word.contains('.') => parts.push(Part::Pad(word)),
            _ if begins || !is_setting(&word) => parts.push(Part::Element(vec![word])),
            // A setting after a pad: GStreamer refuses it, so let it see that.
            _ => parts.push(Part::Element(vec![word])),
        }
    }
    parts
}

/// The parts as `gst-launch-1.0`'s arguments.
pub(crate) fn arguments(parts: &[Part]) -> Vec<String> {
    parts.iter().flat_map(Part::words).cloned().collect()
}

/// The parts as lines of a shell command: an element, or a link and what it leads to, on each.
pub(crate) fn shell_lines(parts: &[Part]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut joins = false;
    for part in parts {
        let text = part.words().iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ");
        let stays = joins || matches!(part, Part::Bracket(word) if word == ")");
        match lines.last_mut() {
            Some(line) if stays => {
                line.push(' ');
                line.push_str(&text);
            }
            _ => lines.push(text),
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

/// Words at blanks outside quotes; `a = b` becomes `a=b`, and a link is a word wherever it stands.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted: Option<char> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (quoted, c) {
            (_, '\\') => {
                let escaped = chars.next();
                // gst-launch-1.0 puts a backslash before each blank of an argument by itself.
                if quoted.is_some() || escaped != Some(' ') {
                    word.push(c);
                }
                word.extend(escaped);
            }
            (Some(quote), c) => {
                if c == quote {
                    quoted = None;
                }
                word.push(c);
            }
            (None, '"' | '\'') => {
                quoted = Some(c);
                word.push(c);
            }
            (None, '!') if !is_setting(&word) => {
                words.extend(take(&mut word));
                words.push("!".into());
            }
            (None, '(') if word.is_empty() || word.ends_with('.') => {
                word.push(c);
                words.extend(take(&mut word));
            }
            (None, ')') if word.is_empty() => words.push(")".into()),
            (None, c) if c.is_whitespace() => {
                while chars.next_if(|next| next.is_whitespace()).is_some() {}
                let assigns = chars.peek() == Some(&'=') || (is_setting(&word) && word.ends_with('='));
                if !(assigns && !word.is_empty()) {
                    words.extend(take(&mut word));
                }
            }
            (None, c) => word.push(c),
        }
    }
    words.extend(take(&mut word));
    words
}

fn take(word: &mut String) -> Option<String> {
    (!word.is_empty()).then(|| std::mem::take(word))
}

fn is_link(word: &str) -> bool {
    word == "!" || word == ":"
}

/// `name=value`, also for a property of an element's child: `sink::sync=false`.
fn is_setting(word: &str) -> bool {
    let Some((name, _)) = word.split_once('=') else { return false };
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-:".contains(c))
}

/// `video/x-raw`, perhaps with features and fields, also in quotes.
fn is_caps(word: &str) -> bool {
    let name = word.trim_start_matches(['"', '\'']).split([',', '(', ';']).next().unwrap_or_default();
    name.contains('/') && !name.contains('=')
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
        let text = "appsrc name = \"source\" is-live=true\n! \"video/x-raw, format={I420, NV12}\"! video/x-raw(memory:NVMM), \
                    format = (string) { I420, NV12 } ; video/x-h264 ! x264enc!tee name=fanout\nfanout. ! mux.video_0 \
                    matroskamux name=mux ! filesink location=\"a ! b.mkv\"";
        let link = Part::link;
        let expected = [
            element(&["appsrc", "name=\"source\"", "is-live=true"]),
            link(),
            caps("\"video/x-raw, format={I420, NV12}\""),
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
        assert_eq!(expected[6].name(), None);
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
        assert_eq!(words(r#"a=b\ c d="e\" f" g=\x"#), ["a=b c", r#"d="e\" f""#, r"g=\x"]);
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
