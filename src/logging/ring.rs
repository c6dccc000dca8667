//! The lines kept in memory: the last of the whole server, and the last of each session and each stream. Owns nothing but
//! memory, and bounds it by lines, bytes and number of rings; its lock is held for a push or a copy of references.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write,
    sync::Arc,
    time::SystemTime,
};

use tracing::Level;

use super::time;
use crate::{
    config::MOST_KEPT_LINES,
    sync::{Mutex, MutexGuard, lock},
};

/// Most bytes of a kept line's text; the rest is cut off.
pub const LINE_BYTES: usize = 1000;
/// Lines a session or a stream keeps, of the server's own and of GStreamer's each.
const KEY_LINES: usize = 200;
/// Bytes of the same: 200 ordinary lines.
const KEY_BYTES: usize = 32 * 1024;
/// Warnings and errors kept beside all that, so that a filter that lets everything through does not push them out.
const SEVERE_LINES: usize = 200;
/// Bytes of the same.
const SEVERE_BYTES: usize = 64 * 1024;
/// Bytes of the server's ring by configured line. Lines are mostly shorter; long ones push more of the old ones out.
const BYTES_PER_LINE: usize = 512;
/// Sessions and streams that lines are kept of; the one that has been quiet the longest is forgotten for a new one. With
/// this and the above, everything is at most 12 MB plus a kilobyte for each configured line.
const KEYS: usize = 192;

/// Who wrote a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The server itself.
    Server,
    /// GStreamer, by its own debug log.
    GStreamer,
}

/// A kept line.
#[derive(Debug, Clone)]
pub struct Line {
    /// Counts all lines, so that rings can be merged in order.
    number: u64,
    /// When.
    pub at: SystemTime,
    /// How severe.
    pub level: Level,
    /// Who wrote it.
    pub source: Source,
    /// The session it is about, by short id.
    pub session: Option<Box<str>>,
    /// The device it is about.
    pub device: Option<Box<str>>,
    /// The stream it is about: "color".
    pub stream: Option<Box<str>>,
    /// Message and fields, on one line.
    pub text: Box<str>,
}

impl Line {
    /// A line of this moment. Control characters are escaped, so that it stays one line; a long text is cut.
    pub fn new(level: Level, source: Source, text: &str) -> Self {
        let mut kept = String::with_capacity(text.len().min(LINE_BYTES));
        for c in text.chars() {
            if kept.len() >= LINE_BYTES {
                kept.push('…');
                break;
            }
            match c {
                '\t' => kept.push(' '),
                c if c.is_control() => kept.extend(c.escape_default()),
                c => kept.push(c),
            }
        }
        let at = SystemTime::now();
        Self { number: 0, at, level, source, session: None, device: None, stream: None, text: kept.into() }
    }

    /// What it costs in memory, nearly.
    fn bytes(&self) -> usize {
        let length = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        size_of::<Self>() + self.text.len() + length(&self.session) + length(&self.device) + length(&self.stream)
    }

    /// Appends it as text, with its end of line.
    pub fn write(&self, out: &mut String) {
        // Writing to a String does not fail.
        let _ = writeln!(out, "{} {:>5} {}", time::rfc3339(self.at), self.level.as_str(), self.text);
    }
}

/// Which lines are wanted.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Sessions whose short id begins so.
    pub session: Option<String>,
    /// This device.
    pub device: Option<String>,
    /// This stream of it, or of any.
    pub stream: Option<String>,
    /// At least so severe.
    pub level: Option<Level>,
    /// Written by this one.
    pub source: Option<Source>,
    /// At most so many, the newest.
    pub lines: usize,
}

impl Query {
    fn fits(&self, line: &Line) -> bool {
        let same = |wanted: &Option<String>, is: &Option<Box<str>>| {
            wanted.as_deref().is_none_or(|wanted| is.as_deref() == Some(wanted))
        };
        let session = |wanted: &String| line.session.as_deref().is_some_and(|id| id.starts_with(wanted.as_str()));
        self.session.as_ref().is_none_or(session)
            && same(&self.device, &line.device)
            && same(&self.stream, &line.stream)
            && self.level.is_none_or(|least| line.level <= least)
            && self.source.is_none_or(|source| line.source == source)
    }

    /// Whether a ring of one session or stream may hold lines that fit.
    fn takes_from(&self, key: &Key) -> bool {
        match key {
            Key::Session(id) => self.session.as_ref().is_some_and(|wanted| id.starts_with(wanted.as_str())),
            Key::Stream(device, stream) => {
                self.session.is_none()
                    && (self.device.is_some() || self.stream.is_some())
                    && self.device.as_deref().is_none_or(|wanted| wanted == &**device)
                    && self.stream.as_deref().is_none_or(|wanted| wanted == &**stream)
            }
        }
    }
}

/// A ring of lines, bounded by number and bytes.
#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<Arc<Line>>,
    bytes: usize,
}

impl Ring {
    fn push(&mut self, line: Arc<Line>, most_lines: usize, most_bytes: usize) {
        self.bytes += line.bytes();
        self.lines.push_back(line);
        while self.lines.len() > most_lines || self.bytes > most_bytes {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.bytes();
        }
    }
}

/// The two rings of one subject: a flood of GStreamer's must not push out what the server said.
#[derive(Debug, Default)]
struct Kept {
    server: Ring,
    gstreamer: Ring,
    /// Number of the last line.
    last: u64,
}

impl Kept {
    fn push(&mut self, line: &Arc<Line>, most_lines: usize, most_bytes: usize) {
        let ring = match line.source {
            Source::Server => &mut self.server,
            Source::GStreamer => &mut self.gstreamer,
        };
        self.last = line.number;
        ring.push(line.clone(), most_lines, most_bytes);
    }

    fn lines(&self) -> impl Iterator<Item = &Arc<Line>> {
        self.server.lines.iter().chain(&self.gstreamer.lines)
    }
}

/// Whose lines a ring keeps.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Session(Box<str>),
    Stream(Box<str>, Box<str>),
}

#[derive(Debug, Default)]
struct State {
    number: u64,
    all: Kept,
    severe: Kept,
    keyed: BTreeMap<Key, Kept>,
}

/// Every ring.
#[derive(Debug)]
pub struct Rings {
    lines: usize,
    state: Mutex<State>,
}

impl Rings {
    /// Rings that keep so many lines of the server's own, and as many of GStreamer's, beside those of sessions and streams.
    pub fn new(lines: usize) -> Self {
        Self { lines: lines.min(MOST_KEPT_LINES), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Keeps a line.
    pub fn push(&self, mut line: Line) {
        let stream = line.device.clone().zip(line.stream.clone()).map(|(device, stream)| Key::Stream(device, stream));
        let keys = [line.session.clone().map(Key::Session), stream];
        let state = &mut *self.state();
        state.number += 1;
        line.number = state.number;
        let line = Arc::new(line);
        state.all.push(&line, self.lines, self.lines * BYTES_PER_LINE);
        // Who wants no lines kept wants none.
        if line.level <= Level::WARN && self.lines > 0 {
            state.severe.push(&line, SEVERE_LINES, SEVERE_BYTES);
        }
        for key in keys.into_iter().flatten() {
            if !state.keyed.contains_key(&key) && state.keyed.len() >= KEYS {
                let quietest = state.keyed.iter().min_by_key(|(_, kept)| kept.last).map(|(key, _)| key.clone());
                quietest.and_then(|key| state.keyed.remove(&key));
            }
            state.keyed.entry(key).or_default().push(&line, KEY_LINES, KEY_BYTES);
        }
    }

    /// The newest lines that fit, oldest first.
    pub fn select(&self, query: &Query) -> Vec<Arc<Line>> {
        let mut found = BTreeMap::new();
        {
            let state = self.state();
            let keyed = state.keyed.iter().filter(|(key, _)| query.takes_from(key)).map(|(_, kept)| kept);
            for line in [&state.all, &state.severe].into_iter().chain(keyed).flat_map(Kept::lines) {
                if query.fits(line) {
                    found.insert(line.number, line.clone());
                }
            }
        }
        let surplus = found.len().saturating_sub(query.lines);
        found.into_values().skip(surplus).collect()
    }

    /// The sessions, and the streams as `DEVICE/STREAM`, that have rings of their own.
    pub fn kept(&self) -> (Vec<String>, Vec<String>) {
        let (mut sessions, mut streams) = (Vec::new(), Vec::new());
        for key in self.state().keyed.keys() {
            match key {
                Key::Session(id) => sessions.push(id.to_string()),
                Key::Stream(device, stream) => streams.push(format!("{device}/{stream}")),
            }
        }
        (sessions, streams)
    }

    /// Bytes kept, counting a line once for each ring it is in, and the most that there can be.
    #[cfg(test)]
    fn bytes(&self) -> (usize, usize) {
        let state = self.state();
        let bytes = |kept: &Kept| kept.server.bytes + kept.gstreamer.bytes;
        let most = 2 * (self.lines * BYTES_PER_LINE + SEVERE_BYTES + KEYS * KEY_BYTES);
        (bytes(&state.all) + bytes(&state.severe) + state.keyed.values().map(bytes).sum::<usize>(), most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, source: Source, session: Option<&str>, stream: Option<(&str, &str)>) -> Line {
        let mut line = Line::new(Level::INFO, source, text);
        line.session = session.map(Into::into);
        (line.device, line.stream) = stream.map(|(device, stream)| (device.into(), stream.into())).unzip();
        line
    }

    fn texts(rings: &Rings, query: Query) -> Vec<String> {
        rings.select(&Query { lines: 10_000, ..query }).iter().map(|line| line.text.to_string()).collect()
    }

    #[test]
    fn a_line_is_found_by_what_it_is_about() {
        let rings = Rings::new(10);
        rings.push(line("one", Source::Server, Some("5f0c1f3a"), None));
        rings.push(line("two", Source::GStreamer, None, Some(("1", "color"))));
        rings.push(line("three", Source::Server, Some("5fffffff"), Some(("1", "depth"))));
        rings.push(line("four", Source::Server, None, Some(("2", "color"))));
        let ask = |change: &dyn Fn(&mut Query)| {
            let mut query = Query::default();
            change(&mut query);
            texts(&rings, query).join(" ")
        };
        assert_eq!(ask(&|_| ()), "one two three four");
        assert_eq!(ask(&|query| query.session = Some("5f0c".into())), "one");
        assert_eq!(ask(&|query| query.session = Some("5f".into())), "one three");
        assert_eq!(ask(&|query| query.device = Some("1".into())), "two three");
        assert_eq!(ask(&|query| query.stream = Some("color".into())), "two four");
        assert_eq!(ask(&|query| query.source = Some(Source::GStreamer)), "two");
        assert_eq!(ask(&|query| query.level = Some(Level::WARN)), "");
        assert_eq!(rings.kept().0, ["5f0c1f3a", "5fffffff"]);
        assert_eq!(rings.kept().1, ["1/color", "1/depth", "2/color"]);
        assert_eq!(rings.select(&Query { lines: 2, ..Query::default() })[0].text.as_ref(), "three");
    }

    #[test]
    fn what_others_say_does_not_push_out_a_quiet_stream() {
        let rings = Rings::new(10);
        rings.push(line("quiet", Source::Server, None, Some(("1", "color"))));
        for count in 0..100 {
            rings.push(line(&count.to_string(), Source::Server, Some("loud"), None));
            rings.push(line("flood", Source::GStreamer, None, Some(("1", "color"))));
        }
        let query = Query { device: Some("1".into()), source: Some(Source::Server), ..Query::default() };
        assert_eq!(texts(&rings, query), ["quiet"]);
        let all = texts(&rings, Query { source: Some(Source::Server), ..Query::default() });
        assert_eq!(all, (90..100).map(|count: u32| count.to_string()).collect::<Vec<_>>());
        rings.push(Line::new(Level::ERROR, Source::Server, "severe"));
        (0..100).for_each(|_| rings.push(Line::new(Level::TRACE, Source::Server, "detail")));
        assert!(texts(&rings, Query::default()).contains(&"severe".to_owned()));
    }

    #[test]
    fn a_line_is_one_line_and_not_longer_than_allowed() {
        let line = Line::new(Level::INFO, Source::Server, &format!("a\r\n\u{1b}[31mb\t{}", "ö".repeat(5000)));
        assert!(line.text.starts_with("a\\r\\n\\u{1b}[31mb ö"), "{}", line.text);
        assert!(line.text.len() < LINE_BYTES + 8 && line.text.ends_with("ö…"));
        let mut text = String::new();
        line.write(&mut text);
        assert_eq!(text.matches('\n').count(), 1);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, cases: 16, ..Default::default() })]

        /// Whatever is logged, memory, lines and rings stay within their bounds, and the newest lines are there, in order.
        #[test]
        fn rings_are_bounded(
            keep in 0..50usize,
            lines in proptest::collection::vec((0..400u32, 0..300u32, 0..3000usize, proptest::bool::ANY), 1..2000)
        ) {
            let rings = Rings::new(keep);
            let mut written = Vec::new();
            for (count, (session, stream, length, from_gstreamer)) in lines.iter().enumerate() {
                let text = format!("{count} {}", "x".repeat(*length));
                let source = if *from_gstreamer { Source::GStreamer } else { Source::Server };
                let (session, stream) = (format!("s{session}"), format!("t{stream}"));
                rings.push(line(&text, source, Some(&session), Some(("d", &stream))));
                written.push((session, source));
            }
            let (bytes, most) = rings.bytes();
            proptest::prop_assert!(bytes <= most, "{} of {}", bytes, most);
            let state = rings.state();
            proptest::prop_assert!(state.keyed.len() <= KEYS);
            proptest::prop_assert!(state.all.server.lines.len() <= keep && state.all.gstreamer.lines.len() <= keep);
            for kept in state.keyed.values() {
                proptest::prop_assert!(kept.server.lines.len() <= KEY_LINES && kept.gstreamer.lines.len() <= KEY_LINES);
            }
            drop(state);
            let (last_session, last_source) = written.last().expect("at least one line");
            let query = Query { session: Some(last_session.clone()), source: Some(*last_source), lines: 10_000, ..Query::default() };
            let numbers: Vec<u64> = rings.select(&query).iter().map(|line| line.number).collect();
            proptest::prop_assert!(numbers.is_sorted());
            proptest::prop_assert_eq!(numbers.last(), Some(&(written.len() as u64)));
        }
    }
}
