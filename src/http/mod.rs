//! HTTP: routes, JSON types, the error table, Socket.IO, pages, OpenAPI. Holds the session handle only: REST and
//! Socket.IO send the same commands, and nothing here touches a camera, a pipeline or a table.

mod access;
mod admin;
mod api;
mod cloud;
mod connections;
mod counting;
mod docs;
pub mod errors;
mod events;
mod extract;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod guard;
mod handshakes;
mod metadata;
pub mod pages;
mod path;
pub mod requests;
mod router;
mod server;
mod socket;
pub mod types;

pub use docs::openapi;
pub use extract::MAX_BODY_BYTES;
pub use router::{App, app};
pub use server::{Limits, serve, serve_with};
