//! Sessions: the actor that owns every table (`actor`), the handle the rest of the program talks to (`handle`).

mod actor;
mod devices;
pub mod handle;
mod offers;
mod recordings;
#[cfg(test)]
mod tests;

pub use actor::{Event, Parts, spawn};
pub use handle::Handle;
pub use recordings::RecordRequest;
