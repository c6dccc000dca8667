//! SDP and candidates as text: finishes the offer, checks the answer. Pure; owns the rule that webrtcbin sees only an
//! answer written here from checked parts, because it asserts on some of what peers can send.

mod answer;
#[cfg(test)]
mod captured_tests;
#[cfg(any(test, fuzzing))]
pub(in crate::media::gst) mod fuzz;
mod offer;
#[cfg(test)]
mod tests;

pub(in crate::media::gst) use self::{
    answer::{CheckedAnswer, Terms, check_answer},
    offer::{finish_offer, repair_ssrc, with_other_ssrc},
};
use crate::{
    core::peer::candidate::Line,
    model::{Codec, IceCandidate},
};

/// Most candidates taken from one peer; a browser on a machine with many interfaces sends about twenty.
pub(in crate::media::gst) const MAX_REMOTE_CANDIDATES: usize = 64;
/// The first payload type of the dynamic range (RFC 3551); codecs count up from here in the order they are offered.
const FIRST_PAYLOAD_TYPE: u8 = 96;

/// The payload type that each offered codec gets.
pub(in crate::media::gst) fn payload_types(codecs: &[Codec]) -> Vec<(u8, Codec)> {
    (FIRST_PAYLOAD_TYPE..).zip(codecs.iter().copied()).collect()
}

/// The `a=mid` of every m-line, in order.
pub(in crate::media::gst) fn mids(sdp: &str) -> Vec<String> {
    sections(sdp)
        .iter()
        .skip(1)
        .enumerate()
        .map(|(index, section)| attribute(section, "mid").map_or_else(|| index.to_string(), str::to_owned))
        .collect()
}

/// The candidates of an SDP with the m-line they stand on.
pub(in crate::media::gst) fn candidates(sdp: &str) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    for (mline, section) in (0u32..).zip(sections(sdp).iter().skip(1)) {
        let lines = section.iter().filter_map(|line| line.strip_prefix("a="));
        found.extend(lines.filter(|line| line.starts_with("candidate:")).map(|line| (mline, line.to_owned())));
    }
    found
}

/// A peer's candidate, written anew from its checked parts; `None` for one that does not parse or cannot be used.
pub(in crate::media::gst) fn check_candidate(text: &str, tcp: bool) -> Option<String> {
    match Line::parse(text) {
        Ok(Line::Candidate(candidate)) => candidate.is_usable(tcp).then(|| candidate.to_string()),
        Ok(Line::End | Line::Ignored(_)) | Err(_) => None,
    }
}

/// The m-line a peer's candidate belongs to: by index, else by mid, else the first.
pub(in crate::media::gst) fn candidate_mline(candidate: &IceCandidate, mids: &[String]) -> Option<u32> {
    let by_mid = || {
        let mid = candidate.sdp_mid.as_deref().filter(|mid| !mid.is_empty())?;
        mids.iter().position(|known| known == mid).and_then(|index| u32::try_from(index).ok())
    };
    match candidate.sdp_mline_index {
        Some(index) => usize::try_from(index).is_ok_and(|index| index < mids.len()).then_some(index),
        None => by_mid().or(Some(0)),
    }
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

/// The values of `a=<name>:<value>`.
fn attributes<'a>(section: &[&'a str], name: &str) -> impl Iterator<Item = &'a str> {
    section.iter().filter_map(move |line| line.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':').map(str::trim))
}

fn attribute<'a>(section: &[&'a str], name: &str) -> Option<&'a str> {
    attributes(section, name).next()
}

fn flag(section: &[&str], name: &str) -> bool {
    section.iter().any(|line| line.strip_prefix("a=").map(str::trim) == Some(name))
}

/// The values of `a=<name>:<payload> <value>`; a payload type of `*` stands for every one (RFC 4585, section 4.2).
fn named<'a>(section: &[&'a str], name: &str, payload: u8) -> impl Iterator<Item = &'a str> {
    attributes(section, name).filter_map(move |value| {
        let (number, value) = value.split_once(' ')?;
        let for_all = number == "*" && name == "rtcp-fb";
        (for_all || number.parse() == Ok(payload)).then_some(value.trim())
    })
}

/// The parameters of `a=fmtp:<payload> <name>=<value>;…`, in whatever order and with whatever blanks.
fn parameter<'a>(section: &[&'a str], payload: u8, wanted: &str) -> Option<&'a str> {
    named(section, "fmtp", payload).flat_map(|value| value.split(';')).find_map(move |parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case(wanted).then_some(value.trim())
    })
}

fn push(out: &mut String, line: &str) {
    out.push_str(line);
    out.push_str("\r\n");
}
