//! What is known of the streams, their encoders and who watches them. Owns the table; what happens to it is told beside.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use super::super::{
    encoder::{Branch, Encoder},
    feed::{Feed, Target},
    gate::Gate,
    key_frame_requests::KeyFrames,
    starter::Ports,
};
use crate::{
    core::text::template::Fault,
    media::{
        MediaEvent,
        diagnostics::ReloadAnswer,
        gst::{context::Context, pipelines::text::Text, teardown::Teardown},
    },
    model::{Codec, DeviceId, Profile, StreamKey},
};

/// How long an encoder that nobody watches keeps running, so that a page reload finds it warm.
const IDLE_GRACE: Duration = Duration::from_secs(2);
/// First and last wait before a failed encoder is tried again.
pub(super) const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LAST: Duration = Duration::from_secs(10);

/// All streams of all devices.
pub(in crate::media::gst) struct Streams {
    pub(super) streams: BTreeMap<StreamKey, Stream>,
    pub(super) ranges_m: HashMap<DeviceId, (f32, f32)>,
    /// The last text of each pipeline that started, for a running stream whose file breaks.
    pub(super) good: HashMap<String, Text>,
    /// Pipelines that started on this machine as they are now.
    pub(super) works: BTreeSet<String>,
    /// Pipelines whose file has a fault by now.
    pub(super) faults: BTreeMap<String, Fault>,
    /// Starts under way, by job number.
    pub(super) starts: BTreeMap<u64, Start>,
    pub(super) next_job: u64,
    /// Starts that were given up and have not come back.
    pub(super) hung: BTreeSet<u64>,
    /// Encoders that failed before they were taken up, by serial number, and why.
    pub(super) early_failures: Vec<(u64, String)>,
    pub(super) reloads: Vec<Reload>,
    /// Sessions that could not be attached to an encoder, and why; the control thread ends them.
    pub(super) refused: Vec<(u64, String)>,
    pub(super) ports: Ports,
}

pub(super) struct Stream {
    pub(super) profile: Profile,
    pub(super) feed: Option<Feed>,
    pub(super) slots: BTreeMap<Codec, Slot>,
}

/// One stream in one codec.
pub(super) struct Slot {
    pub(super) codec: Codec,
    pub(super) encoder: Option<Encoder>,
    /// What the encoder was built from.
    pub(super) text: Option<Text>,
    /// The start under way.
    pub(super) job: Option<u64>,
    pub(super) key_frames: Arc<KeyFrames>,
    pub(super) users: HashMap<u64, User>,
    pub(super) idle_since: Option<Instant>,
    pub(super) retry_at: Option<Instant>,
    pub(super) backoff: Duration,
    pub(super) started_at: Instant,
}

pub(super) struct User {
    pub(super) gate: Arc<Gate>,
    pub(super) live: bool,
    pub(super) branch: Option<Branch>,
}

/// A start under way.
pub(super) struct Start {
    pub(super) key: StreamKey,
    pub(super) codec: Codec,
    pub(super) deadline: Instant,
    /// From its beginning to its deadline.
    pub(super) longest: Duration,
    pub(super) cause: Cause,
}

/// Why an encoder is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Somebody watches, the profile changed, or it is tried again.
    Wanted,
    /// The file has a fault: the text that worked last is taken.
    Fallback,
    /// The file was saved, or somebody asked for it.
    Reload,
}

/// A reload under way.
pub(super) struct Reload {
    pub(super) name: String,
    pub(super) jobs: BTreeSet<u64>,
    pub(super) fault: Option<Fault>,
    /// Nobody waits for the reload of a saved file.
    pub(super) reply: Option<ReloadAnswer>,
}

impl Reload {
    /// Waits for another job in place of this one, where it waits for it.
    pub(super) fn follow(&mut self, job: u64, instead: u64) {
        if self.jobs.remove(&job) {
            self.jobs.insert(instead);
        }
    }
}

impl Streams {
    /// None yet.
    pub(in crate::media::gst) fn new(ports: Ports) -> Self {
        Self {
            streams: BTreeMap::new(),
            ranges_m: HashMap::new(),
            good: HashMap::new(),
            works: BTreeSet::new(),
            faults: BTreeMap::new(),
            starts: BTreeMap::new(),
            next_job: 0,
            hung: BTreeSet::new(),
            early_failures: Vec::new(),
            reloads: Vec::new(),
            refused: Vec::new(),
            ports,
        }
    }

    pub(super) fn slot(&self, key: &StreamKey, codec: Codec) -> Option<&Slot> {
        self.streams.get(key)?.slots.get(&codec)
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = (&StreamKey, Codec, &Slot)> {
        self.streams.iter().flat_map(|(key, stream)| stream.slots.iter().map(move |(codec, slot)| (key, *codec, slot)))
    }
}

impl Slot {
    pub(super) fn new(codec: Codec, now: Instant) -> Self {
        Self {
            codec,
            encoder: None,
            text: None,
            job: None,
            key_frames: Arc::default(),
            users: HashMap::new(),
            idle_since: None,
            retry_at: None,
            backoff: RETRY_FIRST,
            started_at: now,
        }
    }

    pub(super) fn target(&self, encoder: &Encoder) -> Target {
        Target { source: encoder.source.clone(), key_frames: self.key_frames.clone() }
    }

    pub(super) fn idle_until(&self) -> Option<Instant> {
        self.idle_since.filter(|_| self.users.is_empty()).map(|since| since + IDLE_GRACE)
    }
}

pub(super) fn attach(encoder: &Encoder, user: &User, key: &StreamKey, codec: Codec) -> Result<Branch, String> {
    encoder.attach(user.gate.clone()).map_err(|error| {
        tracing::error!(stream = %key, %codec, %error, "A session's branch was refused");
        format!("the {codec} encoder of {} does not take it: {error}", key.stream)
    })
}

/// Takes a slot's encoder down with the branches on it; its users stay and get branches on the next.
pub(super) fn stop_encoder(teardown: &Teardown, slot: &mut Slot) {
    // The branches go down with the pipeline they are in.
    slot.users.values_mut().for_each(|user| user.branch = None);
    if let Some(encoder) = slot.encoder.take() {
        encoder.stop(teardown);
    }
}

pub(super) fn stop_slot(teardown: &Teardown, mut slot: Slot) {
    slot.users.values().for_each(|user| user.gate.close());
    stop_encoder(teardown, &mut slot);
}

pub(super) fn retry_later(ctx: &Context, key: &StreamKey, slot: &mut Slot, message: &str, now: Instant) {
    let retry_in = slot.backoff;
    slot.retry_at = Some(now + retry_in);
    slot.backoff = (slot.backoff * 2).min(RETRY_LAST);
    tracing::error!(stream = %key, ?retry_in, "Encoder failed: {message}");
    let (key, codec, message) = (key.clone(), slot.codec, message.to_owned());
    (ctx.events)(MediaEvent::StreamError { key, codec, message, retry_in });
}
