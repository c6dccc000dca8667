//! What the post-processing is set to, as options of the depth sensor: one table of ids, ranges and defaults (those of the
//! SDK's processing blocks), checked when set and read back like the camera's own options.

use super::{decimation::Decimation, holes::HoleFilling, spatial::Spatial, temporal, threshold::Threshold};
use crate::{
    error::{Error, Result},
    model::OptionInfo,
    options::OptionSpec,
};

/// The group that the options stand in.
pub const CATEGORY: &str = "Post-Processing";

/// An option of the filter whose switch has this name.
const fn spec(
    filter: &'static str,
    id: &'static str,
    name: &'static str,
    range: [f64; 4],
    description: &'static str,
) -> OptionSpec {
    OptionSpec { description, filter: Some(filter), ..OptionSpec::new(id, name, CATEGORY, range) }
}

/// A filter's switch.
const fn switch(id: &'static str, filter: &'static str, description: &'static str) -> OptionSpec {
    spec(filter, id, filter, [0.0, 1.0, 1.0, 0.0], description)
}

const DECIMATION_FILTER: &str = "Decimation Filter";
const THRESHOLD_FILTER: &str = "Threshold Filter";
const SPATIAL_FILTER: &str = "Spatial Filter";
const TEMPORAL_FILTER: &str = "Temporal Filter";
const HOLE_FILLING_FILTER: &str = "Hole Filling Filter";

/// The same options as clients of the camera's vendor name them: `PP_`, the filter, and the option of the SDK's block, or
/// `Enabled`; here in lower case.
const ALIASES: [(&str, &str); 16] = [
    ("pp_decimation_filter_enabled", "decimation_filter"),
    ("pp_decimation_filter_filter_magnitude", "decimation_magnitude"),
    ("pp_threshold_filter_enabled", "threshold_filter"),
    ("pp_threshold_filter_min_distance", "threshold_min"),
    ("pp_threshold_filter_max_distance", "threshold_max"),
    ("pp_spatial_filter_enabled", "spatial_filter"),
    ("pp_spatial_filter_filter_magnitude", "spatial_magnitude"),
    ("pp_spatial_filter_filter_smooth_alpha", "spatial_smooth_alpha"),
    ("pp_spatial_filter_filter_smooth_delta", "spatial_smooth_delta"),
    ("pp_spatial_filter_holes_fill", "spatial_holes_fill"),
    ("pp_temporal_filter_enabled", "temporal_filter"),
    ("pp_temporal_filter_filter_smooth_alpha", "temporal_smooth_alpha"),
    ("pp_temporal_filter_filter_smooth_delta", "temporal_smooth_delta"),
    ("pp_temporal_filter_holes_fill", "temporal_persistency"),
    ("pp_hole_filling_filter_enabled", "hole_filling_filter"),
    ("pp_hole_filling_filter_holes_fill", "hole_filling_mode"),
];

/// The option that a vendor's client means by this id (in lower case, with underscores).
pub fn alias(id: &str) -> Option<&'static str> {
    ALIASES.iter().find(|(alias, _)| *alias == id).map(|(_, ours)| *ours)
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
    switch("decimation_filter", DECIMATION_FILTER, "Makes the depth picture smaller by a whole factor"),
    spec(
        DECIMATION_FILTER,
        "decimation_magnitude",
        "Decimation Magnitude",
        [1.0, 8.0, 1.0, 2.0],
        "The factor: medians of patches of 2 and 3, means of larger ones",
    ),
    switch("threshold_filter", THRESHOLD_FILTER, "Makes holes of what is nearer or farther than wanted"),
    OptionSpec {
        units: Some("meters"),
        ..spec(
            THRESHOLD_FILTER,
            "threshold_min",
            "Threshold Min Distance",
            [0.0, 16.0, 0.1, 0.1],
            "Nearest distance kept",
        )
    },
    OptionSpec {
        units: Some("meters"),
        ..spec(
            THRESHOLD_FILTER,
            "threshold_max",
            "Threshold Max Distance",
            [0.0, 16.0, 0.1, 4.0],
            "Farthest distance kept",
        )
    },
    switch("spatial_filter", SPATIAL_FILTER, "Smooths surfaces and keeps edges"),
    spec(SPATIAL_FILTER, "spatial_magnitude", "Spatial Magnitude", [1.0, 5.0, 1.0, 2.0], "Filtering iterations"),
    spec(
        SPATIAL_FILTER,
        "spatial_smooth_alpha",
        "Spatial Smooth Alpha",
        [0.25, 1.0, 0.01, 0.5],
        "Weight of the pixel itself in the moving average; 1 smooths nothing",
    ),
    spec(
        SPATIAL_FILTER,
        "spatial_smooth_delta",
        "Spatial Smooth Delta",
        [1.0, 50.0, 1.0, 20.0],
        "A step of this many units (1/32 pixel of disparity) or more is an edge",
    ),
    OptionSpec {
        values: &["Disabled", "2-pixel radius", "4-pixel radius", "8-pixel radius", "16-pixel radius", "Unlimited"],
        ..spec(
            SPATIAL_FILTER,
            "spatial_holes_fill",
            "Spatial Holes Fill",
            [0.0, 5.0, 1.0, 0.0],
            "How far the spatial filter fills holes from the side",
        )
    },
    switch("temporal_filter", TEMPORAL_FILTER, "Averages over frames where nothing moves"),
    spec(
        TEMPORAL_FILTER,
        "temporal_smooth_alpha",
        "Temporal Smooth Alpha",
        [0.0, 1.0, 0.01, 0.4],
        "Weight of the new frame in the moving average; 1 smooths nothing",
    ),
    spec(
        TEMPORAL_FILTER,
        "temporal_smooth_delta",
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
            TEMPORAL_FILTER,
            "temporal_persistency",
            "Temporal Persistency",
            [0.0, 8.0, 1.0, 3.0],
            "How many of the last frames must have had depth for a hole to be bridged with the last value",
        )
    },
    switch("hole_filling_filter", HOLE_FILLING_FILTER, "Gives every hole the value of a neighbour"),
    OptionSpec {
        values: &["Fill from Left", "Farthest from around", "Nearest from around"],
        ..spec(
            HOLE_FILLING_FILTER,
            "hole_filling_mode",
            "Hole Filling Mode",
            [0.0, 2.0, 1.0, 1.0],
            "Which neighbour a hole takes",
        )
    },
    OptionSpec {
        description: "Shows depth as the colour camera sees it, pixel for pixel, in the colour picture's size",
        ..OptionSpec::new("align_to", "Align To Color", CATEGORY, [0.0, 1.0, 1.0, 0.0])
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
    /// NotFound for an id that is not one of these, Invalid for a value that is out of range.
    pub fn set(&mut self, id: &str, value: f64) -> Result<()> {
        let at = find(id).ok_or_else(|| Error::not_found(format!("Unknown depth processing option '{id}'.")))?;
        self.values[at] = SPECS[at].accept(value)?;
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
            assert_eq!(info.filter_name.is_none(), info.option_id == "align_to");
            if let Some(values) = &info.value_descriptions {
                assert!(values.len() > 2, "off and on need no names");
                assert_eq!(values.len() as f64, info.max_value.unwrap() - info.min_value.unwrap() + 1.0);
            }
        }
    }

    #[test]
    fn bad_values_are_refused_with_the_range() {
        let mut settings = DepthSettings::default();
        for (id, value) in [
            ("decimation_magnitude", 0.0),
            ("decimation_filter", 2.0),
            ("spatial_smooth_alpha", 0.2),
            ("temporal_persistency", 9.0),
            ("threshold_max", f64::NAN),
            ("align_to", -1.0),
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
            settings.set("threshold_max", f64::from(tenths) / 10.0).unwrap();
        }
        for hundredths in 25..=100 {
            settings.set("spatial_smooth_alpha", f64::from(hundredths) / 100.0).unwrap();
        }
    }

    #[test]
    fn a_value_between_steps_goes_to_the_nearest() {
        let mut settings = DepthSettings::default();
        settings.set("decimation_magnitude", 2.6).unwrap();
        assert_eq!(settings.info("decimation_magnitude").unwrap().current_value, 3.0);
    }

    #[test]
    fn every_option_of_a_filter_has_the_vendors_name() {
        let meant: Vec<_> = ALIASES.iter().map(|(_, ours)| *ours).collect();
        let ours: Vec<_> = SPECS.iter().filter(|spec| spec.filter.is_some()).map(|spec| spec.id).collect();
        assert_eq!(meant, ours);
        for ((alias, _), spec) in ALIASES.iter().zip(&SPECS) {
            let filter = spec.filter.unwrap().to_lowercase().replace(' ', "_");
            assert!(alias.starts_with(&format!("pp_{filter}_")), "{alias}");
        }
        assert_eq!(alias("pp_spatial_filter_enabled"), Some("spatial_filter"));
        assert_eq!(alias("spatial_filter"), None);
    }

    #[test]
    fn a_threshold_opens_the_other_one() {
        let mut settings = DepthSettings::default();
        let value = |settings: &DepthSettings, id| settings.info(id).unwrap().current_value;
        settings.set("threshold_min", 5.0).unwrap();
        assert_eq!(value(&settings, "threshold_max"), 16.0);
        settings.set("threshold_max", 2.0).unwrap();
        assert_eq!(value(&settings, "threshold_min"), 0.0);
    }

    #[test]
    fn switches_give_the_filters_their_values() {
        let mut settings = DepthSettings::default();
        assert_eq!(settings.spatial(), None);
        for (id, value) in [
            ("decimation_filter", 1.0),
            ("decimation_magnitude", 3.0),
            ("threshold_filter", 1.0),
            ("spatial_filter", 1.0),
            ("spatial_holes_fill", 3.0),
            ("temporal_filter", 1.0),
            ("hole_filling_filter", 1.0),
            ("align_to", 1.0),
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
