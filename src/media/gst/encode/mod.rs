//! From a camera's frames to the access units of those who watch: each stream is encoded once for each codec. Owns feeds,
//! encoders and the branches that leave them.

pub(super) mod counts;
pub(super) mod encoder;
mod epochs;
pub(super) mod feed;
pub(super) mod gate;
pub(super) mod key_frame_requests;
pub(super) mod starter;
pub(super) mod streams;
