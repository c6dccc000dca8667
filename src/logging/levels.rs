//! What a log filter may look like. Owns its syntax; changes nothing.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{EnvFilter, filter::Directive};

use crate::core::text::{log_thresholds::GstThresholds, nearest::nearest};

/// The target of GStreamer's messages.
pub(super) const TARGET: &str = "gstreamer";

/// Longest text that is read as a filter.
const LONGEST: usize = 2000;

/// The levels of a filter.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

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
        let near = nearest(level_like, LEVELS.iter().copied());
        let hint = near.map_or(String::new(), |level| format!(" Did you mean '{level}'?"));
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
    let gstreamer = format!("{TARGET}={}", level_filter(gst.most()));
    let gstreamer = gstreamer.parse::<Directive>().map_err(|error| format!("{gstreamer}: {error}."))?;
    Ok(parse_filter(text)?.add_directive(gstreamer))
}

/// A level of GStreamer's, by number, as `tracing` has it.
fn level_filter(level: u8) -> LevelFilter {
    match level {
        0 => LevelFilter::OFF,
        1 => LevelFilter::ERROR,
        2 => LevelFilter::WARN,
        3 | 4 => LevelFilter::INFO,
        5 | 6 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
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
    fn the_filter_lets_gstreamer_through_as_far_as_its_thresholds_go() {
        let text = |gst: &str| filter("info", &GstThresholds::parse(gst).expect(gst)).expect("a filter").to_string();
        assert!(text("*:2,x264enc:5").contains("gstreamer=debug"));
        assert!(text("*:1").contains("gstreamer=error"));
        // A word of its own in the filter does not stand against them.
        let both = filter("info,gstreamer=off", &GstThresholds::parse("*:6").expect("thresholds")).expect("a filter");
        assert!(both.to_string().contains("gstreamer=debug"), "{both}");
    }
}
