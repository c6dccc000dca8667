//! SDP and candidates as text: finishes the offer, checks the answer. Pure; owns the rule that webrtcbin sees only an
//! answer written here from checked parts, because it asserts on some of what peers can send.

use std::fmt::Write as _;

use crate::{
    core::candidate::Candidate,
    error::{Error, Result},
    model::{Codec, IceCandidate, SessionId, StreamType},
};

/// Most candidates taken from one peer; a browser on a machine with many interfaces sends about twenty.
pub(super) const MAX_REMOTE_CANDIDATES: usize = 64;
/// The first payload type of the dynamic range (RFC 3551); codecs count up from here in the order they are offered.
const FIRST_PAYLOAD_TYPE: u8 = 96;
/// First payload type given to a retransmission format that webrtcbin does not write itself.
const FIRST_EXTRA_RTX: u8 = 110;

/// The payload type that each offered codec gets.
pub(super) fn payload_types(codecs: &[Codec]) -> Vec<(u8, Codec)> {
    (FIRST_PAYLOAD_TYPE..).zip(codecs.iter().copied()).collect()
}

/// An answer that may be given to webrtcbin.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CheckedAnswer {
    /// Written anew from the answer's checked parts.
    pub(super) sdp: String,
    /// Per m-line the codec and payload type to send, `None` where the peer refused the stream.
    pub(super) chosen: Vec<Option<(u8, Codec)>>,
}

/// Finishes webrtcbin's offer for the wire: stream names as `a=msid`, H.264 parameters, retransmission for every codec,
/// and the gathered candidates on their m-lines.
pub(super) fn finish_offer(
    local: &str,
    session: &SessionId,
    streams: &[StreamType],
    codecs: &[Codec],
    candidates: &[(u32, String)],
    complete: bool,
) -> String {
    let mut out = String::with_capacity(local.len() + 512);
    for (index, section) in sections(local).iter().enumerate() {
        let Some(mline) = index.checked_sub(1) else {
            section.iter().for_each(|line| push(&mut out, line));
            continue;
        };
        let stream = streams.get(mline);
        let has_rtx = section.iter().any(|line| line.contains(" rtx/"));
        let mut extra = String::new();
        for (payload, codec) in payload_types(codecs) {
            if codec == Codec::H264 {
                // Not in the codec preferences: the payloader's caps name the SPS's own level and would not match them.
                let _ = write!(
                    extra,
                    "a=fmtp:{payload} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n"
                );
            }
        }
        let mut formats = String::new();
        let mut written: Vec<String> = Vec::new();
        for (number, (payload, _)) in (FIRST_EXTRA_RTX..).zip(payload_types(codecs).into_iter().skip(1)) {
            // webrtcbin writes a retransmission format for the first codec only, but obeys the answer for any.
            if !has_rtx {
                break;
            }
            let _ = write!(formats, " {number}");
            let _ = write!(extra, "a=rtpmap:{number} rtx/90000\r\na=fmtp:{number} apt={payload}\r\n");
            for feedback in ["nack", "nack pli"] {
                let line = format!("a=rtcp-fb:{payload} {feedback}");
                if !section.contains(&line.as_str()) {
                    push(&mut extra, &line);
                }
            }
        }
        for line in section {
            let h264_fmtp = payload_types(codecs)
                .iter()
                .any(|(payload, codec)| *codec == Codec::H264 && line.starts_with(&format!("a=fmtp:{payload} ")));
            // Offered by 1.22 although nothing here reads it; a peer would send reports for nobody.
            let congestion = line.starts_with("a=rtcp-fb:") && line.ends_with(" transport-cc");
            let rewritten = ["a=candidate:", "a=end-of-candidates", "a=msid:"].iter().any(|own| line.starts_with(own));
            if line.starts_with("m=") {
                push(&mut out, &format!("{line}{formats}"));
            } else if !(h264_fmtp || congestion || rewritten) {
                let named = match (line.split_once(" msid:"), stream) {
                    (Some((ssrc, _)), Some(stream)) if line.starts_with("a=ssrc:") => {
                        format!("{ssrc} msid:{session} {stream}")
                    }
                    _ => (*line).to_owned(),
                };
                // With an SSRC in the codec preferences of several codecs, 1.22 writes its lines once per codec.
                if !named.starts_with("a=ssrc:") || !written.contains(&named) {
                    push(&mut out, &named);
                    written.push(named);
                }
            }
        }
        out.push_str(&extra);
        if let Some(stream) = stream {
            push(&mut out, &format!("a=msid:{session} {stream}"));
        }
        let mut any = false;
        for (_, candidate) in candidates.iter().filter(|(at, _)| usize::try_from(*at) == Ok(mline)) {
            push(&mut out, &format!("a={candidate}"));
            any = true;
        }
        if complete && any {
            push(&mut out, "a=end-of-candidates");
        }
    }
    out
}

/// The `a=mid` of every m-line, in order.
pub(super) fn mids(sdp: &str) -> Vec<String> {
    sections(sdp)
        .iter()
        .skip(1)
        .enumerate()
        .map(|(index, section)| attribute(section, "mid").map_or_else(|| index.to_string(), str::to_owned))
        .collect()
}

/// The candidates of an SDP with the m-line they stand on.
pub(super) fn candidates(sdp: &str) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    for (mline, section) in (0u32..).zip(sections(sdp).iter().skip(1)) {
        let lines = section.iter().filter_map(|line| line.strip_prefix("a="));
        found.extend(lines.filter(|line| line.starts_with("candidate:")).map(|line| (mline, line.to_owned())));
    }
    found
}

/// Checks an answer against what was offered.
///
/// # Errors
/// Invalid, with a sentence that says what is wrong with it.
pub(super) fn check_answer(text: &str, mids: &[String], codecs: &[Codec], tcp: bool) -> Result<CheckedAnswer> {
    let refuse = |why: &str| Err(Error::invalid(format!("The answer's SDP cannot be used: {why}")));
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_end();
        let shaped =
            line.as_bytes().first().is_some_and(u8::is_ascii_lowercase) && line.as_bytes().get(1) == Some(&b'=');
        if !line.is_empty() && !shaped {
            return refuse(&format!("line {number} is not of the form x=value."));
        }
    }
    let sections = sections(text);
    let (Some(session), media) = (sections.first(), sections.get(1..).unwrap_or_default()) else {
        return refuse("it is empty.");
    };
    if session.first() != Some(&"v=0") {
        return refuse("it does not start with v=0.");
    }
    if media.len() != mids.len() {
        return refuse(&format!(
            "the offer has {} m-line(s), the answer {}; answer every m-line, in the same order.",
            mids.len(),
            media.len()
        ));
    }
    let mut checked = Vec::with_capacity(media.len());
    for (index, (section, mid)) in media.iter().zip(mids).enumerate() {
        checked.push(check_media(session, section, index, mid, codecs, tcp)?);
    }
    let bundled: Vec<_> =
        mids.iter().zip(&checked).filter(|(_, accepted)| accepted.is_some()).map(|(mid, _)| mid.as_str()).collect();
    if bundled.is_empty() {
        let names: Vec<_> = codecs.iter().map(|codec| codec.name()).collect();
        return refuse(&format!(
            "it accepts none of the streams. Offered was {}; a browser without H.264 should name its codecs in the offer request.",
            names.join(", ")
        ));
    }
    let transport = checked.iter().flatten().map(|accepted| accepted.transport.as_str()).next().unwrap_or_default();
    let mut body = String::new();
    for (mid, accepted) in mids.iter().zip(&checked) {
        let _ = match accepted {
            Some(Accepted { mline, transport, attributes, .. }) => {
                write!(body, "{mline}\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=recvonly\r\n{transport}{attributes}")
            }
            // 1.22 wants the transport's attributes on a refused m-line, too.
            None => write!(
                body,
                "m=video 0 UDP/TLS/RTP/SAVPF {FIRST_PAYLOAD_TYPE}\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\n\
                 a=inactive\r\n{transport}"
            ),
        };
    }
    let chosen = checked.iter().map(|accepted| accepted.as_ref().map(|accepted| accepted.choice)).collect();
    let sdp =
        format!("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\n{body}", bundled.join(" "));
    Ok(CheckedAnswer { sdp, chosen })
}

/// An m-line of an answer that accepts its stream.
struct Accepted {
    choice: (u8, Codec),
    mline: String,
    /// ICE and DTLS.
    transport: String,
    attributes: String,
}

fn check_media(
    session: &[&str],
    section: &[&str],
    index: usize,
    mid: &str,
    codecs: &[Codec],
    tcp: bool,
) -> Result<Option<Accepted>> {
    let refuse = |why: String| Error::invalid(format!("The answer's SDP cannot be used: m-line {index} {why}"));
    let words: Vec<_> = section.first().map(|line| line.split_whitespace().collect()).unwrap_or_default();
    let ["m=video", port, protocol, formats @ ..] = words.as_slice() else {
        return Err(refuse("is not a video line.".into()));
    };
    if attribute(section, "mid").is_some_and(|answered| answered != mid) {
        return Err(refuse(format!("has another mid than the offer's '{mid}'.")));
    }
    let port: u16 = port.parse().map_err(|_| refuse("has no valid port.".into()))?;
    if port == 0 || flag(section, "inactive") {
        return Ok(None);
    }
    if flag(section, "sendonly") {
        return Err(refuse("is sendonly; the server sends, so it must be recvonly.".into()));
    }
    if !protocol.ends_with("/SAVPF") {
        return Err(refuse("is not RTP over DTLS (UDP/TLS/RTP/SAVPF).".into()));
    }
    let formats: Vec<u8> = formats.iter().filter_map(|format| format.parse().ok()).filter(|pt| *pt < 128).collect();
    let rtpmap = |payload: u8| named(section, "rtpmap", payload).next().unwrap_or_default();
    let codec_of = |payload: u8| match rtpmap(payload) {
        "" => payload_types(codecs).into_iter().find(|(pt, _)| *pt == payload).map(|(_, codec)| codec),
        map => codecs.iter().copied().find(|codec| {
            map.split_once('/').is_some_and(|(name, rate)| {
                name.eq_ignore_ascii_case(codec.name()) && rate.split('/').next() == Some("90000")
            })
        }),
    };
    let Some((payload, codec)) = formats.iter().find_map(|pt| codec_of(*pt).map(|codec| (*pt, codec))) else {
        return Ok(None);
    };
    let either = |name: &str| attribute(section, name).or_else(|| attribute(session, name));
    let need = |name: &str| either(name).ok_or_else(|| refuse(format!("lacks a={name}.")));
    let (ufrag, pwd) = (need("ice-ufrag")?, need("ice-pwd")?);
    let ice_chars = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '+' || c == '/');
    // Lengths from RFC 8839, section 5.4.
    if !(4..=256).contains(&ufrag.len()) || !(22..=256).contains(&pwd.len()) || !ice_chars(ufrag) || !ice_chars(pwd) {
        return Err(refuse("has ICE credentials that are not valid.".into()));
    }
    let fingerprint = need("fingerprint")?;
    if !is_fingerprint(fingerprint) {
        return Err(refuse("has a DTLS fingerprint that is not valid.".into()));
    }
    let setup = need("setup")?;
    if setup != "active" && setup != "passive" {
        return Err(refuse("must say a=setup:active or a=setup:passive.".into()));
    }
    if !flag(section, "rtcp-mux") {
        return Err(refuse("lacks a=rtcp-mux.".into()));
    }
    let rtx = formats.iter().copied().find(|pt| {
        rtpmap(*pt).to_ascii_lowercase().starts_with("rtx/")
            && named(section, "fmtp", *pt).any(|parameters| parameters.trim() == format!("apt={payload}"))
    });
    let mut mline = format!("m=video 9 UDP/TLS/RTP/SAVPF {payload}");
    if let Some(rtx) = rtx {
        let _ = write!(mline, " {rtx}");
    }
    let transport = format!(
        "a=rtcp-mux\r\na=rtcp-rsize\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\na=fingerprint:{fingerprint}\r\n\
         a=setup:{setup}\r\n"
    );
    let mut out = format!("a=rtpmap:{payload} {}/90000\r\n", codec.name());
    for feedback in ["nack", "nack pli", "ccm fir"] {
        if named(section, "rtcp-fb", payload).any(|answered| answered.trim() == feedback) {
            let _ = write!(out, "a=rtcp-fb:{payload} {feedback}\r\n");
        }
    }
    if let Some(rtx) = rtx {
        let _ = write!(out, "a=rtpmap:{rtx} rtx/90000\r\na=fmtp:{rtx} apt={payload}\r\n");
    }
    let candidates = section.iter().filter_map(|line| line.strip_prefix("a="));
    for candidate in candidates.filter_map(|line| check_candidate(line, tcp)).take(MAX_REMOTE_CANDIDATES) {
        let _ = write!(out, "a={candidate}\r\n");
    }
    Ok(Some(Accepted { choice: (payload, codec), mline, transport, attributes: out }))
}

/// A peer's candidate, written anew from its checked parts; `None` for one that does not parse or cannot be used.
pub(super) fn check_candidate(text: &str, tcp: bool) -> Option<String> {
    let candidate = Candidate::parse(text).ok().flatten()?;
    candidate.is_usable(tcp).then(|| candidate.to_string())
}

/// The m-line a peer's candidate belongs to: by index, else by mid, else the first.
pub(super) fn candidate_mline(candidate: &IceCandidate, mids: &[String]) -> Option<u32> {
    let by_mid = || {
        let mid = candidate.sdp_mid.as_deref().filter(|mid| !mid.is_empty())?;
        mids.iter().position(|known| known == mid).and_then(|index| u32::try_from(index).ok())
    };
    match candidate.sdp_mline_index {
        Some(index) => usize::try_from(index).is_ok_and(|index| index < mids.len()).then_some(index),
        None => by_mid().or(Some(0)),
    }
}

fn is_fingerprint(text: &str) -> bool {
    let Some((hash, digest)) = text.split_once(' ') else { return false };
    let bytes: Vec<_> = digest.trim().split(':').collect();
    let expected = match hash.to_ascii_lowercase().as_str() {
        "sha-1" => 20,
        "sha-224" => 28,
        "sha-256" => 32,
        "sha-384" => 48,
        "sha-512" => 64,
        _ => return false,
    };
    bytes.len() == expected && bytes.iter().all(|byte| byte.len() == 2 && byte.chars().all(|c| c.is_ascii_hexdigit()))
}

/// The session part and then each m-line's part.
fn sections(sdp: &str) -> Vec<Vec<&str>> {
    let mut sections = vec![Vec::new()];
    for line in sdp.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        if line.starts_with("m=") {
            sections.push(Vec::new());
        }
        if let Some(section) = sections.last_mut() {
            section.push(line);
        }
    }
    sections
}

fn attribute<'a>(section: &[&'a str], name: &str) -> Option<&'a str> {
    section.iter().find_map(|line| line.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':'))
}

fn flag(section: &[&str], name: &str) -> bool {
    section.iter().any(|line| line.strip_prefix("a=") == Some(name))
}

/// The values of `a=<name>:<payload> <value>`.
fn named<'a>(section: &'a [&'a str], name: &'a str, payload: u8) -> impl Iterator<Item = &'a str> {
    section.iter().filter_map(move |line| {
        let (number, value) = line.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':')?.split_once(' ')?;
        (number.parse() == Ok(payload)).then_some(value)
    })
}

fn push(out: &mut String, line: &str) {
    out.push_str(line);
    out.push_str("\r\n");
}
