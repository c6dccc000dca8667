//! Media: the interface between the session actor and whatever turns frames into WebRTC, which is GStreamer, or the fake
//! that tests use. Calls never block; answers come as [`MediaEvent`]s.

pub mod diagnostics;
pub mod fake;
pub mod gst;

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use tokio::sync::oneshot;
use utoipa::ToSchema;

use self::diagnostics::Diagnostics;
use crate::{
    error::{Error, Result},
    model::{Codec, DeviceId, IceCandidate, Profile, SessionEnd, SessionId, StreamKey, StreamType},
};

/// What the session actor may ask of the media side. Every call returns at once and only queues work.
pub trait Media: Send + Sync + 'static {
    /// Why what is asked now would be refused: too much waits, or the media side hangs. `None` while all is well. To be asked
    /// before anything is changed for an offer, an answer, a candidate or a depth range; what is asked all the same is refused by
    /// its event, or lost where it has none.
    fn refusal(&self) -> Option<Error>;

    /// Builds a session and makes its offer; answered by [`MediaEvent::Offer`]. The streams run already.
    fn open_session(&self, spec: SessionSpec);

    /// Applies the peer's answer; answered by [`MediaEvent::Answered`].
    fn set_answer(&self, session: SessionId, sdp: String);

    /// Adds a candidate of the peer. Called only after the answer was applied. A bad one is logged and ignored.
    fn add_candidate(&self, session: SessionId, candidate: IceCandidate);

    /// Has a session's m-lines carry other streams, which run already, or nothing; one that stays as it is is not touched. Called only
    /// after the answer was applied; lines that the peer refused stay dark.
    fn switch_session(&self, session: SessionId, lines: Vec<Option<(StreamType, Profile)>>);

    /// Gives a session further m-lines, one for each of these, and makes a new offer of it; answered by [`MediaEvent::Offer`]. They
    /// carry nothing before [`Self::switch_session`]. Called only after the answer was applied; the session then takes another.
    fn grow_session(&self, session: SessionId, lines: Vec<NewLine>);

    /// Sends texts on a session's data channel, in this order, unless some of those before are still on their way: then these are
    /// dropped. Sessions without an open channel are ignored.
    fn send_data(&self, session: SessionId, texts: Arc<[String]>);

    /// Ends a session and frees everything it held. No event of this session follows. Unknown sessions are ignored.
    fn close_session(&self, session: SessionId);

    /// A stream runs with this profile (again, after an interruption, perhaps with another profile).
    fn stream_running(&self, key: StreamKey, profile: Profile);

    /// A stream stopped for good: frees its encoders. Sessions on it were closed before.
    fn stream_stopped(&self, key: StreamKey);

    /// Changes the metres that the depth colour map runs over, live, for a device.
    fn set_depth_range(&self, device: DeviceId, min_m: f32, max_m: f32);

    /// A device is known no more, nor what was set for it.
    fn forget_device(&self, device: DeviceId);

    /// Statistics of these sessions, from counters and from the peers' reports. The reports are looked at when somebody asks,
    /// once a second at most however many ask; that takes up to 300 ms.
    fn stats(&self, sessions: Vec<SessionId>, reply: oneshot::Sender<Vec<(SessionId, SessionStats)>>);

    /// What people may ask while it runs.
    fn diagnostics(&self) -> Arc<dyn Diagnostics>;

    /// Ends every session and stream, then fires `done`.
    fn shutdown(&self, done: oneshot::Sender<()>);
}

/// What a session is to be made of.
#[derive(Debug, Clone)]
pub struct SessionSpec {
    /// The session.
    pub session: SessionId,
    /// The device all its streams come from.
    pub device: DeviceId,
    /// One sendonly m-line each, in this order.
    pub streams: Vec<(StreamType, Profile)>,
    /// Per stream, in the same order, what asks most of a decoder of all that it may become while the session lasts; where there
    /// are fewer, a stream stays as it is.
    pub largest: Vec<Profile>,
    /// Codecs to offer, best first; never empty.
    pub codecs: Vec<Codec>,
    /// How many m-lines there are behind those of the streams that carry nothing yet.
    pub spare: usize,
    /// Whether there is a data channel for point clouds ([`CLOUD_CHANNEL`]) as well.
    pub data_channel: bool,
}

/// A further m-line of a session that was answered already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewLine {
    /// What it is to carry.
    pub stream: StreamType,
    /// At what size and rate.
    pub profile: Profile,
    /// What asks most of a decoder of all that the stream may become while the session lasts.
    pub largest: Profile,
}

/// Most m-lines of streams that a session may have: twice what a device has streams.
pub const MAX_LINES: usize = 8;

/// The data channel of point clouds.
pub const CLOUD_CHANNEL: &str = "pointcloud-data";

/// The server's side of the offer.
#[derive(Debug, Clone)]
pub struct LocalOffer {
    /// The SDP, with the candidates that were gathered within the bound.
    pub sdp: String,
    /// The same candidates one by one.
    pub candidates: Vec<IceCandidate>,
}

/// What the media side reports. Sent without blocking, from any thread.
#[derive(Debug)]
pub enum MediaEvent {
    /// The offer is ready, or the session could not be built (then it holds nothing any more).
    Offer {
        /// Session.
        session: SessionId,
        /// Result.
        result: Result<LocalOffer>,
    },
    /// The answer was applied or refused. After a refusal the session stays as it was: a better answer may follow. After a
    /// failure of the media side's own, [`MediaEvent::Ended`] follows at once.
    Answered {
        /// Session.
        session: SessionId,
        /// The codec chosen for each m-line of streams, spare ones included, or why the answer was refused.
        result: Result<Vec<Option<Codec>>>,
    },
    /// A late candidate of ours, gathered after the offer was sent.
    LocalCandidate {
        /// Session.
        session: SessionId,
        /// Candidate.
        candidate: IceCandidate,
    },
    /// DTLS is up; media flows from the next key frame on.
    Connected {
        /// Session.
        session: SessionId,
        /// The peer's address as `ip:port`, where known.
        remote_address: Option<String>,
    },
    /// The session's data channel opened, or closed.
    DataChannel {
        /// Session.
        session: SessionId,
        /// Whether it is open now.
        open: bool,
    },
    /// ICE lost the peer but may find it again.
    Disconnected {
        /// Session.
        session: SessionId,
    },
    /// Something arrived from the peer; at most once a second per session.
    Activity {
        /// Session.
        session: SessionId,
    },
    /// The session ended; the actor calls `close_session` for it.
    Ended {
        /// Session.
        session: SessionId,
        /// Why.
        reason: SessionEnd,
    },
    /// The media side itself ended by a bug, or hangs and does not come back: nothing can be served any more.
    Failed,
    /// A stream's pipeline failed and is rebuilt after the given delay; its sessions stay connected.
    StreamError {
        /// Stream.
        key: StreamKey,
        /// Of which of its encoders.
        codec: Codec,
        /// What failed, in words for a person.
        message: String,
        /// When it is tried again.
        retry_in: Duration,
    },
}

/// A session's statistics.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct SessionStats {
    /// Whether media has been sent in the last two seconds.
    pub streaming: bool,
    /// Seconds since DTLS came up; null before that.
    #[schema(example = 12.5)]
    pub connected_s: Option<f64>,
    /// Seconds since the peer's last packet; null before the first.
    #[schema(example = 0.4)]
    pub last_heard_s: Option<f64>,
    /// RTP packets of all its streams that were sent again on request.
    pub packets_retransmitted: u64,
    /// RTP packets that were asked for again and not sent: asked for too often, or more than the session's share.
    pub retransmissions_refused: u64,
    /// Per stream, in m-line order.
    pub streams: Vec<StreamStats>,
}

/// One stream of a session, as sent and as the peer reports it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct StreamStats {
    /// The stream type's name.
    pub stream_type: String,
    /// Codec in use, once the answer chose it.
    pub codec: Option<Codec>,
    /// Why its encoder makes no pictures now. Null while nothing is known to be wrong.
    pub trouble: Option<String>,
    /// Payload and header bytes sent.
    pub bytes_sent: u64,
    /// RTP packets sent.
    pub packets_sent: u64,
    /// Frames (access units) handed to the session.
    pub frames_sent: u64,
    /// Frames that were not sent: the session could not take more, or waited for a key frame.
    pub frames_dropped: u64,
    /// Those of `frames_dropped` that were not sent because the session's queue was full.
    pub frames_dropped_behind: u64,
    /// Frames that wait in the session's queue now. With 15 it is full.
    pub queued_frames: u64,
    /// Key frames handed to the session.
    pub key_frames_sent: u64,
    /// Key frames asked for, by the server for this session or by its peer (PLI, FIR).
    pub key_frames_requested: u64,
    /// Requests for key frames that were delayed because they came too often.
    pub key_frames_refused: u64,
    /// Seconds since the last packet was sent; null before the first.
    #[schema(example = 0.02)]
    pub last_packet_s: Option<f64>,
    /// RTP packets the peer reports lost.
    pub packets_lost: i64,
    /// Share of packets lost between the peer's last two reports, 0 to 1.
    #[schema(example = 0.004)]
    pub fraction_lost: Option<f64>,
    /// Round-trip time in milliseconds, from the peer's reports.
    pub round_trip_time_ms: Option<f64>,
    /// Interarrival jitter in milliseconds, from the peer's reports.
    pub jitter_ms: Option<f64>,
    /// Generic NACKs received (requests to send packets again).
    pub nack_count: u64,
    /// Picture loss indications received (requests for a key frame).
    pub pli_count: u64,
    /// Frames a second that its encoder makes, since these statistics were last read. Null at the first reading.
    #[schema(example = 29.9)]
    pub encoder_fps: Option<f64>,
    /// Bits a second that its encoder makes, since these statistics were last read. Null at the first reading.
    #[schema(example = 1_950_000.0)]
    pub encoder_bitrate_bps: Option<f64>,
}
