//! What the control thread does when something of its own fails.

use std::{collections::BTreeSet, sync::mpsc};

use gst::prelude::*;

use super::*;
use crate::{
    camera::hub::FrameHub,
    config::Config,
    media::gst::pipelines::{choice, library},
    model::DeviceId,
};

/// A control side without its thread, and what it reports. The messages of its callbacks go nowhere.
fn control(config: Config) -> (Control, mpsc::Receiver<MediaEvent>) {
    let (control, events, _) = with_inbox(config);
    (control, events)
}

/// The same, with the messages.
fn with_inbox(config: Config) -> (Control, mpsc::Receiver<MediaEvent>, Receiver) {
    gst::init().expect("GStreamer");
    let (sender, events) = mpsc::channel();
    let emit = Arc::new(move |event| drop(sender.send(event)));
    let (messages, inbox) = super::super::inbox::inbox(Arc::default());
    let ctx = Context::new(
        Arc::new(config),
        Arc::new(FrameHub::default()),
        Arc::default(),
        crate::media::gst::pipelines::folder::Files::idle(),
        emit,
    );
    (Control::new(Arc::new(ctx), &messages, Teardown::start().expect("threads")), events, inbox)
}

#[test]
fn the_best_encoder_is_looked_for_on_another_thread() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = Config::default();
    config.pipelines.dir = folder.path().into();
    config.pipelines.encoder = "auto".into();
    (config.streams.color.width, config.streams.color.height) = (320, 240);
    for name in ["nvv4l2", "va", "va-lp", "vaapi", "v4l2"] {
        let file = folder.path().join(format!("{name}.h264.gst"));
        std::fs::write(file, "appsrc name=source ! nosuch").expect("written");
    }
    // The first candidate gives no picture, so that it takes seconds to know.
    let own = library::read(&config, "color.h264").expect("built in").text;
    let blocked = own.replace("! identity", "! valve drop=true ! identity");
    std::fs::write(folder.path().join("nvenc.h264.gst"), blocked).expect("written");
    let (mut control, _events, inbox) = with_inbox(config);
    let ctx = control.ctx.clone();
    let key = StreamKey::new(DeviceId::new("1"), StreamType::Color);
    let profile = ctx.config.streams.color.profile();
    let key_frames = control.streams.key_frames(&key, profile, Codec::H264);
    let source = crate::media::gst::session::wiring::session_source(Codec::H264);
    let gate = crate::media::gst::encode::gate::Gate::new(ctx.clone(), source, key_frames, Arc::default());
    control.streams.join(&ctx, &key, Codec::H264, 1, gate);
    // An offer says what all encoders can make meanwhile.
    assert_eq!(ctx.announced.of(&ctx.config, &key, [profile, profile]).to_string(), "42e01f");
    assert_eq!(
        choice::known(&ctx.config, &key, Codec::H264),
        None,
        "a viewer that joins does not wait until it is found"
    );
    // Nor does who asks what the stream uses, or reloads a file.
    let asked = Instant::now();
    assert_eq!(control.streams.name_of(&ctx, &key, Codec::H264), "color.h264");
    assert!(asked.elapsed() < Duration::from_millis(500), "{:?}", asked.elapsed());
    assert!(
        control.next_timeout().is_some_and(|at| at > Instant::now() + Duration::from_secs(40)),
        "it may take its time"
    );
    let deadline = Instant::now() + Duration::from_secs(60);
    let started = loop {
        assert!(Instant::now() < deadline, "a start in time");
        if let Some(Msg::Started(started)) = inbox.next(Some(deadline)) {
            break started;
        }
    };
    assert_eq!(started.text.as_ref().map(|text| text.name.as_str()), Some("color.h264"));
    assert!(started.result.is_ok());
    control.streams.started(&ctx, &control.teardown, started);
    assert_eq!(choice::known(&ctx.config, &key, Codec::H264).as_deref(), Some("color.h264"));
    control.streams.shutdown(&control.teardown);
    control.teardown.finish(SHUTDOWN_WAIT);
}

#[test]
fn an_answer_that_cannot_be_carried_out_ends_the_session() {
    let (mut control, events) = control(Config::default());
    let id = SessionId::new("half");
    let profile = control.ctx.config.streams.color.profile();
    let streams = vec![(StreamType::Color, profile)];
    let device = DeviceId::new("1");
    control.open(SessionSpec {
        session: id.clone(),
        device,
        streams,
        largest: Vec::new(),
        codecs: vec![Codec::H264],
        spare: 0,
        data_channel: false,
    });
    let session = control.sessions.get_mut(&id).expect("opened");
    session.phase = Phase::Answering(vec![Some((96, Codec::H264))]);
    // Something else where the payloader should go.
    let sink = session.webrtc.static_pad("sink_0").expect("a pad per stream");
    let other = gst::Pad::builder(gst::PadDirection::Src).build();
    other.link_full(&sink, gst::PadLinkCheck::empty()).expect("links");
    control.answered(&id, Ok(()));
    let told: Vec<_> = events.try_iter().collect();
    assert!(matches!(&told[0], MediaEvent::Answered { result: Err(_), .. }), "{told:?}");
    let ended = |event: &MediaEvent| matches!(event, MediaEvent::Ended { reason: SessionEnd::PipelineError(_), .. });
    assert!(told.len() == 2 && ended(&told[1]), "{told:?}");
    assert!(control.sessions.is_empty() && control.serials.is_empty());
    control.streams.shutdown(&control.teardown);
    control.teardown.finish(SHUTDOWN_WAIT);
}

#[test]
fn the_warm_up_keeps_off_the_configured_ports_and_servers() {
    let mut config = Config::default();
    (config.webrtc.min_port, config.webrtc.max_port) = (40_000, 40_001);
    config.webrtc.stun_server = "stun:127.0.0.1:9".into();
    let (mut control, _events) = control(config);
    control.warm_up();
    let warm_up = control.warm_up.clone().expect("begun");
    let streams = control.sessions[&warm_up].spec.streams.clone();
    let real = SessionId::new("real");
    let device = DeviceId::new("1");
    control.open(SessionSpec {
        session: real.clone(),
        device,
        streams,
        largest: Vec::new(),
        codecs: vec![Codec::H264],
        spare: 0,
        data_channel: false,
    });
    let settings = |id: &SessionId| {
        let webrtc = &control.sessions[id].webrtc;
        let ice = webrtc.property::<gst::glib::Object>("ice-agent");
        (webrtc.property::<Option<String>>("stun-server"), ice.property::<u32>("max-rtp-port"))
    };
    assert_eq!(settings(&real), (Some("stun://127.0.0.1:9".into()), 40_001));
    assert_eq!(settings(&warm_up), (None, 65_535));
    control.close(&real);
    control.close(&warm_up);
    control.teardown.finish(SHUTDOWN_WAIT);
}

/// A session that is connected as far as this side knows, of a peer that began to be heard at this time.
fn connected(control: &mut Control, name: &str, rhythm: Rhythm) -> SessionId {
    let id = SessionId::new(name);
    let streams = vec![(StreamType::Color, control.ctx.config.streams.color.profile())];
    let device = DeviceId::new("1");
    control.open(SessionSpec {
        session: id.clone(),
        device,
        streams,
        largest: Vec::new(),
        codecs: vec![Codec::H264],
        spare: 0,
        data_channel: false,
    });
    let session = control.sessions.get_mut(&id).expect("opened");
    session.connected = true;
    *session.link.rhythm() = rhythm;
    id
}

#[test]
fn a_silent_peer_is_missed_and_given_up_by_its_own_rhythm() {
    let mut config = Config::default();
    config.sessions.peer_silence_s = 5;
    let (mut control, events) = control(config);
    let begin = Instant::now();
    let begin_ms = control.ctx.ms(begin);
    let mut seldom = Rhythm::connected(begin_ms);
    let at = |seconds: u64| begin + Duration::from_secs(seconds);
    (1..=4).for_each(|n| seldom.heard(begin_ms + n * 10_000, true));
    let silent = connected(&mut control, "silent", Rhythm::connected(begin_ms + 40_000));
    let seldom = connected(&mut control, "seldom", seldom);
    let told = |control: &mut Control, seconds| {
        control.watch_peers(at(seconds));
        let name = |event: MediaEvent| match event {
            MediaEvent::Disconnected { session } => Some(format!("{} disconnected", session.as_str())),
            MediaEvent::Connected { session, .. } => Some(format!("{} connected", session.as_str())),
            MediaEvent::Ended { session, reason: SessionEnd::PeerSilent(_), .. } => {
                Some(format!("{} gone", session.as_str()))
            }
            MediaEvent::Activity { session } => Some(format!("{} active", session.as_str())),
            _ => None,
        };
        // Sessions have no order.
        events.try_iter().filter_map(name).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    assert_eq!(told(&mut control, 41), ["seldom active", "silent active"]);
    assert!(told(&mut control, 44).is_empty());
    assert_eq!(told(&mut control, 46), ["silent disconnected"], "the other speaks every 10 s");
    assert!(told(&mut control, 46).is_empty(), "once");
    control.sessions[&silent].link.rhythm().heard(begin_ms + 47_000, false);
    assert_eq!(told(&mut control, 47), ["silent active", "silent connected"]);
    assert_eq!(told(&mut control, 60), ["seldom disconnected"], "after twice its interval");
    assert_eq!(told(&mut control, 61), ["silent disconnected"]);
    assert!(told(&mut control, 76).is_empty());
    assert_eq!(told(&mut control, 77), ["silent gone"], "who has no rhythm yet, after the time of consent (RFC 7675)");
    assert_eq!(told(&mut control, 80), ["seldom gone"]);
    assert!(control.sessions.is_empty(), "{silent} {seldom}");
    control.teardown.finish(SHUTDOWN_WAIT);
}

#[test]
fn a_device_that_is_forgotten_has_the_configured_depth_range_again() {
    let (mut control, _events) = control(Config::default());
    let device = DeviceId::new("1");
    control.handle(Msg::DepthRange(device.clone(), 0.5, 2.0));
    assert_eq!(control.streams.range_of(&control.ctx, &device), (0.5, 2.0));
    control.handle(Msg::DeviceForgotten(device.clone()));
    let depth = &control.ctx.config.depth;
    assert_eq!(control.streams.range_of(&control.ctx, &device), (depth.min_m, depth.max_m));
    control.teardown.finish(SHUTDOWN_WAIT);
}
