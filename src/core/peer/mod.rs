//! What peers say, and what of it is believed: candidates, fingerprints, codecs, packets, requests for key frames.

pub mod arrivals;
pub mod candidate;
pub mod fingerprint;
pub mod h264;
pub mod key_frames;
pub mod rtcp;
pub mod silence;
