//! Tests of `sdp`.

use proptest::prelude::*;

use super::sdp::*;
use crate::{
    error::Kind,
    model::{Codec, IceCandidate, SessionId, StreamType},
};

const LOCAL: &str = "v=0\r\no=- 1898 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE video0\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 96 97 98\r\na=setup:actpass\r\na=rtpmap:96 H264/90000\r\na=rtcp-fb:96 nack\r\n\
    a=rtcp-fb:96 nack pli\r\na=rtcp-fb:96 transport-cc\r\na=fmtp:96 packetization-mode=1\r\na=rtpmap:97 VP8/90000\r\n\
    a=rtcp-fb:97 nack\r\na=rtpmap:98 rtx/90000\r\na=fmtp:98 apt=96\r\na=ssrc:31 msid:user@host webrtctransceiver0\r\n\
    a=ssrc:31 msid:user@host webrtctransceiver0\r\na=ssrc:31 cname:user@host\r\na=mid:video0\r\n\
    a=candidate:1 1 UDP 2015363327 192.0.2.2 39171 typ host\r\n";

const ANSWER: &str = "v=0\r\no=- 4611 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE video0\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 96 98\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n\
    a=fingerprint:sha-256 1A:31:63:4B:DB:A4:BF:07:A8:EE:C0:4C:81:47:D7:E1:77:CE:1D:39:29:8D:B4:C7:0C:CE:EC:D0:03:F4:4D:8D\r\n\
    a=setup:active\r\na=mid:video0\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:96 H264/90000\r\na=rtcp-fb:96 nack\r\n\
    a=rtcp-fb:96 nack pli\r\na=fmtp:96 packetization-mode=1;profile-level-id=42e01f\r\na=rtpmap:98 rtx/90000\r\n\
    a=fmtp:98 apt=96\r\na=candidate:1 1 udp 2130706175 127.0.0.1 56242 typ host\r\n";

fn check(text: &str) -> Result<CheckedAnswer, crate::error::Error> {
    check_answer(text, &["video0".to_owned()], &Codec::ALL, false)
}

#[test]
fn the_offer_names_streams_and_offers_retransmission_for_every_codec() {
    let session = SessionId::new("s");
    let candidates = vec![(0, "candidate:9 1 UDP 1 127.0.0.1 5 typ host".to_owned())];
    let offer = finish_offer(LOCAL, &session, &[StreamType::Color], &[Codec::H264, Codec::VP8], &candidates, true);
    for line in [
        "m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 110",
        "a=msid:s color",
        "a=ssrc:31 msid:s color",
        "a=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
        "a=rtpmap:110 rtx/90000",
        "a=fmtp:110 apt=97",
        "a=rtcp-fb:97 nack pli",
        "a=candidate:9 1 UDP 1 127.0.0.1 5 typ host",
        "a=end-of-candidates",
    ] {
        assert_eq!(offer.lines().filter(|known| *known == line).count(), 1, "{line} in\n{offer}");
    }
    assert!(!offer.contains("transport-cc") && !offer.contains("192.0.2.2") && !offer.contains("webrtctransceiver"));
    assert!(!finish_offer(LOCAL, &session, &[StreamType::Color], &Codec::ALL, &candidates, false).contains("end-of"));
    assert_eq!(mids(&offer), ["video0"]);
    assert_eq!(super::sdp::candidates(&offer), candidates);
}

#[test]
fn a_good_answer_is_written_anew() {
    let checked = check(ANSWER).expect("good");
    assert_eq!(checked.chosen, [Some((96, Codec::H264))]);
    gst::init().expect("GStreamer");
    let parsed = gst_sdp::SDPMessage::parse_buffer(checked.sdp.as_bytes()).expect("parses");
    assert_eq!(parsed.medias_len(), 1);
    assert!(checked.sdp.contains("m=video 9 UDP/TLS/RTP/SAVPF 96 98\r\n"), "{}", checked.sdp);
    assert!(checked.sdp.contains("a=candidate:1 1 UDP 2130706175 127.0.0.1 56242 typ host\r\n"));
    // Credentials may stand in the session part, and lines may end in a bare newline.
    let (head, media) = ANSWER.split_once("m=video").expect("an m-line");
    let (ice, rest) = media.split_once("a=setup").expect("setup");
    let (mline, ice) = ice.split_once("c=IN IP4 0.0.0.0\r\n").expect("c-line");
    let moved = format!("{head}{ice}m=video{mline}a=setup{rest}").replace("\r\n", "\n");
    assert_eq!(check(&moved).expect("good").sdp, checked.sdp);
}

#[test]
fn the_first_codec_of_the_answer_is_chosen() {
    let vp8 = ANSWER.replace("96 98\r\nc=", "97 96 98\r\na=rtpmap:97 VP8/90000\r\nc=");
    assert_eq!(check(&vp8).expect("good").chosen, [Some((97, Codec::VP8))]);
}

#[test]
fn bad_answers_are_refused_with_the_reason() {
    let cases = [
        (String::new(), "v=0"),
        ("garbage".to_owned(), "line 1"),
        (ANSWER.replace("v=0", "v=1"), "v=0"),
        (ANSWER.split("m=video").next().unwrap_or_default().to_owned(), "1 m-line(s), the answer 0"),
        (format!("{ANSWER}{}", &ANSWER[ANSWER.find("m=").unwrap_or(0)..]), "the answer 2"),
        (ANSWER.replace("m=video 9", "m=audio 9"), "not a video line"),
        (ANSWER.replace("m=video 9", "m=video x"), "port"),
        (ANSWER.replace("m=video 9", "m=video 0"), "none of the streams"),
        (ANSWER.replace("a=recvonly", "a=inactive"), "none of the streams"),
        (ANSWER.replace("a=recvonly", "a=sendonly"), "recvonly"),
        (ANSWER.replace("H264/", "AV1/"), "none of the streams"),
        (ANSWER.replace("a=mid:video0", "a=mid:0"), "mid"),
        (ANSWER.replace("a=ice-ufrag:abcd\r\n", ""), "ice-ufrag"),
        (ANSWER.replace("ice-pwd:0123456789012345678901", "ice-pwd:short"), "credentials"),
        (ANSWER.replace("1A:31", "1A31"), "fingerprint"),
        (ANSWER.replace("sha-256", "md5"), "fingerprint"),
        (ANSWER.replace("setup:active", "setup:actpass"), "setup"),
        (ANSWER.replace("a=rtcp-mux\r\n", ""), "rtcp-mux"),
        (ANSWER.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"), "SAVPF"),
    ];
    for (text, words) in cases {
        let error = check(&text).expect_err(words);
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.public().contains(words), "{words}: {error}");
    }
}

#[test]
fn candidates_are_checked_and_written_anew() {
    let good = |text: &str| check_candidate(text, false);
    assert!(good("candidate:1 1 UDP 2130706431 192.168.1.2 50000 typ host generation 0 ufrag x").is_some());
    assert!(good("a=candidate:1 1 udp 1 4f3f2a1b-0000.local 50000 typ host").is_none(), "names never reach webrtcbin");
    assert!(good("candidate:1 1 udp 1 fe80::1 50000 typ srflx raddr 0.0.0.0 rport 0").is_some());
    for bad in [
        "",
        "candidate:",
        "candidate:1 1 udp 1 1.2.3.4 0 typ host",
        "candidate:1 9 udp 1 1.2.3.4 5 typ host",
        "candidate:1 1 sctp 1 1.2.3.4 5 typ host",
        "candidate:1 1 udp x 1.2.3.4 5 typ host",
        "candidate:1 1 udp 1 example.com 5 typ host",
        "candidate:1 1 udp 1 1.2.3.4 70000 typ host",
        "candidate:1 1 udp 1 1.2.3.4 5 typ wrong",
        "candidate:1 1 tcp 1 1.2.3.4 9 typ host tcptype active",
    ] {
        assert_eq!(good(bad), None, "{bad}");
    }
    let tcp = check_candidate("candidate:1 1 tcp 1 1.2.3.4 9 typ host tcptype active generation 0", true);
    assert_eq!(tcp.as_deref(), Some("candidate:1 1 TCP 1 1.2.3.4 9 typ host tcptype active"));
}

#[test]
fn a_candidate_finds_its_m_line() {
    let mids = ["video0".to_owned(), "video1".to_owned()];
    let at = |mid: Option<&str>, index| {
        let candidate =
            IceCandidate { candidate: String::new(), sdp_mid: mid.map(str::to_owned), sdp_mline_index: index };
        candidate_mline(&candidate, &mids)
    };
    assert_eq!(at(None, Some(1)), Some(1));
    assert_eq!(at(None, Some(2)), None);
    assert_eq!(at(Some("video1"), None), Some(1));
    assert_eq!(at(Some(""), None), Some(0));
    assert_eq!(at(Some("what"), None), Some(0));
}

proptest! {
    #[test]
    fn no_answer_panics_and_what_passes_parses(
        cuts in prop::collection::vec((0usize..ANSWER.len(), 0usize..40, "[ -~\r\n]{0,20}"), 1..4)
    ) {
        let mut bytes = ANSWER.as_bytes().to_vec();
        for (at, len, with) in cuts {
            let start = at.min(bytes.len());
            let end = (start + len).min(bytes.len());
            bytes.splice(start..end, with.into_bytes());
        }
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(checked) = check(&text) {
            gst::init().expect("GStreamer");
            prop_assert!(gst_sdp::SDPMessage::parse_buffer(checked.sdp.as_bytes()).is_ok());
            prop_assert_eq!(checked.chosen.len(), 1);
        }
    }

    #[test]
    fn no_candidate_panics(text in "(a=)?candidate:[ -~]{0,80}") {
        if let Some(checked) = check_candidate(&text, true) {
            prop_assert_eq!(check_candidate(&checked, true), Some(checked));
        }
    }
}
