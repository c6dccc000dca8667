//! What a pipeline's elements post on its bus, in words.

use gst::prelude::*;

/// What an element posted, or the pipeline by itself.
pub(super) enum Said<'a> {
    /// An error, and its words.
    Error {
        words: String,
        error: &'a gst::message::Error,
    },
    Warning(&'a gst::message::Warning),
    /// The pipeline is at its end.
    Ended,
}

/// Calls `heard` for what is posted, on the thread that posts it, and drops every message: a bus that nobody empties keeps what
/// posts on it alive.
pub(super) fn listen(pipeline: &gst::Pipeline, heard: impl Fn(Said<'_>) + Send + Sync + 'static) {
    let Some(bus) = pipeline.bus() else { return };
    bus.set_sync_handler(move |_, message| {
        match message.view() {
            gst::MessageView::Error(error) => heard(Said::Error { words: error_words(error), error }),
            gst::MessageView::Warning(warning) => heard(Said::Warning(warning)),
            gst::MessageView::Eos(_) => heard(Said::Ended),
            _ => {}
        }
        gst::BusSyncReply::Drop
    });
}

/// The next error on the bus of a pipeline that nobody listens to, in words.
pub(crate) fn next_error(pipeline: &gst::Pipeline) -> Option<String> {
    let message = pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
    let gst::MessageView::Error(error) = message.view() else { return None };
    Some(error_words(error))
}

/// "encoder: Can not initialize x264 encoder. (…)"
pub(crate) fn error_words(error: &gst::message::Error) -> String {
    let element = error.src().map(|source| source.name().to_string()).unwrap_or_default();
    // The element's own explanation follows its source file, line and path.
    let debug = error.debug().unwrap_or_default();
    let why = debug.lines().skip(1).map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    if why.is_empty() {
        format!("{element}: {}", error.error())
    } else {
        format!("{element}: {} ({why})", error.error())
    }
}
