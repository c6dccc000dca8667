//! Point clouds as numbers: what one is made of, and the task that sends them on the data channels of sessions. Owns their form on
//! those channels; how clouds look elsewhere is the HTTP side's.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};

use super::api::Snapshot;
use crate::{
    camera::{Frame, hub::FrameHub},
    core::picture::geometry,
    media::Media,
    model::{DeviceId, PixelFormat, SessionId, StreamKey, StreamType},
    work,
};

/// Most points of a cloud as numbers.
pub const MAX_POINTS: usize = 3000;
/// Ten clouds a second.
const PERIOD: Duration = Duration::from_millis(100);
/// How often a channel is told that its server is there, whether there is depth or not.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// Most bytes of one message: what every implementation of data channels takes (RFC 8831, section 6.6).
const MAX_MESSAGE: usize = 16 * 1024;
/// Most bytes of a message beside its points.
const ENVELOPE: usize = 512;

/// The points of a depth frame, at most so many: x, y and z in metres, to a tenth of a millimetre, which is finer than the camera.
pub fn points(frame: &Frame, most: usize) -> Vec<[f64; 3]> {
    let Some(intrinsics) = &frame.intrinsics else { return Vec::new() };
    let round = |value: f32| (f64::from(value) * 1e4).round() / 1e4;
    let points = geometry::point_cloud(frame.bytes(), intrinsics, frame.depth_units, most);
    points.chunks_exact(3).map(|point| [0, 1, 2].map(|axis| round(point[axis]))).collect()
}

/// Whether a frame has depth that points can be made of.
pub fn is_usable(frame: &Frame) -> bool {
    frame.format == PixelFormat::Z16 && frame.size_fits() && frame.intrinsics.is_some()
}

/// A message of a data channel.
#[derive(Serialize)]
#[serde(tag = "type")]
enum Message<'a> {
    #[serde(rename = "pointcloud-data")]
    Points {
        device_id: &'a DeviceId,
        vertices: &'a [[f64; 3]],
        /// Unix seconds.
        timestamp: f64,
        /// Points of the whole cloud.
        total_vertices: usize,
        /// Points of this message.
        sent_vertices: usize,
        #[serde(flatten)]
        chunk: Option<Chunk<'a>>,
    },
    #[serde(rename = "heartbeat")]
    Heartbeat {
        /// Unix seconds.
        timestamp: f64,
    },
}

/// Which part of a cloud a message is, where the cloud takes several.
#[derive(Serialize)]
struct Chunk<'a> {
    message_id: &'a str,
    chunk_index: usize,
    total_chunks: usize,
    is_last_chunk: bool,
    chunk_info: bool,
}

/// A cloud as messages that every peer takes.
fn messages(device_id: &DeviceId, vertices: &[[f64; 3]], timestamp: f64, message_id: &str) -> Vec<String> {
    let total_vertices = vertices.len();
    let message = |vertices: &[[f64; 3]], chunk: Option<Chunk<'_>>| {
        let sent_vertices = vertices.len();
        text(&Message::Points { device_id, vertices, timestamp, total_vertices, sent_vertices, chunk })
    };
    let whole = message(vertices, None);
    if whole.len() <= MAX_MESSAGE {
        return vec![whole];
    }
    // The longest of them says how many fit in any case: "[-12.3456,-12.3456,-12.3456],".
    let longest = vertices.iter().map(|point| text(point).len() + 1).max().unwrap_or(1);
    let chunks: Vec<_> = vertices.chunks(((MAX_MESSAGE - ENVELOPE) / longest).max(1)).collect();
    let total_chunks = chunks.len();
    let chunk = |(chunk_index, part): (usize, &&[[f64; 3]])| {
        let is_last_chunk = chunk_index + 1 == total_chunks;
        let chunk = Chunk { message_id, chunk_index, total_chunks, is_last_chunk, chunk_info: true };
        message(part, Some(chunk))
    };
    chunks.iter().enumerate().map(chunk).collect()
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data, which JSON can hold")
}

fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// The task "clouds": sends the newest cloud of its device on every open channel, ten times a second. A channel that has not passed
/// on the one before gets none meanwhile. Ends with the session actor, and sleeps while no channel is open.
pub(super) async fn send(media: Arc<dyn Media>, hub: Arc<FrameHub>, mut snapshot: watch::Receiver<Arc<Snapshot>>) {
    let mut sent: BTreeMap<DeviceId, u64> = BTreeMap::new();
    let mut alive: BTreeMap<SessionId, Instant> = BTreeMap::new();
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let Ok(now) = snapshot.wait_for(|now| !now.channels.is_empty()).await.map(|now| now.clone()) else { return };
        ticks.tick().await;
        alive.retain(|session, _| now.channels.contains_key(session));
        let mut due: BTreeSet<SessionId> = BTreeSet::new();
        for session in now.channels.keys() {
            let told = alive.entry(session.clone()).or_insert_with(Instant::now);
            if told.elapsed() >= HEARTBEAT {
                *told = Instant::now();
                due.insert(session.clone());
            }
        }
        let mut devices: BTreeMap<&DeviceId, Vec<&SessionId>> = BTreeMap::new();
        for (session, device) in &now.channels {
            devices.entry(device).or_default().push(session);
        }
        sent.retain(|device, _| devices.contains_key(device));
        for (device, sessions) in devices {
            let frame = hub.latest(&StreamKey::new(device.clone(), StreamType::Depth)).filter(|frame| is_usable(frame));
            let texts = match frame.filter(|frame| sent.get(device) != Some(&frame.number)) {
                Some(frame) => {
                    sent.insert(device.clone(), frame.number);
                    let id = device.clone();
                    let made = work::CLOUDS.run(move || {
                        let points = points(&frame, MAX_POINTS);
                        messages(&id, &points, unix_seconds(), &format!("{id}-{}", frame.number))
                    });
                    // Who does not get this one gets the next.
                    made.await.unwrap_or_default()
                }
                None => Vec::new(),
            };
            let texts: Arc<[String]> = texts.into();
            for session in sessions {
                // One message, because another in its place would take it away.
                let texts = if due.remove(session) {
                    let heartbeat = text(&Message::Heartbeat { timestamp: unix_seconds() });
                    std::iter::once(heartbeat).chain(texts.iter().cloned()).collect()
                } else {
                    texts.clone()
                };
                if !texts.is_empty() {
                    media.send_data(session.clone(), texts);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_small_cloud_is_one_message() {
        let texts = messages(&DeviceId::new("1"), &[[0.5, -0.25, 1.0]], 1.5, "1-7");
        let read: Vec<Value> = texts.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();
        assert_eq!(
            read,
            [json!({"type": "pointcloud-data", "device_id": "1", "vertices": [[0.5, -0.25, 1.0]], "timestamp": 1.5,
                "total_vertices": 1, "sent_vertices": 1})]
        );
        assert_eq!(text(&Message::Heartbeat { timestamp: 2.0 }), r#"{"type":"heartbeat","timestamp":2.0}"#);
    }

    #[test]
    fn a_large_cloud_is_cut_and_is_whole_again() {
        let vertices: Vec<_> =
            (0..MAX_POINTS).map(|n| [-12.3456, f64::from(u32::try_from(n).unwrap()), 9.9999]).collect();
        let texts = messages(&DeviceId::new("844212070924"), &vertices, 1_760_000_000.123_456, "844212070924-123456");
        assert!(texts.len() > 3 && texts.iter().all(|text| text.len() <= MAX_MESSAGE), "{}", texts.len());
        let read: Vec<Value> = texts.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();
        let mut joined = Vec::new();
        for (index, message) in read.iter().enumerate() {
            assert_eq!(message["message_id"], "844212070924-123456");
            assert_eq!((&message["chunk_index"], &message["total_chunks"]), (&json!(index), &json!(texts.len())));
            assert_eq!(message["is_last_chunk"], json!(index + 1 == texts.len()));
            assert_eq!((&message["chunk_info"], &message["total_vertices"]), (&json!(true), &json!(MAX_POINTS)));
            let part = message["vertices"].as_array().expect("points");
            assert_eq!(message["sent_vertices"], part.len());
            joined.extend(part.iter().cloned());
        }
        assert_eq!(json!(vertices), json!(joined));
    }
}
