//! GStreamer's log thresholds as text. Owns the syntax, which is that of `GST_DEBUG`; changes nothing.

use std::fmt;

/// Longest text that is read.
const LONGEST: usize = 2000;

/// GStreamer's levels by number; 8 has no name.
const GST_LEVELS: [&str; 10] = ["none", "error", "warning", "fixme", "info", "debug", "log", "trace", "8", "memdump"];

/// GStreamer's thresholds: `CATEGORY:LEVEL`, comma separated, as in `GST_DEBUG`. Later ones win over earlier ones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GstThresholds {
    /// Of categories that no pattern matches.
    pub default: u8,
    /// By a glob of the category's name.
    pub patterns: Vec<(String, u8)>,
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

    /// Reads what can be read, as GStreamer does.
    pub fn parse_lossy(text: &str) -> Self {
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
    pub fn and(mut self, later: &Self) -> Self {
        // A default counts where no pattern matches; the later one must win over the earlier patterns, too.
        if later.default > 0 {
            self.patterns.push(("*".to_owned(), later.default));
        }
        self.patterns.extend(later.patterns.iter().cloned());
        self
    }

    /// The lowest level, by number, that any category may reach.
    pub fn most(&self) -> u8 {
        self.patterns.iter().map(|(_, level)| *level).fold(self.default, u8::max)
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
    fn thresholds_are_read_as_gstreamer_reads_them() {
        for (text, shown, most) in [
            ("", "0", 0),
            ("2", "2", 2),
            ("*:1", "*:1", 1),
            ("*:2, x264enc:5", "*:2,x264enc:5", 5),
            ("GST_*:LOG,webrtc*:warn", "GST_*:6,webrtc*:2", 6),
            ("3,a:MEMDUMP", "3,a:9", 9),
            ("*:fixme,", "*:3", 3),
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
}
