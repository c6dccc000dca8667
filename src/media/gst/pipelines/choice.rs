//! Which pipeline a stream uses for a codec. Owns the order in which the configuration is asked; where a stream is to have the
//! best encoder, `choose` has `auto` try them.

use super::{best_encoder, library::default_of};
use crate::{
    config::{AUTO, Config, PipelineNames},
    model::{Codec, StreamKey},
};

/// The name of the pipeline that a stream uses for a codec: what is configured for the device, else for the stream, exact
/// stream types before families; else by `pipelines.encoder`; else the stream's own. Where that is to be the best encoder and
/// which one is best is not known yet, this tries encoders (`auto`) and may take most of a minute: never called on the control
/// thread, which uses [`known`].
pub(crate) fn choose(config: &Config, key: &StreamKey, codec: Codec) -> String {
    known(config, key, codec).unwrap_or_else(|| best_encoder::best(config, key))
}

/// The same name where it is known without trying anything; `None` while the best encoder is still to be found.
pub(in crate::media::gst) fn known(config: &Config, key: &StreamKey, codec: Codec) -> Option<String> {
    match chosen(config, key, codec) {
        Some(name) if name == AUTO => best_encoder::found(config, key),
        Some(name) => Some(name),
        None => Some(default_of(key.stream, codec)),
    }
}

/// What the configuration names for a stream, a name or "auto"; `None` for the stream's own pipeline.
pub(in crate::media::gst) fn chosen(config: &Config, key: &StreamKey, codec: Codec) -> Option<String> {
    let exact = key.stream.to_string();
    let device = config.pipelines.devices.get(key.device.as_str());
    let levels = device.into_iter().chain([&config.pipelines.choice]);
    let entries = levels.flat_map(|choice| [choice.get(&exact), choice.get(key.stream.family())]).flatten();
    let named = entries.flat_map(PipelineNames::names).find(|name| match name.as_str() {
        AUTO => codec == Codec::H264,
        name => Codec::of_pipeline(name) == Some(codec),
    });
    let auto = config.pipelines.encoder_is_auto() && codec == Codec::H264;
    named.cloned().or_else(|| auto.then(|| AUTO.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DeviceId, StreamType};

    #[test]
    fn the_nearest_choice_wins() {
        let mut config = Config::default();
        let section = "[use]\ninfrared = [\"a.h264\", \"a.vp8\"]\ninfrared-2 = \"b.h264\"\ncolor = \"auto\"\n\
            [devices.1]\ninfrared = \"c.h264\"\n[devices.2]\ninfrared-1 = \"d.vp8\"\n";
        config.pipelines = toml::from_str(section).expect("a section");
        let of = |device: &str, stream: &str, codec| {
            let stream = stream.parse().expect("a stream type");
            chosen(&config, &StreamKey::new(DeviceId::new(device), stream), codec)
        };
        for (device, stream, codec, name) in [
            ("9", "infrared-1", Codec::H264, Some("a.h264")),
            ("9", "infrared-2", Codec::H264, Some("b.h264")),
            ("9", "infrared-2", Codec::VP8, Some("a.vp8")),
            ("9", "infrared-2", Codec::VP9, None),
            ("1", "infrared-2", Codec::H264, Some("c.h264")),
            ("1", "infrared-2", Codec::VP8, Some("a.vp8")),
            ("2", "infrared-1", Codec::VP8, Some("d.vp8")),
            ("2", "infrared-2", Codec::VP8, Some("a.vp8")),
            ("9", "color", Codec::H264, Some("auto")),
            ("9", "color", Codec::VP8, None),
            ("9", "depth", Codec::H264, None),
        ] {
            assert_eq!(of(device, stream, codec).as_deref(), name, "{device} {stream} {codec}");
        }
        config.pipelines.encoder = "auto".into();
        let depth = StreamKey::new(DeviceId::new("9"), StreamType::Depth);
        assert_eq!(chosen(&config, &depth, Codec::H264).as_deref(), Some("auto"));
        assert_eq!(choose(&config, &depth, Codec::VP8), "depth.vp8");
        // A pipeline's name goes before the encoder's choice.
        let second = StreamKey::new(DeviceId::new("9"), StreamType::Infrared(2));
        assert_eq!(choose(&config, &second, Codec::H264), "b.h264");
    }
}
