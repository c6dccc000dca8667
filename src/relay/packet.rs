//! The packets of a Socket.IO client over one WebSocket: Engine.IO 4 with Socket.IO's packets (revision 5) in its messages, texts
//! only. Pure text; whatever a relay sends becomes one of these or an error.
//!
//! Sources: <https://socket.io/docs/v4/engine-io-protocol/> and <https://socket.io/docs/v4/socket-io-protocol/>.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

/// Answers a ping.
pub(super) const PONG: &str = "3";
/// Leaves.
pub(super) const DISCONNECT: &str = "41";

/// The bounds of what a relay may say about its pings.
const PINGS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(120));
/// Longest name of an event that is read, in bytes.
const MAX_NAME: usize = 64;
/// Longest reason of a refusal that is kept, in characters.
const MAX_REASON: usize = 200;

/// What a relay sends.
#[derive(Debug, PartialEq)]
pub(super) enum Packet {
    /// The connection is open.
    Open {
        /// How long the relay may be silent before it counts as gone.
        silence: Duration,
    },
    /// The relay looks whether this server is there.
    Ping,
    /// This server is admitted.
    Connected,
    /// This server is not admitted, and why.
    Refused(String),
    /// The relay ends the connection.
    Closed,
    /// Something happened.
    Event {
        /// Its name.
        name: String,
        /// Its first argument; null where it has none.
        data: Value,
    },
    /// What concerns nobody here: other namespaces, acknowledgements, binary events.
    Other,
}

/// Why a text is no packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Handshake {
    ping_interval: u64,
    ping_timeout: u64,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

/// Reads a packet.
///
/// # Errors
/// It follows neither protocol.
pub(super) fn parse(text: &str) -> Result<Packet, Malformed> {
    let mut chars = text.chars();
    match chars.next() {
        Some('0') => open(chars.as_str()),
        Some('1') => Ok(Packet::Closed),
        Some('2') => Ok(Packet::Ping),
        Some('4') => message(chars.as_str()),
        // A pong, an upgrade, a no-op.
        Some('3' | '5' | '6') => Ok(Packet::Other),
        _ => Err(Malformed("a packet of no type of Engine.IO's")),
    }
}

fn open(text: &str) -> Result<Packet, Malformed> {
    let handshake: Handshake = serde_json::from_str(text).map_err(|_| Malformed("a handshake without its times"))?;
    let bounded = |ms| Duration::from_millis(ms).clamp(PINGS.0, PINGS.1);
    // As the protocol has it for clients: the next ping is due within both.
    Ok(Packet::Open { silence: bounded(handshake.ping_interval) + bounded(handshake.ping_timeout) })
}

fn message(text: &str) -> Result<Packet, Malformed> {
    let mut chars = text.chars();
    let kind = chars.next().filter(|kind| ('0'..='6').contains(kind));
    let kind = kind.ok_or(Malformed("a message of no type of Socket.IO's"))?;
    // Binary events and their acknowledgements, which nobody here asks for; what follows them is binary, too.
    if matches!(kind, '5' | '6') || chars.as_str().starts_with('/') {
        return Ok(Packet::Other);
    }
    let rest = chars.as_str();
    match kind {
        '0' => Ok(Packet::Connected),
        '1' => Ok(Packet::Closed),
        '2' => event(rest.trim_start_matches(|c: char| c.is_ascii_digit())),
        '4' => {
            let refusal: Option<Refusal> = serde_json::from_str(rest).ok();
            let reason = refusal.map_or_else(String::new, |refusal| refusal.message);
            Ok(Packet::Refused(reason.chars().filter(|c| !c.is_control()).take(MAX_REASON).collect()))
        }
        _ => Ok(Packet::Other),
    }
}

fn event(text: &str) -> Result<Packet, Malformed> {
    let Ok(Value::Array(mut parts)) = serde_json::from_str(text) else {
        return Err(Malformed("an event that is no list of JSON"));
    };
    let data = if parts.len() > 1 { parts.swap_remove(1) } else { Value::Null };
    match parts.into_iter().next() {
        Some(Value::String(name)) if name.len() <= MAX_NAME => Ok(Packet::Event { name, data }),
        _ => Err(Malformed("an event without a name")),
    }
}

/// Asks to be admitted.
pub(super) fn connect(token: &str) -> String {
    if token.is_empty() { "40".into() } else { format!("40{}", json!({ "token": token })) }
}

/// An event with one argument.
pub(super) fn emit(name: &str, data: &Value) -> String {
    format!("42{}", json!([name, data]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_relay_sends_is_read() {
        let open = r#"0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
        assert_eq!(parse(open), Ok(Packet::Open { silence: Duration::from_secs(45) }));
        let event = |name: &str, data| Ok(Packet::Event { name: name.into(), data });
        for (text, packet) in [
            ("2", Ok(Packet::Ping)),
            ("1", Ok(Packet::Closed)),
            (r#"40{"sid":"y"}"#, Ok(Packet::Connected)),
            ("41", Ok(Packet::Closed)),
            (r#"44{"message":"invalid token"}"#, Ok(Packet::Refused("invalid token".into()))),
            ("44", Ok(Packet::Refused(String::new()))),
            (r#"42["session-closed",{"sessionId":"a"}]"#, event("session-closed", json!({"sessionId": "a"}))),
            (r#"4217["test"]"#, event("test", Value::Null)),
            (r#"42["test",1,2]"#, event("test", json!(1))),
            (r#"42/admin,["test"]"#, Ok(Packet::Other)),
            (r#"451-["test",{"_placeholder":true,"num":0}]"#, Ok(Packet::Other)),
            (r#"431["ok"]"#, Ok(Packet::Other)),
            ("6", Ok(Packet::Other)),
        ] {
            assert_eq!(parse(text), packet, "{text}");
        }
    }

    #[test]
    fn what_is_no_packet_is_an_error() {
        for text in ["", "x", "7", "0", "0{}", "4", "47", "42", "42{}", "42[]", "42[1]", r#"42["#, "é", "4é"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&format!(r#"42["{}"]"#, "n".repeat(65))).is_err(), "a name without end");
        assert!(parse(&format!("42{}", "[".repeat(10_000))).is_err(), "brackets without end");
    }

    #[test]
    fn a_relay_cannot_make_this_server_wait_for_ever_or_not_at_all() {
        for (ms, silence) in [(0, 2), (u64::MAX, 240)] {
            let open = format!(r#"0{{"pingInterval":{ms},"pingTimeout":{ms}}}"#);
            assert_eq!(parse(&open), Ok(Packet::Open { silence: Duration::from_secs(silence) }));
        }
    }

    #[test]
    fn what_is_sent_is_as_the_protocol_has_it() {
        assert_eq!(connect(""), "40");
        assert_eq!(connect(r#"a"b"#), r#"40{"token":"a\"b"}"#);
        assert_eq!(emit("x", &json!({"a": "é\n"})), "42[\"x\",{\"a\":\"é\\n\"}]");
    }
}
