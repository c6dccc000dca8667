//! Receivers that are no browser, against the real program: GStreamer's own `webrtcbin`, which sends RTCP seldom and at no
//! fixed rhythm. `scripts/test_full.sh` watches it for longer (RECEIVER_SECS). And aiortc, which most Python programs use.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/server.rs"]
mod server;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use gst::prelude::*;
use http::Method;
use server::{DEVICE, LIMIT, SMALL, Server};

/// Seconds for which the receiver is watched unless RECEIVER_SECS says otherwise: several of its reports.
const SECS: u64 = 20;

/// A `webrtcbin` that takes what it is offered and counts RTP packets.
struct Receiver {
    pipeline: gst::Pipeline,
    webrtc: gst::Element,
    packets: Arc<AtomicU64>,
}

impl Receiver {
    fn new() -> Self {
        gst::init().unwrap();
        let pipeline = gst::Pipeline::new();
        let webrtc = gst::ElementFactory::make("webrtcbin").property_from_str("bundle-policy", "max-bundle");
        let webrtc = webrtc.build().unwrap();
        pipeline.add(&webrtc).unwrap();
        let packets = Arc::new(AtomicU64::new(0));
        let (weak, counted) = (pipeline.downgrade(), packets.clone());
        webrtc.connect_pad_added(move |_, pad| {
            let Some(pipeline) = weak.upgrade().filter(|_| pad.direction() == gst::PadDirection::Src) else { return };
            let sink = gst::ElementFactory::make("fakesink").property("sync", false).property("async", false);
            let sink = sink.build().unwrap();
            pipeline.add(&sink).unwrap();
            sink.sync_state_with_parent().unwrap();
            let into = sink.static_pad("sink").unwrap();
            let counted = counted.clone();
            into.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
                counted.fetch_add(1, Relaxed);
                gst::PadProbeReturn::Ok
            });
            pad.link(&into).unwrap();
        });
        pipeline.set_state(gst::State::Playing).unwrap();
        Self { pipeline, webrtc, packets }
    }

    /// The answer to an offer, with all candidates in it.
    fn answer(&self, offer: &str) -> String {
        let offer = self.description(gst_webrtc::WebRTCSDPType::Offer, offer);
        self.ask("set-remote-description", &[&offer]);
        let made = self.promised("create-answer", |promise| {
            self.webrtc.emit_by_name::<()>("create-answer", &[&None::<gst::Structure>, promise]);
        });
        let made = made.expect("a reply");
        let answer = made.get::<gst_webrtc::WebRTCSessionDescription>("answer").unwrap();
        self.ask("set-local-description", &[&answer]);
        let began = Instant::now();
        let gathered = gst_webrtc::WebRTCICEGatheringState::Complete;
        while self.webrtc.property::<gst_webrtc::WebRTCICEGatheringState>("ice-gathering-state") != gathered {
            assert!(began.elapsed() < LIMIT, "the receiver finds its addresses");
            std::thread::sleep(Duration::from_millis(20));
        }
        let local = self.webrtc.property::<gst_webrtc::WebRTCSessionDescription>("local-description");
        local.sdp().as_text().unwrap()
    }

    fn description(&self, kind: gst_webrtc::WebRTCSDPType, text: &str) -> gst_webrtc::WebRTCSessionDescription {
        let sdp = gst_sdp::SDPMessage::parse_buffer(text.as_bytes()).unwrap();
        gst_webrtc::WebRTCSessionDescription::new(kind, sdp)
    }

    fn ask(&self, signal: &str, with: &[&dyn ToValue]) {
        self.promised(signal, |promise| {
            let mut all = with.to_vec();
            all.push(promise);
            self.webrtc.emit_by_name::<()>(signal, &all);
        });
    }

    fn promised(&self, what: &str, emit: impl FnOnce(&gst::Promise)) -> Option<gst::Structure> {
        let promise = gst::Promise::new();
        emit(&promise);
        assert_eq!(promise.wait(), gst::PromiseResult::Replied, "{what}");
        promise.get_reply().map(ToOwned::to_owned)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// The default is 5 s of silence, and `rtpbin` reports every 2 to 6 s: the session must never count as gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gstreamer_receiver_never_counts_as_gone() {
    let watched = std::env::var("RECEIVER_SECS").map_or(SECS, |secs| secs.parse().expect("RECEIVER_SECS: seconds"));
    let server = Server::start(SMALL, &[]);
    let offer = server.client.offer(DEVICE, &["color".to_owned(), "depth".to_owned()]).await.unwrap();
    let receiver = Receiver::new();
    let answer = receiver.answer(&offer.sdp);
    let reply = server.client.answer(&offer.session, &answer).await.unwrap();
    assert!(reply.is_ok(), "{reply}");
    let path = format!("/webrtc/sessions/{}", offer.session);
    let state = async || {
        let reply = server.client.request(Method::GET, &path, None).await.unwrap();
        assert!(reply.is_ok(), "the session is gone: {reply}");
        reply.body["state"].as_str().unwrap().to_owned()
    };
    let began = Instant::now();
    while state().await != "connected" {
        assert!(began.elapsed() < LIMIT, "it connects");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let began = Instant::now();
    let mut missed = 0;
    let mut seen = receiver.packets.load(Relaxed);
    while began.elapsed() < Duration::from_secs(watched) {
        // A rhythm, not a wait for something: the state must hold at every look.
        tokio::time::sleep(Duration::from_secs(1)).await;
        // Its rhythm has to be learnt, so it may be missed once.
        missed += usize::from(state().await == "disconnected");
        let packets = receiver.packets.load(Relaxed);
        assert!(packets > seen, "media flows, {packets} packets after {:?}", began.elapsed());
        seen = packets;
    }
    let log = server.program.log();
    assert!(missed <= 6 && log.matches("the peer is silent").count() <= 1, "{missed}: {log}");
}

/// The program that docs/guide/watch/python.md gives to people, with aiortc as PyPI has it: it takes no RSA certificate, as RFC
/// 8827 demands ECDSA P-256 of everybody.
#[test]
fn the_python_client_of_the_guide_gets_pictures() {
    let aiortc =
        std::env::var_os("AIORTC").expect("AIORTC must name a folder with aiortc in it: scripts/get_aiortc.sh");
    let server = Server::start(SMALL, &[]);
    let mut python = std::process::Command::new("timeout");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/watch.py");
    let python = python.env("PYTHONPATH", aiortc).args([
        "60",
        "python3",
        script,
        &server.url,
        "color,depth",
        "--frames",
        "60",
        "--device",
        DEVICE,
    ]);
    let output = python.output().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{errors}");
    let mut lines: Vec<_> = said.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["color 30 424x240", "color 60 424x240", "depth 30 424x240", "depth 60 424x240"], "{errors}");
}
