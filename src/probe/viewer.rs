//! One viewer: a session of the contract plus the receiver that watches it. Owns both and ends both; judges nothing.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::{
    client::Client,
    receiver::{Handle, Options, Phase, ReceivedStats, Receiver, Stats},
};
use crate::error::{Error, Result};

/// A viewer that has sent its answer.
pub struct Viewer {
    /// The session's id.
    pub session: String,
    /// Stream types in m-line order.
    pub streams: Vec<String>,
    /// The receiver.
    pub receiver: Handle,
    /// When the offer was requested: the moment a person pressed "start".
    pub asked_at: Instant,
    /// How long the server took to offer.
    pub offer_took: Duration,
}

/// One stream of a viewer, in numbers to print. Times count from the offer request.
#[derive(Debug, Clone, Serialize)]
pub struct StreamSummary {
    /// Stream type.
    pub stream: String,
    /// Codec.
    pub codec: Option<String>,
    /// First packet.
    pub first_packet_ms: Option<f64>,
    /// First complete key frame: what a browser could show first.
    pub first_frame_ms: Option<f64>,
    /// Whether the first frame was a key frame.
    pub started_with_keyframe: bool,
    /// Complete frames per second between the first and the last.
    pub fps: f64,
    /// Kilobits per second of RTP between the first packet and the last frame.
    pub kbps: f64,
    /// Complete frames.
    pub frames: u64,
    /// Key frames among them.
    pub keyframes: u64,
    /// Frames the sender left out.
    pub missed: u64,
    /// Frames lost to packet loss.
    pub broken: u64,
    /// Packets.
    pub packets: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Packets that NACK brought back.
    pub repaired: u64,
    /// NACKs sent.
    pub nacks: u64,
    /// Key frame requests sent.
    pub plis: u64,
    /// Longest time between two frames.
    pub longest_gap_ms: f64,
}

impl Viewer {
    /// Makes a session and connects a receiver to it the way the pages do: candidates first, then the answer.
    ///
    /// # Errors
    /// Whatever the server or the receiver refused, in words; a session that was made is ended again.
    pub async fn join(client: &Client, device: &str, streams: &[String], options: Options) -> Result<Self> {
        let asked_at = Instant::now();
        let offer = client.offer(device, streams).await?;
        let offer_took = asked_at.elapsed();
        match Self::connect(client, &offer.session, &offer.sdp, options).await {
            Ok(receiver) => {
                Ok(Self { session: offer.session, streams: streams.to_vec(), receiver, asked_at, offer_took })
            }
            Err(error) => {
                // The failure is what counts; the server drops an unanswered session by itself.
                let _ = client.delete(&offer.session).await;
                Err(error)
            }
        }
    }

    async fn connect(client: &Client, session: &str, sdp: &str, options: Options) -> Result<Handle> {
        let (receiver, answer, candidates) = Receiver::from_offer(sdp, options)?;
        let receiver = receiver.spawn();
        let mid = receiver.stats().streams.first().map(|stream| stream.mid.clone());
        for candidate in candidates {
            let reply = client.candidate(session, &candidate, mid.as_deref()).await?;
            if !reply.is_ok() {
                return Err(Error::invalid(format!("POST /webrtc/ice-candidates before the answer: {reply}")));
            }
        }
        let reply = client.answer(session, &answer).await?;
        if reply.is_ok() { Ok(receiver) } else { Err(Error::invalid(format!("POST /webrtc/answer: {reply}"))) }
    }

    /// Waits until every stream has delivered this many complete frames from a key frame on.
    ///
    /// # Errors
    /// What is missing, in words.
    pub async fn receives(&self, frames: u64, limit: Duration) -> std::result::Result<Stats, String> {
        let enough = |stream: &ReceivedStats| stream.first_keyframe_at.is_some() && stream.frames >= frames;
        let outcome = self.receiver.wait(limit, |stats| stats.streams.iter().all(enough)).await;
        outcome.map_err(|stats| {
            let phase = match stats.phase {
                Phase::Connected => String::new(),
                other => format!(" ({other:?})"),
            };
            let seen: Vec<_> = self
                .streams
                .iter()
                .zip(&stats.streams)
                .map(|(name, stream)| format!("{name} {} frames, {} key frames", stream.frames, stream.keyframes))
                .collect();
            format!("{} got too little within {limit:?}{phase}: {}", self.streams.join("+"), seen.join("; "))
        })
    }

    /// Complete frames of every stream so far.
    pub fn frames(&self) -> Vec<u64> {
        self.receiver.stats().streams.iter().map(|stream| stream.frames).collect()
    }

    /// Every stream in numbers.
    pub fn summary(&self) -> Vec<StreamSummary> {
        let stats = self.receiver.stats();
        self.streams
            .iter()
            .zip(&stats.streams)
            .map(|(name, stream)| StreamSummary::new(name, self.asked_at, stream))
            .collect()
    }

    /// Ends the session over HTTP, then the receiver.
    ///
    /// # Errors
    /// What the server said.
    pub async fn leave(self, client: &Client) -> Result<bool> {
        let ended = client.delete(&self.session).await;
        self.receiver.close().await;
        ended
    }
}

impl StreamSummary {
    fn new(name: &str, asked_at: Instant, stream: &ReceivedStats) -> Self {
        let since = |at: Option<Instant>| at.map(|at| at.saturating_duration_since(asked_at).as_secs_f64() * 1e3);
        let span = |from: Option<Instant>| match (from, stream.last_frame_at) {
            (Some(from), Some(to)) if to > from => Some((to - from).as_secs_f64()),
            _ => None,
        };
        Self {
            stream: name.into(),
            codec: stream.codec.map(|codec| codec.to_string()),
            first_packet_ms: since(stream.first_packet_at),
            first_frame_ms: since(stream.first_keyframe_at),
            started_with_keyframe: stream.started_with_keyframe,
            fps: span(stream.first_frame_at).map_or(0.0, |secs| stream.frames.saturating_sub(1) as f64 / secs),
            kbps: span(stream.first_packet_at).map_or(0.0, |secs| stream.bytes as f64 * 8.0 / 1e3 / secs),
            frames: stream.frames,
            keyframes: stream.keyframes,
            missed: stream.missed,
            broken: stream.broken,
            packets: stream.packets,
            lost: stream.lost,
            repaired: stream.repaired,
            nacks: stream.nacks,
            plis: stream.plis,
            longest_gap_ms: stream.gap(Instant::now()).as_secs_f64() * 1e3,
        }
    }
}
