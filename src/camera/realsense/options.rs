//! A sensor's options as the API shows them, and the checks before one is set.

use std::collections::BTreeMap;

use crate::{
    core::{options::on_step, text::nearest::nearest},
    error::{Error, Result},
    librealsense::{OptionId, OptionRange, Sensor},
    model::OptionInfo,
};

/// Most values of an option that are asked for their names; more is a scale, not a choice.
const MOST_NAMED: f32 = 32.0;

/// What the server itself sets while it streams, so that no client may: how many frames the SDK keeps for a queue that it does not use.
const OWNED: [&str; 1] = ["frames_queue_size"];

/// Options of the Device group, by a part of their id; the others are found by what they say themselves.
const DEVICE: [&str; 7] = ["temperature", "global_time", "error_polling", "inter_cam", "thermal", "trigger", "voltage"];
/// Options of the stereo matcher and the projector.
const STEREO: [&str; 9] =
    ["laser", "emitter", "visual_preset", "stereo", "baseline", "depth", "disparity", "hdr", "sequence"];

/// Every option that a sensor has now. One that cannot be read is left out.
pub(super) fn all(sensor: &Sensor) -> Vec<OptionInfo> {
    offered(sensor).filter_map(|id| info(sensor, id).ok()).collect()
}

/// What of a sensor's options clients may know of.
fn offered(sensor: &Sensor) -> impl Iterator<Item = OptionId> {
    let ids = sensor.options().unwrap_or_default();
    ids.into_iter().filter(|id| sensor.has_option(*id) && !OWNED.contains(&sensor.option_slug(*id).as_str()))
}

/// The value of every option that can be read, by id.
pub(super) fn values(sensor: &Sensor) -> Vec<(String, f64)> {
    offered(sensor).filter_map(|id| Some((sensor.option_slug(id), decimal(sensor.option(id).ok()?)))).collect()
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

/// Sets an option by its id, to the step that is nearest to the value. Gives that.
///
/// # Errors
/// NotFound, Invalid when read-only or out of range, Unavailable when the device refuses.
pub(super) fn set(sensor: &Sensor, option: &str, value: f64) -> Result<f64> {
    let id = find(sensor, option)?;
    let name = sensor.option_name(id);
    if sensor.option_is_read_only(id) {
        return Err(Error::invalid(format!("{name} can only be read.")));
    }
    let refused = |error: crate::librealsense::SdkError| {
        Error::unavailable(format!("{name} cannot be set to {value} now: {}", error.message))
    };
    let range = sensor.option_range(id).map_err(refused)?;
    let value = accept(&name, range, value)?;
    sensor.set_option(id, value as f32).map_err(refused)?;
    Ok(value)
}

/// The step that is nearest to a value.
///
/// # Errors
/// Invalid for a value outside the range.
fn accept(name: &str, range: OptionRange, value: f64) -> Result<f64> {
    let (min, max, step) = (decimal(range.min), decimal(range.max), decimal(range.step));
    on_step(min, max, step, value).ok_or_else(|| {
        let steps = if step > 0.0 { format!(" in steps of {step}") } else { String::new() };
        Error::invalid(format!("{name} takes {min} to {max}{steps}; got {value}."))
    })
}

fn find(sensor: &Sensor, option: &str) -> Result<OptionId> {
    let ids: Vec<_> = offered(sensor).collect();
    ids.iter().copied().find(|id| sensor.option_slug(*id) == option).ok_or_else(|| {
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
        filter_name: None,
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
    let words = ["off", "on", "disabled", "enabled", "disable", "enable", "false", "true"];
    let is_switch =
        min == 0.0 && max == 1.0 && named.values().all(|name| words.contains(&name.to_lowercase().as_str()));
    (!named.is_empty() && !is_switch).then_some(named)
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
        "depth_units" => Some("meters"),
        "stereo_baseline" => Some("millimeters"),
        "laser_power" => Some("milliwatts"),
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
            assert_eq!(accept("Laser Power", range, good).unwrap(), good);
        }
        assert_eq!(accept("Laser Power", range, 31.0).unwrap(), 30.0);
        for bad in [-1.0, 361.0, f64::NAN, f64::INFINITY] {
            let error = accept("Laser Power", range, bad).unwrap_err();
            assert!(error.public().contains("Laser Power takes 0 to 360 in steps of 30"), "{error}");
        }
    }

    #[test]
    fn numbers_are_the_ones_people_wrote() {
        assert_eq!(decimal(0.001), 0.001);
        assert_eq!(decimal(8500.0), 8500.0);
        assert_eq!(category("asic_temperature"), "Device");
        assert_eq!(category("emitter_enabled"), "Stereo and Emitter");
        assert_eq!(category("exposure"), "Basic Controls");
    }
}
