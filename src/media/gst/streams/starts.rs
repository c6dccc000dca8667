//! The streams' part about starts: a start is begun here, done elsewhere (`starter`), and taken up here when it is through.
//! An encoder that runs goes on until its successor plays.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Feed, Slot, Streams, attach, retry_later, stop_encoder};
use crate::{
    core::template::Fault,
    media::gst::{
        context::Context,
        encoder::Encoder,
        library::{self, Text},
        starter::{self, Job, MAX_HUNG, Source, Started},
        teardown::Teardown,
    },
    model::{Codec, StreamKey},
};

/// Longest that a start may take. Hardware encoders need up to a second or two to open.
pub(super) const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A start under way.
pub(super) struct Start {
    pub(super) key: StreamKey,
    pub(super) codec: Codec,
    pub(super) deadline: Instant,
    pub(super) cause: Cause,
}

/// Why an encoder is started.
#[derive(Debug, Clone)]
pub(super) enum Cause {
    /// Somebody watches, the profile changed, or it is tried again.
    Wanted,
    /// The file has this fault: the text that worked last is taken.
    Fallback(Fault),
    /// The file was saved, or somebody asked for it.
    Reload,
}

impl Streams {
    /// Begins to start a slot's encoder from its file; one that is begun already is forgotten.
    pub(super) fn begin(&mut self, ctx: &Arc<Context>, key: &StreamKey, codec: Codec, cause: Cause) -> Option<u64> {
        let source = Source::Named(library::choose(&ctx.config, key, codec));
        self.begin_from(ctx, key, codec, cause, source)
    }

    fn begin_from(
        &mut self,
        ctx: &Arc<Context>,
        key: &StreamKey,
        codec: Codec,
        cause: Cause,
        source: Source,
    ) -> Option<u64> {
        let stream = self.streams.get_mut(key)?;
        let slot = stream.slots.get_mut(&codec)?;
        let now = Instant::now();
        slot.retry_at = None;
        if self.hung.len() >= MAX_HUNG {
            let message = "too many encoders hang while they start; restart the server, and look at its log for which";
            not_begun(ctx, key, slot, message, now);
            return None;
        }
        self.next_job += 1;
        let number = self.next_job;
        let trial = matches!(cause, Cause::Reload);
        let job = Job { key: key.clone(), codec, profile: stream.profile, source, trial, start: true };
        if let Err(error) = starter::begin(ctx, number, job) {
            not_begun(ctx, key, slot, &format!("no thread to start it: {error}"), now);
            return None;
        }
        slot.job = Some(number);
        let deadline = now + START_TIMEOUT;
        self.starts.insert(number, Start { key: key.clone(), codec, deadline, cause });
        Some(number)
    }

    /// Takes up what a start made.
    pub(in super::super) fn started(&mut self, ctx: &Arc<Context>, teardown: &Teardown, started: Started) {
        let given_up = self.hung.remove(&started.job);
        let Some(start) = self.starts.remove(&started.job) else {
            // A check only, or a start that was given up.
            if let Ok(Some(encoder)) = started.result {
                encoder.stop(teardown);
            } else if !given_up {
                self.checked(ctx, started.job, started.text, started.result.map(drop));
            }
            return;
        };
        let current = self.slot(&start.key, start.codec).is_some_and(|slot| slot.job == Some(started.job));
        match started.result {
            Ok(Some(encoder)) if !current => encoder.stop(teardown),
            Ok(Some(encoder)) => {
                let failed = self.early_failures.iter().position(|(serial, _)| *serial == encoder.serial);
                match failed.map(|at| self.early_failures.swap_remove(at)) {
                    Some((_, message)) => {
                        encoder.stop(teardown);
                        let file = started.text.as_ref().map(|text| text.file.clone()).unwrap_or_default();
                        let fault = Fault { file, line: 1, message, ..Fault::default() };
                        self.start_failed(ctx, started.job, start, started.text, fault);
                    }
                    None => self.adopt(ctx, teardown, started.job, start, encoder, started.text),
                }
            }
            Ok(None) => {}
            Err(fault) if current => self.start_failed(ctx, started.job, start, started.text, fault),
            Err(_) => {}
        }
        if self.starts.is_empty() {
            self.early_failures.clear();
        }
        self.job_done(ctx, started.job, &Ok(()));
    }

    /// Puts a started encoder in its slot, in place of the one that runs there.
    fn adopt(
        &mut self,
        ctx: &Arc<Context>,
        teardown: &Teardown,
        job: u64,
        start: Start,
        encoder: Encoder,
        text: Option<Text>,
    ) {
        let Start { key, codec, cause, .. } = start;
        let range_m =
            self.ranges_m.get(&key.device).copied().unwrap_or((ctx.config.depth.min_m, ctx.config.depth.max_m));
        let (Some(stream), now) = (self.streams.get_mut(&key), Instant::now()) else {
            return encoder.stop(teardown);
        };
        let Some(slot) = stream.slots.get_mut(&codec) else { return encoder.stop(teardown) };
        slot.job = None;
        // Of an encoder that failed meanwhile; this one is its successor.
        slot.retry_at = None;
        if stream.feed.is_none() {
            match Feed::start(ctx, &key, stream.profile.framerate, range_m) {
                Ok(feed) => stream.feed = Some(feed),
                Err(error) => {
                    encoder.stop(teardown);
                    return retry_later(ctx, &key, slot, &format!("no thread for the stream's frames: {error}"), now);
                }
            }
        }
        let file = text.as_ref().map_or("", |text| text.file.as_str());
        tracing::info!(stream = %key, %codec, file, swapped = slot.encoder.is_some(), "Encoder started");
        stop_encoder(teardown, slot);
        slot.started_at = now;
        encoder.take_requests(ctx, &key, codec, &slot.key_frames);
        for (session, user) in slot.users.iter_mut().filter(|(_, user)| user.live) {
            user.branch = attach(&encoder, user, &key, codec).map_err(|why| self.refused.push((*session, why))).ok();
        }
        // Frames only once somebody is there to see them: the encoder's first picture is a key frame, and the next one
        // would have to wait for the interval.
        if let (Some(feed), true) = (&stream.feed, slot.users.values().any(|user| user.live)) {
            feed.add(codec, slot.target(&encoder));
        }
        slot.encoder = Some(encoder);
        slot.text.clone_from(&text);
        let Some(text) = text else { return };
        match cause {
            Cause::Fallback(fault) => self.job_done(ctx, job, &Err(fault)),
            Cause::Wanted | Cause::Reload => {
                self.files.remove(&text.name);
                self.works.insert(text.name.clone());
            }
        }
        self.good.insert(text.name.clone(), text);
    }

    fn start_failed(&mut self, ctx: &Arc<Context>, job: u64, start: Start, text: Option<Text>, fault: Fault) {
        let Start { key, codec, cause, .. } = start;
        let name = library::choose(&ctx.config, &key, codec);
        let good = self.good.get(&name).filter(|good| text.as_ref().is_some_and(|text| text != *good)).cloned();
        let Some(slot) = self.streams.get_mut(&key).and_then(|stream| stream.slots.get_mut(&codec)) else { return };
        slot.job = None;
        let runs = slot.encoder.is_some();
        match cause {
            Cause::Reload if runs => {
                tracing::error!(stream = %key, %codec, "{fault}; the encoder that runs goes on");
            }
            Cause::Wanted if good.is_some() => {
                tracing::error!(stream = %key, %codec, "{fault}; going on with the file as it last worked");
                self.files.insert(name, fault.clone());
                if let Some(good) = good {
                    self.begin_from(ctx, &key, codec, Cause::Fallback(fault), Source::Text(good));
                }
                return;
            }
            Cause::Wanted | Cause::Fallback(_) if runs => {
                tracing::error!(stream = %key, %codec, "{fault}; the encoder that runs goes on");
            }
            _ => retry_later(ctx, &key, slot, &fault.to_string(), Instant::now()),
        }
        self.files.insert(name, fault.clone());
        self.job_done(ctx, job, &Err(fault));
    }

    /// Gives up starts that hang.
    pub(super) fn expire_starts(&mut self, ctx: &Arc<Context>, now: Instant) {
        let late: Vec<_> = self.starts.iter().filter(|(_, start)| start.deadline <= now).map(|(job, _)| *job).collect();
        for job in late {
            let Some(start) = self.starts.remove(&job) else { continue };
            self.hung.insert(job);
            let name = library::choose(&ctx.config, &start.key, start.codec);
            let message = format!(
                "it does not start within {} s; an element hangs, and what it holds is lost until the server restarts",
                START_TIMEOUT.as_secs()
            );
            let fault = Fault { file: format!("{name}.gst"), line: 1, message, ..Fault::default() };
            let current = self.slot(&start.key, start.codec).is_some_and(|slot| slot.job == Some(job));
            if current {
                self.start_failed(ctx, job, start, None, fault);
            }
            self.job_done(ctx, job, &Ok(()));
        }
    }
}

/// A start that could not even be begun: what runs goes on, what does not is tried again.
fn not_begun(ctx: &Context, key: &StreamKey, slot: &mut Slot, message: &str, now: Instant) {
    if slot.encoder.is_some() {
        tracing::error!(stream = %key, "{message}; the encoder that runs goes on");
    } else {
        retry_later(ctx, key, slot, message, now);
    }
}
