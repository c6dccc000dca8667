//! Who wants what, what runs, and when it ends: sessions, streams, recordings, and whether there is room for more.

pub mod attachments;
mod effects;
pub mod ended;
pub mod lines;
pub mod machine_room;
pub mod option_changes;
pub mod profile;
pub mod recording;
pub mod references;
pub mod sensor_steps;
pub mod sessions;
pub mod trouble;

#[cfg(test)]
mod references_property_tests;
#[cfg(test)]
mod references_restart_tests;
#[cfg(test)]
mod references_tests;
