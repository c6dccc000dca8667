//! Tests of `rtcp`.

use super::*;

const OURS: u32 = 0x1111_1111;
const OTHER: u32 = 0x2222_2222;
const PEER: u32 = 7;

fn packet(kind: u8, count: u8, words: &[u32]) -> Vec<u8> {
    let mut out = Vec::new();
    let body: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    write(&mut out, kind, count, &body);
    out
}

fn nack(sender: u32, entries: &[(u16, u16)]) -> Vec<u8> {
    let entries = entries.iter().map(|(first, bits)| u32::from(*first) << 16 | u32::from(*bits));
    packet(TRANSPORT_FEEDBACK, NACK, &[sender, OURS].into_iter().chain(entries).collect::<Vec<_>>())
}

fn asked_for(verdict: &Verdict) -> usize {
    let Verdict::Pass(bytes) = verdict else { return 0 };
    let mut count = 0;
    let mut rest = bytes.as_slice();
    while let Some((packet, behind)) = Packet::split(rest) {
        rest = behind;
        if (packet.kind, packet.count) == (TRANSPORT_FEEDBACK, NACK) {
            for entry in packet.body[8..].chunks_exact(4) {
                count += 1 + u16::from_be_bytes([entry[2], entry[3]]).count_ones() as usize;
            }
        }
    }
    assert!(rest.is_empty(), "what is written can be read");
    count
}

#[test]
fn what_a_browser_sends_passes_and_the_rest_is_left_out() {
    let mut filter = Filter::new(&[OURS], 0);
    let block = |ssrc| [ssrc, 1, 2, 3, 4, 5];
    let report = packet(RECEIVER_REPORT, 2, &[&[PEER][..], &block(OURS), &block(OTHER)].concat());
    let description = packet(202, 1, &[PEER, 0x0102_6161, 0]);
    let loss = packet(PAYLOAD_FEEDBACK, PICTURE_LOSS, &[PEER, OURS]);
    let strange = packet(PAYLOAD_FEEDBACK, PICTURE_LOSS, &[PEER, OTHER]);
    let remb = packet(PAYLOAD_FEEDBACK, 15, &[PEER, 0, 0x5245_4d42, 0x0100_0001, OURS]);
    let intra = packet(PAYLOAD_FEEDBACK, FULL_INTRA_REQUEST, &[PEER, 0, OTHER, 0, OURS, 0x0100_0000]);
    let nacks = nack(PEER, &[(65_535, 0b11)]);
    let compound = [&report[..], &description, &loss, &strange, &remb, &intra, &nacks].concat();
    let wanted = [
        packet(RECEIVER_REPORT, 1, &[&[PEER][..], &block(OURS)].concat()),
        loss,
        packet(PAYLOAD_FEEDBACK, FULL_INTRA_REQUEST, &[PEER, 0, OURS, 0x0100_0000]),
        nacks,
    ]
    .concat();
    assert_eq!(filter.judge(0, 0, &compound), Verdict::Pass(wanted));
}

#[test]
fn a_senders_report_counts_as_its_blocks() {
    let mut filter = Filter::new(&[OURS], 0);
    let report = packet(SENDER_REPORT, 1, &[PEER, 1, 2, 3, 4, 5, OURS, 6, 7, 8, 9, 10]);
    let wanted = packet(RECEIVER_REPORT, 1, &[PEER, OURS, 6, 7, 8, 9, 10]);
    assert_eq!(filter.judge(0, 0, &report), Verdict::Pass(wanted));
    let empty = packet(SENDER_REPORT, 0, &[PEER, 1, 2, 3, 4, 5]);
    assert_eq!(filter.judge(0, 0, &empty), Verdict::Drop);
}

#[test]
fn goodbyes_and_descriptions_of_made_up_sources_end_the_session() {
    for kind in [SENDER_REPORT, RECEIVER_REPORT, 202, 203, 204, 207] {
        let mut filter = Filter::new(&[OURS], 0);
        for source in 0..MAX_SOURCES as u32 {
            assert_eq!(filter.judge(0, 0, &packet(kind, 1, &[source, 0, 0, 0, 0, 0])), Verdict::Drop);
        }
        assert_eq!(filter.judge(0, 0, &packet(kind, 1, &[3, 0, 0, 0, 0, 0])), Verdict::Drop, "a known one");
        let one_more = filter.judge(0, 0, &packet(kind, 1, &[99, 0, 0, 0, 0, 0]));
        assert_eq!(one_more, Verdict::End(Misuse::Sources), "{kind}");
    }
}

#[test]
fn a_packet_is_sent_again_once_a_round_trip() {
    let mut filter = Filter::new(&[OURS], 0);
    let ask = nack(PEER, &[(100, 0b101)]);
    assert_eq!(asked_for(&filter.judge(5, 10, &ask)), 3);
    assert_eq!(filter.judge(5 + SAME_PACKET_MS - 1, 10, &ask), Verdict::Drop);
    assert_eq!(filter.refused(), 3);
    assert_eq!(asked_for(&filter.judge(5 + SAME_PACKET_MS, 10, &ask)), 3);
    // Another one in the same place of the table.
    assert_eq!(asked_for(&filter.judge(5 + SAME_PACKET_MS, 10, &nack(PEER, &[(100 + REMEMBERED as u16, 0)]))), 1);
}

#[test]
fn a_lossy_link_gets_what_it_asks_for() {
    // 200 packets a second, of which 30 % are lost, and 30 % of those sent again as well, each asked for after 30 ms.
    let mut filter = Filter::new(&[OURS], 0);
    let mut sent = 0u64;
    for ms in (0..20_000).step_by(50) {
        sent += 10;
        let number = u16::try_from(sent % 65_536).unwrap();
        let wanted = [number, number.wrapping_sub(3), number.wrapping_sub(7), number.wrapping_sub(9)];
        let entries: Vec<_> = wanted.iter().map(|number| (*number, 0)).collect();
        assert_eq!(asked_for(&filter.judge(ms, sent, &nack(PEER, &entries))), wanted.len(), "at {ms} ms");
    }
    assert_eq!(filter.refused(), 0);
}

#[test]
fn a_storm_is_bounded_and_then_ends() {
    let mut filter = Filter::new(&[OURS], 0);
    let (mut again, mut sent) = (0, 0u64);
    for turn in 0..40u64 {
        // 20 packets with 250 entries of 17 each, every 100 ms.
        sent += 20;
        let entries: Vec<_> = (0..250u16).map(|at| (at.wrapping_mul(17), 0xffff)).collect();
        let verdict = filter.judge(turn * 100, sent, &nack(PEER, &entries));
        if let Verdict::End(why) = verdict {
            assert_eq!(why, Misuse::Retransmissions);
            assert!((20..=31).contains(&turn), "after two to three seconds, not {}", turn * 100);
            // A burst, and a hundred packets a second.
            assert!(again <= 250 + 320, "{again}");
            return;
        }
        again += asked_for(&verdict);
    }
    panic!("the storm goes on");
}

#[test]
fn what_was_not_asked_for_is_not_saved_up_for_ever() {
    let mut filter = Filter::new(&[OURS], 0);
    let entries: Vec<_> = (0..60u16).map(|at| (at * 17, 0xffff)).collect();
    // An hour of silence, in which 100 000 packets were sent.
    let burst = asked_for(&filter.judge(3_600_000, 100_000, &nack(PEER, &entries)));
    assert_eq!(burst as u64, BURST_MILLI / 1000);
}

#[test]
fn who_is_sent_much_may_ask_for_much() {
    // 3000 packets a second are asked for, in twentieths of a second. Of 1000 sent that is a bad link, of 100 a storm.
    for (sent_per_s, ends) in [(1000, false), (100, true)] {
        let mut filter = Filter::new(&[OURS], 0);
        let verdicts = (0..200u64).map(|turn| {
            let entries: Vec<_> = (0..9u16).map(|at| (at * 17, 0xffff)).collect();
            filter.judge(turn * 50, turn * sent_per_s / 20, &nack(PEER, &entries))
        });
        let ended = verdicts.filter(|verdict| *verdict == Verdict::End(Misuse::Retransmissions)).count() > 0;
        assert_eq!(ended, ends, "{sent_per_s} a second");
    }
}

#[test]
fn bursts_that_lie_apart_are_no_storm() {
    let mut filter = Filter::new(&[OURS], 0);
    for turn in 0..20u64 {
        // More than 2000 for each of the three seconds between them, and ten times what is sent.
        let entries: Vec<_> = (0..500u16).map(|at| (at.wrapping_mul(17), 0xffff)).collect();
        let verdict = filter.judge(turn * 3000, turn, &nack(PEER, &entries));
        assert!(!matches!(verdict, Verdict::End(_)), "at {turn}");
    }
}

#[test]
fn one_burst_is_no_storm() {
    let mut filter = Filter::new(&[OURS], 0);
    for turn in 0..10u64 {
        let entries: Vec<_> = (0..250u16).map(|at| (at, 0xffff)).collect();
        let verdict = filter.judge(turn * 5000, turn * 1000, &nack(PEER, &entries));
        assert!(!matches!(verdict, Verdict::End(_)), "at {turn}");
    }
}

#[test]
fn padding_is_taken_off_and_nonsense_left_out() {
    let mut filter = Filter::new(&[OURS], 0);
    let mut padded = packet(PAYLOAD_FEEDBACK, PICTURE_LOSS, &[PEER, OURS, 4]);
    padded[0] |= 0x20;
    assert_eq!(filter.judge(0, 0, &padded), Verdict::Pass(packet(PAYLOAD_FEEDBACK, PICTURE_LOSS, &[PEER, OURS])));
    let mut too_much = packet(PAYLOAD_FEEDBACK, PICTURE_LOSS, &[PEER, OURS, 200]);
    too_much[0] |= 0x20;
    for nonsense in [&too_much[..], &[], &[0x80], &[0x80, 201, 0, 9, 0, 0], &[0x40, 201, 0, 0], &[0x81, 201, 0, 0]] {
        assert_eq!(filter.judge(0, 0, nonsense), Verdict::Drop, "{nonsense:?}");
    }
}

proptest::proptest! {
    /// Whatever comes, what passes can be read, names only ours, and is no longer than what came.
    #[test]
    fn any_bytes_are_judged(
        packets in proptest::collection::vec((192..224u8, 0..32u8, proptest::collection::vec(0..4u8, 0..40)), 0..6),
        noise in proptest::collection::vec(proptest::num::u8::ANY, 0..40),
    ) {
        let mut compound = Vec::new();
        for (kind, count, words) in packets {
            let words: Vec<u32> = words.iter().map(|word| [OURS, OTHER, PEER, 0xffff][usize::from(*word)]).collect();
            compound.extend(packet(kind, count, &words));
        }
        compound.extend(noise);
        let mut filter = Filter::new(&[OURS], 0);
        if let Verdict::Pass(bytes) = filter.judge(10, 10, &compound) {
            let mut rest = bytes.as_slice();
            while let Some((packet, behind)) = Packet::split(rest) {
                proptest::prop_assert!(matches!(packet.kind, RECEIVER_REPORT | TRANSPORT_FEEDBACK | PAYLOAD_FEEDBACK));
                rest = behind;
            }
            proptest::prop_assert!(rest.is_empty());
            proptest::prop_assert_eq!(bytes.len() % 4, 0);
        }
    }
}
