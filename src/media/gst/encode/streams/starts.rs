//! The streams' part about starts: a start is begun here, done elsewhere (`starter`), and taken up here when it is through.
//! An encoder that runs goes on until its successor plays.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::table::{Cause, Slot, Start, Streams, attach, retry_later, stop_encoder};
use crate::{
    core::text::template::Fault,
    media::gst::{
        context::Context,
        encode::{
            encoder::{Branch, Encoder},
            feed::Feed,
            starter::{self, Job, MAX_HUNG, Source, Started},
        },
        pipelines::{best_encoder, choice, text::Text},
        teardown::Teardown,
    },
    model::{Codec, StreamKey},
};

/// Longest that a start may take. Hardware encoders need up to a second or two to open.
pub(super) const START_TIMEOUT: Duration = Duration::from_secs(10);

impl Streams {
    /// Begins to start a slot's encoder from its file; one that is begun already is forgotten.
    pub(super) fn begin(&mut self, ctx: &Arc<Context>, key: &StreamKey, codec: Codec, cause: Cause) -> Option<u64> {
        let source = choice::known(&ctx.config, key, codec).map_or(Source::Best, Source::Named);
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
        let trial = cause == Cause::Reload;
        let longest =
            if matches!(source, Source::Best) { best_encoder::LONGEST + START_TIMEOUT } else { START_TIMEOUT };
        let job = Job { key: key.clone(), codec, profile: stream.profile, source, trial, start: true };
        if let Err(error) = starter::begin(ctx, &self.ports, number, job) {
            not_begun(ctx, key, slot, &format!("no thread to start it: {error}"), now);
            return None;
        }
        let before = slot.job.replace(number);
        let deadline = now + longest;
        self.starts.insert(number, Start { key: key.clone(), codec, deadline, longest, cause });
        // A reload whose start gives way to this one is done when this one is: only then is it known how the stream runs.
        if let Some(before) = before {
            for reload in &mut self.reloads {
                reload.follow(before, number);
            }
        }
        Some(number)
    }

    /// Takes up what a start made.
    pub(in crate::media::gst) fn started(&mut self, ctx: &Arc<Context>, teardown: &Teardown, started: Started) {
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
        // An encoder may have failed before it is taken up.
        let made = started.result.and_then(|encoder| match encoder.as_ref().and_then(|one| self.early_failure(one)) {
            Some(message) => {
                encoder.into_iter().for_each(|encoder| encoder.stop(teardown));
                let file = started.text.as_ref().map(|text| text.file.clone()).unwrap_or_default();
                Err(Fault::of_file(file, message))
            }
            None => Ok(encoder),
        });
        let result = match made {
            // Another start has taken its place; that one answers for the stream.
            Ok(encoder) if !current => {
                encoder.into_iter().for_each(|encoder| encoder.stop(teardown));
                Ok(())
            }
            Err(_) if !current => Ok(()),
            Ok(encoder) => {
                if let (Some(encoder), Some(text)) = (encoder, started.text) {
                    self.adopt(ctx, teardown, start, encoder, text);
                }
                Ok(())
            }
            Err(fault) => {
                self.start_failed(ctx, start, started.text, fault.clone());
                Err(fault)
            }
        };
        if self.starts.is_empty() {
            self.early_failures.clear();
        }
        self.job_done(ctx, started.job, &result);
    }

    /// Why an encoder failed that is not taken up yet, if it did.
    fn early_failure(&mut self, encoder: &Encoder) -> Option<String> {
        let at = self.early_failures.iter().position(|(serial, _)| *serial == encoder.serial)?;
        Some(self.early_failures.swap_remove(at).1)
    }

    /// Puts a started encoder in its slot, in place of the one that runs there.
    fn adopt(&mut self, ctx: &Arc<Context>, teardown: &Teardown, start: Start, encoder: Encoder, text: Text) {
        let Start { key, codec, cause, .. } = start;
        let now = Instant::now();
        let range_m = self.range_of(ctx, &key.device);
        let Some(stream) = self.streams.get_mut(&key) else { return encoder.stop(teardown) };
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
        tracing::info!(stream = %key, %codec, file = %text.file, swapped = slot.encoder.is_some(), "Encoder started");
        // The old branches first, so that next to nothing of the old encoder is under way when the new one begins; what is all
        // the same, the gates keep apart.
        slot.users.values_mut().filter_map(|user| user.branch.take()).for_each(Branch::cut);
        stop_encoder(teardown, slot);
        slot.started_at = now;
        // What the encoder then makes overrules it. A text that has run already says nothing new.
        if self.good.get(&text.name) != Some(&text) {
            ctx.announced.note_text(&ctx.config, &text);
        }
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
        slot.text = Some(text.clone());
        if cause != Cause::Fallback {
            self.faults.remove(&text.name);
            self.works.insert(text.name.clone());
        }
        self.good.insert(text.name.clone(), text);
    }

    fn start_failed(&mut self, ctx: &Arc<Context>, start: Start, text: Option<Text>, fault: Fault) {
        let Start { key, codec, cause, .. } = start;
        let name = text.as_ref().map_or_else(|| self.name_of(ctx, &key, codec), |text| text.name.clone());
        let good = self.good.get(&name).filter(|good| text.as_ref().is_some_and(|text| text != *good)).cloned();
        let Some(slot) = self.streams.get_mut(&key).and_then(|stream| stream.slots.get_mut(&codec)) else { return };
        slot.job = None;
        let runs = slot.encoder.is_some();
        match (cause, good) {
            (Cause::Wanted, Some(good)) => {
                tracing::error!(stream = %key, %codec, "{fault}; going on with the file as it last worked");
                self.begin_from(ctx, &key, codec, Cause::Fallback, Source::Text(good));
            }
            _ if runs => tracing::error!(stream = %key, %codec, "{fault}; the encoder that runs goes on"),
            _ => retry_later(ctx, &key, slot, &fault.to_string(), Instant::now()),
        }
        self.faults.insert(name, fault);
    }

    /// Gives up starts that hang.
    pub(super) fn expire_starts(&mut self, ctx: &Arc<Context>, now: Instant) {
        let late: Vec<_> = self.starts.iter().filter(|(_, start)| start.deadline <= now).map(|(job, _)| *job).collect();
        for job in late {
            let Some(start) = self.starts.remove(&job) else { continue };
            self.hung.insert(job);
            let name = self.name_of(ctx, &start.key, start.codec);
            let message = format!(
                "it does not start within {} s; an element hangs, and what it holds is lost until the server restarts",
                start.longest.as_secs()
            );
            let fault = Fault::of_file(format!("{name}.gst"), message);
            let current = self.slot(&start.key, start.codec).is_some_and(|slot| slot.job == Some(job));
            let result = if current { Err(fault.clone()) } else { Ok(()) };
            if current {
                self.start_failed(ctx, start, None, fault);
            }
            self.job_done(ctx, job, &result);
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
