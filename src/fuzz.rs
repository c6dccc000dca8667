//! What fuzzing calls: one function for each kind of text that comes from outside. Each calls the code that the server calls and
//! asserts what must hold of any input. It is compiled for `cargo fuzz` (`tests/fuzz`) and for the tests, which replay the kept
//! inputs; the program never holds it. `scripts/fuzz.sh` runs it.

use std::net::IpAddr;

use crate::{
    config::{ENV_PREFIX, Loaded},
    core::peer::candidate::{self, Candidate, Line},
    error::Kind,
    http,
};

pub use crate::{
    http::fuzz::{body, socket},
    media::gst::{fuzz_answer as answer, fuzz_pipeline as pipeline},
    relay::fuzz::relay,
};

/// A candidate's line. What is taken is written in one form that says the same when it is read again, fits into one line of SDP,
/// and is tried only where it names an address.
pub fn candidate(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let read = Line::parse(&text);
    let passed_on = candidate::parse(&text);
    let candidate = match read {
        Err(error) => {
            assert_eq!(error.kind(), Kind::Invalid);
            assert!(error.public().contains("cannot be used") && error.public().len() < 400, "{error}");
            assert!(passed_on.is_err(), "{text:?} is refused and passed on");
            return;
        }
        Ok(Line::End) => return assert_eq!(passed_on.ok(), Some(Some(String::new()))),
        Ok(Line::Ignored(_)) => return assert_eq!(passed_on.ok(), Some(None)),
        Ok(Line::Candidate(candidate)) => candidate,
    };
    let passed_on = passed_on.ok().flatten().expect("what is a candidate is passed on");
    let printed = candidate.to_string();
    for line in [&printed, &passed_on] {
        assert!(!line.chars().any(char::is_control) && line.len() <= 1100, "{line:?} is no line of SDP");
        assert_eq!(Line::parse(line).ok(), Some(Line::Candidate(candidate.clone())), "{line:?} says something else");
    }
    let fields: Vec<_> = printed.split(' ').collect();
    assert!(matches!(fields.len(), 8 | 10), "{printed:?} has other fields than it should");
    let address = fields[4].parse::<IpAddr>();
    assert!(address.is_ok() || !candidate.is_usable(true), "{printed:?} would make the server look up a name");
    assert!(candidate.is_usable(true) || !candidate.is_usable(false));
    for elsewhere in ["192.168.1.10", "fd00::9"] {
        let elsewhere: IpAddr = elsewhere.parse().expect("an address");
        let announced = Candidate::announced_at(printed.clone(), elsewhere);
        let Ok(Line::Candidate(_)) = Line::parse(&announced) else { panic!("{announced:?} is no candidate") };
        let place = announced.split(' ').nth(4).and_then(|address| address.parse().ok());
        assert!(announced == printed || place == Some(elsewhere), "{printed:?} is announced as {announced:?}");
    }
}

/// A configuration: the file's text, then variables of the environment (`SECTION__KEY=VALUE`), each behind a byte 0. What loads
/// holds, is the same when it is written and loaded again, and the HTTP side can be built from it; else words tell what is
/// wrong.
pub fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.split('\0');
    let file = parts.next().unwrap_or_default();
    let variables: Vec<_> = parts
        .filter_map(|part| part.split_once('='))
        .map(|(name, value)| (format!("{ENV_PREFIX}{name}"), value.to_owned()))
        .collect();
    let read = |name, text, variables| {
        Loaded::from_text(Some((name, text)), variables, Vec::new()).map(|loaded| loaded.config)
    };
    match read("fuzz.toml", file, variables.clone()) {
        Ok(config) => {
            assert_eq!(config.validate(), Ok(()));
            let written = toml::to_string(&config).expect("what was read can be written");
            let again = read("written.toml", &written, Vec::new());
            assert_eq!(again.as_ref(), Ok(&config), "{written}");
            http::fuzz::serves(&config);
        }
        Err(words) => {
            let places = ["In fuzz.toml", "In the environment, ", "In the configuration"];
            assert!(places.iter().any(|place| words.starts_with(place)), "no place is named: {words}");
            assert!(words.len() > 40, "the words are too few: {words}");
            let named = variables.iter().any(|(name, _)| words.contains(name.as_str()));
            assert!(named || !words.starts_with(places[1]), "the variable is not named: {words}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Most inputs kept for a function, and most bytes of one: a replay takes seconds, and the repository stays small.
    const MOST_KEPT: usize = 150;
    const MOST_BYTES: u64 = 8192;

    /// Gives the function every input that is kept for it.
    fn replay(name: &str, target: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
        let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
        assert!((10..=MOST_KEPT).contains(&files.len()), "{} inputs in {}", files.len(), folder.display());
        for file in files {
            let input = std::fs::read(&file).expect("it can be read");
            assert!(input.len() as u64 <= MOST_BYTES, "{} is too large to be kept", file.display());
            let run = std::panic::catch_unwind(|| target(&input));
            assert!(run.is_ok(), "the function fails with {}", file.display());
        }
    }

    #[test]
    fn kept_answers_hold() {
        replay("answer", super::answer);
    }

    #[test]
    fn kept_bodies_hold() {
        replay("body", super::body);
    }

    #[test]
    fn kept_candidates_hold() {
        replay("candidate", super::candidate);
    }

    #[test]
    fn kept_configurations_hold() {
        replay("config", super::config);
    }

    #[test]
    fn kept_pipelines_hold() {
        replay("pipeline", super::pipeline);
    }

    #[test]
    fn kept_packets_of_relays_hold() {
        replay("relay", super::relay);
    }

    #[test]
    fn kept_packets_of_socket_io_hold() {
        replay("socket", super::socket);
    }
}
