//! Which values a property of an element accepts, and the sentence for a value that it does not. Sets nothing.

use gst::{glib, prelude::*};

use crate::core::text::nearest::nearest;

/// How many values of a property are listed at most.
const LISTED: usize = 12;

/// The class of a factory's elements; `None` where its plugin does not load, which GStreamer then says itself.
pub(super) fn class_of(factory: &gst::ElementFactory) -> Option<glib::object::ClassRef<'static, glib::Object>> {
    let loaded = factory.load().ok()?.downcast::<gst::ElementFactory>().ok()?;
    glib::Class::<glib::Object>::from_type(loaded.element_type())
}

/// Why a property does not take a value, in words that say what it does take, and the nearest that it takes. `None` where it
/// takes it, or nothing is known.
pub(in crate::media::gst) fn refusal(property: &glib::ParamSpec, value: &str) -> Option<(String, Option<String>)> {
    let parsed = glib::Value::deserialize_with_pspec(value, property);
    let kind = property.value_type();
    if let Some(class) = glib::EnumClass::with_type(kind) {
        return parsed.is_err().then(|| choose_from(class.values().iter().map(|value| value.nick()).collect(), value));
    }
    if let Some(class) = glib::FlagsClass::with_type(kind) {
        let wrong = |part: &&str| !class.values().iter().any(|flag| flag.nick() == *part || flag.name() == *part);
        let part = value.split('+').find(wrong).unwrap_or(value);
        return parsed.is_err().then(|| choose_from(class.values().iter().map(|value| value.nick()).collect(), part));
    }
    if kind == glib::Type::BOOL {
        return parsed.is_err().then(|| choose_from(vec!["true", "false"], value));
    }
    let (what, least, most) = range(property)?;
    let why = || (format!("it takes {what} from {least} to {most}"), None);
    let Ok(parsed) = parsed else { return Some(why()) };
    // GLib would say so on the terminal, keep the old value, and go on.
    let lax = property.flags().contains(glib::ParamFlags::LAX_VALIDATION);
    (!lax && !within(property, &parsed)).then(why)
}

fn choose_from(values: Vec<&str>, value: &str) -> (String, Option<String>) {
    let near = nearest(value, values.iter().copied());
    let more = if values.len() > LISTED { ", …" } else { "" };
    let listed = values.iter().take(LISTED).copied().collect::<Vec<_>>().join(", ");
    let meant = near.map_or(String::new(), |near| format!("did you mean {near}? "));
    (format!("{meant}it takes {listed}{more}"), near.map(ToOwned::to_owned))
}

/// What a number may be, for each of GLib's kinds of numbers.
macro_rules! numbers {
    ($($spec:ident $type:ty: $words:literal),* $(,)?) => {
        /// What kind of number a property takes, its least and its greatest.
        fn range(property: &glib::ParamSpec) -> Option<(&'static str, String, String)> {
            $(if let Some(spec) = property.downcast_ref::<glib::$spec>() {
                return Some(($words, spec.minimum().to_string(), spec.maximum().to_string()));
            })*
            None
        }

        /// Whether a number lies in a property's range.
        fn within(property: &glib::ParamSpec, value: &glib::Value) -> bool {
            $(if let (Some(spec), Ok(value)) = (property.downcast_ref::<glib::$spec>(), value.get::<$type>()) {
                return (spec.minimum()..=spec.maximum()).contains(&value);
            })*
            true
        }
    };
}

numbers! {
    ParamSpecInt i32: "whole numbers",
    ParamSpecUInt u32: "whole numbers",
    ParamSpecInt64 i64: "whole numbers",
    ParamSpecUInt64 u64: "whole numbers",
    ParamSpecFloat f32: "numbers",
    ParamSpecDouble f64: "numbers",
}
