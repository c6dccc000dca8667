//! A decoder for what a receiver got: whether every access unit becomes a picture, and what was wrong if not.

use gst::prelude::*;
use realsense_webrtc::probe::receiver::AccessUnit;

/// Decodes H.264 and says how many pictures came out; a unit that refers to what is not there makes none.
pub(crate) fn pictures<'a>(units: impl IntoIterator<Item = &'a AccessUnit>) -> usize {
    gst::init().unwrap();
    let text = "appsrc name=in format=time max-bytes=0 \
        caps=video/x-h264,stream-format=byte-stream,alignment=au ! h264parse ! openh264dec ! appsink name=out sync=false";
    let pipeline = gst::parse::launch(text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let element = |name: &str| pipeline.by_name(name).unwrap();
    let source = element("in").downcast::<gst_app::AppSrc>().unwrap();
    let sink = element("out").downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    for (number, unit) in units.into_iter().enumerate() {
        let mut buffer = gst::Buffer::from_slice(unit.data.clone());
        let writable = buffer.get_mut().unwrap();
        writable.set_pts(gst::ClockTime::from_mseconds(33 * number as u64));
        if !unit.keyframe {
            writable.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        source.push_buffer(buffer).unwrap();
    }
    source.end_of_stream().unwrap();
    let mut pictures = 0;
    while let Ok(sample) = sink.pull_sample() {
        let corrupt = sample.buffer().is_some_and(|buffer| buffer.flags().contains(gst::BufferFlags::CORRUPTED));
        pictures += usize::from(!corrupt);
    }
    pipeline.set_state(gst::State::Null).unwrap();
    pictures
}
