use serde_json::json;

use super::*;

fn make(factory: &str) -> gst::Element {
    gst::init().expect("GStreamer");
    gst::ElementFactory::make(factory).build().expect("the element")
}

fn try_set(element: &gst::Element, values: Value) -> Result<()> {
    set(element, &serde_json::from_value(values).expect("a map"))
}

#[test]
fn properties_read_as_plain_json() {
    let encoder = make("x264enc");
    encoder.set_property("bitrate", 1234u32);
    encoder.set_property_from_str("tune", "zerolatency+fastdecode");
    let properties = all(&encoder, |name| name == "bitrate" || name == "threads");
    let bitrate = &properties["bitrate"];
    assert_eq!((&bitrate.value, &bitrate.default), (&json!(1234), &json!(2048)));
    assert_eq!((bitrate.min, bitrate.kind.as_str()), (Some(1.0), "guint"));
    assert!(bitrate.mutable_playing && bitrate.settable && !bitrate.description.is_empty());
    assert!(properties["threads"].settable && !properties["key-int-max"].settable, "as the server allows");
    let tune = &properties["tune"].value;
    assert_eq!(tune, &json!("fastdecode+zerolatency"));
    let preset = &properties["speed-preset"];
    assert!(preset.values.iter().any(|nick| nick == "superfast") && preset.value.is_string(), "{preset:?}");
    assert!(!properties.contains_key("parent"), "no objects");
    let changed = values(&encoder, false);
    assert_eq!(changed.keys().collect::<Vec<_>>(), ["bitrate", "tune"]);
    assert!(values(&encoder, true).len() > 20);
}

#[test]
fn all_values_are_set_or_none() {
    let encoder = make("x264enc");
    try_set(&encoder, json!({"bitrate": 1500.0})).expect("a whole number");
    assert_eq!(encoder.property::<u32>("bitrate"), 1500);
    for (values, words) in [
        (json!({"bitrate": 900, "bitrat": 1}), "did you mean 'bitrate'"),
        (json!({"bitrate": 900, "name": 5}), "takes a text, not 5"),
        (json!({"bitrate": 0}), "goes from 1 to"),
        (json!({"bitrate": -1}), "goes from 1 to"),
        (json!({"bitrate": 1.5}), "takes a whole number"),
        (json!({"bitrate": "fast"}), "not \"fast\""),
    ] {
        let error = try_set(&encoder, values.clone()).expect_err("refused");
        assert!(error.public().contains(words), "{values}: {error}");
        assert_eq!(encoder.property::<u32>("bitrate"), 1500, "{values}");
    }
    let queue = make("queue");
    for (values, words) in [
        (json!({"leaky": "upstreem"}), "did you mean 'upstream'"),
        (json!({"leaky": 1}), "words in 'values'"),
        (json!({"silent": 1}), "true or false"),
        (json!({"current-level-buffers": 1}), "can only be read"),
        (json!({"max-size-time": 1e40}), "whole number"),
    ] {
        let error = try_set(&queue, values.clone()).expect_err("refused");
        assert!(error.public().contains(words), "{values}: {error}");
    }
    try_set(&queue, json!({"leaky": "downstream", "silent": true, "max-size-time": 5})).expect("good values");
    assert_eq!(values(&queue, false).get("leaky"), Some(&json!("downstream")));
    let filter = make("capsfilter");
    try_set(&filter, json!({"caps": "video/x-raw, width=(int)5"})).expect("caps");
    assert!(values(&filter, false)["caps"].as_str().expect("text").contains("width=(int)5"));
    assert!(try_set(&filter, json!({"caps": "video/x-raw,width="})).is_err());
}

#[test]
fn secrets_are_not_shown() {
    for name in ["pem", "user-pw", "decoder-key", "key", "stream_key"] {
        assert!(is_secret(name), "{name}");
    }
    for name in ["key-int-max", "keyframe-max-dist", "bitrate", "keyed"] {
        assert!(!is_secret(name), "{name}");
    }
    assert_eq!(all(&make("dtlsdec"), |_| false)["pem"].value, HIDDEN);
    assert_eq!(shown("turn://user:secret@host:3478?a=b".into()), "turn://…@host:3478?a=b");
    assert_eq!(shown("http://host/a@b".into()), "http://host/a@b");
    let key = gst::Buffer::from_slice([7u8; 30]);
    let caps = gst::Caps::builder("application/x-srtp").field("srtp-key", key).field("ssrc", 5u32).build();
    assert_eq!(caps_text(&caps), "application/x-srtp, ssrc=(uint)5");
}

#[test]
fn any_element_reads_without_a_complaint() {
    for factory in ["webrtcbin", "appsrc", "appsink", "vp8enc", "rtph264pay", "videoconvert", "tee", "identity"] {
        let element = make(factory);
        assert!(all(&element, |_| false).values().all(|property| !property.settable), "{factory}");
    }
}
