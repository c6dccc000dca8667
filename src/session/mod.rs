//! Sessions: the actor that owns every table (`actor`), the handle the rest of the program talks to (`handle`).

mod actor;
mod devices;
mod diagnostics;
pub mod handle;
mod offers;
#[cfg(test)]
mod presence_tests;
mod recordings;
mod statuses;
#[cfg(test)]
mod tests;

pub use actor::{Event, Observe, Parts, spawn};
pub use handle::Handle;
pub use recordings::RecordRequest;
