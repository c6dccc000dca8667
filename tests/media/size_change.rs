//! A stream whose frames change their size while it runs, as depth does when decimation or alignment is switched: the
//! sessions stay up, and what they get decodes at the new size from a key frame on.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use gst::prelude::*;
use realsense_webrtc::{
    model::{Codec, PixelFormat, Profile, StreamType},
    probe::receiver::{AccessUnit, Options},
};
use tokio::sync::mpsc;

use crate::bench::{Bench, SOON, config, frame};

/// The stream's own size, decimation by two and by three (rows that are no multiple of four), a colour picture's shape, and
/// back again. The profile that the stream runs with stays the first.
const SIZES: [(u32, u32); 5] = [(320, 240), (160, 120), (108, 80), (424, 240), (320, 240)];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_size_change_reaches_viewers_from_a_key_frame_on() {
    for codec in Codec::ALL {
        let profile = Profile { width: 320, height: 240, framerate: 30 };
        let mut bench = Bench::start(config());
        bench.media.stream_running(bench.key(StreamType::Depth), profile);
        let chosen = Arc::new(AtomicUsize::new(0));
        let size = chosen.clone();
        let _camera = bench.frames(profile.framerate, move |number| {
            let (width, height) = SIZES[size.load(Relaxed)];
            frame(StreamType::Depth, PixelFormat::Z16, Profile { width, height, ..profile }, number)
        });
        let (units, mut received) = mpsc::channel(256);
        let options = Options { codecs: vec![codec], access_units: Some(units), ..Options::default() };
        let (session, viewer) = bench.join(&[(StreamType::Depth, profile)], &[codec], options).await;
        let mut decoder = Decoder::new(codec);
        for (at, wanted) in SIZES.into_iter().enumerate() {
            chosen.store(at, Relaxed);
            // Ten pictures of the new size, the first of them a key frame.
            let mut of_size = 0;
            let until = tokio::time::Instant::now() + SOON;
            while of_size < 10 {
                let unit = tokio::time::timeout_at(until, received.recv()).await;
                let unit = unit.unwrap_or_else(|_| panic!("{codec} {wanted:?}: pictures in time")).expect("a receiver");
                let keyframe = unit.keyframe;
                let shown = tokio::task::spawn_blocking(move || {
                    let shown = decoder.decode(&unit);
                    (decoder, shown)
                });
                let (back, shown) = shown.await.expect("the decoder's thread");
                decoder = back;
                let shown = shown.unwrap_or_else(|why| panic!("{codec} {wanted:?}: {why}"));
                if shown == wanted {
                    assert!(of_size > 0 || keyframe, "{codec} {wanted:?}: begins with a key frame");
                    of_size += 1;
                }
            }
        }
        let stats = viewer.stats();
        assert_eq!((stats.streams[0].broken, stats.closed_at), (0, None), "{codec}: {stats:?}");
        assert!(bench.stats(&session).await.expect("the session is still there").streaming);
        bench.shutdown().await;
    }
}

/// A decoder that is fed unit by unit and says what size each picture has.
pub(crate) struct Decoder {
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    sink: gst_app::AppSink,
    count: u64,
}

impl Decoder {
    pub(crate) fn new(codec: Codec) -> Self {
        let (caps, chain) = match codec {
            Codec::H264 => ("video/x-h264,stream-format=byte-stream,alignment=au", "h264parse ! openh264dec"),
            Codec::VP8 => ("video/x-vp8", "vp8dec"),
            Codec::VP9 => ("video/x-vp9", "vp9dec"),
        };
        let text = format!("appsrc name=in format=time caps={caps} ! {chain} ! appsink name=out sync=false");
        let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
        let source = pipeline.by_name("in").unwrap().downcast().unwrap();
        let sink = pipeline.by_name("out").unwrap().downcast().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        Self { pipeline, source, sink, count: 0 }
    }

    /// The size of the picture that this unit makes.
    pub(crate) fn decode(&mut self, unit: &AccessUnit) -> Result<(u32, u32), String> {
        let mut buffer = gst::Buffer::from_mut_slice(unit.data.clone());
        buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(self.count * 33));
        self.count += 1;
        self.source.push_buffer(buffer).map_err(|error| error.to_string())?;
        let sample = self.sink.try_pull_sample(gst::ClockTime::from_seconds(5));
        let sample = sample.ok_or_else(|| {
            let said = self.pipeline.bus().and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
            format!("unit {} does not decode: {said:?}", self.count)
        })?;
        let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).map_err(|error| error.to_string())?;
        Ok((info.width(), info.height()))
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}
