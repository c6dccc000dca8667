//! The streams' encoders: started when a session needs them, stopped when none does, rebuilt when they fail. Owns feeds,
//! encoders and branches; used by the control thread only.

mod look;
mod reload;
mod starts;
mod table;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

pub(in crate::media::gst) use self::table::Streams;
use self::table::{Cause, RETRY_FIRST, Slot, Stream, User, attach, retry_later, stop_encoder, stop_slot};
use super::{feed::Feed, gate::Gate, key_frame_requests::KeyFrames};
use crate::{
    media::gst::{
        context::Context,
        pipelines::{choice, library},
        teardown::Teardown,
    },
    model::{Codec, DeviceId, Profile, StreamKey},
};

/// Failures of encoders that are not taken up yet that are kept; they go when no start is under way.
const MAX_EARLY: usize = 256;
/// An encoder that ran this long before it failed starts over with the first wait.
const RAN_WELL: Duration = Duration::from_secs(10);

impl Streams {
    /// A stream runs with this profile: a new one is noted, a changed one rebuilds its encoders.
    pub(in crate::media::gst) fn running(&mut self, ctx: &Arc<Context>, key: &StreamKey, profile: Profile) {
        let Some(stream) = self.streams.get_mut(key) else {
            self.streams.insert(key.clone(), Stream { profile, feed: None, slots: BTreeMap::new() });
            return;
        };
        if stream.profile == profile {
            return;
        }
        stream.profile = profile;
        if let Some(feed) = &stream.feed {
            feed.set_framerate(profile.framerate);
        }
        let codecs: Vec<_> = stream
            .slots
            .iter()
            .filter(|(_, s)| s.encoder.is_some() || s.job.is_some())
            .map(|(codec, _)| *codec)
            .collect();
        for codec in codecs {
            self.begin(ctx, key, codec, Cause::Wanted);
        }
    }

    /// A stream stopped for good.
    pub(in crate::media::gst) fn stopped(&mut self, teardown: &Teardown, key: &StreamKey) {
        let Some(mut stream) = self.streams.remove(key) else { return };
        // The feed first, so that next to nothing is pushed into a pipeline on its way down.
        let thread = stream.feed.take().and_then(Feed::stop);
        for slot in stream.slots.into_values() {
            stop_slot(teardown, slot);
        }
        // After the pipelines: the end of a pipeline frees a thread that is held up in it.
        teardown.threads(thread);
    }

    /// Changes a device's depth range, for what runs and what comes.
    pub(in crate::media::gst) fn set_range(&mut self, device: &DeviceId, range_m: (f32, f32)) {
        self.ranges_m.insert(device.clone(), range_m);
        for (key, stream) in &self.streams {
            if let (true, Some(feed)) = (key.device == *device, &stream.feed) {
                feed.set_range(range_m);
            }
        }
    }

    /// Which distances a device's depth is coloured by, in metres: nearest and farthest.
    pub(in crate::media::gst) fn range_of(&self, ctx: &Context, device: &DeviceId) -> (f32, f32) {
        self.ranges_m.get(device).copied().unwrap_or((ctx.config.depth.min_m, ctx.config.depth.max_m))
    }

    /// A device is known no more.
    pub(in crate::media::gst) fn forget_range(&mut self, device: &DeviceId) {
        self.ranges_m.remove(device);
    }

    /// Who to ask for key frames of a stream in a codec; makes the slot, with its encoder still to be started.
    pub(in crate::media::gst) fn key_frames(
        &mut self,
        key: &StreamKey,
        profile: Profile,
        codec: Codec,
    ) -> Arc<KeyFrames> {
        let stream =
            self.streams.entry(key.clone()).or_insert_with(|| Stream { profile, feed: None, slots: BTreeMap::new() });
        let now = Instant::now();
        let slot = stream.slots.entry(codec).or_insert_with(|| Slot::new(codec, now));
        slot.idle_since = Some(now);
        slot.key_frames.clone()
    }

    /// A session will watch: the encoder starts now, so that it is ready when the peer connection is up.
    pub(in crate::media::gst) fn join(
        &mut self,
        ctx: &Arc<Context>,
        key: &StreamKey,
        codec: Codec,
        session: u64,
        gate: Arc<Gate>,
    ) {
        let Some(slot) = self.streams.get_mut(key).and_then(|stream| stream.slots.get_mut(&codec)) else { return };
        slot.users.insert(session, User { gate, live: false, branch: None });
        slot.idle_since = None;
        if slot.encoder.is_none() && slot.job.is_none() && slot.retry_at.is_none() {
            self.begin(ctx, key, codec, Cause::Wanted);
        }
    }

    /// A session is connected: it gets its branches.
    pub(in crate::media::gst) fn go_live(&mut self, session: u64) {
        for (key, stream) in &mut self.streams {
            for (codec, slot) in &mut stream.slots {
                let Some(user) = slot.users.get_mut(&session) else { continue };
                user.live = true;
                let (Some(encoder), None) = (&slot.encoder, &user.branch) else { continue };
                user.branch = attach(encoder, user, key, *codec).map_err(|why| self.refused.push((session, why))).ok();
                if let Some(feed) = &stream.feed {
                    feed.add(*codec, slot.target(encoder));
                }
            }
        }
    }

    /// Sessions that an encoder refused since the last call, by serial number, and why.
    pub(in crate::media::gst) fn take_refused(&mut self) -> Vec<(u64, String)> {
        std::mem::take(&mut self.refused)
    }

    /// A session leaves.
    pub(in crate::media::gst) fn leave(&mut self, session: u64, now: Instant) {
        for slot in self.streams.values_mut().flat_map(|stream| stream.slots.values_mut()) {
            let Some(user) = slot.users.remove(&session) else { continue };
            user.gate.close();
            if let Some(branch) = user.branch {
                branch.detach(&self.ports.encoders);
            }
            if slot.users.is_empty() {
                slot.idle_since = Some(now);
            }
        }
    }

    /// A session's m-line carries this stream no more, and another or nothing from now on; its gate stays.
    pub(in crate::media::gst) fn leave_one(&mut self, session: u64, key: &StreamKey, now: Instant) {
        let slots = self.streams.get_mut(key).into_iter().flat_map(|stream| stream.slots.values_mut());
        for slot in slots {
            let Some(user) = slot.users.remove(&session) else { continue };
            // What the encoder still has under way no longer counts.
            user.gate.restart();
            if let Some(branch) = user.branch {
                branch.detach(&self.ports.encoders);
            }
            if slot.users.is_empty() {
                slot.idle_since = Some(now);
            }
        }
    }

    /// An encoder's pipeline failed by itself.
    pub(in crate::media::gst) fn encoder_failed(
        &mut self,
        ctx: &Arc<Context>,
        teardown: &Teardown,
        serial: u64,
        message: &str,
        now: Instant,
    ) {
        for (key, stream) in &mut self.streams {
            for (codec, slot) in &mut stream.slots {
                if slot.encoder.as_ref().is_none_or(|encoder| encoder.serial != serial) {
                    continue;
                }
                if let Some(feed) = &stream.feed {
                    feed.remove(*codec);
                }
                if now.duration_since(slot.started_at) >= RAN_WELL {
                    slot.backoff = RETRY_FIRST;
                }
                stop_encoder(teardown, slot);
                retry_later(ctx, key, slot, message, now);
                return;
            }
        }
        // Perhaps one that is being taken up. One encoder can post many errors; the first says what happened.
        let known = self.early_failures.iter().any(|(known, _)| *known == serial);
        if !self.starts.is_empty() && !known && self.early_failures.len() < MAX_EARLY {
            self.early_failures.push((serial, message.to_owned()));
        }
    }

    /// Does what is due: retries, and the end of encoders nobody watches.
    pub(in crate::media::gst) fn handle_timeout(&mut self, ctx: &Arc<Context>, teardown: &Teardown, now: Instant) {
        let mut retry = Vec::new();
        for (key, stream) in &mut self.streams {
            let idle: Vec<_> = stream
                .slots
                .iter()
                .filter(|(_, slot)| slot.idle_until().is_some_and(|at| at <= now))
                .map(|(codec, _)| *codec)
                .collect();
            for codec in idle {
                if let Some(feed) = &stream.feed {
                    feed.remove(codec);
                }
                if let Some(slot) = stream.slots.remove(&codec) {
                    tracing::info!(stream = %key, %codec, "Encoder stopped: nobody watches");
                    stop_slot(teardown, slot);
                }
            }
            if stream.slots.is_empty() {
                teardown.threads(stream.feed.take().and_then(Feed::stop));
            }
            for (codec, slot) in &stream.slots {
                if slot.retry_at.is_some_and(|at| at <= now) {
                    retry.push((key.clone(), *codec));
                }
            }
        }
        for (key, codec) in retry {
            self.begin(ctx, &key, codec, Cause::Wanted);
        }
        self.expire_starts(ctx, now);
    }

    /// When `handle_timeout` is next due.
    pub(in crate::media::gst) fn next_timeout(&self) -> Option<Instant> {
        let slots = self.streams.values().flat_map(|stream| stream.slots.values());
        let starts = self.starts.values().map(|start| start.deadline);
        slots.flat_map(|slot| [slot.retry_at, slot.idle_until()]).flatten().chain(starts).min()
    }

    /// Stops everything.
    pub(in crate::media::gst) fn shutdown(&mut self, teardown: &Teardown) {
        let keys: Vec<_> = self.streams.keys().cloned().collect();
        keys.iter().for_each(|key| self.stopped(teardown, key));
    }

    /// The name of the pipeline that a stream uses for a codec. Where the best encoder is still to be found: the one that it
    /// runs, else its own.
    pub(in crate::media::gst) fn name_of(&self, ctx: &Context, key: &StreamKey, codec: Codec) -> String {
        let runs = || self.slot(key, codec).and_then(|slot| slot.text.as_ref()).map(|text| text.name.clone());
        let known = choice::known(&ctx.config, key, codec);
        known.or_else(runs).unwrap_or_else(|| library::default_of(key.stream, codec))
    }
}
