//! What a pipeline's elements posted, in words.

use gst::prelude::*;

/// The next error that a pipeline's elements posted, in their words.
pub(super) fn error_on_bus(pipeline: &gst::Pipeline) -> Option<String> {
    let message = pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
    let gst::MessageView::Error(error) = message.view() else { return None };
    Some(error_words(error))
}

/// "encoder: Can not initialize x264 encoder. (…)"
pub(super) fn error_words(error: &gst::message::Error) -> String {
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
