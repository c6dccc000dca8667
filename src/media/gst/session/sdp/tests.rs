//! Tests of `sdp`.

use proptest::prelude::*;

use super::{answer::CheckedAnswer, *};
use crate::{
    core::peer::{
        fingerprint::HashName,
        h264::{Level, Profile, ProfileLevelId},
    },
    error::Kind,
    model::{Codec, IceCandidate, SessionId},
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
    check_for(text, 1)
}

/// Checks an answer to an offer of that many streams in all codecs.
fn check_for(text: &str, streams: usize) -> Result<CheckedAnswer, crate::error::Error> {
    let mids: Vec<_> = (0..streams).map(|index| format!("video{index}")).collect();
    check_answer(text, &Terms { mids: &mids, h264: &[], codecs: &Codec::ALL, tcp: false, data: None })
}

const HD: ProfileLevelId = ProfileLevelId { profile: Profile::CONSTRAINED_BASELINE, level: Level::LEAST_OFFERED };
fn color() -> [(String, Option<ProfileLevelId>); 1] {
    [("color".into(), Some(HD))]
}

#[test]
fn the_offer_names_streams_and_offers_retransmission_for_every_codec() {
    let session = SessionId::new("s");
    let candidates = vec![(0, "candidate:9 1 UDP 1 127.0.0.1 5 typ host".to_owned())];
    let offer = finish_offer(LOCAL, &session, &color(), &[Codec::H264, Codec::VP8], &candidates, true);
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
    assert!(!finish_offer(LOCAL, &session, &color(), &Codec::ALL, &candidates, false).contains("end-of"));
    assert_eq!(mids(&offer), ["video0"]);
    assert_eq!(super::candidates(&offer), candidates);
}

#[test]
fn every_m_line_of_the_offer_names_the_one_transport() {
    let (head, first) = LOCAL.split_once("m=video 9").expect("an m-line");
    let own = |media: &str, ufrag: &str| {
        media.replace("a=setup", &format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:{ufrag}-pwd\r\na=setup"))
    };
    let second = own(first, "second").replace("video0", "video1");
    let local = format!("{head}m=video 9{}m=video 0{second}", own(first, "first"));
    let candidates = vec![(0, "candidate:9 1 UDP 1 127.0.0.1 5 typ host".to_owned())];
    let streams = [("color".into(), Some(HD)), ("depth".into(), Some(HD))];
    let offer = finish_offer(&local, &SessionId::new("s"), &streams, &[Codec::H264], &candidates, true);
    let (_, media) = offer.split_once("m=video 9").expect("an m-line");
    let (first, second) = media.split_once("m=video 9").expect("two m-lines");
    for section in [first, second] {
        for line in [
            "a=ice-ufrag:first",
            "a=ice-pwd:first-pwd",
            "a=candidate:9 1 UDP 1 127.0.0.1 5 typ host",
            "a=end-of-candidates",
        ] {
            assert_eq!(section.lines().filter(|known| *known == line).count(), 1, "{line} in\n{offer}");
        }
    }
    assert!(!offer.contains("second"), "{offer}");
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
fn credentials_of_two_m_lines_are_not_mixed() {
    let second = ANSWER[ANSWER.find("m=video").expect("an m-line")..]
        .replace("a=ice-ufrag:abcd", "a=ice-ufrag:efgh")
        .replace("a=ice-pwd:0123456789012345678901", "a=ice-pwd:abcdefghijabcdefghijab")
        .replace("a=mid:video0", "a=mid:video1");
    // The first names half of its own.
    let first =
        ANSWER.replace("a=ice-pwd:0123456789012345678901\r\n", "").replace("BUNDLE video0", "BUNDLE video0 video1");
    let checked = check_for(&format!("{first}{second}"), 2).expect("good");
    assert!(checked.sdp.contains("a=ice-ufrag:efgh\r\na=ice-pwd:abcdefghijabcdefghijab\r\n"), "{}", checked.sdp);
    assert!(!checked.sdp.contains("a=ice-ufrag:abcd"), "{}", checked.sdp);
}

#[test]
fn retransmission_is_found_beside_other_parameters() {
    let rtx = "m=video 9 UDP/TLS/RTP/SAVPF 96 98\r\n";
    for fmtp in ["apt=96;rtx-time=3000", "rtx-time=3000;apt=96", " rtx-time=3000 ; apt=96 ", "APT=96", "apt = 96;"] {
        let checked = check(&ANSWER.replace("a=fmtp:98 apt=96", &format!("a=fmtp:98 {fmtp}"))).expect(fmtp);
        assert!(checked.sdp.contains(rtx) && checked.sdp.contains("a=fmtp:98 apt=96\r\n"), "{fmtp}: {}", checked.sdp);
    }
    for fmtp in ["apt=97", "apt=9", "apt=", "rtx-time=96", "xapt=96"] {
        let checked = check(&ANSWER.replace("a=fmtp:98 apt=96", &format!("a=fmtp:98 {fmtp}"))).expect(fmtp);
        assert!(!checked.sdp.contains(rtx) && !checked.sdp.contains("rtx/"), "{fmtp}: {}", checked.sdp);
    }
}

#[test]
fn feedback_for_all_payload_types_counts() {
    let (head, tail) = ANSWER.split_once("a=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\n").expect("feedback");
    let feedback = |lines: &str| {
        let sdp = check(&format!("{head}{lines}{tail}")).expect(lines).sdp;
        sdp.lines().filter_map(|line| line.strip_prefix("a=rtcp-fb:96 ")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        feedback("a=rtcp-fb:* nack\r\na=rtcp-fb:* nack  pli \r\na=rtcp-fb:* ccm fir\r\n"),
        ["nack", "nack pli", "ccm fir"]
    );
    assert_eq!(feedback("a=rtcp-fb:* nack\r\na=rtcp-fb:96 NACK PLI\r\n"), ["nack", "nack pli"]);
    assert_eq!(feedback("a=rtcp-fb:98 nack\r\na=rtcp-fb:** nack\r\na=rtcp-fb:* goog-remb\r\n"), [""; 0]);
    // Only feedback has such a sign.
    let starred = ANSWER.replace("a=rtpmap:96 H264", "a=rtpmap:* H264").replace("96 98\r\nc=", "100 98\r\nc=");
    assert!(check(&starred).is_err());
}

#[test]
fn reduced_size_reports_are_taken_where_the_peer_asks_for_them() {
    assert!(!check(ANSWER).expect("good").sdp.contains("rtcp-rsize"));
    let asked = ANSWER.replace("a=rtcp-mux\r\n", "a=rtcp-mux\r\na=rtcp-rsize\r\n");
    assert!(check(&asked).expect("good").sdp.contains("a=rtcp-rsize\r\n"));
}

#[test]
fn the_sections_direction_goes_before_the_sessions() {
    let both = |session: &str, section: &str| {
        let text = ANSWER.replace("t=0 0\r\n", &format!("t=0 0\r\n{session}"));
        check(&text.replace("a=recvonly\r\n", section)).map_err(|error| error.public().to_owned())
    };
    for (session, section) in [
        ("a=recvonly\r\n", ""),
        ("a=inactive\r\n", "a=recvonly\r\n"),
        ("a=sendonly\r\n", "a=sendrecv\r\n"),
        ("", ""),
        ("", "a=inactive\r\na=recvonly\r\n"),
    ] {
        assert!(both(session, section).is_ok(), "{session} {section}");
    }
    for (session, section, words) in [
        ("a=inactive\r\n", "", "none of the streams"),
        ("a=sendonly\r\n", "", "sendonly"),
        ("a=recvonly\r\n", "a=inactive\r\n", "none of the streams"),
        ("", "a=recvonly\r\na=sendonly\r\n", "sendonly"),
    ] {
        let error = both(session, section).expect_err(words);
        assert!(error.contains(words), "{session} {section}: {error}");
    }
}

#[test]
fn fingerprints_are_written_from_their_parts_and_all_are_kept() {
    let line = ANSWER.lines().find(|line| line.starts_with("a=fingerprint")).expect("one");
    let only = check(ANSWER).expect("good").fingerprints;
    assert_eq!((only.len(), only[0].hash(), only[0].digest()[0]), (1, HashName::Sha256, 0x1a));
    let lower = check(&ANSWER.replace(line, &line.replace("sha-256", "SHA-256").to_lowercase())).expect("good");
    assert_eq!(lower.fingerprints, only);
    assert!(lower.sdp.contains(line), "in one form: {}", lower.sdp);
    let sha1 = "a=fingerprint:sha-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB";
    let two = check(&ANSWER.replace(line, &format!("{line}\r\na=fingerprint:md5 4A:AD\r\n{sha1}"))).expect("good");
    assert_eq!(two.fingerprints.iter().map(|one| one.hash()).collect::<Vec<_>>(), [HashName::Sha256, HashName::Sha1]);
    assert!(two.sdp.contains(line) && two.sdp.contains(sha1) && !two.sdp.contains("md5"), "{}", two.sdp);
    // An m-line's own take the place of the session's.
    let session = ANSWER.replace("t=0 0\r\n", &format!("t=0 0\r\n{sha1}\r\n"));
    assert_eq!(check(&session).expect("good").fingerprints, only);
    let session_only = check(&session.replace(&format!("{line}\r\n"), "")).expect("good").fingerprints;
    assert_eq!(session_only.iter().map(|one| one.hash()).collect::<Vec<_>>(), [HashName::Sha1]);
    let many = check(&ANSWER.replace(line, &vec![line; 100].join("\r\n"))).expect("good");
    assert_eq!(many.fingerprints.len(), 8, "bounded");
}

/// An answer to two streams. The lines of each m-line beside its own are given.
fn two(group: &str, first: &str, second: &str) -> String {
    let (session, media) = ANSWER.split_once("m=video").expect("an m-line");
    let session = session.replace("a=group:BUNDLE video0\r\n", group);
    let rest = media.split_once("a=rtcp-mux\r\n").expect("rtcp-mux").1;
    let rest = rest.split_once("a=candidate").expect("a candidate").0;
    let section = |lines: &str, mid: &str| format!("m=video 9 UDP/TLS/RTP/SAVPF 96 98\r\na=mid:{mid}\r\n{lines}{rest}");
    format!("{session}{}{}", section(first, "video0"), section(second, "video1"))
}

const TRANSPORT: &str = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=setup:active\r\na=rtcp-mux\r\n\
    a=fingerprint:sha-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB\r\n\
    a=candidate:1 1 udp 1 192.0.2.1 5 typ host\r\n";
const BOTH: &str = "a=group:BUNDLE video0 video1\r\n";

#[test]
fn the_transport_is_the_groups_first_m_lines() {
    let other = TRANSPORT.replace("abcd", "efgh").replace("192.0.2.1", "192.0.2.2");
    for (group, first, second, ufrag) in [
        (BOTH, TRANSPORT, "", "abcd"),
        (BOTH, TRANSPORT, other.as_str(), "abcd"),
        ("a=group:BUNDLE video1 video0\r\n", TRANSPORT, &other, "efgh"),
        // Not where it should be, but there is no doubt.
        (BOTH, "", &other, "efgh"),
        ("a=group:LS video0\r\na=group:BUNDLE video0 video1 what\r\n", TRANSPORT, "", "abcd"),
    ] {
        let checked = check_for(&two(group, first, second), 2).expect(group);
        assert_eq!(checked.chosen, [Some((96, Codec::H264)); 2]);
        assert_eq!(checked.sdp.matches(&format!("a=ice-ufrag:{ufrag}\r\n")).count(), 2, "{}", checked.sdp);
        assert!(checked.sdp.contains("a=group:BUNDLE video0 video1\r\n"));
        // All ways to the peer stand on the first m-line, once.
        let (head, second) = checked.sdp.rsplit_once("m=video").expect("two");
        assert!(head.contains("a=candidate:") && !second.contains("a=candidate:"), "{}", checked.sdp);
    }
}

#[test]
fn a_stream_outside_of_the_group_is_refused_with_what_to_do() {
    for group in ["", "a=group:BUNDLE video0\r\n", "a=group:BUNDLE video1\r\n", "a=group:LS video0 video1\r\n"] {
        let error = check_for(&two(group, TRANSPORT, TRANSPORT), 2).expect_err(group);
        assert!(error.public().contains("a=group:BUNDLE video0 video1"), "{group}: {error}");
        assert_eq!(error.kind(), Kind::Invalid);
    }
    // Refused, or nothing is sent for it: no group is needed for one.
    let one = two("", TRANSPORT, TRANSPORT);
    let at = one.rfind("m=video 9").expect("two");
    for second in [
        one[at..].replacen("m=video 9", "m=video 0", 1),
        one[at..].replace("a=mid:video1", "a=mid:video1\r\na=inactive"),
    ] {
        let checked = check_for(&format!("{}{second}", &one[..at]), 2).expect("one is left");
        assert_eq!(checked.chosen, [Some((96, Codec::H264)), None]);
    }
}

#[test]
fn what_is_not_taken_stays_in_the_group_without_pictures() {
    let paused = two(BOTH, &format!("a=inactive\r\n{TRANSPORT}"), "");
    let refused = two("a=group:BUNDLE video1\r\n", "", TRANSPORT).replacen("m=video 9", "m=video 0", 1);
    let foreign = two(BOTH, TRANSPORT, "").replacen("a=rtpmap:96 H264", "a=rtpmap:96 H265", 1);
    for text in [paused, refused, foreign] {
        let checked = check_for(&text, 2).expect("the second is taken");
        assert_eq!(checked.chosen, [None, Some((96, Codec::H264))]);
        gst::init().expect("GStreamer");
        let parsed = gst_sdp::SDPMessage::parse_buffer(checked.sdp.as_bytes()).expect("parses");
        let first = parsed.media(0).expect("the first");
        assert_eq!((first.port(), first.attribute_val("ice-ufrag")), (9, Some("abcd")), "{}", checked.sdp);
        assert!(first.attribute_val("inactive").is_some() && first.attribute_val("candidate").is_some());
        assert_eq!(parsed.attribute_val("group"), Some("BUNDLE video0 video1"));
    }
}

#[test]
fn h264_that_is_not_what_is_sent_gives_way_to_the_next_codec() {
    let mids = ["video0".to_owned()];
    let chosen = |profile, fmtp: &str| {
        let text = ANSWER
            .replace("96 98\r\nc=", "96 98 97\r\na=rtpmap:97 VP8/90000\r\nc=")
            .replace("a=fmtp:96 packetization-mode=1;profile-level-id=42e01f\r\n", fmtp);
        let terms = Terms { mids: &mids, h264: &[profile], codecs: &Codec::ALL, tcp: false, data: None };
        check_answer(&text, &terms).expect("one of both").chosen[0].expect("a codec").1
    };
    let id = |id: &str| format!("a=fmtp:96 profile-level-id={id}; packetization-mode=1\r\n");
    let baseline = Profile::CONSTRAINED_BASELINE;
    for fmtp in ["42e01f", "42E028", "42001f", "42c015", "4d001f", "640c1f"].map(id) {
        assert_eq!(chosen(baseline, &fmtp), Codec::H264, "{fmtp}");
    }
    // Nothing said repeats the offer; no profile is none to compare.
    assert_eq!(chosen(baseline, ""), Codec::H264);
    assert_eq!(chosen(baseline, "a=fmtp:96 packetization-mode=1\r\n"), Codec::H264);
    for fmtp in [
        "a=fmtp:96 packetization-mode=0\r\n",
        "a=fmtp:96 profile-level-id=42e01f\r\n",
        "a=fmtp:96 packetization-mode=2\r\n",
    ] {
        assert_eq!(chosen(baseline, fmtp), Codec::VP8, "{fmtp}");
    }
    assert_eq!(chosen(Profile::HIGH, &id("640028")), Codec::H264);
    assert_eq!(chosen(Profile::HIGH, &id("42e01f")), Codec::VP8);
    assert_eq!(chosen(Profile::MAIN, &id("640028")), Codec::H264);
    assert_eq!(chosen(Profile::MAIN, &id("42e01f")), Codec::VP8);
    let terms = Terms { mids: &mids, h264: &[Profile::HIGH], codecs: &[Codec::H264], tcp: false, data: None };
    let error = check_answer(ANSWER, &terms).expect_err("a decoder that cannot show it");
    assert!(error.public().contains("constrained baseline") && error.public().contains("high"), "{error}");
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
        (ANSWER.replace("sha-256", "md5"), "known hash"),
        (ANSWER.replace("sha-256 ", "sha-256 \r"), "fingerprint"),
        (ANSWER.replace("packetization-mode=1", "packetization-mode=0"), "packetization-mode=1"),
        (ANSWER.replace("packetization-mode=1;", ""), "packetization-mode=1"),
        (ANSWER.replace("profile-level-id=42e01f", "profile-level-id=42e0"), "six hexadecimal"),
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

/// The m-line of data channels as browsers answer it.
const DATA: &str = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
    a=ice-pwd:0123456789012345678901\r\na=mid:application1\r\na=setup:active\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n";

fn check_with_data(data: &str) -> Result<CheckedAnswer, crate::error::Error> {
    let mids = ["video0".to_owned(), "application1".to_owned()];
    let text = format!("{}{data}", ANSWER.replace("BUNDLE video0", "BUNDLE video0 application1"));
    check_answer(&text, &Terms { mids: &mids, h264: &[], codecs: &Codec::ALL, tcp: false, data: Some(1) })
}

#[test]
fn data_channels_are_answered_beside_the_streams() {
    let checked = check_with_data(DATA).expect("good");
    assert_eq!(checked.chosen, [Some((96, Codec::H264)), None]);
    for line in ["m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=sctp-port:5000", "a=max-message-size:262144"] {
        assert!(checked.sdp.contains(&format!("{line}\r\n")), "{line} in {}", checked.sdp);
    }
    let (_, data) = checked.sdp.split_once("m=application").expect("an m-line");
    assert!(!data.contains("rtcp") && data.contains("a=fingerprint:"), "{data}");
    // What is not said is the usual.
    let bare = DATA.replace("a=sctp-port:5000\r\n", "").replace("a=max-message-size:262144\r\n", "");
    let bare = check_with_data(&bare).expect("good").sdp;
    assert!(bare.contains("a=sctp-port:5000\r\na=max-message-size:65536\r\n"), "{bare}");
    let refused = check_with_data(&DATA.replace("m=application 9", "m=application 0")).expect("without channels");
    assert!(refused.sdp.contains("m=application 0 UDP/DTLS/SCTP"), "{}", refused.sdp);
}

#[test]
fn what_is_no_line_of_data_channels_is_refused() {
    for (from, to, word) in [
        ("m=application", "m=video", "application line"),
        ("UDP/DTLS/SCTP", "UDP/TLS/RTP/SAVPF", "data channels"),
        ("webrtc-datachannel", "96", "data channels"),
        ("a=sctp-port:5000", "a=sctp-port:0", "no port"),
        ("a=sctp-port:5000", "a=sctp-port:70000", "no port"),
        ("a=sctp-port:5000", "a=sctp-port:many", "no number"),
        ("a=max-message-size:262144", "a=max-message-size:-1", "no number"),
        ("a=mid:application1", "a=mid:video0", "another mid"),
        ("m=application 9", "m=application x", "no valid port"),
    ] {
        let error = check_with_data(&DATA.replace(from, to)).expect_err(to);
        assert!(error.public().contains(word), "{to}: {error}");
    }
    // The offer of a session without a channel has no such line.
    let mids = ["video0".to_owned(), "application1".to_owned()];
    let text = format!("{}{DATA}", ANSWER.replace("BUNDLE video0", "BUNDLE video0 application1"));
    let terms = Terms { mids: &mids, h264: &[], codecs: &Codec::ALL, tcp: false, data: None };
    assert!(check_answer(&text, &terms).expect_err("no video line").public().contains("not a video line"));
}
