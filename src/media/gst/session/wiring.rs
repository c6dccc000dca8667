//! The small parts of a session's pipeline: sources, payloaders, probes and handlers. Everything here is either built and
//! handed over or runs in a GStreamer thread, where it counts, forwards or sends a signal and waits for nothing.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use gst::{glib, prelude::*};

use super::{
    dtls::{self, Identity},
    link::{Link, offered_addresses},
    sdp,
    signals::{Signal, Signals},
};
use crate::{
    core::peer::{
        arrivals::{Arrival, Arrivals},
        rtcp::{Filter, Misuse, Verdict},
    },
    error::{Error, Result},
    media::{
        CLOUD_CHANNEL,
        gst::{
            bus::{self, Said},
            context::Context,
            encode::{counts::Counters, gate::Gate},
            pipelines::build,
        },
    },
    model::Codec,
    srtp::Authentication,
    sync::{Mutex, lock},
};

/// Bytes of an RTP packet: leaves room for SRTP, DTLS and tunnels within 1280.
const MTU: &str = "1200";

/// How long a sent packet can be asked for again, in ms. Browsers wait a few hundred for a lost packet.
const RETRANSMIT_MS: u32 = 500;

/// Sets webrtcbin's ICE agent up before its first pad asks for a transport.
pub(super) fn configure_ice(ctx: &Context, webrtc: &gst::Element) {
    let config = &ctx.config.webrtc;
    if let Some(server) = config.stun_server.strip_prefix("stun:") {
        webrtc.set_property("stun-server", format!("stun://{}", server.trim_start_matches('/')));
    }
    for server in &config.turn_servers {
        let Some((scheme, host)) = server.url.split_once(':') else { continue };
        let (user, password) = (escape(&server.username), escape(&server.credential));
        let url = format!("{scheme}://{user}:{password}@{}", host.trim_start_matches('/'));
        if !webrtc.emit_by_name::<bool>("add-turn-server", &[&url]) {
            tracing::warn!(url = %server.url, "TURN server refused by webrtcbin");
        }
    }
    let ice = webrtc.property::<glib::Object>("ice-agent");
    if config.max_port > 0 && ice.find_property("max-rtp-port").is_some() {
        ice.set_property("min-rtp-port", u32::from(config.min_port.max(1)));
        ice.set_property("max-rtp-port", u32::from(config.max_port));
    }
    for address in offered_addresses(ctx) {
        ice.emit_by_name::<bool>("add-local-ip-address", &[&address.to_string()]);
    }
    configure_agent(&ice, config.ice_tcp);
}

/// Sets up a session that nobody will connect to: only loopback, and neither the servers nor the port range, where it
/// would stand in the way of the first real one.
pub(super) fn configure_warm_up(webrtc: &gst::Element) {
    let ice = webrtc.property::<glib::Object>("ice-agent");
    ice.emit_by_name::<bool>("add-local-ip-address", &[&"127.0.0.1"]);
    configure_agent(&ice, false);
}

/// The NiceAgent inside. UPnP and TCP both cost threads, fds and gathering time.
fn configure_agent(ice: &glib::Object, tcp: bool) {
    if ice.find_property("agent").is_some() {
        let agent = ice.property::<glib::Object>("agent");
        for (name, value) in [("upnp", false), ("ice-tcp", tcp)] {
            if agent.find_property(name).is_some() {
                agent.set_property(name, value);
            }
        }
    }
}

/// Percent-encodes what would end a user name or password in a URL.
fn escape(text: &str) -> String {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encode = |byte: u8| if unreserved(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encode).collect()
}

/// Connects webrtcbin's signals to the control thread, and watches what comes in from the peer.
pub(super) fn watch_webrtc(
    ctx: &Arc<Context>,
    webrtc: &gst::Element,
    signals: &Signals,
    link: &Arc<Link>,
    identity: Arc<Identity>,
) {
    let to = signals.clone();
    webrtc.connect("on-ice-candidate", false, move |values| {
        let (Some(mline), Some(candidate)) =
            (values.get(1).and_then(|v| v.get::<u32>().ok()), values.get(2).and_then(|v| v.get::<String>().ok()))
        else {
            return None;
        };
        to.send(Signal::LocalCandidate(mline, candidate));
        None
    });
    let to = signals.clone();
    webrtc.connect_notify(Some("ice-gathering-state"), move |webrtc, _| {
        let state = webrtc.property::<gst_webrtc::WebRTCICEGatheringState>("ice-gathering-state");
        if state == gst_webrtc::WebRTCICEGatheringState::Complete {
            to.send(Signal::GatheringComplete);
        }
    });
    let to = signals.clone();
    webrtc.connect_notify(Some("connection-state"), move |_, _| {
        to.send(Signal::ConnectionState);
    });
    let to = signals.clone();
    // Each channel that the peer opens is elements and a thread here, and there can be thousands.
    webrtc.connect("prepare-data-channel", false, move |values| {
        let is_ours = values.get(2).and_then(|value| value.get::<bool>().ok()).unwrap_or_default();
        if !is_ours {
            to.send(Signal::Misuse(Misuse::DataChannels));
        }
        None
    });
    let Some(bin) = webrtc.downcast_ref::<gst::Bin>() else { return };
    let (ctx, signals, link) = (Arc::downgrade(ctx), signals.clone(), link.clone());
    bin.connect_deep_element_added(move |_, _, element| {
        let Some(ctx) = ctx.upgrade() else { return };
        match element.factory().map(|factory| factory.name()).as_deref() {
            Some("nicesrc") => watch_packets(&ctx, element, &link),
            Some("rtprtxsend") => {
                bound_history(element);
                keep_repairs(element, &link);
                *lock(&link.rtprtxsend) = element.downgrade();
            }
            Some("dtlsdec") => {
                element.set_property("pem", &identity.pem);
                *lock(&link.dtlsdec) = element.downgrade();
                watch_dtls(element, &signals);
            }
            Some("srtpdec") => {
                *lock(&link.srtpdec) = element.downgrade();
                filter_rtcp(&ctx, element, &signals, &link);
            }
            Some("dtlsenc") => *lock(&link.dtlsenc) = element.downgrade(),
            _ => {}
        }
    });
}

/// Keeps only as many sent packets for retransmission as a browser can still use: what is asked for later than its jitter
/// buffer waits comes too late to be shown. webrtcbin keeps 500 packets, a kilobyte each of headers and bookkeeping.
fn bound_history(rtprtxsend: &gst::Element) {
    rtprtxsend.set_property("max-size-time", RETRANSMIT_MS);
}

/// Tells the element that sends packets again, right before a stream's first packet, which SSRC these are to have: it stays with
/// that, and webrtcbin tells it others with each offer and whenever a stream begins.
fn keep_repairs(rtprtxsend: &gst::Element, link: &Arc<Link>) {
    let Some(pad) = rtprtxsend.static_pad("sink") else { return };
    let link = link.clone();
    pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST, move |pad, info| {
        let first = match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => Some(&**buffer),
            Some(gst::PadProbeData::BufferList(list)) => list.get(0),
            _ => None,
        };
        // RFC 3550, section 5.1: behind the sequence number and the time.
        let ssrc = || {
            let mut bytes = [0; 12];
            first.filter(|first| first.copy_to_slice(0, &mut bytes).is_ok())?;
            Some(u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]))
        };
        if let (Some(repairs), Some(rtprtxsend)) = (link.repairs_at_first(ssrc), pad.parent_element()) {
            let mut map = gst::Structure::new_empty("application/x-rtp-ssrc-map");
            repairs.into_iter().for_each(|(of, repair)| map.set(of.to_string(), repair));
            rtprtxsend.set_property("ssrc-map", map);
        }
        gst::PadProbeReturn::Ok
    });
}

/// Lets of the peer's RTCP only that through which this server has a use for. The first place behind the decryption, before
/// `rtpsession` makes a source for each SSRC that it hears, and `rtprtxsend` queues whatever is asked for.
fn filter_rtcp(ctx: &Arc<Context>, srtpdec: &gst::Element, signals: &Signals, link: &Arc<Link>) {
    let Some(pad) = srtpdec.static_pad("rtcp_src") else {
        tracing::error!("srtpdec has no pad rtcp_src; what the peer asks for is not bounded");
        return;
    };
    let own: Vec<u32> = link.sent.iter().map(|(ssrc, _)| *ssrc).collect();
    // Only the transport's own thread comes here; the lock is never waited for.
    let filter = Mutex::new(Filter::new(&own, ctx.now_ms()));
    let (ctx, signals, link) = (Arc::downgrade(ctx), signals.clone(), link.clone());
    let ended = AtomicBool::new(false);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let Some(ctx) = ctx.upgrade() else { return gst::PadProbeReturn::Drop };
        let Some(gst::PadProbeData::Buffer(buffer)) = &mut info.data else { return gst::PadProbeReturn::Drop };
        let verdict = {
            let Ok(bytes) = buffer.map_readable() else { return gst::PadProbeReturn::Drop };
            let sent = link.sent.iter().map(|(_, counters)| counters.packets.load(Relaxed)).sum();
            let mut filter = lock(&filter);
            let verdict = filter.judge(ctx.now_ms(), sent, &bytes);
            link.refused.store(filter.refused(), Relaxed);
            verdict
        };
        match verdict {
            Verdict::Pass(bytes) => {
                let mut left = gst::Buffer::from_mut_slice(bytes);
                if let Some(left) = left.get_mut() {
                    // When it came is what round trips are reckoned from.
                    let _ = buffer.copy_into(left, gst::BufferCopyFlags::TIMESTAMPS | gst::BufferCopyFlags::META, ..);
                }
                *buffer = left;
                gst::PadProbeReturn::Ok
            }
            Verdict::Drop => gst::PadProbeReturn::Drop,
            Verdict::End(misuse) => {
                if !ended.swap(true, Relaxed) {
                    signals.send(Signal::Misuse(misuse));
                }
                gst::PadProbeReturn::Drop
            }
        }
    });
}

/// Notes when a packet comes from the peer, and lets through what the server has a use for. webrtcbin reports a vanished peer
/// by nothing, so this clock is all there is.
fn watch_packets(ctx: &Arc<Context>, nicesrc: &gst::Element, link: &Arc<Link>) {
    let Some(pad) = nicesrc.static_pad("src") else { return };
    let (ctx, link) = (Arc::downgrade(ctx), link.clone());
    let door = Door::default();
    pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST, move |_, info| {
        let Some(ctx) = ctx.upgrade() else { return gst::PadProbeReturn::Drop };
        let passes = |buffer: &gst::BufferRef| {
            let Ok(bytes) = buffer.map_readable() else { return false };
            let arrival = door.judge(&bytes, &link);
            if arrival != Arrival::Useless {
                link.rhythm().heard(ctx.now_ms(), arrival == Arrival::Report);
            }
            matches!(arrival, Arrival::Report | Arrival::Other)
        };
        let any = match &mut info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => passes(buffer),
            Some(gst::PadProbeData::BufferList(list)) => {
                let mut passed = gst::BufferList::new();
                let into = passed.make_mut();
                list.iter_owned().filter(|buffer| passes(buffer)).for_each(|buffer| into.add(buffer));
                *list = passed;
                !list.is_empty()
            }
            _ => true,
        };
        if any { gst::PadProbeReturn::Ok } else { gst::PadProbeReturn::Drop }
    });
}

/// Judges what arrives of one peer, with the keys of its handshake once there are some.
#[derive(Default)]
struct Door {
    /// Only the transport's own thread comes here; the lock is never waited for.
    arrivals: Mutex<Arrivals>,
    /// Known from the first packet on that comes after the handshake; `None` in it where the profile is another one.
    authentication: OnceLock<Option<Authentication>>,
}

impl Door {
    fn judge(&self, packet: &[u8], link: &Link) -> Arrival {
        // The first bit tells RTP and RTCP from the handshake, before which nothing can be genuine.
        if self.authentication.get().is_none()
            && packet.first().is_some_and(|first| *first >= 0x80)
            && let Some(known) = dtls::peers_authentication(link.dtlsdec().as_ref(), link.srtpdec().as_ref())
        {
            let _ = self.authentication.set(known);
        }
        let is_genuine = || match self.authentication.get() {
            Some(known) => known.as_ref().map(|known| known.is_genuine(packet)),
            None => Some(false),
        };
        lock(&self.arrivals).judge(packet, is_genuine)
    }
}

/// Notes the peer's DTLS close.
fn watch_dtls(dtlsdec: &gst::Element, signals: &Signals) {
    if dtlsdec.find_property("connection-state").is_none() {
        return;
    }
    let to = signals.clone();
    let was_connected = AtomicBool::new(false);
    dtlsdec.connect_notify(Some("connection-state"), move |dtlsdec: &gst::Element, _| {
        let nick = dtls::connection_state(dtlsdec).unwrap_or_default();
        tracing::trace!(%nick, "DTLS");
        match nick.as_str() {
            "connected" => was_connected.store(true, Relaxed),
            "closed" if was_connected.load(Relaxed) => {
                to.send(Signal::DtlsClosed);
            }
            _ => {}
        }
    });
}

/// Forwards errors to the control thread.
pub(super) fn watch_bus(pipeline: &gst::Pipeline, signals: &Signals) {
    let to = signals.clone();
    bus::listen(pipeline, move |said| {
        if let Said::Error { words, error } = said {
            tracing::debug!(debug = ?error.debug(), "{words}");
            to.send(Signal::Error(words));
        }
    });
}

/// Where a session's access units come in. Not leaky: it would drop from the middle of a group of pictures; the gate
/// keeps the queue short instead.
pub(in crate::media::gst) fn session_source(codec: Codec) -> gst_app::AppSrc {
    gst_app::AppSrc::builder()
        .is_live(true)
        .format(gst::Format::Time)
        .block(false)
        .max_buffers(64)
        .max_bytes(0)
        .caps(&build::caps_of(codec))
        .build()
}

/// A codec's payloader and its settings, which are the same for every session.
pub(in crate::media::gst) fn payloader_settings(
    codec: Codec,
) -> (&'static str, &'static [(&'static str, &'static str)]) {
    match codec {
        // Parameter sets before every key frame, for viewers that join.
        Codec::H264 => ("rtph264pay", &[("config-interval", "-1"), ("aggregate-mode", "zero-latency"), ("mtu", MTU)]),
        Codec::VP8 => ("rtpvp8pay", &[("picture-id-mode", "15-bit"), ("mtu", MTU)]),
        Codec::VP9 => ("rtpvp9pay", &[("picture-id-mode", "15-bit"), ("mtu", MTU)]),
    }
}

/// The codec's payloader with an SSRC and payload type of this session's own.
pub(in crate::media::gst) fn payloader(codec: Codec, payload: u8, ssrc: u32) -> Result<gst::Element, glib::BoolError> {
    let (factory, settings) = payloader_settings(codec);
    let mut builder = gst::ElementFactory::make(factory);
    for (name, value) in settings {
        builder = builder.property_from_str(name, value);
    }
    builder.property("pt", u32::from(payload)).property("ssrc", ssrc).build()
}

/// Counts what leaves the payloader.
pub(super) fn count_packets(ctx: &Arc<Context>, pad: &gst::Pad, counters: &Arc<Counters>) {
    let (ctx, counters) = (Arc::downgrade(ctx), counters.clone());
    pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST, move |_, info| {
        let (packets, bytes) = match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => (1, buffer.size()),
            Some(gst::PadProbeData::BufferList(list)) => (list.len(), list.iter().map(gst::BufferRef::size).sum()),
            _ => (0, 0),
        };
        counters.packets.fetch_add(packets as u64, Relaxed);
        counters.bytes.fetch_add(bytes as u64, Relaxed);
        if let Some(ctx) = ctx.upgrade() {
            counters.sent_ms.store(ctx.now_ms().max(1), Relaxed);
        }
        gst::PadProbeReturn::Ok
    });
}

/// Forwards the peer's picture loss indications to the encoder, unless there are too many: as upstream events they end at the
/// session's appsrc.
pub(super) fn forward_key_frame_requests(ctx: &Arc<Context>, source: &gst_app::AppSrc, gate: &Arc<Gate>) {
    let Some(pad) = source.static_pad("src") else { return };
    // Weak, because the gate holds the source.
    let (ctx, gate) = (Arc::downgrade(ctx), Arc::downgrade(gate));
    pad.add_probe(gst::PadProbeType::EVENT_UPSTREAM, move |_, info| {
        if let Some(gst::PadProbeData::Event(event)) = &info.data
            && gst_video::UpstreamForceKeyUnitEvent::parse(event).is_ok()
            && let (Some(ctx), Some(gate)) = (ctx.upgrade(), gate.upgrade())
        {
            gate.key_frames().asked_by_peer(&gate.counters, ctx.now_ms());
        }
        // Let it pass: it ends at the appsrc, and dropping it here makes 1.22 unref it twice.
        gst::PadProbeReturn::Ok
    });
}

/// The data channel of point clouds; its m-line stands behind those of the streams.
///
/// # Errors
/// Unavailable where GStreamer has no SCTP.
pub(super) fn data_channel(webrtc: &gst::Element, signals: &Signals) -> Result<gst_webrtc::WebRTCDataChannel> {
    let missing = || Error::unavailable("This server's GStreamer has no data channels: its plugin 'sctp' is missing.");
    if gst::ElementFactory::find("sctpenc").is_none() {
        return Err(missing());
    }
    let none = None::<gst::Structure>;
    let made =
        webrtc.emit_by_name::<Option<gst_webrtc::WebRTCDataChannel>>("create-data-channel", &[&CLOUD_CHANNEL, &none]);
    let channel = made.ok_or_else(missing)?;
    let (opened, closed) = (signals.clone(), signals.clone());
    channel.connect_on_open(move |_| opened.send(Signal::DataChannelState));
    channel.connect_on_close(move |_| closed.send(Signal::DataChannelState));
    Ok(channel)
}

/// The codecs of an m-line, best first, with what is offered beside them.
pub(super) fn codec_preferences(codecs: &[Codec], ssrc: u32) -> gst::Caps {
    let mut caps = gst::Caps::new_empty();
    let writable = caps.get_mut().expect("caps made just now have one owner");
    for (payload, codec) in sdp::payload_types(codecs) {
        let mut structure = gst::Structure::builder("application/x-rtp")
            .field("media", "video")
            .field("encoding-name", codec.name())
            .field("payload", i32::from(payload))
            .field("clock-rate", 90_000i32)
            .field("ssrc", ssrc)
            .field("rtcp-fb-nack-pli", true)
            .field("rtcp-fb-ccm-fir", true)
            .build();
        if codec == Codec::H264 {
            structure.set("packetization-mode", "1");
        }
        writable.append_structure(structure);
    }
    caps
}

/// Sender reports are to relate RTP times to when the frames were captured, not to when their packets were sent. For the latter
/// GStreamer 1.26 waits for a latency event that no live pipeline of ours sends: it then makes no sender report at all,
/// and without any, peers can neither bring streams in step nor tell the round trip.
pub(super) fn report_capture_times(webrtc: &gst::Element) {
    match webrtc.downcast_ref::<gst::Bin>().and_then(|bin| bin.by_name("rtpbin")) {
        Some(rtpbin) => rtpbin.set_property("rtcp-sync-send-time", false),
        None => tracing::warn!("webrtcbin has no rtpbin of that name; peers may get no sender reports"),
    }
}

/// A new stream's number.
pub(super) fn random_ssrc() -> u32 {
    let bytes = *uuid::Uuid::new_v4().as_bytes();
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).max(1)
}

#[cfg(test)]
#[path = "wiring_tests.rs"]
mod tests;
