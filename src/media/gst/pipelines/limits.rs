//! What size of pictures an encoder takes, as far as it tells: hardware knows it once its device is open. Owns the question and
//! its words; asks whoever has the encoder started.

use gst::prelude::*;

use crate::core::text::template::Values;

/// Sides from here on are no limit: caps then say the largest number there is, or the most that GStreamer's own converters
/// take (videoconvert 1.22).
const UNLIMITED: i32 = 32_767;

/// Why the started pipeline between these two will refuse the stream's pictures; `None` when nothing speaks against them. Asks the
/// driver, so it may take its time: never called on the control thread.
pub(in crate::media::gst) fn refusal(source: &gst::Element, encoder: &gst::Element, values: &Values) -> Option<String> {
    // From where the pictures come in, as something in between may scale them.
    let taken = source.static_pad("src")?.peer_query_caps(None);
    let side = |side: u32| i32::try_from(side).unwrap_or(i32::MAX);
    let (width, height) = (side(values.width), side(values.height));
    let sized = gst::Caps::builder("video/x-raw").any_features().field("width", width).field("height", height).build();
    if taken.is_any() || taken.is_empty() || taken.can_intersect(&sized) {
        return None;
    }
    let factory = encoder.factory().map_or_else(|| "bin".to_owned(), |factory| factory.name().to_string());
    let sizes = match (sides(&taken, "width"), sides(&taken, "height")) {
        (Some((least_w, most_w)), Some((least_h, most_h))) => match (most_w < UNLIMITED, most_h < UNLIMITED) {
            (true, true) => format!("from {least_w}x{least_h} to {most_w}x{most_h} pixels"),
            (true, false) => format!("of at least {least_w}x{least_h} pixels and {most_w} wide at most"),
            (false, true) => format!("of at least {least_w}x{least_h} pixels and {most_h} high at most"),
            (false, false) => format!("of at least {least_w}x{least_h} pixels"),
        },
        _ => "of other sizes".to_owned(),
    };
    Some(format!(
        "{factory} takes pictures {sizes} on this machine; the stream's are {width}x{height}: choose another size or encoder"
    ))
}

/// The least and the greatest that caps allow for a side.
fn sides(caps: &gst::Caps, name: &str) -> Option<(i32, i32)> {
    let of = |structure: &gst::StructureRef| {
        let range = structure.get::<gst::IntRange<i32>>(name).map(|range| (range.min(), range.max()));
        range.or_else(|_| structure.get::<i32>(name).map(|only| (only, only))).ok()
    };
    let all: Option<Vec<_>> = caps.iter().map(of).collect();
    let all = all?;
    Some((all.iter().map(|(least, _)| *least).min()?, all.iter().map(|(_, most)| *most).max()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        media::gst::pipelines::build,
        model::{DeviceId, Profile, StreamKey, StreamType},
    };

    fn refused(between: &str, width: u32, height: u32) -> Option<String> {
        gst::init().expect("GStreamer");
        let text = format!("appsrc name=source ! videoconvert ! {between} ! fakesink");
        let pipeline = gst::parse::launch(&text).expect("elements");
        let named =
            |name: &str| pipeline.downcast_ref::<gst::Bin>().and_then(|bin| bin.by_name(name)).expect("it is there");
        let (source, encoder) = (named("source"), named("encoder"));
        let key = StreamKey::new(DeviceId::new("1"), StreamType::Color);
        let values = build::values(&Config::default(), &key, Profile { width, height, framerate: 30 });
        refusal(&source, &encoder, &values)
    }

    #[test]
    fn what_an_encoder_cannot_take_is_told_with_what_it_can() {
        let limited = "bin.( name=encoder capsfilter caps=\"video/x-raw,width=[32,1920],height=[16,1088]\" ! x264enc )";
        assert_eq!(refused(limited, 1280, 720), None);
        for (width, height) in [(4096, 2160), (16, 16), (1920, 1200)] {
            let why = refused(limited, width, height).expect("refused");
            assert!(why.contains("from 32x16 to 1920x1088 pixels"), "{why}");
            assert!(why.contains(&format!("are {width}x{height}")), "{why}");
        }
        let least = "bin.( name=encoder capsfilter caps=\"video/x-raw,width=[32,2147483647],height=[16,2147483647]\" ! x264enc )";
        let why = refused(least, 16, 8).expect("refused");
        assert!(why.contains("of at least 32x16 pixels"), "{why}");
        let scaled = format!("videoscale ! video/x-raw,width=320,height=240 ! {limited}");
        assert_eq!(refused(&scaled, 4096, 2160), None, "what is scaled before it fits");
        // Those that say nothing of sizes are believed.
        for encoder in ["x264enc", "vp8enc", "openh264enc"] {
            assert_eq!(refused(&format!("{encoder} name=encoder"), 1280, 720), None, "{encoder}");
        }
    }
}
