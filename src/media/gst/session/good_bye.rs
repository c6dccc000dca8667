//! How a session ends: what is queued leaves, and its peer is told. Runs on a teardown worker, where it may wait a moment.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use gst::prelude::*;

use super::dtls;
use crate::media::gst::encode::gate::Gate;

/// How long a session's last packets may take to leave before its pipeline is stopped anyway.
const RUN_DRY: Duration = Duration::from_millis(100);

/// How long the good-bye may take from the DTLS element to the socket.
const GOOD_BYE: Duration = Duration::from_millis(10);

/// Waits until closed gates have run dry: stopping in the middle of a push into webrtcbin has to wait for its locks.
pub(super) fn run_dry(gates: &[Arc<Gate>]) {
    let deadline = Instant::now() + RUN_DRY;
    while gates.iter().any(|gate| gate.queued() > 0) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(2));
    }
}

/// Sends the peer a DTLS close_notify, so that it knows at once. webrtcbin has no way to say it, and an end of stream on
/// its own pads never reaches the DTLS element; one on that element's data pad does.
pub(super) fn say_good_bye(dtlsenc: &gst::Element) {
    // webrtcbin requests the pad for data channels whether or not there are any. Asking for it again would hand out a
    // freed pad.
    let Some(pad) = dtlsenc.static_pad("sink") else { return };
    // The peer may have said its own meanwhile; a second one is an error to GStreamer.
    if dtls::connection_state(dtlsenc).is_some_and(|state| state != "connected") {
        return;
    }
    pad.send_event(gst::event::StreamStart::new("good-bye"));
    pad.send_event(gst::event::Eos::new());
    thread::sleep(GOOD_BYE);
}
