//! Sessions: the actor that owns every table (`actor`), the handle the rest of the program talks to (`handle`), and what
//! it may say (`api`).

mod actor;
pub mod api;
mod changes;
pub mod clouds;
mod command;
mod devices;
mod diagnostics;
mod events;
pub mod handle;
mod machine;
mod media_events;
mod offers;
#[cfg(test)]
mod presence_tests;
mod recordings;
#[cfg(any(test, fuzzing))]
pub(crate) mod scripted;
mod starts;
mod state;
mod statuses;
#[cfg(test)]
mod tests;
mod turns;

pub use actor::{Parts, spawn};
pub use api::{Observe, RecordRequest};
pub use events::{Event, EventReceiver, EventSender, events};
pub use handle::Handle;
pub use machine::Machine;
