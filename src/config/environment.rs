//! Which environment variables are the server's, and which key of the configuration each of them sets. A variable that looks like
//! one and is none must not be passed over: it may be the token.

use toml::{Table, Value};

use crate::core::text::nearest::nearest;

/// Environment variables with this prefix override keys: `REALSENSE_WEBRTC__SESSIONS__LIMIT=20` sets `sessions.limit`.
pub const ENV_PREFIX: &str = "REALSENSE_WEBRTC__";
/// Sets `server.token`, and is what the probe shows to a server.
pub const TOKEN: &str = "REALSENSE_WEBRTC_TOKEN";
/// What the probe's token was called until 0.2.
pub const OLD_PROBE_TOKEN: &str = "REALSENSE_WEBRTC_PROBE_TOKEN";

/// All of the server's variables begin so.
const NAME: &str = "REALSENSE_WEBRTC_";
/// What else may begin so: this project's tests and scripts, and what Kubernetes sets in every container for a service that is
/// called realsense-webrtc
/// (https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables).
const OTHERS: [&str; 5] = [
    "REALSENSE_WEBRTC_TEST_",
    "REALSENSE_WEBRTC_BIN",
    "REALSENSE_WEBRTC_SERVICE_",
    "REALSENSE_WEBRTC_PORT",
    OLD_PROBE_TOKEN,
];

/// The key that a variable sets, `sessions.limit`; nothing for one that is not the server's.
///
/// # Errors
/// It begins like the server's variables and is none. The message names the one that may have been meant, by the keys of the
/// whole configuration.
pub(super) fn key_of(variable: &str, defaults: &Table) -> Result<Option<String>, String> {
    if let Some(path) = variable.strip_prefix(ENV_PREFIX) {
        return Ok(Some(path.to_ascii_lowercase().replace("__", ".")));
    }
    if variable == TOKEN {
        return Ok(Some("server.token".into()));
    }
    if !variable.starts_with(NAME) || OTHERS.iter().any(|other| variable.starts_with(other)) {
        return Ok(None);
    }
    let mut known = vec![TOKEN.to_owned()];
    variables(defaults, ENV_PREFIX.trim_end_matches("__"), &mut known);
    // What all have in common makes none of them like another.
    let wrong = variable.trim_start_matches(NAME);
    let of_key = known.iter().find(|name| name.rsplit("__").next() == Some(wrong));
    let of_all = || nearest(wrong, known.iter().map(|name| name.trim_start_matches(NAME)));
    let meant = of_key.map(|name| name.trim_start_matches(NAME)).or_else(of_all);
    Err(match meant {
        Some(meant) => {
            format!("In the environment, {variable}: there is no such variable. Did you mean {NAME}{meant}?")
        }
        None => format!(
            "In the environment, {variable}: there is no such variable. Keys of the configuration are set by \
             {ENV_PREFIX}SECTION__KEY, with two underscores each, and the token by {TOKEN}."
        ),
    })
}

/// The variables of every key of a section.
fn variables(section: &Table, prefix: &str, into: &mut Vec<String>) {
    for (key, value) in section {
        let name = format!("{prefix}__{}", key.to_ascii_uppercase());
        match value {
            Value::Table(inner) if !inner.is_empty() => variables(inner, &name, into),
            _ => into.push(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn key(variable: &str) -> Result<Option<String>, String> {
        key_of(variable, &Table::try_from(Config::default()).expect("a table"))
    }

    #[test]
    fn variables_set_keys() {
        assert_eq!(key("REALSENSE_WEBRTC__SESSIONS__LIMIT"), Ok(Some("sessions.limit".into())));
        assert_eq!(key("REALSENSE_WEBRTC__SERVER__TOKEN"), Ok(Some("server.token".into())));
        assert_eq!(key("REALSENSE_WEBRTC_TOKEN"), Ok(Some("server.token".into())));
    }

    #[test]
    fn what_others_set_is_left_alone() {
        for other in [
            "PATH",
            "REALSENSE_WEBRTC",
            "REALSENSE_WEBRTC_TEST_SDK",
            "REALSENSE_WEBRTC_BIN",
            "REALSENSE_WEBRTC_PROBE_TOKEN",
            "REALSENSE_WEBRTC_SERVICE_HOST",
            "REALSENSE_WEBRTC_SERVICE_PORT_HTTP",
            "REALSENSE_WEBRTC_PORT",
            "REALSENSE_WEBRTC_PORT_8000_TCP_ADDR",
        ] {
            assert_eq!(key(other), Ok(None), "{other}");
        }
    }

    #[test]
    fn one_that_is_written_wrongly_is_refused_and_the_nearest_named() {
        for (wrong, right) in [
            ("REALSENSE_WEBRTC_SESSIONS__LIMIT", "REALSENSE_WEBRTC__SESSIONS__LIMIT"),
            ("REALSENSE_WEBRTC_SERVER_TOKEN", "REALSENSE_WEBRTC__SERVER__TOKEN"),
            ("REALSENSE_WEBRTC_TOKN", "REALSENSE_WEBRTC_TOKEN"),
            ("REALSENSE_WEBRTC_LISTEN", "REALSENSE_WEBRTC__SERVER__LISTEN"),
            ("REALSENSE_WEBRTC_STREAM_COLOR_WIDTH", "REALSENSE_WEBRTC__STREAMS__COLOR__WIDTH"),
            ("REALSENSE_WEBRTC_X", "SECTION__KEY"),
        ] {
            let error = key(wrong).expect_err("refused");
            assert!(
                error.contains(wrong) && (error.contains(&format!("mean {right}?")) || error.contains(right)),
                "{error}"
            );
        }
    }
}
