//! `probe watch`: one session, and what came through.

use std::time::Duration;

use serde_json::json;

use super::{
    client::Client,
    receiver::Options,
    report::{Report, ms},
    viewer::{StreamSummary, Viewer},
};
use crate::error::Result;

/// How long the first frame may take.
const FIRST_FRAME_LIMIT: Duration = Duration::from_secs(20);

/// Watches and reports; true when every stream delivered.
///
/// # Errors
/// What the server refused.
pub async fn run(
    client: &Client,
    device: &str,
    streams: &[String],
    watch_for: Duration,
    options: Options,
    mut report: Report,
) -> Result<bool> {
    let viewer = Viewer::join(client, device, streams, options).await?;
    let started = viewer.receives(1, FIRST_FRAME_LIMIT).await;
    if started.is_ok() {
        tokio::time::sleep(watch_for).await;
    }
    let summary = viewer.summary();
    let stats = viewer.receiver.stats();
    let connected = stats.connected_at.map(|at| at.saturating_duration_since(viewer.asked_at).as_secs_f64() * 1e3);
    let offer = viewer.offer_took.as_secs_f64() * 1e3;
    report.say(format!(
        "  session {} of device {device}: offer {offer:.0} ms, connected {} ms after the offer request",
        viewer.session,
        ms(connected)
    ));
    report.table(&HEAD, &summary.iter().map(row).collect::<Vec<_>>());
    report.put("session_id", viewer.session.clone());
    report.put("device_id", device);
    report.put("offer_ms", offer);
    report.put("connected_ms", connected);
    report.put("streams", json!(summary));
    if let Err(wrong) = started {
        report.step("every stream delivers", Err(wrong));
    }
    // The session is over either way; a server that lost it meanwhile is told by the frames.
    let _ = viewer.leave(client).await;
    Ok(report.finish())
}

/// The columns of [`row`]; times in ms from the offer request.
pub const HEAD: [&str; 14] = [
    "stream", "codec", "packet", "frame", "fps", "kbit/s", "frames", "key", "missed", "packets", "lost", "repaired",
    "plis", "max gap",
];

/// A stream's summary as a table row.
pub fn row(stream: &StreamSummary) -> Vec<String> {
    vec![
        stream.stream.clone(),
        stream.codec.clone().unwrap_or_else(|| "-".into()),
        ms(stream.first_packet_ms),
        ms(stream.first_frame_ms),
        format!("{:.1}", stream.fps),
        format!("{:.0}", stream.kbps),
        stream.frames.to_string(),
        stream.keyframes.to_string(),
        (stream.missed + stream.broken).to_string(),
        stream.packets.to_string(),
        stream.lost.to_string(),
        stream.repaired.to_string(),
        stream.plis.to_string(),
        format!("{:.0}", stream.longest_gap_ms),
    ]
}
