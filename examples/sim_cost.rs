//! Prints what each stream of the simulated camera costs, in per cent of one core, and how long its first frame takes.
//!
//! `cargo run --release --example sim_cost [WIDTHxHEIGHT]` (640x480 if not given), 30 frames a second.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::{
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use realsense_webrtc::{
    camera::{Backend, StreamConfig, sim::SimBackend},
    model::{PixelFormat, Profile, StreamType},
};

/// Seconds of processor time that this process used, from `/proc/self/stat` (fields 14 and 15, 100 ticks a second).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11..13].iter().map(|v| v.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

fn main() {
    let size = std::env::args().nth(1).unwrap_or_else(|| "640x480".into());
    let (width, height) = size.split_once('x').expect("WIDTHxHEIGHT");
    let profile = Profile { width: width.parse().unwrap(), height: height.parse().unwrap(), framerate: 30 };
    let motion = |framerate| Profile { width: 0, height: 0, framerate };
    let runs = [
        (1, StreamType::Color, PixelFormat::I420, profile),
        (1, StreamType::Color, PixelFormat::Rgb8, profile),
        (1, StreamType::Color, PixelFormat::Yuyv, profile),
        (0, StreamType::Depth, PixelFormat::Z16, profile),
        (0, StreamType::Infrared(1), PixelFormat::Y8, profile),
        (0, StreamType::Infrared(2), PixelFormat::Y8, profile),
        (2, StreamType::Gyro, PixelFormat::MotionXyz32f, motion(400)),
    ];
    for (sensor, stream, format, profile) in runs {
        let backend = SimBackend::new(1);
        let (sink, frames) = mpsc::sync_channel(1);
        let device = backend.devices()[0].device_id.clone();
        let mut camera = backend.open(&device, Arc::new(move |frame| drop(sink.try_send(frame)))).unwrap();
        let started = Instant::now();
        camera.start(sensor, &[StreamConfig { stream, format, profile }]).unwrap();
        frames.recv().unwrap();
        let first = started.elapsed();
        // Ten seconds see the ball at every place of its path, near and far.
        let (cpu, from, mut count) = (cpu_seconds(), Instant::now(), 0);
        while from.elapsed() < Duration::from_secs(10) {
            frames.recv().unwrap();
            count += 1;
        }
        let share = (cpu_seconds() - cpu) / from.elapsed().as_secs_f64() * 100.0;
        println!(
            "{stream:<11} {format:<14} {profile}: {share:4.1} % of a core, {count} frames, first after {first:.0?}"
        );
    }
}
