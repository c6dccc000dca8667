//! One viewer: its webrtcbin, what is negotiated with it, and what is known of the connection. Owns the sessions' pipelines.

pub(super) mod dtls;
pub(super) mod good_bye;
pub(super) mod growth;
pub(super) mod leg;
pub(super) mod link;
pub(super) mod media_session;
pub(super) mod net;
pub(super) mod sdp;
pub(super) mod signals;
pub(super) mod stats;
pub(super) mod wiring;
