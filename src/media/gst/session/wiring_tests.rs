//! What comes in from a peer's address, with GStreamer's own pads.

use std::time::Duration;

use super::*;
use crate::{camera::hub::FrameHub, config::Config, core::peer::silence::Rhythm, media::gst::pipelines::folder::Files};

#[test]
fn what_nobody_can_have_sent_neither_passes_nor_counts_as_heard() {
    gst::init().expect("GStreamer");
    let ctx = Arc::new(Context::new(
        Arc::new(Config::default()),
        Arc::new(FrameHub::default()),
        Arc::default(),
        Files::idle(),
        Arc::new(|_| {}),
    ));
    let link = Arc::new(Link::new(Vec::new()));
    let pipeline = gst::Pipeline::new();
    let nicesrc = gst_app::AppSrc::builder().format(gst::Format::Time).is_live(true).build();
    let out = gst_app::AppSink::builder().sync(false).build();
    pipeline.add_many([nicesrc.upcast_ref::<gst::Element>(), out.upcast_ref()]).expect("adds");
    nicesrc.link(&out).expect("links");
    watch_packets(&ctx, nicesrc.upcast_ref(), &link);
    pipeline.set_state(gst::State::Playing).expect("plays");
    let push = |bytes: &[u8]| nicesrc.push_buffer(gst::Buffer::from_slice(bytes.to_vec())).expect("taken");
    // Before the handshake nothing can be genuine: reports of a hundred made-up sources.
    for source in 0..100u32 {
        let mut report = vec![0x80, 201, 0, 1];
        report.extend(source.to_be_bytes());
        report.extend([0; 14]);
        push(&report);
    }
    assert_eq!(link.rhythm().heard_ms(), 0, "nobody was heard");
    // The handshake passes, and is heard: what is no report says nothing of a rhythm, however late it comes.
    std::thread::sleep(Duration::from_millis(600).saturating_sub(Duration::from_millis(ctx.now_ms())));
    let handshake = [22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    push(&handshake);
    let sample = out.try_pull_sample(gst::ClockTime::from_seconds(10)).expect("the handshake passes");
    assert_eq!(sample.buffer().expect("a packet").size(), handshake.len(), "and is the first that does");
    let mut heard = Rhythm::default();
    heard.heard(link.rhythm().heard_ms(), false);
    assert!(heard.heard_ms() >= 600 && *link.rhythm() == heard, "{:?}", link.rhythm());
    pipeline.set_state(gst::State::Null).expect("stops");
}
