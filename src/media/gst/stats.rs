//! Reads webrtcbin's statistics. Pure apart from GStreamer's structures; keeps nothing.

use gst_webrtc::WebRTCStatsType as Type;

use crate::media::StreamStats;

/// RTP clock of every video codec, in kHz.
const CLOCK_KHZ: f64 = 90.0;

/// What webrtcbin knows of a session from its peer.
#[derive(Debug, Default)]
pub(super) struct PeerStats {
    /// Reports about each of our streams.
    pub(super) streams: Vec<PeerStream>,
    /// The remote side of the selected candidate pair, `ip:port`.
    pub(super) remote_address: Option<String>,
}

/// What the peer tells of one of our streams.
#[derive(Debug, Default)]
pub(super) struct PeerStream {
    pub(super) ssrc: u32,
    pub(super) stats: StreamStats,
    /// Tells one receiver report from the next: the last sender report it knew and the highest packet it had.
    pub(super) report: Option<(u32, u32)>,
}

pub(super) fn parse(stats: &gst::StructureRef) -> PeerStats {
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
