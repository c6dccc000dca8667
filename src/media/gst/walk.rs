//! The elements of a pipeline: by their links, and by the bins that they are in. Changes nothing.

use gst::prelude::*;

use crate::core::matching::Reorder;

/// Everything that can be reached from an element over linked pads, itself first, the nearest before the farther ones. `pads`
/// gives an element's pads in the direction to go: its src pads lead down the flow, its sink pads up.
pub(crate) fn reached(start: &gst::Element, pads: impl Fn(&gst::Element) -> Vec<gst::Pad>) -> Vec<gst::Element> {
    let mut reached = vec![start.clone()];
    let mut next = 0;
    while let Some(element) = reached.get(next).cloned() {
        next += 1;
        // The peer may be a bin's ghost pad, whose parent is the bin.
        for peer in pads(&element).iter().filter_map(|pad| pad.peer()?.parent_element()) {
            if !reached.contains(&peer) {
                reached.push(peer);
            }
        }
    }
    reached
}

/// Whether an element gets pads later, which are then linked: what can be reached through it is not known yet.
pub(super) fn grows(element: &gst::Element) -> bool {
    element.pad_template_list().iter().any(|pad| pad.presence() == gst::PadPresence::Sometimes)
}

/// Whether an element may put units out in another order than they went in: encoders and decoders may, by the class that
/// their factory states, and so may a bin that was made of text, because one may be inside.
pub(crate) fn reorder(element: &gst::Element) -> Reorder {
    match element.factory().and_then(|factory| factory.metadata(gst::ELEMENT_METADATA_KLASS).map(str::to_owned)) {
        Some(class) if !class.contains("Encoder") && !class.contains("Decoder") => Reorder::Never,
        _ => Reorder::CODEC,
    }
}

/// The name of an element's factory, or of its type where it has none, as a bin that was made of text.
pub(crate) fn factory_name(element: &gst::Element) -> String {
    element.factory().map_or_else(|| element.type_().name().to_owned(), |factory| factory.name().to_string())
}

/// Every element that is no bin, with its name; those in bins are called `BIN/NAME`.
pub(super) fn elements(pipeline: &gst::Pipeline) -> Vec<(gst::Element, String)> {
    let mut found = Vec::new();
    collect(pipeline.upcast_ref(), "", &mut found);
    // What the pipeline itself is made of comes before the inside of its bins.
    found.sort_by_key(|(_, name)| name.contains('/'));
    found
}

fn collect(bin: &gst::Bin, prefix: &str, found: &mut Vec<(gst::Element, String)>) {
    // The newest child comes first.
    for element in bin.children().into_iter().rev() {
        let name = format!("{prefix}{}", element.name());
        match element.downcast_ref::<gst::Bin>() {
            Some(inner) if !inner.children().is_empty() => collect(inner, &format!("{name}/"), found),
            _ => found.push((element, name)),
        }
    }
}
