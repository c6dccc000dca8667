//! The simulated D435I.

pub mod strip;
