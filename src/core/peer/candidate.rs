//! Reads ICE candidates (RFC 8839, section 5.1): the one set of rules for what is one, for those sent one by one and for
//! those inside an answer. Never resolves a name.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use crate::error::{Error, Result};

/// Longest candidate line taken. Real ones stay under 300 bytes.
const MAX_LEN: usize = 1024;
/// What is said of a line that is not even of a candidate's form.
const SHAPE: &str = "expected 'candidate:FOUNDATION COMPONENT TRANSPORT PRIORITY ADDRESS PORT typ TYPE'";

/// A candidate that follows the rules, though the server may have no use for it. Displayed without its extensions, in
/// the form webrtcbin takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    foundation: String,
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

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// There are no more candidates.
    End,
    /// A candidate.
    Candidate(Candidate),
    /// A candidate of a kind that is not known here; RFC 8839, section 5.1, has such ones ignored. Names what is not known.
    Ignored(&'static str),
}

/// Checks one candidate as browsers send it, with or without `a=`, and gives it back in the form webrtcbin takes.
/// An empty string (end of candidates) stays empty; `None` is a candidate to be ignored.
///
/// # Errors
/// Invalid, naming the part that is wrong: the text is no candidate.
pub fn parse(text: &str) -> Result<Option<String>> {
    Ok(match Line::parse(text)? {
        Line::Candidate(_) => Some(line(text).to_owned()),
        Line::End => Some(String::new()),
        Line::Ignored(_) => None,
    })
}

fn line(text: &str) -> &str {
    let line = text.trim();
    line.strip_prefix("a=").unwrap_or(line)
}

/// The grammar's `token` (RFC 8866, section 9), no longer than any that is registered.
fn is_token(text: &str) -> bool {
    let is_part = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`{|}~".contains(&c);
    (1..=32).contains(&text.len()) && text.bytes().all(is_part)
}

impl Line {
    /// Reads a candidate's line. What is not known is told from what is wrong: the one is ignored, the other a mistake that its
    /// author wants to hear of.
    ///
    /// # Errors
    /// Invalid, naming the part that is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let line = line(text);
        if line.is_empty() || line == "end-of-candidates" {
            return Ok(Self::End);
        }
        if line.len() > MAX_LEN || line.chars().any(char::is_control) {
            return Err(bad("it is too long or holds control characters"));
        }
        let body = line.strip_prefix("candidate:").ok_or_else(|| bad("it does not begin with 'candidate:'"))?;
        let fields: Vec<&str> = body.split_ascii_whitespace().collect();
        let [foundation, component, transport, priority, address, port, typ, kind, rest @ ..] = fields.as_slice()
        else {
            return Err(bad(SHAPE));
        };
        if !typ.eq_ignore_ascii_case("typ") {
            return Err(bad(SHAPE));
        }
        if foundation.len() > 32 || !foundation.chars().all(|c| c.is_ascii_graphic()) {
            return Err(bad("the foundation must have 1 to 32 ASCII characters"));
        }
        let component: u16 = component
            .parse()
            .ok()
            .filter(|number| (1..=256).contains(number))
            .ok_or_else(|| bad("the component must be a number from 1 to 256"))?;
        let priority = priority.parse().map_err(|_| bad("the priority must be a 32-bit number"))?;
        let port: u16 = port.parse().map_err(|_| bad("the port must be a number up to 65535"))?;
        if !is_token(transport) || !is_token(kind) {
            return Err(bad("the transport and the type must be words such as udp and host"));
        }
        if rest.len() > 40 {
            return Err(bad("it has too many extensions"));
        }
        let transport = match transport.to_ascii_lowercase().as_str() {
            "udp" => Transport::Udp,
            "tcp" => {
                let kind = rest.chunks(2).find_map(|pair| pair.strip_prefix(&["tcptype"])?.first().copied());
                // RFC 6544, section 4.5.
                let kind = kind.ok_or_else(|| bad("a TCP candidate needs tcptype active, passive or so"))?;
                if !matches!(kind, "active" | "passive" | "so") {
                    return Ok(Self::Ignored("the tcptype"));
                }
                Transport::Tcp(kind.to_owned())
            }
            // What its address looks like is that transport's business.
            _ => return Ok(Self::Ignored("the transport")),
        };
        // Active TCP candidates have no port of their own.
        if port == 0 && transport == Transport::Udp {
            return Err(bad("a UDP candidate's port must be a number from 1 to 65535"));
        }
        // The zone of a link-local address is the peer's own; it means nothing on this machine.
        let zoned = address.split_once('%').is_some_and(|(ip, zone)| ip.parse::<Ipv6Addr>().is_ok() && is_token(zone));
        if zoned {
            return Ok(Self::Ignored("the address's zone"));
        }
        let address = Address::parse(address).ok_or_else(|| bad("the address is not an IP address or a host name"))?;
        let kind = kind.to_ascii_lowercase();
        if !matches!(kind.as_str(), "host" | "srflx" | "prflx" | "relay") {
            return Ok(Self::Ignored("the type"));
        }
        // RTCP goes over RTP's transport here (RFC 5761), so only the first is of use.
        if component != 1 {
            return Ok(Self::Ignored("the component"));
        }
        let foundation = (*foundation).to_owned();
        Ok(Self::Candidate(Candidate { foundation, transport, priority, address, port, kind }))
    }
}

impl Candidate {
    /// The line of a candidate of ours as peers behind address translation that keeps the ports reach it: a host candidate
    /// goes to `address`, where that is of the same family. Others stay: STUN and TURN saw them from outside already.
    pub fn announced_at(line: String, address: IpAddr) -> String {
        match Line::parse(&line) {
            Ok(Line::Candidate(Self { kind, address: Address::Ip(own), .. }))
                if kind != "host" || own.is_ipv4() != address.is_ipv4() =>
            {
                line
            }
            Ok(Line::Candidate(candidate)) => Self { address: Address::Ip(address), ..candidate }.to_string(),
            Ok(Line::End | Line::Ignored(_)) | Err(_) => line,
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
        let Self { foundation, transport, priority, address, port, kind } = self;
        let name = if *transport == Transport::Udp { "UDP" } else { "TCP" };
        write!(f, "candidate:{foundation} 1 {name} {priority} ")?;
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
            assert_eq!(parse(good).unwrap().as_deref(), Some(good));
            assert_eq!(parse(&format!("a={good}\r\n")).unwrap().as_deref(), Some(good));
        }
        assert_eq!(parse("").unwrap().as_deref(), Some(""));
        assert_eq!(parse("a=end-of-candidates").unwrap().as_deref(), Some(""));
    }

    #[test]
    fn unknown_kinds_are_ignored_and_unknown_extensions_do_no_harm() {
        for (unknown, what) in [
            ("candidate:1 1 udp 1 192.0.2.1 1 typ alien", "type"),
            ("candidate:1 2 udp 1 192.0.2.1 1 typ host", "component"),
            ("candidate:1 256 udp 1 192.0.2.1 1 typ host", "component"),
            ("candidate:1 1 sctp 1 192.0.2.1 1 typ host", "transport"),
            ("candidate:1 1 ssltcp 1 192.0.2.1 443 typ host generation 0", "transport"),
            ("candidate:1 1 quic 1 what-ever:x 0 typ host", "transport"),
            ("candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype simultaneous", "tcptype"),
            ("candidate:1 1 udp 1 fe80::1%eth0 1 typ host", "zone"),
        ] {
            assert_eq!(parse(unknown).unwrap(), None, "{unknown}");
            let read = Line::parse(unknown).unwrap();
            assert!(matches!(read, Line::Ignored(words) if words.contains(what)), "{unknown}: {read:?}");
        }
        let extended = format!("{HOST} x-new-thing 5 another with-what url turn:example.org");
        assert_eq!(parse(&extended).unwrap(), Some(extended.clone()));
        let (Line::Candidate(plain), Line::Candidate(extended)) =
            (Line::parse(HOST).unwrap(), Line::parse(&extended).unwrap())
        else {
            panic!("both are candidates");
        };
        assert_eq!(plain, extended);
        let Line::Candidate(shouted) = Line::parse(&HOST.replace("typ host", "TYP HOST")).unwrap() else {
            panic!("names are not case-sensitive");
        };
        assert_eq!(plain, shouted);
    }

    #[test]
    fn everything_else_is_refused_with_a_reason() {
        for bad in [
            "hello",
            "candidate:",
            "candidate:1 1 udp 1 192.0.2.1",
            "candidate:1 0 udp 1 192.0.2.1 1 typ host",
            "candidate:1 1 udp x 192.0.2.1 1 typ host",
            "candidate:1 1 udp 1 192.0.2.1;rm 1 typ host",
            "candidate:1 1 udp 1 192.0.2.1 70000 typ host",
            "candidate:1 1 udp 1 192.0.2.1 1 typ host\u{0}",
            "candidate:1 1 udp 1 192.0.2.1 0 typ host",
            "candidate:1 1 udp 1 ::::: 1 typ host",
            "candidate:1 1 udp 1 2001:db8::1::2 1 typ host",
            "candidate:1 257 udp 1 192.0.2.1 1 typ host",
            "candidate:1 x udp 1 192.0.2.1 1 typ host",
            "candidate:1 1 u/p 1 192.0.2.1 1 typ host",
            "candidate:1 1 udp 1 192.0.2.1 1 typ h\u{f6}st",
            "candidate:1 1 udp 1 192.0.2.1 1 type host",
            "candidate:1 1 quic x 192.0.2.1 1 typ host",
            "candidate:1 1 udp 1 192.0.2.1%eth0 1 typ host",
            "candidate:1 1 udp 1 999.1.1.1 1 typ host",
            "candidate:1 1 udp 1 1.2.3 1 typ host",
            "candidate:1 1 udp 1 a..local 1 typ host",
            "candidate:1 1 udp 1 -a.local 1 typ host",
            "candidate:1 1 tcp 1 192.0.2.1 9 typ host",
        ] {
            let error = parse(bad).unwrap_err();
            assert!(error.public().contains("cannot be used"), "{bad}: {error}");
        }
        assert!(parse(&format!("{HOST} {}", "x ".repeat(600))).is_err());
    }

    #[test]
    fn what_is_valid_need_not_be_usable() {
        let usable = |text: &str, tcp| match Line::parse(text).unwrap() {
            Line::Candidate(candidate) => candidate.is_usable(tcp),
            other => panic!("{text}: {other:?}"),
        };
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
                if let Ok(Some(taken)) = parse(&input) {
                    proptest::prop_assert!(taken.is_empty() || taken.starts_with("candidate:"));
                    // What webrtcbin gets says the same in its own words.
                    if let read @ Line::Candidate(candidate) = &Line::parse(&taken).unwrap() {
                        proptest::prop_assert_eq!(&Line::parse(&candidate.to_string()).unwrap(), read);
                    }
                    proptest::prop_assert_eq!(parse(&taken).unwrap(), Some(taken));
                }
            }
        }
    }
}
