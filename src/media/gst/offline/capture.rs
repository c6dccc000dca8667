//! Raw frames into a file, exactly as an encoder's appsrc gets them (depth coloured), for `pipeline capture`. Owns one feed
//! and one pipeline that writes; encodes nothing and opens no camera.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use gst::prelude::*;
use gst_video::{VideoFrameRef, VideoInfo, VideoMeta};

use crate::{
    camera::hub::FrameHub,
    config::Config,
    media::gst::{
        bus::{error_words, next_error},
        context::Context,
        encode::feed::{Feed, Target},
        pipelines::folder::Files,
    },
    model::{Codec, StreamKey},
};

/// Frames that may wait for the disk; two seconds at 30 fps, 28 MB at 640x480.
const MAX_WAITING: u64 = 60;
/// How long the end of the file may take to be written.
const FINISH: gst::ClockTime = gst::ClockTime::from_seconds(10);

/// A capture under way. The frames of its stream are taken from the hub as they come.
pub(crate) struct Capture {
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    feed: Option<Feed>,
    written: Arc<AtomicU64>,
}

impl Capture {
    /// Begins to write the frames of a stream, of which there need not be any yet.
    ///
    /// # Errors
    /// An element is missing, or the file cannot be written, in words for a person.
    pub(crate) fn start(
        config: Arc<Config>,
        hub: Arc<FrameHub>,
        key: &StreamKey,
        framerate: u32,
        file: &Path,
    ) -> Result<Self, String> {
        let range_m = (config.depth.min_m, config.depth.max_m);
        let ctx = Arc::new(Context::new(config, hub, Arc::default(), Files::idle(), Arc::new(|_| {})));
        let source = gst_app::AppSrc::builder()
            .is_live(true)
            .format(gst::Format::Time)
            .max_bytes(0)
            .max_buffers(MAX_WAITING)
            .leaky_type(gst_app::AppLeakyType::Downstream)
            .build();
        let make = |factory: &str| {
            gst::ElementFactory::make(factory).build().map_err(|_| {
                format!(
                    "There is no GStreamer element '{factory}'; {}.",
                    crate::media::gst::pipelines::packages::how_to_get(factory)
                )
            })
        };
        let (muxer, sink) = (make("matroskamux")?, make("filesink")?);
        muxer.set_property("offset-to-zero", true);
        sink.set_property("location", file.to_string_lossy().as_ref());
        let pipeline = gst::Pipeline::new();
        let linked = pipeline
            .add_many([source.upcast_ref(), &muxer, &sink])
            .and_then(|()| gst::Element::link_many([source.upcast_ref(), &muxer, &sink]));
        linked.map_err(|error| error.to_string())?;
        let written = Arc::new(AtomicU64::new(0));
        let count = written.clone();
        let pad = source.static_pad("src").ok_or("The appsrc has no pad.")?;
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            count.fetch_add(1, Relaxed);
            if let (Some(caps), Some(gst::PadProbeData::Buffer(buffer))) = (pad.current_caps(), &mut info.data)
                && let Some(packed) = repack(buffer, &caps)
            {
                *buffer = packed;
            }
            gst::PadProbeReturn::Ok
        });
        ctx.synchronise(&pipeline);
        let mut capture = Self { pipeline, source, feed: None, written };
        if capture.pipeline.set_state(gst::State::Playing).is_err() {
            return Err(capture.failed().unwrap_or_else(|| format!("'{}' cannot be written.", file.display())));
        }
        let feed = Feed::start(&ctx, key, framerate, range_m).map_err(|error| error.to_string())?;
        // The codec only names the place in the feed's table.
        feed.add(Codec::H264, Target { source: capture.source.clone(), key_frames: Arc::default() });
        capture.feed = Some(feed);
        Ok(capture)
    }

    /// Frames on their way into the file.
    pub(crate) fn frames(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Why nothing more is written, in the element's words.
    pub(crate) fn failed(&self) -> Option<String> {
        next_error(&self.pipeline)
    }

    /// Completes the file: what it holds, as caps.
    ///
    /// # Errors
    /// It could not be completed, in the element's words.
    pub(crate) fn finish(mut self) -> Result<Option<gst::Caps>, String> {
        if let Some(thread) = self.feed.take().and_then(Feed::stop) {
            // It waits for nothing but a frame, and was told that none comes.
            let _ = thread.join();
        }
        let caps = self.source.static_pad("src").and_then(|pad| pad.current_caps());
        let _ = self.source.end_of_stream();
        let wanted = [gst::MessageType::Eos, gst::MessageType::Error];
        let message = self.pipeline.bus().and_then(|bus| bus.timed_pop_filtered(FINISH, &wanted));
        match message.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Error(error)) => Err(error_words(error)),
            Some(_) => Ok(caps),
            None => Err(format!("the file was not completed within {:?}", Duration::from(FINISH))),
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        drop(self.feed.take());
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// The frame with its rows as GStreamer lays them out by itself, since a file cannot say otherwise; `None` where they lie so.
fn repack(buffer: &gst::Buffer, caps: &gst::CapsRef) -> Option<gst::Buffer> {
    let meta = buffer.meta::<VideoMeta>()?;
    let info = VideoInfo::from_caps(caps).ok()?;
    if meta.stride() == info.stride() && meta.offset() == info.offset() {
        return None;
    }
    let from = VideoFrameRef::from_buffer_ref_readable(buffer, &info).ok()?;
    let mut packed = gst::Buffer::with_size(info.size()).ok()?;
    {
        let packed = packed.get_mut()?;
        packed.set_pts(buffer.pts());
        packed.set_duration(buffer.duration());
        let mut to = VideoFrameRef::from_buffer_ref_writable(packed, &info).ok()?;
        from.copy(&mut to).ok()?;
    }
    Some(packed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_an_odd_length_are_laid_out_anew() {
        gst::init().expect("GStreamer");
        let info = VideoInfo::builder(gst_video::VideoFormat::Gray8, 6, 2).build().expect("a format");
        let caps = info.to_caps().expect("caps");
        let mut tight = gst::Buffer::from_slice((0u8..12).collect::<Vec<_>>());
        let flags = gst_video::VideoFrameFlags::empty();
        VideoMeta::add_full(
            tight.get_mut().expect("one owner"),
            flags,
            gst_video::VideoFormat::Gray8,
            6,
            2,
            &[0],
            &[6],
        )
        .expect("a meta");
        let packed = repack(&tight, &caps).expect("laid out anew");
        let map = packed.map_readable().expect("readable");
        assert_eq!(
            (map.size(), &map[..6], &map[8..14]),
            (info.size(), &[0, 1, 2, 3, 4, 5][..], &[6, 7, 8, 9, 10, 11][..])
        );
        assert!(repack(&gst::Buffer::from_slice([0u8; 16]), &caps).is_none());
    }
}
