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
    /// Names of the values from `min` on.
    pub values: &'static [&'static str],
}

impl OptionSpec {
    /// An option with least and largest value, step and default.
    pub const fn new(id: &'static str, name: &'static str, category: &'static str, range: [f64; 4]) -> Self {
        let [min, max, step, default] = range;
        let (description, units, read_only, values) = ("", None, false, &[] as &[&str]);
        Self { id, name, description, min, max, step, default, units, category, read_only, values }
    }

    /// Refuses a value that the option does not take.
    ///
    /// # Errors
    /// Invalid, with the range: it can only be read, or the value is out of range or between two steps.
    pub fn check(&self, value: f64) -> Result<()> {
        let Self { id, min, max, step, .. } = self;
        if self.read_only {
            return Err(Error::invalid(format!("Option '{id}' can only be read.")));
        }
        let steps = (value - min) / step;
        if (*min..=*max).contains(&value) && (steps - steps.round()).abs() <= 1e-6 {
            return Ok(());
        }
        Err(Error::invalid(format!("Option '{id}' takes {min} to {max} in steps of {step}; got {value}.")))
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
            value_descriptions: (!self.values.is_empty()).then(names),
        }
    }
}
