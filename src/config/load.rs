//! Reads the configuration: file, then environment, then command line; refuses what it does not know.

use std::{net::IpAddr, path::Path};

use toml::{Table, Value};

use super::{Config, MOST_KEPT_LINES, SIM_CAMERAS, SimCameras};
use crate::core::text::{log_thresholds::GstThresholds, nearest::nearest};

/// Environment variables with this prefix override keys: `REALSENSE_WEBRTC__SESSIONS__LIMIT=20` sets `sessions.limit`.
pub const ENV_PREFIX: &str = "REALSENSE_WEBRTC__";

/// Longest time that a key may hold, in seconds: a year. Far more than anyone means, and clocks can still add it.
const LONGEST_S: u64 = 31_536_000;

/// Most megabytes that a key may hold.
const MOST_MB: u64 = 1_000_000_000;

impl Config {
    /// Reads `file` (defaults when `None`) and applies overrides: `(key path, value)` pairs from the environment first,
    /// from the command line last.
    ///
    /// # Errors
    /// A message for a person: the file cannot be read, a key is unknown (the nearest known one is named), a value does
    /// not fit.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        command_line: Vec<(&'static str, Value)>,
    ) -> Result<Self, String> {
        let read = |path: &Path| {
            std::fs::read_to_string(path)
                .map_err(|error| format!("Cannot read the configuration {}: {error}.", path.display()))
        };
        let text = file.map(read).transpose()?;
        let file = file.map(|path| path.display().to_string());
        Self::from_text(file.as_deref().zip(text.as_deref()), environment, command_line)
    }

    /// The same with the file's name and text.
    ///
    /// # Errors
    /// As `load`.
    pub(crate) fn from_text(
        file: Option<(&str, &str)>,
        environment: impl IntoIterator<Item = (String, String)>,
        command_line: Vec<(&'static str, Value)>,
    ) -> Result<Self, String> {
        // Everything starts from the defaults, so that a section may hold only what is changed.
        let mut table = Table::try_from(Self::default()).map_err(|error| format!("The defaults: {error}"))?;
        if let Some((name, text)) = file {
            // Read once into the types, because only then an error can point at its line.
            toml::from_str::<Config>(text).map_err(|error| with_hint(&format!("In {name}: {error}")))?;
            merge(&mut table, text.parse().map_err(|error| format!("In {name}: {error}"))?);
        }
        let mut variables = Vec::new();
        for (name, value) in environment {
            let Some(path) = name.strip_prefix(ENV_PREFIX) else { continue };
            let path = path.to_ascii_lowercase().replace("__", ".");
            // Read into the types one by one, because only then an error can name its variable.
            parse_value(&value, get(&table, &path))
                .and_then(|value| set(&mut table, &path, value))
                .and_then(|()| table.clone().try_into::<Self>().map_err(|error| error.to_string()))
                .map_err(|error| with_hint(&format!("In the environment, {name}: {error}")))?;
            variables.push((name, path));
        }
        for (path, value) in command_line {
            set(&mut table, path, value)?;
        }
        let config: Self = table.try_into().map_err(|error| with_hint(&format!("In the configuration: {error}")))?;
        config.validate().map_err(|error| {
            let names: Vec<_> =
                variables.iter().filter(|(_, path)| error.contains(path)).map(|(name, _)| name.as_str()).collect();
            if names.is_empty() { error } else { format!("{error} The environment sets {}.", names.join(", ")) }
        })?;
        Ok(config)
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// A message that names the key and what it may be.
    pub fn validate(&self) -> Result<(), String> {
        let check =
            |ok: bool, message: &str| if ok { Ok(()) } else { Err(format!("In the configuration: {message}.")) };
        // What a header can carry: printable ASCII.
        let policy = self.server.content_security_policy.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        check(
            policy,
            "server.content_security_policy must be one line of plain ASCII, like default-src 'self'; frame-ancestors 'self'",
        )?;
        check((1..=10_000).contains(&self.sessions.limit), "sessions.limit must be from 1 to 10000")?;
        for (name, seconds, least) in [
            ("sessions.answer_timeout_s", self.sessions.answer_timeout_s, 1),
            ("sessions.connect_timeout_s", self.sessions.connect_timeout_s, 1),
            ("sessions.idle_timeout_s", self.sessions.idle_timeout_s, 1),
            ("sessions.max_lifetime_s", self.sessions.max_lifetime_s, 0),
            ("camera.start_timeout_s", self.camera.start_timeout_s, 1),
            ("camera.stall_timeout_s", self.camera.stall_timeout_s, 1),
            ("recording.max_seconds", self.recording.max_seconds, 0),
        ] {
            let good = (least..=LONGEST_S).contains(&seconds);
            check(good, &format!("{name} must be from {least} to {LONGEST_S} (a year)"))?;
        }
        check((2..=60).contains(&self.sessions.peer_silence_s), "sessions.peer_silence_s must be from 2 to 60")?;
        let simulated = matches!(self.camera.sim_cameras, SimCameras::Auto | SimCameras::Count(0..=16));
        check(simulated, SIM_CAMERAS)?;
        check((0.0..=3600.0).contains(&self.camera.linger_s), "camera.linger_s must be from 0 to 3600")?;
        for (name, stream) in
            [("color", &self.streams.color), ("depth", &self.streams.depth), ("infrared", &self.streams.infrared)]
        {
            let size = (1..=4096).contains(&stream.width) && (1..=4096).contains(&stream.height);
            check(size, &format!("streams.{name}: width and height must be from 1 to 4096"))?;
            check((1..=300).contains(&stream.framerate), &format!("streams.{name}.framerate must be from 1 to 300"))?;
            let bitrate = (50..=100_000).contains(&stream.bitrate_kbps);
            check(bitrate, &format!("streams.{name}.bitrate_kbps must be from 50 to 100000"))?;
        }
        let range = self.depth.min_m >= 0.0 && self.depth.min_m < self.depth.max_m && self.depth.max_m <= 65.535;
        check(range, "depth.min_m and depth.max_m must satisfy 0 <= min_m < max_m <= 65.535")?;
        let map = ["jet", "turbo", "viridis", "gray"].contains(&self.depth.color_map.as_str());
        check(map, "depth.color_map must be jet, turbo, viridis or gray")?;
        let ports =
            (self.webrtc.min_port == 0) == (self.webrtc.max_port == 0) && self.webrtc.min_port <= self.webrtc.max_port;
        check(ports, "webrtc.min_port and webrtc.max_port must both be 0, or min_port <= max_port")?;
        let announced = &self.webrtc.announce_address;
        let announced = announced.is_empty() || announced.parse::<IpAddr>().is_ok_and(|ip| !ip.is_unspecified());
        check(
            announced,
            "webrtc.announce_address must be empty or an IP address that peers can reach, like 192.168.1.10",
        )?;
        check(self.webrtc.gather_timeout_ms <= 10_000, "webrtc.gather_timeout_ms must be from 0 to 10000")?;
        let stun = &self.webrtc.stun_server;
        let stun = stun.is_empty() || stun.strip_prefix("stun:").is_some_and(names_host);
        check(stun, "webrtc.stun_server must be empty or look like stun:HOST:PORT")?;
        for server in &self.webrtc.turn_servers {
            let address = server.url.strip_prefix("turn:").or_else(|| server.url.strip_prefix("turns:"));
            let address = address.map(|address| address.split('?').next().unwrap_or_default());
            check(
                address.is_some_and(names_host),
                "webrtc.turn_servers.url must look like turn:HOST:PORT or turns:HOST:PORT",
            )?;
        }
        self.pipelines.validate().map_err(|error| format!("In the configuration: {error}."))?;
        check(!self.recording.dir.as_os_str().is_empty(), "recording.dir must name a folder")?;
        for (name, mb) in
            [("recording.max_mb", self.recording.max_mb), ("recording.min_free_mb", self.recording.min_free_mb)]
        {
            check(mb <= MOST_MB, &format!("{name} must be from 0 to {MOST_MB} (a petabyte)"))?;
        }
        check(["text", "json"].contains(&self.log.format.as_str()), "log.format must be text or json")?;
        GstThresholds::parse(&self.log.gst).map_err(|words| format!("In the configuration, log.gst: {words}"))?;
        let lines = self.log.keep_lines <= MOST_KEPT_LINES;
        check(lines, &format!("log.keep_lines must be from 0 to {MOST_KEPT_LINES}"))
    }
}

/// A value from the environment, by the type of what it replaces: the text itself for a text, TOML for all else. A list
/// takes a single bare value too. What does not parse stays text, and the types say what is wrong with it.
fn parse_value(text: &str, replaced: Option<&Value>) -> Result<Value, String> {
    if let Some(Value::String(_)) = replaced {
        return Ok(Value::String(text.to_owned()));
    }
    let parsed = format!("v = {text}").parse::<Table>().ok().filter(|table| table.len() == 1);
    let parsed = parsed.and_then(|mut table| table.remove("v"));
    if let Some(Value::Array(_)) = replaced {
        return match parsed {
            Some(Value::Array(list)) => Ok(Value::Array(list)),
            Some(one @ (Value::String(_) | Value::Table(_))) => Ok(Value::Array(vec![one])),
            _ if text.trim().is_empty() => Ok(Value::Array(Vec::new())),
            _ if text.trim_start().starts_with(['[', '{']) => Err(format!("'{text}' is not a list in TOML.")),
            _ => Ok(Value::Array(vec![Value::String(text.trim().to_owned())])),
        };
    }
    Ok(parsed.unwrap_or_else(|| Value::String(text.to_owned())))
}

/// Whether a STUN or TURN server's address without its scheme is `HOST` or `HOST:PORT`.
fn names_host(address: &str) -> bool {
    let is_ipv6 = |name: &str| name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).is_some();
    let (name, port) = match address.rsplit_once(':') {
        Some((name, port)) if !is_ipv6(address) => (name, Some(port)),
        _ => (address, None),
    };
    let name_fits = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || ":/?@[]".contains(c)),
    };
    name_fits && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// What a key path holds.
fn get<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    let (section, rest) = path.split_once('.').map_or((path, None), |(section, rest)| (section, Some(rest)));
    match (table.get(section)?, rest) {
        (value, None) => Some(value),
        (Value::Table(inner), Some(rest)) => get(inner, rest),
        _ => None,
    }
}

/// Lays `over` on `table`, section by section.
fn merge(table: &mut Table, over: Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(value)) => merge(inner, value),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}

fn set(table: &mut Table, path: &str, value: Value) -> Result<(), String> {
    match path.split_once('.') {
        None => {
            table.insert(path.to_owned(), value);
            Ok(())
        }
        Some((section, rest)) => {
            let entry = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            let Value::Table(inner) = entry else { return Err(format!("'{section}' is a value, not a section.")) };
            set(inner, rest, value)
        }
    }
}

/// Adds the nearest known key to serde's "unknown field" message.
fn with_hint(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    if !message.contains("unknown field") {
        return message.trim_end().to_owned();
    }
    let Some(unknown) = quoted.next() else { return message.to_owned() };
    match nearest(unknown, quoted) {
        Some(nearest) => format!("{}\nDid you mean '{nearest}'?", message.trim_end()),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none() -> Vec<(String, String)> {
        Vec::new()
    }

    fn write(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn the_shipped_file_equals_the_defaults_and_names_every_key() {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("realsense-webrtc.toml");
        assert_eq!(Config::load(Some(&shipped), none(), vec![]).unwrap(), Config::default());
        let text = std::fs::read_to_string(shipped).unwrap();
        let shipped_keys = keys(&text.parse().unwrap());
        let known = keys(&Table::try_from(Config::default()).unwrap());
        assert_eq!(shipped_keys, known);
    }

    fn keys(table: &Table) -> Vec<String> {
        let mut out = Vec::new();
        for (key, value) in table {
            match value {
                Value::Table(inner) => out.extend(keys(inner).into_iter().map(|inner| format!("{key}.{inner}"))),
                _ => out.push(key.clone()),
            }
        }
        out.sort();
        out
    }

    #[test]
    fn an_unknown_key_is_refused_and_the_nearest_named() {
        let file = write("[sessions]\nlimmit = 3\n");
        let error = Config::load(Some(file.path()), none(), vec![]).unwrap_err();
        assert!(error.contains("line 2") && error.contains("Did you mean 'limit'?"), "{error}");
    }

    #[test]
    fn environment_overrides_the_file_and_the_command_line_overrides_both() {
        let file = write("[sessions]\nlimit = 3\n[server]\nlisten = \"127.0.0.1:1\"\n");
        let environment = vec![
            ("REALSENSE_WEBRTC__SESSIONS__LIMIT".to_owned(), "4".to_owned()),
            ("REALSENSE_WEBRTC__SERVER__LISTEN".to_owned(), "127.0.0.1:2".to_owned()),
            ("UNRELATED".to_owned(), "x".to_owned()),
        ];
        let line = vec![("server.listen", Value::String("127.0.0.1:3".into()))];
        let config = Config::load(Some(file.path()), environment, line).unwrap();
        assert_eq!((config.sessions.limit, config.server.listen.port()), (4, 3));
        let wrong = vec![("REALSENSE_WEBRTC__SESION__LIMIT".to_owned(), "4".to_owned())];
        let error = Config::load(None, wrong, vec![]).unwrap_err();
        assert!(error.contains("Did you mean 'sessions'?"), "{error}");
    }

    fn with_environment(name: &str, value: &str) -> Result<Config, String> {
        Config::load(None, [(format!("{ENV_PREFIX}{name}"), value.to_owned())], vec![])
    }

    #[test]
    fn a_variable_is_read_by_the_type_of_its_key() {
        for token in ["12345", "true", "1e5", "[x]", "\"quoted\"", "2024-01-01"] {
            assert_eq!(with_environment("SERVER__TOKEN", token).unwrap().server.token, token);
        }
        for (text, origins) in [
            ("https://a.example", &["https://a.example"][..]),
            ("\"https://a.example\"", &["https://a.example"]),
            ("[\"https://a.example\", \"*\"]", &["https://a.example", "*"]),
            ("*", &["*"]),
            ("", &[]),
        ] {
            assert_eq!(with_environment("SERVER__ALLOWED_ORIGINS", text).unwrap().server.allowed_origins, origins);
        }
        let turn = r#"{ url = "turn:t.example", username = "u", credential = "c" }"#;
        assert_eq!(with_environment("WEBRTC__TURN_SERVERS", turn).unwrap().webrtc.turn_servers.len(), 1);
        assert!(!with_environment("CAMERA__MOTION", "false").unwrap().camera.motion);
        assert_eq!(with_environment("CAMERA__LINGER_S", "2").unwrap().camera.linger_s, 2.0);
    }

    #[test]
    fn a_wrong_variable_is_named() {
        for (name, value) in [
            ("SESSIONS__LIMIT", "many"),
            ("SESSIONS__LIMIT", "0"),
            ("SERVER__LISTEN", "here"),
            ("SERVER__ALLOWED_ORIGINS", "[https://a.example]"),
            ("CAMERA__MOTION", "1"),
            ("SERVER__TOKENS", "x"),
            ("SERVER__TOKEN__X", "x"),
            ("SERVER", "x"),
        ] {
            let error = with_environment(name, value).unwrap_err();
            assert!(error.contains(&format!("{ENV_PREFIX}{name}")), "{name}={value}: {error}");
        }
    }

    #[test]
    fn a_content_policy_must_fit_into_a_header() {
        let good = "default-src 'self'; frame-ancestors https://robot.example";
        let set = with_environment("SERVER__CONTENT_SECURITY_POLICY", good).unwrap();
        assert_eq!(set.server.content_security_policy, good);
        for bad in ["a\nb: c", "a\r", "default-src 'sälf'", "\u{7f}"] {
            let error = with_environment("SERVER__CONTENT_SECURITY_POLICY", bad).unwrap_err();
            assert!(error.contains("server.content_security_policy") && error.contains("ASCII"), "{bad:?}: {error}");
        }
    }

    #[test]
    fn a_stun_or_turn_server_needs_a_host() {
        for good in ["s", "s:3478", "10.0.0.1:1", "[::1]", "[fd00::1]:3478"] {
            assert!(with_environment("WEBRTC__STUN_SERVER", &format!("stun:{good}")).is_ok(), "{good}");
        }
        for bad in ["", ":3478", "s:", "s:0", "s:x", "s:70000", "//s", "::1", "[]", "[]:1", "a b", "[x]:1"] {
            let error = with_environment("WEBRTC__STUN_SERVER", &format!("stun:{bad}")).unwrap_err();
            assert!(error.contains("stun:HOST:PORT"), "{bad}: {error}");
            let turn = format!(r#"{{ url = "turns:{bad}?transport=tcp", username = "u", credential = "c" }}"#);
            let error = with_environment("WEBRTC__TURN_SERVERS", &turn).unwrap_err();
            assert!(error.contains("turn:HOST:PORT"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_section_may_hold_only_what_is_changed() {
        let file = write("[streams.infrared]\nframerate = 15\n");
        let environment = vec![("REALSENSE_WEBRTC__STREAMS__COLOR__BITRATE_KBPS".to_owned(), "800".to_owned())];
        let config = Config::load(Some(file.path()), environment, vec![]).unwrap();
        assert_eq!((config.streams.infrared.framerate, config.streams.infrared.bitrate_kbps), (15, 1500));
        assert_eq!((config.streams.color.bitrate_kbps, config.streams.color.width), (800, 640));
    }

    #[test]
    fn a_value_out_of_range_names_its_key() {
        for (text, key) in [
            ("[sessions]\nlimit = 0\n", "sessions.limit"),
            ("[sessions]\nmax_lifetime_s = 31536001\n", "sessions.max_lifetime_s must be from 0 to 31536000"),
            ("[sessions]\nanswer_timeout_s = 9223372036854775807\n", "sessions.answer_timeout_s"),
            ("[sessions]\nconnect_timeout_s = 31536001\n", "sessions.connect_timeout_s"),
            ("[sessions]\nidle_timeout_s = 0\n", "sessions.idle_timeout_s"),
            ("[camera]\nstart_timeout_s = 31536001\n", "camera.start_timeout_s"),
            ("[camera]\nstall_timeout_s = 31536001\n", "camera.stall_timeout_s"),
            ("[depth]\nmin_m = 7.0\n", "depth.min_m"),
            ("[depth]\ncolor_map = \"rainbow\"\n", "depth.color_map"),
            ("[webrtc]\nmin_port = 5\n", "webrtc.min_port"),
            ("[webrtc]\nannounce_address = \"robot.example\"\n", "webrtc.announce_address"),
            ("[webrtc]\nannounce_address = \"0.0.0.0\"\n", "webrtc.announce_address"),
            ("[recording]\ndir = \"\"\n", "recording.dir"),
            ("[recording]\nmax_mb = 1000000001\n", "recording.max_mb"),
            ("[log]\ngst = \"x264enc\"\n", "log.gst: 'x264enc'"),
            ("[log]\nkeep_lines = 100001\n", "log.keep_lines"),
            ("[recording]\nmin_free_mb = 9223372036854775807\n", "recording.min_free_mb"),
            ("[recording]\nmax_seconds = 31536001\n", "recording.max_seconds"),
            (
                "[streams.color]\nwidth = 640\nheight = 480\nframerate = 0\nbitrate_kbps = 2000\n",
                "streams.color.framerate",
            ),
        ] {
            let error = Config::load(Some(write(text).path()), none(), vec![]).unwrap_err();
            assert!(error.contains(key), "{error}");
        }
        let error = Config::load(Some(Path::new("/nonexistent.toml")), none(), vec![]).unwrap_err();
        assert!(error.contains("/nonexistent.toml"), "{error}");
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// Damage to the shipped file gives a configuration that holds or words that name what is wrong, never a panic.
        #[test]
        fn a_damaged_file_is_refused_in_words(at in 0..4000usize, length in 0..40usize, with in "[ -~\\n]{0,12}") {
            let mut text = include_str!("../../realsense-webrtc.toml").to_owned();
            let start = text.floor_char_boundary(at.min(text.len()));
            let end = text.ceil_char_boundary((start + length).min(text.len()));
            text.replace_range(start..end, &with);
            match Config::load(Some(write(&text).path()), none(), vec![]) {
                Ok(config) => proptest::prop_assert_eq!(config.validate(), Ok(())),
                Err(words) => proptest::prop_assert!(words.len() > 20, "{}", words),
            }
        }
    }
}
