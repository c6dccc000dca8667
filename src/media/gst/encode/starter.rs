//! Builds and starts encoders off the control thread: opening a hardware encoder takes long and can hang, and reading and
//! trying a changed file takes its time, too. Owns a short-lived thread per start; touches no table. A thread that hangs is
//! given up and counted; what it makes after all is taken down by the code that gets it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use super::encoder::{Encoder, Report};
use crate::{
    core::text::template::Fault,
    media::gst::{
        context::Context,
        pipelines::{build, choice, library, text::Text, trial::try_pipeline},
        port::Port,
    },
    model::{Codec, Profile, StreamKey},
};

/// Start threads that may hang before no more are started. Each holds a pipeline that nobody can use.
pub(super) const MAX_HUNG: usize = 8;

/// How long a changed file may take to show pictures on the side.
const TRIAL: Duration = Duration::from_secs(5);

/// What is to be built.
#[derive(Debug, Clone)]
pub(in crate::media::gst) struct Job {
    pub(in crate::media::gst) key: StreamKey,
    pub(in crate::media::gst) codec: Codec,
    pub(in crate::media::gst) profile: Profile,
    pub(in crate::media::gst) source: Source,
    /// Send test frames through it on the side first.
    pub(in crate::media::gst) trial: bool,
    /// Whether an encoder is wanted; else it is only checked.
    pub(in crate::media::gst) start: bool,
}

/// Where the text comes from.
#[derive(Debug, Clone)]
pub(in crate::media::gst) enum Source {
    /// The pipeline of this name, read now.
    Named(String),
    /// The pipeline with the best encoder, which is still to be found, read then.
    Best,
    /// This text.
    Text(Text),
}

/// What became of a job.
pub(in crate::media::gst) struct Started {
    pub(in crate::media::gst) job: u64,
    /// The text that was read, where it could be.
    pub(in crate::media::gst) text: Option<Text>,
    /// The encoder, playing; `None` for a check.
    pub(in crate::media::gst) result: Result<Option<Encoder>, Fault>,
}

/// Where starts and what they start report to.
#[derive(Clone)]
pub(in crate::media::gst) struct Ports {
    pub(in crate::media::gst) started: Port<Started>,
    pub(in crate::media::gst) encoders: Port<Report>,
}

/// Does a job on a thread of its own; [`Started`] tells its end.
///
/// # Errors
/// The system gives no thread.
pub(in crate::media::gst) fn begin(ctx: &Arc<Context>, ports: &Ports, number: u64, job: Job) -> std::io::Result<()> {
    let (ctx, ports) = (ctx.clone(), ports.clone());
    let run = move || {
        let mut text = None;
        // An assertion in a binding must not leave the stream waiting for ever.
        let done = catch_unwind(AssertUnwindSafe(|| {
            let read = read(&ctx, &job)?;
            text = Some(read.clone());
            perform(&ctx, &ports, &job, &read)
        }));
        let result = done.unwrap_or_else(|_| {
            let file = text.as_ref().map(|text: &Text| text.file.clone()).unwrap_or_default();
            Err(Fault::of_file(file, "building it failed because of a bug; the log has the details"))
        });
        let started = Started { job: number, text, result };
        // The media side has ended meanwhile.
        if let Err(refused) = ports.started.send(started)
            && let Started { result: Ok(Some(encoder)), .. } = *refused
        {
            encoder.end();
        }
    };
    std::thread::Builder::new().name("media-start".into()).spawn(run).map(drop)
}

fn read(ctx: &Context, job: &Job) -> Result<Text, Fault> {
    let name = match &job.source {
        Source::Text(text) => return Ok(text.clone()),
        Source::Named(name) => name.clone(),
        Source::Best => choice::choose(&ctx.config, &job.key, job.codec),
    };
    let no_such = || Fault::of_file(format!("{name}.gst"), library::no_such(&ctx.config, &name));
    library::read(&ctx.config, &name).ok_or_else(no_such)
}

fn perform(ctx: &Context, ports: &Ports, job: &Job, text: &Text) -> Result<Option<Encoder>, Fault> {
    let values = build::values(&ctx.config, &job.key, job.profile);
    if job.trial {
        let tried = try_pipeline(text, &values, job.codec, TRIAL)?;
        tracing::debug!(pipeline = %text.name, ?tried, "Tried");
    }
    if !job.start {
        return Ok(None);
    }
    Encoder::start(ctx, &ports.encoders, &job.key, job.codec, text, &values).map(Some)
}
