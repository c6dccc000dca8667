//! A sensor's options.

use std::{collections::BTreeMap, sync::LazyLock};

use realsense_sys as sys;

use super::{Owned, Result, Sensor, ffi::text};

/// One of the SDK's options (`rs2_option`). Newer libraries have more than the headers that this was built with; they are
/// used like the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OptionId(pub(super) sys::rs2_option);

/// What values an option takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OptionRange {
    /// Least value.
    pub min: f32,
    /// Greatest value.
    pub max: f32,
    /// Step between values, 0 for any.
    pub step: f32,
    /// Value after a reset.
    pub default: f32,
}

impl OptionId {
    /// Metres per unit of Z16.
    pub const DEPTH_UNITS: Self = Self(sys::rs2_option_RS2_OPTION_DEPTH_UNITS);

    /// The option of this name in lower case with underscores ("enable_auto_exposure"), of those that the library knows.
    pub fn named(sdk: super::Sdk, id: &str) -> Option<Self> {
        static NAMES: LazyLock<BTreeMap<String, OptionId>> = LazyLock::new(|| {
            let Some(api) = super::library::loaded() else { return BTreeMap::new() };
            // The SDK says "UNKNOWN" for numbers past its end. 400 is far past every library's.
            (0..400)
                .filter_map(|raw| {
                    // SAFETY: the function takes any number and gives a static string.
                    let name = unsafe { text((api.rs2_option_to_string)(raw)) };
                    (name != "UNKNOWN" && !name.is_empty()).then(|| (slug(&name), OptionId(raw)))
                })
                .collect()
        });
        let _loaded = sdk;
        NAMES.get(id).copied()
    }
}

/// An option's name as an id: "Enable Auto Exposure" is "enable_auto_exposure".
fn slug(name: &str) -> String {
    name.trim().to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_")
}

impl Sensor {
    /// The options that it has, in its order.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn options(&self) -> Result<Vec<OptionId>> {
        let api = self.api();
        // SAFETY: a sensor is an options container (`rs2_options` is its base); the sensor is alive.
        let list = api.call(|error| unsafe { (api.rs2_get_options_list)(self.as_options(), error) })?;
        let list = Owned::new(api, list, api.rs2_delete_options_list, "rs2_get_options_list")?;
        // SAFETY: the list is alive.
        let count = api.call(|error| unsafe { (api.rs2_get_options_list_size)(list.raw(), error) })?;
        // SAFETY: the list is alive and has that many.
        (0..count)
            .map(|i| api.call(|error| OptionId(unsafe { (api.rs2_get_option_from_list)(list.raw(), i, error) })))
            .collect()
    }

    /// Whether it has an option now: some come and go with others.
    pub fn has_option(&self, option: OptionId) -> bool {
        let api = self.api();
        // SAFETY: the sensor is alive.
        let has = api.call(|error| unsafe { (api.rs2_supports_option)(self.as_options(), option.0, error) });
        has.is_ok_and(|has| has != 0)
    }

    /// An option's name as people read it.
    pub fn option_name(&self, option: OptionId) -> String {
        let api = self.api();
        // SAFETY: the sensor is alive; the string lives as long as the sensor and is copied at once.
        let name = api.call(|error| unsafe { text((api.rs2_get_option_name)(self.as_options(), option.0, error)) });
        name.unwrap_or_default()
    }

    /// An option's name as an id.
    pub fn option_slug(&self, option: OptionId) -> String {
        slug(&self.option_name(option))
    }

    /// What an option does, in the SDK's words.
    pub fn option_description(&self, option: OptionId) -> Option<String> {
        let api = self.api();
        // SAFETY: as above.
        let words =
            api.call(|error| unsafe { text((api.rs2_get_option_description)(self.as_options(), option.0, error)) });
        words.ok().filter(|words| !words.is_empty())
    }

    /// The name of one of an option's values, where it has names.
    pub fn option_value_description(&self, option: OptionId, value: f32) -> Option<String> {
        let api = self.api();
        let options = self.as_options();
        // SAFETY: as above; null when the value has no name.
        let words =
            api.call(|error| unsafe { text((api.rs2_get_option_value_description)(options, option.0, value, error)) });
        words.ok().filter(|words| !words.is_empty())
    }

    /// Whether an option can only be read now.
    pub fn option_is_read_only(&self, option: OptionId) -> bool {
        let api = self.api();
        // SAFETY: the sensor is alive.
        let only = api.call(|error| unsafe { (api.rs2_is_option_read_only)(self.as_options(), option.0, error) });
        only.is_ok_and(|only| only != 0)
    }

    /// An option's range.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn option_range(&self, option: OptionId) -> Result<OptionRange> {
        let api = self.api();
        let mut range = OptionRange { min: 0.0, max: 0.0, step: 0.0, default: 0.0 };
        // SAFETY: the sensor is alive; the pointers are to fields for the call to fill.
        api.call(|error| unsafe {
            let (min, max) = (&raw mut range.min, &raw mut range.max);
            let (step, default) = (&raw mut range.step, &raw mut range.default);
            (api.rs2_get_option_range)(self.as_options(), option.0, min, max, step, default, error);
        })?;
        Ok(range)
    }

    /// An option's value.
    ///
    /// # Errors
    /// What the SDK says.
    pub fn option(&self, option: OptionId) -> Result<f32> {
        let api = self.api();
        // SAFETY: the sensor is alive.
        api.call(|error| unsafe { (api.rs2_get_option)(self.as_options(), option.0, error) })
    }

    /// Sets an option.
    ///
    /// # Errors
    /// What the SDK says: out of range, read-only, gone.
    pub fn set_option(&self, option: OptionId, value: f32) -> Result<()> {
        let api = self.api();
        // SAFETY: the sensor is alive.
        api.call(|error| unsafe { (api.rs2_set_option)(self.as_options(), option.0, value, error) })
    }
}

#[cfg(test)]
mod tests {
    use super::slug;

    #[test]
    fn names_become_ids() {
        assert_eq!(slug("Enable Auto Exposure"), "enable_auto_exposure");
        assert_eq!(slug("Asic Temperature"), "asic_temperature");
        assert_eq!(slug("Auto-Exposure Mode"), "auto_exposure_mode");
    }
}
