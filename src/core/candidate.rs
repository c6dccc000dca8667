//! Reads ICE candidates (RFC 8839, section 5.1) far enough to refuse what cannot be one. Never resolves a name.

use crate::error::{Error, Result};

/// Longest candidate line taken. Real ones stay under 300 bytes.
const MAX_LEN: usize = 1024;

/// Checks one candidate as browsers send it, with or without `a=`, and gives it back in the form webrtcbin takes.
/// An empty string (end of candidates) stays empty.
///
/// # Errors
/// Invalid, naming the part that is wrong.
pub fn parse(text: &str) -> Result<String> {
    let line = text.trim();
    let line = line.strip_prefix("a=").unwrap_or(line);
    if line.is_empty() || line == "end-of-candidates" {
        return Ok(String::new());
    }
    if line.len() > MAX_LEN || line.chars().any(char::is_control) {
        return Err(bad("it is too long or holds control characters"));
    }
    let body = line.strip_prefix("candidate:").ok_or_else(|| bad("it does not begin with 'candidate:'"))?;
    let fields: Vec<&str> = body.split_ascii_whitespace().collect();
    let [foundation, component, transport, priority, address, port, "typ", kind, rest @ ..] = fields.as_slice() else {
        return Err(bad("expected 'candidate:FOUNDATION COMPONENT TRANSPORT PRIORITY ADDRESS PORT typ TYPE'"));
    };
    if foundation.is_empty() || foundation.len() > 32 {
        return Err(bad("the foundation must have 1 to 32 characters"));
    }
    if !matches!(component.parse::<u16>(), Ok(1..=256)) {
        return Err(bad("the component must be a number from 1 to 256"));
    }
    if !transport.eq_ignore_ascii_case("udp") && !transport.eq_ignore_ascii_case("tcp") {
        return Err(bad("the transport must be udp or tcp"));
    }
    if priority.parse::<u32>().is_err() {
        return Err(bad("the priority must be a 32-bit number"));
    }
    if address.is_empty() || !address.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '%')) {
        return Err(bad("the address is not an IP address or a host name"));
    }
    if port.parse::<u16>().is_err() {
        return Err(bad("the port must be a number from 0 to 65535"));
    }
    if !matches!(*kind, "host" | "srflx" | "prflx" | "relay") {
        return Err(bad("the type must be host, srflx, prflx or relay"));
    }
    if rest.len() > 40 {
        return Err(bad("it has too many extensions"));
    }
    Ok(line.to_owned())
}

fn bad(why: &str) -> Error {
    Error::invalid(format!(
        "The candidate cannot be used: {why}. Send RTCIceCandidate.candidate as the browser gave it."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str =
        "candidate:842163049 1 udp 1677729535 192.0.2.1 46154 typ host generation 0 ufrag abcd network-cost 999";

    #[test]
    fn browsers_candidates_pass() {
        for good in [
            HOST,
            "candidate:1 1 UDP 2122252543 3e2a7c3b-9d2c-4b1b-b2f2-5f2d3a1c0b9e.local 51000 typ host",
            "candidate:2 1 tcp 1518280447 2001:db8::1 9 typ host tcptype active",
            "candidate:3 1 udp 41885439 198.51.100.7 3478 typ relay raddr 0.0.0.0 rport 0",
        ] {
            assert_eq!(parse(good).unwrap(), good);
            assert_eq!(parse(&format!("a={good}\r\n")).unwrap(), good);
        }
        assert_eq!(parse("").unwrap(), "");
        assert_eq!(parse("a=end-of-candidates").unwrap(), "");
    }

    #[test]
    fn everything_else_is_refused_with_a_reason() {
        for bad in [
            "hello",
            "candidate:",
            "candidate:1 1 udp 1 192.0.2.1",
            "candidate:1 0 udp 1 192.0.2.1 1 typ host",
            "candidate:1 1 sctp 1 192.0.2.1 1 typ host",
            "candidate:1 1 udp x 192.0.2.1 1 typ host",
            "candidate:1 1 udp 1 192.0.2.1;rm 1 typ host",
            "candidate:1 1 udp 1 192.0.2.1 70000 typ host",
            "candidate:1 1 udp 1 192.0.2.1 1 typ alien",
            "candidate:1 1 udp 1 192.0.2.1 1 typ host\u{0}",
        ] {
            let error = parse(bad).unwrap_err();
            assert!(error.public().contains("cannot be used"), "{bad}: {error}");
        }
        assert!(parse(&format!("{HOST} {}", "x ".repeat(600))).is_err());
    }

    proptest::proptest! {
        /// Any text, and any damage to a real candidate, is either refused or comes out in a form that is taken again.
        #[test]
        fn no_text_gets_through_unchecked(text in ".{0,200}", at in 0..80usize, with in "[ -~]{0,6}") {
            let mut damaged = HOST.to_owned();
            damaged.replace_range(at..at.saturating_add(1), &with);
            for input in [text, damaged] {
                if let Ok(taken) = parse(&input) {
                    proptest::prop_assert!(taken.is_empty() || taken.starts_with("candidate:"));
                    proptest::prop_assert_eq!(parse(&taken).unwrap(), taken);
                }
            }
        }
    }
}
