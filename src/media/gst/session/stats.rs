//! Reads webrtcbin's statistics. Pure apart from GStreamer's structures; keeps nothing.

use gst_webrtc::WebRTCStatsType as Type;

use crate::media::StreamStats;

/// RTP clock of every video codec, in kHz.
const CLOCK_KHZ: f64 = 90.0;

/// What webrtcbin knows of a session from its peer.
#[derive(Debug, Default)]
pub(in crate::media::gst) struct PeerStats {
    /// Reports about each of our streams.
    pub(in crate::media::gst) streams: Vec<PeerStream>,
    /// The remote side of the selected candidate pair, `ip:port`.
    pub(in crate::media::gst) remote_address: Option<String>,
}

/// What the peer tells of one of our streams.
#[derive(Debug, Default)]
pub(in crate::media::gst) struct PeerStream {
    pub(in crate::media::gst) ssrc: u32,
    pub(in crate::media::gst) stats: StreamStats,
    /// Tells one receiver report from the next: the last sender report it knew and the highest packet it had.
    pub(in crate::media::gst) report: Option<(u32, u32)>,
}

impl StreamStats {
    /// Takes over what webrtcbin knows now. Of a peer that reports on several streams webrtcbin keeps only the part it got
    /// last; what was known of the others stays.
    pub(in crate::media::gst) fn take(&mut self, new: Self, reported: bool) {
        let old = std::mem::replace(self, new);
        if !reported {
            self.packets_lost = old.packets_lost;
            self.fraction_lost = old.fraction_lost;
            self.round_trip_time_ms = old.round_trip_time_ms;
            self.jitter_ms = old.jitter_ms;
        }
    }
}

pub(in crate::media::gst) fn parse(stats: &gst::StructureRef) -> PeerStats {
    let mut found = PeerStats::default();
    for (_, value) in stats.iter() {
        let Ok(entry) = value.get::<gst::Structure>() else { continue };
        match entry.get::<Type>("type") {
            Ok(Type::OutboundRtp) => {
                let Some(stream) = stream_of(&mut found.streams, &entry) else { continue };
                stream.stats.nack_count = u64::from(entry.get::<u32>("nack-count").unwrap_or(0));
                stream.stats.pli_count = u64::from(entry.get::<u32>("pli-count").unwrap_or(0));
            }
            Ok(Type::RemoteInboundRtp) => {
                let Some(stream) = stream_of(&mut found.streams, &entry) else { continue };
                let PeerStream { stats, report, .. } = stream;
                stats.packets_lost = packets_lost(&entry);
                // In seconds. Zero means that no report carried one yet.
                let round_trip = entry.get::<f64>("round-trip-time").ok().filter(|seconds| *seconds > 0.0);
                stats.round_trip_time_ms = round_trip.map(|seconds| seconds * 1e3);
                // Of the report itself: 1.22's own "jitter" is missing or zero.
                let source = entry.get::<gst::Structure>("gst-rtpsource-stats").ok();
                let field = |name: &str| source.as_ref().and_then(|source| source.get::<u32>(name).ok());
                stats.jitter_ms = field("rb-jitter").map(|ticks| f64::from(ticks) / CLOCK_KHZ);
                // RFC 3550: a fixed-point number with the binary point at the left edge of eight bits.
                stats.fraction_lost = field("rb-fractionlost").map(|lost| f64::from(lost.min(255)) / 256.0);
                *report = field("rb-lsr").zip(field("rb-exthighestseq"));
            }
            Ok(Type::CandidatePair) => {
                // Candidates are found by the pair's field: 1.22 swaps the two types in the entries themselves.
                let remote = entry.get::<String>("remote-candidate-id").ok();
                let candidate = remote.and_then(|id| stats.get::<gst::Structure>(id).ok());
                found.remote_address = candidate.and_then(|candidate| address(&candidate)).or(found.remote_address);
            }
            _ => {}
        }
    }
    found
}

fn stream_of<'a>(streams: &'a mut Vec<PeerStream>, entry: &gst::Structure) -> Option<&'a mut PeerStream> {
    let ssrc = entry.get::<u32>("ssrc").ok()?;
    let position = streams.iter().position(|known| known.ssrc == ssrc).unwrap_or_else(|| {
        streams.push(PeerStream { ssrc, ..PeerStream::default() });
        streams.len() - 1
    });
    Some(&mut streams[position])
}

fn address(candidate: &gst::Structure) -> Option<String> {
    let ip = candidate.get::<String>("address").ok()?.parse::<std::net::IpAddr>().ok()?;
    let port = u16::try_from(candidate.get::<u32>("port").ok()?).ok()?;
    Some(std::net::SocketAddr::new(ip, port).to_string())
}

/// The field's type changed between releases of GStreamer.
fn packets_lost(entry: &gst::Structure) -> i64 {
    entry
        .get::<i64>("packets-lost")
        .or_else(|_| entry.get::<i32>("packets-lost").map(i64::from))
        .or_else(|_| entry.get::<u32>("packets-lost").map(i64::from))
        .or_else(|_| entry.get::<u64>("packets-lost").map(|lost| i64::try_from(lost).unwrap_or(i64::MAX)))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_reported_of_a_stream_stays_until_the_next_report_of_it() {
        let report =
            StreamStats { packets_lost: 3, fraction_lost: Some(0.1), jitter_ms: Some(1.0), ..StreamStats::default() };
        let mut known = StreamStats::default();
        known.take(report.clone(), true);
        known.take(StreamStats { nack_count: 9, ..StreamStats::default() }, false);
        assert_eq!(known, StreamStats { nack_count: 9, ..report });
        known.take(StreamStats { packets_lost: 4, ..StreamStats::default() }, true);
        assert_eq!((known.packets_lost, known.jitter_ms), (4, None));
    }

    #[test]
    fn a_report_is_read_from_webrtcbins_structures() {
        gst::init().expect("GStreamer");
        let source = gst::Structure::builder("application/x-rtp-source-stats")
            .field("rb-jitter", 90u32)
            .field("rb-fractionlost", 64u32)
            .field("rb-lsr", 5u32)
            .field("rb-exthighestseq", 7u32)
            .build();
        let inbound = gst::Structure::builder("rtp-remote-inbound-stream-stats_1")
            .field("type", Type::RemoteInboundRtp)
            .field("ssrc", 1u32)
            .field("packets-lost", 2i64)
            .field("round-trip-time", 0.25f64)
            .field("gst-rtpsource-stats", source)
            .build();
        let outbound = gst::Structure::builder("rtp-outbound-stream-stats_1")
            .field("type", Type::OutboundRtp)
            .field("ssrc", 1u32)
            .field("nack-count", 4u32)
            .build();
        let stats = gst::Structure::builder("application/x-webrtc-stats").field("in", inbound).field("out", outbound);
        let found = parse(&stats.build()).streams;
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].ssrc, found[0].report), (1, Some((5, 7))));
        let stats = &found[0].stats;
        assert_eq!((stats.packets_lost, stats.nack_count, stats.fraction_lost), (2, 4, Some(0.25)));
        assert_eq!((stats.round_trip_time_ms, stats.jitter_ms), (Some(250.0), Some(1.0)));
    }
}
