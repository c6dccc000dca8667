//! What size of pictures an encoder takes, as far as it tells: hardware knows it once its device is open. Owns the question and
//! its words; asks whoever has the encoder started.

use gst::prelude::*;

use crate::core::template::Values;

/// Why an encoder that is started will refuse the stream's pictures; `None` when nothing speaks against them. Asks the driver, so
/// it may take its time: never called on the control thread.
pub(super) fn refusal(encoder: &gst::Element, values: &Values) -> Option<String> {
    let caps = encoder.sink_pads().first()?.query_caps(None);
    let side = |side: u32| i32::try_from(side).unwrap_or(i32::MAX);
    let (width, height) = (side(values.width), side(values.height));
    let sized = gst::Caps::builder("video/x-raw").any_features().field("width", width).field("height", height).build();
    if caps.is_any() || caps.is_empty() || caps.can_intersect(&sized) {
        return None;
    }
    let factory = encoder.factory().map_or_else(|| "bin".to_owned(), |factory| factory.name().to_string());
    let sizes = match (sides(&caps, "width"), sides(&caps, "height")) {
        (Some((least_w, most_w)), Some((least_h, most_h))) => {
            format!("from {least_w}x{least_h} to {most_w}x{most_h} pixels")
        }
        _ => "of other sizes".to_owned(),
    };
    Some(format!(
        "{factory} takes pictures {sizes} on this machine, and the stream's are {width}x{height}: choose another size or encoder"
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
        media::gst::graph,
        model::{DeviceId, Profile, StreamKey, StreamType},
    };

    fn refused(encoder: &str, width: u32, height: u32) -> Option<String> {
        gst::init().expect("GStreamer");
        let pipeline = gst::parse::launch(encoder).expect("elements");
        let encoder = pipeline.downcast_ref::<gst::Bin>().and_then(|bin| bin.by_name("encoder")).expect("an encoder");
        let key = StreamKey::new(DeviceId::new("1"), StreamType::Color);
        let values = graph::values(&Config::default(), &key, Profile { width, height, framerate: 30 });
        refusal(&encoder, &values)
    }

    #[test]
    fn what_an_encoder_cannot_take_is_told_with_what_it_can() {
        let limited = "identity ! bin.( name=encoder capsfilter caps=\"video/x-raw,width=[32,1920],height=[16,1088]\" \
                       ! x264enc ) ! fakesink";
        assert_eq!(refused(limited, 1280, 720), None);
        for (width, height) in [(4096, 2160), (16, 16), (1920, 1200)] {
            let why = refused(limited, width, height).expect("refused");
            assert!(why.contains("from 32x16 to 1920x1088 pixels"), "{why}");
            assert!(why.contains(&format!("are {width}x{height}")), "{why}");
        }
        // Those that say nothing of sizes are believed.
        for encoder in ["x264enc", "vp8enc", "openh264enc"] {
            let made = format!("identity ! {encoder} name=encoder ! fakesink");
            assert_eq!(refused(&made, 1280, 720), None, "{encoder}");
        }
    }
}
