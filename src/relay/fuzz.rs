//! What fuzzing asserts of what a relay sends.

use super::{
    messages::{Reply, Request},
    packet::{self, Malformed, Packet},
};

/// A text from a relay. It is a packet, or words tell what it is instead; an event that means something is a request within
/// the bounds, or is answered by an error that is an event again.
pub fn relay(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (name, data) = match packet::parse(&text) {
        Ok(Packet::Event { name, data }) => (name, data),
        Ok(Packet::Open { silence }) => return assert!((2..=240).contains(&silence.as_secs())),
        Ok(Packet::Refused(reason)) => return assert!(!reason.chars().any(char::is_control) && reason.len() <= 800),
        Ok(_) => return,
        Err(Malformed(words)) => return assert!(words.starts_with('a')),
    };
    assert!(name.len() <= 64);
    let reply = match Request::parse(&name, &data) {
        None => return,
        Some(Ok(request)) => request.refusal("no"),
        Some(Err(reply)) => reply,
    };
    let Some(Reply { name, data }) = reply else { return };
    let id = data.get("sessionId").map_or(Some(""), |id| id.as_str()).expect("an id is a text");
    let error = data["error"].as_str().expect("it says why");
    assert!(id.len() <= 128 && error.len() < 800, "{data} is too long");
    let said = packet::emit(name, &data);
    assert_eq!(packet::parse(&said), Ok(Packet::Event { name: name.into(), data }), "{said}");
}
