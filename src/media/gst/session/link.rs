//! What a session's callbacks know of its connection, and the addresses that it is offered at. Decides nothing.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use gst::glib;

use super::net;
use crate::{
    core::peer::silence::Rhythm,
    media::gst::{context::Context, encode::counts::Counters},
    sync::{Mutex, MutexGuard, lock},
};

/// What the session's callbacks write down.
#[derive(Default)]
pub(in crate::media::gst) struct Link {
    /// The element that can say good-bye for us.
    pub(super) dtlsenc: Mutex<glib::WeakRef<gst::Element>>,
    /// The element that sends packets again and counts them.
    pub(super) rtprtxsend: Mutex<glib::WeakRef<gst::Element>>,
    /// The element that asks for the peer's keys.
    pub(super) srtpdec: Mutex<glib::WeakRef<gst::Element>>,
    /// The element that knows the peer's certificate.
    pub(in crate::media::gst) dtlsdec: Mutex<glib::WeakRef<gst::Element>>,
    /// The streams' SSRCs, and what is counted of them.
    pub(in crate::media::gst) sent: Vec<(u32, Arc<Counters>)>,
    /// Packets that were asked for again and not sent.
    pub(in crate::media::gst) refused: AtomicU64,
    /// The streams' SSRCs, those of their retransmissions, and whether a stream has sent nothing yet.
    repairs: Mutex<Vec<Repair>>,
    /// Whether some have not.
    repairs_due: AtomicBool,
    /// When the peer spoke.
    rhythm: Mutex<Rhythm>,
}

/// Where a stream's packets are sent again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Repair {
    /// The stream's SSRC.
    pub(super) of: u32,
    /// The SSRC of its retransmissions.
    pub(super) ssrc: u32,
    /// Whether the stream has sent nothing yet.
    pub(super) due: bool,
}

impl Link {
    /// Of streams with these SSRCs, and what is counted of them.
    pub(super) fn new(sent: Vec<(u32, Arc<Counters>)>) -> Self {
        Self { sent, ..Self::default() }
    }

    /// Notes which SSRCs the streams' retransmissions are to have.
    pub(super) fn expect_repairs(&self, repairs: Vec<Repair>) {
        let due = repairs.iter().any(|repair| repair.due);
        *lock(&self.repairs) = repairs;
        self.repairs_due.store(due, Relaxed);
    }

    /// All SSRCs of retransmissions by those of their streams, if this is a stream's first packet and somebody has to be told. Asked
    /// for every packet.
    pub(super) fn repairs_at_first(&self, ssrc: impl FnOnce() -> Option<u32>) -> Option<Vec<(u32, u32)>> {
        if !self.repairs_due.load(Relaxed) {
            return None;
        }
        let (ssrc, mut repairs) = (ssrc()?, lock(&self.repairs));
        repairs.iter_mut().find(|repair| repair.due && repair.of == ssrc)?.due = false;
        self.repairs_due.store(repairs.iter().any(|repair| repair.due), Relaxed);
        Some(repairs.iter().map(|repair| (repair.of, repair.ssrc)).collect())
    }

    /// The element that knows the peer's certificate, while there is one.
    pub(in crate::media::gst) fn dtlsdec(&self) -> Option<gst::Element> {
        lock(&self.dtlsdec).upgrade()
    }

    /// The element that asks for the peer's keys, while there is one.
    pub(super) fn srtpdec(&self) -> Option<gst::Element> {
        lock(&self.srtpdec).upgrade()
    }

    /// When the peer spoke; held for a few instructions.
    pub(in crate::media::gst) fn rhythm(&self) -> MutexGuard<'_, Rhythm> {
        lock(&self.rhythm)
    }
}

/// The addresses of this machine that a session offers.
pub(super) fn offered_addresses(ctx: &Context) -> Vec<std::net::IpAddr> {
    // Who reaches the pages only by loopback may reach the media only by loopback, too.
    net::local_addresses(ctx.config.server.listen.ip().is_loopback())
}
