//! Reads ICE candidates (RFC 8839, section 5.1): the one set of rules for what is one, for those sent one by one and for
//! those inside an answer. Never resolves a name.

use std::{fmt, net::IpAddr};

use crate::error::{Error, Result};

/// Longest candidate line taken. Real ones stay under 300 bytes.
const MAX_LEN: usize = 1024;

/// A candidate that follows the rules, though the server may have no use for it. Displayed without its extensions, in
/// the form webrtcbin takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    foundation: String,
    component: u8,
    transport: Transport,
    priority: u32,
    address: Address,
    port: u16,
    kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Transport {
    Udp,
    /// With its `tcptype`.
    Tcp(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Address {
    Ip(IpAddr),
    /// In lower case.
    Name(String),
}

/// Checks one candidate as browsers send it, with or without `a=`, and gives it back in the form webrtcbin takes.
/// An empty string (end of candidates) stays empty.
///
/// # Errors
/// Invalid, naming the part that is wrong.
pub fn parse(text: &str) -> Result<String> {
    Ok(match Candidate::parse(text)? {
        Some(_) => line(text).to_owned(),
        None => String::new(),
    })
}

fn line(text: &str) -> &str {
    let line = text.trim();
    line.strip_prefix("a=").unwrap_or(line)
}

impl Candidate {
    /// Reads a candidate; `None` is the end of candidates.
    ///
    /// # Errors
    /// Invalid, naming the part that is wrong.
    pub fn parse(text: &str) -> Result<Option<Self>> {
        let line = line(text);
        if line.is_empty() || line == "end-of-candidates" {
            return Ok(None);
        }
        if line.len() > MAX_LEN || line.chars().any(char::is_control) {
            return Err(bad("it is too long or holds control characters"));
        }
        let body = line.strip_prefix("candidate:").ok_or_else(|| bad("it does not begin with 'candidate:'"))?;
        let fields: Vec<&str> = body.split_ascii_whitespace().collect();
        let [foundation, component, transport, priority, address, port, "typ", kind, rest @ ..] = fields.as_slice()
        else {
            return Err(bad("expected 'candidate:FOUNDATION COMPONENT TRANSPORT PRIORITY ADDRESS PORT typ TYPE'"));
        };
        if foundation.len() > 32 || !foundation.chars().all(|c| c.is_ascii_graphic()) {
            return Err(bad("the foundation must have 1 to 32 ASCII characters"));
        }
        // RTP and RTCP; there are no others.
        let component = component.parse().ok().filter(|number| (1..=2).contains(number));
        let component = component.ok_or_else(|| bad("the component must be 1 or 2"))?;
        let transport = match transport.to_ascii_lowercase().as_str() {
            "udp" => Transport::Udp,
            "tcp" => {
                let kind = rest.chunks(2).find_map(|pair| pair.strip_prefix(&["tcptype"])?.first().copied());
                let kind = kind.filter(|kind| matches!(*kind, "active" | "passive" | "so"));
                // RFC 6544, section 4.5.
                Transport::Tcp(
                    kind.ok_or_else(|| bad("a TCP candidate needs tcptype active, passive or so"))?.to_owned(),
                )
            }
            _ => return Err(bad("the transport must be udp or tcp")),
        };
        let priority = priority.parse().map_err(|_| bad("the priority must be a 32-bit number"))?;
        let address = Address::parse(address).ok_or_else(|| bad("the address is not an IP address or a host name"))?;
        let port = port.parse().map_err(|_| bad("the port must be a number up to 65535"))?;
        // Active TCP candidates have no port of their own.
        if port == 0 && transport == Transport::Udp {
            return Err(bad("a UDP candidate's port must be a number from 1 to 65535"));
        }
        if !matches!(*kind, "host" | "srflx" | "prflx" | "relay") {
            return Err(bad("the type must be host, srflx, prflx or relay"));
        }
        if rest.len() > 40 {
            return Err(bad("it has too many extensions"));
        }
        let (foundation, kind) = ((*foundation).to_owned(), (*kind).to_owned());
        Ok(Some(Self { foundation, component, transport, priority, address, port, kind }))
    }

    /// The line of a candidate of ours as peers behind address translation that keeps the ports reach it: a host candidate
    /// goes to `address`, where that is of the same family. Others stay: STUN and TURN saw them from outside already.
    pub fn announced_at(line: String, address: IpAddr) -> String {
        match Self::parse(&line) {
            Ok(Some(Self { kind, address: Address::Ip(own), .. }))
                if kind != "host" || own.is_ipv4() != address.is_ipv4() =>
            {
                line
            }
            Ok(Some(candidate)) => Self { address: Address::Ip(address), ..candidate }.to_string(),
            Ok(None) | Err(_) => line,
        }
    }

    /// Whether the server can try it: TCP only where `tcp` is on, and never a name. A name, also one of mDNS as browsers send
    /// them, makes libnice look it up, which leaves the whole ICE agent behind when the session ends (a thread, 6 file
    /// descriptors and its ports each; docs/decisions.md), and would let a peer choose what this machine asks its name
    /// servers. RFC 8839, section 5.1, lets an agent ignore names; the peer's own checks tell its address.
    pub fn is_usable(&self, tcp: bool) -> bool {
        matches!(self.address, Address::Ip(_)) && (tcp || self.transport == Transport::Udp)
    }
}

impl Address {
    fn parse(text: &str) -> Option<Self> {
        if let Ok(ip) = text.parse() {
            return Some(Self::Ip(ip));
        }
        // RFC 1123, section 2.1. A name whose last part is a number would be an IPv4 address, and is not one.
        let part = |part: &str| {
            (1..=63).contains(&part.len())
                && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
                && !part.starts_with('-')
                && !part.ends_with('-')
        };
        let last = text.rsplit('.').next().unwrap_or_default();
        let is_name = text.len() <= 253 && text.split('.').all(part) && !last.chars().all(|c| c.is_ascii_digit());
        is_name.then(|| Self::Name(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { foundation, component, transport, priority, address, port, kind } = self;
        let name = if *transport == Transport::Udp { "UDP" } else { "TCP" };
        write!(f, "candidate:{foundation} {component} {name} {priority} ")?;
        match address {
            Address::Ip(ip) => write!(f, "{ip}")?,
            Address::Name(name) => write!(f, "{name}")?,
        }
        write!(f, " {port} typ {kind}")?;
        match transport {
            Transport::Udp => Ok(()),
            Transport::Tcp(kind) => write!(f, " tcptype {kind}"),
        }
    }
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
            "candidate:1 3 udp 1 192.0.2.1 1 typ host",
            "candidate:1 1 udp 1 192.0.2.1 0 typ host",
            "candidate:1 1 udp 1 ::::: 1 typ host",
            "candidate:1 1 udp 1 2001:db8::1::2 1 typ host",
            "candidate:1 1 udp 1 fe80::1%eth0 1 typ host",
            "candidate:1 1 udp 1 999.1.1.1 1 typ host",
            "candidate:1 1 udp 1 1.2.3 1 typ host",
            "candidate:1 1 udp 1 a..local 1 typ host",
            "candidate:1 1 udp 1 -a.local 1 typ host",
            "candidate:1 1 tcp 1 192.0.2.1 9 typ host",
            "candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype what",
        ] {
            let error = parse(bad).unwrap_err();
            assert!(error.public().contains("cannot be used"), "{bad}: {error}");
        }
        assert!(parse(&format!("{HOST} {}", "x ".repeat(600))).is_err());
    }

    #[test]
    fn what_is_valid_need_not_be_usable() {
        let usable = |text: &str, tcp| Candidate::parse(text).unwrap().unwrap().is_usable(tcp);
        let tcp = "candidate:1 1 tcp 1 192.0.2.1 9 typ host generation 0 tcptype active";
        assert!(usable(tcp, true) && !usable(tcp, false));
        for name in ["4f3f2a1b.LOCAL", "3e2a7c3b-9d2c-4b1b-b2f2-5f2d3a1c0b9e.local", "example.com", "localhost"] {
            assert!(!usable(&format!("candidate:1 1 udp 1 {name} 5 typ host"), false), "{name} reaches libnice");
            assert!(!usable(&format!("candidate:1 1 tcp 1 {name} 5 typ host tcptype passive"), true), "{name}");
        }
        assert!(usable("candidate:1 1 udp 1 192.0.2.1 5 typ host", false));
    }

    const RELAY: &str = "candidate:1 1 UDP 5 198.51.100.7 3478 typ relay raddr 172.17.0.2 rport 40000";

    #[test]
    fn only_own_addresses_of_the_same_family_are_announced_elsewhere() {
        let announced = |text: &str| Candidate::announced_at(text.to_owned(), "192.168.1.10".parse().unwrap());
        for (own, expected) in [
            ("candidate:1 1 UDP 5 172.17.0.2 40000 typ host", "candidate:1 1 UDP 5 192.168.1.10 40000 typ host"),
            (
                "candidate:1 1 TCP 5 172.17.0.2 9 typ host tcptype active",
                "candidate:1 1 TCP 5 192.168.1.10 9 typ host tcptype active",
            ),
            ("candidate:1 1 UDP 5 fd00::2 40000 typ host", "candidate:1 1 UDP 5 fd00::2 40000 typ host"),
            (RELAY, RELAY),
            ("", ""),
        ] {
            assert_eq!(announced(own), expected);
        }
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
                    // What webrtcbin gets says the same in its own words.
                    if let Some(read) = Candidate::parse(&taken).unwrap() {
                        proptest::prop_assert_eq!(Candidate::parse(&read.to_string()).unwrap(), Some(read));
                    }
                    proptest::prop_assert_eq!(parse(&taken).unwrap(), taken);
                }
            }
        }
    }
}
