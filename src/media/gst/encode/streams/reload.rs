//! The streams' part about changed files: which streams run one, swapping it in, and what is told about it. An invalid file
//! changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use super::table::{Cause, Reload, Slot, Streams};
use crate::{
    core::text::template::Fault,
    error::Error,
    media::{
        diagnostics::{ReloadAnswer, ReloadError},
        gst::{
            context::Context,
            encode::starter::{self, Job, Source},
            pipelines::{
                library,
                status::PipelineStatus,
                text::{Text, no_codec},
            },
        },
    },
    model::{Codec, PipelineUse, StreamKey},
};

/// Reloads that may be under way; more come only from somebody who floods.
const MAX_RELOADS: usize = 64;
/// Those of them that somebody may have asked for: each is a trial and a new encoder for every stream that uses it.
const MAX_ASKED: usize = 4;

impl Streams {
    /// Takes a pipeline as it was read just now, checks it on the side and swaps it into the streams that run it. A file
    /// that was saved as it runs is left alone, unless somebody asked.
    pub(in crate::media::gst) fn reload(
        &mut self,
        ctx: &Arc<Context>,
        name: &str,
        text: Result<Text, String>,
        reply: Option<ReloadAnswer>,
    ) {
        let asked = self.reloads.iter().filter(|reload| reload.reply.is_some());
        if reply.is_some() && (asked.clone().count() >= MAX_ASKED || asked.into_iter().any(|one| one.name == name)) {
            let why = "This pipeline is being reloaded already, or too many others are. Try again in a moment.";
            return refuse(reply, Error::busy(why));
        }
        if self.reloads.len() >= MAX_RELOADS {
            tracing::error!(pipeline = name, "Too many files change at once; reload this one by hand");
            return refuse(reply, Error::busy("Too many pipeline files change at once; try again in a moment."));
        }
        let text = match text {
            Ok(text) => text,
            Err(why) => {
                self.faults.remove(name);
                return refuse(reply, Error::not_found(format!("{}. GET /api/pipelines lists them.", sentence(&why))));
            }
        };
        let slots: Vec<(StreamKey, Codec)> = self
            .slots()
            .filter(|(key, codec, _)| self.name_of(ctx, key, *codec) == name)
            .map(|(key, codec, _)| (key.clone(), codec))
            .collect();
        if reply.is_none() {
            // One that is being started may have read what is no longer there.
            let same =
                |slot: &Slot| slot.job.is_none() && (slot.encoder.is_none() || slot.text.as_ref() == Some(&text));
            let unchanged = slots.iter().all(|(key, codec)| self.slot(key, *codec).is_some_and(same));
            if unchanged && !slots.is_empty() && !self.faults.contains_key(name) {
                return;
            }
        }
        tracing::info!(pipeline = name, streams = slots.len(), file = %text.file, "Pipeline changed; checking it");
        let mut jobs = BTreeSet::new();
        for (key, codec) in &slots {
            jobs.extend(self.begin(ctx, key, *codec, Cause::Reload));
        }
        if slots.is_empty() {
            match self.begin_check(ctx, name, text) {
                Ok(job) => drop(jobs.insert(job)),
                Err(error) => {
                    if let ReloadError::Fault(fault) = &error {
                        self.faults.insert(name.to_owned(), fault.clone());
                    }
                    if let Some(reply) = reply {
                        drop(reply.send(Err(error)));
                    }
                    return;
                }
            }
        }
        let reload = Reload { name: name.into(), jobs, fault: None, reply };
        if reload.jobs.is_empty() {
            let error = Error::unavailable("The server cannot start another encoder now; its log says why.");
            return refuse(reload.reply, error);
        }
        self.reloads.push(reload);
    }

    /// Checks a pipeline that nobody runs, as the stream in its name would run it, or colour.
    fn begin_check(&mut self, ctx: &Arc<Context>, name: &str, text: Text) -> Result<u64, ReloadError> {
        let codec = Codec::of_pipeline(name).ok_or_else(|| ReloadError::Fault(no_codec(&text)))?;
        self.next_job += 1;
        let key = library::checked_as(name);
        let profile = ctx.config.streams.of(key.stream).profile();
        let job = Job { key, codec, profile, source: Source::Text(text), trial: true, start: false };
        match starter::begin(ctx, &self.ports, self.next_job, job) {
            Ok(()) => Ok(self.next_job),
            Err(error) => {
                tracing::error!(pipeline = name, %error, "The system allows no more threads, so a pipeline is not checked");
                let words = format!(
                    "The system allows no more threads, so the pipeline is not checked: {error}. Try again in a moment."
                );
                Err(ReloadError::Refused(Error::unavailable(words)))
            }
        }
    }

    /// A check is through.
    pub(super) fn checked(&mut self, ctx: &Context, job: u64, text: Option<Text>, result: Result<(), Fault>) {
        if let Some(text) = text {
            match &result {
                Ok(()) => {
                    self.faults.remove(&text.name);
                    self.works.insert(text.name.clone());
                    // A text that has run already says nothing new.
                    if self.good.get(&text.name) != Some(&text) {
                        ctx.announced.note_text(&ctx.config, &text);
                    }
                }
                Err(fault) => {
                    tracing::error!("{fault}; nothing runs it");
                    self.faults.insert(text.name.clone(), fault.clone());
                }
            }
        }
        self.job_done(ctx, job, &result);
    }

    /// A job of a reload is through; the last one answers it.
    pub(super) fn job_done(&mut self, ctx: &Context, job: u64, result: &Result<(), Fault>) {
        for reload in &mut self.reloads {
            if reload.jobs.contains(&job)
                && let Err(fault) = result
            {
                reload.fault = Some(fault.clone());
            }
            reload.jobs.remove(&job);
        }
        while let Some(at) = self.reloads.iter().position(|reload| reload.jobs.is_empty()) {
            let reload = self.reloads.swap_remove(at);
            ctx.metrics.reloaded(reload.fault.is_none());
            let Some(reply) = reload.reply else { continue };
            match reload.fault {
                Some(fault) => drop(reply.send(Err(ReloadError::Fault(fault)))),
                None => {
                    let standing = self.standing(ctx).remove(&reload.name).unwrap_or_default();
                    ctx.files.describe(&reload.name, standing, reply);
                }
            }
        }
    }

    /// What is known of every pipeline that anything is known of.
    pub(in crate::media::gst) fn standing(&self, ctx: &Context) -> BTreeMap<String, PipelineStatus> {
        let mut all: BTreeMap<String, PipelineStatus> = BTreeMap::new();
        for name in &self.works {
            all.entry(name.clone()).or_default().works = true;
        }
        for (name, fault) in &self.faults {
            all.entry(name.clone()).or_default().fault = Some(fault.clone());
        }
        let now = Instant::now();
        for (key, codec, slot) in self.slots().filter(|(_, _, slot)| slot.encoder.is_some()) {
            let name = self.name_of(ctx, key, codec);
            all.entry(name.clone()).or_default().uses.push(PipelineUse {
                device_id: key.device.clone(),
                stream_type: key.stream,
                sessions: slot.users.len(),
                running_s: now.saturating_duration_since(slot.started_at).as_secs_f64(),
                outdated: self.faults.contains_key(&name),
            });
        }
        all
    }
}

/// With a capital.
fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}

fn refuse(reply: Option<ReloadAnswer>, error: Error) {
    if let Some(reply) = reply {
        drop(reply.send(Err(ReloadError::Refused(error))));
    }
}
