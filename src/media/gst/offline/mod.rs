//! Pipelines without a server: what the command line (`pipeline`) calls. Owns no session.

pub(crate) mod capture;
pub(crate) mod pipelines;
