//! Reads the configuration: file, then environment, then command line; refuses what it does not know.

use std::path::Path;

use toml::{Table, Value};

use super::{
    Config, environment,
    origin::{Origin, Origins},
};
use crate::core::text::nearest::nearest;

/// A configuration, and where each of its values came from.
pub struct Loaded {
    /// What is in force.
    pub config: Config,
    /// Whence.
    pub origins: Origins,
}

impl Config {
    /// [`Loaded::load`] without the origins.
    ///
    /// # Errors
    /// As there.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        command_line: Vec<(&'static str, Value)>,
    ) -> Result<Self, String> {
        Ok(Loaded::load(file, environment, command_line)?.config)
    }
}

impl Loaded {
    /// Reads `file` (defaults when `None`) and applies overrides: `(key path, value)` pairs from the environment first,
    /// from the command line last.
    ///
    /// # Errors
    /// A message for a person: the file cannot be read, a key is unknown (the nearest known one is named), a value does
    /// not fit. It names where the value stands, the value, and what it may be.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        command_line: Vec<(&'static str, Value)>,
    ) -> Result<Self, String> {
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
        let mut origins = Origins::default();
        // Everything starts from the defaults, so that a section may hold only what is changed.
        let mut table = Table::try_from(Config::default()).map_err(|error| format!("The defaults: {error}"))?;
        let defaults = table.clone();
        if let Some((name, text)) = file {
            // Read once into the types, because only then an error can point at its line.
            toml::from_str::<Config>(text).map_err(|error| explained(&format!("In {name}: {error}")))?;
            merge(&mut table, text.parse().map_err(|error| format!("In {name}: {error}"))?);
            origins.read(name, text);
        }
        // The long name of the token counts more than the short one, wherever the system lists them.
        let mut environment: Vec<_> = environment.into_iter().collect();
        environment.sort_by_key(|(name, _)| name != environment::TOKEN);
        for (name, value) in environment {
            let Some(path) = environment::key_of(&name, &defaults)? else { continue };
            // The short name is also what a compose file hands on when it is not set.
            if name == environment::TOKEN && value.is_empty() {
                continue;
            }
            // Read into the types one by one, because only then an error can name its variable.
            parse_value(&value, get(&table, &path))
                .and_then(|value| set(&mut table, &path, value))
                .and_then(|()| table.clone().try_into::<Config>().map_err(|error| error.to_string()))
                .map_err(|error| explained(&format!("In the environment, {name}: {error}")))?;
            origins.set(&path, Origin::Variable(name));
        }
        for (path, value) in command_line {
            set(&mut table, path, value)?;
            origins.set(path, Origin::Flag);
        }
        let config: Config =
            table.clone().try_into().map_err(|error| explained(&format!("In the configuration: {error}")))?;
        config.validate().map_err(|rule| {
            let key = key_of(&rule);
            let given = get(&table, key).filter(|value| !value.is_table()).map(|value| format!(" It is {value}."));
            format!("{}: {rule}.{}", origins.of(key), given.unwrap_or_default())
        })?;
        Ok(Self { config, origins })
    }
}

impl Loaded {
    /// What is in force, as a file of the configuration: each value with a remark where it came from. Tokens are not shown.
    pub fn show(&self) -> String {
        // It was read from a table, so it can be written as one.
        Table::try_from(&self.config).map(|table| self.origins.show(&table)).unwrap_or_default()
    }
}

/// The key with which a rule begins.
fn key_of(rule: &str) -> &str {
    rule.split([' ', ':']).next().unwrap_or_default()
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| {
        let name = path.display();
        if path.is_dir() {
            return format!("Cannot read the configuration {name}: it is a folder. Name the file in it.");
        }
        let advice = match error.kind() {
            std::io::ErrorKind::NotFound => {
                "Begin with a copy of realsense-webrtc.toml, which has every key with its default, or leave --config out"
            }
            std::io::ErrorKind::PermissionDenied => "Let the user that the server runs as read it",
            _ => "It must be a file of text in UTF-8",
        };
        format!("Cannot read the configuration {name}: {error}. {advice}.")
    })
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

/// What serde and TOML call the types, and what a person calls them.
const TYPES: [(&str, &str); 12] = [
    ("expected usize", "expected a whole number"),
    ("expected u64", "expected a whole number"),
    ("expected u32", "expected a whole number"),
    ("expected u16", "expected a whole number"),
    ("expected f64", "expected a number"),
    ("expected f32", "expected a number"),
    ("expected socket address", "expected an address and port in quotes, such as \"127.0.0.1:8000\""),
    ("invalid socket address syntax", "expected an address and port in quotes, such as \"127.0.0.1:8000\""),
    ("expected a boolean", "expected true or false"),
    ("expected a sequence", "expected a list, such as [\"one\", \"two\"]"),
    ("expected a string", "expected text in quotes"),
    ("expected path string", "expected text in quotes"),
];

/// Says serde's words so that a person understands them, and adds the nearest known key to "unknown field".
fn explained(message: &str) -> String {
    let mut message = message.trim_end().to_owned();
    for (theirs, ours) in TYPES {
        message = message.replace(theirs, ours);
    }
    if !message.contains("unknown field") {
        return message;
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    match quoted.next().and_then(|unknown| nearest(unknown, quoted)) {
        Some(nearest) => format!("{message}\nDid you mean '{nearest}'?"),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::ENV_PREFIX, *};

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
        let short = vec![("REALSENSE_WEBRTC_TOKEN".to_owned(), "12345".to_owned())];
        assert_eq!(Config::load(None, short.clone(), vec![]).unwrap().server.token, "12345");
        let long = ("REALSENSE_WEBRTC__SERVER__TOKEN".to_owned(), "6".to_owned());
        for both in [[short[0].clone(), long.clone()], [long, short[0].clone()]] {
            assert_eq!(Config::load(None, both, vec![]).unwrap().server.token, "6");
        }
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
