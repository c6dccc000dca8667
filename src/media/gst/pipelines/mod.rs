//! From the text of a pipeline file to a pipeline that may run: reads and watches the files, chooses among them, checks, tries
//! and builds. Owns nothing that streams.

pub(super) mod announced;
pub(super) mod best_encoder;
pub(super) mod build;
pub(super) mod check;
pub(super) mod choice;
pub(super) mod folder;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
pub(super) mod installation;
pub(super) mod library;
pub(super) mod limits;
pub(super) mod packages;
pub(super) mod status;
pub(super) mod text;
pub(super) mod trial;
pub(super) mod values;
