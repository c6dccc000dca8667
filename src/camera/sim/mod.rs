//! The simulated D435I.
