//! Tests of the answers that other WebRTC stacks gave to offers of this server. `tests/sdp/README.md` says of each what made it, and
//! `scripts/capture_answers.sh` has them made anew; those of Safari and Pion are written by hand.

use super::{
    answer::{CheckedAnswer, Terms, check_answer},
    attribute, mids, parameter, sections,
};
use crate::{
    core::peer::h264::{Profile, ProfileLevelId},
    error::Error,
    model::Codec,
};

/// What comes of an m-line for which the answer takes pictures.
#[derive(Clone, Copy)]
struct Taken {
    payload: u8,
    codec: Codec,
    /// The payload type of the retransmissions.
    rtx: Option<u8>,
    feedback: &'static [&'static str],
}

impl Taken {
    const fn new(payload: u8, codec: Codec, rtx: Option<u8>, feedback: &'static [&'static str]) -> Self {
        Self { payload, codec, rtx, feedback }
    }
}

/// What all answers of a stack have in common.
#[derive(Clone, Copy)]
struct Habits {
    reduced_size: bool,
    /// Whether its candidates have addresses; the others are names of mDNS, which are of no use.
    addresses: bool,
    fingerprints: usize,
}

struct Captured {
    name: &'static str,
    /// The name of the offer that it answers.
    offer: &'static str,
    /// Per m-line; nothing where the peer takes no pictures.
    lines: &'static [Option<Taken>],
    habits: Habits,
}

const fn captured(
    name: &'static str,
    offer: &'static str,
    lines: &'static [Option<Taken>],
    habits: Habits,
) -> Captured {
    Captured { name, offer, lines, habits }
}

const ONE: &str = "offer-1";
const TWO: &str = "offer-2";
const ONE_H264: &str = "offer-h264-1";
const TWO_H264: &str = "offer-h264-2";

const ALL: &[&str] = &["nack", "nack pli", "ccm fir"];
const NO_FIR: &[&str] = &["nack", "nack pli"];

/// As it is offered, with retransmission.
const H264: Option<Taken> = Some(Taken::new(96, Codec::H264, Some(98), ALL));
const VP8: Option<Taken> = Some(Taken::new(97, Codec::VP8, Some(110), ALL));
/// Where H.264 is all that is offered, its retransmission has the next number.
const H264_ONLY: Option<Taken> = Some(Taken::new(96, Codec::H264, Some(97), ALL));
const AIORTC: Option<Taken> = Some(Taken::new(96, Codec::H264, Some(98), NO_FIR));
const GSTREAMER: Option<Taken> = Some(Taken::new(96, Codec::H264, None, &["nack pli", "ccm fir"]));
const WERIFT: Option<Taken> = Some(Taken::new(97, Codec::VP8, None, ALL));
const WERIFT_H264: Option<Taken> = Some(Taken::new(96, Codec::H264, None, ALL));
const LIBDATACHANNEL_CODECS: Option<Taken> = Some(Taken::new(96, Codec::H264, None, NO_FIR));

const NAMES: Habits = Habits { reduced_size: true, addresses: false, fingerprints: 1 };
const ADDRESSES: Habits = Habits { reduced_size: true, addresses: true, fingerprints: 1 };
const FULL_SIZE: Habits = Habits { reduced_size: false, addresses: true, fingerprints: 1 };
const THREE_HASHES: Habits = Habits { reduced_size: false, addresses: true, fingerprints: 3 };

const ACCEPTED: [Captured; 36] = [
    captured("chromium-1", ONE, &[H264], NAMES),
    captured("chromium-2", TWO, &[H264, H264], NAMES),
    captured("chromium-no-h264-1", ONE, &[VP8], NAMES),
    captured("chromium-no-h264-2", TWO, &[VP8, VP8], NAMES),
    captured("chromium-first-inactive-2", TWO, &[None, H264], NAMES),
    captured("chromium-second-inactive-2", TWO, &[H264, None], NAMES),
    captured("chromium-first-refused-2", TWO_H264, &[None, H264_ONLY], NAMES),
    captured("chromium-second-refused-2", TWO_H264, &[H264_ONLY, None], NAMES),
    // Debian's has no H.264 without a plug-in.
    captured("firefox-1", ONE, &[VP8], NAMES),
    captured("firefox-2", TWO, &[VP8, VP8], NAMES),
    captured("firefox-addresses-1", ONE, &[VP8], ADDRESSES),
    captured("firefox-addresses-2", TWO, &[VP8, VP8], ADDRESSES),
    captured("firefox-first-stopped-2", TWO, &[None, VP8], NAMES),
    captured("firefox-second-stopped-2", TWO, &[VP8, None], NAMES),
    captured("aiortc-1", ONE, &[AIORTC], THREE_HASHES),
    captured("aiortc-2", TWO, &[AIORTC, AIORTC], THREE_HASHES),
    captured("aiortc-first-inactive-2", TWO, &[None, AIORTC], THREE_HASHES),
    captured("aiortc-second-inactive-2", TWO, &[AIORTC, None], THREE_HASHES),
    captured("gstreamer-1", ONE, &[GSTREAMER], FULL_SIZE),
    captured("gstreamer-2", TWO, &[GSTREAMER, GSTREAMER], FULL_SIZE),
    captured("gstreamer-nack-1", ONE, &[H264], FULL_SIZE),
    captured("gstreamer-nack-2", TWO, &[H264, H264], FULL_SIZE),
    captured("gstreamer-no-bundle-1", ONE, &[GSTREAMER], FULL_SIZE),
    captured("werift-1", ONE, &[WERIFT], FULL_SIZE),
    captured("werift-2", TWO, &[WERIFT, WERIFT], FULL_SIZE),
    captured("werift-h264-1", ONE, &[WERIFT_H264], FULL_SIZE),
    captured("werift-h264-2", TWO, &[WERIFT_H264, WERIFT_H264], FULL_SIZE),
    captured("werift-no-bundle-1", ONE, &[WERIFT], FULL_SIZE),
    captured("libdatachannel-1", ONE, &[H264], FULL_SIZE),
    captured("libdatachannel-2", TWO, &[H264, H264], FULL_SIZE),
    captured("libdatachannel-codecs-1", ONE, &[LIBDATACHANNEL_CODECS], FULL_SIZE),
    captured("libdatachannel-codecs-2", TWO, &[LIBDATACHANNEL_CODECS, LIBDATACHANNEL_CODECS], FULL_SIZE),
    // Written by hand, because neither stack can be had here.
    captured("safari-1", ONE, &[H264], NAMES),
    captured("safari-2", TWO, &[H264, H264], NAMES),
    captured("pion-1", ONE, &[H264], ADDRESSES),
    captured("pion-2", TWO, &[H264, H264], ADDRESSES),
];

/// Answers that cannot be served, what was offered, and words of the reason.
const REFUSED: [(&str, &str, &str); 3] = [
    ("firefox-h264-offered-1", ONE_H264, "none of the streams"),
    ("gstreamer-no-bundle-2", TWO, "a=group:BUNDLE video0 video1"),
    ("werift-no-bundle-2", TWO, "a=group:BUNDLE video0 video1"),
];

fn folder() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdp")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(folder().join(format!("{name}.sdp"))).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Checks an answer, with the ends of lines that it had on the wire, against the offer that it was given to.
fn check(text: &str, offer: &str) -> Result<CheckedAnswer, Error> {
    let media = sections(offer);
    let profile = |section: &Vec<&str>| -> Profile {
        let id = parameter(section, 96, "profile-level-id").expect("H.264 is offered first");
        id.parse::<ProfileLevelId>().expect("a profile").profile
    };
    let h264: Vec<_> = media.iter().skip(1).map(profile).collect();
    let vp8 = offer.contains("a=rtpmap:97 VP8/90000");
    let codecs: &[Codec] = if vp8 { &[Codec::H264, Codec::VP8] } else { &[Codec::H264] };
    check_answer(
        &text.replace('\n', "\r\n"),
        &Terms { mids: &mids(offer), h264: &h264, codecs, tcp: false, data: None },
    )
}

/// The candidates of an answer that have an address and are of UDP, each once.
fn usable_candidates(text: &str) -> usize {
    let lines = text.lines().filter(|line| line.starts_with("a=candidate:") && !line.contains(".local "));
    let mut usable: Vec<_> = lines
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .filter(|fields| fields[1] == "1" && fields[2].eq_ignore_ascii_case("udp"))
        .map(|fields| (fields[4], fields[5]))
        .collect();
    usable.sort_unstable();
    usable.dedup();
    usable.len()
}

#[test]
fn answers_of_other_stacks_are_taken_for_what_they_say() {
    gst::init().expect("GStreamer");
    for Captured { name, offer, lines, habits } in ACCEPTED {
        let (text, offer) = (read(name), read(offer));
        let checked = check(&text, &offer).unwrap_or_else(|error| panic!("{name}: {error}"));
        let choices: Vec<_> = lines.iter().map(|line| line.map(|taken| (taken.payload, taken.codec))).collect();
        assert_eq!(checked.chosen, choices, "{name}");
        assert_eq!(checked.fingerprints.len(), habits.fingerprints, "{name}");
        let parsed = gst_sdp::SDPMessage::parse_buffer(checked.sdp.as_bytes()).expect(name);
        let mids = mids(&offer);
        assert_eq!(parsed.attribute_val("group"), Some(format!("BUNDLE {}", mids.join(" ")).as_str()), "{name}");
        let written: Vec<_> = parsed.medias().collect();
        assert_eq!(written.len(), lines.len(), "{name}");
        let candidates = usable_candidates(&text);
        assert_eq!(candidates > 0, habits.addresses, "{name}");
        for (index, (media, line)) in written.iter().zip(lines).enumerate() {
            let values = |key: &str| {
                let of_key = media.attributes().filter(|attribute| attribute.key() == key);
                of_key.map(|attribute| attribute.value().unwrap_or_default().to_owned()).collect::<Vec<_>>()
            };
            let mut expected = <[Vec<String>; 4]>::default();
            if let Some(Taken { payload, codec, rtx, feedback }) = line {
                let [formats, rtpmap, fmtp, rtcp_fb] = &mut expected;
                formats.push(payload.to_string());
                rtpmap.push(format!("{payload} {}/90000", codec.name()));
                if let Some(rtx) = rtx {
                    formats.push(rtx.to_string());
                    rtpmap.push(format!("{rtx} rtx/90000"));
                    fmtp.push(format!("{rtx} apt={payload}"));
                }
                rtcp_fb.extend(feedback.iter().map(|feedback| format!("{payload} {feedback}")));
                assert_eq!(&media.formats().map(str::to_owned).collect::<Vec<_>>(), formats, "{name}");
            }
            let [_, rtpmap, fmtp, rtcp_fb] = expected;
            assert_eq!((values("rtpmap"), values("fmtp"), values("rtcp-fb")), (rtpmap, fmtp, rtcp_fb), "{name}");
            let (live, idle) = if line.is_some() { (1, 0) } else { (0, 1) };
            assert_eq!((values("recvonly").len(), values("inactive").len()), (live, idle), "{name}");
            assert_eq!(values("candidate").len(), if index == 0 { candidates } else { 0 }, "{name}");
            assert_eq!(values("fingerprint").len(), habits.fingerprints, "{name}");
            assert_eq!(values("rtcp-rsize").len(), usize::from(habits.reduced_size), "{name}");
            // All of them begin DTLS themselves.
            assert_eq!(values("setup"), ["active"], "{name}");
            assert_eq!(values("mid"), [mids[index].as_str()], "{name}");
            for key in ["rtcp-mux", "ice-ufrag", "ice-pwd"] {
                assert_eq!(values(key).len(), 1, "{name}: {key}");
            }
        }
        // Without a group only one stream has a transport.
        let one = lines.iter().flatten().count() == 1;
        assert_eq!(check(&text.replace("a=group:BUNDLE", "a=group:LS"), &offer).is_ok(), one, "{name}");
    }
}

#[test]
fn answers_that_cannot_be_served_are_refused_with_the_reason() {
    for (name, offer, words) in REFUSED {
        let error = check(&read(name), &read(offer)).expect_err(name);
        assert!(error.public().contains(words), "{name}: {error}");
    }
}

#[test]
fn the_kept_offers_name_their_transport_on_every_m_line() {
    for offer in [ONE, TWO, ONE_H264, TWO_H264].map(read) {
        let sections = sections(&offer);
        for name in ["ice-ufrag", "ice-pwd", "fingerprint", "candidate"] {
            let values: Vec<_> = sections.iter().skip(1).map(|section| attribute(section, name)).collect();
            assert!(values[0].is_some() && values.iter().all(|value| *value == values[0]), "{name}: {values:?}");
        }
    }
}

#[test]
fn every_kept_answer_is_tested() {
    let files = std::fs::read_dir(folder()).expect("the folder").map(|entry| entry.expect("an entry").file_name());
    let mut kept: Vec<_> = files
        .filter_map(|file| Some(file.to_str()?.strip_suffix(".sdp")?.to_owned()))
        .filter(|name| !name.starts_with("offer-"))
        .collect();
    let mut tested: Vec<_> = ACCEPTED.iter().map(|captured| captured.name.to_owned()).collect();
    tested.extend(REFUSED.iter().map(|(name, ..)| (*name).to_owned()));
    kept.sort_unstable();
    tested.sort_unstable();
    assert_eq!(kept, tested);
}
