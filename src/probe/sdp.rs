//! Reads of an offer what str0m does not tell: m-lines in order, feedback, and where to send from.
//! Pure but for one look at the routing table; changes answers only where a peer is to misbehave.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
};

/// An m-line of an offer.
pub(super) struct MLine {
    /// Its id.
    pub(super) mid: String,
    /// Whether the sender takes generic NACKs for it.
    pub(super) nack: bool,
}

/// The m-lines in their order.
pub(super) fn m_lines(sdp: &str) -> Vec<MLine> {
    let mut lines: Vec<MLine> = Vec::new();
    for line in sdp.lines().map(str::trim_end) {
        if line.starts_with("m=") {
            lines.push(MLine { mid: String::new(), nack: false });
        } else if let Some(last) = lines.last_mut() {
            if let Some(mid) = line.strip_prefix("a=mid:") {
                last.mid = mid.into();
            }
            last.nack |= line.starts_with("a=rtcp-fb:") && line.ends_with(" nack");
        }
    }
    lines
}

/// The UDP addresses an offer's candidates name. Names (mDNS) and TCP are left out.
pub(super) fn remote_candidates(sdp: &str) -> Vec<SocketAddr> {
    let parse = |line: &str| {
        let mut fields = line.trim().strip_prefix("a=candidate:")?.split_ascii_whitespace().skip(2);
        let udp = fields.next()?.eq_ignore_ascii_case("udp");
        let address: IpAddr = fields.nth(1)?.parse().ok()?;
        let port = fields.next()?.parse().ok()?;
        udp.then_some(SocketAddr::new(address, port))
    };
    sdp.lines().filter_map(parse).collect()
}

/// The local address to bind so that a candidate can be reached: loopback where there is a loopback candidate, else the
/// address the system would send from. Loopback when there is no candidate to go by.
pub(super) fn local_address(remote: &[SocketAddr]) -> IpAddr {
    let mut order: Vec<_> = remote.to_vec();
    order.sort_by_key(|address| (!address.ip().is_loopback(), !address.is_ipv4()));
    let reach = |address: &SocketAddr| {
        let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { [0u16; 8].into() };
        // Connecting a UDP socket sends nothing; it only asks the routing table.
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect(address).ok()?;
        socket.local_addr().ok().map(|local| local.ip())
    };
    order.iter().find_map(reach).unwrap_or(Ipv4Addr::LOCALHOST.into())
}

/// An answer that also names an address by mDNS, as browsers do without camera permission; the candidate joins the list. The
/// name is looked up by nobody who is careful, and does not exist.
pub(super) fn with_mdns(answer: &str, port: u16, candidates: &mut Vec<String>) -> String {
    let name = uuid::Uuid::new_v4();
    let candidate = format!("candidate:2785383 1 udp 2113937151 {name}.local {port} typ host generation 0");
    let mut out = String::with_capacity(answer.len() + 128);
    for line in answer.lines() {
        let _ = write!(out, "{line}\r\n");
        if line.starts_with("a=ice-pwd:") {
            let _ = write!(out, "a={candidate}\r\n");
        }
    }
    candidates.push(candidate);
    out
}

/// An answer that names another certificate: the fingerprint's bytes in reverse order.
pub(super) fn with_wrong_fingerprint(answer: &str) -> String {
    let line = |line: &str| match line.strip_prefix("a=fingerprint:").and_then(|value| value.split_once(' ')) {
        Some((hash, digest)) => {
            let bytes: Vec<_> = digest.split(':').rev().collect();
            format!("a=fingerprint:{hash} {}\r\n", bytes.join(":"))
        }
        None => format!("{line}\r\n"),
    };
    answer.lines().map(line).collect()
}

/// Whether a datagram is SRTP media, by RFC 5764's first byte and RFC 5761's payload types.
pub(super) fn is_media(datagram: &[u8]) -> bool {
    matches!(datagram, [first, second, ..] if (128..192).contains(first) && !(64..96).contains(&(second & 0x7f)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDP: &str = "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:video0\r\na=rtcp-fb:96 nack\r\n\
        a=candidate:1 1 UDP 2015363327 127.0.0.1 40000 typ host\r\n\
        a=candidate:2 1 TCP 1015022079 127.0.0.1 9 typ host tcptype active\r\n\
        a=candidate:3 1 udp 2015363327 fe80::1 40001 typ host\r\n\
        a=candidate:4 1 udp 2015363327 4ba1.local 40002 typ host\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:video1\r\na=rtcp-fb:96 nack pli\r\n";

    #[test]
    fn m_lines_keep_their_order_and_feedback() {
        let lines = m_lines(SDP);
        let seen: Vec<_> = lines.iter().map(|line| (line.mid.as_str(), line.nack)).collect();
        assert_eq!(seen, [("video0", true), ("video1", false)]);
    }

    #[test]
    fn only_udp_addresses_are_candidates() {
        let seen: Vec<_> = remote_candidates(SDP).iter().map(ToString::to_string).collect();
        assert_eq!(seen, ["127.0.0.1:40000", "[fe80::1]:40001"]);
        assert_eq!(local_address(&remote_candidates(SDP)), IpAddr::from(Ipv4Addr::LOCALHOST));
        assert_eq!(local_address(&[]), IpAddr::from(Ipv4Addr::LOCALHOST));
    }

    #[test]
    fn media_is_told_from_rtcp_stun_and_dtls() {
        assert!(is_media(&[0x80, 96, 0]) && is_media(&[0x90, 0xe0, 0]));
        for other in [&[0x80u8, 200][..], &[0x81, 206], &[0, 1], &[22, 254], &[0x80]] {
            assert!(!is_media(other), "{other:?}");
        }
    }

    #[test]
    fn answers_can_be_bent() {
        let answer = "v=0\r\nm=video 9 X 96\r\na=ice-pwd:x\r\na=fingerprint:sha-256 01:02:03\r\n";
        let mut candidates = vec!["candidate:1".to_owned()];
        let bent = with_mdns(answer, 5000, &mut candidates);
        assert!(candidates[1].contains(".local 5000 typ host"), "{candidates:?}");
        assert!(bent.contains(&format!("a=ice-pwd:x\r\na={}\r\n", candidates[1])), "{bent}");
        assert!(with_wrong_fingerprint(answer).ends_with("a=fingerprint:sha-256 03:02:01\r\n"));
    }
}
