//! Pipeline text cut into words as GStreamer's own lexer (`gst/parse/parse.l`) cuts it: elements, properties, links, caps,
//! references, bins. Owns where each word stands; knows no element and refuses nothing, for GStreamer has the last word.

/// What a word is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind<'a> {
    /// An element, by its factory's name.
    Element,
    /// `name=value`, or `@preset=value`; the value as written, quotes and all, with its byte offset.
    Property {
        /// The part before `=`.
        name: &'a str,
        /// The part after `=`.
        value: &'a str,
        /// Where the value stands, in bytes.
        value_at: usize,
    },
    /// `!`, or `:` for all pads; with the caps between two of them, and their byte offset.
    Link {
        /// The caps, without blanks around them.
        caps: Option<(&'a str, usize)>,
    },
    /// `name.` or `name.pad`.
    Reference {
        /// The element's name.
        element: &'a str,
        /// The pad's, where one is given.
        pad: Option<&'a str>,
    },
    /// `.pad` behind an element, or a further pad behind a comma.
    Pad,
    /// `(`, or `factory.(`.
    BinOpen(Option<&'a str>),
    /// `)`.
    BinClose,
    /// `file:///x` or `/x`: GStreamer finds an element for it.
    Url,
    /// A sign that means nothing here.
    Other,
}

/// A word and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word<'a> {
    /// What it is.
    pub kind: Kind<'a>,
    /// How it is written.
    pub text: &'a str,
    /// Where it begins, in bytes.
    pub at: usize,
}

impl<'a> Word<'a> {
    /// The value of the property `name`, without quotes and backslashes, if this word sets it.
    pub fn value_of(&self, property: &str) -> Option<String> {
        match &self.kind {
            Kind::Property { name, value, .. } if *name == property => Some(plain(value)),
            _ => None,
        }
    }
}

/// Cuts a text into words. Every byte that is no blank belongs to exactly one.
pub fn words(text: &str) -> Vec<Word<'_>> {
    let mut words: Vec<Word<'_>> = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let blanks = blanks(rest);
        if blanks > 0 {
            at += blanks;
            continue;
        }
        let (length, kind) = word(rest, at, words.last());
        words.push(Word { kind, text: &rest[..length], at });
        at += length;
    }
    words
}

/// The longest match wins, as in the lexer; of two equally long ones the earlier.
fn word<'a>(rest: &'a str, at: usize, before: Option<&Word<'_>>) -> (usize, Kind<'a>) {
    if let Some(preset) = rest.strip_prefix('@') {
        let name = identifier(preset);
        if let Some((value_at, length)) = assignment(preset, name).filter(|_| name > 0) {
            let value = &preset[value_at..length];
            return (length + 1, Kind::Property { name: &rest[..=name], value, value_at: at + 1 + value_at });
        }
    }
    let name = identifier(rest);
    if name > 0 {
        if let Some((value_at, length)) = assignment(rest, name) {
            let value = &rest[value_at..length];
            return (length, Kind::Property { name: &rest[..name], value, value_at: at + value_at });
        }
        if let Some(length) = url(rest) {
            return (length, Kind::Url);
        }
        let after = &rest[name..];
        let dot = blanks(after);
        if after[dot..].starts_with('.') {
            let open = dot + 1 + blanks(&after[dot + 1..]);
            if after[open..].starts_with('(') {
                return (name + open + 1, Kind::BinOpen(Some(&rest[..name])));
            }
            if dot == 0 {
                let pad = identifier(&after[1..]);
                let kind = Kind::Reference { element: &rest[..name], pad: (pad > 0).then(|| &after[1..=pad]) };
                return (name + 1 + pad, kind);
            }
        }
        let behind_comma = before.is_some_and(|word| word.text == ",");
        return (name, if behind_comma { Kind::Pad } else { Kind::Element });
    }
    let first = rest.chars().next().map_or(1, char::len_utf8);
    match &rest[..first] {
        "!" | ":" => link(rest, at),
        "." => match identifier(&rest[1..]) {
            0 => (1, Kind::Other),
            pad => (1 + pad, Kind::Pad),
        },
        "(" => (1, Kind::BinOpen(None)),
        ")" => (1, Kind::BinClose),
        "/" if string(&rest[1..]) > 0 => (1 + string(&rest[1..]), Kind::Url),
        _ => (first, Kind::Other),
    }
}

/// `!`, or `! caps !`.
fn link(rest: &str, at: usize) -> (usize, Kind<'_>) {
    let bare = (1, Kind::Link { caps: None });
    let start = 1 + blanks(&rest[1..]);
    let caps = &rest[start..];
    let Some(end) = link_end(caps) else { return bare };
    if !begins_with_media_type(caps) {
        return bare;
    }
    let text = caps[..end].trim_end();
    (start + end + 1, Kind::Link { caps: Some((text, at + start)) })
}

/// Where the `!` behind caps stands. A backslash or quotes hide one.
fn link_end(caps: &str) -> Option<usize> {
    let (mut quote, mut escaped) = (None, false);
    for (at, c) in caps.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' | '\'' if quote.is_none() => quote = Some(c),
            _ if quote == Some(c) => quote = None,
            '!' if quote.is_none() => return Some(at),
            _ => {}
        }
    }
    None
}

fn begins_with_media_type(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let major = text.chars().take_while(|c| is_part(*c)).count();
    major > 0 && text[major..].strip_prefix('/').is_some_and(|minor| minor.starts_with(is_part))
}

/// Length of the identifier a text begins with.
fn identifier(text: &str) -> usize {
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        return 0;
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_%:".contains(c);
    text.find(|c: char| !is_part(c)).unwrap_or(text.len())
}

/// Where the value begins and ends, when an identifier of that length is followed by `=` and something.
fn assignment(text: &str, name: usize) -> Option<(usize, usize)> {
    let sign = name + blanks(&text[name..]);
    text[sign..].strip_prefix('=')?;
    let value = sign + 1 + blanks(&text[sign + 1..]);
    let length = string(&text[value..]);
    (length > 0).then_some((value, value + length))
}

/// `scheme://…`.
fn url(text: &str) -> Option<usize> {
    let scheme = text.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.,".contains(c)))?;
    text[scheme..].starts_with("://").then(|| scheme + 3 + string(&text[scheme + 3..]))
}

/// Length of a value: up to the next blank, or the quotes where they reach further.
fn string(text: &str) -> usize {
    let mut bare = text.len();
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c.is_ascii_whitespace() {
            bare = at;
            break;
        } else {
            escaped = c == '\\';
        }
    }
    let quote = text.chars().next().filter(|c| ['"', '\''].contains(c));
    let quoted = quote.and_then(|quote| {
        let mut escaped = false;
        text.char_indices().skip(1).find_map(|(at, c)| {
            let ends = c == quote && !escaped;
            escaped = c == '\\' && !escaped;
            ends.then_some(at + 1)
        })
    });
    bare.max(quoted.unwrap_or(0))
}

fn blanks(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_whitespace()).unwrap_or(text.len())
}

/// A value without the quotes around it and without backslashes, as GStreamer reads it.
pub fn plain(value: &str) -> String {
    let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    let mut plain = String::with_capacity(inner.len());
    let (mut escaped, mut quoted) = (false, false);
    for c in inner.chars() {
        // Inside quotes a backslash stays: the value's own reader takes it.
        if c == '\\' && !escaped && !quoted {
            escaped = true;
            continue;
        }
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = false;
        plain.push(c);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds(text: &str) -> Vec<Kind<'_>> {
        words(text).into_iter().map(|word| word.kind).collect()
    }

    fn property<'a>(name: &'a str, value: &'a str, value_at: usize) -> Kind<'a> {
        Kind::Property { name, value, value_at }
    }

    #[test]
    fn every_kind_of_word_is_told_apart() {
        assert_eq!(
            kinds("a name = x ! b.sink_0 c::d=5"),
            [
                Kind::Element,
                property("name", "x", 9),
                Kind::Link { caps: None },
                Kind::Reference { element: "b", pad: Some("sink_0") },
                property("c::d", "5", 27),
            ]
        );
        assert_eq!(
            kinds("t. ! q"),
            [Kind::Reference { element: "t", pad: None }, Kind::Link { caps: None }, Kind::Element]
        );
        assert_eq!(
            kinds("bin.( name=b ( x ) )"),
            [
                Kind::BinOpen(Some("bin")),
                property("name", "b", 11),
                Kind::BinOpen(None),
                Kind::Element,
                Kind::BinClose,
                Kind::BinClose
            ]
        );
        assert_eq!(
            kinds("m .a,b ! n"),
            [Kind::Element, Kind::Pad, Kind::Other, Kind::Pad, Kind::Link { caps: None }, Kind::Element]
        );
        assert_eq!(kinds("file:///tmp/x ! /tmp/y"), [Kind::Url, Kind::Link { caps: None }, Kind::Url]);
    }

    #[test]
    fn caps_belong_to_their_link_and_quotes_hold_together() {
        let text = "a\n! video/x-raw, format={I420, NV12};video/x-h264\n! b";
        assert_eq!(
            kinds(text),
            [
                Kind::Element,
                Kind::Link { caps: Some(("video/x-raw, format={I420, NV12};video/x-h264", 4)) },
                Kind::Element
            ]
        );
        assert_eq!(words(text)[2].at, text.len() - 1);
        assert_eq!(kinds("a ! video/x-raw,x=\"a!b\" ! c").len(), 3);
        assert_eq!(kinds("a @preset=\"x y\" ! b")[1], property("@preset", "\"x y\"", 10));
        let quoted = words("filesink location=\"/tmp/a b ! c\" x=1");
        assert_eq!(quoted.len(), 3);
        assert_eq!(quoted[1].value_of("location").as_deref(), Some("/tmp/a b ! c"));
        assert_eq!(plain("\"a\\ b\""), "a b");
        assert_eq!(plain("a\\\\b"), "a\\b");
    }

    proptest! {
        #[test]
        fn words_cover_the_text_in_order(text in "[ -~\n\u{e4}\u{20ac}!=\"'().:/]{0,200}") {
            let mut end = 0;
            for word in words(&text) {
                prop_assert!(text[end..word.at].chars().all(|c| c.is_ascii_whitespace()));
                prop_assert_eq!(&text[word.at..word.at + word.text.len()], word.text);
                prop_assert!(!word.text.is_empty());
                end = word.at + word.text.len();
            }
            prop_assert!(text[end..].chars().all(|c| c.is_ascii_whitespace()));
        }
    }
}
