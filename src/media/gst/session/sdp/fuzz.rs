//! What fuzzing asserts of answers: what the server hands to webrtcbin is made of checked parts only, whatever a peer sent.

use super::{MAX_REMOTE_CANDIDATES, Terms, candidates, check_answer, check_candidate, mids};
use crate::{
    core::peer::{fingerprint::Fingerprint, h264::Profile},
    error::Kind,
    model::Codec,
};

/// Most m-lines of an offer that is tried.
const MOST_LINES: usize = 4;

/// An answer's SDP, checked against several offers.
pub fn answer(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let lines = text.lines().filter(|line| line.starts_with("m=")).count();
    let offered: Vec<_> = (0..lines.clamp(1, MOST_LINES)).map(|index| format!("video{index}")).collect();
    let high = vec![Profile::HIGH; offered.len()];
    for (h264, codecs, tcp) in [
        (&[][..], &Codec::ALL[..], false),
        (&[], &[Codec::H264, Codec::VP8], true),
        (&high, &[Codec::H264], false),
        (&[], &[Codec::VP9], false),
    ] {
        check(&text, &Terms { mids: &offered, h264, codecs, tcp, data: None });
    }
    // The last m-line is one of data channels.
    check(&text, &Terms { mids: &offered, h264: &[], codecs: &Codec::ALL, tcp: false, data: Some(offered.len() - 1) });
    // The first is, as in an offer that has got more m-lines since.
    check(&text, &Terms { mids: &offered, h264: &[], codecs: &Codec::ALL, tcp: false, data: Some(0) });
    let more: Vec<_> = (0..=lines).map(|index| format!("video{index}")).collect();
    let terms = Terms { mids: &more, h264: &[], codecs: &Codec::ALL, tcp: false, data: None };
    assert!(check_answer(&text, &terms).is_err(), "an answer with an m-line too few is taken");
    // The same functions read what webrtcbin writes.
    for (mline, candidate) in candidates(&text) {
        assert!(usize::try_from(mline).is_ok_and(|mline| mline < mids(&text).len()));
        if let Some(checked) = check_candidate(&candidate, true) {
            assert_eq!(check_candidate(&checked, true), Some(checked));
        }
    }
}

fn check(text: &str, terms: &Terms<'_>) {
    let checked = match check_answer(text, terms) {
        Ok(checked) => checked,
        Err(error) => {
            assert_eq!(error.kind(), Kind::Invalid);
            let words = error.public();
            assert!(words.starts_with("The answer's SDP cannot be used: ") && words.ends_with('.'), "{words}");
            assert!(words.len() < 1000 && !words.chars().any(char::is_control), "{words}");
            return;
        }
    };
    let sdp = &checked.sdp;
    assert_eq!(check_answer(sdp, terms).ok().as_ref(), Some(&checked), "checked again, it is another");
    assert_eq!(checked.chosen.len(), terms.mids.len());
    assert!(checked.chosen.iter().any(Option::is_some), "nothing is accepted");
    for (payload, codec) in checked.chosen.iter().flatten() {
        assert!(*payload < 128 && terms.codecs.contains(codec), "{codec} as {payload} was not offered");
    }
    assert!((1..=8).contains(&checked.fingerprints.len()));
    for line in sdp.split_terminator("\r\n") {
        assert!(line.as_bytes().get(1) == Some(&b'=') && !line.chars().any(char::is_control), "{line:?}");
        assert!(line.is_ascii() && line.len() <= 1200, "{line:?}");
    }
    is_read_the_same_by_gstreamer(sdp, &checked.chosen, &checked.fingerprints, terms);
}

fn is_read_the_same_by_gstreamer(
    sdp: &str,
    chosen: &[Option<(u8, Codec)>],
    fingerprints: &[Fingerprint],
    terms: &Terms<'_>,
) {
    gst::init().expect("GStreamer");
    let parsed = gst_sdp::SDPMessage::parse_buffer(sdp.as_bytes()).expect("GStreamer reads it");
    let media: Vec<_> = parsed.medias().collect();
    assert_eq!(media.len(), terms.mids.len(), "{sdp}");
    let mut found = 0;
    for (index, media) in media.iter().enumerate() {
        if terms.data == Some(index) {
            assert_eq!((media.media(), media.proto()), (Some("application"), Some("UDP/DTLS/SCTP")), "{sdp}");
            assert_eq!((media.format(0), chosen[index]), (Some("webrtc-datachannel"), None), "{sdp}");
            let port: Option<u16> = media.attribute_val("sctp-port").map(|port| port.parse().expect("a port"));
            assert_eq!(port.is_some(), media.port() == 9, "{sdp}");
            continue;
        }
        assert_eq!((media.media(), media.proto()), (Some("video"), Some("UDP/TLS/RTP/SAVPF")), "{sdp}");
        let values = |key: &str| -> Vec<_> {
            let of_key = media.attributes().filter(|attribute| attribute.key() == key);
            of_key.map(|attribute| attribute.value().unwrap_or_default().to_owned()).collect()
        };
        assert_eq!(values("mid"), [terms.mids[index].as_str()], "{sdp}");
        for (key, count) in [("ice-ufrag", 1), ("ice-pwd", 1), ("setup", 1), ("rtcp-mux", 1)] {
            assert_eq!(values(key).len(), count, "{key} in {sdp}");
        }
        let written: Vec<_> = fingerprints.iter().map(ToString::to_string).collect();
        assert_eq!(values("fingerprint"), written, "{sdp}");
        match chosen[index] {
            Some((payload, codec)) => {
                assert_eq!(media.format(0), Some(payload.to_string().as_str()), "{sdp}");
                assert_eq!(values("rtpmap").first(), Some(&format!("{payload} {}/90000", codec.name())), "{sdp}");
                assert_eq!(values("recvonly").len(), 1, "{sdp}");
            }
            None => assert_eq!(values("inactive").len(), 1, "{sdp}"),
        }
        for candidate in values("candidate") {
            let line = format!("candidate:{candidate}");
            assert_eq!(check_candidate(&line, terms.tcp).as_ref(), Some(&line), "{sdp}");
            found += 1;
        }
    }
    assert!(found <= MAX_REMOTE_CANDIDATES, "{found} candidates");
}
