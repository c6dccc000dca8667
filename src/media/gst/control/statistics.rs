//! The control thread's part about statistics: who asked, what webrtcbin answered, and a session's figures. Looks at the
//! peers' reports only when somebody asks, and once a second at most.

use std::{
    collections::HashSet,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{ANNOUNCE, Control, STATS_WAIT};
use crate::{
    media::{
        SessionStats, StreamStats,
        gst::{
            encode::counts,
            session::{media_session::MediaSession, stats::PeerStats},
        },
    },
    model::{SessionId, StreamKey},
};

/// How old the peers' reports may be before they are asked for again: browsers report about once a second, and asking costs
/// webrtcbin a walk through all its parts.
const STATS_FRESH: Duration = Duration::from_secs(1);
/// Requests that may wait for reports; the next one is answered with what is there.
const MAX_PENDING: usize = 64;
/// Media counts as flowing while packets left within this time.
const STREAMING_MS: u64 = 2000;

/// A request that waits for webrtcbin's answers.
pub(super) struct PendingStats {
    sessions: Vec<SessionId>,
    missing: HashSet<SessionId>,
    deadline: Instant,
    reply: oneshot::Sender<Vec<(SessionId, SessionStats)>>,
}

impl PendingStats {
    /// When it is answered with what is there.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Waits no longer for a session that is gone.
    pub(super) fn forget(&mut self, session: &SessionId) {
        self.missing.remove(session);
    }
}

impl Control {
    pub(super) fn request_stats(
        &mut self,
        sessions: Vec<SessionId>,
        reply: oneshot::Sender<Vec<(SessionId, SessionStats)>>,
    ) {
        self.next_stats += 1;
        let request = self.next_stats;
        let mut missing = HashSet::new();
        let now = Instant::now();
        for id in &sessions {
            let Some(session) = self.sessions.get_mut(id).filter(|session| session.connected) else { continue };
            if session.polled_at.is_none_or(|at| now.saturating_duration_since(at) >= STATS_FRESH) {
                self.ctx.metrics.sessions.report_polls.inc();
                session.polled_at = Some(now);
                session.polling = true;
                session.request_stats(request);
            }
            // Whoever asks while an answer is out waits for the same one.
            if session.polling {
                missing.insert(id.clone());
            }
        }
        let deadline = if self.stats.len() < MAX_PENDING { now + STATS_WAIT } else { now };
        self.stats.insert(request, PendingStats { sessions, missing, deadline, reply });
    }

    pub(super) fn take_stats(&mut self, request: u64, id: &SessionId, part: PeerStats) {
        if let Some(session) = self.sessions.get_mut(id) {
            let reported = part.streams.iter().filter(|peer| peer.report.is_some());
            let round_trip = reported.filter_map(|peer| peer.stats.round_trip_time_ms).next_back();
            for peer in part.streams {
                let Some(leg) = session.legs.iter_mut().find(|leg| leg.ssrc == peer.ssrc) else { continue };
                leg.peer.take(peer.stats, peer.report.is_some());
                // A report that was seen before says nothing new.
                if peer.report.is_some() && std::mem::replace(&mut leg.report, peer.report) != peer.report {
                    let Some(stream) = leg.stream else { continue };
                    let key = StreamKey::new(session.spec.device.clone(), stream);
                    counts::observe_report(&self.ctx.metrics.stream(&key), &leg.peer);
                }
            }
            if round_trip.is_some() {
                // All its streams go the same way, and often only one of them was reported on.
                session.legs.iter_mut().for_each(|leg| leg.peer.round_trip_time_ms = round_trip);
            }
            session.polling &= request == ANNOUNCE;
            if part.remote_address.is_some() {
                session.remote_address = part.remote_address;
            }
        }
        if request == ANNOUNCE {
            self.announce(id);
        }
        if request != ANNOUNCE {
            for pending in self.stats.values_mut() {
                pending.missing.remove(id);
            }
        }
    }

    pub(super) fn answer_stats(&mut self, now: Instant) {
        let due = |pending: &PendingStats| pending.missing.is_empty() || pending.deadline <= now;
        let ready: Vec<_> =
            self.stats.iter().filter(|(_, pending)| due(pending)).map(|(request, _)| *request).collect();
        for request in ready {
            let Some(pending) = self.stats.remove(&request) else { continue };
            for session in &pending.sessions {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.add_shares(&self.ctx);
                }
            }
            let known = pending.sessions.into_iter().filter_map(|id| {
                let stats = self.session_stats(self.sessions.get(&id)?);
                Some((id, stats))
            });
            let answer = known.collect();
            let _ = pending.reply.send(answer);
        }
    }

    fn session_stats(&self, session: &MediaSession) -> SessionStats {
        let now = Instant::now();
        let now_ms = self.ctx.ms(now);
        // Of a time stamp that is 0 for never.
        let since = |at_ms: u64| (at_ms > 0).then(|| Duration::from_millis(now_ms.saturating_sub(at_ms)).as_secs_f64());
        let mut streaming = false;
        let streams = session.legs.iter().filter_map(|leg| Some((leg.stream?, leg))).map(|(stream, leg)| {
            let counters = &leg.counters;
            let sent_ms = counters.sent_ms.load(Relaxed);
            streaming |= sent_ms > 0 && now_ms.saturating_sub(sent_ms) <= STREAMING_MS;
            let rate = leg.share.as_ref().and_then(|share| share.encoder().rate(now));
            let plis = leg.peer.pli_count.max(counters.plis.load(Relaxed));
            StreamStats {
                stream_type: stream.to_string(),
                codec: leg.codec,
                bytes_sent: counters.bytes.load(Relaxed),
                packets_sent: counters.packets.load(Relaxed),
                frames_sent: counters.frames.load(Relaxed),
                frames_dropped: counters.dropped.load(Relaxed),
                frames_dropped_behind: counters.behind.load(Relaxed),
                queued_frames: leg.gate.as_ref().map_or(0, |gate| gate.queued()),
                key_frames_sent: counters.keys.load(Relaxed),
                key_frames_requested: counters.asked.load(Relaxed) + plis,
                key_frames_refused: counters.refused.load(Relaxed),
                last_packet_s: since(sent_ms),
                pli_count: plis,
                encoder_fps: rate.map(|(fps, _)| fps),
                encoder_bitrate_bps: rate.map(|(_, bitrate)| bitrate),
                ..leg.peer.clone()
            }
        });
        let streams = streams.collect();
        let connected_s = session.connected_at.map(|at| now.saturating_duration_since(at).as_secs_f64());
        let last_heard_s = since(session.link.rhythm().heard_ms());
        let packets_retransmitted = session.retransmitted_now();
        let retransmissions_refused = session.link.refused.load(Relaxed);
        SessionStats { streaming, connected_s, last_heard_s, packets_retransmitted, retransmissions_refused, streams }
    }
}
