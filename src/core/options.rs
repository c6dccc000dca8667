//! A table of options as librealsense has them: ids, ranges, steps and names of values. Owns what every such table does with a
//! value; the values themselves and what they mean are the table's owner's.

use crate::{
    error::{Error, Result},
    model::OptionInfo,
};

/// One row: an option as the SDK describes it (`rs2_get_option_range`).
#[derive(Debug, Clone, Copy)]
pub struct OptionSpec {
    /// As the API names it.
    pub id: &'static str,
    /// As people read it.
    pub name: &'static str,
    /// What it does.
    pub description: &'static str,
    /// Least value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Values lie whole steps from `min`.
    pub step: f64,
    /// The value after a reset.
    pub default: f64,
    /// The unit of the value.
    pub units: Option<&'static str>,
    /// The group it stands in.
    pub category: &'static str,
    /// It only tells.
    pub read_only: bool,
    /// The post-processing filter that it belongs to.
    pub filter: Option<&'static str>,
    /// Names of the values from `min` on. None for off and on.
    pub values: &'static [&'static str],
}

impl OptionSpec {
    /// An option with least and largest value, step and default.
    pub const fn new(id: &'static str, name: &'static str, category: &'static str, range: [f64; 4]) -> Self {
        let [min, max, step, default] = range;
        let (description, units, read_only, filter, values) = ("", None, false, None, &[] as &[&str]);
        Self { id, name, description, min, max, step, default, units, category, read_only, filter, values }
    }

    /// The value of the option that is nearest to this one.
    ///
    /// # Errors
    /// Invalid, with the range: it can only be read, or the value is out of range.
    pub fn accept(&self, value: f64) -> Result<f64> {
        let Self { id, min, max, step, .. } = self;
        if self.read_only {
            return Err(Error::invalid(format!("Option '{id}' can only be read.")));
        }
        on_step(*min, *max, *step, value).ok_or_else(|| {
            Error::invalid(format!("Option '{id}' takes {min} to {max} in steps of {step}; got {value}."))
        })
    }

    /// The option as the API shows it, with its present value.
    pub fn info(&self, current_value: f64) -> OptionInfo {
        let names = || {
            let named = self.values.iter().enumerate();
            named.map(|(at, name)| (format!("{}", self.min + at as f64), (*name).into())).collect()
        };
        OptionInfo {
            option_id: self.id.into(),
            name: self.name.into(),
            description: Some(self.description.into()),
            current_value,
            default_value: self.default,
            min_value: Some(self.min),
            max_value: Some(self.max),
            step: Some(self.step),
            units: self.units.map(Into::into),
            read_only: self.read_only,
            category: self.category.into(),
            filter_name: self.filter.map(Into::into),
            value_descriptions: (!self.values.is_empty()).then(names),
        }
    }
}

/// The value within a range that lies whole steps from its least and is nearest to this one; `None` for one outside. Clients send
/// what a slider gives them, which need not lie on a step.
pub fn on_step(min: f64, max: f64, step: f64, value: f64) -> Option<f64> {
    // Written so that NaN is refused, too.
    if !(min..=max).contains(&value) {
        return None;
    }
    if step <= 0.0 {
        return Some(value);
    }
    // The last step may end before the range does.
    let steps = ((value - min) / step).round().min(((max - min) / step + 1e-6).floor());
    // Through its text, so that 0.1 + 7 * 0.1 reads 0.8.
    let exact = min + steps * step;
    Some(format!("{exact:.6}").parse().unwrap_or(exact))
}

#[cfg(test)]
mod tests {
    use super::on_step;

    #[test]
    fn a_value_goes_to_the_nearest_step() {
        for (value, expected) in [(0.0, 0.0), (14.9, 0.0), (15.1, 30.0), (31.0, 30.0), (359.0, 360.0), (360.0, 360.0)] {
            assert_eq!(on_step(0.0, 360.0, 30.0, value), Some(expected), "{value}");
        }
        for outside in [-0.1, 360.1, f64::NAN, f64::INFINITY] {
            assert_eq!(on_step(0.0, 360.0, 30.0, outside), None);
        }
        assert_eq!(on_step(1.0, 10.0, 4.0, 10.0), Some(9.0), "the last step that lies within");
        assert_eq!(on_step(0.0, 1.0, 0.0, 0.3), Some(0.3), "without steps, as it is");
        for tenths in 0..=160 {
            let value = f64::from(tenths) / 10.0;
            assert_eq!(on_step(0.0, 16.0, 0.1, value), Some(value));
        }
        assert_eq!(on_step(0.25, 1.0, 0.01, 0.333), Some(0.33));
    }
}
