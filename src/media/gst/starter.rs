//! Builds and starts encoders off the control thread: opening a hardware encoder takes long and can hang, and reading and
//! trying a changed file takes its time, too. Owns a short-lived thread per start; touches no table. A thread that hangs is
//! given up and counted; what it makes after all is taken down by whoever gets it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use super::{
    context::{Context, Msg},
    encoder::Encoder,
    graph,
    library::{self, Text},
    trial::try_pipeline,
};
use crate::{
    core::template::Fault,
    model::{Codec, Profile, StreamKey},
};

/// Start threads that may hang before no more are started. Each holds a pipeline that nobody can use.
pub(super) const MAX_HUNG: usize = 8;

/// How long a changed file may take to show pictures on the side.
const TRIAL: Duration = Duration::from_secs(5);

/// What is to be built.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) key: StreamKey,
    pub(super) codec: Codec,
    pub(super) profile: Profile,
    pub(super) source: Source,
    /// Send test frames through it on the side first.
    pub(super) trial: bool,
    /// Whether an encoder is wanted; else it is only checked.
    pub(super) start: bool,
}

/// Where the text comes from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// The pipeline of this name, read now.
    Named(String),
    /// The pipeline with the best encoder, which is still to be found, read then.
    Best,
    /// This text.
    Text(Text),
}

/// What became of a job.
pub(super) struct Started {
    pub(super) job: u64,
    /// The text that was read, where it could be.
    pub(super) text: Option<Text>,
    /// The encoder, playing; `None` for a check.
    pub(super) result: Result<Option<Encoder>, Fault>,
}

/// Does a job on a thread of its own; [`Msg::Started`] tells its end.
///
/// # Errors
/// The system gives no thread.
pub(super) fn begin(ctx: &Arc<Context>, number: u64, job: Job) -> std::io::Result<()> {
    let ctx = ctx.clone();
    let run = move || {
        let mut text = None;
        // An assertion in a binding must not leave the stream waiting for ever.
        let done = catch_unwind(AssertUnwindSafe(|| {
            let read = read(&ctx, &job)?;
            text = Some(read.clone());
            perform(&ctx, &job, &read)
        }));
        let result = done.unwrap_or_else(|_| {
            let file = text.as_ref().map(|text: &Text| text.file.clone()).unwrap_or_default();
            Err(Fault::of_file(file, "building it failed by a bug; the log has more"))
        });
        let started = Msg::Started(Started { job: number, text, result });
        // The media side has ended meanwhile.
        if let Err(refused) = ctx.control.send(started)
            && let Msg::Started(Started { result: Ok(Some(encoder)), .. }) = *refused
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
        Source::Best => library::choose(&ctx.config, &job.key, job.codec),
    };
    let no_such = || Fault::of_file(format!("{name}.gst"), library::no_such(&ctx.config, &name));
    library::read(&ctx.config, &name).ok_or_else(no_such)
}

fn perform(ctx: &Arc<Context>, job: &Job, text: &Text) -> Result<Option<Encoder>, Fault> {
    let values = graph::values(&ctx.config, &job.key, job.profile);
    if job.trial {
        let tried = try_pipeline(text, &values, job.codec, TRIAL)?;
        tracing::debug!(pipeline = %text.name, ?tried, "Tried");
    }
    if !job.start {
        return Ok(None);
    }
    Encoder::start(ctx, &job.key, job.codec, text, &values).map(Some)
}
