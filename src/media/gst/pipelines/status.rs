//! What is known of a pipeline beyond its file. Looks at nothing itself.

use crate::{
    core::text::template::Fault,
    model::{PipelineInfo, PipelineState, PipelineUse},
};

/// What the control thread knows of a pipeline beyond its file.
#[derive(Debug, Clone, Default)]
pub(in crate::media::gst) struct PipelineStatus {
    pub(in crate::media::gst) uses: Vec<PipelineUse>,
    pub(in crate::media::gst) fault: Option<Fault>,
    pub(in crate::media::gst) works: bool,
}

impl PipelineStatus {
    /// Adds what is known here to what the file says.
    pub(in crate::media::gst) fn complete(self, mut info: PipelineInfo) -> PipelineInfo {
        info.used_by = self.uses;
        // A fault that only frames brought to light; one of the text is in `info` already.
        if info.fault.is_none() {
            info.fault = self.fault;
        }
        info.state = match (&info.fault, self.works) {
            (Some(_), _) => PipelineState::Fault,
            (None, true) => PipelineState::Works,
            (None, false) => PipelineState::Parsed,
        };
        info
    }
}
