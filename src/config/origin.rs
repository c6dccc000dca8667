//! Where each value of the configuration came from, so that a fault can be found and a person can see what is in force.

use std::{collections::BTreeMap, fmt};

use toml::{
    Table, Value,
    de::{DeTable, DeValue},
};

/// Keys whose values nobody is shown.
const SECRETS: [&str; 4] = ["server.token", "server.admin_token", "relay.token", "webrtc.turn_servers"];

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    Default,
    /// A file's name, and the line, from 1.
    Line(String, usize),
    /// An environment variable.
    Variable(String),
    /// The command line.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("In the configuration"),
            Self::Line(file, line) => write!(f, "In {file}, line {line}"),
            Self::Variable(name) => write!(f, "In the environment, {name}"),
            Self::Flag => f.write_str("On the command line"),
        }
    }
}

/// The origins of all values that are not the default.
#[derive(Debug, Default)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Notes the lines of a file, which was parsed already.
    pub(super) fn read(&mut self, name: &str, text: &str) {
        if let Ok(table) = DeTable::parse(text) {
            self.section(name, text, "", table.get_ref());
        }
    }

    fn section(&mut self, name: &str, text: &str, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = format!("{prefix}{}", key.get_ref());
            if let DeValue::Table(inner) = value.get_ref() {
                self.section(name, text, &format!("{path}."), inner);
            }
            let line =
                1 + text.as_bytes()[..key.span().start.min(text.len())].iter().filter(|byte| **byte == b'\n').count();
            self.set(&path, Origin::Line(name.to_owned(), line));
        }
    }

    pub(super) fn set(&mut self, key: &str, origin: Origin) {
        self.0.insert(key.to_owned(), origin);
    }

    /// Where a key's value came from.
    pub(super) fn of(&self, key: &str) -> &Origin {
        self.0.get(key).unwrap_or(&Origin::Default)
    }

    /// What is in force, as a file of the configuration: each value with a remark where it came from.
    pub(super) fn show(&self, table: &Table) -> String {
        let mut shown = String::new();
        self.show_section(table, "", "", &mut shown);
        shown.trim_start().to_owned()
    }

    /// `header` is the section as it is written, with quotes where its name needs them; `prefix` begins the keys of its values.
    fn show_section(&self, table: &Table, header: &str, prefix: &str, into: &mut String) {
        use fmt::Write;
        let (sections, values): (Vec<_>, Vec<_>) = table.iter().partition(|(_, value)| value.is_table());
        if !values.is_empty() && !header.is_empty() {
            let _ = writeln!(into, "\n[{header}]");
        }
        for (key, value) in values {
            let path = format!("{prefix}{key}");
            let is_set = !matches!(value, Value::String(text) if text.is_empty())
                && !matches!(value, Value::Array(list) if list.is_empty());
            let line = if SECRETS.contains(&path.as_str()) && is_set {
                format!("# {key} is set and not shown")
            } else {
                format!("{} = {}", quoted(key), shortest(value))
            };
            let _ = match self.of(&path) {
                Origin::Default => writeln!(into, "{line}"),
                Origin::Line(file, number) => writeln!(into, "{line}  # {file}, line {number}"),
                Origin::Variable(name) => writeln!(into, "{line}  # {name}"),
                Origin::Flag => writeln!(into, "{line}  # the command line"),
            };
        }
        for (key, value) in sections {
            if let Value::Table(inner) = value {
                let dot = if header.is_empty() { "" } else { "." };
                let header = format!("{header}{dot}{}", quoted(key));
                self.show_section(inner, &header, &format!("{prefix}{key}."), into);
            }
        }
    }
}

/// A key as it is written in a file.
fn quoted(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if bare { key.to_owned() } else { Value::String(key.to_owned()).to_string() }
}

/// A value as a person would write it: a number that is kept with 32 bits has fewer digits than its 64.
fn shortest(value: &Value) -> String {
    match value {
        Value::Float(number) if f64::from(*number as f32) == *number => format!("{:?}", *number as f32),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Loaded;

    const FILE: &str = "# Mine.\n[sessions]\nlimit = 3\n\n[pipelines.devices.\"9.9\"]\ncolor = \"auto\"\n";

    fn loaded(environment: &[(&str, &str)]) -> Result<Loaded, String> {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let line = vec![("log.filter", Value::String("debug".into()))];
        Loaded::from_text(Some(("my.toml", FILE)), environment, line)
    }

    #[test]
    fn what_is_in_force_is_shown_with_where_it_came_from() {
        let token = ("REALSENSE_WEBRTC_TOKEN", "s3cret");
        let relay = ("REALSENSE_WEBRTC__RELAY__TOKEN", "s3cret");
        let shown = loaded(&[("REALSENSE_WEBRTC__SESSIONS__IDLE_TIMEOUT_S", "60"), token, relay]).unwrap().show();
        for line in [
            "limit = 3  # my.toml, line 3",
            "idle_timeout_s = 60  # REALSENSE_WEBRTC__SESSIONS__IDLE_TIMEOUT_S",
            "filter = \"debug\"  # the command line",
            "answer_timeout_s = 30",
            "min_m = 0.3",
            "# token is set and not shown  # REALSENSE_WEBRTC_TOKEN",
            "# token is set and not shown  # REALSENSE_WEBRTC__RELAY__TOKEN",
            "[pipelines.devices.\"9.9\"]",
            "admin_token = \"\"",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line} in\n{shown}");
        }
        assert!(!shown.contains("s3cret"));
        // It can be read again.
        let again = Loaded::from_text(Some(("shown", &shown)), [], Vec::new()).unwrap().config;
        let mut before = loaded(&[("REALSENSE_WEBRTC__SESSIONS__IDLE_TIMEOUT_S", "60")]).unwrap().config;
        before.server.token.clear();
        assert_eq!(again, before);
    }

    #[test]
    fn a_value_that_breaks_a_rule_is_told_with_its_place() {
        let told = |text: &str| Loaded::from_text(Some(("my.toml", text)), [], Vec::new()).err().expect("refused");
        assert_eq!(
            told("[log]\nformat = \"text\"\n[sessions]\nlimit = 0\n"),
            "In my.toml, line 4: sessions.limit must be from 1 to 10000. It is 0."
        );
        assert!(
            told("[streams.color]\nbitrate_kbps = 5\n").starts_with("In my.toml, line 2: streams.color.bitrate_kbps")
        );
        let variable = [("REALSENSE_WEBRTC__SESSIONS__LIMIT", "0")];
        assert_eq!(
            loaded(&variable).err().expect("refused"),
            "In the environment, REALSENSE_WEBRTC__SESSIONS__LIMIT: sessions.limit must be from 1 to 10000. It is 0."
        );
    }
}
