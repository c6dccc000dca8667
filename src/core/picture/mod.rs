//! Pictures and depth: sizes, colours, geometry, depth processing.

pub mod cloud;
pub mod colormap;
pub mod depth;
pub mod geometry;
pub mod size;
