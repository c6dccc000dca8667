//! What the post-processing is set to, as options of the depth sensor: one table of ids, ranges and defaults (those of the
//! SDK's processing blocks), checked when set and read back like the camera's own options.

use super::{decimation::Decimation, holes::HoleFilling, spatial::Spatial, temporal, threshold::Threshold};
use crate::{
    error::{Error, Result},
    model::OptionInfo,
    options::OptionSpec,
};

/// The group that the options stand in.
pub const CATEGORY: &str = "Depth Post-Processing";

const OFF_ON: &[&str] = &["Off", "On"];

const fn spec(id: &'static str, name: &'static str, range: [f64; 4], description: &'static str) -> OptionSpec {
    OptionSpec { description, ..OptionSpec::new(id, name, CATEGORY, range) }
}

const fn switch(id: &'static str, name: &'static str, description: &'static str) -> OptionSpec {
    OptionSpec { values: OFF_ON, ..spec(id, name, [0.0, 1.0, 1.0, 0.0], description) }
}

const DECIMATION: usize = 0;
const DECIMATION_MAGNITUDE: usize = 1;
const THRESHOLD: usize = 2;
const THRESHOLD_MIN: usize = 3;
const THRESHOLD_MAX: usize = 4;
const SPATIAL: usize = 5;
const SPATIAL_MAGNITUDE: usize = 6;
const SPATIAL_ALPHA: usize = 7;
const SPATIAL_DELTA: usize = 8;
const SPATIAL_HOLES_FILL: usize = 9;
const TEMPORAL: usize = 10;
const TEMPORAL_ALPHA: usize = 11;
const TEMPORAL_DELTA: usize = 12;
const TEMPORAL_PERSISTENCY: usize = 13;
const HOLE_FILLING: usize = 14;
const HOLE_FILLING_MODE: usize = 15;
const ALIGN_TO: usize = 16;

/// Ranges and defaults are those that librealsense 2.56's processing blocks report (`rs2_get_option_range`).
static SPECS: [OptionSpec; 17] = [
    switch("decimation-filter", "Decimation Filter", "Makes the depth picture smaller by a whole factor"),
    spec(
        "decimation-magnitude",
        "Decimation Magnitude",
        [1.0, 8.0, 1.0, 2.0],
        "The factor: medians of patches of 2 and 3, means of larger ones",
    ),
    switch("threshold-filter", "Threshold Filter", "Makes holes of what is nearer or farther than wanted"),
    OptionSpec {
        units: Some("meters"),
        ..spec("threshold-min", "Threshold Min Distance", [0.0, 16.0, 0.1, 0.1], "Nearest distance kept")
    },
    OptionSpec {
        units: Some("meters"),
        ..spec("threshold-max", "Threshold Max Distance", [0.0, 16.0, 0.1, 4.0], "Farthest distance kept")
    },
    switch("spatial-filter", "Spatial Filter", "Smooths surfaces and keeps edges"),
    spec("spatial-magnitude", "Spatial Magnitude", [1.0, 5.0, 1.0, 2.0], "Filtering iterations"),
    spec(
        "spatial-smooth-alpha",
        "Spatial Smooth Alpha",
        [0.25, 1.0, 0.01, 0.5],
        "Weight of the pixel itself in the moving average; 1 smooths nothing",
    ),
    spec(
        "spatial-smooth-delta",
        "Spatial Smooth Delta",
        [1.0, 50.0, 1.0, 20.0],
        "A step of this many units (1/32 pixel of disparity) or more is an edge",
    ),
    OptionSpec {
        values: &["Disabled", "2-pixel radius", "4-pixel radius", "8-pixel radius", "16-pixel radius", "Unlimited"],
        ..spec(
            "spatial-holes-fill",
            "Spatial Holes Fill",
            [0.0, 5.0, 1.0, 0.0],
            "How far the spatial filter fills holes from the side",
        )
    },
    switch("temporal-filter", "Temporal Filter", "Averages over frames where nothing moves"),
    spec(
        "temporal-smooth-alpha",
        "Temporal Smooth Alpha",
        [0.0, 1.0, 0.01, 0.4],
        "Weight of the new frame in the moving average; 1 smooths nothing",
    ),
    spec(
        "temporal-smooth-delta",
        "Temporal Smooth Delta",
        [1.0, 100.0, 1.0, 20.0],
        "A change of this many units (1/32 pixel of disparity) or more counts as motion",
    ),
    OptionSpec {
        values: &[
            "Disabled",
            "Valid in 8/8",
            "Valid in 2/last 3",
            "Valid in 2/last 4",
            "Valid in 2/8",
            "Valid in 1/last 2",
            "Valid in 1/last 5",
            "Valid in 1/8",
            "Always on",
        ],
        ..spec(
            "temporal-persistency",
            "Temporal Persistency",
            [0.0, 8.0, 1.0, 3.0],
            "How many of the last frames must have had depth for a hole to be bridged with the last value",
        )
    },
    switch("hole-filling-filter", "Hole Filling Filter", "Gives every hole the value of a neighbour"),
    OptionSpec {
        values: &["Fill from Left", "Farthest from around", "Nearest from around"],
        ..spec("hole-filling-mode", "Hole Filling Mode", [0.0, 2.0, 1.0, 1.0], "Which neighbour a hole takes")
    },
    OptionSpec {
        values: &["Off", "Color"],
        ..spec(
            "align-to",
            "Align To",
            [0.0, 1.0, 1.0, 0.0],
            "Shows depth as the colour camera sees it, pixel for pixel, in the colour picture's size",
        )
    },
];

/// The values of all options.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DepthSettings {
    values: [f64; SPECS.len()],
}

impl Default for DepthSettings {
    /// Everything is off, with the SDK's defaults behind the switches.
    fn default() -> Self {
        Self { values: std::array::from_fn(|at| SPECS[at].default) }
    }
}

fn find(id: &str) -> Option<usize> {
    SPECS.iter().position(|spec| spec.id == id)
}

impl DepthSettings {
    /// Every option with its present value.
    pub fn all(&self) -> impl Iterator<Item = OptionInfo> {
        (0..SPECS.len()).map(|at| self.info_at(at))
    }

    /// One option with its present value; `None` for an id that is not one of these.
    pub fn info(&self, id: &str) -> Option<OptionInfo> {
        find(id).map(|at| self.info_at(at))
    }

    /// Sets an option. A threshold set beyond the other one opens the other, as in the SDK.
    ///
    /// # Errors
    /// NotFound for an id that is not one of these, Invalid for a value that is out of range or between steps.
    pub fn set(&mut self, id: &str, value: f64) -> Result<()> {
        let at = find(id).ok_or_else(|| Error::not_found(format!("Unknown depth processing option '{id}'.")))?;
        SPECS[at].check(value)?;
        self.values[at] = value;
        if self.values[THRESHOLD_MIN] > self.values[THRESHOLD_MAX] {
            match at {
                THRESHOLD_MIN => self.values[THRESHOLD_MAX] = SPECS[THRESHOLD_MAX].max,
                _ => self.values[THRESHOLD_MIN] = SPECS[THRESHOLD_MIN].min,
            }
        }
        Ok(())
    }

    fn info_at(&self, at: usize) -> OptionInfo {
        SPECS[at].info(self.values[at])
    }

    fn on(&self, at: usize) -> bool {
        self.values[at] != 0.0
    }

    fn float(&self, at: usize) -> f32 {
        self.values[at] as f32
    }

    /// A value of an option that counts in whole steps from 0 or 1.
    fn whole(&self, at: usize) -> u32 {
        self.values[at].round() as u32
    }

    /// Whether a frame is changed at all.
    pub fn is_active(&self) -> bool {
        [DECIMATION, THRESHOLD, SPATIAL, TEMPORAL, HOLE_FILLING, ALIGN_TO].iter().any(|at| self.on(*at))
    }

    /// The decimation filter, if it is on.
    pub fn decimation(&self) -> Option<Decimation> {
        self.on(DECIMATION).then(|| Decimation { magnitude: self.whole(DECIMATION_MAGNITUDE) as usize })
    }

    /// The threshold filter, if it is on.
    pub fn threshold(&self) -> Option<Threshold> {
        let (min_m, max_m) = (self.float(THRESHOLD_MIN), self.float(THRESHOLD_MAX));
        self.on(THRESHOLD).then_some(Threshold { min_m, max_m })
    }

    /// The spatial filter, if it is on.
    pub fn spatial(&self) -> Option<Spatial> {
        self.on(SPATIAL).then(|| Spatial {
            magnitude: self.whole(SPATIAL_MAGNITUDE),
            alpha: self.float(SPATIAL_ALPHA),
            delta: self.float(SPATIAL_DELTA),
            fill_radius: Spatial::fill_radius(self.whole(SPATIAL_HOLES_FILL)),
        })
    }

    /// The temporal filter, if it is on.
    pub fn temporal(&self) -> Option<temporal::Parameters> {
        self.on(TEMPORAL).then(|| temporal::Parameters {
            alpha: self.float(TEMPORAL_ALPHA),
            delta: self.float(TEMPORAL_DELTA),
            persistency: self.whole(TEMPORAL_PERSISTENCY),
        })
    }

    /// The hole filling filter, if it is on.
    pub fn hole_filling(&self) -> Option<HoleFilling> {
        self.on(HOLE_FILLING).then(|| match self.whole(HOLE_FILLING_MODE) {
            0 => HoleFilling::FromLeft,
            1 => HoleFilling::FarthestAround,
            _ => HoleFilling::NearestAround,
        })
    }

    /// Whether depth is shown from the colour camera's place.
    pub fn aligns_to_color(&self) -> bool {
        self.on(ALIGN_TO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn every_option_is_off_at_first_and_takes_its_whole_range() {
        let settings = DepthSettings::default();
        assert!(!settings.is_active());
        for info in settings.all() {
            let mut settings = settings;
            assert_eq!(info.category, CATEGORY);
            assert!(!info.read_only && info.current_value == info.default_value);
            for value in [info.min_value.unwrap(), info.max_value.unwrap(), info.default_value] {
                settings.set(&info.option_id, value).unwrap();
                assert_eq!(settings.info(&info.option_id).unwrap().current_value, value, "{}", info.option_id);
            }
            if let Some(values) = &info.value_descriptions {
                assert_eq!(values.len() as f64, info.max_value.unwrap() - info.min_value.unwrap() + 1.0);
            }
        }
    }

    #[test]
    fn bad_values_are_refused_with_the_range() {
        let mut settings = DepthSettings::default();
        for (id, value) in [
            ("decimation-magnitude", 0.0),
            ("decimation-magnitude", 2.5),
            ("decimation-filter", 2.0),
            ("spatial-smooth-alpha", 0.2),
            ("temporal-persistency", 9.0),
            ("threshold-max", f64::NAN),
            ("align-to", -1.0),
        ] {
            let error = settings.set(id, value).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid);
            assert!(error.public().contains(id) && error.public().contains(" to "), "{error}");
        }
        assert_eq!(settings, DepthSettings::default());
        assert_eq!(settings.set("exposure", 1.0).unwrap_err().kind(), Kind::NotFound);
        assert!(settings.info("exposure").is_none());
    }

    #[test]
    fn steps_of_a_tenth_and_a_hundredth_are_exact_enough() {
        let mut settings = DepthSettings::default();
        for tenths in 0..=160 {
            settings.set("threshold-max", f64::from(tenths) / 10.0).unwrap();
        }
        for hundredths in 25..=100 {
            settings.set("spatial-smooth-alpha", f64::from(hundredths) / 100.0).unwrap();
        }
    }

    #[test]
    fn a_threshold_opens_the_other_one() {
        let mut settings = DepthSettings::default();
        let value = |settings: &DepthSettings, id| settings.info(id).unwrap().current_value;
        settings.set("threshold-min", 5.0).unwrap();
        assert_eq!(value(&settings, "threshold-max"), 16.0);
        settings.set("threshold-max", 2.0).unwrap();
        assert_eq!(value(&settings, "threshold-min"), 0.0);
    }

    #[test]
    fn switches_give_the_filters_their_values() {
        let mut settings = DepthSettings::default();
        assert_eq!(settings.spatial(), None);
        for (id, value) in [
            ("decimation-filter", 1.0),
            ("decimation-magnitude", 3.0),
            ("threshold-filter", 1.0),
            ("spatial-filter", 1.0),
            ("spatial-holes-fill", 3.0),
            ("temporal-filter", 1.0),
            ("hole-filling-filter", 1.0),
            ("align-to", 1.0),
        ] {
            settings.set(id, value).unwrap();
            assert!(settings.is_active());
        }
        assert_eq!(settings.decimation(), Some(Decimation { magnitude: 3 }));
        assert_eq!(settings.threshold(), Some(Threshold { min_m: 0.1, max_m: 4.0 }));
        assert_eq!(settings.spatial(), Some(Spatial { magnitude: 2, alpha: 0.5, delta: 20.0, fill_radius: 8 }));
        assert_eq!(settings.temporal(), Some(temporal::Parameters { alpha: 0.4, delta: 20.0, persistency: 3 }));
        assert_eq!(settings.hole_filling(), Some(HoleFilling::FarthestAround));
        assert!(settings.aligns_to_color());
    }
}
