//! What a log filter and GStreamer's thresholds may look like. Owns the two syntaxes; changes nothing.

use std::fmt;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{EnvFilter, filter::Directive};

use super::gst::TARGET;

/// Longest text that is read as a filter or as thresholds.
const LONGEST: usize = 2000;

/// The levels of a filter.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// GStreamer's levels by number; 8 has no name.
const GST_LEVELS: [&str; 10] = ["none", "error", "warning", "fixme", "info", "debug", "log", "trace", "8", "memdump"];

/// Reads a `tracing` filter.
///
/// # Errors
/// A sentence that names the word that is wrong.
pub fn parse_filter(text: &str) -> Result<EnvFilter, String> {
    if text.len() > LONGEST {
        return Err(format!("a filter may have {LONGEST} characters."));
    }
    if text.trim().is_empty() {
        return Err("the filter is empty; write a level, one of off, error, warn, info, debug, trace.".into());
    }
    let words: Vec<_> = text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    for word in &words {
        check_directive(word)?;
    }
    EnvFilter::try_new(words.join(",")).map_err(|error| format!("'{text}' is not a filter: {error}."))
}

fn check_directive(word: &str) -> Result<(), String> {
    let told = format!("a directive is a level ({}) or TARGET=LEVEL", LEVELS.join(", "));
    let level_like = word.rsplit_once('=').map_or(word, |(_, level)| level).trim();
    let is_level = LEVELS.iter().any(|level| level.eq_ignore_ascii_case(level_like))
        || level_like.parse::<u8>().is_ok_and(|level| level <= 5);
    // A word alone is a target at TRACE to `tracing`. Nobody means that by "inof", and it would silence all else.
    let bare_target = !word.contains('=') && (word.contains("::") || word.contains('[') || word == "realsense_webrtc");
    let spaced = word.contains(char::is_whitespace) && !word.contains('[');
    if spaced || !is_level && !bare_target {
        let nearest = LEVELS.iter().min_by_key(|level| strsim::levenshtein(level, &level_like.to_ascii_lowercase()));
        let hint = nearest
            .filter(|level| strsim::levenshtein(level, &level_like.to_ascii_lowercase()) <= 2)
            .map_or(String::new(), |level| format!(" Did you mean '{level}'?"));
        return Err(format!("'{word}' is not a log level or filter: {told}.{hint}"));
    }
    word.parse::<Directive>().map(drop).map_err(|error| format!("'{word}' is not a filter ({error}): {told}."))
}

/// The filter of the whole program. GStreamer's messages have passed thresholds of their own when they arrive, so they are
/// let through whatever the rest of the filter says; no further than those go, because a filter that lets TRACE through
/// anywhere makes every event of the program cost more.
///
/// # Errors
/// As [`parse_filter`].
pub(super) fn filter(text: &str, gst: &GstThresholds) -> Result<EnvFilter, String> {
    let gstreamer = format!("{TARGET}={}", gst.most());
    let gstreamer = gstreamer.parse::<Directive>().map_err(|error| format!("{gstreamer}: {error}."))?;
    Ok(parse_filter(text)?.add_directive(gstreamer))
}

/// GStreamer's thresholds: `CATEGORY:LEVEL`, comma separated, as in `GST_DEBUG`. Later ones win over earlier ones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GstThresholds {
    /// Of categories that no pattern matches.
    pub(super) default: u8,
    /// By a glob of the category's name.
    pub(super) patterns: Vec<(String, u8)>,
}

impl GstThresholds {
    /// Reads them.
    ///
    /// # Errors
    /// A sentence that names the word that is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("thresholds may have {LONGEST} characters."));
        }
        let mut thresholds = Self::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            thresholds.add(word)?;
        }
        Ok(thresholds)
    }

    /// Reads what can be read.
    pub(super) fn parse_lossy(text: &str) -> Self {
        let mut thresholds = Self::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            // GStreamer skips it, too.
            let _ = thresholds.add(word);
        }
        thresholds
    }

    fn add(&mut self, word: &str) -> Result<(), String> {
        let Some((category, level)) = word.split_once(':') else {
            self.default = parse_level(word, word)?;
            return Ok(());
        };
        let (category, level) = (category.trim(), parse_level(level.trim(), word)?);
        let fits = |c: char| c.is_ascii_graphic() && !"\"'\\:,;=".contains(c);
        if category.is_empty() || !category.chars().all(fits) {
            return Err(format!("'{word}' names no category: {}.", told()));
        }
        self.patterns.push((category.to_owned(), level));
        Ok(())
    }

    /// These, and then those.
    pub(super) fn and(mut self, later: &Self) -> Self {
        // A default counts where no pattern matches; the later one must win over the earlier patterns, too.
        if later.default > 0 {
            self.patterns.push(("*".to_owned(), later.default));
        }
        self.patterns.extend(later.patterns.iter().cloned());
        self
    }

    /// The lowest level that any category may reach, as `tracing` has it.
    pub(super) fn most(&self) -> LevelFilter {
        let most = self.patterns.iter().map(|(_, level)| *level).fold(self.default, u8::max);
        match most {
            0 => LevelFilter::OFF,
            1 => LevelFilter::ERROR,
            2 => LevelFilter::WARN,
            3 | 4 => LevelFilter::INFO,
            5 | 6 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        }
    }
}

impl fmt::Display for GstThresholds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = (self.default > 0 || self.patterns.is_empty()).then(|| self.default.to_string());
        let patterns = self.patterns.iter().map(|(category, level)| format!("{category}:{level}"));
        f.write_str(&default.into_iter().chain(patterns).collect::<Vec<_>>().join(","))
    }
}

fn told() -> String {
    "thresholds are CATEGORY:LEVEL, comma separated, for example *:2,x264enc:5".to_owned()
}

fn parse_level(level: &str, word: &str) -> Result<u8, String> {
    let named = GST_LEVELS.iter().position(|name| name.eq_ignore_ascii_case(level));
    let named = named.or_else(|| level.eq_ignore_ascii_case("warn").then_some(2));
    let number = named.or_else(|| level.parse::<usize>().ok().filter(|number| *number < GST_LEVELS.len()));
    number.and_then(|number| u8::try_from(number).ok()).ok_or_else(|| {
        let names = [&GST_LEVELS[..8], &GST_LEVELS[9..]].concat().join(", ");
        format!("'{word}' has no level that GStreamer knows: {}; LEVEL is 0 to 9 or one of {names}.", told())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_and_what_is_none_is_named() {
        for good in [
            "info",
            "INFO",
            "off",
            "3",
            "warn,realsense_webrtc::media=debug",
            "realsense_webrtc::media",
            "realsense_webrtc",
            "hyper=off, debug",
            "info,[session]=trace",
        ] {
            assert!(parse_filter(good).is_ok(), "{good}: {:?}", parse_filter(good).err());
        }
        for (bad, word, hint) in [
            ("inof", "'inof'", "Did you mean 'info'?"),
            ("info,verbose", "'verbose'", "TARGET=LEVEL"),
            ("info,hyper=debgu", "'hyper=debgu'", "Did you mean 'debug'?"),
            ("info,hyper=", "'hyper='", "TARGET=LEVEL"),
            ("a b=debug", "'a b=debug'", "TARGET=LEVEL"),
            ("", "empty", "info"),
            (" ", "empty", "info"),
            ("7", "'7'", "TARGET=LEVEL"),
        ] {
            let error = parse_filter(bad).expect_err(bad);
            assert!(error.contains(word) && error.contains(hint), "{bad}: {error}");
        }
        assert!(parse_filter(&"info,".repeat(1000)).is_err());
    }

    #[test]
    fn thresholds_are_read_as_gstreamer_reads_them() {
        for (text, shown, most) in [
            ("", "0", LevelFilter::OFF),
            ("2", "2", LevelFilter::WARN),
            ("*:1", "*:1", LevelFilter::ERROR),
            ("*:2, x264enc:5", "*:2,x264enc:5", LevelFilter::DEBUG),
            ("GST_*:LOG,webrtc*:warn", "GST_*:6,webrtc*:2", LevelFilter::DEBUG),
            ("3,a:MEMDUMP", "3,a:9", LevelFilter::TRACE),
            ("*:fixme,", "*:3", LevelFilter::INFO),
        ] {
            let thresholds = GstThresholds::parse(text).expect(text);
            assert_eq!((thresholds.to_string().as_str(), thresholds.most()), (shown, most), "{text}");
            assert_eq!(GstThresholds::parse(shown), Ok(thresholds), "{text}");
        }
        for (bad, word) in [
            ("x264enc", "'x264enc'"),
            ("*:2,x264enc:verbose", "'x264enc:verbose'"),
            ("*:10", "'*:10'"),
            ("*:-1", "'*:-1'"),
            (":5", "':5'"),
            ("a b:5", "'a b:5'"),
            ("*:", "'*:'"),
            ("x:5:6", "'x:5:6'"),
        ] {
            let error = GstThresholds::parse(bad).expect_err(bad);
            assert!(error.contains(word) && error.contains("x264enc:5"), "{bad}: {error}");
        }
        let lossy = GstThresholds::parse_lossy("*:2,nonsense,x264enc:5");
        assert_eq!(lossy.to_string(), "*:2,x264enc:5");
    }

    #[test]
    fn what_the_environment_says_comes_last() {
        let configured = GstThresholds::parse("*:1").expect("thresholds");
        let with = |later: &str| configured.clone().and(&GstThresholds::parse_lossy(later)).to_string();
        assert_eq!(with("x264enc:5"), "*:1,x264enc:5");
        assert_eq!(with("x264enc:5,3"), "*:1,*:3,x264enc:5");
        assert_eq!(with(""), "*:1");
    }

    #[test]
    fn the_filter_lets_gstreamer_through_as_far_as_its_thresholds_go() {
        let text = |gst: &str| filter("info", &GstThresholds::parse(gst).expect(gst)).expect("a filter").to_string();
        assert!(text("*:2,x264enc:5").contains("gstreamer=debug"));
        assert!(text("*:1").contains("gstreamer=error"));
        // A word of its own in the filter does not stand against them.
        let both = filter("info,gstreamer=off", &GstThresholds::parse("*:6").expect("thresholds")).expect("a filter");
        assert!(both.to_string().contains("gstreamer=debug"), "{both}");
    }
}
