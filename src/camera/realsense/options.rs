//! A sensor's options as the API shows them, and the checks before one is set.

use std::collections::BTreeMap;

use crate::{
    core::text::nearest::nearest,
    error::{Error, Result},
    librealsense::{OptionId, OptionRange, Sensor},
    model::OptionInfo,
};

/// Most values of an option that are asked for their names; more is a scale, not a choice.
const MOST_NAMED: f32 = 32.0;

/// Options of the Device group, by a part of their id; the others are found by what they say themselves.
const DEVICE: [&str; 8] =
    ["temperature", "global-time", "error-polling", "frames-queue", "inter-cam", "thermal", "trigger", "voltage"];
/// Options of the stereo matcher and the projector.
const STEREO: [&str; 9] =
    ["laser", "emitter", "visual-preset", "stereo", "baseline", "depth", "disparity", "hdr", "sequence"];

/// Every option that a sensor has now. One that cannot be read is left out.
pub(super) fn all(sensor: &Sensor) -> Vec<OptionInfo> {
    let ids = sensor.options().unwrap_or_default();
    ids.into_iter().filter(|id| sensor.has_option(*id)).filter_map(|id| info(sensor, id).ok()).collect()
}

/// One option by its id.
///
/// # Errors
/// NotFound, Unavailable when the device does not answer.
pub(super) fn get(sensor: &Sensor, option: &str) -> Result<OptionInfo> {
    let id = find(sensor, option)?;
    info(sensor, id)
        .map_err(|error| Error::unavailable(format!("The option {option} cannot be read: {}", error.message)))
}

/// Sets an option by its id.
///
/// # Errors
/// NotFound, Invalid when read-only or out of range, Unavailable when the device refuses.
pub(super) fn set(sensor: &Sensor, option: &str, value: f64) -> Result<()> {
    let id = find(sensor, option)?;
    let name = sensor.option_name(id);
    if sensor.option_is_read_only(id) {
        return Err(Error::invalid(format!("{name} can only be read.")));
    }
    let refused = |error: crate::librealsense::SdkError| {
        Error::unavailable(format!("{name} cannot be set to {value} now: {}", error.message))
    };
    let range = sensor.option_range(id).map_err(refused)?;
    check(&name, range, value)?;
    sensor.set_option(id, value as f32).map_err(refused)
}

/// Refuses what is not in the range. A value between two steps is the device's to round.
fn check(name: &str, range: OptionRange, value: f64) -> Result<()> {
    let OptionRange { min, max, step, .. } = range;
    if value.is_finite() && (f64::from(min)..=f64::from(max)).contains(&value) {
        return Ok(());
    }
    let steps = if step > 0.0 { format!(" in steps of {}", decimal(step)) } else { String::new() };
    Err(Error::invalid(format!("{name} takes {} to {}{steps}; got {value}.", decimal(min), decimal(max))))
}

fn find(sensor: &Sensor, option: &str) -> Result<OptionId> {
    let ids = sensor.options().unwrap_or_default();
    let has = |id: &OptionId| sensor.has_option(*id) && sensor.option_slug(*id) == option;
    ids.iter().copied().find(has).ok_or_else(|| {
        let names: Vec<_> = ids.iter().map(|id| sensor.option_slug(*id)).collect();
        let near = nearest(option, names.iter().map(String::as_str));
        let shown: String = option.chars().take(60).collect();
        let hint = near.map(|near| format!(" Did you mean '{near}'?")).unwrap_or_default();
        Error::not_found(format!("This sensor has no option '{shown}'.{hint}"))
    })
}

fn info(sensor: &Sensor, id: OptionId) -> crate::librealsense::Result<OptionInfo> {
    let range = sensor.option_range(id)?;
    let (name, option_id) = (sensor.option_name(id), sensor.option_slug(id));
    Ok(OptionInfo {
        current_value: decimal(sensor.option(id)?),
        category: category(&option_id).into(),
        description: sensor.option_description(id),
        default_value: decimal(range.default),
        min_value: Some(decimal(range.min)),
        max_value: Some(decimal(range.max)),
        step: Some(decimal(range.step)),
        units: units(&option_id).map(Into::into),
        read_only: sensor.option_is_read_only(id),
        value_descriptions: value_descriptions(sensor, id, range),
        option_id,
        name,
    })
}

fn value_descriptions(sensor: &Sensor, id: OptionId, range: OptionRange) -> Option<BTreeMap<String, String>> {
    let OptionRange { min, max, step, .. } = range;
    if step < 1.0 || (max - min) / step > MOST_NAMED {
        return None;
    }
    let values = std::iter::successors(Some(min), |value| Some(value + step)).take_while(|value| *value <= max);
    let named: BTreeMap<_, _> =
        values.filter_map(|value| Some((value.to_string(), sensor.option_value_description(id, value)?))).collect();
    (!named.is_empty()).then_some(named)
}

/// The number that a person wrote for this f32: 0.001, not 0.0010000000474974513.
fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| value.into())
}

fn category(id: &str) -> &'static str {
    let any = |words: &[&str]| words.iter().any(|word| id.contains(word));
    if any(&DEVICE) {
        "Device"
    } else if any(&STEREO) {
        "Stereo and Emitter"
    } else {
        "Basic Controls"
    }
}

/// Units that librealsense's documentation gives; the SDK itself does not say them.
fn units(id: &str) -> Option<&'static str> {
    match id {
        "depth-units" => Some("meters"),
        "stereo-baseline" => Some("millimeters"),
        "laser-power" => Some("milliwatts"),
        _ if id.contains("temperature") => Some("celsius"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_outside_the_range_are_refused_with_it() {
        let range = OptionRange { min: 0.0, max: 360.0, step: 30.0, default: 150.0 };
        for good in [0.0, 150.0, 360.0] {
            check("Laser Power", range, good).unwrap();
        }
        for bad in [-1.0, 361.0, f64::NAN, f64::INFINITY] {
            let error = check("Laser Power", range, bad).unwrap_err();
            assert!(error.public().contains("Laser Power takes 0 to 360 in steps of 30"), "{error}");
        }
    }

    #[test]
    fn numbers_are_the_ones_people_wrote() {
        assert_eq!(decimal(0.001), 0.001);
        assert_eq!(decimal(8500.0), 8500.0);
        assert_eq!(category("asic-temperature"), "Device");
        assert_eq!(category("emitter-enabled"), "Stereo and Emitter");
        assert_eq!(category("exposure"), "Basic Controls");
    }
}
