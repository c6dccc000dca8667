//! Sessions: the actor that owns every table (`actor`), the handle the rest of the program talks to (`handle`).

mod actor;
mod devices;
mod diagnostics;
mod events;
pub mod handle;
mod machine;
mod offers;
#[cfg(test)]
mod presence_tests;
mod recordings;
mod statuses;
#[cfg(test)]
mod tests;
mod turns;

pub use actor::{Observe, Parts, spawn};
pub use events::{Event, EventReceiver, EventSender, events};
pub use handle::Handle;
pub use machine::Machine;
pub use recordings::RecordRequest;
