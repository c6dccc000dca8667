//! Prints what depth post-processing costs: milliseconds of processor time for a frame of each filter and of the whole stage,
//! on frames of the simulated camera.
//!
//! `cargo run --release --example depth_cost [WIDTHxHEIGHT]` (640x480 if not given).

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::{
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use realsense_webrtc::{
    camera::{Backend, StreamConfig, sim::SimBackend},
    core::picture::depth::{DepthCalibration, DepthSettings, Picture, Stage},
    model::{PixelFormat, Profile, StreamType},
};

/// How long each row is measured.
const TIME: Duration = Duration::from_secs(3);

/// Seconds of processor time that this process used, from `/proc/self/stat` (fields 14 and 15, 100 ticks a second).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11..13].iter().map(|v| v.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

fn main() {
    let size = std::env::args().nth(1).unwrap_or_else(|| "640x480".into());
    let (width, height) = size.split_once('x').expect("WIDTHxHEIGHT");
    let (width, height): (u32, u32) = (width.parse().unwrap(), height.parse().unwrap());

    // Sixteen frames of the room, half a second of it.
    let backend = SimBackend::new(1);
    let device = backend.devices()[0].device_id.clone();
    let (sink, received) = mpsc::sync_channel(1);
    let mut camera = backend.open(&device, Arc::new(move |frame| drop(sink.send(frame)))).unwrap();
    let profile = Profile { width, height, framerate: 30 };
    camera.start(0, &[StreamConfig { stream: StreamType::Depth, format: PixelFormat::Z16, profile }]).unwrap();
    let frames: Vec<_> = received.iter().take(16).collect();
    drop(received);
    camera.stop(0);

    let mut color = |width, height| {
        let intrinsics = camera.intrinsics(StreamType::Color, width, height).unwrap();
        Some((intrinsics, camera.extrinsics(StreamType::Depth, StreamType::Color).unwrap()))
    };
    let same = color(width, height);
    let large = color(1280, 720);
    let all = ["threshold_filter", "spatial_filter", "temporal_filter", "hole_filling_filter"];
    let with = |more: &'static str| [&all[..], &[more]].concat();
    let rows = [
        ("decimation", vec!["decimation_filter"], None),
        ("threshold", vec!["threshold_filter"], None),
        ("spatial (with disparity)", vec!["spatial_filter"], None),
        ("temporal (with disparity)", vec!["temporal_filter"], None),
        ("spatial and temporal", vec!["spatial_filter", "temporal_filter"], None),
        ("hole filling", vec!["hole_filling_filter"], None),
        ("alignment to colour, same size", vec!["align_to"], same),
        ("alignment to colour, 1280x720", vec!["align_to"], large),
        ("all but decimation and alignment", all.to_vec(), None),
        ("all with decimation", with("decimation_filter"), None),
        ("all with alignment, same size", with("align_to"), same),
    ];
    println!("{width}x{height}, milliseconds of processor time a frame:");
    for (name, options, color) in rows {
        let mut settings = DepthSettings::default();
        options.iter().for_each(|option| settings.set(option, 1.0).unwrap());
        let calibration = DepthCalibration { baseline_m: Some(0.05), color };
        let mut stage = Stage::default();
        let mut run = |count: usize| {
            let frame = &frames[count % frames.len()];
            let picture = Picture {
                z16: frame.bytes(),
                width,
                height,
                intrinsics: frame.intrinsics,
                depth_units: frame.depth_units,
            };
            stage.run(&settings, &calibration, &picture)
        };
        // The first builds tables and fills caches.
        run(0);
        let (cpu, from, mut count) = (cpu_seconds(), Instant::now(), 0);
        while from.elapsed() < TIME {
            std::hint::black_box(run(count));
            count += 1;
        }
        println!("  {name:<34} {:6.2}", (cpu_seconds() - cpu) * 1000.0 / count as f64);
    }
}
