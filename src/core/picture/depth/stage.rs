//! The whole stage: the filters in the order that the SDK recommends (decimation, threshold, spatial, temporal, hole
//! filling), then alignment. Owns the filters' memory and working space; one stage serves one stream.

use super::{
    DepthSettings,
    align::Aligner,
    disparity::Disparity,
    temporal::{Parameters, Sample, Temporal},
};
use crate::model::{Extrinsics, Intrinsics};

/// What the stage has to know about the camera.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DepthCalibration {
    /// Distance of a stereo camera's imagers in metres. Where it is known the spatial and the temporal filter work on
    /// disparity, else on depth.
    pub baseline_m: Option<f32>,
    /// The colour picture's intrinsics, and the way from depth to it. Without it nothing is aligned.
    pub color: Option<(Intrinsics, Extrinsics)>,
}

/// A depth picture as it comes from the camera.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    /// Little-endian Z16, tightly packed: `width * height * 2` bytes.
    pub z16: &'a [u8],
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// How it was seen; without it there is neither disparity nor alignment.
    pub intrinsics: Option<Intrinsics>,
    /// Metres per raw step.
    pub depth_units: f32,
}

/// A depth picture as it goes out.
#[derive(Debug, Clone, PartialEq)]
pub struct Processed {
    /// Little-endian Z16, tightly packed.
    pub z16: Vec<u8>,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The intrinsics that go with the new size and place.
    pub intrinsics: Option<Intrinsics>,
}

/// The stage.
#[derive(Debug, Default)]
pub struct Stage {
    pixels: Vec<u16>,
    spare: Vec<u16>,
    disparity: Vec<f32>,
    temporal: Option<Memory>,
    aligner: Option<Aligner>,
}

/// What the temporal filter remembers, in the domain it works in.
#[derive(Debug)]
enum Memory {
    Depth(Temporal<u16>),
    Disparity(Temporal<f32>),
}

impl Stage {
    /// Processes the next frame.
    pub fn run(
        &mut self,
        settings: &DepthSettings,
        calibration: &DepthCalibration,
        picture: &Picture<'_>,
    ) -> Processed {
        self.pixels.clear();
        self.pixels.extend(picture.z16.chunks_exact(2).map(|raw| u16::from_le_bytes([raw[0], raw[1]])));
        let (mut width, mut height) = (picture.width, picture.height);
        let mut intrinsics = picture.intrinsics;
        if let Some(decimation) = settings.decimation() {
            decimation.apply(&self.pixels, width as usize, &mut self.spare);
            std::mem::swap(&mut self.pixels, &mut self.spare);
            intrinsics = intrinsics.map(|full| decimation.intrinsics(&full));
            let (small_width, small_height) = decimation.size(width as usize, height as usize);
            (width, height) = (to_u32(small_width), to_u32(small_height));
        }
        if let Some(threshold) = settings.threshold() {
            threshold.apply(&mut self.pixels, picture.depth_units);
        }
        let disparity = calibration
            .baseline_m
            .zip(intrinsics)
            .and_then(|(baseline_m, seen)| Disparity::new(baseline_m, seen.fx, picture.depth_units));
        self.smooth(settings, disparity, width as usize);
        if let Some(filling) = settings.hole_filling() {
            filling.apply(&mut self.pixels, width as usize);
        }
        if let (true, Some(from), Some((to, extrinsics))) = (settings.aligns_to_color(), intrinsics, calibration.color)
        {
            let aligner = match self.aligner.take().filter(|aligner| aligner.is_for(&from, &to, &extrinsics)) {
                Some(aligner) => aligner,
                None => Aligner::new(from, to, extrinsics),
            };
            let aligner = self.aligner.insert(aligner);
            aligner.apply(&self.pixels, picture.depth_units, &mut self.spare);
            std::mem::swap(&mut self.pixels, &mut self.spare);
            (width, height, intrinsics) = (to.width, to.height, Some(to));
        }
        let mut z16 = Vec::with_capacity(self.pixels.len() * 2);
        z16.extend(self.pixels.iter().flat_map(|raw| raw.to_le_bytes()));
        Processed { z16, width, height, intrinsics }
    }

    /// Spatial and temporal filter, between one way to disparity and one way back.
    fn smooth(&mut self, settings: &DepthSettings, disparity: Option<Disparity>, width: usize) {
        let (spatial, temporal) = (settings.spatial(), settings.temporal());
        let remembered = self.temporal.take();
        if spatial.is_none() && temporal.is_none() {
            return;
        }
        let Some(disparity) = disparity else {
            if let Some(spatial) = spatial {
                spatial.apply(&mut self.pixels, width);
            }
            self.temporal = temporal.map(|parameters| {
                let memory = if let Some(Memory::Depth(memory)) = remembered { Some(memory) } else { None };
                let mut memory = keep(memory, parameters);
                memory.apply(&mut self.pixels);
                Memory::Depth(memory)
            });
            return;
        };
        disparity.of_depth(&self.pixels, &mut self.disparity);
        if let Some(spatial) = spatial {
            spatial.apply_disparity(&mut self.disparity, width);
        }
        self.temporal = temporal.map(|parameters| {
            let memory = if let Some(Memory::Disparity(memory)) = remembered { Some(memory) } else { None };
            let mut memory = keep(memory, parameters);
            memory.apply(&mut self.disparity);
            Memory::Disparity(memory)
        });
        disparity.to_depth(&self.disparity, &mut self.pixels);
    }
}

/// The memory, or a fresh one if the filter is set otherwise now.
fn keep<T: Sample>(memory: Option<Temporal<T>>, parameters: Parameters) -> Temporal<T> {
    memory.filter(|memory| memory.parameters() == parameters).unwrap_or_else(|| Temporal::new(parameters))
}

fn to_u32(side: usize) -> u32 {
    u32::try_from(side).expect("no picture is larger than its original")
}
