//! What the backend serves.

use std::{collections::BTreeMap, path::PathBuf};

/// What the backend serves.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Whether to look for real cameras.
    pub live: bool,
    /// Recordings to play.
    pub recordings: Vec<PathBuf>,
    /// Whether recordings begin again at their end.
    pub repeat: bool,
    /// A preset's JSON file for a camera's serial number; loaded whenever that camera is opened.
    pub presets: BTreeMap<String, PathBuf>,
    /// Whether to add a software device of the SDK, fed by the simulator.
    pub software_device: bool,
}
