//! Reads webrtcbin's statistics. Pure apart from GStreamer's structures; keeps nothing.

use gst_webrtc::WebRTCStatsType as Type;

use crate::media::StreamStats;

/// RTP clock of every video codec, in kHz.
const CLOCK_KHZ: f64 = 90.0;

/// What webrtcbin knows of a session from its peer.
#[derive(Debug, Default)]
pub(super) struct PeerStats {
    /// Reports about each of our streams, by SSRC.
    pub(super) streams: Vec<(u32, StreamStats)>,
    /// The remote side of the selected candidate pair, `ip:port`.
    pub(super) remote_address: Option<String>,
}

pub(super) fn parse(stats: &gst::StructureRef) -> PeerStats {
    let mut found = PeerStats::default();
    for (_, value) in stats.iter() {
        let Ok(entry) = value.get::<gst::Structure>() else { continue };
        match entry.get::<Type>("type") {
            Ok(Type::OutboundRtp) => {
                let Some(stream) = stream_of(&mut found.streams, &entry) else { continue };
                stream.nack_count = u64::from(entry.get::<u32>("nack-count").unwrap_or(0));
                stream.pli_count = u64::from(entry.get::<u32>("pli-count").unwrap_or(0));
            }
            Ok(Type::RemoteInboundRtp) => {
                let Some(stream) = stream_of(&mut found.streams, &entry) else { continue };
                stream.packets_lost = packets_lost(&entry);
                // In seconds. Zero means that no report carried one yet.
                let round_trip = entry.get::<f64>("round-trip-time").ok().filter(|seconds| *seconds > 0.0);
                stream.round_trip_time_ms = round_trip.map(|seconds| seconds * 1e3);
                // Of the report itself: 1.22's own "jitter" is missing or zero.
                let source = entry.get::<gst::Structure>("gst-rtpsource-stats").ok();
                let jitter = source.and_then(|source| source.get::<u32>("rb-jitter").ok());
                stream.jitter_ms = jitter.map(|ticks| f64::from(ticks) / CLOCK_KHZ);
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

fn stream_of<'a>(streams: &'a mut Vec<(u32, StreamStats)>, entry: &gst::Structure) -> Option<&'a mut StreamStats> {
    let ssrc = entry.get::<u32>("ssrc").ok()?;
    let position = streams.iter().position(|(known, _)| *known == ssrc).unwrap_or_else(|| {
        streams.push((ssrc, StreamStats::default()));
        streams.len() - 1
    });
    Some(&mut streams[position].1)
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
