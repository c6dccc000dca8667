//! The properties of elements as JSON: reading them, telling which differ from their defaults, checking and setting them.
//! Owns nothing. Every call may run code of the element's, so never from the control thread.

use std::collections::BTreeMap;

use gst::{glib, prelude::*};
use serde_json::Value;

use crate::{
    core::text::nearest,
    error::{Error, Result},
    model::PropertyInfo,
};

/// Words in a property's name that say that its value is nobody's business: `dtlsdec`'s `pem` holds a private key, sinks and
/// sources have passwords.
const SECRET: [&str; 9] =
    ["pem", "password", "passwd", "pw", "passphrase", "secret", "token", "credentials", "cookies"];
/// What is shown in place of a secret, which is not even read: `dtlsdec` says that its `decoder-key` is caps, and gives a
/// buffer.
const HIDDEN: &str = "(hidden)";
/// Characters of a text that are shown.
const LONGEST: usize = 500;

/// A property's value and how it may be changed, for every readable property but objects and pointers.
pub(in crate::media::gst) fn all(
    element: &gst::Element,
    settable: impl Fn(&str) -> bool,
) -> BTreeMap<String, PropertyInfo> {
    let listed = element.list_properties();
    let readable = listed.iter().filter(|property| is_readable(property));
    let described = readable.filter_map(|property| {
        let name = property.name().to_owned();
        let value = if is_secret(&name) { HIDDEN.into() } else { read(element, property)? };
        let mutable_playing = is_mutable(property);
        let (min, max) = range(property);
        let info = PropertyInfo {
            value,
            default: json(property.default_value()).map(shown).unwrap_or_default(),
            kind: property.value_type().name().to_owned(),
            description: property.blurb().unwrap_or_default().to_owned(),
            min,
            max,
            values: nicks(property.value_type()),
            mutable_playing,
            settable: mutable_playing && settable(&name),
        };
        Some((name, info))
    });
    described.collect()
}

/// The values of properties: of all that are readable, or only of those that differ from their defaults.
pub(in crate::media::gst) fn values(element: &gst::Element, defaults_too: bool) -> BTreeMap<String, Value> {
    let listed = element.list_properties();
    let readable = listed.iter().filter(|property| is_readable(property));
    // These are told elsewhere, or say nothing.
    let telling =
        readable.filter(|property| !matches!(property.name(), "name" | "parent") && !is_secret(property.name()));
    let values = telling.filter_map(|property| {
        let value = read(element, property)?;
        let is_default = || json(property.default_value()).is_some_and(|default| default == value);
        (defaults_too || !is_default()).then(|| (property.name().to_owned(), value))
    });
    values.collect()
}

// `ParamSpec::value_type` is what the property holds. On a reference to a reference the compiler would find the trait
// `ValueType`'s method of the same name, which tells what a `GParam` is: hence the plain reference.
fn is_readable(property: &glib::ParamSpec) -> bool {
    // A deprecated one may complain on the server's standard error when it is read.
    let flags = property.flags();
    flags.contains(glib::ParamFlags::READABLE)
        && !flags.contains(glib::ParamFlags::DEPRECATED)
        && is_plain(property.value_type())
}

/// Whether values of this type are read at all; asking for an object or a pointer could hold up who owns it.
fn is_plain(kind: glib::Type) -> bool {
    let plain = [
        glib::Type::BOOL,
        glib::Type::I8,
        glib::Type::U8,
        glib::Type::I32,
        glib::Type::U32,
        glib::Type::I_LONG,
        glib::Type::U_LONG,
        glib::Type::I64,
        glib::Type::U64,
        glib::Type::F32,
        glib::Type::F64,
        glib::Type::STRING,
        gst::Caps::static_type(),
        gst::Structure::static_type(),
        gst::Fraction::static_type(),
        gst::Array::static_type(),
        gst::Bitmask::static_type(),
    ];
    plain.contains(&kind) || kind.is_a(glib::Type::ENUM) || kind.is_a(glib::Type::FLAGS)
}

fn read(element: &gst::Element, property: &glib::ParamSpec) -> Option<Value> {
    json(&element.property_value(property.name())).map(shown)
}

/// A value as JSON; enums and flags by nick, caps and structures as text. `None` for objects, pointers and the like.
fn json(value: &glib::Value) -> Option<Value> {
    let kind = value.type_();
    if kind.is_a(glib::Type::ENUM) {
        // A value that the type does not list is shown as its number.
        let (_, listed) = glib::EnumValue::from_value(value)?;
        return Some(listed.nick().into());
    }
    if kind.is_a(glib::Type::FLAGS) {
        let (_, set) = glib::FlagsValue::from_value(value)?;
        return Some(set.iter().map(|flag| flag.nick()).collect::<Vec<_>>().join("+").into());
    }
    Some(match kind {
        glib::Type::BOOL => value.get::<bool>().ok()?.into(),
        glib::Type::I8 => value.get::<i8>().ok()?.into(),
        glib::Type::U8 => value.get::<u8>().ok()?.into(),
        glib::Type::I32 => value.get::<i32>().ok()?.into(),
        glib::Type::U32 => value.get::<u32>().ok()?.into(),
        glib::Type::I_LONG => value.get::<glib::ILong>().ok()?.0.into(),
        glib::Type::U_LONG => value.get::<glib::ULong>().ok()?.0.into(),
        glib::Type::I64 => value.get::<i64>().ok()?.into(),
        glib::Type::U64 => value.get::<u64>().ok()?.into(),
        // The shortest decimal that reads back as the same f32, not the f64 beside it.
        glib::Type::F32 => value.get::<f32>().ok()?.to_string().parse::<f64>().ok().map_or(Value::Null, Value::from),
        glib::Type::F64 => value.get::<f64>().ok()?.into(),
        glib::Type::STRING => value.get::<Option<String>>().ok()?.into(),
        kind if kind == gst::Caps::static_type() => {
            value.get::<Option<gst::Caps>>().ok()?.map(|c| caps_text(&c)).into()
        }
        kind if kind == gst::Structure::static_type() => {
            value.get::<Option<gst::Structure>>().ok()?.map(|structure| structure.to_string()).into()
        }
        kind if is_plain(kind) => value.serialize().ok()?.as_str().into(),
        _ => return None,
    })
}

/// Caps as text, without buffers: they are long (codec data), and one kind of them is SRTP's master key.
pub(super) fn caps_text(caps: &gst::Caps) -> String {
    let mut caps = caps.clone();
    let kind = gst::Buffer::static_type();
    let holds_buffer = |value: &glib::Value| {
        value.type_() == kind
            || value.get::<gst::Array>().is_ok_and(|array| array.iter().any(|item| item.type_() == kind))
    };
    let is_told = |name: &str| !is_secret(name) && !name.ends_with("ice-pwd");
    for structure in caps.make_mut().iter_mut() {
        structure.filter_map_in_place(|name, value| (is_told(name.as_str()) && !holds_buffer(&value)).then_some(value));
    }
    caps.to_string()
}

/// Whether a property's or a field's value is nobody's business.
fn is_secret(name: &str) -> bool {
    // `key-int-max` and `keyframe-max-dist` are not.
    name.split(['-', '_']).any(|word| SECRET.contains(&word)) || name.rsplit(['-', '_']).next() == Some("key")
}

/// What of a value may be shown.
fn shown(value: Value) -> Value {
    let Value::String(text) = value else { return value };
    let text = without_password(&text);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

/// Hides user name and password of an address: `turn://user:password@host` reads `turn://…@host`.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority = rest.split(['/', '?', '#', ' ']).next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((user, _)) if scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) => {
            format!("{scheme}://…{}", &rest[user.len()..])
        }
        _ => text.to_owned(),
    }
}

/// Whether a property can be changed in PLAYING. Where an element says nothing about states, it is taken to allow it.
fn is_mutable(property: &glib::ParamSpec) -> bool {
    let flags = property.flags();
    let states = gst::PARAM_FLAG_MUTABLE_READY | gst::PARAM_FLAG_MUTABLE_PAUSED | gst::PARAM_FLAG_MUTABLE_PLAYING;
    flags.contains(glib::ParamFlags::WRITABLE)
        && !flags.contains(glib::ParamFlags::CONSTRUCT_ONLY)
        && (!flags.intersects(states) || flags.contains(gst::PARAM_FLAG_MUTABLE_PLAYING))
}

/// The least and the greatest value of a number.
#[expect(clippy::cast_precision_loss, reason = "bounds beyond 2^53 only say that there is none")]
fn range(property: &glib::ParamSpec) -> (Option<f64>, Option<f64>) {
    macro_rules! of {
        ($($kind:ident),*) => {
            $(if let Some(number) = property.downcast_ref::<glib::$kind>() {
                return (Some(number.minimum() as f64), Some(number.maximum() as f64));
            })*
        };
    }
    of!(
        ParamSpecInt,
        ParamSpecUInt,
        ParamSpecInt64,
        ParamSpecUInt64,
        ParamSpecLong,
        ParamSpecULong,
        ParamSpecChar,
        ParamSpecUChar,
        ParamSpecFloat,
        ParamSpecDouble
    );
    (None, None)
}

/// What an enum, or each part of flags, may be.
fn nicks(kind: glib::Type) -> Vec<String> {
    if let Some(class) = glib::EnumClass::with_type(kind) {
        return class.values().iter().map(|value| value.nick().to_owned()).collect();
    }
    let flags = glib::FlagsClass::with_type(kind);
    flags.map_or_else(Vec::new, |class| class.values().iter().map(|value| value.nick().to_owned()).collect())
}

/// Sets properties, all or none: every value is checked before the first is set.
///
/// # Errors
/// Invalid: there is no such property, it cannot be set now, or the value does not fit.
pub(in crate::media::gst) fn set(element: &gst::Element, values: &BTreeMap<String, Value>) -> Result<()> {
    let factory = element.factory().map_or_else(String::new, |factory| factory.name().to_string());
    let checked = values.iter().map(|(name, value)| {
        let property = element.find_property(name).ok_or_else(|| {
            let known: Vec<_> = element.list_properties().iter().map(|property| property.name().to_owned()).collect();
            let nearest = nearest(name, known.iter().map(String::as_str));
            Error::invalid(format!("{factory} has no property '{name}'{nearest}. Nothing was changed."))
        })?;
        if !is_mutable(&property) {
            let flags = property.flags();
            let why = if !flags.contains(glib::ParamFlags::WRITABLE) {
                "can only be read"
            } else if flags.contains(glib::ParamFlags::CONSTRUCT_ONLY) {
                "can only be set as the element is made; change it in the pipeline's file"
            } else {
                "cannot be changed while it plays; change it in the pipeline's file"
            };
            return Err(Error::invalid(format!("'{name}' of {factory} {why}. Nothing was changed.")));
        }
        let value = checked_value(&property, value)
            .map_err(|why| Error::invalid(format!("'{name}' of {factory} {why}. Nothing was changed.")))?;
        Ok((property.name(), value))
    });
    let checked: Vec<_> = checked.collect::<Result<_>>()?;
    for (name, value) in checked {
        element.set_property_from_value(name, &value);
    }
    Ok(())
}

/// "; did you mean '…'?" for a name that is not there, or nothing.
fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> String {
    nearest::nearest(wrong, known).map_or_else(String::new, |name| format!("; did you mean '{name}'?"))
}

/// The value a property takes for JSON, or why it takes none.
fn checked_value(property: &glib::ParamSpec, value: &Value) -> std::result::Result<glib::Value, String> {
    let kind = property.value_type();
    let is = |wanted: &str| format!("takes {wanted}, not {}", brief(value));
    if let (Some(_), Some(class)) = (range(property).0, number(kind)) {
        return class(property, value);
    }
    if kind == glib::Type::BOOL {
        return value.as_bool().map(|value| value.to_value()).ok_or_else(|| is("true or false"));
    }
    if kind == glib::Type::STRING {
        return match value {
            Value::Null => Ok(None::<String>.to_value()),
            Value::String(text) if text.contains('\0') => Err("takes a text without a zero in it".into()),
            Value::String(text) => Ok(text.to_value()),
            _ => Err(is("a text")),
        };
    }
    if let Some(class) = glib::EnumClass::with_type(kind) {
        let text = value.as_str().ok_or_else(|| is("one of the words in 'values'"))?;
        return class.to_value_by_nick(text).ok_or_else(|| one_of(text, &nicks(kind)));
    }
    if let Some(class) = glib::FlagsClass::with_type(kind) {
        let text = value.as_str().ok_or_else(|| is("words of 'values' joined by '+'"))?;
        let mut bits = 0;
        for word in text.split('+').map(str::trim).filter(|word| !word.is_empty()) {
            bits |= class.value_by_nick(word).ok_or_else(|| one_of(word, &nicks(kind)))?.value();
        }
        return class.to_value(bits).ok_or_else(|| is("words of 'values' joined by '+'"));
    }
    if !is_plain(kind) {
        return Err(format!("is a {}, which cannot be set over the API", kind.name()));
    }
    let text = value.as_str().ok_or_else(|| is("a text as in a pipeline's file"))?;
    glib::Value::deserialize_with_pspec(text, property).map_err(|_| is(&format!("a {} as text", kind.name())))
}

fn one_of(word: &str, nicks: &[String]) -> String {
    let nearest = nearest(word, nicks.iter().map(String::as_str));
    let end = if nearest.is_empty() { "." } else { "" };
    format!("has no value '{word}'{nearest}{end} It takes: {}", nicks.join(", "))
}

/// A value in words, for a message.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() > 60 { format!("{}…", text.chars().take(60).collect::<String>()) } else { text }
}

type Number = fn(&glib::ParamSpec, &Value) -> std::result::Result<glib::Value, String>;

/// How numbers of a type are checked.
fn number(kind: glib::Type) -> Option<Number> {
    macro_rules! whole {
        ($rust:ty, $spec:ident, $wrap:expr) => {
            |property, value| {
                let spec = property.downcast_ref::<glib::$spec>().ok_or("has no range")?;
                let (min, max) = (i128::from(spec.minimum()), i128::from(spec.maximum()));
                let number = whole(value).ok_or_else(|| format!("takes a whole number, not {}", brief(value)))?;
                let fits = <$rust>::try_from(number).ok().filter(|_| (min..=max).contains(&number));
                let fits = fits.ok_or_else(|| format!("goes from {min} to {max}, not {number}"))?;
                Ok($wrap(fits))
            }
        };
    }
    macro_rules! real {
        ($rust:ty, $spec:ident) => {
            |property, value| {
                let spec = property.downcast_ref::<glib::$spec>().ok_or("has no range")?;
                let number = value.as_f64().ok_or_else(|| format!("takes a number, not {}", brief(value)))?;
                let (min, max) = (spec.minimum(), spec.maximum());
                if !(f64::from(min)..=f64::from(max)).contains(&number) {
                    return Err(format!("goes from {min} to {max}, not {number}"));
                }
                #[allow(clippy::cast_possible_truncation, reason = "within the range that was just checked")]
                let number = number as $rust;
                Ok(number.to_value())
            }
        };
    }
    Some(match kind {
        glib::Type::I32 => whole!(i32, ParamSpecInt, |number: i32| number.to_value()),
        glib::Type::U32 => whole!(u32, ParamSpecUInt, |number: u32| number.to_value()),
        glib::Type::I64 => whole!(i64, ParamSpecInt64, |number: i64| number.to_value()),
        glib::Type::U64 => whole!(u64, ParamSpecUInt64, |number: u64| number.to_value()),
        glib::Type::I8 => whole!(i8, ParamSpecChar, |number: i8| number.to_value()),
        glib::Type::U8 => whole!(u8, ParamSpecUChar, |number: u8| number.to_value()),
        glib::Type::I_LONG => {
            whole!(std::ffi::c_long, ParamSpecLong, |number: std::ffi::c_long| glib::ILong(number).to_value())
        }
        glib::Type::U_LONG => {
            whole!(std::ffi::c_ulong, ParamSpecULong, |number: std::ffi::c_ulong| glib::ULong(number).to_value())
        }
        glib::Type::F32 => real!(f32, ParamSpecFloat),
        glib::Type::F64 => real!(f64, ParamSpecDouble),
        _ => return None,
    })
}

/// A whole number in JSON; 1500.0 is one, too.
#[expect(clippy::cast_possible_truncation, reason = "whole and far within an i128")]
fn whole(value: &Value) -> Option<i128> {
    let number = value.as_number()?;
    number
        .as_i64()
        .map(i128::from)
        .or_else(|| number.as_u64().map(i128::from))
        .or_else(|| number.as_f64().filter(|real| real.fract() == 0.0 && real.abs() < 1e30).map(|real| real as i128))
}

#[cfg(test)]
#[path = "properties_tests.rs"]
mod tests;
