//! Takes secrets out of what leaves the server: log lines, the bundle. Owns no text.

use crate::config::Config;

/// What stands in a secret's place.
const PLACEHOLDER: &str = "(secret)";

/// Shortest secret that is looked for in a text: shorter ones would be found in ordinary words.
const SHORTEST: usize = 4;

/// The secrets of a configuration, in every way they may be written.
pub struct Secrets(Vec<String>);

impl Secrets {
    /// The tokens, and the TURN servers' passwords.
    pub fn of(config: &Config) -> Self {
        let turn = config.webrtc.turn_servers.iter().map(|server| &server.credential);
        let tokens = [&config.server.token, &config.server.admin_token, &config.relay.token];
        let secrets = tokens.into_iter().chain(turn);
        let mut forms: Vec<String> = secrets.filter(|secret| secret.len() >= SHORTEST).flat_map(|s| forms(s)).collect();
        // The longest first: one may be part of another.
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms.dedup();
        Self(forms)
    }

    /// The text without them.
    pub fn scrub(&self, text: &str) -> String {
        let scrubbed = self.0.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.as_str()) { text.replace(secret.as_str(), PLACEHOLDER) } else { text }
        });
        without_query_tokens(scrubbed)
    }
}

/// A secret as it is, as a URL has it, as JSON, Rust's debug output and a drawing have it.
fn forms(secret: &str) -> Vec<String> {
    let encode = |keep: &dyn Fn(u8) -> bool, upper: bool| -> String {
        let one = |byte: u8| match (keep(byte), upper) {
            (true, _) => char::from(byte).to_string(),
            (false, true) => format!("%{byte:02X}"),
            (false, false) => format!("%{byte:02x}"),
        };
        secret.bytes().map(one).collect()
    };
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let quoted = serde_json::Value::from(secret).to_string();
    let drawn = [('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&quot;")];
    let mut forms = vec![
        secret.to_owned(),
        drawn.iter().fold(secret.to_owned(), |text, (character, name)| text.replace(*character, name)),
        encode(&unreserved, true),
        encode(&unreserved, false),
        quoted.trim_matches('"').to_owned(),
        secret.escape_debug().to_string(),
    ];
    forms.sort();
    forms.dedup();
    forms
}

/// Takes out whatever was sent as a token, right or wrong: `?token=…` and `Bearer …`.
fn without_query_tokens(mut text: String) -> String {
    for mark in ["token=", "Bearer "] {
        // Copied once, however many there are: a log can be megabytes long.
        let (mut out, mut copied) = (String::new(), 0);
        while let Some(found) = text[copied..].find(mark) {
            let start = copied + found + mark.len();
            let length = text[start..].find(|c: char| c.is_whitespace() || "&\"'#,;)".contains(c));
            let end = length.map_or(text.len(), |length| start + length);
            out.push_str(&text[copied..start]);
            let keep = text[start..end].is_empty() || text[start..end].starts_with('(');
            out.push_str(if keep { &text[start..end] } else { PLACEHOLDER });
            copied = end;
        }
        out.push_str(&text[copied..]);
        text = out;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TurnServer;

    fn secrets() -> Secrets {
        let mut config = Config::default();
        config.server.token = "s3cret/tok en\"x".into();
        config.server.admin_token = "s3cret".into();
        config.relay.token = "re1ay-token".into();
        config.webrtc.turn_servers =
            vec![TurnServer { url: "turn:h:1".into(), username: "robot".into(), credential: "pa:ss@wörd".into() }];
        Secrets::of(&config)
    }

    #[test]
    fn no_form_of_a_secret_is_left() {
        let secrets = secrets();
        for text in [
            "url=turn://robot:pa%3Ass%40w%C3%B6rd@h:1",
            "url=turn://robot:pa%3ass%40w%c3%b6rd@h:1",
            "credential pa:ss@wörd.",
            r#"{"token":"s3cret/tok en\"x"}"#,
            "<text>s3cret/tok en&quot;x</text>",
            "Authorization: Bearer s3cret",
            "40{\"token\":\"re1ay-token\"}",
            "GET /api/health?token=guessed&x=1",
        ] {
            let scrubbed = secrets.scrub(text);
            for left in ["pa:ss", "wörd", "pa%3", "s3cret", "tok en", "re1ay", "guessed"] {
                assert!(!scrubbed.contains(left), "{scrubbed}");
            }
            assert!(scrubbed.contains(PLACEHOLDER), "{scrubbed}");
        }
        assert_eq!(secrets.scrub("GET /x?token=a&y=2"), "GET /x?token=(secret)&y=2");
    }

    #[test]
    fn ordinary_text_stays() {
        for text in ["", "token=", "token = \"(set)\"", "answer applied session=5f0c1f3a codecs=H264", "token=(set)"] {
            assert_eq!(secrets().scrub(text), text);
        }
        assert_eq!(Secrets::of(&Config::default()).scrub("a b c"), "a b c");
    }
}
