//! One running sensor: a named thread that draws and delivers the frames of all its streams on absolute deadlines.
//! Owns the pacing, the frame numbers and the buffers; frames of streams with the same rate share number and time.

use std::{
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{
    backdrop::Backdrops,
    depth::{DEPTH_UNITS_M, DepthPicture},
    device::Slot,
    imu,
    optics::View,
    picture::{ColorPicture, InfraredPicture},
    scene::{self, Ball},
    strip::{self, Strip},
};
use crate::{
    camera::{Frame, FrameSink, StreamConfig},
    error::{Error, Result},
    model::{PixelFormat, StreamType},
    sync::{Condvar, Mutex, Pool, lock},
};

/// Buffers kept for reuse per stream: one being drawn, one in the hub, one being encoded, one to spare.
const POOLED: usize = 4;

/// A running sensor. Stopping or dropping it waits until its last frame was delivered.
pub(crate) struct Running {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Stop {
    flag: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Stop {
    /// Waits until `deadline`; false when told to stop.
    fn wait_until(&self, deadline: Instant) -> bool {
        let mut guard = lock(&self.lock);
        loop {
            if self.flag.load(Ordering::Acquire) {
                return false;
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                return true;
            };
            guard = self.wake.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Running {
    /// Starts the thread of a sensor whose streams were checked.
    pub(crate) fn start(
        slot: Arc<Slot>,
        generation: u64,
        sensor: usize,
        streams: &[StreamConfig],
        sink: FrameSink,
    ) -> Result<Self> {
        let stop = Arc::new(Stop::default());
        let (streams, for_thread) = (streams.to_vec(), stop.clone());
        let name = format!("sim{}-{}", slot.index, ["stereo", "rgb", "motion"][sensor]);
        let work = move || {
            tracing::debug!(device = %slot.id, sensor, "simulated sensor starts");
            Loop { slot: &slot, generation, sensor, sink: &sink, stop: &for_thread }.run(&streams);
            tracing::debug!(device = %slot.id, sensor, "simulated sensor ends");
        };
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(work)
            .map_err(|e| Error::unavailable("The simulated camera cannot start now.").with_log(e.to_string()))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.flag.store(true, Ordering::Release);
        // Taking the lock makes sure the thread is either before its check of the flag or already waiting.
        drop(lock(&self.stop.lock));
        self.stop.wake.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a simulated sensor's thread panicked");
        }
    }
}

/// Streams of one rate.
struct Rate {
    fps: u32,
    /// Number of the next frame, from 1.
    next: u64,
    streams: Vec<Stream>,
}

struct Stream {
    config: StreamConfig,
    painter: Painter,
    pool: Pool,
}

enum Painter {
    Color(ColorPicture),
    Depth(DepthPicture),
    Infrared(InfraredPicture),
    Gyro,
    Accel,
}

struct Loop<'a> {
    slot: &'a Arc<Slot>,
    generation: u64,
    sensor: usize,
    sink: &'a FrameSink,
    stop: &'a Stop,
}

impl Loop<'_> {
    fn run(&self, configs: &[StreamConfig]) {
        let mut rates: Vec<Rate> = Vec::new();
        for config in configs {
            let Some(painter) = self.painter(config) else { return };
            let stream = Stream { config: *config, painter, pool: Pool::new(POOLED) };
            let fps = config.profile.framerate;
            match rates.iter_mut().find(|rate| rate.fps == fps) {
                Some(rate) => rate.streams.push(stream),
                None => rates.push(Rate { fps, next: 1, streams: vec![stream] }),
            }
        }
        // Deadlines count from here, so that nothing drifts: frame n is due n-1 periods later.
        let start = Instant::now();
        let due = |rate: &Rate| start + Duration::from_secs_f64((rate.next - 1) as f64 / f64::from(rate.fps));
        while let Some(rate) = rates.iter_mut().min_by_key(|rate| due(rate)) {
            let deadline = due(rate);
            if !self.stop.wait_until(deadline) || !self.slot.is_plugged(self.generation) {
                return;
            }
            self.tick(rate, deadline);
            // Whoever comes late loses frames, as a camera does; a queue of late frames would only add latency.
            let passed = (start.elapsed().as_secs_f64() * f64::from(rate.fps)) as u64;
            rate.next = (rate.next + 1).max(passed + 1);
        }
    }

    /// Makes what draws a stream. `None` when told to stop meanwhile.
    fn painter(&self, config: &StreamConfig) -> Option<Painter> {
        let options = self.slot.options(self.sensor);
        let (width, height) = (config.profile.width, config.profile.height);
        let backdrops: &Backdrops = &self.slot.backdrops;
        let backdrop = || backdrops.get(View::new(config.stream, width, height)?, &self.stop.flag);
        Some(match config.stream {
            StreamType::Color => Painter::Color(ColorPicture::new(backdrop()?, config.format, options.color_look())),
            StreamType::Depth => Painter::Depth(DepthPicture::new(backdrop()?, options.depth_look())),
            StreamType::Infrared(_) => Painter::Infrared(InfraredPicture::new(backdrop()?, options.infrared_look())),
            StreamType::Gyro => Painter::Gyro,
            StreamType::Accel => Painter::Accel,
        })
    }

    /// Draws and delivers one frame of every stream of a rate.
    fn tick(&self, rate: &mut Rate, captured_at: Instant) {
        let faults = self.slot.faults();
        if faults.stall {
            return;
        }
        let number = rate.next;
        let unix =
            SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(captured_at.elapsed());
        let seconds = self.slot.scene_seconds(captured_at);
        let options = self.slot.options(self.sensor);
        let timestamp_ms =
            if options.global_time() { unix.as_secs_f64() * 1e3 } else { self.slot.device_seconds(captured_at) * 1e3 };
        let ball = Ball::at(seconds);
        for stream in &mut rate.streams {
            let StreamConfig { stream: kind, format, profile } = stream.config;
            if faults.drops(number, kind) {
                continue;
            }
            let bits = strip::encode(&Strip {
                number: number as u16,
                time_ms: unix.as_millis() as u32,
                stream: strip::stream_code(kind),
                camera: self.slot.index as u8 & 0xF,
            });
            let mut buffer = stream.pool.take();
            buffer.resize(format.frame_size(profile.width, profile.height), 0);
            let out = buffer.as_mut_slice();
            match &mut stream.painter {
                Painter::Color(picture) => picture.draw(&options.color_look(), ball, &bits, out),
                Painter::Depth(picture) => picture.draw(&options.depth_look(), ball, number, &bits, out),
                Painter::Infrared(picture) => picture.draw(&options.infrared_look(), ball, &bits, out),
                Painter::Gyro => write_motion(out, imu::gyro(seconds, number, options.motion_correction())),
                Painter::Accel => write_motion(out, imu::accel(seconds, number, options.motion_correction())),
            }
            if faults.garbage {
                let third = buffer.len() / 3 + 1;
                buffer.truncate(third);
            }
            // A stop or unplug during the drawing is still in time.
            if self.stop.flag.load(Ordering::Acquire) || !self.slot.is_plugged(self.generation) {
                return;
            }
            (self.sink)(Frame {
                stream: kind,
                format,
                width: profile.width,
                height: profile.height,
                data: Arc::new(buffer),
                number,
                timestamp_ms,
                timestamp_domain: options.timestamp_domain(),
                metadata: options.frame_metadata(kind, profile.framerate, unix.as_millis() as i64),
                captured_at,
                depth_units: if format == PixelFormat::Z16 { DEPTH_UNITS_M } else { 0.0 },
                intrinsics: super::optics::intrinsics(kind, profile.width, profile.height),
            });
        }
    }
}

fn write_motion(out: &mut [u8], xyz: [f32; 3]) {
    for (out, value) in out.chunks_exact_mut(4).zip(xyz) {
        out.copy_from_slice(&value.to_le_bytes());
    }
}

/// The moving things' clock starts with the program, so that all simulated cameras see the same ball.
pub(crate) fn scene_epoch() -> Instant {
    static EPOCH: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

/// A pseudo-random number from 0 to 1 for a frame of a stream.
pub(crate) fn chance(number: u64, stream: StreamType) -> f64 {
    f64::from(scene::hash(number as i32, 1000 + i32::from(strip::stream_code(stream)))) / f64::from(u32::MAX)
}
