//! Reads webrtcbin's statistics. Pure apart from GStreamer's structures; keeps nothing.

use crate::media::StreamStats;

/// What the peer reports about each of our streams, by SSRC.
pub(super) fn parse(stats: &gst::StructureRef) -> Vec<(u32, StreamStats)> {
    let mut found: Vec<(u32, StreamStats)> = Vec::new();
    for (_, value) in stats.iter() {
        let Ok(entry) = value.get::<gst::Structure>() else { continue };
        let (Ok(kind), Ok(ssrc)) = (entry.get::<gst_webrtc::WebRTCStatsType>("type"), entry.get::<u32>("ssrc")) else {
            continue;
        };
        let position = found.iter().position(|(known, _)| *known == ssrc).unwrap_or_else(|| {
            found.push((ssrc, StreamStats::default()));
            found.len() - 1
        });
        let stream = &mut found[position].1;
        match kind {
            gst_webrtc::WebRTCStatsType::OutboundRtp => {
                stream.nack_count = u64::from(entry.get::<u32>("nack-count").unwrap_or(0));
                stream.pli_count = u64::from(entry.get::<u32>("pli-count").unwrap_or(0));
            }
            gst_webrtc::WebRTCStatsType::RemoteInboundRtp => {
                stream.packets_lost = packets_lost(&entry);
                // Both in seconds. A round trip of zero means that no report carried one yet.
                stream.round_trip_time_ms =
                    entry.get::<f64>("round-trip-time").ok().filter(|s| *s > 0.0).map(|s| s * 1e3);
                stream.jitter_ms = entry.get::<f64>("jitter").ok().map(|s| s * 1e3);
            }
            _ => {}
        }
    }
    found
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
