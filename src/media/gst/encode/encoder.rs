//! One running encoder: the pipeline of one stream in one codec, and the branches of the sessions that watch it. Owns
//! the pipeline and its tee pads; used by the control thread only.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use gst::prelude::*;

use super::{counts, gate::Gate, key_frame_requests::KeyFrames};
use crate::{
    core::text::template::{Fault, Values},
    media::gst::{
        bus::{self, Said},
        context::{Context, next_serial},
        pipelines::{announced::Announced, build, limits, text::Text},
        port::Port,
        teardown::Teardown,
    },
    model::{Codec, StreamKey},
    sync::{Mutex, lock},
};

/// What the control thread is told of encoders.
pub(in crate::media::gst) enum Report {
    /// The pipeline with this serial number failed, and why.
    Failed(u64, String),
    /// A tee pad is unlinked and its branch can be taken apart.
    Unlinked(Branch),
}

/// A started encoder pipeline.
pub(in crate::media::gst) struct Encoder {
    pub(in crate::media::gst) serial: u64,
    pub(in crate::media::gst) source: gst_app::AppSrc,
    /// The file it was built from.
    pub(in crate::media::gst) file: String,
    pub(in crate::media::gst) pipeline: gst::Pipeline,
    fanout: gst::Element,
}

/// A session's place on an encoder's tee.
pub(in crate::media::gst) struct Branch {
    pipeline: gst::Pipeline,
    fanout: gst::Element,
    tee_pad: gst::Pad,
    pub(in crate::media::gst) sink: gst_app::AppSink,
}

impl Encoder {
    /// Builds and starts the pipeline that `text` describes. May take long, or hang: never called on the control thread.
    ///
    /// # Errors
    /// A fault in the text, or the state change failed (as a fault at line 1).
    pub(in crate::media::gst) fn start(
        ctx: &Context,
        reports: &Port<Report>,
        key: &StreamKey,
        codec: Codec,
        text: &Text,
        values: &Values,
    ) -> Result<Self, Fault> {
        let metrics = ctx.metrics.encoder(key, codec);
        let graph = build::build(text, values).inspect_err(|_| metrics.failures.inc())?;
        let serial = next_serial();
        let pipeline = graph.pipeline;
        // For the log, which reads whose it is from it; it has no parent yet that could refuse.
        let codec_name = codec.name().to_ascii_lowercase();
        pipeline.set_property("name", format!("encoder-{}-{}-{codec_name}-{serial}", key.device, key.stream));
        ctx.synchronise(&pipeline);
        let words = watch_bus(ctx, reports, &pipeline, key, codec, serial);
        counts::watch_encoder(&pipeline, &metrics);
        Announced::watch(&ctx.announced, &text.name, &graph.fanout);
        if pipeline.set_state(gst::State::Playing).is_err() {
            let _ = pipeline.set_state(gst::State::Null);
            let words = lock(&words).take();
            let message = match words {
                // An error on the bus has been counted there.
                Some(words) => format!("the {codec} pipeline of {} does not start: {words}", key.stream),
                None => {
                    metrics.failures.inc();
                    format!("the {codec} pipeline of {} does not start; the log has the elements' words", key.stream)
                }
            };
            return Err(Fault::of_file(&text.file, message));
        }
        if let Some(why) = limits::refusal(graph.source.upcast_ref(), &graph.encoder, values) {
            let _ = pipeline.set_state(gst::State::Null);
            metrics.failures.inc();
            return Err(Fault::of_file(&text.file, why));
        }
        metrics.starts.inc();
        Ok(Self { serial, source: graph.source, file: text.file.clone(), pipeline, fanout: graph.fanout })
    }

    /// From now on key frames are asked of this encoder.
    pub(super) fn take_requests(&self, ctx: &Context, key: &StreamKey, codec: Codec, key_frames: &KeyFrames) {
        key_frames.count_in(&ctx.metrics.encoder(key, codec));
        key_frames.set_target(&self.fanout);
    }

    /// Puts a session's branch on the tee. Nothing reaches the session before the next key frame.
    ///
    /// # Errors
    /// GStreamer refused; the branch is gone again.
    pub(in crate::media::gst) fn attach(&self, gate: Arc<Gate>) -> Result<Branch, String> {
        // What an older encoder still has under way no longer counts.
        let (passing, epoch) = (gate.clone(), gate.restart());
        let sink = gst_app::AppSink::builder()
            .sync(false)
            .async_(false)
            .enable_last_sample(false)
            // The callback takes each unit at once; the bound only guards against a callback that is not called.
            .max_buffers(4)
            .drop(true)
            .callbacks(
                gst_app::AppSinkCallbacks::builder()
                    .new_sample(move |sink| {
                        if let Some(sample) = sink.try_pull_sample(gst::ClockTime::ZERO)
                            && let (Some(unit), Some(shared)) = (sample.buffer(), sample.buffer_owned())
                        {
                            passing.deliver(epoch, unit, shared);
                        }
                        // Never an error: it would travel up the tee and stop the encoder for everybody.
                        Ok(gst::FlowSuccess::Ok)
                    })
                    .build(),
            )
            .build();
        self.pipeline.add(&sink).map_err(|error| error.to_string())?;
        let linked = (|| {
            // In PLAYING before it is linked, else the first buffers would meet a sink that flushes.
            sink.sync_state_with_parent().map_err(|error| error.to_string())?;
            let tee_pad = self.fanout.request_pad_simple("src_%u").ok_or("the tee gives no pad")?;
            let sink_pad = sink.static_pad("sink").ok_or("the appsink has no pad")?;
            if let Err(error) = tee_pad.link(&sink_pad) {
                self.fanout.release_request_pad(&tee_pad);
                return Err(error.to_string());
            }
            Ok(tee_pad)
        })();
        match linked {
            Ok(tee_pad) => {
                gate.ask();
                Ok(Branch { pipeline: self.pipeline.clone(), fanout: self.fanout.clone(), tee_pad, sink })
            }
            Err(error) => {
                let _ = sink.set_state(gst::State::Null);
                let _ = self.pipeline.remove(&sink);
                Err(error)
            }
        }
    }

    /// Takes a pipeline down that nobody uses, here and now.
    pub(in crate::media::gst) fn end(self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }

    /// Takes the whole pipeline down, branches and all.
    pub(in crate::media::gst) fn stop(self, teardown: &Teardown) {
        teardown.pipeline(self.pipeline);
    }
}

impl Branch {
    /// Begins to take the branch off: the tee's pad is unlinked while no buffer passes it, then the control thread gets
    /// [`Report::Unlinked`] and finishes. The encoder never stops for it.
    pub(super) fn detach(self, reports: &Port<Report>) {
        let reports = reports.clone();
        let pad = self.tee_pad.clone();
        let branch = Mutex::new(Some(self));
        pad.add_probe(gst::PadProbeType::IDLE, move |pad, _| {
            // An idle probe may be called again before its removal takes effect; only the first call counts.
            let Some(branch) = branch.lock().ok().and_then(|mut branch| branch.take()) else {
                return gst::PadProbeReturn::Remove;
            };
            if let Some(peer) = pad.peer() {
                let _ = pad.unlink(&peer);
            }
            reports.tell(Report::Unlinked(branch));
            gst::PadProbeReturn::Remove
        });
    }

    /// Takes the branch off an encoder that is about to be stopped: as soon as no buffer passes it, no later one can. What is
    /// left of it goes down with its pipeline. Never waits: an encoder that hangs holds nobody up.
    pub(super) fn cut(self) {
        self.tee_pad.add_probe(gst::PadProbeType::IDLE, |pad, _| {
            if let Some(peer) = pad.peer() {
                let _ = pad.unlink(&peer);
            }
            gst::PadProbeReturn::Remove
        });
    }

    /// Frees the tee pad and the sink of an unlinked branch.
    pub(in crate::media::gst) fn free(self) {
        self.fanout.release_request_pad(&self.tee_pad);
        // Callbacks hold the session's gate, and with it the session's appsrc.
        self.sink.set_callbacks(gst_app::AppSinkCallbacks::builder().build());
        let _ = self.sink.set_state(gst::State::Null);
        if self.sink.parent().is_some() {
            let _ = self.pipeline.remove(&self.sink);
        }
    }
}

/// What the camera's pictures are, for a message about an encoder that failed on them: " (pictures of 640x480, I420)". Nothing
/// when none came yet.
fn pictures(source: &gst::Element) -> String {
    let caps = source.static_pad("src").and_then(|pad| pad.current_caps());
    let described = caps.as_ref().and_then(|caps| {
        let caps = caps.structure(0)?;
        let (width, height) = (caps.get::<i32>("width").ok()?, caps.get::<i32>("height").ok()?);
        Some(format!(" (pictures of {width}x{height}, {})", caps.get::<String>("format").ok()?))
    });
    described.unwrap_or_default()
}

/// Errors go to the control thread, warnings to the log. Gives back where the first error's words are kept.
fn watch_bus(
    ctx: &Context,
    reports: &Port<Report>,
    pipeline: &gst::Pipeline,
    key: &StreamKey,
    codec: Codec,
    serial: u64,
) -> Arc<Mutex<Option<String>>> {
    let words = Arc::new(Mutex::new(None));
    let first = words.clone();
    // Weak, as the handler belongs to the pipeline that the element is in.
    let source = pipeline.by_name("source").map(|source| source.downgrade());
    let reports = reports.clone();
    let stream = key.to_string();
    let (metrics, failed) = (ctx.metrics.encoder(key, codec), AtomicBool::new(false));
    // One failure often posts several errors.
    let count_failure = move || metrics.failures.add(u64::from(!failed.swap(true, Ordering::Relaxed)));
    bus::listen(pipeline, move |said| match said {
        Said::Error { words, error } => {
            let at = error.src().map(|at| at.name().to_string()).unwrap_or_default();
            tracing::error!(%stream, %codec, element = %at, debug = ?error.debug(), "{}", error.error());
            let pictures = source.as_ref().and_then(gst::glib::WeakRef::upgrade).map(|source| pictures(&source));
            let text = format!("{words}{}", pictures.unwrap_or_default());
            lock(&first).get_or_insert_with(|| text.clone());
            count_failure();
            // However many an element posts, one of them waits.
            reports.tell(Report::Failed(serial, text));
        }
        Said::Ended => {
            count_failure();
            reports.tell(Report::Failed(serial, "the pipeline ended by itself (end of stream)".into()));
        }
        Said::Warning(warning) => {
            tracing::warn!(%stream, %codec, debug = ?warning.debug(), "{}", warning.error());
        }
    });
    words
}
