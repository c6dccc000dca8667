//! `probe watch`: one session, and what came through.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{
    client::Client,
    receiver::{Options, ReceivedStats},
    report::{Report, ms},
    viewer::{StreamSummary, Viewer},
};
use crate::error::Result;

/// How long the first frame may take.
const FIRST_FRAME_LIMIT: Duration = Duration::from_secs(20);
/// How old a stream's last frame may be at the end: five times what the slowest stream (1 fps) needs.
const LAST_FRAME_LIMIT: Duration = Duration::from_secs(5);

/// Watches and reports; true when every stream delivered until the end. The report's verdict is the same.
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
    let delivers = started.and_then(|_| still_delivers(&viewer.streams, &stats.streams, Instant::now()));
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
    report.step("every stream delivers", delivers);
    // The session is over either way; a server that lost it meanwhile is told by the frames.
    let _ = viewer.leave(client).await;
    Ok(report.finish())
}

/// Whether every stream's last frame is recent: one that began and then stopped does not deliver.
fn still_delivers(names: &[String], streams: &[ReceivedStats], now: Instant) -> std::result::Result<String, String> {
    if streams.is_empty() {
        return Err("the offer has no stream".into());
    }
    let age = |stream: &ReceivedStats| stream.last_frame_at.map(|at| now.saturating_duration_since(at));
    let silent: Vec<_> = names
        .iter()
        .zip(streams)
        .filter_map(|(name, stream)| match age(stream) {
            None => Some(format!("{name} has no frame")),
            Some(age) if age > LAST_FRAME_LIMIT => Some(format!("{name} stopped {:.1} s ago", age.as_secs_f64())),
            Some(_) => None,
        })
        .collect();
    if !silent.is_empty() {
        return Err(silent.join("; "));
    }
    Ok(format!("{} frames", streams.iter().map(|stream| stream.frames).sum::<u64>()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_stopped_or_never_began_does_not_deliver() {
        let start = Instant::now();
        let names = ["color".to_owned(), "depth".to_owned()];
        let stream = |last_frame_at| ReceivedStats { frames: 3, last_frame_at, ..ReceivedStats::new("0") };
        let streams = [stream(Some(start)), stream(Some(start + LAST_FRAME_LIMIT))];
        assert_eq!(still_delivers(&names, &streams, start + LAST_FRAME_LIMIT), Ok("6 frames".into()));
        let later = start + LAST_FRAME_LIMIT + Duration::from_millis(100);
        assert_eq!(still_delivers(&names, &streams, later), Err("color stopped 5.1 s ago".into()));
        assert_eq!(still_delivers(&names[1..], &[stream(None)], later), Err("depth has no frame".into()));
        assert!(still_delivers(&names, &[], later).is_err());
    }
}
