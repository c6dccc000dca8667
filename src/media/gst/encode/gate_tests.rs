//! A session's gate and an encoder's key frames, with GStreamer's own queues and pads.

use std::sync::atomic::AtomicU32;

use gst::prelude::*;

use super::*;
use crate::{
    camera::hub::FrameHub,
    config::Config,
    media::gst::{encode::key_frame_requests::KEY_FRAME_INTERVAL_MS, pipelines::folder::Files},
};

fn unit(key: bool) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_slice([0u8; 16]);
    if !key {
        buffer.get_mut().expect("one owner").set_flags(gst::BufferFlags::DELTA_UNIT);
    }
    buffer
}

/// A session that cannot send: its sink waits in PAUSED with the first unit.
fn blocked() -> (gst::Pipeline, Arc<Gate>) {
    gst::init().expect("GStreamer");
    let ctx = Context::new(
        Arc::new(Config::default()),
        Arc::new(FrameHub::default()),
        Arc::default(),
        Files::idle(),
        Arc::new(|_| {}),
    );
    let pipeline = gst::Pipeline::new();
    let source = crate::media::gst::session::wiring::session_source(crate::model::Codec::H264);
    let sink = gst::ElementFactory::make("fakesink").name("sink").build().expect("fakesink");
    pipeline.add_many([source.upcast_ref(), &sink]).expect("adds");
    source.link(&sink).expect("links");
    pipeline.set_state(gst::State::Paused).expect("pauses");
    let gate = Gate::new(Arc::new(ctx), source, Arc::default(), Arc::default());
    assert_eq!(gate.restart(), 1);
    (pipeline, gate)
}

fn deliver(gate: &Gate, key: bool) -> bool {
    let before = gate.counters.frames.load(Relaxed);
    gate.deliver(1, unit(key).as_ref(), unit(key));
    gate.counters.frames.load(Relaxed) > before
}

#[test]
fn a_gate_opens_with_a_key_frame_and_a_slow_session_waits_for_the_next() {
    let (pipeline, gate) = blocked();
    assert!(!deliver(&gate, false), "nothing before a key frame");
    assert!(deliver(&gate, true) && deliver(&gate, false));
    let passed = (0..100).take_while(|_| deliver(&gate, false)).count() as u64;
    assert!((MAX_QUEUED - 3..=MAX_QUEUED + 1).contains(&passed), "about {MAX_QUEUED} may wait, not {passed}");
    assert!(!deliver(&gate, true), "still behind: not even a key frame");
    assert!(gate.counters.dropped.load(Relaxed) >= 3);
    pipeline.set_state(gst::State::Playing).expect("plays");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while gate.queued() > 0 {
        assert!(std::time::Instant::now() < deadline, "the queue drains");
        std::thread::yield_now();
    }
    assert!(!deliver(&gate, false), "what depends on dropped frames stays out");
    assert!(deliver(&gate, true) && deliver(&gate, false), "a key frame opens it again");
    let before = gate.counters.frames.load(Relaxed);
    assert_eq!(gate.restart(), 2);
    assert!(!deliver(&gate, true) && before == gate.counters.frames.load(Relaxed), "an older encoder's unit is late");
    gate.close();
    assert!(!deliver(&gate, true));
    pipeline.set_state(gst::State::Null).expect("stops");
}

/// A session that sends, and gives what it sent: whether it was a key frame, and which unit it was.
fn open() -> (gst::Pipeline, Arc<Gate>, gst_app::AppSink) {
    let (blocked, gate) = blocked();
    let out = gst_app::AppSink::builder().sync(false).build();
    blocked.set_state(gst::State::Null).expect("stops");
    blocked.remove(&blocked.by_name("sink").expect("the sink")).expect("removes");
    blocked.add(&out).expect("adds");
    gate.source.link(&out).expect("links");
    blocked.set_state(gst::State::Playing).expect("plays");
    (blocked, gate, out)
}

/// Somebody else's unit, under way until this is dropped.
fn held(gate: &Gate, epoch: u64) -> Alone<'_> {
    match gate.epochs.enter(epoch) {
        Entry::Alone(alone) => alone,
        Entry::Lost | Entry::Old => panic!("nobody else is at the gate"),
    }
}

/// Waits until the server has run long enough for a gate to ask a second time.
fn until_asked_again(gate: &Gate) {
    while gate.ctx.now_ms() < ASK_AGAIN_MS {
        std::thread::yield_now();
    }
}

/// An access unit that can be told from others by its size.
fn numbered(key: bool, number: usize) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_slice(vec![0u8; number]);
    if !key {
        buffer.get_mut().expect("one owner").set_flags(gst::BufferFlags::DELTA_UNIT);
    }
    buffer
}

#[test]
fn a_unit_of_the_old_encoder_that_is_under_way_comes_before_all_of_the_new_one() {
    // Whether the old encoder's unit is a key frame: one must not open the gate for what the new encoder makes.
    for old_is_key in [false, true] {
        let (pipeline, gate, out) = open();
        let pass = |epoch, key, number| gate.deliver(epoch, numbered(key, number).as_ref(), numbered(key, number));
        pass(1, true, 10);
        if old_is_key {
            // It has fallen behind, so that the key frame opens the gate anew.
            held(&gate, 1).shut();
        }
        let (decided, is_decided) = std::sync::mpsc::channel();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let wait = move || {
            decided.send(()).expect("the test waits");
            let _ = held.recv();
        };
        *gate.before_push.lock().expect("no panic") = Some(Box::new(wait));
        let old = {
            let gate = gate.clone();
            std::thread::spawn(move || {
                gate.deliver(1, numbered(old_is_key, 11).as_ref(), numbered(old_is_key, 11));
            })
        };
        is_decided.recv().expect("the old unit is about to be passed");
        // The new encoder takes over in this moment.
        assert_eq!(gate.restart(), 2);
        pass(2, true, 20);
        pass(2, false, 21);
        drop(release);
        old.join().expect("no panic");
        let asked = gate.counters.asked.load(Relaxed);
        // Not before its own key frame, which it is asked for.
        pass(2, false, 22);
        assert!(gate.ctx.now_ms() < ASK_AGAIN_MS || gate.counters.asked.load(Relaxed) > asked);
        pass(2, true, 23);
        pass(1, false, 12);
        pass(2, false, 24);
        let sent = || out.try_pull_sample(gst::ClockTime::from_seconds(10)).expect("sent");
        let order: Vec<_> = (0..4).map(|_| sent().buffer().expect("a unit").size()).collect();
        assert_eq!(order, [10, 11, 23, 24], "old_is_key: {old_is_key}");
        pipeline.set_state(gst::State::Null).expect("stops");
    }
}

#[test]
fn a_new_encoder_begins_with_its_own_key_frame() {
    let (pipeline, gate, out) = open();
    let pass = |epoch, key, number| gate.deliver(epoch, numbered(key, number).as_ref(), numbered(key, number));
    pass(1, true, 10);
    assert_eq!(gate.restart(), 2);
    pass(2, false, 20);
    pass(2, true, 21);
    pass(2, false, 22);
    let sent = || out.try_pull_sample(gst::ClockTime::from_seconds(10)).expect("sent");
    let order: Vec<_> = (0..3).map(|_| sent().buffer().expect("a unit").size()).collect();
    assert_eq!(order, [10, 21, 22], "20 refers to a picture that this session never got");
    // What is lost of the old encoder is no loss of the new one.
    let late = held(&gate, 2);
    pass(1, false, 11);
    drop(late);
    pass(2, false, 23);
    assert_eq!(sent().buffer().expect("a unit").size(), 23);
    pipeline.set_state(gst::State::Null).expect("stops");
}

#[test]
fn a_gate_that_lost_a_unit_waits_for_a_key_frame() {
    let (pipeline, gate, out) = open();
    let pass = |key, number| gate.deliver(1, numbered(key, number).as_ref(), numbered(key, number));
    pass(true, 10);
    pass(false, 11);
    // A late unit of an older encoder is just being looked at when this one comes.
    let late = held(&gate, 1);
    pass(false, 12);
    drop(late);
    // It asks at once, although it asked a moment ago: that key frame came before the loss.
    until_asked_again(&gate);
    gate.asked_ms.store(gate.ctx.now_ms(), Relaxed);
    let asked = gate.counters.asked.load(Relaxed);
    pass(false, 13);
    assert_eq!(gate.counters.asked.load(Relaxed), asked + 1);
    pass(true, 14);
    pass(false, 15);
    let sent = || out.try_pull_sample(gst::ClockTime::from_seconds(10)).expect("sent");
    let order: Vec<_> = (0..4).map(|_| sent().buffer().expect("a unit").size()).collect();
    assert_eq!(order, [10, 11, 14, 15], "what refers to the lost one stays out");
    pipeline.set_state(gst::State::Null).expect("stops");
}

#[test]
fn a_gate_asks_on_its_own_account_and_not_on_its_peers() {
    let (pipeline, gate, _out) = open();
    for _ in 0..3 {
        gate.ask();
    }
    assert_eq!((gate.counters.asked.load(Relaxed), gate.counters.refused.load(Relaxed)), (3, 2));
    gate.key_frames().asked_by_peer(&gate.counters, gate.ctx.now_ms());
    assert_eq!(gate.counters.refused.load(Relaxed), 2, "the peer's first request is heeded");
    pipeline.set_state(gst::State::Null).expect("stops");
}

/// A request that was put off is not sent any more when a key frame came meanwhile: neither by the gate, which passed one, nor by
/// what remembers it, which asked for one.
#[test]
fn a_key_frame_serves_all_that_was_put_off() {
    let (pipeline, gate, _out) = open();
    let (_upstream, fanout, asked) = encoder();
    let (key_frames, counters) = (gate.key_frames(), &gate.counters);
    key_frames.set_target(&fanout);
    key_frames.saw(true, 1000);
    // By the peer: one is heeded, the next put off until 100 500.
    key_frames.asked_by_peer(counters, 100_000);
    key_frames.asked_by_peer(counters, 100_100);
    assert_eq!(asked.load(Relaxed), 1);
    assert!(deliver(&gate, true));
    // By the gate: one is heeded, the next put off until 101 100, which must not bring the peer's back.
    key_frames.asked_by(counters, counters.own_requests(), 100_600);
    key_frames.asked_by(counters, counters.own_requests(), 100_700);
    key_frames.remember(counters, 100_900);
    assert_eq!(asked.load(Relaxed), 2, "what the peer asked for has come");
    key_frames.remember(counters, 101_100);
    assert_eq!(asked.load(Relaxed), 3);
    // Both put off again; one key frame is asked for, for both.
    key_frames.asked_by_peer(counters, 110_000);
    key_frames.asked_by_peer(counters, 110_100);
    key_frames.asked_by(counters, counters.own_requests(), 110_300);
    key_frames.asked_by(counters, counters.own_requests(), 110_400);
    let before = asked.load(Relaxed);
    key_frames.remember(counters, 120_000);
    assert_eq!(asked.load(Relaxed), before + 1);
    counters.put_off.store(true, Relaxed);
    key_frames.remember(counters, 130_000);
    assert_eq!(asked.load(Relaxed), before + 1, "nobody waits any more");
    // By the gate and put off; then a key frame comes. The peer's request that is put off next brings the gate's not back.
    key_frames.asked_by(counters, counters.own_requests(), 140_000);
    key_frames.asked_by(counters, counters.own_requests(), 140_100);
    assert!(deliver(&gate, true));
    key_frames.asked_by_peer(counters, 150_000);
    key_frames.asked_by_peer(counters, 150_100);
    let before = asked.load(Relaxed);
    key_frames.remember(counters, 150_300);
    assert_eq!(asked.load(Relaxed), before, "what the gate asked for has come");
    pipeline.set_state(gst::State::Null).expect("stops");
}

#[test]
fn a_session_that_falls_behind_again_and_again_costs_the_others_a_key_frame_every_four_seconds_at_most() {
    let (_upstream, fanout, asked) = encoder();
    let key_frames = KeyFrames::default();
    key_frames.set_target(&fanout);
    key_frames.saw(true, 1000);
    let counters = Counters::default();
    // It gets a key frame for each request that is heeded, fills up within half a second, and asks anew every half second.
    for now in (2000..62_000).step_by(33) {
        if (now - 2000) % 528 == 0 {
            key_frames.asked_by(&counters, counters.own_requests(), now);
        }
        key_frames.remember(&counters, now);
        key_frames.poll(now);
    }
    assert!((15..=18).contains(&asked.load(Relaxed)), "{} key frames in a minute", asked.load(Relaxed));
    // What the peer itself asks for has a measure of its own.
    let before = asked.load(Relaxed);
    key_frames.asked_by_peer(&counters, 63_000);
    assert_eq!(asked.load(Relaxed), before + 1);
}

#[test]
fn a_viewer_that_storms_is_heeded_less_and_less_and_shuts_nobody_else_out() {
    let (_upstream, fanout, asked) = encoder();
    let key_frames = KeyFrames::default();
    key_frames.set_target(&fanout);
    key_frames.saw(true, 1000);
    let (storming, other) = (Counters::default(), Counters::default());
    // 500 a second for 10 s; a picture every 33 ms shows what was asked for meanwhile.
    for now in (2000..12_000).step_by(2) {
        key_frames.asked_by_peer(&storming, now);
        if now % 33 < 2 {
            key_frames.poll(now);
        }
    }
    assert!((4..=5).contains(&asked.load(Relaxed)), "{} key frames", asked.load(Relaxed));
    assert_eq!(storming.plis.load(Relaxed), 5000);
    assert_eq!(storming.refused.load(Relaxed), 5000 - 5);
    let before = asked.load(Relaxed);
    key_frames.asked_by_peer(&other, 12_000);
    assert_eq!(asked.load(Relaxed), before + 1, "the other viewer's first request is served at once");
    assert_eq!((other.plis.load(Relaxed), other.refused.load(Relaxed)), (1, 0));
    // What came too early is not lost.
    key_frames.saw(true, 12_100);
    key_frames.asked_by_peer(&other, 12_100);
    key_frames.remember(&other, 12_400);
    assert_eq!(asked.load(Relaxed), before + 1, "too early");
    key_frames.remember(&other, 12_500);
    key_frames.remember(&other, 20_000);
    assert_eq!(asked.load(Relaxed), before + 2);
}

/// An encoder's end: a tee, what is linked before it, and how many key frames that was asked for.
fn encoder() -> (gst::Pad, gst::Element, Arc<AtomicU32>) {
    gst::init().expect("GStreamer");
    let fanout = gst::ElementFactory::make("tee").build().expect("tee");
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let upstream = gst::Pad::builder(gst::PadDirection::Src)
        .event_function(move |_, _, event| {
            count.fetch_add(u32::from(gst_video::UpstreamForceKeyUnitEvent::parse(event.as_ref()).is_ok()), Relaxed);
            true
        })
        .build();
    upstream.set_active(true).expect("activates");
    let sink = fanout.static_pad("sink").expect("sink");
    sink.set_active(true).expect("activates");
    upstream.link(&sink).expect("links");
    (upstream, fanout, asked)
}

#[test]
fn key_frames_are_asked_for_once_per_interval_and_only_of_a_running_encoder() {
    let (_upstream, fanout, asked) = encoder();
    let key_frames = KeyFrames::default();
    key_frames.set_target(&fanout);
    key_frames.request(1000);
    assert_eq!(asked.load(Relaxed), 0, "the first frame is a key frame by itself");
    key_frames.saw(true, 1010);
    key_frames.poll(2000);
    assert_eq!(asked.load(Relaxed), 0, "and served the request");
    key_frames.request(2000);
    key_frames.request(2001);
    assert_eq!(asked.load(Relaxed), 1);
    key_frames.poll(2000 + KEY_FRAME_INTERVAL_MS - 1);
    assert_eq!(asked.load(Relaxed), 1, "the second waits");
    key_frames.poll(2000 + KEY_FRAME_INTERVAL_MS);
    key_frames.poll(9000);
    assert_eq!(asked.load(Relaxed), 2, "and is sent once");
}
