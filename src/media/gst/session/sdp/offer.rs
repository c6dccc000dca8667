//! Finishes webrtcbin's offer for the wire. Owns what stands in an offer beside what webrtcbin writes.

use std::fmt::Write as _;

use super::{FIRST_PAYLOAD_TYPE, attribute, payload_types, push, sections};
use crate::{
    core::peer::h264::ProfileLevelId,
    model::{Codec, SessionId},
};

/// First payload type given to a retransmission format that webrtcbin does not write itself.
const FIRST_EXTRA_RTX: u8 = 110;

/// What names the one ICE transport that all m-lines share.
const CREDENTIALS: [&str; 2] = ["ice-ufrag", "ice-pwd"];

/// The SSRC of the retransmissions of a stream, by the stream's own (RFC 5576, section 4.2).
pub(in crate::media::gst) fn repair_ssrc(offer: &str, ssrc: u32) -> Option<u32> {
    offer.lines().find_map(|line| {
        let (of, repair) = line.strip_prefix("a=ssrc-group:FID ")?.trim().split_once(' ')?;
        (of.parse() == Ok(ssrc)).then(|| repair.parse().ok())?
    })
}

/// The offer with another SSRC in its lines about SSRCs.
pub(in crate::media::gst) fn with_other_ssrc(offer: &str, ssrc: u32, other: u32) -> String {
    let (ssrc, other) = (ssrc.to_string(), other.to_string());
    let mut out = String::with_capacity(offer.len());
    for line in offer.lines() {
        match line.strip_prefix("a=ssrc") {
            None => push(&mut out, line),
            Some(rest) => {
                let words = rest.split(' ').map(|word| match word.strip_prefix(':') {
                    Some(number) if number == ssrc => format!(":{other}"),
                    _ if word == ssrc => other.clone(),
                    _ => word.to_owned(),
                });
                push(&mut out, &format!("a=ssrc{}", words.collect::<Vec<_>>().join(" ")));
            }
        }
    }
    out
}

/// A line of an m-line's part with other payload types, each for one that it may name.
fn with_types(line: &str, renamed: &[(u8, u8)]) -> String {
    let of = |number: &str| match number.parse::<u8>().ok().and_then(|pt| renamed.iter().find(|(from, _)| *from == pt))
    {
        Some((_, to)) => to.to_string(),
        None => number.to_owned(),
    };
    if let Some((head, formats)) = line.strip_prefix("m=video ").and_then(|line| line.split_once("SAVPF ")) {
        let formats: Vec<_> = formats.split_whitespace().map(of).collect();
        return format!("m=video {head}SAVPF {}", formats.join(" "));
    }
    for name in ["a=rtpmap:", "a=fmtp:", "a=rtcp-fb:"] {
        if let Some((number, rest)) = line.strip_prefix(name).and_then(|rest| rest.split_once(' ')) {
            return format!("{name}{} {rest}", of(number));
        }
    }
    line.to_owned()
}

/// Finishes webrtcbin's offer for the wire: stream names as `a=msid`, H.264 parameters, retransmission for every codec,
/// and the transport with all gathered candidates on every m-line. Each m-line's stream comes by its name, with what its H.264
/// will be, where that is offered; what is named for an m-line of data counts for nothing.
///
/// webrtcbin writes credentials of its own on each m-line and the candidates on the first, though it has the first's transport only.
/// A peer that refuses the first m-line takes the transport from the next one (Chromium), where it has to find the same.
pub(in crate::media::gst) fn finish_offer(
    local: &str,
    session: &SessionId,
    streams: &[(String, Option<ProfileLevelId>)],
    codecs: &[Codec],
    candidates: &[(u32, String)],
    complete: bool,
) -> String {
    let mut out = String::with_capacity(local.len() + 512);
    let sections = sections(local);
    let shared = |line: &str| {
        let name = CREDENTIALS.into_iter().find(|name| attribute(&[line], name).is_some())?;
        attribute(sections.get(1)?, name).map(|value| format!("a={name}:{value}"))
    };
    for (index, section) in sections.iter().enumerate() {
        let Some(mline) = index.checked_sub(1) else {
            section.iter().for_each(|line| push(&mut out, line));
            continue;
        };
        let stream = streams.get(mline).filter(|_| section.first().is_some_and(|line| line.starts_with("m=video ")));
        let has_rtx = section.iter().any(|line| line.contains(" rtx/"));
        let mut extra = String::new();
        // In a later offer webrtcbin names only the codec that was chosen.
        let offers = |payload: u8| section.iter().any(|line| line.starts_with(&format!("a=rtpmap:{payload} ")));
        let named: Vec<_> = payload_types(codecs).into_iter().filter(|(payload, _)| offers(*payload)).collect();
        for (payload, codec) in named.iter().copied() {
            if let (Codec::H264, Some((_, Some(id)))) = (codec, stream) {
                // Not in the codec preferences: the payloader's caps name the SPS's own level and would not match them.
                let _ = write!(
                    extra,
                    "a=fmtp:{payload} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={id}\r\n"
                );
            }
        }
        let mut formats = String::new();
        let mut written: Vec<String> = Vec::new();
        // The payload type of a codec's retransmissions is the same in every offer, because webrtcbin sends those of a codec with one
        // type on all m-lines. In a first offer the type of the first codec's is webrtcbin's own choice.
        let repair_of = |payload: u8| {
            let place = payload_types(codecs).iter().position(|(known, _)| *known == payload)?;
            let place = u8::try_from(place).ok()?;
            Some(if place == 0 {
                FIRST_PAYLOAD_TYPE + payload_types(codecs).len() as u8
            } else {
                FIRST_EXTRA_RTX + place - 1
            })
        };
        // What webrtcbin writes itself, for the first codec or for those that it knows from before: the type, and what it is for.
        let own = section.iter().filter_map(|line| {
            let (own, of) = line.strip_prefix("a=fmtp:")?.split_once(" apt=")?;
            Some((own.parse::<u8>().ok()?, of.trim().parse::<u8>().ok()?))
        });
        let own: Vec<_> = own.collect();
        let renamed: Vec<_> = own.iter().filter_map(|(own, of)| Some((*own, repair_of(*of)?))).collect();
        let without = |payload: u8| !own.iter().any(|(_, of)| *of == payload);
        for (payload, _) in named.iter().copied().filter(|(payload, _)| without(*payload)) {
            // webrtcbin writes a retransmission format for one codec only, but obeys the answer for any.
            let (true, Some(number)) = (has_rtx, repair_of(payload)) else { break };
            let _ = write!(formats, " {number}");
            let _ = write!(extra, "a=rtpmap:{number} rtx/90000\r\na=fmtp:{number} apt={payload}\r\n");
            for feedback in ["nack", "nack pli"] {
                let line = format!("a=rtcp-fb:{payload} {feedback}");
                if !section.contains(&line.as_str()) {
                    push(&mut extra, &line);
                }
            }
        }
        let section: Vec<_> = section.iter().map(|line| with_types(line, &renamed)).collect();
        let section: Vec<&str> = section.iter().map(String::as_str).collect();
        let section = &section;
        for line in section {
            let h264_fmtp = payload_types(codecs)
                .iter()
                .any(|(payload, codec)| *codec == Codec::H264 && line.starts_with(&format!("a=fmtp:{payload} ")));
            // Offered by 1.22 although nothing here reads it; a peer would send reports for nobody.
            let congestion = line.starts_with("a=rtcp-fb:") && line.ends_with(" transport-cc");
            let rewritten = ["a=candidate:", "a=end-of-candidates", "a=msid:"].iter().any(|own| line.starts_with(own));
            // webrtcbin gives all but the first m-line port 0, which `bundle-only` allows (RFC 9143, section 6); but some peers
            // (werift, older str0m) read port 0 as "refused" there too. Browsers offer port 9.
            let bundle_only = *line == "a=bundle-only";
            if let Some(media) = line.strip_prefix("m=video 0 ") {
                push(&mut out, &format!("m=video 9 {media}{formats}"));
            } else if let Some(data) = line.strip_prefix("m=application 0 ") {
                push(&mut out, &format!("m=application 9 {data}"));
            } else if line.starts_with("m=") {
                push(&mut out, &format!("{line}{formats}"));
            } else if let Some(credential) = shared(line) {
                push(&mut out, &credential);
            } else if !(h264_fmtp || congestion || rewritten || bundle_only) {
                let named = match (line.split_once(" msid:"), stream) {
                    (Some((ssrc, _)), Some((stream, _))) if line.starts_with("a=ssrc:") => {
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
        if let Some((stream, _)) = stream {
            push(&mut out, &format!("a=msid:{session} {stream}"));
        }
        for (_, candidate) in candidates {
            push(&mut out, &format!("a={candidate}"));
        }
        if complete && !candidates.is_empty() {
            push(&mut out, "a=end-of-candidates");
        }
    }
    out
}
