//! Which H.264 profile offers announce for each pipeline. Owns what is known of that: what the caps in the file ask the encoder
//! for, and what came out once it ran. Starts nothing and reads files only when the media side starts.

use std::{collections::BTreeMap, str::FromStr, sync::Arc};

use gst::prelude::*;

use super::{build, choice, library, text::Text};
use crate::{
    config::Config,
    core::{
        peer::h264::{Level, Profile, ProfileLevelId},
        text::{
            lexer::{Kind, words},
            template::Template,
        },
    },
    model::{self, Codec, StreamKey},
    sync::{Mutex, lock},
};

/// By pipeline name, where it is known; bounded by the pipelines there are.
#[derive(Default)]
pub(in crate::media::gst) struct Announced(Mutex<BTreeMap<String, Profile>>);

impl Announced {
    /// What the files say now.
    pub(in crate::media::gst) fn read(config: &Config) -> Self {
        let announced = Self::default();
        for name in library::names(config).iter().filter(|name| Codec::of_pipeline(name) == Some(Codec::H264)) {
            library::read(config, name).iter().for_each(|text| announced.note_text(config, text));
        }
        announced
    }

    /// A file was taken into use, or would be. Told before the encoder that was made of it gets its first picture, so that what
    /// comes out is the last word.
    pub(in crate::media::gst) fn note_text(&self, config: &Config, text: &Text) {
        let declared = declared(config, text);
        let mut known = lock(&self.0);
        match declared {
            Some(profile) => drop(known.insert(text.name.clone(), profile)),
            None => drop(known.remove(&text.name)),
        }
    }

    /// Watches what comes out of a pipeline: that counts more than what its file says.
    pub(in crate::media::gst) fn watch(announced: &Arc<Self>, name: &str, fanout: &gst::Element) {
        let Some(pad) = fanout.static_pad("sink").filter(|_| Codec::of_pipeline(name) == Some(Codec::H264)) else {
            return;
        };
        let (announced, name) = (Arc::downgrade(announced), name.to_owned());
        pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if let Some(gst::PadProbeData::Event(event)) = &info.data
                && let gst::EventView::Caps(caps) = event.view()
                && let Some(made) = of_caps(caps.caps())
                && let Some(announced) = announced.upgrade()
            {
                lock(&announced.0).insert(name.clone(), made);
                if !made.is_for_all_browsers() {
                    tracing::warn!(
                        pipeline = %name,
                        "It makes {made} profile, which not every browser takes (some answer with another codec or none, Safari is \
                         reported to stay black with high); profile=constrained-baseline in the caps behind the encoder is for all"
                    );
                }
            }
            gst::PadProbeReturn::Ok
        });
    }

    /// What an offer announces for a stream that may become as large as `sizes` while the session lasts. A pipeline that
    /// nothing is known of is taken to make constrained baseline, as all built-in ones do; so is the best encoder while it is
    /// still to be found. Tries nothing and never waits.
    pub(in crate::media::gst) fn of(
        &self,
        config: &Config,
        key: &StreamKey,
        sizes: [model::Profile; 2],
    ) -> ProfileLevelId {
        let name = choice::known(config, key, Codec::H264);
        let known = name.and_then(|name| lock(&self.0).get(&name).copied());
        let level = sizes.map(Level::of).into_iter().fold(Level::LEAST_OFFERED, Level::max);
        ProfileLevelId { profile: known.map_or(Profile::CONSTRAINED_BASELINE, Profile::announced), level }
    }
}

/// The profile that the caps in a pipeline's text ask for: the first where they leave a choice, as encoders take it.
pub(crate) fn declared(config: &Config, text: &Text) -> Option<Profile> {
    let template = Template::parse(text.file.clone(), &text.text).ok()?;
    let key = library::checked_as(&text.name);
    let rendered = template.render(&build::values(config, &key, config.streams.of(key.stream).profile()));
    words(&rendered).iter().find_map(|word| match word.kind {
        Kind::Link { caps: Some((caps, _)) } => gst::Caps::from_str(caps).ok().and_then(|caps| of_caps(&caps)),
        _ => None,
    })
}

/// The profile in caps of H.264; the first of a list.
pub(super) fn of_caps(caps: &gst::CapsRef) -> Option<Profile> {
    let structure = caps.structure(0).filter(|structure| structure.name() == "video/x-h264")?;
    let one = structure.get::<String>("profile").ok();
    let name = one.or_else(|| structure.get::<gst::List>("profile").ok()?.first()?.get::<String>().ok())?;
    Profile::from_caps(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DeviceId, StreamType};

    const FULL_HD: model::Profile = model::Profile { width: 1920, height: 1080, framerate: 30 };
    const SMALL: model::Profile = model::Profile { width: 320, height: 240, framerate: 30 };

    #[test]
    fn the_caps_in_the_file_tell_the_profile() {
        gst::init().expect("GStreamer");
        let config = Config::default();
        for (name, _) in library::BUILT_IN.iter().filter(|(name, _)| name.ends_with(".h264")) {
            let text = library::read(&config, name).expect("built in");
            // A Jetson's encoder is told by a property of its own, with the same profile.
            let expected = (*name != "nvv4l2.h264").then_some(Profile::CONSTRAINED_BASELINE);
            assert_eq!(declared(&config, &text), expected, "{name}");
            let high = Text { text: text.text.replace("profile=constrained-baseline", "profile=high"), ..text.clone() };
            if high != text {
                assert_eq!(declared(&config, &high), Some(Profile::HIGH), "{name}");
            }
        }
    }

    #[test]
    fn an_offer_tells_what_the_pipeline_makes_and_the_largest_picture() {
        gst::init().expect("GStreamer");
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        config.pipelines.dir = folder.path().into();
        let color = library::read(&config, "color.h264").expect("built in");
        let high = color.text.replace("profile=constrained-baseline", "profile=high");
        std::fs::write(folder.path().join("color.h264.gst"), high).expect("written");
        let announced = Announced::read(&config);
        let key = |stream| StreamKey::new(DeviceId::new("1"), stream);
        let id = |stream, sizes| announced.of(&config, &key(stream), sizes).to_string();
        assert_eq!(id(StreamType::Color, [SMALL, FULL_HD]), "640028");
        assert_eq!(id(StreamType::Color, [FULL_HD, SMALL]), "640028");
        assert_eq!(id(StreamType::Depth, [SMALL, SMALL]), "42e01f");
        announced.note_text(&config, &color);
        assert_eq!(id(StreamType::Color, [SMALL, SMALL]), "42e01f");
    }

    #[test]
    fn what_comes_out_counts_more_than_the_file() {
        gst::init().expect("GStreamer");
        let announced = Arc::new(Announced::default());
        let fanout = gst::ElementFactory::make("tee").build().expect("a tee");
        Announced::watch(&announced, "color.h264", &fanout);
        let pad = fanout.static_pad("sink").expect("a sink pad");
        pad.set_active(true).expect("active");
        pad.send_event(gst::event::StreamStart::new("x"));
        pad.send_event(gst::event::Caps::new(&gst::Caps::builder("video/x-h264").field("profile", "main").build()));
        let config = Config::default();
        let key = StreamKey::new(DeviceId::new("1"), StreamType::Color);
        assert_eq!(announced.of(&config, &key, [SMALL, SMALL]).to_string(), "4d001f");
    }
}
