//! Checks a peer's answer and writes it anew for webrtcbin. Owns what of an answer counts: which streams it takes and as what,
//! and the one transport that all of them share.

use std::fmt::Write as _;

use super::{
    FIRST_PAYLOAD_TYPE, MAX_REMOTE_CANDIDATES, attribute, attributes, check_candidate, flag, named, parameter,
    payload_types, sections,
};
use crate::{
    core::peer::{
        fingerprint::{Fingerprint, Unusable},
        h264::{Profile, ProfileLevelId},
    },
    error::{Error, Result},
    model::Codec,
};

/// Most fingerprints kept of an answer: a peer has one certificate or two, and names each by a hash or two.
const MAX_FINGERPRINTS: usize = 8;
/// What a direction may be (RFC 8866, section 6.7).
const DIRECTIONS: [&str; 4] = ["sendrecv", "sendonly", "recvonly", "inactive"];

/// What was offered, as far as the answer must keep to it.
pub(in crate::media::gst) struct Terms<'a> {
    /// Each m-line's id.
    pub(in crate::media::gst) mids: &'a [String],
    /// Each m-line's H.264 profile; constrained baseline where there are fewer.
    pub(in crate::media::gst) h264: &'a [Profile],
    /// The codecs of every m-line.
    pub(in crate::media::gst) codecs: &'a [Codec],
    /// Whether candidates of TCP are of use.
    pub(in crate::media::gst) tcp: bool,
    /// Which m-line is of data channels, if one is.
    pub(in crate::media::gst) data: Option<usize>,
}

/// An answer that may be given to webrtcbin.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::media::gst) struct CheckedAnswer {
    /// Written anew from the answer's checked parts.
    pub(in crate::media::gst) sdp: String,
    /// Per m-line the codec and payload type to send, `None` where the peer takes no pictures.
    pub(in crate::media::gst) chosen: Vec<Option<(u8, Codec)>>,
    /// What the peer's certificate must be: one of these, never none.
    pub(in crate::media::gst) fingerprints: Vec<Fingerprint>,
}

/// What an m-line of the answer says.
enum Line {
    /// Port 0.
    Refused,
    /// It stays, but takes no pictures: `a=inactive`, or no codec of ours; then the words say why.
    Idle(Option<String>),
    /// It takes pictures.
    Accepted(Accepted),
    /// It takes data channels.
    Data(Sctp),
}

/// An association of data channels (RFC 8841).
struct Sctp {
    port: u16,
    /// Largest message that the peer takes, in bytes; 0 for any.
    max_message: u64,
}

struct Accepted {
    choice: (u8, Codec),
    /// The payload type of its retransmissions.
    rtx: Option<u8>,
    feedback: Vec<&'static str>,
}

/// ICE and DTLS, which all streams share.
struct Transport {
    ufrag: String,
    pwd: String,
    fingerprints: Vec<Fingerprint>,
    setup: &'static str,
    reduced_size: bool,
    candidates: Vec<String>,
}

fn refused(why: &str) -> Error {
    Error::invalid(format!("The answer's SDP cannot be used: {why}"))
}

/// Checks an answer against what was offered.
///
/// # Errors
/// Invalid, with a sentence that says what is wrong with it.
pub(in crate::media::gst) fn check_answer(text: &str, terms: &Terms<'_>) -> Result<CheckedAnswer> {
    check_shape(text)?;
    let sections = sections(text);
    let (Some(session), media) = (sections.first(), sections.get(1..).unwrap_or_default()) else {
        return Err(refused("it is empty."));
    };
    if session.first() != Some(&"v=0") {
        return Err(refused("it does not start with v=0."));
    }
    if media.len() != terms.mids.len() {
        return Err(refused(&format!(
            "the offer has {} m-line(s), the answer {}; answer every m-line, in the same order.",
            terms.mids.len(),
            media.len()
        )));
    }
    let mut lines = Vec::with_capacity(media.len());
    for (index, section) in media.iter().enumerate() {
        lines.push(read_line(session, section, index, terms)?);
    }
    if !lines.iter().any(|line| matches!(line, Line::Accepted(_))) {
        return Err(nothing_accepted(&lines, terms));
    }
    let members = bundle(session, terms.mids, &lines)?;
    let transport = Transport::read(session, media, &members, terms.tcp)?;
    let chosen = lines.iter().map(|line| match line {
        Line::Accepted(accepted) => Some(accepted.choice),
        Line::Refused | Line::Idle(_) | Line::Data(_) => None,
    });
    let (chosen, sdp) = (chosen.collect(), write(&lines, &transport, terms.mids, terms.data));
    Ok(CheckedAnswer { sdp, chosen, fingerprints: transport.fingerprints })
}

fn check_shape(text: &str) -> Result<()> {
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_end();
        let shaped =
            line.as_bytes().first().is_some_and(u8::is_ascii_lowercase) && line.as_bytes().get(1) == Some(&b'=');
        if !line.is_empty() && !shaped {
            return Err(refused(&format!("line {number} is not of the form x=value.")));
        }
    }
    Ok(())
}

fn nothing_accepted(lines: &[Line], terms: &Terms<'_>) -> Error {
    let names: Vec<_> = terms.codecs.iter().map(|codec| codec.name()).collect();
    let why = lines.iter().find_map(|line| match line {
        Line::Idle(why) => why.as_deref(),
        Line::Refused | Line::Accepted(_) | Line::Data(_) => None,
    });
    refused(&format!(
        "it accepts none of the streams. Offered was {}; {}",
        names.join(", "),
        why.unwrap_or("a browser without H.264 should name its codecs in the offer request.")
    ))
}

/// The direction of an m-line: the last that its own part names, else the session's (RFC 8866, section 6.7), else both ways.
fn direction<'a>(session: &[&'a str], section: &[&'a str]) -> &'a str {
    let last = |part: &[&'a str]| {
        let mut named = part.iter().rev().filter_map(|line| line.strip_prefix("a=").map(str::trim));
        named.find(|name| DIRECTIONS.contains(name))
    };
    last(section).or_else(|| last(session)).unwrap_or("sendrecv")
}

fn read_line(session: &[&str], section: &[&str], index: usize, terms: &Terms<'_>) -> Result<Line> {
    let refuse = |why: String| refused(&format!("m-line {index} {why}"));
    let words: Vec<_> = section.first().map(|line| line.split_whitespace().collect()).unwrap_or_default();
    if terms.data == Some(index) {
        return read_data_line(section, &words, index, terms);
    }
    let ["m=video", port, protocol, formats @ ..] = words.as_slice() else {
        return Err(refuse("is not a video line.".into()));
    };
    let mid = terms.mids.get(index).map_or("", String::as_str);
    if attribute(section, "mid").is_some_and(|answered| answered != mid) {
        return Err(refuse(format!("has another mid than the offer's '{mid}'.")));
    }
    let port: u16 = port.parse().map_err(|_| refuse("has no valid port.".into()))?;
    if port == 0 {
        return Ok(Line::Refused);
    }
    let direction = direction(session, section);
    if direction == "sendonly" {
        return Err(refuse("is sendonly; the server sends, so it must be recvonly.".into()));
    }
    if !protocol.ends_with("/SAVPF") {
        return Err(refuse("is not RTP over DTLS (UDP/TLS/RTP/SAVPF).".into()));
    }
    if direction == "inactive" {
        return Ok(Line::Idle(None));
    }
    let formats: Vec<u8> = formats.iter().filter_map(|format| format.parse().ok()).filter(|pt| *pt < 128).collect();
    let rtpmap = |payload: u8| named(section, "rtpmap", payload).next().unwrap_or_default();
    let codec_of = |payload: u8| match rtpmap(payload) {
        "" => payload_types(terms.codecs).into_iter().find(|(pt, _)| *pt == payload).map(|(_, codec)| codec),
        map => terms.codecs.iter().copied().find(|codec| {
            map.split_once('/').is_some_and(|(name, rate)| {
                name.eq_ignore_ascii_case(codec.name()) && rate.split('/').next() == Some("90000")
            })
        }),
    };
    let offered = terms.h264.get(index).copied().unwrap_or(Profile::CONSTRAINED_BASELINE);
    let mut why = None;
    let choice = formats.iter().find_map(|payload| {
        let codec = codec_of(*payload)?;
        if codec == Codec::H264
            && let Err(misfit) = check_h264(section, *payload, offered)
        {
            why.get_or_insert_with(|| format!("m-line {index} answers H264 {misfit}"));
            return None;
        }
        Some((*payload, codec))
    });
    let Some((payload, codec)) = choice else { return Ok(Line::Idle(why)) };
    let rtx = formats.iter().copied().find(|pt| {
        // RFC 4588, section 8.1: further parameters may stand beside it.
        let repairs = parameter(section, *pt, "apt").and_then(|apt| apt.parse().ok());
        rtpmap(*pt).to_ascii_lowercase().starts_with("rtx/") && repairs == Some(payload)
    });
    let answered: Vec<String> = named(section, "rtcp-fb", payload)
        .map(|value| value.split_whitespace().collect::<Vec<_>>().join(" ").to_ascii_lowercase())
        .collect();
    let feedback = ["nack", "nack pli", "ccm fir"].into_iter();
    let feedback = feedback.filter(|known| answered.iter().any(|feedback| feedback == known)).collect();
    Ok(Line::Accepted(Accepted { choice: (payload, codec), rtx, feedback }))
}

/// The m-line of data channels. One that asks for something else than the offer, or for nothing, is refused.
fn read_data_line(section: &[&str], words: &[&str], index: usize, terms: &Terms<'_>) -> Result<Line> {
    let refuse = |why: String| refused(&format!("m-line {index} {why}"));
    let ["m=application", port, protocol, format, ..] = words else {
        return Err(refuse("is not an application line, which the offer has there for data channels.".into()));
    };
    let mid = terms.mids.get(index).map_or("", String::as_str);
    if attribute(section, "mid").is_some_and(|answered| answered != mid) {
        return Err(refuse(format!("has another mid than the offer's '{mid}'.")));
    }
    let port: u16 = port.parse().map_err(|_| refuse("has no valid port.".into()))?;
    if port == 0 {
        return Ok(Line::Refused);
    }
    if !protocol.ends_with("DTLS/SCTP") || *format != "webrtc-datachannel" {
        return Err(refuse("is not of data channels (UDP/DTLS/SCTP webrtc-datachannel).".into()));
    }
    // Both as in RFC 8841, sections 5 and 6: where it says nothing, the usual port and 64 KiB.
    let number = |name: &str, otherwise: u64| match attribute(section, name) {
        None => Ok(otherwise),
        Some(value) => value.parse().map_err(|_| refuse(format!("has an a={name} that is no number."))),
    };
    let port = u16::try_from(number("sctp-port", 5000)?).ok().filter(|port| *port > 0);
    let port = port.ok_or_else(|| refuse("has an a=sctp-port that is no port.".into()))?;
    Ok(Line::Data(Sctp { port, max_message: number("max-message-size", 65_536)? }))
}

/// Whether an H.264 format of the answer is the one that was offered (RFC 6184, section 8.2.2): packets of mode 1, and a profile
/// whose decoders show what is sent. The level does not count: browsers name 3.1 for themselves whatever they can do, which
/// `level-asymmetry-allowed` permits. A format without any parameters is taken for a repetition of what was offered.
///
/// # Errors
/// Words for what does not fit.
fn check_h264(section: &[&str], payload: u8, offered: Profile) -> Result<(), String> {
    if named(section, "fmtp", payload).next().is_none() {
        return Ok(());
    }
    let mode = parameter(section, payload, "packetization-mode").unwrap_or("0");
    if mode.parse() != Ok(1u8) {
        return Err(
            "without packetization-mode=1, but that is how the server sends; answer with packetization-mode=1.".into(),
        );
    }
    match parameter(section, payload, "profile-level-id").map(str::parse::<ProfileLevelId>) {
        None => Ok(()),
        Some(Ok(answered)) if answered.profile.shows(offered) => Ok(()),
        Some(Ok(answered)) => Err(format!(
            "in {} profile, which cannot show the {offered} profile that the server's pipeline makes; use a pipeline with \
             profile=constrained-baseline, or another codec.",
            answered.profile
        )),
        Some(Err(())) => Err("with a profile-level-id that is not six hexadecimal digits; repeat the offer's.".into()),
    }
}

/// The m-lines that share the transport, the one whose transport it is first: the answer's BUNDLE group (RFC 9143, section 7.3).
///
/// # Errors
/// Invalid: a stream is accepted outside of it. It would stay dark, for the server has one transport.
fn bundle(session: &[&str], mids: &[String], lines: &[Line]) -> Result<Vec<usize>> {
    let lives = |index: &usize| lines.get(*index).is_some_and(|line| !matches!(line, Line::Refused));
    let mut groups = attributes(session, "group").filter_map(|group| {
        let mut words = group.split_whitespace();
        (words.next() == Some("BUNDLE")).then(|| {
            words.filter_map(|mid| mids.iter().position(|known| known == mid)).filter(lives).collect::<Vec<_>>()
        })
    });
    let accepted: Vec<usize> =
        (0..lines.len()).filter(|index| matches!(lines.get(*index), Some(Line::Accepted(_) | Line::Data(_)))).collect();
    let members = groups.find(|members| accepted.iter().any(|index| members.contains(index)));
    let Some(members) = members else {
        // One stream needs no group.
        return if accepted.len() == 1 { Ok(accepted) } else { Err(not_bundled(&accepted, &[], mids)) };
    };
    if accepted.iter().all(|index| members.contains(index)) {
        Ok(members)
    } else {
        Err(not_bundled(&accepted, &members, mids))
    }
}

fn not_bundled(accepted: &[usize], members: &[usize], mids: &[String]) -> Error {
    let outside = accepted.iter().find(|index| !members.contains(index)).copied().unwrap_or_default();
    let wanted: Vec<_> = accepted.iter().filter_map(|index| mids.get(*index)).map(String::as_str).collect();
    refused(&format!(
        "m-line {outside} is accepted but not in the answer's BUNDLE group, and the server sends all streams over one transport. \
         Answer with a=group:BUNDLE {} (in GStreamer: bundle-policy=max-bundle), or refuse the m-line with port 0.",
        wanted.join(" ")
    ))
}

impl Transport {
    /// Reads the transport from the group's first m-line, which is where it has to stand (RFC 9143, section 7.1.3); what is not
    /// there is looked for in the session part and then on the other members.
    fn read(session: &[&str], media: &[Vec<&str>], members: &[usize], tcp: bool) -> Result<Self> {
        let tagged = members.first().copied().unwrap_or_default();
        let refuse = |why: String| refused(&format!("m-line {tagged} {why}"));
        let of_members: Vec<&[&str]> =
            members.iter().filter_map(|index| media.get(*index)).map(Vec::as_slice).collect();
        let mut parts = of_members.clone();
        parts.insert(parts.len().min(1), session);
        let need = |name: &str| {
            parts.iter().find_map(|part| attribute(part, name)).ok_or_else(|| refuse(format!("lacks a={name}.")))
        };
        // Both from the same place: a ufrag and a password of two different m-lines do not belong together.
        let both = parts.iter().find_map(|part| attribute(part, "ice-ufrag").zip(attribute(part, "ice-pwd")));
        let (ufrag, pwd) = match both {
            Some(both) => both,
            None => (need("ice-ufrag")?, need("ice-pwd")?),
        };
        let ice_chars = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '+' || c == '/');
        // Lengths from RFC 8839, section 5.4.
        if !(4..=256).contains(&ufrag.len()) || !(22..=256).contains(&pwd.len()) || !ice_chars(ufrag) || !ice_chars(pwd)
        {
            return Err(refuse("has ICE credentials that are not valid.".into()));
        }
        let mut fingerprints = parts.iter().map(|part| attributes(part, "fingerprint").collect::<Vec<_>>());
        let fingerprints = fingerprints.find(|found| !found.is_empty());
        let fingerprints = fingerprints.ok_or_else(|| refuse("lacks a=fingerprint.".into()))?;
        let fingerprints = read_fingerprints(&fingerprints).map_err(refuse)?;
        let setup = need("setup")?;
        let setup = ["active", "passive"].into_iter().find(|known| *known == setup);
        let setup = setup.ok_or_else(|| refuse("must say a=setup:active or a=setup:passive.".into()))?;
        if !parts.iter().any(|part| flag(part, "rtcp-mux")) {
            return Err(refuse("lacks a=rtcp-mux.".into()));
        }
        let mut candidates: Vec<String> = Vec::new();
        let lines = of_members.iter().flat_map(|part| part.iter()).filter_map(|line| line.strip_prefix("a="));
        for candidate in lines.filter_map(|line| check_candidate(line, tcp)) {
            if candidates.len() < MAX_REMOTE_CANDIDATES && !candidates.contains(&candidate) {
                candidates.push(candidate);
            }
        }
        let reduced_size = parts.iter().any(|part| flag(part, "rtcp-rsize"));
        Ok(Self { ufrag: ufrag.into(), pwd: pwd.into(), fingerprints, setup, reduced_size, candidates })
    }
}

/// All fingerprints whose hash function is known (RFC 8122, section 5: several may stand beside one another).
fn read_fingerprints(values: &[&str]) -> Result<Vec<Fingerprint>, String> {
    let mut found = Vec::new();
    for value in values.iter().take(MAX_FINGERPRINTS) {
        match Fingerprint::parse(value) {
            Ok(fingerprint) => found.push(fingerprint),
            Err(Unusable::UnknownHash) => {}
            Err(Unusable::Malformed) => return Err("has a DTLS fingerprint that is not valid.".into()),
        }
    }
    if found.is_empty() {
        return Err("has no DTLS fingerprint of a known hash function; use sha-256.".into());
    }
    Ok(found)
}

/// The answer as webrtcbin is to see it.
fn write(lines: &[Line], transport: &Transport, mids: &[String], data: Option<usize>) -> String {
    let Transport { ufrag, pwd, fingerprints, setup, reduced_size, candidates } = transport;
    let mut secured = format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\na=setup:{setup}\r\n");
    for fingerprint in fingerprints {
        let _ = write!(secured, "a=fingerprint:{fingerprint}\r\n");
    }
    let reduced = if *reduced_size { "a=rtcp-rsize\r\n" } else { "" };
    let shared = format!("a=rtcp-mux\r\n{reduced}{secured}");
    let mut out = format!("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\n", mids.join(" "));
    for (index, (line, mid)) in lines.iter().zip(mids).enumerate() {
        match line {
            Line::Accepted(Accepted { choice: (payload, codec), rtx, feedback }) => {
                let _ = write!(out, "m=video 9 UDP/TLS/RTP/SAVPF {payload}");
                if let Some(rtx) = rtx {
                    let _ = write!(out, " {rtx}");
                }
                let _ = write!(
                    out,
                    "\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=recvonly\r\n{shared}a=rtpmap:{payload} {}/90000\r\n",
                    codec.name()
                );
                for feedback in feedback {
                    let _ = write!(out, "a=rtcp-fb:{payload} {feedback}\r\n");
                }
                if let Some(rtx) = rtx {
                    let _ = write!(out, "a=rtpmap:{rtx} rtx/90000\r\na=fmtp:{rtx} apt={payload}\r\n");
                }
            }
            Line::Data(Sctp { port, max_message }) => {
                let _ = write!(
                    out,
                    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\n{secured}\
                     a=sctp-port:{port}\r\na=max-message-size:{max_message}\r\n"
                );
            }
            Line::Refused if data == Some(index) => {
                let _ = write!(
                    out,
                    "m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\n"
                );
            }
            // webrtcbin hangs the group's transport on the first m-line and drops it with that one when its port is 0. So what
            // the peer refused is only inactive here: nothing is sent for it, and the others keep their transport.
            Line::Idle(_) | Line::Refused => {
                let _ = write!(
                    out,
                    "m=video 9 UDP/TLS/RTP/SAVPF {FIRST_PAYLOAD_TYPE}\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\n\
                     a=inactive\r\n{shared}"
                );
            }
        }
        // The transport is the first m-line's, and so are the ways to it.
        for candidate in candidates.iter().filter(|_| index == 0) {
            let _ = write!(out, "a={candidate}\r\n");
        }
    }
    out
}
