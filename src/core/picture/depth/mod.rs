//! Depth post-processing: the SDK's five filters and the alignment of depth to another stream, on plain Z16 pixels.
//! Pure: takes slices and numbers, gives numbers; knows no frame, no thread and no clock. Every filter has the parameters,
//! defaults, ranges and results of the librealsense 2.56 processing block of its name; `golden_tests` holds them to it.

pub mod align;
pub mod decimation;
pub mod disparity;
pub mod holes;
pub mod settings;
pub mod spatial;
pub mod stage;
pub mod temporal;
pub mod threshold;

#[cfg(test)]
mod golden_tests;

pub use settings::DepthSettings;
pub use stage::{DepthCalibration, Picture, Processed, Stage};
