//! The text of a pipeline file, as it was read. Reads nothing.

use crate::core::text::template::Fault;

/// A pipeline's text and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    /// The pipeline's name: the file's without `.gst`.
    pub(crate) name: String,
    /// The path, or "built-in color.h264.gst".
    pub(crate) file: String,
    /// What the file holds.
    pub(crate) text: String,
    /// Why the file could not be read although it is there.
    pub(crate) unreadable: Option<String>,
}

impl Text {
    /// Whether it is the program's own copy.
    pub(crate) fn is_built_in(&self) -> bool {
        self.file.starts_with(BUILT_IN_PREFIX)
    }
}

/// What stands before the file's name of what the program brings along.
pub(super) const BUILT_IN_PREFIX: &str = "built-in ";

/// What is wrong with a file whose name does not tell what it makes.
pub(in crate::media::gst) fn no_codec(text: &Text) -> Fault {
    Fault::of_file(&text.file, "a pipeline's name ends with what it makes: .h264, .vp8 or .vp9; rename the file")
}
