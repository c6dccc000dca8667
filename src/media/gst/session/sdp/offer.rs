//! Finishes webrtcbin's offer for the wire. Owns what stands in an offer beside what webrtcbin writes.

use std::fmt::Write as _;

use super::{attribute, payload_types, push, sections};
use crate::{
    core::peer::h264::ProfileLevelId,
    model::{Codec, SessionId},
};

/// First payload type given to a retransmission format that webrtcbin does not write itself.
const FIRST_EXTRA_RTX: u8 = 110;

/// What names the one ICE transport that all m-lines share.
const CREDENTIALS: [&str; 2] = ["ice-ufrag", "ice-pwd"];

/// Finishes webrtcbin's offer for the wire: stream names as `a=msid`, H.264 parameters, retransmission for every codec,
/// and the transport with all gathered candidates on every m-line. Each stream comes by its name, with what its H.264
/// will be, where that is offered.
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
        let stream = streams.get(mline);
        let has_rtx = section.iter().any(|line| line.contains(" rtx/"));
        let mut extra = String::new();
        for (payload, codec) in payload_types(codecs) {
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
