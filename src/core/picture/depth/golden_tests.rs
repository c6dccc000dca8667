//! Holds the filters to the SDK's own: the same made-up pictures went through the processing blocks of librealsense 2.56.5
//! and 2.59.1 (x86-64, pyrealsense2, a software device of 64x48 with fx = 30 px, a baseline of 50 mm and units of 1 mm), and
//! the results' sizes and FNV-1a hashes stand here as measured. Bit for bit, or the hash tells. Both versions agree but on
//! alignment, where 2.59.1 corrects a shift by half a pixel and a wrong tangential term; it is 2.59.1 that counts there.

use super::{
    DepthCalibration, DepthSettings, Picture, Stage,
    align::Aligner,
    decimation::Decimation,
    disparity::Disparity,
    holes::HoleFilling,
    spatial::Spatial,
    temporal::{Parameters, Temporal},
    threshold::Threshold,
};
use crate::model::{Distortion, Extrinsics, Intrinsics};

const WIDTH: usize = 64;
const HEIGHT: usize = 48;

/// Case, width and height of the result, hash of its little-endian bytes.
#[rustfmt::skip]
const SDK: &[(&str, usize, usize, u64)] = &[
    ("input", 64, 48, 0x6df26624c3b9ecd6),
    ("decimation-1", 64, 48, 0x6df26624c3b9ecd6),
    ("decimation-2", 32, 24, 0x9504db1b22473998),
    ("decimation-3", 24, 16, 0x8a4a1fbb3860cbfb),
    ("decimation-4", 16, 12, 0x61b3ba2c6c64aa1f),
    ("decimation-5", 12, 12, 0xfeec321fa194fb81),
    ("decimation-6", 12, 8, 0x14e15d28ee429833),
    ("decimation-7", 12, 8, 0x4cb84f3142a07d4d),
    ("decimation-8", 8, 8, 0x09bf3dbe79fa60fb),
    ("threshold", 64, 48, 0x2a2facab5b2027b5),
    ("spatial-default-0", 64, 48, 0x2f401e8a51779fb2),
    ("spatial-disparity-default-0", 64, 48, 0x7df5aba10c4be1df),
    ("spatial-default-1", 64, 48, 0x01f75137dc2f603e),
    ("spatial-disparity-default-1", 64, 48, 0xe1f027c15ae2f5b2),
    ("spatial-default-3", 64, 48, 0x2c6906a182fd8e25),
    ("spatial-disparity-default-3", 64, 48, 0xc56f5dca4bdd6961),
    ("spatial-strong-0", 64, 48, 0xfa7bd83d48b53605),
    ("spatial-disparity-strong-0", 64, 48, 0xfe4bed4e6da59a0f),
    ("spatial-strong-1", 64, 48, 0xa0c85dbcab555c13),
    ("spatial-disparity-strong-1", 64, 48, 0xb6c98cf1746cae36),
    ("spatial-strong-3", 64, 48, 0x5b77aeab045228d1),
    ("spatial-disparity-strong-3", 64, 48, 0x238e63da23587dcd),
    ("spatial-weak-0", 64, 48, 0x6a25c71b1f612ae8),
    ("spatial-disparity-weak-0", 64, 48, 0x21a585af2b8e039f),
    ("spatial-weak-1", 64, 48, 0x6f2a4c8641f1ea4c),
    ("spatial-disparity-weak-1", 64, 48, 0x147c5e4624efadcb),
    ("spatial-weak-3", 64, 48, 0xc5b5d4dc2b236fb5),
    ("spatial-disparity-weak-3", 64, 48, 0x28f9ea8d3b8445dd),
    ("holes-0", 64, 48, 0x5878b55a7008996b),
    ("holes-1", 64, 48, 0x49b810c1cdf85172),
    ("holes-2", 64, 48, 0x62e14f09d9ce548d),
    ("disparity-roundtrip", 64, 48, 0x6df26624c3b9ecd6),
    ("temporal-depth-default-0", 64, 48, 0x17fcba1d2f87e3e7),
    ("temporal-disparity-default-0", 64, 48, 0x83ae24a936b59296),
    ("temporal-depth-default-1", 64, 48, 0xf85d2f56c8cc3d49),
    ("temporal-disparity-default-1", 64, 48, 0xea800676d5481505),
    ("temporal-depth-default-2", 64, 48, 0x496e3d8a73dd37cd),
    ("temporal-disparity-default-2", 64, 48, 0xa5e132e84cfd7e03),
    ("temporal-depth-default-3", 64, 48, 0xc7f85462d2b273d1),
    ("temporal-disparity-default-3", 64, 48, 0x3ac4ac6d7aa5620e),
    ("temporal-depth-default-4", 64, 48, 0xf7e4d5a3f4cedd26),
    ("temporal-disparity-default-4", 64, 48, 0x2d5b3c34519d7e60),
    ("temporal-depth-default-5", 64, 48, 0xbe2ad334986a75eb),
    ("temporal-disparity-default-5", 64, 48, 0xf05f383dea87f167),
    ("temporal-depth-default-6", 64, 48, 0x4b026df241e9569c),
    ("temporal-disparity-default-6", 64, 48, 0xf923d1b5054fc6d2),
    ("temporal-depth-default-7", 64, 48, 0x4b026df241e9569c),
    ("temporal-disparity-default-7", 64, 48, 0xf923d1b5054fc6d2),
    ("temporal-depth-default-8", 64, 48, 0x4b026df241e9569c),
    ("temporal-disparity-default-8", 64, 48, 0xf923d1b5054fc6d2),
    ("temporal-depth-slow-0", 64, 48, 0xc19663d0f81cc060),
    ("temporal-disparity-slow-0", 64, 48, 0x0e9c70e34636575f),
    ("temporal-depth-slow-1", 64, 48, 0xcee23f41fb591b71),
    ("temporal-disparity-slow-1", 64, 48, 0x974ebd011da2b061),
    ("temporal-depth-slow-2", 64, 48, 0x64e1acf4a305c995),
    ("temporal-disparity-slow-2", 64, 48, 0x27e117f9f24d9fdb),
    ("temporal-depth-slow-3", 64, 48, 0x88f5f68cf52424dd),
    ("temporal-disparity-slow-3", 64, 48, 0x89183e438193b793),
    ("temporal-depth-slow-4", 64, 48, 0x023d7749f93cc9e2),
    ("temporal-disparity-slow-4", 64, 48, 0xc64b020fdc858d74),
    ("temporal-depth-slow-5", 64, 48, 0xf40b0e45804a3aac),
    ("temporal-disparity-slow-5", 64, 48, 0xaaa9f40cd5e9cee2),
    ("temporal-depth-slow-6", 64, 48, 0x440b31e6224a704a),
    ("temporal-disparity-slow-6", 64, 48, 0xc64b020fdc858d74),
    ("temporal-depth-slow-7", 64, 48, 0x440b31e6224a704a),
    ("temporal-disparity-slow-7", 64, 48, 0xc64b020fdc858d74),
    ("temporal-depth-slow-8", 64, 48, 0x440b31e6224a704a),
    ("temporal-disparity-slow-8", 64, 48, 0xc64b020fdc858d74),
    ("stage-1", 64, 48, 0xa1c01a2fb770cdb4),
    ("stage-2", 32, 24, 0xdaa7a86c41affd2b),
    ("stage-3", 24, 16, 0xb0313beb466df97b),
    ("align-same", 64, 48, 0xfb8ca779c4231f9c),
    ("align-shift", 64, 48, 0xa467cecf6d3dece8),
    ("align-turned", 96, 54, 0x618c736230d6aa54),
    ("align-finer", 160, 90, 0x7dfe64d0d0c47d6a),
    ("align-coarser", 32, 24, 0x814cac3bbce46ca4),
    ("align-modified", 160, 90, 0xac84104d8afff39d),
];

/// A picture with steps, slopes, noise, holes and outliers; reproducible in any language.
fn picture(width: usize, height: usize, seed: u64) -> Vec<u16> {
    let mut state = seed;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let mut pixel = |at: usize| {
        let (x, y, random) = (at % width, at / width, random());
        let base = if (x / 13 + y / 9) % 2 == 0 { 900 } else { 2600 };
        let value = match (random % 7, random / 7 % 29) {
            (_, 0) => 5000 + random % 3000,
            (0, _) => 0,
            _ => base + x * 3 + y * 2 + random % 41 - 20,
        };
        value as u16
    };
    (0..width * height).map(&mut pixel).collect()
}

fn camera() -> Intrinsics {
    Intrinsics {
        width: WIDTH as u32,
        height: HEIGHT as u32,
        fx: 30.0,
        fy: 31.0,
        ppx: 31.8,
        ppy: 23.3,
        distortion: Distortion::BrownConrady,
        coefficients: [0.0; 5],
    }
}

fn hash(image: &[u16]) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    image.iter().flat_map(|raw| raw.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325, step)
}

/// What our filter makes of the case, with its width.
fn ours(case: &str) -> (Vec<u16>, usize) {
    let mut image = picture(WIDTH, HEIGHT, 1);
    let disparity = Disparity::new(0.05, 30.0, 0.001).expect("all are known");
    let parts: Vec<&str> = case.split('-').collect();
    let last = || parts[parts.len() - 1].parse::<u32>().expect("a number");
    match parts[0] {
        "input" => {}
        "decimation" => {
            let filter = Decimation { magnitude: last() as usize };
            let mut small = Vec::new();
            filter.apply(&image, WIDTH, &mut small);
            return (small, filter.size(WIDTH, HEIGHT).0);
        }
        "threshold" => Threshold { min_m: 0.9, max_m: 2.7 }.apply(&mut image, 0.001),
        "spatial" => {
            let (magnitude, alpha, delta) = match parts[parts.len() - 2] {
                "strong" => (5, 0.25, 50.0),
                "weak" => (1, 0.61, 8.0),
                _ => (2, 0.5, 20.0),
            };
            let filter = Spatial { magnitude, alpha, delta, fill_radius: Spatial::fill_radius(last()) };
            if parts[1] == "disparity" {
                let mut values = Vec::new();
                disparity.of_depth(&image, &mut values);
                filter.apply_disparity(&mut values, WIDTH);
                disparity.to_depth(&values, &mut image);
            } else {
                filter.apply(&mut image, WIDTH);
            }
        }
        "holes" => {
            let modes = [HoleFilling::FromLeft, HoleFilling::FarthestAround, HoleFilling::NearestAround];
            modes[last() as usize].apply(&mut image, WIDTH);
        }
        "disparity" => {
            let mut values = Vec::new();
            disparity.of_depth(&image, &mut values);
            disparity.to_depth(&values, &mut image);
        }
        "temporal" => {
            let (alpha, delta) = if parts[2] == "slow" { (0.1, 100.0) } else { (0.4, 20.0) };
            let parameters = Parameters { alpha, delta, persistency: last() };
            let (mut of_depth, mut of_disparity) = (Temporal::new(parameters), Temporal::new(parameters));
            for number in 0..12 {
                image = frame(number);
                if parts[1] == "disparity" {
                    let mut values = Vec::new();
                    disparity.of_depth(&image, &mut values);
                    of_disparity.apply(&mut values);
                    disparity.to_depth(&values, &mut image);
                } else {
                    of_depth.apply(&mut image);
                }
            }
        }
        "align" => return aligned(case),
        _ => return staged(last()),
    }
    (image, WIDTH)
}

/// One of a row of frames; every fifth has many holes.
fn frame(number: u64) -> Vec<u16> {
    if number % 5 != 4 {
        return picture(WIDTH, HEIGHT, 100 + number);
    }
    let mask = picture(WIDTH, HEIGHT, 7);
    picture(WIDTH, HEIGHT, 100).iter().zip(mask).map(|(raw, mask)| if mask % 3 == 0 { 0 } else { *raw }).collect()
}

fn bytes(image: &[u16]) -> Vec<u8> {
    image.iter().flat_map(|raw| raw.to_le_bytes()).collect()
}

/// Depth with a focal length in pixels as seen by another camera that stands beside it, mostly turned by 0.02 rad about y.
fn aligned(case: &str) -> (Vec<u16>, usize) {
    let seen = |width: u32, height: u32, focal: f32| Intrinsics {
        width,
        height,
        fx: focal,
        fy: (f64::from(focal) * 1.01) as f32,
        ppx: ((f64::from(width) - 1.0) / 2.0 + 0.3) as f32,
        ppy: ((f64::from(height) - 1.0) / 2.0 - 0.2) as f32,
        ..Intrinsics::default()
    };
    let (sin, cos) = (0.02f64.sin() as f32, 0.02f64.cos() as f32);
    let turned = [cos, 0.0, -sin, 0.0, 1.0, 0.0, sin, 0.0, cos];
    let straight = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
    let aside = [0.015, -0.001, 0.0005];
    let (focal, mut to, rotation, translation) = match case {
        "align-same" => (30.0, seen(64, 48, 30.0), straight, [0.0; 3]),
        "align-shift" => (30.0, seen(64, 48, 40.0), straight, [0.015, 0.0, 0.0]),
        "align-turned" => (30.0, seen(96, 54, 70.0), turned, aside),
        "align-coarser" => (60.0, seen(32, 24, 20.0), turned, [-0.05, 0.002, 0.001]),
        _ => (30.0, seen(160, 90, 110.0), turned, aside),
    };
    if case == "align-modified" {
        to.distortion = Distortion::ModifiedBrownConrady;
        to.coefficients = [0.1, -0.2, 0.001, -0.002, 0.05];
    }
    let mut out = Vec::new();
    let aligner = Aligner::new(seen(WIDTH as u32, HEIGHT as u32, focal), to, Extrinsics { rotation, translation });
    aligner.apply(&picture(WIDTH, HEIGHT, 1), 0.001, &mut out);
    (out, to.width as usize)
}

/// All filters with their defaults, over six frames.
fn staged(magnitude: u32) -> (Vec<u16>, usize) {
    let mut settings = DepthSettings::default();
    for filter in ["decimation_filter", "threshold_filter", "spatial_filter", "temporal_filter", "hole_filling_filter"]
    {
        settings.set(filter, 1.0).expect("a switch");
    }
    settings.set("decimation_magnitude", magnitude.into()).expect("in range");
    let calibration = DepthCalibration { baseline_m: Some(0.05), color: None };
    let mut stage = Stage::default();
    let mut run = |number: u64| {
        let z16 = bytes(&picture(WIDTH, HEIGHT, 100 + number));
        let (width, height, intrinsics) = (WIDTH as u32, HEIGHT as u32, Some(camera()));
        stage.run(&settings, &calibration, &Picture { z16: &z16, width, height, intrinsics, depth_units: 0.001 })
    };
    let out = (0..6).map(&mut run).last().expect("six frames");
    let intrinsics = out.intrinsics.expect("they go along");
    assert_eq!((intrinsics.width, intrinsics.height), (out.width, out.height));
    let image = out.z16.chunks_exact(2).map(|raw| u16::from_le_bytes([raw[0], raw[1]])).collect();
    (image, out.width as usize)
}

#[test]
fn every_filter_does_what_the_sdk_does() {
    let mut wrong = Vec::new();
    for (case, width, height, expected) in SDK {
        let (image, out_width) = ours(case);
        assert_eq!((out_width, image.len()), (*width, width * height), "{case}");
        // When it fills holes in disparity, the SDK's way back takes what is right of the last column from the next row and
        // never reaches the first.
        let wraps = case.starts_with("spatial-disparity") && !case.ends_with("-0");
        let compared = if wraps {
            image.chunks_exact(*width).flat_map(|row| row[1..width - 1].to_vec()).collect()
        } else {
            image.clone()
        };
        if hash(&compared) != *expected {
            wrong.push(*case);
        }
    }
    assert!(wrong.is_empty(), "differ from the SDK: {wrong:?}");
}
