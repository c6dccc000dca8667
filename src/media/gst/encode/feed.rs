//! A stream's frames on their way into its encoders: one named thread per stream that runs while an encoder does. Owns
//! the hub subscription, the colouring of depth (once for all codecs), the frames' caps and with them the cut to even sides;
//! never starts a pipeline.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use gst_video::{VideoFormat, VideoInfo, VideoMeta};

use super::key_frame_requests::KeyFrames;
use crate::{
    camera::{
        Frame,
        hub::{Next, SubscriptionCloser},
    },
    core::picture::{
        colormap::{ColorMap, Colorizer, DepthRange},
        size::encoded_size,
    },
    media::gst::context::Context,
    metrics::StreamMetrics,
    model::{Codec, PixelFormat, StreamKey, StreamType},
    sync::{Mutex, Pool, lock},
};

/// How often at most unusable frames are logged.
const COMPLAIN_EVERY: Duration = Duration::from_secs(5);
/// Coloured pictures kept for reuse; two wait in each appsrc, one is being encoded.
const POOL: usize = 6;

/// A running feed. Dropping it tells its thread to end and does not wait for it.
pub(in crate::media::gst) struct Feed {
    shared: Arc<Shared>,
    closer: SubscriptionCloser,
    /// `None` once it has been handed over.
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    targets: Mutex<Arc<BTreeMap<Codec, Target>>>,
    range_m: Mutex<(f32, f32)>,
    framerate: AtomicU64,
    unusable: AtomicU64,
}

/// An encoder's entrance.
#[derive(Clone)]
pub(in crate::media::gst) struct Target {
    pub(in crate::media::gst) source: gst_app::AppSrc,
    pub(in crate::media::gst) key_frames: Arc<KeyFrames>,
}

impl Feed {
    /// Starts a stream's feed thread.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(in crate::media::gst) fn start(
        ctx: &Arc<Context>,
        key: &StreamKey,
        framerate: u32,
        range_m: (f32, f32),
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            targets: Mutex::default(),
            range_m: Mutex::new(range_m),
            framerate: AtomicU64::new(framerate.into()),
            unusable: AtomicU64::new(0),
        });
        let subscription = ctx.hub.subscribe(key);
        let closer = subscription.closer();
        // A bad name in the file is refused when it is read; the default covers a config made by code.
        let map = ctx.config.depth.color_map.parse().unwrap_or(ColorMap::Turbo);
        let mut pump = Pump::new(ctx.clone(), key.clone(), shared.clone(), map);
        let thread = std::thread::Builder::new().name(format!("feed-{}", key.stream)).spawn(move || {
            tracing::debug!(stream = %pump.key, "Feed started");
            let mut dropped = 0;
            loop {
                match subscription.next(Duration::from_secs(1)) {
                    Next::Frame(frame) => {
                        let so_far = subscription.dropped();
                        pump.metrics.dropped_feed.add(so_far - std::mem::replace(&mut dropped, so_far));
                        pump.push(&frame);
                    }
                    Next::Timeout => {}
                    Next::Closed => break,
                }
            }
            tracing::debug!(stream = %pump.key, dropped = subscription.dropped(), "Feed ended");
        })?;
        Ok(Self { shared, closer, thread: Some(thread) })
    }

    /// Lets an encoder have the frames.
    pub(in crate::media::gst) fn add(&self, codec: Codec, target: Target) {
        self.change(|targets| {
            targets.insert(codec, target);
        });
    }

    /// Keeps the frames from an encoder.
    pub(in crate::media::gst) fn remove(&self, codec: Codec) {
        self.change(|targets| {
            targets.remove(&codec);
        });
    }

    /// Changes the metres the colours run over.
    pub(in crate::media::gst) fn set_range(&self, range_m: (f32, f32)) {
        *lock(&self.shared.range_m) = range_m;
    }

    /// Changes the rate that the caps name.
    pub(super) fn set_framerate(&self, framerate: u32) {
        self.shared.framerate.store(framerate.into(), Relaxed);
    }

    /// Ends the feed. Its thread, for somebody to join who may wait: it can be in the middle of a conversion, or in an event
    /// that an encoder holds up.
    pub(in crate::media::gst) fn stop(mut self) -> Option<JoinHandle<()>> {
        self.change(BTreeMap::clear);
        self.closer.close();
        self.thread.take()
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<Codec, Target>)) {
        // The thread works on its own copy of the table, so no lock is held while it pushes.
        let mut targets = (**lock(&self.shared.targets)).clone();
        change(&mut targets);
        *lock(&self.shared.targets) = Arc::new(targets);
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.closer.close();
    }
}

/// The thread's own state.
struct Pump {
    ctx: Arc<Context>,
    key: StreamKey,
    shared: Arc<Shared>,
    map: ColorMap,
    colorizer: Option<Colorizer>,
    pool: Pool,
    layout: Option<(Layout, gst::Caps)>,
    last_pts: Option<gst::ClockTime>,
    complained: Option<Instant>,
    metrics: Arc<StreamMetrics>,
}

#[derive(Clone, Copy, PartialEq)]
struct Layout {
    format: VideoFormat,
    /// Pixels of the frame as its bytes lie.
    frame: (u32, u32),
    /// Of those, what the encoders are given, from the upper left corner.
    encoded: (u32, u32),
    framerate: u64,
}

impl Pump {
    fn new(ctx: Arc<Context>, key: StreamKey, shared: Arc<Shared>, map: ColorMap) -> Self {
        let pool = Pool::new(POOL);
        let metrics = ctx.metrics.stream(&key);
        Self { ctx, key, shared, map, colorizer: None, pool, layout: None, last_pts: None, complained: None, metrics }
    }

    fn push(&mut self, frame: &Arc<Frame>) {
        let targets = lock(&self.shared.targets).clone();
        if targets.is_empty() {
            return;
        }
        let Some((format, mut buffer)) = self.picture(frame) else {
            self.complain(frame);
            return;
        };
        // 0/1 in caps says that the rate varies, and encoders then reckon with it: every picture became a key frame.
        let framerate = self.shared.framerate.load(Relaxed).max(1);
        let encoded = encoded_size(frame.width, frame.height);
        let layout = encoded.map(|encoded| Layout { format, frame: (frame.width, frame.height), encoded, framerate });
        let Some((layout, caps)) = layout.and_then(|layout| Some((layout, self.caps(layout)?))) else {
            self.complain(frame);
            return;
        };
        let pts = self.pts(frame);
        {
            let buffer = buffer.get_mut().expect("a buffer made just now has one owner");
            buffer.set_pts(pts);
            buffer.set_duration(gst::ClockTime::SECOND / framerate);
            describe_layout(buffer, layout);
        }
        let now_ms = self.ctx.now_ms();
        for target in targets.values() {
            if target.source.caps().as_ref() != Some(&caps) {
                target.source.set_caps(Some(&caps));
            }
            if is_full(&target.source) {
                self.metrics.dropped_encoder.inc();
            }
            // An appsrc that is flushing belongs to an encoder on its way out.
            let _ = target.source.push_buffer(buffer.clone());
            target.key_frames.poll(now_ms);
        }
    }

    /// The frame as a video buffer, without a copy unless it must be coloured; `None` for one that cannot be used.
    fn picture(&mut self, frame: &Arc<Frame>) -> Option<(VideoFormat, gst::Buffer)> {
        if !frame.size_fits() || frame.width == 0 || frame.height == 0 {
            return None;
        }
        let format = match (self.key.stream, frame.format) {
            (StreamType::Depth, PixelFormat::Z16) => return self.colored(frame),
            (StreamType::Depth, _) | (_, PixelFormat::Z16 | PixelFormat::MotionXyz32f) => return None,
            (_, PixelFormat::Rgb8) => VideoFormat::Rgb,
            (_, PixelFormat::Bgr8) => VideoFormat::Bgr,
            (_, PixelFormat::Yuyv) => VideoFormat::Yuy2,
            (_, PixelFormat::I420) => VideoFormat::I420,
            (_, PixelFormat::Y8) => VideoFormat::Gray8,
        };
        Some((format, gst::Buffer::from_slice(FrameBytes(frame.clone()))))
    }

    fn colored(&mut self, frame: &Arc<Frame>) -> Option<(VideoFormat, gst::Buffer)> {
        let (min_m, max_m) = *lock(&self.shared.range_m);
        let range = DepthRange { map: self.map, min_m, max_m, depth_units: frame.depth_units };
        if self.colorizer.as_ref().is_none_or(|colorizer| colorizer.range() != range) {
            self.colorizer = Some(Colorizer::new(range));
        }
        let mut picture = self.pool.take();
        let fits = self.colorizer.as_ref()?.to_i420(frame.bytes(), frame.width, frame.height, &mut picture);
        let buffer = gst::Buffer::from_slice(picture);
        fits.then_some((VideoFormat::I420, buffer))
    }

    fn caps(&mut self, layout: Layout) -> Option<gst::Caps> {
        if let Some((known, caps)) = &self.layout
            && *known == layout
        {
            return Some(caps.clone());
        }
        let framerate = i32::try_from(layout.framerate).ok()?;
        let mut builder =
            VideoInfo::builder(layout.format, layout.encoded.0, layout.encoded.1).fps(gst::Fraction::new(framerate, 1));
        // What the server colours itself, and the camera's own I420, is BT.601 at every size; by itself GStreamer would
        // take larger pictures for BT.709.
        let bt601 = gst_video::VideoColorimetry::new(
            gst_video::VideoColorRange::Range16_235,
            gst_video::VideoColorMatrix::Bt601,
            gst_video::VideoTransferFunction::Bt601,
            gst_video::VideoColorPrimaries::Smpte170m,
        );
        if matches!(layout.format, VideoFormat::I420 | VideoFormat::Yuy2) {
            builder = builder.colorimetry(&bt601);
        }
        let caps = builder.build().ok()?.to_caps().ok()?;
        tracing::debug!(stream = %self.key, %caps, "Frames");
        self.layout = Some((layout, caps.clone()));
        Some(caps)
    }

    /// The capture time as running time, made to rise: an encoder stumbles over two frames of one time.
    fn pts(&mut self, frame: &Frame) -> gst::ClockTime {
        // A capture time in the future would hold back every frame after it.
        let captured = self.ctx.running_time(frame.captured_at.min(Instant::now()));
        let pts = self.last_pts.map_or(captured, |last| captured.max(last + gst::ClockTime::MSECOND));
        self.last_pts = Some(pts);
        pts
    }

    fn complain(&mut self, frame: &Frame) {
        self.metrics.unusable.inc();
        let count = self.shared.unusable.fetch_add(1, Relaxed) + 1;
        if self.complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
            self.complained = Some(Instant::now());
            let bytes = frame.bytes().len();
            tracing::warn!(stream = %self.key, ?frame, bytes, count, "Frame dropped: its size or format does not fit");
        }
    }
}

/// Whether the next frame costs the oldest that waits: GStreamer's own rule, since the appsrc tells of no drop itself. Only
/// this thread fills it, so at worst a drop is counted that the encoder's thread avoided by a moment.
fn is_full(source: &gst_app::AppSrc) -> bool {
    let (buffers, bytes) = (source.max_buffers(), source.max_bytes());
    (buffers > 0 && source.current_level_buffers() >= buffers) || (bytes > 0 && source.current_level_bytes() >= bytes)
}

/// Says how the bytes lie where that is not GStreamer's own layout: it rounds rows up to four bytes, cameras do not. A column or
/// row that is cut off is bytes that nobody looks at, so cutting costs no copy.
fn describe_layout(buffer: &mut gst::BufferRef, layout: Layout) {
    let (width, height) = (layout.frame.0 as usize, layout.frame.1 as usize);
    let (strides, offsets): (Vec<usize>, Vec<usize>) = match layout.format {
        VideoFormat::Rgb | VideoFormat::Bgr => (vec![width * 3], vec![0]),
        VideoFormat::Yuy2 => (vec![width * 2], vec![0]),
        VideoFormat::Gray8 => (vec![width], vec![0]),
        _ => {
            let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
            let luma = width * height;
            (vec![width, half_width, half_width], vec![0, luma, luma + half_width * half_height])
        }
    };
    // A row with a column too many has no multiple of four bytes in any of these formats.
    if strides.iter().all(|stride| stride % 4 == 0) && (layout.format != VideoFormat::I420 || height % 2 == 0) {
        return;
    }
    let strides: Vec<i32> = strides.into_iter().filter_map(|stride| i32::try_from(stride).ok()).collect();
    let flags = gst_video::VideoFrameFlags::empty();
    let (width, height) = layout.encoded;
    if let Err(error) = VideoMeta::add_full(buffer, flags, layout.format, width, height, &offsets, &strides) {
        tracing::debug!(%error, "No video meta");
    }
}

/// A frame's bytes as GStreamer memory: shared, not copied.
struct FrameBytes(Arc<Frame>);

impl AsRef<[u8]> for FrameBytes {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}
