//! "Did you mean …?": the known name that is most like the one that somebody wrote.

/// How alike two names must be, from 0 to 1, before one is offered for the other.
const ALIKE: f64 = 0.72;

/// The name that is most like this one, if any is much like it.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.into_iter().map(|known| (likeness(name, known), known));
    scored.filter(|(score, _)| *score >= ALIKE).max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, known)| known)
}

/// From 0, nothing in common, to 1. A slip of the finger counts the same anywhere in the name; a shared beginning counts a
/// little more, for what is forgotten is mostly the end.
fn likeness(a: &str, b: &str) -> f64 {
    let (a, b) = (a.to_lowercase().replace('_', "-"), b.to_lowercase().replace('_', "-"));
    strsim::normalized_damerau_levenshtein(&a, &b).max(strsim::jaro_winkler(&a, &b) - 0.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_found_and_what_is_unlike_is_not() {
        let names = [
            "x264enc",
            "x265enc",
            "openh264enc",
            "vp8enc",
            "videoconvert",
            "videoscale",
            "laser_power",
            "emitter_enabled",
        ];
        for (wrong, right) in [
            ("x264encc", Some("x264enc")),
            ("x246enc", Some("x264enc")),
            ("openh264encoder", Some("openh264enc")),
            ("videoconver", Some("videoconvert")),
            ("Lazer_Power", Some("laser_power")),
            ("qqq", None),
            ("", None),
        ] {
            assert_eq!(nearest(wrong, names), right, "{wrong}");
        }
        assert_eq!(nearest("gain", []), None);
    }
}
