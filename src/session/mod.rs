//! Sessions: the actor that owns every table (`actor`), the handle the rest of the program talks to (`handle`).

pub mod handle;

pub use handle::Handle;
