//! Looks inside what runs: the elements of a pipeline, their properties and what flows between them. Changes nothing.

pub(super) mod describe;
pub(super) mod flow;
pub(super) mod inspector;
pub(super) mod meter;
pub(super) mod properties;
pub(super) mod snapshot;
